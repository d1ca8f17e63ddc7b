"""One fold in a process of its own: ``python -m medkit.workflows.crossval.worker JOB`` (JSON)."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from medkit.config.experiment import load_config
from medkit.core.children import when_parent_is_gone
from medkit.core.errors import MedkitError
from medkit.core.registry import allow_code
from medkit.runs.run import CHECKPOINT, MANIFEST, locked
from medkit.workflows.train import train

FOLDS = "folds"  # folder of the folds' runs
_GRACE_SECONDS = 20.0


def train_fold(folder: Path, name: str, overrides: Sequence[str]) -> None:
    """Train one fold of the cross-validation in ``folder``, or go on with what was interrupted.

    A fold that was left behind by a killed cross-validation may still be ending: it is waited for.
    """
    out = folder / FOLDS
    out.mkdir(exist_ok=True)
    with locked(out / f"{name}.lock", "cross-validation"):
        begun = sorted((out / name).glob("*/"))
        if any((run / MANIFEST).is_file() for run in begun):
            return
        kept = [run for run in begun if (run / CHECKPOINT / "state.npz").is_file()][:1]
        for run in begun:
            if run not in kept:
                shutil.rmtree(run)
        experiment = load_config(folder / "config.yaml", overrides)
        train(experiment, out=out, resume=str(kept[0]) if kept else None)


def main(job: str) -> int:
    """Train one fold; returns the exit status: 0, 1 failed, 2 wrong config, 130 interrupted."""
    when_parent_is_gone(_end)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.getLogger("medkit").addHandler(logging.StreamHandler(sys.stderr))
    given = json.loads(job)
    try:
        allow_code(given["allow_code"])
        train_fold(Path(given["folder"]), given["name"], given["overrides"])
    except KeyboardInterrupt:
        return 130
    except MedkitError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    except Exception as error:
        print(f"unexpected {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def _end() -> None:
    """An orphan would go on writing into a fold that a resumed cross-validation trains anew."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_SECONDS)
    os._exit(130)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

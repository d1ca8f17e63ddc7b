"""One fold in a process of its own: ``python -m medkit.workflows.crossval.worker JOB`` (JSON)."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

_GRACE_SECONDS = 20.0


def main(job: str) -> int:
    """Train one fold; returns the exit status: 0, 1 failed, 2 wrong config, 130 interrupted."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.getLogger("medkit").addHandler(logging.StreamHandler(sys.stderr))
    from medkit.config.experiment import load_config
    from medkit.core.errors import MedkitError
    from medkit.core.registry import allow_code
    from medkit.workflows.train import train

    given = json.loads(job)
    try:
        allow_code(given["allow_code"])
        experiment = load_config(Path(given["config"]), given["overrides"])
        train(experiment, out=Path(given["out"]), resume=given["resume"])
    except KeyboardInterrupt:
        return 130
    except MedkitError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    except Exception as error:
        print(f"unexpected {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def _end_with_parent() -> None:
    """Stop when the parent is gone: it holds the other end of standard input.

    An orphan would go on writing into a fold that a resumed cross-validation trains anew.
    """
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_SECONDS)
    os._exit(130)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

"""Fit the baselines: ``python -m medkit.evaluation.baselines.worker FOLDER``; see ``aside``."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from pathlib import Path

import numpy as np

from medkit.core import registry
from medkit.core.children import when_parent_is_gone
from medkit.core.errors import MedkitError
from medkit.data.inputs import Inputs
from medkit.evaluation.baselines.baselines import predicted
from medkit.evaluation.baselines.learned import PastRows
from medkit.evaluation.methods import methods_for
from medkit.evaluation.resampling.intervals import plain


class _Told(logging.Handler):
    """Keeps every record for the parent, which logs it again."""

    def __init__(self, file: Path):
        super().__init__(logging.INFO)
        self.file = file

    def emit(self, record: logging.LogRecord) -> None:
        with open(self.file, "a", encoding="utf-8") as file:
            private = getattr(record, "private", False)
            line = {"level": record.levelno, "text": record.getMessage(), "private": private}
            file.write(json.dumps(line) + "\n")


def main(folder: Path) -> int:
    """Fit what lies in ``folder`` and write the outputs there; returns the exit status."""
    when_parent_is_gone(lambda: _end(folder))
    logging.captureWarnings(True)
    for name in ("medkit", "py.warnings"):
        logging.getLogger(name).addHandler(_Told(folder / "log.jsonl"))
        logging.getLogger(name).setLevel(logging.INFO)
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    task = registry.tasks.get(job["task"]["name"]).factory.from_dict(job["task"])
    parts = ("train", "valid", "test")
    features = {part: np.load(folder / f"x_{part}.npy") for part in parts}
    # The encoded inputs are not needed, and perhaps large.
    rows = {part: PastRows(Inputs({"": np.empty((len(x), 0))}), x) for part, x in features.items()}
    y = {part: np.load(folder / f"y_{part}.npy") for part in parts}
    subjects = np.load(folder / "subjects.npy")
    try:
        fitted, absent = methods_for(task).baselines(None, rows, y, subjects, job["seed"])
        found = predicted(fitted, rows)
    except MedkitError as error:
        print(error, file=sys.stderr)
        return 1
    for each in found:
        for part, outputs in each.outputs.items():
            np.save(folder / f"{each.name}_{part}.npy", outputs)
    facts = [
        {
            "name": each.name,
            "parts": list(each.outputs),
            "threshold": plain(each.threshold),
            "facts": plain(each.facts),
        }
        for each in found
    ]
    text = json.dumps({"baselines": facts, "absent": absent})
    (folder / "fitted.json").write_text(text, encoding="utf-8")
    return 0


def _end(folder: Path) -> None:
    """The parent can no longer remove what lies there of its patients."""
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(130)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

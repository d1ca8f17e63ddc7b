"""The memory that each stage of a whole run takes; run in a process of its own.

    python whole_run.py TABLE disk|memory FOLDER

prints stage -> MiB that are its own (``RssAnon``: pages of mapped files are not) as JSON. ``disk``
makes everything that is large somewhere begin at nothing, and blocks of it small.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import threading
from pathlib import Path

import medkit
from medkit.config.experiment import check_config
from medkit.data.stored_columns import StoredColumns
from medkit.runs.recording import Stages

EVERY_SECONDS = 0.002
# What is fitted on a sample of many rows takes a sample of these, too.
SAMPLED = {
    "medkit.evaluation.baselines.baselines": {"_MOST_ROWS": 5_000},
    "medkit.evaluation.calibration.smooth": {"_MOST_ROWS": 1_000},
}
AS_IF_LARGE = {
    "medkit.datasets.table.table": {"LARGE": 0},
    "medkit.data.stored_columns": {"ROWS_IN_MEMORY": 0},
    "medkit.data.stored_arrays": {"IN_MEMORY": 0, "BLOCK_BYTES": 2**20, "_CHANNEL_BYTES": 2**22},
    "medkit.training.plan": {"CHUNK_BYTES": 2**20},
    "medkit.training.validation": {"_KEPT_BYTES": 0},
    "medkit.training.network": {"PREPARED_BYTES_AT_MOST": 0},
}


def held() -> float:
    """MiB of this process that are in no file."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def measured(config: dict, folder: Path, *, as_if_large: bool) -> dict[str, float]:
    """Stage -> the most that was held in it, in MiB."""
    for module, changed in {**SAMPLED, **(AS_IF_LARGE if as_if_large else {})}.items():
        for name, value in changed.items():
            assert hasattr(importlib.import_module(module), name), f"{module}.{name}"
            setattr(sys.modules[module], name, value)
    if as_if_large:
        StoredColumns.blocks.__defaults__ = (2_000,)
    most: dict[str, float] = {}
    stage, timed, done = ["start"], Stages.__call__, threading.Event()

    def look():
        most[stage[-1]] = max(most.get(stage[-1], 0), held())

    @contextlib.contextmanager
    def staged(self, name):
        stage.append(name)
        with timed(self, name):
            yield
        look()  # a short stage may end between two looks
        stage.pop()

    def watch():
        while not done.wait(EVERY_SECONDS):
            look()

    Stages.__call__ = staged
    watching = threading.Thread(target=watch)
    watching.start()
    try:
        medkit.train(check_config(config, folder=folder, place="config"), out=folder / "runs")
    finally:
        done.set()
        watching.join()
    return most


if __name__ == "__main__":
    table, where, folder = sys.argv[1:]
    config = {
        "name": "whole",
        "dataset": {"name": "table", "path": table, "target": "died"},
        "task": "binary",
        "model": {"name": "mlp", "hidden_units": [8]},
        "training": {"epochs": 1, "batch_size": 2048},
        "evaluation": {"bootstrap": 0},
    }
    print(json.dumps(measured(config, Path(folder), as_if_large=where == "disk")))

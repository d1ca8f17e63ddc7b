"""Events to grid: rate on a Parquet file, against Polars' own group-by of the same file.

Ten million synthetic events (20,000 stays, 20 variables, 48 h) lie in one Parquet file. Each
contestant is a process of its own, A B A B …; times are medians over the rounds, memory is the
process's highest resident set. Polars' own query reads the file and takes the mean by stay, step
and variable, on its streaming engine; medkit besides looks for infinite values and plausible
ranges, counts what lies outside, hashes the file and lays the grid out.

Targets on 2 cores: 5 million events a second, and half of Polars' own rate.
"""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HOURS, VARIABLES, EVENTS_A_STAY = 48, 20, 500


def write(path: Path, events: int) -> None:
    """Random events, sorted by stay as an export is, in row groups of a million."""
    import pyarrow as pa
    import pyarrow.parquet

    random = np.random.default_rng(0)
    names = pa.array([f"variable {number:02d}" for number in range(VARIABLES)])
    block, stays = 1_000_000, max(1, events // EVENTS_A_STAY)
    writer = None
    for first in range(0, events, block):
        count = min(block, events - first)
        stay = (np.arange(first, first + count) * stays) // events
        table = pa.table(
            {
                "stay": stay,
                "time": random.uniform(0, HOURS, count),
                "variable": names.take(pa.array(random.integers(0, VARIABLES, count))),
                "value": np.round(random.normal(100, 10, count), 1),
            }
        )
        writer = writer or pyarrow.parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def grid_cells(path: Path, engine: str) -> int:
    """Number of filled cells of medkit's grid."""
    from medkit.datasets.events import events

    grid = events(path=path, hours=HOURS, engine=engine).only_input.values
    return int(np.count_nonzero(~np.isnan(grid)))


def own_groups(path: Path) -> int:
    """Number of groups of Polars' own query."""
    import polars as pl

    query = pl.scan_parquet(path).group_by(
        "stay", pl.col("time").floor().cast(pl.Int64).alias("step"), "variable"
    )
    return query.agg(pl.col("value").mean()).collect(engine="streaming").height


def turn(contestant: str, path: Path) -> None:
    """One measured run in this process, as a line of JSON."""
    for name in ("pandas", "polars", "pyarrow.parquet", "medkit.datasets.events"):
        importlib.import_module(name)  # imports are not timed
    start = time.perf_counter()
    cells = own_groups(path) if contestant == "own" else grid_cells(path, contestant)
    seconds = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({"seconds": seconds, "cells": cells, "memory": memory}))


def main() -> None:
    """Print rates, their ratio and memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engines", nargs="*", default=["polars"])
    parser.add_argument("--turn", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.turn:
        turn(given.turn[0], Path(given.turn[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.parquet"
        write(path, given.events)
        print(f"{given.events:,} events, {path.stat().st_size / 1e6:.0f} MB of Parquet")
        found: dict[str, list[dict]] = {}
        for _ in range(given.rounds):
            for name in ("own", *given.engines):
                command = [sys.executable, __file__, "--turn", name, str(path)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found.setdefault(name, []).append(json.loads(done.stdout.splitlines()[-1]))
    assert len({each["cells"] for runs in found.values() for each in runs}) == 1
    own = statistics.median(run["seconds"] for run in found["own"])
    for name, runs in found.items():
        seconds = statistics.median(run["seconds"] for run in runs)
        label = "Polars' own query" if name == "own" else f"medkit, engine: {name}"
        print(
            f"{label:26s} {given.events / seconds / 1e6:6.2f} million events/s"
            f"   {own / seconds:5.2f} x Polars' own rate"
            f"   {max(run['memory'] for run in runs):5.2f} GB at most"
        )


if __name__ == "__main__":
    main()

"""Events to grid: rate, memory at any size, folders of files, training from disk.

Each measured run is a process of its own; memory is its highest resident set. All data are made
here, in a temporary folder that is removed afterwards.

- By default: ten million synthetic events (20,000 stays, 20 variables, 48 h) in one Parquet file,
  medkit's engines against Polars' own group-by, A B A B …; times are medians over the rounds.
  Polars' own query reads the file and takes the mean by stay, step and variable on its streaming
  engine; medkit besides looks for infinite values and plausible ranges, counts what lies outside,
  hashes the file and lays the grid out. Targets on 2 cores: 5 million events a second, and half
  of Polars' own rate.
- ``--scale``: 1 to 100 million events in shards become a memory-mapped grid; and the same events
  in no order of stays. Targets: 4 GB of memory, time in proportion to the events. ``--plot FILE``
  draws it. Where other work shares the machine, the processor's time tells more than the clock's.
- ``--folder PATH``: a folder (or archive) of PhysioNet 2012 files, without and with a cache.
  Targets: 6 s for 4,000 files, 1 s from the cache.
- ``--training``: a GRU's epochs from a memory-mapped array against the same array in memory, in
  turns. Target: 0.9 of the rate.
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
from typing import Any

import numpy as np

HOURS, VARIABLES, EVENTS_A_STAY, SHARD = 48, 20, 500, 5_000_000
SIZES = (1_000_000, 3_000_000, 10_000_000, 30_000_000, 100_000_000)


def write(path: Path, first: int, last: int, events: int, mixed: bool = False) -> None:
    """Random events, sorted by stay as an export is (or in no order), in row groups of a million.

    Args:
        path: The file.
        first, last: Which of all events.
        events: How many there are in all.
        mixed: In no order of stays.
    """
    import pyarrow as pa
    import pyarrow.parquet

    random = np.random.default_rng(first)
    names = pa.array([f"variable {number:02d}" for number in range(VARIABLES)])
    block, stays = 1_000_000, max(1, events // EVENTS_A_STAY)
    writer = None
    for start in range(first, last, block):
        count = min(block, last - start)
        stay = (np.arange(start, start + count) * stays) // events
        table = pa.table(
            {
                "stay": random.integers(0, stays, count) if mixed else stay,
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
    from medkit.datasets.events.events import events

    grid = (
        events(path=path, window={"hours": HOURS}, source={"engine": engine})
        .inputs["series"]
        .values
    )
    return int(np.count_nonzero(~np.isnan(grid)))


def own_groups(path: Path) -> int:
    """Number of groups of Polars' own query."""
    import polars as pl

    query = pl.scan_parquet(path).group_by(
        "stay", pl.col("time").floor().cast(pl.Int64).alias("step"), "variable"
    )
    return query.agg(pl.col("value").mean()).collect(engine="streaming").height


def grid_rows(path: Path) -> int:
    """Number of stays of a memory-mapped grid, kept beside the events."""
    from medkit.datasets.events.events import events

    source = {"cache": path.parent / "cache"}
    values = events(path=path, window={"hours": HOURS}, source=source).inputs["series"].values
    assert isinstance(values, np.memmap)
    return len(values)


def physionet(path: Path, cache: Path | None) -> int:
    """Number of stays of a folder of PhysioNet 2012 files."""
    from medkit.datasets.events.events import events

    columns = {"time": "Time", "variable": "Parameter", "value": "Value"}
    values, source = {"missing_values": {"*": (-1,)}}, {"cache": cache}
    return len(events(path=path, values=values, source=source, columns=columns))


def turn(contestant: str, path: Path) -> None:
    """One measured run in this process, as a line of JSON."""
    for name in ("pandas", "polars", "pyarrow.parquet", "medkit.datasets.events.events"):
        importlib.import_module(name)  # imports are not timed
    own: dict[str, Any] = {
        "own": own_groups,
        "scale": grid_rows,
        "folder": lambda given: physionet(given, None),
        "cached": lambda given: physionet(given, Path(tempfile.gettempdir()) / "cache"),
    }
    start, before = time.perf_counter(), time.process_time()
    found = own[contestant](path) if contestant in own else grid_cells(path, contestant)
    seconds, busy = time.perf_counter() - start, time.process_time() - before
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({"seconds": seconds, "busy": busy, "found": found, "memory": memory}))


def measured(contestant: str, path: Path, temporary: Path | None = None) -> dict[str, Any]:
    """What `turn` says in a process of its own."""
    import os

    command = [sys.executable, __file__, "--turn", contestant, str(path)]
    given = {**os.environ, **({"TMPDIR": str(temporary)} if temporary else {})}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=given)
    if done.returncode:
        raise SystemExit(f"{contestant} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def rates(events: int, rounds: int, engines: list[str]) -> None:
    """Print rates, their ratio and memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.parquet"
        write(path, 0, events, events)
        print(f"{events:,} events, {path.stat().st_size / 1e6:.0f} MB of Parquet")
        found: dict[str, list[dict]] = {}
        for _ in range(rounds):
            for name in ("own", *engines):
                found.setdefault(name, []).append(measured(name, path))
    assert len({each["found"] for runs in found.values() for each in runs}) == 1
    own = statistics.median(run["seconds"] for run in found["own"])
    for name, runs in found.items():
        seconds = statistics.median(run["seconds"] for run in runs)
        label = "Polars' own query" if name == "own" else f"medkit, engine: {name}"
        print(
            f"{label:26s} {events / seconds / 1e6:6.2f} million events/s"
            f"   {own / seconds:5.2f} x Polars' own rate"
            f"   {max(run['memory'] for run in runs):5.2f} GB at most"
        )


def scale(sizes: list[int], plot: Path | None) -> None:
    """Print seconds and memory by number of events, and draw them."""
    found: dict[str, list[tuple[int, float, float]]] = {}
    for order in ("by stay", "mixed"):
        for events in sizes:
            with tempfile.TemporaryDirectory() as folder:
                shards = Path(folder) / "shards"
                shards.mkdir()
                for number, first in enumerate(range(0, events, SHARD)):
                    file = shards / f"{number:04d}.parquet"
                    write(file, first, min(first + SHARD, events), events, order == "mixed")
                run = measured("scale", shards)
            found.setdefault(order, []).append((events, run["seconds"], run["memory"]))
            print(
                f"{order:8s} {events:12,} events {run['seconds']:7.1f} s "
                f"({run['busy']:6.1f} s of a processor) "
                f"{events / run['seconds'] / 1e6:6.2f} million events/s "
                f"{run['memory']:5.2f} GB at most, {run['found']:,} stays",
                flush=True,
            )
    if plot is not None:
        draw(found, plot)


def draw(found: dict[str, list[tuple[int, float, float]]], plot: Path) -> None:
    """Time and memory over the number of events, both axes logarithmic for time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    times, memories = figure.subplots(1, 2)
    for order, runs in found.items():
        events, seconds, memory = (np.array(each) for each in zip(*runs, strict=True))
        (line,) = times.loglog(events, seconds, "o-", label=order)
        times.loglog(
            events, seconds[-1] * events / events[-1], ":", color=line.get_color(), linewidth=1
        )
        memories.semilogx(events, memory, "o-", label=order)
    memories.axhline(4, color="grey", linewidth=1, linestyle="--")
    memories.set_ylim(0, 4.5)
    times.set(xlabel="events", ylabel="seconds (dotted: in proportion)", title="Events to grid")
    memories.set(xlabel="events", ylabel="GB", title="Highest resident set (target: 4 GB)")
    times.legend(title="order in the files")
    figure.savefig(plot)
    print(f"drawn: {plot}")


def folder_of_files(path: Path) -> None:
    """Print seconds without a cache, while it is made, and from it."""
    with tempfile.TemporaryDirectory() as temporary:
        for label in ("folder", "cached", "cached"):
            run = measured(label, path, Path(temporary))
            print(f"{label:8s} {run['seconds']:6.2f} s  {run['found']:,} stays")


def training(rounds: int, rows: int = 20_000, epochs: int = 2) -> None:
    """Print the rate of a GRU's epochs from a memory-mapped array over that from memory."""
    import keras

    from medkit import models
    from medkit.training.trainer import Trainer

    shape = (HOURS, VARIABLES)
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        x = random.normal(size=(rows, *shape)).astype("float32")
        np.save(Path(folder) / "x.npy", x)
        y = (x[:, :, 0].mean(axis=1) > 0).astype("float32")
        data = {"memory": x, "memmap": np.load(Path(folder) / "x.npy", mmap_mode="r")}
        found: dict[str, list[float]] = {}
        for _ in range(rounds + 1):
            for name, values in data.items():
                keras.utils.set_random_seed(0)
                model = models.gru(shape, 1, output_activation="sigmoid", units=(32,))
                times: list[float] = []
                clock = keras.callbacks.LambdaCallback(
                    on_epoch_end=lambda epoch, logs, times=times: times.append(time.perf_counter())
                )
                Trainer(model, "binary", epochs=epochs + 1, batch_size=64, early_stopping=None).fit(
                    values, y, callbacks=[clock]
                )
                found.setdefault(name, []).append((times[-1] - times[0]) / epochs)
    seconds = {name: statistics.median(each[1:]) for name, each in found.items()}
    for name, each in seconds.items():
        print(f"{name:8s} {rows / each:9,.0f} stays/s")
    print(f"memmap: {seconds['memory'] / seconds['memmap']:.2f} of the rate in memory")


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engines", nargs="*", default=["polars"])
    parser.add_argument("--scale", nargs="*", type=int, metavar="EVENTS", help="1 to 100 million")
    parser.add_argument("--plot", type=Path, help="a .png or .svg of --scale")
    parser.add_argument("--folder", type=Path, help="PhysioNet 2012 files")
    parser.add_argument("--training", action="store_true")
    parser.add_argument("--turn", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.turn:
        turn(given.turn[0], Path(given.turn[1]))
    elif given.scale is not None:
        scale(given.scale or list(SIZES), given.plot)
    elif given.folder is not None:
        folder_of_files(given.folder)
    elif given.training:
        training(given.rounds)
    else:
        rates(given.events, given.rounds, given.engines)


if __name__ == "__main__":
    main()

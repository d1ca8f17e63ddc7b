"""A large table to encoded rows: rate and memory, from Parquet and from text.

Ten million rows of 20 inputs (12 numbers, some missing; 8 categories of 3 to 2,000 values) and a
target are made in a temporary folder, read by medkit's ``table``, divided into train, validation
and test, and encoded by what the training part has taught. Each run is a process of its own;
memory is its highest resident set. Target: 3 GB.

``--rows`` changes the number of rows; ``--kinds parquet csv csv.gz`` the forms of the file.
``--cached`` reads each a second time, from the cache.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

NUMBERS, LEVELS = 12, (3, 5, 8, 20, 50, 200, 500, 2000)
BLOCK = 500_000


def write(path: Path, rows: int) -> None:
    """Write the table, a block at a time."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    random = np.random.default_rng(0)
    names = [pa.array([f"c{i:04d}" for i in range(count)]) for count in LEVELS]
    text = path.name.endswith((".csv", ".csv.gz"))
    stream = pa.output_stream(str(path)) if text else None  # .gz by its name
    writer = None
    for start in range(0, rows, BLOCK):
        count = min(BLOCK, rows - start)
        columns = {"patient_id": pa.array(np.arange(start, start + count) // 3)}
        for i in range(NUMBERS):
            values = np.round(random.normal(100, 15, count), 2)
            columns[f"number_{i}"] = pa.array(values, mask=random.random(count) < 0.1)
        for i, (levels, known) in enumerate(zip(LEVELS, names, strict=True)):
            columns[f"category_{i}"] = known.take(pa.array(random.integers(0, levels, count)))
        columns["died"] = pa.array((random.random(count) < 0.2).astype("int8"))
        table = pa.table(columns)
        if writer is None:
            kind = pyarrow.csv.CSVWriter if text else pyarrow.parquet.ParquetWriter
            writer = kind(stream if text else path, table.schema)
        writer.write_table(table)
    writer.close()
    if stream is not None:
        stream.close()


def encode(path: Path, cache: Path | None) -> dict[str, float]:
    """Read, divide and encode in this process."""
    import logging

    from medkit.config.experiment import check_config
    from medkit.workflows.prepare import divide, encode, read

    logging.basicConfig(level=logging.INFO, format="    %(message)s")
    dataset = {"name": "table", "path": str(path), "target": "died"}
    if cache is not None:
        dataset["source"] = {"cache": str(cache)}
    document = {
        "name": "benchmark", "seed": 0, "dataset": dataset, "task": "binary",
        "split": {"by": "subject", "valid": 0.15, "test": 0.15}, "model": {"name": "mlp"},
    }  # fmt: skip
    experiment = check_config(document, folder=path.parent, place="benchmark")
    start = time.perf_counter()
    cohort = read(experiment.dataset)
    was_read = time.perf_counter()
    parts, flow = divide(cohort, experiment)
    divided = time.perf_counter()
    _, _, encoded = encode(parts, experiment, flow)
    end = time.perf_counter()
    train = encoded["train"].inputs["tabular"]
    rows = sum(len(part) for part in encoded.values())
    return {
        "rows": rows,
        "read_s": was_read - start,
        "divide_s": divided - was_read,
        "encode_s": end - divided,
        "rows_per_s": rows / (end - start),
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        "on_disk": isinstance(train, np.memmap),
    }


def main() -> None:
    """Make the files and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--kinds", nargs="+", default=["parquet", "csv"])
    parser.add_argument("--cached", action="store_true")
    parser.add_argument("--folder", type=Path, help="Where the files are made.")
    parser.add_argument("--turn", nargs="+", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.turn:
        print(json.dumps(encode(*given.turn, *([None] if len(given.turn) == 1 else []))))
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        for kind in given.kinds:
            path = Path(folder) / f"table.{kind}"
            write(path, given.rows)
            print(f"{kind}: {given.rows:,} rows, {path.stat().st_size / 1e9:.2f} GB", flush=True)
            cache = [str(Path(folder) / "cache")] if given.cached else []
            for _ in range(1 + given.cached):
                command = [sys.executable, __file__, "--turn", str(path), *cache]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                found = json.loads(done.stdout.splitlines()[-1])
                print(
                    f"  {found['rows_per_s']:,.0f} rows/s (read {found['read_s']:.0f} s, divide "
                    f"{found['divide_s']:.0f} s, encode {found['encode_s']:.0f} s), peak "
                    f"{found['peak_gb']:.2f} GB, encoded rows "
                    f"{'on disk' if found['on_disk'] else 'in memory'}",
                    flush=True,
                )
            path.unlink()


if __name__ == "__main__":
    main()

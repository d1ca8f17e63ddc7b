"""The memory of a whole run: no stage takes all rows again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

COLUMNS = 300
FEW, MANY = 20_000, 60_000
ENCODED = (MANY - FEW) * COLUMNS * 4 / 2**20  # MiB that the further rows take, as float32


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Two tables, one with three times the rows of the other."""
    folder, random = tmp_path_factory.mktemp("tables"), np.random.default_rng(0)
    paths = []
    for rows in (FEW, MANY):
        x = random.normal(size=(rows, COLUMNS)).astype("float32")
        frame = pd.DataFrame(x, columns=[f"c{i}" for i in range(COLUMNS)])
        paths.append(folder / f"{rows}.parquet")
        frame.assign(died=(x[:, 0] + random.normal(size=rows) > 1).astype(int)).to_parquet(
            paths[-1]
        )
    return paths


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("where", "gate", "after"),
    [
        # On disk nothing holds all rows: of the parts that are not trained on, the summary
        # features are held from the gate on.
        ("disk", 0.6, 1.4),
        # In memory a table is float64 (2) and copied into the parts (2) until the gate has seen
        # it, and read through three copies; from then on there are the encoded parts alone.
        ("memory", 10, 5),
    ],
)
def test_a_stage_needs_little_for_further_rows(where, gate, after, tables, tmp_path):
    """Growth of what each stage holds with the rows, in multiples of their encoded bytes."""
    held = []
    # What is freed is given back at once, or it would count as held.
    given_back = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "131072",
                  "ARROW_DEFAULT_MEMORY_POOL": "system"}  # fmt: skip
    for table in tables:
        command = [sys.executable, str(Path(__file__).parent / "whole_run.py"), str(table), where]
        done = subprocess.run(
            [*command, str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | given_back,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        held.append(json.loads(done.stdout.splitlines()[-1]))
    growth = {name: round((held[1][name] - few) / ENCODED, 2) for name, few in held[0].items()}
    until_gate = {name: growth.pop(name) for name in ("read", "split", "encode", "audit")}
    assert max(until_gate.values()) < gate, f"{until_gate}"
    # Curves and tables of the test rows: held while they are made.
    drawn = [growth.pop(f"evaluate: {name}") for name in ("calibration", "description")]
    assert max(drawn) < after + 1, f"{drawn}"
    assert max(growth.values()) < after, f"{growth}"

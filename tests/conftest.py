"""Shared fixtures: where real data lie, and small runs trained once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
# Tests run side by side: two threads each would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with real, openly licensed data."""
    folder = os.environ.get("MEDKIT_TEST_DATA")
    if not folder:
        pytest.skip("MEDKIT_TEST_DATA does not name the folder with real data")
    return Path(folder)


@pytest.fixture(scope="session")
def breast_cancer_run(tmp_path_factory: pytest.TempPathFactory):
    """A small finished run on tabular data."""
    import medkit

    out = tmp_path_factory.mktemp("runs")
    return medkit.train(CONFIGS / "smoke" / "breast_cancer_mlp.yaml", out=out)

"""Shared fixtures: where real data lie, and small runs trained once."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

import medkit

if TYPE_CHECKING:
    from medkit.runs.run import Run

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
# Tests run side by side: two threads each would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A suite started in the background is deaf to Ctrl-C, and so would be the commands it interrupts.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

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
def once(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str, Callable[[Path], object]], Path]:
    """``once(name, make)``: a folder that ``make`` fills once for all processes of the tests."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # of all workers

    def folder(name: str, make: Callable[[Path], object]) -> Path:
        place = root / f"once-{name}"
        with FileLock(root / f"once-{name}.lock"):
            if not (place / "made").exists():
                shutil.rmtree(place, ignore_errors=True)
                place.mkdir()
                make(place)
                (place / "made").touch()
        return place

    return folder


@pytest.fixture(scope="session")
def run_once(once) -> Callable[..., Run]:
    """``run_once(name, config, …)``: a finished run, trained once for all processes."""

    def run(name: str, config: object, **settings: object) -> Run:
        folder = once(name, lambda place: medkit.train(config, out=place, **settings))
        (manifest,) = folder.rglob("MANIFEST.json")
        return medkit.Run.open(manifest.parent)

    return run


@pytest.fixture(scope="session")
def breast_cancer_run(run_once) -> Run:
    """A small finished run on tabular data."""
    return run_once("breast-cancer", CONFIGS / "smoke" / "breast_cancer_mlp.yaml")

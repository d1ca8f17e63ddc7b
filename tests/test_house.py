"""The house: imports go one way, light commands stay light, Keras's names are Keras's."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import medkit
from medkit.keras_names import ACTIVATIONS, INITIALIZERS, OPTIMIZERS

PACKAGE = Path(medkit.__file__).parent

# Floors from the ground up; a module imports from its own floor or below.
FLOORS = (
    ("errors", "lazy", "files", "yaml_file", "checking", "keras_names", "registry", "cohort",
     "values", "rows", "stored_columns", "sections", "config"),
    ("layers",),
    ("datasets", "modalities", "models", "tasks"),
    ("backend", "splits", "network", "ensemble", "training", "trainer", "evaluation",
     "explanation", "leakage", "recording", "runs", "report", "inspection",
     "cohort_files", "synthesize"),
    ("preparation", "auditing", "assessment", "saving", "pipeline", "stored", "crossval",
     "comparison", "external", "explaining", "testing", "listing", "schema"),
    ("cli", "__main__"),
)  # fmt: skip


def floor_of(room: str) -> int:
    return next(i for i, rooms in enumerate(FLOORS) if room in rooms)


def modules():
    return [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "medkit":
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("medkit.")}
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports_go_one_way(path):
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for other in imports_of(path):
        assert floor_of(other) <= floor_of(room), (
            f"{room} must not import {other}, a floor above it"
        )
        if room in FLOORS[2] and other in FLOORS[2]:
            assert room == other, f"{room} and {other} must not know each other"


HEAVY = (
    "keras",
    "tensorflow",
    "jax",
    "torch",
    "pandas",
    "sklearn",
    "scipy",
    "matplotlib",
    "pyarrow",
    "sqlalchemy",
    "openpyxl",
    "duckdb",
    "polars",
    "narwhals",
    "pyspark",
    "pint",
)


@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["train", "--help"],
        ["models"],
        ["models", "gru"],
        ["datasets"],
        ["datasets", "table"],
        ["tasks"],
        ["tasks", "binary"],
        ["schema"],
        ["validate", "--config", str(PACKAGE.parent / "configs" / "breast_cancer_mlp.yaml")],
    ],
    ids=" ".join,
)
def test_light_commands_import_nothing_heavy(command):
    code = (
        "import sys; from medkit.cli import main; status = main(sys.argv[1:]); "
        f"print('HEAVY', [m for m in {HEAVY} if m in sys.modules]); sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "HEAVY []"


def test_names_are_those_of_keras():
    import keras

    activations = {
        name for name, value in vars(keras.activations).items()
        if callable(value) and name not in ("get", "serialize", "deserialize")
    }  # fmt: skip
    # A name alone cannot say where 'threshold' cuts, nor which constant is meant.
    assert set(ACTIVATIONS) == activations - {"threshold"}
    initializers = {
        name for name in dir(keras.initializers)
        if name.islower() and inspect.isclass(getattr(keras.initializers, name))
    }  # fmt: skip
    # stft makes a fixed Fourier kernel, not a start for training.
    assert set(INITIALIZERS) == initializers - {"stft", "constant"}
    # Wrappers of other optimizers, and the abstract base, are not optimizers to choose.
    wrappers = {"optimizer", "lossscaleoptimizer", "multioptimizer"}
    optimizers = {
        name.lower(): value for name, value in vars(keras.optimizers).items()
        if inspect.isclass(value) and issubclass(value, keras.optimizers.Optimizer)
    }  # fmt: skip
    assert set(OPTIMIZERS) == set(optimizers) - wrappers - {"schedulefreeadamw"}
    for name, arguments in OPTIMIZERS.items():
        signature = inspect.signature(optimizers[name].__init__).parameters
        theirs = {
            key: value.default for key, value in signature.items()
            if key not in ("self", "name", "kwargs", "loss_scale_factor", "exclude_layers")
        }  # fmt: skip
        assert arguments == theirs, name


def test_no_pickle_no_eval():
    forbidden = (
        "import pickle",
        "pickle.load",
        "eval(",
        "exec(",
        "yaml.load(",
        "allow_pickle=True",
    )
    for path in modules():
        text = path.read_text(encoding="utf-8")
        for each in forbidden:
            if each == "yaml.load(" and path.name == "yaml_file.py":
                continue  # with a SafeLoader, which a test of duplicate keys relies on
            assert each not in text, f"{path.name}: {each}"

"""The house: imports go one way, light commands stay light, Keras's names are Keras's."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import medkit
from medkit.core.keras_names import ACTIVATIONS, INITIALIZERS, OPTIMIZERS

PACKAGE = Path(medkit.__file__).parent

# From the ground up; a package imports only from itself and from those before it.
ORDER = (
    "core", "config", "data", "readers", "layers", "datasets", "modalities", "models", "tasks",
    "training", "leakage", "evaluation", "explanation", "report", "runs", "workflows", "testing",
    "cli", "__main__",
)  # fmt: skip
# The four axes are independent: none of them knows another.
AXES = ("datasets", "modalities", "models", "tasks")


def modules():
    return [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
        ".__init__"
    )


MODULES = {dotted(path): path for path in modules()}


def imports_of(path: Path) -> list[tuple[str, str]]:
    """(module, name) of every import from medkit; the name is empty for the module itself."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "medkit":
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.append((whole, "") if whole in MODULES else (node.module, alias.name))
        elif isinstance(node, ast.Import):
            found += [(a.name, "") for a in node.names if a.name.startswith("medkit.")]
    return found


def package_of(module: str) -> str:
    return module.split(".")[1]


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports_go_one_way(path):
    mine = package_of(dotted(path))
    for module, name in imports_of(path):
        other = package_of(module) if module != "medkit" else name
        assert ORDER.index(other) <= ORDER.index(mine), f"{mine} must not import {other}"
        assert other == mine or not (other in AXES and mine in AXES), (
            f"{mine} and {other} must not know each other"
        )
        private = [each for each in [*module.split("."), name] if re.match(r"_[a-z]", each)]
        assert other == mine or not private, f"{module}.{name} is private to {other}"


def test_no_modules_import_each_other():
    graph = {module: {name for name, _ in imports_of(path)} for module, path in MODULES.items()}
    done: set[str] = set()

    def walk(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " imports ".join([*way[way.index(module) :], module])
        if module in done:
            return
        for other in sorted(graph.get(module, ())):
            walk(other, (*way, module))
        done.add(module)

    for module in sorted(graph):
        walk(module, ())


def test_no_loose_modules():
    assert {path.name for path in PACKAGE.glob("*.py")} == {
        "__init__.py", "__main__.py", "testing.py",
    }  # fmt: skip


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
    "sqlglot",
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
        ["schema", "metrics"],
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


@pytest.mark.slow
def test_every_module_is_imported_where_unix_modules_are_not_there():
    code = (
        "import importlib, sys\n"
        "for name in ('resource', 'fcntl', 'pwd', 'grp', 'termios'): sys.modules[name] = None\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
    )
    names = [name for name in MODULES if name != "medkit.__main__"]
    done = subprocess.run(
        [sys.executable, "-c", code, *names], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


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

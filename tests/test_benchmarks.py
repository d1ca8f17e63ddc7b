"""The benchmarks use names and parameters that exist: what they pass to medkit is checked."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from pathlib import Path

import pytest

from medkit.config.experiment import load_config

FOLDER = Path(__file__).parents[1] / "benchmarks"


def loaded(name):
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_imported_names_exist(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("medkit."):
            module = importlib.import_module(node.module)
            missing = [each.name for each in node.names if not hasattr(module, each.name)]
            assert not missing, f"{node.module} has no {missing}"


def test_every_family_of_physionet2012_is_a_config(tmp_path):
    benchmark = loaded("physionet2012")
    for overrides in benchmark.FAMILIES.values():
        given = [each.replace("SUMMARIES", str(tmp_path / "s.parquet")) for each in overrides]
        load_config(benchmark.CONFIG, [each.replace("COLUMNS", "[HR mean]") for each in given])


def test_intervals_are_resampled(monkeypatch, capsys):
    arguments = ["--rows", "60", "--subjects", "40", "--resamples", "20", "--rounds", "1"]
    monkeypatch.setattr("sys.argv", ["bootstrap.py", *arguments])
    loaded("bootstrap").main()
    assert "| two models compared |" in capsys.readouterr().out


def test_a_table_is_encoded(tmp_path):
    benchmark = loaded("table")
    benchmark.write(tmp_path / "table.parquet", 20_000)
    assert benchmark.encode(tmp_path / "table.parquet", None)["rows"] == 20_000


def test_coverage_is_measured(monkeypatch, capsys):
    arguments = ["--repetitions", "1", "--bootstrap", "20", "--only", "150", "--large", "2000"]
    monkeypatch.setattr("sys.argv", ["coverage.py", *arguments])
    loaded("coverage").main()
    table = capsys.readouterr().out
    assert "| calibration ece |" in table
    assert "| difference auroc, DeLong |" in table

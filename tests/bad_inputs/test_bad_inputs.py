"""Every bad input of the tables beside this file is refused in words, and nothing is left behind.

Each is run in this process, by the command that a user would give.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import shlex
import shutil
from pathlib import Path

import pytest

from medkit.cli import main
from medkit.core.errors import DataError
from medkit.core.limits import LIMITS, limit

HERE = Path(__file__).parent
CASES = [
    case
    for module in sorted(each.name for each in pkgutil.iter_modules([str(HERE)]))
    if module.startswith("cases_")
    for case in importlib.import_module(f"bad_inputs.{module}").CASES
]


def test_no_name_stands_twice():
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))


def test_the_limits_are_those_of_the_docs():
    text = (HERE.parents[1] / "docs" / "trust.md").read_text(encoding="utf-8")
    found = dict(re.findall(r"^\| `MEDKIT_MAX_(\w+)` \| ([\d]+|the machine's) \|", text, re.M))
    assert found == {
        name: f"{default:.0f}" if default else "the machine's"
        for name, (default, _) in LIMITS.items()
    }
    for _, what in LIMITS.values():
        assert what.split(";")[0] in text


@pytest.mark.parametrize("value", ["0", "-1", "much"])
def test_a_limit_is_a_positive_number(value, monkeypatch):
    monkeypatch.setenv("MEDKIT_MAX_STEPS", value)
    with pytest.raises(DataError, match=r"and not a positive number\s+Unset it, .* as 20000\."):
        limit("STEPS")


def test_a_limit_of_memory_is_in_gb(monkeypatch):
    monkeypatch.setenv("MEDKIT_MAX_MEMORY_GB", "all")
    with pytest.raises(DataError, match=r"Unset it, for the machine's, or .*GB such as 8\."):
        limit("MEMORY_GB")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_refused_in_words(case, request, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, value in case.environment.items():
        monkeypatch.setenv(name, filled(value, tmp_path))
    finished = Path()
    if "{run}" in case.command:
        finished = request.getfixturevalue("breast_cancer_run").path
        shutil.copytree(finished, tmp_path / "run")
    if case.config is not None:
        (tmp_path / "case.yaml").write_text(filled(case.config, tmp_path), encoding="utf-8")
    for name, content in case.files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(file)
        elif isinstance(content, bytes):
            file.write_bytes(content)
        else:
            file.write_text(content, encoding="utf-8")
    before = contents(tmp_path)
    status = main(shlex.split(filled(case.command, tmp_path, finished)))
    said = capsys.readouterr().err
    words = (case.words,) if isinstance(case.words, str) else case.words
    assert all(word in said for word in words), said
    assert status == case.status, said
    assert "unexpected" not in said
    assert "Traceback" not in said
    assert contents(tmp_path) == before


def filled(text: str, folder: Path, finished: Path = Path()) -> str:
    named = {
        "{folder}": folder, "{run}": folder / "run", "{name}": folder.name, "{first}": finished
    }  # fmt: skip
    for sign, value in named.items():
        text = text.replace(sign, str(value))
    return text


def contents(folder: Path) -> dict[str, bytes | None]:
    """Name -> content of each regular file below a folder; None for what is none."""
    return {
        str(file.relative_to(folder)): file.read_bytes() if file.is_file() else None
        for file in folder.rglob("*")
        if not file.is_dir() and not file.is_symlink()
    }

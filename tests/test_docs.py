"""The documentation is under test: commands run, names are listed, notebooks execute."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from medkit.core import registry

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    """Every ``medkit …`` line of the README's console blocks, with its continuation lines."""
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    shown = (line.removeprefix("$ ").strip() for line in lines if line.startswith("$ "))
    return [line for line in shown if line.startswith(("medkit ", "python -m medkit "))]


def test_readme_commands_run_in_order(tmp_path):
    assert len(commands()) >= 10
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    trained = ["RUN", "RUN"]
    for command in commands():
        # RUN is the latest run, OTHER the one before it.
        words = shlex.split(command.replace("RUN", trained[-1]).replace("OTHER", trained[-2]))
        words = words[1:] if words[0] == "medkit" else words[3:]
        if words[0] in ("train", "crossval") and "--resume" not in words:
            # Shown with its own settings, run with fewer epochs.
            words += ["--set", "training.epochs=2", "--set", "evaluation.bootstrap=20"]
        done = subprocess.run(
            [sys.executable, "-m", "medkit", *words],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        if words[0] == "train":
            trained.append(done.stdout.strip())


def test_readme_python_runs(breast_cancer_run, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    monkeypatch.chdir(ROOT)
    for block in blocks:
        code = block.replace('"runs/breast-cancer-mlp/…"', repr(str(breast_cancer_run.path)))
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{block}\n{done.stderr[-2000:]}"


@pytest.mark.parametrize("kind", ["models", "datasets", "tasks", "modalities"])
def test_every_registered_name_is_documented(kind):
    for name in getattr(registry, kind).names():
        assert f"`{name}`" in README, f"{name} has no row in the README"


def test_file_map_is_true():
    block = re.search(r"```text\n(medkit/.*?)```", README, re.DOTALL).group(1)
    named = set(re.findall(r"(\w+(?:\.py|/))", block))
    there = {p.name + ("/" if p.is_dir() else "") for p in (ROOT / "medkit").iterdir()}
    there -= {"__pycache__/", "py.typed"}
    assert there <= named, f"not in the file map: {sorted(there - named)}"


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_notebook_executes(path):
    nbclient = pytest.importorskip("nbclient")
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}
    )
    client.execute()
    sources = "\n".join(cell.source for cell in notebook.cells)
    assert "from medkit.models import" in sources
    assert "from medkit.training.trainer import Trainer" in sources

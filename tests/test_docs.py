"""The documentation is under test: commands run, names are listed, notebooks execute."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest

from medkit.cli import main
from medkit.config.experiment import check_config
from medkit.core import registry
from medkit.core.yaml_file import read_yaml

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md")))
}


def blocks(language: str) -> list[tuple[str, str]]:
    """(page, text) of every fenced block of a language."""
    fence = re.compile(rf"```{language}\n(.*?)```", re.DOTALL)
    return [(page, block) for page, text in PAGES.items() for block in fence.findall(text)]


def commands(page: str) -> list[str]:
    """Every ``medkit …`` line of a page's console blocks, with its continuation lines."""
    text = "\n".join(block for where, block in blocks("console") if where == page)
    lines = text.replace("\\\n", " ").splitlines()
    shown = (line.removeprefix("$ ").strip() for line in lines if line.startswith("$ "))
    return [line for line in shown if line.startswith("medkit ")]


@pytest.mark.slow
def test_readme_commands_run_in_order(tmp_path, monkeypatch, capsys):
    assert len(commands("README.md")) >= 20
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    trained = ["RUN", "RUN"]
    for command in commands("README.md"):
        # RUN is the latest run, OTHER the one before it.
        words = shlex.split(command.replace("RUN", trained[-1]).replace("OTHER", trained[-2]))[1:]
        if words[0] in ("train", "crossval"):
            # Shown with its own settings, run with fewer epochs.
            words += ["--set", "training.epochs=2", "--set", "evaluation.bootstrap=20"]
        if words[0] == "crossval":
            # In this process; runs of `train` have baselines.
            words += ["--jobs", "0", "--set", "evaluation.baselines=false"]
        status = main(words)
        out, err = capsys.readouterr()
        assert status == 0, f"{command}\n{err}"
        if words[0] == "train":
            trained.append(out.strip())


# Those of CONTRIBUTING are files of the package, not scripts.
SCRIPTS = [block for page, block in blocks("python") if page != "CONTRIBUTING.md"]


@pytest.mark.parametrize("block", SCRIPTS)
def test_python_blocks_run(block, breast_cancer_run, tmp_path):
    script = tmp_path / "block.py"
    code = block.replace('"runs/breast-cancer-mlp/…"', repr(str(breast_cancer_run.path)))
    script.write_text(code, encoding="utf-8")
    runpy.run_path(str(script))


@pytest.mark.parametrize(("page", "block"), blocks("yaml"))
def test_yaml_blocks_validate(page, block, tmp_path):
    (tmp_path / "part.yaml").write_text(block, encoding="utf-8")
    shown = read_yaml(tmp_path / "part.yaml")[0]
    # What a page shows only a part of is completed by the least that a config needs.
    least = {"dataset": "breast_cancer", "task": "binary", "model": "mlp"}
    check_config({**least, **shown}, folder=tmp_path)


@pytest.mark.parametrize("kind", ["models", "datasets", "tasks", "modalities"])
def test_every_registered_name_is_documented(kind):
    rows = [line for text in PAGES.values() for line in text.splitlines() if line[:1] == "|"]
    for name in getattr(registry, kind).names():
        assert any(f"`{name}`" in row for row in rows), f"{name} has no row in a table of the docs"


def test_readme_is_short():
    assert len(README.splitlines()) <= 200


def test_file_map_is_true():
    block = re.search(r"```text\n(medkit/.*?)```", README, re.DOTALL).group(1)
    named = re.findall(r"^  (\w+(?:\.py|/))", block, re.MULTILINE)
    there = {p.name + ("/" if p.is_dir() else "") for p in (ROOT / "medkit").iterdir()}
    assert set(named) == there - {"__pycache__/", "py.typed"}


@pytest.mark.slow
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

"""A run directory is complete, checkable, free of pickle and of patient identifiers."""

from __future__ import annotations

import datetime
import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohorts import only_input

import medkit
from medkit.core.errors import DataError, RunError
from medkit.datasets.builtin import breast_cancer
from medkit.runs import recording
from medkit.runs import run as runs
from medkit.runs.run import Run


@pytest.fixture
def copy(breast_cancer_run, tmp_path) -> Path:
    return Path(shutil.copytree(breast_cancer_run.path, tmp_path / "run"))


def test_directory_holds_what_the_design_says(breast_cancer_run):
    names = {p.name for p in breast_cancer_run.path.iterdir()}
    assert names == {*runs.FILES, "MANIFEST.json"}
    test = breast_cancer_run.metrics["test"]
    assert test["n"] == 85
    assert test["subjects"] == 85
    assert 0 < test["positives"] < 85
    for name in (
        "auroc",
        "auprc",
        "accuracy",
        "precision",
        "recall",
        "specificity",
        "f1",
        "brier",
        "log_loss",
    ):
        value = test["metrics"][name]
        assert value["low"] <= value["value"] <= value["high"], name
    assert set(breast_cancer_run.metrics["baselines"]) == {
        "majority",
        "logistic_regression",
        "gradient_boosting",
    }
    assert list(breast_cancer_run.history)[:2] == ["epoch", "loss"]
    environment = breast_cancer_run.environment
    assert {"versions", "backend", "device", "seed", "git_commit", "data_sha256", "stages"} <= set(
        environment
    )
    predictions = pd.read_parquet(breast_cancer_run.path / "predictions.parquet")
    assert list(predictions)[:4] == ["sample", "subject", "part", "target"]
    assert len(predictions) == 569


def test_reported_numbers_are_scikit_learns(breast_cancer_run):
    from sklearn import metrics

    rows = pd.read_parquet(breast_cancer_run.path / "predictions.parquet").query("part == 'test'")
    reported = breast_cancer_run.metrics["test"]
    y = (
        (rows["target"].astype(str) == "malignant").to_numpy()
        if rows["target"].dtype == object or str(rows["target"].dtype).startswith("str")
        else rows["target"].to_numpy()
    )
    p = rows["probability"].to_numpy()
    predicted = p >= reported["threshold"]
    expected = {
        "auroc": metrics.roc_auc_score(y, p),
        "auprc": metrics.average_precision_score(y, p),
        "brier": metrics.brier_score_loss(y, p),
        "accuracy": metrics.accuracy_score(y, predicted),
        "f1": metrics.f1_score(y, predicted),
    }
    for name, value in expected.items():
        assert reported["metrics"][name]["value"] == value, name


def test_nothing_is_pickled(breast_cancer_run):
    with zipfile.ZipFile(breast_cancer_run.path / "model.keras") as archive:
        assert {Path(n).suffix for n in archive.namelist()} <= {".json", ".h5"}
    for name in runs.FILES:
        head = (breast_cancer_run.path / name).read_bytes()[:2]
        assert head[:1] != b"\x80", f"{name} looks like a pickle"


def test_predicts_from_its_directory_alone(breast_cancer_run, tmp_path):
    elsewhere = shutil.copytree(breast_cancer_run.path, tmp_path / "moved")
    table = only_input(breast_cancer()).values
    predicted = Run.open(elsewhere).predict(table)
    assert list(predicted.index) == list(table.index)
    saved = pd.read_parquet(elsewhere / "predictions.parquet")
    np.testing.assert_allclose(
        np.sort(predicted["probability"]), np.sort(saved["probability"]), atol=1e-5
    )


def test_extra_columns_are_ignored_and_said_missing_ones_named(breast_cancer_run, caplog):
    table = only_input(breast_cancer()).values.head(5)
    expected = breast_cancer_run.predict(table)
    with caplog.at_level("INFO", "medkit"):
        got = breast_cancer_run.predict(
            table.assign(shoe_size=42)[["shoe_size", *table.columns[::-1]]]
        )
    assert "shoe_size" in caplog.text
    pd.testing.assert_frame_equal(got, expected)
    name = table.columns[3]
    with pytest.raises(DataError, match=name):
        breast_cancer_run.predict(table.drop(columns=name))


def test_changed_missing_added_and_unfinished_are_refused(copy):
    assert set(runs.verify(copy)) == set(runs.FILES)
    metrics = copy / "metrics.json"
    whole = metrics.read_text()
    metrics.write_text(whole.replace("0.9", "0.99", 1))
    with pytest.raises(RunError, match=r"metrics\.json was changed after the run finished"):
        Run.open(copy)
    metrics.unlink()
    with pytest.raises(RunError, match=r"metrics\.json is missing"):
        Run.open(copy)
    metrics.write_text(whole)
    (copy / "extra.txt").write_text("x")
    with pytest.raises(RunError, match=r"extra\.txt was added"):
        Run.open(copy)
    (copy / "extra.txt").unlink()
    for damaged in ("{", '{"files": [1]}', '{"files": {"a": 1}}'):
        (copy / "MANIFEST.json").write_text(damaged)
        with pytest.raises(RunError, match=r"MANIFEST\.json is damaged"):
            Run.open(copy)
    (copy / "MANIFEST.json").unlink()
    with pytest.raises(RunError, match=r"did not finish: it has no MANIFEST\.json"):
        Run.open(copy)
    with pytest.raises(RunError, match="is not a run"):
        Run.open(copy.parent)
    with pytest.raises(RunError, match="no such run"):
        Run.open(copy / "nowhere")


def test_a_run_naming_foreign_code_is_refused(copy):
    inputs = json.loads((copy / "inputs.json").read_text())
    inputs["inputs"]["tabular"]["modality"] = "os:getcwd"
    (copy / "inputs.json").write_text(json.dumps(inputs))
    (copy / "MANIFEST.json").unlink()
    runs.seal(copy)
    with pytest.raises(medkit.MedkitError, match="--allow-code os"):
        Run.open(copy)


def test_sealing_needs_every_file(tmp_path):
    with pytest.raises(RunError, match=r"cannot be sealed without config\.yaml"):
        runs.seal(tmp_path)
    assert not (tmp_path / "MANIFEST.json").exists()


def test_the_commit_is_read_without_a_program_of_the_repository(tmp_path, monkeypatch):
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is not installed")

    def run(*arguments, cwd=tmp_path / "repo"):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run([git, *who, *arguments], cwd=cwd, capture_output=True, check=True)
        return done.stdout.decode().strip()

    (tmp_path / "repo" / "below").mkdir(parents=True)
    run("init", "--quiet")
    (tmp_path / "repo" / "a.txt").write_text("one")
    run("add", ".")
    run("commit", "--quiet", "-m", "first")
    commit = run("rev-parse", "HEAD")
    planted = tmp_path / "planted.sh"
    planted.write_text(f"#!/bin/sh\ntouch {tmp_path}/it-ran\ncat\n")
    planted.chmod(0o755)
    for setting in ("core.fsmonitor", "filter.x.clean", "filter.x.smudge", "core.pager"):
        run("config", setting, str(planted))
    (tmp_path / "repo" / ".gitattributes").write_text("* filter=x\n")
    (tmp_path / "repo" / "a.txt").write_text("two")
    monkeypatch.chdir(tmp_path / "repo" / "below")
    assert recording.git_commit() == commit
    assert not (tmp_path / "it-ran").exists()
    for setting in ("core.fsmonitor", "filter.x.clean", "filter.x.smudge"):
        run("config", "--unset", setting)
    # By other ways of writing it: packed, at a commit of no branch, in another working tree.
    run("pack-refs", "--all")
    assert recording.git_commit() == commit
    run("worktree", "add", "--quiet", "-b", "other", "../other")
    monkeypatch.chdir(tmp_path / "other")
    assert recording.git_commit() == commit
    run("checkout", "--quiet", "--detach", cwd=tmp_path / "other")
    assert recording.git_commit() == commit
    monkeypatch.chdir(tmp_path)
    assert recording.git_commit() is None
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("ref: ../planted.sh\n")
    assert recording.git_commit() is None


@pytest.mark.parametrize("year", [1970, 1979, 2108])
def test_a_wrong_clock_is_said_before_anything_is_trained(year, tmp_path, monkeypatch):
    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.datetime(year, 1, 1, tzinfo=tz)

    monkeypatch.setattr(runs.datetime, "datetime", Clock)
    with pytest.raises(RunError, match=f"the clock of this machine says {year}-01-01"):
        runs.new_folder(tmp_path, "x")
    assert not list(tmp_path.iterdir())

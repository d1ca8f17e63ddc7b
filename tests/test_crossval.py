"""Cross-validation: folds by subject, finished folds kept after a kill, spread and tests right."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics as sk

from medkit.config.experiment import Evaluation, Split, check_config
from medkit.core import registry
from medkit.core.errors import ConfigError, DataError, RunError
from medkit.data.cohort import Cohort, RawInput
from medkit.data.splits import folds, split
from medkit.report.templates import readable
from medkit.runs import run as runs
from medkit.runs.run import Run
from medkit.runs.stored import stored_part
from medkit.workflows.crossval import cross_validate, processes
from medkit.workflows.crossval.plan import make_plan
from medkit.workflows.crossval.pooled import Pooled, pooled_differences, pooled_scores
from medkit.workflows.crossval.summary import spread
from medkit.workflows.prepare import read

CHEAP = {"bootstrap": 20, "baselines": False, "explanations": False}


def visits(folder: Path, rows: int = 120) -> Path:
    """Two visits a patient at three hospitals, with identifiers nobody may find in a result."""
    random = np.random.default_rng(5)
    pulse = random.normal(80, 12, rows)
    patient = np.arange(rows) // 2
    table = pd.DataFrame(
        {
            "record": [f"MRN{7000 + i}" for i in patient],
            "visit": [f"VISIT-{i}-SECRET" for i in range(rows)],
            "pulse": pulse.round(1),
            "lactate": random.gamma(2.0, 1.0, rows).round(2),
            "hospital": np.array(["north", "south", "east"])[patient % 3],
            "died": (random.random(rows) < 1 / (1 + np.exp(-(pulse - 82) / 6))).astype(int),
        }
    )
    path = folder / "visits.csv"
    table.to_csv(path, index=False)
    return path


def document(path: Path, **changes):
    return {
        "name": "visits", "seed": 3,
        "dataset": {
            "name": "table", "path": path.name, "target": "died",
            "columns": {"subject": "record", "id": "visit", "site": "hospital",
                        "inputs": ["pulse", "lactate"]},
        },
        "task": "binary", "model": {"name": "mlp", "hidden_units": [4]},
        "split": {"by": "subject", "valid": 0.25},
        "training": {"epochs": 2, "early_stopping": None}, "evaluation": CHEAP, **changes,
    }  # fmt: skip


def experiment(path: Path, **changes):
    return check_config(document(path, **changes), folder=path.parent)


def in_this_process(monkeypatch, stop_after: int | None = None) -> list[str]:
    """Train the folds without processes of their own; returns the names of those trained."""
    from medkit.config.experiment import load_config
    from medkit.workflows.train import train

    trained: list[str] = []

    def run_folds(plan, folder, jobs, allow_code=()):
        for fold in plan.runs:
            if processes.finished_run(folder, fold) is None:
                if stop_after is not None and len(trained) == stop_after:
                    raise KeyboardInterrupt
                train(load_config(folder / "config.yaml", fold.overrides), out=folder / "folds")
                trained.append(fold.name)

    monkeypatch.setattr(processes, "run_folds", run_folds)
    return trained


@pytest.fixture(scope="module")
def finished(once):
    """A finished cross-validation, two folds twice, with baselines."""

    def make(folder):
        config = experiment(visits(folder), evaluation={**CHEAP, "baselines": True})
        cross_validate(config, folds=2, repeats=2, jobs=0, out=folder / "out")

    return once("crossval", make) / "out"


# Folds


def cohort(subjects: int = 53, rows: int = 3) -> Cohort:
    random = np.random.default_rng(1)
    names = np.repeat([f"p{i}" for i in range(subjects)], rows)
    targets = np.repeat(random.random(subjects) < 0.25, rows).astype(int)
    samples = pd.DataFrame({"subject": names}, index=[f"s{i}" for i in range(len(names))])
    values = pd.DataFrame({"x": random.normal(size=len(names))})
    return Cohort(samples, {"x": RawInput("tabular", values)}, targets)


def test_folds_are_grouped_stratified_and_of_one_size():
    given = cohort()
    fold = folds(given, Split(by="fold", folds=5), seed=2)
    assert set(fold) == {1, 2, 3, 4, 5}
    by_subject = pd.DataFrame({"fold": fold, "subject": given.subjects, "y": given.targets})
    assert (by_subject.groupby("subject")["fold"].nunique() == 1).all()
    each = by_subject.drop_duplicates("subject").groupby("fold")["y"].agg(["size", "sum"])
    assert np.ptp(each["size"]) <= 1
    assert np.ptp(each["sum"]) <= 1


def test_folds_do_not_depend_on_the_order_of_rows_but_on_the_seed():
    given = cohort()
    settings = Split(by="fold", folds=4)
    order = np.random.default_rng(0).permutation(len(given))
    shuffled = folds(given.take(order), settings, seed=2)
    np.testing.assert_array_equal(folds(given, settings, seed=2)[order], shuffled)
    assert (folds(given, settings, seed=3) != folds(given, settings, seed=2)).any()


def test_every_sample_is_tested_once_and_validation_is_apart():
    given = cohort()
    tested = np.zeros(len(given))
    for number in range(1, 6):
        result = split(given, Split(by="fold", folds=5, fold=number, valid=0.2), seed=2)
        tested[result.rows("test")] += 1
        held = [set(given.subjects[result.rows(part)]) for part in ("train", "valid", "test")]
        assert sum(map(len, held)) == len(set.union(*held))
        fold = folds(given, Split(by="fold", folds=5), seed=2)
        np.testing.assert_array_equal(result.rows("test"), np.flatnonzero(fold == number))
    assert (tested == 1).all()


def test_folds_of_some_sites_only(tmp_path):
    given = read(experiment(visits(tmp_path)).dataset)
    result = split(given, Split(by="fold", folds=2, sites=("east",)), seed=0)
    assert set(given.samples["site"][result.parts != "dropped"]) == {"east"}
    assert result.dropped == {"other site": 80}
    with pytest.raises(DataError, match="no site called 'eats'; did you mean 'east'"):
        split(given, Split(by="fold", folds=2, sites=("eats",)), seed=0)


def test_too_many_folds():
    with pytest.raises(DataError, match="3 subjects cannot be divided into 5 folds"):
        folds(cohort(subjects=3), Split(by="fold", folds=5), seed=0)
    with pytest.raises(
        ConfigError, match=r"split\.fold: must be 3 \(split\.folds\) or less; got 4"
    ):
        experiment(Path("a.csv"), split={"by": "fold", "folds": 3, "fold": 4})


# The plan


def test_a_config_split_by_site_leaves_one_site_out(tmp_path):
    path = visits(tmp_path)
    config = experiment(path, split={"by": "site", "train_sites": ["north"]})
    plan = make_plan(config, read(config.dataset), repeats=2)
    assert (plan.scheme, plan.folds, len(plan.runs)) == ("leave one site out", 3, 6)
    assert [fold.site for fold in plan.runs[:3]] == ["east", "north", "south"]
    assert plan.runs[0].split["train_sites"] == ["north", "south"]
    assert plan.runs[0].split["test_sites"] == ["east"]
    asked = make_plan(config, read(config.dataset), folds=4)
    assert asked.scheme == "grouped k-fold"
    assert "no site was held out" in " ".join(asked.notes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"by": "time"}, "mix early and late samples"),
        ({"by": "column", "column": "part"}, "column of parts is not used"),
    ],
)
def test_what_folds_do_not_keep_is_said(tmp_path, changes, said):
    config = experiment(visits(tmp_path), split=changes)
    plan = make_plan(config, read(config.dataset), folds=4)
    assert said in " ".join(plan.notes)


def test_impossible_plans(tmp_path):
    config = experiment(visits(tmp_path))
    given = read(config.dataset)
    with pytest.raises(ConfigError, match=r"--folds: must be 2 or more, or 'sites'.*got 1"):
        make_plan(config, given, folds=1)
    with pytest.raises(ConfigError, match="got sights"):
        make_plan(config, given, folds="sights")
    with pytest.raises(ConfigError, match="--repeats: must be 1 or more; got 0"):
        make_plan(config, given, folds=3, repeats=0)
    with pytest.raises(DataError, match="60 subjects cannot be divided into 61 folds"):
        make_plan(config, given, folds=61)
    one = given.take(given.samples["site"].to_numpy() == "east")
    with pytest.raises(DataError, match="two sites or more; there is 1"):
        make_plan(config, one, folds="sites")


# The result


def read_result(folder: Path) -> dict:
    return json.loads((folder / "crossval.json").read_text())


def test_spread_against_the_standard_library(finished):
    content = read_result(finished)
    values = [fold["metrics"]["auroc"]["value"] for fold in content["folds"]]
    assert len(values) == 4
    found = content["summary"]["auroc"]
    assert found["mean"] == pytest.approx(statistics.mean(values))
    assert found["sd"] == pytest.approx(statistics.stdev(values))
    assert (found["min"], found["max"], found["folds"]) == (min(values), max(values), 4)


def test_spread_of_undefined_and_single_values():
    found = spread([{"auroc": 0.8}, {"auroc": None}, {"auroc": 0.6}])["auroc"]
    assert (found["mean"], found["folds"]) == (pytest.approx(0.7), 2)
    assert found["note"] == "undefined in 1 of 3 folds"
    assert spread([{"auroc": 0.8}])["auroc"]["sd"] is None
    nowhere = spread([{"auroc": None}, {"auroc": None}])["auroc"]
    assert (nowhere["mean"], nowhere["folds"]) == (None, 0)


def test_the_corrected_test_against_scipy(finished):
    content = read_result(finished)
    pairs = [
        (fold["metrics"]["brier"]["value"], fold["baselines"]["logistic_regression"]["brier"])
        for fold in content["folds"]
    ]
    ours = content["baselines"]["logistic_regression"]["differences"]["brier"]
    plain = stats.ttest_rel(*zip(*pairs, strict=True))
    # Nadeau and Bengio: 1/k becomes 1/k + n_test/n_train, the rows that weights come from; the
    # validation rows are not among them, which is the stricter of the two readings.
    train, test = (np.mean([fold[name] for fold in content["folds"]]) for name in ("train", "n"))
    assert train < test
    t = plain.statistic * np.sqrt((1 / 4) / (1 / 4 + test / train))
    assert ours["test"]["t"] == pytest.approx(t)
    assert ours["test"]["p"] == pytest.approx(2 * stats.t.sf(abs(t), 3))
    assert ours["mean"] == pytest.approx(np.mean([a - b for a, b in pairs]))


def predicted(finished: Path, repeat: int):
    """Targets, probabilities and fold's decisions of one repeat, from the folds' own files."""
    frames = []
    for path in sorted((finished / "folds").glob(f"*-repeat-{repeat}-*/*/")):
        frame = pd.read_parquet(path / "predictions.parquet")
        frames.append(frame[frame["part"] == "test"])
    return pd.concat(frames)


def test_pooled_predictions_against_sklearn(finished):
    pooled = read_result(finished)["pooled"]
    rows = [predicted(finished, repeat) for repeat in (1, 2)]
    assert pooled["n"] == len(rows[0]) == 120
    assert pooled["subjects"] == 60
    auroc = np.mean([sk.roc_auc_score(each["target"], each["probability"]) for each in rows])
    assert pooled["metrics"]["auroc"]["value"] == pytest.approx(auroc)
    # Each sample at its own fold's threshold, as the fold's run has decided it.
    for name, score in (("recall", sk.recall_score), ("accuracy", sk.accuracy_score),
                        ("f1", sk.f1_score)):  # fmt: skip
        expected = np.mean([score(each["target"], each["predicted"]) for each in rows])
        assert pooled["metrics"][name]["value"] == pytest.approx(expected)
    assert pooled["metrics"]["auroc"]["low"] < auroc < pooled["metrics"]["auroc"]["high"]


def test_pooled_differences_against_sklearn(finished):
    found = read_result(finished)["baselines"]["logistic_regression"]["pooled"]["differences"]
    value = np.mean([
        sk.roc_auc_score(each["target"], each["probability"])
        - sk.roc_auc_score(each["target"], each["logistic_regression.probability"])
        for each in (predicted(finished, repeat) for repeat in (1, 2))
    ])  # fmt: skip
    assert found["auroc"]["value"] == pytest.approx(value)
    assert found["auroc"]["low"] < value < found["auroc"]["high"]
    assert 0 < found["auroc"]["p"] <= 1


def two_models(repeats: int):
    """Outputs of a better and a worse model: two rows a subject, every repeat alike."""
    random = np.random.default_rng(4)
    y = np.repeat(random.random(80) < 0.4, 2).astype("float32")[:, None]
    shared = np.repeat(random.normal(size=80), 2)[:, None]
    outputs = {
        name: [1 / (1 + np.exp(-(y * strength + shared + random.normal(0, 0.4, y.shape))))]
        for name, strength in (("network", 1.5), ("logistic", 1.2))
    }
    outputs = {name: each * repeats for name, each in outputs.items()}
    at = {name: [np.full_like(y, 0.5)] * repeats for name in outputs}
    task = registry.tasks.build("binary").fit(y[:, 0])
    return Pooled(task, y, np.repeat(np.arange(80), 2).astype(str), outputs, at)


def differences(pooled: Pooled, of=("network", "logistic")) -> dict:
    settings = Evaluation(bootstrap=250)
    return pooled_differences(*(pooled_scores(pooled, n, settings, 1) for n in of), settings)


def test_pooled_differences_against_a_bootstrap_of_subjects():
    """Both models in the same resamples: narrower than the one and the other apart."""
    pooled = two_models(1)
    y, network, other = pooled.y[:, 0], pooled.outputs["network"][0], pooled.outputs["logistic"][0]
    random = np.random.default_rng(0)
    drawn, alone = [], []
    for _ in range(250):
        subjects = random.integers(0, 80, 80)
        rows = np.concatenate([2 * subjects, 2 * subjects + 1])
        each = [sk.roc_auc_score(y[rows], p[rows]) for p in (network, other)]
        drawn.append(each[0] - each[1])
        alone.append(each[0])
    found = differences(pooled)["auroc"]
    assert found["value"] == pytest.approx(
        sk.roc_auc_score(y, network) - sk.roc_auc_score(y, other)
    )
    width = found["high"] - found["low"]
    assert width == pytest.approx(np.ptp(np.quantile(drawn, [0.025, 0.975])), rel=0.25)
    assert width < 0.8 * np.ptp(np.quantile(alone, [0.025, 0.975]))


def test_repeats_make_no_interval_narrower_than_the_subjects_allow():
    """Three repeats that predict alike say no more than one; equal models do not differ."""
    once, often = differences(two_models(1)), differences(two_models(3))
    for key in ("value", "low", "high", "p"):
        assert often["auroc"][key] == pytest.approx(once["auroc"][key])
    same = differences(two_models(1), of=("network", "network"))["auroc"]
    assert (same["value"], same["low"], same["high"], same["p"]) == (0, 0, 0, 1)


def test_nested_parts_are_disjoint_in_every_run(finished):
    for path in (finished / "folds").glob("*/*/"):
        parts = pd.read_csv(path / "split.csv")
        assert (parts.groupby("subject")["part"].nunique() == 1).all()
        assert set(parts["part"]) == {"train", "valid", "test"}


def test_a_fold_is_a_run_of_its_own(finished):
    from medkit.workflows.external import evaluate_run_on

    path = next((finished / "folds").glob("*-fold-2/*/"))
    run = Run.open(path)
    assert run.config["split"]["by"] == "fold"
    again = evaluate_run_on(run)
    saved = run.metrics["test"]["metrics"]["auroc"]["value"]
    assert again["metrics"]["auroc"]["value"] == pytest.approx(saved, abs=1e-6)


def test_sealed_and_listed_as_what_it_is(finished):
    assert "crossval.json" in runs.verify(finished)
    assert finished not in runs.finished(finished.parent)
    assert len(runs.finished(finished)) == 4
    with pytest.raises(RunError, match="is a cross-validation, not one run"):
        Run.open(finished)
    with pytest.raises(RunError, match="is finished; there is nothing to resume"):
        cross_validate(resume=finished)


def test_no_identifier_in_any_file(finished):
    for path in finished.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"MRN7" not in content, path.name
            assert b"SECRET" not in content, path.name
            assert str(finished.parent).encode() not in content, path.name


def test_the_page_tells_what_the_result_holds(finished):
    page = (finished / "crossval.html").read_text()
    content = read_result(finished)
    assert f"{content['summary']['auroc']['mean']:.3f}" in page
    assert "the subjects are divided into 2 folds" in page
    assert "All predictions together" in page
    together = content["baselines"]["gradient_boosting"]["pooled"]["differences"]["auroc"]
    assert f"({readable(together['low'])} to {readable(together['high'])})" in page
    assert page.count("<svg") == len(content["summary"]) + 1  # and the calibration
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "https://" not in page


def test_the_same_again_after_an_interruption(finished, monkeypatch):
    """Finished folds stay, and the result is that of a cross-validation without a break."""
    out = finished.parent / "halved"
    shutil.copytree(finished, out)
    for name in ("MANIFEST.json", "crossval.json", "crossval.html", "environment.json", "log.txt"):
        (out / name).unlink()
    shutil.rmtree(out / "folds" / "visits-repeat-1-fold-2")
    with pytest.raises(RunError, match=r"did not finish[\s\S]*medkit crossval --resume"):
        runs.verify(out)
    trained = in_this_process(monkeypatch)
    config = experiment(finished.parent / "visits.csv", evaluation={**CHEAP, "baselines": True})
    cross_validate(config, folds=2, repeats=2, out=out)  # the same command again
    assert trained == ["visits-repeat-1-fold-2"]
    assert (out / "crossval.json").read_bytes() == (finished / "crossval.json").read_bytes()


def test_what_has_changed_is_refused(tmp_path, monkeypatch):
    path, out = visits(tmp_path), tmp_path / "out"
    in_this_process(monkeypatch, stop_after=0)
    with pytest.raises(KeyboardInterrupt):
        cross_validate(experiment(path), folds=2, out=out)
    with pytest.raises(ConfigError, match=r"model: differs"):
        cross_validate(experiment(path, model="mlp"), resume=out)
    with pytest.raises(RunError, match="was begun with other folds: grouped k-fold, 2 folds"):
        cross_validate(experiment(path), folds=3, resume=out)
    with pytest.raises(RunError, match="has no plan"):
        cross_validate(experiment(path), resume=tmp_path)
    with pytest.raises(RunError, match="not empty and holds no cross-validation"):
        cross_validate(experiment(path), out=tmp_path)
    pd.read_csv(path).iloc[:-2].to_csv(path, index=False)
    with pytest.raises(RunError, match="data have changed since"):
        cross_validate(resume=out)


def test_a_changed_finished_fold_is_refused(finished, tmp_path):
    plan = json.loads((finished / "plan.json").read_text())["plan"]
    fold = SimpleNamespace(name=plan["runs"][0]["name"])
    assert processes.finished_run(finished, fold) is not None
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    next((copy / "folds" / fold.name).glob("*/metrics.json")).write_text("{}")
    with pytest.raises(RunError, match=r"metrics\.json was changed"):
        processes.finished_run(copy, fold)


def test_two_at_once_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "LOCK_SECONDS", 0.0)
    file = tmp_path / ".lock"
    with (
        runs.locked(file, "cross-validation"),
        pytest.raises(RunError, match="another process is at work on this cross-validation"),
        runs.locked(file, "cross-validation"),
    ):
        pass
    with runs.locked(file, "cross-validation"):
        assert file.exists()
    assert not file.exists()


def test_what_a_killed_process_left_is_not_sealed(finished, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    (copy / runs.MANIFEST).unlink()
    for name in (".crossval.123456.json", ".MANIFEST.123456.json"):
        (copy / name).write_text("half")
    runs.seal(copy)
    assert runs.verify(copy) == runs.verify(finished)
    # Once more is the same: whoever was killed meanwhile can begin anew.
    runs.seal(copy)
    assert runs.verify(copy) == runs.verify(finished)


def test_stored_baselines_are_read_where_a_run_keeps_them(finished, tmp_path):
    path = next((finished / "folds").glob("*-fold-1/*/"))
    copy = tmp_path / "run"
    shutil.copytree(path, copy)
    run = Run(copy)
    frame = pd.read_parquet(copy / "predictions.parquet")
    names = [name for name in frame if "." in name]
    own = {name.partition(".")[0] for name in names}
    assert own == set(run.metrics["baselines"]) == set(stored_part(run).baselines)
    frame = frame.drop(columns=names)
    frame["logistic_regression.probability"] = 0.25
    frame.to_parquet(copy / "predictions.parquet", index=False)
    kept = stored_part(run)
    assert set(kept.baselines) == {"logistic_regression"}
    assert (kept.baselines["logistic_regression"] == 0.25).all()
    assert kept.outputs.shape == kept.y.shape == (len(kept.samples), 1)
    with pytest.raises(RunError, match="has no part 'elsewhere'"):
        stored_part(run, "elsewhere")


def test_folds_in_this_process_keep_their_words_to_themselves(finished):
    said = (finished / "log.txt").read_text()
    assert "fold 4 of 4 finished (visits-repeat-2-fold-2)" in said
    assert "trained 2 epochs" not in said
    own = next((finished / "folds").glob("*-fold-2/*/log.txt")).read_text()
    assert "trained 2 epochs" in own


def test_a_fold_that_fails_in_this_process(tmp_path, monkeypatch):
    path, handlers = visits(tmp_path), list(logging.getLogger("medkit").handlers)
    with pytest.raises(ConfigError, match="--jobs: must be 0 or more; got -1"):
        cross_validate(experiment(path), folds=2, jobs=-1, out=tmp_path / "out")

    def fails(*args, **settings):
        raise DataError("no training samples are left")

    monkeypatch.setattr("medkit.workflows.crossval.worker.train", fails)
    said = r"visits-repeat-1-fold-1 failed:\n    no training samples are left[\s\S]*--resume"
    with pytest.raises(processes.FoldError, match=said):
        cross_validate(experiment(path), folds=2, jobs=0, out=tmp_path / "out")
    assert logging.getLogger("medkit").handlers == handlers


@pytest.mark.slow
def test_killed_and_resumed(tmp_path):
    """SIGKILL after the first fold: its files stay, its orphan ends, the rest is trained."""
    path, out = visits(tmp_path), tmp_path / "out"
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps(document(path)))
    command = [sys.executable, "-m", "medkit", "crossval", "--config", str(config), "--folds", "2",
               "--out", str(out), "--jobs", "1"]  # fmt: skip
    first = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for line in first.stderr:
        if "fold 1 of 2 finished" in line:
            break
    time.sleep(0.5)  # the second fold has begun
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    assert not (out / "crossval.json").exists()
    before = {each: each.read_bytes() for each in (out / "folds").glob("*-fold-1/*/*")}
    assert any(each.name == "MANIFEST.json" for each in before)
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert again.stdout.strip() == str(out)
    assert "1 of 2 folds are finished already" in again.stderr
    assert "AUROC" in again.stderr
    assert {each: each.read_bytes() for each in before} == before
    assert len(list((out / "folds").glob("*/*/MANIFEST.json"))) == 2
    assert runs.verify(out)


@pytest.mark.slow
def test_a_killed_fold_keeps_the_others_and_can_be_gone_on_with(tmp_path, monkeypatch):
    """SIGKILL of one fold, as when memory runs out; then SIGINT, which keeps the last epoch."""
    path, out = visits(tmp_path), tmp_path / "out"
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps(document(path)))
    command = [sys.executable, "-m", "medkit", "crossval", "--config", str(config), "--folds", "2",
               "--out", str(out), "--jobs", "1"]  # fmt: skip
    first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    os.kill(_worker_of(first.pid), signal.SIGKILL)
    assert first.wait() == 1
    said = first.stderr.read()
    assert "fold-1 failed:" in said
    assert "was killed by signal 9; if memory has run out, give fewer --jobs" in said
    assert f"medkit crossval --resume {out}" in said
    second = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    child = _worker_of(second.pid)
    os.kill(second.pid, signal.SIGINT)
    assert second.wait() == 130
    assert not Path(f"/proc/{child}").exists()
    assert not (out / "folds" / "visits-repeat-1-fold-1.lock").exists()
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert runs.verify(out)


def _worker_of(parent: int) -> int:
    """The process of a fold at work, once it trains."""
    for _ in range(600):
        time.sleep(0.1)
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                command = (stat.parent / "cmdline").read_text()
                ours = re.search(rf"\) [A-Z] {parent} ", stat.read_text())  # asleep or not
                if "crossval.worker" in command and ours:
                    time.sleep(1)
                    return int(stat.parent.name)
    raise AssertionError("no fold has begun")

"""Finished runs beside each other: which rows are the same, what differs, and how surely."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import brier_score_loss, roc_auc_score

from medkit.cli import main
from medkit.core.errors import RunError
from medkit.runs import run as runs
from medkit.runs.recording import Hasher
from medkit.workflows.compare import compare_runs, comparison_table, write_page

SMOKE = Path(__file__).parents[1] / "configs" / "smoke"
QUICK = ("evaluation.baselines=false", "evaluation.bootstrap=60", "evaluation.explanations=false")


@pytest.fixture(scope="module")
def another_run(run_once):
    """The same data and split, another network; trained under another random salt."""
    changes = ("model.hidden_units=[3]", "training.epochs=2", *QUICK)
    return run_once("comparison", SMOKE / "breast_cancer_mlp.yaml", overrides=changes)


@pytest.fixture
def changed(breast_cancer_run, tmp_path):
    """Copy the run, change its files, and seal it again."""

    def make(name, table=None, config=None, files=None, source=breast_cancer_run):
        folder = Path(shutil.copytree(source.path, tmp_path / name))
        if table is not None:
            rows = table(pd.read_parquet(folder / "predictions.parquet"))
            rows.to_parquet(folder / "predictions.parquet", index=False)
        if config is not None:
            content = yaml.safe_load((folder / "config.yaml").read_text())
            config(content)
            (folder / "config.yaml").write_text(yaml.safe_dump(content))
        for file, change in (files or {}).items():
            content = json.loads((folder / file).read_text())
            change(content)
            (folder / file).write_text(json.dumps(content))
        (folder / "MANIFEST.json").unlink()
        runs.seal(folder)
        return folder

    return make


def rehashed(table):
    """As another training with another salt would have named the rows."""
    hashed = Hasher()
    return table.assign(
        sample=hashed(table["sample"], "sample"), subject=hashed(table["subject"], "subject")
    )


def noisier(table, spread=2.0, seed=0):
    odds = np.log(table["probability"] / (1 - table["probability"]))
    noise = np.random.default_rng(seed).normal(scale=spread, size=len(table))
    return table.assign(probability=1 / (1 + np.exp(-(odds.clip(-9, 9) + noise))))


def test_part(folder):
    return pd.read_parquet(folder / "predictions.parquet").query("part == 'test'")


test_part.__test__ = False


def test_two_trainings_are_compared_in_pairs(breast_cancer_run, another_run):
    assert not set(test_part(breast_cancer_run.path)["sample"]) & set(
        test_part(another_run.path)["sample"]
    )
    found = compare_runs([breast_cancer_run.path, another_run.path])
    result = found.result
    assert list(result) == [
        "task", "reference", "metric", "confidence", "runs", "comparisons", "correction",
    ]  # fmt: skip
    assert (result["task"], result["metric"], result["confidence"]) == ("binary", "auroc", 0.95)
    assert result["reference"] == breast_cancer_run.path.name
    assert result["correction"] is None
    described = result["runs"][1]
    assert described["metrics"] == another_run.metrics["test"]["metrics"]
    assert (described["n"], described["subjects"], described["model"]) == (85, 85, "mlp")
    stages = another_run.environment["stages"]
    total = sum(each["seconds"] for each in stages.values())
    assert described["seconds"]["total"] == pytest.approx(total, abs=1e-3)
    (pair,) = result["comparisons"]
    assert pair["paired"] is True
    assert pair["rows"].startswith("same files, settings and split")
    values = []
    for run in (another_run, breast_cancer_run):
        rows = test_part(run.path)
        y, p = (rows["target"] == run.task.classes_[1]).to_numpy(), rows["probability"].to_numpy()
        values.append({"auroc": roc_auc_score(y, p), "brier": brier_score_loss(y, p)})
    for name in ("auroc", "brier"):
        difference = pair["metrics"][name]
        assert difference["difference"] == pytest.approx(values[0][name] - values[1][name])
        assert difference["low"] <= difference["difference"] <= difference["high"]
        assert "p_holm" not in difference
    assert pair["delong"]["difference"] == pytest.approx(values[0]["auroc"] - values[1]["auroc"])
    assert set(pair["mcnemar"]) == {"only_a", "only_b", "method", "p"}
    json.dumps(result, allow_nan=False)
    assert compare_runs([breast_cancer_run.path, another_run.path]).result == result


def test_rows_are_matched_by_hash_whatever_their_order(changed):
    one = changed("one-aaaa")
    shuffled = changed("two-bbbb", lambda table: table.sample(frac=1, random_state=1))
    (pair,) = compare_runs([one, shuffled]).result["comparisons"]
    assert pair["rows"] == "equal hashes of the samples"
    assert all(each["difference"] == 0 for each in pair["metrics"].values())
    assert (pair["mcnemar"]["only_a"], pair["mcnemar"]["only_b"]) == (0, 0)
    # Without equal hashes the order alone must not be trusted.
    moved = changed("six-ffff", lambda table: rehashed(table).sample(frac=1, random_state=1))
    (pair,) = compare_runs([one, moved]).result["comparisons"]
    assert pair["paired"] is False
    assert "the targets of the test rows differ, or their order does" in pair["note"]


def test_the_better_run_is_the_better_one(changed, tmp_path):
    one = changed("one-aaaa", noisier)
    two = changed("two-bbbb")
    found = compare_runs([one, two])
    (pair,) = found.result["comparisons"]
    assert pair["metrics"]["auroc"]["difference"] > 0
    assert pair["metrics"]["log_loss"]["difference"] < 0
    assert pair["mcnemar"]["only_a"] > pair["mcnemar"]["only_b"]
    write_page(found, tmp_path / "page.html")
    text = re.sub(r"\s+", " ", (tmp_path / "page.html").read_text())
    assert "mlp bbbb is ahead of mlp aaaa by 0." in text
    (pair,) = compare_runs([two, one]).result["comparisons"]
    assert pair["metrics"]["auroc"]["difference"] < 0


def test_three_runs_are_corrected_for_their_number(changed):
    folders = [changed("one-aaaa")]
    for i, spread in enumerate((0.5, 1.0, 3.0)):
        folders.append(
            changed(f"run-{i}", lambda table, s=spread, i=i: rehashed(noisier(table, s, i)))
        )
    result = compare_runs(folders).result
    assert result["correction"].startswith("Holm")
    for of in (
        lambda pair: pair["metrics"]["brier"],
        lambda pair: pair["delong"],
        lambda pair: pair["mcnemar"],
    ):
        tests = [of(pair) for pair in result["comparisons"]]
        p = np.array([each["p"] for each in tests])
        order = np.argsort(p)
        expected = np.minimum(np.maximum.accumulate(p[order] * [3, 2, 1]), 1)
        np.testing.assert_allclose([tests[i]["p_holm"] for i in order], expected)


def other_files(environment):
    environment["data_sha256"] = {"other.csv": "00"}


def test_runs_with_other_rows_are_shown_unpaired_and_it_is_said_why(changed, breast_cancer_run):
    one = breast_cancer_run.path

    def other_seed(config):
        config["seed"] = 99

    def other_split(config):
        config["split"]["test"] = 0.3

    def other_dataset(config):
        config["dataset"]["attributes"] = ["age"]

    def fewer(table):
        return rehashed(table).iloc[:-3]

    def other_targets(table):
        table = rehashed(table)
        test = table.index[table["part"] == "test"]
        table.loc[test, "target"] = table.loc[test[::-1], "target"].to_numpy()
        return table

    def other_subjects(table):
        table = rehashed(table)
        table.loc[table.index[-1], "subject"] = table["subject"].iloc[-2]
        return table

    environment = {"environment.json": other_files}
    cases = {
        "the runs read other data (their SHA-256 differ)": {"files": environment},
        "the seeds of the split differ: 99 and 0": {"config": other_seed},
        "the settings differ: split.test": {"config": other_split},
        "the settings differ: dataset.attributes": {"config": other_dataset},
        "the test parts have 82 and 85 rows": {"table": fewer},
        "the targets of the test rows differ, or their order does": {"table": other_targets},
        "the test rows belong to other subjects": {"table": other_subjects},
    }
    for number, (reason, change) in enumerate(cases.items()):
        folder = changed(f"run-{number}", **({"table": rehashed} | change))
        if "other data" in reason:
            with pytest.raises(RunError, match="the runs read other data") as error:
                compare_runs([one, folder])
            assert "--other-data compares their numbers side by side" in str(error.value)
        result = compare_runs([one, folder], other_data=True).result
        (pair,) = result["comparisons"]
        assert set(pair) == {"run", "reference", "paired", "note"}
        assert pair["note"] == (
            f"no paired test is possible: {reason}. Set MEDKIT_SALT to one secret for all "
            "trainings: rows are then matched by their hashes."
        )
        assert len(result["runs"]) == 2
    # One salt, and some rows in common: hashes decide, whatever else agrees.
    half = changed("run-half", lambda table: table.iloc[:-40])
    (pair,) = compare_runs([one, half]).result["comparisons"]
    assert pair["note"] == (
        "no paired test is possible: the test parts differ: 45 rows in common of 45 and 85"
    )


def test_another_seed_does_not_matter_where_the_split_does_not_use_it(changed):
    def sites(seed):
        def change(config):
            config["seed"] = seed
            config["split"]["by"] = "site"

        return change

    one = changed("one-aaaa", config=sites(1))
    two = changed("two-bbbb", rehashed, config=sites(2))
    assert compare_runs([one, two]).result["comparisons"][0]["paired"] is True


def test_what_cannot_be_compared_is_refused(changed, breast_cancer_run):
    one = breast_cancer_run.path

    def other_positive(inputs):
        inputs["task"]["state"]["state"]["classes_"].reverse()

    def other_target(config):
        config["dataset"]["target"] = "death"

    def this_target(config):
        config["dataset"]["target"] = "sepsis"

    flipped = changed("flipped", files={"inputs.json": other_positive})
    named = changed("named", config=other_target)
    renamed = changed("renamed", config=this_target)
    for folders, message in (
        ([one], "a comparison needs two runs or more"),
        ([one, one.parent / one.name], f"{one}: the run is given twice"),
        ([one, flipped], "predict different targets: benign, malignant and malignant, benign"),
        ([named, renamed], "predict different targets: target death and target sepsis"),
        ([one, one / "nowhere"], "no such run"),
    ):
        with pytest.raises(RunError) as caught:
            compare_runs(folders)
        assert message in str(caught.value)
    damaged = changed("damaged")
    (damaged / "metrics.json").write_text("{}")
    with pytest.raises(RunError, match=r"metrics\.json was changed after the run finished"):
        compare_runs([one, damaged])
    empty = changed("empty", lambda table: table.query("part != 'test'"))
    with pytest.raises(RunError, match=r"predictions\.parquet has no part 'test'"):
        compare_runs([one, empty])
    lacking = changed("lacking", lambda table: table.drop(columns="probability"))
    with pytest.raises(RunError, match=r"predictions\.parquet has no column 'probability'"):
        compare_runs([one, lacking])


class Structure(HTMLParser):
    """What a page opens, names and would load."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.loaded, self.images = [], [], [], []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag not in ("meta", "br", "link", "img"):
            self.open.append(tag)
        self.ids += [given["id"]] if "id" in given else []
        if tag in ("script", "link", "img", "iframe"):
            self.loaded.append(tag)
        if given.get("href", given.get("xlink:href", "#"))[0] != "#":
            self.loaded.append(given)
        if tag == "svg":
            self.images.append(given.get("aria-label"))

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in ("meta", "br", "link", "img"):
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def checked_page(path):
    text = path.read_text(encoding="utf-8")
    page = Structure()
    page.feed(text)
    assert text.startswith("<!DOCTYPE html>")
    assert page.open == []
    assert page.loaded == []
    assert len(page.ids) == len(set(page.ids))
    assert all(page.images)
    return text, page.images


def test_the_page_shows_every_run_on_one_axis(changed, tmp_path):
    def hostile(config):
        config["name"] = "<script>alert(1)</script>"

    one = changed("one-aaaa", config=hostile)
    two = changed("two-bbbb", noisier)
    three = changed("three-cccc", lambda table: rehashed(table).iloc[:-3])
    found = compare_runs([one, two, three])
    write_page(found, tmp_path / "page.html")
    text, images = checked_page(tmp_path / "page.html")
    assert "<script>alert" not in text
    assert [each.partition(";")[0].split()[0] for each in images] == [
        "ROC", "Precision-recall", "Calibration", "Differences",
    ]  # fmt: skip
    for label in ("mlp aaaa", "mlp bbbb", "mlp cccc"):
        assert text.count(f"{label}<") >= 3  # two legends, one table
    auroc = found.result["runs"][1]["metrics"]["auroc"]["value"]
    assert f"mlp bbbb: AUROC {auroc:.3f}" in images[0]
    difference = found.result["comparisons"][0]["metrics"]["brier"]["difference"]
    assert f"{difference:.3f} (" in text
    assert "the test parts have 82 and 85 rows" in text
    assert "Rows paired by: equal hashes of the samples." in text


@pytest.mark.parametrize("kind", ["regression", "multiclass", "multilabel"])
def test_other_tasks(kind, breast_cancer_run, tmp_path):
    """The fixture's run, made to look like one of another task."""
    from medkit.core.registry import tasks

    random = np.random.default_rng(0)
    targets = {
        "regression": random.normal(size=(85, 2)),
        "multiclass": random.choice(["x", "<y>", "z"], 85),
        "multilabel": random.integers(0, 2, (85, 2)),
    }[kind]
    names = ["left", "right"] if kind != "multiclass" else []
    task = tasks.build(kind).fit(targets, names)
    folders = []
    for i in range(2):
        p = random.dirichlet(np.ones(task.num_outputs), 85)
        folder = Path(shutil.copytree(breast_cancer_run.path, tmp_path / f"run-{i}{i}"))
        threshold = task.choose_threshold(task.encode(targets), p)
        columns = targets.reshape(85, -1).T
        named = ["target"] if len(columns) == 1 else ["target_0", "target_1"]
        table = test_part(folder)[["sample", "subject", "part"]].reset_index(drop=True)
        table = table.assign(**dict(zip(named, columns, strict=True)))
        table = table.assign(**task.prediction_columns(p, threshold))
        table.to_parquet(folder / "predictions.parquet")
        inputs = json.loads((folder / "inputs.json").read_text())
        inputs["task"] = {"name": kind, "state": task.to_dict(), "threshold": threshold}
        (folder / "inputs.json").write_text(json.dumps(inputs))
        metrics = json.loads((folder / "metrics.json").read_text())
        scores = task.score(task.encode(targets), p, threshold)
        none = {"low": None, "high": None}
        metrics["test"]["metrics"] = {k: {"value": v, **none} for k, v in scores.items()}
        (folder / "metrics.json").write_text(json.dumps(metrics))
        (folder / "MANIFEST.json").unlink()
        runs.seal(folder)
        folders.append(folder)
    found = compare_runs(folders)
    (pair,) = found.result["comparisons"]
    first, second = (each["metrics"] for each in found.result["runs"])
    for name, each in pair["metrics"].items():
        assert each["difference"] == pytest.approx(second[name]["value"] - first[name]["value"])
    assert ("mcnemar" in pair, "delong" in pair) == {
        "regression": (False, False), "multiclass": (True, False), "multilabel": (True, True),
    }[kind]  # fmt: skip
    write_page(found, tmp_path / "page.html")
    _, images = checked_page(tmp_path / "page.html")
    starts = {
        "regression": ["Absolute errors of left", "Absolute errors of right"],
        "multiclass": [f"{curve} of {c}" for curve in ("ROC curve", "Calibration")
                       for c in ("<y>", "x", "z")],
        "multilabel": [f"{curve} of {c}" for curve in ("ROC curve", "Calibration")
                       for c in ("left", "right")],
    }[kind]  # fmt: skip
    assert len(images) == len(starts) + 1
    assert all(image.startswith(start) for image, start in zip(images, starts, strict=False))


def test_the_command(changed, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    one, two = changed("one-aaaa"), changed("two-bbbb", noisier)
    assert main(["compare", str(one), str(two)]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == compare_runs([one, two]).result
    assert "page: comparison-aaaa-bbbb.html" in captured.err
    assert "difference in AUROC" in re.sub(r"[\s│]+", " ", captured.err)
    checked_page(tmp_path / "comparison-aaaa-bbbb.html")
    assert main(["compare", str(one), str(two), "--out", str(tmp_path / "new")]) == 0
    assert f"page: {tmp_path / 'new' / 'comparison.html'}" in capsys.readouterr().err
    checked_page(tmp_path / "new" / "comparison.html")
    other = changed("run-other", rehashed, files={"environment.json": other_files})
    capsys.readouterr()
    assert main(["compare", str(one), str(other)]) == 1
    assert "the runs read other data" in capsys.readouterr().err
    assert main(["compare", str(one), str(other), "--other-data"]) == 0
    assert main(["compare", str(one)]) == 1
    assert "a comparison needs two runs or more" in capsys.readouterr().err


def test_the_table_names_every_run(changed):
    from rich.console import Console

    found = compare_runs([changed("one-aaaa"), changed("two-aaaa", noisier)])
    console = Console(width=200, record=True)
    console.print(comparison_table(found))
    text = console.export_text()
    assert "1 one-aaaa" in text  # the ends alone would not tell them apart
    assert "2 two-aaaa" in text
    assert "reference" in text


def test_nothing_in_the_result_names_a_patient_or_a_place(changed, tmp_path):
    found = compare_runs([changed("one-aaaa"), changed("two-bbbb", noisier)])
    write_page(found, tmp_path / "page.html")
    told = json.dumps(found.result) + (tmp_path / "page.html").read_text()
    table = pd.read_parquet(tmp_path / "one-aaaa" / "predictions.parquet")
    assert not any(each in told for each in [*table["sample"], *table["subject"]])
    assert str(tmp_path) not in told

"""Metrics with intervals by patient, subgroups, and baselines on the same split."""

import json
import logging

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score

from medkit.config.experiment import Evaluation
from medkit.core.errors import DataError
from medkit.core.registry import tasks
from medkit.data.cohort import Cohort, RawInput
from medkit.data.inputs import Inputs
from medkit.data.parts import Part
from medkit.evaluation import (
    EvaluatedRows,
    assess_part,
    check_subgroups,
    evaluate_part,
    evaluate_run,
    headline,
    subgroup_metrics,
)
from medkit.evaluation.baselines import baselines
from medkit.evaluation.baselines.baselines import fit_baselines
from medkit.evaluation.methods import methods_for
from medkit.evaluation.resampling.intervals import confidence_interval
from medkit.evaluation.resampling.proportions import wilson
from medkit.evaluation.resampling.resampling import resample_weights
from medkit.tasks.binary import Binary
from medkit.tasks.regression import Regression
from medkit.tasks.scores.metrics import REGRESSION


def metric_names(task):
    return tuple(metric.name for metric in task.metrics)


class Means(Regression):
    """A task whose only metric is a mean: its interval is known from theory."""

    metrics = REGRESSION[:1]
    num_outputs = 1

    def measure(self, statistics, weights=None):
        error = np.abs(statistics["y"] - statistics["p"]).ravel()
        return {"mae": error.mean() if weights is None else weights @ error / weights.sum(axis=1)}


def binary():
    return tasks.build("binary").fit(np.array([0, 1]))


class Flat:
    """An encoder whose encoded samples are already flat features."""

    def summarize(self, inputs):
        return pd.DataFrame(inputs["t"])


def part(x, y, **samples):
    frame = pd.DataFrame(samples, index=pd.RangeIndex(len(x)))
    cohort = Cohort(frame, {"t": RawInput("tabular", pd.DataFrame(x))}, np.asarray(y))
    return Part(cohort, Inputs({"t": np.asarray(x)}), np.asarray(y))


def breast_cancer():
    x, y = load_breast_cancer(return_X_y=True)
    y = (1 - y).astype("float32")[:, None]
    order = np.random.default_rng(0).permutation(len(y))
    rows = {"train": order[:370], "valid": order[370:455], "test": order[455:]}
    parts = {n: part(x[r], y[r], size=x[r, 3], large=x[r, 3] > 600) for n, r in rows.items()}
    outputs = {n: 1 / (1 + np.exp(15 - x[r, :1])) for n, r in rows.items()}
    return parts, outputs


def test_values_counts_and_json():
    parts, outputs = breast_cancer()
    test, settings = parts["test"], Evaluation(bootstrap=200)
    found = evaluate_part(
        EvaluatedRows(
            binary(), test.y, outputs["test"], test.cohort.subjects, np.float32(0.5), settings, 0
        )
    )
    assert (found["n"], found["subjects"], found["threshold"]) == (114, 114, 0.5)
    assert found["positives"] == int(test.y.sum())
    auroc = found["metrics"]["auroc"]
    assert auroc["value"] == roc_auc_score(test.y, outputs["test"])
    assert auroc["low"] < auroc["value"] < auroc["high"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_same_seed_gives_the_same_intervals():
    random = np.random.default_rng(0)
    y, p, subject = random.normal(size=(90, 1)), np.zeros((90, 1)), np.repeat(np.arange(30), 3)
    args = (Means(), y, p, subject, None, Evaluation(bootstrap=100))
    assert evaluate_part(EvaluatedRows(*args, 1)) == evaluate_part(EvaluatedRows(*args, 1))
    assert evaluate_part(EvaluatedRows(*args, 1)) != evaluate_part(EvaluatedRows(*args, 2))


def test_resamples_draw_whole_subjects_and_do_not_depend_on_chunks(monkeypatch):
    codes = np.array([0, 0, 1, 2, 2, 2, 3])
    weights = np.concatenate(list(resample_weights(codes, 50, 0)))
    assert weights.shape == (50, 7)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, [0, 2, 3, 6]].sum(axis=1) == 4).all()
    monkeypatch.setattr("medkit.evaluation.resampling.resampling._WEIGHTS_AT_ONCE", 30)
    assert (np.concatenate(list(resample_weights(codes, 50, 0))) == weights).all()


@pytest.mark.slow
@pytest.mark.parametrize("rows_each", [1, 5])
def test_intervals_cover_the_truth_also_when_rows_of_a_patient_are_alike(rows_each):
    covered = widths_by_row = widths = 0.0
    truth, trials, subjects = 1.0, 150, 60
    settings = Evaluation(bootstrap=200, confidence=0.9)
    random = np.random.default_rng(3)
    for _ in range(trials):
        errors = np.repeat(random.exponential(truth, size=subjects), rows_each)[:, None]
        subject = np.repeat(np.arange(subjects), rows_each)
        args = (Means(), errors, np.zeros_like(errors))
        found = evaluate_part(EvaluatedRows(*args, subject, None, settings, 0))["metrics"]["mae"]
        by_row = evaluate_part(EvaluatedRows(*args, np.arange(len(errors)), None, settings, 0))[
            "metrics"
        ]["mae"]
        covered += found["low"] <= truth <= found["high"]
        widths += found["high"] - found["low"]
        widths_by_row += by_row["high"] - by_row["low"]
    assert 0.82 <= covered / trials <= 0.96
    # Rows taken as independent would promise sqrt(5) times too narrow an interval.
    assert widths / widths_by_row == pytest.approx(np.sqrt(rows_each), rel=0.15)


def test_undefined_resamples_are_left_out_and_counted():
    values = np.array([0.4, 0.6] * 40 + [np.nan] * 20)
    found = confidence_interval(values, 0.95)
    assert found == {"low": 0.4, "high": 0.6, "undefined": 20}
    assert confidence_interval(np.array([np.nan, np.nan, 0.5]), 0.95) == {
        "low": None,
        "high": None,
        "undefined": 2,
    }
    assert confidence_interval(None, 0.95) == {"low": None, "high": None}


def test_rounding_takes_no_bound_beyond_what_a_share_can_be():
    # Weights that are no binary fractions leave -4e-16 where 0 is meant.
    values = np.r_[np.full(10, -3.7e-16), np.full(80, 0.5), np.full(10, 1 + 2.2e-16)]
    assert confidence_interval(values, 0.95) == {"low": 0.0, "high": 1.0}
    assert confidence_interval(values - 1, 0.95) == {"low": -1.0 - 3.7e-16, "high": 0.0}


def test_one_class_one_subject_and_no_bootstrap_give_null_not_an_error():
    y, p = np.ones((6, 1)), np.linspace(0, 1, 6)[:, None]
    args = (binary(), y, p)
    found = evaluate_part(EvaluatedRows(*args, np.arange(6), 0.5, Evaluation(bootstrap=50), 0))[
        "metrics"
    ]
    assert found["auroc"] == {"value": None, "low": None, "high": None, "undefined": 50}
    assert found["accuracy"]["low"] is not None
    one = evaluate_part(EvaluatedRows(*args, np.zeros(6), 0.5, Evaluation(bootstrap=50), 0))
    assert one["subjects"] == 1
    assert one["metrics"]["accuracy"] == {"value": 0.5, "low": None, "high": None}
    none = evaluate_part(EvaluatedRows(*args, np.arange(6), 0.5, Evaluation(bootstrap=0), 0))[
        "metrics"
    ]
    assert none["accuracy"] == {"value": 0.5, "low": None, "high": None}


def test_a_proportion_that_no_resample_moves_has_wilsons_interval():
    y = np.repeat([0.0, 1.0], [53, 10])[:, None]
    p = np.clip(y * 0.5 + 0.2 + np.linspace(0, 0.2, 63)[:, None], 0, 1)
    p[-1] = 0.1
    settings, subjects = Evaluation(bootstrap=50), np.arange(63)
    found = evaluate_part(EvaluatedRows(binary(), y, p, subjects, 0.5, settings, 0))["metrics"]
    assert found["specificity"] == {
        "value": 1.0, "low": pytest.approx(0.9324, abs=1e-4), "high": 1.0, "method": "wilson",
    }  # fmt: skip
    assert found["precision"]["low"] == pytest.approx(wilson(1.0, 9, 0.95)[0])
    assert "method" not in found["recall"]
    assert "degenerate" not in found["auroc"]
    # Nine rows of each of few subjects tell no more than so many subjects.
    few = evaluate_part(EvaluatedRows(binary(), y, p, np.arange(63) // 9, 0.5, settings, 0))[
        "metrics"
    ]
    assert few["specificity"]["low"] == pytest.approx(wilson(1.0, 6, 0.95)[0])
    perfect = evaluate_part(EvaluatedRows(binary(), y, y, subjects, 0.5, settings, 0))["metrics"]
    note = "AUROC 1: no row ranks differently from the others of its class"
    assert perfect["auroc"] == {
        "value": 1.0, "low": 1.0, "high": 1.0, "degenerate": True,
        "delong": {"low": None, "high": None, "note": note},
    }  # fmt: skip
    assert perfect["recall"]["low"] == pytest.approx(0.7225, abs=1e-4)
    # Nobody is predicted positive: there is nothing to count.
    none = evaluate_part(EvaluatedRows(binary(), y, 0 * y, subjects, 0.5, settings, 0))["metrics"]
    assert none["precision"]["value"] is None
    assert none["precision"]["not_estimable"] == "no row is called positive"
    assert none["recall"]["low"] == 0.0
    assert none["recall"]["high"] == pytest.approx(0.2775, abs=1e-4)


def test_wilsons_interval():
    # Newcombe, Statistics in Medicine 17, 1998, table I.
    assert wilson(81 / 263, 263, 0.95) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15 / 148, 148, 0.95) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0.0, 20, 0.95) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1 / 29, 29, 0.95) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def denominators(rows):
    found = methods_for(rows.task).denominators(rows.y, rows.p, rows.threshold)
    return {metric: len(np.unique(rows.codes[which])) for metric, which in found.items()}


def test_which_proportions_have_a_denominator():
    labels = tasks.build("multilabel").fit([[0, 1], [1, 0]], ["a", "b"])
    y, p = np.array([[0, 1], [0, 0], [1, 0], [1, 1]]), np.array([[0.1, 0.9]] * 4)
    subjects, settings = np.array([0, 0, 1, 2]), Evaluation()
    rows = EvaluatedRows(labels, y, p, subjects, [0.5, 0.5], settings, 0)
    assert denominators(rows) == {
        "accuracy_a": 3, "precision_a": 0, "recall_a": 2, "specificity_a": 1,
        "accuracy_b": 3, "precision_b": 3, "recall_b": 2, "specificity_b": 2,
    }  # fmt: skip
    classes = tasks.build("multiclass").fit(["a", "b", "c"])
    rows = EvaluatedRows(classes, y[:, 0], p, np.arange(4), None, settings, 0)
    assert denominators(rows) == {"accuracy": 4}
    assert denominators(EvaluatedRows(Means(), y, p, np.arange(4), None, settings, 0)) == {}


def test_a_part_without_positives_says_so(caplog):
    y, p = np.zeros((20, 1)), np.linspace(0, 1, 20)[:, None]
    settings = Evaluation(bootstrap=20)
    found = evaluate_part(EvaluatedRows(binary(), y, p, np.arange(20), 0.5, settings, 0))
    note = "no positives among 20 rows: undefined are AUROC, AUPRC, recall, F1"
    assert found["notes"] == [note]
    assert f"evaluated rows: {note}" in caplog.text
    found = evaluate_part(EvaluatedRows(binary(), y + 1, p, np.arange(20), 0.5, settings, 0))
    assert found["notes"] == ["no negatives among 20 rows: undefined are AUROC, specificity"]
    classes = tasks.build("multiclass").fit(["a", "b"])
    both = (np.hstack([p, 1 - p]), np.arange(20), None, settings, 0)
    found = evaluate_part(EvaluatedRows(classes, y.astype("int32").ravel(), *both))
    assert found["notes"][0].startswith("one class only among 20 rows: undefined are macro AUROC")
    labels = tasks.build("multilabel").fit([[0, 1], [1, 0]], ["a", "b"])
    both = np.hstack([y, np.arange(20)[:, None] % 2])
    found = evaluate_part(
        EvaluatedRows(labels, both, np.hstack([p, p]), np.arange(20), None, settings, 0)
    )
    said = "one class only of a among 20 rows: undefined are AUROC a, AUPRC a, recall a, F1 a"
    assert found["notes"] == [said]


def test_numbers_that_do_not_vary_and_rows_of_one_subject_are_said():
    y, p = np.full((12, 1), 5.0), np.linspace(0, 1, 12)[:, None]
    settings = Evaluation(bootstrap=20)
    number = tasks.build("regression").fit([1.0, 2.0])
    found = evaluate_part(EvaluatedRows(number, y, p, np.arange(12), None, settings, 0))
    assert found["metrics"]["r2"]["value"] is None
    assert found["notes"] == ["targets that do not vary among 12 rows: undefined is R²"]
    alone = evaluate_part(EvaluatedRows(number, y + p, p, np.zeros(12), None, settings, 0))
    assert alone["notes"] == ["the rows are of one subject: there are no intervals"]
    silent = evaluate_part(
        EvaluatedRows(number, y + p, p, np.zeros(12), None, Evaluation(bootstrap=0), 0)
    )
    assert "notes" not in silent


def test_a_run_whose_test_part_has_no_positives(caplog):
    parts, outputs = breast_cancer()
    parts["test"].y[:] = 0
    parts["valid"].y[:] = 0
    settings = Evaluation(bootstrap=20)
    metrics = evaluate_run(binary(), Flat(), parts, outputs, 0.5, settings, 0)
    assert metrics["test"]["notes"][0].startswith("no positives among 114 rows: undefined are")
    assert "notes" not in metrics["train"]
    assert "test: no positives among 114 rows" in caplog.text
    assert "validation: no positives among 85 rows" in caplog.text
    for name in ("logistic regression", "gradient boosting"):
        assert caplog.text.count(f"{name}: the validation rows do not hold both classes") == 1
        assert "notes" not in metrics["baselines"][name.replace(" ", "_")]
    assert headline(binary(), metrics).startswith("AUROC undefined")


def test_run_is_measured_beside_its_baselines():
    parts, outputs = breast_cancer()
    settings = Evaluation(bootstrap=200, subgroups=("large",))
    run = (binary(), Flat(), parts, outputs, 0.5, settings, 7)
    metrics = evaluate_run(*run)
    assert metrics == evaluate_run(*run)
    assert list(metrics) == ["test", "valid", "train", "subgroups", "fairness", "baselines"]
    assert metrics["train"]["metrics"]["auroc"]["low"] is None
    network = metrics["test"]["metrics"]["auroc"]["value"]
    for name in ("logistic_regression", "gradient_boosting"):
        baseline = metrics["baselines"][name]
        value = baseline["metrics"]["auroc"]["value"]
        assert value > 0.97
        assert baseline["n"] == 114
        assert (baseline["features"], baseline["train_rows"]) == (30, 370)
        difference = baseline["difference"]
        assert difference["metric"] == "auroc"
        assert difference["value"] == pytest.approx(network - value)
        assert difference["low"] < difference["value"] < difference["high"] < 0
    assert headline(binary(), metrics).startswith(f"AUROC {network:.3f} (")
    assert "; logistic regression 0.99" in headline(binary(), metrics)
    json.dumps(metrics, allow_nan=False)
    small = Evaluation(bootstrap=0, baselines=False)
    assert list(evaluate_run(*run[:5], small, 7)) == ["test", "valid", "train"]


def test_baselines_learn_from_training_rows_and_choose_on_validation():
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 6))
    y = (x[:, :1] + random.normal(size=(300, 1)) > 0).astype("float32")
    x[random.random(x.shape) < 0.2] = np.nan
    x[:, 4], x[0, 5] = np.nan, np.inf
    train, valid = (x[:200], y[:200]), (x[200:], y[200:])
    fitted = fit_baselines(binary(), train, valid, 0)
    for baseline in fitted[1:]:
        assert (baseline.facts["features"], baseline.facts["train_rows"]) == (5, 200)
        p = baseline.predict(x[200:])
        assert p.shape == (100, 1)
        assert baseline.threshold == binary().choose_threshold(y[200:], p)
        assert roc_auc_score(y[200:], p) > 0.7
        assert np.isfinite(baseline.predict(np.full((3, 6), np.nan))).all()
    again = fit_baselines(binary(), train, valid, 0)
    assert all((a.predict(x) == b.predict(x)).all() for a, b in zip(again, fitted, strict=True))


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_the_linear_baseline_is_told_what_is_missing(kind):
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 4))
    missing = random.random(300) < 0.3
    x[missing, 2] = np.nan
    y = missing[:, None].astype("float32")
    task = binary() if kind == "binary" else Means()
    linear = fit_baselines(task, (x[:200], y[:200]), (x[200:], y[200:]), 0)[1]
    assert roc_auc_score(y[200:], linear.predict(x[200:])) == 1.0


def test_baselines_of_other_tasks():
    random = np.random.default_rng(0)
    x = random.normal(size=(240, 5))
    regression = fit_baselines(Means(), (x, x[:, :2]), (x, x[:, :2]), 0)
    assert [each.name for each in regression] == ["mean", "linear_regression", "gradient_boosting"]
    assert np.abs(regression[1].predict(x) - x[:, :2]).max() < 0.1

    task = tasks.build("multiclass").fit(np.arange(4))
    y = np.digitize(x[:, 0], [-0.5, 0.5])  # nobody of class 3 in training
    for baseline in fit_baselines(task, (x, y), (x, np.append(y[:-1], 3)), 0)[1:]:
        p = baseline.predict(x)
        assert p.shape == (240, 4)
        assert p.sum(axis=1) == pytest.approx(1)
        assert (p.argmax(axis=1) == y).mean() > 0.9

    task = tasks.build("multilabel").fit(np.array([[0, 0, 0], [1, 1, 1]]), ["a", "b", "c"])
    y = np.column_stack([x[:, 0] > 0, x[:, 1] > 0, np.zeros(240)]).astype("float32")
    for baseline in fit_baselines(task, (x, y), (x, y), 0)[1:]:
        p = baseline.predict(x)
        assert p.shape == (240, 3)
        assert len(baseline.threshold) == 3
        assert ((p > 0.5) == y).mean() > 0.95
        assert (p[:, 2] == 0).all()


@pytest.mark.parametrize("kind", ["regression", "multiclass", "multilabel"])
def test_every_task_is_measured(kind):
    random = np.random.default_rng(0)
    x = random.normal(size=(150, 4))
    targets = {
        "regression": x[:, :1] + random.normal(size=(150, 1)),
        "multiclass": np.array(["a", "b", "c"])[np.digitize(x[:, 0], [-0.5, 0.5])],
        "multilabel": (x[:, :2] > 0).astype(int),
    }[kind]
    task = tasks.build(kind).fit(targets, ["a", "b"] if kind == "multilabel" else [])
    y = task.encode(targets)
    p = random.dirichlet(np.ones(task.num_outputs), size=150)
    rows = {"train": slice(0, 80), "valid": slice(80, 110), "test": slice(110, 150)}
    parts = {name: part(x[r], y[r]) for name, r in rows.items()}
    outputs = {name: p[r] for name, r in rows.items()}
    threshold = task.choose_threshold(parts["valid"].y, outputs["valid"])
    run = (task, Flat(), parts, outputs, threshold, Evaluation(bootstrap=40), 0)
    metrics = evaluate_run(*run)
    assert set(metrics["test"]["metrics"]) == set(metric_names(task))
    json.dumps(metrics, allow_nan=False)
    assert len(metrics["baselines"]) == 3
    for name, baseline in metrics["baselines"].items():
        if name in ("majority", "mean"):
            continue  # no worse and no better than a network that guesses
        gain = baseline["difference"]["value"]
        assert gain * task.metric(baseline["difference"]["metric"]).sign < 0


def test_wide_features_are_limited_to_those_that_tell(monkeypatch):
    assert baselines._MOST_FEATURES == 500
    monkeypatch.setattr(baselines, "_MOST_FEATURES", 50)
    random = np.random.default_rng(0)
    x = random.normal(size=(120, 70)).astype("float32")
    y = (x[:, 65:66] > 0).astype("float32")
    baseline = fit_baselines(binary(), (x, y), (x, y), 0)[1]
    assert baseline.facts["features"] == 50
    assert roc_auc_score(y, baseline.predict(x)) > 0.95


def test_subgroups():
    random = np.random.default_rng(0)
    n = 200
    samples = pd.DataFrame(
        {
            "sex": np.where(np.arange(n) < 6, None, np.where(np.arange(n) % 2, "F", "M")),
            "age": random.integers(20, 90, size=n),
            "grade": np.repeat([1, 2], [195, 5]),
            "ward": [f"ward {i}" if i > 150 else "A" for i in range(n)],
            "when": pd.to_datetime(np.repeat(["2019-03-01", "2020-07-01"], 100)),
        }
    )
    y, p = random.normal(size=(n, 1)), np.zeros((n, 1))
    names = ("sex", "age", "grade", "ward", "when")
    settings = Evaluation(bootstrap=50, subgroups=names, minimum_group=10)
    found = subgroup_metrics(EvaluatedRows(Means(), y, p, np.arange(n), None, settings, 0, samples))
    small = {"suppressed": "fewer than 10 subjects"}
    assert list(found) == list(names)
    assert list(found["sex"]) == ["F", "M", "missing"]
    assert found["sex"]["missing"] == small
    females = (samples["sex"] == "F").to_numpy()
    assert found["sex"]["F"]["metrics"]["mae"]["value"] == np.abs(y[females]).mean()
    assert found["sex"]["F"]["n"] == 97
    assert [group["n"] for group in found["age"].values()] == pytest.approx([50] * 4, abs=4)
    assert next(iter(found["age"])).startswith("up to ")
    assert list(found["grade"]) == ["1", "other (1 value)"]
    assert found["grade"]["other (1 value)"] == small
    assert found["grade"]["1"]["n"] == 195
    assert list(found["ward"]) == ["A", "other (49 values)"]
    assert list(found["when"]) == ["2019", "2020"]


def test_groups_are_counted_in_subjects():
    samples = pd.DataFrame({"sex": ["F"] * 40})
    y = np.zeros((40, 1))
    settings = Evaluation(bootstrap=0, subgroups=("sex",))
    found = subgroup_metrics(
        EvaluatedRows(Means(), y, y, np.arange(40) // 8, None, settings, 0, samples)
    )
    assert found == {"sex": {"other (1 value)": {"suppressed": "fewer than 10 subjects"}}}


def test_names_of_small_groups_are_written_nowhere():
    doctors = np.repeat([f"Dr {i}" for i in range(18)], [60, 40] + [5] * 16)
    n = len(doctors)
    samples = pd.DataFrame({"doctor": doctors, "few": np.repeat(["rare", "common"], [4, n - 4])})
    samples["site"] = np.where(np.arange(n) < 15, np.arange(n) // 3, 9)  # five small sites
    y = np.zeros((n, 1))
    settings = Evaluation(bootstrap=0, subgroups=("doctor", "few", "site"))
    found = subgroup_metrics(EvaluatedRows(Means(), y, y, np.arange(n), None, settings, 0, samples))
    assert list(found["doctor"]) == ["Dr 0", "Dr 1", "other (16 values)"]
    assert found["doctor"]["other (16 values)"]["n"] == 80
    assert list(found["few"]) == ["common", "other (1 value)"]
    assert found["few"]["other (1 value)"] == {"suppressed": "fewer than 10 subjects"}
    assert list(found["site"]) == ["9", "other (5 values)"]
    assert found["site"]["other (5 values)"]["n"] == 15
    assert "Dr 5" not in json.dumps(found)
    assert "rare" not in json.dumps(found)


def test_subgroup_messages(caplog):
    samples = pd.DataFrame({"sex": ["F"], "age_band": ["old"], "subject": ["x"]})
    for name, message in (
        ("age_bnd", "evaluation.subgroups: no attribute 'age_bnd'; did you mean 'age_band'?"),
        ("zzz", "no attribute 'zzz'; attributes: sex, age_band"),
        ("subject", "'subject' cannot be a subgroup"),
    ):
        with pytest.raises(DataError) as caught:
            check_subgroups(samples, Evaluation(subgroups=(name,)))
        assert message in str(caught.value)
    check_subgroups(samples, Evaluation(subgroups=("sex", "age_band")))
    y = np.zeros((1, 1))
    settings = Evaluation(bootstrap=0, subgroups=("zzz",))
    with caplog.at_level(logging.WARNING, logger="medkit"):
        assert (
            subgroup_metrics(EvaluatedRows(Means(), y, y, np.arange(1), None, settings, 0, samples))
            == {}
        )
    assert "no subgroups by 'zzz': these samples have no such attribute" in caplog.text


def test_names_and_directions_of_metrics():
    task = tasks.build("multilabel").fit(np.eye(2), ["edema", "heart_rate"])
    assert task.metric("auroc_heart_rate").label == "AUROC heart_rate"
    assert task.metric("log_loss_edema").sign == -1
    assert task.metric("auroc").sign == 1
    assert tasks.build("multiclass").metric("f1_macro").label == "macro F1"
    assert tasks.build("multiclass").metric("loss") == ("loss", "loss", "less")  # watched only
    course = tasks.build("forecasting").fit(np.eye(3)[:, :2], ["HR +1 h", "HR +2 h"])
    assert course.metric("coverage").sign == 0


def test_baselines_are_recalibrated_where_the_network_is():
    parts, outputs = breast_cancer()
    state = {"kind": "platt", "asked": "platt"}
    run = (binary(), Flat(), parts, outputs, 0.5, Evaluation(bootstrap=0), 7)
    plain = evaluate_run(*run)["baselines"]
    again = evaluate_run(*run, recalibration=state)["baselines"]
    assert again["majority"] == plain["majority"]
    for name in ("logistic_regression", "gradient_boosting"):
        assert again[name]["recalibration"] == "platt"
        auroc, log_loss = (
            [each[name]["metrics"][metric]["value"] for each in (plain, again)]
            for metric in ("auroc", "log_loss")
        )
        assert auroc[0] == pytest.approx(auroc[1])  # the order of the rows stays
        assert log_loss[0] != log_loss[1]


def test_an_unknown_kind_of_outcome_is_not_estimable(monkeypatch):
    """Nobody registered it: its metrics are there, and it is never taken for yes/no."""
    monkeypatch.setattr(Binary, "outcome", "mystery")
    monkeypatch.setattr(Binary, "probabilities", False)
    y, p = np.tile([[0.0], [1.0]], (30, 1)), np.linspace(0, 1, 60)[:, None]
    samples = pd.DataFrame({"sex": ["f", "m"] * 30})
    settings = Evaluation(bootstrap=20, subgroups=("sex",))
    rows = EvaluatedRows(binary(), y, p, np.arange(60), 0.5, settings, 0, samples)
    found, groups = assess_part(rows, valid=rows)
    assert found["metrics"]["auroc"]["value"] > 0.4
    assert "delong" not in found["metrics"]["auroc"]
    known = "is known for this kind of outcome"
    assert known in found["calibration"]["not_estimable"]
    assert found["decisions"]["not_estimable"] == "the task predicts no probability to decide on"
    assert "no conformal method" in found["uncertainty"]["conformal"]["not_estimable"]
    assert known in found["uncertainty"]["entropy"]["not_estimable"]
    assert known in groups["subgroups"]["sex"]["f"]["calibration"]["not_estimable"]
    assert groups["fairness"] == {}
    assert methods_for(binary()).baselines(None, {}, {}, np.arange(0), 0) == ([], {})

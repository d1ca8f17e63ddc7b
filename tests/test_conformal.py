"""Conformal sets and intervals: the finite-sample guarantee, by simulation and by counting."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from medkit.config.experiment import Evaluation
from medkit.core import registry
from medkit.evaluation.rows import EvaluatedRows
from medkit.evaluation.uncertainty.conformal import (
    calibrate,
    conformal_columns,
    conformal_of,
    evaluate_conformal,
)


def numbers(count=1):
    rows = np.random.default_rng(0).normal(size=(20, count))
    names = ["score"] if count == 1 else [f"score{i}" for i in range(count)]
    return registry.tasks.build("regression").fit(rows, names)


def yes_no():
    return registry.tasks.build("binary").fit(np.array(["benign", "malignant"] * 5))


def classes(count=3):
    return registry.tasks.build("multiclass").fit(np.arange(30) % count)


def labels():
    return registry.tasks.build("multilabel").fit(
        np.array([[0, 1], [1, 0], [1, 1]]), ["edema", "mass"]
    )


def split(n, seed=0, rows_each=1):
    """Binary outcomes with informative probabilities: y (n, 1), p (n, 1), subjects (n,)."""
    random = np.random.default_rng(seed)
    p = random.beta(0.7, 0.7, size=(n, 1))
    return (random.random((n, 1)) < p).astype(float), p, np.arange(n) // rows_each


def judged(task, valid, test, samples=None, seed=0, **settings):
    samples = pd.DataFrame(index=range(len(test[0]))) if samples is None else samples
    rest = (None, Evaluation(**settings), seed)
    chosen = EvaluatedRows(task, *valid, *rest)
    return conformal_of(EvaluatedRows(task, *test, *rest, samples), chosen)


@pytest.mark.parametrize("coverage", ["0.5", "0.8", "0.9", "0.95"])
@pytest.mark.parametrize("n", [1, 4, 8, 9, 10, 19, 20, 99, 1000])
def test_quantile_is_the_order_statistic(coverage, n):
    scores = np.random.default_rng(n).permutation(np.arange(1.0, n + 1))[:, None]
    state = calibrate(numbers(), scores, np.zeros((n, 1)), np.arange(n), float(coverage))
    wanted = math.ceil((n + 1) * Fraction(coverage))  # exact arithmetic
    if wanted > n:
        needed = math.ceil(1 / (1 - Fraction(coverage))) - 1
        assert state["quantile"] is None
        assert state["not_estimable"] == (
            f"a coverage of {float(coverage):g} takes {needed} or more validation subjects; "
            f"there are {n}"
        )
        assert n < needed
    else:
        assert state["quantile"] == [wanted]


@pytest.mark.slow
@pytest.mark.parametrize("n", [9, 25, 60])
@pytest.mark.parametrize("kind", ["regression", "binary", "multiclass"])
def test_coverage_is_within_the_finite_sample_bounds(kind, n):
    """1 - alpha <= coverage <= 1 - alpha + 1 / (n + 1), averaged over simulations."""
    random = np.random.default_rng(n)
    task = {"regression": numbers(), "binary": yes_no(), "multiclass": classes()}[kind]
    simulations, tested, seen = 1500, 20, []
    for _ in range(simulations):
        if kind == "regression":
            p = random.normal(size=(n + tested, 1))
            y = p + random.standard_t(2, size=p.shape) * np.exp(p)
        elif kind == "binary":
            p = random.random((n + tested, 1))
            y = (random.random(p.shape) < p**3).astype(float)  # miscalibrated on purpose
        else:
            p = random.dirichlet([0.5, 1.0, 2.0], n + tested)
            y = (random.random((len(p), 1)) > np.cumsum(p, axis=1)).sum(axis=1)
        state = calibrate(task, y[:n], p[:n], np.arange(n), 0.9)
        columns = conformal_columns(task, state, p[n:])
        if kind == "regression":
            y = y[n:, 0]
            inside = (columns["low"] <= y) & (y <= columns["high"])
        else:
            names = [str(task.classes_[int(i)]) for i in y[n:].ravel()]
            inside = [a in b for a, b in zip(names, columns["prediction_set"], strict=True)]
        seen.append(np.mean(inside))
    error = 3 * np.std(seen) / math.sqrt(simulations)
    print(f"{kind}, n = {n}: coverage {np.mean(seen):.4f}, asked 0.9 to {0.9 + 1 / (n + 1):.4f}")
    assert 0.9 - error <= np.mean(seen) <= 0.9 + 1 / (n + 1) + error


def test_rows_of_a_subject_weigh_as_one_subject():
    """A random row of a new subject is covered, where the plain quantile of all rows is not."""
    random = np.random.default_rng(1)
    task, weighted, plain = numbers(), [], []

    def subjects_and_errors(count):
        # Half of the subjects come often and are easy.
        often = random.random(count) < 0.5
        rows = np.where(often, 12, 1)
        size = np.abs(random.normal(size=count)) * np.where(often, 0.2, 3.0)
        codes = np.repeat(np.arange(count), rows)
        return codes, (size[codes] * random.uniform(0.5, 1.5, len(codes)))[:, None]

    for _ in range(1000):
        codes, errors = subjects_and_errors(30)
        new, of_new = subjects_and_errors(10)
        first = of_new[np.unique(new, return_index=True)[1]]
        (q,) = calibrate(task, errors, 0 * errors, codes, 0.8)["quantile"]
        weighted.append((first <= q).mean())
        (q,) = calibrate(task, errors, 0 * errors, np.arange(len(errors)), 0.8)["quantile"]
        plain.append((first <= q).mean())
    print(f"by subject {np.mean(weighted):.3f}, by row {np.mean(plain):.3f}; asked 0.8")
    assert 0.8 - 0.012 <= np.mean(weighted) <= 0.8 + 1 / 31 + 0.012
    assert np.mean(plain) < 0.7


def test_weighted_quantile_equals_a_loop():
    random = np.random.default_rng(2)
    codes = np.repeat(np.arange(14), random.integers(1, 6, 14))
    scores = random.exponential(size=(len(codes), 1))
    mass = [Fraction(1, 15 * int((codes == each).sum())) for each in codes]
    total, expected = Fraction(0), None
    for i in np.argsort(scores[:, 0]):
        total += mass[i]
        if total >= Fraction(4, 5):
            expected = scores[i, 0]
            break
    shuffled = random.permutation(len(codes))
    state = calibrate(numbers(), scores[shuffled], 0 * scores, codes[shuffled], 0.8)
    assert state["quantile"] == [expected]
    assert (state["n"], state["subjects"]) == (len(codes), 14)


def test_sets_of_two_classes():
    state = {"method": "lac", "quantile": [0.3]}
    p = np.array([[0.1], [0.5], [0.71], [0.95]])
    columns = conformal_columns(yes_no(), state, p)
    assert list(columns["prediction_set"]) == ["{benign}", "{}", "{malignant}", "{malignant}"]
    state = {"method": "lac", "quantile": [0.6]}
    columns = conformal_columns(yes_no(), state, np.array([[0.3], [0.5]]))
    assert list(columns["prediction_set"]) == ["{benign}", "{benign, malignant}"]


def test_sets_of_several_classes_and_labels():
    state = {"method": "lac", "quantile": [0.75]}
    columns = conformal_columns(classes(), state, np.array([[0.7, 0.2, 0.1], [0.3, 0.4, 0.3]]))
    assert list(columns["prediction_set"]) == ["{0}", "{0, 1, 2}"]
    state = {"method": "lac", "quantile": [0.2, 0.6]}
    columns = conformal_columns(labels(), state, np.array([[0.9, 0.5], [0.5, 0.1]]))
    assert list(columns["prediction_set_edema"]) == ["{1}", "{}"]
    assert list(columns["prediction_set_mass"]) == ["{0, 1}", "{0}"]


def test_intervals():
    state = {"method": "absolute_residual", "quantile": [2.0]}
    columns = conformal_columns(numbers(), state, np.array([[10.0], [0.0]]))
    assert {name: list(each) for name, each in columns.items()} == {
        "low": [8.0, -2.0], "high": [12.0, 2.0],
    }  # fmt: skip
    state = {"method": "absolute_residual", "quantile": [2.0, 1.0]}
    columns = conformal_columns(numbers(2), state, np.array([[10.0, 5.0]]))
    assert {name: list(each) for name, each in columns.items()} == {
        "low_score0": [8.0], "high_score0": [12.0], "low_score1": [4.0], "high_score1": [6.0],
    }  # fmt: skip


@pytest.mark.parametrize("state", [None, {}, {"quantile": None, "not_estimable": "too few"}])
def test_no_columns_without_a_quantile(state):
    assert conformal_columns(yes_no(), state, np.array([[0.5]])) == {}


def test_what_is_seen_equals_counting():
    from statsmodels.stats.proportion import proportion_confint

    valid, test = split(80), split(150, seed=1)
    found = judged(yes_no(), valid, test)
    (output,) = found["outputs"].values()
    q = output["quantile"]
    y, p = test[0][:, 0], test[1][:, 0]
    sets = [{k for k, chance in ((0, 1 - each), (1, each)) if 1 - chance <= q} for each in p]
    covered = [int(truth) in each for truth, each in zip(y, sets, strict=True)]
    overall = output["overall"]
    assert overall["coverage"]["value"] == pytest.approx(np.mean(covered))
    bounds = proportion_confint(sum(covered), 150, alpha=0.05, method="beta")
    assert [overall["coverage"][k] for k in ("low", "high")] == pytest.approx(bounds)
    assert overall["coverage"]["method"] == "clopper-pearson"
    assert overall["size"]["value"] == pytest.approx(np.mean([len(each) for each in sets]))
    for name, size in (("empty", 0), ("single", 1), ("full", 2)):
        assert overall[name]["value"] == pytest.approx(np.mean([len(s) == size for s in sets]))
    for k, name in enumerate(("benign", "malignant")):
        group = output["by_class"][name]
        assert group["n"] == (y == k).sum()
        assert group["coverage"]["value"] == pytest.approx(np.mean(np.array(covered)[y == k]))
    assert overall["size"]["low"] < overall["size"]["value"] < overall["size"]["high"]
    assert found["state"] == calibrate(yes_no(), *valid, 0.9)
    assert "validation part, which also chose" in found["note"]
    json.dumps(found, allow_nan=False)


def test_rows_of_test_subjects_are_averaged_and_resampled_together():
    valid, test = split(80), split(120, seed=1, rows_each=4)
    task = yes_no()
    found = judged(task, valid, test, bootstrap=400)
    (output,) = found["outputs"].values()
    p, y = test[1][:, 0], test[0][:, 0]
    covered = np.where(y == 1, 1 - p, p) <= output["quantile"]
    rates = covered.reshape(30, 4).mean(axis=1)
    coverage = output["overall"]["coverage"]
    assert coverage["value"] == pytest.approx(rates.mean())
    assert "method" not in coverage
    draws = np.random.default_rng(9).choice(rates, size=(4000, 30)).mean(axis=1)
    expected = np.quantile(draws, [0.025, 0.975])
    assert [coverage["low"], coverage["high"]] == pytest.approx(expected, abs=0.03)
    assert output["expected"] is None
    assert (output["overall"]["n"], output["overall"]["subjects"]) == (120, 30)


def test_unequal_subjects_count_alike():
    codes = np.array([0] * 9 + [1])
    y, p = np.ones((10, 1)), np.r_[np.full(9, 0.9), 0.1][:, None]
    state = {"method": "lac", "coverage": 0.9, "n": 20, "subjects": 20, "quantile": [0.3]}
    samples = pd.DataFrame(index=range(10))
    rows = EvaluatedRows(yes_no(), y, p, codes, None, Evaluation(), 0, samples)
    found = evaluate_conformal(rows, state)
    assert found["outputs"]["target"]["overall"]["coverage"]["value"] == 0.5


@pytest.mark.slow
def test_expected_range_holds_what_simulations_give():
    random = np.random.default_rng(3)
    n, m, seen = 40, 60, []
    for _ in range(3000):
        scores = random.random(n + m)
        (q,) = calibrate(
            numbers(), scores[:n, None], np.zeros((n, 1)), np.arange(n), 0.9
        )["quantile"]  # fmt: skip
        seen.append((scores[n:] <= q).mean())
    seen = np.array(seen)
    valid = (np.ones((n, 1)), random.random((n, 1)), np.arange(n))
    test = (np.ones((m, 1)), random.random((m, 1)), np.arange(m))
    expected = judged(numbers(), valid, test, bootstrap=0)["outputs"]["score"]["expected"]
    inside = np.mean((seen >= expected["low"] - 1e-9) & (seen <= expected["high"] + 1e-9))
    assert 0.95 - 0.012 <= inside < 0.99


def test_subgroups_and_small_ones():
    valid, test = split(80), split(100, seed=1)
    samples = pd.DataFrame({"sex": ["f"] * 60 + ["m"] * 37 + ["x"] * 3})
    found = judged(yes_no(), valid, test, samples, subgroups=("sex",), bootstrap=20)
    groups = found["outputs"]["target"]["subgroups"]["sex"]
    assert groups["other (1 value)"] == {"suppressed": "fewer than 10 subjects"}
    assert {name: each.get("n") for name, each in groups.items()} == {
        "f": 60, "m": 37, "other (1 value)": None,
    }  # fmt: skip
    part = tuple(each[:60] for each in test)
    alone = judged(yes_no(), valid, part, samples[:60], bootstrap=20)
    assert groups["f"] == alone["outputs"]["target"]["overall"]


def test_regression_in_its_units():
    random = np.random.default_rng(4)
    p = random.normal(100, 10, size=(200, 1))
    y = (p + random.normal(0, 5, size=p.shape)).astype(np.float32)
    rows = np.arange(200)
    found = judged(numbers(), (y[:80], p[:80], rows[:80]), (y[80:], p[80:], rows[80:]))
    output = found["outputs"]["score"]
    assert found["method"] == "absolute_residual"
    assert output["overall"]["width"] == pytest.approx(2 * output["quantile"])
    inside = np.abs(y[80:] - p[80:]) <= output["quantile"]
    assert output["overall"]["coverage"]["value"] == pytest.approx(inside.mean())
    assert "by_class" not in output
    json.dumps(found, allow_nan=False)


def test_each_label_and_each_number_apart():
    random = np.random.default_rng(5)
    p = random.random((100, 2))
    y = (random.random(p.shape) < p).astype(np.float32)
    rows = np.arange(100)
    for task in (labels(), numbers(2)):
        found = judged(task, (y[:50], p[:50], rows[:50]), (y[50:], p[50:], rows[50:]), bootstrap=9)
        assert list(found["outputs"]) == list(task.names_)
        for index, output in enumerate(found["outputs"].values()):
            one = yes_no() if task.kind == "multilabel" else numbers()
            column = slice(index, index + 1)
            alone = calibrate(one, y[:50, column], p[:50, column], rows[:50], 0.9)
            assert output["quantile"] == alone["quantile"][0]


def test_too_few_validation_subjects():
    found = judged(yes_no(), split(60, rows_each=10), split(50, seed=1))
    assert found["not_estimable"] == (
        "a coverage of 0.9 takes 9 or more validation subjects; there are 6"
    )
    assert "outputs" not in found
    assert found["state"]["quantile"] is None
    none = judged(yes_no(), tuple(each[:0] for each in split(5)), split(50, seed=1))
    assert "there are 0" in none["not_estimable"]


def test_predictions_that_are_no_numbers():
    valid, test = split(80), split(50, seed=1)
    test[1][:3] = np.nan
    found = judged(yes_no(), valid, test)
    overall = found["outputs"]["target"]["overall"]
    assert (overall["n"], overall["left_out"]) == (47, 3)
    # In validation such a row fits no outcome: the quantile grows, up to nothing being ruled out.
    before = calibrate(yes_no(), *valid, 0.9)["quantile"][0]
    valid[1][:4] = np.nan
    assert calibrate(yes_no(), *valid, 0.9)["quantile"][0] > before
    valid[1][:20] = np.nan
    state = calibrate(yes_no(), *valid, 0.9)
    assert state["not_estimable"] == "too many validation predictions are not finite numbers"
    test[1][:] = np.inf
    found = judged(yes_no(), split(80), test)
    assert found["not_estimable"] == "no test prediction is a finite number"


@pytest.mark.parametrize("what", ["one class", "constant", "one subject", "one row", "missing"])
def test_degenerate_parts(what):
    (y, p, subjects), samples = split(40, seed=1), pd.DataFrame({"sex": [None] * 40})
    if what == "one class":
        y = np.zeros_like(y)
    elif what == "constant":
        p = np.full_like(p, 0.5)
    elif what == "one subject":
        subjects = np.zeros(40)
    elif what == "one row":
        y, p, subjects, samples = y[:1], p[:1], subjects[:1], samples[:1]
    found = judged(yes_no(), split(80), (y, p, subjects), samples, subgroups=("sex",), bootstrap=30)
    output = found["outputs"]["target"]
    json.dumps(found, allow_nan=False)
    assert output["overall"]["n"] == len(y)
    if what == "one class":
        assert output["by_class"]["malignant"]["not_estimable"] == "no such row in the test part"
        assert output["by_class"]["malignant"]["coverage"]["value"] is None
    if what == "one subject":
        assert output["overall"]["coverage"]["low"] is None
    if what == "missing":
        reason = "the attribute is missing in all rows"
        assert output["subgroups"]["sex"]["missing"] == {"suppressed": reason}


def test_the_same_seed_gives_the_same():
    results = [
        judged(yes_no(), split(80), split(60, seed=1, rows_each=2), seed=seed, bootstrap=99)
        for seed in (1, 1, 2)
    ]
    assert results[0] == results[1] != results[2]


def test_a_run_predicts_sets(monkeypatch):
    from medkit.runs.run import Run

    p = np.array([[0.1], [np.nan], [0.5], [0.9]])
    monkeypatch.setattr(Run, "outputs", lambda self, data: p)
    run = object.__new__(Run)
    run.encoder = SimpleNamespace(by_name=lambda data: {"tabular": data})
    run.task, run.threshold = yes_no(), 0.5
    run.conformal = calibrate(yes_no(), *split(80), 0.6)
    table = run.predict(np.zeros((4, 2)))
    assert table["probability"].isna().tolist() == [False, True, False, False]
    assert table["prediction_set"].tolist() == ["{benign}", np.nan, "{}", "{malignant}"]
    run.conformal = None  # a run made before there were such sets
    assert list(run.predict(np.zeros((4, 2)))) == ["probability", "predicted"]

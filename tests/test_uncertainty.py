"""Entropy, spread and abstention against scipy, scikit-learn and plain loops."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import entropy as scipy_entropy
from sklearn.metrics import roc_auc_score

from medkit.config.experiment import Evaluation
from medkit.core import registry
from medkit.evaluation import EvaluatedRows, assess_part
from medkit.evaluation.methods import methods_for
from medkit.evaluation.resampling.resampling import resample_weights
from medkit.evaluation.uncertainty.abstention import (
    RETAINED,
    Retention,
    abstention_of,
    area,
    kept,
)
from medkit.evaluation.uncertainty.spread import spread_of
from medkit.evaluation.uncertainty.uncertainty import uncertainty_of


def task_of(kind, count=3):
    if kind == "binary":
        return registry.tasks.build("binary").fit(np.array([0, 1]))
    if kind == "multiclass":
        return registry.tasks.build("multiclass").fit(np.arange(30) % count)
    if kind == "multilabel":
        return registry.tasks.build("multilabel").fit(np.eye(2), ["edema", "mass"])
    rows = np.random.default_rng(0).normal(size=(50, count)) * 4
    return registry.tasks.build("regression").fit(rows, [f"t{i}" for i in range(count)])


def probabilities(kind, members=5, n=60, seed=0):
    random = np.random.default_rng(seed)
    if kind == "multiclass":
        return random.dirichlet([1.0, 0.4, 2.0], size=(members, n))
    return random.beta(0.6, 0.8, size=(members, n, 2 if kind == "multilabel" else 1))


def binary_part(n=60, seed=0, rows_each=1):
    p = probabilities("binary", 1, n, seed)[0]
    y = (np.random.default_rng(seed + 1).random(p.shape) < p).astype(np.float32)
    return y, p, np.arange(n) // rows_each


def reference_entropy(kind, p):
    if kind == "multiclass":
        return scipy_entropy(p, axis=1)
    return np.mean([scipy_entropy([q, 1 - q]) for q in p.T], axis=0)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_entropy_is_that_of_scipy(kind):
    p = probabilities(kind)[0]
    np.testing.assert_allclose(
        methods_for(task_of(kind)).entropy(p), reference_entropy(kind, p), atol=1e-12
    )


def test_certain_predictions_have_no_entropy():
    assert methods_for(task_of("binary")).entropy(np.array([[0.0], [1.0]])).tolist() == [0.0, 0.0]
    assert methods_for(task_of("multiclass")).entropy(np.eye(3)).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_mutual_information_equals_loops(kind):
    members, task = probabilities(kind), task_of(kind)
    found = spread_of(task, (each for each in members))
    assert found["count"] == 5
    predictive = reference_entropy(kind, members.mean(axis=0))
    expected = np.mean([reference_entropy(kind, each) for each in members], axis=0)
    np.testing.assert_allclose(found["rows"]["predictive_entropy"], predictive)
    np.testing.assert_allclose(found["rows"]["expected_entropy"], expected)
    np.testing.assert_allclose(
        found["rows"]["mutual_information"], predictive - expected, atol=1e-12
    )
    # Jensen-Shannon: the mean divergence of the members from their mean.
    if kind == "multiclass":
        mean = members.mean(axis=0)
        apart = [scipy_entropy(each, mean, axis=1) for each in members]
        np.testing.assert_allclose(found["rows"]["mutual_information"], np.mean(apart, axis=0))


def test_standard_deviation_of_numbers():
    values = np.random.default_rng(0).normal(1e4, 1.0, size=(7, 40, 3))
    found = spread_of(task_of("regression"), (each for each in values))
    expected = values.std(axis=0, ddof=1)
    np.testing.assert_allclose(found["rows"]["standard_deviation"], expected)


def test_a_spread_that_tells_nothing_is_said():
    members = probabilities("binary")
    one = spread_of(task_of("binary"), members[:1])
    assert one["not_estimable"] == "a spread takes two or more networks or passes; there is 1"
    same = spread_of(task_of("binary"), [members[0]] * 3)
    assert "all 3 gave the same outputs" in same["not_estimable"]
    assert "all 3" in spread_of(task_of("regression"), [np.full((4, 3), 1e6)] * 3)["not_estimable"]
    y, p, subjects = binary_part()
    found = uncertainty_of(
        EvaluatedRows(task_of("binary"), y, p, subjects, 0.5, Evaluation(bootstrap=9), 0),
        {"monte_carlo_dropout": [p, p]},
    )
    assert "no dropout" in found["entropy"]["monte_carlo_dropout"]["not_estimable"]
    assert found["entropy"]["network"]["predictive_entropy"]["mean"]["value"] > 0


def test_summaries_of_right_and_wrong_rows():
    y, p, subjects = binary_part(200, rows_each=2)
    members = probabilities("binary", 4, 200)
    settings = Evaluation(bootstrap=200)
    found = uncertainty_of(
        EvaluatedRows(task_of("binary"), y, p, subjects, 0.3, settings, 7), {"ensemble": members}
    )
    json.dumps(found, allow_nan=False)
    assert found["entropy"]["ensemble"]["count"] == 4
    assert found["entropy"]["maximum"] == pytest.approx(np.log(2))
    wrong = (p >= 0.3).ravel() != (y == 1).ravel()
    of_members = spread_of(task_of("binary"), members)["rows"]
    columns = {
        ("network", "predictive_entropy"): reference_entropy("binary", p),
        ("ensemble", "mutual_information"): of_members["mutual_information"],
    }
    weights = np.concatenate(list(resample_weights(subjects, 200, 7))).astype(int)
    for (source, name), values in columns.items():
        summary = found["entropy"][source][name]
        assert summary["mean"]["value"] == pytest.approx(values.mean())
        assert summary["quartiles"] == pytest.approx(np.percentile(values, [25, 50, 75]))
        assert summary["incorrect"]["n"] == wrong.sum()
        assert summary["correct"]["n"] == (~wrong).sum()
        assert summary["incorrect"]["mean"]["value"] == pytest.approx(values[wrong].mean())
        assert summary["correct"]["mean"]["value"] == pytest.approx(values[~wrong].mean())
        assert summary["auroc"]["value"] == pytest.approx(roc_auc_score(wrong, values))
        drawn = [np.repeat(np.arange(200), each) for each in weights]
        for measure, of_rows in (
            (summary["mean"], lambda rows, v=values: v[rows].mean()),
            (summary["auroc"], lambda rows, v=values: roc_auc_score(wrong[rows], v[rows])),
            (summary["incorrect"]["mean"], lambda rows, v=values: v[rows][wrong[rows]].mean()),
        ):
            expected = np.quantile([of_rows(rows) for rows in drawn], [0.025, 0.975])
            assert [measure["low"], measure["high"]] == pytest.approx(expected)


def curve_by_loop(certain, risk, share):
    """Mean risk of the first share * n rows; the last one in part."""
    ranked = risk[np.argsort(-certain, kind="stable")]
    kept = share * len(ranked)
    whole = int(kept + 1e-9)
    part = kept - whole if whole < len(ranked) else 0.0
    total = ranked[:whole].sum() + (part * ranked[whole] if part > 1e-9 else 0.0)
    return total / kept


def area_by_loop(certain, risk):
    ranked = risk[np.argsort(-certain, kind="stable")]
    return np.mean([ranked[:i].mean() for i in range(1, len(ranked) + 1)])


def curve_and_area(certain, risk, weights=None, shares=RETAINED):
    weights = np.ones((1, len(risk))) if weights is None else weights
    totals = Retention(certain).totals(weights, {"risk": risk})
    sums = kept(totals, shares)
    return sums["risk"] / sums["size"], area(totals)


def test_curve_and_area_equal_loops():
    random = np.random.default_rng(1)
    certain, risk = random.random(73), random.exponential(size=73)
    (found,), (under,) = curve_and_area(certain, risk)
    expected = [curve_by_loop(certain, risk, share) for share in RETAINED]
    np.testing.assert_allclose(found, expected)
    assert under == pytest.approx(area_by_loop(certain, risk))


def test_ties_count_as_the_mean_over_their_orders():
    certain = np.array([0.9, 0.5, 0.5, 0.5, 0.1])
    risk = np.array([0.0, 1.0, 0.0, 0.0, 1.0])
    areas, curves = [], []
    for order in itertools.permutations((1, 2, 3)):
        rows = [0, *order, 4]
        strict = np.arange(5)[::-1]
        areas.append(area_by_loop(strict, risk[rows]))
        curves.append([curve_by_loop(strict, risk[rows], share) for share in (0.4, 0.6, 0.8, 1)])
    (found,), (under,) = curve_and_area(certain, risk, shares=np.array([0.4, 0.6, 0.8, 1]))
    assert under == pytest.approx(np.mean(areas))
    np.testing.assert_allclose(found, np.mean(curves, axis=0))


def test_resampled_curves_equal_repeated_rows():
    random = np.random.default_rng(2)
    certain, risk = random.random(40).round(1), (random.random(40) < 0.4).astype(float)
    weights = random.multinomial(40, np.full(40, 1 / 40), size=6).astype(float)
    together, areas = curve_and_area(certain, risk, weights)
    for row, count in enumerate(weights.astype(int)):
        rows = np.repeat(np.arange(40), count)
        (expected,), (under,) = curve_and_area(certain[rows], risk[rows])
        np.testing.assert_allclose(together[row], expected, atol=1e-9)
        assert areas[row] == pytest.approx(under)


def test_certainty_of_decisions():
    p = np.array([[0.0], [0.1], [0.2], [0.6], [1.0]])
    np.testing.assert_allclose(
        methods_for(task_of("binary")).certainty(p, 0.2), [1.0, 0.5, 0.0, 0.5, 1.0], atol=1e-12
    )
    np.testing.assert_allclose(
        methods_for(task_of("binary")).certainty(p, 0.5), np.abs(2 * p - 1)[:, 0], atol=1e-12
    )
    both = methods_for(task_of("multilabel")).certainty(np.array([[0.2, 1.0]]), [0.2, 0.5])
    np.testing.assert_allclose(both, [0.5])
    assert methods_for(task_of("multiclass")).certainty(
        np.array([[0.5, 0.3, 0.2]]), None
    ).tolist() == [0.5]
    # At a threshold of 1 or 0 nothing lies beyond.
    assert np.isfinite(methods_for(task_of("binary")).certainty(p, 1.0)).all()


def test_abstention_of_a_binary_task():
    y, p, subjects = binary_part(150)
    found = abstention_of(
        EvaluatedRows(task_of("binary"), y, p, subjects, 0.4, Evaluation(bootstrap=100), 3)
    )
    json.dumps(found, allow_nan=False)
    curve = found["curve"]
    assert curve["retained"] == RETAINED.tolist()
    assert len(curve["retained"]) <= 50
    truth, above = y[:, 0] == 1, p[:, 0] >= 0.4
    certain = methods_for(task_of("binary")).certainty(p, 0.4)
    for share in (1.0, 0.8, 0.5, 0.2):
        at = curve["retained"].index(share)
        kept = np.argsort(-certain)[: round(share * 150)]
        error = (truth != above)[kept].mean()
        assert curve["error"]["value"][at] == pytest.approx(error)
        sensitivity = above[kept][truth[kept]].mean()
        assert curve["sensitivity"]["value"][at] == pytest.approx(sensitivity)
        specificity = (~above)[kept][~truth[kept]].mean()
        assert curve["specificity"]["value"][at] == pytest.approx(specificity)
        assert curve["error"]["low"][at] <= error <= curve["error"]["high"][at]
    wrong = (truth != above).astype(float)
    assert found["aurc"]["value"] == pytest.approx(area_by_loop(certain, wrong))
    assert found["oracle"]["value"] == pytest.approx(area_by_loop(-wrong, wrong))
    excess = found["aurc"]["value"] - found["oracle"]["value"]
    assert found["excess"]["value"] == pytest.approx(excess)
    weights = np.concatenate(list(resample_weights(subjects, 100, 3))).astype(int)
    drawn = [np.repeat(np.arange(150), each) for each in weights]
    # Copies of a row are ties of one value, so that the loop's order does not matter.
    areas = [area_by_loop(certain[rows], wrong[rows]) for rows in drawn]
    expected = np.quantile(areas, [0.025, 0.975])
    assert [found["aurc"]["low"], found["aurc"]["high"]] == pytest.approx(expected)


def test_abstention_without_error_is_not_certain():
    y = np.r_[np.zeros(30), np.ones(30)][:, None]
    p = np.r_[np.linspace(0, 0.3, 30), np.linspace(0.7, 1, 30)][:, None]
    found = abstention_of(
        EvaluatedRows(task_of("binary"), y, p, np.arange(60), 0.5, Evaluation(bootstrap=50), 0)
    )
    error = found["curve"]["error"]
    assert set(error["value"]) == {0.0}
    assert error["high"][0] == pytest.approx(0.0602, abs=1e-4)  # Wilson's bound of 0 of 60
    assert error["high"][-1] > error["high"][0]


def test_abstention_of_numbers_by_the_spread():
    random = np.random.default_rng(5)
    task = task_of("regression")
    y = random.normal(size=(80, 3)) * 4
    size = random.gamma(1.0, size=(80, 1))
    members = y + random.normal(size=(6, 80, 3)) * size
    p = members.mean(axis=0)
    found = uncertainty_of(
        EvaluatedRows(task, y, p, np.arange(80), None, Evaluation(bootstrap=20), 0),
        {"ensemble": members},
    )
    json.dumps(found, allow_nan=False)
    spread = members.std(axis=0, ddof=1)
    described = found["entropy"]["ensemble"]["standard_deviation"]
    assert list(described) == ["t0", "t1", "t2"]
    assert described["t1"]["mean"]["value"] == pytest.approx(spread[:, 1].mean())
    abstention = found["abstention"]
    assert (abstention["source"], abstention["metric"]) == ("ensemble", "mae")
    order = np.argsort((spread / task.scale_).mean(axis=1))
    half = abstention["curve"]["retained"].index(0.5)
    assert abstention["curve"]["mae"]["value"][half] == pytest.approx(
        np.abs(y - p)[order[:40]].mean()
    )
    assert abstention["curve"]["mae"]["value"][0] == pytest.approx(np.abs(y - p).mean())


def test_one_network_of_numbers_says_nothing():
    y = np.random.default_rng(0).normal(size=(20, 3))
    found = uncertainty_of(
        EvaluatedRows(task_of("regression"), y, y, np.arange(20), None, Evaluation(), 0)
    )
    for block in ("entropy", "abstention"):
        assert found[block] == {
            "not_estimable": "one network's number does not say how certain it is; "
            "training.ensemble or evaluation.monte_carlo_dropout does"
        }


@pytest.mark.parametrize(
    "what", ["one class", "all right", "constant", "one subject", "one row", "nan", "all nan"]
)
@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_degenerate_parts(kind, what):
    task, members = task_of(kind), probabilities(kind, 3, 30)
    p, subjects = members.mean(axis=0), np.arange(30)
    if kind == "multiclass":
        y = np.random.default_rng(0).integers(0, 3, 30)
    else:
        y = (np.random.default_rng(0).random(p.shape) < 0.5).astype(np.float32)
    if what == "one class":
        y = np.zeros_like(y)
    elif what == "all right":
        y = p.argmax(axis=1) if kind == "multiclass" else (p >= 0.5).astype(np.float32)
    elif what == "constant":
        p = np.full_like(p, 1 / 3 if kind == "multiclass" else 0.5)
        members = np.stack([p, p])
    elif what == "one subject":
        subjects = np.zeros(30)
    elif what == "one row":
        y, p, subjects, members = y[:1], p[:1], subjects[:1], members[:, :1]
    elif what == "nan":
        members[1, :4] = np.nan
        p[20:22] = np.nan
    elif what == "all nan":
        p[:] = np.nan
    found = uncertainty_of(
        EvaluatedRows(task, y, p, subjects, None, Evaluation(bootstrap=20), 0),
        {"ensemble": members},
    )
    json.dumps(found, allow_nan=False)
    if what == "all nan":
        assert found["abstention"]["not_estimable"] == "no test prediction is a finite number"
        return
    summary = found["entropy"]["network"]["predictive_entropy"]
    if what == "all right":
        assert summary["incorrect"] == {
            "n": 0, "mean": {"value": None, "low": None, "high": None, "undefined": 20},
        }  # fmt: skip
        assert summary["auroc"]["value"] is None
    if what == "constant":
        assert "equally certain" in found["abstention"]["note"]
        assert summary["mean"]["degenerate"]
    if what in ("one subject", "one row"):
        assert summary["mean"]["low"] is None
    if what == "nan":
        assert found["entropy"]["left_out"] == 6
        assert summary["correct"]["n"] + summary["incorrect"]["n"] == 24


def test_all_of_it_and_the_same_twice():
    rest = (0.5, Evaluation(bootstrap=50), 1)
    valid, test = (
        EvaluatedRows(task_of("binary"), *part, *rest, pd.DataFrame({"subject": part[2]}))
        for part in (binary_part(), binary_part(70, 5))
    )
    spread = {"ensemble": probabilities("binary", 3, 70)}
    results = [assess_part(test, valid=valid, spread=spread)[0]["uncertainty"] for _ in range(2)]
    assert list(results[0]) == ["conformal", "entropy", "abstention"]
    assert results[0]["conformal"]["state"]["n"] == 60
    assert json.dumps(results[0], allow_nan=False) == json.dumps(results[1])

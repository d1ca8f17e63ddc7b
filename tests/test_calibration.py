"""Calibration and agreement against statsmodels, scikit-learn, scipy and published numbers."""

import json
import warnings

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from medkit.config.experiment import Evaluation
from medkit.core.registry import tasks
from medkit.evaluation.calibration.agreement import Agreement
from medkit.evaluation.calibration.calibration import calibration_of
from medkit.evaluation.calibration.logistic import logits, weighted_intercept, weighted_logistic
from medkit.evaluation.calibration.reliability import METRICS, Reliability
from medkit.evaluation.calibration.smooth import Loess
from medkit.evaluation.rows import EvaluatedRows

sm = pytest.importorskip("statsmodels.api")


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def drawn(n, seed=0, intercept=0.0, slope=1.0):
    """Probabilities, and outcomes whose calibration has this intercept and slope."""
    random = np.random.default_rng(seed)
    p = random.beta(0.6, 1.2, size=n)
    truth = 1 / (1 + np.exp(-(intercept + slope * logits(p))))
    return (random.random(n) < truth).astype(float), p


def resamples(n, count=7, seed=1):
    return np.random.default_rng(seed).multinomial(n, np.ones(n) / n, size=count).astype(float)


def binary():
    return tasks.build("binary").fit([0, 1])


def described(y, p, subjects=None, seed=0, task=None, **settings):
    subjects = np.arange(len(p)) if subjects is None else subjects
    settings = Evaluation(**{"bootstrap": 200, **settings})
    found = calibration_of(EvaluatedRows(task or binary(), y, p, subjects, None, settings, seed))
    json.dumps(found, allow_nan=False)
    return found


# Logistic fits


def test_weighted_logistic_equals_statsmodels_in_every_resample():
    y, p = drawn(300, intercept=0.4, slope=0.6)
    x, weights = logits(p), resamples(300)
    found = weighted_logistic(x, y, weights)
    for row, weight in zip(found, weights, strict=True):
        model = sm.GLM(y, sm.add_constant(x), sm.families.Binomial(), freq_weights=weight)
        np.testing.assert_allclose(row, model.fit(tol=1e-12).params, atol=1e-6)


def test_slope_and_calibration_in_the_large_equal_statsmodels():
    y, p = drawn(400, intercept=-0.5, slope=1.4)
    expected = sm.Logit(y, sm.add_constant(logits(p))).fit(disp=0, tol=1e-12).params
    one = np.ones(len(y))
    np.testing.assert_allclose(weighted_logistic(logits(p), y, one)[0], expected, atol=1e-6)
    model = sm.GLM(y, np.ones(len(y)), sm.families.Binomial(), offset=logits(p))
    in_the_large = weighted_intercept(logits(p), y, one)[0]
    assert in_the_large == pytest.approx(model.fit().params[0], abs=1e-6)


def test_logistic_converges_far_from_the_start_and_says_where_no_fit_exists():
    # One overlapping pair among two classes far apart: the slope is huge, and finite.
    x = np.r_[np.linspace(-50, -1, 40), 0.01, -0.01, np.linspace(1, 50, 40)]
    y = np.r_[np.zeros(40), 0, 1, np.ones(40)]
    options = {"disp": 0, "maxiter": 500, "method": "bfgs", "gtol": 1e-10}
    expected = sm.Logit(y, sm.add_constant(x)).fit(**options).params
    np.testing.assert_allclose(weighted_logistic(x, y, np.ones(82))[0], expected, atol=1e-6)
    separated, constant = (x > 0).astype(float), np.zeros(82)
    every = np.ones((3, 82))
    assert np.isnan(weighted_logistic(x, separated, every)).all()
    assert np.isnan(weighted_logistic(x, 1 - separated, every)).all()
    assert np.isnan(weighted_logistic(constant, y, every)).all()
    assert np.isnan(weighted_logistic(x, constant, every)).all()
    assert np.isnan(weighted_intercept(x, constant, every)).all()
    # Quasi-complete separation: the classes touch in one point.
    touching = np.r_[np.arange(10.0), np.arange(9.0, 20)]
    assert np.isnan(weighted_logistic(touching, touching > 9, np.ones(21))).all()
    # A resample without the overlapping pair has none; the others are not disturbed by it.
    without = np.ones(82)
    without[[40, 41]] = 0
    mixed = weighted_logistic(x, y, np.stack([np.ones(82), without]))
    assert np.isfinite(mixed[0]).all()
    assert np.isnan(mixed[1]).all()


# Curve


@pytest.mark.parametrize("n", [40, 500])
def test_loess_equals_statsmodels(n):
    from statsmodels.nonparametric.smoothers_lowess import lowess

    y, p = drawn(n)
    found = Loess(p, y)
    expected = lowess(y, p, frac=found.span, it=0, xvals=found.at)
    assert found.span == pytest.approx(0.75 if n == 40 else 0.75 * (200 / 500) ** 0.2)
    np.testing.assert_allclose(found.fit(np.ones(n))[0], expected, atol=1e-9)


def test_loess_where_most_rows_are_equal_is_their_mean():
    x = np.r_[np.full(90, 0.2), np.linspace(0.5, 0.9, 10)]
    y = np.r_[np.tile([0.0, 0.0, 1.0], 30), np.ones(10)]
    found = Loess(x, y)
    assert found.fit(np.ones(100))[0][np.searchsorted(found.at, 0.2)] == pytest.approx(1 / 3)


# Bins, Brier score and its decomposition


def test_bins_and_errors_equal_scikit_learn():
    y, p = drawn(437, intercept=0.5)
    found = described(y[:, None], p[:, None])
    observed, predicted = calibration_curve(y, p, n_bins=10, strategy="quantile")
    np.testing.assert_allclose([each["observed"] for each in found["bins"]], observed)
    np.testing.assert_allclose([each["predicted"] for each in found["bins"]], predicted)
    rows = np.array([each["n"] for each in found["bins"]])
    metrics = found["metrics"]
    expected = (rows * np.abs(observed - predicted)).sum() / 437
    assert metrics["ece"]["apparent"] == pytest.approx(expected)
    observed, predicted = calibration_curve(y, p, n_bins=10, strategy="uniform")
    rows = np.histogram(p, np.linspace(0, 1, 11))[0]
    expected = (rows[rows > 0] * np.abs(observed - predicted)).sum() / 437
    assert metrics["ece_equal_width"]["apparent"] == pytest.approx(expected)
    assert metrics["brier"]["value"] == pytest.approx(brier_score_loss(y, p))
    assert metrics["observed_expected"]["value"] == pytest.approx(y.sum() / p.sum())
    assert sum(found["histogram"]["positives"]) == y.sum()
    assert sum(found["histogram"]["negatives"]) == (1 - y).sum()


def test_brier_decomposition_is_murphys_for_forecasts_that_are_equal_within_a_bin():
    random = np.random.default_rng(0)
    p = random.choice([0.1, 0.4, 0.8], size=600, p=[0.5, 0.3, 0.2])
    y = (random.random(600) < p**1.5).astype(float)
    metrics = described(y[:, None], p[:, None])["metrics"]
    share = y.mean()
    each = [((p == at).mean(), at, y[p == at].mean()) for at in (0.1, 0.4, 0.8)]
    value = {name: metrics[name]["value"] for name in METRICS}
    assert value["reliability"] == pytest.approx(sum(w * (at - o) ** 2 for w, at, o in each))
    assert value["resolution"] == pytest.approx(sum(w * (o - share) ** 2 for w, at, o in each))
    assert value["uncertainty"] == pytest.approx(share * (1 - share))
    assert value["within_bins"] == pytest.approx(0, abs=1e-12)
    assert value["brier_scaled"] == pytest.approx(1 - value["brier"] / (share * (1 - share)))


def test_the_parts_of_the_brier_score_add_up_in_every_resample():
    y, p = drawn(300)
    found = Reliability(y, p).measure(resamples(300))
    total = found["reliability"] - found["resolution"] + found["uncertainty"]
    np.testing.assert_allclose(total + found["within_bins"], found["brier"], atol=1e-12)
    for weights, brier in zip(resamples(300), found["brier"], strict=True):
        assert brier == pytest.approx(brier_score_loss(y, p, sample_weight=weights))


def test_ici_is_the_mean_distance_of_the_curve():
    from statsmodels.nonparametric.smoothers_lowess import lowess

    y, p = drawn(500, intercept=0.8)
    span = Loess(p, y).span
    exact = np.abs(lowess(y, p, frac=span, it=0, xvals=p) - p).mean()
    # Between its 50 points the curve is a line.
    assert described(y, p)["metrics"]["ici"]["apparent"] == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize("visits", [1, 3])
def test_what_chance_adds_to_ece_and_ici_is_taken_away(visits):
    """They were too large (0.053 became 0.094 in 150 rows), as of a perfect model."""
    for intercept, slope in ((0.0, 1.0), (0.4, 0.8)):
        found, truth = [], []
        for seed in range(20):
            y, p = drawn(300 // visits, seed, intercept=intercept, slope=slope)
            y, p, codes = (np.repeat(each, visits) for each in (y, p, np.arange(len(y))))
            found.append(described(y, p, codes, bootstrap=100)["metrics"])
            risk = 1 / (1 + np.exp(-(intercept + slope * logits(p))))
            truth.append(np.abs(risk - p).mean())
        for name in ("ece", "ici"):
            each = [one[name] for one in found]
            bias = np.mean([one["value"] for one in each]) - np.mean(truth)
            apparent = np.mean([one["apparent"] for one in each]) - np.mean(truth)
            assert abs(bias) < max(0.65 * abs(apparent), 0.035), (name, bias, apparent)
            if name == "ici" and visits > 1:
                assert each[0]["low"] is None
                assert "fewer than 150 subjects" in each[0]["note"]
                continue
            held = [one["low"] <= true <= one["high"]
                    for one, true in zip(each, truth, strict=True)]  # fmt: skip
            assert np.sum(held) >= 16, name
            assert all(one["low"] <= one["value"] <= one["high"] for one in each)
            if slope == 1:
                assert np.mean([one["value"] == 0 for one in each]) > 0.3
                seen = np.mean([one["apparent"] - one["if_calibrated"] for one in each])
                assert abs(seen) < 0.02


# Intervals


def test_intervals_are_those_of_the_standard_errors_in_large_samples():
    y, p = drawn(3000, intercept=0.5, slope=0.6)
    found = described(y, p, bootstrap=1000)["metrics"]
    slope = sm.Logit(y, sm.add_constant(logits(p))).fit(disp=0)
    family = sm.families.Binomial()
    large = sm.GLM(y, np.ones(len(y)), family, offset=logits(p)).fit(cov_type="HC0")
    errors = {"intercept": slope.bse[0], "slope": slope.bse[1], "in_the_large": large.bse[0]}
    for name, error in errors.items():
        each = found[name]
        assert each["value"] - each["low"] == pytest.approx(1.96 * error, rel=0.12), name
        assert each["high"] - each["value"] == pytest.approx(1.96 * error, rel=0.12), name
    assert found["slope"]["high"] < 1
    assert found["in_the_large"]["low"] > 0


def test_intervals_of_small_samples_hold_what_the_outcomes_were_drawn_with():
    held = {"slope": [], "in_the_large": [], "ece": []}
    for seed in range(50):
        found = described(*drawn(120, seed))["metrics"]
        for name, truth in (("slope", 1), ("in_the_large", 0), ("ece", 0)):
            held[name].append(found[name]["low"] <= truth <= found[name]["high"])
    # Of 400 samples of 120 rows, 93 % held the slope and 95 % the calibration in the large.
    # Intervals half as wide would hold two in three.
    assert all(np.sum(each) >= 40 for each in held.values()), held


def test_curve_has_a_band_around_the_truth():
    y, p = drawn(4000, intercept=0.5, slope=0.6)
    curve = {name: np.array(each) for name, each in described(y, p)["curve"].items()}
    assert len(curve["predicted"]) <= 50
    assert (curve["low"] <= curve["observed"]).all()
    assert (curve["observed"] <= curve["high"]).all()
    truth = 1 / (1 + np.exp(-(0.5 + 0.6 * logits(curve["predicted"]))))
    # At both ends, where the truth is steep, a local line bends less than it.
    inner = (curve["predicted"] > 0.1) & (curve["predicted"] < 0.9)
    assert np.abs(curve["observed"] - truth)[inner].max() < 0.05
    assert np.median(curve["high"] - curve["low"]) < 0.1


def test_intervals_of_distances_hold_their_value():
    y, p = drawn(300)
    metrics = described(y, p)["metrics"]
    for name in ("ece", "ece_equal_width", "ici"):
        found = metrics[name]
        assert found["method"] == "inverted"
        assert 0 <= found["low"] <= found["value"] <= found["high"]
    for name in ("reliability", "resolution", "within_bins"):
        assert metrics[name]["low"] is None
        assert metrics[name]["note"] == "noise adds to it: no interval of it covers"


def test_subjects_are_resampled_whole():
    y, p = drawn(200)
    once = described(y, p)["metrics"]
    codes = np.repeat(np.arange(200), 3)
    thrice = described(np.repeat(y, 3), np.repeat(p, 3), codes)["metrics"]
    for name in ("in_the_large", "intercept", "slope", "brier", "observed_expected"):
        for key in ("value", "low", "high"):
            assert thrice[name][key] == pytest.approx(once[name][key], abs=1e-6)


def test_same_seed_same_numbers_and_no_bootstrap_no_intervals():
    y, p = drawn(150)
    assert described(y, p, seed=4) == described(y, p, seed=4)
    assert described(y, p, seed=4)["metrics"] != described(y, p, seed=5)["metrics"]
    found = described(y, p, bootstrap=0)
    assert found["resamples"] == 0
    assert all(each["low"] is None for each in found["metrics"].values())
    assert set(found["curve"]["low"]) == {None}


# Several classes, labels, outputs; before and after


def test_multiclass_is_each_class_against_the_rest_and_the_top_one():
    random = np.random.default_rng(0)
    p = random.dirichlet([1, 1, 2], size=300)
    y = np.array([random.choice(3, p=each) for each in p])
    task = tasks.build("multiclass").fit(["a", "b", "c"] * 5)
    found = described(y, p, task=task)
    assert list(found["per_class"]) == ["a", "b", "c"]
    for i, block in enumerate(found["per_class"].values()):
        expected = weighted_logistic(logits(p[:, i]), y == i, np.ones(len(y)))[0, 1]
        assert block["metrics"]["slope"]["value"] == pytest.approx(expected)
        assert block["positives"] == (y == i).sum()
    top = found["top_label"]
    right = p.argmax(axis=1) == y
    assert top["positives"] == right.sum()
    gap = top["metrics"]["observed_expected"]["value"]
    assert gap == pytest.approx(right.sum() / p.max(axis=1).sum())


def test_multilabel_is_per_label_and_before_stands_beside_after():
    y, p = drawn(200)
    both_y, both_p = np.stack([y, 1 - y], axis=1), np.stack([p, 1 - p], axis=1)
    task = tasks.build("multilabel").fit(both_y, names=("x", "y"))
    settings, codes = Evaluation(bootstrap=0), np.arange(200)
    state = {"kind": "platt", "asked": "platt", "warning": None}
    found = calibration_of(
        EvaluatedRows(task, both_y, both_p, codes, None, settings, 0),
        before=both_p**2,
        recalibration=state,
    )
    assert list(found["per_label"]) == ["x", "y"]
    assert found["recalibration"] == state
    alone = calibration_of(EvaluatedRows(task, both_y, both_p**2, codes, None, settings, 0))
    assert found["before"] == {"per_label": alone["per_label"]}
    failed = {"kind": "none", "asked": "platt", "warning": "too few"}
    found = calibration_of(
        EvaluatedRows(task, both_y, both_p, codes, None, settings, 0),
        before=both_p,
        recalibration=failed,
    )
    assert "before" not in found
    assert found["recalibration"]["warning"] == "too few"


# Peak expiratory flow by two meters: Bland and Altman, Lancet 327, 1986, table 1.
LARGE = (494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427)
MINI = (512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451)


def test_agreement_is_that_of_bland_and_altman():
    y, p = np.array(MINI, float), np.array(LARGE, float)
    task = tasks.build("regression").fit(y, names=("flow",))
    found = described(y[:, None], p[:, None], task=task)["per_output"]["flow"]
    metrics = found["metrics"]
    assert metrics["bias"]["value"] == pytest.approx(-2.1, abs=0.05)
    assert metrics["sd"]["value"] == pytest.approx(38.8, abs=0.05)
    low, high = metrics["bias"]["bland_altman"].values()
    assert (low, high) == (pytest.approx(-22.0, abs=0.1), pytest.approx(17.8, abs=0.1))
    # The paper rounds s to 38.8, 1.96 to 2 (limits -79.7 and 75.5) and their variance to 3 s²/n.
    apart = metrics["upper_limit"]["value"] - metrics["lower_limit"]["value"]
    assert apart * 2 / 1.959964 == pytest.approx(75.5 + 79.7, abs=4 * 0.05)
    limit = metrics["lower_limit"]
    half = (limit["bland_altman"]["high"] - limit["bland_altman"]["low"]) / 2
    assert half == pytest.approx((114.3 - 45.1) / 2, rel=0.01)
    assert limit["bland_altman"]["low"] < limit["value"] < limit["bland_altman"]["high"]
    assert found["within_limits"] == 16 / 17
    assert sum(found["histogram"]["counts"]) == 17


def test_regression_calibration_equals_scipy():
    from scipy.stats import linregress

    random = np.random.default_rng(0)
    p = random.normal(120, 15, size=200)
    y = 30 + 0.7 * p + random.normal(0, 8, size=200)
    task = tasks.build("regression").fit(np.stack([y, y], axis=1), names=("a", "b"))
    given = np.stack([y, y], axis=1), np.stack([p, p + 5], axis=1)
    found = described(*given, np.arange(200) // 2, task=task)["per_output"]
    metrics = found["a"]["metrics"]
    expected = linregress(p, y)
    assert metrics["slope"]["value"] == pytest.approx(expected.slope)
    assert metrics["intercept"]["value"] == pytest.approx(expected.intercept)
    assert metrics["slope"]["low"] < 0.7 < metrics["slope"]["high"]
    proportional = linregress((p + y) / 2, p - y).slope
    assert metrics["proportional_bias"]["value"] == pytest.approx(proportional)
    assert found["b"]["metrics"]["bias"]["value"] == pytest.approx(metrics["bias"]["value"] + 5)
    assert "subjects have several rows" in found["a"]["notes"][0]
    weights = resamples(200)
    of = Agreement(y, p).measure(weights)
    for i, weight in enumerate(weights):
        rows = np.repeat(np.arange(200), weight.astype(int))
        assert of["sd"][i] == pytest.approx((p - y)[rows].std(ddof=1))
        assert of["slope"][i] == pytest.approx(linregress(p[rows], y[rows]).slope)


# What cannot be estimated


def not_silent(found):
    """No number is null without a reason."""
    if isinstance(found, dict):
        if "value" in found and found["value"] is None:
            assert found["not_estimable"]
        for each in found.values():
            not_silent(each)
    elif isinstance(found, list):
        for each in found:
            not_silent(each)


ALTERNATING = np.arange(60) % 2


@pytest.mark.parametrize(
    ("y", "p", "absent", "reason"),
    [
        (np.zeros(20), np.linspace(0.1, 0.9, 20), "in_the_large", "no events among 20 rows"),
        (np.ones(20), np.linspace(0.1, 0.9, 20), "slope", "no non-events among 20 rows"),
        (
            np.arange(60) < 9,
            np.linspace(0.1, 0.9, 60),
            "slope",
            "only 9 subjects with events",
        ),
        (
            np.arange(60) > 0,
            np.linspace(0.1, 0.9, 60),
            "ici",
            "only 1 subject with non-events",
        ),
        (ALTERNATING, np.full(60, 0.3), "slope", "all predictions are equal"),
        (ALTERNATING, ALTERNATING * 0.5 + 0.2, "slope", "the predictions separate the classes"),
        (ALTERNATING, np.zeros(60), "observed_expected", "all predictions are 0"),
        (ALTERNATING, np.ones(60), "in_the_large", "all predictions are 1"),
    ],
)
def test_not_estimable(y, p, absent, reason):
    found = described(np.asarray(y, float)[:, None], np.asarray(p, float)[:, None])
    assert found["metrics"][absent]["value"] is None
    assert reason in found["metrics"][absent]["not_estimable"]
    assert any(reason in note for note in found["notes"])
    assert found["metrics"]["brier"]["value"] is not None
    not_silent(found)


def test_no_rows_no_numbers_and_one_subject():
    p = np.full((30, 1), 0.4)
    p[3] = np.nan
    found = described(np.ones((30, 1)), p)
    assert found == {"kind": "yes_no", "not_estimable": "1 of 30 predictions are not finite"}
    found = described(np.zeros((0, 1)), np.zeros((0, 1)))
    assert found == {"kind": "yes_no", "not_estimable": "there are no rows"}
    y, p = drawn(100)
    found = described(y, p, np.zeros(100))
    assert found["metrics"]["slope"]["low"] is None
    assert found["notes"][-1] == "the rows are of one subject: there are no intervals"


def test_certain_predictions_are_noted_beside_the_slope():
    y, p = drawn(300)
    assert "notes" not in described(y, p)
    p[:4], p[4:6] = 0, 1
    found = described(y, p)
    assert found["metrics"]["slope"]["value"] is not None
    (note,) = found["notes"]
    assert note.startswith("6 of 300 predictions are 0 or 1")
    assert "may decide the slope" in note


def test_minimums_count_subjects_not_rows():
    """One patient with 24 rows had a slope of 1.16 (0.88 to 1.47) without a word."""
    y, p = drawn(400)
    y = np.r_[np.ones((24, 1)), np.zeros((400, 1))]
    p = np.r_[p[:24], p]
    visits = np.r_[np.zeros(24), np.arange(1, 401)]
    for name in ("slope", "intercept", "ici"):
        found = described(y, p, visits)["metrics"][name]
        assert (found["value"], found["low"]) == (None, None)
        assert found["not_estimable"] == "only 1 subject with events; 10 are needed"
    assert described(y, p, np.arange(424))["metrics"]["slope"]["value"] is not None
    number = tasks.build("regression").fit([1.0, 2.0])
    few = described(np.arange(40.0)[:, None], np.arange(40.0)[:, None] + 1, np.arange(40) % 2,
                    task=number)["per_output"]["0"]  # fmt: skip
    assert few["metrics"]["slope"]["not_estimable"] == "only 2 subjects; 3 are needed"
    assert few["curve"] is None


@pytest.mark.parametrize(("rows", "p"), [(1, [3.0]), (2, [3.0, 4.0]), (30, [3.0] * 30)])
def test_regression_not_estimable(rows, p):
    y = np.arange(rows, dtype=float)[:, None]
    task = tasks.build("regression").fit([1.0, 2.0])
    found = described(y, np.array(p)[:, None], task=task)["per_output"]["0"]
    assert found["metrics"]["slope"]["value"] is None
    assert found["curve"] is None
    not_silent(found)

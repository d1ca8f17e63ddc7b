"""Bootstrap by subject and DeLong: against loops, scipy, published values, and by simulation."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score
from test_benchmarks import loaded

from medkit.config.experiment import Evaluation
from medkit.core.errors import DataError
from medkit.core.registry import tasks
from medkit.evaluation import evaluate_part
from medkit.evaluation.part_metrics import measure, resample
from medkit.evaluation.resampling.bca import Correction, correction
from medkit.evaluation.resampling.delong import delong_covariance, delong_interval, delong_test
from medkit.evaluation.resampling.intervals import resample_by
from medkit.evaluation.resampling.paired import compare_outputs
from medkit.evaluation.resampling.resampling import (
    Groups,
    left_out_groups,
    outcome_strata,
    resample_weights,
)
from medkit.evaluation.rows import EvaluatedRows

# DeLong, DeLong and Clarke-Pearson's example (1988), the complete records, as the documentation of
# SAS/STAT has them (PROC LOGISTIC, "Comparing receiver operating characteristic curves"): albumin,
# total protein, K-G score (10 less it ranks upwards), whether the patient was helped by surgery.
OVARIAN = """
3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0
1.6 5.6 5 1   3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1
4.3 7.0 4 1   3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1
3.0 4.7 8 0   4.5 7.4 5 1  3.7 7.4 5 1  3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1
3.2 5.1 5 1   2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1
3.5 6.2 5 1   2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1
3.6 6.6 5 1
"""


def ovarian():
    albumin, protein, score, helped = np.array(OVARIAN.split(), float).reshape(-1, 4).T
    return helped, albumin, protein, 10 - score


cohort = loaded("coverage").cohort


def binary():
    return tasks.build("binary").fit(np.array([0, 1]))


# The resamples


def test_strata_are_by_outcome_of_the_subject():
    codes = np.array([0, 0, 1, 1, 2, 3, 4, 5])
    y = np.array([0, 1, 0, 0, 1, 0, 1, 0])
    assert outcome_strata(y[:, None] == 1, codes).tolist() == [1, 0, 1, 0, 1, 0]
    # The rarest class that a subject has; one subject alone would never vary.
    classes = np.array([0, 2, 0, 0, 2, 1, 1, 0])
    rarest = outcome_strata(classes[:, None] == np.arange(3), codes)
    assert rarest[0] == rarest[2] != rarest[3] == rarest[4]
    alone = np.array([0, 0, 0, 0, 0, 1, 0, 0])
    assert outcome_strata(alone[:, None] == np.arange(2), codes) is None
    labels = np.array([[0, 0], [1, 1], [0, 0], [0, 0], [1, 0], [0, 1], [1, 0], [1, 0]])
    stratum = outcome_strata(labels == 1, codes)
    assert stratum[0] == stratum[3]  # both have the rarer label
    assert stratum[2] == stratum[4] == stratum[5]
    assert outcome_strata(None, codes) is None
    assert outcome_strata(np.ones((8, 1), bool), codes) is None


def test_no_resample_loses_an_outcome_and_each_stratum_keeps_its_draws(monkeypatch):
    codes = np.repeat(np.arange(60), 2)
    y = np.repeat(np.arange(60) < 4, 2)
    strata = outcome_strata(y.reshape(-1, 1) == 1, codes)
    weights = np.concatenate(list(resample_weights(codes, 400, 3, strata)))
    assert (weights[:, ::2] == weights[:, 1::2]).all()
    positive = weights[:, ::2][:, :4]
    assert (positive.sum(axis=1) > 0).all()
    # Within the stratum: whole numbers of draws, four in all, times the share that was drawn.
    share = positive.sum(axis=1, keepdims=True)
    draws = positive / share * 4
    assert draws == pytest.approx(np.round(draws))
    assert share == pytest.approx(np.round(share))
    assert weights.sum() / 400 == pytest.approx(120, rel=0.01)
    # The share varies as the number of positives in a sample of 60 does.
    assert share.std() == pytest.approx(np.sqrt(60 * (4 / 60) * (56 / 60)), rel=0.15)
    monkeypatch.setattr("medkit.evaluation.resampling.resampling._WEIGHTS_AT_ONCE", 1000)
    chunks = list(resample_weights(codes, 400, 3, strata))
    assert len(chunks) == 50
    assert (np.concatenate(chunks) == weights).all()
    plain = np.concatenate(list(resample_weights(codes, 400, 3)))
    assert ((plain[:, ::2][:, :4].sum(axis=1) == 0).mean()) > 0.005


def test_replicates_are_those_of_a_loop_over_resamples():
    y, p, codes = cohort(np.random.default_rng(0), 40, 3, 0.3, 1.2, 0.5)
    p = np.round(p, 1)
    found = resample(
        EvaluatedRows(binary(), y, p, codes, 0.3, Evaluation(bootstrap=60), 5)
    ).replicates
    strata = outcome_strata(y.reshape(-1, 1) == 1, codes)
    for index, weights in enumerate(np.concatenate(list(resample_weights(codes, 60, 5, strata)))):
        expected = roc_auc_score(y.ravel(), p.ravel(), sample_weight=weights)
        assert found["auroc"][index] == pytest.approx(expected)
        assert found["brier"][index] == pytest.approx(np.average((p - y) ** 2, weights=[
            [each] for each in weights
        ]))  # fmt: skip


def test_a_constant_prediction_keeps_the_uncertainty_of_the_prevalence():
    y = np.repeat([1.0, 0.0], [60, 140])[:, None]
    found = measure(
        EvaluatedRows(
            binary(), y, np.full((200, 1), 0.2), np.arange(200), 0.5, Evaluation(bootstrap=2000), 0
        )
    )[0]
    brier = found["metrics"]["brier"]
    error = (0.8**2 - 0.2**2) * np.sqrt(0.3 * 0.7 / 200)
    assert brier["high"] - brier["low"] == pytest.approx(2 * 1.96 * error, rel=0.08)
    assert found["notes"] == ["every row has the same output: the model does not discriminate"]
    auroc = found["metrics"]["auroc"]
    assert (auroc["value"], auroc["degenerate"]) == (0.5, True)
    assert auroc["delong"]["low"] is None
    assert "AUROC 0.5: no row ranks differently" in auroc["delong"]["note"]


def test_subjects_are_left_out_one_by_one_or_in_groups():
    codes = np.repeat(np.arange(30), 2)
    strata = (np.arange(30) < 8).astype(int)
    groups = left_out_groups(codes, 0, strata)
    weights = np.concatenate(list(groups.weights(codes)))
    assert weights.shape == (30, 60)
    assert (weights.sum(axis=1) == 58).all()
    assert (weights.sum(axis=0) == 29).all()
    assert groups.stratum[groups.of_subject].tolist() == strata.tolist()
    many = np.arange(5000)
    strata = (many < 50).astype(int)
    groups = left_out_groups(many, 0, strata)
    assert len(groups.stratum) == 150  # the 50 one by one, the others in 100 groups
    assert (groups.stratum[groups.of_subject] == strata).all()
    assert groups.sizes.tolist() == [4950, 50]


# The corrected intervals


def test_bca_is_that_of_scipy():
    x = np.random.default_rng(0).exponential(size=40)
    replicates = np.random.default_rng(1).choice(x, (4000, 40)).mean(axis=1)

    class Given:  # what scipy takes in place of resamples of its own
        bootstrap_distribution = replicates

    expected = stats.bootstrap(
        (x,), np.mean, n_resamples=0, bootstrap_result=Given(), method="BCa", confidence_level=0.9
    ).confidence_interval
    left_out = np.array([np.delete(x, i).mean() for i in range(40)])
    groups = Groups(np.arange(40), np.zeros(40, int), np.array([40]))
    found = correction(replicates, x.mean(), left_out, groups)
    assert (found.freedom, found.widening) == pytest.approx((39, np.sqrt(40 / 39)))
    plain = Correction(found.bias, found.acceleration)
    bounds = np.quantile(replicates, plain.quantiles(0.9))
    assert bounds == pytest.approx([expected.low, expected.high], abs=1e-6)
    wider = np.quantile(replicates, found.quantiles(0.9))
    assert wider[0] < bounds[0]
    assert bounds[1] < wider[1]


def test_degrees_of_freedom_are_those_of_welch():
    random = np.random.default_rng(2)
    a, b = random.normal(0, 3, size=25), random.normal(0, 1, size=25)
    values, stratum = np.r_[a, b], np.repeat([0, 1], 25)

    def statistic(weights):
        first, second = weights[:, :25], weights[:, 25:]
        return {"d": first @ a / first.sum(axis=1) - second @ b / second.sum(axis=1)}

    found = resample_by(statistic, np.arange(50), stratum, 500, 0)
    corrected = found.corrected("d", a.mean() - b.mean())
    assert corrected.freedom == pytest.approx(stats.ttest_ind(a, b, equal_var=False).df)
    assert corrected.widening == pytest.approx(np.sqrt(25 / 24))
    assert len(values) == 50


def test_p_is_one_less_the_confidence_at_which_the_interval_ends_at_zero():
    random = np.random.default_rng(4)
    x = random.normal(size=25) + 0.3

    def mean(weights):
        return {"m": weights @ x / weights.sum(axis=1)}

    found = resample_by(mean, np.arange(25), None, 20_000, 0)
    p = found.p_value("m", x.mean())
    low = found.confidence_interval("m", x.mean(), 1 - p)
    nearest = min(abs(low["low"]), abs(low["high"]))
    assert nearest == pytest.approx(0, abs=2e-3)
    assert p == pytest.approx(stats.ttest_1samp(x, 0).pvalue, rel=0.1)
    assert Correction().p_value(np.zeros(99), 0.0) == 1.0


def test_p_beyond_the_resamples_is_students():
    x = np.random.default_rng(4).normal(size=25) + 1.5

    def mean(weights):
        return {"m": weights @ x / weights.sum(axis=1)}

    found = resample_by(mean, np.arange(25), None, 500, 0)
    assert found.replicates["m"].min() > 0
    p = found.p_value("m", x.mean())
    assert p < 2 / 501
    assert np.log10(p) == pytest.approx(np.log10(stats.ttest_1samp(x, 0).pvalue), abs=0.6)
    # A little off 0 in all resamples, yet no more than they can tell.
    assert Correction().p_value(np.linspace(0.01, 2, 99), 1.0) == pytest.approx(0.02)


# DeLong


def test_delong_of_the_published_example():
    helped, albumin, protein, score = ovarian()
    areas, covariance = delong_covariance(
        helped, np.array([albumin, protein, score]), np.arange(43)
    )
    assert areas == pytest.approx([0.7366, 0.6478, 0.7258], abs=5e-5)
    assert np.sqrt(np.diag(covariance)) == pytest.approx([0.0927, 0.1000, 0.1028], abs=5e-5)
    for other, expected in (
        (albumin, {"difference": 0.0108, "standard_error": 0.0953, "low": -0.1761, "high": 0.1976,
                   "p": 0.9102}),
        (protein, {"difference": -0.0780, "standard_error": 0.1046, "low": -0.2830, "high": 0.1271,
                   "p": 0.4561}),
    ):  # fmt: skip
        found = delong_test(helped, other, score)
        assert {name: found[name] for name in expected} == pytest.approx(expected, abs=6e-5)
    assert found["z"] ** 2 == pytest.approx(0.5554, abs=5e-5)


def obuchowski(y, scores, codes):
    """Obuchowski's (1997) variance as she writes it, in loops, for two models."""
    positive, negative = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
    m, n = len(positive), len(negative)
    win = {}
    for k, s in enumerate(scores):
        for i in positive:
            for j in negative:
                win[k, i, j] = 1.0 if s[i] > s[j] else 0.5 if s[i] == s[j] else 0.0
    theta = [sum(win[k, i, j] for i in positive for j in negative) / (m * n) for k in (0, 1)]
    clusters = sorted(set(codes.tolist()))
    x = [[0.0] * len(clusters) for _ in range(2)]
    z = [[0.0] * len(clusters) for _ in range(2)]
    for k in (0, 1):
        for c, cluster in enumerate(clusters):
            for i in positive:
                if codes[i] == cluster:
                    x[k][c] += sum(win[k, i, j] for j in negative) / n - theta[k]
            for j in negative:
                if codes[j] == cluster:
                    z[k][c] += sum(win[k, i, j] for i in positive) / m - theta[k]
    i10, i01 = len(set(codes[positive].tolist())), len(set(codes[negative].tolist()))
    count = len(clusters)
    covariance = np.empty((2, 2))
    for k in (0, 1):
        for q in (0, 1):
            s10 = i10 / ((i10 - 1) * m) * sum(a * b for a, b in zip(x[k], x[q], strict=True))
            s01 = i01 / ((i01 - 1) * n) * sum(a * b for a, b in zip(z[k], z[q], strict=True))
            s11 = count / (count - 1) * sum(a * b for a, b in zip(x[k], z[q], strict=True))
            s11_turned = count / (count - 1) * sum(a * b for a, b in zip(z[k], x[q], strict=True))
            covariance[k, q] = s10 / m + s01 / n + (s11 + s11_turned) / (m * n)
    return theta, covariance


@pytest.mark.parametrize("clustered", [False, True])
def test_delong_is_that_of_loops_ties_and_clusters_included(clustered):
    random = np.random.default_rng(1)
    y = (random.random(48) < 0.4).astype(float)
    scores = np.round(y + random.normal(size=(2, 48)), 1)
    codes = np.sort(random.integers(0, 15, 48)) if clustered else np.arange(48)
    theta, expected = obuchowski(y, scores, codes)
    areas, covariance = delong_covariance(y, scores, np.unique(codes, return_inverse=True)[1])
    assert areas == pytest.approx(theta)
    assert covariance == pytest.approx(expected)
    found = delong_interval(y, scores[0], 0.9, codes)
    assert found["standard_error"] == pytest.approx(np.sqrt(expected[0, 0]))
    logit = stats.logistic.ppf(theta[0])
    rarer = min(len(np.unique(codes[y == each])) for each in (0, 1))
    quantile = stats.t.ppf(0.95, rarer - 1)
    half = quantile * np.sqrt(expected[0, 0]) / (theta[0] * (1 - theta[0]))
    assert found["low"] == pytest.approx(stats.logistic.cdf(logit - half))
    assert found["high"] == pytest.approx(stats.logistic.cdf(logit + half))
    test = delong_test(y, *scores, subjects=codes)
    error = np.sqrt(expected[0, 0] + expected[1, 1] - 2 * expected[0, 1])
    assert test["z"] == pytest.approx((theta[0] - theta[1]) / error)
    assert test["p"] == pytest.approx(2 * stats.norm.sf(abs(test["z"])))


def test_what_delong_cannot_tell_it_says():
    y, p = np.repeat([0.0, 1.0], 10), np.linspace(0, 1, 20)
    assert delong_interval(y, p)["note"] == (
        "AUROC 1: no row ranks differently from the others of its class"
    )
    assert delong_interval(np.zeros(20), p)["note"] == (
        "no subject has positive rows; an interval needs 3"
    )
    one = delong_interval(y, p, subjects=np.where(y == 1, 99, np.arange(20)))
    assert one["note"] == "one subject only has positive rows; an interval needs 3"
    assert delong_test(y, p, 2 * p)["p"] == 1.0
    assert delong_test(y, p, 2 * p)["note"] == "both rank the rows alike"
    assert delong_test(y, p, -p) == {
        "difference": 1.0, "low": None, "high": None, "p": None,
        "note": "the difference has no variance",
    }  # fmt: skip
    p[3] = np.nan
    with pytest.raises(DataError, match=r"1 of 20 predictions are not finite \(first at row 4\)"):
        delong_interval(y, p)
    with pytest.raises(DataError, match="19 predictions for 20 targets"):
        delong_test(y, p[1:], p[1:])
    with pytest.raises(DataError, match="targets other than 0 and 1"):
        delong_interval(2 * y, np.arange(20))


def test_delong_stands_beside_the_bootstrap():
    y, p, codes = cohort(np.random.default_rng(0), 80, 3, 0.4, 1.5, 0.5)
    found = evaluate_part(EvaluatedRows(binary(), y, p, codes, 0.4, Evaluation(bootstrap=400), 0))
    auroc = found["metrics"]["auroc"]
    expected = delong_interval(y, p, 0.95, codes)
    assert auroc["delong"] == {name: expected[name] for name in ("low", "high")}
    assert auroc["delong"]["low"] == pytest.approx(auroc["low"], abs=0.02)
    assert "delong" not in found["metrics"]["auprc"]
    labels = tasks.build("multilabel").fit([[0, 1], [1, 0]], ["a", "b"])
    both = evaluate_part(
        EvaluatedRows(
            labels,
            np.hstack([y, 1 - y]),
            np.hstack([p, p]),
            codes,
            [0.5, 0.5],
            Evaluation(bootstrap=20),
            0,
        )
    )["metrics"]
    assert both["auroc_a"]["delong"] == auroc["delong"]
    assert "delong" not in both["auroc"]  # a mean over labels
    none = evaluate_part(EvaluatedRows(binary(), y, p, codes, 0.4, Evaluation(bootstrap=0), 0))[
        "metrics"
    ]
    assert none["auroc"] == {"value": auroc["value"], "low": None, "high": None}


# What a reader is told


def test_few_events_are_said():
    y, p = np.repeat([1.0, 0.0], [6, 60])[:, None], np.random.default_rng(0).random((66, 1))
    settings = Evaluation(bootstrap=20)
    found = evaluate_part(EvaluatedRows(binary(), y, p, np.arange(66), 0.5, settings, 0))
    unsure = "the numbers are very unsure, and an interval may cover far less often than it says"
    assert found["notes"] == [f"6 positive subjects, fewer than 10: {unsure}"]
    # Six rows of one patient are one patient.
    codes = np.r_[np.zeros(6, int), np.arange(1, 61)]
    found = evaluate_part(EvaluatedRows(binary(), y, p, codes, 0.5, settings, 0))
    assert found["notes"] == [f"1 positive subject, fewer than 10: {unsure}"]
    classes = tasks.build("multiclass").fit(["a", "b", "c"])
    y = np.repeat([0, 1, 2], [30, 32, 4])
    p = np.random.default_rng(0).dirichlet(np.ones(3), size=66)
    found = evaluate_part(EvaluatedRows(classes, y, p, np.arange(66), None, settings, 0))
    assert found["notes"][0].startswith("fewer than 10 subjects, very unsure numbers")
    assert found["notes"][0].endswith("c (4)")


@pytest.mark.parametrize("subjects", [1, 2, 3])
def test_an_auroc_of_hardly_any_subjects_has_no_interval(subjects):
    """Ten rows of each patient tell no more of how well others are told apart."""
    codes = np.repeat(np.arange(40), 10)
    y, p = (codes < subjects)[:, None], np.random.default_rng(0).random((400, 1))
    rows = EvaluatedRows(binary(), y, p, codes, 0.5, Evaluation(bootstrap=50), 0)
    found = evaluate_part(rows)["metrics"]
    other = rows.answered(np.random.default_rng(1).random((400, 1)), 0.5)
    less = compare_outputs(rows, other)
    for each in (found["auroc"], found["auprc"]):
        assert (each["low"] is None) == (subjects < 3)
    assert less["metrics"]["auroc"]["low"] is None  # a difference needs 10
    assert "10 of each class are needed" in less["metrics"]["auroc"]["note"]
    assert (found["auroc"]["delong"]["low"] is None) == (subjects < 3)
    assert (less["delong"]["p"] is None) == (subjects < 3)
    if subjects < 3:
        said = f"too few subjects for an interval: positive ({subjects}); 3 of each class"
        assert found["auroc"]["note"].startswith(said)
    assert found["brier"]["low"] is not None


def test_predictions_that_are_not_finite_are_refused():
    y, p = np.repeat([1.0, 0.0], 20)[:, None], np.full((40, 1), 0.5)
    p[7] = np.nan
    with pytest.raises(DataError, match=r"1 of 40 predictions are not finite \(first at row 8\)"):
        evaluate_part(
            EvaluatedRows(binary(), y, p, np.arange(40), 0.5, Evaluation(bootstrap=20), 0)
        )


# Coverage


@pytest.mark.slow
@pytest.mark.parametrize("number", range(3), ids=["independent", "visits", "one outcome a patient"])
def test_coverage_of_the_intervals(number, capsys):
    """Of 600 rows with 25 % events; ``benchmarks/coverage.py`` has the other cohorts."""
    benchmark = loaded("coverage")
    found = benchmark.coverage(benchmark.DESIGNS[number], 600, 0.25, 150, 300, 200_000)
    shares = {name: held / shown for name, (shown, held) in found.items() if shown > 100}
    with capsys.disabled():
        print("\n ", ", ".join(f"{name} {share:.0%}" for name, share in shares.items()))
    assert len(shares) > 20
    assert np.mean([*shares.values()]) == pytest.approx(0.95, abs=0.02)
    # Of 150 cohorts an exact 95 % is below 89 % once in a thousand times; the ICI covers 90 %.
    assert all(share > 0.83 for share in shares.values()), shares

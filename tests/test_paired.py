"""Two models on the same rows: statsmodels, scipy and scikit-learn's recipe as references."""

import json

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar

from medkit.config.experiment import Evaluation
from medkit.core.errors import DataError
from medkit.core.registry import tasks
from medkit.evaluation.resampling.delong import delong_test
from medkit.evaluation.resampling.intervals import resample_by
from medkit.evaluation.resampling.paired import compare_outputs, corrected_resampled_t, mcnemar
from medkit.evaluation.resampling.resampling import outcome_strata
from medkit.evaluation.rows import EvaluatedRows
from medkit.tasks.scores.ranking import Ranking


def metric_names(task):
    return tuple(metric.name for metric in task.metrics)


def binary():
    return tasks.build("binary").fit(np.array([0, 1]))


def two_models(random, subjects=120, rows_each=1, better=0.6, shared=0.5):
    """Targets, two models that see the same noise in part, subject codes."""
    codes = np.repeat(np.arange(subjects), rows_each)
    y = (np.arange(subjects) % 3 == 0)[codes].astype(float)
    of_subject = random.normal(size=subjects)[codes] * np.sqrt(shared)
    a, b = (
        distance * y + of_subject + random.normal(size=len(codes)) * np.sqrt(1 - shared)
        for distance in (1 + better, 1.0)
    )
    return y[:, None], *(1 / (1 + np.exp(0.7 - each))[:, None] for each in (a, b)), codes


def compared(y, a, b, codes, task=None, thresholds=(0.5, 0.5), **settings):
    settings = Evaluation(**{"bootstrap": 500, **settings})
    first = EvaluatedRows(task or binary(), y, a, codes, thresholds[0], settings, 0)
    return compare_outputs(first, first.answered(b, thresholds[1]))


def test_differences_are_those_of_the_scores_and_paired():
    y, a, b, codes = two_models(np.random.default_rng(0))
    found = compared(y, a, b, codes)
    auroc = found["metrics"]["auroc"]
    assert auroc["difference"] == pytest.approx(roc_auc_score(y, a) - roc_auc_score(y, b))
    assert auroc["low"] < auroc["difference"] < auroc["high"]
    assert (auroc["p"] < 0.05) == (auroc["low"] > 0)
    assert set(found["metrics"]) == set(metric_names(binary()))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["delong"] == delong_test(y, a, b, codes)
    assert auroc["p"] == pytest.approx(found["delong"]["p"], abs=0.02)
    assert auroc["low"] == pytest.approx(found["delong"]["low"], abs=0.015)
    swapped = compared(y, b, a, codes)["metrics"]["auroc"]
    assert swapped["difference"] == -auroc["difference"]
    assert swapped["low"] == pytest.approx(-auroc["high"], abs=0.01)
    # The models share their errors: of unpaired models the difference would be less sure.
    error = np.hypot(*(compared_error(y, each, codes) for each in (a, b)))
    assert found["delong"]["standard_error"] < 0.95 * error


def compared_error(y, p, codes):
    from medkit.evaluation.resampling.delong import delong_interval

    return delong_interval(y, p, subjects=codes)["standard_error"]


def test_a_model_does_not_differ_from_itself():
    y, a, _, codes = two_models(np.random.default_rng(1), rows_each=2)
    found = compared(y, a, a, codes)
    for each in found["metrics"].values():
        assert (each["difference"], each["low"], each["high"], each["p"]) == (0, 0, 0, 1)
    assert found["delong"]["p"] == 1.0
    assert (found["mcnemar"]["only_a"], found["mcnemar"]["only_b"]) == (0, 0)
    assert found["mcnemar"]["p"] == 1.0
    assert compared(y[::2], a[::2], a[::2], codes[::2])["mcnemar"]["p"] == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("rows_each", [1, 4])
def test_two_equal_models_are_told_apart_in_a_twentieth_of_the_cohorts(rows_each, capsys):
    random, trials = np.random.default_rng(6), 300
    small = dict.fromkeys(("bootstrap", "DeLong", "McNemar"), 0)
    naive = 0
    for trial in range(trials):
        # Each model has noise of its own for each subject, which its rows share.
        codes = np.repeat(np.arange(60), rows_each)
        y = (np.arange(60) < 24)[codes].astype(float)
        a, b = (
            1.2 * y + random.normal(size=60)[codes] + 0.5 * random.normal(size=len(codes))
            for _ in range(2)
        )
        rankings = Ranking(y, a), Ranking(y, b)

        def difference(weights, rankings=rankings):
            return {"d": np.subtract(*(each.areas(weights)[0] for each in rankings))}

        strata = outcome_strata(y.reshape(-1, 1) == 1, codes)
        resampled = resample_by(difference, codes, strata, 150, trial)
        value = float(difference(np.ones((1, len(y))))["d"][0])
        small["bootstrap"] += resampled.p_value("d", value) <= 0.05
        small["DeLong"] += delong_test(y, a, b, codes)["p"] <= 0.05
        right = ((each >= 0.6) == (y == 1) for each in (a, b))
        small["McNemar"] += mcnemar(*right, codes)["p"] <= 0.05
        naive += delong_test(y, a, b)["p"] <= 0.05
    shares = {name: count / trials for name, count in small.items()}
    with capsys.disabled():
        print(f"\n  {trials} cohorts of 60 x {rows_each} rows, equal models, p <= 0.05: {shares}")
    assert all(0.015 <= share <= 0.085 for share in shares.values()), shares
    assert (naive / trials > 0.15) == (rows_each == 4)


def test_mcnemar_is_that_of_statsmodels():
    random = np.random.default_rng(2)
    for rows in (3, 12, 40, 300):
        right_a, right_b = random.random(rows) < 0.8, random.random(rows) < 0.6
        only_a, only_b = (right_a & ~right_b).sum(), (~right_a & right_b).sum()
        table = [[0, only_a], [only_b, 0]]
        found = mcnemar(right_a, right_b, np.arange(rows))
        assert (found["only_a"], found["only_b"]) == (only_a, only_b)
        exact = reference_mcnemar(table, exact=True).pvalue
        if only_a == only_b:
            assert found["p"] == pytest.approx(1.0)
        else:
            mid = stats.binom.pmf(min(only_a, only_b), only_a + only_b, 0.5)
            assert found["p"] == pytest.approx(exact - mid)
        # Clustered, with one subject of two rows that are right in both: McNemar's chi-square.
        both = np.r_[right_a, True, True], np.r_[right_b, True, True]
        clustered = mcnemar(*both, np.r_[np.arange(rows), rows, rows])
        chi_square = reference_mcnemar(table, exact=False, correction=False)
        assert clustered["statistic"] == pytest.approx(chi_square.statistic)
        assert clustered["p"] == pytest.approx(chi_square.pvalue)
    # Fagerland, Lydersen and Laake (2013), airway hyper-responsiveness: 1 and 7 discordant pairs.
    airway = np.repeat([True, False], [1, 7])
    assert mcnemar(airway, ~airway, np.arange(8))["p"] == pytest.approx(0.0391, abs=5e-5)


def test_mcnemar_of_clustered_rows_by_hand():
    # Surplus of A in three subjects: 2, 1 and -1; (2 + 1 - 1)^2 / (4 + 1 + 1).
    right_a = np.array([1, 1, 0, 1, 1, 0, 0], bool)
    right_b = np.array([0, 0, 0, 0, 1, 1, 0], bool)
    found = mcnemar(right_a, right_b, np.array([0, 0, 0, 1, 1, 2, 2]))
    assert (found["method"], found["only_a"], found["only_b"]) == ("clustered", 3, 1)
    assert found["statistic"] == pytest.approx(4 / 6)
    assert found["p"] == pytest.approx(stats.chi2.sf(4 / 6, 1))
    assert found["note"] == "the models differ in 3 subjects only: p is a rough guide"


def test_each_model_is_judged_at_its_own_threshold():
    y = np.array([1, 1, 0, 0] * 10)[:, None]
    a, b = np.tile([0.4, 0.3, 0.2, 0.1], 10)[:, None], np.tile([0.9, 0.4, 0.7, 0.6], 10)[:, None]
    found = compared(y, a, b, np.arange(40), thresholds=(0.25, 0.5))
    assert (found["mcnemar"]["only_a"], found["mcnemar"]["only_b"]) == (30, 0)
    assert found["metrics"]["recall"]["difference"] == 0.5
    specificity = found["metrics"]["specificity"]
    assert specificity["difference"] == 1.0
    assert specificity["p"] is None
    assert specificity["not_estimable"] == "the same in all resamples: no test"


def test_other_tasks_are_compared():
    random = np.random.default_rng(0)
    codes, n = np.repeat(np.arange(50), 2), 100
    labels = tasks.build("multilabel").fit([[0, 1], [1, 0]], ["a", "b"])
    y = (random.random((n, 2)) < 0.4).astype(float)
    p, q = random.random((n, 2)), random.random((n, 2))
    found = compared(y, p, q, codes, labels, ([0.4, 0.5], [0.5, 0.6]))
    assert found["delong"]["b"] == delong_test(y[:, 1], p[:, 1], q[:, 1], codes)
    assert set(found["mcnemar"]) == {"a", "b"}
    assert set(found["metrics"]) == set(metric_names(labels))

    classes = tasks.build("multiclass").fit(["a", "b", "c"])
    y = random.integers(0, 3, n)
    p, q = random.dirichlet(np.ones(3), n), random.dirichlet(np.ones(3), n)
    found = compared(y, p, q, codes, classes, (None, None))
    assert set(found) == {"metrics", "mcnemar"}
    right = p.argmax(axis=1) == y, q.argmax(axis=1) == y
    assert found["mcnemar"]["only_a"] == (right[0] & ~right[1]).sum()
    assert found["metrics"]["accuracy"]["difference"] == pytest.approx(
        right[0].mean() - right[1].mean()
    )

    numbers = tasks.build("regression").fit(random.normal(size=n))
    y = random.normal(size=(n, 1))
    found = compared(y, y + 0.1, y + 1, codes, numbers, (None, None))
    assert set(found) == {"metrics"}
    assert found["metrics"]["mae"]["difference"] == pytest.approx(-0.9)


def test_what_cannot_be_compared_is_said():
    y, a, b, codes = two_models(np.random.default_rng(0), subjects=30)
    one = compared(np.ones_like(y), a, b, codes)
    assert one["metrics"]["auroc"] == {
        "difference": None, "low": None, "high": None, "p": None,
        "not_estimable": "undefined in these rows",
    }  # fmt: skip
    assert one["delong"]["note"] == "no subject has negative rows; an interval needs 3"
    none = compared(y, a, b, codes, bootstrap=0)
    assert none["metrics"]["auroc"]["p"] is None
    assert none["delong"]["p"] < 1
    alone = compared(y, a, b, np.zeros(30))
    assert alone["metrics"]["auroc"]["low"] is None
    with pytest.raises(DataError, match="29 predictions or subjects for 30 targets"):
        compared(y, a, b[1:], codes)
    a[0] = np.inf
    with pytest.raises(DataError, match="1 of 30 predictions are not finite"):
        compared(y, a, b, codes)


def test_the_same_seed_gives_the_same_comparison():
    models = two_models(np.random.default_rng(0), subjects=40)
    assert compared(*models) == compared(*models)


def test_corrected_resampled_t():
    differences = np.random.default_rng(0).normal(0.02, 0.03, size=10)
    found = corrected_resampled_t(differences, 0.8, 0.2)
    # As scikit-learn's guide to comparing models computes it.
    corrected = np.sqrt(np.var(differences, ddof=1) * (1 / 10 + 20 / 80))
    t = differences.mean() / corrected
    assert found["t"] == pytest.approx(t)
    assert found["p"] == pytest.approx(2 * stats.t.sf(abs(t), 9))
    bounds = stats.t.interval(0.95, 9, loc=differences.mean(), scale=corrected)
    assert (found["low"], found["high"]) == pytest.approx(bounds)
    assert found["degrees_of_freedom"] == 9
    # Without overlap of the training rows it is the usual test.
    usual = stats.ttest_1samp(differences, 0)
    assert corrected_resampled_t(differences, 1, 1e-12)["p"] == pytest.approx(usual.pvalue)
    assert found == corrected_resampled_t(differences, 400, 100)  # rows do as well as shares


def test_what_the_corrected_t_cannot_tell():
    assert corrected_resampled_t(np.zeros(5), 0.8, 0.2)["p"] == 1.0
    same = corrected_resampled_t(np.full(5, 0.1), 0.8, 0.2)
    assert (same["p"], same["note"]) == (None, "the difference is the same in all folds")
    one = corrected_resampled_t(np.array([0.1, np.nan]), 0.8, 0.2)
    assert (one["difference"], one["p"], one["undefined"]) == (0.1, None, 1)
    assert one["note"] == "1 fold with a value; a test needs two"
    none = corrected_resampled_t(np.array([]), 0.8, 0.2)
    assert (none["difference"], none["low"]) == (None, None)
    with pytest.raises(DataError, match=r"must be above 0; got 0\.8 and 0"):
        corrected_resampled_t(np.ones(5), 0.8, 0)


def test_a_difference_of_hardly_any_patients_has_no_interval():
    """Nominal 95 % intervals of a difference in recall covered 65 to 90 % of simulations."""
    random = np.random.default_rng(0)
    y = np.repeat([1.0, 0.0], [40, 160])[:, None]
    p = np.where(y == 1, 0.7, 0.2) + random.normal(0, 0.02, y.shape)
    other = p.copy()
    other[:5] = 0.3  # five positives are found by one model only
    task = tasks.build("binary").fit(np.array([0, 1]))
    settings = Evaluation(bootstrap=100)
    rows = EvaluatedRows(task, y, p, np.arange(200), 0.5, settings, 0)
    found = compare_outputs(rows, rows.answered(other, 0.5))["metrics"]
    assert (found["recall"]["low"], found["recall"]["p"]) == (None, None)
    assert (
        "no interval: the models differ in 5 subjects only; 10 are needed"
        in (found["recall"]["note"])
    )
    assert found["brier"]["low"] is not None
    few = EvaluatedRows(task, y[31:], p[31:], np.arange(169), 0.5, settings, 0)
    found = compare_outputs(few, few.answered(other[31:] ** 2, 0.5))["metrics"]
    assert all(each["low"] is None for each in found.values())
    assert found["brier"]["note"].startswith("too few subjects for an interval: positive (9); 10")

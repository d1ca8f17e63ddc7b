"""Gaps between groups and calibration within them: statsmodels and scikit-learn as references."""

import json
import logging

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from sklearn import metrics as sk
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep

from medkit.config.experiment import Evaluation
from medkit.core.errors import DataError
from medkit.core.registry import tasks
from medkit.evaluation import check_subgroups, subgroup_metrics
from medkit.evaluation.groups.fairness import fairness_gaps, holm
from medkit.evaluation.resampling.proportions import newcombe, newcombe_p
from medkit.evaluation.rows import EvaluatedRows


def binary():
    return tasks.build("binary").fit(np.array([0, 1]))


def ward(random, n=600, missed=0.0):
    """A model whose scores are lower by ``missed`` (logit) in the smaller of two groups."""
    samples = pd.DataFrame({"sex": np.where(np.arange(n) % 5 < 2, "F", "M")})
    samples["age"] = random.uniform(20, 90, n).round()
    y = (random.random(n) < 0.35).astype(float)
    z = 1.6 * y - 1.2 + random.normal(size=n) - missed * (samples["sex"] == "F")
    return y[:, None], 1 / (1 + np.exp(-z.to_numpy()))[:, None], samples


def gaps(y, p, samples, attributes, subjects=None, task=None, threshold=0.4, **settings):
    settings = Evaluation(**{"bootstrap": 400, "subgroups": attributes, **settings})
    subjects = np.arange(len(y)) if subjects is None else subjects
    return fairness_gaps(
        EvaluatedRows(task or binary(), y, p, subjects, threshold, settings, 0, samples)
    )


def test_gaps_are_differences_of_scikit_learns_rates():
    y, p, samples = ward(np.random.default_rng(0), missed=1.0)
    found = gaps(y, p, samples, ("sex",))["sex"]
    assert found["reference"] == "M"
    assert list(found["gaps"]) == ["F"]
    truth, predicted = y.ravel(), p.ravel() >= 0.4
    expected = {
        "equal_opportunity": lambda r: sk.recall_score(truth[r], predicted[r]),
        "false_positive_rate": lambda r: 1 - sk.recall_score(truth[r], predicted[r], pos_label=0),
        "predictive_parity": lambda r: sk.precision_score(truth[r], predicted[r]),
        "demographic_parity": lambda r: predicted[r].mean(),
        "discrimination": lambda r: sk.roc_auc_score(truth[r], p.ravel()[r]),
    }
    women = (samples["sex"] == "F").to_numpy()
    told = found["gaps"]["F"]
    for name, rate in expected.items():
        gap = told[name]
        assert gap["group"] == pytest.approx(rate(women))
        assert gap["reference"] == pytest.approx(rate(~women))
        assert gap["value"] == pytest.approx(rate(women) - rate(~women))
        assert gap["low"] < gap["value"] < gap["high"]
        # Of independent proportions in large groups the bootstrap and Newcombe's interval agree.
        assert (gap["p"] <= 0.05) == (gap["low"] > 0 or gap["high"] < 0)
    for name, rows in (("equal_opportunity", truth == 1), ("false_positive_rate", truth == 0)):
        counts = [np.sum(rows & women), np.sum(rows & ~women)]
        hits = [np.sum(rows & women & predicted), np.sum(rows & ~women & predicted)]
        bounds = confint_proportions_2indep(
            hits[0], counts[0], hits[1], counts[1], method="newcomb", compare="diff"
        )
        assert (told[name]["low"], told[name]["high"]) == pytest.approx(bounds, abs=0.025)
    odds = told["equalized_odds"]
    assert odds["value"] == max(
        abs(told[name]["value"]) for name in ("equal_opportunity", "false_positive_rate")
    )
    assert odds["low"] < odds["value"] < odds["high"]
    assert odds["low"] > 0  # the planted gap
    assert odds["p_holm"] <= 0.05
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_newcombe_is_that_of_statsmodels_and_of_his_paper():
    for a, b in (((9, 10), (27, 40)), ((0, 25), (4, 30)), ((30, 30), (20, 22))):
        shares = a[0] / a[1], b[0] / b[1]
        expected = confint_proportions_2indep(*a, *b, method="newcomb", compare="diff")
        assert newcombe(shares, (a[1], b[1]), 0.95) == pytest.approx(expected)
        p = newcombe_p(shares, (a[1], b[1]))
        bounds = newcombe(shares, (a[1], b[1]), 1 - p)
        assert min(abs(each) for each in bounds) == pytest.approx(0, abs=1e-6)
    # Newcombe, Statistics in Medicine 17, 1998 (differences), table II, method 10: 56/70 - 48/80.
    assert newcombe((0.8, 0.6), (70, 80), 0.95) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert newcombe((1.0, 0.0), (10, 10), 0.95) == pytest.approx((0.6075, 1.0), abs=5e-5)


def test_a_rate_that_no_resample_moves_has_newcombes_interval():
    y = np.tile(np.repeat([1.0, 0.0], [20, 30]), 2)[:, None]
    samples = pd.DataFrame({"sex": np.repeat(["F", "M"], [50, 50])})
    p = np.where(y == 1, 0.9, np.random.default_rng(0).random(y.shape) * 0.8)
    p[50:55] = 0.1  # five men are missed
    samples = pd.concat([samples, pd.DataFrame({"sex": ["M"] * 10})], ignore_index=True)
    y, p = np.r_[y, np.zeros((10, 1))], np.r_[p, np.full((10, 1), 0.1)]
    found = gaps(y, p, samples, ("sex",))["sex"]["gaps"]["F"]["equal_opportunity"]
    assert found["method"] == "newcombe"
    expected = confint_proportions_2indep(20, 20, 15, 20, method="newcomb", compare="diff")
    assert (found["low"], found["high"]) == pytest.approx(expected)
    assert 0 < found["p"] < 0.05


def test_holm_is_that_of_statsmodels():
    random = np.random.default_rng(0)
    for count in (1, 2, 7, 40):
        p = random.random(count) ** 3
        p[: count // 3] = p[0]  # ties
        assert holm(p.tolist()) == pytest.approx(multipletests(p, method="holm")[1])
    assert holm([]) == []


def test_the_correction_is_over_all_gaps_of_all_attributes():
    y, p, samples = ward(np.random.default_rng(3))
    found = gaps(y, p, samples, ("sex", "age"), bands={"age": (40, 65)})
    told = [
        (name, gap)
        for attribute in found.values()
        for group in attribute["gaps"].values()
        for name, gap in group.items()
    ]
    tested = [gap for name, gap in told if name != "equalized_odds"]
    assert len(tested) == 15  # five gaps of one group, and of two
    assert found["sex"]["tests"] == found["age"]["tests"] == 15
    expected = multipletests([gap["p"] for gap in tested], method="holm")[1]
    assert [gap["p_holm"] for gap in tested] == pytest.approx(expected)
    for attribute in found.values():
        for group in attribute["gaps"].values():
            halves = group["equal_opportunity"], group["false_positive_rate"]
            odds = group["equalized_odds"]
            assert odds["p"] == min(1, 2 * min(half["p"] for half in halves))
            assert odds["p_holm"] == min(half["p_holm"] for half in halves)


@pytest.mark.slow
def test_groups_that_are_alike_are_rarely_told_apart(capsys):
    random, trials = np.random.default_rng(1), 150
    alarms = covered = told = 0
    for _ in range(trials):
        y, p, samples = ward(random, n=240)
        found = gaps(y, p, samples, ("sex",), bootstrap=200)["sex"]["gaps"]["F"]
        alarms += min(gap["p_holm"] for gap in found.values()) <= 0.05
        for name, gap in found.items():
            if name != "equalized_odds":
                told += 1
                covered += gap["low"] <= 0 <= gap["high"]
        assert found["equalized_odds"]["low"] >= 0
    with capsys.disabled():
        print(f"\n  {trials} cohorts without gaps: any gap found after Holm {alarms / trials:.1%}, "
              f"95 % intervals of gaps cover {covered / told:.1%}")  # fmt: skip
    assert alarms / trials <= 0.09
    assert 0.93 <= covered / told <= 0.97


def test_small_cells_are_not_told():
    y, p, samples = ward(np.random.default_rng(0), n=200)
    samples["ward"] = ["A"] * 150 + ["B"] * 40 + ["C"] * 6 + ["D"] * 4
    samples["few"] = ["x"] * 194 + ["y"] * 6
    y[150:190] = 0
    y[150:157] = 1
    found = gaps(y, p, samples, ("ward", "few"))
    assert list(found["ward"]["gaps"]) == ["B", "other (2 values)"]
    assert "C" not in json.dumps(found)
    told = found["ward"]["gaps"]["B"]
    reason = "fewer than 10 positive subjects in this group"
    for name in ("equal_opportunity", "discrimination", "equalized_odds"):
        assert told[name]["value"] is None
        assert told[name]["p"] is None
        assert told[name]["not_estimable"] == reason
    assert told["demographic_parity"]["value"] is not None
    assert found["few"]["suppressed"] == {"other (1 value)": "fewer than 10 subjects"}
    assert found["few"]["note"] == "no gaps: there is one group only"
    # Forty rows of one patient are one patient.
    same = np.r_[np.arange(150), np.full(40, 150), np.arange(151, 161)]
    found = gaps(y, p, samples, ("ward",), subjects=same)["ward"]
    assert "B" not in found.get("gaps", {})


def test_cells_are_counted_in_subjects_of_their_own_outcome():
    random = np.random.default_rng(0)
    samples = pd.DataFrame({"ward": np.repeat(["A", "B", "C"], [100, 60, 40])})
    subjects = np.r_[np.arange(100), 100 + np.arange(60) // 3, 200 + np.arange(40)]
    y, p = np.zeros((200, 1)), random.random((200, 1))
    y[:50], y[100:124], y[160:195] = 1, 1, 1  # B: 24 positive rows of 8 subjects
    found = gaps(y, p, samples, ("ward",), subjects=subjects, threshold=0.1)["ward"]["gaps"]
    few = "fewer than 10 {} subjects in this group"
    assert found["B"]["equal_opportunity"]["not_estimable"] == few.format("positive")
    assert found["B"]["false_positive_rate"]["value"] is not None
    assert found["C"]["equal_opportunity"]["value"] is not None
    assert found["C"]["false_positive_rate"]["not_estimable"] == few.format("negative")
    assert found["C"]["discrimination"]["not_estimable"] == few.format("negative")


def test_degenerate_attributes_and_models_get_a_reason(caplog):
    y, p, samples = ward(np.random.default_rng(0), n=120)
    samples["empty"] = None
    samples["nan"] = np.nan
    samples["each"] = [f"patient {i}" for i in range(120)]
    found = gaps(y, p, samples, ("empty", "nan", "each", "gone"))
    missing = {
        "reference": None, "suppressed": {"missing": "the attribute is missing in all rows"},
        "note": "no gaps: it is missing in all rows", "tests": 0,
    }  # fmt: skip
    assert found["empty"] == found["nan"] == missing
    assert found["each"]["note"] == "no gaps: no group is known and large enough to compare with"
    assert "patient" not in json.dumps(found)
    assert "gone" not in found
    settings = Evaluation(bootstrap=20, subgroups=("empty",))
    with caplog.at_level(logging.WARNING, logger="medkit"):
        groups = subgroup_metrics(
            EvaluatedRows(binary(), y, p, np.arange(120), 0.4, settings, 0, samples)
        )
    assert "no subgroups by 'empty': it is missing in all rows" in caplog.text
    assert groups == {"empty": {"missing": {"suppressed": "the attribute is missing in all rows"}}}

    constant = gaps(y, np.full_like(p, 0.2), samples, ("sex",))["sex"]["gaps"]["F"]
    assert constant["predictive_parity"]["not_estimable"] == (
        "fewer than 10 flagged subjects in this group"
    )
    assert constant["demographic_parity"]["value"] == 0
    assert constant["demographic_parity"]["p"] == 1.0
    assert constant["discrimination"]["not_estimable"].startswith("the same in all resamples")
    nobody = gaps(np.zeros_like(y), p, samples, ("sex",))["sex"]["gaps"]["F"]
    assert nobody["equal_opportunity"]["value"] is None
    plain = gaps(y, p, samples, ("sex",), bootstrap=0)["sex"]["gaps"]["F"]
    assert plain["demographic_parity"]["value"] is not None
    assert plain["demographic_parity"]["low"] is None
    assert plain["equalized_odds"]["p"] is None


def test_other_tasks_have_gaps_for_each_output():
    random = np.random.default_rng(0)
    n = 300
    samples = pd.DataFrame({"sex": np.where(random.random(n) < 0.4, "F", "M")})
    women = (samples["sex"] == "F").to_numpy()
    labels = tasks.build("multilabel").fit([[0, 1], [1, 0]], ["a", "b"])
    y, p = (random.random((n, 2)) < 0.5).astype(float), random.random((n, 2))
    found = gaps(y, p, samples, ("sex",), task=labels, threshold=[0.3, 0.6])["sex"]
    gap = found["per_label"]["b"]["F"]["equal_opportunity"]
    assert gap["group"] == pytest.approx(sk.recall_score(y[women, 1], p[women, 1] >= 0.6))
    assert found["tests"] == 10

    classes = tasks.build("multiclass").fit(["x", "y", "z"])
    y, p = random.integers(0, 3, n), random.dirichlet(np.ones(3), n)
    found = gaps(y, p, samples, ("sex",), task=classes, threshold=None)["sex"]["per_class"]
    recall = sk.recall_score(y[women], p[women].argmax(axis=1), average=None)
    assert [found[c]["F"]["equal_opportunity"]["group"] for c in "xyz"] == pytest.approx(recall)

    numbers = tasks.build("regression").fit(random.normal(size=n))
    y, p = random.normal(size=(n, 1)), random.normal(size=(n, 1)) + women[:, None]
    found = gaps(y, p, samples, ("sex",), task=numbers, threshold=None)["sex"]["per_output"]["0"]
    assert set(found["F"]) == {"mean_absolute_error", "bias"}
    error = (p - y).ravel()
    assert found["F"]["bias"]["value"] == pytest.approx(error[women].mean() - error[~women].mean())
    assert found["F"]["bias"]["p_holm"] < 0.05


def test_the_same_seed_gives_the_same_gaps():
    y, p, samples = ward(np.random.default_rng(0), n=150)
    assert gaps(y, p, samples, ("sex", "age")) == gaps(y, p, samples, ("sex", "age"))


def test_equalized_odds_are_bounded_by_simultaneous_intervals():
    y, p, samples = ward(np.random.default_rng(0), missed=0.5)
    odds = gaps(y, p, samples, ("sex",))["sex"]["gaps"]["F"]["equalized_odds"]
    wider = gaps(y, p, samples, ("sex",), confidence=0.975)["sex"]["gaps"]["F"]
    bounds = [
        (wider[name]["low"], wider[name]["high"])
        for name in ("equal_opportunity", "false_positive_rate")
    ]
    assert odds["high"] == max(abs(each) for pair in bounds for each in pair)
    least = [0 if low <= 0 <= high else min(abs(low), abs(high)) for low, high in bounds]
    assert odds["low"] == max(least)
    assert odds["method"] == "bonferroni"


# Bands


def test_numeric_attributes_are_cut_at_clinical_bands():
    age = [18, 39, 40, 64.9, 65, 90, np.nan, np.inf] * 10
    samples = pd.DataFrame({"age": age, "small": [1, 2, 3, 4] * 20})
    y = np.zeros((80, 1))
    settings = Evaluation(bootstrap=0, subgroups=("age", "small"), minimum_group=5,
                          bands={"age": (40, 65), "small": (3,)})  # fmt: skip
    check_subgroups(samples, settings)
    numbers = tasks.build("regression").fit(np.arange(9.0))
    found = subgroup_metrics(
        EvaluatedRows(numbers, y, y, np.arange(80), None, settings, 0, samples)
    )
    counts = {name: group["n"] for name, group in found["age"].items()}
    assert counts == {"under 40": 20, "40 to under 65": 20, "65 and over": 20, "missing": 20}
    assert list(found["small"]) == ["under 3", "3 and over"]


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        ({"age": (65, 40)}, "bands.age: cut points must be numbers that rise; got 65, 40"),
        ({"age": ()}, "cut points must be numbers that rise; got none"),
        ({"age": (40, np.inf)}, "got 40, inf"),
        ({"sex": (1,)}, "evaluation.bands.sex: the attribute holds no numbers"),
        ({"agee": (40,)}, "'agee' is not among evaluation.subgroups; did you mean 'age'?"),
        ({"height": (40,)}, "'height' is not among evaluation.subgroups; name it there too"),
    ],
)  # fmt: skip
def test_wrong_bands_are_refused(bands, message):
    samples = pd.DataFrame({"age": [50, 60], "sex": ["F", "M"]})
    with pytest.raises(DataError) as caught:
        check_subgroups(samples, Evaluation(subgroups=("age", "sex"), bands=bands))
    assert message in str(caught.value)


# Calibration within groups


def test_calibration_of_a_group_knows_nothing_of_the_others():
    """Its intervals too: no subject of another group is drawn, as one without rows."""
    y, p, samples = ward(np.random.default_rng(0))
    samples["sex"] = np.where(np.arange(len(samples)) % 10, "F", "M")
    settings = Evaluation(bootstrap=100, subgroups=("sex",))
    rows = EvaluatedRows(binary(), y, p, np.arange(len(y)), 0.4, settings, 0, samples)
    alone = rows.take(np.flatnonzero(samples["sex"] == "M"))
    groups = [subgroup_metrics(each)["sex"]["M"]["calibration"] for each in (rows, alone)]
    assert groups[0] == groups[1]


def test_calibration_of_a_group_is_that_of_statsmodels():
    y, p, samples = ward(np.random.default_rng(0))
    settings = Evaluation(bootstrap=400, subgroups=("sex",))
    found = subgroup_metrics(
        EvaluatedRows(binary(), y, p, np.arange(600), 0.4, settings, 0, samples)
    )["sex"]
    for name, group in found.items():
        rows = (samples["sex"] == name).to_numpy()
        truth, x = y[rows, 0], np.log(p[rows, 0] / (1 - p[rows, 0]))
        line = sm.Logit(truth, sm.add_constant(x)).fit(disp=0)
        large = sm.GLM(truth, np.ones(len(x)), family=sm.families.Binomial(), offset=x).fit(
            cov_type="HC0"
        )
        told = group["calibration"]["metrics"]
        assert told["intercept"]["value"] == pytest.approx(line.params[0], abs=1e-6)
        assert told["slope"]["value"] == pytest.approx(line.params[1], abs=1e-6)
        assert told["in_the_large"]["value"] == pytest.approx(large.params[0], abs=1e-6)
        assert told["observed_expected"]["value"] == pytest.approx(truth.sum() / p[rows].sum())
        wald = line.conf_int()[1]
        assert told["slope"]["low"] == pytest.approx(wald[0], abs=0.15)
        assert told["slope"]["high"] == pytest.approx(wald[1], abs=0.25)
        assert told["in_the_large"]["high"] - told["in_the_large"]["low"] == pytest.approx(
            np.ptp(large.conf_int()[0]), rel=0.15
        )


def test_calibration_that_a_group_cannot_tell():
    y, p, samples = ward(np.random.default_rng(0), n=120)
    samples["few"] = ["x"] * 80 + ["y"] * 20 + ["z"] * 20
    y[80:100], y[100:] = 0, 0
    y[100:104] = 1
    settings = Evaluation(bootstrap=50, subgroups=("few",))
    run = (np.arange(120), 0.4, settings, 0, samples)
    found = subgroup_metrics(EvaluatedRows(binary(), y, p, *run))["few"]
    none = found["y"]["calibration"]["metrics"]
    assert none["in_the_large"] == {
        "value": None, "low": None, "high": None, "not_estimable": "no positive subjects",
    }  # fmt: skip
    assert none["observed_expected"]["value"] == 0
    few = found["z"]["calibration"]["metrics"]
    assert few["slope"]["not_estimable"] == "fewer than 10 positive subjects"
    assert few["in_the_large"]["value"] is not None
    assert found["z"]["notes"] == [
        "4 positive subjects, fewer than 10: the numbers are very unsure, and an interval may "
        "cover far less often than it says"
    ]
    flat = subgroup_metrics(EvaluatedRows(binary(), y, np.full_like(p, 0.3), *run))["few"]["x"][
        "calibration"
    ]
    assert flat["metrics"]["slope"]["not_estimable"] == "all predictions are equal"
    apart = subgroup_metrics(EvaluatedRows(binary(), y, np.where(y == 1, 0.8, 0.1), *run))["few"][
        "x"
    ]
    assert "separate the classes" in apart["calibration"]["metrics"]["slope"]["not_estimable"]
    json.dumps([found, flat, apart], allow_nan=False)


def test_calibration_of_groups_of_other_tasks():
    random = np.random.default_rng(0)
    samples = pd.DataFrame({"sex": np.repeat(["F", "M"], [60, 90])})
    settings = Evaluation(bootstrap=60, subgroups=("sex",))
    run = (np.arange(150), None, settings, 0, samples)
    classes = tasks.build("multiclass").fit(["x", "y"])
    y, p = random.integers(0, 2, 150), random.dirichlet(np.ones(2), 150)
    found = subgroup_metrics(EvaluatedRows(classes, y, p, *run))["sex"]["F"]["calibration"][
        "per_class"
    ]
    assert found["x"]["metrics"]["slope"]["value"] == pytest.approx(
        found["y"]["metrics"]["slope"]["value"], abs=1e-6
    )
    labels = tasks.build("multilabel").fit([[0, 1], [1, 0]], ["a", "b"])
    both = (random.random((150, 2)) < 0.5).astype(float)
    found = subgroup_metrics(EvaluatedRows(labels, both, p, *run))["sex"]["M"]["calibration"][
        "per_label"
    ]
    assert set(found) == {"a", "b"}
    numbers = tasks.build("regression").fit(np.arange(9.0), names=("pressure",))
    y = random.normal(size=(150, 1))
    p = 0.5 * y + 0.2 * random.normal(size=(150, 1))
    found = subgroup_metrics(EvaluatedRows(numbers, y, p, *run))["sex"]["M"]["calibration"][
        "per_output"
    ]
    line = sm.OLS(y[60:, 0], sm.add_constant(p[60:, 0])).fit()
    told = found["pressure"]["metrics"]
    assert told["slope"]["value"] == pytest.approx(line.params[1])
    assert told["intercept"]["value"] == pytest.approx(line.params[0])
    assert told["bias"]["value"] == pytest.approx((p - y)[60:].mean())

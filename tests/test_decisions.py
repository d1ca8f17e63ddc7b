"""Thresholds, decision curves and operating points against published and scikit-learn's numbers."""

import json
import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from medkit.config.experiment import Evaluation, check_config
from medkit.core.errors import ConfigError, MedkitError
from medkit.core.registry import tasks
from medkit.evaluation import assess_part
from medkit.evaluation.decisions.decisions import decisions_of, operating_points
from medkit.evaluation.decisions.operating_points import at_prevalence
from medkit.evaluation.part_metrics import measure
from medkit.evaluation.resampling.proportions import wilson
from medkit.evaluation.rows import EvaluatedRows
from medkit.tasks.scores.ranking import best_threshold


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def drawn(n, seed=0):
    random = np.random.default_rng(seed)
    p = random.beta(0.6, 1.5, size=n)
    return (random.random(n) < p).astype(float), p


def binary(**parameters):
    return tasks.build("binary", **parameters).fit([0, 1])


def decided(y, p, threshold=0.3, task=None, valid=None, subjects=None, **settings):
    y_valid, p_valid = (y, p) if valid is None else valid
    settings = Evaluation(**{"bootstrap": 200, **settings})
    subjects = np.arange(len(p)) if subjects is None else subjects
    task = task or binary()
    rows = EvaluatedRows(task, y, p, subjects, threshold, settings, 0)
    chosen = EvaluatedRows(task, y_valid, p_valid, np.arange(len(p_valid)), threshold, settings, 0)
    found = decisions_of(rows, chosen)
    json.dumps(found, allow_nan=False)
    return found


def point(found, name):
    return next(each for each in found["operating_points"] if each["name"] == name)


# Rules


def everywhere(y, p):
    """Threshold -> confusion matrix, by scikit-learn, half way between any two scores."""
    scores = np.unique(p)
    for at in np.r_[scores[0], (scores[1:] + scores[:-1]) / 2, (1 + scores[-1]) / 2]:
        yield at, *sk.confusion_matrix(y, p >= at, labels=[0, 1]).ravel()


@pytest.mark.parametrize("seed", range(3))
def test_thresholds_are_the_best_of_all(seed):
    y, p = drawn(80, seed)
    p = p.round(2)  # with ties
    each = [
        (tp / (tp + fn), tn / (tn + fp), fp, fn, 2 * tp / max(1, 2 * tp + fp + fn))
        for _, tn, fp, fn, tp in everywhere(y, p)
    ]

    def at(by, **numbers):
        chosen = best_threshold(y, p, by, **numbers)
        tn, fp, fn, tp = sk.confusion_matrix(y, p >= chosen).ravel()
        return tp / (tp + fn), tn / (tn + fp), fp, fn, 2 * tp / (2 * tp + fp + fn)

    for level in (0.5, 0.8, 0.9, 0.95, 1.0):
        se, sp, *_ = at("sensitivity", at_least=level)
        assert se >= level
        assert sp == max(other for reached, other, *_ in each if reached >= level)
        se, sp, *_ = at("specificity", at_least=level)
        assert sp >= level
        assert se == max(other for other, reached, *_ in each if reached >= level)
    for ratio in (0.2, 1, 5, 50):
        _, _, fp, fn, _ = at("cost", cost_ratio=ratio)
        assert ratio * fn + fp == pytest.approx(min(ratio * n + f for _, _, f, n, _ in each))
    assert sum(at("youden")[:2]) == pytest.approx(max(se + sp for se, sp, *_ in each))
    assert at("f1")[4] == pytest.approx(max(f1 for *_, f1 in each))


def test_cheap_false_negatives_mean_no_alert_and_equal_costs_lie_near_the_calibrated_threshold():
    y, p = drawn(2000)
    y, p = np.r_[y, 0], np.r_[p, 0.9999]  # the highest score is a false alarm
    assert best_threshold(y, p, "cost", cost_ratio=0.0001) > p.max()
    assert best_threshold(y, p, "specificity", at_least=1) > p.max()
    assert best_threshold(y, p, "cost", cost_ratio=1000) <= p[y == 1].min()
    # A calibrated model's best threshold is 1 / (1 + ratio) (Pauker and Kassirer 1980).
    y, p = drawn(200_000)
    assert best_threshold(y, p, "cost", cost_ratio=4) == pytest.approx(0.2, abs=0.03)
    certain = np.ones(4)
    assert best_threshold(np.array([0, 1, 0, 1]), certain, "specificity", at_least=0.9) > 1


def test_of_equally_good_thresholds_the_nearest_is_taken():
    y, p = np.array([1, 0, 0, 1, 0]), np.array([0.9, 0.6, 0.5, 0.1, 0.01])
    # Both 0.75 and 0.055 cost 2; a calibrated model would have it at 1 / 3.
    assert best_threshold(y, p, "cost", cost_ratio=2) == pytest.approx(0.055)
    # Scores that tell nothing: everybody, rather than nobody, is positive.
    for by in ("youden", "f1"):
        assert best_threshold(y, np.full(5, 0.1), by) == 0.1


def test_one_class_has_no_threshold():
    for by, numbers in (("sensitivity", {"at_least": 0.9}), ("cost", {"cost_ratio": 2})):
        assert best_threshold(np.ones(5), np.arange(5) / 5, by, **numbers) is None


@pytest.mark.parametrize("name", ["binary", "multilabel"])
@pytest.mark.parametrize(
    ("parameters", "place", "message"),
    [
        (
            {"threshold": "sensitivity"},
            "task",
            "threshold: sensitivity needs at_least, such as 'at_least: 0.9'",
        ),
        (
            {"threshold": "specificity", "at_least": 0.9, "cost_ratio": 2},
            "task.cost_ratio",
            "cost_ratio is for threshold: cost; here it is specificity",
        ),
        (
            {"threshold": "cost"},
            "task",
            "threshold: cost needs cost_ratio, such as 'cost_ratio: 5'",
        ),
        (
            {"at_least": 0.9},
            "task.at_least",
            "at_least is for threshold: sensitivity or specificity; here it is youden",
        ),
        ({"threshold": "sensitivity", "at_least": 1.5}, "task.at_least", "must be 1 or less"),
        ({"threshold": "cost", "cost_ratio": 0}, "task.cost_ratio", "must be above 0"),
        ({"threshold": "sens"}, "task.threshold", "'sensitivity', 'specificity' or 'cost'"),
    ],
)
def test_a_rule_without_its_number_is_refused(name, parameters, place, message, tmp_path):
    document = {"dataset": "breast_cancer", "task": {"name": name, **parameters}, "model": "mlp"}
    with pytest.raises(ConfigError) as error:
        check_config(document, folder=tmp_path)
    assert (place, True) in [(p.path, message in p.message) for p in error.value.problems]
    if "needs" in message or "is for" in message:
        with pytest.raises(MedkitError) as error:
            tasks.build(name, **parameters)
        assert message in str(error.value)


def test_tasks_use_the_rule_and_keep_it():
    y, p = drawn(300)
    task = binary(threshold="sensitivity", at_least=0.9)
    at = task.choose_threshold(y[:, None], p[:, None])
    assert task.score(y[:, None], p[:, None], at)["recall"] >= 0.9
    again = type(task).from_dict(json.loads(json.dumps(task.to_dict())))
    assert again.choose_threshold(y[:, None], p[:, None]) == at
    both = np.stack([y, 1 - y], axis=1), np.stack([p, 1 - p], axis=1)
    labels = tasks.build("multilabel", threshold="specificity", at_least=0.8).fit(both[0])
    scores = labels.score(*both, labels.choose_threshold(*both))
    assert min(scores["specificity_label_0"], scores["specificity_label_1"]) >= 0.8


# Decision curve


def test_net_benefit_is_that_of_vickers_example():
    # df_binary of dcurves (Vickers and others): 750 men, 105 cancers; net benefit by R's dcurves.
    y = np.r_[np.ones(105), np.zeros(645)]
    family_history = np.r_[np.ones(24), np.zeros(81), np.ones(91), np.zeros(554)]
    curve = decided(y, family_history, bootstrap=0)["curve"]
    expected = {
        0.01: (0.030774410774410774, 0.13131313131313133),
        0.05: (0.025614035087719297, 0.09473684210526317),
        0.10: (0.018518518518518517, 0.04444444444444445),
        0.14: (0.012248062015503873, 0.0),
        0.20: (0.0016666666666666635, -0.075),
        0.30: (-0.02000000000000001, -0.2285714285714286),
        0.50: (-0.08933333333333335, -0.72),
        0.65: (-0.19333333333333338, -1.4571428571428573),
    }
    for at, (model, treat_all) in expected.items():
        i = round(at * 100) - 1
        assert curve["thresholds"][i] == at
        assert curve["model"][i] == pytest.approx(model, abs=1e-12)
        assert curve["treat_all"][i] == pytest.approx(treat_all, abs=1e-12)
    assert set(curve["treat_none"]) == {0.0}
    # Above treat all from 0.13 on (0.0139 and 0.0115), above 0 up to 0.20: by how little, chance
    # alone may do; and without resamples nothing is claimed.
    assert curve["useful"] == []
    assert decided(y, family_history, bootstrap=300)["curve"]["useful"] == []


def test_noise_is_not_called_useful_and_a_good_model_is():
    """Called from point estimates, noise was useful in 80 to 92 % of simulations."""
    claimed = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        y = (random.random(150) < 0.25).astype(float)
        p = random.uniform(0.05, 0.5, 150)
        claimed += bool(decided(y, p, bootstrap=150)["curve"]["useful"])
    assert claimed <= 5
    y, p = drawn(400)
    good = decided(y, p, bootstrap=150)["curve"]
    assert good["useful"]
    gain = np.array(good["model"]) - np.maximum(good["treat_all"], 0)
    for low, high in good["useful"]:
        at = (np.array(good["thresholds"]) >= low) & (np.array(good["thresholds"]) <= high)
        assert (gain[at] > 0).all()
    narrow = decided(y, p, bootstrap=150, threshold_range=(0.2, 0.3))["curve"]
    assert narrow["range"] == [0.2, 0.3]
    assert all(0.2 <= low <= high <= 0.3 for low, high in narrow["useful"])


def test_curves_of_baselines_stand_beside_with_differences():
    y, p = drawn(300)
    settings = Evaluation(bootstrap=100)
    rows = EvaluatedRows(binary(), y[:, None], p[:, None], np.arange(300), 0.5, settings, 0)
    noisy = np.random.default_rng(0).permutation(p)[:, None]
    others = {"noise": noisy, "same": p[:, None], "majority": np.full((300, 1), 0.3)}
    curve = decisions_of(rows, rows, None, others)["curve"]
    assert list(curve["baselines"]) == ["noise", "same"]
    alone = decisions_of(rows.answered(noisy, 0.5), rows)["curve"]
    noise = curve["baselines"]["noise"]
    assert noise["model"] == pytest.approx(alone["model"])
    less = np.array(curve["model"]) - np.array(noise["model"])
    np.testing.assert_allclose(noise["difference"], less)
    assert (np.array(noise["low"]) > 0).sum() > 20
    assert set(curve["baselines"]["same"]["difference"]) == {0.0}


def test_net_benefit_of_a_graded_risk_is_that_of_the_same_package():
    # The model on age in the same data: rows above each threshold, as published.
    called = {0.05: (98, 454), 0.1: (84, 289), 0.2: (59, 110), 0.3: (35, 46), 0.5: (14, 7)}
    published = (0.098807018, 0.069185185, 0.042, 0.020380952, 0.009333333)
    y, p, above = [], [], (0, 0)
    for at, (events, others) in sorted(called.items(), reverse=True):
        more = events - above[0] + others - above[1]
        y += [1] * (events - above[0]) + [0] * (others - above[1])
        p += [at] * more
        above = events, others
    y += [1] * (105 - above[0]) + [0] * (645 - above[1])
    p += [0.001] * (750 - sum(above))
    curve = decided(np.array(y, float), np.array(p), bootstrap=0)["curve"]
    for at, expected in zip(called, published, strict=True):
        assert curve["model"][round(at * 100) - 1] == pytest.approx(expected, abs=1e-8)


def test_the_band_holds_the_curve_and_the_truth():
    y, p = drawn(3000)
    curve = {
        k: np.array(v) for k, v in decided(y, p)["curve"].items() if k not in ("useful", "range")
    }
    assert (curve["low"] <= curve["model"] + 1e-12).all()
    assert (curve["model"] <= curve["high"] + 1e-12).all()
    many_y, many_p = drawn(300_000, seed=5)
    truth = np.array(decided(many_y, many_p, bootstrap=0)["curve"]["model"])
    inside = (curve["low"] <= truth) & (truth <= curve["high"])
    assert inside.mean() > 0.8
    assert set(decided(y, p, bootstrap=0)["curve"]["low"]) == {None}


# Operating points


@pytest.mark.parametrize(
    ("settings", "rate"),
    [({}, None), ({"fixed_threshold": 0.2}, 0.25), ({"threshold": "cost", "cost_ratio": 4}, 0.25)],
)
def test_the_task_says_for_which_exchange_rate_its_threshold_stands(settings, rate, monkeypatch):
    y, p = drawn(200)
    task = binary(**settings)
    assert task.exchange_rate(0.2) == rate
    assert operating_points(task, y, p, 0.2)[0]["exchange_rate"] == rate
    monkeypatch.setattr(type(task), "exchange_rate", lambda self, threshold: threshold * 10)
    assert operating_points(task, y, p, 0.2)[0]["exchange_rate"] == 2
    assert tasks.build("regression").exchange_rate(0.5) is None


def test_operating_points_are_chosen_on_validation_and_measured_on_test():
    y, p = drawn(500)
    valid = drawn(400, seed=1)
    task = binary(threshold="cost", cost_ratio=3)
    found = decided(y, p, 0.25, task, valid)
    names = [each["name"] for each in found["operating_points"]]
    assert names == [
        "in_use", "youden", "f1", "sensitivity_0.8", "sensitivity_0.9", "sensitivity_0.95",
        "specificity_0.8", "specificity_0.9", "specificity_0.95", "cost",
    ]  # fmt: skip
    assert point(found, "in_use")["threshold"] == 0.25
    assert point(found, "youden")["threshold"] == best_threshold(*valid, "youden")
    at = best_threshold(*valid, "cost", cost_ratio=3)
    assert point(found, "cost")["threshold"] == at
    assert "costs 3 false alarms" in point(found, "cost")["rule"]
    for each in found["operating_points"]:
        predicted = p >= each["threshold"]
        assert each["sensitivity"]["value"] == pytest.approx(sk.recall_score(y, predicted))
        specificity = sk.recall_score(y, predicted, pos_label=0)
        assert each["specificity"]["value"] == pytest.approx(specificity)
        assert each["ppv"]["value"] == pytest.approx(sk.precision_score(y, predicted))
        npv = sk.precision_score(y, predicted, pos_label=0)
        assert each["npv"]["value"] == pytest.approx(npv)
        assert each["alerts_per_100"]["value"] == pytest.approx(100 * predicted.mean())
        for name in ("sensitivity", "specificity", "ppv", "npv", "alerts_per_100"):
            assert each[name]["low"] <= each[name]["value"] <= each[name]["high"]
        # Net benefit only where a threshold stands for an exchange rate: here for 1 / 3.
        if each["name"] in ("in_use", "cost"):
            false = (predicted & (y == 0)).mean()
            expected = (predicted & (y == 1)).mean() - false / 3
            assert each["net_benefit"]["value"] == pytest.approx(expected)
        else:
            assert each["net_benefit"]["value"] is None
            assert "not chosen by an exchange rate" in each["net_benefit"]["not_estimable"]
    assert point(found, "in_use")["at_prevalence"] is None


def test_the_threshold_in_use_has_the_intervals_of_the_metrics():
    y, p = drawn(200)
    codes = np.arange(200) // 2
    settings = Evaluation(bootstrap=300)
    reported = measure(EvaluatedRows(binary(), y[:, None], p[:, None], codes, 0.3, settings, 0))[0][
        "metrics"
    ]
    found = point(decided(y, p, 0.3, subjects=codes, bootstrap=300), "in_use")
    for mine, theirs in (("sensitivity", "recall"), ("specificity",) * 2, ("ppv", "precision")):
        for key in ("value", "low", "high"):
            assert found[mine][key] == pytest.approx(reported[theirs][key], abs=1e-9)


def test_precision_and_ppv_are_one_quantity_with_one_interval(monkeypatch):
    """Also where decisions have fewer resamples than metrics, as of very many rows."""
    monkeypatch.setattr("medkit.evaluation.rows._MOST_DRAWS", 100)
    y, p = drawn(200)
    for at in (0.3, 2.0):
        settings = Evaluation(bootstrap=300)
        rows = EvaluatedRows(binary(), y[:, None], p[:, None], np.arange(200), at, settings, 0)
        found, _ = assess_part(rows, valid=rows)
        assert found["decisions"]["resamples"] == 200
        in_use = point(found["decisions"], "in_use")
        for mine, theirs in (("sensitivity", "recall"), ("ppv", "precision")):
            reported = found["metrics"][theirs]
            for key in ("value", "low", "high", "not_estimable"):
                assert in_use[mine].get(key) == reported.get(key)
    assert found["metrics"]["precision"]["value"] is None
    assert "not estimable: precision (no row is called positive)" in found["notes"]


def test_predictive_values_at_another_prevalence():
    # Sensitivity 0.9, specificity 0.9 and 1 % ill: 9 of 108 alerts are right, by hand.
    found = at_prevalence(0.9, 0.9, 0.01)
    assert found["ppv"] == pytest.approx(0.009 / 0.108)
    assert found["npv"] == pytest.approx(0.891 / 0.892)
    assert found["alerts_per_100"] == pytest.approx(10.8)
    # The test's own prevalence gives its own values back.
    y, p = drawn(500)
    own = point(decided(y, p, prevalence=float(y.mean())), "in_use")
    for name in ("ppv", "npv", "alerts_per_100"):
        assert own["at_prevalence"][name]["value"] == pytest.approx(own[name]["value"])
    rare = point(decided(y, p, prevalence=0.01), "in_use")["at_prevalence"]
    assert rare["prevalence"] == 0.01
    assert rare["ppv"]["high"] < own["ppv"]["low"]
    # Thinning the positives to that prevalence shows the same.
    keep = (y == 0) | (np.random.default_rng(0).random(500) < 0.2)
    prevalence = float(y[keep].mean())
    moved = point(decided(y, p, prevalence=prevalence), "in_use")["at_prevalence"]["ppv"]
    thinned = point(decided(y[keep], p[keep]), "in_use")["ppv"]["value"]
    assert moved["low"] < thinned < moved["high"]


def test_a_proportion_of_one_has_wilsons_interval_also_at_another_prevalence():
    y = np.r_[np.ones(40), np.zeros(60)]
    found = point(decided(y, 0.1 + 0.3 * y, prevalence=0.05), "in_use")
    for name, count in (("sensitivity", 40), ("specificity", 60), ("ppv", 40), ("npv", 60)):
        assert found[name]["method"] == "wilson"
        bounds = found[name]["low"], found[name]["high"]
        assert bounds == pytest.approx(wilson(1.0, count, 0.95))
    moved = found["at_prevalence"]["ppv"]
    assert moved["value"] == 1
    worst = at_prevalence(wilson(1.0, 40, 0.95)[0], wilson(1.0, 60, 0.95)[0], 0.05)["ppv"]
    assert moved["low"] == pytest.approx(worst)
    assert moved["method"] == "from the bounds of sensitivity and specificity"


def test_labels_classes_and_numbers():
    y, p = drawn(200)
    both = np.stack([y, 1 - y], axis=1), np.stack([p, 1 - p], axis=1)
    labels = tasks.build("multilabel").fit(both[0], names=("x", "y"))
    found = decided(*both, [0.3, 0.6], labels)
    assert list(found["per_label"]) == ["x", "y"]
    assert point(found["per_label"]["y"], "in_use")["threshold"] == 0.6
    alone = decided(y, p, 0.3)
    assert found["per_label"]["x"]["curve"]["model"] == alone["curve"]["model"]
    classes = tasks.build("multiclass").fit(["a", "b"] * 5)
    found = decided(1 - y, both[1], None, classes)
    assert list(found["per_class"]) == ["a", "b"]
    assert found["per_class"]["a"]["curve"]["model"] == alone["curve"]["model"]
    assert "operating_points" not in found["per_class"]["a"]
    regression = tasks.build("regression").fit([1.0, 2.0])
    assert decided(y, p, None, regression) == {
        "kind": "number",
        "not_estimable": "the task predicts no probability to decide on",
    }


# What cannot be estimated


def not_silent(found):
    if isinstance(found, dict):
        if "value" in found and found["value"] is None:
            assert found["not_estimable"]
        for each in found.values():
            not_silent(each)
    elif isinstance(found, list):
        for each in found:
            not_silent(each)


HALF = np.arange(40) % 2


@pytest.mark.parametrize(
    ("y", "p", "name", "reason"),
    [
        (np.zeros(40), np.linspace(0, 1, 40), "sensitivity", "no events"),
        (np.ones(40), np.linspace(0, 1, 40), "specificity", "no non-events"),
        (HALF, np.full(40, 0.2), "ppv", "no row is called positive"),
        (HALF, np.full(40, 0.9), "npv", "no row is called negative"),
        (HALF[:1], np.full(1, 0.9), "sensitivity", "no events"),
    ],
)
def test_not_estimable(y, p, name, reason):
    found = decided(np.asarray(y, float), p, valid=drawn(200), prevalence=0.1)
    assert point(found, "in_use")[name]["value"] is None
    assert point(found, "in_use")[name]["not_estimable"] == reason
    not_silent(found)
    alone = decided(np.asarray(y, float), p, prevalence=0.1)
    not_silent(alone)
    if len(np.unique(y)) == 1:
        unserved = point(alone, "youden")
        assert unserved["threshold"] is None
        assert unserved["not_estimable"] == "the validation rows do not hold both classes"
        assert "events; 10 are needed" in found["notes"][0]


def test_one_event_and_one_subject_are_said():
    y, p = drawn(30)
    y[:], y[3] = 0, 1
    said = "these numbers say little: only 1 subject with events; 10 are needed"
    assert decided(y, p, valid=drawn(50))["notes"] == [said]
    # Twelve events of one patient are one patient's.
    y[:12] = 1
    visits = np.r_[np.zeros(12), np.arange(1, 19)]
    assert decided(y, p, valid=drawn(50), subjects=visits)["notes"] == [said]
    y[:12] = np.arange(12) == 3
    alone = decided(y, p, valid=drawn(50), subjects=np.zeros(30))
    assert alone["resamples"] == 0
    assert alone["notes"] == [said, "the rows are of one subject: there are no intervals"]


def test_no_rows_and_missing_outputs():
    y, p = drawn(30)
    p[4] = np.nan
    expected = {"kind": "yes_no", "not_estimable": "1 of 30 predictions are not finite"}
    assert decided(y, p, valid=drawn(50)) == expected
    found = decided(*drawn(30), valid=(y, p))
    assert point(found, "youden")["threshold"] is not None
    assert decided(y[:0], p[:0]) == {"kind": "yes_no", "not_estimable": "there are no rows"}
    empty = operating_points(binary(), y[:0], p[:0], None)
    assert empty[0]["threshold"] == 0.5
    assert empty[1]["threshold"] is None


def test_same_seed_same_numbers():
    y, p = drawn(100)
    assert decided(y, p) == decided(y, p)
    found = decided(y, p, subjects=np.zeros(100))
    assert found["resamples"] == 0
    assert point(found, "in_use")["sensitivity"]["low"] is None

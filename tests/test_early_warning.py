"""Early warning: stays watched hour by hour, alarms, lead times, and the utility of 2019."""

from __future__ import annotations

import inspect
import json
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from cohorts import only_input
from sklearn.metrics import average_precision_score, roc_auc_score

from medkit.config.experiment import Evaluation
from medkit.core.errors import DataError
from medkit.core.registry import tasks
from medkit.datasets.synthetic import deterioration as dataset
from medkit.evaluation.early_warning.early_warning import EarlyWarning, early_warning
from medkit.evaluation.early_warning.stays import Stays, alarms, has_stays, spaced_thresholds
from medkit.evaluation.early_warning.utility import hourly_utility
from medkit.evaluation.early_warning.watched import Watch, Watched, weighted_quartiles
from medkit.evaluation.groups.subgroups import check_subgroups
from medkit.evaluation.resampling.resampling import outcome_strata, resample_weights, subject_codes
from medkit.report.sections.early_warning import early_warning_section
from medkit.testing import check_dataset
from medkit.workflows.external import evaluate_run_on
from medkit.workflows.external.predictions import predict_file
from medkit.workflows.synthesize import synthesize

FEW = Evaluation(bootstrap=0)


def frame(stay, hour, onset):
    return pd.DataFrame({"stay": stay, "hour": np.asarray(hour, float), "onset_hour": onset})


def part(stay, hour, onset, y=None, subject=None):
    samples = frame(stay, hour, onset)
    if y is None:
        y = (samples["onset_hour"] - samples["hour"] <= 6).to_numpy(float)
    subjects = np.asarray(stay if subject is None else subject, dtype=object)
    return SimpleNamespace(
        cohort=SimpleNamespace(samples=samples, subjects=subjects), y=np.asarray(y)[:, None]
    )


def random_part(seed, stays=40, event=0.5):
    """Stays of unequal length in no order, two of a subject here and there; scores with ties."""
    random = np.random.default_rng(seed)
    rows = []
    for stay in range(stays):
        length = int(random.integers(1, 30))
        onset = length + 1.0 if random.random() < event else np.nan
        subject = f"p{stay // 2 if stay % 3 else stay}"
        rows += [(f"s{stay}", hour, onset, subject) for hour in range(1, length + 1)]
    table = pd.DataFrame(rows, columns=["stay", "hour", "onset_hour", "subject"])
    table = table.sample(frac=1, random_state=seed).reset_index(drop=True)
    near = np.where(table["onset_hour"] - table["hour"] <= 6, 0.2, 0.0)
    p = np.round(np.clip(random.random(len(table)) * 0.8 + near, 0, 1), 2)
    found = part(table["stay"], table["hour"], table["onset_hour"], subject=table["subject"])
    return found, p[:, None]


# The hand-computed example: threshold 0.5, silence of 3 hours, an alarm true within 6 hours.
#   a  onset 10; hours 1-9    alarms at 1 (false), 4 (true: lead 6), 8 (true: lead 2)
#   b  onset 9;  hours 6-8    never above: missed
#   c  no event; hours 1-6    alarms at 2 and 5
#   d  no event; hours 1-6    quiet
RISK = {
    "a": {1: 0.9, 2: 0.9, 3: 0.6, 4: 0.5, 5: 0.5, 6: 0.1, 7: 0.1, 8: 0.7, 9: 0.8},
    "b": {6: 0.1, 7: 0.2, 8: 0.4},
    "c": {1: 0.1, 2: 0.5, 3: 0.6, 4: 0.2, 5: 0.9, 6: 0.9},
    "d": {1: 0.1, 2: 0.1, 3: 0.2, 4: 0.3, 5: 0.3, 6: 0.4},
}
ONSET = {"a": 10.0, "b": 9.0, "c": np.nan, "d": np.nan}


def example():
    rows = [(s, h, ONSET[s], p) for s, risks in RISK.items() for h, p in risks.items()]
    # Not in order of the hours, and the stays mixed.
    rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    stay, hour, onset, p = zip(*rows, strict=True)
    return part(list(stay), hour, np.array(onset)), np.array(p)[:, None]


def measured(found, p, threshold, settings=FEW, valid=None, seed=0):
    """The block of the test part."""
    parts = {"test": found} | ({"valid": valid[0]} if valid else {})
    outputs = {"test": p} | ({"valid": valid[1]} if valid else {})
    return EarlyWarning(parts, settings, seed).network(outputs, threshold)["test"]


def values(block, point=0):
    return {k: v["value"] for k, v in block["operating_points"][point]["metrics"].items()}


# Alarms, by hand.


def test_alarms_and_lead_times_of_the_example():
    found, p = example()
    block = measured(found, p, 0.5, Evaluation(bootstrap=0, alarm_silence_hours=3))
    assert (block["stays"], block["event_stays"], block["foreseeable"]) == (4, 2, 2)
    assert block["step_hours"] == 1
    assert block["lead_hours"] == 6, "the longest lead of a positive row: the label's horizon"
    assert block["patient_days"] == pytest.approx((9 + 3 + 6 + 6) / 24)
    got = values(block)
    assert got["stay_sensitivity"] == 0.5
    assert got["event_free_stays_alarmed"] == 0.5
    assert got["alarms_per_day"] == pytest.approx(5)
    assert got["false_alarms_per_day"] == pytest.approx(3)
    assert got["alarm_ppv"] == pytest.approx(2 / 5)
    assert got["number_needed_to_evaluate"] == pytest.approx(2.5)
    assert got["stay_ppv"] == 0.5
    assert got["lead_median"] == got["lead_q1"] == got["lead_q3"] == 6
    assert block["metrics"]["stay_auroc"]["value"] == pytest.approx((1 + 0.5 + 0 + 0.5) / 4)
    assert block["lead_histogram"]["counts"] == [0, 0, 0, 0, 0, 1]
    assert block["lead_histogram"]["missed"] == 1
    lines = {line["kind"]: line for line in block["timelines"]}
    assert list(lines) == ["foreseen", "missed", "false alarm", "quiet"]
    assert lines["foreseen"]["alarms"] == [1, 4, 8]
    assert lines["foreseen"]["onset_hour"] == 10
    assert lines["false alarm"]["alarms"] == [2, 5]
    assert lines["quiet"]["risk"] == [0.1, 0.1, 0.2, 0.3, 0.3, 0.4]


def test_without_silence_every_hour_above_counts():
    found, p = example()
    block = measured(found, p, 0.5, Evaluation(bootstrap=0, alarm_silence_hours=0))
    got = values(block)
    assert got["alarms_per_day"] == pytest.approx(7 + 4)
    assert got["false_alarms_per_day"] == pytest.approx(3 + 4)
    assert got["alarm_ppv"] == pytest.approx(4 / 11)
    assert got["lead_median"] == 6


def test_a_false_alarm_may_silence_a_true_one():
    found = part(["a"] * 4, [1, 2, 3, 4], 10.0)
    p = np.array([[0.1], [0.1], [0.9], [0.9]])
    near = Evaluation(bootstrap=0, alarm_silence_hours=2, alarm_lead_hours=6)
    assert values(measured(found, p, 0.5, near))["stay_sensitivity"] == 0
    assert values(measured(found, p, 0.5, near))["alarms_per_day"] == 6
    free = Evaluation(bootstrap=0, alarm_silence_hours=1, alarm_lead_hours=6)
    assert values(measured(found, p, 0.5, free))["stay_sensitivity"] == 1


def test_lead_hours_can_be_set():
    found, p = example()
    wide = Evaluation(bootstrap=0, alarm_silence_hours=3, alarm_lead_hours=9)
    got = values(measured(found, p, 0.5, wide))
    assert got["false_alarms_per_day"] == 2, "only those of the stay without an event"
    assert got["lead_median"] == 9


def brute(found, p, threshold, silence, lead):
    """Every measure with plain loops over stays and hours."""
    table = found.cohort.samples.assign(p=p.ravel())
    alarmed = true = 0
    foreseen, event_stays, free, free_alarmed, any_alarm, leads = 0, 0, 0, 0, 0, []
    for _, stay in table.sort_values("hour").groupby("stay"):
        last, mine, first = None, 0, None
        for hour, onset, score in zip(stay["hour"], stay["onset_hour"], stay["p"], strict=True):
            if score < threshold or (last is not None and silence and hour - last < silence):
                continue
            last, mine = hour, mine + 1
            if onset - hour <= lead:
                true += 1
                first = onset - hour if first is None else first
        alarmed, any_alarm = alarmed + mine, any_alarm + (mine > 0)
        if np.isnan(onset):
            free, free_alarmed = free + 1, free_alarmed + (mine > 0)
        else:
            event_stays, foreseen = event_stays + 1, foreseen + (first is not None)
        leads += [] if first is None else [first]
    days = len(table) / 24
    return {
        "stay_sensitivity": foreseen / event_stays,
        "event_free_stays_alarmed": free_alarmed / free,
        "alarms_per_day": alarmed / days,
        "false_alarms_per_day": (alarmed - true) / days,
        "alarm_ppv": true / alarmed,
        "number_needed_to_evaluate": alarmed / true,
        "stay_ppv": foreseen / any_alarm,
        "lead_median": np.median(leads),
    }


@pytest.mark.parametrize("silence", [0, 1, 2.5, 6])
@pytest.mark.parametrize("threshold", [0.3, 0.6, 0.85])
def test_all_measures_are_those_of_plain_loops(silence, threshold):
    found, p = random_part(3)
    settings = Evaluation(bootstrap=0, alarm_silence_hours=silence)
    got = values(measured(found, p, threshold, settings))
    expected = brute(found, p, threshold, silence, 6)
    assert {name: got[name] for name in expected} == pytest.approx(expected)


def test_the_curve_and_areas_are_those_of_plain_loops():
    found, p = random_part(4)
    block = measured(found, p, 0.5, Evaluation(bootstrap=0, alarm_silence_hours=4))
    curve = block["curve"]
    assert curve["stay_sensitivity"][-1] == curve["false_alarms_per_day"][-1] == 0
    for k in range(0, len(curve["thresholds"]) - 8, 9):
        expected = brute(found, p, curve["thresholds"][k], 4, 6)
        assert curve["stay_sensitivity"][k] == pytest.approx(expected["stay_sensitivity"])
        assert curve["false_alarms_per_day"][k] == pytest.approx(expected["false_alarms_per_day"])
    # Stays are ranked by their highest score in windows of equal length.
    stays = Stays(found.cohort.samples, found.cohort.subjects)
    lengths = [int(each) for each in stays.sizes]
    window = int(block["window_hours"])
    assert window == 6
    begins, long = stays.windows(window, 0)
    table = found.cohort.samples.assign(p=p.ravel()).sort_values("hour").groupby("stay")
    top, event = [], []
    for at in np.flatnonzero(long):
        name = found.cohort.samples["stay"].iloc[stays.rows[stays.starts[at]]]
        rows, first = table.get_group(name), int(begins[at] - stays.starts[at])
        event.append(bool(stays.event[at]))
        if event[-1]:
            assert first == lengths[at] - window  # the last hours before the event
        assert 0 <= first <= lengths[at] - window
        top.append(rows["p"].to_numpy()[first : first + window].max())
    assert block["ranked_stays"] == len(top) == sum(each >= window for each in lengths)
    metrics = block["metrics"]
    assert metrics["stay_auroc"]["value"] == pytest.approx(roc_auc_score(event, top))
    assert metrics["stay_auprc"]["value"] == pytest.approx(average_precision_score(event, top))


def test_noise_ranks_stays_as_chance_does():
    """The highest score of whole stays, which an event cuts short, had an AUROC of 0.3."""
    areas, chance = [], []
    for seed in range(12):
        found, _ = random_part(seed, 120, event=0.3)
        samples = found.cohort.samples
        # Stays with an event last 1 to 10 hours, the others up to 30.
        kept = (samples["onset_hour"].isna() | (samples["hour"] <= 10)).to_numpy()
        onset = samples["onset_hour"].clip(upper=11)
        short = part(samples["stay"][kept], samples["hour"][kept], onset[kept],
                     subject=np.asarray(found.cohort.subjects)[kept])  # fmt: skip
        noise = np.random.default_rng(seed).random((int(kept.sum()), 1))
        metrics = measured(short, noise, 0.5)["metrics"]
        areas.append(metrics["stay_auroc"]["value"])
        chance.append(metrics["stay_auroc"]["by_chance"])
        assert 0 < metrics["stay_auprc"]["by_chance"] < 0.6
    assert np.mean(areas) == pytest.approx(0.5, abs=0.05)
    assert np.mean(chance) == pytest.approx(0.5, abs=0.02)


def test_many_thresholds_at_once_are_each_alone():
    found, p = random_part(5)
    stays = Stays(found.cohort.samples, found.cohort.subjects)
    mine, at = p.ravel()[stays.rows], np.array([0.7, 0.2, 0.9])
    together = alarms(stays, mine, at, 3)
    for row, threshold in zip(together, at, strict=True):
        assert np.array_equal(row, alarms(stays, mine, [threshold], 3)[0])
    assert np.array_equal(alarms(stays, mine, at, 0), mine >= at[:, None])


def test_order_of_rows_does_not_matter():
    found, p = random_part(6)
    order = np.random.default_rng(1).permutation(len(p))
    samples = found.cohort.samples.iloc[order]
    again = SimpleNamespace(
        cohort=SimpleNamespace(samples=samples, subjects=found.cohort.subjects[order]),
        y=found.y[order],
    )
    assert values(measured(found, p, 0.5)) == pytest.approx(values(measured(again, p[order], 0.5)))


def test_stays_of_two_subjects_may_share_a_name():
    found = part(["1", "1", "1", "1"], [1, 2, 1, 2], np.nan, subject=["x", "x", "y", "y"])
    stays = Stays(found.cohort.samples, found.cohort.subjects)
    assert len(stays) == 2
    assert stays.not_estimable is None


# The utility.


def challenge_utility(labels, predictions):
    """As the Challenge's description defines it, hour by hour."""
    dt_early, dt_optimal, dt_late, u_fp = -12, -6, 3, -0.05
    septic = any(labels)
    t_sepsis = labels.index(1) - dt_optimal if septic else float("inf")
    total = 0.0
    for t, predicted in enumerate(predictions):
        if t > t_sepsis + dt_late:
            continue
        if septic and predicted:
            if t <= t_sepsis + dt_optimal:
                total += max((t - t_sepsis - dt_early) / (dt_optimal - dt_early), u_fp)
            else:
                total += (dt_late - (t - t_sepsis)) / (dt_late - dt_optimal)
        elif septic:
            if t > t_sepsis + dt_optimal:
                total += -2 * (t - t_sepsis - dt_optimal) / (dt_late - dt_optimal)
        elif predicted:
            total += u_fp
    return total


def test_utility_of_the_challenges_own_example():
    # labels 0 0 0 0 1 1: the label comes six hours before the onset, at hour 10.
    labels, predictions = [0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 1, 1]
    assert challenge_utility(labels, predictions) == pytest.approx(3.388888888888889)
    positive, negative, _ = hourly_utility(10.0 - np.arange(6))
    got = np.where(predictions, positive, negative).sum()
    assert got == pytest.approx(3.388888888888889)


def test_utility_at_every_hour_is_the_challenges():
    for onset in (8, 20, 40):
        labels = [int(t >= onset - 6) for t in range(onset + 8)]
        hours = onset - np.arange(len(labels), dtype=float)
        positive, negative, _ = hourly_utility(hours)
        for t in range(len(labels)):
            alone = [int(t == each) for each in range(len(labels))]
            none = challenge_utility(labels, [0] * len(labels))
            gained = challenge_utility(labels, alone) - none
            assert positive[t] - negative[t] == pytest.approx(gained, abs=1e-12)
        assert negative.sum() == pytest.approx(none)
    positive, negative, best = hourly_utility(np.array([np.inf]))
    assert (positive, negative, best) == (-0.05, 0, 0)


def test_normalized_utility_is_the_challenges():
    found, p = random_part(7)
    table = found.cohort.samples.assign(p=p.ravel()).sort_values("hour")
    sums = np.zeros(3)
    for _, stay in table.groupby("stay"):
        onset = stay["onset_hour"].iloc[0]
        # Hours from 0 on, as the Challenge numbers them; hour 0 was not predicted for.
        n, event = len(stay) + 1, not np.isnan(onset)
        # The label goes on after the last hour, so that it is there six hours before the onset.
        labels = [int(event and t >= max(onset - 6, 0)) for t in range(n)]
        if event and onset < 6:
            continue  # the Challenge has no label for these
        best = [int(event and onset - 12 <= t <= onset + 3) for t in range(n)]
        observed = [0, *(stay["p"] >= 0.6).astype(int)]
        best[0] = 0
        for k, predictions in enumerate((observed, best, [0] * n)):
            sums[k] += challenge_utility(labels, predictions)
    kept = ~(table["onset_hour"] < 6)
    rows = table.index[kept.to_numpy()]
    kept_part = part(*(found.cohort.samples.loc[rows, c] for c in ("stay", "hour", "onset_hour")))
    got = values(measured(kept_part, p[rows], 0.6))["utility"]
    assert got == pytest.approx((sums[0] - sums[2]) / (sums[1] - sums[2]))


def test_utility_is_one_at_best_and_zero_without_predictions():
    found, _ = random_part(8)
    lead = (found.cohort.samples["onset_hour"] - found.cohort.samples["hour"]).to_numpy()
    best = np.where(lead <= 12, 0.9, 0.1)[:, None]
    assert values(measured(found, best, 0.5))["utility"] == pytest.approx(1)
    assert values(measured(found, best, 0.95))["utility"] == 0
    assert values(measured(found, best, 0.05))["utility"] < 1


# Intervals.


def test_weighted_quartiles_are_those_of_repeated_values():
    random = np.random.default_rng(2)
    lead = np.where(random.random(25) < 0.3, np.nan, random.integers(1, 7, 25).astype(float))
    weights = random.integers(0, 4, (30, 25)).astype(float)
    got = weighted_quartiles(lead, weights * 0.37)  # only their ratios count
    for row, times in zip(got.T, weights.astype(int), strict=True):
        repeated = np.repeat(lead, times)
        repeated = repeated[np.isfinite(repeated)]
        expected = np.quantile(repeated, [0.25, 0.5, 0.75], method="averaged_inverted_cdf")
        assert row == pytest.approx(expected)
    assert np.isnan(weighted_quartiles(np.full(3, np.nan), np.ones((2, 3)))).all()
    assert np.isnan(weighted_quartiles(np.array([1.0, np.nan]), np.array([[0.0, 1.0]]))).all()


def test_resamples_draw_subjects_with_all_their_stays():
    found, p = random_part(9)
    settings = Evaluation(bootstrap=40, alarm_silence_hours=2)
    stays = Stays(found.cohort.samples, found.cohort.subjects)
    point = {"name": "in_use", "rule": "", "threshold": 0.6}
    watched = Watched(stays, p, [point], Watch(1, 2, 6), settings, seed=5)
    codes = subject_codes(stays.subjects)
    assert codes.max() + 1 < len(stays), "some subjects have several stays"
    strata = outcome_strata(stays.event[:, None], codes)
    weights = np.concatenate(list(resample_weights(codes, 40, 5, strata)))
    for code in range(codes.max() + 1):
        assert np.ptp(weights[:, codes == code], axis=1).max() == 0
    names = {name: k for k, name in enumerate(dict.fromkeys(found.cohort.samples["stay"]))}
    order = [names[found.cohort.samples["stay"].iloc[stays.rows[start]]] for start in stays.starts]
    assert order == sorted(order)
    got = watched.resampled.replicates
    # By hand: the sums over stays, each as often as it was drawn.
    per_stay = [brute_stay(stays, p.ravel()[stays.rows], s, 0.6, 2) for s in range(len(stays))]
    event, alarmed, true, days = np.array(per_stay).T
    expected = (weights @ (event * (true > 0))) / (weights @ event)
    np.testing.assert_allclose(got["stay_sensitivity@0"], expected)
    np.testing.assert_allclose(
        got["false_alarms_per_day@0"], (weights @ (alarmed - true)) / (weights @ days)
    )
    np.testing.assert_allclose(got["alarm_ppv@0"], (weights @ true) / (weights @ alarmed))


def brute_stay(stays, p, stay, threshold, silence):
    last, alarmed, true = -np.inf, 0, 0
    for row in range(stays.starts[stay], stays.starts[stay] + stays.sizes[stay]):
        if p[row] >= threshold and stays.hour[row] - last >= silence:
            last, alarmed = stays.hour[row], alarmed + 1
            true += stays.lead[row] <= 6
    return stays.event[stay], alarmed, true, stays.sizes[stay] / 24


def test_intervals_hold_the_value_and_repeat():
    found, p = random_part(10, stays=80)
    settings = Evaluation(bootstrap=300)
    block = measured(found, p, 0.7, settings)
    assert block["resamples"] == 300
    for name, each in block["operating_points"][0]["metrics"].items():
        assert each["low"] <= each["value"] <= each["high"], name
        assert each["low"] < each["high"] or name.startswith("lead"), name
    low, value, high = (block["curve"][k] for k in ("low", "stay_sensitivity", "high"))
    assert all(a <= b <= c for a, b, c in zip(low, value, high, strict=True))
    assert json.dumps(block, allow_nan=False) == json.dumps(measured(found, p, 0.7, settings))
    wider = measured(found, p, 0.7, Evaluation(bootstrap=300, confidence=0.99))
    a, b = (each["operating_points"][0]["metrics"]["alarm_ppv"] for each in (wider, block))
    assert a["high"] - a["low"] > b["high"] - b["low"]


def test_all_foreseen_has_wilsons_interval():
    found = part(np.repeat(list("abcdefgh"), 2), [1, 2] * 8, np.repeat([3.0, np.nan], 8))
    p = np.repeat([0.9, 0.1], 8)[:, None]
    point = measured(found, p, 0.5, Evaluation(bootstrap=50))["operating_points"][0]["metrics"]
    sure = point["stay_sensitivity"]
    assert (sure["value"], sure["high"], sure["method"]) == (1, 1, "wilson")
    assert sure["low"] == pytest.approx(0.510, abs=0.001)  # 4 of 4
    assert point["event_free_stays_alarmed"]["value"] == 0
    assert point["event_free_stays_alarmed"]["high"] == pytest.approx(0.490, abs=0.001)


# Thresholds, and the baselines.


def test_thresholds_are_chosen_on_validation_alone():
    valid, test = random_part(11, stays=60), random_part(12, stays=60)
    settings = Evaluation(bootstrap=0, alarm_silence_hours=2)
    block = measured(*test, 0.5, settings, valid=valid)
    found = {point["name"]: point for point in block["operating_points"]}
    assert list(found)[:2] == ["in_use", "false_alarms_0.5"]
    best = found["false_alarms_2"]["threshold"]
    at_best = brute(*valid, best, 2, 6)
    assert at_best["false_alarms_per_day"] <= 2
    for threshold in np.unique(valid[1]):
        if (valid[1] >= threshold).any() and threshold > 0.3:
            other = brute(*valid, threshold, 2, 6) if has_true(valid, threshold) else None
            if other and other["false_alarms_per_day"] <= 2:
                assert other["stay_sensitivity"] <= at_best["stay_sensitivity"]
    least = found["stay_sensitivity_0.8"]["threshold"]
    assert brute(*valid, least, 2, 6)["stay_sensitivity"] >= 0.8
    other = measured(*random_part(13, stays=50), 0.5, settings, valid=valid)
    again = [point["threshold"] for point in other["operating_points"]]
    assert again == [point["threshold"] for point in block["operating_points"]]


def has_true(pair, threshold):
    table = pair[0].cohort.samples
    near = (table["onset_hour"] - table["hour"] <= 6).to_numpy()
    return bool((pair[1].ravel() >= threshold)[near].any())


def test_a_rule_that_validation_cannot_serve_says_why():
    valid = part(["v"] * 3, [1, 2, 3], np.nan), np.array([[0.1], [0.2], [0.3]])
    block = measured(*random_part(14), 0.5, valid=valid)
    for point in block["operating_points"][1:]:
        assert point["threshold"] is None
        assert point["not_estimable"] == "no validation stay has an event"
        assert "metrics" not in point
    late = part(["v", "w"], [1, 1], np.array([np.nan, 30.0]), y=[0, 0])
    block = measured(*random_part(14), 0.5, valid=(late, np.array([[0.1], [0.2]])))
    assert block["operating_points"][-1]["not_estimable"] == (
        "no threshold reaches it on validation"
    )


def test_a_baseline_is_compared_in_the_same_resamples():
    (valid, p_valid), (test, p) = random_part(15, stays=60), random_part(16, stays=60)
    watched = EarlyWarning({"valid": valid, "test": test}, Evaluation(bootstrap=100), 1)
    network = watched.network({"valid": p_valid, "test": p}, 0.6)
    same = watched.baseline(p_valid, p, 0.6)
    assert same["operating_points"] == network["test"]["operating_points"]
    assert "timelines" not in same
    for each in same["difference"].values():
        assert each["value"] == 0
    worse = watched.baseline(1 - p_valid, 1 - p, 0.4)
    less = worse["difference"]["stay_auroc"]
    value = network["test"]["metrics"]["stay_auroc"]["value"]
    assert less["value"] == pytest.approx(value - worse["metrics"]["stay_auroc"]["value"])
    assert less["low"] < less["value"] < less["high"]
    assert 0 <= less["p"] <= 1
    assert {"utility", "stay_sensitivity at false_alarms_1"} <= set(worse["difference"])
    constant = watched.baseline(np.full_like(p_valid, 0.1), np.full_like(p, 0.1), 0.5)
    assert values(constant)["alarms_per_day"] == 0
    json.dumps([network, worse, constant], allow_nan=False)


def test_validation_has_a_block_without_chosen_thresholds():
    parts = {"valid": random_part(17), "test": random_part(18)}
    watched = EarlyWarning({name: each[0] for name, each in parts.items()}, FEW, 0)
    found = watched.network({name: each[1] for name, each in parts.items()}, 0.6)
    assert set(found) == {"valid", "test"}
    assert [point["name"] for point in found["valid"]["operating_points"]] == ["in_use"]
    assert "timelines" not in found["valid"]


# What cannot be said.


def test_no_events():
    found = part(np.repeat(["a", "b"], 3), [1, 2, 3] * 2, np.nan)
    block = measured(found, np.linspace(0, 1, 6)[:, None], 0.5, Evaluation(bootstrap=20))
    point = block["operating_points"][0]["metrics"]
    assert point["stay_sensitivity"] == {
        "value": None, "low": None, "high": None, "not_estimable": "no stay has an event",
    }  # fmt: skip
    assert block["metrics"]["stay_auroc"]["not_estimable"] == "all stays have an event, or none"
    assert point["utility"]["not_estimable"] == "no hour is near enough to an event"
    assert point["alarm_ppv"]["value"] == 0
    assert any("no row is positive" in note for note in block["notes"])
    assert "0 subjects have a stay with an event" in " ".join(block["notes"])
    json.dumps(block, allow_nan=False)


def test_no_alarms():
    found, p = example()
    block = measured(found, p, 0.95, Evaluation(bootstrap=20))
    point = block["operating_points"][0]["metrics"]
    assert point["stay_sensitivity"]["value"] == 0
    assert point["alarms_per_day"]["value"] == 0
    for name in ("alarm_ppv", "stay_ppv"):
        assert point[name]["not_estimable"] == "no alarm at this threshold"
    for name in ("number_needed_to_evaluate", "lead_median"):
        assert point[name]["not_estimable"] == "no true alarm at this threshold"
    assert block["lead_histogram"]["counts"] == [0] * 6


def test_only_events_one_subject_and_constant_scores():
    found = part(["a"] * 4, [1, 2, 3, 4], 5.0, subject=["p"] * 4)
    block = measured(found, np.full((4, 1), 0.4), 0.4, Evaluation(bootstrap=30))
    point = block["operating_points"][0]["metrics"]
    assert point["event_free_stays_alarmed"]["not_estimable"] == "every stay has an event"
    assert point["stay_sensitivity"] == {"value": 1, "low": None, "high": None}
    assert block["resamples"] == 0
    assert any("one subject" in note for note in block["notes"])
    single = measured(part(["a"], [1], 3.0), np.array([[0.4]]), 0.4)
    assert "no stay has two rows: each row is taken as an hour" in single["notes"]
    assert single["patient_days"] == pytest.approx(1 / 24)


@pytest.mark.parametrize(
    ("hours", "onset", "reason"),
    [
        ([1, 2, 3], [5.0, 6.0, 5.0], "the onset hour differs within 1 stay"),
        ([1, 2, 3], [np.nan, 6.0, 6.0], "the onset hour differs within 1 stay"),
        ([1, 2, 2], [5.0, 5.0, 5.0], "hours that occur twice in their stay: 1"),
        ([5, 6, 7], [5.0, 5.0, 5.0], "there are no rows before an onset"),
    ],
)
def test_stays_that_contradict_themselves(hours, onset, reason):
    found = part(["a"] * 3, hours, np.array(onset))
    watched = EarlyWarning({"test": found, "valid": found}, FEW, 0)
    p = np.full((3, 1), 0.5)
    assert watched.network({"test": p, "valid": p}, 0.5)["test"] == {"not_estimable": reason}
    assert watched.baseline(p, p, 0.5) == {"not_estimable": reason}


def test_rows_after_the_onset_and_without_an_hour_are_left_out():
    samples = frame(["a", "a", "a", "b", None], [1, 2, 3, np.nan, 1], [3.0, 3.0, 3.0, np.nan, 1])
    stays = Stays(samples, np.array(list("xxxyz"), dtype=object))
    assert stays.rows.tolist() == [0, 1]
    assert stays.notes == [
        "rows without a stay or an hour, left out: 2", "rows at or after the onset, left out: 1",
    ]  # fmt: skip
    block = measured(part(["a"] * 3, [1, 2, 3], 3.0), np.full((3, 1), 0.5), 0.5)
    assert "rows at or after the onset, left out: 1" in block["notes"]


def test_positive_rows_without_an_onset_are_named():
    found = part(["a", "a", "b", "b"], [1, 2, 1, 2], np.array([4.0, 4, np.nan, np.nan]), y=[1] * 4)
    block = measured(found, np.full((4, 1), 0.5), 0.5)
    assert "positive rows in stays without an onset: 2" in block["notes"]
    assert block["lead_hours"] == 3


def test_other_samples_have_no_early_warning():
    samples = pd.DataFrame({"hour": [1, 2], "sex": ["f", "m"]})
    assert not has_stays(samples)
    check_subgroups(samples, Evaluation(subgroups=("hour",)))
    other = SimpleNamespace(cohort=SimpleNamespace(samples=samples), y=np.zeros((2, 1)))
    assert early_warning(tasks.build("binary"), {"test": other}, FEW, 0) is None


def test_only_a_binary_task_raises_alarms(caplog):
    found, _ = example()
    assert early_warning(tasks.build("regression"), {"test": found}, FEW, 0) is None
    assert "scored for one yes/no, not for task regression" in caplog.text


def test_stay_hour_and_onset_are_no_subgroups():
    found, _ = example()
    for name in ("stay", "hour", "onset_hour"):
        with pytest.raises(DataError, match=f"'{name}' cannot be a subgroup"):
            check_subgroups(found.cohort.samples, Evaluation(subgroups=(name,)))


def test_thresholds_reach_from_all_to_none():
    p = np.random.default_rng(3).random(5000)
    found = spaced_thresholds(p, 60)
    assert (np.diff(found) > 0).all()
    assert found[0] == p.min()
    assert found[-1] > p.max()
    assert (p >= found[-2]).sum() == 1


# The synthetic stays.


@pytest.fixture(scope="module")
def cohort():
    return dataset.synthetic_deterioration(stays=150, seed=1)


def test_the_synthetic_stays_keep_the_contract():
    check_dataset(dataset.synthetic_deterioration, {"series": "series"}, stays=20)


def test_a_sample_is_a_stay_at_one_hour(cohort):
    samples, y = cohort.samples, cohort.targets
    assert has_stays(samples)
    ahead = samples["onset_hour"] - samples["hour"]
    assert np.array_equal(y, (ahead <= 6).astype(int)), "no onset is no event"
    assert (ahead[ahead.notna()] > 0).all(), "hours from the onset on are left out"
    by_stay = samples.groupby("stay")
    assert (by_stay["hour"].min() == 6).all()
    assert (by_stay["hour"].diff().dropna() == 1).all()
    assert (by_stay[["subject", "onset_hour", "site"]].nunique(dropna=False) == 1).all(axis=None)
    assert by_stay.ngroups > samples["subject"].nunique(), "some subjects have several stays"
    length = by_stay["hour"].max() + 1
    free = by_stay["onset_hour"].first().isna()
    assert length[free].between(24, 96).all()
    assert 0.2 < 1 - free.mean() < 0.5
    thinned = dataset.synthetic_deterioration(stays=20, every_hours=6).samples
    assert (thinned["hour"] % 6 == 0).all()


def test_a_window_is_the_hours_up_to_the_prediction(cohort):
    values, samples = only_input(cohort).values, cohort.samples
    assert values.shape[1:] == (12, 6)
    assert values.dtype == np.float32
    stay, hour = samples["stay"].to_numpy(), samples["hour"].to_numpy()
    next_hour = np.flatnonzero((stay[1:] == stay[:-1]) & (np.diff(hour) == 1))
    assert np.array_equal(values[next_hour, 1:], values[next_hour + 1, :-1], equal_nan=True)
    early = np.flatnonzero(hour == 6)
    assert np.isnan(values[early, :5]).all(), "before admission there is nothing"
    assert not np.isnan(values[early, 5]).any(), "everything is measured at admission"
    for k, feature in enumerate(only_input(cohort).features):
        channel = values[..., k]
        assert feature.unit
        assert feature.low <= np.nanmin(channel) <= np.nanmax(channel) <= feature.high


def test_the_true_risk_is_calibrated_and_its_score_is_stated():
    drawn = dataset._draw(1500, 0, 12, 6)
    p, y = dataset.true_risk(drawn.values, drawn.hour), drawn.targets
    for low, high in ((0, 0.02), (0.02, 0.1), (0.1, 0.4), (0.4, 1)):
        rows = (p >= low) & (p < high)
        stays = drawn.frame["stay"][rows].nunique()
        spread = np.sqrt(p[rows].mean() * (1 - p[rows].mean()) / stays)
        assert abs(y[rows].mean() - p[rows].mean()) < 3 * spread
    text = " ".join(inspect.getdoc(dataset.synthetic_deterioration).split())
    stated = re.search(r"Best reachable.*?AUROC (\S+) and AUPRC (\d\.\d+)", text)
    best = dataset.best_score()
    assert stated.groups() == (f"{best['auroc']:.2f}", f"{best['auprc']:.2f}")
    assert best["auroc"] == pytest.approx(roc_auc_score(y, p))


def test_true_risk_is_that_of_the_joint_normal_distribution():
    from scipy.stats import multivariate_normal

    channels, values = dataset.CHANNELS, np.full((1, 5, 6), np.nan)
    values[0, :, 0] = [84, 88, np.nan, 97, 103]
    values[0, [0, 4], 5] = [1.2, 2.6]
    log_odds = []
    for ahead in range(1, 14):  # 13 stands for none
        total = 0.0
        for k in (0, 5):
            x = values[0, :, k] if k == 0 else np.log(values[0, :, k])
            seen = np.flatnonzero(~np.isnan(x))
            left = ahead + 4 - seen if ahead < 13 else np.full(len(seen), 99)
            mean = channels.mean[k] + channels.effect[k] * np.clip(1 - left / 12, 0, 1)
            spread = np.eye(len(seen)) * channels.noise[k] + channels.between[k] ** 2
            total += multivariate_normal.logpdf(x[seen], mean, spread)
        log_odds.append(total)
    likelihood = np.exp(np.array(log_odds) - log_odds[-1])
    # At hour 20 nobody has been discharged, and within 12 hours up to hour 32 some are.
    longest = np.arange(24, 97)
    prior = np.array([0.006 * 0.994 ** (k - 1) * np.mean(longest >= 20 + k) for k in range(1, 13)])
    weights = np.r_[prior, 1 - prior.sum()] * likelihood
    expected = weights[:6].sum() / weights.sum()
    assert dataset.true_risk(values, np.array([20])) == pytest.approx(expected)


# The whole path.

CONFIG = """
name: early
seed: 2
dataset: {name: synthetic_deterioration, stays: 30, every_hours: 3, hours: 4}
task: binary
model: {name: gru, units: [4]}
training: {epochs: 1, batch_size: 64}
calibration: platt
evaluation: {bootstrap: 20, explanations: false, subgroups: [sex]}
"""


@pytest.fixture(scope="module")
def run(run_once, tmp_path_factory):
    config = tmp_path_factory.mktemp("early") / "early.yaml"
    config.write_text(CONFIG)
    return run_once("early-warning", config)


def test_a_run_scores_stays_and_alarms_of_network_and_baselines(run):
    for name in ("test", "valid"):
        block = run.metrics[name]["early_warning"]
        assert block["step_hours"] == 3
        assert block["stays"] > block["event_stays"]
    for baseline in ("logistic_regression", "gradient_boosting"):
        block = run.metrics["baselines"][baseline]["early_warning"]
        assert block["stays"] == run.metrics["test"]["early_warning"]["stays"]
        assert "stay_auroc" in block["difference"]
    listed = [row["name"] for row in run.metrics["table_one"]["rows"] if row["role"] != "input"]
    assert listed == ["site", "sex", "age_band", "deterioration"]
    assert [each["name"] for each in run.metrics["leakage"]["findings"]] == ["same_period"]


def test_no_stay_of_a_run_can_be_told(run):
    rows = pd.read_parquet(run.path / "predictions.parquet")
    assert rows["stay"].str.fullmatch("[0-9a-f]{16}").all()
    assert rows.groupby("stay")["subject"].nunique().max() == 1
    assert rows.groupby("stay")["part"].nunique().max() == 1
    assert (rows["hour"] % 3 == 0).all()
    assert "onset_hour" not in rows
    texts = [p.read_text(encoding="utf-8") for p in run.path.iterdir()
             if p.suffix in (".json", ".csv", ".txt", ".html", ".md", ".yaml")]  # fmt: skip
    assert not re.search(r"S000\d\d", "".join([*texts, rows.to_csv()]))


def test_the_report_tells_of_alarms(run):
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert '<a href="#early-warning">Early warning</a>' in page
    section = page.split('<section aria-labelledby="early-warning">')[1].split("</section>")[0]
    for text in (
        "alarms per patient-day", "after an alarm no other sounds in that stay for 6 hours",
        "Lead time", "Some stays, hour by hour", "False alarms ≤ 1", "Number needed to evaluate",
        "Network − logistic regression",
    ):  # fmt: skip
        assert text in section, text
    assert "None" not in section
    assert "nan" not in section.lower()


def test_the_report_says_what_is_not_estimable():
    def inputs(block):
        return SimpleNamespace(metrics={"test": {"early_warning": block}}, where="the test part")

    assert early_warning_section(SimpleNamespace(metrics={"test": {}})) is None
    told = early_warning_section(inputs({"not_estimable": "why"}))
    assert (told["not_estimable"], told["figures"], told["table"]) == ("why", [], None)
    empty = measured(part(["a", "b"], [1, 1], np.nan), np.array([[0.1], [0.2]]), 0.5)
    told = early_warning_section(inputs(empty))
    assert [figure.title for figure in told["figures"]] == ["Some stays, hour by hour"]
    cells = {row[0]: row[1] for row in told["table"]["rows"]}
    assert cells["Event stays foreseen"] == "not estimable: no stay has an event"


def test_a_prediction_at_every_hour_from_the_stays_written_as_files(run, tmp_path):
    paths = synthesize("synthetic_deterioration", tmp_path, ["stays=30", "every_hours=3"])
    table = predict_file(run, paths[0]).set_index("sample")["probability"]
    cohort = dataset.synthetic_deterioration(stays=30, every_hours=3, hours=4)
    expected = run.predict(only_input(cohort))["probability"].to_numpy()
    # Read back, an hour's prediction is made when the hour is over.
    hour = cohort.samples["hour"].astype(int) + 1
    ids = (cohort.samples["stay"] + "@" + hour.astype(str)).to_numpy()
    # Without its end, a stay is known up to its last measurement.
    last = ~cohort.samples["stay"].duplicated(keep="last").to_numpy()
    np.testing.assert_allclose(table[ids[~last]], expected[~last], atol=1e-5)
    assert set(table.index) <= set(ids)


def test_evaluated_elsewhere_the_run_is_scored_by_stay(run):
    found = evaluate_run_on(run, overrides=["dataset.seed=5"])
    block = found["early_warning"]
    assert [point["name"] for point in block["operating_points"]] == ["in_use"]
    assert block["operating_points"][0]["threshold"] == run.threshold
    assert block["stays"] == 30

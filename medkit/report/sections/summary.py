"""The result in plain words, with the baselines beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medkit.evaluation import called, lower_is_better
from medkit.report.inputs import PART_NAMES, ReportInputs
from medkit.report.templates import bounds, count, percent, readable
from medkit.report.templates import title as _title
from medkit.tasks.scores.courses import channels_of

_MOST_FINDINGS = 3


def verdict(metrics: Mapping[str, Any], main: str) -> dict[str, str]:
    """Whether the network beats the baselines: ``level`` (good, unsure, bad, none) and ``text``."""
    baselines = {
        name: described["difference"]
        for name, described in metrics.get("baselines", {}).items()
        if described.get("difference", {}).get("value") is not None
    }
    if not baselines and metrics.get("baselines"):
        return {"level": "none", "text": f"{_title(main)} is undefined on the test part: nothing "
                "says whether the network is better than the baselines."}  # fmt: skip
    if not baselines:
        return {"level": "none", "text": "No baseline was computed: nothing says whether a simpler "
                "model would do as well."}  # fmt: skip
    sign = -1.0 if lower_is_better(main) else 1.0
    hardest = min(baselines, key=lambda name: sign * baselines[name]["value"])
    difference, name = baselines[hardest], hardest.replace("_", " ")
    gain = sign * difference["value"]
    bounds = [difference["low"], difference["high"]]
    between = " (no interval)"
    certain = False
    if None not in bounds:
        low, high = sorted(sign * bound for bound in bounds)
        certain = low > 0
        if gain < 0:  # "behind by 3 (1 to 5)": the distance and its interval have one sign
            low, high = -high, -low
        between = f" (interval of the paired difference {readable(low)} to {readable(high)})"
    by = f"{readable(abs(gain))} in {called(main)}{between}"
    if gain <= 0:
        text = (
            f"The network does not beat {name}: it is "
            + (f"behind by {by}" if gain < 0 else "level with it")
            + ". Prefer the simpler model unless something else speaks for the network."
        )
        return {"level": "bad", "text": text}
    if not certain:
        text = f"The network is ahead of {name} by {by}; that may be chance."
        return {"level": "unsure", "text": text}
    return {"level": "good", "text": f"The network is ahead of {name}, the best baseline, by {by}."}


def positives(described: Mapping[str, Any]) -> str:
    """``42 positive (36.8 %)``, or the count of each class; empty for a measured number."""
    found, n = described.get("positives"), described["n"]
    if found is None:
        return ""
    if isinstance(found, Mapping):
        listed = [f"{name}: {count(each)}" for name, each in found.items()]
        return ", ".join(listed[:12]) + (" …" if len(listed) > 12 else "")
    return f"{count(found)} positive ({100 * found / n:.1f}\u00a0%)"


def special(metrics: Mapping[str, Any]) -> str:
    """What to say of intervals that are no percentiles of the resamples; empty without any."""
    groups = [group for each in metrics.get("subgroups", {}).values() for group in each.values()]
    parts = [metrics[name] for name in PART_NAMES if name in metrics]
    measured = [*parts, *metrics.get("baselines", {}).values(), *groups]
    found = [each for one in measured for each in one.get("metrics", {}).values()]
    text = ""
    if any(each.get("method") == "wilson" for each in found):
        text += (
            "Wilson: no resample moves a proportion of 0 or 1, so its interval is Wilson's (1927), "
            "on the number of subjects in the denominator. "
        )
    if any(each.get("degenerate") for each in found):
        text += (
            "The same in all resamples: the bootstrap cannot tell how far this number would move; "
            "that is no certainty. "
        )
    if any(each.get("delong") for each in found):
        text += (
            "DeLong: interval of the AUROC from DeLong's variance (Biometrics 1988;44:837–45), "
            "beside the bootstrap's."
        )
    return text.strip()


def cautions(inputs: ReportInputs) -> list[str]:
    """What a reader must know before the numbers: waived leaks, notes, poor calibration."""
    metrics = inputs.metrics
    told = []
    for each in (metrics.get("leakage") or {}).get("findings", ()):
        if each.get("waived"):
            name = each["name"].replace("_", " ")
            told.append(f"Leakage finding waived ({name}): {each['what']}. "
                        f"Reason given: {each['waived']}.")  # fmt: skip
    open_ones = [each for each in (metrics.get("leakage") or {}).get("findings", ())
                 if not each.get("waived")]  # fmt: skip
    if open_ones:
        what = "; ".join(each["what"] for each in open_ones[:_MOST_FINDINGS])
        more = len(open_ones) - _MOST_FINDINGS
        rest = f"; and {more} more, see the leakage gate" if more > 0 else ""
        told.append(f"The leakage gate warns: {what}{rest}.")
    told += [f"Note: {note}." for note in metrics.get("flow", {}).get("notes", [])]
    for part, called_so in PART_NAMES.items():
        told += [f"{called_so} part: {note}." for note in metrics.get(part, {}).get("notes", [])]
    return told


def plain_words(inputs: ReportInputs, main: str) -> list[str]:
    """The result in sentences that need no statistics; those that the run can tell."""
    test = inputs.metrics["test"]
    told = [_at_threshold(inputs), _typical_error(inputs), _calibrated(test), _covered(inputs)]
    return [text for text in told if text]


def _at_threshold(inputs: ReportInputs) -> str:
    outcomes = inputs.one_against_rest()
    threshold = inputs.metrics["test"].get("threshold")
    if inputs.task.kind == "multiclass":
        accuracy = inputs.metrics["test"]["metrics"].get("accuracy", {}).get("value")
        return "" if accuracy is None else (
            f"Of 100 samples like these, about {100 * accuracy:.0f} get their right class."
        )  # fmt: skip
    if outcomes is None or inputs.task.kind != "binary" or not isinstance(threshold, float):
        return ""
    y, alarm = outcomes[1].ravel() == 1, outcomes[2].ravel() >= threshold
    missed, false = int((y & ~alarm).sum()), int((~y & alarm).sum())
    return (
        f"At its threshold of {readable(threshold)}, chosen on validation, it finds "
        f"{count(int(y.sum()) - missed)} of {count(int(y.sum()))} positives and raises "
        f"{count(false)} false {'alarm' if false == 1 else 'alarms'} among "
        f"{count(int((~y).sum()))} negatives."
    )


def _typical_error(inputs: ReportInputs) -> str:
    metrics = inputs.metrics["test"]["metrics"]
    error = metrics.get("mae", {}).get("value")
    channels = channels_of(inputs.task.names_) if inputs.task.kind == "forecasting" else ()
    each = {
        channel: metrics[f"mae_{channel}"]["value"]
        for channel in channels
        if f"mae_{channel}" in metrics
    }
    if each:  # a mean over units would say nothing
        listed = ", ".join(f"{readable(value)} of {name}" for name, value in each.items())
        return f"On average a forecast is away from the measured value by: {listed}."
    return "" if error is None else (
        f"On average a prediction is {readable(error)} away from the measured value."
    )  # fmt: skip


def _calibrated(test: Mapping[str, Any]) -> str:
    """Whether probabilities are too extreme, by the interval of the calibration slope."""
    found = ((test.get("calibration") or {}).get("metrics") or {}).get("slope") or {}
    if found.get("value") is None or found.get("low") is None:
        return ""
    told = f"(calibration slope {readable(found['value'])}, interval {bounds(found)})"
    if found["high"] < 1:
        return f"Its probabilities are too extreme: too near 0 and 1 {told}."
    if found["low"] > 1:
        return f"Its probabilities are too timid: too far from 0 and 1 {told}."
    return f"Nothing says that its probabilities are too extreme or too timid {told}."


def _covered(inputs: ReportInputs) -> str:
    found = (inputs.metrics["test"].get("uncertainty") or {}).get("conformal") or {}
    outputs = found.get("outputs") or {}
    if len(outputs) != 1:
        return ""
    overall = next(iter(outputs.values()))["overall"]
    seen = (overall.get("coverage") or {}).get("value")
    if seen is None:
        return ""
    kind = "intervals" if inputs.task.kind == "regression" else "sets"
    return (
        f"Its prediction {kind}, made to hold the outcome of {percent(found['coverage'], 0)} of "
        f"patients, held it for {percent(seen)} of the {inputs.samples}."
    )

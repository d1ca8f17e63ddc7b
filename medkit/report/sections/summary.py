"""The result in plain words, with the baselines beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medkit.report.inputs import PART_NAMES, ReportInputs
from medkit.report.outcome import outcome_report
from medkit.report.section import section
from medkit.report.templates import bounds, count, label, percent, readable
from medkit.tasks.outcomes import Metric

_MOST_FINDINGS = 3


@section("summary", "Summary", 10)
def summary(inputs: ReportInputs) -> dict[str, Any]:
    """The verdict, the result in words, and what a reader must know before the numbers."""
    return {"verdict": verdict(inputs.metrics, inputs.leading), "words": plain_words(inputs),
            "cautions": cautions(inputs)}  # fmt: skip


def verdict(metrics: Mapping[str, Any], main: Metric) -> dict[str, str]:
    """Whether the network beats the baselines: ``level`` (good, unsure, bad, none) and ``text``."""
    baselines = {
        name: described["difference"]
        for name, described in metrics.get("baselines", {}).items()
        if described.get("difference", {}).get("value") is not None
    }
    if not baselines and metrics.get("baselines"):
        return {"level": "none", "text": f"{main.title} is undefined on the test part: nothing "
                "says whether the network is better than the baselines."}  # fmt: skip
    if not baselines:
        return {"level": "none", "text": "No baseline was computed: nothing says whether a simpler "
                "model would do as well."}  # fmt: skip
    hardest = min(baselines, key=lambda name: main.sign * baselines[name]["value"])
    difference, name = baselines[hardest], label(hardest, capital=False)
    gain = main.sign * difference["value"]
    bounds = [difference["low"], difference["high"]]
    between = " (no interval)"
    certain = False
    if None not in bounds:
        low, high = sorted(main.sign * bound for bound in bounds)
        certain = low > 0
        if gain < 0:  # "behind by 3 (1 to 5)": the distance and its interval have one sign
            low, high = -high, -low
        between = f" (interval of the paired difference {readable(low)} to {readable(high)})"
    by = f"{readable(abs(gain))} in {main.label}{between}"
    if gain <= 0:
        text = (
            f"The network does not beat {name}: it is "
            + (f"behind by {by}" if gain < 0 else "level with it")
            + ". Prefer the simpler model unless there is another reason to use the network."
        )
        return {"level": "bad", "text": text}
    if not certain:
        text = f"The network is ahead of {name} by {by}; that may be chance."
        return {"level": "unsure", "text": text}
    return {"level": "good", "text": f"The network is ahead of {name}, the best baseline, by {by}."}


def positives(described: Mapping[str, Any], positive: str) -> str:
    """``42 positive (36.8 %)``, or the count of each class; empty for a measured number."""
    found, n = described.get("positives"), described["n"]
    if found is None:
        return ""
    if isinstance(found, Mapping):
        listed = [f"{name}: {count(each)}" for name, each in found.items()]
        return ", ".join(listed[:12]) + (" …" if len(listed) > 12 else "")
    named = f"{count(found)} {positive}".rstrip()
    return f"{named} ({100 * found / n:.1f}\u00a0%)"


def parts_of(inputs: ReportInputs) -> list[tuple[str, list[str]]]:
    """Samples and subjects, and positives where there are such, of each part by its name."""
    parts, positive = [], outcome_report(inputs).positive
    for name in ("train", "valid", "test"):
        described = inputs.metrics.get(name)
        if described is not None:
            n, subjects = count(described["n"]), described["subjects"]
            noun = "subject" if subjects == 1 else "subjects"
            lines = [f"{n} samples of {count(subjects)} {noun}", positives(described, positive)]
            parts.append((PART_NAMES[name], [each for each in lines if each]))
    return parts


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
            "that is not certainty. "
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
    remarks = []
    for each in (metrics.get("leakage") or {}).get("findings", ()):
        if each.get("waived"):
            name = each["name"].replace("_", " ")
            remarks.append(f"Leakage finding waived ({name}): {each['what']}. "
                        f"Reason given: {each['waived'].rstrip('.')}.")  # fmt: skip
    open_ones = [each for each in (metrics.get("leakage") or {}).get("findings", ())
                 if not each.get("waived")]  # fmt: skip
    if open_ones:
        what = "; ".join(each["what"] for each in open_ones[:_MOST_FINDINGS])
        more = len(open_ones) - _MOST_FINDINGS
        rest = f"; and {more} more, see the leakage gate" if more > 0 else ""
        remarks.append(f"The leakage gate warns: {what}{rest}.")
    remarks += [f"Note: {note}." for note in metrics.get("flow", {}).get("notes", [])]
    for part, called_so in PART_NAMES.items():
        remarks += [f"{called_so} part: {note}." for note in metrics.get(part, {}).get("notes", [])]
    return remarks


def plain_words(inputs: ReportInputs) -> list[str]:
    """The result in sentences that need no statistics; those that the run can give."""
    of_kind = outcome_report(inputs).words()
    return [*of_kind, *filter(None, [_calibrated(inputs.metrics["test"]), _covered(inputs)])]


def _calibrated(test: Mapping[str, Any]) -> str:
    """Whether probabilities are too extreme, by the interval of the calibration slope."""
    found = ((test.get("calibration") or {}).get("metrics") or {}).get("slope") or {}
    if found.get("value") is None or found.get("low") is None:
        return ""
    evidence = f"(calibration slope {readable(found['value'])}, interval {bounds(found)})"
    if found["high"] < 1:
        return f"Its probabilities are too extreme: too near 0 and 1 {evidence}."
    if found["low"] > 1:
        return f"Its probabilities are too timid: too far from 0 and 1 {evidence}."
    return f"Nothing says that its probabilities are too extreme or too timid {evidence}."


def _covered(inputs: ReportInputs) -> str:
    found = (inputs.metrics["test"].get("uncertainty") or {}).get("conformal") or {}
    outputs = found.get("outputs") or {}
    if len(outputs) != 1:
        return ""
    overall = next(iter(outputs.values()))["overall"]
    seen = (overall.get("coverage") or {}).get("value")
    if seen is None:
        return ""
    sets = f"{outcome_report(inputs).region}s"
    return (
        f"Its prediction {sets}, made to hold the outcome of {percent(found['coverage'], 0)} of "
        f"patients, held it for {percent(seen)} of the {inputs.samples}."
    )

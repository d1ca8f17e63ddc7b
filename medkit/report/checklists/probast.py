"""Signals of a risk of bias that a machine can read off a run.

Moons et al., PROBAST+AI, BMJ 2025;388:e082505 (doi 10.1136/bmj-2024-082505) has 16 questions on
development and 18 on evaluation; only a few can be answered from data and config, and those only
as signals: a judgement needs a reader who knows the patients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from medkit.report.checklists import facts
from medkit.report.inputs import ReportInputs
from medkit.report.outcome import Level, outcome_report
from medkit.report.templates import readable, sentence

SOURCE = "Moons et al., PROBAST+AI. BMJ 2025;388:e082505"
# Below this a regression's coefficients are known to be unstable (Riley et al., BMJ 2020).
_FEW_EVENTS_PER_PARAMETER = 10
_FEW_TEST_EVENTS = 100

# Findings of rows that training and test have in common.
_SHARED = (
    "subject_overlap", "returning_subjects", "trained_before", "duplicates", "near_duplicates"
)  # fmt: skip

Answer = tuple[Level, str]  # level, and what the run shows

WORDS = {
    "good": "no concern seen", "unsure": "look closer", "bad": "concern",
    "unknown": "not clear from the run",
}  # fmt: skip


@dataclass(frozen=True)
class Signal:
    """One answer.

    Args:
        domain: Participants, predictors, outcome or analysis.
        asks: The question, in our own words.
        level: ``good``, ``unsure``, ``bad`` or ``unknown``.
        text: What the run shows.
    """

    domain: str
    asks: str
    level: Level
    text: str

    @property
    def word(self) -> str:
        """The level in words."""
        return WORDS[self.level]


def signals(inputs: ReportInputs) -> list[Signal]:
    """Every signal, in the order of PROBAST's domains."""
    return [Signal(domain, asks, *answer(inputs)) for domain, asks, answer in _SIGNALS]


def _exclusions(inputs: ReportInputs) -> Answer:
    flow = inputs.metrics.get("flow", {})
    read, dropped = flow.get("rows_read") or 0, sum(flow.get("dropped", {}).values())
    if not read:
        return "unknown", "The number of rows read is not known."
    share = dropped / read
    level: Level = "good" if share < 0.05 else "unsure"
    return level, facts.rows(inputs)


def _at_prediction(inputs: ReportInputs) -> Answer:
    gate = inputs.metrics.get("leakage")
    if not gate:
        return "unknown", "The leakage gate did not run."
    relevant = ("after_prediction_time", "predictive_feature", "informative_missingness")
    found, text = _findings(gate, relevant)
    if found:
        waived = all(each.get("waived") for each in found)
        return "unsure", text + (" Waived in the config." if waived else "")
    looked = [each.replace("_", " ") for each in gate.get("checked", []) if each in relevant]
    text = f"Checked, nothing found: {', '.join(looked)}" if looked else "Times are not known"
    return "good" if looked else "unknown", sentence(text)


def _outcome_apart(inputs: ReportInputs) -> Answer:
    gate = inputs.metrics.get("leakage")
    if not gate or "copied_target" not in gate.get("checked", []):
        return "unknown", "No input was compared with the outcome."
    found, text = _findings(gate, ("copied_target",))
    if found:
        return "bad", text
    return "good", ("No input is a copy or a recoding of the outcome. Whether it was part of its "
                    "definition only the authors know.")  # fmt: skip


def _events_per_parameter(inputs: ReportInputs) -> Answer:
    found = inputs.metrics.get("sample_size")
    if not found or found.get("events_per_parameter") is None:
        return "unknown", "Not computed."
    ratio = found["events_per_parameter"]
    numbers = found.get("events") is None
    what = "patients" if numbers else "patients with the rarer outcome"
    n = found["n"] if numbers else found["events"]
    text = (
        f"{n:,} {what} for {found['parameters']} candidate parameters of a regression: "
        f"{readable(ratio)} each."
    )
    if found.get("weights"):
        text += f" The network has {found['weights']:,} weights, held back by regularization only."
    return "good" if ratio >= _FEW_EVENTS_PER_PARAMETER else "bad", text


def _enough_rows(inputs: ReportInputs) -> Answer:
    found = inputs.metrics.get("sample_size")
    if not found or not found.get("assumptions"):
        reason = (found or {}).get("not_estimable", "not computed")
        return "unknown", sentence(reason)
    met = [each["met"] for each in found["assumptions"]]
    level: Level = "good" if all(met) else "unsure" if any(met) else "bad"
    needed = "; ".join(facts.needed(each) for each in found["assumptions"])
    return level, f"{found['n']:,} patients in training ({found['rows']:,} rows). {needed}."


def _enough_test_events(inputs: ReportInputs) -> Answer:
    test = inputs.metrics["test"]
    counts = test.get("subjects_with")
    if not counts:
        level: Level = "good" if test["subjects"] >= _FEW_TEST_EVENTS else "unsure"
        return level, f"{test['subjects']:,} patients in the test part."
    rarest = min(counts, key=counts.__getitem__)
    fewest = counts[rarest]
    level = "good" if fewest >= _FEW_TEST_EVENTS else "unsure" if fewest >= 10 else "bad"
    rule = "at least 100 of each class are advised (Vergouwe et al., J Clin Epidemiol 2005)"
    return level, f"{fewest:,} test patients with the rarest outcome ({rarest}); {rule}."


def _missing(inputs: ReportInputs) -> Answer:
    text = facts.missing(inputs)
    if not text:
        return "unknown", "Not stated in the config."
    prepared = inputs.preparation.values()
    dropped = inputs.metrics.get("flow", {}).get("dropped", {})
    gone = sum(n for reason, n in dropped.items() if "missing" in reason)
    complete_only = any(each.settings.get("missing") == "drop" for each in prepared)
    return "unsure" if gone or complete_only else "good", text


def _apart(inputs: ReportInputs) -> Answer:
    gate = inputs.metrics.get("leakage") or {}
    relevant = (*_SHARED, "same_period")
    found, what = _findings(gate, relevant)
    text = facts.split(inputs)
    if found:
        failing = any(each.get("severity") == "fail" for each in found)
        return "bad" if failing else "unsure", f"{text} {what}"
    unknown = any("no subject" in note for note in inputs.metrics.get("flow", {}).get("notes", []))
    level: Level = "unsure" if unknown or not gate else "good"
    return level, text


def _findings(
    gate: Mapping[str, Any], names: tuple[str, ...]
) -> tuple[list[Mapping[str, Any]], str]:
    """Findings of the gate by these names, and what they say."""
    found = [each for each in gate.get("findings", []) if each["name"] in names]
    return found, sentence("; ".join(each["what"] for each in found))


def _imbalance(inputs: ReportInputs) -> Answer:
    weights = inputs.setting("training.class_weight")
    shifted = weights is not None or facts.distorted(inputs)
    level: Level = "unsure" if shifted and not facts.set_right(inputs) else "good"
    return level, facts.imbalance(inputs)


def _optimism(inputs: ReportInputs) -> Answer:
    gate = inputs.metrics.get("leakage")
    text = facts.optimism(inputs)
    if not gate:
        return (
            "unknown",
            f"The leakage gate did not run: the test part may hold training rows. {text}",
        )
    found, what = _findings(gate, _SHARED)
    if any(each.get("severity") == "fail" for each in found):
        return "bad", f"The test part is not independent of training: {what} {text}"
    apart = (
        "The test part took part in neither training nor tuning; choices were made on validation."
    )
    return "unsure" if found else "good", " ".join(filter(None, (apart, what, text)))


def _categories(inputs: ReportInputs) -> Answer:
    if not inputs.features:
        return "good", "Nothing was cut into classes."
    numeric = sum(feature.kind == "numeric" for feature in inputs.features)
    text = f"{numeric} of {len(inputs.features)} inputs are numbers, and were used as such."
    return "good", text


_SIGNALS: tuple[tuple[str, str, Callable[[ReportInputs], Answer]], ...] = (
    ("Participants", "Were all eligible rows kept?", _exclusions),
    ("Predictors", "Are the predictors available when the prediction is made?", _at_prediction),
    ("Outcome", "Are the predictors kept out of the outcome's definition?", _outcome_apart),
    ("Analysis", "Were there enough events for each candidate parameter?", _events_per_parameter),
    ("Analysis", "Was the sample large enough by the criteria of Riley et al.?", _enough_rows),
    ("Analysis", "Does the test part hold enough events to evaluate?", _enough_test_events),
    ("Analysis", "Were missing values dealt with, rather than their rows left out?", _missing),
    ("Analysis", "Are training, tuning and evaluation apart?", _apart),
    ("Analysis", "Was optimism accounted for?", _optimism),
    ("Analysis", "Are calibration and discrimination both reported?",
     lambda inputs: outcome_report(inputs).calibrated()),
    ("Analysis", "If classes were reweighted, were probabilities set right afterwards?",
     _imbalance),
    ("Analysis", "Were numbers used as numbers, not cut into classes?", _categories),
)  # fmt: skip

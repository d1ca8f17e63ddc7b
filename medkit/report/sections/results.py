"""How well the network does on the test part, beside the baselines and the other parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medkit.report.checklists import facts
from medkit.report.inputs import PART_NAMES, ReportInputs
from medkit.report.outcome import outcome_report, outcome_reports
from medkit.report.section import section
from medkit.report.sections.summary import special
from medkit.report.templates import estimate, label, p_value, readable

_BLOCKS = ("calibration", "decisions", "uncertainty", "forecast")


@section("results", "Performance", 50)
def results(inputs: ReportInputs) -> dict[str, Any]:
    """Tables of metrics, paired comparisons, and what the kind of outcome lets one draw."""
    kind, metrics = outcome_report(inputs), inputs.metrics
    return {
        "special": special(metrics),
        "comparisons": comparisons(metrics, inputs.main),
        "updated": updated(inputs),
        "figures": kind.figures(),
        "confusion": kind.confusion(),
        "parts": [(name, called_so) for name, called_so in PART_NAMES.items() if name in metrics],
        "not_estimable": not_estimable(inputs),
        "optimism": facts.optimism(inputs),
    }


def not_estimable(inputs: ReportInputs) -> list[str]:
    """What could not be estimated or drawn of these outcomes at all, each with its reason."""
    test, kind = inputs.metrics["test"], inputs.task.outcome
    found = {name: (test.get(name) or {}).get("not_estimable") for name in _BLOCKS}
    if outcome_reports.get(kind) is None:
        found["figures"] = f"outcomes of kind {kind} cannot be drawn"
    return [f"{name}: {reason}" for name, reason in found.items() if reason]


def updated(inputs: ReportInputs) -> dict[str, Any] | None:
    """A model updated for these data, beside what it was before, on the same test samples."""
    found = inputs.metrics.get("recalibration")
    if not found:
        return None
    rows = [
        [
            inputs.task.metric(name).title,
            estimate(found["before"]["metrics"].get(name)),
            estimate(now),
        ]
        for name, now in inputs.metrics["test"]["metrics"].items()
    ]
    return {"text": facts.update(inputs), "head": ["Metric", "Before", "After"], "rows": rows,
            "notes": found.get("notes", ())}  # fmt: skip


def comparisons(metrics: Mapping[str, Any], main: str) -> dict[str, Any] | None:
    """Paired tests of the network against each baseline; None where none was made."""
    rows = []
    compared = {
        label(name): described["comparison"]
        for name, described in metrics.get("baselines", {}).items()
        if described.get("comparison")
    }
    if not compared:
        return None
    head = ["Baseline", "Network − baseline", "p, bootstrap"]
    tests = [each for each in _TESTS if any("p" in (c.get(each) or {}) for c in compared.values())]
    for name, found in compared.items():
        paired = found.get("metrics", {}).get(main, {})
        row = [name, _difference(paired), p_value(paired.get("p"))]
        rows.append([*row, *(_TESTS[each][1](found.get(each) or {}) for each in tests)])
    notes = [note for found in compared.values() for note in found.get("notes", ())]
    return {"head": head + [_TESTS[each][0] for each in tests], "rows": rows,
            "notes": list(dict.fromkeys(notes))}  # fmt: skip


def _difference(found: Mapping[str, Any]) -> str:
    return estimate({**found, "value": found.get("difference")})


def _delong(found: Mapping[str, Any]) -> str:
    if found.get("p") is None and found.get("difference") is not None:
        return f"{readable(found['difference'])}; {found.get('note', 'no interval')}"
    return f"{_difference(found)}, p {p_value(found['p'])}" if "p" in found else "–"


def _mcnemar(found: Mapping[str, Any]) -> str:
    if "p" not in found:
        return "–"
    right = f"{found['only_a']} against {found['only_b']} rows right alone"
    return f"{right}, p {p_value(found['p'])}"


# Test -> heading, and its result in words.
_TESTS = {"delong": ("DeLong", _delong), "mcnemar": ("McNemar", _mcnemar)}

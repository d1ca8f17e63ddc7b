"""How well the network does on the test part, beside the baselines and the other parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medkit.report.checklists import facts
from medkit.report.inputs import PART_NAMES, ReportInputs
from medkit.report.outcome import outcome_report
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
        "not_estimable": not_estimable(metrics["test"]),
    }


def not_estimable(test: Mapping[str, Any]) -> list[str]:
    """What could not be estimated of these outcomes at all, each with its reason."""
    found = {name: (test.get(name) or {}).get("not_estimable") for name in _BLOCKS}
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
    delong = mcnemar = False
    for name, described in metrics.get("baselines", {}).items():
        found = described.get("comparison")
        if not found:
            continue
        paired = found.get("metrics", {}).get(main, {})
        cells = [label(name), _difference(paired), p_value(paired.get("p"))]
        tests = [found.get(each) if "p" in (found.get(each) or {}) else None
                 for each in ("delong", "mcnemar")]  # fmt: skip
        delong, mcnemar = delong or bool(tests[0]), mcnemar or bool(tests[1])
        rows.append([*cells, _delong(tests[0]), _mcnemar(tests[1])])
    if not rows:
        return None
    head = ["Baseline", "Network − baseline", "p, bootstrap"]
    kept = [0, 1, 2, *([3] if delong else []), *([4] if mcnemar else [])]
    head += (["DeLong"] if delong else []) + (["McNemar"] if mcnemar else [])
    notes = [note for described in metrics["baselines"].values()
             for note in (described.get("comparison") or {}).get("notes", ())]  # fmt: skip
    return {"head": head, "rows": [[row[i] for i in kept] for row in rows],
            "notes": list(dict.fromkeys(notes))}  # fmt: skip


def _difference(found: Mapping[str, Any]) -> str:
    if found.get("not_estimable"):
        return f"not estimable: {found['not_estimable']}"
    if found.get("difference") is None:
        return "–"
    return estimate({**found, "value": found["difference"]})


def _delong(found: Mapping[str, Any] | None) -> str:
    if not found or found.get("difference") is None:
        return "–"
    if found.get("low") is None:
        return f"{readable(found['difference'])}; {found.get('note', 'no interval')}"
    return f"{_difference(found)}, p {p_value(found.get('p'))}"


def _mcnemar(found: Mapping[str, Any] | None) -> str:
    if not found:
        return "–"
    right = f"{found['only_a']} against {found['only_b']} rows right alone"
    return f"{right}, p {p_value(found.get('p'))}"

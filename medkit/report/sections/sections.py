"""The sections of the page that only some runs have, and the list of all sections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medkit.report.checklists import facts
from medkit.report.inputs import ReportInputs
from medkit.report.sections.calibration import calibration_section
from medkit.report.sections.decisions import decision_section
from medkit.report.sections.early_warning import early_warning_section
from medkit.report.sections.forecast import forecast_section
from medkit.report.sections.groups import fairness_section, forest
from medkit.report.sections.importance import explanation_section
from medkit.report.sections.performance import thresholds_in_use
from medkit.report.sections.slider import slider_data
from medkit.report.sections.uncertainty import uncertainty_section
from medkit.report.templates import interval, label, p_value, readable, title


def optional_sections(inputs: ReportInputs, main: str) -> dict[str, Any]:
    """What the template draws where it is there: name -> content, or None."""
    return {
        "slider": _slider(inputs),
        "decisions": decision_section(inputs),
        "early_warning": early_warning_section(inputs),
        "calibration": calibration_section(inputs),
        "uncertainty": uncertainty_section(inputs),
        "forecast": forecast_section(inputs),
        "forest": forest(inputs, main),
        "fairness": fairness_section(inputs),
        "explanation": explanation_section(inputs),
        "gate": leakage_section(inputs.metrics),
        "comparisons": comparisons(inputs.metrics, main),
        "update": update_section(inputs),
    }


def contents(inputs: ReportInputs, blocks: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(id, title) of every section this page has, in order."""
    listed = [
        ("summary", "Summary", True),
        ("rows", "Rows", True),
        ("table-one", "Table 1", blocks["table_one"]),
        ("leakage", "Leakage gate", blocks["gate"]),
        ("results", "Performance", True),
        ("forecast", "Forecast", blocks["forecast"]),
        ("thresholds", "Thresholds", blocks["slider"] or blocks["decisions"]),
        ("early-warning", "Early warning", blocks["early_warning"]),
        ("calibration", "Calibration", blocks["calibration"]),
        ("uncertainty", "Uncertainty", blocks["uncertainty"]),
        ("subgroups", "Subgroups", inputs.metrics.get("subgroups")),
        ("explanations", "Explanations", blocks["explanation"]),
        ("errors", "Largest errors", blocks["worst"]),
        ("training", "Training", True),
        ("inputs", "Inputs", inputs.features),
        ("environment", "Data and environment", True),
        ("card", "Model card", True),
        ("tripod", "TRIPOD+AI", True),
        ("probast", "PROBAST+AI", True),
        ("config", "Config", True),
    ]
    return [(name, called_so) for name, called_so, there in listed if there]


def update_section(inputs: ReportInputs) -> dict[str, Any] | None:
    """A model updated for these data, beside what it was before, on the same test samples."""
    found = inputs.metrics.get("recalibration")
    if not found:
        return None
    rows = [
        [title(name), interval(found["before"]["metrics"].get(name)), interval(now)]
        for name, now in inputs.metrics["test"]["metrics"].items()
    ]
    return {"text": facts.update(inputs), "head": ["Metric", "Before", "After"], "rows": rows,
            "notes": found.get("notes", ())}  # fmt: skip


def leakage_section(metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the gate checked and found, waived findings first; None where it did not run."""
    gate = metrics.get("leakage")
    if not gate:
        return None
    findings = sorted(
        gate.get("findings", ()),
        key=lambda each: (not each.get("waived"), each.get("severity") != "fail"),
    )
    return {
        "checked": [str(each).replace("_", " ") for each in gate.get("checked", ())],
        "findings": findings,
        "waived": [each for each in findings if each.get("waived")],
        "notes": gate.get("notes", []),
    }


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
    return interval({**found, "value": found["difference"]})


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


def _slider(inputs: ReportInputs) -> dict[str, Any] | None:
    """Multiclass tasks call the most probable class: they have no threshold to move."""
    outcomes = inputs.one_against_rest()
    if outcomes is None or inputs.task.kind == "multiclass":
        return None
    names, y, p = outcomes
    used = thresholds_in_use(inputs, len(names))
    return slider_data(names, y, p, used, inputs.setting("evaluation.prevalence"))

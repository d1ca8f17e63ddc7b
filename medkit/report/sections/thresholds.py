"""Thresholds and decisions: the slider, decision curves and operating points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from medkit.evaluation.methods import baseline_name
from medkit.report.drawing import BLUE, GREY, INK, Figure, band, draw, plottable
from medkit.report.inputs import ReportInputs
from medkit.report.section import section
from medkit.report.sections._slider import slider_data
from medkit.report.templates import estimate, percent, readable

_MOST_DRAWN = 4
_MOST_BASELINES = 3
_RATES = {
    "sensitivity": "Sensitivity", "specificity": "Specificity", "ppv": "PPV", "npv": "NPV",
    "alerts_per_100": "Alerts per 100", "net_benefit": "Net benefit",
}  # fmt: skip
_AT_PREVALENCE = ("ppv", "npv", "alerts_per_100")
_RULES = {"in_use": "in use", "youden": "Youden", "f1": "best F1", "cost": "cost ratio"}


@section("thresholds", "Thresholds", 70, kinds=("yes_no", "class"), external=True)
def thresholds(inputs: ReportInputs) -> dict[str, Any] | None:
    """The slider, where there is a threshold to move, and decisions; None without either."""
    movable = [each for each in inputs.outcomes if each.kind == "yes_no"]
    slider = slider_data(movable, inputs.setting("evaluation.prevalence"))
    decisions = decision_section(inputs)
    return {"slider": slider, "decisions": decisions} if slider or decisions else None


def decision_section(inputs: ReportInputs) -> dict[str, Any] | None:
    """What the page says of ``metrics["test"]["decisions"]``.

    Returns:
        ``{"tables": [{"title", "caption", "head", "rows"}], "figures", "notes"}``; None without it.
    """
    found = inputs.metrics["test"].get("decisions")
    if not found:
        return None
    blocks = {**(found.get("per_label") or {}), **(found.get("per_class") or {})}
    if not blocks and "curve" in found:
        blocks = {"": found}
    notes = [f"{name}: {note}" if name else note for name, block in blocks.items()
             for note in block.get("notes", ())]  # fmt: skip
    if found.get("not_estimable"):
        notes.append(f"not estimable: {found['not_estimable']}")
    tables: list[dict[str, Any]] = []
    figures: list[Figure] = []
    for i, (name, block) in enumerate(blocks.items()):
        if block.get("operating_points"):
            tables.append(_points(inputs, name, block["operating_points"]))
        if block.get("curve") and len(figures) < _MOST_DRAWN:
            figures.append(_curve(f"decision-{i}", name, block["curve"]))
    return {"tables": tables, "figures": figures, "notes": list(dict.fromkeys(notes))}


def _points(inputs: ReportInputs, name: str, points: list[Mapping[str, Any]]) -> dict[str, Any]:
    stated = next((each["at_prevalence"] for each in points if each.get("at_prevalence")), None)
    benefits = [(each.get("net_benefit") or {}).get("value") for each in points]
    rates = {each: title for each, title in _RATES.items()
             if each != "net_benefit" or any(value is not None for value in benefits)}  # fmt: skip
    head = ["Threshold", *rates.values()]
    if stated:
        at = percent(stated["prevalence"])
        head += [f"{_RATES[each]} at prevalence {at}" for each in _AT_PREVALENCE]
    rows = []
    for called_so, point in _merged(points):
        if point.get("threshold") is None:
            reason = f"not estimable: {point.get('not_estimable', 'no threshold')}"
            rows.append([called_so, reason, *[""] * (len(head) - 2)])
            continue
        cells = [estimate(point.get(each)) for each in rates]
        if stated:
            there = point.get("at_prevalence") or {}
            cells += [estimate(there.get(each)) for each in _AT_PREVALENCE]
        rows.append([f"{called_so}: {readable(point['threshold'])}", *cells])
    caption = (
        f"Chosen on the validation part, measured on {inputs.where}, with intervals. Net benefit, "
        "per patient, has a value only where false alarms were weighed against missed events: by "
        "task.cost_ratio, or by a threshold set beforehand."
    )
    title = f"Operating points: {name}" if name else "Operating points"
    return {"title": title, "caption": caption, "head": head, "rows": rows}


def _merged(points: list[Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """Rules that lead to one threshold share a row: their names, and the first of the points."""
    named: dict[Any, tuple[list[str], Mapping[str, Any]]] = {}
    for point in points:
        alike = point.get("threshold")
        key = ("none", point.get("not_estimable")) if alike is None else alike
        named.setdefault(key, ([], point))[0].append(rule_name(point["name"]))
    return [(", ".join(names), point) for names, point in named.values()]


def rule_name(name: str) -> str:
    """``sensitivity_0.9`` as ``sensitivity 0.9``, ``in_use`` as ``in use``."""
    return _RULES.get(name, name.replace("_", " "))


def _curve(key: str, name: str, curve: Mapping[str, Any]) -> Figure:
    at = plottable(curve["thresholds"])
    model, everyone = plottable(curve["model"]), plottable(curve["treat_all"])
    most = float(np.nanmax([np.nanmax(model), np.nanmax(everyone), 0.01]))

    def plot(axes: Any) -> None:
        axes.plot(at, plottable(curve["treat_none"]), color=INK, linewidth=0.9, label="treat none")
        axes.plot(at, everyone, color=GREY, linewidth=1.1, linestyle="--", label="treat all")
        band(axes, at, curve)
        for each, found in list((curve.get("baselines") or {}).items())[:_MOST_BASELINES]:
            axes.plot(at, plottable(found["model"]), linewidth=0.9, linestyle=":",
                      label=baseline_name(each))  # fmt: skip
        axes.plot(at, model, color=BLUE, label="network")
        axes.set(xlabel="threshold probability", ylabel="net benefit", xlim=(0, 1),
                 ylim=(-0.25 * most, 1.12 * most))  # fmt: skip
        axes.legend(loc="upper right")

    verdict = usefulness(curve)
    compared = "; ".join(
        f"against {baseline_name(each)}: {_difference(curve, found)}"
        for each, found in (curve.get("baselines") or {}).items()
    )
    caption = (
        f"{verdict}{' Difference of net benefit ' + compared + '.' if compared else ''} "
        "A threshold of 0.1 means that one missed patient weighs as much as nine treated in vain."
    )
    title = f"Decision curve: {name}" if name else "Decision curve"
    # Where few are positive, benefits are as small as −0.0025: their labels take more room.
    return draw(
        key, title, caption, f"{title}. {verdict}", plot, left=0.84 if most < 0.05 else 0.68
    )


def usefulness(curve: Mapping[str, Any]) -> str:
    """Where the network is worth using, in a sentence that says what it rests on."""
    low, high = curve.get("range") or (0.01, 0.99)
    within = f"thresholds from {low:g} to {high:g}"
    if curve["low"][0] is None:
        return f"Without resamples nothing is said of where, of {within}, the network is useful."
    useful = ", ".join(
        f"{a:g} to {b:g}" if a < b else f"{a:g}" for a, b in curve.get("useful") or ()
    )
    if not useful:
        return (
            f"At none of the {within} is the network better than treating all and none beyond "
            "chance."
        )
    return (
        f"At thresholds {useful} the network is better than treating all and none beyond chance "
        f"(of {within}, together)."
    )


def _difference(curve: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Where the band of the difference to a baseline leaves 0 out, threshold by threshold."""
    low, high = curve.get("range") or (0.01, 0.99)
    at = plottable(curve["thresholds"])
    inside = (at >= low - 1e-9) & (at <= high + 1e-9)
    lower, upper = (plottable(found[each])[inside] for each in ("low", "high"))
    if np.isnan(lower).all():
        return "no interval"
    better, worse = int((lower > 0).sum()), int((upper < 0).sum())
    return (
        f"larger at {better} and smaller at {worse} of {int(inside.sum())} thresholds "
        "(interval at each)"
    )

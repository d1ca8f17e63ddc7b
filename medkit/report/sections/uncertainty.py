"""Uncertainty drawn and told: prediction sets, abstention, entropy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medkit.report.drawing import BLUE, ORANGE, REFERENCE, Figure, band, draw, plottable
from medkit.report.inputs import ReportInputs
from medkit.report.outcome import outcome_report
from medkit.report.section import section
from medkit.report.templates import count, estimate, label, percent, readable

_SOURCES = {
    "network": "The network alone", "ensemble": "Ensemble",
    "monte_carlo_dropout": "Monte-Carlo dropout",
}  # fmt: skip
_SPREADS = ("predictive_entropy", "expected_entropy", "mutual_information")


@section("uncertainty", "Uncertainty", 100, kinds=("yes_no", "class", "number"), external=True)
def uncertainty_section(inputs: ReportInputs) -> dict[str, Any] | None:
    """What the page says of ``metrics["test"]["uncertainty"]``.

    Returns:
        ``{"conformal", "entropy", "figures", "abstention"}``; None without it.
    """
    found = inputs.metrics["test"].get("uncertainty")
    if not found:
        return None
    abstention = found.get("abstention") or {}
    kind = outcome_report(inputs)
    return {
        "region": kind.region,
        "spread": "Entropy" if kind.region == "set" else "Spread between networks",
        "conformal": _conformal(inputs, found.get("conformal") or {}),
        "entropy": _entropy(found.get("entropy") or {}),
        "figures": _abstention_figures(abstention),
        "abstention": abstention.get("not_estimable") or abstention.get("note") or "",
        "aurc": _areas(abstention),
    }


def _conformal(inputs: ReportInputs, found: Mapping[str, Any]) -> dict[str, Any] | None:
    """Coverage asked and seen: a head, and rows of text, the first of each output marked."""
    if not found:
        return None
    shown = {"coverage": percent(found.get("coverage"), 0), "note": found.get("note", ""),
            "not_estimable": found.get("not_estimable", ""), "rows": [],
            "calibration": found.get("calibration") or {}}  # fmt: skip
    outputs = found.get("outputs") or {}
    regression = found.get("method") == "absolute_residual"
    for name, output in outputs.items():
        heading = f"All {inputs.samples}" if len(outputs) == 1 else str(name)
        expected = output.get("expected")
        shown["rows"].append(_group_row(heading, output["overall"], regression, expected))
        for value, group in (output.get("by_class") or {}).items():
            shown["rows"].append(_group_row(f"observed: {value}", group, regression, under=True))
        for attribute, groups in (output.get("subgroups") or {}).items():
            for value, group in groups.items():
                row = _group_row(f"{attribute}: {value}", group, regression, under=True)
                shown["rows"].append(row)
    shown["head"] = ["Samples", "n", "Coverage seen"]
    of_sets = ["Classes in a set", "Empty", "One class", "All classes"]
    shown["head"] += ["Width"] if regression else of_sets
    return shown


def _group_row(
    heading: str,
    group: Mapping[str, Any],
    regression: bool,
    expected: Mapping[str, Any] | None = None,
    under: bool = False,
) -> dict[str, Any]:
    if "suppressed" in group:
        reason = f"not shown: {group['suppressed']}"
        return {"name": heading, "under": under, "cells": [], "reason": reason}
    coverage = _share(group.get("coverage"))
    if expected:
        coverage += f"; to be expected {percent(expected['low'])} to {percent(expected['high'])}"
    cells = [count(group.get("n")), coverage]
    if regression:
        cells.append(readable(group["width"]) if group.get("width") is not None else "–")
    else:
        cells.append(estimate(group.get("size")))
        cells += [_share(group.get(each)) for each in ("empty", "single", "full")]
    return {"name": heading, "under": under, "cells": cells, "reason": ""}


def _share(found: Mapping[str, Any] | None) -> str:
    if found is None or found.get("value") is None:
        return "–"
    text = percent(found["value"])
    if found.get("low") is not None and not found.get("degenerate"):
        text += f" ({percent(found['low'])} to {percent(found['high'])})"
    return text


def _entropy(found: Mapping[str, Any]) -> dict[str, Any] | None:
    if not found:
        return None
    rows = []
    by_error = "maximum" in found  # a measured number is neither right nor wrong
    for source, called_so in _SOURCES.items():
        of_source = found.get(source) or {}
        if of_source.get("not_estimable"):
            rows.append([called_so, of_source["not_estimable"], *([""] * 3 if by_error else [])])
        spreads = {each: of_source[each] for each in _SPREADS if each in of_source}
        for target, spread in (of_source.get("standard_deviation") or {}).items():
            spreads[f"standard deviation, {target}"] = spread
        for name, spread in spreads.items():
            several = f" of {of_source['count']}" if of_source.get("count") else ""
            row = [
                f"{called_so}{several}: {label(name, capital=False)}",
                estimate(spread.get("mean")),
            ]
            if by_error:
                row += [estimate((spread.get(each) or {}).get("mean"))
                        for each in ("correct", "incorrect")]  # fmt: skip
                row.append(estimate(spread.get("auroc")))
            rows.append(row)
    return {"rows": rows, "by_error": by_error, "unit": found.get("unit", ""),
            "maximum": found.get("maximum"),
            "not_estimable": found.get("not_estimable", "")}  # fmt: skip


def _areas(abstention: Mapping[str, Any]) -> str:
    found = {name: abstention.get(name) for name in ("aurc", "oracle", "excess")}
    if not found["aurc"]:
        return ""
    names = {"aurc": "area under the curve", "oracle": "best possible", "excess": "excess"}
    return "; ".join(f"{names[k]} {estimate(v)}" for k, v in found.items() if v)


def _abstention_figures(found: Mapping[str, Any]) -> list[Figure]:
    curve = found.get("curve")
    if not curve or len(curve["retained"]) < 2:
        return []
    metric = found.get("metric", "error")
    figures = [_retention("abstention", curve, [metric], "error" if metric == "error" else metric,
                          found.get("certainty", ""))]  # fmt: skip
    shown = [each for each in ("sensitivity", "specificity") if each in curve]
    if shown:
        figures.append(_retention("abstention-rates", curve, shown, "share", ""))
    return figures


def _retention(
    key: str, curve: Mapping[str, Any], names: list[str], ylabel: str, certainty: str
) -> Figure:
    kept = plottable(curve["retained"])

    def plot(axes: Any) -> None:
        for name, colour in zip(names, (BLUE, ORANGE), strict=False):
            values = curve[name]
            band(axes, kept, values, colour)
            axes.plot(kept, plottable(values["value"]), color=colour, label=label(name))
        axes.set(xlabel="share of samples decided, the most certain first", ylabel=ylabel)
        axes.set_xlim(1.02, 0)
        if len(names) > 1:
            axes.legend(loc="best")
        else:
            everyone = curve[names[0]]["value"][0] or 0
            axes.axhline(everyone, **REFERENCE)

    first = curve[names[0]]["value"]
    title = "Abstention" if len(names) == 1 else "Sensitivity and specificity under abstention"
    caption = "Leaving the least certain samples to a human: what happens among the rest."
    if certainty:
        caption += f" Certainty: {certainty}."
    alt = f"{title}: {label(names[0])} {readable(first[0])} deciding all samples, " + (
        f"{readable(first[-1])} deciding {percent(curve['retained'][-1], 0)} of them"
    )
    return draw(key, title, caption, alt, plot)

"""Calibration drawn and told: whether probabilities, or numbers, can be taken at their word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from medkit.report.drawing import (
    BLUE,
    DOTS,
    GREY,
    ORANGE,
    Figure,
    band,
    diagonal,
    draw,
    plottable,
    some_rows,
)
from medkit.report.inputs import ReportInputs
from medkit.report.section import section
from medkit.report.templates import estimate, label, readable

_MOST_DRAWN = 4
# Metric -> what it is called, and its value if all is well.
_BLOCK = {
    "observed_expected": ("Observed : expected", "1"),
    "in_the_large": ("Calibration in the large (logit)", "0"),
    "intercept": ("Intercept", "0"),
    "slope": ("Slope", "1"),
    "brier": ("Brier score", "0"),
    "brier_scaled": ("Scaled Brier score", "1"),
    "reliability": ("Brier: reliability", "0"),
    "resolution": ("Brier: resolution", "high"),
    "uncertainty": ("Brier: uncertainty", "–"),
    "ece": ("Expected calibration error, equal bins", "0"),
    "ici": ("Integrated calibration index", "0"),
}
_AGREEMENT = {
    "bias": ("Bias (predicted − observed)", "0"),
    "sd": ("Standard deviation of the differences", "0"),
    "lower_limit": ("Lower limit of agreement", "–"),
    "upper_limit": ("Upper limit of agreement", "–"),
    "intercept": ("Intercept", "0"),
    "slope": ("Slope", "1"),
    "proportional_bias": ("Proportional bias", "–"),
}
_SEVERAL = ("observed_expected", "in_the_large", "slope", "brier", "ece", "ici")


@section("calibration", "Calibration", 90, kinds=("yes_no", "class", "number"), external=True)
def calibration_section(inputs: ReportInputs) -> dict[str, Any] | None:
    """What the page says of ``metrics["test"]["calibration"]``.

    Returns:
        ``{"figures", "head", "rows", "caption", "recalibration", "fitted_on", "notes"}``;
        None without it.
    """
    found = inputs.metrics["test"].get("calibration")
    if not found:
        return None
    blocks = blocks_of(found)
    before = blocks_of(found.get("before") or {})
    agreement = any("bias" in block.get("metrics", {}) for block in blocks.values())
    draws = _agreement_figures if agreement else _curves
    shown = {"figures": draws(inputs, blocks, before), "notes": _notes(blocks),
            "recalibration": found.get("recalibration"), "fitted_on": "validation"}  # fmt: skip
    if inputs.metrics.get("recalibration"):
        shown["fitted_on"] = "training"
    names = _AGREEMENT if agreement else _BLOCK
    if len(blocks) == 1:
        earlier = next(iter(before.values()), None)
        return {**shown, **_one(inputs, next(iter(blocks.values())), earlier, names)}
    return {**shown, **_several(inputs, blocks, before, names)}


def blocks_of(found: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Name -> block, whatever the kind of outcome; one block is called ``""``."""
    blocks: dict[str, Mapping[str, Any]] = {}
    for key in ("per_class", "per_label", "per_output"):
        blocks.update(found.get(key) or {})
    if len(blocks) == 1:
        blocks = {"": next(iter(blocks.values()))}
    if found.get("top_label"):
        blocks = {"most probable class": found["top_label"], **blocks}
    if not blocks and ("metrics" in found or "not_estimable" in found):
        blocks = {"": found}
    return blocks


def _one(
    inputs: ReportInputs,
    block: Mapping[str, Any],
    before: Mapping[str, Any] | None,
    names: Mapping[str, tuple[str, str]],
) -> dict[str, Any]:
    head = ["Measure", "Ideal", *(["Before recalibration", "After"] if before else ["Value"])]
    rows = []
    for key, (called_so, ideal) in names.items():
        both = [before, block] if before else [block]
        measured = [each.get("metrics", {}).get(key) for each in both]
        if any(measured):
            by_chance = (measured[-1] or {}).get("if_calibrated")
            if by_chance is not None:
                ideal += f"; by chance {readable(by_chance)}"
            rows.append([called_so, ideal, *(estimate(each) for each in measured)])
    return {"head": head, "rows": rows, "several": False,
            "caption": f"Calibration on {inputs.where}, with intervals."}  # fmt: skip


def _several(
    inputs: ReportInputs,
    blocks: Mapping[str, Any],
    before: Mapping[str, Any],
    names: Mapping[str, tuple[str, str]],
) -> dict[str, Any]:
    keys = [key for key in (_SEVERAL if names is _BLOCK else names)
            if any(key in each.get("metrics", {}) for each in blocks.values())]  # fmt: skip
    head = ["Outcome", *(names[key][0] for key in keys)]
    rows = []
    for name, block in blocks.items():
        if name in before:
            measured = before[name].get("metrics", {})
            rows.append([f"{name} (before)", *(estimate(measured.get(key)) for key in keys)])
        measured = block.get("metrics", {})
        rows.append([name, *(estimate(measured.get(key)) for key in keys)])
    return {"head": head, "rows": rows, "several": True,
            "caption": f"Calibration of each outcome on {inputs.where}."}  # fmt: skip


def _notes(blocks: Mapping[str, Mapping[str, Any]]) -> list[str]:
    notes = []
    for name, block in blocks.items():
        shown = [*block.get("notes", ()), *filter(None, [block.get("not_estimable")])]
        notes += [f"{name}: {each}" if name else str(each) for each in shown]
    return list(dict.fromkeys(notes))


def _curves(
    inputs: ReportInputs, blocks: Mapping[str, Any], before: Mapping[str, Any]
) -> list[Figure]:
    drawn = []
    for i, (name, block) in enumerate(list(blocks.items())[:_MOST_DRAWN]):
        if block.get("curve") or block.get("bins"):
            drawn.append(calibration_curve(f"calibration-{i}", name, block, before.get(name)))
    return drawn


def calibration_curve(
    key: str, name: str, block: Mapping[str, Any], before: Mapping[str, Any] | None = None
) -> Figure:
    """Observed share against predicted probability: bins, smooth curve and distribution.

    Args:
        key: Unique in the page.
        name: Whose predictions; empty where there is only one outcome.
        block: Calibration of one outcome, as in ``metrics.json``.
        before: The same before recalibration, None where there was none.
    """
    curve, bins, histogram = block.get("curve"), block.get("bins"), block.get("histogram")
    earlier = (before or {}).get("curve")

    def plot(axes: Any) -> None:
        diagonal(axes)
        if earlier:
            axes.plot(earlier["predicted"], plottable(earlier["observed"]), color=ORANGE,
                      linewidth=1.2, linestyle=":", label="before recalibration")  # fmt: skip
        if curve:
            band(axes, curve["predicted"], curve)
            axes.plot(curve["predicted"], plottable(curve["observed"]), color=BLUE,
                      label="after" if earlier else None)  # fmt: skip
        if bins:
            x = [each["predicted"] for each in bins]
            share = plottable([each["observed"] for each in bins])
            bars = [share - plottable([each["low"] for each in bins]),
                    plottable([each["high"] for each in bins]) - share]  # fmt: skip
            axes.errorbar(x, share, yerr=np.maximum(bars, 0), color=BLUE, marker="o",
                          markersize=3.5, linestyle="none", elinewidth=0.8)  # fmt: skip
        if histogram:
            _histogram(axes, histogram)
        axes.set(xlabel="predicted probability", ylabel="observed share")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.24 if histogram else -0.02, 1.02))
        axes.set_yticks(np.arange(0, 1.01, 0.2))
        if earlier:
            axes.legend(loc="upper left")

    metrics = block.get("metrics", {})
    alt = ", ".join(
        f"{_BLOCK[each][0].lower()} {estimate(metrics[each])}"
        for each in ("slope", "observed_expected") if each in metrics
    )  # fmt: skip
    caption = (
        "On the dashed line probabilities can be taken at their word. Line and band: smooth curve "
        "with its interval; dots: bins of equal size; below: predictions of positives (up) and "
        "negatives (down)."
    )
    title = f"Calibration: {name}" if name else "Calibration curve"
    return draw(key, title, caption, f"{title}; {alt}", plot)


def _histogram(axes: Any, histogram: Mapping[str, Any]) -> None:
    """Bars in a strip under the curve, positives up and negatives down, each the square root of
    its count, so that single rows can be seen beside thousands."""
    edges = np.asarray(histogram["edges"], float)
    up, down = (np.sqrt(np.asarray(histogram[side], float)) for side in ("positives", "negatives"))
    tallest = max(up.max(initial=0), down.max(initial=0), 1e-9)
    middle, scale = -0.13, 0.09 / tallest
    widths = np.diff(edges) * 0.85
    axes.bar(edges[:-1], up * scale, widths, bottom=middle, align="edge", color=ORANGE)
    axes.bar(edges[:-1], -down * scale, widths, bottom=middle, align="edge", color=GREY)


def _agreement_figures(
    inputs: ReportInputs, blocks: Mapping[str, Any], before: Mapping[str, Any]
) -> list[Figure]:
    drawn = []
    for i, (each, (name, block)) in enumerate(zip(inputs.outcomes, blocks.items(), strict=False)):
        if i == _MOST_DRAWN:
            break
        drawn.append(_bland_altman(f"agreement-{i}", name, block, each.y, each.p))
        if block.get("curve"):
            drawn.append(_value_curve(f"agreement-curve-{i}", name, block["curve"]))
    return drawn


def _bland_altman(
    key: str, name: str, block: Mapping[str, Any], y: np.ndarray, p: np.ndarray
) -> Figure:
    metrics = block.get("metrics", {})
    lines = {each: metrics.get(each, {}).get("value")
             for each in ("bias", "lower_limit", "upper_limit")}  # fmt: skip
    rows, some = some_rows(len(y))

    def plot(axes: Any) -> None:
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.plot((y + p)[rows] / 2, (p - y)[rows], **DOTS)
        for each, value in lines.items():
            if value is not None:
                axes.axhline(value, color=ORANGE, linewidth=1.2,
                             linestyle="-" if each == "bias" else "--")  # fmt: skip
        axes.set(xlabel="mean of predicted and observed", ylabel="predicted − observed")

    title = f"Bland–Altman: {name}" if name else "Bland–Altman"
    alt = "; ".join(
        f"{_AGREEMENT[each][0].lower()} {estimate(metrics.get(each))}" for each in lines
    )
    caption = f"Line: bias; dashed: limits of agreement, which hold 95 % of the differences.{some}"
    return draw(key, title, caption, f"{title}; {alt}", plot)


def _value_curve(key: str, name: str, curve: Mapping[str, Any]) -> Figure:
    def plot(axes: Any) -> None:
        diagonal(axes, [min(curve["predicted"]), max(curve["predicted"])])
        band(axes, curve["predicted"], curve)
        axes.plot(curve["predicted"], plottable(curve["observed"]), color=BLUE)
        axes.set(xlabel="predicted", ylabel="observed")

    title = f"Calibration: {name}" if name else "Calibration curve"
    caption = "Smooth mean of the observed values with its interval; dashed: perfect."
    alt = f"{label(title)}: observed against predicted values, smoothed"
    return draw(key, title, caption, alt, plot)

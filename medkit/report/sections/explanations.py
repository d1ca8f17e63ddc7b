"""Explanations drawn: importance of each input, and how the output depends on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from medkit.report.drawing import BLUE, GREY, ORANGE, Figure, draw, plottable
from medkit.report.inputs import ReportInputs
from medkit.report.section import section
from medkit.report.templates import readable

_MOST_BARS = 20
_MOST_CURVES = 6


@section("explanations", "Explanations", 120)
def explanation_section(inputs: ReportInputs) -> dict[str, Any] | None:
    """What the page says of ``metrics["explanations"]``.

    Returns:
        ``{"figures", "rows", "notes", "facts"}``; None without it.
    """
    found = inputs.metrics.get("explanations")
    if not found:
        return None
    importance = found.get("importance") or {}
    features = importance.get("features") or []
    figures = (
        [_bars(importance, features[:_MOST_BARS], inputs.called(importance["metric"]))]
        if features
        else []
    )
    dependence = [each for each in found.get("dependence") or () if each.get("partial")]
    figures += [_curve(i, each) for i, each in enumerate(dependence[:_MOST_CURVES])]
    notes = [each.get("note") for each in (importance, found, *(found.get("dependence") or ()))]
    facts = ""
    if features:
        metric = inputs.called(importance["metric"])
        facts = (
            f"{importance.get('repeats', 1)} permutations of each input among "
            f"{importance.get('rows', 0):,} test samples; {metric} with "
            f"nothing permuted: {readable(importance.get('value'))}."
        )
    return {"figures": figures, "notes": list(dict.fromkeys(filter(None, notes))), "facts": facts}


def _bars(importance: Mapping[str, Any], features: list[Mapping[str, Any]], metric: str) -> Figure:
    shown = features[::-1]
    means = plottable([each["mean"] for each in shown])
    low, high = (plottable([each.get(end) for each in shown]) for end in ("low", "high"))
    names = [_short(_named(each)) for each in shown]
    erased = importance.get("method") == "erasure"

    def plot(axes: Any) -> None:
        axes.barh(range(len(shown)), means, color=BLUE, height=0.66)
        known = np.isfinite(low) & np.isfinite(high)
        if known.any():
            where = np.flatnonzero(known)
            bars = [np.maximum(means - low, 0)[where], np.maximum(high - means, 0)[where]]
            axes.errorbar(means[where], where, xerr=bars, color="#22303c", linestyle="none",
                          elinewidth=0.9)  # fmt: skip
        axes.axvline(0, color=GREY, linewidth=0.9)
        axes.set_yticks(range(len(shown)), names)
        axes.grid(axis="y", visible=False)
        axes.set_ylim(-0.6, len(shown) - 0.4)
        axes.set_xlabel(f"how much worse {metric} gets when {'erased' if erased else 'permuted'}")

    best = ", ".join(f"{_named(each)} {readable(each['mean'])}" for each in features[:5])
    caption = (
        f"How much worse {metric} gets on the test part when one input says nothing any more. "
        "Inputs that tell the same stand in for each other: neither then seems important. "
        "Importance to the model is not a cause of the outcome."
    )
    height = 0.75 + 0.2 * len(shown)
    return draw("importance", "Importance of the inputs", caption, f"Most important: {best}", plot,
                size=(7.6, height), left=2.3, broad=True)  # fmt: skip


def _curve(number: int, found: Mapping[str, Any]) -> Figure:
    name = _named(found)
    text = found.get("kind") == "categorical"
    grid = [str(each) for each in found["grid"]] if text else plottable(found["grid"])
    partial, ale = plottable(found["partial"]), found.get("ale")
    # Effects have mean 0: drawn about the mean of the partial dependence, both on one scale.
    effects = None if ale is None else plottable(ale) + np.nanmean(partial)

    def plot(axes: Any) -> None:
        if text:
            axes.barh(range(len(grid)), partial, color=BLUE, height=0.6)
            axes.set_yticks(range(len(grid)), [_short(each, 14) for each in grid])
            axes.set_xlabel("mean output")
            return
        axes.plot(grid, partial, color=BLUE, label="partial dependence")
        if effects is not None:
            axes.plot(grid, effects, color=ORANGE, ls="--", label="accumulated local effects")
        axes.set(xlabel=_short(name, 40), ylabel="mean output")
        axes.legend(loc="best")

    output = f" ({found['output']})" if found.get("output") is not None else ""
    alt = f"{name}{output}: mean output from {readable(float(np.nanmin(partial)))} to " + (
        readable(float(np.nanmax(partial)))
    )
    caption = f"Mean output{output} if every test sample had this value."
    return draw(f"dependence-{number}", name, caption, alt, plot, left=1.2 if text else 0.68)


def _named(found: Mapping[str, Any]) -> str:
    name = str(found.get("name", found.get("feature")))
    return f"{name} ({found['unit']})" if found.get("unit") else name


def _short(text: str, most: int = 32) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"

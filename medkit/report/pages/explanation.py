"""The explanation of one sample, or of many, as a page that loads nothing from anywhere."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from medkit.evaluation.wording import readable
from medkit.explanation.local import Local
from medkit.explanation.tables import Explained, table_of, totals
from medkit.modalities.drawing import Mark
from medkit.report import templates

_MOST_BARS = 25
_MOST_ROWS = 500

ABOUT = {
    "integrated_gradients": "Integrated gradients (Sundararajan, Taly and Yan 2017): how much "
    "each value moved the output away from that of a neutral input. The attributions sum to the "
    "difference of the two outputs.",
    "occlusion": "Occlusion (Zeiler and Fergus 2014): by how much the output falls when this part "
    "is hidden from the network. Parts that say the same can each be hidden without effect.",
    "grad_cam": "Grad-CAM (Selvaraju et al. 2017): where the last convolution found evidence for "
    "this output. It compares places within this sample only, and is not finer than that layer.",
    "attention": "Attention weights: which steps the network looked at, not what it made of "
    "them; other weights may give the same output (Jain and Wallace 2019).",
    "shap": "Shapley values (Lundberg and Lee 2017): each feature's share in the difference "
    "between this output and the mean output over samples of the same file.",
}


def render(explained: Sequence[Explained]) -> str:
    """The explanations of all inputs as HTML."""
    first, table = explained[0], table_of(explained)
    names, local, single = first.task.output_names, first.local, first.single
    return templates.render(
        "explain.html.j2",
        written=_written,
        title=first.title,
        single=single,
        sample=first.samples[0] if single else None,
        count=len(first.samples),
        left_out=first.left_out,
        output=names[local.which[0]],
        value=float(local.explained[0]),
        reference=None if local.reference is None else float(local.reference[0]),
        parts=[_part(each, len(explained) > 1) for each in explained],
        head=list(table.columns),
        rows=table.head(_MOST_ROWS).to_numpy(dtype=object).tolist(),
        rows_in_all=len(table),
    )


def _part(explained: Explained, named: bool) -> dict[str, Any]:
    """What the page shows of one input."""
    local = explained.local
    return {
        "name": explained.name if named else "",
        "method": {"grad_cam": "Grad-CAM"}.get(local.method, local.method.replace("_", " ")),
        "about": ABOUT[local.method],
        "signed": local.method not in ("attention", "grad_cam"),
        "bars": _bars(explained),
        **_drawn(explained),
        "unexplained": _unexplained(local),
    }


_FOR, _AGAINST = (226, 93, 20), (31, 95, 168)


def _bars(explained: Explained) -> list[dict[str, Any]]:
    """The largest attributions (of many samples: mean sizes), with widths in percent."""
    if explained.single and explained.local.axes in ("position", "step", "pixel"):
        return []
    names, units, found = totals(explained)
    values = found[0] if explained.single else np.abs(found).mean(axis=0)
    order = np.argsort(-np.abs(values), kind="stable")[:_MOST_BARS]
    most = _largest(values)
    return [
        {
            "name": names[i],
            "unit": units[i],
            "value": float(values[i]),
            "width": round(float(50 * abs(values[i]) / most), 1),
        }
        for i in order
    ]


def _drawn(explained: Explained) -> dict[str, Any]:
    """One sample as a person would look at it: courses, words or a picture; None for each that it
    is not."""
    local, drawing = explained.local, None
    if explained.single and local.axes == explained.modality.value_axes:
        drawing = explained.modality.draw(explained.x, 0, local.attributions)
    if drawing is None:
        return {"grid": None, "tokens": None, "picture": None}
    most = _largest(local.attributions[0])

    def cell(mark: Mark) -> dict[str, Any]:
        title = f"{mark.title}, attribution {readable(most * mark.share)}"
        return {"text": mark.text, "colour": _colour(mark.share), "title": title,
                "measured": mark.measured}  # fmt: skip

    rows = [
        {"name": name, "cells": [cell(mark) for mark in course]}
        for name, course in drawing.courses[:_MOST_BARS]
    ]
    picture = "data:image/png;base64," + base64.b64encode(drawing.picture).decode()
    return {
        "grid": {"rows": rows, "steps": len(rows[0]["cells"])} if rows else None,
        "tokens": [cell(mark) for mark in drawing.words] or None,
        "picture": picture if drawing.picture else None,
    }


def _unexplained(local: Local) -> str:
    """What to say of attributions that do not add up; empty where they do."""
    if local.gap is None:
        return ""
    size = np.abs(local.attributions.reshape(len(local.which), -1)).sum(axis=1)
    share = np.abs(local.gap) / np.maximum(size, 1e-12)
    bad = (share > 0.05) & (np.abs(local.gap) > 1e-4)
    if not bad.any():
        return ""
    which = "The attributions" if len(bad) == 1 else f"The attributions of {bad.sum()} samples"
    return (
        f"{which} miss the difference of the outputs by more than 5 % of their size: the network "
        "is too jagged between the neutral input and this one to be summed up so."
    )


def _colour(share: float) -> str:
    red, green, blue = _FOR if share >= 0 else _AGAINST
    return f"rgba({red},{green},{blue},{min(abs(share), 1.0):.3f})"


def _largest(values: np.ndarray) -> float:
    return float(np.abs(values).max(initial=0.0)) or 1.0


def _written(value: Any) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "–"
    if isinstance(value, float | np.floating):
        return f"{float(value):.4g}".replace("-", "−")
    return str(value)

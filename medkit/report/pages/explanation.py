"""The explanation of one sample, or of many, as a page that loads nothing from anywhere."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from medkit.evaluation.wording import readable
from medkit.explanation.images import enlarged
from medkit.explanation.local import Local
from medkit.explanation.tables import Explained, table_of, totals
from medkit.report.templates import FOLDERS

_MOST_BARS = 25
_MOST_ROWS = 500
_SIDE = 384  # pixels of a picture's longer side, at least

ABOUT = {
    "integrated_gradients": "Integrated gradients (Sundararajan, Taly and Yan 2017): how much "
    "each value moved the output away from that of a neutral input. The attributions sum to the "
    "difference of the two outputs.",
    "occlusion": "Occlusion (Zeiler and Fergus 2014): by how much the output falls when this part "
    "is hidden from the network. Parts that say the same can each be hidden without effect.",
    "grad_cam": "Grad-CAM (Selvaraju et al. 2017): where the last convolution found evidence for "
    "this output. It compares places within this sample only, and is no finer than that layer.",
    "attention": "Attention weights: which steps the network looked at, not what it made of "
    "them; other weights may give the same output (Jain and Wallace 2019).",
    "shap": "Shapley values (Lundberg and Lee 2017): each feature's share in the difference "
    "between this output and the mean output over samples of the same file.",
}


def render(explained: Sequence[Explained]) -> str:
    """The explanations of all inputs as HTML."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDERS),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["number"] = _cell
    first, table = explained[0], table_of(explained)
    names, local, single = first.task.output_names, first.local, first.single
    text = environment.get_template("explain.html.j2").render(
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
    return text.lstrip()


def _part(explained: Explained, named: bool) -> dict[str, Any]:
    """What the page shows of one input."""
    local, single = explained.local, explained.single
    return {
        "name": explained.name if named else "",
        "method": {"grad_cam": "Grad-CAM"}.get(local.method, local.method.replace("_", " ")),
        "about": ABOUT[local.method],
        "signed": local.method not in ("attention", "grad_cam"),
        "bars": _bars(explained),
        "grid": _grid(explained) if single else None,
        "tokens": _tokens(explained) if single else None,
        "picture": _picture(explained) if single else None,
        "unexplained": _unexplained(local),
    }


def png_overlay(image: np.ndarray, heat: np.ndarray) -> bytes:
    """An image with its heat map over it, as PNG: orange for the output, blue against it.

    Of a volume, the slice with the strongest evidence.

    Args:
        image: ([depth,] height, width, channels) raw pixels.
        heat: ([depth,] height, width) attributions.
    """
    from PIL import Image

    if heat.ndim == 3:
        strongest = int(np.abs(heat).sum(axis=(1, 2)).argmax())
        image, heat = image[strongest], heat[strongest]
    low, high = float(image.min()), float(image.max())
    grey = (np.asarray(image, float) - low) / (high - low if high > low else 1.0)
    colours = grey[..., :3] if grey.shape[-1] >= 3 else np.repeat(grey[..., :1], 3, axis=-1)
    factor = max(1, -(-_SIDE // max(heat.shape)))
    size = tuple(factor * each for each in heat.shape)
    colours = colours.repeat(factor, axis=0).repeat(factor, axis=1)
    strength = enlarged(heat / _largest(heat), size)
    tint = np.where(strength[..., None] >= 0, np.array(_FOR) / 255, np.array(_AGAINST) / 255)
    share = 0.75 * np.clip(np.abs(strength), 0, 1)[..., None]
    mixed = (1 - share) * colours + share * tint
    buffer = io.BytesIO()
    Image.fromarray((255 * mixed + 0.5).astype("uint8")).save(buffer, format="PNG")
    return buffer.getvalue()


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


def _grid(explained: Explained) -> dict[str, Any] | None:
    """A coloured cell for each channel and step of a time series."""
    if explained.local.axes != "step feature":
        return None
    found, x = explained.local.attributions[0], explained.x[0]
    features = explained.modality.features
    most = _largest(found)
    strongest = np.argsort(-np.abs(found).sum(axis=0), kind="stable")[:_MOST_BARS]
    rows = []
    for channel in strongest:
        feature = features[channel]
        cells = [
            {
                "colour": _colour(float(a / most)),
                "measured": bool(not np.isnan(v)),
                "title": f"{feature.name}, step {step}: "
                + ("not measured" if np.isnan(v) else f"{v:g} {feature.unit or ''}".strip())
                + f", attribution {readable(float(a))}",
            }
            for step, (a, v) in enumerate(zip(found[:, channel], x[:, channel], strict=True), 1)
        ]
        rows.append({"name": feature.name, "cells": cells})
    return {"rows": rows, "steps": found.shape[0]}


def _tokens(explained: Explained) -> list[dict[str, str]] | None:
    """Each token with its colour."""
    if explained.local.axes != "position":
        return None
    modality = explained.modality
    known = ["", "?", *modality.vocabulary_]
    found = explained.local.attributions[0]
    most = _largest(found)
    return [
        {
            "text": known[code],
            "colour": _colour(float(a / most)),
            "title": f"position {place}: {readable(float(a))}",
        }
        for place, (code, a) in enumerate(zip(explained.x[0], found, strict=True), 1)
        if known[code]
    ]


def _picture(explained: Explained) -> str | None:
    if explained.local.axes != "pixel":
        return None
    png = png_overlay(explained.x[0], explained.local.attributions[0])
    return "data:image/png;base64," + base64.b64encode(png).decode()


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


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "–"
    if isinstance(value, float | np.floating):
        return f"{float(value):.4g}".replace("-", "−")
    return str(value)

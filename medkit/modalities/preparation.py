"""How an input was prepared, in the words of a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

FILLED = {
    "mean": "missing values were filled with the training mean",
    "median": "missing values were filled with the training median",
    "constant": "missing values were filled with a constant",
    "forward_fill": "missing values were filled with the last measured one (before the first: the "
    "training mean)",
    "drop": "rows with a missing value were dropped",
}


class Preparation(NamedTuple):
    """What a report says of the preprocessing of one input.

    Args:
        kind: What the input is, in the plural: ``time series``.
        gaps: What became of missing values.
        filled: Whether anything learned from the training rows fills them.
        settings: Parameters of the modality.
    """

    kind: str
    gaps: str
    filled: bool
    settings: Mapping[str, Any]


def filling(missing: str, indicators: Any) -> tuple[str, bool]:
    """What became of missing values by the settings ``missing`` and ``indicators``."""
    text = FILLED[missing]
    if indicators and missing != "drop":
        text += ", and an indicator says that a value was missing"
    return text, missing in ("mean", "median", "forward_fill")

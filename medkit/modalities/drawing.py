"""A sample as a person would look at it, and where its parts raise or lower an output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Mark:
    """A word, a letter, or the value of one step.

    Args:
        text: What is shown.
        share: Its attribution as a share of the largest, -1 … 1; 0 where nothing is explained.
        title: What a reader sees who points at it.
        measured: Whether there is a value.
    """

    text: str
    share: float = 0.0
    title: str = ""
    measured: bool = True


@dataclass(frozen=True)
class Drawing:
    """What is drawn: courses, words or a picture.

    Args:
        courses: Name of a channel, and a mark for each of its steps.
        words: In reading order.
        picture: A PNG file.
    """

    courses: tuple[tuple[str, tuple[Mark, ...]], ...] = ()
    words: tuple[Mark, ...] = ()
    picture: bytes = b""


def shares(attribution: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    """Attributions as shares of the largest one; zeros where nothing is explained."""
    if attribution is None:
        return np.zeros(shape)
    return attribution / (float(np.abs(attribution).max(initial=0.0)) or 1.0)


def spelt(value: float, unit: str | None = None) -> str:
    """A value with its unit; what is not measured says so."""
    return "not measured" if np.isnan(value) else f"{value:g} {unit or ''}".strip()


def plain(value: Any) -> float | None:
    """A float32 as it was written: 0.1 rather than its nearest; None where missing."""
    return None if np.isnan(value) else float(np.format_float_positional(value))

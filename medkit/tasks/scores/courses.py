"""The values that a forecast is of: which channel, and how far ahead."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medkit.core.errors import DataError
from medkit.tasks.scores.metrics import Scores, in_blocks
from medkit.tasks.scores.ranking import divided

HOURS = {"min": 1 / 60, "h": 1.0, "d": 24.0, "w": 168.0}
_NAME = re.compile(rf"^(?P<channel>.+) \+(?P<count>\d+(?:\.\d+)?) (?P<unit>{'|'.join(HOURS)})$")


@dataclass(frozen=True)
class Ahead:
    """One value to forecast.

    Args:
        channel: What is measured.
        step: How far ahead, as text: ``+6 h``; empty where the name does not say.
        hours: The same in hours; None where the name does not say.
    """

    channel: str
    step: str
    hours: float | None


def ahead(name: str) -> Ahead:
    """What a target's name says: ``HR +6 h`` is HR, six hours ahead; units min, h, d and w."""
    found = _NAME.match(name)
    if found is None:
        return Ahead(name, "", None)
    step = f"+{found['count']} {found['unit']}"
    return Ahead(found["channel"], step, float(found["count"]) * HOURS[found["unit"]])


def channels_of(names: Sequence[str]) -> dict[str, list[int]]:
    """Channel -> positions of its values, in the order of the names."""
    found: dict[str, list[int]] = {}
    for position, name in enumerate(names):
        found.setdefault(ahead(name).channel, []).append(position)
    return found


def future_values(targets: Any, names: Sequence[str]) -> np.ndarray:
    """(n, values) float64 of future values, NaN where not measured.

    Raises:
        DataError: Not numbers, infinite values, or no columns.
    """
    array = np.asarray(targets)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or not array.size:
        raise DataError(f"the targets have shape {array.shape}; expected (rows, values)")
    try:
        values = array.astype(np.float64)
    except (TypeError, ValueError):
        raise DataError(
            "the targets are not all numbers",
            hint="Forecasting needs numbers, empty where not measured.",
        ) from None
    for index in np.flatnonzero(np.isinf(values).any(axis=0))[:1]:
        rows = np.flatnonzero(np.isinf(values[:, index]))
        raise DataError(
            f"{len(rows)} targets are infinite (first at row {rows[0] + 1})",
            place=f"target '{names[index]}'" if index < len(names) else None,
            hint="Drop or fix those rows.",
        )
    return values


def errors(y: np.ndarray, p: np.ndarray, quantiles: Sequence[float], point: int) -> Scores:
    """What each forecast is off by: name -> (n, values), 0 where not measured; and ``measured``.

    Args:
        y: (n, values) targets, NaN where not measured.
        p: (n, values * quantiles) forecasts.
        quantiles: The quantiles; empty for a point forecast alone.
        point: Which of them is the point forecast.

    Returns:
        ``mae``, ``mse`` and, with quantiles, ``pinball`` (mean over the quantiles), ``coverage``
        (1 inside the interval of the first and the last quantile, bounds included) and ``width``.
    """
    of_value = p.astype(np.float64).reshape(*y.shape, -1)
    measured = ~np.isnan(y)
    truth = np.where(measured, y, 0.0).astype(np.float64)
    off = truth - of_value[..., point]
    found: Scores = {"mae": np.abs(off), "mse": off**2}
    if len(quantiles):
        levels, each = np.asarray(quantiles), truth[..., None] - of_value
        found["pinball"] = np.maximum(levels * each, (levels - 1) * each).mean(axis=-1)
    if len(quantiles) > 1:
        low, high = of_value[..., 0], of_value[..., -1]
        found["coverage"] = ((truth >= low) & (truth <= high)).astype(float)
        found["width"] = high - low
    found = {name: np.where(measured, values, 0.0) for name, values in found.items()}
    return {**found, "measured": measured.astype(float)}


def pooled(
    of_rows: Scores, groups: Sequence[Sequence[int]], weights: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Means over the measured values of each group of columns: name -> (resamples, groups).

    ``rmse`` is the root of the mean of ``mse``. NaN where a group has no measured value.

    Args:
        of_rows: What ``errors`` returns.
        groups: Positions of the values that are taken together.
        weights: (resamples, n) how often each row was drawn; None for each row once.
    """
    rows = len(of_rows["measured"])
    together = {
        name: np.column_stack([values[:, list(group)].sum(axis=1) for group in groups])
        for name, values in of_rows.items()
    }

    def measure(block: np.ndarray) -> Scores:
        count = block @ together["measured"]
        means = {
            name: divided(block @ values, count)
            for name, values in together.items()
            if name != "measured"
        }
        mean_square = means.pop("mse")
        return {"mae": means.pop("mae"), "rmse": np.sqrt(mean_square), **means}

    if rows == 0:
        return measure(np.zeros((1, 0)))
    return in_blocks(np.ones((1, rows)) if weights is None else weights, measure)

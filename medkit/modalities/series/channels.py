"""Numbers about the channels of series."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from medkit.core.errors import DataError
from medkit.data.stored_arrays import blocks


def tails(observed: np.ndarray, share: float) -> tuple[float, float]:
    """The quantiles that leave a share of the values in each tail; zeros where there are none."""
    if not observed.size:
        return 0.0, 0.0
    low, high = np.quantile(observed, [share, 1 - share])
    return float(low), float(high)


def frequency(channel: np.ndarray) -> float:
    """Share of the rows (n, steps) in which a channel was measured, or counted, at least once."""
    measured = ~np.isnan(channel)
    if measured.all():  # a count of events is 0 where there was none
        measured = channel != 0
    return float(measured.any(axis=1).mean())


def channel_summary(channel: np.ndarray) -> dict[str, np.ndarray]:
    """Summaries (n,) of one channel (n, steps)."""
    measured = ~np.isnan(channel)
    count = measured.sum(axis=1)
    never = count == 0
    rows = np.arange(len(channel))
    first = np.argmax(measured, axis=1)
    last = channel.shape[1] - 1 - np.argmax(measured[:, ::-1], axis=1)
    number = np.maximum(count, 1)
    mean = np.where(measured, channel, 0.0).sum(axis=1, dtype="float64") / number
    spread = np.where(measured, channel - mean[:, None], 0.0)
    found = {
        "mean": mean,
        "min": np.where(measured, channel, np.inf).min(axis=1),
        "max": np.where(measured, channel, -np.inf).max(axis=1),
        "first": channel[rows, first],
        "last": channel[rows, last],
        "standard deviation": np.sqrt((spread**2).sum(axis=1) / number),
    }
    summary = {k: np.where(never, np.nan, v).astype("float32") for k, v in found.items()}
    return {**summary, "count": count.astype("float32")}


def refuse_infinite(values: np.ndarray) -> None:
    """Raise a DataError where a series holds an infinite value."""
    infinite = rows_with(np.isinf, values)
    if infinite.any():
        raise DataError(
            f"infinite values in {infinite.sum()} series, first in row {infinite.argmax() + 1}",
            hint="Replace them by numbers, or by NaN for not measured.",
        )


def rows_with(wrong: Callable[[np.ndarray], np.ndarray], values: np.ndarray) -> np.ndarray:
    """(n,) boolean: rows with any such value, read in blocks as they may be a large memmap."""
    found = [wrong(part).reshape(len(part), -1).any(axis=1) for _, part in blocks(values)]
    return np.concatenate(found) if found else np.zeros(0, dtype=bool)

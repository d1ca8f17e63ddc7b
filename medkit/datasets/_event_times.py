"""Irregular events put on a regular grid of time steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from medkit.datasets._times import parsed
from medkit.errors import DataError
from medkit.lazy import pd


def hours_of(
    times: pd.Series, stays: np.ndarray, place: str, time_format: str | None = None
) -> np.ndarray:
    """Hours since the start of each event's stay, float64, NaN where the time is missing.

    Numbers are hours already. Texts like ``07:30`` or ``107:30:00`` are hours and minutes since
    admission. Timestamps count from the stay's first event; they are ISO 8601, or written as
    ``time_format`` says.

    Raises:
        DataError: A text that is none of these; its row is named.
    """
    types = pd.api.types
    if types.is_numeric_dtype(times):
        return times.to_numpy(dtype="float64")
    if types.is_timedelta64_dtype(times):
        return times.dt.total_seconds().to_numpy(dtype="float64") / 3600
    if not types.is_datetime64_any_dtype(times):
        # Clock texts repeat: parse each different one once.
        codes, levels = pd.factorize(times)
        texts = pd.Series(levels, dtype="str").str.strip()
        clock = texts.str.extract(r"^(\d+):([0-5]\d)(?::([0-5]\d(?:\.\d+)?))?$").astype("float64")
        hours = (clock[0] + clock[1] / 60 + clock[2].fillna(0.0) / 3600).to_numpy()
        hours = np.where(np.isnan(hours), pd.to_numeric(texts, errors="coerce"), hours)
        if not np.isnan(hours).all() or not len(hours):
            _refuse(times, np.isnan(hours)[codes] & (codes >= 0), place)
            return np.append(hours, np.nan)[codes]
        days = parsed(texts, "ISO8601")
        if time_format is not None and not days.notna().all():
            days = parsed(texts, time_format)
        _refuse(times, days.isna().to_numpy()[codes] & (codes >= 0), place)
        times = days.reindex([*range(len(days)), -1]).iloc[codes]
    moments = pd.to_datetime(times, utc=True).reset_index(drop=True)
    first = moments.groupby(stays).transform("min")
    return (moments - first).dt.total_seconds().to_numpy(dtype="float64") / 3600


def _refuse(times: pd.Series, wrong: np.ndarray, place: str) -> None:
    if wrong.any():
        raise DataError(
            f"column '{times.name}' has {int(wrong.sum())} values that are no time "
            f"(first at row {times.index[wrong][0]})",
            place=place,
            hint="Write hours as numbers, clock times as HH:MM, or timestamps as "
            "2024-05-31 14:30, the same way in every row; or give time_format.",
        )


def grid_of(
    stays: np.ndarray,
    steps: np.ndarray,
    variables: np.ndarray,
    values: np.ndarray,
    hours: np.ndarray,
    shape: tuple[int, int, int],
    aggregate: list[str],
) -> np.ndarray:
    """Events summed up per cell: float32 (stays, steps, variables), NaN where nothing was measured.

    Args:
        stays, steps, variables: Position of each event on the three axes, int64 (events,).
        values: What was measured, float64 (events,), no NaN.
        hours: When, float64 (events,); decides which value is the last.
        shape: Lengths of the three axes.
        aggregate: How a variable's values within one step become one: ``mean``, ``last``,
            ``min``, ``max`` or ``sum``, one for each variable.
    """
    grid = np.full(shape, np.nan, dtype=np.float32)
    if not len(values):
        return grid
    cells = (stays * shape[1] + steps) * shape[2] + variables
    order = np.lexsort((hours, cells))
    cells, values = cells[order], values[order]
    starts = np.flatnonzero(np.r_[True, cells[1:] != cells[:-1]])
    counts = np.diff(np.r_[starts, len(cells)])
    ways: Mapping[str, Any] = {
        "sum": lambda: np.add.reduceat(values, starts),
        "mean": lambda: np.add.reduceat(values, starts) / counts,
        "min": lambda: np.minimum.reduceat(values, starts),
        "max": lambda: np.maximum.reduceat(values, starts),
        "last": lambda: values[starts + counts - 1],
    }
    flat, filled = grid.reshape(-1), cells[starts]
    way_of = np.array(aggregate)[filled % shape[2]]
    for way in sorted(set(aggregate)):
        chosen = way_of == way
        flat[filled[chosen]] = ways[way]()[chosen]
    return grid

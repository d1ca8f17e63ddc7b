"""The events of samples, flat: from triplets, in order, cut to the room there is, summarized."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from medkit.core.errors import DataError


class FlatEvents(NamedTuple):
    """Events of some samples, flat: each (events,), by row."""

    row: np.ndarray
    time: np.ndarray
    variable: np.ndarray
    value: np.ndarray

    def where(self, kept: np.ndarray) -> FlatEvents:
        return FlatEvents(*(each[kept] for each in self))


def flat(values: np.ndarray) -> FlatEvents:
    """The events of (n, most, 3): those of which nothing is NaN."""
    rows, positions = np.nonzero(~np.isnan(values).any(axis=2))
    time, variable, value = (values[rows, positions, i] for i in range(3))
    if not (np.isfinite(time).all() and np.isfinite(value).all()):
        raise DataError(
            "infinite times or values among the triplets", hint="Leave those events out."
        )
    if ((variable < 0) | (variable != np.floor(variable))).any():
        raise DataError("the second of each triplet is the variable's position: 0, 1, 2, …")
    return FlatEvents(rows, time, variable.astype("int64"), value)


def in_order(events: FlatEvents) -> FlatEvents:
    """By row, time, variable and value."""
    return events.where(np.lexsort((events.value, events.variable, events.time, events.row)))


def kept_events(events: FlatEvents, rows: int, room: int) -> np.ndarray:
    """(events,) boolean: of events in order, each variable's last and the latest others, ``room``
    a row."""
    row, count = events.row, len(events.row)
    lengths = np.bincount(row, minlength=rows)
    if not count or lengths.max() <= room:
        return np.ones(count, dtype=bool)
    key = row * (int(events.variable.max()) + 1) + events.variable
    last = np.zeros(count, dtype=bool)
    # The first of each in reverse is the last.
    last[count - 1 - np.unique(key[::-1], return_index=True)[1]] = True
    order = np.lexsort((-np.arange(count), ~last, row))
    rank = np.empty(count, dtype="int64")
    rank[order] = np.arange(count) - (np.cumsum(lengths) - lengths)[row]
    return rank < room


def fill(encoded: np.ndarray, events: FlatEvents) -> None:
    """Write events in order into (n, room, 3)."""
    lengths = np.bincount(events.row, minlength=len(encoded))
    position = np.arange(len(events.row)) - (np.cumsum(lengths) - lengths)[events.row]
    for i, each in enumerate((events.time, events.variable, events.value)):
        encoded[events.row, position, i] = each


def summaries(events: FlatEvents, rows: int, width: int) -> dict[str, np.ndarray]:
    """Summary -> (rows, width), float32."""
    events = events.where(np.lexsort((events.value, events.time, events.variable, events.row)))
    value, key = events.value.astype("float64"), events.row * width + events.variable
    count = np.bincount(key, minlength=rows * width)
    number = np.maximum(count, 1)
    mean = np.bincount(key, weights=value, minlength=rows * width) / number
    square = np.bincount(key, weights=(value - mean[key]) ** 2, minlength=rows * width)
    starts = np.flatnonzero(np.r_[True, key[1:] != key[:-1]]) if len(key) else np.zeros(0, int)
    ends = np.r_[starts[1:], len(key)] - 1 if len(key) else starts
    at = {
        "min": np.minimum.reduceat(value, starts) if len(key) else value,
        "max": np.maximum.reduceat(value, starts) if len(key) else value,
        "first": value[starts],
        "last": value[ends],
    }
    found = {"mean": mean}
    for name, each in at.items():
        found[name] = np.full(rows * width, np.nan)
        found[name][key[starts]] = each
    found["standard deviation"] = np.sqrt(square / number)
    found = {name: np.where(count == 0, np.nan, each) for name, each in found.items()}
    found["count"] = count.astype("float64")
    return {name: each.reshape(rows, width).astype("float32") for name, each in found.items()}

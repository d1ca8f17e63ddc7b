"""Events of chosen stays and variables as they are: (time, variable, value), and no grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from medkit.datasets.events.grid.blocks import blocks_of
from medkit.datasets.events.grid.featurise import (
    AGGREGATES,
    Window,
    count_events,
    in_window,
    placed,
    repeated,
)
from medkit.datasets.events.grid.grid import Gridded, GridPlan, event_notes
from medkit.datasets.events.sources.found import FoundEvents
from medkit.datasets.events.windows import Axis
from medkit.readers.engines import collected, to_engine

if TYPE_CHECKING:
    import narwhals as nw

Form = Literal["grid", "triplets"]

#: Parameter of a dataset -> its value -> the modality yielded then, for `datasets.register`.
YIELDS_BY = {"form": {"triplets": "triplets"}}

# Most events of a sample: one stay of a million must not make an array of millions for each.
MOST = 10_000
# Events that one pass of an engine gives at a time: more are read in blocks of stays.
BLOCK = 10_000_000


class Flat(NamedTuple):
    """Events of many samples: each (events,).

    Args:
        row: Number of the sample, int64.
        hours: Time since its window's start.
        variable: Number of the variable, int64.
        value: In the variable's unit.
    """

    row: np.ndarray
    hours: np.ndarray
    variable: np.ndarray
    value: np.ndarray


def to_triplets(
    found: FoundEvents, plan: GridPlan, axis: Axis, position: np.ndarray | None, span: str
) -> Gridded:
    """Events as triplets, float32 (wanted positions, most, 3), by time, then variable and value.

    The same windows, ranges and filters as on a grid; of the aggregates only ``count`` has a
    meaning: each event of such a variable has the value 1.

    Args:
        found: The events.
        plan: Variables, window, ranges.
        axis: The samples.
        position: The samples wanted, -1 among them skipped; None: all.
        span: The window in words.

    Raises:
        DataError: Implausible values or duplicate events, where these are refused.
    """
    wanted = np.ones(axis.length, bool)
    if position is not None:
        wanted = np.isin(np.arange(axis.length), position)
    row = np.where(wanted, np.cumsum(wanted) - 1, -1)
    present = np.zeros(len(wanted), dtype=bool)
    implausible, outside = np.zeros(len(plan.names), "int64"), np.zeros(2, "int64")
    again, parts = 0, []
    channels = to_engine(plan.channels(found.variables), plan.engine)
    usable = int(found.variables["usable"].sum())
    for block in blocks_of(axis, usable, 0, BLOCK, 1):
        stays = to_engine(block.table, plan.engine)
        events = placed(block.of(found.frame), stays, channels, plan.window, plan.outside)
        counts = count_events(events, plan.window)
        np.add.at(implausible, counts["channel"].astype("int64"), counts["implausible"])
        outside += [int(counts["outside"].sum()), int(counts["over"].sum())]
        again += repeated(events)
        flat = _collected(events, plan.window, plan.duplicates == "drop")
        present[flat.row] = True
        used = wanted[flat.row]
        parts.append(_in_order(Flat(row[flat.row[used]], *(each[used] for each in flat[1:]))))
    flat = Flat(*(np.concatenate(each) for each in zip(*parts, strict=True)))
    if len(parts) > 1:  # a stay lies in one block, but the blocks in another order
        order = np.argsort(flat.row, kind="stable")
        flat = Flat(*(each[order] for each in flat))
    values, more = padded(flat, int(wanted.sum()))
    notes = (
        *event_notes(found, plan, implausible, again, outside, span),
        *((f"{more} samples have more than {MOST} events: the latest are used",) if more else ()),
    )
    unlabelled = int((present & ~wanted).sum()) + axis.others
    return Gridded(values, present, row, unlabelled, notes)


def padded(flat: Flat, rows: int) -> tuple[np.ndarray, int]:
    """Events in order as float32 (rows, most, 3), NaN after each row's last; and how many rows
    had more than there is room for."""
    lengths = np.bincount(flat.row, minlength=rows)
    most = min(int(lengths.max(initial=1)), MOST)
    before = np.cumsum(lengths) - lengths
    # Counted from the end, so that the latest stay.
    position = np.arange(len(flat.row)) - before[flat.row]
    position -= np.maximum(lengths - most, 0)[flat.row]
    kept = position >= 0
    values = np.full((rows, most, 3), np.nan, dtype="float32")
    for i, each in enumerate((flat.hours, flat.variable, flat.value)):
        values[flat.row[kept], position[kept], i] = each[kept]
    return values, int((lengths > most).sum())


def of_grid(values: np.ndarray) -> np.ndarray:
    """What was measured on an hourly grid (rows, steps, channels) as triplets, each at its step's
    start."""
    row, step, channel = np.nonzero(~np.isnan(values))
    flat = Flat(row, step.astype(float), channel, values[row, step, channel])
    return padded(flat, len(values))[0]


def _collected(events: nw.LazyFrame[Any], window: Window, once: bool) -> Flat:
    import narwhals as nw

    events = in_window(events, window, once)
    counts = nw.col("way") == AGGREGATES.index("count")
    value = nw.when(counts).then(nw.lit(1.0)).otherwise(nw.col("value"))
    found = collected(events.select("code", "hours", "channel", value=value))
    code, channel = (found[name].astype("int64", copy=False) for name in ("code", "channel"))
    return Flat(code, found["hours"].astype("float64"), channel, found["value"].astype("float64"))


def _in_order(flat: Flat) -> Flat:
    """By sample, time, variable and value: an engine gives them in no order."""
    order = np.lexsort((flat.value, flat.variable, flat.hours, flat.row))
    return Flat(*(each[order] for each in flat))

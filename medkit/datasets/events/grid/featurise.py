"""Events to cells of a grid, written once in Narwhals for Polars, DuckDB and PySpark.

Input: a lazy frame ``stay`` (key), ``time``, ``variable`` (key), ``value`` and, where a variable
is aggregated by ``last``, ``row``; and two small tables of the same engine:

- stays: ``stay`` (key), ``code`` (position on the grid's first axis), ``start`` (when the window
  begins) and ``end`` (when the stay does, missing where unknown), in the unit of ``time``;
- channels: ``variable`` (key), ``channel`` (position on the last axis), ``low``, ``high`` (the
  plausible range, missing where there is none), ``way`` (the aggregate's position in `WAYS`).

Output: one row a cell, ``cell`` (int64, (stay * steps + step) * channels + channel) and the
aggregates asked for, float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from medkit.readers.engines import collected, flag

if TYPE_CHECKING:
    import narwhals as nw

Aggregate = Literal["mean", "last", "min", "max", "sum", "count"]
AGGREGATES: tuple[Aggregate, ...] = get_args(Aggregate)

# 2**13 + 1: keeps 40 of a float64's 53 bits (Dekker 1971, "splitting"). The sum of up to some
# thousand values of like size is then exact, and so the same in whichever order an engine adds.
_SPLIT = 8193.0


@dataclass(frozen=True)
class Window:
    """The grid's time axis: ``steps`` of ``step_hours`` over ``hours``; ``unit``: ``time`` an hour.

    ``unit`` is 1 for times in hours and 3.6e9 for times in microseconds.
    """

    hours: float
    step_hours: float
    unit: float = 1.0

    @property
    def steps(self) -> int:
        """Number of time steps."""
        return int(np.ceil(self.hours / self.step_hours))


def placed(
    frame: nw.LazyFrame[Any],
    stays: nw.LazyFrame[Any],
    channels: nw.LazyFrame[Any],
    window: Window,
    outside: str,
    ranged: bool = True,
) -> nw.LazyFrame[Any]:
    """Events of the known stays and channels, with ``hours`` since their window's start.

    Values beyond the plausible range are taken as missing or clipped; ``implausible`` (1 or 0)
    says which they were. Events of no value remain only where events are counted.
    Where no channel is ``ranged``, nothing is compared. ``over`` (1 or 0): after the stay's end.
    """
    import narwhals as nw

    frame = frame.join(channels, on="variable", how="inner").join(stays, on="stay", how="inner")
    elapsed = (nw.col("time") - nw.col("start")).cast(nw.Float64)
    if window.unit != 1.0:
        elapsed = elapsed / 1e6 / (window.unit / 1e6)  # microseconds, seconds, hours
    frame = frame.with_columns(hours=elapsed, over=flag(nw.col("time") > nw.col("end")))
    if not ranged:
        return frame.with_columns(implausible=nw.lit(0))
    value, low, high = nw.col("value"), nw.col("low"), nw.col("high")
    below, above = (value < low).fill_null(False), (value > high).fill_null(False)
    if outside == "missing":
        value = nw.when(~(below | above)).then(value)
    elif outside == "clip":
        value = nw.when(below).then(low).otherwise(nw.when(above).then(high).otherwise(value))
    return frame.with_columns(value=value, implausible=flag(below | above))


def count_events(events: nw.LazyFrame[Any], window: Window) -> dict[str, np.ndarray]:
    """By ``channel``: ``implausible`` events, those ``outside`` the window, ``over`` in it.

    Over are the events within the window after the stay's end.
    """
    import narwhals as nw

    inside = (nw.col("hours") >= 0) & (nw.col("hours") < window.hours)
    over = nw.col("over") == 1
    return collected(
        events.select(
            "channel",
            "implausible",
            outside=flag(~inside & _usable()),
            over=flag(inside & over & _usable()),
        )
        .group_by("channel")
        .agg(nw.col("implausible", "outside", "over").sum())
    )


def repeated(events: nw.LazyFrame[Any]) -> int:
    """How many events repeat another one: same stay, time, variable and value."""
    import narwhals as nw

    times = events.group_by("code", "hours", "channel", "value").agg(times=nw.len())
    found = collected(times.filter(nw.col("times") > 1).select(nw.col("times") - 1))
    return int(found["times"].sum())


def cells(
    events: nw.LazyFrame[Any], window: Window, aggregates: Sequence[str], once: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Cells that hold a value, in no order, and their values: int64 (cells,), float64 (cells,).

    Args:
        events: As `placed` gives them.
        window: The time axis.
        ways: The aggregate of each channel.
        once: Take an event that is there several times once.
    """
    import narwhals as nw

    events = in_window(events, window, once)
    step = (nw.col("hours") / window.step_hours).floor()
    if window.steps * window.step_hours != window.hours:  # then rounding may lead one too far
        step = step.clip(upper_bound=window.steps - 1)
    step = step.cast(nw.Int64)
    cell = (nw.col("code") * window.steps + step) * len(aggregates) + nw.col("channel")
    columns = ["value", "way", *(["hours", "row"] if "last" in aggregates else [])]
    events = events.select(*columns, cell=cell)
    found = [
        _aggregated(
            events.filter(nw.col("way") != AGGREGATES.index("last")), set(aggregates) - {"last"}
        )
    ]
    if "last" in aggregates:
        found.append(_last(events.filter(nw.col("way") == AGGREGATES.index("last"))))
    parts = [_valued(collected(part), aggregates) for part in found if part is not None]
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _aggregated(events: nw.LazyFrame[Any], aggregates: set[str]) -> nw.LazyFrame[Any] | None:
    import narwhals as nw

    value = nw.col("value")
    of: dict[str, Any] = {}
    if aggregates & {"mean", "count"}:
        of["count"] = nw.len().cast(nw.Float64)
    of |= {way: getattr(value, way)() for way in ("min", "max") if way in aggregates}
    if aggregates & {"mean", "sum"}:
        scaled = value * _SPLIT
        events = events.with_columns(rounded=scaled - (scaled - value))
        of["sum"] = nw.col("rounded").sum()
    if not of:
        return None
    return events.group_by("cell").agg(**of)


def _last(events: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """The value at the latest time; of several, the one that stands last in its file."""
    import narwhals as nw

    for key in ("hours", "row"):
        events = events.filter(nw.col(key) == nw.col(key).max().over("cell"))
    return events.group_by("cell").agg(last=nw.col("value").max())


def _valued(
    found: dict[str, np.ndarray], aggregates: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Each cell's value by the aggregate of its channel."""
    where = found["cell"].astype("int64", copy=False)
    if "last" in found:
        return where, found["last"].astype("float64")
    if "mean" in aggregates:
        found["mean"] = found["sum"] / found["count"]
    taken = [way for way in AGGREGATES if way in aggregates and way != "last"]
    if len(taken) == 1:
        return where, found[taken[0]]
    way_of = np.array([AGGREGATES.index(way) for way in aggregates])[where % len(aggregates)]
    return where, np.choose(way_of, [found.get(way, np.zeros(1)) for way in AGGREGATES])


def in_window(events: nw.LazyFrame[Any], window: Window, once: bool) -> nw.LazyFrame[Any]:
    """The events that count, within the window; ``once``: those that are there several times."""
    import narwhals as nw

    inside = (nw.col("hours") >= 0) & (nw.col("hours") < window.hours)
    events = events.filter(inside & (nw.col("over") == 0) & _usable())
    return events.unique(["code", "hours", "channel", "value"], keep="any") if once else events


def _usable() -> nw.Expr:
    import narwhals as nw

    counts = nw.col("way") == AGGREGATES.index("count")
    return ~nw.col("hours").is_null() & (~nw.col("value").is_null() | counts)

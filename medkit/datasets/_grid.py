"""Events of chosen stays and variables put on a regular grid of time steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from medkit.datasets._engines import Engine, handed
from medkit.datasets._featurise import WAYS, Window, cells, counted, placed, repeated
from medkit.datasets._found_events import FoundEvents
from medkit.datasets._ranges import Outside, Ranges, check_ranges, note_of
from medkit.datasets._stay_windows import Axis
from medkit.errors import DataError
from medkit.lazy import pd

Aggregate = Literal["mean", "last", "min", "max", "sum", "count"]
Duplicates = Literal["keep", "drop", "fail"]

# Events that one pass of an engine holds in memory: more are read in blocks of stays.
BLOCK = 25_000_000


@dataclass(frozen=True)
class Plan:
    """What the grid holds: its channels, how each is aggregated, and its time axis."""

    names: list[str]
    ways: list[Aggregate]
    window: Window
    ranges: Ranges
    outside: Outside
    duplicates: Duplicates
    engine: Engine

    def channels(self, variables: pd.DataFrame) -> pd.DataFrame:
        """The table of channels that the featurisation joins."""
        position = {name: k for k, name in enumerate(self.names)}
        table = variables[variables["name"].isin(self.names)][["variable", "name"]].copy()
        table["channel"] = table["name"].map(position).astype("int64")
        for end, side in (("low", 0), ("high", 1)):
            table[end] = [
                float(self.ranges[name][side]) if name in self.ranges else np.nan
                for name in table["name"]
            ]
        table["way"] = [WAYS.index(self.ways[k]) for k in table["channel"]]
        return table.drop(columns="name")

    def crossed(self, variables: pd.DataFrame) -> bool:
        """Whether any value of a channel lies outside its range."""
        table = self.channels(variables).merge(variables[["variable", "low", "high"]].rename(
            columns={"low": "lowest", "high": "highest"}), on="variable")  # fmt: skip
        below, above = table["lowest"] < table["low"], table["highest"] > table["high"]
        return bool((below | above).any())


class Gridded(NamedTuple):
    """The grid of the wanted places.

    Args:
        values: float32 (wanted places, steps, channels).
        present: Which places hold an event, bool (places,).
        row: Each place's row of ``values``, -1 where it has none, int64 (places,).
        unlabelled: Stays with events that are not wanted.
        notes: What a reader of the run should know.
    """

    values: np.ndarray
    present: np.ndarray
    row: np.ndarray
    unlabelled: int
    notes: tuple[str, ...]


def gridded(
    found: FoundEvents, plan: Plan, axis: Axis, place: np.ndarray | None, path: Path, span: str
) -> Gridded:
    """Events on a grid, NaN where nothing was measured (0 where events are counted).

    Args:
        found: The events.
        plan: What the grid holds.
        axis: The places on the grid's first axis.
        place: The places that get a row of ``values``, -1 among them skipped; None: all.
        path: Where the events are, for messages.
        span: The window in words.

    Raises:
        DataError: Implausible values or duplicate events, where these are refused.
    """
    check_ranges(plan.ranges)
    steps, width = plan.window.steps, len(plan.names)
    wanted = np.ones(axis.places, bool)
    if place is not None:
        wanted = np.isin(np.arange(axis.places), place)
    empty = [0.0 if way == "count" else np.nan for way in plan.ways]
    values = np.empty((int(wanted.sum()), steps, width), dtype=np.float32)
    values[:] = empty
    row = np.where(wanted, np.cumsum(wanted) - 1, -1)
    present = np.zeros(len(wanted), dtype=bool)
    implausible, outside, again = np.zeros(width, dtype="int64"), np.zeros(2, dtype="int64"), 0
    channels = handed(plan.channels(found.variables), plan.engine)
    ranged = plan.crossed(found.variables)
    repeats = plan.duplicates != "keep" or not {"sum", "count"}.isdisjoint(plan.ways)
    for block in _blocks(axis, int(found.variables["usable"].sum())):
        stays = handed(block, plan.engine)
        events = placed(found.frame, stays, channels, plan.window, plan.outside, ranged)
        if ranged or not _all_inside(found, axis, plan.window):
            counts = counted(events, plan.window)
            np.add.at(implausible, counts["channel"].astype("int64"), counts["implausible"])
            outside += [int(counts["outside"].sum()), int(counts["over"].sum())]
        again += repeated(events) if repeats else 0
        where, numbers = cells(events, plan.window, plan.ways, plan.duplicates == "drop")
        owner = where // (steps * width)
        present[owner] = True
        if not wanted.all():
            used = wanted[owner]
            moved = (row[owner[used]] - owner[used]) * (steps * width)
            where, numbers = where[used] + moved, numbers[used]
        values.reshape(-1)[where] = numbers
    by_name = {name: int(n) for name, n in zip(plan.names, implausible, strict=True)}
    notes = (
        *_range_notes(by_name, plan.outside, path),
        *_duplicate_notes(again, plan.duplicates, path),
        *_window_notes(outside, span),
    )
    unlabelled = int((present & ~wanted).sum()) + axis.others
    return Gridded(values, present, row, unlabelled, notes)


def _blocks(axis: Axis, events: int) -> list[pd.DataFrame]:
    number = max(1, int(np.ceil(events / BLOCK)))
    if number == 1:
        return [axis.table]
    edges = np.linspace(0, axis.places, number + 1).astype(int)
    code = axis.table["code"]
    return [
        axis.table[(code >= low) & (code < high)] for low, high in pairwise(edges) if high > low
    ]


def _all_inside(found: FoundEvents, axis: Axis, window: Window) -> bool:
    """Whether every event lies within the windows of its stay, so that none need be counted."""
    table = axis.table
    code = table["stay"].map(found.keys.set_index("stay")["code"]).to_numpy()
    first, last = found.first[code], found.last[code]
    reaches = (last - table["start"]) / window.unit < window.hours * (1 - 1e-9)
    open_end = table["end"].isna() | (last <= table["end"])
    return bool(((first >= table["start"]) & reaches & open_end).all())


def _range_notes(counts: Mapping[str, int], outside: Outside, path: Path) -> tuple[str, ...]:
    if outside == "fail" and any(counts.values()):
        shown = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        raise DataError(
            f"values outside their plausible range: {shown}",
            place=str(path),
            hint="Mend them, or choose outside: missing or clip.",
        )
    return note_of(counts, outside)


def _duplicate_notes(count: int, duplicates: Duplicates, path: Path) -> tuple[str, ...]:
    if not count:
        return ()
    text = f"{count} events repeat another one (same stay, time, variable and value)"
    if duplicates == "fail":
        raise DataError(
            text, place=str(path), hint="Remove them, or choose duplicates: drop or keep."
        )
    return (f"{text}{'; they are used once' if duplicates == 'drop' else ''}",)


def _window_notes(outside: np.ndarray, span: str) -> tuple[str, ...]:
    unused, after = (int(count) for count in outside)
    notes = []
    if unused:
        notes.append(f"{unused} events outside {span} are not used")
    if after:
        notes.append(f"{after} events after the end of their stay are not used")
    return tuple(notes)

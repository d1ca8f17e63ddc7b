"""Events of chosen stays and variables put on a regular grid of time steps."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.core.progress import tracked
from medkit.datasets.events.grid.blocks import blocks_of
from medkit.datasets.events.grid.featurise import (
    AGGREGATES,
    Aggregate,
    Window,
    cells,
    count_events,
    placed,
    repeated,
)
from medkit.datasets.events.grid.values import OnDisk
from medkit.datasets.events.sources.found import FoundEvents
from medkit.datasets.events.sources.meds import shown
from medkit.datasets.events.windows import Axis
from medkit.datasets.table.ranges import Outside, Ranges, note_of
from medkit.readers.cache import Store, key_of, size
from medkit.readers.engines import Engine, to_engine

log = logging.getLogger("medkit")

# What one pass of an engine holds in memory, events and bytes of grid: more are read in blocks
# of stays.
BLOCK = 10_000_000
BLOCK_BYTES = 256 * 1024**2
# A grid larger than this lies on disk.
IN_MEMORY = 2 * 1024**3
# One with more variables and larger than this is one that nobody meant: all codes of an archive.
MANY_VARIABLES, MUCH = 2000, 16 * 1024**3


@dataclass(frozen=True)
class GridPlan:
    """What the grid holds: its channels, how each is aggregated, and its time axis."""

    names: list[str]
    aggregates: list[Aggregate]
    window: Window
    ranges: Ranges
    outside: Outside
    duplicates: Literal["keep", "drop", "fail"]
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
        table["way"] = [AGGREGATES.index(self.aggregates[k]) for k in table["channel"]]
        return table.drop(columns="name")

    def crossed(self, variables: pd.DataFrame) -> bool:
        """Whether any value of a channel lies outside its range."""
        table = self.channels(variables).merge(variables[["variable", "low", "high"]].rename(
            columns={"low": "lowest", "high": "highest"}), on="variable")  # fmt: skip
        below, above = table["lowest"] < table["low"], table["highest"] > table["high"]
        return bool((below | above).any())


class Gridded(NamedTuple):
    """The grid of the wanted positions.

    Args:
        values: float32 (wanted positions, steps, channels).
        present: Which positions hold an event, bool (positions,).
        row: Each position's row of ``values``, -1 where it has none, int64 (positions,).
        unlabelled: Stays with events that are not wanted.
        notes: What a reader of the run should know.
    """

    values: np.ndarray
    present: np.ndarray
    row: np.ndarray
    unlabelled: int
    notes: tuple[str, ...]


def gridded(
    found: FoundEvents,
    plan: GridPlan,
    axis: Axis,
    position: np.ndarray | None,
    span: str,
    store: Store | None = None,
) -> Gridded:
    """Events on a grid, NaN where nothing was measured (0 where events are counted).

    Args:
        found: The events.
        plan: What the grid holds.
        axis: The positions on the grid's first axis.
        position: The positions that get a row of ``values``, -1 among them skipped; None: all.
        span: The window in words.
        store: Where a grid is kept for the next time, and one too large for memory in any case:
            its ``values`` are then a memory-mapped array.

    Raises:
        DataError: Implausible values or duplicate events, where these are refused.
        RunError: The disk is full.
    """
    wanted = np.ones(axis.length, bool)
    if position is not None:
        wanted = np.isin(np.arange(axis.length), position)
    shape = (int(wanted.sum()), plan.window.steps, len(plan.names))
    needed = 4 * math.prod(shape)
    _refuse_too_wide(found, shape, needed)
    if store is None or not (store.kept or needed > IN_MEMORY):
        values = np.empty(shape, dtype=np.float32)
        return _filled(found, plan, axis, wanted, span, values)._replace(values=values)
    name, stamp = (
        key_of("grid", found.key, {**vars(plan), "engine": ""}, span),
        _content(found, axis, position),
    )
    entry = store.find(name, stamp) if store.kept else None
    kept = store.opened(entry, _loaded)
    if kept is None:
        with store.building(name, stamp, needed) as folder:
            file = OnDisk(folder / "values.npy", shape)
            try:
                grid = _filled(found, plan, axis, wanted, span, file)
            finally:
                file.close()
            _save(grid, folder)
        log.info("the grid (%s) lies on disk: %s", size(needed), store.folder or store.root)
        kept = _loaded(store.path(name, stamp))
    return kept


def _refuse_too_wide(found: FoundEvents, shape: tuple[int, int, int], needed: int) -> None:
    """Raise a DataError where so many variables make a grid that nobody meant."""
    samples, steps, width = shape
    if width <= MANY_VARIABLES or needed <= MUCH:
        return
    frequent = found.variables.sort_values(["usable", "name"], ascending=[False, True])["name"]
    raise DataError(
        f"{width:,} variables in {steps:,} steps for {samples:,} samples would take {size(needed)}",
        place=str(found.place),
        hint="Choose some of them: variables: [HR, ...], or a pattern that their names match, as "
        "in variables: '^(LAB|VITAL)//' (preprocessing.minimum_frequency leaves out what is rare "
        "in training, among those). The most frequent: "
        f"{shown(list(frequent[:10]), found.descriptions)}.",
    )


def _filled(
    found: FoundEvents,
    plan: GridPlan,
    axis: Axis,
    wanted: np.ndarray,
    span: str,
    values: np.ndarray | OnDisk,
) -> Gridded:
    """The grid written to ``values``, block by block; all else as a `Gridded` without them."""
    steps, width = plan.window.steps, len(plan.names)
    empty = np.array(
        [0.0 if way == "count" else np.nan for way in plan.aggregates], dtype=np.float32
    )
    row = np.where(wanted, np.cumsum(wanted) - 1, -1)
    present = np.zeros(len(wanted), dtype=bool)
    implausible, outside, again = np.zeros(width, dtype="int64"), np.zeros(2, dtype="int64"), 0
    channels = to_engine(plan.channels(found.variables), plan.engine)
    ranged = plan.crossed(found.variables)
    repeats = plan.duplicates != "keep" or not {"sum", "count"}.isdisjoint(plan.aggregates)
    to_count = ranged or not _all_inside(found, axis, plan.window)
    usable = int(found.variables["usable"].sum())
    unwritten = wanted.copy()
    blocks = blocks_of(axis, usable, 4 * steps * width, BLOCK, BLOCK_BYTES)
    for block in tracked(blocks, "putting events on the grid", len(blocks), "blocks"):
        codes = np.unique(block.table["code"])
        local = block.table.assign(code=np.searchsorted(codes, block.table["code"]))
        stays = to_engine(local, plan.engine)
        events = placed(block.of(found.frame), stays, channels, plan.window, plan.outside, ranged)
        if to_count:
            counts = count_events(events, plan.window)
            np.add.at(implausible, counts["channel"].astype("int64"), counts["implausible"])
            outside += [int(counts["outside"].sum()), int(counts["over"].sum())]
        again += repeated(events) if repeats else 0
        where, numbers = cells(events, plan.window, plan.aggregates, plan.duplicates == "drop")
        part = np.empty((len(codes), steps, width), dtype=np.float32)
        part[:] = empty
        part.reshape(-1)[where] = numbers
        held = np.zeros(len(codes), dtype=bool)
        held[where // (steps * width)] = True
        present[codes[held]] = True
        used = wanted[codes]
        values[row[codes[used]]] = part if used.all() else part[used]
        unwritten[codes] = False
    _fill_rest(values, row[unwritten], np.broadcast_to(empty, (steps, width)))
    notes = event_notes(found, plan, implausible, again, outside, span)
    unlabelled = int((present & ~wanted).sum()) + axis.others
    return Gridded(np.empty(0, np.float32), present, row, unlabelled, notes)


def _fill_rest(values: np.ndarray | OnDisk, rows: np.ndarray, empty: np.ndarray) -> None:
    """Rows of positions without any event."""
    for start in range(0, len(rows), 1024):
        some = rows[start : start + 1024]
        values[some] = np.broadcast_to(empty, (len(some), *empty.shape))


def _content(found: FoundEvents, axis: Axis, position: np.ndarray | None) -> str:
    """A hash of what the grid is computed from, beside the plan."""
    rows = pd.util.hash_pandas_object(axis.table, index=False).to_numpy().tobytes()
    asked = b"" if position is None else np.ascontiguousarray(position, dtype="int64").tobytes()
    digest = hashlib.sha256(rows + b"\0" + asked).hexdigest()
    return key_of(found.files, digest, axis.length, axis.others)


def _save(grid: Gridded, folder: Path) -> None:
    for name in ("present", "row"):
        np.save(folder / f"{name}.npy", getattr(grid, name), allow_pickle=False)
    facts = {"unlabelled": grid.unlabelled, "notes": grid.notes}
    (folder / "grid.json").write_text(json.dumps(facts), encoding="utf-8")


def _loaded(entry: Path) -> Gridded:
    arrays = [
        np.load(entry / f"{name}.npy", mmap_mode="r" if name == "values" else None)
        for name in ("values", "present", "row")
    ]
    facts = json.loads((entry / "grid.json").read_text(encoding="utf-8"))
    return Gridded(arrays[0], arrays[1], arrays[2], facts["unlabelled"], tuple(facts["notes"]))


def _all_inside(found: FoundEvents, axis: Axis, window: Window) -> bool:
    """Whether every event lies within the windows of its stay, so that none need be counted."""
    table = axis.table
    code = table["stay"].map(found.keys.set_index("stay")["code"]).to_numpy()
    first, last = found.first[code], found.last[code]
    reaches = (last - table["start"]) / window.unit < window.hours * (1 - 1e-9)
    open_end = table["end"].isna() | (last <= table["end"])
    return bool(((first >= table["start"]) & reaches & open_end).all())


def event_notes(
    found: FoundEvents,
    plan: GridPlan,
    implausible: np.ndarray,
    again: int,
    outside: np.ndarray,
    span: str,
) -> tuple[str, ...]:
    """What became of events beyond their range, of those written twice and of those unused.

    Args:
        found: The events.
        plan: What becomes of them.
        implausible: How many of each channel are beyond its range.
        again: How many repeat another one.
        outside: How many lie outside ``span``, and how many after the end of their stay.
        span: The window in words.

    Raises:
        DataError: Implausible values or duplicate events, where these are refused.
    """
    place = str(found.place)
    counts = dict(zip(plan.names, map(int, implausible), strict=True))
    if plan.outside == "fail" and any(counts.values()):
        wrong = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        raise DataError(
            f"values outside their plausible range: {wrong}",
            place=place,
            hint="Correct them, or choose values.outside: missing or clip.",
        )
    notes = list(note_of(counts, plan.outside))
    if again:
        text = f"{again} events repeat another one (same stay, time, variable and value)"
        if plan.duplicates == "fail":
            hint = "Remove them, or choose variables.duplicates: drop or keep."
            raise DataError(text, place=place, hint=hint)
        notes.append(f"{text}{'; they are used once' if plan.duplicates == 'drop' else ''}")
    for count, where in zip(
        outside, (f"outside {span}", "after the end of their stay"), strict=True
    ):
        if count:
            notes.append(f"{count} events {where} are not used")
    return tuple(notes)

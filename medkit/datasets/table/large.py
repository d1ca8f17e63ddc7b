"""Tables that may not fit in memory: their inputs go to disk, one column after the other."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import tempfile
import time
import uuid
import weakref
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.core.progress import tracked
from medkit.data.cohort import Feature
from medkit.data.stored_columns import StoredColumn, StoredColumns, write_column
from medkit.datasets.table.dictionary import converted
from medkit.datasets.table.inputs import bounded_columns, input_columns, with_durations
from medkit.datasets.table.parameters import TableColumns
from medkit.readers.cache import Store, key_of, stamp_of
from medkit.readers.tables import Table, rows_of
from medkit.readers.values import condensed, is_text, without_sentinels

log = logging.getLogger("medkit")

# Tables of more bytes than this are read by column and their inputs kept on disk.
LARGE = 512 * 1024**2
_LEFT_SECONDS = 7 * 24 * 3600
_FEW, _META = "described.parquet", "columns.json"


@dataclass(frozen=True)
class ColumnReader:
    """How the columns of a table are read and cleaned: the same for one column or all.

    Args:
        described: What is known of each column.
        numeric, categorical: Columns known to be such.
        text: Further columns read as text.
        dates: Which columns are dates that become days before the time of prediction.
        place: For messages.
    """

    described: Mapping[str, Feature]
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    text: tuple[str, ...]
    dates: TableColumns
    place: Path

    def rows(
        self, opened: Table, columns: Sequence[str] | None = None
    ) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """The columns without sentinels, in the units wanted, and notes."""
        text = (*self.text, *self.categorical)
        frame = rows_of(opened, columns=columns, text=text, numeric=self.numeric)
        sentinels = {name: each.missing_values for name, each in self.described.items()}
        frame = without_sentinels(frame, sentinels, text=(*self.categorical, *self.text))
        frame, late = with_durations(frame, self.dates, self.place)
        frame, units = converted(frame, self.described, self.place)
        return frame, (*late, *units)

    def inputs(
        self, frame: pd.DataFrame, chosen: Sequence[str], checked: bool
    ) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """The inputs within their ranges: float64 and text, and notes."""
        given = frame[list(chosen)]
        values = input_columns(given, self.numeric, self.categorical, checked, self.place)
        return bounded_columns(values, self.described)


def passing(store: Store) -> Store:
    """A store on the same disk that goes when nothing refers to it: for what is read only once."""
    if store.folder is None:
        return Store(None)
    store.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for leftover in store.folder.glob(".medkit-*"):  # of a process that was killed
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > _LEFT_SECONDS:
                shutil.rmtree(leftover, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=".medkit-", dir=store.folder))
    found = Store(made)
    weakref.finalize(found, shutil.rmtree, made, ignore_errors=True)
    return found


@dataclass
class LargeTable:
    """A table whose inputs lie on disk, in a cache that is kept or in one of this process.

    Args:
        opened: The table.
        reading: How its columns are read.
        store: Where to write.
    """

    opened: Table
    reading: ColumnReader
    store: Store
    _name: str = ""
    _stamp: str = ""
    _source: Table | None = None
    _scratch: Store | None = None

    def __post_init__(self) -> None:
        file = self.opened.file
        dates = self.reading.dates
        how = {**asdict(self.reading), "place": None,
               "dates": (dates.durations, dates.time, dates.time_format)}  # fmt: skip
        where = file.resolve() if file is not None else uuid.uuid4()
        self._name = key_of("table", where, self.opened.names, how)
        self._stamp = stamp_of(file, [file]) if file is not None else "once"

    def described_columns(self, names: Sequence[str]) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """The columns that describe the samples, in memory, and notes."""
        key = key_of(self._name, "described", list(names))
        entry = self.store.find(key, self._stamp) if self.store.kept else None
        if entry is not None:
            frame = pd.read_parquet(entry / _FEW)
            frame.index = pd.RangeIndex(1, len(frame) + 1, name="row")
            return frame, tuple(json.loads((entry / _META).read_text(encoding="utf-8")))
        frame, notes = self.reading.rows(self._by_column(), names)
        if self.store.kept and self.opened.file is not None:
            with self.store.building(key, self._stamp) as folder:
                frame.reset_index(drop=True).to_parquet(folder / _FEW, index=False)
                (folder / _META).write_text(json.dumps(notes), encoding="utf-8")
        return frame, notes

    def inputs(self, chosen: Sequence[str], checked: bool) -> tuple[StoredColumns, tuple[str, ...]]:
        """The inputs on disk, and notes on what was found in them."""
        key = key_of(self._name, list(chosen), checked)
        what = f"the contents of {self.opened.place.name}"
        entry = self.store.find(key, self._stamp, what) if self.store.kept else None
        try:
            if entry is None:
                with self.store.building(key, self._stamp) as folder:
                    self._write(folder, chosen, checked)
                entry = self.store.path(key, self._stamp)
            else:
                log.info("%s: inputs from the cache", self.opened.place)
        finally:
            self._source = self._scratch = None
        meta = json.loads((entry / _META).read_text(encoding="utf-8"))
        parts = tuple(
            StoredColumn(name, entry / file, None if levels is None else tuple(levels))
            for name, file, levels in meta["columns"]
        )
        return StoredColumns(parts, meta["count"], None, self.store), tuple(meta["notes"])

    def _write(self, folder: Path, chosen: Sequence[str], checked: bool) -> None:
        columns, notes, count = [], [], 0
        for number, name in enumerate(tracked(chosen, "storing", len(chosen), "columns")):
            values, found = self._input(name, checked)
            stored = write_column(folder, number, name, values)
            columns.append((name, stored.file.name, stored.levels))
            notes.append(found)
            count = len(values)
        meta = {"columns": columns, "count": count, "notes": joined_notes(notes)}
        (folder / _META).write_text(json.dumps(meta), encoding="utf-8")

    def _input(self, name: str, checked: bool) -> tuple[pd.Series, tuple[str, ...]]:
        dates = self.reading.dates
        needed = [name, str(dates.time)] if name in dates.durations else [name]
        frame, notes = self.reading.rows(self._by_column(), needed)
        if checked and is_text(frame[name]) and name not in self.reading.categorical:
            try:
                self.reading.inputs(condensed(frame[name]).to_frame(), [name], True)
                checked = False
            except DataError:
                pass  # again, for the numbers of rows
        values, more = self.reading.inputs(frame, [name], checked)
        return values[name], (*notes, *more)

    def _by_column(self) -> Table:
        """The table, of which a few columns can be read without the others."""
        if self._source is not None:
            return self._source
        self._source = self.opened
        if self.opened.spool is not None:
            self._scratch = passing(self.store)
            with self._scratch.building("text", "once") as folder:
                read: Any = self.opened.spool(folder)
            file = self._scratch.path("text", "once") / read.file.name
            self._source = replace(self.opened, read=replace(read, file=file))
        return self._source


def joined_notes(notes: Sequence[Collection[str]]) -> list[str]:
    """Notes on single columns, ``what: 3 pH``, as one for all: ``what: 3 pH, 1 Temp``."""
    found: dict[str, list[str]] = {}
    for what, _, columns in (each.partition(": ") for some in notes for each in some):
        found.setdefault(what, []).append(columns)
    return [f"{what}: {', '.join(of)}" if any(of) else what for what, of in found.items()]

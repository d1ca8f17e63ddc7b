"""Events from a database: rows streamed into a Parquet file, which is then read like any other."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from medkit.datasets._event_cache import Store, key_of, stamp_of
from medkit.datasets._event_files import EventColumns, melted, used_columns
from medkit.datasets._event_times import times_of
from medkit.datasets._files import check_names, require
from medkit.datasets._reading import Reading
from medkit.datasets._sql import is_database, known_as, open_query, streamed, url_of
from medkit.datasets._sql_rows import frames
from medkit.datasets._values import as_identifier
from medkit.errors import DataError
from medkit.files import existing
from medkit.lazy import pd
from medkit.values import is_sentinel

log = logging.getLogger("medkit")

# Rows that are held before they are written.
ROWS = 500_000
# Texts in the place of numbers that are remembered of one variable.
_TEXTS = 100


@dataclass(frozen=True)
class Query:
    """A select statement and the database it is for.

    Args:
        url: Address as SQLAlchemy takes it.
        text: The statement.
        timeout: Seconds to wait for a connection, and for each further part of the rows.
        refresh: Ask the database again where its rows have been kept.
        file: The database, where it is a file.
    """

    url: str
    text: str
    timeout: float
    refresh: bool = False
    file: Path | None = None

    @classmethod
    def of(
        cls, path: Path | None, url: str | None, text: str | None, timeout: float, refresh: bool
    ) -> Query | None:
        """The query that a dataset's parameters describe; None where they name a file.

        Raises:
            DataError: A database without a query, a query without a database, or both path and
                url.
        """
        if (path is None) == (url is None):
            raise DataError(
                "give either path or url" + (", not both" if url else ""), place="dataset"
            )
        base = path is not None and is_database(path)
        if (url is not None or base) and text is None:
            raise DataError(
                "a database needs a query",
                place="dataset.url" if url else str(path),
                hint="As in query: select stay, time, variable, value from measurements.",
            )
        if text is None:
            return None
        if path is not None:
            if not base:
                raise DataError("a query is for databases", place=str(path),
                                hint="Leave query out.")  # fmt: skip
            return cls(url_of(existing(path)), text, timeout, refresh, path)
        return cls(str(url), text, timeout, refresh)


class Rows(NamedTuple):
    """Rows of a query in a Parquet file.

    Args:
        file: The file: columns stay, time, variable, value and, where asked for, unit.
        place: What stands for the database in messages.
        columns: The file's columns.
        files: Fingerprints: the same for the same rows in any order.
        key: A hash of database and query.
        stamp: Which rows these are.
    """

    file: Path
    place: Path
    columns: EventColumns
    files: dict[str, str]
    key: str
    stamp: str


def fetched(
    query: Query,
    columns: EventColumns,
    wide: bool,
    missing_values: Mapping[str, tuple[Any, ...]],
    ignore: set[str],
    time_format: str | None,
    store: Store,
) -> Rows:
    """The rows of a query, from the database or as they were kept.

    A database that is down, slow or lost midway is asked again from the beginning; nothing half
    read is kept.

    Args:
        query: What to ask.
        columns: The columns' names in the query.
        wide: One variable a column rather than one event a row.
        missing_values: Values that mean 'missing', by variable, or for all under ``"*"``.
        ignore: Variables that are no measurements.
        time_format: How timestamps in texts are written.
        store: Where the rows are kept.

    Raises:
        DataError: The database cannot be reached or refuses, a column is absent, or holds what
            it should not.
    """
    if wide and columns.time is None:
        raise DataError("time: row is for files; a query needs a column of times", place="dataset")
    address, _, place = known_as(query.url)
    name = key_of(
        "rows", address.render_as_string(hide_password=True), query.text, columns, wide, time_format
    )
    stamp = stamp_of(query.file, [query.file]) if query.file else f"{time.time_ns():x}"
    entry = None
    if store.kept and not query.refresh:
        if query.file:
            entry = store.find(name, stamp, f"the rows of {place}")
        elif entry := store.newest(name):
            made = time.localtime((entry / "whole").stat().st_mtime)
            log.info(
                "%s: rows as they were cached on %s; 'refresh: true' asks the database again",
                place, time.strftime("%Y-%m-%d %H:%M", made),
            )  # fmt: skip
    if entry is None:

        def attempt(address: Any, text: str, timeout: float, place: Path) -> Path:
            with store.building(name, stamp) as folder:
                _write(frames(address, text, timeout, place), columns, wide, time_format, place,
                       folder)  # fmt: skip
            return store.path(name, stamp)

        entry = streamed(query.url, query.text, query.timeout, attempt)
    said = json.loads((entry / "rows.json").read_text(encoding="utf-8"))
    _refuse_texts(said["texts"], missing_values, ignore, columns.value, place)
    plain = EventColumns(
        "stay", "time", "variable", "value", None if columns.unit is None else "unit"
    )
    stamp = entry.name.removeprefix(f"{name}-")
    files = {str(place): said["sha256"]}
    return Rows(entry / "events.parquet", place, plain, files, name, stamp)


def fetched_labels(query: Query | None, text: str, labels: Path | None, store: Store) -> Path:
    """The rows of a second query of the same database, as a table of labels in a file.

    Args:
        query: The query of the events.
        text: The select statement.
        labels: A file of labels, which there may not be as well.
        store: Where the file lies.

    Raises:
        DataError: No database, labels twice, or as `open_query`.
    """
    if query is None:
        raise DataError(
            "labels_query asks the events' database: it needs url (or a database as path), query",
            place="dataset",
        )
    if labels is not None:
        raise DataError("give either labels or labels_query, not both", place="dataset")
    frame = open_query(query.url, text, query.timeout).read()
    for name in frame:
        if pd.api.types.infer_dtype(frame[name]).startswith("mixed"):
            frame[name] = _text(frame[name])
    with store.building("labels", "rows") as folder:
        frame.to_parquet(folder / "labels.parquet", index=False)
    return store.path("labels", "rows") / "labels.parquet"


def _write(
    parts: Any, columns: EventColumns, wide: bool, time_format: str | None, place: Path,
    folder: Path,
) -> None:  # fmt: skip
    """Write all rows to a folder: ``events.parquet`` and ``rows.json``."""
    with Reading(str(place), None, "rows") as reading:
        writer = _Writer(folder / "events.parquet", columns, wide, time_format, place)
        try:
            for frame in parts:
                writer.add(frame)
                reading.advance(len(frame))
        finally:
            writer.close()
    if not writer.rows:
        raise DataError("the query finds no rows", place=str(place))
    log.info("%s: %s rows read", place, f"{writer.rows:,}")
    (folder / "rows.json").write_text(json.dumps(writer.said()), encoding="utf-8")


@dataclass
class _Writer:
    file: Path
    columns: EventColumns
    wide: bool
    time_format: str | None
    place: Path
    rows: int = 0
    timestamps: bool | None = None
    zoned: bool | None = None
    total: int = 0
    texts: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    held: list[pd.DataFrame] = field(default_factory=list)
    writer: Any = None

    def add(self, frame: pd.DataFrame) -> None:
        """Clean some rows, and write them once they are many."""
        if not self.rows:
            self._check(list(frame.columns))
        frame.index = pd.RangeIndex(self.rows + 1, self.rows + len(frame) + 1, name="row")
        self.rows += len(frame)
        used = used_columns(self.columns, self.wide)
        if not self.wide:
            frame = frame[list(used.values())]
        frame = frame.rename(columns={name: role for role, name in used.items()})
        stay = as_identifier(frame["stay"])
        if stay.isna().any():
            raise DataError(
                f"column '{self.columns.stay}' is empty in {int(stay.isna().sum())} rows "
                f"(first at row {stay.isna().idxmax()})",
                place=str(self.place),
            )
        frame = frame.assign(stay=stay, time=self._times(frame["time"]))
        frame = melted(frame, self.columns) if self.wide else frame
        found = {name: _text(frame[name]) for name in ("stay", "variable")}
        found |= {"time": frame["time"], "value": self._numbers(frame)}
        if self.columns.unit is not None:
            found["unit"] = _text(frame["unit"])
        clean = pd.DataFrame(found)
        # A sum: the same in whichever order the database gives the rows.
        hashes = pd.util.hash_pandas_object(clean, index=False).to_numpy()
        self.total = (self.total + int(np.add.reduce(hashes, dtype=np.uint64))) % 2**64
        self.held.append(clean)
        if sum(len(each) for each in self.held) >= ROWS:
            self._flush()

    def said(self) -> dict[str, Any]:
        """What is known of the rows, as JSON."""
        content = f"{self.rows}\0{self.total}\0{self.timestamps}\0{self.zoned}"
        return {"sha256": hashlib.sha256(content.encode()).hexdigest(), "texts": self.texts}

    def close(self) -> None:
        """Write what is held and close the file."""
        if self.held:
            self._flush()
        if self.writer is not None:
            self.writer.close()

    def _check(self, names: list[str]) -> None:
        check_names(names, self.place)
        for role, name in used_columns(self.columns, self.wide).items():
            require(name, names, self.place, f"{role} column")

    def _times(self, column: pd.Series) -> np.ndarray:
        """Hours, or microseconds since 1970; of one kind throughout."""
        times, timestamps, zoned = times_of(
            column.rename(self.columns.time), str(self.place), self.time_format
        )
        if times.notna().any():
            kind = (timestamps, zoned)
            if self.timestamps is None:
                self.timestamps, self.zoned = kind
            elif kind != (self.timestamps, self.zoned):
                raise DataError(
                    f"column '{self.columns.time}' mixes hours and timestamps, or times with and "
                    f"without a time zone (first seen by row {column.index[-1]})",
                    place=str(self.place),
                )
        return times.to_numpy()

    def _numbers(self, frame: pd.DataFrame) -> pd.Series:
        """Values as numbers; texts among them are remembered, and refused or not when read."""
        numbers = pd.to_numeric(frame["value"], errors="coerce").astype("float64")
        wrong = frame["value"].notna() & numbers.isna()
        if wrong.any():
            names, texts = _text(frame["variable"][wrong]), _text(frame["value"][wrong])
            for row, name, text in zip(frame.index[wrong], names, texts, strict=True):
                of_name = self.texts.setdefault(str(name), {})
                key = text if len(of_name) < _TEXTS or text in of_name else ""
                known = of_name.setdefault(key, [0, int(row)])
                known[0] += 1
        return numbers

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet

        frame = pd.concat(self.held, ignore_index=True)
        self.held = []
        arrays = {
            name: pa.array(frame[name], type=pa.string(), from_pandas=True)
            for name in ("stay", "variable", "unit") if name in frame
        }  # fmt: skip
        arrays["value"] = pa.array(frame["value"].to_numpy(), from_pandas=True)
        if self.timestamps:
            missing = frame["time"].isna().to_numpy()
            moments = frame["time"].fillna(0).to_numpy().astype("int64")
            kind = pa.timestamp("us", tz="UTC" if self.zoned else None)
            arrays["time"] = pa.array(moments, mask=missing).cast(kind)
        else:
            arrays["time"] = pa.array(frame["time"].to_numpy(), from_pandas=True)
        table = pa.table(arrays)
        if self.writer is None:
            self.writer = pyarrow.parquet.ParquetWriter(self.file, table.schema)
        self.writer.write_table(table)


def _text(column: pd.Series) -> pd.Series:
    return column.astype("str").str.strip().astype(object).where(column.notna(), None)


def _refuse_texts(
    texts: Mapping[str, Mapping[str, list[int]]],
    missing_values: Mapping[str, tuple[Any, ...]],
    ignore: set[str],
    column: str,
    place: Path,
) -> None:
    """Raise a DataError where a measurement's value is a text that does not mean 'missing'."""
    count, first = 0, (0, "")
    for name, of_name in texts.items():
        if name in ignore:
            continue
        known = (*missing_values.get("*", ()), *missing_values.get(name, ()))
        found = pd.Series(list(of_name), dtype=object)
        for text in found[~is_sentinel(found, known)]:
            times, row = of_name[text]
            first = min((row, name), first) if count else (row, name)
            count += times
    if count:
        raise DataError(
            f"column '{column}' has {count} texts where numbers are due (first at row "
            f"{first[0]}, variable '{first[1]}')",
            place=str(place),
            hint="List the variable under ignore, or the text under missing_values.",
        )

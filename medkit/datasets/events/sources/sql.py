"""Events from a database: rows streamed into a Parquet file, which is then read like any other."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.core.progress import Progress
from medkit.core.values import is_sentinel
from medkit.datasets.events.sources.rows import EventRows, as_text
from medkit.datasets.events.sources.source import EventColumns, EventSource, Located
from medkit.readers.cache import Store, key_of, stamp_of
from medkit.readers.sql import database_of, known_as, open_query, streamed
from medkit.readers.sql_rows import frames
from medkit.readers.values import sentinels_of

log = logging.getLogger("medkit")


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

    @property
    def place(self) -> Path:
        """What stands for the database in messages."""
        return known_as(self.url)[2]

    @classmethod
    def of(
        cls, path: Path | None, url: str | None, text: str | None, timeout: float, refresh: bool
    ) -> Query | None:
        """The query that a dataset's parameters describe; None where they name a file.

        Raises:
            DataError: As `database_of`.
        """
        example = "select stay, time, variable, value from measurements"
        address = database_of(path, url, text, example)
        return None if address is None else cls(address, str(text), timeout, refresh, path)


def fetched(query: Query, source: EventSource, store: Store) -> Located:
    """The rows of a query, from the database or as they were kept.

    A database that is down, slow or lost midway is asked again from the beginning; nothing half
    read is kept.

    Args:
        query: What to ask.
        source: How the rows are written.
        store: Where the rows are kept.

    Raises:
        DataError: The database cannot be reached or refuses, a column is absent, or holds what
            it should not.
    """
    columns, place = source.columns, source.path
    if source.wide and columns.time is None:
        raise DataError("time: row is for files; a query needs a column of times", place="dataset")
    address = known_as(query.url)[0].render_as_string(hide_password=True)
    name = key_of("rows", address, query.text, columns, source.wide, source.time_format)
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
                _write(frames(address, text, timeout, place), source, folder)
            return store.path(name, stamp)

        entry = streamed(query.url, query.text, query.timeout, attempt)
    facts = json.loads((entry / "rows.json").read_text(encoding="utf-8"))
    _refuse_texts(facts["texts"], source)
    unit = None if columns.unit is None else "unit"
    plain = replace(
        source, columns=EventColumns("stay", "time", "variable", "value", unit), layout="long"
    )
    stamp = entry.name.removeprefix(f"{name}-")
    stamps = {str(place): facts["sha256"]}
    return Located(plain, [entry / "events.parquet"], name, stamp, stamps)


def fetched_labels(query: Query | None, text: str, store: Store) -> Path:
    """The rows of a second query of the same database, as a table of labels in a file.

    Args:
        query: The query of the events.
        text: The select statement.
        store: Where the file lies.

    Raises:
        DataError: No database, or as `open_query`.
    """
    if query is None:
        raise DataError(
            "labels.query asks the events' database: it needs source.url (or a database as path) "
            "and source.query",
            place="dataset",
        )
    frame = open_query(query.url, text, query.timeout).read()
    for name in frame:
        if pd.api.types.infer_dtype(frame[name]).startswith("mixed"):
            frame[name] = as_text(frame[name])
    with store.building("labels", "rows") as folder:
        frame.to_parquet(folder / "labels.parquet", index=False)
    return store.path("labels", "rows") / "labels.parquet"


def _write(parts: Any, source: EventSource, folder: Path) -> None:
    """Write all rows to a folder: ``events.parquet`` and ``rows.json``."""
    with Progress(str(source.path), None, "rows") as reading:
        writer = EventRows(folder / "events.parquet", source)
        try:
            for frame in parts:
                writer.add(frame)
                reading.advance(len(frame))
        finally:
            writer.close()
    if not writer.rows:
        raise DataError("the query finds no rows", place=str(source.path))
    log.info("%s: %s rows read", source.path, f"{writer.rows:,}")
    (folder / "rows.json").write_text(json.dumps(writer.facts()), encoding="utf-8")


def _refuse_texts(texts: Mapping[str, Mapping[str, list[int]]], source: EventSource) -> None:
    """Raise a DataError where a measurement's value is a text that does not mean 'missing'."""
    count, first = 0, (0, "")
    for name, of_name in texts.items():
        if name in source.ignore:
            continue
        known = sentinels_of(source.missing_values, name)
        found = pd.Series(list(of_name), dtype=object)
        for text in found[~is_sentinel(found, known)]:
            times, row = of_name[text]
            first = min((row, name), first) if count else (row, name)
            count += times
    if count:
        raise DataError(
            f"column '{source.columns.value}' has {count} texts where numbers are expected "
            f"(first at row {first[0]}, variable '{first[1]}')",
            place=str(source.path),
            hint="List the variable under ignore, or the text under missing_values.",
        )

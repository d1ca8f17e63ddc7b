"""Events from a database: rows streamed into a Parquet file, which is then read like any other."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from medkit.core.errors import DataError
from medkit.core.files import existing
from medkit.core.lazy import pd
from medkit.core.progress import Progress
from medkit.core.values import is_sentinel
from medkit.datasets.events.sources.files import EventColumns
from medkit.datasets.events.sources.rows import EventRows, as_text
from medkit.readers.cache import Store, key_of, stamp_of
from medkit.readers.sql import is_database, known_as, open_query, streamed, url_of
from medkit.readers.sql_rows import frames

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
                place="dataset.source.url" if url else str(path),
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
    facts = json.loads((entry / "rows.json").read_text(encoding="utf-8"))
    _refuse_texts(facts["texts"], missing_values, ignore, columns.value, place)
    plain = EventColumns(
        "stay", "time", "variable", "value", None if columns.unit is None else "unit"
    )
    stamp = entry.name.removeprefix(f"{name}-")
    files = {str(place): facts["sha256"]}
    return Rows(entry / "events.parquet", place, plain, files, name, stamp)


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


def _write(
    parts: Any, columns: EventColumns, wide: bool, time_format: str | None, place: Path,
    folder: Path,
) -> None:  # fmt: skip
    """Write all rows to a folder: ``events.parquet`` and ``rows.json``."""
    with Progress(str(place), None, "rows") as reading:
        writer = EventRows(folder / "events.parquet", columns, wide, time_format, place)
        try:
            for frame in parts:
                writer.add(frame)
                reading.advance(len(frame))
        finally:
            writer.close()
    if not writer.rows:
        raise DataError("the query finds no rows", place=str(place))
    log.info("%s: %s rows read", place, f"{writer.rows:,}")
    (folder / "rows.json").write_text(json.dumps(writer.facts()), encoding="utf-8")


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
            f"column '{column}' has {count} texts where numbers are expected (first at row "
            f"{first[0]}, variable '{first[1]}')",
            place=str(place),
            hint="List the variable under ignore, or the text under missing_values.",
        )

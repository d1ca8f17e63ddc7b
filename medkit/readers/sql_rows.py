"""One attempt at the rows of a query: streamed, in time, typed alike wherever a part ends."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from medkit.core.errors import DataError
from medkit.core.lazy import pd

log = logging.getLogger("medkit")

CHUNK = 20_000


class TooSlow(Exception):
    """No rows came in time."""


def all_rows(
    address: Any, query: str, timeout: float, place: Path
) -> tuple[list[str], pd.DataFrame]:
    """Names of the columns and all rows of a query, fetched in parts, with progress in the log.

    Raises:
        TooSlow: The next part does not come within ``timeout`` seconds.
        DataError: There are no rows.
        sqlalchemy.exc.DBAPIError: What the driver says.
    """
    names: list[str] = []
    chunks: list[pd.DataFrame] = []
    read, start, reported = 0, time.monotonic(), time.monotonic()
    for rows in _in_time(_parts(address, query, timeout, place), timeout):
        if not names:
            names = rows
            continue
        chunks.append(_frame(rows, len(names)))
        read += len(rows)
        if time.monotonic() - reported > 5:
            reported = time.monotonic()
            log.info("%s: %s rows read (%s a second)", place, f"{read:,}",
                     f"{read / (reported - start):,.0f}")  # fmt: skip
    if not chunks:
        raise DataError("the query finds no rows", place=str(place))
    frame = pd.DataFrame({i: joined([c[i] for c in chunks]) for i in range(len(names))})
    frame.columns = pd.Index(names)
    log.info("%s: %s rows read", place, f"{read:,}")
    return names, frame


def frames(address: Any, query: str, timeout: float, place: Path) -> Iterator[pd.DataFrame]:
    """The rows of a query as frames, part by part; columns as the query names them.

    Raises:
        TooSlow: The next part does not come within ``timeout`` seconds.
        DataError: The query returns no rows.
        sqlalchemy.exc.DBAPIError: What the driver says.
    """
    names: list[str] = []
    for rows in _in_time(_parts(address, query, timeout, place), timeout):
        if not names:
            names = rows
            continue
        frame = _frame(rows, len(names))
        frame.columns = pd.Index(names)
        yield frame


def _parts(address: Any, query: str, timeout: float, place: Path) -> Generator[Any]:
    """First the columns' names, then lists of rows."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(
        address, poolclass=sqlalchemy.pool.NullPool, connect_args=_arguments(address, timeout)
    )
    with engine.connect() as connection:
        if address.get_backend_name() == "postgresql":
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(timeout * 1000)}")
        # Without parameters: '%' and ':' in the query are its own.
        options = {"stream_results": True, "max_row_buffer": CHUNK, "no_parameters": True}
        result = connection.execution_options(**options).exec_driver_sql(query.strip(" \n\t;"))
        if not result.returns_rows:
            raise DataError("the query returns no rows", place=str(place), hint="Write a select.")
        yield [str(each[0]) for each in result.cursor.description]
        while rows := result.fetchmany(CHUNK):
            yield rows


def _arguments(address: Any, timeout: float) -> dict[str, Any]:
    kind = address.get_backend_name()
    if address.drivername == "postgresql+psycopg":
        alive = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
        return {"connect_timeout": max(2, int(min(timeout, 30))), **alive}
    if kind == "sqlite":
        return {"timeout": min(timeout, 30)}
    if kind == "duckdb" and address.database not in (None, "", ":memory:"):
        return {"read_only": True}
    return {}


def _in_time(parts: Generator[Any], timeout: float) -> Iterator[Any]:
    """The same parts, fetched in a thread: not every driver can be told to give up.

    Raises:
        TooSlow: The next part does not come within ``timeout`` seconds.
    """
    box: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(maxsize=2)
    over = threading.Event()

    def put(item: tuple[Any, BaseException | None]) -> bool:
        while not over.is_set():
            try:
                box.put(item, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for part in parts:
                if not put((part, None)):
                    break
            parts.close()
            put((None, None))
        except BaseException as error:
            put((None, error))

    threading.Thread(target=work, daemon=True).start()
    try:
        while True:
            try:
                part, error = box.get(timeout=timeout)
            except queue.Empty:
                raise TooSlow from None
            if error is not None:
                raise error
            if part is None:
                return
            yield part
    finally:
        over.set()


def _frame(rows: Sequence[Any], width: int) -> pd.DataFrame:
    frame = pd.DataFrame.from_records(
        [tuple(row) for row in rows], columns=range(width), coerce_float=True
    )
    return pd.DataFrame({i: _plain(frame[i]) for i in range(width)})


_KNOWN = ("string", "boolean", "date", "datetime", "datetime64", "empty", "floating", "integer",
          "mixed-integer-float", "timedelta", "timedelta64")  # fmt: skip


def _plain(column: pd.Series) -> pd.Series:
    """UUIDs, arrays and other objects of a driver as text."""
    if column.dtype != object or pd.api.types.infer_dtype(column, skipna=True) in _KNOWN:
        return column
    return column.map(lambda v: v if isinstance(v, bool | int | float) else str(v),
                      na_action="ignore")  # fmt: skip


def joined(parts: list[pd.Series]) -> pd.Series:
    """One column of all chunks; its type does not depend on where one chunk ends."""
    typed = [part for part in parts if part.notna().any()]
    if typed and all(part.dtype != object for part in typed):
        parts = [p if p.notna().any() else p.astype(typed[0].dtype if typed[0].dtype.kind not in
                 "iub" else "float64") for p in parts]  # fmt: skip
    return pd.concat(parts, ignore_index=True)

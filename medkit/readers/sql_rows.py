"""The rows of a query: streamed, in time, in memory or on disk, typed as a whole."""

from __future__ import annotations

import contextlib
import queue
import threading
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.core.limits import check, limit
from medkit.core.progress import Progress
from medkit.core.values import category_key
from medkit.readers.cache import Store, key_of
from medkit.readers.sql_guard import DUCKDB, READ_ONLY
from medkit.readers.values import with_dates

CHUNK = 20_000
# Above so many bytes the rows go to disk, then so many rows at a time.
IN_MEMORY = 512 * 1024**2
ROWS_A_PART = 250_000


class TooSlow(Exception):
    """No rows came in time."""


@dataclass
class StoredQuery:
    """The rows of a query on disk, in the parts that came; a column is read whole.

    Args:
        names: Names of the columns.
        files: The parts, in their order.
        count: Number of rows.
        order: The rows' order; None: as they came.
    """

    names: list[str]
    files: list[Path]
    count: int
    order: np.ndarray | None = None

    def column(self, name: str) -> pd.Series:
        """One column, its type that of all parts together."""
        key = str(self.names.index(name))
        parts = [pd.read_parquet(file, columns=[key])[key] for file in self.files]
        return with_dates(joined(parts).rename(name).to_frame())[name]

    def __call__(self, columns: Sequence[str] | None = None, **_: Any) -> pd.DataFrame:
        """Some columns, as a `Table` reads."""
        names = self.names if columns is None else columns
        frame = pd.DataFrame({name: self.column(name) for name in names}, copy=False)
        if self.order is None:
            return frame
        return frame.take(self.order).reset_index(drop=True)

    def marks(self) -> np.ndarray:
        """(n,) uint64 hash of each row as it came, the same whatever the order of the rows."""
        found: np.ndarray = np.zeros(self.count, dtype=np.uint64)
        for name in self.names:
            mark = pd.util.hash_pandas_object(self.column(name), index=False).to_numpy()
            found = (found * np.uint64(1_000_003)) ^ mark
        return found


def gathered(
    address: Any, query: str, timeout: float, place: Path, store: Store
) -> tuple[list[str], pd.DataFrame | StoredQuery]:
    """Names of the columns and all rows of a query: in memory, or in ``store`` where they are many.

    What breaks off leaves nothing there.

    Raises:
        TooSlow: The next part does not come within ``timeout`` seconds.
        DataError: There are no rows.
        RunError: The disk is full.
        sqlalchemy.exc.DBAPIError: What the driver says.
    """
    names: list[str] = []
    held: list[pd.DataFrame] = []
    files: list[Path] = []
    count = waiting = 0
    name, folder = key_of("query", uuid.uuid4()), None
    with contextlib.ExitStack() as stack, Progress(str(place), None, "rows") as reading:
        for frame in frames(address, query, timeout, place):
            names = [str(each) for each in frame.columns]
            held.append(frame.set_axis(range(len(names)), axis=1))
            count += len(frame)
            waiting += len(frame)
            reading.advance(len(frame))
            many = folder is not None or count * len(names) * 8 > IN_MEMORY
            if many and waiting >= ROWS_A_PART:
                folder = folder or stack.enter_context(store.building(name, "once"))
                files.append(_write(held, folder, len(files)))
                held, waiting = [], 0
        if not count:
            raise DataError("the query finds no rows", place=str(place))
        if folder is None:
            whole = _together(held)
            whole.columns = pd.Index(names)
            return names, whole
        if held:
            files.append(_write(held, folder, len(files)))
    entry = store.path(name, "once")
    return names, StoredQuery(names, [entry / file.name for file in files], count)


def _together(held: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.DataFrame({i: joined([part[i] for part in held]) for i in held[0].columns})


def _write(held: list[pd.DataFrame], folder: Path, number: int) -> Path:
    import pyarrow.lib

    frame = _together(held)
    frame.columns = frame.columns.astype(str)
    file = folder / f"part_{number:05d}.parquet"
    try:
        frame.to_parquet(file, index=False)
    except (pyarrow.lib.ArrowException, TypeError):
        # Columns of values of several kinds: texts, numbers and truth values.
        mixed = {
            name: frame[name].map(category_key, na_action="ignore")
            for name in frame.columns
            if frame[name].dtype == object
        }
        frame.assign(**mixed).to_parquet(file, index=False)
    return file


def frames(address: Any, query: str, timeout: float, place: Path) -> Iterator[pd.DataFrame]:
    """The rows of a query as frames, part by part; columns as the query names them.

    Raises:
        TooSlow: The next part does not come within ``timeout`` seconds.
        DataError: The query returns no rows.
        sqlalchemy.exc.DBAPIError: What the driver says.
    """
    count = 0
    opened: list[Any] = []

    def stop() -> None:
        # SQLite and DuckDB compute in this process, and would go on; unless they close just now.
        with contextlib.suppress(Exception):
            opened[0].interrupt()

    for frame in _in_time(_parts(address, query, timeout, place, opened), timeout, stop):
        count += len(frame)
        most = f"gives more than {limit('QUERY_ROWS'):,.0f} rows"
        check("QUERY_ROWS", count, f"the query {most}", str(place))
        columns = {i: _plain(frame.iloc[:, i]) for i in range(frame.shape[1])}
        yield pd.DataFrame(columns).set_axis(frame.columns, axis=1)


def _parts(
    address: Any, query: str, timeout: float, place: Path, opened: list[Any]
) -> Generator[pd.DataFrame]:
    """The parts as the driver gives them; its connection is added to ``opened``."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(
        address, poolclass=sqlalchemy.pool.NullPool, connect_args=_arguments(address, timeout)
    )
    with engine.connect() as connection:
        opened.append(connection.connection.driver_connection)
        kind = address.get_backend_name()
        if kind in READ_ONLY:
            connection.exec_driver_sql(READ_ONLY[kind])
        if kind == "postgresql":
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(timeout * 1000)}")
        # Without parameters: '%' and ':' in the query are its own.
        options = {"stream_results": True, "max_row_buffer": CHUNK, "no_parameters": True}
        try:
            yield from pd.read_sql_query(
                query.strip(" \n\t;"), connection.execution_options(**options), chunksize=CHUNK
            )
        except pd.errors.DatabaseError as error:
            raise error.__cause__ or error from None  # the driver's, as sql.py knows it
        except sqlalchemy.exc.ResourceClosedError:
            text = "the query returns no rows"
            raise DataError(text, place=str(place), hint="Write a select.") from None


def _arguments(address: Any, timeout: float) -> dict[str, Any]:
    kind = address.get_backend_name()
    if address.drivername == "postgresql+psycopg":
        alive = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
        return {"connect_timeout": max(2, int(min(timeout, 30))), **alive}
    if kind == "sqlite":
        return {"timeout": min(timeout / 2, 30)}  # says that it is locked before time is up
    if kind == "duckdb":
        file = address.database not in (None, "", ":memory:")
        return {"config": DUCKDB, "read_only": file}
    return {}


def _in_time(
    parts: Generator[Any], timeout: float, stop: Callable[[], None] = lambda: None
) -> Iterator[Any]:
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
                stop()
                raise TooSlow from None
            if error is not None:
                raise error
            if part is None:
                return
            yield part
    finally:
        over.set()


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

"""Rows of a query that may not fit in memory: parts of them on disk, read by column."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.core.progress import Progress
from medkit.core.values import category_key
from medkit.readers.cache import Store, key_of
from medkit.readers.sql_rows import frames, joined
from medkit.readers.values import with_dates

# Above so many bytes the rows go to disk, then so many rows at a time.
IN_MEMORY = 512 * 1024**2
ROWS_A_PART = 250_000


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


@dataclass(frozen=True)
class Gathering:
    """One attempt at all rows of a query: in memory, or on disk where they are many.

    Args:
        store: Where the parts go; what breaks off leaves nothing there.
    """

    store: Store

    def __call__(
        self, address: Any, query: str, timeout: float, place: Path
    ) -> tuple[list[str], pd.DataFrame | StoredQuery]:
        """Names of the columns, and the rows.

        Raises:
            DataError: There are no rows.
            RunError: The disk is full.
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
                    folder = folder or stack.enter_context(self.store.building(name, "once"))
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
        entry = self.store.path(name, "once")
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

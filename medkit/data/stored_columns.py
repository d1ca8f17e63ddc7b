"""A table's columns on disk, one file each: too large to hold, read a column or block at a time."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from medkit.core.errors import RunError
from medkit.core.lazy import pd

if TYPE_CHECKING:
    import pandas

# Rows that are held at once where all columns are needed.
BLOCK_ROWS = 250_000
# Encoded rows that take more bytes than this lie on disk.
ROWS_IN_MEMORY = 256 * 1024**2


@dataclass(frozen=True)
class StoredColumn:
    """One column on disk.

    Args:
        name: Its name.
        file: float32 numbers with NaN where missing, or int32 positions in ``levels``, -1 where
            missing; a ``.npy`` file.
        levels: The different texts of a categorical column; None for numbers.
    """

    name: str
    file: Path
    levels: tuple[str, ...] | None = None

    def read(self, rows: slice | np.ndarray) -> Any:
        """The given rows as an array of numbers or as a ``pandas.Categorical``."""
        if isinstance(rows, np.ndarray) and len(rows) and np.all(np.diff(rows) == 1):
            rows = slice(int(rows[0]), int(rows[-1]) + 1)
        # Opened for this one reading: pages that stay mapped would count as memory.
        values = np.array(np.load(self.file, mmap_mode="r")[rows])
        if self.levels is None:
            return values
        kind = pd.CategoricalDtype(pd.Index(self.levels, dtype=object))
        return pd.Categorical.from_codes(values, dtype=kind)


@dataclass(frozen=True)
class StoredColumns:
    """A table on disk, with as much of a DataFrame's manner as its readers need.

    ``table["sbp"]`` is a Series in memory, ``table[["sbp", "sex"]]`` and ``table.iloc[rows]`` are
    tables on disk, ``table.to_frame()`` is a DataFrame.

    Args:
        parts: The columns.
        count: Number of rows on disk.
        rows: The rows chosen, in their order; None: all.
        keeper: Whatever must live as long as the files.
    """

    parts: tuple[StoredColumn, ...]
    count: int
    rows: np.ndarray | None = None
    keeper: Any = None

    def __len__(self) -> int:
        return self.count if self.rows is None else len(self.rows)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return (len(self), len(self.parts))

    @property
    def columns(self) -> pandas.Index:
        """Names of the columns."""
        return pd.Index([each.name for each in self.parts], dtype=object)

    @property
    def index(self) -> pandas.Index:
        """Numbers of the rows in the file, from 1."""
        if self.rows is None:
            return pd.RangeIndex(1, self.count + 1, name="row")
        return pd.Index(self.rows + 1, name="row")

    @property
    def iloc(self) -> _Positions:
        """``iloc[rows]``: some of the rows, still on disk."""
        return _Positions(self)

    @overload
    def __getitem__(self, names: str) -> pandas.Series: ...
    @overload
    def __getitem__(self, names: list[str]) -> StoredColumns: ...
    def __getitem__(self, names: str | list[str]) -> pandas.Series | StoredColumns:
        known = {each.name: each for each in self.parts}
        if isinstance(names, list):
            return replace(self, parts=tuple(known[name] for name in names))
        rows = slice(None) if self.rows is None else self.rows
        return pd.Series(known[names].read(rows), index=self.index, name=names, copy=False)

    def to_frame(self) -> pandas.DataFrame:
        """All of it in memory."""
        return pd.DataFrame({each.name: self[each.name] for each in self.parts}, copy=False)

    @property
    def kinds(self) -> dict[str, str]:
        """Column -> numeric or categorical."""
        return {
            each.name: "numeric" if each.levels is None else "categorical" for each in self.parts
        }

    @property
    def folder(self) -> Path:
        """Where the columns lie."""
        return self.parts[0].file.parent

    def blocks(self, size: int = BLOCK_ROWS) -> Iterator[pandas.DataFrame]:
        """The rows in their order, so many at a time."""
        for start in range(0, len(self), size):
            yield self.iloc[start : start + size].to_frame()


@dataclass(frozen=True)
class _Positions:
    table: StoredColumns

    def __getitem__(self, rows: slice | Sequence[int] | np.ndarray) -> StoredColumns:
        table = self.table
        if isinstance(rows, slice):
            rows = np.arange(len(table))[rows] if table.rows is None else table.rows[rows]
            return replace(table, rows=rows)
        positions = np.asarray(rows)
        positions = np.flatnonzero(positions) if positions.dtype == bool else positions
        return replace(table, rows=positions if table.rows is None else table.rows[positions])


def write_column(folder: Path, number: int, name: str, values: pandas.Series) -> StoredColumn:
    """Write one column: float64 numbers as float32, texts (object) as positions.

    Args:
        folder: Where.
        number: The column's number, its file's name.
        name: The column's name.
        values: Numbers, or text with None where missing.
    """
    file = folder / f"column_{number:05d}.npy"
    if values.dtype != object:
        with np.errstate(over="ignore"):
            np.save(file, values.to_numpy(dtype="float64").astype("float32"))
        return StoredColumn(name, file)
    codes, levels = pd.factorize(values)
    np.save(file, codes.astype("int32"))
    return StoredColumn(name, file, tuple(str(each) for each in levels))


def stored_rows(blocks: Iterable[np.ndarray], count: int, width: int, folder: Path) -> np.ndarray:
    """Blocks of rows as one float32 array: in memory, or on disk where they are many.

    Args:
        blocks: (rows, width) each.
        count: Number of rows in all.
        width: Number of columns.
        folder: Where the array lies, under no name: it goes when nothing refers to it any more.

    Returns:
        (count, width), perhaps memory-mapped.

    Raises:
        RunError: The disk is full.
    """
    if count * width * 4 <= ROWS_IN_MEMORY:
        found = list(blocks)
        return np.concatenate(found) if found else np.empty((0, width), "float32")
    try:
        # On Windows an open file keeps its name; there it goes with the temporary folder.
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".rows-", delete=os.name != "nt") as f:
            for block in blocks:
                f.write(np.ascontiguousarray(block, "float32").data)
            f.flush()
            return np.memmap(f.name, dtype="float32", mode="r", shape=(count, width))
    except OSError as error:
        raise RunError(
            f"the encoded rows cannot be written: {error.strerror or error} "
            f"({count * width * 4 / 1e9:.1f} GB are needed)",
            place=str(folder),
            hint="Free some space there, or name another place under dataset.source.cache.",
        ) from error

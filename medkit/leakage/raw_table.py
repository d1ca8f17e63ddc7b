"""The raw columns of a table, read one at a time: all of a large one would not fit in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from medkit.core.lazy import pd

if TYPE_CHECKING:
    import pandas

    from medkit.data.stored_columns import StoredColumns

HELD = 4 * 1024**2  # hashes that are kept in memory: 32 MiB
MIX = np.uint64(0xBF58476D1CE4E5B9)


@dataclass(frozen=True)
class RawTable:
    """The rows of all parts, in the order of the parts.

    Args:
        frames: The columns of each part, in memory or on disk.
    """

    frames: Sequence[pandas.DataFrame | StoredColumns]

    def __len__(self) -> int:
        return sum(len(frame) for frame in self.frames)

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return [str(name) for name in self.frames[0].columns]

    def __getitem__(self, name: str) -> pandas.Series:
        """(n,) one column; texts as objects."""
        position = self.columns.index(name)
        parts = [frame[frame.columns[position]] for frame in self.frames]
        on_disk = not isinstance(self.frames[0], pd.DataFrame)
        if on_disk and isinstance(parts[0].dtype, pd.CategoricalDtype):
            parts = [part.astype(object) for part in parts]
        return pd.concat(parts, ignore_index=True)

    def take(self, rows: np.ndarray) -> pandas.DataFrame:
        """Some of the rows, in memory."""
        return pd.DataFrame({name: self[name].iloc[rows] for name in self.columns})


@dataclass
class Hashes:
    """(n, columns) uint64 hashes of a table's values; the column is part of what is hashed.

    Args:
        table: The table.
        left_out: Columns that are not compared: identifiers, which differ between copies.
    """

    table: RawTable
    left_out: set[str]
    _held: dict[int, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.names = [name for name in self.table.columns if name not in self.left_out]
        self._few = len(self.table) * len(self.names) <= HELD

    def __len__(self) -> int:
        return len(self.table)

    def column(self, position: int) -> np.ndarray:
        """(n,) hashes of one column."""
        if position in self._held:
            return self._held[position]
        column = self.table[self.names[position]]
        if column.dtype == object:
            column = column.astype(str).where(column.notna(), "")
        values = pd.util.hash_pandas_object(column, index=False).to_numpy()
        # Mixed again, so that sums over columns do not cancel.
        mixed = (values ^ np.uint64((position + 1) * 0x9E3779B97F4A7C15 % 2**64)) * MIX
        found = (mixed ^ (mixed >> np.uint64(31))) * np.uint64(0x94D049BB133111EB)
        if self._few:
            self._held[position] = found
        return found

    def rows(self, rows: np.ndarray, positions: Sequence[int]) -> np.ndarray:
        """(rows, positions) hashes of some rows and columns."""
        found = np.empty((len(rows), len(positions)), dtype=np.uint64)
        for i, position in enumerate(positions):
            found[:, i] = self.column(position)[rows]
        return found

    def keys(self, positions: Sequence[int] | None = None) -> np.ndarray:
        """(n,) one hash a row, of all columns or of some."""
        found = np.zeros(len(self), dtype=np.uint64)
        for position in range(len(self.names)) if positions is None else positions:
            found += self.column(position)
        return found

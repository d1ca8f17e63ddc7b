"""Rows of an array on disk that is too large to copy: chosen now, read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

# Chosen rows of an array on disk that take up to this are copied into memory, which is faster.
IN_MEMORY = 2 * 1024**3

# What is held at once while some channels of all rows are read, and of these channels.
BLOCK_BYTES = 64 * 1024**2
_CHANNEL_BYTES = 512 * 1024**2


class StoredRows:
    """Chosen rows of a memory-mapped array, in a given order.

    It has the shape of the array that ``values[rows]`` would be, but holds only positions.
    Indexing reads: ``stored[10:20]``, ``stored[positions]`` and ``stored[:, :, channel]`` are
    arrays in memory. ``np.asarray(stored)`` reads all of it.

    Args:
        values: The array on disk, (n, …).
        rows: Positions of the rows, int64 (m,); -1 for a blank one: NaN, of integers 0.

    Attributes:
        shape: ``(m, *values.shape[1:])``.
    """

    def __init__(self, values: np.ndarray, rows: np.ndarray):
        self.values, self.rows = values, np.asarray(rows, dtype="int64")
        self.shape: tuple[int, ...] = (len(self.rows), *values.shape[1:])
        self.dtype, self.ndim = values.dtype, values.ndim

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape))

    @property
    def nbytes(self) -> int:
        """Bytes that the values take."""
        return self.size * self.dtype.itemsize

    def __getitem__(self, key: Any) -> np.ndarray:
        first, rest = (key[0], key[1:]) if isinstance(key, tuple) else (key, ())
        if first is Ellipsis or first is None:
            raise IndexError("the first index of stored rows chooses among the rows")
        rows = self.rows[first]
        if np.ndim(rows) == 0 and rows < 0:
            return np.asarray(self._read(rows[None])[0][rest])
        if np.ndim(rows) == 0:
            return np.asarray(self.values[rows][rest] if rest else self.values[rows])
        if not rest:
            return self._read(rows)
        # A part of many rows: never all of these rows at once.
        whole = (slice(None), *rest)
        parts = [self._read(some)[whole] for some in self._blocks(rows)]
        return np.concatenate(parts) if parts else np.empty((0, *self.shape[1:]), self.dtype)[whole]

    def take(self, rows: np.ndarray) -> StoredRows:
        """Some of the rows, still on disk."""
        return StoredRows(self.values, self.rows[rows])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("stored rows are not an array in memory: reading them makes a copy")
        found = self._read(self.rows)
        return found if dtype is None else found.astype(dtype, copy=False)

    def _read(self, rows: np.ndarray) -> np.ndarray:
        if not len(rows) or (rows < 0).any():
            found = np.array(self.values[np.maximum(rows, 0)])
            found[rows < 0] = np.nan if self.dtype.kind == "f" else 0
            return found
        if rows[-1] - rows[0] == len(rows) - 1 and np.all(np.diff(rows) == 1):
            return np.array(self.values[rows[0] : rows[-1] + 1])
        return np.asarray(self.values[rows])

    def _blocks(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        width = int(np.prod(self.shape[1:])) * self.dtype.itemsize
        size = max(1, BLOCK_BYTES // max(width, 1))
        for start in range(0, len(rows), size):
            yield rows[start : start + size]


def chosen(values: Any, rows: np.ndarray) -> Any:
    """The given rows: of a large array on disk as `StoredRows`, else in memory.

    Args:
        values: A frame, an array, a memory-mapped array or `StoredRows`.
        rows: Positions, or a mask.
    """
    if hasattr(values, "iloc"):
        return values.iloc[rows]
    if not isinstance(values, np.memmap | StoredRows):
        return values[rows]
    rows = np.asarray(rows)
    rows = np.flatnonzero(rows) if rows.dtype == bool else rows
    width = int(np.prod(values.shape[1:])) * values.dtype.itemsize
    if len(rows) * width <= IN_MEMORY:
        return np.asarray(values[rows])
    return values.take(rows) if isinstance(values, StoredRows) else StoredRows(values, rows)


def by_channel(values: Any) -> Iterator[tuple[int, np.ndarray]]:
    """Position and values of each channel (the last axis), the others read as few times as may be.

    Args:
        values: (n, …, channels) in memory or on disk.
    """
    width = values.shape[-1]
    if not isinstance(values, np.memmap | StoredRows):
        yield from ((position, values[..., position]) for position in range(width))
        return
    one = int(np.prod(values.shape[:-1])) * values.dtype.itemsize
    together = max(1, min(width, _CHANNEL_BYTES // max(one, 1)))
    size = max(1, BLOCK_BYTES * len(values) // max(one * width, 1))
    for first in range(0, width, together):
        last = min(first + together, width)
        held = np.empty((last - first, *values.shape[:-1]), values.dtype)
        for start in range(0, len(values), size):
            block = np.moveaxis(values[start : start + size][..., first:last], -1, 0)
            held[:, start : start + size] = block
        yield from ((first + index, channel) for index, channel in enumerate(held))


def as_array(values: Any) -> Any:
    """``values`` as an array; arrays on disk and `StoredRows` stay what they are."""
    return values if isinstance(values, StoredRows) else np.asanyarray(values)


def blocks(values: Any) -> Iterator[tuple[int, np.ndarray]]:
    """Consecutive rows, about 64 MiB of them as float32, with the first one's position."""
    size = max(1, BLOCK_BYTES // (4 * int(np.prod(values.shape[1:])) or 1))
    for start in range(0, len(values), size):
        yield start, np.asarray(values[start : start + size])

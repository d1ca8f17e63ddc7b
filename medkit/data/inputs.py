"""What travels after encoding: one array for each named input of a sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from medkit.data.stored_arrays import StoredRows, chosen

#: In memory, memory-mapped, or chosen rows of an array on disk.
Array: TypeAlias = np.ndarray | StoredRows


def presence_name(name: str) -> str:
    """Name of the array that says which samples have an input: (n, 1), 1 or 0."""
    return f"{name}_present"


@dataclass(frozen=True)
class Inputs:
    """Encoded inputs of n samples by name, in physical units, NaN where not measured.

    Args:
        arrays: ``{"vitals": (n, 48, 37), "static": (n, 5), "xray": (n, 224, 224, 1)}``.

    Raises:
        ValueError: No array, or arrays of different length.
    """

    arrays: Mapping[str, Array]

    def __post_init__(self) -> None:
        lengths = {name: len(array) for name, array in self.arrays.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"inputs must have as many rows as each other, got {lengths}")

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __getitem__(self, name: str) -> np.ndarray:
        # Rows on disk are indexed like an array in memory.
        return self.arrays[name]  # type: ignore[return-value]

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    @property
    def nbytes(self) -> int:
        """Bytes that all arrays take, in memory or on disk."""
        return sum(int(array.nbytes) for array in self.arrays.values())

    def take(self, rows: np.ndarray) -> Inputs:
        """The given rows, in the given order; those of an array on disk stay there."""
        return Inputs({name: chosen(array, rows) for name, array in self.arrays.items()})

    def replaced(self, name: str, array: Array) -> Inputs:
        """One input exchanged, the others shared: explanations change one at a time."""
        return Inputs({**self.arrays, name: array})

    def without(self, name: str) -> Inputs:
        """The same samples as if they lacked an input that a sample may lack."""
        return self.replaced(presence_name(name), np.zeros((len(self), 1), "float32"))

    def batches(self, size: int) -> Iterator[dict[str, np.ndarray]]:
        """The rows in order, ``size`` at a time, in memory: how a large one is read."""
        for start in range(0, len(self), size):
            yield {n: np.asarray(array[start : start + size]) for n, array in self.arrays.items()}

"""The features of a sample as a person would name them: what is permuted, hidden or lent whole."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class FeatureGroup:
    """One feature of an encoded input.

    Args:
        name: As the user knows it.
        unit: Of its values; None if they have none.
        where: Index of its values in one encoded sample.
    """

    name: str
    unit: str | None
    where: tuple[Any, ...]

    @property
    def lendable(self) -> bool:
        """Whether another sample can lend it; else it can only be hidden."""
        return True

    def of(self, x: np.ndarray) -> np.ndarray:
        """(n, …) the feature's values in encoded samples: a view."""
        return x[(slice(None), *self.where)]

    def lent(self, x: np.ndarray, lenders: np.ndarray) -> np.ndarray:
        """A copy of encoded samples with this feature as the lenders (n, …) have it."""
        changed = np.array(x)
        self.of(changed)[...] = self.of(lenders)
        return changed

    def total(
        self, found: np.ndarray, x: np.ndarray, together: Callable[..., np.ndarray] = np.sum
    ) -> np.ndarray:
        """(n,) what this feature has of attributions to single values (n, …) of samples x."""
        mine = self.of(found)
        return together(mine, axis=tuple(range(1, mine.ndim)))


def blocks_of(sizes: Sequence[int], count: int, axes: Sequence[str]) -> list[FeatureGroup]:
    """Blocks of a grid, ``count`` along each axis where it is as long as that.

    Args:
        sizes: Length of each axis.
        count: Blocks along each.
        axes: What the axes are: ``("row", "column")``.
    """
    found = []
    for parts in itertools.product(*(spans(size, count) for size in sizes)):
        name = ", ".join(spelt(axis, part) for axis, part in zip(axes, parts, strict=True))
        found.append(FeatureGroup(name, None, parts))
    return found


def spans(size: int, count: int) -> list[slice]:
    """``count`` consecutive parts of an axis, as even as can be."""
    edges = np.unique(np.linspace(0, size, min(size, count) + 1).round().astype(int))
    return [slice(int(a), int(b)) for a, b in itertools.pairwise(edges)]


def spelt(what: str, part: slice) -> str:
    """``rows 3–5``: counted from 1, both ends included."""
    if part.stop - part.start == 1:
        return f"{what} {part.stop}"
    return f"{what}s {part.start + 1}–{part.stop}"

"""Rows of different parts that agree, and whether they share the outcome beyond what others do."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from medkit.core.lazy import pd
from medkit.tasks.outcomes import Outcome

SURE = 4.0  # standard errors


class Agreeing(NamedTuple):
    """Pairs of rows, each from another part, by the cell in which both rows are.

    Args:
        pairs: (cells,) how many.
        shared: (cells,) sum over the pairs of the product of both standardized outcomes: of
            outcomes that are no more alike than any two rows', 0 on average; of equal ones 1.
    """

    pairs: np.ndarray
    shared: np.ndarray

    @property
    def total(self) -> float:
        return float(self.pairs.sum())

    def without(self, within: Agreeing) -> Agreeing:
        """All pairs but those ``within``, as one sum: cells of the two differ."""
        left = max(self.total - within.total, 0.0)
        return Agreeing(np.array([left]), np.array([self.shared.sum() - within.shared.sum()]))

    def likeness(self) -> tuple[float, float]:
        """Mean of what is shared by a pair, and its standard error over the cells."""
        if self.total < 1:
            return 0.0, np.inf
        mean = self.shared.sum() / self.total
        error = np.sqrt(((self.shared - mean * self.pairs) ** 2).sum()) / self.total
        return float(mean), float(error)


def joint(*codes: np.ndarray) -> np.ndarray:
    """(n,) number of the cell of rows that are equal in all of some columns."""
    cell = np.zeros(len(codes[0]), dtype=np.int64) if codes else np.empty(0, dtype=np.int64)
    for each in codes:
        cell = pd.factorize(cell * (int(each.max(initial=0)) + 1) + each)[0].astype(np.int64)
    return cell


def agreeing(cell: np.ndarray, part: np.ndarray, outcome: np.ndarray) -> Agreeing:
    """The pairs of each cell.

    Args:
        cell: (n,) from ``joint``.
        part: (n,) number of each row's part.
        outcome: (n,) standardized.
    """
    cells, parts = int(cell.max(initial=-1)) + 1, int(part.max(initial=0)) + 1
    inner = cell * parts + part

    def across(weights: np.ndarray | None) -> np.ndarray:
        whole = np.bincount(cell, weights, cells).astype(float)
        within = np.bincount(inner, weights, cells * parts).astype(float).reshape(cells, parts)
        return (whole**2 - (within**2).sum(axis=1)) / 2

    return Agreeing(across(None), across(outcome))


def standardized(outcomes: list[Outcome]) -> list[np.ndarray]:
    """(n,) of each outcome, numbers by their ranks: mean 0, standard deviation 1."""
    found = []
    for each in outcomes:
        y = np.asarray(each.y, dtype="float64")
        if each.kind == "number":
            y = pd.Series(y).rank().to_numpy()
        known = np.nan_to_num(y - np.nanmean(y))
        if known.std() > 0:
            found.append(known / known.std())
    return found

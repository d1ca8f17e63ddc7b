"""Identical rows of tables, told from the coincidences of tables with few values."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from medkit.core.lazy import pd
from medkit.leakage.evidence import Evidence
from medkit.leakage.findings import Finding
from medkit.leakage.rows import pair_finding

CHANGED = 0.2  # share of the columns in which a copy may have been changed
SEARCHED = 6  # columns, those of most different values, two of which a changed copy keeps
MOST_PARTNERS = 20
MOST_JUDGED = 300
MOST_COMPARED = 20_000
RARE = 0.01
REPEATING = 0.7
MIX = np.uint64(0xBF58476D1CE4E5B9)


def table_duplicates(evidence: Evidence, hashed: np.ndarray) -> Iterator[Finding]:
    """Rows that are identical across parts, or but for a fifth of their columns, beyond chance.

    Patients may well agree in all of a few coarse values; but then others agree with them in all
    but one or two. A row and its copy stand alone: no third row differs from them in only a few
    columns. Copies are a finding if at least half of them stand alone; one or two of them in a
    table of few and coarse columns only a warning.

    Args:
        evidence: The rows.
        hashed: (n, columns) hashes, from ``column_hashes``.
    """
    agreement = np.array([_agreement(column) for column in hashed.T])
    own = _own_columns(hashed, agreement)
    hashed, agreement = hashed[:, own], agreement[own]
    if hashed.shape[1] < 2:
        return
    keys = hashed.sum(axis=1, dtype=np.uint64)
    few = max(2, round(CHANGED * hashed.shape[1]))
    for a, b in evidence.pairs():
        first, second = (np.flatnonzero(evidence.part == each) for each in (a, b))
        same = np.isin(keys[second], keys[first])
        copies = second[same]
        if len(copies) and _stand_alone(hashed, copies, None, few):
            # Columns depend on each other: half of their information counts.
            telling = -np.log2(agreement).sum() / 2 > np.log2(len(first) * len(second) / RARE)
            few_copies = len(copies) < max(3, RARE * len(second))
            yield pair_finding(
                "duplicates", evidence, a, b, copies, "identical to",
                doubtful=few_copies and not telling,
            )  # fmt: skip
        copies, partners = _changed(hashed, agreement, first, second[~same])
        if len(copies) > 1 and _stand_alone(hashed, copies, partners, 2 * few):
            relation = "identical in most columns to"
            yield pair_finding("near_duplicates", evidence, a, b, np.unique(copies), relation)


def _own_columns(hashed: np.ndarray, agreement: np.ndarray) -> list[int]:
    """Columns that vary and are no recoding of an earlier one (age in years and in months)."""
    kept: list[int] = []
    for j in np.flatnonzero(agreement < 1):
        codes, values = pd.factorize(hashed[:, j])
        # Values that hardly ever repeat map one to one to anything.
        if len(values) <= REPEATING * len(hashed):
            alike = [i for i in kept if np.isclose(agreement[i], agreement[j], rtol=1e-9)]
            for i in alike:
                other, others = pd.factorize(hashed[:, i])
                joint = codes.astype(np.int64) * len(others) + other
                if len(others) == len(values) == len(pd.unique(joint)):
                    break
            else:
                kept.append(int(j))
        else:
            kept.append(int(j))
    return kept


def _stand_alone(
    hashed: np.ndarray, copies: np.ndarray, partners: np.ndarray | None, few: int
) -> bool:
    """Whether half of the copies or more have no neighbour but what they are copies of.

    Args:
        hashed: (n, columns) hashes.
        copies: Rows that are copies.
        partners: What each is a copy of; None: the rows identical to it.
        few: A neighbour differs in at most so many columns.
    """
    random = np.random.default_rng(0)
    judged = random.permutation(len(copies))[:MOST_JUDGED]
    others = np.arange(len(hashed))
    if len(others) > MOST_COMPARED:
        others = random.choice(len(hashed), MOST_COMPARED, replace=False)
    alone = 0
    for i in judged:
        differ = (hashed[others] != hashed[copies[i]]).sum(axis=1)
        near = (differ <= few) & (differ > 0)
        if partners is not None:
            near &= (hashed[others] != hashed[partners[i]]).any(axis=1)
        alone += not near.any()
    return alone >= 0.5 * len(judged)


def _changed(
    hashed: np.ndarray, agreement: np.ndarray, first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of ``second`` and rows of ``first`` that differ in a fifth of the columns or less."""
    bits = -np.log2(agreement)
    needed = np.log2(max(len(first) * len(second), 1) / RARE)
    searched = np.argsort(agreement)[:SEARCHED]
    found: dict[int, int] = {}
    for i, j in combinations(searched, 2):
        keys = hashed[:, i] + hashed[:, j]
        order = first[np.argsort(keys[first], kind="stable")]
        low, high = (np.searchsorted(keys[order], keys[second], side) for side in ("left", "right"))
        for place in range(min(MOST_PARTNERS, int((high - low).max(initial=0)))):
            rows = np.flatnonzero(low + place < high)
            mine, theirs = second[rows], order[low[rows] + place]
            equal = hashed[mine] == hashed[theirs]
            near = (equal.mean(axis=1) >= 1 - CHANGED) & (equal @ bits > needed)
            found |= dict(zip(mine[near].tolist(), theirs[near].tolist(), strict=True))
    return np.array(list(found), dtype=np.int64), np.array(list(found.values()), dtype=np.int64)


def column_hashes(evidence: Evidence, left_out: set[str]) -> np.ndarray:
    """(n, columns) uint64 hashes of a table's values; the column is part of what is hashed.

    Args:
        evidence: The rows.
        left_out: Columns that are not compared: identifiers, which differ between copies.
    """
    names = [name for name in evidence.table.columns if name not in left_out]
    hashed = np.empty((len(evidence.table), len(names)), dtype=np.uint64)
    for i, name in enumerate(names):
        column = evidence.table[name]
        if column.dtype == object:
            column = column.astype(str).where(column.notna(), "")
        values = pd.util.hash_pandas_object(column, index=False).to_numpy()
        # Mixed again, so that sums over columns do not cancel.
        mixed = (values ^ np.uint64((i + 1) * 0x9E3779B97F4A7C15 % 2**64)) * MIX
        hashed[:, i] = (mixed ^ (mixed >> np.uint64(31))) * np.uint64(0x94D049BB133111EB)
    return hashed


def _agreement(column: np.ndarray) -> float:
    """Chance that two rows agree in a column."""
    share = np.unique(column, return_counts=True)[1] / len(column)
    return float(np.sum(share**2))

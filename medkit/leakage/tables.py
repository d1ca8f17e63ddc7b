"""Identical rows of tables, distinguished from the coincidences of tables with few values."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from medkit.core.lazy import pd
from medkit.leakage.agreement import SURE, agreeing, joint, standardized
from medkit.leakage.evidence import Evidence
from medkit.leakage.findings import Finding
from medkit.leakage.raw_table import Hashes
from medkit.leakage.rows import FEW, hardly_any, pair_finding

CHANGED = 0.2  # share of the columns in which a copy may have been changed
SEARCHED = 6  # columns, those of most different values, two of which a changed copy keeps
MOST_PARTNERS = 20
MOST_JUDGED = 300
MOST_COMPARED = 20_000
RARE = 0.01
REPEATING = 0.7
MOST_CROSSED = 12  # columns
FEWEST_CELLS = 10
BEYOND = 1.5
FAR_BEYOND = 5.0
SHARED = 0.1
MOST_SEARCHED = 4 * 1024**2  # hashes of rows and columns that changed copies are searched among


def table_duplicates(evidence: Evidence, hashed: Hashes) -> Iterator[Finding]:
    """Rows that are identical across parts, or but for a fifth of their columns, beyond chance.

    Patients may well agree in all of a few coarse values; but then others agree with them in all
    but one or two. A row and its copy stand alone: no third row differs from them in only a few
    columns. Copies are a finding if at least half of them stand alone; one or two of them in a
    table of few and coarse columns only a warning.

    Identical rows are looked for among all, changed ones in a large table among a random sample of
    each part's rows: what is held at once does not grow with the table.

    Args:
        evidence: The rows.
        hashed: Their hashes.
    """
    own, agreement = own_columns(hashed)
    if len(own) < 2:
        return
    keys = hashed.keys(own)
    tolerated = max(2, round(CHANGED * len(own)))
    searched = _searched(evidence, len(own))
    held = hashed.rows(searched, own)
    for a, b in evidence.pairs():
        first, second = (np.flatnonzero(evidence.part == each) for each in (a, b))
        same = np.isin(keys[second], keys[first])
        copies = second[same]
        if len(copies) and (
            _stand_alone(hashed, own, copies, None, tolerated)
            or _beyond_chance(evidence, hashed, own, (a, b))
        ):
            # Columns depend on each other: half of their information counts.
            telling = -np.log2(agreement).sum() / 2 > np.log2(len(first) * len(second) / RARE)
            few_copies = hardly_any(len(copies), len(second))
            yield pair_finding(
                "duplicates", evidence, a, b, copies, "identical to",
                doubt=FEW if few_copies and not telling else "",
            )  # fmt: skip
        both = (np.flatnonzero(np.isin(searched, rows)) for rows in (first, second[~same]))
        found = _changed(held, agreement, *both)
        copies, partners = (searched[each] for each in found)
        if len(copies) > 1 and _stand_alone(hashed, own, copies, partners, 2 * tolerated):
            relation = "identical in most columns to"
            yield pair_finding("near_duplicates", evidence, a, b, np.unique(copies), relation)


def _beyond_chance(
    evidence: Evidence, hashed: Hashes, own: list[int], pair: tuple[int, int]
) -> bool:
    """Whether rows of few columns agree in all of them more than rows that agree in most do.

    If agreement in one column depended on that in another alike whatever the other columns, the
    pairs that agree in all were the product of those that agree in all but one and in all but
    another, by those that agree in all but both (a log-linear model without their interaction).
    And equal rows of different patients share the outcome as rows that differ in one column do.
    """
    if not 2 <= len(own) <= MOST_CROSSED:
        return False
    chosen = evidence.chosen
    rows = np.flatnonzero(np.isin(evidence.part[chosen], pair))
    part = (evidence.part[chosen][rows] == pair[1]).astype(np.int64)
    codes = [pd.factorize(hashed.column(j)[chosen[rows]])[0].astype(np.int64) for j in own]
    codes = [each for each in codes if not _determined(each, codes)]
    if len(codes) < 2:
        return False
    columns = range(len(codes))

    def but(*left: int) -> np.ndarray:
        return joint(np.zeros_like(part), *(codes[j] for j in columns if j not in left))

    none = np.zeros(len(part))
    whole = agreeing(but(), part, none)
    less = [agreeing(but(j), part, none).total - whole.total for j in columns]
    expected = max(
        (less[i] + 0.5) * (less[j] + 0.5)
        / (agreeing(but(i, j), part, none).total - whole.total - less[i] - less[j] + 0.5)
        for i, j in combinations(columns, 2)
    )  # fmt: skip
    least = max(BEYOND * expected, expected + SURE * np.sqrt(expected))
    if (whole.pairs > 0).sum() < FEWEST_CELLS or whole.total < least:
        return False
    if whole.total >= FAR_BEYOND * expected:
        return True
    for outcome in standardized(evidence.outcomes):
        of = outcome[rows]
        same = agreeing(but(), part, of)
        mean, error = same.likeness()
        others = [agreeing(but(j), part, of).without(same) for j in columns]
        pairs, shared = (sum(float(each[k].sum()) for each in others) for k in (0, 1))
        if mean - shared / max(pairs, 1.0) > max(SHARED, SURE * error):
            return True
    return False


def _determined(codes: np.ndarray, others: list[np.ndarray]) -> bool:
    """Whether a column is a coarser form of another (an age band beside the age)."""
    for other in others:
        values = int(other.max()) + 1
        finer = int(codes.max()) + 1 < values <= REPEATING * len(codes)
        if finer and int(joint(other, codes).max()) + 1 == values:
            return True
    return False


def _searched(evidence: Evidence, width: int) -> np.ndarray:
    """Positions of the rows that changed copies are looked for among: all, or of each part some."""
    count, most = len(evidence.part), max(MOST_COMPARED, MOST_SEARCHED // width)
    if count <= most:
        return np.arange(count)
    evidence.notes.append(
        f"rows identical in most columns: looked for in {most:,} of {count:,} rows"
    )
    random, found = np.random.default_rng(0), []
    for each in range(len(evidence.parts)):
        rows = np.flatnonzero(evidence.part == each)
        found.append(random.choice(rows, len(rows) * most // count, replace=False))
    return np.sort(np.concatenate(found))


def own_columns(hashed: Hashes) -> tuple[list[int], np.ndarray]:
    """Columns that vary and are no recoding of an earlier one (age in years and in months), and
    the chance that two rows agree in each."""
    agreement = np.array([_agreement(hashed.column(j)) for j in range(len(hashed.names))])
    kept: list[int] = []
    for j in np.flatnonzero(agreement < 1):
        codes, values = pd.factorize(hashed.column(int(j)))
        # Values that hardly ever repeat map one to one to anything.
        if len(values) <= REPEATING * len(hashed):
            alike = [i for i in kept if np.isclose(agreement[i], agreement[j], rtol=1e-9)]
            for i in alike:
                other, others = pd.factorize(hashed.column(i))
                joint = codes.astype(np.int64) * len(others) + other
                if len(others) == len(values) == len(pd.unique(joint)):
                    break
            else:
                kept.append(int(j))
        else:
            kept.append(int(j))
    return kept, agreement[kept]


def _stand_alone(
    hashed: Hashes, own: list[int], copies: np.ndarray, partners: np.ndarray | None, tolerated: int
) -> bool:
    """Whether half of the copies or more have no neighbour but what they are copies of.

    Args:
        hashed: Hashes of the table.
        own: Columns that are compared.
        copies: Rows that are copies.
        partners: What each is a copy of; None: the rows identical to it.
        tolerated: A neighbour differs in at most so many columns.
    """
    random = np.random.default_rng(0)
    judged = random.permutation(len(copies))[:MOST_JUDGED]
    others = np.arange(len(hashed))
    if len(others) > MOST_COMPARED:
        others = random.choice(len(hashed), MOST_COMPARED, replace=False)
    rows = hashed.rows(others, own)
    mine = hashed.rows(copies[judged], own)
    theirs = mine if partners is None else hashed.rows(partners[judged], own)
    alone = 0
    for copy, partner in zip(mine, theirs, strict=True):
        differ = (rows != copy).sum(axis=1)
        near = (differ <= tolerated) & (differ > 0) & (rows != partner).any(axis=1)
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
        for step in range(min(MOST_PARTNERS, int((high - low).max(initial=0)))):
            rows = np.flatnonzero(low + step < high)
            mine, theirs = second[rows], order[low[rows] + step]
            equal = hashed[mine] == hashed[theirs]
            near = (equal.mean(axis=1) >= 1 - CHANGED) & (equal @ bits > needed)
            found |= dict(zip(mine[near].tolist(), theirs[near].tolist(), strict=True))
    return np.array(list(found), dtype=np.int64), np.array(list(found.values()), dtype=np.int64)


def _agreement(column: np.ndarray) -> float:
    """Chance that two rows agree in a column."""
    share = np.unique(column, return_counts=True)[1] / len(column)
    return float(np.sum(share**2))

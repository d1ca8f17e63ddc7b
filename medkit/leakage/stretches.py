"""Texts and recordings cut from the same whole: overlapping windows, small changes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from medkit.leakage.evidence import Evidence
from medkit.leakage.findings import Finding
from medkit.leakage.rows import pair_finding

SKETCH = 16
ENOUGH_COMMON = 4  # of the sketches of two texts
MOST_COMPARED = 50
MOST_CELLS = 40_000_000


def overlapping(evidence: Evidence, keys: np.ndarray) -> Iterator[Finding]:
    """Texts and recordings cut from the same whole as one of an earlier part.

    What a stretch is, and how many two samples must share, the modality says
    (``Modality.runs``). Each row is known by its 16 smallest hashes; two rows that share one of
    them are compared.

    Args:
        evidence: The rows.
        keys: (n,) hash of each row, to leave identical rows out.
    """
    if evidence.modality.runs(evidence.encoded(np.arange(0))) is None:
        return
    rows = evidence.some(MOST_CELLS // evidence.width, "overlapping samples")
    runs = evidence.modality.runs(evidence.encoded(rows))
    if runs is None:
        return
    codes, content, common, relation = runs
    highest = np.iinfo(np.uint64).max
    codes = np.where(content, codes, highest)
    kept = min(SKETCH, codes.shape[1])
    sketch = np.partition(codes, kept - 1, axis=1)[:, :kept] if codes.shape[1] else codes
    part, keys, subject = evidence.part[rows], keys[rows], evidence.subject[rows]
    for a, b in evidence.pairs():
        first, second = (np.flatnonzero(part == each) for each in (a, b))
        second = second[~np.isin(keys[second], keys[first])]
        if not len(second) or not kept:
            continue
        enough = min(ENOUGH_COMMON, kept) if common else 1
        copies, own = set(), False
        for mine, other in _candidates(sketch, first, second, highest, enough):
            if common == 0 or _jaccard(codes[mine], codes[other], highest) >= common:
                copies.add(mine)
                own |= bool(subject[mine] == subject[other])
        if copies:
            recurring = evidence.texts_of_subjects and not own
            yield pair_finding("near_duplicates", evidence, a, b, np.array(sorted(copies)),
                               relation, recurring=recurring)  # fmt: skip


def _candidates(
    sketch: np.ndarray, first: np.ndarray, second: np.ndarray, highest: int, enough: int
) -> list[tuple[int, int]]:
    """Pairs (row of ``second``, row of ``first``) with so many hashes of their sketches in common.

    A phrase may be in thousands of rows: fifty are compared.
    """
    owners = np.repeat(first, sketch.shape[1])
    hashes = sketch[first].ravel()
    order = np.argsort(hashes, kind="stable")
    hashes, owners = hashes[order], owners[order]
    wanted = sketch[second].ravel()
    low, high = np.searchsorted(hashes, wanted, "left"), np.searchsorted(hashes, wanted, "right")
    count = np.where(wanted != highest, np.minimum(high - low, MOST_COMPARED), 0)
    mine = np.repeat(np.repeat(second, sketch.shape[1]), count)
    within = np.arange(len(mine)) - np.repeat(np.cumsum(count) - count, count)
    pairs = np.column_stack([mine, owners[np.repeat(low, count) + within]])
    found, times = np.unique(pairs, axis=0, return_counts=True)
    return [(int(a), int(b)) for a, b in found[times >= enough]]


def _jaccard(one: np.ndarray, other: np.ndarray, highest: int) -> float:
    mine, theirs = (np.unique(each[each != highest]) for each in (one, other))
    both = len(np.intersect1d(mine, theirs, assume_unique=True))
    return both / max(len(mine) + len(theirs) - both, 1)

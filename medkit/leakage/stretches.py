"""Texts and recordings cut from the same whole: overlapping windows, small changes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from medkit.leakage.evidence import Evidence
from medkit.leakage.findings import Finding
from medkit.leakage.rows import pair_finding

SHINGLE = {"character": 8, "word": 4}
SKETCH = 16
ENOUGH_COMMON = 4  # of the sketches of two texts
MOST_COMPARED = 50
MOST_CELLS = 40_000_000
COMMON = 0.65  # of the shingles of two texts
MIX = np.uint64(0x9E3779B97F4A7C15)


def near_texts(evidence: Evidence, keys: np.ndarray) -> Iterator[Finding]:
    """Texts that share most of their runs of tokens with a text of an earlier part.

    Two texts are near-identical if two thirds of the runs (8 letters or 4 words) found in either
    are found in both (Broder, 1997): a letter changed, or a window moved by a sixth of its length.
    """
    rows = evidence.some(MOST_CELLS // evidence.width, "near-identical texts")
    x = evidence.encoded(rows)
    width = min(SHINGLE[getattr(evidence.modality, "unit", "character")], x.shape[1])
    codes = _runs(x.astype(np.uint64), width)
    # A padded run is the same in all short texts.
    whole = np.lib.stride_tricks.sliding_window_view(x != 0, width, axis=1).min(axis=2)
    yield from _overlapping(evidence, rows, codes, whole, keys, COMMON, "almost identical to")


def shared_stretches(evidence: Evidence, keys: np.ndarray) -> Iterator[Finding]:
    """Series that hold the same stretch of a recording as a series of an earlier part.

    A stretch is a quarter of the series, equal in every number, with eight different numbers or
    more: windows that overlap, cut from one recording.
    """
    rows = evidence.some(MOST_CELLS // evidence.width, "overlapping series")
    x = evidence.encoded(rows)
    if x.ndim != 3 or x.shape[1] < 8:
        return
    width = max(8, x.shape[1] // 4)
    steps = np.zeros(x.shape[:2], dtype=np.uint64)
    seen = np.zeros(x.shape[:2], dtype=np.int32)
    moved = np.zeros(x.shape[:2], dtype=np.int32)
    for channel in range(x.shape[2]):
        values = np.asarray(x[:, :, channel], dtype="float32") + np.float32(0)
        bits = values.view(np.uint32).astype(np.uint64)
        known = ~np.isnan(values)
        steps = (steps * MIX) ^ np.where(known, bits + np.uint64(1), np.uint64(0))
        seen += known
        moved[:, 1:] += known[:, 1:] & (values[:, 1:] != values[:, :-1])
    codes = _runs(steps, width)
    telling = (_sums(seen, width) >= width) & (_sums(moved, width) >= max(8, width // 2))
    yield from _overlapping(evidence, rows, codes, telling, keys, 0.0, "share a stretch with")


def _overlapping(
    evidence: Evidence,
    rows: np.ndarray,
    codes: np.ndarray,
    telling: np.ndarray,
    keys: np.ndarray,
    common: float,
    relation: str,
) -> Iterator[Finding]:
    """Rows whose runs are found in a row of an earlier part.

    Each row is known by its 16 smallest hashes; two rows that share one of them are compared.
    """
    highest = np.iinfo(np.uint64).max
    codes = np.where(telling, codes, highest)
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


def _runs(codes: np.ndarray, width: int) -> np.ndarray:
    """(n, length - width + 1) hash of every run of ``width`` codes."""
    count = max(codes.shape[1] - width + 1, 0)
    found = np.zeros((len(codes), count), dtype=np.uint64)
    for place in range(width):
        found = found * MIX + _mixed(codes[:, place : place + count] + np.uint64(1))
    return _mixed(found)


def _mixed(codes: np.ndarray) -> np.ndarray:
    codes = (codes ^ (codes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    codes = (codes ^ (codes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return codes ^ (codes >> np.uint64(31))


def _sums(counts: np.ndarray, width: int) -> np.ndarray:
    total = np.cumsum(np.pad(counts, ((0, 0), (1, 0))), axis=1)
    return total[:, width:] - total[:, :-width]

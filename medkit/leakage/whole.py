"""Samples that are the same in every input: together they say what none may say alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from medkit.core.lazy import pd
from medkit.leakage.evidence import Evidence
from medkit.leakage.findings import Finding, finding
from medkit.leakage.raw_table import Hashes
from medkit.leakage.tables import RARE, own_columns

ENOUGH = 128.0  # bits: another's identical series or image is no coincidence


def whole_samples(
    whole: Evidence, inputs: Sequence[Evidence], named: Mapping[str, set[str]]
) -> Iterator[Finding]:
    """Samples of a later part that have every input from a sample of an earlier one.

    Coarse tables, short texts: each may agree by chance, all of them hardly. Inputs and columns
    depend on each other: half of their information counts.

    Args:
        whole: The rows of all parts.
        inputs: Each input, and the rows that have it.
        named: Input -> its columns that are left out: identifiers, which differ between copies.
    """
    key = np.zeros(len(whole.part), dtype=np.uint64)
    bits, had = np.zeros(len(key)), np.zeros(len(key), dtype=int)
    for position, each in enumerate(inputs):
        rows = _rows_with(whole, each.input)
        keys, information = _keys(each, named[each.input])
        key[rows] += pd.util.hash_array(keys ^ np.uint64(position + 1))
        bits[rows] += information
        had[rows] += 1
    for a, b in whole.pairs():
        first, second = (np.flatnonzero((whole.part == each) & (had > 1)) for each in (a, b))
        chance = np.log2(max(len(first) * len(second), 1) / RARE)
        copies = second[np.isin(key[second], key[first]) & (bits[second] / 2 > chance)]
        if len(copies):
            earlier, later = whole.names[a], whole.names[b]
            total = int((whole.part == b).sum())
            what = f"{len(copies):,} of {total:,} {later} rows are identical to {earlier} rows"
            where = f"{earlier} and {later} (all inputs)"
            yield finding("duplicates", f"{what} in every input", where, len(copies))


def _rows_with(whole: Evidence, name: str) -> np.ndarray:
    """Positions of the rows that have an input."""
    raw = [part.cohort.inputs[name] for part in whole.parts.values()]
    had = [np.ones(len(r), dtype=bool) if r.present is None else r.present for r in raw]
    return np.flatnonzero(np.concatenate(had))


def _keys(evidence: Evidence, left_out: set[str]) -> tuple[np.ndarray, np.ndarray | float]:
    """(n,) hash of each row's input, and how much its recurrence would say, in bits."""
    if evidence.table is not None:
        hashed = Hashes(evidence.table, left_out)
        _, agreement = own_columns(hashed)
        return hashed.keys(), float(-np.log2(agreement).sum())
    keys, content = evidence.row_keys
    counts = np.unique(keys, return_counts=True)[1] / max(len(keys), 1)
    coarse = -np.log2(np.sum(counts**2)) if len(keys) else 0.0
    # Phrases recur in clinics, however long.
    return keys, coarse if evidence.texts is not None else np.where(content, ENOUGH, coarse)

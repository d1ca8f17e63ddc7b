"""Strata of subjects by their outcomes, and each stratum's share of a part."""

from __future__ import annotations

import numpy as np

from medkit.core.lazy import pd


def shares(sizes: np.ndarray, total: int) -> np.ndarray:
    """Share ``total`` among strata by size: largest remainders, one for each where that goes."""
    exact = sizes * (total / max(int(sizes.sum()), 1))
    whole = np.floor(exact + 1e-9).astype(np.int64)
    by_remainder = np.argsort(-(exact - whole), kind="stable")
    whole[by_remainder[: total - int(whole.sum())]] += 1
    for rare in np.flatnonzero((whole == 0) & (sizes > 1)):
        largest = int(np.argmax(whole))
        if whole[largest] > 1:
            whole[largest] -= 1
            whole[rare] += 1
    return whole


def outcome_strata(targets: np.ndarray, subject: np.ndarray, count: int) -> np.ndarray:
    """(subjects,) one stratum number per subject.

    Two classes: whether any of the subject's rows is of the rarer one. More: its most common
    class. Several columns: which of the binary ones ever occur. Continuous: quintiles of the mean.
    Masks (n, height, width[, structures]): which structures ever occur.
    """
    targets = np.asarray(targets)
    if targets.ndim > 2:
        targets = np.asarray(targets.any(axis=(1, 2)))
    columns = targets.reshape(len(targets), -1)
    coded = [pd.factorize(_sortable(column), sort=True) for column in columns.T]
    yes_no = [label for label, kinds in coded if len(kinds) <= 2]
    if len(coded) > 1 and yes_no:
        strata = np.zeros(count, dtype=np.int64)
        for label in yes_no:
            strata = strata * 2 + _any_rarer(label, subject, count)
            strata = np.unique(strata, return_inverse=True)[1]
        return strata
    label, kinds = coded[0]
    if len(kinds) <= 2:
        return _any_rarer(label, subject, count)
    numeric = columns.dtype.kind in "fiu"
    if numeric and len(kinds) > 20:
        values = np.nan_to_num(columns[:, 0].astype(float))
        rows = np.bincount(subject, minlength=count)
        mean = np.bincount(subject, values, minlength=count) / np.maximum(rows, 1)
        return np.searchsorted(np.quantile(mean, [0.2, 0.4, 0.6, 0.8]), mean, side="right")
    return _most_common(label, len(kinds), subject, count)


def _sortable(column: np.ndarray) -> np.ndarray:
    # Mixed types cannot be sorted, and a missing value must not lose its row.
    if column.dtype.kind == "f":
        return np.nan_to_num(column)
    return column.astype(str) if column.dtype == object else column


def _any_rarer(label: np.ndarray, subject: np.ndarray, count: int) -> np.ndarray:
    rarer = int(np.argmin(np.bincount(label, minlength=2)))
    return (np.bincount(subject[label == rarer], minlength=count) > 0).astype(np.int64)


def _most_common(label: np.ndarray, kinds: int, subject: np.ndarray, count: int) -> np.ndarray:
    pairs, times = np.unique(subject * kinds + label, return_counts=True)
    last = np.zeros(count, dtype=np.int64)
    ascending = np.argsort(times, kind="stable")
    last[pairs[ascending] // kinds] = pairs[ascending] % kinds
    return last

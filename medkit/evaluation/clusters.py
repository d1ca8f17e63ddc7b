"""Rows of one patient are not independent: subjects counted, and how alike their rows are."""

from __future__ import annotations

import math

import numpy as np

FEWEST = 10  # subjects with an outcome, and without it, for a fit of two numbers


def subjects_among(codes: np.ndarray, rows: np.ndarray) -> int:
    """How many subjects have any of the rows.

    Args:
        codes: (n,) subject of each row.
        rows: (n,) bool.
    """
    return len(np.unique(codes[rows]))


def intraclass_correlation(values: np.ndarray, codes: np.ndarray) -> float | None:
    """Share of the variance that lies between subjects, from a one-way analysis of variance.

    (MSB - MSW) / (MSB + (m - 1) MSW), m = (N - Σ mᵢ² / N) / (k - 1) rows a subject (Donner, A
    review of inference procedures for the intraclass correlation coefficient in the one-way random
    effects model, Int. Stat. Rev. 54, 1986). Of several columns (the classes of an outcome) the
    mean squares are added up.

    Args:
        values: (n,) or (n, columns), finite.
        codes: (n,) number of each row's subject, 0 ….

    Returns:
        None where each subject has one row, there is one subject, or nothing varies.
    """
    values = np.asarray(values, float).reshape(len(codes), -1)
    sizes = np.bincount(codes)
    sizes = sizes[sizes > 0]
    rows, subjects = len(codes), len(sizes)
    if subjects < 2 or subjects == rows:
        return None
    codes = np.unique(codes, return_inverse=True)[1]
    means = np.stack([np.bincount(codes, each) for each in values.T], axis=1) / sizes[:, None]
    between = (sizes[:, None] * (means - values.mean(axis=0)) ** 2).sum() / (subjects - 1)
    within = ((values - means[codes]) ** 2).sum() / (rows - subjects)
    typical = (rows - (sizes**2).sum() / rows) / (subjects - 1)
    total = between + (typical - 1) * within
    return float((between - within) / total) if total > 1e-12 else None


def design_effect(correlation: float, codes: np.ndarray) -> float:
    """By how much fewer independent rows would tell as much of a mean: 1 + (m - 1) ICC, at least 1.

    m is the mean size of the cluster of a row, Σ mᵢ² / N (Kish, Survey Sampling, 1965).
    """
    sizes = np.bincount(codes)
    size = float((sizes**2).sum() / sizes.sum())
    return max(1.0, 1 + (size - 1) * correlation) if math.isfinite(correlation) else 1.0


def too_few_with(subjects: int, what: str) -> str:
    """``only 3 subjects with events; 10 are needed``: a patient's rows are one patient."""
    return f"only {subjects} subject{'s' * (subjects != 1)} with {what}; {FEWEST} are needed"

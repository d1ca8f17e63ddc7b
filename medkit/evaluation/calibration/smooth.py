"""Loess, for many resamples at once: a local line is a few sums over the rows."""

from __future__ import annotations

from typing import Any

import numpy as np

_SPAN, _ROWS, _LEAST_SPAN = 0.75, 200, 0.3
_POINTS = 50
_MOST_ROWS = 20_000  # a curve holds 250 numbers a row


class Loess:
    """Local lines with tricube weights, at a few points, of any number of resamples.

    Cleveland, Robust locally weighted regression and smoothing scatterplots, J. Am. Stat. Assoc.
    74, 1979, without the robustness steps, which a 0/1 outcome would spoil; for calibration
    curves see Austin and Steyerberg, Stat. Med. 33, 2014. The neighbourhoods are those of the
    rows as they are, for every resample: the nearest ``span`` of them, 0.75 of up to 200 rows and
    less by (200 / n)^(1/5) of more, down to 0.3, so that the bias shrinks as the noise does.

    Not scikit-learn's isotonic curve (CORP): the ICI is defined on loess, and a thousand resamples
    are one product of matrices here where they would be as many fits.

    Args:
        x: (n,) the variable.
        y: (n,) what is smoothed.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray):
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        self.at = _grid(x)
        self.span = max(_LEAST_SPAN, _SPAN * min(1.0, _ROWS / len(x)) ** 0.2)
        distance = x[None, :] - self.at[:, None]
        nearest = max(2, min(len(x), int(self.span * len(x) + 1e-10)))
        width = np.partition(np.abs(distance), nearest - 1, axis=1)[:, nearest - 1 : nearest]
        # Where that many rows are equal, the neighbourhood is these rows.
        width = np.where(width > 0, width, np.finfo(np.float64).tiny)
        scaled = np.clip(distance / width, -1, 1)  # at and beyond 1 the weight is 0
        kernel = (1 - np.abs(scaled) ** 3) ** 3
        parts = (kernel, kernel * scaled, kernel * scaled**2, kernel * y, kernel * scaled * y)
        self._sums = np.concatenate(parts).T  # (n, 5 m)

    def fit(self, weights: np.ndarray) -> np.ndarray:
        """(B, n) weights -> (B, m) the smoothed values; NaN where a resample has no neighbours."""
        return _lines(*np.split(np.atleast_2d(weights) @ self._sums, 5, axis=1))


def _lines(
    s0: np.ndarray, s1: np.ndarray, s2: np.ndarray, t0: np.ndarray, t1: np.ndarray
) -> np.ndarray:
    """Where the local lines meet their places: 0 on the scale of the neighbourhood."""
    determinant = s0 * s2 - s1 * s1
    flat = determinant <= 1e-10 * s0 * s0
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(flat, t0 / s0, (s2 * t0 - s1 * t1) / np.where(flat, 1.0, determinant))


def _grid(x: np.ndarray) -> np.ndarray:
    """Up to 50 distinct points: half evenly spread, half where the rows are (quantiles)."""
    even = np.linspace(x.min(), x.max(), _POINTS // 2)
    return np.unique(np.r_[even, np.quantile(x, np.linspace(0, 1, _POINTS // 2))])


def interpolation(at: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(m, n) matrix that takes values at ``at`` (ascending) to linear interpolations at ``x``."""
    matrix = np.zeros((len(at), len(x)))
    if len(at) == 1:
        return matrix + 1
    right = np.clip(np.searchsorted(at, x, side="right"), 1, len(at) - 1)
    share = np.clip((x - at[right - 1]) / (at[right] - at[right - 1]), 0, 1)
    columns = np.arange(len(x))
    matrix[right, columns], matrix[right - 1, columns] = share, 1 - share
    return matrix


def drawn_rows(n: int) -> Any:
    """The rows that a curve takes: all, or 20,000 at random (the same for equal n)."""
    if n <= _MOST_ROWS:
        return slice(None)
    return np.sort(np.random.default_rng(0).choice(n, _MOST_ROWS, replace=False))

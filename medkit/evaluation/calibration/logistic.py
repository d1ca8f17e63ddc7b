"""Logistic regression on one variable, for many resamples of the rows at once."""

from __future__ import annotations

import numpy as np

# Numbers in one block: what Newton's steps read over and over should stay in the cache.
_BLOCK = 131_072
_STEPS = 100
_NEAR = 1e-9  # on the logit scale
# Outputs are single precision: nearer to 0 and 1 than this they are taken as this.
EDGE = 1e-7


def logits(p: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)) in double precision, of p drawn into [1e-7, 1 - 1e-7]."""
    p = np.clip(np.asarray(p, np.float64), EDGE, 1 - EDGE)
    return np.log(p) - np.log1p(-p)


def weighted_logistic(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Maximum likelihood fits of logit P(y = 1) = intercept + slope * x.

    Newton's method on all resamples together, its steps shortened by log(1 + d) / d, where d is
    the largest change on the logit scale: with it, it converges from anywhere (Sun and
    Tran-Dinh, Generalized self-concordant functions, Math. Program. 178, 2019). A finite
    estimate exists if and only if the classes overlap in x (Albert and Anderson, On the existence
    of maximum likelihood estimates in logistic regression models, Biometrika 71, 1984).

    Args:
        x: (n,) the variable.
        y: (n,) 0 or 1.
        weights: (B, n) weight of each row in each resample, 0 or more; (n,) is one resample.

    Returns:
        (B, 2) intercept and slope; NaN where there is no finite estimate: one class only, x
        constant, or the classes separated by x.
    """
    x, y = np.asarray(x, np.float64).ravel(), np.asarray(y, np.float64).ravel()
    weights = np.atleast_2d(np.asarray(weights, np.float64))
    found = np.full((len(weights), 2), np.nan)
    if len(x) == 0:
        return found
    estimable = np.flatnonzero(_overlapping(x, y, weights))
    if len(estimable) == 0:
        return found
    center, scale = x.mean(), x.std()
    z = (x - center) / scale
    # All fits start where that of all resamples together ends.
    start = _fit(z, y, weights[estimable].mean(axis=0)[None], np.zeros((1, 2)))
    start = np.where(np.isfinite(start), start, 0.0)
    step = max(1, _BLOCK // len(x))
    for first in range(0, len(estimable), step):
        rows = estimable[first : first + step]
        fit = _fit(z, y, weights[rows], np.repeat(start, len(rows), axis=0))
        found[rows, 0], found[rows, 1] = fit[:, 0] - fit[:, 1] * center / scale, fit[:, 1] / scale
    return found


def _fit(z: np.ndarray, y: np.ndarray, weights: np.ndarray, start: np.ndarray) -> np.ndarray:
    """(B, 2) from Newton's steps; NaN where they did not converge."""
    from scipy.special import expit

    theta, found = start.copy(), np.full_like(start, np.nan)
    active, bounds = np.arange(len(start)), np.array([z.min(), z.max()])
    terms = np.stack([np.ones_like(z), z, z * z], axis=1)
    for _ in range(_STEPS):
        mean = expit(theta[:, :1] + theta[:, 1:] * z)
        gradient = (weights * (y - mean)) @ terms[:, :2]
        h = (weights * (mean * (1 - mean))) @ terms
        with np.errstate(divide="ignore", invalid="ignore"):
            change = (
                np.stack(
                    [
                        h[:, 2] * gradient[:, 0] - h[:, 1] * gradient[:, 1],
                        h[:, 0] * gradient[:, 1] - h[:, 1] * gradient[:, 0],
                    ],
                    axis=1,
                )
                / (h[:, 0] * h[:, 2] - h[:, 1] ** 2)[:, None]
            )
        reach = np.abs(change[:, :1] + change[:, 1:] * bounds).max(axis=1)
        theta = theta + change * _shortened(reach)[:, None]
        done = reach < _NEAR
        found[active[done]] = theta[done]
        going = ~done & np.isfinite(reach)
        if not going.any():
            break
        if not going.all():
            theta, weights, active = theta[going], weights[going], active[going]
    return found


def weighted_intercept(offset: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Maximum likelihood fits of logit P(y = 1) = intercept + offset.

    Args:
        offset: (n,) on the logit scale.
        y: (n,) 0 or 1.
        weights: (B, n) weight of each row in each resample; (n,) is one resample.

    Returns:
        (B,) intercepts; NaN where a resample holds one class only.
    """
    from scipy.special import expit

    offset, y = np.asarray(offset, np.float64).ravel(), np.asarray(y, np.float64).ravel()
    weights = np.atleast_2d(np.asarray(weights, np.float64))
    positives, negatives = weights @ y, weights @ (1 - y)
    found = np.full(len(weights), np.nan)
    estimable = np.flatnonzero((positives > 0) & (negatives > 0))
    step = max(1, _BLOCK // max(1, len(y)))
    for first in range(0, len(estimable), step):
        rows = estimable[first : first + step]
        block, at = weights[rows], np.zeros(len(rows))
        for _ in range(_STEPS):
            mean = expit(at[:, None] + offset)
            steepness = ((mean * (1 - mean)) * block).sum(axis=1)
            with np.errstate(divide="ignore", invalid="ignore"):
                change = (positives[rows] - (mean * block).sum(axis=1)) / steepness
            at = at + change * _shortened(np.abs(change))
            if not (np.abs(change) > _NEAR).any():
                break
        found[rows] = np.where(np.abs(change) < _NEAR, at, np.nan)
    return found


def _shortened(reach: np.ndarray) -> np.ndarray:
    return np.log1p(reach) / np.where(reach == 0, 1.0, reach) + (reach == 0)


def _overlapping(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(B,) whether neither class lies wholly at or above the other, so that a slope exists."""
    bounds = []
    for rows in (np.flatnonzero(y == 0), np.flatnonzero(y == 1)):
        if len(rows) == 0:
            return np.zeros(len(weights), bool)
        ordered = rows[np.argsort(x[rows], kind="stable")]
        present = weights[:, ordered] > 0
        lowest = x[ordered][present.argmax(axis=1)]
        highest = x[ordered][len(rows) - 1 - present[:, ::-1].argmax(axis=1)]
        some = present.any(axis=1)
        bounds.append((np.where(some, lowest, np.nan), np.where(some, highest, np.nan)))
    (low0, high0), (low1, high1) = bounds
    return (high0 > low1) & (high1 > low0)

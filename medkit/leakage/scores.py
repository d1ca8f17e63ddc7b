"""How well one feature alone tells the outcome, cross-fitted."""

from __future__ import annotations

import numpy as np

FOLDS = 5
PERFECT = 0.99  # AUROC or |r| of one input alone
FLAWLESS = 0.9999
FEWEST_EVENTS = 10
SURE_EVENTS = 40
FEWEST_ROWS = 30
MOST_BINS = 64


def folds_of(subject: np.ndarray, outcome: np.ndarray, seed: int = 0) -> np.ndarray:
    """(n,) fold of each row: whole subjects, dealt in the order of their mean outcome.

    Args:
        subject: (n,) number of each row's subject.
        outcome: (n,) number to spread evenly over the folds.
        seed: Seed of the order of subjects with the same outcome.
    """
    codes = np.unique(subject, return_inverse=True)[1]
    count = np.bincount(codes)
    mean = np.bincount(codes, weights=outcome) / count
    random = np.random.default_rng(seed).permutation(len(count))
    dealt = np.empty(len(count), dtype=np.int64)
    dealt[np.lexsort((random, mean))] = np.arange(len(count)) % FOLDS
    return dealt[codes]


def ranks(values: np.ndarray) -> np.ndarray:
    """(n, f) average ranks from 1 of each column's numbers; those missing rank last."""
    from scipy.stats import rankdata

    return rankdata(np.where(np.isnan(values), np.inf, values), axis=0)


def auroc(values: np.ndarray, positive: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Cross-fitted AUROC of each feature among its observed rows.

    The direction is learned on the other folds; the AUROC of a fold (Mann-Whitney: the share of
    pairs of a positive and a negative row in the right order) counts by its number of pairs.

    Args:
        values: (n, f), NaN where missing.
        positive: (n,) bool.
        fold: (n,) from ``folds_of``.

    Returns:
        (f,) NaN with fewer than 10 positive or 10 negative observed rows.
    """
    right, pairs = np.zeros((FOLDS, values.shape[1])), np.zeros((FOLDS, values.shape[1]))
    for k in range(FOLDS):
        inside = fold == k
        seen, yes = ~np.isnan(values[inside]), positive[inside].astype(float)
        count, events = seen.sum(axis=0), yes @ seen
        if len(yes):
            above = yes @ (ranks(values[inside]) * seen) - events * (events + 1) / 2
            right[k], pairs[k] = above, events * (count - events)
    others = right.sum(axis=0) - right > (pairs.sum(axis=0) - pairs) / 2
    total = np.maximum(pairs.sum(axis=0), 1)
    found = np.where(others, right, pairs - right).sum(axis=0) / total
    return np.where(_enough(~np.isnan(values), positive), found, np.nan)


def separation(order: np.ndarray, seen: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """AUROC (f,) in the better direction, not cross-fitted: what is low here is low there too.

    Args:
        order: (n, f) from ``ranks``.
        seen: (n, f) bool: what is observed.
        positive: (n,) bool.
    """
    yes = positive.astype(float)
    events = yes @ seen
    pairs = np.maximum(events * (seen.sum(axis=0) - events), 1)
    found = (yes @ (order * seen) - events * (events + 1) / 2) / pairs
    return np.maximum(found, 1 - found)


def bins(order: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(n, f) number of each value's quantile bin, -1 where missing; equal values share one.

    Args:
        order: (n, f) from ``ranks``.
        seen: (n, f) bool: what is observed.
    """
    count = np.maximum(seen.sum(axis=0), 1)
    number = np.clip(count // 10, 2, MOST_BINS)
    position = (order - 0.5) / count * number
    return np.where(seen, np.minimum(position, number - 1), -1).astype(np.int64)


def binned_auroc(codes: np.ndarray, positive: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """AUROC (f,) of each feature's bins or categories, scored by the other folds' event rate.

    Finds what is not monotone: a U shape, or a category. ``codes`` is (n, f), -1 where missing.
    """
    (events, count), size = _cells(codes, fold, (positive.astype(float), np.ones(len(codes))))
    prior = positive.mean()
    rate = (events.sum(0) - events + prior) / (count.sum(0) - count + 1)
    shape = (codes.shape[1], FOLDS * size)
    rate, events, count = (np.moveaxis(a, 0, 1).reshape(shape) for a in (rate, events, count))
    order = np.argsort(rate, axis=1, kind="stable")
    events, count = np.take_along_axis(events, order, 1), np.take_along_axis(count, order, 1)
    others = count - events
    below = np.cumsum(others, axis=1) - others / 2
    pairs = np.maximum(events.sum(1) * others.sum(1), 1)
    found = (events * below).sum(axis=1) / pairs
    return np.where(_enough(codes >= 0, positive), found, np.nan)


def correlation(values: np.ndarray, outcome: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Cross-fitted Pearson correlation (f,) of each feature with a number.

    The sign is learned on the other folds; folds count by their rows.
    """
    found, weight = np.zeros((FOLDS, values.shape[1])), np.zeros((FOLDS, values.shape[1]))
    for k in range(FOLDS):
        inside = fold == k
        found[k] = pearson(values[inside], outcome[inside])
        weight[k] = (~np.isnan(values[inside])).sum(axis=0)
    weight[np.isnan(found)] = 0
    found = np.nan_to_num(found)
    signed = found * weight
    sign = np.where(signed.sum(axis=0) - signed >= 0, 1.0, -1.0)
    mean = (signed * sign).sum(axis=0) / np.maximum(weight.sum(axis=0), 1)
    return np.where((~np.isnan(values)).sum(axis=0) >= FEWEST_ROWS, mean, np.nan)


def binned_correlation(codes: np.ndarray, outcome: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Correlation (f,) of a number with its mean over the other folds' rows of the same bin."""
    (total, count), _ = _cells(codes, fold, (outcome, np.ones(len(codes))))
    prior = outcome.mean()
    expected = (total.sum(0) - total + prior) / (count.sum(0) - count + 1)
    columns = np.arange(codes.shape[1])
    predicted = expected[fold[:, None], columns, np.maximum(codes, 0)]
    found = pearson(np.where(codes < 0, np.nan, predicted), outcome)
    return np.where((codes >= 0).sum(axis=0) >= FEWEST_ROWS, found, np.nan)


def surely_perfect(events: np.ndarray, others: np.ndarray) -> np.ndarray:
    """AUROC above which 0.99 is no luck, for so many events and other rows; inf if there is none.

    A strong but honest feature, of AUROC 0.975, exceeds the bound in 1 of 20 samples or fewer
    (standard error after Hanley and McNeil, 1982). With fewer than 40 of either, it may well
    separate them without an error.
    """
    a = 0.975
    first, second = a / (2 - a), 2 * a**2 / (1 + a)
    pairs = np.maximum(events * others, 1)
    variance = a * (1 - a) + (events - 1) * (first - a**2) + (others - 1) * (second - a**2)
    bound = a + 1.645 * np.sqrt(np.maximum(variance, 0) / pairs)
    bound = np.clip(bound, PERFECT, FLAWLESS)
    return np.where(np.minimum(events, others) >= SURE_EVENTS, bound, np.inf)


def chance_of_separation(events: int, others: int) -> float:
    """Chance that an honest feature of AUROC 0.975 separates so many events and other rows.

    The integral of F(x)^others d(1 - S(x - d)^events), the highest of the others lying below the
    lowest event, both normal with the distance d = √2 Φ⁻¹(0.975). Few events among many rows are
    hardly ever separated by luck: 25 of 500 in 2 of a million samples, 20 of 40 in 1 of 11.
    """
    from scipy.special import log_ndtr, ndtri

    if min(events, others) < 1:
        return 1.0
    x = np.linspace(-8, 14, 4001)
    below = np.exp(others * log_ndtr(x))
    above = np.exp(events * log_ndtr(np.sqrt(2) * ndtri(0.975) - x))
    return float(np.sum((below[1:] + below[:-1]) / 2 * -np.diff(above)))


def pearson(values: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    """Pearson correlation (f,) of each column's observed rows; NaN for a constant one."""
    seen = ~np.isnan(values)
    count = np.maximum(seen.sum(axis=0), 1)
    x = np.where(seen, values, 0.0).astype("float64")
    x = np.where(seen, x - x.sum(axis=0) / count, 0.0)
    y = np.where(seen, outcome[:, None], 0.0)
    y = np.where(seen, y - y.sum(axis=0) / count, 0.0)
    spread = np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread > 0, (x * y).sum(axis=0) / spread, np.nan)


def _cells(
    codes: np.ndarray, fold: np.ndarray, weights: tuple[np.ndarray, ...]
) -> tuple[list[np.ndarray], int]:
    """Sums of each weight by fold, feature and bin, (folds, f, size) each; and the size."""
    size, width = int(codes.max(initial=0)) + 1, codes.shape[1]
    position = (fold[:, None] * width + np.arange(width)) * size + codes
    seen = codes >= 0
    flat, length = position[seen], FOLDS * width * size
    sums = [
        np.bincount(flat, np.broadcast_to(w[:, None], codes.shape)[seen], length) for w in weights
    ]
    return [each.reshape(FOLDS, width, size) for each in sums], size


def _enough(seen: np.ndarray, positive: np.ndarray) -> np.ndarray:
    events = positive.astype(float) @ seen
    return (events >= FEWEST_EVENTS) & (seen.sum(axis=0) - events >= FEWEST_EVENTS)

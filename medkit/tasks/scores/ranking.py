"""Scores in their order: curves, areas under them, and the thresholds they offer."""

from __future__ import annotations

from typing import Any

import numpy as np

from medkit.tasks.scores.threshold_rules import check_rule


def divided(numerator: Any, denominator: Any, otherwise: float = np.nan) -> Any:
    """The quotient; ``otherwise`` where the denominator is 0."""
    numerator, denominator = np.asarray(numerator, float), np.asarray(denominator, float)
    empty = denominator == 0
    return np.where(empty, otherwise, numerator / np.where(empty, 1.0, denominator))


class Ranking:
    """Scores sorted once, for AUROC and AUPRC of any number of resamples.

    Args:
        y: (n,) 0 or 1.
        p: (n,) scores, higher for 1.
    """

    def __init__(self, y: np.ndarray, p: np.ndarray):
        self.order = np.argsort(-p, kind="stable")
        ranked = p[self.order]
        # Rows of equal score are one step of the curve.
        self.starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
        self.positive = y[self.order].astype(np.float64)

    def curves(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(resamples, steps) weight of the true and false positives, from the highest score."""
        ranked = weights[:, self.order]
        true = np.add.reduceat(ranked * self.positive, self.starts, axis=1)
        false = np.add.reduceat(ranked, self.starts, axis=1) - true
        return np.cumsum(true, axis=1), np.cumsum(false, axis=1)

    def areas(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(resamples,) AUROC and AUPRC (average precision)."""
        true, false = self.curves(weights)
        positives, negatives = true[:, -1], false[:, -1]
        new_true = np.diff(true, axis=1, prepend=0.0)
        new_false = np.diff(false, axis=1, prepend=0.0)
        auroc = divided((new_false * (true - new_true / 2)).sum(1), positives * negatives)
        precision = divided(true, true + false, 0.0)
        auprc = divided((new_true * precision).sum(1), positives)
        return auroc, auprc


def best_threshold(
    y: np.ndarray,
    p: np.ndarray,
    by: str,
    at_least: float | None = None,
    cost_ratio: float | None = None,
) -> float | None:
    """The threshold that is best by a rule; None where a class is absent.

    Between two neighbouring scores it lies half way, so that new scores may fall a little short;
    above the highest, where nothing is positive, half way to 1. Of equally good ones the nearest
    to 0.5 is taken; by cost, the nearest to 1 / (1 + cost_ratio), where a calibrated model has it
    (Pauker and Kassirer, The threshold approach to clinical decision making, N. Engl. J. Med.
    302, 1980).

    Args:
        y: (n,) 0 or 1.
        p: (n,) scores, higher for 1.
        by: ``youden`` (largest sensitivity + specificity - 1), ``f1`` (largest F1),
            ``sensitivity`` (most specific of those with a sensitivity of ``at_least``),
            ``specificity`` (most sensitive of those with a specificity of ``at_least``), or
            ``cost`` (smallest cost_ratio * false negatives + false positives).
        at_least: For sensitivity and specificity.
        cost_ratio: For cost: cost of a false negative in false positives.

    Raises:
        MedkitError: A rule without its number.
    """
    check_rule(by, at_least, cost_ratio)
    y, p = y.astype(bool), p.astype(np.float64)
    if y.all() or not y.any():
        return None
    ranking = Ranking(y, p)
    true, false = (np.r_[0.0, curve[0]] for curve in ranking.curves(np.ones((1, len(y)))))
    sensitivity, specificity = true / true[-1], (false[-1] - false) / false[-1]
    nearest_to = 0.5
    if by == "youden":
        gain = true / true[-1] - false / false[-1]
    elif by == "f1":
        gain = 2 * true / (true + false + true[-1])
    elif by == "cost":
        ratio = float(cost_ratio or 0.0)
        gain = (ratio * true - false) / len(y)
        nearest_to = 1 / (1 + ratio)
    else:
        reached, other = (sensitivity, specificity)[:: 1 if by == "sensitivity" else -1]
        gain = np.where(reached >= float(at_least or 0.0) - 1e-12, other, -1.0)
    scores = p[ranking.order][ranking.starts]
    above = max((1 + scores[0]) / 2, np.nextafter(scores[0], np.inf))
    thresholds = np.r_[above, (scores[:-1] + scores[1:]) / 2, scores[-1]]
    if by in ("youden", "f1"):
        gain[0] = -1.0  # these rules want some predicted positive
    best = np.flatnonzero(gain >= gain.max() - 1e-12)
    return float(thresholds[best[np.argmin(np.abs(thresholds[best] - nearest_to))]])

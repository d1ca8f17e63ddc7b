"""Counts at every threshold, for the slider of the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from medkit.tasks.outcomes import Outcome

_MOST = 200  # thresholds
_MOST_OUTCOMES = 20
_BINS = 40


def slider_data(given: Sequence[Outcome], prevalence: float | None = None) -> dict[str, Any] | None:
    """What the slider shows of each yes/no, counted beforehand.

    Args:
        given: The outcomes; where one has no threshold, the slider starts at 0.5.
        prevalence: Share of positives where the model is to be used; None: that of these rows.

    Returns:
        ``{"n", "outcomes": [{"name", "positives", "negatives", "prevalence", "start",
        "thresholds": [k], "tp": [k], "fp": [k], "histogram": {"positives": [40],
        "negatives": [40]}}]}``; at or above a threshold a row is called positive. ``start`` is
        the position of the threshold in use. None where no outcome has both classes.
    """
    outcomes = []
    for each in given:
        of_one, scores, at = each.y, each.p, each.threshold
        positives = int((of_one == 1).sum())
        if not 0 < positives < len(of_one) or not np.isfinite(scores).all():
            continue
        used = 0.5 if at is None else float(at)
        thresholds = _thresholds(scores, used)
        outcomes.append(
            {
                "name": each.name,
                "positives": positives,
                "negatives": len(of_one) - positives,
                "prevalence": positives / len(of_one) if prevalence is None else prevalence,
                "start": int(np.flatnonzero(thresholds == used)[0]),
                "thresholds": thresholds.tolist(),
                "tp": _at_or_above(scores[of_one == 1], thresholds),
                "fp": _at_or_above(scores[of_one != 1], thresholds),
                "histogram": _histogram(scores, of_one == 1),
            }
        )
        if len(outcomes) == _MOST_OUTCOMES:
            break
    return {"n": len(given[0].y), "outcomes": outcomes} if outcomes else None


def _thresholds(scores: np.ndarray, used: float) -> np.ndarray:
    """Every distinct prediction, or as many of them as fit beside a grid of hundredths."""
    distinct = np.unique(scores.astype(float))
    if len(distinct) > _MOST - 3:
        grid = np.arange(1, 100) / 100
        ranks = np.linspace(0, len(distinct) - 1, _MOST - 3 - len(grid)).round().astype(int)
        distinct = np.union1d(distinct[ranks], grid)
    return np.union1d(distinct, [0.0, used, 1.0])


def _at_or_above(scores: np.ndarray, thresholds: np.ndarray) -> list[int]:
    ordered = np.sort(scores.astype(float))
    return (len(ordered) - np.searchsorted(ordered, thresholds, side="left")).tolist()


def _histogram(scores: np.ndarray, positive: np.ndarray) -> dict[str, Any]:
    edges = np.linspace(0, 1, _BINS + 1)
    yes, no = (np.histogram(scores[rows], edges)[0] for rows in (positive, ~positive))
    # Shares of each class, so that a rare one can be seen; the tallest bar is 1.
    shares = [counts / counts.sum() for counts in (yes, no)]
    tallest = max(float(each.max()) for each in shares)
    up, down = ((each / tallest).round(4).tolist() for each in shares)
    return {"positives": up, "negatives": down}

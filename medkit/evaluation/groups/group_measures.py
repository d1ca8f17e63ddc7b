"""What is measured of a group of patients, to compare it with another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from medkit.tasks.scores.ranking import Ranking


@dataclass(frozen=True)
class GroupMeasure:
    """One number of a group of patients.

    Args:
        gap: Name of its gap.
        of: (B, k) weights of the group's rows, and those rows -> (B,).
        needed: Name -> which rows it needs subjects among, (n,) each.
        is_proportion: Whether Wilson's interval applies, to the rows of ``needed``.
    """

    gap: str
    of: Callable[[np.ndarray, np.ndarray], np.ndarray]
    needed: dict[str, np.ndarray]
    is_proportion: bool


def rates(truth: np.ndarray, predicted: np.ndarray, score: np.ndarray) -> list[GroupMeasure]:
    """Of a yes/no question.

    Args:
        truth: (n,) whether it is yes.
        predicted: (n,) whether yes is predicted.
        score: (n,) its probability.
    """

    def share(of: np.ndarray, among: np.ndarray) -> Callable[..., np.ndarray]:
        def measure(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
            members = among[rows].astype(float)
            return (weights @ (members * of[rows])) / (weights @ members)

        return measure

    def auroc(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return Ranking(truth[rows], score[rows]).areas(weights)[0]

    positive, negative, alarm = {"positive": truth}, {"negative": ~truth}, {"flagged": predicted}
    every = np.ones(len(truth), bool)
    return [
        GroupMeasure("equal_opportunity", share(predicted, truth), positive, True),
        GroupMeasure("false_positive_rate", share(predicted, ~truth), negative, True),
        GroupMeasure("predictive_parity", share(truth, predicted), alarm, True),
        GroupMeasure("demographic_parity", share(predicted, every), {"": every}, True),
        GroupMeasure("discrimination", auroc, positive | negative, False),
    ]


def forecast_errors(y: np.ndarray, p: np.ndarray) -> list[GroupMeasure]:
    """Of the values (n, steps) of one channel, NaN where not measured."""
    error = np.nan_to_num(p - y.astype(np.float64))
    count = (~np.isnan(y)).sum(axis=1).astype(float)

    def mean(of: np.ndarray) -> Callable[..., np.ndarray]:
        return lambda weights, rows: weights @ of[rows] / (weights @ count[rows])

    measured = {"measured": count > 0}
    return [
        GroupMeasure("mean_absolute_error", mean(np.abs(error).sum(axis=1)), measured, False),
        GroupMeasure("bias", mean(error.sum(axis=1)), measured, False),
    ]


def errors(y: np.ndarray, p: np.ndarray) -> list[GroupMeasure]:
    """Of numbers (n,) measured and predicted."""

    def mean(of: np.ndarray) -> Callable[..., np.ndarray]:
        return lambda weights, rows: weights @ of[rows] / weights.sum(axis=1)

    error, every = p - y.astype(np.float64), {"": np.ones(len(y), bool)}
    return [
        GroupMeasure("mean_absolute_error", mean(np.abs(error)), every, False),
        GroupMeasure("bias", mean(error), every, False),
    ]

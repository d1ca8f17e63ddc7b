"""What is measured of a group of patients, to compare it with another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from medkit.tasks.scores.courses import channels_of
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


def outcomes(
    task: Any, y: np.ndarray, p: np.ndarray, threshold: Any
) -> Iterator[tuple[str | None, list[GroupMeasure]]]:
    """What is measured of each output (name None if there is only the one)."""
    columns = y.reshape(len(y), -1)
    if task.kind == "regression":
        names = task.names_ or tuple(str(i) for i in range(columns.shape[1]))
        for index, name in enumerate(names):
            yield str(name), _errors(columns[:, index], p[:, index])
    elif task.kind == "forecasting":
        for name, values in channels_of(task.names_).items():
            ahead = p.reshape(*columns.shape, -1)[:, values, task.point]
            yield name, _forecast_errors(columns[:, values], ahead)
    elif task.kind == "multiclass":
        chosen = p.argmax(axis=1)
        for index, name in enumerate(task.classes_):
            yield str(name), _rates(columns[:, 0] == index, chosen == index, p[:, index])
    else:
        labels = task.labels_ if task.kind == "multilabel" else [None]
        given = threshold if isinstance(threshold, list) else [threshold] * len(labels)
        for index, (label, at) in enumerate(zip(labels, given, strict=True)):
            predicted = p[:, index] >= (0.5 if at is None else at)
            yield label, _rates(columns[:, index] == 1, predicted, p[:, index])


def _rates(truth: np.ndarray, predicted: np.ndarray, score: np.ndarray) -> list[GroupMeasure]:
    def share(of: np.ndarray, among: np.ndarray) -> Callable[..., np.ndarray]:
        def measure(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
            counted = among[rows].astype(float)
            return (weights @ (counted * of[rows])) / (weights @ counted)

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


def _forecast_errors(y: np.ndarray, p: np.ndarray) -> list[GroupMeasure]:
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


def _errors(y: np.ndarray, p: np.ndarray) -> list[GroupMeasure]:
    def mean(of: np.ndarray) -> Callable[..., np.ndarray]:
        return lambda weights, rows: weights @ of[rows] / weights.sum(axis=1)

    error, every = p - y.astype(np.float64), {"": np.ones(len(y), bool)}
    return [
        GroupMeasure("mean_absolute_error", mean(np.abs(error)), every, False),
        GroupMeasure("bias", mean(error), every, False),
    ]

"""Weights per row, so that rare classes count as much as common ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from medkit.core.errors import TrainingError, did_you_mean
from medkit.tasks.task import Task


def class_weights(asked: Any, task: Task, y: np.ndarray | None) -> dict[int, float] | None:
    """Class index -> weight.

    Args:
        asked: ``balanced``, a mapping from class to weight, or None.
        task: The fitted task.
        y: Encoded training targets; None where a stream holds them.

    Raises:
        TrainingError: The task has no classes, a class is unknown, or balance cannot be computed.
    """
    if asked is None:
        return None
    place = "training.class_weight"
    if not task.one_class_each:
        raise TrainingError(
            f"task '{task.kind}' has no mutually exclusive classes to weight",
            place=place,
            hint="Remove class_weight.",
        )
    if asked == "balanced":
        if y is None:
            raise TrainingError(
                "'balanced' needs the targets as an array, not inside a stream",
                place=place,
                hint="Give the weights by name: {class: weight}.",
            )
        return {int(each): float(w) for each, w in task.class_weights(y).items()}
    names = [str(each) for each in getattr(task, "classes_", (0, 1))]
    found = dict.fromkeys(range(len(names)), 1.0)
    for name, weight in asked.items():
        if str(name) not in names:
            near = did_you_mean(str(name), names) or f"; classes: {', '.join(names)}"
            raise TrainingError(f"no class '{name}'{near}", place=place)
        found[names.index(str(name))] = float(weight)
    return found


def row_weights(weights: dict[int, float], y: np.ndarray) -> np.ndarray:
    """(n,) float32: the weight of each row's class."""
    indices = np.asarray(y).reshape(len(y), -1)[:, 0].astype(int)
    table = np.ones(max(*weights, int(indices.max())) + 1, "float32")
    table[list(weights)] = list(weights.values())
    return table[indices]

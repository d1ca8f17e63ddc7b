"""Which of a network's outputs is explained."""

from __future__ import annotations

import numpy as np

from medkit.core.errors import DataError, did_you_mean
from medkit.tasks.task import Task


def not_explained(task: Task) -> str:
    """Why an answer that is not one per sample has no explanation."""
    given = f"task '{task.kind}' gives one answer per {task.answers}"
    return f"{given}, and only one per sample is explained"


def explained_outputs(task: Task, outputs: np.ndarray, wanted: str | None) -> np.ndarray:
    """(n,) position of the output to explain for each row.

    Args:
        task: The fitted task.
        outputs: (n, outputs) of the network.
        wanted: Name of the output; None for the most probable class of each row, or the first.

    Raises:
        DataError: No output of that name.
    """
    names = task.output_names
    if wanted is None:
        point = getattr(task, "point", 0)  # of a forecast, where its quantiles come first
        return outputs.argmax(axis=1) if task.probabilities else np.full(len(outputs), point)
    if wanted not in names:
        known = ", ".join(names[:20]) + (" …" if len(names) > 20 else "")
        raise DataError(
            f"the network has no output '{wanted}'{did_you_mean(wanted, names)}",
            hint=f"It has: {known}.",
        )
    return np.full(len(outputs), names.index(wanted))

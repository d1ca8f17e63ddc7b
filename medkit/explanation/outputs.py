"""What a network's outputs are called, and which of them is explained."""

from __future__ import annotations

from typing import Any

import numpy as np

from medkit.core.errors import DataError, did_you_mean


def output_names(task: Any) -> list[str]:
    """A name for each output: the positive class, the classes, the labels or the targets."""
    if task.kind == "binary":
        return [str(task.classes_[1])]
    if task.kind == "forecasting":
        return list(task.output_names)
    for learned in ("classes_", "labels_", "names_"):
        found = getattr(task, learned, None)
        if found and len(found) == task.num_outputs:
            return [str(each) for each in found]
    if task.num_outputs == 1:
        return ["value"]
    return [f"output {i + 1}" for i in range(task.num_outputs)]


def explained_outputs(task: Any, outputs: np.ndarray, wanted: str | None) -> np.ndarray:
    """(n,) position of the output to explain for each row.

    Args:
        task: The fitted task.
        outputs: (n, outputs) of the network.
        wanted: Name of the output; None for the most probable class of each row, or the first.

    Raises:
        DataError: No output of that name.
    """
    names = output_names(task)
    if wanted is None:
        likeliest = task.kind in ("multiclass", "multilabel")
        point = getattr(task, "point", 0)  # of a forecast, where its quantiles come first
        return outputs.argmax(axis=1) if likeliest else np.full(len(outputs), point)
    if wanted not in names:
        known = ", ".join(names[:20]) + (" …" if len(names) > 20 else "")
        raise DataError(
            f"the network has no output '{wanted}'{did_you_mean(wanted, names)}",
            hint=f"It has: {known}.",
        )
    return np.full(len(outputs), names.index(wanted))

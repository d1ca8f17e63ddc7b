"""What several networks, or one alone, say of each row: entropy, and how far they are apart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from medkit.evaluation.methods import methods_for
from medkit.tasks.task import Task

_SAME = 1e-9  # a spread this small is rounding


def spread_of(task: Task, outputs: Iterable[np.ndarray]) -> dict[str, Any]:
    """What several networks, or passes, say of each row, taking one array at a time.

    Args:
        task: The fitted task.
        outputs: (n, outputs) arrays.

    Returns:
        ``{"count": M, "rows": {measure: (n,) or, for the standard deviation, (n, outputs)}}``,
        and ``not_estimable`` with a reason where they tell nothing of a spread.
    """
    methods = methods_for(task)
    count, largest = 0, 0.0
    first = mean = squares = total = entropies = np.zeros(0)
    for each in outputs:
        each = np.asarray(each, float)
        if count == 0:
            first, mean, squares, total = each, *(np.zeros_like(each) for _ in range(3))
        count += 1
        largest = max(largest, _furthest(each, first) / (_size(first) if methods.deviates else 1))
        if methods.deviates:  # as the arrays come: Welford, Technometrics 4, 1962
            change = each - mean
            mean = mean + change / count
            squares = squares + change * (each - mean)
        else:
            total, entropies = total + each, methods.entropy(each) + (entropies if count > 1 else 0)
    rows: dict[str, np.ndarray] = {}
    if count and methods.deviates:
        rows["standard_deviation"] = np.sqrt(squares / max(count - 1, 1))
    elif count:
        predictive, expected = methods.entropy(total / count), entropies / count
        rows = {"predictive_entropy": predictive, "expected_entropy": expected}
        # Entropy is concave: the difference is negative by rounding only.
        rows["mutual_information"] = np.maximum(predictive - expected, 0.0)
    found: dict[str, Any] = {"count": count, "rows": rows}
    if count < 2:
        found["not_estimable"] = f"a spread takes two or more networks or passes; there is {count}"
    elif largest < _SAME:
        found["not_estimable"] = (
            f"all {count} gave the same outputs; passes do where the model has no dropout"
        )
    return found


def _size(first: np.ndarray) -> float:
    """The largest of the first outputs, which the others are compared with."""
    return float(np.abs(first).max(initial=0.0, where=np.isfinite(first))) or 1.0


def _furthest(each: np.ndarray, first: np.ndarray) -> float:
    apart = np.abs(each - first)
    return float(apart.max(initial=0.0, where=np.isfinite(apart)))

"""What several networks, or one alone, say of each row: entropy, and how far they are apart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from medkit.evaluation.methods import Methods, methods_for
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
    if methods.deviates:
        count, rows, largest = _deviations(outputs)
    else:
        count, rows, largest = _entropies(methods, outputs)
    found: dict[str, Any] = {"count": count, "rows": rows}
    if count < 2:
        found["not_estimable"] = f"a spread takes two or more networks or passes; there is {count}"
    elif largest < _SAME:
        found["not_estimable"] = (
            f"all {count} gave the same outputs; passes do where the model has no dropout"
        )
    return found


def _entropies(
    methods: Methods, outputs: Iterable[np.ndarray]
) -> tuple[int, dict[str, np.ndarray], float]:
    count, largest = 0, 0.0
    first = total = entropies = np.zeros(0)
    for each in outputs:
        each = np.asarray(each, float)
        if count == 0:
            first, total, entropies = each, np.zeros_like(each), np.zeros(len(each))
        largest = max(largest, _furthest(each, first))
        total, entropies, count = total + each, entropies + methods.entropy(each), count + 1
    if count == 0:
        return 0, {}, 0.0
    predictive, expected = methods.entropy(total / count), entropies / count
    # Entropy is concave: the difference is negative by rounding only.
    mutual = np.maximum(predictive - expected, 0.0)
    rows = {"predictive_entropy": predictive, "expected_entropy": expected}
    return count, {**rows, "mutual_information": mutual}, largest


def _deviations(outputs: Iterable[np.ndarray]) -> tuple[int, dict[str, np.ndarray], float]:
    """Standard deviation (divisor M - 1) as the arrays come (Welford, Technometrics 4, 1962)."""
    count, largest = 0, 0.0
    first = mean = squares = np.zeros(0)
    for each in outputs:
        each = np.asarray(each, float)
        if count == 0:
            first, mean, squares = each, np.zeros_like(each), np.zeros_like(each)
        count += 1
        scale = float(np.abs(first).max(initial=0.0, where=np.isfinite(first))) or 1.0
        largest = max(largest, _furthest(each, first) / scale)
        change = each - mean
        mean = mean + change / count
        squares = squares + change * (each - mean)
    deviation = np.sqrt(squares / max(count - 1, 1))
    return count, {"standard_deviation": deviation} if count else {}, largest


def _furthest(each: np.ndarray, first: np.ndarray) -> float:
    apart = np.abs(each - first)
    return float(apart.max(initial=0.0, where=np.isfinite(apart)))

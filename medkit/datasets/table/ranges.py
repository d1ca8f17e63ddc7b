"""Values outside a variable's plausible range: taken as missing, clipped or kept, and counted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from medkit.core.errors import DataError
from medkit.core.values import Outside, bounded

Ranges = Mapping[str, tuple[float, float]]

_DONE: Mapping[str, str] = {
    "missing": "taken as missing", "clip": "set to the range's end", "keep": "kept",
    "fail": "refused",
}  # fmt: skip


def within(
    values: np.ndarray,
    bounds: tuple[float | None, float | None],
    outside: Outside,
    name: str | None = None,
) -> tuple[np.ndarray, int]:
    """Values as ``outside`` wants them, and how many were outside.

    Args:
        values: float64 (n,), NaN where missing.
        bounds: Lowest and highest plausible value, inclusive, in the values' unit.
        outside: What becomes of the others: NaN (missing), the nearest bound (clip),
            nothing (keep), or an error (fail).
        name: The variable, for that error.

    Raises:
        DataError: Values are outside and ``outside`` is fail.
    """
    try:
        values, wrong = bounded(values, *bounds, outside)
    except DataError as error:
        raise DataError(error.message, place=name, hint=error.hint) from None
    return values, int(wrong.sum())


def note_of(counts: Mapping[str, int], outside: Outside) -> tuple[str, ...]:
    """``('values outside their plausible range, taken as missing: 3 pH, 1 Temp',)`` or ``()``."""
    found = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return (f"values outside their plausible range, {_DONE[outside]}: {found}",) if found else ()

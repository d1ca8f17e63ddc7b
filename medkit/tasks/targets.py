"""Targets as read, checked: what is missing, which classes occur, what is not a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from medkit.core.errors import DataError
from medkit.core.lazy import pd

# A column with more classes than this and than half its rows is no class but an identifier or
# a measurement; its values are then kept out of messages.
_MANY = 50


def one_column(targets: Any) -> np.ndarray:
    """(n,) of (n,) or (n, 1) targets.

    Raises:
        DataError: There are more columns, or no rows.
    """
    array = np.asarray(targets)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(
            f"the targets have shape {array.shape}; one column was expected",
            hint="For several yes/no columns use task: multilabel; for numbers, regression.",
        )
    if len(array) == 0:
        raise DataError("there are no targets (0 rows)")
    return array


def missing(array: np.ndarray) -> np.ndarray:
    """Where a value is None or not a number, same shape as ``array``."""
    return np.asarray(pd.isna(array))


def refuse(wrong: np.ndarray, what: str, hint: str, *, column: str | None = None) -> None:
    """Raise a DataError if any row is wrong, with the count and the first row (1-based)."""
    rows = np.flatnonzero(wrong)
    if len(rows):
        one = len(rows) == 1
        raise DataError(
            f"{len(rows)} target{'' if one else 's'} {'is' if one else 'are'} {what} "
            f"(first at row {rows[0] + 1})",
            place=f"target '{column}'" if column else None,
            hint=hint,
        )


def labels(targets: Any) -> list[Any]:
    """The targets as plain Python values, whole floats as int, so that 1, 1.0 and True agree.

    Raises:
        DataError: Several columns, missing or infinite values.
    """
    array = one_column(targets)
    refuse(missing(array), "missing", "Drop those rows, or fill the target column.")
    values = array.tolist()
    infinite = [isinstance(v, float) and abs(v) == float("inf") for v in values]
    refuse(np.array(infinite), "infinite", "Drop those rows, or correct the target column.")
    return [int(v) if isinstance(v, float) and v.is_integer() else v for v in values]


def classes_of(values: Sequence[Any]) -> list[Any]:
    """The distinct values, sorted; numbers before text where both occur.

    Raises:
        DataError: Only one class.
    """
    found = sorted(set(values), key=_numbers_first)
    if len(found) == 1:
        raise DataError(
            f"the training targets hold one class only: {found[0]!r} ({len(values)} rows)",
            hint="Check the target column, and that the split leaves both classes in train.",
        )
    return found


def _numbers_first(value: Any) -> tuple[bool, Any]:
    number = isinstance(value, int | float)
    return (not number, value if number else str(value))


def many(classes: Sequence[Any], rows: int) -> bool:
    """Whether there are too many classes for a class column."""
    return len(classes) > max(_MANY, rows / 2)


def shown(classes: Sequence[Any], most: int = 5) -> str:
    """The class names for a message, at most five."""
    text = ", ".join(repr(each) for each in classes[:most])
    return f"{text}, …" if len(classes) > most else text


def numbered(values: Sequence[Any], classes: Sequence[Any]) -> np.ndarray:
    """(n,) int32 position of each value in ``classes``.

    Raises:
        DataError: A class that did not occur in the training rows.
    """
    positions = {each: index for index, each in enumerate(classes)}
    unseen = sorted({str(v) for v in values if v not in positions})
    if unseen:
        count = sum(v not in positions for v in values)
        named = f"class{'es' if len(unseen) > 1 else ''} {shown(unseen)}"
        if many(unseen, len(values)):
            named = f"{len(unseen)} classes"
        known = f"Known from training: {shown(classes)}."
        hint = (
            f"{known} Merge rare classes, drop those rows, or split so that every class is in "
            "train."
        )
        if count == len(values):
            hint = (
                f"{known} None of these rows has a known class: the target column or the task may "
                "be another than the run's."
            )
        raise DataError(f"{named} ({count} rows) did not occur in the training rows", hint=hint)
    return np.array([positions[v] for v in values], np.int32)


def numeric_targets(targets: Any, names: Sequence[str] = ()) -> np.ndarray:
    """(n, outputs) float64 of numeric targets.

    Raises:
        DataError: Not numbers, missing or infinite, with column, count and first row.
    """
    array = np.asarray(targets)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or not array.size:
        raise DataError(
            f"the targets have shape {array.shape}; expected (rows,) or (rows, outputs)"
        )
    columns = []
    for index in range(array.shape[1]):
        column, name = array[:, index], names[index] if index < len(names) else None
        refuse(missing(column), "missing", "Drop those rows, or fill the column.", column=name)
        parsed = [_number(value) for value in column.tolist()]
        refuse(
            np.array([value is None for value in parsed]),
            "not a number" if sum(v is None for v in parsed) == 1 else "not numbers",
            "Regression needs numbers. For classes use task: binary or multiclass.",
            column=name,
        )
        values = np.array(parsed, np.float64)
        refuse(~np.isfinite(values), "infinite", "Drop or fix those rows.", column=name)
        columns.append(values)
    return np.stack(columns, axis=1)


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return float(value)
    try:
        return float(value) if not isinstance(value, str) else None
    except (TypeError, ValueError):
        return None

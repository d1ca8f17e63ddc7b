"""Single values, read the same way from a file and from what a user passes to a model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from medkit.core.errors import DataError
from medkit.core.lazy import pd

Outside = Literal["missing", "clip", "keep", "fail"]

# Texts that mean 'missing' everywhere. 'None' is not among them: it is also an answer.
BLANK = ("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null")

_TRUTH = {"True", "TRUE", "true", "False", "FALSE", "false"}


def category_key(value: Any) -> str:
    """The text of a category: 1 and 1.0 are one, ``True`` and ``TRUE`` too; texts else stay.

    A code given as text is never changed but for white space around it: ``038``, ``250.0`` and
    ``250.00`` are three categories.
    """
    if isinstance(value, str):
        text = value.strip()
        return text.capitalize() if text in _TRUTH else text
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def factorize(column: pd.Series) -> tuple[np.ndarray, list[Any]]:
    """Positions (n,) in a list of different values, -1 where missing; and that list.

    Unlike in pandas, 1, ``1`` and True in one column stay apart, whichever row is first.
    """
    mixed = column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) != "string"
    if not mixed:
        codes, found = pd.factorize(column)
        return codes, list(found)
    pairs = column.map(lambda value: (type(value).__name__, value), na_action="ignore")
    codes, found = pd.factorize(pairs)
    return codes, [value for _, value in found]


def is_sentinel(values: pd.Series, sentinels: Sequence[Any]) -> pd.Series:
    """Which values equal one of the sentinels, as text or as number."""
    if not sentinels:
        return pd.Series(False, index=values.index)
    texts = {str(each).strip() for each in sentinels}
    numbers = pd.to_numeric(pd.Series(sorted(texts)), errors="coerce").dropna().tolist()
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        return values.isin(numbers)
    found = values.astype("str").str.strip().isin(texts) & values.notna()
    if numbers:
        found |= pd.to_numeric(values, errors="coerce").isin(numbers)
    return found


def bounded(
    values: np.ndarray,
    low: float | None,
    high: float | None,
    outside: Outside,
    place: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Values treated as ``outside`` says, and which of them were outside.

    Args:
        values: Numbers, NaN where missing. Infinite ones are left to be refused.
        low, high: Lowest and highest plausible value, inclusive, in the values' unit.
        outside: What becomes of the others: NaN (missing), the nearest bound (clip),
            nothing (keep), or an error (fail).
        place: Which values these are, for that error.

    Raises:
        DataError: Values are outside and ``outside`` is fail.
    """
    wrong = np.zeros(values.shape, dtype=bool)
    # In the type of the values: 0.1 as float32 is not above a highest value of 0.1.
    if low is not None:
        wrong |= values < values.dtype.type(low)
    if high is not None:
        wrong |= values > values.dtype.type(high)
    wrong &= np.isfinite(values)
    if outside == "fail" and wrong.any():
        raise DataError(
            f"{int(wrong.sum())} values lie outside the plausible range "
            f"{'' if low is None else f'{low:g}'} to {'' if high is None else f'{high:g}'} "
            f"(first in row {int(np.argwhere(wrong)[0][0]) + 1})",
            place=place,
            hint="Correct them, or choose outside: missing, clip or keep.",
        )
    if outside == "missing":
        values = np.where(wrong, values.dtype.type(np.nan), values)
    elif outside == "clip":
        values = np.where(wrong, np.clip(values, low, high), values)
    return values, wrong


def without_decimal_comma(texts: pd.Series) -> pd.Series:
    """Texts with ``1,5`` written ``1.5``; all others as they are."""
    return texts.astype("str").str.strip().str.replace(
        DECIMAL_COMMA, r"\1.\2", regex=True
    ).where(texts.notna())  # fmt: skip


DECIMAL_COMMA = re.compile(r"^([+-]?\d+),(\d+)$")

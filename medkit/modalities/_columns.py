"""One column of a table -> float32 numbers or category keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from medkit.cohort import Feature
from medkit.errors import DataError
from medkit.lazy import pd

if TYPE_CHECKING:
    import pandas


def infer_features(frame: pandas.DataFrame) -> tuple[Feature, ...]:
    """Features of a frame without any said: numbers and booleans are numeric, the rest not."""
    return tuple(
        Feature(str(name), "numeric" if pd.api.types.is_numeric_dtype(column) else "categorical")
        for name, column in frame.items()
    )


def numbers(name: str, column: pandas.Series) -> np.ndarray:
    """A numeric column as float32 (n,), NaN where missing or blank.

    Raises:
        DataError: It holds text, dates or infinite values; rows are counted from 1.
    """
    if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column):
        raise DataError(
            f"column '{name}' holds dates where numbers are due",
            hint="Derive a number from it (an age in years, hours since admission).",
        )
    given = column.notna().to_numpy()
    if not pd.api.types.is_numeric_dtype(column):
        text = column.map(_without_booleans).astype("str").str.strip()
        given = given & (text != "").to_numpy()
        column = pd.to_numeric(text, errors="coerce")
    values = column.to_numpy(dtype="float64", na_value=np.nan)
    refused = np.flatnonzero(given & np.isnan(values))
    if len(refused):
        raise DataError(
            f"column '{name}' holds text where numbers are due: {len(refused)} "
            f"value{'s' * (len(refused) > 1)}, first in row {refused[0] + 1}",
            hint="Declare it categorical, name the text as a sentinel for missing, or mend it.",
        )
    with np.errstate(over="ignore"):
        values = values.astype("float32")
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        raise DataError(
            f"column '{name}' holds {len(infinite)} infinite "
            f"value{'s' * (len(infinite) > 1)}, first in row {infinite[0] + 1}",
            hint="Replace them by numbers, or leave them empty for missing.",
        )
    return values


def category_codes(column: pandas.Series) -> tuple[np.ndarray, list[str]]:
    """Positions (n,) in a list of category keys, -1 where missing or blank; and that list.

    1, 1.0 and "1" are one category: a gap turns a column of whole numbers into floats.
    """
    codes, found = pd.factorize(column)
    keys = [_key(value) for value in found]
    distinct = [key for key in dict.fromkeys(keys) if key]
    position = {key: i for i, key in enumerate(distinct)}
    table = np.array([*(position.get(key, -1) for key in keys), -1], dtype="int64")
    return table[codes], distinct


def _without_booleans(value: Any) -> Any:
    return int(value) if isinstance(value, bool | np.bool_) else value


def _key(value: Any) -> str:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()

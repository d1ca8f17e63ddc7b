"""One column of a table -> float32 numbers or category keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Any

import numpy as np

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.core.values import BLANK, bounded, category_key, factorize, is_sentinel
from medkit.data.cohort import Feature

if TYPE_CHECKING:
    import pandas


def infer_features(frame: pandas.DataFrame) -> tuple[Feature, ...]:
    """Features of a frame without any said: numbers and booleans are numeric, the rest not."""
    return tuple(
        Feature(str(name), "numeric" if pd.api.types.is_numeric_dtype(column) else "categorical")
        for name, column in frame.items()
    )


def numeric_values(name: str, column: pandas.Series) -> np.ndarray:
    """A numeric column as float32 (n,), NaN where missing or blank.

    Raises:
        DataError: It holds text, dates or infinite values; rows are counted from 1.
    """
    if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column):
        raise DataError(
            f"column '{name}' holds dates where numbers are expected",
            hint="Derive a number from it (an age in years, hours since admission).",
        )
    given = column.notna().to_numpy()
    if not pd.api.types.is_numeric_dtype(column):
        text = column.map(_without_booleans).astype("str").str.strip()
        given = given & ~text.isin((*BLANK, "None")).to_numpy()
        column = pd.to_numeric(text, errors="coerce")
    values = column.to_numpy(dtype="float64", na_value=np.nan)
    refused = np.flatnonzero(given & np.isnan(values))
    if len(refused):
        raise DataError(
            f"column '{name}' holds text where numbers are expected: {len(refused)} "
            f"value{'s' * (len(refused) > 1)}, first in row {refused[0] + 1}",
            hint="Declare it categorical, name the text as a sentinel for missing, or correct it.",
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


def clean(column: pandas.Series, feature: Feature) -> pandas.Series:
    """A column without the feature's sentinels, and within its range."""
    column = column.mask(is_sentinel(column, feature.missing_values))
    if feature.kind == "categorical" or (feature.low is None and feature.high is None):
        return column
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype="float64", na_value=np.nan)
    values, wrong = bounded(values, feature.low, feature.high, feature.outside)
    if not wrong.any():
        return column
    # Texts stay as they are, to be refused with their row.
    return column.astype(object).mask(wrong, pd.Series(values, column.index, dtype=object))


def category_codes(
    column: pandas.Series, key_of: Callable[[Any], str] = category_key
) -> tuple[np.ndarray, list[str]]:
    """Positions (n,) in a list of category keys, -1 where missing or blank; and that list."""
    codes, found = factorize(column)
    keys = [key_of(value) for value in found]
    distinct = [key for key in dict.fromkeys(keys) if key]
    position = {key: i for i, key in enumerate(distinct)}
    table = np.array([*(position.get(key, -1) for key in keys), -1], dtype="int64")
    return table[codes], distinct


def whole_numbers(keys: list[str]) -> bool:
    """Whether all keys are whole numbers, some perhaps written ``1.0``, and none written twice.

    A gap turns a file's column of whole numbers into ``1.0``; codes like ``038`` or ``250.00``
    are no numbers.
    """
    plain = [_INTEGER.match(key) for key in keys]
    return all(plain) and len({found[1] for found in plain if found}) == len(keys)


def number_spellings(keys: list[str], kept: list[str]) -> dict[str, str]:
    """Number -> the only category whose text means it: a frame may hold 38 where 038 is meant."""
    meant: dict[str, list[str]] = {}
    for key in keys:
        try:
            number = float(key)
        except ValueError:
            continue
        if np.isfinite(number):
            meant.setdefault(category_key(number), []).append(key)
    return {
        number: found[0]
        for number, found in meant.items()
        if len(found) == 1 and found[0] in kept and found[0] != number
    }


def known_key(
    value: Any, categories: Container[str], whole: bool, spellings: dict[str, str]
) -> str:
    """The key of a value under what training found the column to hold; "" if missing.

    It depends on the value alone, never on what else is in the column.
    """
    key = category_key(value)
    if key in categories:
        return key
    if whole and (found := _INTEGER.match(key)):
        return found[1]
    if not isinstance(value, str | bool | np.bool_):
        return spellings.get(key, key)
    return "" if key in BLANK else key


_INTEGER = re.compile(r"^(-?(?:0|[1-9]\d*))(?:\.0)?$")


def _without_booleans(value: Any) -> Any:
    return int(value) if isinstance(value, bool | np.bool_) else value

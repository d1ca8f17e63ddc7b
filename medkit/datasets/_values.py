"""Values of a column as numbers, categories, ids or times, and what stands for 'missing'."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medkit.errors import DataError
from medkit.lazy import pd

Sentinels = Mapping[str, Sequence[Any]]


def as_identifier(values: pd.Series) -> pd.Series:
    """Ids as text, so that 7, 7.0 and '7' are one patient in every file; missing as None."""
    return as_category(values)


def as_category(values: pd.Series) -> pd.Series:
    """Categories as stripped text (object dtype), 1 and 1.0 alike; missing as None."""
    codes, levels = pd.factorize(values)
    names = [_text_of(level) for level in levels]
    taken = np.array([*(name or None for name in names), None], dtype=object)
    return pd.Series(taken[codes], index=values.index, name=values.name, dtype=object)


def _text_of(level: Any) -> str:
    if isinstance(level, (float, np.floating)) and float(level).is_integer():
        return str(int(level))
    text = str(level).strip()
    return text.split(".")[0] if re.fullmatch(r"-?\d+\.0+", text) else text


def as_time(values: pd.Series, path: Path) -> pd.Series:
    """Times as numbers where the column is numeric, else as timestamps.

    Raises:
        DataError: A text that is no date; the row is named.
    """
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_datetime64_any_dtype(values):
        return values
    times = values
    for form in ("ISO8601", "mixed"):
        # utc: texts with different offsets would otherwise be refused.
        times = pd.to_datetime(values, errors="coerce", format=form, utc=True).dt.tz_localize(None)
        if times.notna().equals(values.notna()):
            break
    wrong = values.index[values.notna() & times.isna()]
    if len(wrong):
        raise DataError(
            f"column '{values.name}' holds {len(wrong)} texts that are no date "
            f"(first at row {wrong[0]})",
            place=str(path),
            hint="Write times as 2024-05-31 or 2024-05-31 14:30, or as numbers.",
        )
    return times


def without_sentinels(frame: pd.DataFrame, sentinels: Sentinels | None) -> pd.DataFrame:
    """The frame with the stand-ins for 'missing' (``?``, -1) emptied, column by column.

    A text column that holds only numbers once they are gone becomes numeric.
    """
    if not sentinels:
        return frame
    everywhere = tuple(sentinels.get("*", ()))
    columns = {}
    for name in frame.columns:
        column = frame[name]
        found = is_sentinel(column, (*everywhere, *sentinels.get(str(name), ())))
        if found.any():
            column = column.mask(found)
            numbers = pd.to_numeric(column, errors="coerce")
            column = numbers if numbers.notna().equals(column.notna()) else column
        columns[name] = column
    return pd.DataFrame(columns, index=frame.index)


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


def is_text(values: pd.Series) -> bool:
    """Whether a column holds text, truth values or categories rather than numbers or dates."""
    types = pd.api.types
    if types.is_datetime64_any_dtype(values) or types.is_timedelta64_dtype(values):
        return False
    return types.is_bool_dtype(values) or not types.is_numeric_dtype(values)


def as_numbers(values: pd.Series, path: Path) -> pd.Series:
    """A column as float64.

    Raises:
        DataError: It holds text; the row of the first is named, and a remedy.
    """
    if not is_text(values) or pd.api.types.is_bool_dtype(values):
        return values.astype("float64")
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    wrong = values.notna() & numbers.isna()
    if wrong.any():
        raise DataError(
            f"column '{values.name}' has text where numbers are due: {describe_texts(values)}",
            place=str(path),
            hint=f"If they mean 'missing': missing_values: {suggest_missing(values)}. "
            f"If the column holds categories: categorical: [{values.name}].",
        )
    return numbers


def share_of_numbers(values: pd.Series) -> float:
    """The share of the present values of a text column that read as numbers."""
    present = values.dropna()
    if not len(present) or pd.api.types.is_bool_dtype(values):
        return 0.0
    truths = present.map(lambda value: isinstance(value, (bool, np.bool_))).astype(bool)
    return float((pd.to_numeric(present, errors="coerce").notna() & ~truths).mean())


def describe_texts(values: pd.Series) -> str:
    """``3 of 97 values, first at row 5`` for the values that are no numbers."""
    wrong = values.index[values.notna() & pd.to_numeric(values, errors="coerce").isna()]
    return f"{len(wrong)} of {int(values.notna().sum())} values, first at row {wrong[0]}"


def suggest_missing(values: pd.Series) -> str:
    """A ``missing_values`` entry for the texts of a numeric column.

    A text with digits could be an identifier and is not repeated.
    """
    wrong = values[values.notna() & pd.to_numeric(values, errors="coerce").isna()]
    texts = [t for t in wrong.astype("str").unique() if not any(c.isdigit() for c in t)]
    shown = ", ".join(f'"{text[:12]}"' for text in texts[:3]) or "..."
    return f"{{{values.name}: [{shown}]}}"


def check_finite(values: pd.Series, path: Path) -> None:
    """Raise a DataError naming column and row if a numeric column holds an infinite value."""
    infinite = values.index[np.isinf(values.to_numpy())]
    if len(infinite):
        raise DataError(
            f"column '{values.name}' has {len(infinite)} infinite values "
            f"(first at row {infinite[0]})",
            place=str(path),
            hint="Mend them, or leave the cells empty: they then count as missing.",
        )

"""Values of a column as numbers, categories, ids or times, and what stands for 'missing'."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.core.values import (
    BLANK,
    DECIMAL_COMMA,
    category_key,
    factorize,
    is_sentinel,
    without_decimal_comma,
)

Sentinels = Mapping[str, Sequence[Any]]


def as_identifier(values: pd.Series) -> pd.Series:
    """Ids as text, so that 7, 7.0 and '7' are one patient in every file; missing as None."""
    return _named(values, lambda level: _without_zeros(category_key(level)), (*BLANK, "None"))


def _without_zeros(text: str) -> str:
    return text.split(".")[0] if re.fullmatch(r"-?\d+\.0+", text) else text


def as_category(values: pd.Series) -> pd.Series:
    """Categories as text (object dtype) by `category_key`; missing as None."""
    return _named(values, category_key, ("",))


def _named(values: pd.Series, name: Callable[[Any], str], empty: Sequence[str]) -> pd.Series:
    codes, levels = factorize(values)
    names = [name(level) for level in levels]
    taken = np.array([*(None if name in empty else name for name in names), None], dtype=object)
    return pd.Series(taken[codes], index=values.index, name=values.name, dtype=object)


def without_sentinels(
    frame: pd.DataFrame, sentinels: Sentinels | None, text: Iterable[str] = ()
) -> pd.DataFrame:
    """The frame with the stand-ins for 'missing' (``?``, -1) emptied, column by column.

    A text column that holds only numbers once they are gone becomes numeric, unless it is
    among ``text``.
    """
    if not sentinels:
        return frame
    columns = {}
    for name in frame.columns:
        column = frame[name]
        found = is_sentinel(column, sentinels_of(sentinels, str(name)))
        if found.any():
            column = column.mask(found)
            if name not in text:
                column = numbers_if_all(column)
        columns[name] = column
    return pd.DataFrame(columns, index=frame.index)


def refuse_empty(column: pd.Series, name: str | None, place: Path, hint: str | None = None) -> None:
    """Raise a DataError that names the first row where a column is empty."""
    empty = column.isna()
    if empty.any():
        raise DataError(
            f"column '{name}' is empty in {int(empty.sum())} rows (first at row {empty.idxmax()})",
            place=str(place),
            hint=hint,
        )


def sentinels_of(sentinels: Sentinels | None, name: str) -> tuple[Any, ...]:
    """The stand-ins for 'missing' of one column or variable."""
    return (*(sentinels or {}).get("*", ()), *(sentinels or {}).get(name, ()))


def numbers_if_all(values: pd.Series) -> pd.Series:
    """A text column as numbers if all its values are; else as it is.

    ``None`` among numbers is no number that someone wrote: it is missing.
    """
    if not is_text(values) or pd.api.types.is_bool_dtype(values):
        return values
    given = values.notna() & (values.astype("str").str.strip() != "None")
    if share_of_numbers(values) == 0.0:
        return values
    numbers = pd.to_numeric(values, errors="coerce")
    return numbers if numbers.notna().equals(given) else values


def with_dates(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with dates of any kind as timestamps without a time zone (UTC where one was)."""
    changed = {}
    for name in frame.columns:
        column = frame[name]
        zoned = isinstance(column.dtype, pd.DatetimeTZDtype)
        if zoned or (
            column.dtype == object
            and pd.api.types.infer_dtype(column, skipna=True) in ("date", "datetime", "datetime64")
        ):
            changed[name] = pd.to_datetime(column, utc=True).dt.tz_localize(None)
    return frame.assign(**changed) if changed else frame


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
    values = values.mask(values.astype("str").str.strip() == "None")
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    wrong = values.notna() & numbers.isna()
    if wrong.any():
        refuse_decimal_commas(values, path)
        raise mixed_texts(
            values,
            path,
            f"column '{values.name}' has text where numbers are expected",
            f"If the column holds categories: columns.categorical: [{values.name}].",
        )
    return numbers


def refuse_decimal_commas(values: pd.Series, path: Path) -> None:
    """Raise a DataError with a remedy if most texts of a column are like ``12,5``."""
    if share_of_commas(values) >= 0.5:
        raise DataError(
            f"column '{values.name}' holds numbers with a decimal comma",
            place=str(path),
            hint='Give source.decimal: "," or write them with a point. If the '
            f"column holds categories: columns.categorical: [{values.name}].",
        )


def share_of_commas(values: pd.Series) -> float:
    """The share of the present texts that are whole numbers or like ``12,5``, if any is so."""
    if not is_text(values) or pd.api.types.is_bool_dtype(values):
        return 0.0
    texts = values.dropna().astype("str").str.strip()
    commas = texts.str.fullmatch(DECIMAL_COMMA.pattern)
    if not commas.any():
        return 0.0
    return float((commas | texts.str.fullmatch(r"[+-]?\d+")).mean())


def with_points(values: pd.Series) -> pd.Series:
    """A text column with decimal commas as numbers, or as text where others are among them."""
    return numbers_if_all(without_decimal_comma(values))


def share_of_numbers(values: pd.Series) -> float:
    """The share of the present values of a text column that read as numbers."""
    present = values.dropna()
    if not len(present) or pd.api.types.is_bool_dtype(values):
        return 0.0
    numbers = pd.to_numeric(present, errors="coerce").notna()
    if present.dtype == object:
        numbers &= ~present.map(lambda value: isinstance(value, (bool, np.bool_))).astype(bool)
    return float(numbers.mean())


def condensed(values: pd.Series, rows: int = 20_000) -> pd.Series:
    """A short column of the same values: each as often as it is, in about so many rows.

    What shares of a long column's values are, is seen at once in the short one.
    """
    if len(values) <= 2 * rows:
        return values
    counts = values.value_counts(dropna=False)
    if len(counts) > rows:
        counts = counts.iloc[np.linspace(0, len(counts) - 1, rows).astype(int)]
    times = np.ceil(counts.to_numpy() * (rows / counts.sum())).astype(int)
    found = counts.index.to_series(name=values.name).repeat(times)
    return found.reset_index(drop=True).astype(values.dtype)


def mixed_texts(values: pd.Series, path: Path, what: str, otherwise: str) -> DataError:
    """The error for texts among a column's numbers: how many, where, and what they may mean.

    A text with digits could be an identifier and is not repeated.

    Args:
        values: The column.
        path: The file.
        what: The message, to which the texts are added.
        otherwise: The hint for texts that do not mean 'missing'.
    """
    wrong = values[values.notna() & pd.to_numeric(values, errors="coerce").isna()]
    texts = [t for t in wrong.astype("str").unique() if not any(c.isdigit() for c in t)]
    shown = ", ".join(f'"{text[:12]}"' for text in texts[:3]) or "..."
    return DataError(
        f"{what}: {len(wrong)} of {int(values.notna().sum())} values, first at row "
        f"{wrong.index[0]}",
        place=str(path),
        hint=f"If they mean 'missing': values.missing_values: {{{values.name}: [{shown}]}}. "
        f"{otherwise}",
    )


def check_finite(values: pd.Series, path: Path, what: str = "column") -> None:
    """Raise a DataError naming column and row if a numeric column holds an infinite value."""
    infinite = values.index[np.isinf(values.to_numpy())]
    if len(infinite):
        raise DataError(
            f"{what} '{values.name}' has {len(infinite)} infinite values "
            f"(first at row {infinite[0]})",
            place=str(path),
            hint="Correct them, or leave the cells empty: they then count as missing.",
        )

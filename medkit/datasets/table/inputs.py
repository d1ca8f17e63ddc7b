"""Columns of a table as inputs: numbers, categories, and durations to the prediction time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.core.values import Outside, bounded
from medkit.data.cohort import Feature
from medkit.datasets.table.parameters import TableColumns
from medkit.datasets.table.ranges import note_of
from medkit.datasets.table.times import days_before
from medkit.readers.values import (
    as_category,
    as_numbers,
    check_finite,
    is_text,
    mixed_texts,
    refuse_decimal_commas,
    share_of_numbers,
)

_DATES = (
    "Name it as columns.time, under columns.durations (an input in days before the time of "
    "prediction) or under columns.ignore."
)


def input_columns(
    frame: pd.DataFrame,
    numeric: Collection[str],
    categorical: Iterable[str],
    checked: bool,
    path: Path,
) -> pd.DataFrame:
    """Inputs as float64 or text; ``checked``: refuse what cannot have been meant as an input."""
    columns = {}
    for name in frame.columns:
        column = frame[name]
        if name in categorical:
            columns[name] = as_category(column)
        elif name in numeric or not is_text(column):
            _refuse_times(column, path)
            columns[name] = as_numbers(column, path)
            check_finite(columns[name], path)
        else:
            if checked:
                _refuse_doubtful_text(column, path)
            columns[name] = as_category(column)
    return pd.DataFrame(columns, index=frame.index)


def with_durations(
    frame: pd.DataFrame, columns: TableColumns, path: Path
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The frame with columns of dates as days before the time of prediction, and a note.

    Raises:
        DataError: A column holds no dates.
    """
    durations = [name for name in columns.durations if name in frame]
    if not durations:
        return frame, ()
    assert columns.time is not None  # noqa: S101 - checked by TableColumns
    time, changed, late = frame[columns.time], {}, {}
    for name in durations:
        changed[name], late[name] = days_before(frame[name], time, path, columns.time_format)
    found = ", ".join(f"{count} {name}" for name, count in late.items() if count)
    note = f"dates after the time of prediction, taken as missing: {found}"
    return frame.assign(**changed), (note,) if found else ()


def bounded_columns(
    values: pd.DataFrame, described: Mapping[str, Feature]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Inputs within their ranges and declared categories, and notes on what was not.

    Raises:
        DataError: A value lies outside, where its column is to fail then.
    """
    changed: dict[str, pd.Series] = {}
    ranged: dict[Outside, dict[str, int]] = {}
    undeclared: dict[str, dict[str, int]] = {}
    for name in values.columns:
        column, each = values[name], described[name]
        if column.dtype == object and each.categories:
            strange = column.notna() & ~column.isin(each.categories)
            _fail_if(strange, each)
            kept = each.outside == "keep"
            undeclared.setdefault("kept" if kept else "taken as missing", {})[name] = strange.sum()
            if not kept:
                changed[name] = column.mask(strange, None)
        elif column.dtype != object and (each.low, each.high) != (None, None):
            place = f"column '{name}'"
            numbers, wrong = bounded(column.to_numpy(), each.low, each.high, each.outside, place)
            changed[name] = pd.Series(numbers, index=values.index)
            ranged.setdefault(each.outside, {})[name] = int(wrong.sum())
    notes = [note for outside, counts in ranged.items() for note in note_of(counts, outside)]
    for done, counts in undeclared.items():
        found = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        notes += [f"values that are not a declared category, {done}: {found}"] if found else []
    return values.assign(**changed) if changed else values, tuple(notes)


def feature_of(kind: str, described: Feature, duration: bool) -> Feature:
    """What is known of an input column of a kind: numeric or categorical."""
    if kind == "categorical":
        return Feature(described.name, "categorical", missing_values=described.missing_values,
                       categories=described.categories, outside=described.outside
                       if described.categories else "missing")  # fmt: skip
    unit = "days" if duration else described.unit
    return replace(described, kind="numeric", unit=unit, categories=())


def roles_of(
    names: Sequence[str], roles: Mapping[str, Collection[str]], features: Sequence[Feature]
) -> dict[str, str]:
    """Column -> what it is used for; ``ignore`` where for nothing."""
    found: dict[str, list[str]] = {name: [] for name in names}
    for feature in features:
        unit = f", {feature.unit}" if feature.unit else ""
        found[feature.name].append(f"input ({feature.kind}{unit})")
    for role, columns in roles.items():
        for name in columns:
            if name in found:
                found[name].append(role)
    return {name: ", ".join(uses) or "ignore" for name, uses in found.items()}


def _fail_if(wrong: pd.Series, feature: Feature) -> None:
    if feature.outside == "fail" and wrong.any():
        raise DataError(
            f"{int(wrong.sum())} values are not a declared category "
            f"(first at row {wrong.idxmax()})",
            place=f"column '{feature.name}'",
            hint=f"Declared: {', '.join(feature.categories[:20])}. Correct them, or choose "
            "values.outside: missing or keep.",
        )


def _refuse_times(column: pd.Series, path: Path) -> None:
    if pd.api.types.is_timedelta64_dtype(column):
        raise DataError(
            f"column '{column.name}' holds intervals, which are not numbers",
            place=str(path),
            hint="Give them as numbers: in PostgreSQL, extract(epoch from ...) / 86400 for days.",
        )
    if pd.api.types.is_datetime64_any_dtype(column):
        raise DataError(
            f"column '{column.name}' holds dates, which are not inputs",
            place=str(path),
            hint=_DATES,
        )


def _are_dates(column: pd.Series) -> bool:
    texts = column.dropna().astype("str").str.strip()
    if not len(texts) or not texts.str.match(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{2,4}").all():
        return False
    days = pd.to_datetime(texts, errors="coerce", format="mixed", dayfirst=True, utc=True)
    return bool(days.notna().all())


def _refuse_doubtful_text(column: pd.Series, path: Path) -> None:
    refuse_decimal_commas(column, path)
    share = share_of_numbers(column)
    if share == 1.0:
        raise DataError(
            f"column '{column.name}' holds numbers that are written as text",
            place=str(path),
            hint=f"If they are numbers: columns.numeric: [{column.name}]. "
            f"If they are codes: columns.categorical: [{column.name}].",
        )
    if share >= 0.5:
        raise mixed_texts(
            column,
            path,
            f"column '{column.name}' looks numeric but has text",
            f"If the column holds categories: columns.categorical: [{column.name}].",
        )
    if _are_dates(column):
        raise DataError(
            f"column '{column.name}' holds dates, which are not inputs as they are",
            place=str(path),
            hint=f"{_DATES} If they are categories: columns.categorical: [{column.name}].",
        )
    different, present = column.nunique(), int(column.notna().sum())
    if present >= 20 and different > 0.9 * present:
        raise DataError(
            f"column '{column.name}' has a different text in almost every row ({different} in "
            f"{present}): an identifier, a date or free text, which is not an input",
            place=str(path),
            hint=f"Leave it out (columns.ignore: [{column.name}]), name it as subject, id or time, "
            f"or keep it with columns.categorical: [{column.name}].",
        )

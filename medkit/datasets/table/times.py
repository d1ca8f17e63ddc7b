"""Points in time: every row of a column read in the same way."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.readers.values import is_text

DAY_FIRST = tuple(f"%d{sign}%m{sign}%Y" for sign in "./-")
MONTH_FIRST = tuple(f"%m{sign}%d{sign}%Y" for sign in "./-")
# A clock time, alone or followed by Z, +02:00, -0500 or +01.
_CLOCK = r"\d\d:\d\d"
ZONE = _CLOCK + r".*(?:[Zz]|[+-]\d\d(?::?\d\d)?)$"
OTHERS = ("%Y.%m.%d", "%Y/%m/%d", "%d %b %Y", "%d-%b-%Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y")
CLOCKS = ("", " %H:%M", " %H:%M:%S")


def as_time(values: pd.Series, path: Path, time_format: str | None = None) -> pd.Series:
    """Times as numbers where the column is numeric, else as timestamps.

    Texts are ISO 8601, or all of one format: the one given, or the only one that fits.

    Raises:
        DataError: A text that is no date, or a column that may be day first or month first.
    """
    if not is_text(values):
        return values
    codes, levels = pd.factorize(values)
    texts = pd.Series(levels, dtype="str").str.strip()
    texts = texts.mask(texts.isin(["", "None"]))
    if time_format is None:
        days, tried = _found_out(texts, str(values.name), path), None
    else:
        days, tried = parsed(texts, time_format), time_format
    wrong = np.append((texts.notna() & days.isna()).to_numpy(), False)[codes]
    if wrong.any():
        raise DataError(
            f"column '{values.name}' holds {int(wrong.sum())} texts that are not dates "
            f"(first at row {values.index[wrong][0]})" + (f" as {_shown(tried)}" if tried else ""),
            place=str(path),
            hint="Write times as 2024-05-31 or 2024-05-31 14:30, as numbers, or all alike and "
            'give their format, as in columns.time_format: "%d.%m.%Y".',
        )
    taken = days.reindex([*range(len(days)), -1]).iloc[codes]
    return pd.Series(taken.to_numpy(), index=values.index, name=values.name)


def days_before(
    values: pd.Series, time: pd.Series, path: Path, time_format: str | None = None
) -> tuple[pd.Series, int]:
    """Days from a column's dates to the time of prediction, and how many dates lie after it.

    Those become missing: nobody knew them then. Texts must be ISO 8601 or of the given format, so
    that one row alone is read as all rows are.

    Raises:
        DataError: A text is no date, the format is neither, the column holds numbers, or times
            with a time zone meet times without.
    """
    zones = {column.name: has_zone(column, path) for column in (values, time)}
    if set(zones.values()) >= {True, False}:
        zoned, bare = sorted(zones, key=lambda name: not zones[name])
        raise DataError(
            f"column '{zoned}' has a time zone where '{bare}' has none",
            place=str(path),
            hint="Write both with their zone, or both in the same local time.",
        )
    moments = []
    for column in (values, time):
        if column.isna().all():
            moments.append(pd.Series(pd.NaT, index=column.index, dtype="datetime64[ns]"))
            continue
        if pd.api.types.is_numeric_dtype(column):
            raise DataError(
                f"column '{column.name}' holds numbers where dates are expected",
                place=str(path),
                hint="Durations are taken between dates; a number can be an input as it is.",
            )
        if time_format is None and is_text(column):
            texts = column.astype("str").str.strip().where(column.notna())
            if not parsed(texts, "ISO8601").notna().equals(texts.notna()):
                raise DataError(
                    f"the dates in column '{column.name}' are not written as 2024-05-31",
                    place=str(path),
                    hint='Give their format: columns.time_format: "%d.%m.%Y".',
                )
        moment = as_time(column, path, time_format)
        moments.append(moment if moment.dt.tz is None else moment.dt.tz_convert(None))
    days = (moments[1] - moments[0]).dt.total_seconds() / 86400
    late = days < 0
    return days.mask(late).astype("float64"), int(late.sum())


def has_zone(values: pd.Series, path: Path) -> bool | None:
    """Whether a column's times carry a time zone; None where it holds dates without a clock.

    Raises:
        DataError: Some times carry one and some do not.
    """
    if pd.api.types.is_datetime64_any_dtype(values):
        if values.dt.tz is not None:
            return True
        return None if (values.dropna() == values.dropna().dt.normalize()).all() else False
    if not is_text(values):
        return None
    texts = values.dropna().astype("str").str.strip()
    clock, zoned = texts.str.contains(_CLOCK), texts.str.contains(ZONE)
    bare = clock & ~zoned
    if zoned.any():
        refuse_zoneless(bare, str(path))
    return bool(zoned.any()) if clock.any() else None


def refuse_zoneless(bare: pd.Series, place: str) -> None:
    """Raise a DataError if some times lack the zone that the column's others have."""
    if bare.any():
        raise DataError(
            f"column '{bare.name}' mixes times with a time zone and {int(bare.sum())} without "
            f"(first at row {bare.idxmax()})",
            place=place,
            hint="Write all with their zone (2024-05-31T14:30+02:00), or all in local time.",
        )


def parsed(texts: pd.Series, time_format: str) -> pd.Series:
    """Timestamps without a time zone; NaT where a text has another format.

    Raises:
        DataError: ``time_format`` is no format.
    """
    try:
        # utc: texts with different offsets would otherwise be refused.
        days = pd.to_datetime(texts, errors="coerce", format=time_format, utc=True)
    except ValueError as error:
        raise DataError(
            f"time_format '{time_format}' is not a format: {error}",
            place="dataset",
            hint='As in "%d.%m.%Y" or "%m/%d/%Y %H:%M".',
        ) from error
    return days.dt.tz_localize(None)


def _found_out(texts: pd.Series, name: str, path: Path) -> pd.Series:
    best = parsed(texts, "ISO8601")
    if best.notna().equals(texts.notna()):
        return best
    fitting: dict[str, pd.Series] = {}
    for date, clock in product((*DAY_FIRST, *MONTH_FIRST, *OTHERS), CLOCKS):
        days = parsed(texts, date + clock)
        if days.notna().equals(texts.notna()):
            if not any(days.equals(other) for other in fitting.values()):
                fitting[date + clock] = days
        elif days.notna().sum() > best.notna().sum():
            best = days
    if len(fitting) > 1:
        readings = " or ".join(_shown(each) for each in fitting)
        first = next(iter(fitting))
        raise DataError(
            f"the dates in column '{name}' may be {readings}: {int(texts.notna().sum())} different "
            "texts fit both",
            place=str(path),
            hint=f'Give their format: columns.time_format: "{first}".',
        )
    return next(iter(fitting.values()), best)


def _shown(time_format: str) -> str:
    """``%d.%m.%Y`` as dd.mm.yyyy."""
    for code, letters in (("%d", "dd"), ("%m", "mm"), ("%Y", "yyyy"), ("%y", "yy"), ("%H", "hh"),
                          ("%M", "mm"), ("%S", "ss"), ("%b", "Mon"), ("%B", "Month")):  # fmt: skip
        time_format = time_format.replace(code, letters)
    return time_format

"""Times of events: hours, clock times since admission, or timestamps."""

from __future__ import annotations

import numpy as np

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.datasets.table.times import ZONE, parsed, refuse_zoneless


def times_of(
    times: pd.Series, place: str, time_format: str | None = None
) -> tuple[pd.Series, bool, bool | None]:
    """Events' times as numbers, missing as NaN; whether they are timestamps; and with a zone.

    Numbers are hours already. Texts like ``07:30`` or ``107:30:00`` are hours and minutes since
    admission. Timestamps are ISO 8601, or written as ``time_format`` says; they become
    microseconds since 1970 in UTC, float64, which holds them exactly.

    Raises:
        DataError: A text that is none of these, its row is named; or some timestamps have a
            time zone and some have none.
    """
    types = pd.api.types
    if types.is_numeric_dtype(times):
        _refuse(times, np.isinf(times.to_numpy(dtype="float64")), place)
        return times.astype("float64"), False, None
    if types.is_timedelta64_dtype(times):
        return times.dt.total_seconds() / 3600, False, None
    zoned: bool | None = None
    if types.is_datetime64_any_dtype(times):
        zoned = times.dt.tz is not None
    else:
        # Clock texts repeat: parse each different one once.
        codes, levels = pd.factorize(times)
        texts = pd.Series(levels, dtype="str").str.strip()
        clock = texts.str.extract(r"^(\d+):([0-5]\d)(?::([0-5]\d(?:\.\d+)?))?$").astype("float64")
        hours = (clock[0] + clock[1] / 60 + clock[2].fillna(0.0) / 3600).to_numpy()
        hours = np.where(np.isnan(hours), pd.to_numeric(texts, errors="coerce"), hours)
        hours[np.isinf(hours)] = np.nan
        if not np.isnan(hours).all() or not len(hours):
            _refuse(times, np.isnan(hours)[codes] & (codes >= 0), place)
            return pd.Series(np.append(hours, np.nan)[codes], times.index), False, None
        days = parsed(texts, "ISO8601")
        if time_format is not None and not days.notna().all():
            days = parsed(texts, time_format)
        _refuse(times, days.isna().to_numpy()[codes] & (codes >= 0), place)
        with_zone = texts.str.contains(ZONE).to_numpy()
        zoned = bool(with_zone.any())
        if zoned:
            bare = (~np.append(with_zone, True))[codes]
            refuse_zoneless(pd.Series(bare, times.index, name=times.name), place)
        times = days.reindex([*range(len(days)), -1]).iloc[codes]
    moments = pd.to_datetime(times, utc=True).reset_index(drop=True)
    since = moments.dt.as_unit("us").astype("int64").astype("float64")
    return since.where(moments.notna()), True, zoned


def _refuse(times: pd.Series, wrong: np.ndarray, place: str) -> None:
    if wrong.any():
        raise DataError(
            f"column '{times.name}' has {int(wrong.sum())} values that are not times "
            f"(first at row {times.index[wrong][0]})",
            place=place,
            hint="Write hours as numbers, clock times as HH:MM, or timestamps as "
            "2024-05-31 14:30, the same way in every row; or give time_format.",
        )

"""Inputs from after the prediction, and a test from the same period as training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from medkit.core.lazy import pd
from medkit.leakage.columns import is_number
from medkit.leakage.evidence import Evidence, listed
from medkit.leakage.findings import Finding, finding

if TYPE_CHECKING:
    from medkit.config.sections import Split

FEWEST = 20
DATES = 0.95  # share of texts that are dates in a column of dates
ALONG = 0.95  # correlation with the time of prediction of a number that is a time too
EARLIER = 0.05  # share of the test rows from the training period
DAY = 86400.0
PATTERNS = ("ISO8601", *(f"{day}{clock}" for day in ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y",
            "%Y/%m/%d") for clock in ("", " %H:%M", " %H:%M:%S")))  # fmt: skip


def after_prediction(evidence: Evidence) -> Iterator[Finding]:
    """Inputs that hold times later than the row's time of prediction.

    Dates, texts that are dates, and numbers that stand for dates (20240531, seconds since 1970,
    or a number that runs along with the time of prediction) are compared with ``time``. Where no
    time of prediction is known, inputs that are dates are worth a warning.
    """
    if evidence.table is None:
        return
    time = _times(evidence)
    late: dict[str, int] = {}
    dates = []
    for name in evidence.table.columns:
        column = evidence.table[name]
        moments = _as_dates(column)
        if moments is not None:
            dates.append(str(name))
        elif time is not None and is_number(column):
            moments = _along(column.to_numpy(dtype="float64", na_value=np.nan), time)
        if moments is None or time is None:
            continue
        # A date without a clock may be that of the same day.
        whole = not (time[np.isfinite(time)] % DAY).any() and evidence.times_are_dates
        later = np.floor(moments / DAY) * DAY > time if whole else moments > time
        count = int(np.sum(later & np.isfinite(moments) & np.isfinite(time)))
        if count:
            late[str(name)] = count
    if late:
        most = max(late.values())
        yield finding(
            "after_prediction_time",
            f"{len(late)} input{'s' * (len(late) > 1)} lie{'s' * (len(late) == 1)} after the time "
            f"of prediction, in up to {most:,} of {len(evidence.part):,} rows",
            listed(sorted(late, key=lambda name: -late[name])),
            most,
        )
    if dates and time is None:
        yield finding(
            "after_prediction_time",
            f"{len(dates)} input{'s are dates' if len(dates) > 1 else ' is a date'}, and without "
            "the time of prediction (dataset.columns.time) nobody can tell whether they come after "
            "it",
            listed(dates),
            len(dates),
            "warn",
        )


def same_period(evidence: Evidence, split: Split) -> Iterator[Finding]:
    """A test from the training period, though times are known."""
    time = _times(evidence)
    if time is None or split.by == "time" or not {"train", "test"} <= set(evidence.names):
        return
    train, test = (time[evidence.part == evidence.names.index(n)] for n in ("train", "test"))
    train, test = train[np.isfinite(train)], test[np.isfinite(test)]
    if not len(train) or not len(test):
        return
    inside = int((test <= train.max()).sum())
    if inside > EARLIER * len(test):
        yield finding(
            "same_period",
            f"{inside:,} of {len(test):,} test rows are not later than the last training row "
            f"(split by {split.by})",
            "train and test",
            inside,
            "warn",
        )


def _times(evidence: Evidence) -> np.ndarray | None:
    """(n,) time of prediction in seconds, or as the number it is; None where not known."""
    if "time" not in evidence.samples or evidence.samples["time"].isna().all():
        return None
    column = evidence.samples["time"]
    if is_number(column):
        return column.to_numpy(dtype="float64", na_value=np.nan)
    return _seconds(pd.to_datetime(column, errors="coerce", format="ISO8601", utc=True))


def _seconds(moments: pd.Series) -> np.ndarray:
    return ((moments - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)).to_numpy("float64")


def _as_dates(column: pd.Series) -> np.ndarray | None:
    """(n,) seconds since 1970 of a column of dates; None if it is none."""
    if pd.api.types.is_datetime64_any_dtype(column):
        return _seconds(pd.to_datetime(column, utc=True))
    present = column.dropna()
    if len(present) < FEWEST or pd.api.types.is_bool_dtype(column):
        return None
    if is_number(column):
        return _numbers_as_dates(column.to_numpy(dtype="float64", na_value=np.nan))
    texts = present.astype(str).str.strip()
    if texts.str.contains(r"\d[-/.]\d").mean() < DATES:
        return None
    whole = column.astype(str).str.strip().where(column.notna())
    best, most = None, DATES
    for pattern in PATTERNS:
        moments = pd.to_datetime(whole, errors="coerce", format=pattern, utc=True)
        share = moments[column.notna()].notna().mean()
        if share > most or (best is None and share == most):
            best, most = moments, share
    return None if best is None else _seconds(best)


def _numbers_as_dates(numbers: np.ndarray) -> np.ndarray | None:
    known = numbers[np.isfinite(numbers)]
    whole = (known == np.round(known)).all()
    if whole and ((known >= 19000101) & (known <= 21001231)).all():
        codes = pd.Series(numbers).astype("Int64").astype("string")
        moments = pd.to_datetime(codes, errors="coerce", format="%Y%m%d", utc=True)
        if moments[np.isfinite(numbers)].notna().mean() >= DATES and len(np.unique(known)) > 2:
            return _seconds(moments)
    # Seconds and milliseconds from 1990 to 2070: no clinical measurement is as large.
    for unit in (1.0, 1e3, 1e6, 1e9):
        if ((known >= 6.3e8 * unit) & (known <= 3.2e9 * unit)).all():
            return numbers / unit
    return None


def _along(numbers: np.ndarray, time: np.ndarray) -> np.ndarray | None:
    """A number that runs along with the time of prediction, on its own scale; or None."""
    both = np.isfinite(numbers) & np.isfinite(time)
    if both.sum() < FEWEST or np.ptp(time[both]) == 0 or np.ptp(numbers[both]) == 0:
        return None
    if np.corrcoef(numbers[both], time[both])[0, 1] < ALONG:
        return None
    slope = np.polyfit(time[both], numbers[both], 1)[0]
    return numbers if 0.8 <= slope <= 1.25 else None

"""The rows of one data set for the samples of another: by a key, and perhaps the time before."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.data.cohort import Cohort, RawInput
from medkit.data.stored_arrays import StoredRows

log = logging.getLogger("medkit")

Repeated = Literal["refuse", "first", "last"]


def role_of(columns: Any, key: str) -> str | None:
    """Which role of a data set's columns the key has: ``id``, ``subject``, ``stay`` …"""
    roles = getattr(type(columns), "model_fields", {})
    return next((role for role in roles if getattr(columns, role) == key), None)


def keys_of_rows(cohort: Cohort, part: Mapping[str, Any], key: str, place: str) -> np.ndarray:
    """(n,) key of each sample."""
    role = role_of(part.get("columns"), key) or key
    if role in cohort.samples:
        values = cohort.samples[role]
    elif role in ("sample", "id", cohort.samples.index.name):
        values = cohort.samples.index.to_series()
    else:
        has = ["sample", *cohort.samples.columns]
        raise DataError(
            f"the data set has no key '{key}'",
            place=f"dataset.{place}",
            hint=f"It has: {', '.join(map(str, has))}. Name the column in columns.id or "
            "columns.attributes, or join on another key.",
        )
    if values.isna().any():
        row = int(np.flatnonzero(values.isna())[0]) + 1
        raise DataError(f"{values.isna().sum()} rows have no '{key}' (first at row {row})",
                        place=f"dataset.{place}", hint="Fill them, or leave them out.")  # fmt: skip
    found: np.ndarray = values.to_numpy()
    return found.astype(str) if found.dtype == object else found


def check_same_type(
    keys: np.ndarray, theirs: np.ndarray, place: str, of: str = "the labels"
) -> None:
    """Refuse numbers as keys of one and text as keys of the other."""
    if (keys.dtype.kind in "OUS") != (theirs.dtype.kind in "OUS"):
        raise DataError(
            f"its keys are {examples(theirs)}, those of {of} {examples(keys)}",
            place=f"dataset.{place}",
            hint="Read both as text: name the column in columns.id (or columns.categorical).",
        )


def examples(keys: np.ndarray) -> str:
    """What keys look like, no key of a patient: ``text of 3 letters``, ``numbers``."""
    if keys.dtype.kind not in "OUS":
        return "numbers"
    lengths = sorted({len(each) for each in keys})
    return f"text of {lengths[0]}{f' to {lengths[-1]}' if len(lengths) > 1 else ''} characters"


def rows_for(
    base: Cohort, keys: np.ndarray, cohort: Cohort, theirs: np.ndarray, place: str,
    repeated: Repeated, within_hours: float | None,
) -> np.ndarray:  # fmt: skip
    """(n,) row of the input for each sample of the labels; -1 where there is none."""
    several = pd.Series(theirs).duplicated().to_numpy()
    if within_hours is not None and (several.any() or "time" in cohort.samples):
        return _latest(base, keys, cohort, theirs, place, within_hours)
    order = np.arange(len(theirs))
    until = None
    if several.any():
        if repeated == "refuse":
            count = len(np.unique(theirs[several]))
            raise DataError(
                f"{count:,} keys have several rows (first at row {np.flatnonzero(several)[0] + 1})",
                place=f"dataset.{place}",
                hint="Say which one is meant: repeated: first or last, or within_hours.",
            )
        if "time" in cohort.samples:
            order = np.argsort(cohort.samples["time"].to_numpy(), kind="stable")
            if "time" in base.samples:
                until = _latest(base, keys, cohort, theirs, place, None)
    place_of = pd.Series(order, index=theirs[order])
    place_of = place_of[~place_of.index.duplicated(keep="first" if repeated != "last" else "last")]
    rows = place_of.reindex(keys).fillna(-1).to_numpy(dtype=np.int64)
    if until is None:
        return rows
    # What was recorded later is not known when the prediction is made.
    known = until if repeated == "last" else np.where(until < 0, -1, rows)
    later = int((known != rows).sum())
    if later:
        log.warning("%s: %d samples have later rows than their own time: left out", place, later)
    return known


def _latest(
    base: Cohort, keys: np.ndarray, cohort: Cohort, theirs: np.ndarray, place: str,
    hours: float | None,
) -> np.ndarray:  # fmt: skip
    """(n,) the latest row at or before each sample's time, at most so many hours earlier."""
    for name, each in (("labels", base), (place, cohort)):
        if "time" not in each.samples:
            raise DataError("within_hours needs a time", place=f"dataset.{name}",
                            hint="Name its column: columns.time.")  # fmt: skip
        unknown = each.samples["time"].isna().to_numpy()
        if unknown.any():
            raise DataError(
                f"{unknown.sum():,} rows have no time (first at row {unknown.argmax() + 1})",
                place=f"dataset.{name}",
                hint="Fill them, or leave them out.",
            )
    dated = pd.api.types.is_datetime64_any_dtype(base.samples["time"])
    if dated != pd.api.types.is_datetime64_any_dtype(cohort.samples["time"]):
        raise DataError("its times and those of the labels are not of one kind: dates, or numbers",
                        place=f"dataset.{place}")  # fmt: skip
    left, right = (
        pd.DataFrame({"key": k, "time": c.samples["time"].to_numpy(), "row": np.arange(len(k))})
        for k, c in ((keys, base), (theirs, cohort))
    )
    for rows in (left, right):
        times = rows["time"]
        rows["time"] = times.astype("datetime64[us]") if dated else times.astype("float64")
    found = pd.merge_asof(
        left.sort_values("time", kind="stable"),
        right.sort_values("time", kind="stable").rename(columns={"row": "theirs"}),
        on="time", by="key",
        tolerance=pd.Timedelta(hours=hours) if dated and hours else hours,  # type: ignore[arg-type]
    ).sort_values("row")  # fmt: skip
    return found["theirs"].fillna(-1).to_numpy(dtype=np.int64)


def with_subjects(
    base: Cohort, parts: Mapping[str, Cohort], rows_of: Mapping[str, np.ndarray]
) -> Cohort:
    """Where the labels do not name the patients, those of an input: no split may divide them."""
    knowing = [name for name, cohort in parts.items() if "subject" in cohort.samples]
    if "subject" in base.samples or not knowing:
        return base
    lacking = {name: int((rows_of[name] < 0).sum()) for name in knowing}
    name = min(knowing, key=lambda each: lacking[each])
    if lacking[name]:
        raise DataError(
            f"the labels name no subject, and inputs.{name}, which does, lacks {lacking[name]:,} "
            "of the samples",
            place="dataset.labels",
            hint="Name the patient's column in labels: columns.subject; a split would not keep "
            "patients apart.",
        )
    subjects = parts[name].subjects[rows_of[name]]
    return replace(base, samples=base.samples.assign(subject=subjects))


def check_same_subjects(base: Cohort, cohort: Cohort, rows: np.ndarray, place: str) -> None:
    """Refuse rows of another subject than their sample's."""
    if "subject" not in base.samples or "subject" not in cohort.samples:
        return
    known = np.flatnonzero(rows >= 0)
    mine = base.subjects[known].astype(str)
    differ = mine != cohort.subjects[rows[known]].astype(str)
    if differ.any():
        raise DataError(
            f"{differ.sum():,} samples belong to another subject than in the labels (first at row "
            f"{rows[known][differ][0] + 1})",
            place=f"dataset.{place}",
            hint="Check the key: a split by subject would not keep these patients apart.",
        )


def taken_rows(raw: RawInput, rows: np.ndarray) -> RawInput:
    """An input's rows in the order of the labels, blank where there is none."""
    known = rows >= 0
    taken = raw.take(np.maximum(rows, 0))
    if known.all():
        return taken
    values = taken.values
    if isinstance(values, pd.DataFrame):
        values = values.where(np.broadcast_to(known[:, None], values.shape))
    elif isinstance(values, StoredRows):
        values = StoredRows(values.values, np.where(known, values.rows, -1))
    elif isinstance(values, np.ndarray):
        blank = "" if values.dtype == object else np.nan if values.dtype.kind == "f" else 0
        values = np.array(values)
        values[~known] = blank
    present = known if taken.present is None else known & taken.present
    return replace(taken, values=values, present=present)

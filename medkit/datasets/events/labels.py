"""Labels of stays: a table with one row a stay, or one row a prediction."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medkit.core.errors import DataError
from medkit.core.files import existing
from medkit.core.lazy import pd
from medkit.datasets.events.parameters import StayColumns, Unmatched
from medkit.datasets.events.problem import PredictionProblem
from medkit.datasets.events.sources.found import MICROSECONDS_AN_HOUR, FoundEvents
from medkit.datasets.events.times import times_of
from medkit.datasets.parameters import Target
from medkit.datasets.table.columns import Roles, Targets, read_targets
from medkit.readers.engines import has_zone
from medkit.readers.tables import PARQUET, column_names, fingerprints, read_table, require
from medkit.readers.values import as_identifier, refuse_empty

log = logging.getLogger("medkit")


@dataclass(frozen=True)
class Labels:
    """A table of labels as read.

    Args:
        path: The file or folder.
        samples: The samples frame of a Cohort, one row a label; index: sample id.
        codes: Code of each row's stay among the events' stays, -1 where it has no events.
        found: The targets.
        moments: The time each row's window is placed by, in the unit of the events; or None.
        ends: When each row's stay ends, in that unit, NaN where unknown; or None.
        files: File name -> sha256.
        onsets: When what is predicted begins in each row's stay, NaN where it does not; or None.
        unmatched: What becomes of labels without events and events without a label.
    """

    path: Path
    samples: pd.DataFrame
    codes: np.ndarray
    found: Targets
    moments: np.ndarray | None
    ends: np.ndarray | None
    files: dict[str, str]
    onsets: np.ndarray | None
    unmatched: Unmatched


def read_labels(
    path: Path,
    problem: PredictionProblem,
    columns: StayColumns,
    own: tuple[str | None, str],
    events: FoundEvents,
    unmatched: Unmatched,
) -> Labels:
    """Read a table of labels.

    Args:
        path: A table, or a folder of Parquet shards.
        problem: What is predicted, and from when. With ``index: prediction`` several rows may be
            of one stay; they are distinguished by the time of prediction.
        columns: Its columns.
        own: Those of patients and of stays.
        events: The events: times must be of their kind.
        unmatched: What becomes of labels without events and events without a label.

    Raises:
        DataError: A column is absent, a stay repeats or ends before it begins, or times differ
            in kind from the events'.
    """
    existing(path, "labels file")
    repeated = problem.index == "prediction"
    time = columns.prediction_time if repeated else columns.admission
    # Of timestamps; where times are hours, these count from the admission already.
    placed = events.timestamps and problem.index in ("admission", "every_step")
    moment = time if repeated or placed else None
    discharge, onset = columns.discharge, problem.target.onset
    roles = Roles(
        subject=own[0], id=own[1], time=time, site=columns.site, attributes=columns.attributes,
        time_format=columns.time_format,
    )  # fmt: skip
    files = _parts(path)
    names = column_names(files[0])
    require(str(roles.id), names, path, "stay column")
    roles = roles.within(names, path, labelled=True)
    tables = [read_table(file, text=(roles.subject, roles.id)) for file in files]
    table = pd.concat(tables)
    table.index = pd.RangeIndex(1, len(table) + 1, name="row")
    samples = roles.samples(table, path, labelled=True)
    stays = np.asarray(samples.index, dtype=object)
    for column in (moment, discharge, onset):
        if column is not None:
            require(column, names, path, "time column")
    # The reader may leave Parquet's time zones out, having turned the times into UTC.
    for column in {moment, discharge, onset} - {None}:
        if files[0].name.lower().endswith(PARQUET) and has_zone(files[0], str(column)):
            table[column] = pd.to_datetime(table[column], utc=True)
    moments = None if moment is None else _moments(table[moment], path, roles.time_format, events)
    ends = None if discharge is None else _since(table, discharge, roles, path, events, ends=True)
    onsets = None if onset is None else _since(table, onset, roles, path, events)
    if repeated:
        shown = table[moment].astype("str")
        samples.index = pd.Index([f"{s} {t}" for s, t in zip(stays, shown, strict=True)])
    samples.index = samples.index.rename("stay")
    again = np.flatnonzero(samples.index.duplicated())
    if len(again):
        raise DataError(
            f"{len(again)} {'predictions' if repeated else 'stays'} have more than one row "
            f"(first at row {again[0] + 1})",
            place=str(path),
            hint="One row a stay is expected." if not repeated else "One row each is expected.",
        )
    asked = problem.target
    target = Target(column=asked.column, above=asked.above) if asked.column else None
    found = read_targets(table, target, path)
    stamps = fingerprints(path, files)
    codes = _codes_of(stays, events.stays)
    return Labels(path, samples, codes, found, moments, ends, stamps, onsets, unmatched)


def _parts(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(f for f in path.rglob("*") if f.name.lower().endswith(PARQUET))
    if not files:
        raise DataError("holds no Parquet file with labels", place=str(path))
    return files


def _moments(
    values: pd.Series, path: Path, time_format: str | None, events: FoundEvents
) -> np.ndarray:
    times, are_timestamps, have_zone = times_of(values, str(path), time_format)
    refuse_empty(times.set_axis(values.index), str(values.name), path)
    _alike(str(values.name), are_timestamps, have_zone, events, path)
    return times.to_numpy()


def _since(
    table: pd.DataFrame,
    column: str,
    roles: Roles,
    path: Path,
    events: FoundEvents,
    ends: bool = False,
) -> np.ndarray:
    """Times in the unit of the events' times, NaN where there is none; ``ends``: of the stays."""
    times, are_timestamps, have_zone = times_of(table[column], str(path), roles.time_format)
    found, from_begin = times.to_numpy(), are_timestamps and not events.timestamps
    if roles.time is not None and (ends or from_begin):
        began, timestamps, _ = times_of(table[roles.time], str(path), roles.time_format)
        begin = began.to_numpy()
        backwards = (found < begin) & (ends and timestamps == are_timestamps)
        if backwards.any():
            raise DataError(
                f"{int(backwards.sum())} stays end before they begin (first at row "
                f"{table.index[backwards][0]})",
                place=str(path),
                hint=f"Compare '{roles.time}' with '{column}'.",
            )
        if timestamps and from_begin:
            return (found - begin) / MICROSECONDS_AN_HOUR
    if not np.isnan(found).all():  # an empty column is of no kind
        _alike(column, are_timestamps, have_zone, events, path)
    return found


def _alike(
    column: str, are_timestamps: bool, have_zone: bool | None, events: FoundEvents, path: Path
) -> None:
    """Raise a DataError if times differ in kind from the events': hours, timestamps, zoned."""
    timestamps, zoned = events.timestamps, events.zoned
    if are_timestamps != timestamps:
        kinds = {True: "timestamps", False: "hours"}
        raise DataError(
            f"column '{column}' holds {kinds[are_timestamps]} where the events have "
            f"{kinds[timestamps]}",
            place=str(path),
            hint="Both must be counted from the same moment.",
        )
    if timestamps and bool(have_zone) != bool(zoned):
        with_zone = {True: "a time zone", False: "no time zone"}
        raise DataError(
            f"column '{column}' has {with_zone[bool(have_zone)]} where the events' times have "
            f"{with_zone[bool(zoned)]}",
            place=str(path),
            hint="Write both with their zone, or both in the same local time.",
        )


def report_unmatched(labels: Labels, rows: Any, unlabelled: int) -> None:
    """Say which rows have no events: by row number, since an id names a patient."""
    shown = ", ".join(str(row) for row in rows[:20]) + (", ..." if len(rows) > 20 else "")
    empty = f"{len(rows)} stays have a label but no events (rows {shown})" if len(rows) else ""
    bare = f"{unlabelled} stays have events but no label" if unlabelled else ""
    text = "; ".join(part for part in (empty, bare) if part)
    if text and labels.unmatched == "fail":
        raise DataError(
            text,
            place=str(labels.path),
            hint="Fix the tables, or leave such stays out: labels.unmatched: drop.",
        )
    if text:
        log.info("%s: %s", labels.path.name, text)


def _codes_of(stays: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The place of each stay among the known ones, -1 where it is none of them."""
    index = pd.Index(as_identifier(pd.Series(np.asarray(known, dtype=object))))
    return np.asarray(index.get_indexer(pd.Index(stays)))

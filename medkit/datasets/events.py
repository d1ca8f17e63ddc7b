"""Irregular measurements of hospital stays (subject, time, variable, value) on a regular grid."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from medkit.cohort import Cohort, Feature, RawInput, Source
from medkit.datasets._columns import Roles, Targets
from medkit.datasets._engines import Engine
from medkit.datasets._event_files import EventColumns
from medkit.datasets._event_scan import Layout
from medkit.datasets._event_sources import read_found
from medkit.datasets._featurise import Window
from medkit.datasets._found_events import FoundEvents, channels_of
from medkit.datasets._grid import Aggregate, Duplicates, Gridded, Plan, gridded
from medkit.datasets._ranges import Outside
from medkit.datasets._stay_labels import Labels, Unmatched, matched, read_labels
from medkit.datasets._stay_windows import Index, axis_of, span_of
from medkit.datasets._values import sentinels_of
from medkit.errors import DataError
from medkit.lazy import pd
from medkit.registry import datasets

# The names of the Medical Event Data Standard.
_MEDS = {"stay": "subject_id", "time": "time", "variable": "code", "value": "numeric_value"}


@datasets.register(
    yields="series",
    unlabelled={"labels": None, "target": None, "targets": (), "target_above": None},
)
def events(
    *,
    path: Path,
    labels: Path | None = None,
    target: str | None = None,
    targets: tuple[str, ...] = (),
    target_above: float | None = None,
    layout: Layout = "long",
    engine: Engine = "polars",
    stay: str | None = None,
    time: str | None = None,
    variable: str | None = None,
    value: str | None = None,
    unit: str | None = None,
    index: Index | None = None,
    prediction_time: str = "prediction_time",
    hours: Annotated[float, Field(gt=0)] = 48.0,
    gap_hours: Annotated[float, Field(ge=0)] = 0.0,
    step_hours: Annotated[float, Field(gt=0)] = 1.0,
    aggregate: Aggregate | dict[str, Aggregate] = "mean",
    aggregates: dict[str, Aggregate] | None = None,
    variables: tuple[str, ...] | str | None = None,
    ignore: tuple[str, ...] = (),
    units: dict[str, str] | None = None,
    ranges: dict[str, tuple[float, float]] | None = None,
    outside: Outside = "missing",
    missing_values: dict[str, tuple[str | int | float, ...]] | None = None,
    duplicates: Duplicates = "keep",
    unmatched: Unmatched = "drop",
    subject: str | None = None,
    admission: str | None = None,
    discharge: str | None = None,
    time_format: str | None = None,
    site: str | None = None,
    attributes: tuple[str, ...] = (),
) -> Cohort:
    """One stay a sample, from measurements in a long or wide table, shards, or a file a stay.

    Events become a grid of steps by variables. Only events within the window enter; labels come
    from a second table, whose columns are never inputs. Stays without events and stays without a
    label are left out and counted. Times are numbers of hours, ``HH:MM`` since admission, or
    timestamps. Parquet files are read by the engine itself, a block of stays at a time.

    Args:
        path: A table with one event a row (CSV, TSV, Parquet), a folder of Parquet shards, or a
            folder or archive (``.tar.gz``, ``.zip``) with one text file a stay, named after it.
        labels: The table with one row a stay, or one a prediction; None when only predicting.
        target: The column of ``labels`` to predict.
        targets: Several columns of ``labels`` to predict instead of one.
        target_above: Predict whether the target is above this value (label 1) or not (0).
        layout: long: one event a row; wide: one time a row and one variable a column (as in the
            PhysioNet 2019 Challenge); meds: a folder of the Medical Event Data Standard.
        engine: What reads Parquet and computes the grid: polars; duckdb or spark where installed.
        stay: The column with the stay's id, in ``labels`` and in a table of events; by default
            ``stay``, or ``subject_id`` in meds.
        time: The column with the event's time; by default ``time``. ``row`` in a wide layout of
            text: rows are consecutive hours.
        variable: The column that says what was measured; by default ``variable``, or ``code``.
        value: The column with the number measured; by default ``value``, or ``numeric_value``.
        unit: The column with the value's unit; a variable in two units is refused.
        index: What places the window: the first event or the admission, which it begins at, or
            the time of prediction, which it ends before; by default the first event, in meds the
            prediction.
        prediction_time: The column of ``labels`` with the time of prediction.
        hours: Length of the window, in hours.
        gap_hours: Hours between the window's end and the prediction.
        step_hours: Length of one time step, in hours.
        aggregate: How several values within one step become one; for single variables, and for
            all others under ``"*"``: ``{"*": mean, Urine: sum}``. A count is 0 where there is no
            event, and events without a value count.
        aggregates: The same for single variables: ``{Urine: sum}``.
        variables: The variables that become channels, in this order, or a regular expression
            that their names match; by default all, sorted.
        ignore: Variables that become no channel.
        units: Unit by variable: ``{HR: bpm}``.
        ranges: Plausible lowest and highest value by variable, in its unit: ``{pH: [6.5, 8]}``.
        outside: What becomes of a value outside its range: missing, clip (to the range's end),
            keep, or fail. They are counted in any case.
        missing_values: Values that mean 'missing', by variable, or for all under ``"*"``.
        duplicates: What becomes of events with the same stay, time, variable and value: keep
            (counted where a variable is summed or counted), drop, or fail.
        unmatched: What becomes of labels without events and events without a label: drop
            (counted, their rows named in the log) or fail.
        subject: The column of ``labels`` with the patient; where every stay is another
            patient, the stay's own column.
        admission: The column of ``labels`` with the date of admission, for splits by time.
        discharge: The column of ``labels`` with the end of the stay; later events are not used.
        time_format: How timestamps of events and admissions are written, as in
            ``"%d.%m.%Y %H:%M"``; by default ISO 8601 (2024-05-31 14:30).
        site: The column of ``labels`` with the hospital, for splits by site.
        attributes: Columns of ``labels`` kept for splits and subgroups.

    Returns:
        A cohort indexed by stay (by stay and time of prediction, where these place the window)
        with one ``series`` input: float32 (samples, steps, variables), NaN where nothing was
        measured. Without labels the order is that of the file, or by id in Parquet.

    Raises:
        DataError: A file or column is absent, times or values cannot be read, values are
            infinite, a variable has two units, stays repeat in ``labels``, or no stay has both
            events and a label.
    """
    if labels is None and (target is not None or targets):
        raise DataError("a target needs the table it is a column of: labels", place="dataset")
    meds = layout == "meds"
    index = index or ("prediction" if meds else "first_event")
    if meds:
        subject = subject or stay or _MEDS["stay"]
        if labels is not None and target is None and not targets:
            target = "boolean_value"
    columns = EventColumns(
        stay or (_MEDS["stay"] if meds else "stay"),
        None if time == "row" and layout == "wide" else time or "time",
        variable or (_MEDS["variable"] if meds else "variable"),
        value or (_MEDS["value"] if meds else "value"),
        unit,
    )
    way_of = aggregate if isinstance(aggregate, dict) else {"*": aggregate}
    way_of = {"*": "mean", **way_of, **(aggregates or {})}
    # A patient number or an outcome that lies among the measurements is no measurement.
    excluded = {name for name in (*ignore, columns.stay, *targets, target) if name}
    found = read_found(
        path, labels, columns, layout, engine, time_format,
        missing_values or {}, excluded, units or {}, set(way_of.values()),
    )  # fmt: skip
    names = channels_of(
        found.variables, variables, lambda name: way_of.get(name, way_of["*"]) == "count",
        labels is not None, path,
    )  # fmt: skip
    plan = Plan(
        names, [way_of.get(name, way_of["*"]) for name in names],
        Window(hours, step_hours, found.unit), ranges or {}, outside, duplicates, engine,
    )  # fmt: skip
    table = None
    if labels is not None:
        moment = {"prediction": prediction_time, "admission": admission}.get(index)
        if index == "admission":
            if admission is None:
                raise DataError(
                    "index: admission needs the column of labels with it: admission",
                    place="dataset",
                )
            moment = admission if found.timestamps else None  # hours count from it already
        time_column = prediction_time if index == "prediction" else admission
        roles = Roles(subject, columns.stay, time_column, site, attributes, time_format)
        table = read_labels(
            labels, roles, (target, targets, target_above), moment, discharge,
            index == "prediction", (found.timestamps, found.zoned),
        )  # fmt: skip
    axis, place = axis_of(found, table, index, plan.window, gap_hours, path)
    grid = gridded(found, plan, axis, place, path, span_of(index, hours, gap_hours))
    return _cohort(found, plan, table, place, grid, units or {}, missing_values, unmatched)


def _cohort(
    found: FoundEvents,
    plan: Plan,
    labels: Labels | None,
    place: np.ndarray | None,
    grid: Gridded,
    units: dict[str, str],
    missing_values: dict[str, tuple[Any, ...]] | None,
    unmatched: Unmatched,
) -> Cohort:
    if labels is None or place is None:
        kept = np.flatnonzero(grid.present)
        samples = pd.DataFrame(index=pd.Index(found.stays[kept], name="stay", dtype=object))
        targets, rows, read = Targets(None, (), grid.present, ""), kept, len(found.stays)
        dropped = {"no events": len(found.stays) - len(kept)}
        files = found.files
    else:
        samples, targets, rows, dropped, read = matched(
            labels, place, grid.present, grid.unlabelled, unmatched
        )
        files = {**found.files, **labels.files}
        rows = grid.row[rows]
    whole = np.array_equal(rows, np.arange(len(grid.values)))
    values = grid.values if whole else grid.values[rows]
    return Cohort(
        samples=samples,
        inputs={
            "series": RawInput("series", values, _features(plan, units, found, missing_values))
        },
        targets=targets.values,
        source=Source(
            files,
            read,
            {reason: int(count) for reason, count in dropped.items() if count},
            targets.label,
            (*found.notes, *grid.notes),
        ),
        target_names=targets.names,
    )


def _features(
    plan: Plan,
    units: dict[str, str],
    found: FoundEvents,
    missing_values: dict[str, tuple[Any, ...]] | None,
) -> tuple[Feature, ...]:
    features = []
    for name, way in zip(plan.names, plan.ways, strict=True):
        if way == "count":
            features.append(Feature(name, outside="keep"))
            continue
        low, high = plan.ranges.get(name, (None, None))
        features.append(
            Feature(
                name,
                unit=units.get(name, found.units.get(name)),
                low=low,
                high=high,
                # A range is that of a single event, which a step's sum may well exceed.
                outside="keep" if way == "sum" else plan.outside,
                missing_values=sentinels_of(missing_values, name),
            )
        )
    return tuple(features)

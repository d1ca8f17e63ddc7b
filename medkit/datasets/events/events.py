"""Irregular measurements of hospital stays (subject, time, variable, value) on a regular grid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from medkit.core.errors import DataError
from medkit.core.registry import datasets
from medkit.data.cohort import Cohort, Feature, RawInput, Source
from medkit.data.stored_arrays import chosen
from medkit.datasets.events.grid.featurise import Window
from medkit.datasets.events.grid.grid import Aggregate, Duplicates, Plan, gridded
from medkit.datasets.events.hourly import every_step
from medkit.datasets.events.labels import Labels, Unmatched, read_labels
from medkit.datasets.events.problem import (
    Censoring,
    Index,
    IndexEvent,
    Prevalent,
    Problem,
    TargetValue,
    declared,
)
from medkit.datasets.events.samples import Picked, samples_of
from medkit.datasets.events.sources.files import EventColumns
from medkit.datasets.events.sources.found import FoundEvents, channels_of, strange_notes
from medkit.datasets.events.sources.parquet import Layout
from medkit.datasets.events.sources.sources import EventSource, read_found
from medkit.datasets.events.sources.sql import Query, fetched_labels
from medkit.datasets.events.static import Static
from medkit.datasets.events.targets import outcome_of
from medkit.datasets.events.triplets import YIELDS_BY, Form, tripled
from medkit.datasets.events.windows import axis_at, index_moments, windows_of
from medkit.datasets.parameters import Target
from medkit.datasets.table.columns import Roles
from medkit.datasets.table.ranges import Outside
from medkit.readers.cache import Store
from medkit.readers.engines import Engine
from medkit.readers.values import sentinels_of

# The names of the Medical Event Data Standard.
_MEDS = {"stay": "subject_id", "time": "time", "variable": "code", "value": "numeric_value"}


@datasets.register(
    yields="series",
    yields_beside={"static": "tabular"},
    yields_by=YIELDS_BY,
    unlabelled={
        "labels": None,
        "target": None,
        "targets": (),
        "target_above": None,
        "target_event": None,
        "target_value": None,
        "target_variables": (),
        "target_hours": None,
        "target_column": None,
        "onset": None,
        "censoring": "drop",
        "prevalent": "drop",
        "url": None,
        "query": None,
        "labels_query": None,
        "cache": None,
    },
    one_of=("path", "url"),
    check=declared,
)
def events(
    *,
    path: Path | None = None,
    url: str | None = None,
    query: str | None = None,
    timeout: Annotated[float, Field(gt=0)] = 600,
    labels_query: str | None = None,
    labels: Path | None = None,
    target: str | None = None,
    targets: tuple[str, ...] = (),
    target_above: float | None = None,
    layout: Layout = "long",
    engine: Engine = "polars",
    form: Form = "grid",
    stay: str | None = None,
    time: str | None = None,
    variable: str | None = None,
    value: str | None = None,
    unit: str | None = None,
    index: Index | IndexEvent | None = None,
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
    target_event: str | None = None,
    target_value: TargetValue | None = None,
    target_variables: tuple[str, ...] = (),
    target_hours: Annotated[float, Field(gt=0)] | None = None,
    target_column: str | None = None,
    onset: str | None = None,
    censoring: Censoring = "drop",
    prevalent: Prevalent = "drop",
    every_hours: Annotated[float, Field(gt=0)] | None = None,
    first_prediction_hours: Annotated[float, Field(gt=0)] | None = None,
    last_prediction_hours: Annotated[float, Field(gt=0)] | None = None,
    static: tuple[str, ...] = (),
    static_categorical: tuple[str, ...] = (),
    static_table: Path | None = None,
    cache: Path | None = None,
    refresh: bool = False,
) -> Cohort:
    """One stay a sample, from measurements in a long or wide table, shards, or a file a stay.

    Events become a grid of steps by variables. Only events within the window enter, none at its
    end or later; labels come from a second table, whose columns are never inputs, or from the
    events of a target window after the prediction. Stays without events, without a label or
    without an index event are left out and counted. Times are numbers of hours, ``HH:MM`` since
    admission, or timestamps. Parquet files are read by the engine itself, a block of stays at a
    time.

    A cache folder keeps what was read and the finished grid, until the files change: patients'
    data, in folders that only their owner may enter. It grows with every other setting that is
    tried, and may be removed at any time. Without one, a grid of more than 2 GiB and the rows of
    a database lie in the system's folder for temporary files while they are needed.

    Args:
        path: A table with one event a row (CSV, TSV, Parquet), a folder of Parquet shards, or a
            folder or archive (``.tar.gz``, ``.zip``) with one text file a stay, named after it;
            or, with ``query``, a database: ``.sqlite``, ``.duckdb``.
        url: A database instead, as SQLAlchemy takes it. Its password comes from the environment:
            ``"postgresql+psycopg://user:${DB_PASSWORD}@host/db"``, or from PGPASSWORD.
        query: The select statement that gives the events; best with ``order by`` stay and time.
        timeout: Seconds to wait for the database's connection and for each part of its rows.
        labels_query: The select statement that gives the labels, from the same database.
        labels: The table with one row a stay, or one a prediction; None when only predicting.
        target: The column of ``labels`` to predict.
        targets: Several columns of ``labels`` to predict instead of one.
        target_above: Predict whether the target is above this value (label 1) or not (0).
        layout: long: one event a row; wide: one time a row and one variable a column (as in the
            PhysioNet 2019 Challenge); meds: a folder of the Medical Event Data Standard.
        engine: What reads Parquet and computes the grid: polars; duckdb or spark where installed.
        form: grid: values by time step; triplets: each event with its time, for models that take
            such; ``step_hours`` and all aggregates but count mean nothing then (a counted event
            has the value 1).
        stay: The column with the stay's id, in ``labels`` and in a table of events; by default
            ``stay``, or ``subject_id`` in meds.
        time: The column with the event's time; by default ``time``. ``row`` in a wide layout of
            text: rows are consecutive hours.
        variable: The column that says what was measured; by default ``variable``, or ``code``.
        value: The column with the number measured; by default ``value``, or ``numeric_value``.
        unit: The column with the value's unit; a variable in two units is refused.
        index: What places the window: the first event (hour 0, where times are hours) or the
            admission, which it begins at; the time of prediction, which it ends before; an event,
            which it ends before: ``{event: "ICU//IN"}``, the first of that code or of those that
            match the regular expression (``which: last``: the last); or every_step: a prediction
            at every hour, each a sample ``<stay>@<hour>``. By default the first event, in meds
            the prediction.
        prediction_time: The column of ``labels`` with the time of prediction.
        hours: Length of the window, in hours.
        gap_hours: Hours between the window's end and what is predicted: with ``index:
            prediction`` those before the prediction, else those from the prediction to the target
            window.
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
        target_event: Predict whether an event of this code, or of one that matches this regular
            expression, occurs after the prediction (or gap) and within ``target_hours``; what
            occurs at that very moment has already happened.
        target_value: Predict a variable's value in the target window, which begins with the
            prediction: ``{variable: Lactate, aggregate: max}``; or with ``target_above`` whether
            it is above that.
        target_variables: Predict the values of these variables in the target window, step by step
            as the inputs go on: ``HR +1 h``, ``MAP +1 h``, ``HR +2 h``; NaN where not measured.
        target_hours: Length of the target window, in hours. With ``target_column``: how long
            before the onset the label turns 1; hours from the onset on are then left out.
        target_column: With ``index: every_step``, the measured column of 0 and 1 whose value at
            the hour of the prediction is the label; it is never an input.
        onset: The column of ``labels`` with the time at which what is predicted begins, empty
            where it does not: predict whether that is within ``target_hours``.
        censoring: What becomes of samples whose stay ends (``discharge``, else its last event)
            before the target window does, without the target event: drop (counted), as nobody
            knows; or negative, as where a stay's end is known to exclude the event.
        prevalent: What becomes of samples whose target event has occurred before the target
            window: drop (counted), or keep, to predict the next one.
        every_hours: With ``index: every_step``, hours between predictions; by default
            ``step_hours``. Each sees the ``hours`` before it, NaN before the stay began.
        first_prediction_hours: The first one, in hours since the stay's start (its admission, if
            given, else its first event); by default ``every_hours``.
        last_prediction_hours: The last one; by default when the stay's observation ends.
        static: Variables that do not change during a stay (age, kind of unit): no channels but a
            second input, the last value before the prediction, however long before it.
        static_categorical: Those of ``static`` whose numbers are codes.
        static_table: A table with one row a stay of which ``static`` names columns instead; it is
            read again to predict, and must then hold the new stays.
        cache: A folder for what is read; by default the one that MEDKIT_CACHE names, else none.
        refresh: Ask a database again although its rows are in the cache.

    Returns:
        A cohort indexed by stay (by stay and time or hour of prediction, where these place the
        window) with one ``series`` input: float32 (samples, steps, variables), NaN where nothing
        was measured; or one of ``triplets``: float32 (samples, most events, 3), hours since the
        window's start, position of the variable, value, NaN at the end. Without labels the
        order is that of the file, or by id in Parquet.

    Raises:
        DataError: A file or column is absent, times or values cannot be read, values are
            infinite, a variable has two units, stays repeat in ``labels``, no stay has both
            events and a label, or the database cannot be reached.
        RunError: The disk of the cache is full.
    """
    asked = Query.of(path, url, query, timeout, refresh)
    store, passing = Store.of(cache), Store(None)
    if labels_query is not None:
        labels = fetched_labels(asked, labels_query, labels, passing)
    if labels is None and (target is not None or targets):
        raise DataError("a target needs the table it is a column of: labels", place="dataset")
    meds = layout == "meds"
    index = index or ("prediction" if meds else "first_event")
    windowed = target_event or target_value or target_variables or target_column or onset
    if meds:
        subject = subject or stay or _MEDS["stay"]
        if labels is not None and target is None and not targets and not windowed:
            target = "boolean_value"
    problem = Problem(
        index=index, hours=hours, step_hours=step_hours, gap_hours=gap_hours, target=target,
        targets=targets, target_above=target_above, target_event=target_event,
        target_value=target_value, target_variables=target_variables, target_hours=target_hours,
        target_column=target_column, onset=onset, censoring=censoring, prevalent=prevalent,
        every_hours=every_hours, first_prediction_hours=first_prediction_hours,
        last_prediction_hours=last_prediction_hours,
    )  # fmt: skip
    columns = EventColumns(
        stay or (_MEDS["stay"] if meds else "stay"),
        None if time == "row" and layout == "wide" else time or "time",
        variable or (_MEDS["variable"] if meds else "variable"),
        value or (_MEDS["value"] if meds else "value"),
        unit,
    )
    beside = Static(static, static_categorical, static_table, columns.stay)
    ways = aggregate if isinstance(aggregate, dict) else {"*": aggregate}
    ways = {"*": "mean", **ways, **(aggregates or {})}

    def way_of(name: str) -> Aggregate:
        return ways.get(name, ways["*"])

    # A patient number or an outcome that lies among the measurements is no measurement.
    excluded = {name for name in (*ignore, columns.stay, *targets, target, target_column) if name}
    source = EventSource(
        None if asked else path, asked, labels, columns, layout, engine, time_format
    )
    found, path = read_found(
        source, store, missing_values or {},
        {name for name in excluded if not problem.needs(name)}, units or {},
        {*ways.values(), *problem.ways, *(("last",) if beside.among_events else ())},
    )  # fmt: skip
    labelled = labels is not None or problem.labelled
    if labelled:
        spoken_of = {
            "units": tuple(units or ()), "ranges": tuple(ranges or ()),
            "missing_values": tuple(missing_values or ()), "aggregate": tuple(ways),
            "static": beside.among_events,
        }  # fmt: skip
        strange = strange_notes(spoken_of, found.variables)
        found = replace(found, notes=(*found.notes, *strange))
    excluded |= {*problem.emptied(found.variables, variables), *beside.among_events}
    names = channels_of(
        found.variables[~found.variables["name"].isin(excluded)], variables,
        lambda name: way_of(name) == "count", labelled, path,
    )  # fmt: skip
    plan = Plan(
        names, [way_of(name) for name in names], Window(hours, step_hours, found.unit),
        ranges or {}, outside, duplicates, engine,
    )  # fmt: skip
    table = None
    if labels is not None:
        if index == "admission" and admission is None:
            raise DataError(
                "index: admission needs the column of labels with it: admission", place="dataset"
            )
        moment = prediction_time if index == "prediction" else None
        if index in ("admission", "every_step") and found.timestamps:
            moment = admission  # hours count from it already
        time_column = prediction_time if index == "prediction" else admission
        table = read_labels(
            labels,
            Roles(subject=subject, id=columns.stay, time=time_column, site=site,
                  attributes=attributes, time_format=time_format),
            Target(column=target or targets, above=target_above) if target or targets else None,
            moment, discharge,
            index == "prediction", (found.timestamps, found.zoned), onset,
        )  # fmt: skip
    if index == "every_step" and form == "triplets":
        raise DataError(
            "index: every_step needs form: grid, of which each prediction sees a part",
            place="dataset",
        )
    if index == "every_step":
        picked, windows, values, notes = every_step(
            problem, found, plan, table, way_of, layout, path, unmatched, store
        )
    else:
        moments = index_moments(problem, found, table, engine, path)
        windows, place = windows_of(found, table, problem, moments)
        axis = axis_at(found, windows.stays, windows.starts, windows.ends, windows.others)
        if form == "triplets":
            grid = tripled(found, plan, axis, place, path, problem.span)
        else:
            grid = gridded(found, plan, axis, place, path, problem.span, store)
        # A stay of which no more than its static features is known is a stay all the same.
        grid = grid._replace(present=grid.present | beside.seen(found, plan, windows, path))
        stays = windows.stays if index == "prediction" else place
        outcome = outcome_of(problem, found, plan, windows, (table, stays), way_of, layout, path)
        picked = samples_of(
            problem, found, table, place, grid, outcome, windows, unmatched,
            subject == columns.stay,
        )  # fmt: skip
        rows, notes = grid.row[picked.places], grid.notes
        whole = np.array_equal(rows, np.arange(len(grid.values)))
        values = grid.values if whole else chosen(grid.values, rows)
    features = _features(plan, units or {}, found, missing_values)
    kind = "triplets" if form == "triplets" else "series"
    inputs, files = beside.beside(
        found, plan, windows, picked.places, path, units or {}, missing_values
    )
    inputs = {kind: RawInput(kind, values, features), **inputs}
    return _cohort(found, table, picked, inputs, notes, files)


def _cohort(
    found: FoundEvents,
    labels: Labels | None,
    picked: Picked,
    inputs: dict[str, RawInput],
    notes: tuple[str, ...],
    files: dict[str, str],
) -> Cohort:
    return Cohort(
        samples=picked.samples,
        inputs=inputs,
        targets=picked.targets,
        source=Source(
            {**found.files, **(labels.files if labels is not None else {}), **files},
            picked.read,
            {reason: count for reason, count in picked.dropped.items() if count},
            picked.label,
            (*found.notes, *notes, *picked.notes),
        ),
        target_names=picked.names,
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

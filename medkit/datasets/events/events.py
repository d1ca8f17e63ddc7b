"""Irregular measurements of hospital stays (subject, time, variable, value) on a regular grid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from medkit.core.errors import did_you_mean
from medkit.core.registry import datasets, with_groups
from medkit.data.cohort import Cohort, Feature, RawInput
from medkit.data.stored_arrays import chosen
from medkit.datasets.events.grid.featurise import Window
from medkit.datasets.events.grid.grid import GridPlan, gridded
from medkit.datasets.events.hourly import every_step
from medkit.datasets.events.labels import read_labels
from medkit.datasets.events.parameters import (
    Channels,
    EventTarget,
    InputWindow,
    LabelTable,
    StaticFeatures,
    StayColumns,
    StaySource,
)
from medkit.datasets.events.problem import problem_of
from medkit.datasets.events.samples import samples_of
from medkit.datasets.events.sources.found import FoundEvents, channels_of
from medkit.datasets.events.sources.source import EventColumns, EventSource
from medkit.datasets.events.sources.sources import read_found
from medkit.datasets.events.sources.sql import Query, fetched_labels
from medkit.datasets.events.static import among_events, number_of, static_input, static_seen
from medkit.datasets.events.targets import targets_of
from medkit.datasets.events.triplets import YIELDS_BY, Form, to_triplets
from medkit.datasets.events.windows import axis_at, input_windows
from medkit.datasets.parameters import Values
from medkit.readers.cache import Store

# The columns' names by default, and those of the Medical Event Data Standard.
_USUAL = EventColumns("stay", "time", "variable", "value")
_MEDS = EventColumns("subject_id", "time", "code", "numeric_value")


@datasets.register(
    yields="series",
    yields_beside={"static": "tabular"},
    yields_by=YIELDS_BY,
    unlabelled={
        "labels": None,
        "target": None,
        "source.url": None,
        "source.query": None,
        "source.cache": None,
    },
    one_of=("path", "source.url"),
    check=problem_of,
)
@with_groups
def events(
    *,
    path: Path | None = None,
    source: StaySource = StaySource(),
    labels: LabelTable | None = None,
    columns: StayColumns = StayColumns(),
    form: Form = "grid",
    window: InputWindow = InputWindow(),
    variables: Channels = Channels(),
    static: StaticFeatures | None = None,
    target: EventTarget | None = None,
    values: Values = Values(),
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
        source: Where the events are, if not simply in files, and how they are read.
        labels: The table with one row a stay, or one a prediction; None when only predicting, or
            where the target is in the events.
        columns: The columns of the events and of the labels.
        form: grid: values by time step; triplets: each event with its time, for models that take
            such; ``step_hours`` and all aggregates but count mean nothing then (a counted event
            has the value 1).
        window: What is known at the prediction: from when to when, in which steps.
        variables: Which variables become inputs, and how several values in one step become one.
        static: Variables that do not change during a stay: a second input.
        target: What is predicted; None when only predicting, in meds also for the column
            ``boolean_value`` of the labels.
        values: What the numbers mean.

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
    problem = problem_of({
        "source": source, "labels": labels, "columns": columns, "form": form, "window": window,
        "variables": variables, "static": static, "target": target,
    })  # fmt: skip
    asked = Query.of(path, source.url, source.query, source.timeout, source.refresh)
    store = Store.of(source.cache)
    usual = _MEDS if source.layout == "meds" else _USUAL
    named = EventColumns(
        *(getattr(columns, role) or name for role, name in usual._asdict().items())
    )
    if columns.time == "row" and source.layout == "wide":
        named = named._replace(time=None)
    label_path = None
    if labels is not None:
        query, rows = labels.query, Store(None)
        label_path = labels.path if query is None else fetched_labels(asked, query, rows)
    # A patient number or an outcome that lies among the measurements is no measurement.
    looked_for = (*problem.target.columns, problem.target.flag)
    excluded = {name for name in (*variables.ignore, named.stay, *looked_for) if name}
    static_events = among_events(static)
    written = EventSource(
        Path(str(path)) if asked is None else asked.place, label_path, named, source.layout,
        source.engine, columns.time_format, values.missing_values,
        {name for name in excluded if not problem.needs(name)}, values.units,
        {*variables.aggregates, *problem.aggregates, *(("last",) if static_events else ())},
    )  # fmt: skip
    found = read_found(written, asked, store)
    labelled = labels is not None or problem.labelled
    if labelled:
        notes = _strange_notes(found, variables, static, values)
        found = replace(found, notes=(*found.notes, *notes))
    excluded |= {*problem.emptied(found.variables, variables.include), *static_events}
    names = channels_of(
        found, variables.include, lambda name: variables.aggregate_of(name) == "count", labelled,
        excluded,
    )  # fmt: skip
    plan = GridPlan(
        names, [variables.aggregate_of(name) for name in names],
        Window(window.hours, window.step_hours, found.unit), values.ranges, values.outside,
        variables.duplicates, source.engine,
    )  # fmt: skip
    subject = columns.subject or (named.stay if source.layout == "meds" else None)
    table = None
    if labels is not None and label_path is not None:
        own = (subject, named.stay)
        table = read_labels(label_path, problem, columns, own, found, labels.unmatched)
    if problem.index == "every_step":
        picked, windows, content, notes = every_step(problem, found, plan, table, store)
    else:
        windows, positions = input_windows(found, table, problem, source.engine)
        axis = axis_at(found, windows.stays, windows.starts, windows.ends, windows.others)
        if form == "triplets":
            grid = to_triplets(found, plan, axis, positions, problem.span)
        else:
            grid = gridded(found, plan, axis, positions, problem.span, store)
        # A stay of which no more than its static features is known is a stay all the same.
        grid = grid._replace(present=grid.present | static_seen(static, found, plan, windows))
        targets = targets_of(problem, found, plan, windows, table)
        picked = samples_of(
            problem, found, table, positions, grid, targets, windows, subject == named.stay
        )
        kept, notes = grid.row[picked.positions], grid.notes
        whole = np.array_equal(kept, np.arange(len(grid.values)))
        content = grid.values if whole else chosen(grid.values, kept)
    kind = "triplets" if form == "triplets" else "series"
    inputs = {kind: RawInput(kind, content, _features(plan, values, found))}
    files = {**found.files, **({} if table is None else table.files)}
    if static is not None:
        inputs["static"], its_file = static_input(
            static, named.stay, found, plan, windows, picked.positions, values
        )
        files |= its_file
    notes = (*found.notes, *notes, *picked.source.notes)
    read_from = replace(picked.source, files=files, notes=notes)
    return Cohort(picked.samples, inputs, picked.targets, read_from, picked.names)


def _strange_notes(
    found: FoundEvents, variables: Channels, static: StaticFeatures | None, values: Values
) -> tuple[str, ...]:
    """Notes on names in the parameters that no event has, nor a table of static features."""
    elsewhere = set(static.features) if static is not None and static.table else set()
    aggregate, known = variables.aggregate, sorted(set(found.variables["name"]))
    spoken_of = {
        **{each: {*getattr(values, each)} - elsewhere
           for each in ("units", "ranges", "missing_values")},
        "aggregate": () if isinstance(aggregate, str) else aggregate,
        "static": among_events(static),
    }  # fmt: skip
    notes = []
    for parameter, names in spoken_of.items():
        strange = sorted(set(names) - {"*", *known})
        if strange:
            shown = ", ".join(f"'{name}'{did_you_mean(name, known)}" for name in strange[:20])
            notes.append(f"{parameter} names variables that no event has: {shown}")
    return tuple(notes)


def _features(plan: GridPlan, values: Values, found: FoundEvents) -> tuple[Feature, ...]:
    features = []
    for name, way in zip(plan.names, plan.aggregates, strict=True):
        if way == "count":
            features.append(Feature(name, outside="keep"))
            continue
        feature = number_of(name, found, values)
        # A range is that of a single event, which a step's sum may well exceed.
        features.append(replace(feature, outside="keep") if way == "sum" else feature)
    return tuple(features)

"""A table with one row a sample: text, Parquet, Excel or a database."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from medkit.core.errors import DataError
from medkit.core.files import sha256
from medkit.core.lazy import pd
from medkit.core.registry import datasets, with_groups
from medkit.data.cohort import Cohort, RawInput, Source
from medkit.data.stored_columns import StoredColumns
from medkit.datasets.parameters import Target
from medkit.datasets.table.columns import Roles, read_targets
from medkit.datasets.table.dictionary import TableValues, declared, describe
from medkit.datasets.table.inputs import feature_of, roles_of
from medkit.datasets.table.large import LARGE, ColumnReader, LargeTable, joined_notes, passing
from medkit.datasets.table.parameters import TableColumns, TableSource
from medkit.datasets.table.roles import candidates, identifiers, infer_roles
from medkit.readers.cache import Store
from medkit.readers.sql import database_of, open_query
from medkit.readers.tables import Table, open_table, require
from medkit.readers.text import DELIMITED
from medkit.readers.values import numbers_if_all

log = logging.getLogger("medkit")


@datasets.register(
    yields="tabular",
    unlabelled={"target": None, "source.url": None, "source.query": None, "source.cache": None},
    categorical="columns.categorical",
    numeric="columns.numeric",
    described="values.dictionary",
    one_of=("path", "source.url"),
)
@with_groups
def table(
    *,
    path: Path | None = None,
    source: TableSource = TableSource(),
    columns: TableColumns = TableColumns(),
    target: Target | None = None,
    values: TableValues = TableValues(),
) -> Cohort:
    """One row a sample, from a text, Parquet or Excel file or from a database.

    Columns of text or truth values become categorical inputs, all others numeric ones. The
    columns of subject, id, time, site and target are no inputs unless ``inputs`` lists them.
    Columns of which nothing is said but whose names say what they are (``patient_id``, ``mrn``,
    ``RecordID``, ``hospital``, ``admission_date``, ``sex``) take that role, and the run says so;
    any parameter that names a column goes before its name. The target is always named.

    A table that takes more than 512 MB is read by column and its inputs are kept on disk: in
    ``cache``, or in a temporary folder. What a database gives is not kept. Without a target (a
    new file to predict for) the columns of subject, id, time, site and attributes may be absent.

    Args:
        path: The file: ``.csv``, ``.tsv``, ``.txt`` (each also with ``.gz`` or ``.zst``),
            ``.parquet``, ``.xlsx``, or, with ``query``, a database: ``.sqlite``, ``.duckdb``.
        source: Where the rows are, if not simply in a file, and how they are read.
        columns: What each column is: who and when, an input, or nothing.
        target: What is predicted; None where only predicting.
        values: What the numbers mean.

    Returns:
        A cohort with one ``tabular`` input: float64 columns with NaN, and text columns
        (object) with None where missing.

    Raises:
        DataError: The file or database cannot be read, a named column is absent, a numeric
            column holds text or infinite values, no row has a target, or ids repeat.
    """
    labelled = target is not None
    target_columns = target.columns if target else ()
    store = Store.of(source.cache)
    store = store if source.query is None else passing(store)
    opened = _opened(path, source, labelled, store)
    names, place = opened.names, opened.place
    roles: Roles = columns.within(names, place, labelled)
    _require_named(columns, values, target_columns, names, place, labelled)
    described = describe(values, names)
    numeric, categorical = declared(described, columns.numeric, columns.categorical)

    # Who predicts has no labels, and inputs that training has settled.
    own = {*roles.own, *roles.attributes, *target_columns}
    no_inputs = {*own, *columns.ignore, *columns.durations}
    spoken_for = {*no_inputs, *(columns.inputs or ()), *numeric, *categorical}
    telling = candidates(names, spoken_for, no_inputs) if labelled else []
    as_text = tuple(c for c in (columns.subject, columns.id, *identifiers(telling)) if c)
    reading = ColumnReader(described, numeric, categorical, as_text, columns, place)
    large = None
    if source.cache or opened.size > LARGE:
        large = LargeTable(opened, reading, store)
    if large is None:
        frame, late = reading.rows(opened)
    else:
        needed = [name for name in names if name in own or name in telling]
        frame, late = large.described_columns(needed or names[:1])
    found_roles = infer_roles(frame[telling], roles, place)
    roles, passed_over = found_roles.roles, {*columns.ignore, *found_roles.ignored}
    samples = roles.samples(frame, place, labelled)
    found = read_targets(frame, target, place, text=categorical)
    chosen = columns.inputs
    if chosen is None:
        other_uses = {*roles.own, *passed_over, *target_columns} - {*columns.durations}
        chosen = tuple(name for name in names if name not in other_uses)
    chosen = (*chosen, *(name for name in columns.durations if name not in chosen))
    for column in chosen:
        require(column, names, place, "input column")
        if column in target_columns:
            raise DataError(f"'{column}' is both input and target", place=str(place))
    if not chosen and columns.inputs is None:
        raise DataError("no input column is left", place=str(place))

    checked = labelled and columns.inputs is None
    read_as_found = replace(reading, text=tuple(c for c in (roles.subject, roles.id) if c))
    inputs: pd.DataFrame | StoredColumns
    if large is None:
        # Text in a database is text; in a file, what no role keeps as text is read as ever.
        again = [
            name for name in chosen
            if opened.spool and name in as_text and name not in read_as_found.text
        ]  # fmt: skip
        frame = frame.assign(**{name: numbers_if_all(frame[name]) for name in again})
        inputs, notes = reading.inputs(frame, chosen, checked)
        kinds = {name: "categorical" if inputs[name].dtype == object else "numeric"
                 for name in chosen}  # fmt: skip
    else:
        large.reading = read_as_found
        inputs, notes = large.inputs(chosen, checked)
        kinds = inputs.kinds
    features = tuple(
        feature_of(kinds[name], described[name], name in columns.durations) for name in chosen
    )
    uses = {
        "target": found.names,
        **{role: [getattr(roles, role) or ""] for role in ("subject", "id", "time", "site")},
        "attribute": roles.attributes,
    }
    files = dict(opened.fingerprints())
    if isinstance(values.dictionary, Path):
        files[values.dictionary.name] = sha256(values.dictionary)
    uses_found = found_roles.marked(roles_of(names, uses, features))
    if labelled:
        log.info("columns: %s", "; ".join(f"{name}: {role}" for name, role in uses_found.items()))
    present = found.present
    dropped = {"missing target": (~present).sum()}
    notes = tuple(joined_notes([found_roles.notes, late, notes]))
    read_from = Source(files, len(frame), dropped, found.label, notes, uses_found)
    kept = inputs if present.all() else inputs.iloc[np.flatnonzero(present)]
    return Cohort(
        samples=samples[present],
        inputs={"tabular": RawInput("tabular", kept, features)},
        targets=found.values,
        source=read_from,
        target_names=found.names,
    )


def _require_named(
    columns: TableColumns,
    values: TableValues,
    target_columns: tuple[str, ...],
    names: list[str],
    place: Path,
    labelled: bool,
) -> None:
    """Raise a DataError if a column that the parameters name is absent."""
    named = {
        "ignore": columns.ignore,
        "numeric": columns.numeric,
        "categorical": columns.categorical,
        "units": values.units,
        "ranges": values.ranges,
        "missing_values": [name for name in values.missing_values if name != "*"],
    }
    for option, used in named.items():
        for column in used if labelled else ():
            require(column, names, place, f"column (named under {option})")
    for column in target_columns:
        require(column, names, place, "target column")
    for column in (*columns.durations, *((columns.time,) if columns.durations else ())):
        require(str(column), names, place, "column (needed for durations)")


def _opened(path: Path | None, source: TableSource, labelled: bool, store: Store) -> Table:
    """The file or the database's rows as a table."""
    url = database_of(path, source.url, source.query, "select * from visits order by id")
    if url is not None:
        return open_query(url, str(source.query), source.timeout, store)
    assert path is not None  # noqa: S101 - for mypy
    text = path.name.lower().endswith(DELIMITED)
    fitting = {"sheet": not text and path.suffix.lower().startswith(".xls"),
               "encoding": text, "delimiter": text}  # fmt: skip
    for option, fits in fitting.items():
        if labelled and getattr(source, option) is not None and not fits:
            raise DataError(f"{option} means nothing for '{path.suffix}' files", place=str(path),
                            hint=f"Leave {option} out.")  # fmt: skip
    kept = {option: getattr(source, option) for option, fits in fitting.items() if fits}
    return open_table(path, decimal=source.decimal, **kept)

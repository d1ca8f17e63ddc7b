"""A table with one row a sample: text, Parquet, Excel or a database."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from medkit.core.errors import DataError
from medkit.core.files import existing, sha256
from medkit.core.lazy import pd
from medkit.core.registry import datasets
from medkit.data.cohort import Cohort, RawInput
from medkit.data.stored_columns import StoredColumns
from medkit.datasets.table.columns import Roles, read_targets, source_of
from medkit.datasets.table.dictionary import Entry, declared, describe
from medkit.datasets.table.inputs import feature_of, roles_of
from medkit.datasets.table.large import LARGE, LargeTable, Reading, joined_notes, passing
from medkit.datasets.table.ranges import Outside
from medkit.datasets.table.roles import candidates, identifiers, infer_roles
from medkit.readers.cache import Store
from medkit.readers.sql import is_database, open_query, url_of
from medkit.readers.tables import Decimal, Table, open_table, require
from medkit.readers.text import DELIMITED
from medkit.readers.values import numbers_if_all

log = logging.getLogger("medkit")


@datasets.register(
    yields="tabular",
    unlabelled={
        "target": None,
        "targets": (),
        "target_above": None,
        "url": None,
        "query": None,
        "cache": None,
    },
    categorical="categorical",
    numeric="numeric",
    described="dictionary",
    one_of=("path", "url"),
)
def table(
    *,
    path: Path | None = None,
    url: str | None = None,
    query: str | None = None,
    timeout: Annotated[float, Field(gt=0)] = 600,
    sheet: str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    decimal: Decimal | None = None,
    target: str | None = None,
    targets: tuple[str, ...] = (),
    target_above: float | None = None,
    subject: str | None = None,
    id: str | None = None,
    time: str | None = None,
    time_format: str | None = None,
    site: str | None = None,
    attributes: tuple[str, ...] = (),
    inputs: tuple[str, ...] | None = None,
    ignore: tuple[str, ...] = (),
    numeric: tuple[str, ...] = (),
    categorical: tuple[str, ...] = (),
    durations: tuple[str, ...] = (),
    dictionary: Path | dict[str, Entry] | None = None,
    units: dict[str, str] | None = None,
    ranges: dict[str, tuple[float, float]] | None = None,
    outside: Outside = "missing",
    missing_values: dict[str, tuple[str | int | float, ...]] | None = None,
    cache: Path | None = None,
) -> Cohort:
    """One row a sample, from a text, Parquet or Excel file or from a database.

    Columns of text or truth values become categorical inputs, all others numeric ones. The
    columns of subject, id, time, site and target are no inputs unless ``inputs`` lists them.
    Columns of which nothing is said but whose names say what they are (``patient_id``, ``mrn``,
    ``RecordID``, ``hospital``, ``admission_date``, ``sex``) take that role, and the run says so;
    any parameter that names a column goes before its name. The target is always named.

    A table that takes more than 512 MB is read by column and its inputs are kept on disk.
    Without a target (a new file to predict for) the columns of subject, id, time, site and
    attributes may be absent.

    Args:
        path: The file: ``.csv``, ``.tsv``, ``.txt`` (each also with ``.gz`` or ``.zst``),
            ``.parquet``, ``.xlsx``, or, with ``query``, a database: ``.sqlite``, ``.duckdb``.
        url: A database instead, as SQLAlchemy takes it. Its password comes from the environment:
            ``"postgresql+psycopg://user:${DB_PASSWORD}@host/db"``, or from PGPASSWORD.
        query: The select statement; with ``order by``, where no ``id`` tells its rows apart.
        timeout: Seconds to wait for the database's connection and for each part of its rows.
        sheet: The sheet of an Excel file; by default the only one with data.
        encoding: The text's encoding; by default UTF-8 or UTF-16 by its mark, else Western
            European (cp1252) where all words read so.
        delimiter: What separates the text's columns; by default found out from the first lines.
        target: The column to predict. Rows where it is empty are dropped and counted.
        targets: Several columns to predict instead of one (multilabel, or several outputs).
        target_above: Predict whether the target is above this value (label 1) or not (0).
        subject: The patient's column; a patient's rows are never divided between train and test.
        id: The sample's own id column; by default the row number, counted from 1.
        time: The column of the time of prediction: dates or numbers, for splits by time.
        time_format: How texts of that column are written, as in ``"%d.%m.%Y"``; by default ISO 8601
            (2024-05-31), or the only format that fits all rows.
        site: The hospital's column, for splits by site.
        attributes: Columns kept for splits and subgroups. With ``inputs`` left out they are
            inputs too, unless ``ignore`` names them.
        inputs: The input columns; by default all that have no other use.
        ignore: Columns that are no inputs.
        numeric: Columns that must hold numbers; a text in one of them is an error.
        categorical: Columns of codes, to be treated as categories though they look like numbers.
            They are read as text: ``038`` and ``250.00`` stay what they are.
        durations: Columns of dates that are inputs as days before ``time``; dates after it are
            missing. Needs dates as 2024-05-31, or ``time_format``.
        dictionary: A data dictionary, YAML or CSV, or its entries: by column ``unit``,
            ``low`` and ``high`` (in that unit), ``outside``, ``missing_values``,
            ``categories``, and ``convert_to``, the unit that the model is to take (from mass to
            amount also ``molar_mass`` in g/mol). Numbers are converted as they are read, in
            training and from every new file alike; the run keeps how. The parameters below go
            before it.
        units: Unit of a column's numbers, by column: ``{trestbps: mmHg}``.
        ranges: Plausible lowest and highest value by column, in its unit: ``{sbp: [40, 300]}``.
        outside: What becomes of a value outside its range, or of an undeclared category: missing,
            clip (to the range's end), keep, or fail. They are counted in any case.
        missing_values: Values that mean 'missing', by column, or for all under ``"*"``:
            ``{"*": ["?"], chol: [0]}``.
        cache: A folder for the inputs as read: the next run starts at once, unless the file has
            changed. It holds patients' data and is for its owner alone. By default large tables
            go to the folder that MEDKIT_CACHE names, else to a temporary one. What a database
            gives is not kept.
        decimal: The decimal mark of the numbers; by default a point, or a comma in columns that
            hold mostly such numbers where commas do not separate the columns.

    Returns:
        A cohort with one ``tabular`` input: float64 columns with NaN, and text columns
        (object) with None where missing.

    Raises:
        DataError: The file or database cannot be read, a named column is absent, a numeric
            column holds text or infinite values, no row has a target, or ids repeat.
    """
    labelled = target is not None or bool(targets)
    layout = {"sheet": sheet, "encoding": encoding, "delimiter": delimiter}
    store = Store.of(cache) if query is None else passing(Store.of(cache))
    opened = _opened(path, url, query, timeout, decimal, layout, labelled, store)
    names, place = opened.names, opened.place
    known = Roles(subject, id, time, site, attributes, time_format)
    roles = known.within(names, place, labelled)
    for option, used in (
        ("ignore", ignore),
        ("numeric", numeric),
        ("categorical", categorical),
        ("units", units or {}),
        ("ranges", ranges or {}),
        ("missing_values", [c for c in missing_values or {} if c != "*"]),
    ):
        for column in used if labelled else ():
            require(column, names, place, f"column (named under {option})")
    for column in (*targets, *([target] if target else [])):
        require(column, names, place, "target column")
    for column in (*durations, *([time] if durations and time else [])):
        require(column, names, place, "column (needed for durations)")
    both = sorted(set(numeric) & set(categorical))
    if both:
        raise DataError(f"column '{both[0]}' is both numeric and categorical", place="dataset")
    described = describe(dictionary, names, units or {}, ranges or {}, outside, missing_values)
    numeric, categorical = declared(described, numeric, categorical)

    # Who predicts has no labels, and inputs that training has settled.
    own = {*roles.own, *roles.attributes, *targets, *([target] if target else [])}
    spoken_for = {*own, *ignore, *durations, *(inputs or ()), *numeric, *categorical}
    telling = candidates(names, spoken_for, {*own, *ignore, *durations}) if labelled else []
    as_text = tuple(c for c in (subject, id, *identifiers(telling)) if c)
    reading = Reading(described, numeric, categorical, as_text, durations, time, time_format, place)
    large = LargeTable(opened, reading, store) if cache or opened.size > LARGE else None
    if large is None:
        frame, late = reading.rows(opened)
    else:
        few = [name for name in names if name in own or name in telling]
        frame, late = large.few(few or names[:1])
    found_roles = infer_roles(frame[telling], roles, place)
    roles, passed_over = found_roles.roles, {*ignore, *found_roles.ignored}
    samples = roles.samples(frame, place, labelled)
    found = read_targets(frame, target, targets, target_above, place, text=categorical)
    chosen = inputs
    if chosen is None:
        other_uses = {*roles.own, *passed_over, *targets, target} - {*durations}
        chosen = tuple(name for name in names if name not in other_uses)
    chosen = (*chosen, *(name for name in durations if name not in chosen))
    for column in chosen:
        require(column, names, place, "input column")
        if labelled and column in (target, *targets):
            raise DataError(f"'{column}' is both input and target", place=str(place))
    if not chosen:
        raise DataError("no input column is left", place=str(place))

    checked = labelled and inputs is None
    read_as_found = replace(reading, text=tuple(c for c in (roles.subject, roles.id) if c))
    values: pd.DataFrame | StoredColumns
    if large is None:
        # Text in a database is text; in a file, what no role keeps as text is read as ever.
        again = [
            name for name in chosen
            if opened.spool and name in as_text and name not in read_as_found.text
        ]  # fmt: skip
        frame = frame.assign(**{name: numbers_if_all(frame[name]) for name in again})
        values, notes = reading.inputs(frame, chosen, checked)
        kinds = {name: "categorical" if values[name].dtype == object else "numeric"
                 for name in chosen}  # fmt: skip
    else:
        large.reading = read_as_found
        values, notes = large.inputs(chosen, checked)
        kinds = values.kinds
    features = tuple(feature_of(kinds[name], described[name], name in durations) for name in chosen)
    uses = {
        "target": found.names,
        **{role: [getattr(roles, role) or ""] for role in ("subject", "id", "time", "site")},
        "attribute": roles.attributes,
    }
    files = dict(opened.fingerprints())
    if isinstance(dictionary, Path):
        files[dictionary.name] = sha256(dictionary)
    columns = found_roles.marked(roles_of(names, uses, features))
    if labelled:
        log.info("columns: %s", "; ".join(f"{name}: {role}" for name, role in columns.items()))
    present = found.present
    source = source_of(
        place,
        len(frame),
        {"missing target": (~present).sum()},
        found.label,
        tuple(joined_notes([found_roles.notes, late, notes])),
        files,
        columns,
    )
    kept = values if present.all() else values.iloc[np.flatnonzero(present)]
    return Cohort(
        samples=samples[present],
        inputs={"tabular": RawInput("tabular", kept, features)},
        targets=found.values,
        source=source,
        target_names=found.names,
    )


def _opened(
    path: Path | None,
    url: str | None,
    query: str | None,
    timeout: float,
    decimal: Decimal | None,
    layout: dict[str, str | None],
    labelled: bool,
    store: Store,
) -> Table:
    """The file or the database's rows as a table."""
    if (path is None) == (url is None):
        raise DataError("give either path or url" + (", not both" if url else ""), place="dataset")
    if path is not None and is_database(path):
        if query is None:
            raise DataError(
                "a database needs a query",
                place=str(path),
                hint="As in query: select * from visits order by id.",
            )
        existing(path)
        url = url_of(path)
    if url is not None:
        if query is None:
            raise DataError("a database needs a query", place="dataset.url",
                            hint="As in query: select * from visits order by id.")  # fmt: skip
        return open_query(url, query, timeout, store)
    assert path is not None  # noqa: S101 - for mypy
    if query is not None:
        raise DataError("a query is for databases", place=str(path), hint="Leave query out.")
    text = path.name.lower().endswith(DELIMITED)
    fitting = {"sheet": not text and path.suffix.lower().startswith(".xls"),
               "encoding": text, "delimiter": text}  # fmt: skip
    for option, fits in fitting.items():
        if labelled and layout[option] is not None and not fits:
            raise DataError(f"{option} means nothing for '{path.suffix}' files", place=str(path),
                            hint=f"Leave {option} out.")  # fmt: skip
    kept = {option: layout[option] for option, fits in fitting.items() if fits}
    return open_table(path, decimal=decimal, **kept)

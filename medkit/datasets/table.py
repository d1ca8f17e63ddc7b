"""A table with one row a sample: CSV, TSV or Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from medkit.cohort import Cohort, Feature, RawInput
from medkit.datasets._columns import Roles, read_targets, source_of
from medkit.datasets._files import Decimal, column_names, read_table, require
from medkit.datasets._ranges import Outside, Ranges, check_ranges, note_of, within
from medkit.datasets._values import (
    Sentinels,
    as_category,
    as_numbers,
    check_finite,
    describe_texts,
    is_text,
    refuse_decimal_commas,
    sentinels_of,
    share_of_numbers,
    suggest_missing,
    without_sentinels,
)
from medkit.errors import DataError
from medkit.lazy import pd
from medkit.registry import datasets


@datasets.register(
    yields="tabular",
    unlabelled={"target": None, "targets": (), "target_above": None},
    categorical="categorical",
    numeric="numeric",
)
def table(
    *,
    path: Path,
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
    units: dict[str, str] | None = None,
    ranges: dict[str, tuple[float, float]] | None = None,
    outside: Outside = "missing",
    missing_values: dict[str, tuple[str | int | float, ...]] | None = None,
    decimal: Decimal | None = None,
) -> Cohort:
    """One row a sample, from a CSV, TSV or Parquet file.

    Columns of text or truth values become categorical inputs, all others numeric ones. The
    columns of subject, id, time, site and target are no inputs unless ``inputs`` lists them.
    Without a target (a new file to predict for) the columns of subject, id, time, site and
    attributes may be absent.

    Args:
        path: The file: ``.csv``, ``.tsv``, ``.txt`` (each also with ``.gz``) or ``.parquet``.
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
        units: Unit of a column's numbers, by column: ``{trestbps: mmHg}``.
        ranges: Plausible lowest and highest value by column, in its unit: ``{sbp: [40, 300]}``.
        outside: What becomes of a value outside its range: missing, clip (to the range's end)
            or keep. They are counted in any case.
        missing_values: Values that mean 'missing', by column, or for all under ``"*"``:
            ``{"*": ["?"], chol: [0]}``.
        decimal: The decimal mark of the numbers; by default a point, or a comma in columns that
            hold mostly such numbers where commas do not separate the columns.

    Returns:
        A cohort with one ``tabular`` input: float64 columns with NaN, and text columns
        (object) with None where missing.

    Raises:
        DataError: The file cannot be read, a named column is absent, a numeric column holds
            text or infinite values, no row has a target, or ids repeat.
    """
    names = column_names(path)
    labelled = target is not None or bool(targets)
    roles = Roles(subject, id, time, site, attributes, time_format).within(names, path, labelled)
    if labelled:
        for option, used in (
            ("ignore", ignore),
            ("numeric", numeric),
            ("categorical", categorical),
            ("units", units or {}),
            ("ranges", ranges or {}),
            ("missing_values", [c for c in missing_values or {} if c != "*"]),
        ):
            for column in used:
                require(column, names, path, f"column (named under {option})")
    both = sorted(set(numeric) & set(categorical))
    if both:
        raise DataError(f"column '{both[0]}' is both numeric and categorical", place="dataset")

    frame = read_table(path, text=(subject, id, *categorical), numeric=numeric, decimal=decimal)
    frame = without_sentinels(frame, missing_values, text=categorical)
    found = read_targets(frame, target, targets, target_above, path, text=categorical)
    chosen = inputs
    if chosen is None:
        other_uses = {*roles.own, *ignore, *targets, target}
        chosen = tuple(name for name in names if name not in other_uses)
    for column in chosen:
        require(column, names, path, "input column")
        if labelled and column in (target, *targets):
            raise DataError(f"'{column}' is both input and target", place=str(path))
    if not chosen:
        raise DataError("no input column is left", place=str(path))

    checked = labelled and inputs is None
    values = _input_columns(frame[list(chosen)], numeric, categorical, checked, path)
    notes = _bound(values, ranges or {}, outside)
    features = tuple(
        _feature(values[name], units or {}, ranges or {}, outside, missing_values)
        for name in chosen
    )
    samples = roles.samples(frame, path, labelled)

    present = found.present
    dropped = {"missing target": (~present).sum()}
    source = source_of(path, len(frame), dropped, found.label, notes)
    return Cohort(
        samples=samples[present],
        inputs={"tabular": RawInput("tabular", values[present], features)},
        targets=found.values,
        source=source,
        target_names=found.names,
    )


def _input_columns(
    frame: pd.DataFrame,
    numeric: Sequence[str],
    categorical: Iterable[str],
    checked: bool,
    path: Path,
) -> pd.DataFrame:
    """Inputs as float64 or text; ``checked``: refuse what cannot have been meant as an input."""
    columns = {}
    for name in frame.columns:
        column = frame[name]
        if name in categorical:
            columns[name] = as_category(column)
        elif name in numeric or not is_text(column):
            if pd.api.types.is_datetime64_any_dtype(column):
                raise DataError(
                    f"column '{name}' holds dates, which are no inputs",
                    place=str(path),
                    hint="Name it as dataset.time or under dataset.ignore.",
                )
            columns[name] = as_numbers(column, path)
            check_finite(columns[name], path)
        else:
            if checked:
                _refuse_doubtful_text(column, path)
            columns[name] = as_category(column)
    return pd.DataFrame(columns, index=frame.index)


def _refuse_doubtful_text(column: pd.Series, path: Path) -> None:
    refuse_decimal_commas(column, path)
    if share_of_numbers(column) >= 0.5:
        raise DataError(
            f"column '{column.name}' looks numeric but has text: {describe_texts(column)}",
            place=str(path),
            hint=f"If they mean 'missing': missing_values: {suggest_missing(column)}. "
            f"If the column holds categories: categorical: [{column.name}].",
        )
    different, present = column.nunique(), int(column.notna().sum())
    if present >= 20 and different > 0.9 * present:
        raise DataError(
            f"column '{column.name}' has a different text in almost every row ({different} in "
            f"{present}): an identifier, a date or free text, which is no input",
            place=str(path),
            hint=f"Leave it out (ignore: [{column.name}]), name it as subject, id or time, or "
            f"keep it with categorical: [{column.name}].",
        )


def _bound(values: pd.DataFrame, ranges: Ranges, outside: Outside) -> tuple[str, ...]:
    """Bound the numeric columns of ``values`` in place; a note on what lay outside."""
    check_ranges(ranges)
    counts = {}
    for name in values.columns:
        if name in ranges and values[name].dtype != object:
            bounded, counts[name] = within(values[name].to_numpy(), ranges[name], outside)
            values[name] = bounded
    return note_of(counts, outside)


def _feature(
    column: pd.Series,
    units: dict[str, str],
    ranges: Ranges,
    outside: Outside,
    missing_values: Sentinels | None,
) -> Feature:
    name = str(column.name)
    stand_ins = sentinels_of(missing_values, name)
    if column.dtype == object:
        return Feature(name, "categorical", missing_values=stand_ins)
    low, high = ranges.get(name, (None, None))
    return Feature(name, "numeric", units.get(name), low, high, outside, stand_ins)

"""Sequences of letters or words (DNA, protein, text, codes): one column of a table."""

from __future__ import annotations

from pathlib import Path

from medkit.core.errors import DataError
from medkit.core.registry import datasets
from medkit.data.cohort import Cohort, RawInput
from medkit.datasets.table.columns import Roles, read_targets, source_of
from medkit.readers.tables import column_names, read_table, require
from medkit.readers.values import without_sentinels


@datasets.register(
    yields="tokens", unlabelled={"target": None, "targets": (), "target_above": None}
)
def sequences(
    *,
    path: Path,
    sequence: str = "sequence",
    target: str | None = None,
    targets: tuple[str, ...] = (),
    target_above: float | None = None,
    subject: str | None = None,
    id: str | None = None,
    time: str | None = None,
    time_format: str | None = None,
    site: str | None = None,
    attributes: tuple[str, ...] = (),
    missing_values: dict[str, tuple[str | int | float, ...]] | None = None,
) -> Cohort:
    """One DNA, protein or text sequence a row, from a column of a CSV, TSV or Parquet file.

    Rows whose sequence is empty are dropped and counted, as are rows without a target. Without
    a target (a new file to predict for) the columns of subject, id, time, site and attributes
    may be absent.

    Args:
        path: The file: ``.csv``, ``.tsv``, ``.txt`` (each also with ``.gz``) or ``.parquet``.
        sequence: The column that holds the sequence.
        target: The column to predict.
        targets: Several columns to predict instead of one.
        target_above: Predict whether the target is above this value (label 1) or not (0).
        subject: The column of what must stay together in a split: the patient, gene or family.
        id: The sample's own id column; by default the row number, counted from 1.
        time: The column of the time of prediction: dates or numbers, for splits by time.
        time_format: How texts of that column are written, as in ``"%d.%m.%Y"``; by default ISO 8601
            (2024-05-31), or the only format that fits all rows.
        site: The hospital's column, for splits by site.
        attributes: Columns kept for splits and subgroups.
        missing_values: Values that mean 'missing', by column, or for all under ``"*"``.

    Returns:
        A cohort with one ``tokens`` input: an object array (n,) of str.

    Raises:
        DataError: The file cannot be read, a named column is absent, every sequence is empty,
            no row has a target, or ids repeat.
    """
    names = column_names(path)
    labelled = target is not None or bool(targets)
    require(sequence, names, path, "sequence column")
    if sequence in (target, *targets):
        raise DataError(f"'{sequence}' is both sequence and target", place=str(path))
    roles = Roles(subject, id, time, site, attributes, time_format).within(names, path, labelled)

    # 'NA' and '0101' are sequences, not a missing value and a number.
    frame = read_table(path, text=(subject, id), literal=(sequence,))
    letters = frame[sequence].astype("str").str.strip().where(frame[sequence].notna())
    frame = without_sentinels(frame.assign(**{sequence: letters}), missing_values)
    texts = frame[sequence]
    empty = (texts.isna() | (texts.astype("str") == "")).to_numpy()
    if empty.all():
        raise DataError(
            f"every sequence is empty: column '{sequence}', {len(frame)} rows", place=str(path)
        )
    found = read_targets(frame, target, targets, target_above, path)
    kept = found.present & ~empty
    dropped = {"missing sequence": empty.sum(), "missing target": (~found.present & ~empty).sum()}
    source = source_of(path, len(frame), dropped, found.label)
    values = texts[kept].astype("str").to_numpy(dtype=object)
    samples = roles.samples(frame, path, labelled)[kept]
    return Cohort(
        samples=samples,
        inputs={"tokens": RawInput("tokens", values)},
        targets=None if found.values is None else found.values[kept[found.present]],
        source=source,
        target_names=found.names,
    )

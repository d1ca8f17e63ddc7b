"""Sequences of letters or words (DNA, protein, text, codes): one column of a table."""

from __future__ import annotations

from pathlib import Path

from medkit.core.errors import DataError
from medkit.core.files import sha256
from medkit.core.registry import datasets, with_groups
from medkit.data.cohort import Cohort, RawInput, Source
from medkit.datasets.parameters import Target
from medkit.datasets.table.columns import Roles, read_targets
from medkit.readers.tables import column_names, read_table, require
from medkit.readers.values import without_sentinels


class SequenceColumns(Roles):
    """Which column holds the sequence, and whose, when and where it is from.

    The ``subject`` is what must stay together in a split: the patient, gene or family.
    """

    sequence: str = "sequence"
    """The column that holds the sequence."""


@datasets.register(yields="tokens", unlabelled={"target": None})
@with_groups
def sequences(
    *,
    path: Path,
    columns: SequenceColumns = SequenceColumns(),
    target: Target | None = None,
    missing_values: dict[str, tuple[str | int | float, ...]] | None = None,
) -> Cohort:
    """One DNA, protein or text sequence a row, from a column of a CSV, TSV or Parquet file.

    Rows whose sequence is empty are dropped and counted, as are rows without a target. Without
    a target (a new file to predict for) the columns of subject, id, time, site and attributes
    may be absent.

    Args:
        path: The file: ``.csv``, ``.tsv``, ``.txt`` (each also with ``.gz``) or ``.parquet``.
        columns: Which column holds the sequence, and whose, when and where it is from.
        target: What is predicted; None where only predicting.
        missing_values: Values that mean 'missing', by column, or for all under ``"*"``.

    Returns:
        A cohort with one ``tokens`` input: an object array (n,) of str.

    Raises:
        DataError: The file cannot be read, a named column is absent, every sequence is empty,
            no row has a target, or ids repeat.
    """
    names = column_names(path)
    labelled, sequence = target is not None, columns.sequence
    require(sequence, names, path, "sequence column")
    if target and sequence in target.columns:
        raise DataError(f"'{sequence}' is both sequence and target", place=str(path))
    roles = columns.within(names, path, labelled)

    # 'NA' and '0101' are sequences, not a missing value and a number.
    frame = read_table(path, text=(columns.subject, columns.id), literal=(sequence,))
    letters = frame[sequence].astype("str").str.strip().where(frame[sequence].notna())
    frame = without_sentinels(frame.assign(**{sequence: letters}), missing_values)
    texts = frame[sequence]
    empty = (texts.isna() | (texts.astype("str") == "")).to_numpy()
    if empty.all():
        raise DataError(
            f"every sequence is empty: column '{sequence}', {len(frame)} rows", place=str(path)
        )
    found = read_targets(frame, target, path)
    kept = found.present & ~empty
    dropped = {"missing sequence": empty.sum(), "missing target": (~found.present & ~empty).sum()}
    source = Source({path.name: sha256(path)}, len(frame), dropped, found.label)
    values = texts[kept].astype("str").to_numpy(dtype=object)
    samples = roles.samples(frame, path, labelled)[kept]
    return Cohort(
        samples=samples,
        inputs={"tokens": RawInput("tokens", values)},
        targets=None if found.values is None else found.values[kept[found.present]],
        source=source,
        target_names=found.names,
    )

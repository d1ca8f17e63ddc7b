"""Predictions of a finished run for a new file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from medkit import registry
from medkit.config import Component
from medkit.errors import DataError
from medkit.files import written_whole
from medkit.preparation import new_data
from medkit.runs import Run

if TYPE_CHECKING:
    import pandas


def predict_file(run: Run, path: Path) -> pandas.DataFrame:
    """Predict for every sample of a new file (or folder), laid out as the run's own data.

    Returns:
        Column ``sample`` (the file's own sample ids), then the task's prediction columns.

    Raises:
        DataError: The file cannot be read, or lacks what the model takes.
    """
    cohort = new_data(dataset_of(run), path, run.modality)
    table = run.predict(cohort.only_input)
    table.insert(0, "sample", cohort.samples.index.to_numpy())
    return table.reset_index(drop=True)


def check_output(path: Path) -> None:
    """Refuse a file that predictions cannot be written to, before anything is computed.

    Raises:
        DataError: The suffix is neither .csv nor .parquet.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise DataError(
            f"predictions are written as .csv or .parquet, not '{path.suffix}'", place=str(path)
        )


def write_predictions(table: pandas.DataFrame, path: Path) -> None:
    """Write predictions as CSV or, by the suffix, Parquet; whole or not at all."""
    check_output(path)
    with written_whole(path) as temporary:
        if path.suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False)


def dataset_of(run: Run) -> Component:
    """The dataset section of a run's config, to read another file with its reader's settings."""
    # Paths in the run's own config need not exist any more; only the reader's settings matter.
    given = dict(run.config["dataset"])
    name = given.pop("name")
    schema = registry.datasets.schema(name)
    values = schema.model_validate(given, strict=False)
    return Component(name, {each: getattr(values, each) for each in schema.model_fields})

"""Predictions of a finished run for a new file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from medkit.config.experiment import Component, check_dataset
from medkit.core import registry
from medkit.core.errors import DataError
from medkit.core.files import write_csv, written_whole
from medkit.core.yaml_file import expand, map_strings
from medkit.runs.run import Run, check_written
from medkit.workflows.prepare import read_unlabelled

if TYPE_CHECKING:
    import pandas


def predict_file(
    run: Run,
    path: Path | None,
    query: str | None = None,
    url: str | None = None,
    output: Path | None = None,
) -> pandas.DataFrame:
    """Predict for every sample of a new file, folder or query, laid out as the run's own data.

    Args:
        run: The run.
        path: The file or folder; None with a query to a database that has an address.
        query: A select statement, for the database in ``path``, at ``url``, or at the address
            that the run was trained from.
        url: The database, as SQLAlchemy takes it; ``${VAR}`` is taken from the environment.
        output: Where the table will be written; masks are written beside it.

    Returns:
        Column ``sample`` (the file's own sample ids), then the task's prediction columns.

    Raises:
        DataError: The file cannot be read, or lacks what the model takes.
        RunError: ``output`` is a file that is read, or belongs to a run.
    """
    if output is not None:
        check_written(output, files_of(run, path))
    rows = _rows_of(run, path, query, url)
    cohort = read_unlabelled(dataset_of(run), path, run.encoder, rows)
    table = run.predict(cohort.inputs, output)
    table.insert(0, "sample", cohort.samples.index.to_numpy())
    return table.reset_index(drop=True)


def _rows_of(run: Run, path: Path | None, query: str | None, url: str | None) -> dict[str, str]:
    """The parameters of a reader that name rows of a database."""
    if query is None:
        if url is not None or path is None:
            what = "a database needs a query" if url else "nothing to predict for is named"
            raise DataError(what, place="predict", hint="Give --input FILE, or --query with --url "
                            "where the run was not trained from a database.")  # fmt: skip
        return {}
    if path is not None:
        if url is not None:
            raise DataError("give either a file or a url, not both", place="predict")
        return {"source.query": query}
    address = url or run.config["dataset"].get("source", {}).get("url")
    if not address:
        raise DataError(
            "the run was not trained from a database with an address",
            place="predict",
            hint="Name one: --url 'postgresql+psycopg://user:${DB_PASSWORD}@host/database'.",
        )
    expanded, problems = expand({"url": address})
    if problems:
        raise DataError(problems[0][1], place="url")
    return {"source.query": query, "source.url": expanded["url"]}


def files_of(run: Run, path: Path | None = None) -> list[Path]:
    """The file that is read now, and those that the run's config names as its data."""
    found = [] if path is None else [path]
    folder = run.path / (run.config.get("folder") or "")
    map_strings(run.config["dataset"], lambda text, _: found.append(folder / text[:1000]))
    return found


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
            write_csv(table, temporary)


def dataset_of(run: Run) -> Component:
    """The dataset section of a run's config, to read another file with its reader's settings.

    What is read again to predict lies where it lay in training, whatever the working folder is;
    what training alone needed (its own files, labels, dictionary) need not exist any more.

    Raises:
        DataError: A path that is read again names an environment variable that is not set.
    """
    given = dict(run.config["dataset"])
    tags = registry.datasets.get(given["name"]).tags
    unread = ["path", tags.get("described"), *tags.get("unlabelled", {})]
    if "parts" in tags:
        unread += ["labels", *(f"inputs.{name}.path" for name in given["inputs"])]
    expanded, problems = expand(given)
    for path, text in problems:
        above = {".".join(map(str, path[: i + 1])) for i in range(len(path))}
        if above.isdisjoint(unread):
            raise DataError(text, place=".".join(map(str, ("dataset", *path))))
    folder = run.path / (run.config.get("folder") or "")
    return check_dataset(expanded, folder=folder, place=str(run.path / "config.yaml"))

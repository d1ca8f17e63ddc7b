"""A first config for a table: column roles and the task guessed from the values."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from medkit.core.errors import DataError, RunError
from medkit.core.files import write_text
from medkit.core.lazy import pd
from medkit.datasets.table.columns import MOST_CLASSES, Roles
from medkit.datasets.table.roles import infer_roles
from medkit.readers.tables import column_names, read_table, require
from medkit.readers.values import check_finite, is_text, share_of_commas, share_of_numbers
from medkit.runs.run import check_written
from medkit.workflows.guesses import Guess, inspect_column, numbers_and_texts


def write_config(
    file: Path, target: str, subject: str | None, output: Path, force: bool = False
) -> Path:
    """Write a proposed config and return its path.

    Args:
        file: The table, CSV or Parquet.
        target: The column to predict.
        subject: The patient's column, if there is one.
        output: The config to write; the table's path in it is relative to its folder.
        force: Overwrite an existing file.

    Raises:
        RunError: ``output`` exists (without ``force``) or cannot be written.
        DataError: As `propose_config`.
    """
    output = Path(output)
    if output.exists() and not force:
        raise RunError(
            "exists already",
            place=str(output),
            hint="Pass --force to overwrite it, or another name with --output.",
        )
    check_written(output, [file])
    write_text(output, propose_config(file, target, subject, output.resolve().parent))
    return output


def propose_config(
    file: Path, target: str, subject: str | None = None, folder: Path | None = None
) -> str:
    """A commented YAML config that trains a small network on a table.

    Args:
        file: The table: CSV, TSV or Parquet, one row a sample.
        target: The column to predict.
        subject: The patient's column; None: the one that is called so, else every row counts as
            a patient of its own.
        folder: Where the config will lie; the path of ``file`` is written relative to it.
            None: the absolute path is written.

    Raises:
        DataError: The table cannot be read, has no such column, or has a target that is empty,
            constant, infinite, or different in almost every row though it is text.
    """
    file = Path(file)
    names = column_names(file)
    require(target, names, file, "target column")
    if subject is not None:
        require(subject, names, file, "subject column")
    frame = read_table(file)
    # Where commas separate the columns, only a wish makes them decimal marks too.
    comma = any(share_of_commas(frame[name]) >= 0.5 for name in names)
    frame = read_table(file, decimal=",") if comma else frame
    # As in training, where nobody named them.
    found = infer_roles(frame.drop(columns=target), Roles(subject=subject), file)
    guess = Guess(found.roles)
    values = frame[target]
    if is_text(values) and share_of_numbers(values) >= 0.5:
        values, guess.missing[target] = numbers_and_texts(values)
    task, about = _task(values, file)
    for name in names:
        if name in found.ignored:
            guess.ignored[name] = found.ignored[name]
        elif name not in (target, guess.roles.subject, guess.roles.id):
            inspect_column(frame[name], guess, file)
    no_inputs = (target, guess.roles.subject, guess.roles.id, *guess.ignored)
    used = [name for name in names if name not in no_inputs]
    if not used:
        reasons = "; ".join(f"{_shown(name)}: {why}" for name, why in guess.ignored.items())
        raise DataError(
            "no column is left as an input",
            place=str(file),
            hint=f"{reasons or 'It has no other columns'}. A column of DNA, protein or text is "
            "read by the dataset 'sequences'.",
        )
    path = os.path.relpath(file.resolve(), folder) if folder else str(file.resolve())
    lines = [
        f"# Proposed by 'medkit init' from {file.name}: {len(frame)} rows, {len(names)} columns.",
        "# Every line is a guess from the values: read it before you believe a result.",
        f"name: {_quoted(_slug(file))}",
        "seed: 0",
        "dataset:",
        "  name: table",
        f"  path: {_quoted(Path(path).as_posix())}",
        f"  target: {_quoted(target)}",
        *(['  source: {decimal: ","}'] if comma else []),
        "  columns:",
        *_column_lines(guess, by_name=subject is None),
        "  values:",
        *_value_lines(guess, used),
        *about,
        f"task: {task}",
        "# by: time or by: site test on later patients or on other hospitals.",
        "split: {by: subject, valid: 0.15, test: 0.15}",
        "preprocessing: {missing: median, indicators: true}",
        "model: {name: mlp, hidden_units: [64, 32], dropout: 0.2}",
        "training:",
        "  epochs: 50",
        "  batch_size: 32",
        "  optimizer: {name: adam, learning_rate: 0.001}",
        "  early_stopping: {patience: 10}",
        *(["  # class_weight: balanced"] if task in ("binary", "multiclass") else []),
    ]
    if guess.roles.attributes:
        lines.append(f"evaluation: {{subgroups: {_list(guess.roles.attributes)}}}")
    return "\n".join(lines) + "\n"


def _column_lines(guess: Guess, by_name: bool) -> list[str]:
    lines, roles = [], guess.roles
    if roles.subject is not None:
        if by_name:
            lines.append("    # The patient, by the column's name:")
        lines.append(f"    subject: {_quoted(roles.subject)}")
    else:
        lines.append("    # No subject column was given: rows are treated as independent patients.")
        lines.append("    # If a patient can have several rows, name the patient's column, or the")
        lines.append("    # same patient may be in train and test.")
    if roles.id is not None:
        lines.append(f"    id: {_quoted(roles.id)}")
    for role, column in (("site", roles.site), ("time", next(iter(guess.times), None))):
        if column is not None:
            lines.append(f"    # Looks like the {role} of the sample; for splits by {role}:")
            lines.append(f"    # {role}: {_quoted(column)}")
            if column in guess.time_formats:
                lines.append(f"    # time_format: {guess.time_formats[column]}")
    if roles.attributes:
        lines.append(f"    attributes: {_list(roles.attributes)}")
    if guess.ignored:
        lines.append("    # No inputs:")
        lines += [f"    #   {_shown(name)}: {why}" for name, why in guess.ignored.items()]
        lines.append(f"    ignore: {_list(guess.ignored)}")
    if guess.categorical:
        lines.append(f"    categorical: {_list(guess.categorical)}")
    if guess.codes:
        lines.append("    # Few different whole numbers; add to categorical those that are codes:")
        lines.append(f"    #   {_list(guess.codes)}")
    return lines


def _value_lines(guess: Guess, used: list[str]) -> list[str]:
    lines = []
    if guess.missing:
        entries = (f"{_quoted(name)}: {_list(values)}" for name, values in guess.missing.items())
        lines.append("    # Texts among numbers, taken to mean 'missing':")
        lines.append(f"    missing_values: {{{', '.join(entries)}}}")
    if guess.doubtful:
        lines.append("    # Numbers that may mean 'missing'; if so, add them to missing_values:")
        lines += [
            f"    #   {{{_quoted(name)}: [{value:g}]}}   {why}"
            for name, (value, why) in guess.doubtful.items()
        ]
    lines.append(
        f"    # Units appear in the report and the model card: units: {{{_quoted(used[0])}: ...}}"
    )
    return lines


def _task(values: pd.Series, file: Path) -> tuple[str, list[str]]:
    present = values.dropna()
    kinds, count = present.nunique(), len(present)
    name = values.name
    if not count:
        raise DataError(f"the target column '{name}' is empty", place=str(file))
    if kinds == 1:
        raise DataError(
            f"the target column '{name}' holds one value only; there is nothing to predict",
            place=str(file),
        )
    if not is_text(values):
        check_finite(values.astype("float64"), file, "target column")
    notes = []
    if len(values) > count:
        notes.append(f"# {len(values) - count} rows lack the target and will be dropped.")
    if is_text(values):
        if kinds > MOST_CLASSES and kinds > 0.5 * count:
            raise DataError(
                f"the target column '{name}' has {kinds} different texts in {count} rows; "
                "is it an identifier?",
                place=str(file),
            )
        return ("binary" if kinds == 2 else "multiclass"), [*notes, *_counts(present)]
    if kinds == 2:
        return "binary", [*notes, *_counts(present)]
    whole = bool((present == present.round()).all())
    if whole and kinds <= MOST_CLASSES:
        notes += _counts(present)
        notes.append("# If the numbers are a grade: task: regression, or dataset.target.above: 0")
        notes.append("# with task: binary to predict whether it is above 0.")
        return "multiclass", notes
    low, high = float(present.min()), float(present.max())
    return "regression", [*notes, f"# The target runs from {low:g} to {high:g}."]


def _counts(values: pd.Series) -> list[str]:
    counts = values.value_counts()
    lines = [f"# {len(counts)} classes, of {int(counts.max())} to {int(counts.min())} rows."]
    if int(counts.min()) < 5:
        lines.append("# Classes of fewer than 5 rows cannot be split into three parts; merge them.")
    return lines


_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_YAML_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "none", "nan"}


def _quoted(value: Any) -> str:
    """A YAML scalar: bare where that is safe, else in double quotes."""
    if not isinstance(value, str):
        return f"{value:g}"
    if _PLAIN.fullmatch(value) and value.lower() not in _YAML_WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)


def _list(values: Iterable[Any]) -> str:
    return f"[{', '.join(_quoted(value) for value in values)}]"


def _shown(name: str) -> str:
    return " ".join(name.split())


def _slug(file: Path) -> str:
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", file.name.split(".")[0]).strip("-._")
    return f"{stem or 'table'}-mlp"

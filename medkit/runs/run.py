"""A run: one finished training on disk, complete, checkable and free of pickle."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock
import numpy as np

from medkit.core import registry
from medkit.core.errors import RunError
from medkit.core.files import remove_unfinished, sha256, write_text
from medkit.core.lazy import keras, pd
from medkit.core.limits import check_zip
from medkit.core.yaml_file import read_yaml
from medkit.data.cohort import RawInput
from medkit.data.inputs import Inputs
from medkit.evaluation.results import Metrics
from medkit.evaluation.uncertainty.conformal import conformal_columns
from medkit.modalities.encoder import Encoder
from medkit.runs.state import (
    ConfigFile,
    EnvironmentFile,
    InputsFile,
    MetricsFile,
    checked,
    read_json,
    read_state,
    readable,
)
from medkit.training.backend import select_backend, start
from medkit.training.memory import within_memory
from medkit.training.validation import predict

if TYPE_CHECKING:
    import pandas

log = logging.getLogger("medkit")

MANIFEST = "MANIFEST.json"
CHECKPOINT = "checkpoint"
FORMAT = 1
# A process that was killed may still be ending.
LOCK_SECONDS = 30.0
# What every finished run holds, beside the manifest.
FILES = (
    "config.yaml",
    "inputs.json",
    "model.keras",
    "split.csv",
    "history.csv",
    "predictions.parquet",
    "metrics.json",
    "environment.json",
    "log.txt",
    "report.html",
    "MODEL_CARD.md",
)
# The same of a finished cross-validation, whose folds are runs.
CROSSVAL = "crossval.json"
CROSSVAL_FILES = ("config.yaml", "plan.json", CROSSVAL, "crossval.html", "environment.json",
                  "log.txt")  # fmt: skip


def new_folder(out: Path, name: str) -> Path:
    """Make ``out/<name>/<UTC time>-<short id>``.

    Raises:
        RunError: It cannot be made, or the clock is wrong.
    """
    now = datetime.datetime.now(datetime.UTC)
    if not 1980 <= now.year <= 2107:
        raise RunError(
            f"the clock of this machine says {now:%Y-%m-%d}",
            place=str(out),
            hint="Set it: a run is named by its time, and the archive of its model holds none "
            "before 1980 or after 2107.",
        )
    folder = Path(out) / name / f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise RunError(
            f"the run's folder cannot be made: {error.strerror or error}",
            place=str(folder),
            hint="Choose another folder with --out.",
        ) from error
    return folder


@contextlib.contextmanager
def locked(file: Path, what: str = "run") -> Iterator[None]:
    """Keep what a lock file stands for to this process; the file goes with the lock.

    Raises:
        RunError: Another process keeps it, and does so for ``LOCK_SECONDS`` more.
    """
    lock = filelock.FileLock(file, timeout=LOCK_SECONDS)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise RunError(
            f"another process is at work on this {what}",
            place=str(file.parent),
            hint="Wait for it to end, or end it.",
        ) from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows removes it by itself
            file.unlink()
        lock.release()


def write_json(path: Path, content: Any) -> None:
    """Write JSON whole or not at all; NaN is refused (it is not JSON)."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def seal(folder: Path) -> None:
    """Write the manifest: the sha256 of every other file. After this the run is finished.

    What writers that were killed have left goes first, the checkpoint last: whatever ends the
    process before, the run can be resumed, and be sealed again.

    Raises:
        RunError: A file that every run holds is not there.
    """
    remove_unfinished(folder)
    lacking = [name for name in _due(folder) if not (folder / name).is_file()]
    if lacking:
        raise RunError(f"cannot be sealed without {', '.join(lacking)}", place=str(folder))
    content = {
        "format": FORMAT,
        "files": {name: sha256(folder / name) for name in _content(folder)},
    }
    write_json(folder / MANIFEST, content)
    shutil.rmtree(folder / CHECKPOINT, ignore_errors=True)


def verify(folder: Path | str) -> dict[str, str]:
    """Check a run against its manifest; returns file -> sha256.

    Raises:
        RunError: No run, not finished, or a file changed, missing or added.
    """
    folder = Path(folder)
    place = str(folder)
    if not folder.is_dir():
        raise RunError("no such run (medkit runs lists the finished ones)", place=place)
    if not (folder / MANIFEST).is_file():
        if not (folder / "config.yaml").is_file():
            raise RunError(
                "is not a run: it holds neither config.yaml nor MANIFEST.json", place=place
            )
        command = "crossval" if (folder / "plan.json").is_file() else "train"
        raise RunError(
            "the run did not finish: it has no MANIFEST.json",
            place=place,
            hint=f"Go on with: medkit {command} --resume {folder}",
        )
    try:
        manifest = read_json(folder / MANIFEST)
        listed = dict(manifest["files"])
        if not all(isinstance(each, str) for pair in listed.items() for each in pair):
            raise TypeError("names and hashes must be text")
    except (RunError, ValueError, KeyError, TypeError) as error:
        raise RunError("MANIFEST.json is damaged", place=place) from error
    if manifest.get("format") != FORMAT:
        raise RunError(
            f"was made by a later version of medkit (format {manifest.get('format')}; this "
            f"one reads {FORMAT})",
            place=place,
            hint="pip install --upgrade keras-medkit",
        )
    problems = [f"{name} is missing" for name in listed if not (folder / name).is_file()]
    problems += [
        f"{name} was changed after the run finished"
        for name, digest in listed.items()
        if (folder / name).is_file() and sha256(folder / name) != digest
    ]
    problems += [f"{name} was added" for name in _content(folder) if name not in listed]
    problems += [f"{name} is not in the manifest" for name in _due(folder) if name not in listed]
    if problems:
        raise RunError(
            "; ".join(problems),
            place=place,
            hint="Its numbers can't be trusted: take an unchanged copy, or train again.",
        )
    return listed


def check_written(path: Path, read: Iterable[Path] = ()) -> None:
    """Refuse a place that nothing may be written to, before anything is computed.

    Args:
        path: The file, or a folder.
        read: Files that are read meanwhile, or were read for the run.

    Raises:
        RunError: It is one of them, also by another name, or belongs to a finished run.
    """
    for other in read:
        if path.is_file() and other.is_file() and path.samefile(other):
            raise RunError(
                "would be overwritten: it is what is read",
                place=str(path),
                hint="Give --output another name.",
            )
    whole = Path(path).resolve()
    for folder in (whole, *whole.parents):
        if (folder / MANIFEST).is_file():
            raise RunError(
                f"is a file of the run {folder.name}, which would count as changed",
                place=str(path),
                hint="Write it beside the run's folder.",
            )


def _due(folder: Path) -> tuple[str, ...]:
    return CROSSVAL_FILES if (folder / CROSSVAL).is_file() else FILES


def _content(folder: Path) -> list[str]:
    """Files of a run but the manifest, and but a checkpoint, which no finished run is read from."""
    files = (p.relative_to(folder) for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    return sorted(path.as_posix() for path in files if path.parts[0] != CHECKPOINT)


def finished(folder: Path) -> list[Path]:
    """The finished runs below a folder, oldest first."""
    sealed = (p.parent for p in Path(folder).rglob(MANIFEST))
    return sorted((p for p in sealed if not (p / CROSSVAL).exists()), key=lambda p: p.name)


class Run:
    """A finished run, opened.

    ``Run.open("runs/breast-cancer-mlp/…").predict(table)`` needs nothing but its directory.

    Attributes:
        path: The directory.
        config: The config with every default, as nested mappings.
        metrics: Content of ``metrics.json``.
    """

    def __init__(self, path: Path):
        self.path = path
        file = path / "config.yaml"
        self.config: Mapping[str, Any] = checked(read_yaml(file)[0], ConfigFile, file)
        self.metrics: Metrics = read_state(path / "metrics.json", MetricsFile)
        self.environment: dict[str, Any] = read_state(path / "environment.json", EnvironmentFile)
        inputs = read_state(path / "inputs.json", InputsFile)
        with readable(path / "inputs.json"):
            self.encoder = Encoder.from_dict(inputs["inputs"])
            self.task = registry.tasks.get(inputs["task"]["name"]).factory.from_dict(
                inputs["task"]["state"]
            )
        self.threshold = inputs["task"]["threshold"]
        self.conformal: dict[str, Any] | None = inputs.get("conformal")

    @classmethod
    def open(cls, path: Path | str) -> Run:
        """Open a finished run after checking every file's hash.

        Raises:
            RunError: No run, not finished, or changed since.
        """
        verify(path)
        if (Path(path) / CROSSVAL).is_file():
            raise RunError(
                "is a cross-validation, not one run",
                place=str(path),
                hint=f"Each fold is a run of its own: {Path(path) / 'folds'}",
            )
        return cls(Path(path))

    @property
    def history(self) -> pandas.DataFrame:
        """One row an epoch: loss and watched metrics on train and validation."""
        return pd.read_csv(self.path / "history.csv")

    @cached_property
    def model(self) -> keras.Model:
        """The saved network: takes ``{input: array}`` in physical units, as ``encoder.encode``
        gives it, and holds its own preprocessing."""
        select_backend(preferred=self.environment["backend"])
        start()
        import medkit.layers  # noqa: F401 - registers the layers that the file names

        path = self.path / "model.keras"
        check_zip(path)
        with readable(path), within_memory():
            return keras.saving.load_model(path, compile=False, safe_mode=True)

    def predict(self, data: Any, output_file: Path | None = None) -> pandas.DataFrame:
        """Predict for new samples, one row each.

        Args:
            data: ``{input: data}``, or the data of the only input. As the input's modality takes
                it: a DataFrame with the training columns (tabular), an array (n, time, channels),
                (n, height, width[, channels]), a list of texts, or a RawInput. Columns the model
                does not know are ignored.
            output_file: The file that the table will be written to: outputs that fit no table,
                such as masks, are written beside it.

        Returns:
            The task's prediction columns, then ``prediction_set``, or ``low`` and ``high``, at the
            run's coverage; missing where ``missing: drop`` cannot use a row.

        Raises:
            DataError: An input or columns lacking, a wrong image size, infinite values, …
        """
        outputs = self.outputs(data)
        if output_file is not None:
            self.task.write(output_file.parent, output_file.stem, None, outputs)
        usable = np.isfinite(outputs).all(axis=tuple(range(1, outputs.ndim)))
        columns = self.task.prediction_columns(outputs[usable], self.threshold)
        columns |= conformal_columns(self.task, self.conformal, outputs[usable])
        table = pd.DataFrame(columns, index=np.flatnonzero(usable)).reindex(range(len(outputs)))
        for given in self.encoder.by_name(data).values():
            values = given.values if isinstance(given, RawInput) else given
            if isinstance(values, pd.DataFrame):
                return table.set_index(values.index)
        return table

    def outputs(self, data: Any) -> np.ndarray:
        """The network's outputs (n, outputs), NaN for rows that cannot be used."""
        given = self.encoder.by_name(data)
        return predict_usable(self.model, self.encoder.encode(given), self.encoder.keep(given))


def predict_usable(model: keras.Model, inputs: Inputs, usable: np.ndarray) -> np.ndarray:
    """Outputs (n, outputs) of a network as float64; NaN where a row is not usable."""
    rows = np.flatnonzero(usable)
    outputs = np.full((len(inputs), *model.output_shape[1:]), np.nan)
    if len(rows):
        some = inputs if len(rows) == len(inputs) else inputs.take(rows)
        outputs[rows] = predict(model, dict(some.arrays), min(1024, len(rows)))
    return outputs

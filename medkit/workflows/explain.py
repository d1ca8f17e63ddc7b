"""``medkit explain``: why a run's network said what it said of the samples of a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medkit.core.errors import DataError, MedkitError
from medkit.core.files import write_csv, write_text, written_whole
from medkit.data.cohort import Cohort
from medkit.data.inputs import Inputs
from medkit.explanation.local import check_method, explain
from medkit.explanation.outputs import not_explained
from medkit.explanation.tables import Explained, table_of
from medkit.report.pages.explanation import render
from medkit.runs.run import Run, check_written
from medkit.workflows.external import dataset_of, files_of
from medkit.workflows.prepare import read_unlabelled

ROWS_SHAP = 20
_BACKGROUND = 200
SUFFIXES = (".csv", ".html", ".png")


def explain_file(
    run: Run,
    path: Path,
    *,
    row: str | None = None,
    method: str = "auto",
    output: str | None = None,
) -> list[Explained]:
    """Explain the predictions for a new file, or for one of its samples.

    Args:
        run: The run.
        path: File or folder laid out as the run's own data.
        row: The file's own id of one sample; None for all, the first of them: an explanation costs
            as much as hundreds of predictions (``Modality.most_explained``).
        method: Name of a method, or ``auto``.
        output: Class, label or output to explain; None for the most probable one of each sample.

    Returns:
        The explanation of each input.

    Raises:
        DataError: The file cannot be read, or has no such sample.
        MedkitError: The method is unknown or does not fit this network.
    """
    check_method(method)
    if run.task.answers != "sample":
        raise MedkitError(not_explained(run.task), place=run.path.name)
    cohort = read_unlabelled(dataset_of(run), path, run.encoder)
    usable = np.flatnonzero(run.encoder.keep(cohort.inputs))
    if len(usable) == 0:
        raise DataError("no sample of the file can be used: each has a missing input")
    if row is not None:
        taken = np.array([_position(cohort, row, usable)])
    else:
        most = min(each.most_explained for each in run.encoder.modalities.values())
        taken = usable[: ROWS_SHAP if method == "shap" else most]
    inputs = _encoded(run, cohort, taken)
    background = None
    if method == "shap":
        # The other samples of the file stand for an unknown value: a run keeps no training rows.
        others = usable if len(usable) == 1 else np.setdiff1d(usable, taken[:1])
        background = _encoded(run, cohort, others[:_BACKGROUND])
    found = explain(
        run.model,
        run.encoder,
        run.task,
        inputs,
        method=method,
        output=output,
        background=background,
        seed=int(run.config.get("seed", 0)),
    )
    ids = cohort.samples.index.to_numpy()[taken]
    omitted = 0 if row is not None else len(usable) - len(taken)
    title = f"{run.config.get('name', 'experiment')}, run {run.path.name}"
    return [
        Explained(
            name, run.encoder.modalities[name], run.task, ids, np.asarray(inputs[name]), local,
            row is not None, omitted, title,
        )
        for name, local in found.items()
    ]  # fmt: skip


def check_output(path: Path, row: str | None, run: Run, source: Path) -> None:
    """Refuse a file that this explanation cannot be written to, before anything is computed.

    Raises:
        DataError: An unknown suffix, or a picture of something that is no image.
        RunError: It is a file that is read, or belongs to a run.
    """
    check_written(path, files_of(run, source))
    if path.suffix not in SUFFIXES:
        raise DataError(
            f"explanations are written as {', '.join(SUFFIXES)}, not '{path.suffix}'",
            place=str(path),
        )
    pictures = sum(modality.pictured for modality in run.encoder.modalities.values())
    if path.suffix == ".png" and (pictures != 1 or row is None):
        raise DataError(
            "a .png holds one image with its heat map",
            place=str(path),
            hint="Name a sample with --row, of a run on images; .html and .csv take everything.",
        )


def write_explanation(explained: Sequence[Explained], path: Path) -> None:
    """Write a table (.csv), a page (.html) or an image (.png); whole or not at all."""
    if path.suffix == ".csv":
        with written_whole(path) as temporary:
            write_csv(table_of(explained), temporary)
    elif path.suffix == ".png":
        with written_whole(path) as temporary:
            (image,) = [each for each in explained if each.modality.pictured]
            if image.local.axes != image.modality.value_axes:
                raise DataError(
                    f"the method '{image.local.method}' gives no heat map to draw",
                    place=str(path),
                    hint="Write .html or .csv, or use --method occlusion.",
                )
            drawing = image.modality.draw(image.x, 0, image.local.attributions)
            temporary.write_bytes(drawing.picture if drawing else b"")
    else:
        write_text(path, render(explained))


def _position(cohort: Cohort, row: str, usable: np.ndarray) -> int:
    found = np.flatnonzero(cohort.samples.index.astype(str) == row)
    if len(found) == 0:
        raise DataError(
            f"the file has no sample '{row}'",
            hint="medkit predict RUN --input FILE lists the samples in its first column.",
        )
    if found[0] not in usable:
        raise DataError(f"sample '{row}' cannot be used: it has a missing input")
    return int(found[0])


def _encoded(run: Run, cohort: Cohort, rows: np.ndarray) -> Inputs:
    return run.encoder.encode(cohort.take(rows).inputs)


__all__ = ["check_output", "explain_file", "table_of", "write_explanation"]

"""Cohorts written in the layout of the file datasets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.core.registry import datasets, modalities
from medkit.data.cohort import Cohort, RawInput
from medkit.evaluation.early_warning.stays import reserved_columns
from medkit.modalities.files import FileRows, values_of, write_csv
from medkit.modalities.modality import Modality

MOST_CLASSES = 20


def task_for(targets: np.ndarray) -> str:
    """The task that fits target values: binary, multiclass, multilabel or regression."""
    values = np.asarray(targets)
    if values.ndim == 2 and values.shape[1] > 1:
        return "multilabel" if set(np.unique(values)) <= {0, 1} else "regression"
    kinds = len(set(values.ravel().tolist()))
    text = values.dtype.kind in "OUSb"
    if not text and (kinds > MOST_CLASSES or (values != np.round(values.astype(float))).any()):
        return "regression"
    return "binary" if kinds == 2 else "multiclass"


def write_files(
    cohort: Cohort, name: str, folder: Path, step_hours: float = 1
) -> tuple[list[Path], dict[str, Any]]:
    """Write a cohort in the layout of the file datasets, as its modality writes it.

    Predictions at every hour are written as their stays, with the time of the onset.

    Args:
        cohort: One input, with or without targets; a sequence and the table ``static``; or several
            inputs and targets, which the data set ``joined`` reads.
        name: Name of the table.
        folder: Where to write; made if it is not there.
        step_hours: Hours that a time step of a series is taken as.

    Returns:
        The files a reader opens (of images, the manifest alone), and the config's ``dataset``
        section, its paths relative to ``folder``.

    Raises:
        DataError: An input that cannot be written, or columns of one name and different content.
        RunError: The folder cannot be written.
    """
    folder = Path(folder)
    if len(cohort.inputs) == 2 and "static" in cohort.inputs:
        return _write_static(cohort, cohort.inputs["static"], name, folder, step_hours)
    if len(cohort.inputs) > 1:
        return _write_several(cohort, folder, step_hours)
    (raw,) = cohort.inputs.values()
    modality: Modality = modalities.get(raw.modality).factory()
    if reserved_columns(cohort.samples):
        return _write_stays(cohort, raw, modality, folder)
    classes = None
    if cohort.targets is not None and task_for(cohort.targets) in ("binary", "multiclass"):
        classes = [str(value) for value in cohort.targets.ravel()]
    rows = FileRows(cohort.samples.index.to_numpy(), classes, step_hours)
    written = modality.write(raw, folder, rows)
    section = {"name": written.reader, **written.section}
    parameter, file = written.table
    paths = list(written.paths)
    if cohort.targets is not None or parameter == "path":
        frame, columns = _described(cohort, written.key or "id", written.time)
        if written.key != "id":
            columns.pop("id", None)
        if not written.key and cohort.targets is not None:
            frame = frame.drop(columns="id", errors="ignore")
        frame = _joined(frame, written.columns, _targets(cohort))
        paths.append(write_csv(frame, folder / (file or f"{name}.csv")))
        columns |= written.uses
        section |= {parameter: paths[-1].name, **({"columns": columns} if columns else {})}
    if cohort.targets is None and "labelled" in datasets.schema(written.reader).model_fields:
        section["labelled"] = False
    return paths, {**section, **_target(cohort)}


Written = tuple[list[Path], dict[str, Any]]


def _write_static(
    cohort: Cohort, static: RawInput, name: str, folder: Path, step_hours: float
) -> Written:
    """The sequence as it is alone, and ``static.csv`` with a row a stay."""
    alone = {key: each for key, each in cohort.inputs.items() if key != "static"}
    paths, section = write_files(replace(cohort, inputs=alone), name, folder, step_hours)
    stays = cohort.samples.get("stay", cohort.samples.index.to_series())
    table = static.values.assign(stay=stays.to_numpy()).drop_duplicates("stay")
    path = write_csv(table, folder / "static.csv")
    codes = [feature.name for feature in static.features if feature.kind == "categorical"]
    names = [feature.name for feature in static.features]
    section["static"] = {"features": names, "categorical": codes, "table": path.name}
    values, own = section.get("values", {}), values_of(static.features).get("values", {})
    units = {**values.get("units", {}), **own.get("units", {})}
    return [*paths, path], {**section, **({"values": {**values, "units": units}} if units else {})}


def _write_several(cohort: Cohort, folder: Path, step_hours: float) -> Written:
    """A file for each input, called like it, with the samples that have it, and ``labels.csv``."""
    kinds = [raw.modality for raw in cohort.inputs.values()]
    if len(set(kinds)) < len(kinds):
        raise DataError(
            "two inputs of one kind cannot be written side by side",
            hint="Write each as a cohort of its own, into a folder of its own.",
        )
    paths, inputs = [], {}
    for name, raw in cohort.inputs.items():
        rows = slice(None) if raw.present is None else raw.present
        ids = pd.DataFrame(index=cohort.samples.index[rows])
        given = replace(raw.take(np.arange(len(raw))[rows]), present=None)
        _, section = write_files(Cohort(ids, {name: given}, None), name, folder, step_hours)
        paths.append((folder / section["path"]).replace(folder / f"{name}.csv"))
        inputs[name] = {**section, "path": f"{name}.csv"}
    frame, columns = _described(cohort)
    paths.append(write_csv(_joined(frame, {}, _targets(cohort)), folder / "labels.csv"))
    labels = {"name": "table", "path": "labels.csv", "columns": columns, **_target(cohort)}
    return paths, {"name": "joined", "key": "id", "labels": labels, "inputs": inputs}


def _write_stays(cohort: Cohort, raw: RawInput, modality: Modality, folder: Path) -> Written:
    """Predictions at every hour as what they were made from: each stay's events, and its onset.

    A prediction at hour h knows that hour's values: it is made when the hour is over.
    """
    samples = cohort.samples
    hour = samples["hour"].to_numpy(float)
    steps = raw.values.shape[1]
    rows = FileRows(samples["stay"].to_numpy(), start_hours=hour - steps + 1)
    written = modality.write(raw, folder, rows)
    first = samples.assign(onset=samples["onset_hour"] + 1).drop_duplicates("stay")
    last = samples.groupby("stay")["hour"].max()[first["stay"]].to_numpy() + 1
    labels = first.assign(
        admission=first["time"] - pd.to_timedelta(first["hour"], unit="h"),
        discharge=np.fmax(last, first["onset"]),
    ).drop(columns=["time", "hour", "onset_hour"])
    lead = (samples["onset_hour"].to_numpy(float) - hour)[np.asarray(cohort.targets) == 1]
    between = np.diff(hour)[(samples["stay"].to_numpy()[1:] == samples["stay"].to_numpy()[:-1])]
    others = ("stay", "subject", "site", "onset", "admission", "discharge")
    section: dict[str, Any] = {
        "name": written.reader,
        **written.section,
        "labels": "labels.csv",
        "columns": {
            **{role: role for role in ("subject", "site", "admission", "discharge")},
            "attributes": [name for name in labels if name not in others],
        },
        "window": {
            "index": "every_step",
            "hours": float(steps),
            "first_prediction_hours": float(hour.min() + 1),
            "every_hours": float(between.min(initial=24.0)),
        },
        "target": {
            "onset": "onset",
            "hours": float(lead.max(initial=1.0)),
            "censoring": "negative",
        },
    }
    return [*written.paths, write_csv(labels, folder / "labels.csv")], section


def _described(
    cohort: Cohort, index: str = "id", time: str = "time"
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Ids, subjects, times, sites and attributes as columns, and the parameters naming them."""
    samples = cohort.samples
    roles: dict[str, Any] = {}
    frame = samples.rename(columns={"time": time})
    numbered = index == "id" and samples.index.equals(pd.RangeIndex(1, len(samples) + 1))
    if not numbered:  # rows are numbered from 1 anyway
        frame.insert(0, index, samples.index.to_numpy())
        roles["id"] = index
    for role in ("subject", "time", "site"):
        if role in samples:
            roles[time if role == "time" else role] = time if role == "time" else role
    attributes = [c for c in samples.columns if c not in ("subject", "time", "site")]
    if attributes:
        roles["attributes"] = attributes
    return frame.reset_index(drop=True), roles


def _targets(cohort: Cohort) -> dict[str, np.ndarray]:
    if cohort.targets is None:
        return {}
    values = np.asarray(cohort.targets)
    columns = values.reshape(len(values), -1)
    names = cohort.target_names or tuple(f"target_{k + 1}" for k in range(columns.shape[1]))
    return {name: columns[:, k] for k, name in enumerate(names)}


def _target(cohort: Cohort) -> dict[str, Any]:
    names = list(_targets(cohort))
    if cohort.targets is None:
        return {}
    return {"target": names[0] if cohort.targets.ndim == 1 else names}


def _joined(
    frame: pd.DataFrame, inputs: Mapping[str, pd.Series], targets: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """The frame with further columns; an input that is an attribute too is written once."""
    for name, values in {**inputs, **targets}.items():
        column = np.asarray(values)
        if name in frame:
            same = pd.Series(column).astype("str") == frame[name].astype("str")
            if name in targets or not same.all():
                raise DataError(
                    f"two columns called '{name}' hold different values",
                    hint="Give the attribute another name than the input or target.",
                )
            continue
        frame = frame.assign(**{name: column})
    return frame

"""Cohorts written in the layout of the file datasets."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from medkit.core.errors import DataError
from medkit.core.files import written_whole
from medkit.core.lazy import pd
from medkit.data.cohort import Cohort, Feature, RawInput
from medkit.evaluation.early_warning.stays import reserved_columns

log = logging.getLogger("medkit")

MOST_CLASSES = 20
EVENT_COLUMNS = ("stay", "time", "variable", "value")


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
    """Write a cohort in the layout of the file datasets.

    ===========  ==================================================================
    tabular      ``<name>.csv``, read by ``table``
    series       ``events.csv`` (stay, time, variable, value) and ``labels.csv``, read by
                 ``events``. Predictions at every hour are
                 written as their stays, with the time of the onset
    triplets     the same
    image        ``images/<class>/<sample>.png`` and ``manifest.csv``, read by ``images``
    tokens       ``<name>.csv``, read by ``sequences``
    ===========  ==================================================================

    Args:
        cohort: One input, with or without targets.
        name: Name of the table.
        folder: Where to write; made if it is not there.
        step_hours: Hours that a time step of a series is taken as.

    Returns:
        The files a reader opens (of images, the manifest alone), and the config's ``dataset``
        section, its paths relative to ``folder``.

    Raises:
        DataError: Images that are not 2-D uint8, or columns of one name and different content.
        RunError: The folder cannot be written.
    """
    if "static" in cohort.inputs:
        return _write_static(cohort, cohort.inputs["static"], name, Path(folder), step_hours)
    (raw,) = cohort.inputs.values()
    if raw.modality == "series" and step_hours != 1:
        return _write_series(cohort, raw, name, Path(folder), step_hours)
    return _WRITERS[raw.modality](cohort, raw, name, Path(folder))


Written = tuple[list[Path], dict[str, Any]]


def _write_static(
    cohort: Cohort, static: RawInput, name: str, folder: Path, step_hours: float
) -> Written:
    """The sequence as it is alone, and ``static.csv`` with a row a stay."""
    alone = {key: each for key, each in cohort.inputs.items() if key != "static"}
    paths, section = write_files(replace(cohort, inputs=alone), name, folder, step_hours)
    stays = cohort.samples.get("stay", cohort.samples.index.to_series())
    table = static.values.assign(stay=stays.to_numpy()).drop_duplicates("stay")
    path = _csv(table, folder / "static.csv")
    codes = [feature.name for feature in static.features if feature.kind == "categorical"]
    names = [feature.name for feature in static.features]
    section["static"] = {"features": names, "categorical": codes, "table": path.name}
    values, own = section.get("values", {}), _values(static.features).get("values", {})
    units = {**values.get("units", {}), **own.get("units", {})}
    return [*paths, path], {**section, **({"values": {**values, "units": units}} if units else {})}


def _write_table(cohort: Cohort, raw: RawInput, name: str, folder: Path) -> Written:
    features = raw.features or tuple(Feature(column) for column in raw.values.columns)
    inputs = {feature.name: raw.values[feature.name] for feature in features}
    frame, columns = _described(cohort)
    frame = _joined(frame, inputs, _targets(cohort))
    path = folder / f"{name}.csv"
    codes = [feature.name for feature in features if feature.kind == "categorical"]
    columns |= {"inputs": list(inputs), **({"categorical": codes} if codes else {})}
    section = {"name": "table", "path": path.name, "columns": columns, **_target(cohort)}
    return [_csv(frame, path)], {**section, **_values(features)}


def _write_series(
    cohort: Cohort, raw: RawInput, name: str, folder: Path, step_hours: float = 1
) -> Written:
    if reserved_columns(cohort.samples):
        return _write_stays(cohort, raw, folder)
    values = np.asarray(raw.values)
    variables = [feature.name for feature in raw.features]
    variables = variables or [f"channel_{k + 1}" for k in range(values.shape[2])]
    rows, steps, channels = np.nonzero(~np.isnan(values))
    measured = (rows, steps * step_hours, channels, values[rows, steps, channels])
    paths, section = _write_events(cohort, measured, variables, folder)
    window = {"hours": float(values.shape[1] * step_hours)}
    window |= {"step_hours": step_hours} if step_hours != 1 else {}
    return paths, {**section, "window": window, "variables": variables, **_values(raw.features)}


def _write_stays(cohort: Cohort, raw: RawInput, folder: Path) -> Written:
    """Predictions at every hour as what they were made from: each stay's events, and its onset.

    A prediction at hour h knows that hour's values: it is made when the hour is over.
    """
    values, samples = np.asarray(raw.values), cohort.samples
    hour = samples["hour"].to_numpy(float)
    rows, steps, channels = np.nonzero(~np.isnan(values))
    named = np.array([feature.name for feature in raw.features])[channels]
    times = hour[rows] - values.shape[1] + 1 + steps
    columns = (samples["stay"].to_numpy()[rows], times, named, values[rows, steps, channels])
    events = pd.DataFrame(dict(zip(EVENT_COLUMNS, columns, strict=True)))
    events = events.drop_duplicates(list(EVENT_COLUMNS[:3]))  # the windows overlap
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
        "name": "events",
        "path": "events.csv",
        "labels": "labels.csv",
        "columns": {
            **{role: role for role in ("subject", "site", "admission", "discharge")},
            "attributes": [name for name in labels if name not in others],
        },
        "window": {
            "index": "every_step",
            "hours": float(values.shape[1]),
            "first_prediction_hours": float(hour.min() + 1),
            "every_hours": float(between.min(initial=24.0)),
        },
        "variables": [feature.name for feature in raw.features],
        "target": {
            "onset": "onset",
            "hours": float(lead.max(initial=1.0)),
            "censoring": "negative",
        },
    }
    paths = [_csv(events, folder / "events.csv"), _csv(labels, folder / "labels.csv")]
    return paths, {**section, **_values(raw.features)}


def _write_triplets(cohort: Cohort, raw: RawInput, name: str, folder: Path) -> Written:
    values = np.asarray(raw.values)
    rows, places = np.nonzero(~np.isnan(values).any(axis=2))
    hours, channels, numbers = values[rows, places].T
    variables = [feature.name for feature in raw.features]
    measured = (rows, hours, channels.astype(int), numbers)
    paths, section = _write_events(cohort, measured, variables, folder)
    last = float(np.floor(hours.max(initial=0.0)) + 1)
    return paths, {**section, "form": "triplets", "window": {"hours": last},
                   "variables": variables, **_values(raw.features)}  # fmt: skip


def _write_events(
    cohort: Cohort, measured: tuple[np.ndarray, ...], variables: list[str], folder: Path
) -> Written:
    """Events (row, time, number of the variable, value) and their labels."""
    rows, times, channels, numbers = measured
    cells = (cohort.samples.index.to_numpy()[rows], times, np.array(variables)[channels], numbers)
    events = _csv(pd.DataFrame(dict(zip(EVENT_COLUMNS, cells, strict=True))), folder / "events.csv")
    section: dict[str, Any] = {"name": "events", "path": events.name}
    paths = [events]
    if cohort.targets is not None:
        frame, columns = _described(cohort, index="stay", time="admission")
        labels = _csv(_joined(frame, {}, _targets(cohort)), folder / "labels.csv")
        paths.append(labels)
        columns.pop("id", None)
        section |= {"labels": labels.name, **({"columns": columns} if columns else {}),
                    **_target(cohort)}  # fmt: skip
    return paths, section


def _write_images(cohort: Cohort, raw: RawInput, name: str, folder: Path) -> Written:
    from PIL import Image

    pixels = raw.values
    deep = pixels.dtype == np.uint16 and pixels.shape[-1] == 1
    if (pixels.dtype != np.uint8 and not deep) or pixels.ndim != 4 or pixels.shape[3] not in (1, 3):
        raise DataError(
            f"images of shape {pixels.shape[1:]} and type {pixels.dtype} cannot be PNG files",
            hint="uint8 images (height, width, 1 or 3) and grey uint16 ones can be written.",
        )
    classes = None
    if cohort.targets is not None and task_for(cohort.targets) in ("binary", "multiclass"):
        classes = [_safe(value) for value in cohort.targets.ravel()]
    files = []
    for row, sample in enumerate(cohort.samples.index):
        parts = ("images", *([classes[row]] if classes else ()), f"{_safe(sample)}.png")
        files.append("/".join(parts))
        with written_whole(folder / files[-1]) as temporary:
            Image.fromarray(pixels[row] if pixels.shape[3] == 3 else pixels[row, ..., 0]).save(
                temporary
            )
        if (row + 1) % 2000 == 0:
            log.info("wrote %d of %d images", row + 1, len(pixels))
    if len(set(files)) < len(files):
        raise DataError("sample ids are not different as file names")
    frame, columns = _described(cohort)
    columns.pop("id", None)
    frame = _joined(frame.drop(columns="id", errors="ignore"), {}, _targets(cohort))
    frame.insert(0, "path", files)
    path = _csv(frame, folder / "manifest.csv")
    section = {"name": "images", "path": path.name, "columns": columns, **_target(cohort)}
    if cohort.targets is None:
        section["labelled"] = False
    return [path], section


def _write_sequences(cohort: Cohort, raw: RawInput, name: str, folder: Path) -> Written:
    frame, columns = _described(cohort)
    frame = _joined(frame, {"sequence": pd.Series(raw.values, frame.index)}, _targets(cohort))
    path = _csv(frame, folder / f"{name}.csv")
    section = {"name": "sequences", "path": path.name, "columns": columns, **_target(cohort)}
    return [path], section


_WRITERS: Mapping[str, Callable[[Cohort, RawInput, str, Path], Written]] = {
    "tabular": _write_table,
    "series": _write_series,
    "triplets": _write_triplets,
    "image": _write_images,
    "tokens": _write_sequences,
}


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


def _values(features: Iterable[Feature]) -> dict[str, Any]:
    """The group ``values``, where anything is known."""
    features = list(features)
    units = {f.name: f.unit for f in features if f.unit}
    ranges = {
        f.name: [float(f.low), float(f.high)]
        for f in features
        if f.low is not None and f.high is not None
    }
    known = {key: value for key, value in (("units", units), ("ranges", ranges)) if value}
    return {"values": known} if known else {}


def _csv(frame: pd.DataFrame, path: Path) -> Path:
    with written_whole(path) as temporary:
        frame.to_csv(temporary, index=False)
    return path


def _safe(value: Any) -> str:
    text = "".join(c if c.isalnum() or c in "-_." else "_" for c in str(value)).strip(".")
    return text or "_"

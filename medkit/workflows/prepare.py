"""From a dataset to encoded parts: read, divide, fit on train, encode."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from medkit.config.experiment import Component, Experiment, check_config
from medkit.core import registry
from medkit.core.errors import DataError, MedkitError
from medkit.core.groups import defaults_of, value_at, with_values
from medkit.core.lazy import pd
from medkit.data.cohort import Cohort, Feature, RawInput
from medkit.data.parts import Flow, Part
from medkit.data.splits import PARTS, split
from medkit.evaluation import check_subgroups
from medkit.modalities.encoder import Encoder
from medkit.modalities.modality import Modality
from medkit.runs.run import Run

log = logging.getLogger("medkit")


def read(dataset: Component) -> Cohort:
    """Read the raw cohort that a config's dataset section describes."""
    cohort: Cohort = registry.datasets.build(dataset.name, **dataset.parameters)
    if not cohort.source.files:
        # Embedded data come from no file: the content of each input stands for one.
        single = len(cohort.inputs) == 1
        files = {
            dataset.name if single else f"{dataset.name}/{name}": fingerprint(raw, cohort.targets)
            for name, raw in cohort.inputs.items()
        }
        cohort = replace(cohort, source=replace(cohort.source, files=files))
    source = cohort.source
    log.info("dataset %s: %d samples read, %d kept", dataset.name, source.rows_read, len(cohort))
    for reason, count in source.dropped.items():
        log.warning("%d samples dropped: %s", count, reason)
    if source.label:
        log.info("label: %s", source.label)
    for note in source.notes:
        log.info("%s", note)
    return cohort


def fingerprint(raw: RawInput, targets: np.ndarray | None) -> str:
    """SHA-256 of an input and the targets of the same samples."""
    digest = hashlib.sha256()
    for values in (raw.values, targets):
        frame = (
            values
            if isinstance(values, pd.DataFrame)
            else pd.DataFrame(np.asarray(values).reshape(len(raw), -1))
        )
        digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    return digest.hexdigest()


def divide(cohort: Cohort, experiment: Experiment) -> tuple[dict[str, Cohort], Flow]:
    """Split a cohort into train, valid and test."""
    if cohort.targets is None:
        raise DataError(
            "the dataset has no targets to train on", hint="Name the target column in the config."
        )
    check_subgroups(cohort.samples, experiment.evaluation)
    result = split(cohort, experiment.split, experiment.seed)
    notes = [*cohort.source.notes, *result.notes]
    flow = Flow(cohort.source.rows_read, dict(cohort.source.dropped), notes=notes)
    flow.dropped.update(result.dropped)
    for note in result.notes:
        log.warning("%s", note)
    for reason, count in result.dropped.items():
        log.warning("%d samples dropped: %s", count, reason)
    parts = {name: cohort.take(result.parts == name) for name in PARTS}
    return parts, flow


def own_parts(run: Run) -> dict[str, Cohort] | str:
    """A finished run's parts, read again; why that cannot be done.

    A run keeps no patient's values, and identities only as salted hashes.
    """
    not_at_hand = "the development data are not at hand"
    try:
        experiment = check_config(run.config, folder=run.path, place=str(run.path))
        cohort = read(experiment.dataset)
        if dict(cohort.source.files) != run.environment["data_sha256"]:
            return f"{not_at_hand}: they have changed since"
        return divide(cohort, experiment)[0]
    except (MedkitError, OSError):
        # The message may name a path of the machine the run was made on.
        return not_at_hand


def encode(
    divided: dict[str, Cohort],
    experiment: Experiment,
    flow: Flow,
    fitted: Mapping[str, Modality] | None = None,
) -> tuple[Encoder, Any, dict[str, Part]]:
    """Fit encoder and task on the training samples, then encode every part.

    Args:
        divided: Part name -> samples; those that cannot be used are taken out.
        experiment: The config.
        flow: Filled: the samples of each part, and those dropped.
        fitted: Input name -> its modality, where it comes from a finished run.

    Returns:
        The fitted encoder, the fitted task, and the parts.

    Raises:
        DataError: Targets or inputs that cannot be used.
    """
    modalities = {
        name: registry.modalities.build(each.name, **each.parameters)
        for name, each in experiment.preprocessing.items()
    }
    # A network that learns to do without any input is to be told which ones there are.
    learns_without = experiment.model.parameters.get("input_dropout")
    fitted = fitted or {}
    optional = modalities if learns_without else ()
    encoder = Encoder({**modalities, **fitted}, optional, fitted)
    dropped: Counter[str] = Counter()
    for name, cohort in divided.items():
        usable = encoder.keep(cohort.inputs)
        if not usable.any():
            raise DataError(
                f"no {name} samples are left: every row has a missing input",
                hint="preprocessing.missing: drop keeps complete rows only; fill them instead.",
            )
        if not usable.all():
            dropped["missing input"] += int((~usable).sum())
            divided[name] = cohort.take(usable)
    if dropped:
        flow.dropped.update(dropped)
        log.warning("%d samples dropped: missing input", dropped["missing input"])
    encoder.fit(divided["train"].inputs)
    task = registry.tasks.build(experiment.task.name, **experiment.task.parameters)
    task.fit(divided["train"].targets, divided["train"].target_names)
    parts = {
        name: Part(cohort, encoder.encode(cohort.inputs), task.encode(cohort.targets))
        for name, cohort in divided.items()
    }
    if task.answers == "pixel":
        _check_sizes(parts["train"])
    flow.parts = {name: len(part) for name, part in parts.items()}
    log.info(
        "%d training, %d validation and %d test samples of %d subjects",
        *flow.parts.values(),
        sum(len(np.unique(part.cohort.subjects.astype(str))) for part in parts.values()),
    )
    return encoder, task, parts


def _check_sizes(part: Part) -> None:
    """Refuse targets of pixels that lie on no input of their size."""
    height, width = part.y.shape[1:3]
    sizes = {name: each.shape[1:3] for name, each in part.inputs.arrays.items() if each.ndim > 3}
    if (height, width) not in sizes.values():
        there = ", ".join(f"{name}: {size[0]} × {size[1]}" for name, size in sizes.items())
        raise DataError(
            f"the masks have {height} × {width} pixels, and no input has that size "
            f"({there or 'none is an image'})",
            hint="Give each mask the size of its image.",
        )


def read_unlabelled(
    dataset: Component, path: Path | None, encoder: Encoder, rows: Mapping[str, str] | None = None
) -> Cohort:
    """Read a new file or query, without labels, in the layout the dataset's own files have.

    Embedded and synthetic datasets name the reader of files laid out like theirs. What a reader
    would find out from a file (kinds of columns, size of images) is taken from training: a
    prediction must not depend on what else is in the file. So is what a data dictionary said, which
    need no longer be there.

    Args:
        dataset: The dataset section the model was trained with.
        path: The new file or folder; None where ``rows`` has a ``source.url``.
        encoder: The fitted encoder.
        rows: ``source.query`` and perhaps ``source.url``, for rows of a database.

    Raises:
        DataError: The new data cannot be read, or the dataset is read from no database.
    """
    if "parts" in registry.datasets.get(dataset.name).tags:
        reader, given = _parts_unlabelled(dataset, path, encoder)
    else:
        reader, given = _unlabelled(dataset, path, encoder, rows)
    cohort: Cohort = registry.datasets.build(reader, **given)
    for reason, count in cohort.source.dropped.items():
        log.warning("%d samples get no prediction: %s", count, reason)
    return cohort


def _parts_unlabelled(
    dataset: Component, path: Path | None, encoder: Encoder
) -> tuple[str, dict[str, Any]]:
    """Joined data sets without labels: the file or folder of each input lies in one folder."""
    if path is None or not path.is_dir():
        raise DataError(
            f"a run on '{dataset.name}' data predicts for a folder",
            place=str(path),
            hint="Put there a file or folder for each input, called like it: "
            + ", ".join(dataset.parameters["inputs"]),
        )
    inputs, yields = {}, registry.datasets.get(dataset.name).yields
    for name, part in dataset.parameters["inputs"].items():
        files = sorted(each for each in path.iterdir() if each.name.split(".")[0] == name)
        mine = {each: encoder.modalities[each] for each in yields({"inputs": {name: part}})}
        if len(files) != 1 and not (encoder.optional >= {*mine} and not files):
            raise DataError(
                f"{len(files)} files are called '{name}'; one is needed",
                place=str(path),
                hint=f"Such as {name}.csv, or a folder {name}.",
            )
        if files:
            parameters = {key: value for key, value in part.items() if key != "name"}
            component = Component(part["name"], parameters)
            reader, given = _unlabelled(component, files[0], Encoder(mine))
            inputs[name] = {"name": reader, **given}
    return dataset.name, {**dataset.parameters, "labels": None, "inputs": inputs}


def _unlabelled(
    dataset: Component, path: Path | None, encoder: Encoder, rows: Mapping[str, str] | None = None
) -> tuple[str, dict[str, Any]]:
    """The reader of new files laid out like a dataset's own, and its parameters."""
    entry = registry.datasets.get(dataset.name)
    reader = entry.tags.get("reader", dataset.name)
    tags = registry.datasets.get(reader).tags
    schema = registry.datasets.schema(reader)
    if "path" not in schema.model_fields:
        raise DataError(
            f"no files are laid out like '{dataset.name}'",
            hint="Predict in Python: Run.open(folder).predict({input: data}).",
        )
    if rows and "source" not in schema.model_fields:
        raise DataError(f"'{dataset.name}' is read from no database", place="query",
                        hint="Give the new samples as a file: --input FILE.")  # fmt: skip
    given = dict(dataset.parameters)
    if reader != dataset.name:  # another reader takes the settings that mean the same in both
        shared = entry.tags.get("shared", {})
        fitted = {theirs: given[own] for own, theirs in shared.items()}
        given = with_values(
            defaults_of(schema), {**entry.tags.get("reader_settings", {}), **fitted}
        )
    found: dict[str, Any] = dict(as_trained(tags, encoder, given))
    if "described" in tags:
        found[tags["described"]] = {each.name: each for each in _features(encoder)}
    found |= {**tags.get("unlabelled", {}), "path": path, **(rows or {})}
    return reader, with_values(given, found)


def as_trained(
    tags: Mapping[str, Any], encoder: Encoder, given: Mapping[str, Any]
) -> dict[str, tuple[Any, ...] | int]:
    """What a reader would find out from a file, as it was in training; by path of the parameter.

    Args:
        tags: The reader's tags, which name the parameters for each: ``columns.categorical``.
        encoder: The fitted encoder: kinds of columns, size of images.
        given: The reader's own parameters; kinds of other columns (a target's) are kept.
    """
    found: dict[str, tuple[Any, ...] | int] = {}
    features = _features(encoder)
    inputs = {each.name for each in features}
    for kind in ("categorical", "numeric"):
        if kind in tags:
            fitted = [each.name for each in features if each.kind == kind]
            others = [each for each in value_at(given, tags[kind]) or () if each not in inputs]
            found[tags[kind]] = (*fitted, *others)
    for modality in encoder.modalities.values():
        shape = modality.input_shape_
        if "shape" in tags and len(shape) == 3 and shape[2] in (1, 3):
            size, channels = tags["shape"]
            found |= {size: tuple(shape[:2]), channels: shape[2]}
    return found


def _features(encoder: Encoder) -> list[Feature]:
    """The columns and channels of all inputs, called as in the files."""
    return [feature for each in encoder.modalities.values() for feature in each.features]

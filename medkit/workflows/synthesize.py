"""Datasets written as ordinary files, with a config that reads them back."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from medkit.core.checking import check
from medkit.core.errors import ConfigError, Problem, RunError
from medkit.core.files import write_text
from medkit.core.registry import datasets, modalities
from medkit.core.yaml_file import dump_yaml, override
from medkit.data.cohort import Cohort
from medkit.modalities.modality import Modality
from medkit.tasks.scores.courses import ahead
from medkit.workflows.cohort_files import task_for, write_files

log = logging.getLogger("medkit")

# A first model for what a modality gives.
MODELS: Mapping[str, dict[str, Any]] = {
    "vector": {"name": "mlp", "hidden_units": [64, 32], "dropout": 0.2},
    "steps": {"name": "cnn", "filters": [32], "dense_units": [32]},
    "regular steps": {"name": "gru", "units": [32]},
    "events": {"name": "strats", "units": 32},
    "grid": {"name": "cnn", "filters": [16, 32], "dense_units": [32]},
}


def synthesize(name: str, folder: Path, assignments: Iterable[str] = ()) -> list[Path]:
    """Write a synthetic or embedded dataset and a config that trains on it.

    Args:
        name: A dataset that needs no files: ``synthetic_icu``, ``breast_cancer``.
        folder: Where to write; made if it is not there.
        assignments: Parameters of the dataset as ``samples=500``.

    Returns:
        The files a reader opens, the config last.

    Raises:
        UnknownNameError: No dataset of that name.
        ConfigError: One that reads the user's own files, or wrong parameters.
        RunError: There is such a config already, or the folder cannot be written.
    """
    entry = datasets.get(name)
    place = f"synth {name}"
    if not entry.tags.get("embedded"):
        own = ", ".join(n for n in datasets.names() if datasets.get(n).tags.get("embedded"))
        message = f"'{name}' reads files of your own; these can be written: {own}"
        raise ConfigError([Problem("", message)], place=place)
    given: dict[str, Any] = {}
    for assignment in assignments:
        override(given, assignment)
    parameters, problems = check(datasets.schema(name), given, f"a parameter of '{name}'")
    if parameters is None:
        found = [Problem(".".join(map(str, path)), text) for path, text in problems]
        raise ConfigError(found, place=place)
    folder = Path(folder)
    config = folder / f"{name}.yaml"
    if config.exists():
        raise RunError(
            "exists already",
            place=str(config),
            hint="It may have been edited. Remove it, or choose another folder with --out.",
        )
    cohort: Cohort = entry.factory(**parameters.model_dump())
    step_hours = getattr(parameters, "step_hours", 1)
    paths, section = write_files(cohort, name, folder, step_hours)
    assert cohort.targets is not None  # noqa: S101 - embedded datasets are labelled
    kinds = [raw.modality for raw in cohort.inputs.values()]
    document = {
        "name": name.replace("_", "-"),
        "seed": 0,
        "dataset": section,
        "task": _forecast(cohort, step_hours) or task_for(cohort.targets),
        "split": {"by": "subject", "valid": 0.15, "test": 0.15},
        "model": _first_fusion(cohort) if section["name"] == "joined" else _first_model(kinds[0]),
        "training": {"epochs": 30, "batch_size": 32, "early_stopping": {"patience": 10}},
    }
    settings = ", ".join(f"{key}={value}" for key, value in given.items())
    head = (
        f"# {name}{f' ({settings})' if settings else ''} as files; target: {cohort.source.label}\n"
    )
    write_text(config, head + dump_yaml(document))
    return [*paths, config]


def _first_model(modality: str) -> dict[str, Any]:
    kind: Modality = modalities.get(modality).factory
    return MODELS["regular steps" if kind.regular else kind.gives]


def _first_fusion(cohort: Cohort) -> dict[str, Any]:
    """A branch for each input; the network learns to do without those that some samples lack."""
    branches = {name: _first_model(raw.modality) for name, raw in cohort.inputs.items()}
    lacking = any(raw.present is not None for raw in cohort.inputs.values())
    return {"name": "fusion", "branches": branches, **({"input_dropout": 0.1} if lacking else {})}


def _forecast(cohort: Cohort, step_hours: float) -> dict[str, Any] | None:
    """The task of targets that are named as future values."""
    if not cohort.target_names or any(ahead(name).hours is None for name in cohort.target_names):
        return None
    return {"name": "forecasting", "step_hours": step_hours}

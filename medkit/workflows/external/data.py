"""Which rows a run is evaluated on, and whether it was developed on them."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from medkit.config.experiment import Component, Experiment, check_config, load_config
from medkit.config.inputs import described as kinds_of
from medkit.core import registry
from medkit.core.errors import ConfigError, DataError, Problem, RunError
from medkit.core.groups import with_values
from medkit.core.yaml_file import override
from medkit.data.cohort import Cohort
from medkit.data.parts import Part
from medkit.runs.run import Run
from medkit.workflows.external.overlap import compared, described, in_words
from medkit.workflows.prepare import as_trained, divide, own_parts, read

log = logging.getLogger("medkit")


@dataclass(frozen=True)
class ExternalData:
    """The data that a run is evaluated on.

    Attributes:
        experiment: The config that names them, and says how to evaluate.
        dataset: The dataset, told what a reader would otherwise find out from the file.
        rows: The rows to evaluate on, encoded; those that the run was developed on are left out.
        whole: All rows of the data set.
        part: ``all`` of the data set, or its ``test`` part.
        own: Whether they are the run's own test part.
        overlap: The rows left out, as ``overlap.described`` says; None of the run's own test part.
        tested: Whether the rows are of the run's own test part.
        sites: The sites that the rows are of, where the config chose them so.
        developed: The run's own parts, encoded; why they are not at hand.
    """

    experiment: Experiment
    dataset: Component
    rows: Part
    whole: Cohort
    part: str
    own: bool
    overlap: Mapping[str, Any] | None
    tested: bool
    sites: tuple[str, ...] = ()
    developed: Mapping[str, Part] | str = ""


def external_data(run: Run, config: Path | None, overrides: Sequence[str]) -> ExternalData:
    """Read the data set that a config names, or the run's own test part.

    All of another data set is evaluated. Where it is the very data set the run was developed on,
    and its config divides it by site or column, its ``test`` part is: so the hospitals of one
    file can be distinguished.

    Raises:
        ConfigError, DataError: What is wrong with the config or the data.
    """
    own = config is None and not any(_root(each) == "dataset" for each in overrides)
    experiment = _other(run, config, overrides)
    _check_kind(run, experiment)
    dataset = experiment.dataset
    if not own:
        tags = registry.datasets.get(dataset.name).tags
        fitted = as_trained(tags, run.encoder, dataset.parameters)
        dataset = Component(dataset.name, with_values(dataset.parameters, fitted))
    cohort = read(dataset)
    if cohort.targets is None:
        raise DataError("the data set has no targets to evaluate against")
    same = dict(cohort.source.files) == run.environment["data_sha256"]
    if own:
        if not same:
            raise DataError(
                "the data have changed since the run, so its test part cannot be recognised",
                hint="Put the former files back, or evaluate on all of the new data as another "
                "data set: --config, or --set dataset.path=FILE.",
            )
        # The whole of it holds the training rows; only the held-out part is an evaluation.
        held_out = encoded(run, divide(cohort, experiment)[0]["test"])
        return ExternalData(experiment, dataset, held_out, cohort, "test", True, None, True)
    part, whole = "all", cohort
    sites: tuple[str, ...] = ()
    split = experiment.split
    if config is not None and same and split.by in ("site", "column"):
        part = "test"
        cohort = divide(whole, experiment)[0]["test"]
        if split.by == "site":
            sites = tuple(sorted(set(cohort.samples["site"].astype(str))))
        log.info("the run's own data set: evaluated on the test part of this config's split")
    new, developed = encoded(run, cohort), _developed(run)
    seen = compared(run, new, developed)
    # Where a config divides the run's own data, the run's own test rows are what is asked for.
    left_out = seen.developed if part == "test" else seen.reason >= 0
    tested = bool((seen.reason[~left_out] >= 0).any())
    seen = replace(seen, reason=np.where(left_out, seen.reason, -1))
    overlap = described(seen, new.cohort.subjects)
    for note in overlap["notes"]:
        log.warning("overlap with the development data: %s", note)
    if left_out.any():
        text = in_words(overlap)
        if left_out.all():
            raise DataError(
                f"{text}: nothing is left to validate on",
                hint="medkit evaluate RUN alone evaluates the run's own test part; an external "
                "validation needs patients that the run has never seen.",
            )
        log.warning("%s: they are left out", text)
        new = new.take(np.flatnonzero(~left_out))
    return ExternalData(
        experiment, dataset, new, whole, part, False, overlap, tested, sites, developed
    )


def encoded(run: Run, cohort: Cohort) -> Part:
    """The rows a run can use, encoded as it was trained.

    Raises:
        DataError: No row can be used, columns are lacking, or no class is known.
    """
    usable = run.encoder.keep(cohort.inputs)
    if not usable.any():
        raise DataError("no sample can be used: every row has a missing input")
    if not usable.all():
        log.warning("%d samples dropped: missing input", int((~usable).sum()))
        cohort = cohort.take(usable)
    return Part(cohort, run.encoder.encode(cohort.inputs), run.task.encode(cohort.targets))


def _developed(run: Run) -> Mapping[str, Part] | str:
    """The run's own parts, and those of a run it was recalibrated from, read again and encoded.

    A run keeps no patient's values, so that what needs them reads the data set anew, and only if
    every file is the one it was.
    """
    parts = own_parts(run)
    if isinstance(parts, str):
        return parts
    found = {name: encoded(run, cohort) for name, cohort in parts.items()}
    parent = run.environment.get("recalibrated_from")
    if parent is not None:
        try:
            earlier = _developed(Run.open(run.path.resolve().parent / parent))
        except RunError:
            earlier = "it is not at hand"
        if isinstance(earlier, str):
            return f"the run was recalibrated from {parent}, and {earlier}"
        found |= {f"earlier {name}": each for name, each in earlier.items()}
    return found


def _check_kind(run: Run, experiment: Experiment) -> None:
    asked = run.config["task"]["name"]
    if experiment.task.name != asked:
        text = f"is '{experiment.task.name}', but the run's task is '{asked}'"
        raise ConfigError([Problem("task", text)], place=experiment.place)
    dataset = experiment.dataset
    yields = registry.datasets.get(dataset.name).yields(dataset.parameters)
    taken = {name: modality.modality for name, modality in run.encoder.modalities.items()}
    if yields != taken:
        text = f"'{dataset.name}' yields {kinds_of(yields)}, but the run takes {kinds_of(taken)}"
        problem = Problem("dataset.name", text)
        raise ConfigError([problem], place=experiment.place)


def _root(assignment: str) -> str:
    return assignment.partition("=")[0].split(".")[0].strip()


def _other(run: Run, config: Path | None, overrides: Sequence[str]) -> Experiment:
    # A config of its own may also say by --set how its rows are divided.
    allowed = ("dataset", "evaluation") if config is None else ("dataset", "evaluation", "split")
    for assignment in overrides:
        if _root(assignment) not in allowed:
            path = assignment.partition("=")[0].strip()
            text = "a finished run keeps its settings; only dataset and evaluation may change here"
            raise ConfigError([Problem(path, text)], place=f"--set {assignment}")
    if config is not None:
        return load_config(config, overrides)
    document = copy.deepcopy(dict(run.config))
    changed = {override(document, assignment) for assignment in overrides}
    place = str(run.path / "config.yaml")
    return check_config(document, folder=run.path, place=place, changed=changed)

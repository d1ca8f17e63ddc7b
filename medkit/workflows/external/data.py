"""Which rows a run is evaluated on, and whether it was developed on them."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medkit.config.experiment import Component, Experiment, check_config, load_config
from medkit.config.inputs import described
from medkit.core import registry
from medkit.core.errors import ConfigError, DataError, Problem
from medkit.core.groups import with_values
from medkit.core.yaml_file import override
from medkit.data.cohort import Cohort
from medkit.data.parts import Part
from medkit.runs.run import Run
from medkit.workflows.prepare import as_trained, divide, own_parts, read

log = logging.getLogger("medkit")


@dataclass(frozen=True)
class ExternalData:
    """The data that a run is evaluated on.

    Attributes:
        experiment: The config that names them, and says how to evaluate.
        dataset: The dataset, told what a reader would otherwise find out from the file.
        cohort: The rows to evaluate on.
        whole: All rows of the data set.
        part: ``all`` of the data set, or its ``test`` part.
        own: Whether they are the run's own test part.
        overlaps: Whether rows were among those that trained or validated the run.
        tested: Whether rows were in the run's own test part.
        sites: The sites that the rows are of, where the config chose them so.
        developed: The run's own parts, where they were read to see whether rows were used.
    """

    experiment: Experiment
    dataset: Component
    cohort: Cohort
    whole: Cohort
    part: str
    own: bool
    overlaps: bool
    tested: bool
    sites: tuple[str, ...] = ()
    developed: Mapping[str, Cohort] | None = None


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
        held_out = divide(cohort, experiment)[0]["test"]
        return ExternalData(experiment, dataset, held_out, cohort, "test", True, False, True)
    part, whole = "all", cohort
    sites: tuple[str, ...] = ()
    split = experiment.split
    if config is not None and same and split.by in ("site", "column"):
        part = "test"
        cohort = divide(whole, experiment)[0]["test"]
        if split.by == "site":
            sites = tuple(sorted(set(cohort.samples["site"].astype(str))))
        log.info("the run's own data set: evaluated on the test part of this config's split")
    found = own_parts(run) if same else None
    developed = None if isinstance(found, str) else found
    overlaps, tested = _seen(run, experiment, cohort, developed)
    if overlaps:
        log.warning(
            "the run was developed on this data set: the numbers below are not an external "
            "validation"
        )
    return ExternalData(
        experiment, dataset, cohort, whole, part, False, overlaps, tested, sites, developed
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


def development(run: Run, new: ExternalData) -> Part | str:
    """The run's training rows, read again where they are still there; else why they are not.

    A run keeps no patient's values, so that what needs them reads the data set anew, and only if
    every file is the one it was.
    """
    if new.developed is not None:
        return encoded(run, new.developed["train"])
    parts = own_parts(run)
    return parts if isinstance(parts, str) else encoded(run, parts["train"])


def _check_kind(run: Run, experiment: Experiment) -> None:
    asked = run.config["task"]["name"]
    if experiment.task.name != asked:
        text = f"is '{experiment.task.name}', but the run's task is '{asked}'"
        raise ConfigError([Problem("task", text)], place=experiment.place)
    dataset = experiment.dataset
    yields = registry.datasets.get(dataset.name).yields(dataset.parameters)
    taken = {name: modality.modality for name, modality in run.encoder.modalities.items()}
    if yields != taken:
        text = f"'{dataset.name}' yields {described(yields)}, but the run takes {described(taken)}"
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


def _seen(
    run: Run, experiment: Experiment, cohort: Cohort, developed: Mapping[str, Cohort] | None
) -> tuple[bool, bool]:
    """Whether rows were among the run's training and validation rows, and its test rows."""
    if developed is not None:
        rows = set(cohort.samples.index)
        used = {name: not rows.isdisjoint(each.samples.index) for name, each in developed.items()}
        return used["train"] or used["valid"], used["test"]
    if set(run.environment["data_sha256"].values()) & set(cohort.source.files.values()):
        return True, True
    # Another number of samples gives an embedded dataset another fingerprint, yet the same rows.
    name = experiment.dataset.name
    embedded = bool(registry.datasets.get(name).tags.get("embedded", False))
    known = embedded and name == run.config["dataset"]["name"]
    return known, known

"""Branches that start from finished runs: their preprocessing, and their network's embedding."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from medkit.config.experiment import Component, Experiment
from medkit.core import registry
from medkit.core.errors import ConfigError, Problem, RunError
from medkit.core.lazy import keras as lazy_keras
from medkit.data.cohort import Cohort
from medkit.modalities.encoder import preprocessing_name
from medkit.modalities.modality import Modality
from medkit.runs.run import Run
from medkit.workflows.prepare import own_parts

if TYPE_CHECKING:
    import keras

log = logging.getLogger("medkit")


def finished_branches(experiment: Experiment) -> dict[str, Run]:
    """Input name -> the run that its branch starts from.

    Raises:
        ConfigError: A run that is not finished or was changed, takes several inputs or takes
            inputs of another kind.
    """
    found = {}
    for name, branch in experiment.model.parameters.get("branches", {}).items():
        if "from" not in branch:
            continue
        try:
            run = Run.open(branch["from"])
        except RunError as error:
            hint = f" ({error.hint})" if error.hint else ""
            raise _wrong(experiment, name, f"{error.place}: {error.message}{hint}") from error
        kinds = [modality.modality for modality in run.encoder.modalities.values()]
        kind = experiment.preprocessing[name].name
        if kinds != [kind]:
            text = f"the run takes {' and '.join(kinds)} data, and '{name}' is {kind} data"
            raise _wrong(experiment, name, text)
        found[name] = run
    _check_settings(experiment, found)
    return found


def _check_settings(experiment: Experiment, runs: Mapping[str, Run]) -> None:
    """Raise a ConfigError of preprocessing that would silently give way to a run's."""
    problems = []
    for name, run in runs.items():
        kind = experiment.preprocessing[name].name
        defaults = registry.modalities.schema(kind)().model_dump(mode="json")
        place = "preprocessing" if len(experiment.preprocessing) == 1 else f"preprocessing.{name}"
        given = _by_input(experiment)[name]
        for key, theirs in run.config["preprocessing"].items():
            if key in defaults and given[key] not in (defaults[key], theirs):
                text = f"is {json.dumps(theirs)} in the run that the branch starts from: remove it"
                text += f"; got {json.dumps(given[key])}"
                problems.append(Problem(f"{place}.{key}", text))
    if problems:
        raise ConfigError(problems, place=experiment.place)


def with_their_preprocessing(experiment: Experiment, runs: Mapping[str, Run]) -> Experiment:
    """The experiment, as written down, with the settings by which each run prepares its input."""
    theirs = {name: run.config["preprocessing"] for name, run in runs.items()}
    settings = {**_by_input(experiment), **theirs}
    written = settings if len(settings) > 1 else next(iter(settings.values()))
    return replace(experiment, plain={**experiment.plain, "preprocessing": written})


def _by_input(experiment: Experiment) -> dict[str, Any]:
    """Input name -> its settings in full, as plain data."""
    written = experiment.plain["preprocessing"]
    names = list(experiment.preprocessing)
    return dict(written) if len(names) > 1 else {names[0]: written}


def fitted_modalities(
    runs: Mapping[str, Run], cohort: Cohort, experiment: Experiment
) -> dict[str, Modality]:
    """Input name -> the modality fitted in the run that its branch starts from.

    Raises:
        ConfigError: The input has not the features of the run's, or has them in other units.
    """
    found = {}
    for name, run in runs.items():
        (modality,) = run.encoder.modalities.values()
        units = {each.name: each.unit for each in modality.features}
        given = {each.name: each.unit for each in cohort.inputs[name].features}
        # What a run left out (minimum_frequency) is no feature of its own.
        known = {*units, *getattr(modality, "given_", ())}
        lacking = [f"'{each}'" for each in units if each not in given]
        unknown = [f"'{each}'" for each in given if each not in known]
        differences = [f"lacks {', '.join(lacking)}"] if lacking else []
        differences += [f"has {', '.join(unknown)}, unknown to the run"] if unknown else []
        differences += [
            f"has '{each}' in {given[each] or 'no unit'}, the run in {unit or 'no unit'}"
            for each, unit in units.items()
            if each in given and given[each] != unit
        ]
        if differences:
            raise _wrong(experiment, name, f"the input '{name}' {'; '.join(differences)}")
        log.info("input %s: preprocessing and weights of the run %s", name, run.path.name)
        found[name] = modality
    return found


def earlier_parts(runs: Mapping[str, Run], cohort: Cohort) -> dict[str, Mapping[str, Cohort] | str]:
    """Input name -> the parts of the run that its branch starts from, or why they are not known.

    Only of runs that read a file of this cohort: numbers of patients elsewhere mean other patients.
    """
    return {name: own_parts(run) if _same_data(run, cohort) else {} for name, run in runs.items()}


def refuse_same_data(experiment: Experiment, cohort: Cohort) -> None:
    """Refuse to cross-validate with branches from runs on this data set: of whatever patients such
    a run was trained on, some are in the test part of a fold.

    Raises:
        ConfigError: There is such a branch, and ``leakage.allow`` does not name ``trained_before``.
    """
    for name, run in finished_branches(experiment).items():
        if _same_data(run, cohort) and "trained_before" not in experiment.leakage.allow:
            text = "the run was trained on this data set: folds would test patients it has learned "
            text += "from. Start from a run on other data, or give the model by its name"
            raise _wrong(experiment, name, text)


def _same_data(run: Run, cohort: Cohort) -> bool:
    return bool({*cohort.source.files.values()} & {*run.environment["data_sha256"].values()})


def with_embeddings(model: Component, runs: Mapping[str, Run]) -> Component:
    """The model with the runs' networks, but for their heads, in place of the runs' paths.

    Raises:
        RunError: A run whose network is no single one with a head.
    """
    branches = {
        name: {**branch, "from": _embedding(runs[name])} if name in runs else branch
        for name, branch in model.parameters.get("branches", {}).items()
    }
    return Component(model.name, {**model.parameters, "branches": branches}) if runs else model


def _embedding(run: Run) -> keras.Model:
    prepared = {preprocessing_name(name) for name in run.encoder.modalities}
    models = [each for each in run.model.layers if isinstance(each, lazy_keras.Model)]
    cores = [each for each in models if each.name not in prepared]
    heads = [layer for core in cores for layer in core.layers if layer.name == "output"]
    if len(cores) != 1 or len(heads) != 1 or isinstance(cores[0].input, dict):
        raise RunError(
            "it has no single network with a head for a branch to start from",
            place=str(run.path),
            hint="Train it without ensemble and without an embedding of categories.",
        )
    return lazy_keras.Model(cores[0].input, heads[0].input, name=cores[0].name)


def _wrong(experiment: Experiment, name: str, text: str) -> ConfigError:
    return ConfigError([Problem(f"model.branches.{name}.from", text)], place=experiment.place)

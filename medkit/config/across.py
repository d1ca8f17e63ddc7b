"""Checks that need two sections of a config: what does not fit together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from medkit.config.inputs import model_on_inputs
from medkit.config.sections import Component, Evaluation, Header, Split, Training
from medkit.core import registry
from medkit.core.errors import did_you_mean
from medkit.core.yaml_file import Key

Problems = Iterator[tuple[Key, str]]


def across(parts: Mapping[str, Any]) -> Problems:
    """Place and text of every problem between sections that are right by themselves.

    Args:
        parts: Section -> what was read of it; None where it is wrong by itself.
    """
    dataset, model, task = parts["dataset"], parts["model"], parts["task"]
    if dataset and model:
        yield from model_on_inputs(model, dataset, parts["preprocessing"])
    if task and model:
        yield from _answers(task, model)
    if task and parts["preprocessing"]:
        yield from _moved_apart(task, parts["preprocessing"])
    if task:
        yield from _of_task(task, parts["header"], parts["training"], parts["evaluation"])
        if dataset:
            yield from _task_on_data(task, dataset)
    if parts["split"]:
        yield from _in_split(parts["split"])


def _task_on_data(task: Component, dataset: Component) -> Problems:
    targets = registry.datasets.get(dataset.name).targets(dataset.parameters)
    if targets is None or _learned_as(task.name) in targets:
        return
    able = [name for name in registry.tasks.names() if _learned_as(name) in targets]
    text = f"'{task.name}' cannot learn the targets of '{dataset.name}'"
    yield ("task", "name"), f"{text}; these can: {', '.join(able)}"


def _learned_as(task: str) -> str:
    """What a task takes its targets for: ``yes_no``, ``several yes_no``, ``number`` …"""
    factory = registry.tasks.get(task).factory
    return f"several {factory.outcome}" if factory.several else str(factory.outcome)


def _answers(task: Component, model: Component) -> Problems:
    """Whether a model answers by sample, step or pixel, as the task needs it."""
    needed = registry.tasks.get(task.name).factory.answers

    def given(name: str) -> tuple[str, ...]:
        return tuple(registry.models.get(name).tags.get("answers", ("sample",)))

    if needed not in given(model.name):
        able = [name for name in registry.models.names() if needed in given(name)]
        text = f"'{model.name}' gives one answer per {' or '.join(given(model.name))}"
        text += f"; task '{task.name}' needs one per {needed}"
        yield ("model", "name"), f"{text}; these give it: {', '.join(able) or 'none'}"


def _moved_apart(task: Component, preprocessing: Mapping[str, Component]) -> Problems:
    """Augmentation moves an image and knows of no mask that must move along."""
    if registry.tasks.get(task.name).factory.answers != "pixel":
        return
    for name, given in preprocessing.items():
        place: Key = ("preprocessing",) if len(preprocessing) == 1 else ("preprocessing", name)
        for setting in registry.modalities.get(given.name).factory.moves_pixels:
            if given.parameters.get(setting):
                text = "moves the pixels of the image and not those of its mask: remove it"
                yield (*place, setting), text


def _of_task(
    task: Component,
    header: Header | None,
    training: Training | None,
    evaluation: Evaluation | None,
) -> Problems:
    """Settings that mean something for some tasks only, by what the task says of itself."""
    asked = registry.tasks.get(task.name).factory
    stopping = training.early_stopping if training else None
    if stopping and stopping.monitor and stopping.monitor not in asked.monitors:
        near = did_you_mean(stopping.monitor, asked.monitors)
        text = f"task '{task.name}' does not watch '{stopping.monitor}'{near}"
        text += f"; it watches {', '.join(asked.monitors)}"
        yield ("training", "early_stopping", "monitor"), text
    if training and training.class_weight and not asked.one_class_each:
        text = "weights mutually exclusive classes"
        yield ("training", "class_weight"), f"{text}; task '{task.name}' has none: remove it"
    if header and header.calibration != "none" and not asked.probabilities:
        text = f"recalibrates probabilities; task '{task.name}' has none: remove it"
        yield ("calibration",), text
    if evaluation and evaluation.prevalence and asked.outcome != "yes_no":
        text = f"is the share of positives; task '{task.name}' has none: remove it"
        yield ("evaluation", "prevalence"), text


def _in_split(split: Split) -> Problems:
    if split.by in ("subject", "time") and split.valid + split.test > 0.9:
        text = f"valid {split.valid:g} and test {split.test:g} leave too little to train on"
        yield ("split",), f"{text}; together they may be 0.9 at most"
    if split.by == "site" and not split.train_sites:
        yield ("split", "train_sites"), "is required with 'by: site'"
    if split.by == "fold" and split.fold > split.folds:
        yield (
            ("split", "fold"),
            f"must be {split.folds} (split.folds) or less; got {split.fold}",
        )
    if split.by == "column" and not split.column:
        yield ("split", "column"), "is required with 'by: column'"

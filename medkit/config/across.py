"""Checks that need two sections of a config: what does not fit together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

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
        yield from _model_on_data(model, dataset, parts["preprocessing"])
    if task and model:
        yield from _answers(task, model)
    if task:
        yield from _of_task(task, parts["header"], parts["training"], parts["evaluation"])
        if dataset:
            yield from _task_on_data(task, dataset)
    if parts["split"]:
        yield from _in_split(parts["split"])


def _model_on_data(model: Component, dataset: Component, preprocessing: Any) -> Problems:
    yields = registry.datasets.get(dataset.name).yields(dataset.parameters)
    entry = registry.models.get(model.name)
    if yields is None:
        return
    if not registry.fits(entry, yields):
        yield ("model", "name"), _refused(model, dataset, yields)
    elif preprocessing:
        needed = entry.tags.get("requires", {})
        for key, value in needed.items():
            allowed = value if isinstance(value, tuple) else (value,)
            if preprocessing.parameters.get(key) not in allowed:
                wanted = ", ".join(f"{k}: {_written(v)}" for k, v in needed.items())
                yield ("preprocessing", key), f"'{model.name}' needs preprocessing: {{{wanted}}}"


def _refused(model: Component, dataset: Component, yields: str) -> str:
    """Why a model cannot take what a dataset yields, and what would do."""
    yielded = registry.datasets.get(dataset.name).yielded
    entry = registry.models.get(model.name)
    for other, wanted in yielded.items():
        if wanted and registry.fits(entry, other):
            setting = ", ".join(f"dataset.{key}: {value}" for key, value in wanted.items())
            return f"'{model.name}' cannot take {yields} data; set {setting}"
    because = ", ".join(f"{key}: {value}" for key, value in yielded.get(yields, {}).items())
    given = f"'{dataset.name}'" + (f" with {because}" if because else "")
    able = ", ".join(registry.models_for(yields))
    return f"'{model.name}' cannot take {yields} data ({given}); these can: {able}"


def _written(value: Any) -> str:
    """A needed setting as in YAML; the first of several that would do."""
    value = value[0] if isinstance(value, tuple) else value
    return str(value).lower() if isinstance(value, bool) else str(value)


def _task_on_data(task: Component, dataset: Component) -> Problems:
    targets = registry.datasets.get(dataset.name).targets(dataset.parameters)
    if targets is None or registry.tasks.get(task.name).factory.outcome in targets:
        return
    names = registry.tasks.names()
    able = [name for name in names if registry.tasks.get(name).factory.outcome in targets]
    text = f"'{task.name}' cannot learn the targets of '{dataset.name}'"
    yield ("task", "name"), f"{text}; these can: {', '.join(able)}"


def _answers(task: Component, model: Component) -> Problems:
    """Whether a model answers by sample, step or pixel, as the task needs it."""
    needed = registry.tasks.get(task.name).factory.answers

    def given(name: str) -> tuple[str, ...]:
        return tuple(registry.models.get(name).tags.get("answers", ("sample",)))

    if needed not in given(model.name):
        able = [name for name in registry.models.names() if needed in given(name)]
        text = f"'{model.name}' gives one answer a {' or a '.join(given(model.name))}"
        text += f"; task '{task.name}' needs one a {needed}"
        yield ("model", "name"), f"{text}; these give it: {', '.join(able) or 'none'}"


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
        text = "weights classes that exclude each other"
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

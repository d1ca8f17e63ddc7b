"""The callbacks of one training, from its settings."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Any

import keras
import numpy as np

from medkit.core.errors import TrainingError, did_you_mean
from medkit.tasks.task import Task
from medkit.training.callbacks import (
    PlateauCallback,
    Recorder,
    StopOnNaN,
    StoppingCallback,
    Validation,
)
from medkit.training.validation import Evaluator

log = logging.getLogger("medkit")

# Undefined without both classes; Keras then says 0 (or 1) in every epoch.
_RANKINGS = ("auroc", "auprc")


def make_watchers(settings: Any, task: Task, evaluator: Evaluator | None) -> dict[str, Any]:
    """Name -> callback, in order: those that read a value come after those that add it.

    Args:
        settings: The ``training`` section.
        task: The task, which says what is watched and whether more of it is better.
        evaluator: Of the validation rows; None without them.

    Raises:
        TrainingError: The task does not watch the metric to monitor.
    """
    watchers: dict[str, Any] = {}
    if evaluator is not None:
        watchers["validation"] = Validation(evaluator)
    watchers["finite"] = StopOnNaN(settings.epochs, settings.mixed_precision)
    asked, schedule = settings.early_stopping, settings.learning_rate_schedule
    name, mode = monitor(task, asked.monitor if asked else None)
    if evaluator is not None:
        if name in _RANKINGS and (asked or _is_plateau(schedule)) and _one_class(task, evaluator):
            log.warning(
                "the validation rows hold one class only, so that %s is undefined there: "
                "val_loss is monitored instead of val_%s",
                name,
                name,
            )
            name, mode = "loss", task.monitors["loss"]
        name = f"val_{name}"
    if asked is not None and evaluator is None:
        log.info("no validation data: early stopping is off")
    elif asked is not None:
        averaged = bool(settings.optimizer.use_ema)
        if averaged and asked.restore_best:
            log.info("use_ema: the last epoch's averaged weights are kept, not the best epoch's")
        watchers["early_stopping"] = StoppingCallback(
            name,
            mode,
            patience=asked.patience,
            min_delta=asked.min_delta,
            restore_best=asked.restore_best and not averaged,
        )
    watchers["recorder"] = Recorder(with_rate=schedule is not None)
    if _is_plateau(schedule):
        watchers["plateau"] = PlateauCallback(
            name,
            mode,
            factor=schedule.factor,
            patience=schedule.patience,
            minimum=schedule.minimum,
        )
    return watchers


def _is_plateau(schedule: Any) -> bool:
    return schedule is not None and schedule.name == "plateau"


def _one_class(task: Task, evaluator: Evaluator) -> bool:
    """Whether no output has both classes among the validation rows; False of a stream, unread."""
    if task.outcome != "yes_no" or evaluator.y is None:
        return False
    y = np.asarray(evaluator.y)
    return bool((y == y[:1]).all())


def monitor(task: Task, asked: str | None) -> tuple[str, str]:
    """Watched metric and ``max`` or ``min``: the one asked for, or the task's own choice.

    Raises:
        TrainingError: The task does not watch it.
    """
    name = asked or task.monitor
    if name not in task.monitors:
        near = did_you_mean(name, task.monitors)
        raise TrainingError(
            f"task '{task.kind}' does not watch '{name}'{near}; "
            f"it watches {', '.join(task.monitors)}",
            place="training.early_stopping.monitor",
        )
    return name, task.monitors[name]


def tensorboard(folder: Path | None, name: str = "") -> keras.callbacks.Callback:
    """The callback that writes TensorBoard's logs to ``folder/tensorboard`` (``/name``, if any).

    Raises:
        TrainingError: There is no folder, or a package is missing.
    """
    if folder is None:
        raise TrainingError("tensorboard needs a folder", hint="Trainer(…, folder='logs')")
    packages = ("tensorflow", "tensorboard")
    missing = [each for each in packages if importlib.util.find_spec(each) is None]
    if missing:
        raise TrainingError(
            f"TensorBoard's logs need packages that are not installed: {', '.join(missing)}",
            place="training.tensorboard",
            hint="pip install 'keras-medkit[tensorboard]', or set tensorboard: false.",
        )
    return keras.callbacks.TensorBoard(folder / "tensorboard" / name, write_graph=False)

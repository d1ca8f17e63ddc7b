"""What happens at the end of an epoch; those with ``state`` continue exactly in a resumed run."""

from __future__ import annotations

import logging
import math
from typing import Any

import keras
import numpy as np

from medkit.core.errors import TrainingError, did_you_mean
from medkit.training.optimizer import learning_rate
from medkit.training.validation import Evaluator

log = logging.getLogger("medkit")


class Resumable(keras.callbacks.Callback):
    """A callback that continues in a resumed run: the attributes in ``kept`` are its state."""

    kept: tuple[str, ...] = ()

    def state(self) -> dict[str, Any]:
        """What it remembers, as Python's JSON."""
        return {name: getattr(self, name) for name in self.kept}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``."""
        for name, value in state.items():
            setattr(self, name, value)


class Validation(keras.callbacks.Callback):
    """Adds ``val_<metric>`` to the epoch's logs; comes before all that read them."""

    def __init__(self, evaluator: Evaluator):
        super().__init__()
        self.evaluator = evaluator

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs.update({f"val_{name}": value for name, value in self.evaluator().items()})


class StopOnNaN(keras.callbacks.Callback):
    """Raises as soon as the loss is not a finite number.

    Raises:
        TrainingError: With the epoch and what to try.
    """

    def __init__(self, epochs: int, mixed_precision: bool):
        super().__init__()
        self.epochs, self.mixed_precision, self.epoch = epochs, mixed_precision, 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._check(logs, "loss", "the loss")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._check(logs, "loss", "the loss")
        self._check(logs, "val_loss", "the validation loss")

    def _check(self, logs: Any, name: str, what: str) -> None:
        value = float((logs or {}).get(name, 0.0))
        if math.isfinite(value):
            return
        rate = learning_rate(self.model.optimizer)
        tries = [
            f"a lower learning rate (it is {rate:g})",
            "gradient clipping (optimizer.clipnorm: 1.0)",
            "checking the targets and inputs (infinite, missing or very large values)",
        ]
        if self.mixed_precision:
            tries.append("mixed_precision: false")
        raise TrainingError(
            f"{what} is not a finite number ({value}) in epoch {self.epoch + 1} of {self.epochs}",
            hint=f"Try {'; '.join(tries)}.",
        )


class StoppingCallback(Resumable):
    """Stops after ``patience`` epochs without a better value; keeps the best epoch's weights.

    Of epochs whose values are equal (an AUPRC of 1.0 reached twice, an accuracy of few rows) the
    one with the lower loss on the same rows is kept. Such a tie is not a better value: it does not
    restart the patience.

    Args:
        name: Name in the logs: ``val_auroc``.
        mode: ``max`` or ``min``.
        patience: Epochs without a better value.
        min_delta: Smallest change that counts.
        restore_best: Whether to keep the weights.
    """

    kept = ("best", "best_loss", "best_epoch", "wait", "stopped")

    def __init__(
        self, name: str, mode: str, *, patience: int, min_delta: float, restore_best: bool
    ):
        super().__init__()
        self.name, self.sign = name, -1.0 if mode == "min" else 1.0
        self.patience, self.min_delta, self.restore_best = patience, min_delta, restore_best
        self.loss_name = "val_loss" if name.startswith("val_") else "loss"
        self.best, self.best_epoch, self.wait, self.stopped = -math.inf, -1, 0, False
        self.best_loss = math.inf
        self.weights: list[np.ndarray] | None = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        value = self.sign * float(monitored(logs, self.name))
        loss = float(logs.get(self.loss_name, math.inf))
        self.wait += 1
        # Not a number (a metric undefined on this validation set) is never better.
        better = value - self.min_delta > self.best
        better = better or (self.best_epoch < 0 and math.isfinite(value))
        if better:
            self.wait = 0
        if better or (value == self.best and loss < self.best_loss):
            self.best, self.best_loss, self.best_epoch = value, loss, epoch
            if self.restore_best:
                self.weights = copies(self.model.weights)
        if self.wait >= self.patience:
            self.stopped = self.model.stop_training = True


class PlateauCallback(Resumable):
    """Multiplies the rate by ``factor`` after ``patience`` epochs without a better value.

    The rate itself is among the optimizer's variables.
    """

    kept = ("best", "wait")

    def __init__(self, name: str, mode: str, *, factor: float, patience: int, minimum: float):
        super().__init__()
        self.name, self.sign = name, -1.0 if mode == "min" else 1.0
        self.factor, self.patience, self.minimum = factor, patience, minimum
        self.best, self.wait = -math.inf, 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        value = self.sign * float(monitored(logs, self.name))
        self.wait += 1
        if value > self.best:
            self.best, self.wait = value, 0
        if self.wait >= self.patience:
            before = learning_rate(self.model.optimizer)
            after = max(before * self.factor, self.minimum)
            if after < before:
                self.model.optimizer.learning_rate = after
                log.info("epoch %d: learning rate %g -> %g", epoch + 1, before, after)
            self.wait = 0


class Recorder(Resumable):
    """Every logged value of every epoch; with a schedule, the learning rate too."""

    kept = ("history",)

    def __init__(self, with_rate: bool):
        super().__init__()
        self.with_rate = with_rate
        self.history: dict[str, list[float]] = {}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.with_rate:
            logs["learning_rate"] = learning_rate(self.model.optimizer)
        for name in sorted(logs, key=lambda each: (each.startswith("val_"), each != "loss")):
            self.history.setdefault(name, []).append(float(logs[name]))


def monitored(logs: Any, name: str) -> Any:
    """The monitored value.

    Raises:
        TrainingError: It is not among the logs.
    """
    if name not in (logs or {}):
        near = did_you_mean(name, logs or {}) or f"; watched: {', '.join(logs or {})}"
        raise TrainingError(f"'{name}' is not watched{near}", place="training.early_stopping")
    return logs[name]


def copies(variables: Any) -> list[np.ndarray]:
    """The variables' values, which later training steps leave alone."""
    # PyTorch's arrays share memory with its weights, hence the copy.
    return [np.array(keras.ops.convert_to_numpy(each)) for each in variables]

"""How far a training has come, epoch by epoch."""

from __future__ import annotations

import time
from typing import Any

import keras

from medkit.core.progress import Progress, duration

_LINE_SECONDS = 2.0


class Epochs(keras.callbacks.Callback):
    """Shows epoch, loss, the monitored value and the time left.

    Args:
        epochs: Last epoch.
        monitored: Name of a value to show beside the losses.
        label: What is trained, where there are several: ``member 2/5``.
    """

    def __init__(self, epochs: int, monitored: str, label: str = ""):
        super().__init__()
        self.label = f"{label}, " if label else ""
        self.epochs, self.shown = epochs, dict.fromkeys(("loss", "val_loss", monitored))
        self.progress = Progress("", epochs, quiet=0, every=_LINE_SECONDS)
        self.text = ""

    def on_train_begin(self, logs: Any = None) -> None:
        self.started, self.first = time.monotonic(), -1

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch
        self.progress.what = f"{self.label}epoch {epoch + 1}/{self.epochs}"
        if self.first < 0:
            self.first = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.progress.bar is not None and self.params.get("steps"):
            done = self.epoch + (batch + 1) / self.params["steps"]
            self.progress.show(done, self.text, time.monotonic())

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        values = ", ".join(f"{name} {logs[name]:.4f}" for name in self.shown if name in logs)
        done, now = epoch + 1, time.monotonic()
        seconds = (self.epochs - done) * self._seconds_an_epoch(done, now)
        self.text = f"{values}, {duration(seconds)} left"
        self.progress.show(done, self.text, now, last=done == self.epochs)

    def _seconds_an_epoch(self, done: int, now: float) -> float:
        if done - self.first == 1:
            self.warm = now
            return now - self.started
        # The first epoch compiles, and would make the others look slow.
        return (now - self.warm) / (done - self.first - 1)

"""How far a training has come: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import keras

log = logging.getLogger("medkit")

_REFRESH_SECONDS = 0.2
_LINE_SECONDS = 2.0


class Progress(keras.callbacks.Callback):
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
        self.bar: Any = None
        self.task: Any = None
        self.text = ""

    def on_train_begin(self, logs: Any = None) -> None:
        self.started = self.refreshed = time.monotonic()
        self.said, self.first = float("-inf"), -1
        if not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self.bar = Progress(
            TextColumn(self.label + "epoch {task.fields[epoch]}/{task.total:.0f}"),
            BarColumn(),
            TextColumn("{task.fields[text]}"),
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
        )
        self.bar.start()
        self.task = self.bar.add_task("", total=self.epochs, epoch=1, text="")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch
        if self.first < 0:
            self.first = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.bar is not None and self.params.get("steps"):
            self._draw(self.epoch + (batch + 1) / self.params["steps"], self.epoch + 1)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        values = ", ".join(f"{name} {logs[name]:.4f}" for name in self.shown if name in logs)
        done = epoch + 1
        left = (self.epochs - done) * self._seconds_an_epoch(done)
        self.text = f"{values}, {duration(left)} left"
        if self.bar is not None:
            self._draw(done, done)
        elif time.monotonic() - self.said >= _LINE_SECONDS or done == self.epochs:
            self.said = time.monotonic()
            log.info("%sepoch %d/%d: %s", self.label, done, self.epochs, self.text)

    def _seconds_an_epoch(self, done: int) -> float:
        now = time.monotonic()
        if done - self.first == 1:
            self.warm = now
            return now - self.started
        # The first epoch compiles, and would make the others look slow.
        return (now - self.warm) / (done - self.first - 1)

    def _draw(self, completed: float, epoch: int) -> None:
        now = time.monotonic()
        if now - self.refreshed >= _REFRESH_SECONDS:
            self.refreshed = now
            self.bar.update(self.task, completed=completed, epoch=epoch, text=self.text)
            self.bar.refresh()

    def close(self) -> None:
        """Take the bar off the terminal, also after an error."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def duration(seconds: float) -> str:
    """``8 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"

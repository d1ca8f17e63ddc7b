"""The Trainer: compile, fit, evaluate, predict; Keras owns the loop."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from medkit.config.experiment import Training
from medkit.core import registry
from medkit.core.progress import duration
from medkit.tasks.task import Task
from medkit.training import feed, validation
from medkit.training.backend import device
from medkit.training.callbacks import Recorder, Resumable, StoppingCallback
from medkit.training.checkpoint import Checkpoint
from medkit.training.fused import train_function
from medkit.training.optimizer import build_optimizer
from medkit.training.plan import Execution, choose, network_kind
from medkit.training.progress import Epochs
from medkit.training.watchers import make_watchers, tensorboard
from medkit.training.weights import class_weights, row_weights

log = logging.getLogger("medkit")


@dataclass(frozen=True)
class History:
    """What a training went through.

    Attributes:
        history: Name (``loss``, ``val_auroc`` …) -> one value per epoch.
        best_epoch: Number, from 1, of the epoch whose weights the model now has.
        seconds: Time of this ``fit``.
        stopped_early: Whether early stopping ended it.
    """

    history: dict[str, list[float]]
    best_epoch: int
    seconds: float
    stopped_early: bool

    @property
    def epochs(self) -> int:
        """Epochs run."""
        return len(self.history.get("loss", ()))


def set_mixed_precision(enabled: bool) -> str:
    """Set Keras' arithmetic for the models built from now on; returns the policy's name.

    GPUs get float16, whose loss Keras scales itself; other devices get bfloat16.
    """
    policy = "float32"
    if enabled:
        policy = "mixed_float16" if device() == "gpu" else "mixed_bfloat16"
        log.info("mixed precision: %s", policy)
    keras.config.set_dtype_policy(policy)
    return policy


class Trainer:
    """Fits one Keras model.

    Given the name of a task, the Trainer fits it on the training targets and encodes targets as
    they come (``"benign"``, ``"malignant"``); numbers to predict keep their units. A task object
    must be fitted already, and the targets encoded by it.

    Args:
        model: An uncompiled model.
        task: Name of a task, or a fitted task.
        seed: Seed of the order of the rows. To repeat a training exactly, seed the weights too:
            ``keras.utils.set_random_seed(seed)`` before building the model.
        settings: The ``training`` section of a config.
        folder: Where checkpoints (``checkpoint/``) and ``tensorboard/`` go; None for neither.
        member: Which of how many networks of an ensemble this is, from 1; further ones have
            their own files in ``folder``.
        **changes: Settings by keyword, as in a config: ``epochs=20, optimizer="sgd"``.

    Raises:
        ConfigError: A setting is wrong.

    Example:
        >>> trainer = Trainer(model, task="binary", seed=7, epochs=20)
        >>> history = trainer.fit(x_train, y_train, validation_data=(x_valid, y_valid))
        >>> trainer.evaluate(x_test, y_test)["auroc"]
    """

    def __init__(
        self,
        model: keras.Model,
        task: Task | str = "binary",
        seed: int = 0,
        settings: Training | None = None,
        folder: Path | str | None = None,
        member: tuple[int, int] = (1, 1),
        **changes: Any,
    ):
        if settings is None or changes:
            given = {} if settings is None else settings.model_dump(mode="json")
            settings = Training.of(**{**given, **changes})
        self.model, self.seed, self.settings = model, seed, settings
        self.folder = None if folder is None else Path(folder)
        self.label = f"member {member[0]}/{member[1]}" if member[1] > 1 else ""
        self.file = f"member-{member[0]}" if member[0] > 1 else ""
        self.named = isinstance(task, str)
        self.task = _named_task(task) if isinstance(task, str) else task
        self.plan: Execution | None = None
        self.history: History | None = None

    def fit(
        self,
        x: Any,
        y: Any = None,
        *,
        validation_data: Any = None,
        resume: bool = False,
        callbacks: Iterable[keras.callbacks.Callback] = (),
    ) -> History:
        """Train; afterwards the model has its best weights.

        Args:
            x: Arrays (rows first; also memmaps, or a dict or list of arrays), or a stream that
                yields ``(x, y)`` batches: a ``keras.utils.PyDataset`` or ``tf.data.Dataset``.
            y: Targets; None with a stream, which yields encoded ones.
            validation_data: ``(x, y)`` or a stream.
            resume: Go on from the checkpoint in ``folder``, if there is one.
            callbacks: Further Keras callbacks; they see the validation values.

        Raises:
            TrainingError: The loss is no longer a finite number, or a setting does not fit.
            DataError: Targets that the task cannot use.
            KeyboardInterrupt: Ctrl-C; the last finished epoch has been written to ``folder``.
        """
        start = time.monotonic()
        keras.utils.set_random_seed(self.seed)
        data, weights = self._training_data(x, y)
        steps = self._compile(data)
        watchers = make_watchers(self.settings, self.task, self._evaluator(validation_data))
        stopping, recorder = watchers.get("early_stopping"), watchers["recorder"]
        checkpoint = self._checkpoint(watchers, data)
        first = checkpoint.load() if checkpoint and resume else 0
        if first:
            log.info("%sresuming after epoch %d", f"{self.label}: " if self.label else "", first)
        monitored = stopping.name if stopping else f"val_{self.task.monitor}"
        epochs = Epochs(self.settings.epochs, monitored, self.label)
        more = [tensorboard(self.folder, self.file)] if self.settings.tensorboard else []
        every = [*watchers.values(), *more, *callbacks, checkpoint, epochs]
        if first < self.settings.epochs and not (stopping and stopping.stopped):
            try:
                self._run(data, weights, steps, first, [each for each in every if each])
            except KeyboardInterrupt:
                if checkpoint and checkpoint.write():
                    log.info("interrupted; the last finished epoch is in %s", checkpoint.path)
                raise
            finally:
                epochs.progress.close()
                self.model.train_function = None
        if checkpoint:
            checkpoint.write()
        self.history = self._finish(stopping, recorder, time.monotonic() - start)
        return self.history

    def evaluate(self, x: Any, y: Any = None) -> dict[str, float]:
        """Loss and watched metrics (approximations: see ``tasks``) on other rows, or a stream."""
        if not self.model.compiled:
            self._compile((x, y))
        return self._evaluator(x if feed.is_stream(x) else (x, y))()

    def predict(self, x: Any) -> np.ndarray:
        """The model's outputs, (n, outputs)."""
        if feed.is_stream(x):
            return np.asarray(self.model.predict(x, verbose=0))
        arrays = feed.as_arrays(x)
        rows = feed.rows_without_gradient(self.model, self.settings.batch_size)
        return validation.predict(self.model, arrays, min(rows, feed.row_count(arrays)))

    # The parts of fit, in order.

    def _training_data(self, x: Any, y: Any) -> tuple[Any, dict[int, float] | None]:
        """``(x, y[, row weights])`` or the stream, and the class weights."""
        asked = self.settings.class_weight
        if feed.is_stream(x):
            return x, class_weights(asked, self.task, None)
        if self.named:
            self.task.fit(y)
        encoded = self.task.encode(y) if self.named else np.asarray(y)
        weights = class_weights(asked, self.task, encoded)
        rows = () if weights is None else (row_weights(weights, encoded),)
        return (feed.as_arrays(x), self.task.scale(encoded), *rows), weights

    def _evaluator(self, data: Any) -> Any:
        if data is None:
            return None
        size = self.settings.batch_size
        if feed.is_stream(data):
            return validation.Evaluator(self.model, data, None, size)
        x, y = data
        encoded = self.task.encode(y) if self.named else np.asarray(y)
        return validation.Evaluator(self.model, feed.as_arrays(x), self.task.scale(encoded), size)

    def _compile(self, data: Any) -> int | None:
        """Choose how to compute and compile the model; returns the steps per epoch."""
        settings, stream = self.settings, feed.is_stream(data)
        steps = _length(data) if stream else -(-feed.row_count(data) // settings.batch_size)
        batch_bytes = 0 if stream else feed.row_bytes(data) * settings.batch_size
        self.plan = choose(
            network_kind(self.model),
            device(),
            steps=steps or 32,
            epochs=settings.epochs,
            batch_bytes=batch_bytes,
            steps_per_execution=settings.steps_per_execution,
            jit_compile=settings.jit_compile,
        )
        log.debug("plan: %s", self.plan)
        # Validation and prediction run outside our train function: not worth a compilation,
        # except on JAX, which would otherwise run operation by operation.
        whole = keras.backend.backend() == "jax" or stream
        fused = 1 if keras.backend.backend() == "torch" else min(self.plan.fused, 32)
        self.model.compile(
            optimizer=build_optimizer(settings, steps),
            loss=self.task.keras_loss(),
            metrics=self.task.watch(),
            jit_compile=self.plan.compiled and whole,
            steps_per_execution=fused if stream else 1,
        )
        self.model.optimizer.build(self.model.trainable_variables)
        return steps

    def _checkpoint(self, watchers: dict[str, Any], data: Any) -> Checkpoint | None:
        if self.folder is None:
            return None
        others = {name: each for name, each in watchers.items() if isinstance(each, Resumable)}
        identity = {"seed": self.seed, "batch_size": self.settings.batch_size}
        if not feed.is_stream(data):
            identity["rows"] = feed.row_count(data)
        checkpoint = Checkpoint(self.folder, others, identity, self.file)
        checkpoint.set_model(self.model)
        return checkpoint

    def _run(
        self, data: Any, weights: dict[int, float] | None, steps: int | None, first: int, every: Any
    ) -> None:
        given: dict[str, Any] = {"x": data, "steps_per_epoch": steps, "class_weight": weights}
        if self.plan is not None and steps is not None and not feed.is_stream(data):
            batch_size, fused = self.settings.batch_size, self.plan.fused
            self.model.train_function = train_function(self.model, self.plan, batch_size)
            chunks = feed.chunks(
                data, batch_size=batch_size, fused=fused, seed=self.seed, first_epoch=first
            )
            given = {"x": chunks, "steps_per_epoch": -(-steps // fused)}
        self.model.fit(
            **given,
            initial_epoch=first,
            epochs=self.settings.epochs,
            shuffle=False,
            verbose=0,
            callbacks=every,
        )

    def _finish(
        self, stopping: StoppingCallback | None, recorder: Recorder, seconds: float
    ) -> History:
        epochs = len(recorder.history.get("loss", ()))
        best, stopped = epochs, False
        if stopping is not None:
            stopped = stopping.stopped
            if stopping.weights is not None:
                self.model.set_weights(stopping.weights)
                best = stopping.best_epoch + 1
        log.info(
            "%strained %d epochs in %s; weights of epoch %d%s",
            f"{self.label}: " if self.label else "",
            epochs,
            duration(seconds),
            best,
            " (stopped early)" if stopped else "",
        )
        return History(recorder.history, best, seconds, stopped)


def _named_task(name: str) -> Any:
    # The model is the whole model here, so it is to learn targets in their own units.
    plain = "standardize" in registry.tasks.schema(name).model_fields
    return registry.tasks.build(name, **({"standardize": False} if plain else {}))


def _length(stream: Any) -> int | None:
    try:
        length = len(stream)
    except TypeError:
        return None
    return length if length > 0 else None

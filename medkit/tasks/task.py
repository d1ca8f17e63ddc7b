"""What all tasks share."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from medkit.core.errors import DataError, MedkitError
from medkit.tasks.outcomes import Metric, Outcome

if TYPE_CHECKING:
    import pandas

log = logging.getLogger("medkit")

#: One, one a label, or one a row (n, outputs), as where each fold of a cross-validation chose its
#: own; None where there is nothing to decide.
Threshold = float | list[float] | np.ndarray | None
# Name -> (n, …): what is known of each row, from which every metric follows for any weights.
Statistics = dict[str, np.ndarray]


class Task:
    """A kind of prediction: checked targets, head, loss, metrics.

    Constructor parameters are kept under their own names; what ``fit`` learns from the training
    targets ends in ``_``. ``p`` is always what the whole model returns, (n, outputs).
    """

    kind: ClassVar[str]
    #: The kind of its outcomes: all that evaluation, baselines, report and comparison go by.
    outcome: ClassVar[str]
    #: The kind of targets it reads: columns, time_to_event, mask, boxes, tags, spans, text.
    reads: ClassVar[str] = "columns"
    #: Whether its targets are several columns, each with an outcome of its own.
    several: ClassVar[bool] = False
    #: What a model must answer: one answer per sample, step or pixel, or a generated sequence.
    answers: ClassVar[str] = "sample"
    #: Whether its outputs are probabilities, which can be recalibrated.
    probabilities: ClassVar[bool] = False
    #: Whether a row is of exactly one class, so that rows can be weighted by class.
    one_class_each: ClassVar[bool] = False
    #: Why no input is compared with the target, where that is no class or number of a sample.
    no_single_value: ClassVar[str] = "the outcome is neither a class nor a single number"
    #: The metric that a summary leads with.
    leading: ClassVar[str]
    #: Watched metric -> whether more (max) or less (min) of it is better.
    monitors: ClassVar[dict[str, str]]
    #: The watched metric that early stopping follows unless told otherwise.
    monitor: ClassVar[str]
    #: Names of what ``fit`` learned, for to_dict.
    learned: ClassVar[tuple[str, ...]]
    #: Names of the target columns; empty where none were given.
    names_: tuple[str, ...] = ()
    #: How many false positives one false negative is worth; None where that was not said.
    cost_ratio: float | None = None

    # What every task says for itself.

    def fit(self, targets: Any, names: Sequence[str] = ()) -> Self:
        """Check the training targets and learn from them.

        Args:
            targets: (n,) or (n, outputs) as read.
            names: Names of the target columns.

        Raises:
            DataError: Targets this task cannot be trained on.
        """
        raise NotImplementedError

    @classmethod
    def example(cls, rows: int, random: np.random.Generator) -> np.ndarray:
        """Targets (rows,) or (rows, outputs) such as it can be fitted on, for contract tests."""
        raise NotImplementedError

    def encode(self, targets: Any) -> np.ndarray:
        """Targets as the metrics take them.

        Raises:
            DataError: Missing or infinite values, or classes unknown from training.
        """
        raise NotImplementedError

    @property
    def num_outputs(self) -> int:
        """Width of the head."""
        raise NotImplementedError

    @property
    def output_activation(self) -> str:
        """Activation of the head."""
        raise NotImplementedError

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The reported metrics, in order."""
        raise NotImplementedError

    def keras_loss(self) -> Any:
        """A new Keras loss; also usable before ``fit``."""
        raise NotImplementedError

    def watch(self) -> list[Any]:
        """New Keras metrics to follow while training: approximations, never reported."""
        raise NotImplementedError

    def statistics(self, y: np.ndarray, p: np.ndarray, threshold: Threshold = None) -> Statistics:
        """What is known of each row, (n, …), so that no resample looks at ``y`` and ``p`` again.

        Args:
            y: Encoded targets.
            p: (n, outputs) the model's outputs.
            threshold: From ``choose_threshold``.
        """
        raise NotImplementedError

    def measure(self, statistics: Statistics, weights: np.ndarray | None = None) -> dict[str, Any]:
        """The reported metrics.

        Args:
            statistics: From ``statistics``.
            weights: (resamples, n) how often each row was drawn; None for the rows as they are.

        Returns:
            Metric -> float, or (resamples,) values; NaN where it is undefined.
        """
        raise NotImplementedError

    def prediction_columns(
        self, p: np.ndarray, threshold: Threshold = None
    ) -> dict[str, np.ndarray]:
        """Named output columns, each (n,)."""
        raise NotImplementedError

    def outcomes(
        self, y: np.ndarray, p: np.ndarray | None = None, threshold: Threshold = None
    ) -> list[Outcome]:
        """What is predicted, one entry each, as evaluation takes it.

        Args:
            y: Encoded targets.
            p: (n, outputs) the model's outputs; None where only the targets are asked about.
            threshold: From ``choose_threshold``.
        """
        raise NotImplementedError

    # What most tasks leave as it is.

    def score(
        self,
        y: np.ndarray,
        p: np.ndarray,
        threshold: Threshold = None,
        weights: np.ndarray | None = None,
    ) -> dict[str, Any]:
        """``measure`` of the ``statistics`` of targets and outputs."""
        return self.measure(self.statistics(y, p, threshold), weights)

    def metric(self, name: str) -> Metric:
        """A reported metric; a watched one that is not reported is called by its name."""
        for each in self.metrics:
            if each.name == name:
                return each
        better = {"max": "more", "min": "less"}.get(self.monitors.get(name, ""), "neither")
        return Metric(name, name.replace("_", " "), better)  # type: ignore[arg-type]

    def events(self, y: np.ndarray) -> np.ndarray | None:
        """(n, events) whether each class or event occurs in a row; None without such.

        Resamples are stratified by them.
        """
        found = [part.y for each in self.outcomes(y) for part in each.one_by_one()
                 if part.kind == "yes_no"]  # fmt: skip
        return np.column_stack(found) == 1 if found else None

    def target_columns(self, targets: np.ndarray) -> dict[str, np.ndarray]:
        """Targets as read, as the columns of predictions.parquet: each (n,)."""
        columns = np.asarray(targets).reshape(len(targets), -1).T
        names = ["target"] if len(columns) == 1 else [f"target_{i}" for i in range(len(columns))]
        return dict(zip(names, columns, strict=True))

    @property
    def output_names(self) -> list[str]:
        """A name for each output, as a person reads it."""
        if len(self.names_) == self.num_outputs:
            return [str(each) for each in self.names_]
        several = [f"output {i + 1}" for i in range(self.num_outputs)]
        return several if len(several) > 1 else ["value"]

    @property
    def output_columns(self) -> list[str]:
        """Which of ``prediction_columns`` hold the model's outputs, in their order."""
        named = self.prediction_columns(np.full((1, self.num_outputs), 0.5))
        return [name for name in named if not name.startswith("predicted")]

    def write(self, folder: Path, part: str, y: np.ndarray | None, p: np.ndarray) -> None:
        """Write targets and outputs that fit no table, such as masks, as files; here none.

        Args:
            folder: Of the run, or where predictions for new samples go.
            part: Which part the rows are of, or what the predictions are called.
            y: Encoded targets, in the order of predictions.parquet; None of new samples.
            p: The model's outputs.
        """

    def read(
        self, folder: Path, part: str, rows: pandas.DataFrame
    ) -> tuple[np.ndarray, np.ndarray]:
        """Encoded targets and outputs of a part, from its rows of predictions.parquet.

        Args:
            folder: Of the run.
            part: Which part the rows are of.
            rows: The rows, in the order that ``write`` was given.
        """
        names = [name for name in rows if name == "target" or str(name).startswith("target_")]
        values = rows[names].to_numpy()
        y = self.encode(values[:, 0] if len(names) == 1 else values)
        return y, rows[self.output_columns].to_numpy(float)

    def scale(self, y: np.ndarray) -> np.ndarray:
        """Encoded targets as the loss takes them."""
        return y

    def output_layer(self) -> Any:
        """A layer from the core model's outputs to those of the whole model; None if equal."""
        return None

    def loss_layer(self) -> Any:
        """A layer from the whole model's outputs to those that the loss takes; None if equal."""
        return None

    def choose_threshold(self, y: np.ndarray, p: np.ndarray, model: str = "network") -> Threshold:
        """The decision threshold, from validation rows; None where the task has none.

        ``model`` is what a warning calls the model whose outputs ``p`` are.
        """
        return None

    def exchange_rate(self, threshold: float) -> float | None:
        """How many true positives a false positive costs, for which a threshold in use stands.

        None where it was not chosen by such a rate: then it has no net benefit.
        """
        return None

    @property
    def default_threshold(self) -> Threshold:
        """Where decisions are made before one is chosen; None where nothing is decided."""
        return None

    def positives(self, y: np.ndarray) -> Any:
        """How often each class occurs: a number, or class -> number; None without classes."""
        return None

    def class_weights(self, y: np.ndarray) -> dict[int, float]:
        """Weights that make every class count alike: rows / (classes * rows of the class).

        Raises:
            MedkitError: The task has no mutually exclusive classes.
        """
        raise MedkitError(
            f"task '{self.kind}' has no mutually exclusive classes to weight",
            hint="Remove training.class_weight.",
        )

    def to_dict(self) -> dict[str, Any]:
        """Name, parameters and learned state, as JSON."""
        names = inspect.signature(type(self).__init__).parameters
        return {
            "name": self.kind,
            "parameters": {name: getattr(self, name) for name in names if name != "self"},
            "state": {name: _plain(getattr(self, name)) for name in (*self.learned, "names_")},
        }

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Self:
        """The task that ``to_dict`` wrote."""
        task = cls(**saved["parameters"])
        for name, value in saved["state"].items():
            setattr(task, name, tuple(value) if name == "names_" else value)
        return task


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return value.tolist() if isinstance(value, np.ndarray) else value


def fitted(task: Task, name: str) -> Any:
    """A learned value of the task.

    Raises:
        MedkitError: ``fit`` was not called yet.
    """
    value = getattr(task, name, None)
    if value is None:
        raise MedkitError(f"task '{task.kind}' has seen no training targets; call fit first")
    return value


def checked_outputs(p: Any, y: np.ndarray | None = None) -> np.ndarray:
    """(n, outputs) finite model outputs, as many as targets.

    Raises:
        DataError: Another number of rows, or values that are not finite.
    """
    p = np.asarray(p)
    p = p[:, None] if p.ndim == 1 else p
    if y is not None and len(p) != len(y):
        raise DataError(f"{len(p)} predictions for {len(y)} targets")
    wrong = ~np.isfinite(p).all(axis=1)
    if wrong.any():
        raise DataError(
            f"{wrong.sum()} of {len(p)} predictions are not finite "
            f"(first at row {np.flatnonzero(wrong)[0] + 1})",
            hint="The training diverged: lower training.optimizer.learning_rate, or set clipnorm.",
        )
    return p


def at_or_above(p: np.ndarray, threshold: Threshold) -> np.ndarray:
    """Whether probabilities reach the threshold, 0.5 where there is none.

    In double precision: a threshold must not be rounded to that of the outputs.
    """
    at = np.asarray(0.5 if threshold is None else threshold, dtype=np.float64)
    return np.asarray(p.astype(np.float64) >= (at.reshape(p.shape) if at.size == p.size else at))


def balanced(y: np.ndarray, classes: int) -> dict[int, float]:
    """Class number -> rows / (classes that occur * rows of the class)."""
    counts = np.bincount(y.astype(int).ravel(), minlength=classes)
    present = np.count_nonzero(counts)
    return {c: float(len(y) / (present * n)) if n else 1.0 for c, n in enumerate(counts)}


def named(classes: Sequence[Any], positions: np.ndarray) -> np.ndarray:
    """(n,) class names of class positions; of objects where the names are text or mixed."""
    same = len({type(each) for each in classes}) == 1 and not isinstance(classes[0], str)
    return np.array(classes, None if same else object)[positions]

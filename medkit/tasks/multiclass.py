"""One of several classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from medkit.core.errors import DataError
from medkit.core.lazy import keras
from medkit.core.registry import tasks
from medkit.tasks.outcomes import Metric, Outcome
from medkit.tasks.scores.metrics import MULTICLASS, multiclass_scores
from medkit.tasks.targets import classes_of, labels, many, numbered
from medkit.tasks.task import Statistics, Task, Threshold, balanced, checked_outputs, fitted, named


@tasks.register(name="multiclass")
class Multiclass(Task):
    """One of several classes: a probability for each.

    Targets (n,), any values; encoded as int32 (n,), the position in ``classes_``. The model
    returns probabilities (n, classes) that sum to 1; the most probable class is predicted.

    Args:
        loss: sparse_categorical_crossentropy, categorical_crossentropy (the same, spelt as Keras
            does for one-hot targets), or focal (Lin et al. 2017; for rare classes).
        label_smoothing: Share of each target spread evenly over all classes.
        focal_gamma: With loss focal, how much less the rows count that are already right.
    """

    kind: ClassVar[str] = "multiclass"
    outcome: ClassVar[str] = "class"
    probabilities: ClassVar[bool] = True
    one_class_each: ClassVar[bool] = True
    leading: ClassVar[str] = "auroc_macro"
    monitors: ClassVar[dict[str, str]] = {"loss": "min", "accuracy": "max"}
    monitor: ClassVar[str] = "loss"
    learned: ClassVar[tuple[str, ...]] = ("classes_",)

    def __init__(
        self,
        *,
        loss: Literal[
            "sparse_categorical_crossentropy", "categorical_crossentropy", "focal"
        ] = "sparse_categorical_crossentropy",
        label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        focal_gamma: Annotated[float, Field(ge=0)] = 2.0,
    ):
        self.loss, self.label_smoothing, self.focal_gamma = loss, label_smoothing, focal_gamma
        self.classes_: list[Any] | None = None

    def fit(self, targets: Any, names: Sequence[str] = ()) -> Self:
        """Learn the classes, sorted.

        Raises:
            DataError: One class only, or nearly as many as rows.
        """
        values = labels(targets)
        found = classes_of(values)
        if many(found, len(values)):
            raise DataError(
                f"the target has {len(found)} classes in {len(values)} rows",
                hint="Is it an identifier or a measured number? Choose another target column, or "
                "use task: regression.",
            )
        self.classes_, self.names_ = found, tuple(names)
        return self

    @classmethod
    def example(cls, rows: int, random: np.random.Generator) -> np.ndarray:
        """Three classes."""
        return random.choice(["a", "b", "c"], rows)

    def encode(self, targets: Any) -> np.ndarray:
        """(n,) int32 class numbers.

        Raises:
            DataError: Missing values, or a class that did not occur in training.
        """
        return numbered(labels(targets), fitted(self, "classes_"))

    @property
    def num_outputs(self) -> int:
        """The number of classes."""
        return len(fitted(self, "classes_"))

    @property
    def output_names(self) -> list[str]:
        """The classes."""
        return [str(each) for each in fitted(self, "classes_")]

    @property
    def output_activation(self) -> str:
        """Probabilities that sum to 1."""
        return "softmax"

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Accuracy, and averages over the classes."""
        return MULTICLASS

    def keras_loss(self) -> Any:
        """The loss of (n,) class numbers and (n, classes) probabilities."""
        if self.loss != "focal" and not self.label_smoothing:
            return keras.losses.SparseCategoricalCrossentropy()
        from medkit.layers.losses import SparseFocalCrossentropy

        gamma = self.focal_gamma if self.loss == "focal" else 0.0
        return SparseFocalCrossentropy(1.0, gamma, label_smoothing=self.label_smoothing)

    def watch(self) -> list[Any]:
        """Accuracy of the most probable class."""
        return [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]

    def statistics(self, y: np.ndarray, p: np.ndarray, threshold: Threshold = None) -> Statistics:
        """Class numbers (n,) and probabilities (n, classes)."""
        y = np.asarray(y).ravel().astype(int)
        return {"y": y, "p": _probabilities(checked_outputs(p, y))}

    def measure(self, statistics: Statistics, weights: np.ndarray | None = None) -> dict[str, Any]:
        """The metrics; see Task.measure."""
        return multiclass_scores(**statistics, weights=weights)

    def positives(self, y: np.ndarray) -> dict[str, int]:
        """Class -> number of rows."""
        classes = fitted(self, "classes_")
        counts = np.bincount(np.asarray(y).ravel(), minlength=len(classes))
        return {str(each): int(count) for each, count in zip(classes, counts, strict=True)}

    def class_weights(self, y: np.ndarray) -> dict[int, float]:
        """Weights that make every class count alike."""
        return balanced(np.asarray(y), self.num_outputs)

    def outcomes(
        self, y: np.ndarray, p: np.ndarray | None = None, threshold: Threshold = None
    ) -> list[Outcome]:
        """One of several classes."""
        name = self.names_[0] if self.names_ else "class"
        p, classes = None if p is None else np.asarray(p), tuple(fitted(self, "classes_"))
        return [Outcome(name, self.outcome, np.asarray(y).ravel(), p, classes=classes)]

    def prediction_columns(
        self, p: np.ndarray, threshold: Threshold = None
    ) -> dict[str, np.ndarray]:
        """``probability_<class>`` of each class, as scored, and the ``predicted`` class."""
        p, classes = _probabilities(checked_outputs(p)), fitted(self, "classes_")
        columns = {f"probability_{each}": p[:, i] for i, each in enumerate(classes)}
        return {**columns, "predicted": named(classes, p.argmax(axis=1))}


def _probabilities(p: np.ndarray) -> np.ndarray:
    """(n, classes) float64 whose rows sum to 1: a softmax in float32 is off by some 1e-7.

    Rows that sum to 1 in double precision stay as they are, so that stored probabilities give
    the same scores again.
    """
    p = p.astype(np.float64)
    total = p.sum(axis=1, keepdims=True)
    exact = (np.abs(total - 1) < 1e-12) | (total == 0)
    return p / np.where(exact, 1.0, total)

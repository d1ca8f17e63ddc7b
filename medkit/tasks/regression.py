"""A measured number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from medkit.core.errors import DataError
from medkit.core.lazy import keras
from medkit.core.registry import tasks
from medkit.tasks.outcomes import Metric, Outcome, for_each
from medkit.tasks.scores.metrics import REGRESSION, regression_scores, with_each
from medkit.tasks.targets import numeric_targets
from medkit.tasks.task import Statistics, Task, Threshold, checked_outputs, fitted


@tasks.register(name="regression")
class Regression(Task):
    """One or several numbers, in their own units.

    Targets (n,) or (n, outputs); encoded as float32 (n, outputs). The network learns standardized
    targets, so that a blood pressure around 120 mmHg is as easy to reach as a z-score; the model
    that is saved ends in a layer that gives the units back. While training, loss and watched
    metrics are therefore in standard deviations of the training targets; the reported metrics
    are in the targets' units.

    Args:
        loss: mse, mae, or huber (squared near zero, absolute beyond; less moved by outliers).
        huber_delta: With loss huber, where squared turns absolute, in standard deviations of the
            training targets (in their units without standardize).
        standardize: Learn targets of mean 0 and standard deviation 1, taken from train.
    """

    kind: ClassVar[str] = "regression"
    outcome: ClassVar[str] = "number"
    leading: ClassVar[str] = "mae"
    monitors: ClassVar[dict[str, str]] = {"loss": "min", "mae": "min", "rmse": "min"}
    monitor: ClassVar[str] = "loss"
    learned: ClassVar[tuple[str, ...]] = ("mean_", "scale_")

    def __init__(
        self,
        *,
        loss: Literal["mse", "mae", "huber"] = "mse",
        huber_delta: Annotated[float, Field(gt=0)] = 1.0,
        standardize: bool = True,
    ):
        self.loss: str = loss
        self.huber_delta, self.standardize = huber_delta, standardize
        self.mean_: list[float] | None = None
        self.scale_: list[float] | None = None

    def fit(self, targets: Any, names: Sequence[str] = ()) -> Self:
        """Learn mean and standard deviation of each output.

        Raises:
            DataError: Not numbers, missing or infinite values, or all targets equal.
        """
        values = numeric_targets(targets, names)
        width = values.shape[1]
        self.names_ = tuple(names) if len(names) == width else ()
        for index in range(width):
            if (values[:, index] == values[0, index]).all():
                raise DataError(
                    f"all {len(values)} training targets are {values[0, index]:g}",
                    place=f"target '{self.names_[index]}'" if self.names_ else None,
                    hint="There is nothing to learn: check the target column.",
                )
        self.mean_ = values.mean(axis=0).tolist() if self.standardize else [0.0] * width
        self.scale_ = values.std(axis=0).tolist() if self.standardize else [1.0] * width
        return self

    @classmethod
    def example(cls, rows: int, random: np.random.Generator) -> np.ndarray:
        """Systolic blood pressure in mmHg."""
        return random.normal(120, 15, rows)

    def encode(self, targets: Any) -> np.ndarray:
        """(n, outputs) float32, in the targets' units.

        Raises:
            DataError: Not numbers, missing or infinite values, another number of columns.
        """
        values = numeric_targets(targets, self.names_).astype(np.float32)
        if values.shape[1] != self.num_outputs:
            raise DataError(
                f"the targets have {values.shape[1]} columns; expected {self.num_outputs}"
            )
        return values

    def scale(self, y: np.ndarray) -> np.ndarray:
        """(n, outputs) float32, standardized; itself without ``standardize``."""
        mean, scale = np.asarray(fitted(self, "mean_")), np.asarray(fitted(self, "scale_"))
        return ((y - mean) / scale).astype(np.float32)

    def output_layer(self) -> Any:
        """From standardized outputs to the targets' units; None without ``standardize``."""
        if not self.standardize:
            return None
        from medkit.layers.target_scale import TargetScale

        return TargetScale(fitted(self, "mean_"), fitted(self, "scale_"), name="units")

    def loss_layer(self) -> Any:
        """From the targets' units to standardized outputs; None without ``standardize``."""
        if not self.standardize:
            return None
        from medkit.layers.target_scale import TargetScale

        count = self.num_outputs // len(fitted(self, "mean_"))  # outputs of each value
        mean, scale = (np.repeat(fitted(self, each), count) for each in ("mean_", "scale_"))
        return TargetScale((-mean / scale).tolist(), (1 / scale).tolist(), name="standardized")

    @property
    def num_outputs(self) -> int:
        """The number of target columns."""
        return len(fitted(self, "mean_"))

    @property
    def output_activation(self) -> str:
        """Any number."""
        return "linear"

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The mean over the outputs, then each output (``mae_<name>``) where there are several."""
        return for_each(REGRESSION, self._columns() if self.num_outputs > 1 else ())

    def keras_loss(self) -> Any:
        """The loss of (n, outputs) standardized targets and outputs."""
        if self.loss == "huber":
            return keras.losses.Huber(delta=self.huber_delta)
        if self.loss == "mae":
            return keras.losses.MeanAbsoluteError()
        return keras.losses.MeanSquaredError()

    def watch(self) -> list[Any]:
        """Mean absolute and root mean squared error, in standard deviations."""
        return [
            keras.metrics.MeanAbsoluteError(name="mae"),
            keras.metrics.RootMeanSquaredError(name="rmse"),
        ]

    def statistics(self, y: np.ndarray, p: np.ndarray, threshold: Threshold = None) -> Statistics:
        """Targets and outputs (n, outputs)."""
        y = np.asarray(y)
        y = y[:, None] if y.ndim == 1 else y
        return {"y": y, "p": checked_outputs(p, y)}

    def measure(self, statistics: Statistics, weights: np.ndarray | None = None) -> dict[str, Any]:
        """The metrics in the targets' units; see Task.measure."""
        names = self._columns() if self.num_outputs > 1 else ()
        found = with_each(regression_scores(**statistics, weights=weights), names)
        if weights is None:
            return {name: float(value) for name, value in found.items()}
        return found

    def outcomes(
        self, y: np.ndarray, p: np.ndarray | None = None, threshold: Threshold = None
    ) -> list[Outcome]:
        """A number for each target column."""
        y = np.asarray(y).reshape(len(y), -1)
        answers = [None] * y.shape[1] if p is None else np.asarray(p).reshape(y.shape).T
        names = self._columns()
        columns = zip(names, y.T, answers, strict=True)
        return [Outcome(name, self.outcome, truth, answer) for name, truth, answer in columns]

    def prediction_columns(
        self, p: np.ndarray, threshold: Threshold = None
    ) -> dict[str, np.ndarray]:
        """``prediction``, or ``prediction_<name>`` of several outputs, in the targets' units."""
        p = checked_outputs(p)
        if p.shape[1] == 1:
            return {"prediction": p[:, 0]}
        return {f"prediction_{name}": p[:, i] for i, name in enumerate(self._columns())}

    def _columns(self) -> tuple[str, ...]:
        return self.names_ or tuple(str(i) for i in range(self.num_outputs))

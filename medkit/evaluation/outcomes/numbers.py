"""Measured numbers."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from medkit.evaluation.baselines.learned import Output
from medkit.evaluation.groups.group_measures import GroupMeasure, errors
from medkit.evaluation.methods import methods
from medkit.evaluation.outcomes._on_summaries import OnSummaries
from medkit.evaluation.uncertainty.conformal_sets import Intervals
from medkit.tasks.regression import Regression
from medkit.tasks.task import Threshold


@methods.register("number")
class Numbers(OnSummaries):
    """Values in the targets' units."""

    task: Regression
    key: str | None = "per_output"
    conformal: ClassVar[Any] = Intervals
    deviates: ClassVar[bool] = True
    certainty_is: ClassVar[str] = "standard deviation between networks"
    undefined: ClassVar[str] = "targets that do not vary"

    def group_measures(
        self, y: np.ndarray, p: np.ndarray, threshold: Threshold
    ) -> dict[Any, list[GroupMeasure]]:
        """Mean absolute error and bias."""
        return {name: errors(of.y, of.p) for name, of in self.one_by_one(y, p).items()}

    def relative(self, deviation: np.ndarray) -> np.ndarray:
        """In standard deviations of the training targets, so that several can be averaged."""
        return np.asarray(deviation / np.asarray(self.task.scale_))

    def wrong(self, y: np.ndarray, p: np.ndarray, threshold: Threshold) -> np.ndarray:
        """The absolute error, averaged over the outputs."""
        return np.asarray(np.abs(np.asarray(y).reshape(p.shape) - p).mean(axis=1))

    def learned(self, y: np.ndarray) -> list[Output]:
        """A number each."""
        return [Output(regression=True)] * y.reshape(len(y), -1).shape[1]

    def described(self, y: np.ndarray) -> dict[str, np.ndarray]:
        """The numbers, by the names of their columns."""
        columns = [of.y.astype(float) for of in self.one_by_one(y).values()]
        names = self.task.names_ or tuple(f"outcome {i + 1}" for i in range(len(columns)))
        return dict(zip(names, columns, strict=True))

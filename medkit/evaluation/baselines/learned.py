"""What baselines learn from, and what each column of targets is to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from medkit.data.inputs import Inputs

Predict = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class PastRows:
    """What a baseline may learn from, and what it predicts for.

    Args:
        inputs: Encoded inputs of n rows.
        features: (n rows) summary features.
    """

    inputs: Inputs
    features: Any

    def take(self, rows: np.ndarray) -> PastRows:
        """The given rows."""
        return PastRows(self.inputs.take(rows), self.features.iloc[rows])


@dataclass(frozen=True)
class Known:
    """Features ``x`` (n, features) and the targets ``y`` (n,) of one output."""

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Output:
    """What one column of targets is: a measured number, or one of ``classes`` classes."""

    regression: bool
    classes: int = 2

    def loss(self, y: np.ndarray, outputs: np.ndarray) -> float:
        """Mean squared error, or log loss of (n, classes) probabilities (clipped at 1e-7)."""
        if self.regression:
            return float(np.mean((y - outputs) ** 2))
        chosen = outputs[np.arange(len(y)), y]
        return float(-np.log(np.clip(chosen, 1e-7, 1)).mean())

    def average(self, y: np.ndarray) -> Predict:
        """The mean, or the share of each class, for every row."""
        if self.regression:
            mean = float(np.mean(y))
            return lambda rows: np.full(len(rows), mean)
        shares = np.bincount(y, minlength=self.classes) / len(y)
        return lambda rows: np.tile(shares, (len(rows), 1))

    def predict(self, model: Any, x: np.ndarray) -> np.ndarray:
        """(n,) numbers, or (n, classes) probabilities, of a fitted scikit-learn model."""
        if self.regression:
            return np.asarray(model.predict(x))
        return self._placed(model.predict_proba(x), model)

    def stages(self, model: Any, x: np.ndarray) -> Iterator[np.ndarray]:
        """The same after each tree of a boosted model."""
        if self.regression:
            yield from model.staged_predict(x)
            return
        for probabilities in model.staged_predict_proba(x):
            yield self._placed(probabilities, model)

    def _placed(self, probabilities: np.ndarray, model: Any) -> np.ndarray:
        """(n, classes): a class without training rows has probability 0."""
        placed = np.zeros((len(probabilities), self.classes))
        placed[:, model.classes_.astype(int)] = probabilities
        return placed

"""Histogram gradient boosting; missing values go down branches of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from medkit.evaluation.baselines.learned import Known, Output, Predict


@dataclass(frozen=True)
class _Settings:
    """What is compared, by scikit-learn's names; ``max_iter``: up to so many trees."""

    learning_rate: float
    max_leaf_nodes: int
    l2_regularization: float
    max_features: float
    max_iter: int


_COMPARED = (
    _Settings(0.1, 15, 1.0, 1.0, 100),
    _Settings(0.1, 4, 1.0, 0.5, 150),
    _Settings(0.05, 8, 10.0, 0.5, 200),
    _Settings(0.05, 31, 10.0, 0.3, 150),
)
# Of large data: those that cost little.
_COMPARED_IF_LARGE = (
    _Settings(0.1, 15, 1.0, 0.3, 100),
    _Settings(0.1, 4, 1.0, 0.5, 150),
    _Settings(0.05, 8, 10.0, 0.5, 200),
)


class Boosting:
    """Gradient boosting of trees on binned features.

    Friedman, Greedy function approximation, Ann. Statist. 29, 2001; Ke et al., LightGBM, NeurIPS
    2017. Learning rate, leaves, L2 penalty, share of the features tried at each split and the
    number of trees are chosen; the held-out loss is followed tree by tree.

    Args:
        seed: Seed of the features tried.
    """

    name = "gradient_boosting"
    default: ClassVar[dict[str, Any]] = asdict(_Settings(0.1, 4, 1.0, 1.0, 30))

    def __init__(self, seed: int):
        self.seed = seed

    def cost(self, output: Output) -> int:
        """Trees a step: one for each of several classes."""
        return output.classes if output.classes > 2 else 1

    def choices(self, large: bool) -> Sequence[dict[str, Any]]:
        """Every number of trees of every combination of the other settings."""
        return [
            {**asdict(each), "max_iter": trees}
            for each in _compared(large)
            for trees in range(1, each.max_iter + 1)
        ]

    def losses(self, output: Output, fitted: Known, held: Known, large: bool) -> np.ndarray:
        """(choices,) losses on the held-out rows."""
        found: list[float] = []
        for each in _compared(large):
            model = self._model(output, asdict(each)).fit(fitted.x, fitted.y)
            found += [output.loss(held.y, p) for p in output.stages(model, held.x)]
        return np.array(found)

    def fit(self, output: Output, x: np.ndarray, y: np.ndarray, choice: dict[str, Any]) -> Predict:
        """The model; features as they are."""
        model = self._model(output, choice).fit(x, y)
        return lambda rows: output.predict(model, rows)

    def _model(self, output: Output, choice: dict[str, Any]) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        kind = (
            HistGradientBoostingRegressor if output.regression else HistGradientBoostingClassifier
        )
        return kind(early_stopping=False, random_state=self.seed, **choice)


def _compared(large: bool) -> tuple[_Settings, ...]:
    return _COMPARED_IF_LARGE if large else _COMPARED

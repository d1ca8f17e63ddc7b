"""Linear and logistic regression on median-imputed, standardized features."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from medkit.evaluation.baselines.learned import Known, Output, Predict

_STEPS = 200  # of the solver; enough for a baseline


def preparation() -> Any:
    """From (n, features) with NaN to what the linear model takes, as a scikit-learn pipeline.

    That a value is missing may itself say something of the patient, and the network is told so:
    each feature with gaps in train has an indicator (0 or 1) beside it, standardized alike. A new
    value far outside what was seen would otherwise rule a linear prediction alone: standardized
    values are clipped at ±10.
    """
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    imputer = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    clipped = FunctionTransformer(np.clip, kw_args={"a_min": -10, "a_max": 10})
    return make_pipeline(imputer, StandardScaler(), clipped)


class Linear:
    """L2-penalized regression of a number, or logistic regression of classes.

    The penalty is chosen: ``alpha`` of a ridge (Hoerl and Kennard, Ridge regression,
    Technometrics 12, 1970), the inverse penalty ``C`` of a logistic regression (le Cessie and van
    Houwelingen, Ridge estimators in logistic regression, Appl. Statist. 41, 1992).

    Args:
        regression: Whether the target is a measured number.
    """

    def __init__(self, regression: bool):
        self.regression = regression
        self.name = "linear_regression" if regression else "logistic_regression"
        self.default: dict[str, Any] = {"alpha": 10.0} if regression else {"C": 0.1}

    def cost(self, output: Output) -> int:
        """One, whatever the number of classes: the fits are quick."""
        return 1

    def choices(self, large: bool) -> Sequence[dict[str, Any]]:
        """A grid of penalties."""
        if self.regression:
            return [{"alpha": float(each)} for each in np.logspace(-2, 4, 13)]
        return [{"C": float(each)} for each in np.logspace(-4, 2, 13)]

    def losses(self, output: Output, fitted: Known, held: Known, large: bool) -> np.ndarray:
        """(choices,) mean squared errors or log losses on the held-out rows."""
        prepared = preparation().fit(fitted.x)
        z, z_held = prepared.transform(fitted.x), prepared.transform(held.x)
        # From the strongest penalty to the weakest, each fit starting where the last one ended.
        model = self._model()
        return np.array([
            output.loss(held.y, output.predict(_fit(model.set_params(**each), z, fitted.y), z_held))
            for each in self.choices(large)
        ])  # fmt: skip

    def fit(self, output: Output, x: np.ndarray, y: np.ndarray, choice: dict[str, Any]) -> Predict:
        """The model with its preparation."""
        prepared = preparation().fit(x)
        model = _fit(self._model().set_params(**choice), prepared.transform(x), y)
        return lambda rows: output.predict(model, prepared.transform(rows))

    def _model(self) -> Any:
        from sklearn.linear_model import LogisticRegression, Ridge

        return Ridge() if self.regression else LogisticRegression(max_iter=_STEPS, warm_start=True)


def _fit(model: Any, z: np.ndarray, y: np.ndarray) -> Any:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(z, y)

"""Linear and logistic regression on median-imputed, standardized features."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from medkit.evaluation.baselines.learned import Output, Predict

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
    """L2-penalized regression (ridge); the penalty ``alpha`` is chosen.

    Hoerl and Kennard, Ridge regression, Technometrics 12, 1970.
    """

    name = "linear_regression"
    default: ClassVar[dict[str, Any]] = {"alpha": 10.0}

    def cost(self, output: Output) -> int:
        """One, whatever the number of classes: the fits are quick."""
        return 1

    def choices(self, large: bool) -> Sequence[dict[str, Any]]:
        """A grid of penalties."""
        return [{"alpha": float(each)} for each in np.logspace(-2, 4, 13)]

    def losses(
        self,
        output: Output,
        x: np.ndarray,
        y: np.ndarray,
        x_held: np.ndarray,
        y_held: np.ndarray,
        large: bool,
    ) -> np.ndarray:
        """(choices,) mean squared errors on the held-out rows."""
        from sklearn.linear_model import Ridge

        prepared = preparation().fit(x)
        z, z_held = prepared.transform(x), prepared.transform(x_held)
        fitted = (Ridge(**choice).fit(z, y) for choice in self.choices(large))
        return np.array([output.loss(y_held, model.predict(z_held)) for model in fitted])

    def fit(self, output: Output, x: np.ndarray, y: np.ndarray, choice: dict[str, Any]) -> Predict:
        """The model with its preparation."""
        from sklearn.linear_model import Ridge

        prepared = preparation().fit(x)
        model = Ridge(**choice).fit(prepared.transform(x), y)
        return lambda rows: np.asarray(model.predict(prepared.transform(rows)))


class Logistic:
    """L2-penalized logistic regression; the inverse penalty ``C`` is chosen.

    le Cessie and van Houwelingen, Ridge estimators in logistic regression, Appl. Statist. 41,
    1992.
    """

    name = "logistic_regression"
    default: ClassVar[dict[str, Any]] = {"C": 0.1}

    def cost(self, output: Output) -> int:
        """One, whatever the number of classes: the fits are quick."""
        return 1

    def choices(self, large: bool) -> Sequence[dict[str, Any]]:
        """A grid of penalties, from strong to weak."""
        return [{"C": float(each)} for each in np.logspace(-4, 2, 13)]

    def losses(
        self,
        output: Output,
        x: np.ndarray,
        y: np.ndarray,
        x_held: np.ndarray,
        y_held: np.ndarray,
        large: bool,
    ) -> np.ndarray:
        """(choices,) log losses on the held-out rows."""
        prepared = preparation().fit(x)
        z, z_held = prepared.transform(x), prepared.transform(x_held)
        # From the strongest penalty to the weakest, each fit starting where the last one ended.
        model = _logistic(warm_start=True)
        found = []
        for choice in self.choices(large):
            _fit(model.set_params(**choice), z, y)
            probabilities = output.placed(model.predict_proba(z_held), model.classes_)
            found.append(output.loss(y_held, probabilities))
        return np.array(found)

    def fit(self, output: Output, x: np.ndarray, y: np.ndarray, choice: dict[str, Any]) -> Predict:
        """The model with its preparation."""
        prepared = preparation().fit(x)
        model = _fit(_logistic(**choice), prepared.transform(x), y)
        return lambda rows: output.placed(
            model.predict_proba(prepared.transform(rows)), model.classes_
        )


def _logistic(**settings: Any) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=_STEPS, **settings)


def _fit(model: Any, z: np.ndarray, y: np.ndarray) -> Any:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(z, y)

"""A linear model and gradient boosting on the same split: the network never stands alone."""

from __future__ import annotations

import contextlib
import itertools
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("medkit")

_MOST_FEATURES = 500
_MOST_ROWS = 100_000
_LARGE = 5_000_000  # values
_Predict = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Fitted:
    """One baseline, fitted on the training rows.

    Args:
        name: ``logistic_regression`` (or ``linear_regression``) or ``gradient_boosting``.
        predict: (n rows) summary features -> (n, outputs), laid out as the network's output.
        threshold: Operating point, chosen on validation as for the network.
        facts: What to report of the fit: features and rows used.
    """

    name: str
    predict: Callable[[pd.DataFrame], np.ndarray]
    threshold: Any
    facts: dict[str, Any] = field(default_factory=dict)


def fit_baselines(
    task: Any,
    train: tuple[pd.DataFrame, np.ndarray],
    valid: tuple[pd.DataFrame, np.ndarray],
    seed: int,
) -> list[Fitted]:
    """Fit the linear model and gradient boosting on summary features.

    Everything is learned on the training rows: medians for missing values, indicators of them (in
    the linear model), scale, which features to use where there are very many. Validation chooses
    what it chooses for the network: the threshold and when to stop (here the penalty's strength
    and the number of trees).

    Args:
        task: The fitted task.
        train: Features (n rows; NaN for missing) and encoded targets of the training part.
        valid: The same for validation.
        seed: Seed of the choices at random.
    """
    features, y = train
    rows = _some_rows(len(features), seed)
    x = _matrix(features)[rows]
    usable = _usable(x, y[rows], regression=task.kind == "regression")
    x, y = x[:, usable], y[rows]
    x_valid, y_valid = _matrix(valid[0])[:, usable], valid[1]
    facts = {"features": len(usable), "train_rows": len(x)}
    linear = "linear_regression" if task.kind == "regression" else "logistic_regression"
    fits = ((linear, _linear), ("gradient_boosting", _boosting))
    fitted = []
    for name, fit in fits:
        with _threads(x):
            outputs = _per_output(task, fit, x, y, x_valid, y_valid, seed)
            named = name.replace("_", " ")
            threshold = task.choose_threshold(y_valid, outputs(x_valid), model=named)

        def predict(frame: Any, outputs: _Predict = outputs) -> np.ndarray:
            rows = _matrix(frame)[:, usable]
            with _threads(rows):
                return outputs(rows)

        fitted.append(Fitted(name, predict, threshold, facts))
    return fitted


def _threads(x: np.ndarray) -> contextlib.AbstractContextManager[Any]:
    # On small data the threads of OpenMP mostly wait for one another: where the cores are shared,
    # one thread was measured 7 to 30 times faster.
    if x.size > _LARGE:
        return contextlib.nullcontext()
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1)


def _per_output(
    task: Any,
    fit: Callable[..., _Predict],
    x: np.ndarray,
    y: np.ndarray,
    x_valid: np.ndarray,
    y_valid: np.ndarray,
    seed: int,
) -> _Predict:
    """One model for a class, several for several labels or values."""
    regression, classes = task.kind == "regression", 2
    columns, columns_valid = y.reshape(len(y), -1), y_valid.reshape(len(y_valid), -1)
    if task.kind == "multiclass":
        classes = task.num_outputs
    models = []
    for target, target_valid in zip(columns.T, columns_valid.T, strict=True):
        if not regression:
            target, target_valid = target.astype(np.int64), target_valid.astype(np.int64)
        if len(np.unique(target)) == 1:
            models.append(_constant(target[0], regression, classes))
        elif x.shape[1] == 0:
            models.append(_prevalence(target, regression, classes))
        else:
            trees = 100 if columns.shape[1] <= 5 else 40
            models.append(fit(x, target, x_valid, target_valid, regression, classes, seed, trees))

    def predict(rows: np.ndarray) -> np.ndarray:
        outputs = [model(rows) for model in models]
        if task.kind == "multiclass":
            return outputs[0]
        last = [each if each.ndim == 1 else each[:, 1] for each in outputs]
        return np.column_stack(last).astype(float)

    return predict


def _linear(
    x: np.ndarray,
    y: np.ndarray,
    x_valid: np.ndarray,
    y_valid: np.ndarray,
    regression: bool,
    classes: int,
    seed: int,
    trees: int,
) -> _Predict:
    """L2-penalized linear or logistic regression on median-imputed, standardized features.

    That a value is missing may itself say something of the patient, and the network is told so:
    each feature with gaps in train has an indicator (0 or 1) beside it, standardized alike.
    Gradient boosting sends missing values down branches of their own.
    """
    from sklearn.linear_model import LogisticRegression, RidgeCV

    median = np.nanmedian(x, axis=0)
    gaps = np.flatnonzero(np.isnan(x).any(axis=0))

    def filled(rows: np.ndarray) -> np.ndarray:
        missing = np.isnan(rows)
        return np.hstack([np.where(missing, median, rows), missing[:, gaps]])

    mean, scale = filled(x).mean(axis=0), filled(x).std(axis=0)
    scale[scale == 0] = 1.0

    def prepared(rows: np.ndarray) -> np.ndarray:
        # A new value far outside what was seen would otherwise rule a linear prediction alone.
        return np.clip((filled(rows) - mean) / scale, -10, 10)

    if regression:
        model = RidgeCV(alphas=np.logspace(-2, 4, 13)).fit(prepared(x), y)
        return lambda rows: np.asarray(model.predict(prepared(rows)))
    candidates = []
    for strength in (1.0, 0.03):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # 200 steps are enough for a baseline
            model = LogisticRegression(C=strength, max_iter=200).fit(prepared(x), y)
        predict = _all_classes(model.classes_, classes, prepared, model.predict_proba)
        candidates.append((_log_loss(y_valid, predict(x_valid)), -strength, predict))
    return min(candidates, key=lambda each: each[:2])[2]


def _boosting(
    x: np.ndarray,
    y: np.ndarray,
    x_valid: np.ndarray,
    y_valid: np.ndarray,
    regression: bool,
    classes: int,
    seed: int,
    trees: int,
) -> _Predict:
    """Histogram gradient boosting; as many trees as validation finds best."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    settings = {"max_iter": trees, "max_leaf_nodes": 15, "early_stopping": False}
    model = kind(learning_rate=0.1, l2_regularization=1.0, random_state=seed, **settings)
    model.fit(x, y)
    if regression:
        losses = [np.mean((y_valid - each) ** 2) for each in model.staged_predict(x_valid)]
        staged = model.staged_predict
    else:
        losses = [
            _log_loss(y_valid, _placed(each, model.classes_, classes))
            for each in model.staged_predict_proba(x_valid)
        ]
        staged = model.staged_predict_proba
    best = int(np.argmin(losses))

    def predict(rows: np.ndarray) -> np.ndarray:
        outputs = next(itertools.islice(staged(rows), best, None))
        return outputs if regression else _placed(outputs, model.classes_, classes)

    return predict


def _all_classes(
    present: np.ndarray,
    classes: int,
    prepared: Callable[[np.ndarray], np.ndarray],
    probabilities: Callable[[np.ndarray], np.ndarray],
) -> _Predict:
    return lambda rows: _placed(probabilities(prepared(rows)), present, classes)


def _placed(probabilities: np.ndarray, present: np.ndarray, classes: int) -> np.ndarray:
    """(n, classes): a class without training rows has probability 0."""
    placed = np.zeros((len(probabilities), classes))
    placed[:, present] = probabilities
    return placed


def _constant(value: Any, regression: bool, classes: int) -> _Predict:
    row = np.array([value]) if regression else np.eye(classes)[int(value)]
    return lambda rows: np.full(len(rows), row[0]) if regression else np.tile(row, (len(rows), 1))


def _prevalence(target: np.ndarray, regression: bool, classes: int) -> _Predict:
    if regression:
        return lambda rows: np.full(len(rows), target.mean())
    shares = np.bincount(target, minlength=classes) / len(target)
    return lambda rows: np.tile(shares, (len(rows), 1))


def _log_loss(y: np.ndarray, probabilities: np.ndarray) -> float:
    chosen = probabilities[np.arange(len(y)), y]
    return float(-np.log(np.clip(chosen, 1e-7, 1)).mean())


def _matrix(features: Any) -> np.ndarray:
    """(n, features) float with NaN for what is not finite."""
    x = np.asarray(features, dtype=float).reshape(len(features), -1)
    return np.where(np.isfinite(x), x, np.nan)


def _some_rows(count: int, seed: int) -> np.ndarray:
    if count <= _MOST_ROWS:
        return np.arange(count)
    log.info("baselines: fitted on %d of %d training rows", _MOST_ROWS, count)
    return np.sort(np.random.default_rng(seed).choice(count, _MOST_ROWS, replace=False))


def _usable(x: np.ndarray, y: np.ndarray, *, regression: bool) -> np.ndarray:
    """Positions of the features that vary; the ones most associated with the target if many."""
    if x.shape[1] == 0:
        return np.arange(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # columns without any value
        spread = np.nanmax(x, axis=0) - np.nanmin(x, axis=0)
        median = np.nanmedian(x, axis=0) if x.shape[1] > _MOST_FEATURES else None
    usable = np.flatnonzero(spread > 0)
    if len(usable) <= _MOST_FEATURES or median is None:
        return usable
    from sklearn.feature_selection import f_classif, f_regression

    filled = np.where(np.isnan(x), median, x)[:, usable]
    strength = np.zeros(len(usable))
    for target in y.reshape(len(y), -1).T:
        if len(np.unique(target)) > 1:
            found, _ = (f_regression if regression else f_classif)(filled, target)
            strength = np.maximum(strength, np.nan_to_num(found, posinf=np.finfo(float).max))
    log.info("baselines: %d of %d features used", _MOST_FEATURES, len(usable))
    return np.sort(usable[np.argsort(-strength, kind="stable")[:_MOST_FEATURES]])

"""Simple models on the same split: the network never stands alone.

``majority`` (``mean`` in regression), ``logistic_regression`` (``linear_regression``) and
``gradient_boosting``, the latter two on the modality's summary features, their hyper-parameters
chosen by cross-validation within the training rows, grouped by subject.

``fit_baselines(task, train, valid, seed, subjects=…)`` returns a list of ``Fitted``, in that
order. ``Fitted.facts``, which becomes part of ``metrics.json``::

    {"features": 30,              # summary features used; 0 for majority and mean
     "train_rows": 399,
     "hyper_parameters": {"C": 0.1},   # scikit-learn's names; {} for majority and mean
     "inner_folds": 5,            # 0: nothing was chosen
     "candidates": 13,            # settings compared
     "search_rows": 399,          # training rows of the inner cross-validation
     "inner_loss": 0.21,          # held-out log loss or squared error relative to predicting the
                                  # average (1: no better); None without folds
     "note": "…"}                 # only where something was cut short or could not be done

Gradient boosting's ``hyper_parameters`` are ``learning_rate``, ``max_leaf_nodes``,
``l2_regularization``, ``max_features`` and ``max_iter`` (trees); ``linear_regression`` has
``alpha``. ``majority`` and ``mean`` have ``features``, ``train_rows``, ``hyper_parameters`` and
``inner_folds`` only.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from medkit.evaluation.baselines.boosting import Boosting
from medkit.evaluation.baselines.inner_folds import Family, search, threads
from medkit.evaluation.baselines.learned import Output, Predict
from medkit.evaluation.baselines.linear import Linear
from medkit.evaluation.methods import baseline_name, methods_for
from medkit.tasks.task import Task

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("medkit")

_MOST_FEATURES = 500
_MOST_ROWS = 100_000


@dataclass(frozen=True)
class Fitted:
    """One baseline, fitted on the training rows.

    Args:
        name: ``majority`` (``mean``), ``logistic_regression`` (``linear_regression``) or
            ``gradient_boosting``.
        predict: (n rows) summary features (of a forecast ``PastRows``) -> (n, outputs), laid out as
            the network's output.
        threshold: Operating point, chosen on validation as for the network; of ``majority`` 0.5,
            so that it calls positive what most training rows are.
        facts: What to report of the fit; see the module.
    """

    name: str
    predict: Callable[[Any], np.ndarray]
    threshold: Any
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Predicted:
    """What one baseline says of the rows it was not fitted on.

    Args:
        name: As of ``Fitted``.
        outputs: ``valid`` and ``test`` -> (n, outputs).
        threshold: As of ``Fitted``.
        facts: As of ``Fitted``.
    """

    name: str
    outputs: Mapping[str, np.ndarray]
    threshold: Any
    facts: Mapping[str, Any]


def predicted(fitted: Iterable[Fitted], rows: Mapping[str, Any]) -> list[Predicted]:
    """What the baselines say of ``valid`` and ``test``; ``rows`` as ``predict`` takes them."""
    return [
        Predicted(
            each.name,
            {part: each.predict(rows[part]) for part in ("valid", "test")},
            each.threshold,
            each.facts,
        )
        for each in fitted
    ]


def fit_baselines(
    task: Task,
    train: tuple[pd.DataFrame, np.ndarray],
    valid: tuple[pd.DataFrame, np.ndarray],
    seed: int,
    subjects: np.ndarray | None = None,
) -> list[Fitted]:
    """Fit majority or mean, the linear model and gradient boosting.

    Everything is learned on the training rows: medians for missing values, indicators of them (in
    the linear model), scale, which features to use where there are very many, and, by inner
    cross-validation grouped by subject, the hyper-parameters. Validation chooses the threshold
    alone, as for the network.

    Args:
        task: The fitted task.
        train: Features (n rows; NaN for missing) and encoded targets of the training part.
        valid: The same for validation.
        seed: Seed of the choices at random.
        subjects: (n,) subject of each training row; None: each row is its own.

    Returns:
        The baselines, the simplest first.
    """
    features, y = train
    rows = some_rows(len(features), seed)
    x = _matrix(features)[rows]
    outputs = methods_for(task).learned(y)
    regression = outputs[0].regression
    usable = _usable(x, y[rows], regression=regression)
    x, y = x[:, usable], y[rows]
    groups = np.arange(len(x)) if subjects is None else np.asarray(subjects)[rows]
    columns = _columns(outputs, y)
    fitted = [_average(task, outputs, columns)]
    for family in (Linear(regression), Boosting(seed)):
        with threads(x):
            model, facts = _fit(family, outputs, x, columns, groups, seed)

        def predict(frame: Any, model: Predict = model) -> np.ndarray:
            rows = _matrix(frame)[:, usable]
            with threads(rows):
                return model(rows)

        called = baseline_name(family.name)
        threshold = task.choose_threshold(valid[1], predict(valid[0]), model=called)
        facts = {"features": len(usable), "train_rows": len(x), **facts}
        fitted.append(Fitted(family.name, predict, threshold, facts))
    return fitted


def _columns(outputs: Sequence[Output], y: np.ndarray) -> np.ndarray:
    """(n, outputs) targets: class numbers, or measured numbers in double precision."""
    return y.reshape(len(y), -1).astype(float if outputs[0].regression else np.int64)


def _average(task: Task, outputs: Sequence[Output], y: np.ndarray) -> Fitted:
    """The training mean, or the training share of each class, for every row."""
    model = _together(
        outputs, [each.average(target) for each, target in zip(outputs, y.T, strict=True)]
    )
    facts = {"features": 0, "train_rows": len(y), "hyper_parameters": {}, "inner_folds": 0}
    name = "mean" if outputs[0].regression else "majority"
    at = task.default_threshold
    return Fitted(name, lambda frame: model(np.empty((len(frame), 0))), at, facts)


def _fit(
    family: Family,
    outputs: Sequence[Output],
    x: np.ndarray,
    y: np.ndarray,
    subjects: np.ndarray,
    seed: int,
) -> tuple[Predict, dict[str, Any]]:
    """One model for a class, several for several labels or values, with one choice for all."""
    learnable = [len(np.unique(target)) > 1 for target in y.T]
    unlearnable = "no feature varies among the training rows"
    if not all(learnable):
        unlearnable = "the training rows of an output hold one value only"
    some = np.flatnonzero(learnable) if x.shape[1] else np.arange(0)
    facts: dict[str, Any] = {"hyper_parameters": {}, "inner_folds": 0}
    if len(some):
        facts = search(family, [outputs[int(i)] for i in some], x, y[:, some], subjects, seed)
    choice = facts["hyper_parameters"]
    models = []
    for i, (output, target) in enumerate(zip(outputs, y.T, strict=True)):
        fits = i in some
        models.append(family.fit(output, x, target, choice) if fits else output.average(target))
    if len(some) < len(outputs):
        notes = [facts.get("note"), f"{unlearnable}: its average is predicted there"]
        facts["note"] = "; ".join(each for each in notes if each)
    return _together(outputs, models), facts


def _together(outputs: Sequence[Output], models: Sequence[Predict]) -> Predict:
    """The models of all outputs as one, laid out as the network's output."""
    alone = len(outputs) == 1 and outputs[0].classes > 2

    def predict(rows: np.ndarray) -> np.ndarray:
        found = [model(rows) for model in models]
        if alone:
            return found[0]
        last = [each if each.ndim == 1 else each[:, 1] for each in found]
        return np.column_stack(last).astype(float)

    return predict


def _matrix(features: Any) -> np.ndarray:
    """(n, features) float with NaN for what is not finite."""
    x = np.asarray(features, dtype=float).reshape(len(features), -1)
    return np.where(np.isfinite(x), x, np.nan)


def some_rows(count: int, seed: int) -> np.ndarray:
    """Positions of the training rows that baselines are fitted on: all, or a seeded sample."""
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

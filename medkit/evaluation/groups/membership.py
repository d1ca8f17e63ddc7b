"""Can a model tell development samples from new ones? Then the case mix differs.

``membership`` returns ``{"auroc": {"value", "low", "high"}, "n": {"development", "new"},
"reading": "…"}``, or ``{"auroc": None, "not_estimable": "…"}``.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from medkit.evaluation.resampling.intervals import plain
from medkit.evaluation.resampling.resampling import resample_weights, subject_codes
from medkit.tasks.scores.ranking import Ranking

if TYPE_CHECKING:
    import pandas

    _Side = tuple[pandas.DataFrame, np.ndarray, np.ndarray]

_FEWEST = 10  # subjects a side
_MOST_FEATURES = 500
_FOLDS = 5
_MOST_ROWS = 5000  # a side: more would make the interval no more useful


def membership(
    development: _Side,
    new: _Side,
    seed: int,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> dict[str, Any]:
    """AUROC of a logistic model of which data set a sample belongs to, cross-fitted by subject.

    The membership model of Debray et al. (A new framework to enhance the interpretation of
    external validation studies, J. Clin. Epidemiol. 68, 2015): predictors and outcome together.
    Near 0.5 the validation shows reproducibility; the higher, the more transportability. Median
    imputation, indicators of missingness and the scale are learned in each fold.

    Args:
        development: Summary features (n rows, NaN for missing), encoded outcome (n, …) and
            subject (n,) of the training samples.
        new: The same of the new data, with the same columns.
        seed: Seed of the folds and the bootstrap.
        resamples: Resamples of subjects for the interval.
        confidence: Coverage of the interval.
    """
    development, new = _some(development, seed), _some(new, seed)
    groups = [subject_codes(each[2]) for each in (development, new)]
    counts = [int(each.max()) + 1 if len(each) else 0 for each in groups]
    if min(counts) < _FEWEST:
        reason = f"fewer than {_FEWEST} subjects in one of the data sets"
        return {"auroc": None, "not_estimable": reason}
    x = np.vstack([_predictors(*each[:2]) for each in (development, new)])
    label = np.repeat([0, 1], [len(each) for each in groups])
    subjects = np.concatenate([groups[0], groups[1] + counts[0]])
    scores = _cross_fitted(x, label, subjects, seed)
    value, low, high = _auroc(scores, label, subjects, resamples, confidence, seed)
    sizes = {"development": len(groups[0]), "new": len(groups[1])}
    found = {"value": value, "low": low, "high": high}
    return plain({"auroc": found, "n": sizes, "reading": _reading(value)})


def _some(side: _Side, seed: int) -> _Side:
    if len(side[1]) <= _MOST_ROWS:
        return side
    rows = np.sort(np.random.default_rng(seed).choice(len(side[1]), _MOST_ROWS, replace=False))
    return side[0].iloc[rows], np.asarray(side[1])[rows], np.asarray(side[2])[rows]


def _predictors(features: pandas.DataFrame, outcome: np.ndarray) -> np.ndarray:
    columns = features.iloc[:, :_MOST_FEATURES].to_numpy(float)
    columns = np.where(np.isfinite(columns), columns, np.nan)
    y = np.asarray(outcome, dtype=float).reshape(len(columns), -1)
    return np.column_stack([columns, y])


def _cross_fitted(x: np.ndarray, label: np.ndarray, subjects: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scores = np.empty(len(label))
    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed)
    for fit, held in folds.split(x, label, subjects):
        model = make_pipeline(
            SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
            StandardScaler(),
            LogisticRegression(max_iter=1000),
        )
        with warnings.catch_warnings():
            # Data sets that can be distinguished at sight have no finite maximum.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x[fit], label[fit])
        scores[held] = model.decision_function(x[held])
    return scores


def _auroc(
    scores: np.ndarray,
    label: np.ndarray,
    subjects: np.ndarray,
    resamples: int,
    confidence: float,
    seed: int,
) -> tuple[float, float | None, float | None]:
    """AUROC with a bootstrap that keeps both data sets at their size."""
    order = np.argsort(label, kind="stable")
    ranking = Ranking(label[order], scores[order])
    value = float(ranking.areas(np.ones((1, len(label))))[0][0])
    if resamples == 0:
        return value, None, None
    sides = []
    for side in (0, 1):
        codes = subject_codes(subjects[label == side])
        sides.append(np.vstack(list(resample_weights(codes, resamples, seed + side))))
    weights = np.hstack(sides)
    blocks = np.array_split(weights, max(1, weights.size // 2_000_000))
    found = np.concatenate([ranking.areas(block)[0] for block in blocks])
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return value, float(low), float(high)


def _reading(auroc: float) -> str:
    if auroc < 0.6:
        return "the case mix is much the same: the validation shows reproducibility"
    if auroc < 0.8:
        return "the case mix differs: the validation says something of transportability"
    return "the case mix differs a great deal: the validation shows transportability, if anything"

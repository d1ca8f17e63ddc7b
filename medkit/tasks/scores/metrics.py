"""Reported metrics: scikit-learn's own value for the rows, and the same for many resamples.

``weights`` (resamples, n) says how often each row was drawn. Every function here takes them and
returns (resamples,) values that equal scikit-learn's of the rows so repeated (or, with
``sample_weight``, of all rows), ties included, for all resamples together: the scores are sorted
once, not once a resample.

Undefined values are NaN, never an exception: AUROC without both classes, AUPRC, recall and F1
without positives, specificity without negatives, precision without predicted positives. In the mean
over classes that exclude one another, a class that is never predicted has a precision of 0.
A mean over labels or classes is that of those defined in the rows, and NaN in a resample where one
of these is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from medkit.tasks.outcomes import Metric
from medkit.tasks.scores.ranking import Ranking, divided

Scores = dict[str, Any]

# Numbers in one block of weights: bounds the memory of 1,000 resamples to some 100 MB.
_BLOCK = 2_000_000


def in_blocks(weights: np.ndarray, measure: Callable[[np.ndarray], Scores]) -> Scores:
    """``measure`` of blocks of resamples (float64), put together again."""
    parts = [measure(block) for block in _blocks(np.atleast_2d(weights))]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _blocks(weights: np.ndarray) -> Iterator[np.ndarray]:
    step = max(1, _BLOCK // max(1, weights.shape[1]))
    for start in range(0, len(weights), step):
        yield weights[start : start + step].astype(np.float64)


def mean_of_known(values: Any, axis: int = -1) -> Any:
    """Mean over an axis of what is not NaN; NaN where nothing is."""
    values = np.asarray(values, float)
    known = ~np.isnan(values)
    return divided(np.where(known, values, 0.0).sum(axis), known.sum(axis))


def mean_of_defined(values: np.ndarray, defined: np.ndarray) -> Any:
    """Mean over the last axis of what is ``defined`` there; NaN where one of these is NaN.

    A mean over other labels in each resample would have the interval of another quantity.
    """
    return values[..., defined].mean(axis=-1) if defined.any() else values[..., 0] * np.nan


def with_each(
    found: Mapping[str, np.ndarray], names: Sequence[str],
    sample: Mapping[str, np.ndarray] | None = None,
) -> Scores:  # fmt: skip
    """Metric -> its mean over the last axis, then ``metric_name`` of each name.

    Args:
        found: Metric -> (…, names) values.
        names: Of the last axis; empty where the mean alone is told.
        sample: Metric -> (names,) or (1, names) values in the rows as they are: those that are NaN
            there are left out of the mean. None: nothing is left out.
    """
    together = {}
    for metric, values in found.items():
        defined = np.ones(values.shape[-1], dtype=bool)
        if sample is not None:
            defined = ~np.isnan(np.asarray(sample[metric], float).reshape(-1))
        together[metric] = mean_of_defined(np.asarray(values, float), defined)
    for index, name in enumerate(names):
        together |= {f"{metric}_{name}": values[..., index] for metric, values in found.items()}
    return together


def binary_scores(
    y: np.ndarray, p: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None
) -> Scores:
    """AUROC, AUPRC, accuracy, precision, recall, specificity, F1, Brier score and log loss.

    Args:
        y: (n,) 0 or 1.
        p: (n,) probabilities of 1.
        predicted: (n,) whether a row counts as predicted positive.
        weights: (resamples, n), or None for the rows as they are.
    """
    if weights is None:
        return _binary_of_rows(y, p, predicted)
    ranking = Ranking(y, p)
    row_loss, row_brier = log_losses(y, p), (p.astype(np.float64) - y) ** 2
    positive = y.astype(np.float64)

    def measure(block: np.ndarray) -> Scores:
        total, positives = block.sum(1), block @ positive
        true = block @ (positive * predicted)
        false = block @ ((1 - positive) * predicted)
        negatives = total - positives
        auroc, auprc = ranking.areas(block)
        return {
            "auroc": auroc,
            "auprc": auprc,
            "accuracy": divided(true + negatives - false, total),
            "precision": divided(true, true + false),
            "recall": divided(true, positives),
            "specificity": divided(negatives - false, negatives),
            "f1": np.where(positives == 0, np.nan, divided(2 * true, true + false + positives)),
            "brier": divided(block @ row_brier, total),
            "log_loss": divided(block @ row_loss, total),
        }

    return in_blocks(weights, measure)


def _binary_of_rows(y: np.ndarray, p: np.ndarray, predicted: np.ndarray) -> Scores:
    from sklearn import metrics as sk

    if len(y) == 0:
        return {each.name: float("nan") for each in BINARY}
    none, some, every = float("nan"), bool(y.any()), bool(y.all())
    return {
        "auroc": float(sk.roc_auc_score(y, p)) if some and not every else none,
        "auprc": float(sk.average_precision_score(y, p)) if some else none,
        "accuracy": float(sk.accuracy_score(y, predicted)),
        "precision": float(sk.precision_score(y, predicted)) if predicted.any() else none,
        "recall": float(sk.recall_score(y, predicted)) if some else none,
        "specificity": none if every else float(sk.recall_score(y, predicted, pos_label=0)),
        "f1": float(sk.f1_score(y, predicted)) if some else none,
        "brier": float(sk.brier_score_loss(y, p, pos_label=1)),
        "log_loss": float(sk.log_loss(y, p, labels=[0, 1])),
    }


BINARY = (
    Metric("auroc", "AUROC"), Metric("auprc", "AUPRC"), Metric("accuracy", "accuracy"),
    Metric("precision", "precision"), Metric("recall", "recall"),
    Metric("specificity", "specificity"), Metric("f1", "F1"),
    Metric("brier", "Brier score", "less"), Metric("log_loss", "log loss", "less"),
)  # fmt: skip


def log_losses(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """(n,) negative log probability of what happened, clipped as scikit-learn clips it.

    Args:
        y: (n,) 0 or 1, or class numbers.
        p: (n,) probabilities of 1, or (n, classes).
    """
    p = p if p.dtype.kind == "f" else p.astype(np.float64)
    happened = np.where(y == 1, p, 1 - p) if p.ndim == 1 else p[np.arange(len(y)), y]
    small = np.finfo(p.dtype).eps
    return -np.log(np.clip(happened, small, 1 - small).astype(np.float64))


def multiclass_scores(y: np.ndarray, p: np.ndarray, weights: np.ndarray | None) -> Scores:
    """Accuracy, macro and weighted precision, recall, F1 and one-vs-rest AUROC, and others.

    Precision, recall and F1 are averaged as scikit-learn does, over the classes that are true or
    predicted in the rows; AUROC and AUPRC over those that have both true and other rows.

    Args:
        y: (n,) class numbers.
        p: (n, classes) probabilities.
        weights: (resamples, n), or None for the rows as they are.
    """
    if len(y) == 0:
        return {each.name: float("nan") for each in MULTICLASS}
    predicted = p.argmax(axis=1)
    if weights is None:
        return _multiclass_of_rows(y, p, predicted)
    classes = range(p.shape[1])
    rankings = [Ranking(y == each, p[:, each]) for each in classes]
    truth = (y[:, None] == np.arange(p.shape[1])).astype(np.float64)
    guess = (predicted[:, None] == np.arange(p.shape[1])).astype(np.float64)
    row_loss = log_losses(y, p)
    occurring = truth.any(axis=0)
    known = occurring | guess.any(axis=0)  # scikit-learn's macro averages are over these
    both = occurring & ~truth.all(axis=0)

    def measure(block: np.ndarray) -> Scores:
        total, support = block.sum(1), block @ truth
        right, named = block @ (truth * guess), block @ guess
        precision = divided(right, named, 0.0)
        recall = divided(right, support, 0.0)
        f1 = divided(2 * right, named + support, 0.0)
        areas = np.array([ranking.areas(block) for ranking in rankings])  # (classes, 2, B)
        auroc, auprc = areas[:, 0].T, areas[:, 1].T
        share = np.where(np.isnan(auroc), 0.0, support)
        found: Scores = {
            "accuracy": divided(right.sum(1), total),
            "balanced_accuracy": mean_of_defined(divided(right, support), occurring),
        }
        for name, values in (("precision", precision), ("recall", recall), ("f1", f1)):
            there = np.where(named + support > 0, values, np.nan)
            found[f"{name}_macro"] = mean_of_defined(there, known)
            found[f"{name}_weighted"] = divided((values * support).sum(1), total)
        found["auroc_macro"] = mean_of_defined(auroc, both)
        weighted = np.where(share > 0, auroc, 0.0) * share
        found["auroc_weighted"] = divided(weighted.sum(1), share.sum(1))
        found["auprc_macro"] = mean_of_defined(np.where(np.isnan(auroc), np.nan, auprc), both)
        found["log_loss"] = divided(block @ row_loss, total)
        return found

    return in_blocks(weights, measure)


def _multiclass_of_rows(y: np.ndarray, p: np.ndarray, predicted: np.ndarray) -> Scores:
    from sklearn import metrics as sk

    occurring = np.unique(y)
    found = {
        "accuracy": float(sk.accuracy_score(y, predicted)),
        # scikit-learn's balanced accuracy, without its warning about classes only predicted.
        "balanced_accuracy": float(
            sk.recall_score(y, predicted, labels=occurring, average="macro")
        ),
    }
    for average in ("macro", "weighted"):
        precision, recall, f1, _ = sk.precision_recall_fscore_support(
            y, predicted, average=average, zero_division=0
        )
        found[f"precision_{average}"], found[f"recall_{average}"] = float(precision), float(recall)
        found[f"f1_{average}"] = float(f1)
    areas = dict.fromkeys(("auroc_macro", "auroc_weighted", "auprc_macro"), float("nan"))
    if len(occurring) > 1:
        auroc = [sk.roc_auc_score(y == each, p[:, each]) for each in occurring]
        auprc = [sk.average_precision_score(y == each, p[:, each]) for each in occurring]
        support = [np.count_nonzero(y == each) for each in occurring]
        areas["auroc_macro"], areas["auprc_macro"] = float(np.mean(auroc)), float(np.mean(auprc))
        areas["auroc_weighted"] = float(np.average(auroc, weights=support))
    loss = sk.log_loss(y, p, labels=list(range(p.shape[1])))
    found |= {**areas, "log_loss": float(loss)}
    return {each.name: found[each.name] for each in MULTICLASS}


MULTICLASS = (
    Metric("accuracy", "accuracy"), Metric("balanced_accuracy", "balanced accuracy"),
    Metric("precision_macro", "macro precision"),
    Metric("precision_weighted", "weighted precision"),
    Metric("recall_macro", "macro recall"), Metric("recall_weighted", "weighted recall"),
    Metric("f1_macro", "macro F1"), Metric("f1_weighted", "weighted F1"),
    Metric("auroc_macro", "macro AUROC"), Metric("auroc_weighted", "weighted AUROC"),
    Metric("auprc_macro", "macro AUPRC"), Metric("log_loss", "log loss", "less"),
)  # fmt: skip


def regression_scores(y: np.ndarray, p: np.ndarray, weights: np.ndarray | None) -> Scores:
    """(n, outputs) targets and values -> MAE, RMSE and R² of each output, (…, outputs).

    R² is NaN where the targets do not vary.
    """
    y, p = y.astype(np.float64), p.astype(np.float64)
    if len(y) == 0:
        return {each.name: np.full(y.shape[1], np.nan) for each in REGRESSION}
    if weights is None:
        from sklearn import metrics as sk

        varies = y.min(0) != y.max(0)
        r2 = np.full(y.shape[1], np.nan)
        if varies.any():
            r2[varies] = sk.r2_score(y[:, varies], p[:, varies], multioutput="raw_values")
        return {
            "mae": sk.mean_absolute_error(y, p, multioutput="raw_values"),
            "rmse": sk.root_mean_squared_error(y, p, multioutput="raw_values"),
            "r2": r2,
        }
    error = y - p
    centred = y - y.mean(axis=0)  # before squaring: sums of large squares would cancel
    spread = (centred**2).mean(axis=0)

    def measure(block: np.ndarray) -> Scores:
        total = block.sum(1)[:, None]
        squares = block @ error**2
        around_mean = block @ centred**2 - divided((block @ centred) ** 2, total)
        constant = around_mean <= 1e-12 * total * spread
        return {
            "mae": divided(block @ np.abs(error), total),
            "rmse": np.sqrt(divided(squares, total)),
            "r2": 1 - divided(squares, np.where(constant, 0.0, around_mean)),
        }

    return in_blocks(weights, measure)


REGRESSION = (Metric("mae", "MAE", "less"), Metric("rmse", "RMSE", "less"), Metric("r2", "R²"))

"""Split-conformal prediction sets and intervals: coverage that is asked for, and what is seen.

Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005; Angelopoulos and Bates,
Conformal prediction: a gentle introduction, Foundations and Trends in Machine Learning 16, 2023.
A score says how badly an outcome fits a prediction: 1 - p(outcome) for classes and labels (LAC:
Sadinle, Lei and Wasserman, Least ambiguous set-valued classifiers with bounded error levels,
J. Am. Stat. Assoc. 114, 2019; the smallest sets on average), and |y - prediction| for numbers.
The quantile q of the scores of validation rows bounds what is let into a set or interval:

    set = {k: 1 - p_k <= q}        interval = prediction - q ... prediction + q

If a new patient is exchangeable with the K patients of validation, the outcome is in the set with
probability of at least the coverage, and with at most 1 / (K + 1) more where scores are not tied.
Validation has also chosen when training stopped, the threshold and a recalibration (isotonic most
closely), so it is not wholly exchangeable with new patients: coverage can come out slightly too
small, which is why the coverage seen on the test part stands beside the coverage asked for.

Several rows of a patient are not exchangeable with one another's. Each patient then weighs alike:
row i of a patient with n rows has weight 1 / (n (K + 1)), and infinity has 1 / (K + 1); q is the
smallest score with a cumulative weight of at least the coverage. That holds for a row drawn at
random from a new patient (Lee, Barber and Willett, Distribution-free inference with hierarchical
data, 2023) and is the usual quantile where every patient has one row. What is seen on the test
part is averaged in the same way: over the rows of a patient, then over patients.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from medkit.evaluation.resampling.intervals import plain
from medkit.evaluation.resampling.resampling import subject_codes

_ROUNDING = 1e-9  # 0.9 * 10 is not 9 exactly


def calibrate(
    task: Any, y: np.ndarray, p: np.ndarray, subjects: np.ndarray, coverage: float
) -> dict[str, Any]:
    """The quantile of the scores of validation rows: all that a prediction set needs.

    Args:
        task: The fitted task.
        y: (n, …) encoded targets.
        p: (n, outputs) outputs; a row that is not finite fits no outcome (its score is infinite).
        subjects: (n,) subject of each row.
        coverage: Asked for, between 0 and 1.

    Returns:
        ``{"method", "coverage", "n", "subjects", "quantile": [q, …]}``, one q for each output;
        or ``"quantile": None`` and ``"not_estimable": reason``.
    """
    method = _method(task)
    count = len(np.unique(np.asarray(subjects))) if len(p) else 0
    state = {"method": method, "coverage": coverage, "n": len(p), "subjects": count}
    # K patients can vouch for a coverage of K / (K + 1) at most.
    needed = math.ceil(coverage / (1 - coverage) - _ROUNDING)
    reason = None
    if method is None:
        reason = f"no conformal method for the task {task.kind}"
    elif count < needed:
        reason = (
            f"a coverage of {coverage:g} takes {needed} or more validation subjects; "
            f"there are {count}"
        )
    else:
        codes = subject_codes(subjects)
        found = [_quantile(each, codes, coverage) for each in _scores(task, y, p)]
        if np.isfinite(found).all():
            return plain({**state, "quantile": found})
        reason = "too many validation predictions are not finite numbers"
    return plain({**state, "quantile": None, "not_estimable": reason})


def conformal_columns(task: Any, state: dict[str, Any] | None, p: np.ndarray) -> dict[str, Any]:
    """Prediction columns of sets or intervals, for ``Run.predict``.

    Args:
        task: The fitted task.
        state: As ``calibrate`` returned it; None for a run that has none.
        p: (n, outputs) finite outputs.

    Returns:
        Regression: ``low`` and ``high`` in the target's units (``low_<name>``, ``high_<name>`` of
        several). Classes: ``prediction_set``, text such as ``{benign}``, ``{benign, malignant}``
        or ``{}`` where no class is probable enough (``prediction_set_<label>`` of ``{0}``,
        ``{1}``, ``{0, 1}``, ``{}`` for labels). Nothing where no quantile could be estimated.
    """
    if not state or state.get("quantile") is None:
        return {}
    p = np.asarray(p, float)
    columns: dict[str, Any] = {}
    for index, (name, q) in enumerate(zip(names_of(task), state["quantile"], strict=True)):
        ending = f"_{name}" if len(state["quantile"]) > 1 else ""
        if task.kind == "regression":
            columns[f"low{ending}"], columns[f"high{ending}"] = p[:, index] - q, p[:, index] + q
            continue
        classes = [str(each) for each in classes_of(task)]
        found, numbers = np.unique(within(task, q, p, index), axis=0, return_inverse=True)
        texts = [_text(classes, row) for row in found]
        chosen = np.asarray(numbers).ravel()
        columns[f"prediction_set{ending}"] = np.array(texts, object)[chosen]
    return columns


def _text(classes: list[str], inside: np.ndarray) -> str:
    return "{" + ", ".join(name for name, each in zip(classes, inside, strict=True) if each) + "}"


# What differs between tasks.


def _method(task: Any) -> str | None:
    known = {"regression": "absolute_residual"}
    known |= dict.fromkeys(("binary", "multiclass", "multilabel"), "lac")
    return known.get(task.kind)


def names_of(task: Any) -> list[str]:
    """One name for each quantile."""
    if task.kind == "multilabel":
        return [str(each) for each in task.labels_]
    if task.kind == "regression" and task.num_outputs > 1:
        return [str(each) for each in task.names_ or range(task.num_outputs)]
    return [str(task.names_[0]) if len(task.names_) == 1 else "target"]


def classes_of(task: Any) -> list[Any]:
    """The classes of each output; of a label 0 and 1."""
    return [0, 1] if task.kind == "multilabel" else list(task.classes_)


def _probabilities(task: Any, p: np.ndarray, index: int) -> np.ndarray:
    """(n, classes) of one output."""
    p = np.asarray(p, float)
    return p if task.kind == "multiclass" else np.column_stack([1 - p[:, index], p[:, index]])


def truth_of(task: Any, y: np.ndarray, index: int) -> np.ndarray:
    """(n,) class number of one output."""
    column = y if task.kind == "multiclass" else y.reshape(len(y), -1)[:, index]
    return np.asarray(column).ravel().astype(int)


def _scores(task: Any, y: np.ndarray, p: np.ndarray) -> list[np.ndarray]:
    """(n,) scores for each output."""
    p = np.asarray(p, float)
    if task.kind == "regression":
        errors = np.abs(np.asarray(y, float).reshape(len(p), -1) - p)
        found = list(errors.T)
    else:
        found = []
        for index in range(len(names_of(task))):
            truth = truth_of(task, y, index)
            probability = _probabilities(task, p, index)
            found.append(1 - probability[np.arange(len(p)), truth])
    return [np.where(np.isfinite(each), each, np.inf) for each in found]


def within(task: Any, q: float, p: np.ndarray, index: int) -> np.ndarray:
    """(n, classes) whether each class is in the set."""
    return np.asarray(1 - _probabilities(task, p, index) <= q)


def _quantile(scores: np.ndarray, codes: np.ndarray, coverage: float) -> float:
    """Smallest score with at least the coverage at or below it; infinity weighs one subject."""
    rows = np.bincount(codes)
    order = np.argsort(scores, kind="stable")
    weights = 1 / (rows[codes[order]] * (len(rows) + 1))
    reached = np.cumsum(weights) >= coverage - _ROUNDING
    return float(scores[order][np.argmax(reached)]) if reached.any() else math.inf

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
from typing import Any, ClassVar

import numpy as np

from medkit.evaluation.methods import methods_for
from medkit.evaluation.resampling.intervals import plain
from medkit.evaluation.resampling.resampling import subject_codes
from medkit.tasks.outcomes import Outcome
from medkit.tasks.task import Task

_ROUNDING = 1e-9  # 0.9 * 10 is not 9 exactly


def calibrate(
    task: Task, y: np.ndarray, p: np.ndarray, subjects: np.ndarray, coverage: float
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
    kind = methods_for(task).conformal
    count = len(np.unique(np.asarray(subjects))) if len(p) else 0
    state = {"method": kind and kind.method, "coverage": coverage, "n": len(p), "subjects": count}
    # K patients can vouch for a coverage of K / (K + 1) at most.
    needed = math.ceil(coverage / (1 - coverage) - _ROUNDING)
    reason = None
    if kind is None:
        reason = f"no conformal method for the task {task.kind}"
    elif count < needed:
        reason = (
            f"a coverage of {coverage:g} takes {needed} or more validation subjects; "
            f"there are {count}"
        )
    else:
        codes, given = subject_codes(subjects), conformal_outcomes(task, y, p)
        found = [_quantile(kind.scores(of), codes, coverage) for of in given.values()]
        if np.isfinite(found).all():
            return plain({**state, "quantile": found})
        reason = "too many validation predictions are not finite numbers"
    return plain({**state, "quantile": None, "not_estimable": reason})


def conformal_columns(task: Task, state: dict[str, Any] | None, p: np.ndarray) -> dict[str, Any]:
    """Prediction columns of sets or intervals, for ``Run.predict``.

    Args:
        task: The fitted task.
        state: As ``calibrate`` returned it; None for a run that has none.
        p: (n, outputs) finite outputs.

    Returns:
        Of numbers ``low`` and ``high`` in the target's units (``low_<name>``, ``high_<name>`` of
        several). Of classes ``prediction_set``, text such as ``{benign}``, ``{benign, malignant}``
        or ``{}`` where no class is probable enough (``prediction_set_<label>`` of ``{0}``,
        ``{1}``, ``{0, 1}``, ``{}`` for labels). Nothing where no quantile could be estimated.
    """
    kind = methods_for(task).conformal
    if not state or state.get("quantile") is None or kind is None:
        return {}
    nothing = np.zeros((len(p), len(state["quantile"])))
    outcomes = conformal_outcomes(task, nothing, p)
    columns: dict[str, Any] = {}
    for (name, of), q in zip(outcomes.items(), state["quantile"], strict=True):
        columns |= kind.columns(q, of, f"_{name}" if len(outcomes) > 1 else "")
    return columns


def conformal_outcomes(task: Task, y: np.ndarray, p: np.ndarray) -> dict[str, Outcome]:
    """What each quantile is of, by the name of its target."""
    found = task.outcomes(np.asarray(y), np.asarray(p, float).reshape(len(p), -1))
    if len(found) > 1:
        return {of.name: of for of in found}
    return {str(task.names_[0]) if len(task.names_) == 1 else "target": found[0]}


class Sets:
    """Sets of classes, by their probabilities."""

    method: ClassVar[str] = "lac"

    @staticmethod
    def scores(of: Outcome) -> np.ndarray:
        """1 - p(outcome)."""
        found = 1 - _probabilities(of)[np.arange(len(of.y)), of.y.astype(int)]
        return np.where(np.isfinite(found), found, np.inf)

    @staticmethod
    def columns(q: float, of: Outcome, ending: str) -> dict[str, np.ndarray]:
        """The set of each row as text."""
        inside, which = np.unique(_within(q, of), axis=0, return_inverse=True)
        texts = ["{" + ", ".join(str(c) for c, each in zip(of.classes, row, strict=True) if each)
                 + "}" for row in inside]  # fmt: skip
        return {f"prediction_set{ending}": np.array(texts, object)[np.asarray(which).ravel()]}

    @staticmethod
    def measures(q: float, of: Outcome) -> dict[str, np.ndarray]:
        """Coverage, and how many classes are in a set."""
        inside = _within(q, of)
        size = inside.sum(axis=1)
        return {
            "coverage": inside[np.arange(len(of.y)), of.y.astype(int)].astype(float),
            "size": size.astype(float),
            "empty": (size == 0).astype(float),
            "single": (size == 1).astype(float),
            "full": (size == inside.shape[1]).astype(float),
        }

    @staticmethod
    def by_class(of: Outcome) -> dict[str, np.ndarray] | None:
        """The rows of each class."""
        truth = of.y.astype(int)
        return {str(name): np.flatnonzero(truth == k) for k, name in enumerate(of.classes)}


class Intervals:
    """Intervals around numbers."""

    method: ClassVar[str] = "absolute_residual"

    @staticmethod
    def scores(of: Outcome) -> np.ndarray:
        """|y - prediction|."""
        found = np.abs(of.y.astype(float) - of.p)
        return np.where(np.isfinite(found), found, np.inf)

    @staticmethod
    def columns(q: float, of: Outcome, ending: str) -> dict[str, np.ndarray]:
        """Both bounds, in the target's units."""
        return {f"low{ending}": of.p - q, f"high{ending}": of.p + q}

    @staticmethod
    def measures(q: float, of: Outcome) -> dict[str, np.ndarray]:
        """Coverage and width."""
        covered = (np.abs(of.y.astype(float) - of.p) <= q).astype(float)
        return {"coverage": covered, "width": np.full(len(of.y), 2 * q)}

    @staticmethod
    def by_class(of: Outcome) -> dict[str, np.ndarray] | None:
        """Numbers have no classes."""
        return None


def _probabilities(of: Outcome) -> np.ndarray:
    """(n, classes)."""
    return of.p if of.p.ndim == 2 else np.column_stack([1 - of.p, of.p])


def _within(q: float, of: Outcome) -> np.ndarray:
    """(n, classes) whether each class is in the set."""
    return np.asarray(1 - _probabilities(of) <= q)


def _quantile(scores: np.ndarray, codes: np.ndarray, coverage: float) -> float:
    """Smallest score with at least the coverage at or below it; infinity weighs one subject."""
    rows = np.bincount(codes)
    order = np.argsort(scores, kind="stable")
    weights = 1 / (rows[codes[order]] * (len(rows) + 1))
    reached = np.cumsum(weights) >= coverage - _ROUNDING
    return float(scores[order][np.argmax(reached)]) if reached.any() else math.inf

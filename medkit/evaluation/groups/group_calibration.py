"""Calibration of a subgroup in a few numbers: on average, and its slope."""

from __future__ import annotations

import math

import numpy as np

from medkit.evaluation.calibration.agreement import line
from medkit.evaluation.calibration.logistic import logits, weighted_intercept, weighted_logistic
from medkit.evaluation.methods import methods_for
from medkit.evaluation.notes import FEW_EVENTS
from medkit.evaluation.resampling.intervals import Resampled, plain, resample_by
from medkit.evaluation.resampling.resampling import outcome_strata
from medkit.evaluation.results import Calibration, Estimate
from medkit.evaluation.rows import EvaluatedRows
from medkit.tasks.outcomes import Outcome


def group_calibration(rows: EvaluatedRows) -> Calibration:
    """Calibration of the rows of a subgroup, with intervals by subject.

    Args:
        rows: Those of the group, their outputs finite.

    Returns:
        Laid out as ``calibration_of``: binary ``{"metrics": {name: {value, low, high, …}}}``;
        ``{"per_class": {class: {"metrics": …}}}``, ``{"per_label": …}`` and, of a regression,
        ``{"per_output": …}``. Names: ``in_the_large`` (logit scale), ``observed_expected``,
        ``intercept`` and ``slope``; of a regression ``bias`` (predicted minus measured),
        ``intercept`` and ``slope``. ``not_estimable`` (text) stands beside nulls.
    """
    methods, p = methods_for(rows.task), np.asarray(rows.p, dtype=np.float64).reshape(len(rows), -1)
    parts = methods.one_by_one(rows.y, p)
    if not parts:
        return {"not_estimable": methods.no_calibration}
    of = {"yes_no": _probability, "number": _number}
    blocks = {name: of[part.kind](part, rows) for name, part in parts.items()}
    found: Calibration = methods.laid_out(blocks)
    return found


def _probability(part: Outcome, rows: EvaluatedRows) -> Calibration:
    y, p = np.asarray(part.y, dtype=np.float64), part.p
    x = logits(p)
    why = _reasons(y, x, rows.codes)

    def measure(weights: np.ndarray) -> dict[str, np.ndarray]:
        with np.errstate(divide="ignore", invalid="ignore"):
            found = {"observed_expected": (weights @ y) / (weights @ p)}
        if "in_the_large" not in why:
            found["in_the_large"] = weighted_intercept(x, y, weights)
        if "slope" not in why:
            found["intercept"], found["slope"] = weighted_logistic(x, y, weights).T
        return found

    strata = outcome_strata(y[:, None] == 1, rows.codes)
    resampled = resample_by(measure, rows.codes, strata, rows.settings.bootstrap, rows.seed)
    names = ("in_the_large", "observed_expected", "intercept", "slope")
    values = measure(np.ones((1, len(y))))
    return _described(names, values, resampled, why, rows.settings.confidence)


def _reasons(y: np.ndarray, x: np.ndarray, codes: np.ndarray) -> dict[str, str]:
    """Metric -> why these rows do not tell it."""
    line = ("intercept", "slope")
    for name, rows in (("positive", y == 1), ("negative", y == 0)):
        count = len(np.unique(codes[rows]))
        if count == 0:
            return dict.fromkeys(("in_the_large", *line), f"no {name} subjects")
        if count < FEW_EVENTS:
            return dict.fromkeys(line, f"fewer than {FEW_EVENTS} {name} subjects")
    if np.ptp(x) == 0:
        return dict.fromkeys(line, "all predictions are equal")
    if np.isnan(weighted_logistic(x, y, np.ones(len(y)))).any():
        return dict.fromkeys(line, "the predictions separate the classes: no finite estimate")
    return {}


def _number(part: Outcome, rows: EvaluatedRows) -> Calibration:
    y, p = np.asarray(part.y, dtype=np.float64), part.p
    why: dict[str, str] = {}
    subjects = len(np.unique(rows.codes))
    if subjects < 3 or np.ptp(p) <= 1e-9 * np.abs(p).max():
        reason = "fewer than 3 subjects" if subjects < 3 else "all predictions are equal"
        why = dict.fromkeys(("intercept", "slope"), reason)

    def measure(weights: np.ndarray) -> dict[str, np.ndarray]:
        found = {"bias": weights @ (p - y) / weights.sum(axis=1)}
        if not why:
            found["intercept"], found["slope"] = line(weights, p, y)
        return found

    resampled = resample_by(measure, rows.codes, None, rows.settings.bootstrap, rows.seed)
    names, values = ("bias", "intercept", "slope"), measure(np.ones((1, len(y))))
    return _described(names, values, resampled, why, rows.settings.confidence)


def _described(
    names: tuple[str, ...],
    values: dict[str, np.ndarray],
    resampled: Resampled,
    why: dict[str, str],
    confidence: float,
) -> Calibration:
    metrics: dict[str, Estimate] = {}
    for name in names:
        value = float(values[name][0]) if name in values else math.nan
        reason = why.get(name, "no finite estimate in these rows")
        metrics[name] = resampled.estimate(name, value, confidence, reason)
    return {"metrics": plain(metrics)}

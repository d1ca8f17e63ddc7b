"""Metrics of rows with intervals that resample patients, not rows.

``measure`` gives ``metrics``: name -> ``{"value", "low", "high"}`` and, where they apply,
``degenerate`` (true), ``undefined`` (resamples without a value), ``method`` (``wilson``) and, of
an AUROC, ``delong``: ``{"low", "high"}``, with a ``note`` beside two nulls where it has none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from medkit.evaluation.clusters import subjects_among
from medkit.evaluation.methods import methods_for
from medkit.evaluation.notes import doubts
from medkit.evaluation.resampling.delong import delong_interval
from medkit.evaluation.resampling.intervals import (
    NOBODY_CALLED,
    ONE_SUBJECT,
    Resampled,
    not_estimable,
    plain,
    resample_by,
    too_few,
    with_wilson,
)
from medkit.evaluation.results import Estimate, Measured
from medkit.evaluation.rows import EvaluatedRows


def resample(rows: EvaluatedRows, resamples: int | None = None) -> Resampled:
    """Every metric of the task in every resample of the subjects, stratified by outcome.

    The same subjects, targets and seed give the same resamples, so that two models can be
    compared in pairs. ``resamples`` takes the place of ``settings.bootstrap`` where given.
    """

    def score(weights: np.ndarray) -> dict[str, Any]:
        return rows.task.measure(rows.statistics, weights)

    count = rows.settings.bootstrap if resamples is None else resamples
    found = resample_by(score, rows.codes, rows.strata, count, rows.seed)
    return found.without(_of_too_few(rows))


def _of_too_few(rows: EvaluatedRows) -> dict[str, str]:
    """Metric of ranking -> why it has no interval, where a class has hardly any subjects."""
    found = {}
    for metric, classes in methods_for(rows.task).ranked(np.asarray(rows.y)).items():
        counts = {name: subjects_among(rows.codes, which) for name, which in classes.items()}
        if reason := too_few(counts):
            found[metric] = reason
    return found


def measure(
    rows: EvaluatedRows, resamples: int | None = None
) -> tuple[Measured, dict[str, np.ndarray]]:
    """What ``evaluate_part`` returns, and the resampled scores behind it.

    ``resamples`` takes the place of ``settings.bootstrap`` where given. A proportion of 0 or 1
    that all resamples share has Wilson's interval instead, on the number of subjects in its
    denominator.
    """
    resamples = rows.settings.bootstrap if resamples is None else resamples
    resampled = resample(rows, resamples)
    found = described(rows, rows.task.measure(rows.statistics), resampled)
    metrics = found["metrics"]
    if any(each.get("degenerate") or each["value"] != each["value"] for each in metrics.values()):
        y, p = np.asarray(rows.y), np.asarray(rows.p)
        proportions = methods_for(rows.task).denominators(y, p, rows.threshold)
        for name in metrics.keys() & proportions.keys():
            with_wilson(metrics[name], rows.codes[proportions[name]], rows.settings.confidence)
            if name.startswith("precision") and len(rows) and not proportions[name].any():
                metrics[name] = not_estimable(NOBODY_CALLED)
    if resampled.groups is not None:
        _add_delong(metrics, rows)
    notes = doubts(rows)
    if resamples and len(rows) and resampled.groups is None:
        notes.append(ONE_SUBJECT)
    if notes:
        found["notes"] = notes
    return plain(found), resampled.replicates


def described(rows: EvaluatedRows, values: Mapping[str, float], resampled: Resampled) -> Measured:
    """Metrics of some rows with their intervals, at the operating point in use.

    Args:
        rows: The rows.
        values: Metric -> value.
        resampled: The same metrics in every resample.
    """
    return {
        "n": len(rows),
        "subjects": int(rows.codes.max()) + 1,
        "positives": rows.task.positives(rows.y),
        "subjects_with": {
            name: subjects_among(rows.codes, which)
            for name, which in methods_for(rows.task).occurrences(np.asarray(rows.y)).items()
        },
        "threshold": plain(rows.threshold),
        "metrics": {
            name: {
                "value": value,
                **resampled.confidence_interval(name, value, rows.settings.confidence),
            }
            for name, value in values.items()
        },
    }


def _add_delong(metrics: dict[str, Estimate], rows: EvaluatedRows) -> None:
    """DeLong's interval beside the bootstrap's, for each AUROC that is defined."""
    for label, of in methods_for(rows.task).yes_no(rows.y, rows.p).items():
        found = metrics["auroc" if label is None else f"auroc_{label}"]
        if math.isfinite(found["value"] or 0):
            found["delong"] = delong_interval(of.y, of.p, rows.settings.confidence, rows.codes)
            found["delong"].pop("standard_error", None)

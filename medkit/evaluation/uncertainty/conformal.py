"""What conformal sets and intervals are worth on rows that did not calibrate them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from medkit.evaluation.groups.subgroups import divided
from medkit.evaluation.methods import methods_for
from medkit.evaluation.resampling.intervals import confidence_interval, plain, replicates_of
from medkit.evaluation.resampling.resampling import subject_codes
from medkit.evaluation.results import Bootstrapped, Conformal, Estimate
from medkit.evaluation.rows import EvaluatedRows
from medkit.evaluation.uncertainty.conformal_sets import (
    calibrate,
    conformal_columns,
    conformal_outcomes,
)

if TYPE_CHECKING:
    from medkit.config.experiment import Evaluation

__all__ = ["calibrate", "conformal_columns", "conformal_of", "evaluate_conformal"]

_ROUNDING = 1e-9  # 0.9 * 10 is not 9 exactly
_NOTE = (
    "calibrated on the validation part, which also chose when training stopped, the threshold and "
    "any recalibration: the coverage is guaranteed only as far as validation is like new patients"
)


def conformal_of(rows: EvaluatedRows, valid: EvaluatedRows) -> Conformal:
    """Prediction sets or intervals calibrated on validation, and how they do on the test part.

    Args:
        rows: The test part.
        valid: Validation, with outputs as they will be given to a user (recalibrated, if so).

    Returns:
        Plain JSON::

            {"method": "lac" | "absolute_residual",
             "coverage": 0.9,                      # asked for
             "calibration": {"part": "valid", "n": 85, "subjects": 85},
             "state": {...},                       # as ``calibrate`` returns; for inputs.json
             "note": "calibrated on …",
             "outputs": {NAME: OUTPUT, ...}}       # one; one a label (multilabel) or target

        or, too few validation subjects or a task without a method, the same without ``outputs``
        and with ``"not_estimable": reason``. NAME is the target's name, or ``target``; OUTPUT is::

            {"quantile": 0.31,
             "overall": GROUP,
             "expected": {"low": 0.84, "high": 0.96} | None,
                 # where the coverage of this many test rows would fall (beta-binomial; untied
                 # scores), given this many validation rows; None with several rows a subject
             "by_class": {CLASS: GROUP},           # by true class; not for regression
             "subgroups": {ATTRIBUTE: {VALUE: GROUP | {"suppressed": reason}}}}   # where declared

        and GROUP, where MEASURE is ``{"value", "low", "high"[, "method", "degenerate"]}``::

            {"n": 114, "subjects": 114,
             "coverage": MEASURE,
             # classes:
             "size": MEASURE,                      # average number of classes in a set
             "empty": MEASURE,                     # share of sets without a class
             "single": MEASURE,                    # … with exactly one
             "full": MEASURE,                      # … with all classes
             # regression:
             "width": 118.2,                       # of the interval, in the target's units
             # test rows whose prediction is not finite, if any:
             "left_out": 3}
    """
    coverage = rows.settings.coverage
    state = calibrate(rows.task, valid.y, valid.p, valid.subjects, coverage)
    return evaluate_conformal(rows, state)


def evaluate_conformal(rows: EvaluatedRows, state: dict[str, Any]) -> Conformal:
    """How the sets or intervals of a ``calibrate`` do on other rows; see ``conformal_of``."""
    found: Conformal = {
        "method": state["method"],
        "coverage": state["coverage"],
        "calibration": {"part": "valid", "n": state["n"], "subjects": state["subjects"]},
        "state": state,
        "note": _NOTE,
    }
    usable = np.isfinite(rows.p).all(axis=1) if len(rows) else np.zeros(0, bool)
    reason, kind = state.get("not_estimable"), methods_for(rows.task).conformal
    if reason is None and not usable.any():
        reason = "no test prediction is a finite number"
    if reason is not None or kind is None:
        return plain({**found, "not_estimable": reason})
    left_out = int((~usable).sum())
    rows = rows.take(usable)
    codes, settings = rows.codes, rows.settings
    groups = {} if rows.samples is None else divided(rows.samples, codes, settings)
    outputs = {}
    given = conformal_outcomes(rows.task, rows.y, rows.p)
    for (name, of), q in zip(given.items(), state["quantile"], strict=True):
        measures = kind.measures(q, of)

        def group(which: np.ndarray, of: dict[str, np.ndarray] = measures) -> dict[str, Any]:
            kept = {key: each[which] for key, each in of.items()}
            return _group(kept, codes[which], settings, rows.seed)

        overall = group(np.arange(len(rows)))
        if left_out:
            overall["left_out"] = left_out
        expected = _expected(state, len(rows), len(np.unique(codes)), settings.confidence)
        output = {"quantile": q, "overall": overall, "expected": expected}
        by_class = kind.by_class(of)
        if by_class is not None:
            output["by_class"] = {each: group(which) for each, which in by_class.items()}
        if settings.subgroups:
            output["subgroups"] = {
                attribute: {
                    value: {"suppressed": small} if small else group(which)
                    for value, (which, small) in of_attribute.items()
                }
                for attribute, of_attribute in groups.items()
            }
        outputs[name] = output
    return plain({**found, "outputs": outputs})


def _group(
    measures: dict[str, np.ndarray], codes: np.ndarray, settings: Evaluation, seed: int
) -> dict[str, Any]:
    """GROUP of ``conformal_of``."""
    codes = subject_codes(codes) if len(codes) else codes
    subjects = int(codes.max()) + 1 if len(codes) else 0
    described: dict[str, Any] = {"n": len(codes), "subjects": subjects}
    varying = [name for name in measures if name != "width"]
    if not subjects:
        absent = {"value": None, "low": None, "high": None}
        reason = {"not_estimable": "no such row in the test part"}
        return {**described, **dict.fromkeys(varying, absent), **reason}
    rows = np.bincount(codes)
    means = np.column_stack([np.bincount(codes, measures[name]) / rows for name in varying])

    def averaged(weights: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(varying, (weights @ means / subjects).T, strict=True))

    replicates = replicates_of(averaged, np.arange(subjects), None, settings.bootstrap, seed)
    for index, name in enumerate(varying):
        found: Estimate = {"value": means[:, index].mean()}
        if len(codes) == subjects and name != "size":
            found |= _exact(means[:, index], settings.confidence)
        else:
            found |= confidence_interval(replicates.get(name), settings.confidence)
            if found.get("degenerate") and name != "size" and found["value"] in (0.0, 1.0):
                # All rows of every subject alike: a subject counts once.
                del found["degenerate"]
                found |= _exact(means[:, index], settings.confidence)
        described[name] = found
    if "width" in measures:
        described["width"] = measures["width"][0]
    return described


def _exact(yes: np.ndarray, confidence: float) -> Bootstrapped:
    """Clopper and Pearson's interval of a share of independent subjects, Biometrika 26, 1934."""
    from scipy.stats import binomtest

    found = binomtest(int(yes.sum()), len(yes)).proportion_ci(confidence, "exact")
    return {"low": found.low, "high": found.high, "method": "clopper-pearson"}


def _expected(
    state: dict[str, Any], rows: int, subjects: int, confidence: float
) -> dict[str, float] | None:
    """Central range of the coverage of so many test rows, were everything exchangeable.

    Given n validation rows and a = ceil((n + 1) * coverage), the coverage of new rows follows
    Beta(a, n + 1 - a), and what is seen of it in m rows BetaBinomial(m, a, n + 1 - a)
    (Angelopoulos and Bates 2023, section 3.2).
    """
    if rows != subjects or state["n"] != state["subjects"]:
        return None
    from scipy.stats import betabinom

    a = math.ceil((state["n"] + 1) * state["coverage"] - _ROUNDING)
    tail = (1 - confidence) / 2
    low, high = betabinom(rows, a, state["n"] + 1 - a).ppf([tail, 1 - tail]) / rows
    return {"low": float(low), "high": float(high)}

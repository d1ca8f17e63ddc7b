"""Recalibration: probabilities corrected by what happened in the validation rows."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from medkit.core.errors import MedkitError
from medkit.evaluation.calibration.logistic import (
    EDGE,
    logits,
    weighted_intercept,
    weighted_logistic,
)
from medkit.evaluation.clusters import FEWEST, subjects_among, too_few_with
from medkit.evaluation.methods import methods_for
from medkit.evaluation.resampling.resampling import subject_codes
from medkit.tasks.task import Task

log = logging.getLogger("medkit")

State = dict[str, Any]
KINDS = ("none", "temperature", "platt", "isotonic", "intercept", "slope")

_MANY = 1000  # subjects from which a step function is worth its freedom


def fit_recalibration(
    kind: str, task: Task, y_valid: np.ndarray, p_valid: np.ndarray,
    subjects: np.ndarray | None = None,
) -> State:  # fmt: skip
    """Fit a recalibration on validation rows, which the network was not fitted on.

    - ``temperature``: one slope, p' = sigmoid(logit(p) / T), for exclusive classes
      softmax(log(p) / T), by maximum likelihood (Guo et al., On calibration of modern neural
      networks, ICML 2017). Keeps the order of the predictions and of the classes.
    - ``platt``: p' = sigmoid(slope * logit(p) + intercept), by maximum likelihood with Platt's
      targets (events + 1) / (events + 2) and 1 / (non-events + 2), which keep it finite (Platt,
      Probabilistic outputs for support vector machines, 1999).
    - ``isotonic``: the monotone step function nearest to what happened, by pool-adjacent-violators
      with lines between the steps (Zadrozny and Elkan, KDD 2002); drawn into
      [1 / (rows + 2), 1 - 1 / (rows + 2)], so that no prediction is ever certain.
    - ``intercept`` and ``slope``: for another hospital, recalibration in the large (p' =
      sigmoid(logit(p) + intercept)) and logistic recalibration (slope and intercept), by plain
      maximum likelihood (Steyerberg et al., Stat. Med. 23, 2004). For exclusive classes an
      intercept for each class, the first 0, and one slope, under the softmax.

    For multiclass, platt and isotonic are fitted to each class against the rest, then divided by
    their sum; for multilabel every label has its own fit, and labels that cannot be fitted keep
    their probabilities.

    Args:
        kind: none, temperature, platt, isotonic, intercept or slope.
        task: The fitted task.
        y_valid: (n, …) encoded targets.
        p_valid: (n, outputs) the network's outputs.
        subjects: (n,) subject of each row; None: every row is a subject of its own. At least 10
            subjects with each outcome are needed: many rows of one patient are one patient's.

    Returns:
        JSON: ``kind`` (none where nothing could be fitted), ``asked`` (the kind asked for),
        ``rows``, ``warning`` (text or null; logged too), and unless kind is none
        ``link`` (sigmoid, softmax or knots), ``renormalize``, the numbers (``slope`` and
        ``intercept`` (outputs,), or ``knots`` and ``values`` (outputs, points)), and ``note``
        (text or null; what to know of the fit).

    Raises:
        MedkitError: An unknown kind, or a task without probabilities.
    """
    if kind not in KINDS:
        raise MedkitError(
            f"no recalibration called '{kind}'", place="calibration", hint=f"Known: {KINDS}"
        )
    y, p = np.asarray(y_valid), np.asarray(p_valid, np.float64)
    p = p[:, None] if p.ndim == 1 else p
    state: State = {"kind": kind, "asked": kind, "rows": len(p)}
    if kind == "none":
        return {**state, "warning": None}
    if not task.probabilities:
        raise MedkitError(
            "there are no probabilities to recalibrate", place="calibration", hint="Remove it."
        )
    methods = methods_for(task)
    parts = methods.one_by_one(y, p)
    truth = np.column_stack([of.y for of in parts.values()]).astype(np.float64)
    names = [""] if methods.key is None else list(parts)
    codes = np.arange(len(p)) if subjects is None else subject_codes(subjects)
    finite = np.isfinite(p).all(axis=1)
    if not finite.all():
        reasons = [f"{(~finite).sum()} of {len(p)} predictions are not finite"]
        fitted = None
    elif methods.exclusive and kind in ("temperature", "intercept", "slope"):
        fitted, reasons = _softmax(kind, truth, p, names, codes)
    else:
        fitted, reasons = _each(kind, truth, p, names, codes, together=methods.exclusive)
    warning = None
    if reasons:
        kept = "there is none" if fitted is None else "these are kept as they are"
        warning = f"calibration: {kind} is not fitted ({'; '.join(reasons)}): {kept}"
        log.warning("%s", warning)
    if fitted is None:
        return {**state, "kind": "none", "warning": warning}
    note = None
    count = int(codes.max()) + 1
    if kind == "isotonic" and count < _MANY:
        note = (
            f"isotonic calibration on {count} subjects may overfit; platt has two parameters only"
        )
    return {**state, **fitted, "warning": warning, "note": note}


def recalibration_layer(state: Mapping[str, Any], name: str = "recalibration") -> Any:
    """The Keras layer that does what ``state`` says; None where there is nothing to do.

    Args:
        state: From ``fit_recalibration``.
        name: The layer's; a second one in the same model needs another.
    """
    if state["kind"] == "none":
        return None
    from medkit.layers.recalibration import Recalibration

    names = ("slope", "intercept", "knots", "values")
    parameters = {key: state[key] for key in names if key in state}
    points = len(state["knots"][0]) if "knots" in state else 2
    return Recalibration(state["link"], state["renormalize"], points, **parameters, name=name)


def apply_recalibration(state: Mapping[str, Any], p: np.ndarray) -> np.ndarray:
    """What the layer makes of outputs, in numpy: equal within 1e-6.

    Args:
        state: From ``fit_recalibration``.
        p: (n, outputs) probabilities; taken in single precision, as the model has them.

    Returns:
        (n, outputs) float64.
    """
    if state["kind"] == "none":
        return np.asarray(p, np.float64)
    from scipy.special import expit, softmax

    from medkit.layers.recalibration import LARGEST, LEAST_SHARE, SMALLEST

    p = np.asarray(p, np.float32).astype(np.float64)
    if state["link"] == "knots":
        lines = zip(p.T, state["knots"], state["values"], strict=True)
        found = np.stack([np.interp(of, knots, values) for of, knots, values in lines], axis=1)
    else:
        p = np.clip(p, SMALLEST, LARGEST)
        slope, intercept = np.asarray(state["slope"]), np.asarray(state["intercept"])
        if state["link"] == "softmax":
            return softmax(np.log(p) * slope + intercept, axis=1)
        found = expit((np.log(p) - np.log1p(-p)) * slope + intercept)
    if state["renormalize"]:
        found = np.maximum(found, LEAST_SHARE)
        found = found / found.sum(axis=1, keepdims=True)
    return found


# Each output for itself


def _each(
    kind: str,
    truth: np.ndarray,
    p: np.ndarray,
    names: list[str],
    codes: np.ndarray,
    together: bool,
) -> tuple[State | None, list[str]]:
    """The fit of every output, and why some could not be fitted (those stay as they are)."""
    found, reasons = [], []
    for name, y, of in zip(names, truth.T, p.T, strict=True):
        fitted, reason = _one(kind, y.astype(np.float64), of, codes)
        found.append(fitted)
        if reason:
            reasons.append(f"{name}: {reason}" if name else reason)
    if all(each is None for each in found):
        return None, reasons
    state: State = {"renormalize": together}
    if kind == "isotonic":
        lines = [([0.0, 1.0], [0.0, 1.0]) if each is None else each for each in found]
        points = max(len(knots) for knots, _ in lines)
        padded = [[_padded(of, points) for of in line] for line in lines]
        state.update(link="knots", knots=[k for k, _ in padded], values=[v for _, v in padded])
    else:
        pairs = [(0.0, 1.0) if each is None else each for each in found]
        state.update(link="sigmoid", slope=[b for _, b in pairs], intercept=[a for a, _ in pairs])
    return state, reasons


def _padded(values: list[float], points: int) -> list[float]:
    return [*values, *[values[-1]] * (points - len(values))]


def _one(
    kind: str, y: np.ndarray, p: np.ndarray, codes: np.ndarray
) -> tuple[Any, str | None]:  # fmt: skip
    """(intercept, slope), or (knots, values), of one output; or None and the reason."""
    events, others = int(y.sum()), int((1 - y).sum())
    with_events, without = (subjects_among(codes, y == each) for each in (1, 0))
    if min(with_events, without) < FEWEST:
        what = "events" if with_events <= without else "non-events"
        return None, f"{too_few_with(min(with_events, without), what)} in validation"
    x = logits(p)
    if kind == "intercept":
        return (float(weighted_intercept(x, y, np.ones(len(y)))[0]), 1.0), None
    if np.ptp(x) == 0:
        return None, "all predictions are equal"
    if kind == "isotonic":
        return _isotonic(y, p)
    if kind == "temperature":
        slope, reason = _temperature(np.stack([-x / 2, x / 2], axis=1), y.astype(int))
        return (None if slope is None else (0.0, slope)), reason
    if kind == "platt":
        # Platt's targets: each row is partly an event and partly none.
        target = np.where(y == 1, (events + 1) / (events + 2), 1 / (others + 2))
        doubled, outcome = np.r_[x, x], np.r_[np.ones(len(y)), np.zeros(len(y))]
        fit = weighted_logistic(doubled, outcome, np.r_[target, 1 - target])[0]
    else:
        fit = weighted_logistic(x, y, np.ones(len(y)))[0]
    if not np.isfinite(fit).all():
        return None, "the predictions separate the classes: no finite slope exists"
    if fit[1] <= 0:
        return None, "the predictions do not rise with the outcome"
    return (float(fit[0]), float(fit[1])), None


def _isotonic(y: np.ndarray, p: np.ndarray) -> tuple[Any, str | None]:
    from sklearn.isotonic import IsotonicRegression

    # Knots in single precision, as the layer has them.
    fit = IsotonicRegression().fit(p.astype(np.float32).astype(np.float64), y)
    if np.ptp(fit.y_thresholds_) == 0:
        return None, "the predictions do not rise with the outcome"
    edge = 1 / (len(y) + 2)
    values = np.clip(fit.y_thresholds_, edge, 1 - edge)
    return (fit.X_thresholds_.tolist(), values.tolist()), None


# All classes under one softmax


def _softmax(
    kind: str, truth: np.ndarray, p: np.ndarray, names: list[str], codes: np.ndarray
) -> tuple[State | None, list[str]]:
    counts = np.array([subjects_among(codes, of == 1) for of in truth.T])
    x = np.log(np.clip(p, EDGE, None))
    width = p.shape[1]
    if kind == "temperature":
        common = truth[:, truth.sum(axis=0).argmax()] == 1
        others = subjects_among(codes, ~common)
        if others < FEWEST:
            return None, [too_few_with(others, "another class than the commonest")]
        slope, reason = _temperature(x, truth.argmax(axis=1))
        if slope is None:
            return None, [str(reason)]
        state = {"slope": [slope] * width, "intercept": [0.0] * width}
    else:
        rare = [name for name, count in zip(names, counts, strict=True) if count < FEWEST]
        if rare:
            return None, [f"fewer than {FEWEST} subjects with {', '.join(rare[:6])}"]
        fitted = _multinomial(kind, truth, x)
        if fitted is None:
            return None, ["no finite estimate exists, or the predictions do not rise with it"]
        state = {"slope": [fitted[0]] * width, "intercept": fitted[1]}
    return {"link": "softmax", "renormalize": False, **state}, []


def _temperature(x: np.ndarray, y: np.ndarray) -> tuple[float | None, str | None]:
    """The slope 1 / T of softmax(slope * x), or why there is none.

    Args:
        x: (n, classes) logits or log probabilities.
        y: (n,) class numbers.
    """
    from scipy.optimize import brentq
    from scipy.special import softmax

    happened = x[np.arange(len(y)), y]

    def gradient(slope: float) -> float:  # of the log likelihood: falls with the slope
        return float((happened - (softmax(slope * x, axis=1) * x).sum(axis=1)).sum())

    if gradient(0.0) <= 0:
        return None, "the predictions do not rise with the outcome"
    if (happened >= x.max(axis=1)).all():
        return None, "every validation row is predicted right: no finite temperature exists"
    high = 1.0
    while gradient(high) > 0:
        high *= 2
    return float(brentq(gradient, 0.0, high, xtol=1e-12)), None


def _multinomial(kind: str, truth: np.ndarray, x: np.ndarray) -> tuple[float, list[float]] | None:
    """Slope and intercepts (first 0) of softmax(slope * x + intercept), by maximum likelihood."""
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    with_slope = kind == "slope"

    def split(theta: np.ndarray) -> tuple[float, np.ndarray]:
        intercepts = np.r_[0.0, theta[1:] if with_slope else theta]
        return (float(theta[0]) if with_slope else 1.0), intercepts

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        slope, intercepts = split(theta)
        logs = log_softmax(slope * x + intercepts, axis=1)
        gap = (np.exp(logs) - truth) / len(x)
        steep = [(gap * x).sum()] if with_slope else []
        return -(truth * logs).sum() / len(x), np.r_[steep, gap.sum(axis=0)[1:]]

    start = np.r_[[1.0] if with_slope else [], np.zeros(x.shape[1] - 1)]
    fit = minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-8})
    slope, intercepts = split(fit.x)
    if np.abs(fit.jac).max() > 1e-5 or np.abs(fit.x).max() > 100 or slope <= 0:
        return None
    return slope, intercepts.tolist()

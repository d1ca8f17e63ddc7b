"""Were the training rows enough? Minimum sample sizes by Riley et al., events per parameter.

``sample_size`` returns, as JSON has it::

    {"n", "rows", "outcome", "events", "parameters", "events_per_parameter", "weights",
     "assumptions": [{"basis", "r2", "nagelkerke_r2", "needed", "met",
                      "criteria": [{"name", "needed", "met"}]}],
     "not_estimable"?: reason}

All of them count subjects, since the rows of one patient are not independent: ``n`` those with
training rows, ``events`` those with the rarer of the two outcomes (None for regression, where
``events_per_parameter`` is subjects per parameter); ``rows`` are the rows. ``r2`` is Cox and
Snell's for a class and the adjusted R² for a number. What cannot be computed has ``needed`` and
``met`` None and a ``note``: of a model that explains nothing on test, no size is known to suffice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from medkit.evaluation.clusters import subjects_among
from medkit.evaluation.methods import methods_for
from medkit.evaluation.resampling.resampling import subject_codes
from medkit.evaluation.results import SampleSize
from medkit.tasks.outcomes import Outcome
from medkit.tasks.task import Task

Parts = dict[str, Outcome]

_SHRINKAGE = 0.9
_OPTIMISM = 0.05  # in Nagelkerke's R², or in the adjusted R²
_MARGIN = 0.05  # of the overall risk
_MEAN_ERROR = 0.05  # of the predicted probabilities
_MEAN_MARGIN = 1.1  # multiplicative, of a mean
_USUAL_NAGELKERKE = 0.15
_MOST_FOR_MEAN_ERROR = 30  # parameters the formula was fitted on
_Z = 1.959963984540054
_MOST = 10**9
_REACHED = "R² of the network on the test part"


def sample_size(
    task: Task,
    y: np.ndarray,
    columns: Sequence[str],
    test: tuple[np.ndarray, np.ndarray] | None = None,
    weights: int | None = None,
    subjects: np.ndarray | None = None,
) -> SampleSize:
    """Whether a regression on the same candidate predictors would have had enough patients.

    The criteria are made for regression models; a network has far more to learn, so that what is
    too little for a regression is too little for a network, while enough for a regression need
    not be. Riley et al., Calculating the sample size required for developing a clinical
    prediction model, BMJ 2020;368:m441. For several classes or labels, the one with the fewest
    events is taken, against all others.

    Args:
        task: The fitted task.
        y: (n, …) encoded training targets.
        columns: Names of the summary features; of the columns ``name = value`` of one category
            all but one count as parameters.
        test: Test targets and outputs, for the R² that was reached there.
        weights: Trainable weights of the network.
        subjects: (n,) subject of each training row; None: every row is a subject of its own.

    Returns:
        See the module.
    """
    y = np.asarray(y)
    codes = np.arange(len(y)) if subjects is None else subject_codes(subjects)
    parameters = candidate_parameters(columns)
    facts: SampleSize = {
        "n": len(np.unique(codes)), "rows": len(y), "parameters": parameters, "weights": weights,
        "assumptions": [],
    }  # fmt: skip
    if parameters == 0:
        return {**facts, "not_estimable": "no candidate predictors are named"}
    of = {"yes_no": _of_class, "number": _of_number}
    parts = methods_for(task).one_by_one(y)
    if not parts:
        return {**facts, "not_estimable": f"no criterion for task {task.kind}"}
    tested = (
        None
        if test is None
        else methods_for(task).one_by_one(np.asarray(test[0]), np.asarray(test[1]))
    )
    return of[next(iter(parts.values())).kind](facts, parts, codes, tested)


def candidate_parameters(columns: Sequence[str]) -> int:
    """Coefficients a regression on these columns would have, without the intercept."""
    groups: dict[str, int] = {}
    single = 0
    for column in map(str, columns):
        name, equals, _ = column.rpartition(" = ")
        if equals:
            groups[name] = groups.get(name, 0) + 1
        else:
            single += 1
    return single + sum(max(size - 1, 1) for size in groups.values())


def binary_criteria(parameters: int, prevalence: float, r2: float) -> list[dict[str, Any]]:
    """Patients needed by each criterion for a binary outcome.

    With P parameters, prevalence φ and Cox and Snell's R²:

    - overall risk within ±0.05: ``n = (1.96 / 0.05)² φ (1 − φ)``
    - mean absolute error of the probabilities at most 0.05 (van Smeden et al. 2019), P ≤ 30:
      ``n = exp((−0.508 + 0.259 ln φ + 0.504 ln P − ln 0.05) / 0.544)``
    - shrinkage S ≥ 0.9: ``n = P / ((S − 1) ln(1 − R² / S))``
    - optimism in Nagelkerke's R² at most 0.05: the same with ``S = R² / (R² + 0.05 max R²)``,
      ``max R² = 1 − (φ^φ (1 − φ)^(1 − φ))²``

    Riley et al., BMJ 2020;368:m441; Riley et al., Statistics in Medicine 2019;38:1276–96.

    Args:
        parameters: P.
        prevalence: φ; of an outcome above one half its complement gives the same.
        r2: Anticipated Cox-Snell R², above 0.
    """
    rarer = min(prevalence, 1 - prevalence)
    shrunk_so = r2 / (r2 + _OPTIMISM * largest_r2(prevalence))
    mean_error = _criterion("mean error of the probabilities at most 0.05", None)
    if parameters <= _MOST_FOR_MEAN_ERROR:
        exponent = -0.508 + 0.259 * math.log(rarer) + 0.504 * math.log(parameters)
        mean_error["needed"] = _up(math.exp((exponent - math.log(_MEAN_ERROR)) / 0.544))
    else:
        mean_error["note"] = f"its formula holds up to {_MOST_FOR_MEAN_ERROR} parameters"
    return [
        _criterion(
            "overall risk within ±0.05", (_Z / _MARGIN) ** 2 * prevalence * (1 - prevalence)
        ),
        mean_error,
        _criterion("shrinkage of at least 0.9", _for_shrinkage(parameters, r2, _SHRINKAGE)),
        _criterion(
            "optimism in Nagelkerke's R² at most 0.05", _for_shrinkage(parameters, r2, shrunk_so)
        ),
    ]


def continuous_criteria(
    parameters: int, r2: float, mean: float, deviation: float
) -> list[dict[str, Any]]:
    """Patients needed by each criterion for a measured number.

    With P parameters and the adjusted R²:

    - shrinkage ≥ 0.9: the smallest n with
      ``1 + (P − 2) / (n ln(1 − (R² (n − P − 1) + P) / (n − 1))) ≥ 0.9``
    - optimism in R² at most 0.05: ``n = 1 + P (1 − R²) / 0.05``
    - residual standard deviation within 10 %: ``n = 234 + P``
    - mean within 10 %: the smallest n at which the upper 95 % bound is at most 1.1 times it

    Riley et al., Statistics in Medicine 2019;38:1262–75; BMJ 2020;368:m441.

    Args:
        parameters: P.
        r2: Anticipated adjusted R², between 0 and 1.
        mean, deviation: Of the outcome; a mean near 0 leaves the last criterion without sense.
    """
    least = parameters + 2

    def shrinkage(n: int) -> float:
        apparent = (r2 * (n - parameters - 1) + parameters) / (n - 1)
        return 1 + (parameters - 2) / (n * math.log(1 - apparent))

    def precise(n: int) -> bool:
        from scipy.stats import t

        error = math.sqrt(deviation**2 * (1 - r2) / n)
        margin = float(t.ppf(0.975, n - parameters - 1)) * error
        return (abs(mean) + margin) / abs(mean) <= _MEAN_MARGIN

    of_mean = _criterion("mean within 10 %", None)
    if abs(mean) > 0.1 * deviation:
        of_mean["needed"] = _smallest(precise, least)
    else:
        of_mean["note"] = "the mean is too near 0 for a relative margin"
    return [
        _criterion(
            "shrinkage of at least 0.9",
            _smallest(lambda n: shrinkage(n) >= _SHRINKAGE, least + 1),
        ),
        _criterion("optimism in R² at most 0.05", 1 + parameters * (1 - r2) / _OPTIMISM),
        _criterion("residual standard deviation within 10 %", 234 + parameters),
        of_mean,
    ]


def largest_r2(prevalence: float) -> float:
    """The most that Cox and Snell's R² can be: ``1 − (φ^φ (1 − φ)^(1 − φ))²``."""
    return 1 - math.exp(-2 * _entropy(prevalence))


def cox_snell_r2(y: np.ndarray, p: np.ndarray) -> float | None:
    """``1 − exp(2 (ln L₀ − ln L) / n)`` of (n,) outcomes and probabilities; None with one class.

    Cox and Snell, Analysis of Binary Data, 1989. ``L₀`` is the likelihood of the outcome's share
    among these rows.
    """
    share = float(np.mean(y))
    if not 0 < share < 1 or not np.isfinite(p).all():
        return None
    p = np.clip(p, 1e-7, 1 - 1e-7)
    log_loss = -float(np.mean(np.where(y == 1, np.log(p), np.log1p(-p))))
    return 1 - math.exp(-2 * (_entropy(share) - log_loss))


def _of_class(
    facts: SampleSize, parts: Parts, codes: np.ndarray, test: Parts | None
) -> SampleSize:  # fmt: skip
    parameters = facts["parameters"]
    yes, names = np.column_stack([of.y for of in parts.values()]).astype(float), list(parts)
    events = [min(subjects_among(codes, of == each) for each in (0, 1)) for of in yes.T]
    rarest = int(np.argmin(events))
    fewest = int(events[rarest])
    found: SampleSize = {
        **facts, "outcome": names[rarest], "events": fewest,
        "events_per_parameter": fewest / parameters,
    }  # fmt: skip
    if fewest == 0:
        return {**found, "not_estimable": "one class only among the training rows"}
    prevalence = float(yes[:, rarest].mean())
    most = largest_r2(prevalence)
    bases = [
        ("Nagelkerke's R² of 0.15, what its authors advise where nothing is known",
         _USUAL_NAGELKERKE * most)
    ]  # fmt: skip
    if test is not None:
        of = test[names[rarest]]
        reached = cox_snell_r2(np.asarray(of.y, float), np.asarray(of.p, float))
        if reached is not None:
            bases.append((_REACHED, min(reached, 0.99 * most)))
    for basis, r2 in bases:
        if r2 > 0:
            described = _described(basis, r2, binary_criteria(parameters, prevalence, r2), facts)
        else:
            described = {
                "basis": basis, "r2": r2, "needed": None, "met": None, "criteria": [],
                "note": f"not estimable: Cox and Snell's R² on the test part is {r2:.2g}, no "
                "better than the outcome's share, and no sample size is known to suffice for that",
            }  # fmt: skip
        found["assumptions"].append({**described, "nagelkerke_r2": r2 / most})
    return found


def _of_number(
    facts: SampleSize, parts: Parts, codes: np.ndarray, test: Parts | None
) -> SampleSize:  # fmt: skip
    parameters = facts["parameters"]
    values, names = np.column_stack([of.y for of in parts.values()]).astype(float), list(parts)
    found: SampleSize = {
        **facts, "outcome": names[0], "events": None,
        "events_per_parameter": facts["n"] / parameters,
    }  # fmt: skip
    if test is None:
        return {**found, "not_estimable": "no test part to take an R² from"}
    observed = np.column_stack([of.y for of in test.values()]).astype(float)
    errors = observed - np.column_stack([of.p for of in test.values()])
    with np.errstate(divide="ignore", invalid="ignore"):
        reached = 1 - (errors**2).mean(axis=0) / observed.var(axis=0)
    if not np.isfinite(reached).any():
        return {**found, "not_estimable": "the R² on the test part is undefined"}
    hardest = int(np.nanargmin(np.where(np.isfinite(reached), reached, np.nan)))
    found["outcome"], r2 = names[hardest], float(reached[hardest])
    if not 0 < r2 < 1:
        return {**found, "not_estimable": f"the R² on the test part is {r2:.2g}: no criterion "
                "can be computed for a model that explains nothing, or everything"}  # fmt: skip
    target = values[:, hardest]
    criteria = continuous_criteria(parameters, r2, float(target.mean()), float(target.std(ddof=1)))
    found["assumptions"] = [
        {**_described(_REACHED, r2, criteria, facts),
         "nagelkerke_r2": None}
    ]  # fmt: skip
    return found


def _described(
    basis: str, r2: float, criteria: list[dict[str, Any]], facts: SampleSize
) -> dict[str, Any]:
    n = facts["n"]
    for each in criteria:
        each["met"] = None if each["needed"] is None else n >= each["needed"]
    needed = max(each["needed"] for each in criteria if each["needed"] is not None)
    return {"basis": basis, "r2": r2, "needed": needed, "met": n >= needed, "criteria": criteria}


def _criterion(name: str, needed: float | None) -> dict[str, Any]:
    return {"name": name, "needed": None if needed is None else _up(needed)}


def _for_shrinkage(parameters: int, r2: float, shrinkage: float) -> float:
    return parameters / ((shrinkage - 1) * math.log(1 - min(r2 / shrinkage, 1 - 1e-9)))


def _entropy(share: float) -> float:
    return -(share * math.log(share) + (1 - share) * math.log(1 - share))


def _up(value: float) -> int:
    return math.ceil(value - 1e-9)


def _smallest(holds: Any, least: int) -> int | None:
    """The smallest whole number from ``least`` at which a condition holds, once and for all."""
    high = least
    while not holds(high):
        high *= 2
        if high > _MOST:
            return None
    low = least
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return high

"""Synthetic visits with vital signs: systolic blood pressure, or the risk of deterioration."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field

from medkit.core.lazy import pd
from medkit.core.registry import datasets
from medkit.data.cohort import Cohort, Feature, RawInput
from medkit.datasets.synthetic.shared import (
    admission_times,
    binary_scores,
    draw_people,
    drawn_cohort,
    sigmoid,
)

Target = Literal["risk", "systolic_pressure"]

# name, unit, plausible range, mean, change per 15 years of age, effect of severity (1 SD),
# own standard deviation, digits recorded
VITALS = (
    ("heart_rate", "bpm", 20, 250, 80.0, -1.0, 9.0, 9.0, 0),
    ("respiratory_rate", "/min", 4, 60, 17.0, 0.3, 2.6, 2.0, 0),
    ("temperature", "°C", 30, 43, 37.0, -0.05, 0.5, 0.4, 1),
    ("oxygen_saturation", "%", 50, 100, 95.5, -0.6, -1.3, 1.2, 0),
    ("bmi", "kg/m²", 12, 70, 27.0, 0.2, 0.0, 4.4, 1),
)
HEART, BREATHS, TEMPERATURE, OXYGEN, BMI = range(5)
MEAN, PER_15_YEARS, LOADING, OWN = (np.array([v[k] for v in VITALS], float) for k in (4, 5, 6, 7))
FEATURES = (
    Feature("age", "numeric", "years", 18, 110),
    *(Feature(name, "numeric", unit, low, high) for name, unit, low, high, *_ in VITALS),
    Feature("sex", "categorical"),
)
INPUTS: dict[str, tuple[str, ...]] = {
    "risk": tuple(feature.name for feature in FEATURES),
    "systolic_pressure": ("age", "heart_rate", "respiratory_rate", "temperature", "bmi"),
}
LABELS = {
    "risk": "1 if the patient deteriorates within 24 hours of the visit",
    "systolic_pressure": "systolic blood pressure at the visit, in mmHg",
}
PATIENT_SPREAD, VISIT_SPREAD = 5.0, 6.0  # mmHg that no input explains


class _Draw(NamedTuple):
    frame: pd.DataFrame
    age: np.ndarray
    male: np.ndarray
    complete: np.ndarray
    vitals: np.ndarray
    targets: np.ndarray


@datasets.register(
    yields="tabular",
    targets={"risk": ("yes_no", "class"), "systolic_pressure": ("number",)},
    embedded=True,
    reader="table",
)
def synthetic_vitals(
    *,
    samples: Annotated[int, Field(ge=20, le=1_000_000)] = 2000,
    seed: Annotated[int, Field(ge=0)] = 0,
    target: Target = "risk",
) -> Cohort:
    """Synthetic visits: vital signs to the risk of deterioration, or to systolic blood pressure.

    Heart rate (bpm), respiratory rate (/min), temperature (°C), oxygen saturation (%), body mass
    index (kg/m²), age (years) and sex. A latent severity of illness, partly the patient's own,
    moves them together: fast heart and breathing, fever, low saturation. Risk rises with them
    and with both fever and low temperature. Pressure rises with age and body mass, and falls
    with fever and fast breathing; its inputs are the five numbers ``age``, ``heart_rate``,
    ``respiratory_rate``, ``temperature`` and ``bmi``.

    Temperature and saturation are measured more often, and body mass less often, the faster
    heart and breathing are; hospitals differ in how much they record. Patients have one visit
    or several (``subject``); attributes are ``time``, ``site``, ``sex`` and ``age_band``.

    Best reachable, by the true expectation given what was measured (`best_score`):
    AUROC 0.87 and AUPRC 0.61 for risk, R² 0.58 and RMSE 8.61 mmHg for systolic_pressure.

    Args:
        samples: Number of visits.
        seed: Seed of the random numbers; the same seed gives the same visits.
        target: What to predict: risk (0 or 1) or systolic_pressure (mmHg).

    Returns:
        A cohort with one ``tabular`` input; NaN where not measured.
    """
    drawn = _draw(samples, seed, target)
    columns = {"age": drawn.age, **{v[0]: drawn.vitals[:, k] for k, v in enumerate(VITALS)}}
    table = pd.DataFrame(columns, index=drawn.frame.index).assign(sex=drawn.frame["sex"])
    kept = tuple(feature for feature in FEATURES if feature.name in INPUTS[target])
    inputs = {"tabular": RawInput("tabular", table[[each.name for each in kept]], kept)}
    return drawn_cohort(drawn.frame, inputs, drawn.targets, (target,), LABELS[target], seed)


def best_score(
    *, samples: int = 20_000, seed: int = 0, target: Target = "risk"
) -> dict[str, float]:
    """The score of the true expectation given the measured inputs: nothing can do better.

    With the same ``samples`` and ``seed`` it is that of the very cohort `synthetic_vitals`
    draws; with the defaults it is what its docstring states.

    Returns:
        ``auroc``, ``auprc``, ``brier`` and ``log_loss`` for risk; ``r2``, ``rmse`` and ``mae``
        (mmHg) for systolic_pressure.
    """
    drawn = _draw(samples, seed, target)
    expected = _expected(drawn, target)
    if target == "risk":
        return binary_scores(drawn.targets, expected)
    error = drawn.targets - expected
    return {
        "r2": float(1 - np.mean(error**2) / np.var(drawn.targets)),
        "rmse": float(np.sqrt(np.mean(error**2))),
        "mae": float(np.mean(np.abs(error))),
    }


def _draw(samples: int, seed: int, target: str) -> _Draw:
    random = np.random.default_rng(seed)
    people = draw_people(random, samples, again=0.35)
    subject = people.of_sample
    time = admission_times(random, subject)
    first = np.searchsorted(subject, np.arange(len(people.age)))
    years = (time - time[first][subject]) / np.timedelta64(365, "D")
    age = np.floor(people.age[subject] + years)
    male = (people.sex[subject] == "male").astype(float)

    severity = np.sqrt(0.3) * random.normal(size=len(people.age))[subject]
    severity += np.sqrt(0.7) * random.normal(size=samples)
    own = random.normal(size=(samples, len(VITALS)))
    own[:, BMI] = random.normal(size=len(people.age))[subject]
    exact = _mean(age) + severity[:, None] * LOADING + own * OWN
    digits = [vital[8] for vital in VITALS]
    lows, highs = ([vital[k] for vital in VITALS] for k in (2, 3))
    complete = np.stack([np.round(exact[:, k], d) for k, d in enumerate(digits)], axis=1)
    complete = np.clip(complete, lows, highs)

    measured = random.random(complete.shape) < _measured(complete, people.site[subject])
    # Both targets are drawn, so that the inputs are the same whichever is asked for.
    patient = PATIENT_SPREAD * random.normal(size=len(people.age))[subject]
    pressure = _pressure(age, male, complete) + patient + VISIT_SPREAD * random.normal(size=samples)
    risk = (random.random(samples) < _risk(age, male, complete)).astype(np.int64)
    targets = risk if target == "risk" else np.round(pressure, 1)
    vitals = np.where(measured, complete, np.nan)
    return _Draw(people.frame("V", time, age), age, male, complete, vitals, targets)


def _mean(age: np.ndarray) -> np.ndarray:
    return MEAN + PER_15_YEARS * ((age - 60) / 15)[:, None]


def _measured(vitals: np.ndarray, site: np.ndarray) -> np.ndarray:
    """Chance that each vital sign is recorded.

    It depends on what is always recorded (heart rate, breathing), and on the hospital, which
    has nothing to do with the illness: a gap says nothing that the recorded values do not.
    """
    alarm = ((vitals[:, HEART] - 80) / 13 + (vitals[:, BREATHS] - 17) / 3.3) / 2
    habit = np.array([-0.4, 0.0, 0.4])[site]
    chance = np.ones_like(vitals)
    chance[:, TEMPERATURE] = sigmoid(1.3 + 0.9 * alarm + habit)
    chance[:, OXYGEN] = sigmoid(1.0 + 1.2 * alarm + habit)
    chance[:, BMI] = sigmoid(0.9 - 0.5 * alarm + habit)
    return chance


def _pressure(age: np.ndarray, male: np.ndarray, vitals: np.ndarray) -> np.ndarray:
    """Expected systolic pressure in mmHg; arrays (..., ) and vitals (..., 5)."""
    fever = np.maximum(vitals[..., TEMPERATURE] - 38.0, 0)
    fast = np.maximum(vitals[..., BREATHS] - 20.0, 0)
    return (
        127.0
        + 8.0 * (age - 60) / 15
        + 4.0 * male
        + 0.25 * (vitals[..., HEART] - 80)
        + 1.2 * (vitals[..., BMI] - 27)
        - 9.0 * fever
        - 1.8 * fast
    )


def _risk(age: np.ndarray, male: np.ndarray, vitals: np.ndarray) -> np.ndarray:
    """Chance of deterioration; arrays (..., ) and vitals (..., 5)."""
    return sigmoid(
        -3.2
        + 0.55 * (age - 60) / 15
        + 0.3 * male
        + 0.045 * (vitals[..., HEART] - 80)
        + 0.18 * (vitals[..., BREATHS] - 17)
        + 0.40 * (95.5 - vitals[..., OXYGEN])
        + 0.55 * (vitals[..., TEMPERATURE] - 37.0) ** 2
        + 0.03 * np.abs(vitals[..., BMI] - 25)
    )


def _expected(drawn: _Draw, target: str) -> np.ndarray:
    """E[target | inputs]: missing values are integrated out of the joint normal distribution."""
    used = [k for k, vital in enumerate(VITALS) if vital[0] in INPUTS[target]]
    covariance = np.outer(LOADING, LOADING) + np.diag(OWN**2)
    mean = _mean(drawn.age)
    expected = np.empty(len(drawn.age))
    gaps = np.isnan(drawn.vitals)
    gaps[:, [k for k in range(len(VITALS)) if k not in used]] = False
    patterns, pattern = np.unique(gaps, axis=0, return_inverse=True)
    for number, gap in enumerate(patterns):
        rows = np.flatnonzero(pattern.ravel() == number)
        seen = np.array([k for k in used if not gap[k]])
        unseen = np.flatnonzero(gap)
        steps, weights = _normal_nodes(len(unseen))
        gain = covariance[np.ix_(unseen, seen)] @ np.linalg.inv(covariance[np.ix_(seen, seen)])
        spread = covariance[np.ix_(unseen, unseen)] - gain @ covariance[np.ix_(seen, unseen)]
        center = mean[rows][:, unseen] + (drawn.vitals - mean)[rows][:, seen] @ gain.T
        vitals = np.repeat(drawn.complete[rows][:, None], len(steps), axis=1)
        vitals[:, :, unseen] = center[:, None] + steps @ np.linalg.cholesky(spread).T
        age, male = drawn.age[rows][:, None], drawn.male[rows][:, None]
        if target == "risk":
            expected[rows] = _risk(age, male, vitals) @ weights
        else:  # sex is no input here: half of the patients are men
            expected[rows] = _pressure(age, np.array(0.5), vitals) @ weights
    return expected


def _normal_nodes(dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Hermite nodes (nodes, dimensions) and weights of standard normal variables."""
    points, weights = np.polynomial.hermite_e.hermegauss(9)
    if not dimensions:
        return np.zeros((1, 0)), np.ones(1)
    grid = np.stack(np.meshgrid(*[points] * dimensions, indexing="ij"), -1).reshape(-1, dimensions)
    joint = np.stack(np.meshgrid(*[weights / weights.sum()] * dimensions, indexing="ij"), -1)
    return grid, joint.reshape(-1, dimensions).prod(axis=1)

"""Synthetic intensive-care stays: irregular vital signs and blood values to deterioration."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field

from medkit.core.lazy import pd
from medkit.core.registry import datasets
from medkit.data.cohort import Cohort, Feature, RawInput
from medkit.datasets.events.triplets import YIELDS_BY, Form, of_grid
from medkit.datasets.synthetic.shared import (
    Channels,
    admission_times,
    binary_scores,
    draw_people,
    drawn_cohort,
    sigmoid,
)

# The effect is that of severity (1 SD).
CHANNELS = Channels(
    ("heart_rate", "bpm", 20, 250, 85.0, 8.0, 9.0, 5.0, 0.85, 0, False),
    ("respiratory_rate", "/min", 2, 70, 18.0, 2.2, 2.0, 2.0, 0.75, 0, False),
    ("mean_arterial_pressure", "mmHg", 20, 180, 80.0, -6.0, 7.0, 5.0, 0.80, 0, False),
    ("oxygen_saturation", "%", 50, 100, 95.5, -0.7, 0.9, 0.8, 0.85, 0, False),
    ("temperature", "°C", 30, 43, 37.1, 0.25, 0.35, 0.25, 0.30, 1, False),
    ("lactate", "mmol/L", 0.2, 30, np.log(1.6), 0.25, 0.25, 0.12, 0.08, 1, True),
    ("creatinine", "mg/dL", 0.1, 20, np.log(1.0), 0.12, 0.35, 0.05, 0.05, 2, True),
)
HEART, PRESSURE = 0, 2
STATIC = {"age": Feature("age", unit="years"), "sex": Feature("sex", "categorical")}

# Severity of a stay: level + trend × time, time from 0 to 1; normal, the mean by label.
SEVERITY_MEAN = np.array([[0.0, -0.2], [0.3, 1.3]])
SEVERITY_SPREAD = np.array([1.0, 0.8])
CONCERN = 0.15  # what the staff sense and do not write down, on the log-odds of measuring
PREVALENCE = 0.22


class _Draw(NamedTuple):
    frame: pd.DataFrame
    static: pd.DataFrame
    values: np.ndarray
    chances: np.ndarray
    targets: np.ndarray


@datasets.register(
    yields="series",
    yields_by=YIELDS_BY,
    yields_beside={"static": "tabular"},
    targets=("yes_no", "class"),
    embedded=True,
    reader="events",
    shared={"hours": "window.hours", "form": "form"},
)
def synthetic_icu(
    *,
    samples: Annotated[int, Field(ge=20, le=200_000)] = 1000,
    seed: Annotated[int, Field(ge=0)] = 0,
    hours: Annotated[int, Field(ge=4, le=168)] = 24,
    static: tuple[Literal["age", "sex"], ...] = (),
    form: Form = "grid",
) -> Cohort:
    """Synthetic intensive-care stays: irregular measurements on an hourly grid to deterioration.

    Heart rate (bpm), respiratory rate (/min), mean arterial pressure (mmHg), oxygen saturation
    (%), temperature (°C), lactate (mmol/L) and creatinine (mg/dL). A latent severity starts
    somewhere and drifts: in stays that deteriorate it rises (heart rate and lactate up, arterial
    pressure down), in others it falls a little. Patients differ more in their usual values than
    hours do, so the trend tells more than the level.

    Everything is measured at admission; later vital signs often, blood values rarely. All are
    measured more often when the last heart rate was high and the last pressure low, and in
    stays that will deteriorate: the gaps carry information. A patient (``subject``) has one stay
    or several; attributes are ``time`` (admission), ``site``, ``sex`` and ``age_band``.

    Best reachable, by the true probability given values and gaps (`best_score`, 24 hours):
    AUROC 0.92 and AUPRC 0.78.

    Args:
        samples: Number of stays.
        seed: Seed of the random numbers; the same seed gives the same stays.
        hours: Length of a stay's window in hours; one time step an hour.
        static: What is given beside the series: age (years), sex. They say nothing of the
            outcome here.
        form: grid: a time series of one step an hour; triplets: each measurement with its hour.

    Returns:
        A cohort with a ``series`` input: float32 (samples, hours, 7), NaN where not measured;
        or ``triplets``: float32 (samples, most, 3), hour, variable and value, NaN at the end;
        and with the ``tabular`` input ``static``, where static features are asked for.
    """
    drawn = _draw(samples, seed, hours)
    inputs = {"series": RawInput("series", drawn.values, CHANNELS.features)}
    if form == "triplets":
        inputs = {form: RawInput(form, of_grid(drawn.values), CHANNELS.features)}
    if static:
        kinds = tuple(STATIC[name] for name in static)
        inputs["static"] = RawInput("tabular", drawn.static[list(static)], kinds)
    label = f"1 if the patient deteriorates in the day after the first {hours} hours"
    return drawn_cohort(drawn.frame, inputs, drawn.targets, ("deterioration",), label, seed)


def best_score(*, samples: int = 10_000, seed: int = 0, hours: int = 24) -> dict[str, float]:
    """The score of the true probability given all values and gaps: nothing can do better.

    Given the label the measurements are jointly normal (blood values in logarithms), and the
    chance of measuring depends on earlier measurements and the label alone, so that the
    likelihood ratio is exact; only the rounding of recorded values is approximated.

    Returns:
        ``auroc``, ``auprc``, ``brier`` and ``log_loss``.
    """
    drawn = _draw(samples, seed, hours)
    log_odds = np.log(PREVALENCE / (1 - PREVALENCE))
    log_odds = log_odds + _value_evidence(drawn.values) + _gap_evidence(drawn)
    return binary_scores(drawn.targets, sigmoid(log_odds))


def _draw(samples: int, seed: int, hours: int) -> _Draw:
    random = np.random.default_rng(seed)
    people = draw_people(random, samples, again=0.2)
    subject = people.of_sample
    targets = (random.random(samples) < PREVALENCE).astype(np.int64)
    severity = SEVERITY_MEAN[targets] + SEVERITY_SPREAD * random.normal(size=(samples, 2))
    usual = random.normal(size=(len(people.age), len(CHANNELS)))[subject]
    usual = CHANNELS.mean + CHANNELS.between * usual
    clock = np.linspace(0, 1, hours)
    course = severity[:, :1] + severity[:, 1:] * clock
    exact = usual[:, None] + course[:, :, None] * CHANNELS.effect
    exact += CHANNELS.within * random.normal(size=exact.shape)
    complete = CHANNELS.recorded(exact).astype(np.float32)

    chances = np.ones((2, *exact.shape))
    values = np.full(exact.shape, np.nan, dtype=np.float32)
    values[:, 0] = complete[:, 0]
    last = complete[:, 0]
    for hour in range(1, hours):
        chances[:, :, hour] = _chance_of_measuring(last)
        chance = chances[targets, np.arange(samples), hour]
        measured = random.random(chance.shape) < chance
        values[:, hour] = np.where(measured, complete[:, hour], np.nan)
        last = np.where(measured, complete[:, hour], last)
    frame = people.frame("S", admission_times(random, subject)).rename_axis("stay")
    static = pd.DataFrame({"age": people.age[subject], "sex": people.sex[subject]}, frame.index)
    return _Draw(frame, static, values, chances, targets)


def _chance_of_measuring(last: np.ndarray) -> np.ndarray:
    """Chance that each channel is measured next, by label: (2, samples, channels)."""
    alarm = (last[:, HEART] - 85) / 24 - (last[:, PRESSURE] - 80) / 20
    usual = np.log(CHANNELS.rate / (1 - CHANNELS.rate)) + 0.4 * np.clip(alarm, -2, 3)[:, None]
    return sigmoid(np.stack([usual, usual + CONCERN]))


def _gap_evidence(drawn: _Draw) -> np.ndarray:
    """Log-likelihood ratio of what was measured and what was not, (samples,)."""
    measured = ~np.isnan(drawn.values[:, 1:])
    chances = np.where(measured, drawn.chances[:, :, 1:], 1 - drawn.chances[:, :, 1:])
    logs = np.log(chances).sum(axis=(2, 3))
    return logs[1] - logs[0]


def _value_evidence(values: np.ndarray) -> np.ndarray:
    """Log-likelihood ratio of the measured values, (samples,).

    They are linear in level, trend and the patient's usual values, all normal with the same
    spread in both classes: the ratio is that of a linear discriminant. The matrices are of the
    few latent quantities, not of the many measurements (Woodbury's identity).
    """
    samples, hours, channels = values.shape
    seen = ~np.isnan(values)
    loading, noise = CHANNELS.effect, CHANNELS.noise
    off = CHANNELS.off_mean(values) / noise
    clock = np.linspace(0, 1, hours)
    powers = np.stack([np.ones(hours), clock])
    # H' R⁻¹ H and H' R⁻¹ (x - mean) for the latent (level, trend, usual values).
    latent = 2 + channels
    precision = np.zeros((samples, latent, latent))
    counts = np.einsum("ntc,pt,qt->npqc", seen, powers, powers) / noise
    precision[:, :2, :2] = counts @ loading**2
    precision[:, :2, 2:] = counts[:, 0] * loading
    precision[:, 2:, :2] = precision[:, :2, 2:].transpose(0, 2, 1)
    precision[:, range(2, latent), range(2, latent)] = counts[:, 0, 0]
    pull = np.concatenate(
        [np.einsum("ntc,pt,c->np", off, powers, loading), off.sum(axis=1)], axis=1
    )
    spread = np.concatenate([SEVERITY_SPREAD, CHANNELS.between]) ** 2
    means = np.zeros((2, latent))
    means[:, :2] = SEVERITY_MEAN
    inner = np.eye(latent) + precision * spread
    middle = means.mean(axis=0)
    residual = (pull - precision @ middle)[..., None]
    return (np.linalg.solve(inner, residual)[..., 0]) @ (means[1] - means[0])

"""Synthetic stays for early warning: at every hour the risk that the patient soon deteriorates."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

from medkit.core.lazy import pd
from medkit.core.registry import datasets
from medkit.data.cohort import Cohort, RawInput
from medkit.datasets.synthetic.shared import (
    Channels,
    admission_times,
    binary_scores,
    draw_people,
    drawn_cohort,
)

# The effect is the change up to the onset.
CHANNELS = Channels(
    ("heart_rate", "bpm", 20, 250, 84.0, 8.0, 9.0, 7.0, 0.90, 0, False),
    ("mean_arterial_pressure", "mmHg", 20, 180, 81.0, -6.5, 8.0, 6.0, 0.85, 0, False),
    ("respiratory_rate", "breaths/min", 2, 70, 18.0, 2.5, 2.0, 2.6, 0.80, 0, False),
    ("temperature", "°C", 30, 43, 37.1, 0.25, 0.35, 0.3, 0.30, 1, False),
    ("oxygen_saturation", "%", 50, 100, 95.5, -1.0, 1.0, 1.1, 0.90, 0, False),
    ("lactate", "mmol/L", 0.2, 30, np.log(1.5), 0.4, 0.25, 0.2, 0.10, 1, True),
)
SHORTEST, LONGEST = 24, 96  # hours from admission to discharge, all equally likely
FIRST = 6  # hour of the first prediction
HAZARD = 0.006  # of an onset in each hour after the first prediction
COURSE = 12  # hours before the onset in which the vital signs drift


class _Draw(NamedTuple):
    frame: pd.DataFrame
    values: np.ndarray
    hour: np.ndarray
    targets: np.ndarray


@datasets.register(
    yields="series",
    targets=("yes_no", "class"),
    embedded=True,
    reader="events",
    shared={"hours": "window.hours", "every_hours": "window.every_hours"},
    # An hour's values are known when it is over.
    reader_settings={
        "window.index": "every_step",
        "window.first_prediction_hours": FIRST + 1.0,
    },
)
def synthetic_deterioration(
    *,
    stays: Annotated[int, Field(ge=20, le=50_000)] = 400,
    seed: Annotated[int, Field(ge=0)] = 0,
    hours: Annotated[int, Field(ge=2, le=96)] = 12,
    horizon_hours: Annotated[int, Field(ge=1, le=48)] = 6,
    every_hours: Annotated[int, Field(ge=1, le=24)] = 1,
) -> Cohort:
    """Synthetic stays with a prediction at every hour: whether the patient deteriorates soon.

    Heart rate (bpm), mean arterial pressure (mmHg), respiratory rate (breaths/min), temperature
    (°C), oxygen saturation (%) and lactate (mmol/L) of stays of 24 to 96 hours. From hour 7 on
    the onset has a hazard of 0.006 an hour; in the 12 hours before it heart and breathing grow
    faster, pressure and saturation fall, and lactate rises by half, each by the same step every
    hour. Patients differ in their usual values, so the trend tells more than the level. What is
    measured in an hour is chance: vital signs mostly, temperature and lactate seldom.

    A sample is a stay at one hour, from hour 6 to the hour before onset or discharge: the
    values of the hours up to then, and whether the onset comes within the next ``horizon_hours``.
    ``stay``, ``hour`` and ``onset_hour`` (NaN in stays without an onset) let the evaluation count
    stays and alarms. A patient (``subject``) has one stay or several; attributes are ``time`` (of
    the prediction), ``site``, ``sex`` and ``age_band``.

    Best reachable, by the true probability given hour and values (`best_score`, 12 hours of
    values, 6 ahead): AUROC 0.89 and AUPRC 0.38.

    Args:
        stays: Number of stays; some 54 samples come of each.
        seed: Seed of the random numbers; the same seed gives the same stays.
        hours: Length of a sample's window in hours; one time step an hour.
        horizon_hours: How many hours ahead an onset is to be foreseen.
        every_hours: Hours from one prediction to the next.

    Returns:
        A cohort with one ``series`` input: float32 (samples, hours, 6), NaN where not measured and
        before admission.
    """
    drawn = _draw(stays, seed, hours, horizon_hours, every_hours)
    inputs = {"series": RawInput("series", drawn.values, CHANNELS.features)}
    label = f"1 if the patient deteriorates within the next {horizon_hours} hours"
    how = f"{stays} stays drawn with seed {{}}"
    return drawn_cohort(drawn.frame, inputs, drawn.targets, ("deterioration",), label, seed, how)


def best_score(
    *, stays: int = 1500, seed: int = 0, hours: int = 12, horizon_hours: int = 6
) -> dict[str, float]:
    """The score of the true probability given hour and values: nothing can do better.

    Returns:
        ``auroc``, ``auprc``, ``brier`` and ``log_loss``.
    """
    drawn = _draw(stays, seed, hours, horizon_hours)
    return binary_scores(drawn.targets, true_risk(drawn.values, drawn.hour, horizon_hours))


def true_risk(values: np.ndarray, hour: np.ndarray, horizon_hours: int = 6) -> np.ndarray:
    """P(onset within the horizon | hour, values), (n,).

    Given the hour of the onset the values are jointly normal (lactate in logarithms) around the
    usual values and the drift; what is measured does not depend on it. Bayes' rule over all hours
    in which the onset may be is exact but for the rounding of recorded values.

    Args:
        values: (n, hours, channels) in physical units.
        hour: (n,) of the prediction.
        horizon_hours: How many hours ahead.
    """
    ahead = np.arange(1, max(COURSE, horizon_hours) + 1)
    longest = np.arange(SHORTEST, LONGEST + 1)
    there = (longest[:, None] > hour).mean(axis=0)  # still in hospital
    at_most = (longest[:, None, None] >= hour[:, None] + ahead).mean(axis=0)
    prior = HAZARD * (1 - HAZARD) ** (ahead - 1) * at_most / there[:, None]
    odds = prior * np.exp(_evidence(values, ahead))
    never = 1 - prior.sum(axis=1)
    return odds[:, :horizon_hours].sum(axis=1) / (odds.sum(axis=1) + never)


def _draw(stays: int, seed: int, hours: int, horizon: int, every: int = 1) -> _Draw:
    random = np.random.default_rng(seed)
    people = draw_people(random, stays, again=0.15)
    usual = random.normal(size=(len(people.age), len(CHANNELS)))
    usual = CHANNELS.mean + CHANNELS.between * usual
    length = random.integers(SHORTEST, LONGEST + 1, size=stays)
    onset = FIRST + random.geometric(HAZARD, size=stays).astype(float)
    onset[onset > length] = np.nan
    clock = np.arange(LONGEST)
    course = _course(np.where(np.isnan(onset), np.inf, onset)[:, None] - clock)
    exact = usual[people.of_sample][:, None] + course[:, :, None] * CHANNELS.effect
    exact += CHANNELS.within * random.normal(size=exact.shape)
    measured = random.random(exact.shape) < CHANNELS.rate
    measured[:, 0] = True
    # Before admission there is nothing.
    charts = np.full((stays, hours + LONGEST, len(CHANNELS)), np.nan, dtype=np.float32)
    charts[:, hours:] = np.where(measured, CHANNELS.recorded(exact), np.nan)
    end = np.fmin(onset, length)
    predicted = (clock >= FIRST) & (clock < end[:, None]) & ((clock - FIRST) % every == 0)
    stay, hour = np.nonzero(predicted)
    window = hour[:, None] + 1 + np.arange(hours)  # the last of them is the hour itself
    targets = (onset[stay] - hour <= horizon).astype(np.int64)
    values = charts[stay[:, None], window]
    of_stay = people.frame("S", admission_times(random, people.of_sample))
    frame = of_stay.iloc[stay]
    names = [f"{name} at {h} h" for name, h in zip(frame.index, hour, strict=True)]
    frame = frame.assign(
        stay=frame.index.to_numpy(),
        hour=hour.astype(float),
        onset_hour=onset[stay],
        time=frame["time"].to_numpy() + hour.astype("timedelta64[h]"),
    ).set_axis(pd.Index(names, name="id"))
    return _Draw(frame, values, hour, targets)


def _course(hours: np.ndarray) -> np.ndarray:
    """How far the drift has come, 0 to 1, when the onset is ``hours`` hours away."""
    return np.clip(1 - hours / COURSE, 0, 1)


def _evidence(values: np.ndarray, ahead: np.ndarray) -> np.ndarray:
    """(n, ahead) log-likelihood of an onset so many hours ahead, less that of none.

    In each channel the values are a usual value of the patient plus the drift plus noise: their
    covariance is s² I + b² 11', of inverse (I - b² / (s² + m b²) 11') / s² for m values.
    """
    seen = (~np.isnan(values)).astype(float)
    off, between, noise = CHANNELS.off_mean(values), CHANNELS.between**2, CHANNELS.noise
    steps = np.arange(values.shape[1] - 1, -1, -1)
    course = _course(ahead[:, None] + steps)
    drift = course @ seen * CHANNELS.effect
    square = course**2 @ seen * CHANNELS.effect**2
    along = course @ off * CHANNELS.effect
    total, count = off.sum(axis=1)[:, None], seen.sum(axis=1)[:, None]
    shrunk = between / (noise + count * between)
    distance = square - 2 * along - shrunk * ((total - drift) ** 2 - total**2)
    return (-distance / (2 * noise)).sum(axis=2)

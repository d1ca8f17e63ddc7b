"""Synthetic stays for early warning: at every hour the risk that the patient soon deteriorates."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

from medkit.core.lazy import pd
from medkit.core.registry import datasets
from medkit.data.cohort import Cohort, Feature, RawInput, Source
from medkit.datasets.synthetic.shared import (
    SITES,
    People,
    admission_times,
    age_band,
    binary_scores,
    draw_people,
)

# name, unit, plausible range, mean, change up to the onset, spread between patients, spread within
# a stay, chance of being measured in an hour, digits recorded; in logarithms if the last is True
CHANNELS = (
    ("heart_rate", "bpm", 20, 250, 84.0, 8.0, 9.0, 7.0, 0.90, 0, False),
    ("mean_arterial_pressure", "mmHg", 20, 180, 81.0, -6.5, 8.0, 6.0, 0.85, 0, False),
    ("respiratory_rate", "breaths/min", 2, 70, 18.0, 2.5, 2.0, 2.6, 0.80, 0, False),
    ("temperature", "°C", 30, 43, 37.1, 0.25, 0.35, 0.3, 0.30, 1, False),
    ("oxygen_saturation", "%", 50, 100, 95.5, -1.0, 1.0, 1.1, 0.90, 0, False),
    ("lactate", "mmol/L", 0.2, 30, np.log(1.5), 0.4, 0.25, 0.2, 0.10, 1, True),
)
FEATURES = tuple(Feature(c[0], "numeric", c[1], c[2], c[3]) for c in CHANNELS)
MEAN, DRIFT, BETWEEN, WITHIN, RATE = (
    np.array([c[k] for c in CHANNELS], float) for k in (4, 5, 6, 7, 8)
)
LOGARITHMIC = np.array([c[10] for c in CHANNELS])
# Recording 87.4 bpm as 87 adds the variance of a rounding error.
NOISE = WITHIN**2 + np.where(
    LOGARITHMIC, 0.0, 10.0 ** (-2 * np.array([c[9] for c in CHANNELS])) / 12
)
SHORTEST, LONGEST = 24, 96  # hours from admission to discharge, all equally likely
FIRST = 6  # hour of the first prediction
HAZARD = 0.006  # of an onset in each hour after the first prediction
COURSE = 12  # hours before the onset in which the vital signs drift


class _Draw(NamedTuple):
    people: People
    length: np.ndarray
    onset: np.ndarray
    values: np.ndarray
    stay: np.ndarray
    hour: np.ndarray
    targets: np.ndarray
    random: np.random.Generator


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
    people, stay = drawn.people, drawn.stay
    subject = people.of_sample[stay]
    names = np.array([f"S{number:05d}" for number in range(1, stays + 1)], dtype=object)
    admitted = admission_times(drawn.random, people.of_sample)
    frame = pd.DataFrame(
        {
            "subject": np.array([f"P{number + 1:05d}" for number in subject], dtype=object),
            "stay": names[stay],
            "hour": drawn.hour.astype(float),
            "onset_hour": drawn.onset[stay],
            "time": admitted[stay] + drawn.hour.astype("timedelta64[h]"),
            "site": np.array(SITES, dtype=object)[people.site][subject],
            "sex": people.sex[subject],
            "age_band": age_band(people.age[subject]),
        },
        index=pd.Index(
            [f"{names[s]} at {h} h" for s, h in zip(stay, drawn.hour, strict=True)], name="id"
        ),
    )
    return Cohort(
        samples=frame,
        inputs={"series": RawInput("series", drawn.values, FEATURES)},
        targets=drawn.targets,
        source=Source(
            rows_read=len(stay),
            label=f"1 if the patient deteriorates within the next {horizon_hours} hours "
            "(synthetic)",
            notes=(f"{stays} stays drawn with seed {seed}",),
        ),
        target_names=("deterioration",),
    )


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
    usual = MEAN + BETWEEN * random.normal(size=(len(people.age), len(CHANNELS)))
    length = random.integers(SHORTEST, LONGEST + 1, size=stays)
    onset = FIRST + random.geometric(HAZARD, size=stays).astype(float)
    onset[onset > length] = np.nan
    clock = np.arange(LONGEST)
    course = _course(np.where(np.isnan(onset), np.inf, onset)[:, None] - clock)
    exact = usual[people.of_sample][:, None] + course[:, :, None] * DRIFT
    exact += WITHIN * random.normal(size=exact.shape)
    measured = random.random(exact.shape) < RATE
    measured[:, 0] = True
    # Before admission there is nothing.
    charts = np.full((stays, hours + LONGEST, len(CHANNELS)), np.nan, dtype=np.float32)
    for k, (_, _, low, high, *_, digits, logarithmic) in enumerate(CHANNELS):
        channel = np.exp(exact[:, :, k]) if logarithmic else exact[:, :, k]
        recorded = np.clip(np.round(channel, digits), low, high)
        charts[:, hours:, k] = np.where(measured[:, :, k], recorded, np.nan)
    end = np.fmin(onset, length)
    predicted = (clock >= FIRST) & (clock < end[:, None]) & ((clock - FIRST) % every == 0)
    stay, hour = np.nonzero(predicted)
    window = hour[:, None] + 1 + np.arange(hours)  # the last of them is the hour itself
    targets = (onset[stay] - hour <= horizon).astype(np.int64)
    values = charts[stay[:, None], window]
    return _Draw(people, length, onset, values, stay, hour, targets, random)


def _course(left: np.ndarray) -> np.ndarray:
    """How far the drift has come, 0 to 1, when the onset is ``left`` hours away."""
    return np.clip(1 - left / COURSE, 0, 1)


def _evidence(values: np.ndarray, ahead: np.ndarray) -> np.ndarray:
    """(n, ahead) log-likelihood of an onset so many hours ahead, less that of none.

    In each channel the values are a usual value of the patient plus the drift plus noise: their
    covariance is s² I + b² 11', of inverse (I - b² / (s² + m b²) 11') / s² for m values.
    """
    seen = (~np.isnan(values)).astype(float)
    with np.errstate(divide="ignore"):
        scaled = np.where(LOGARITHMIC, np.log(np.where(LOGARITHMIC, values, 1.0)), values)
    off = np.where(np.isnan(values), 0.0, scaled - MEAN)
    steps = np.arange(values.shape[1] - 1, -1, -1)
    course = _course(ahead[:, None] + steps)
    drift = course @ seen * DRIFT
    square = course**2 @ seen * DRIFT**2
    along = course @ off * DRIFT
    total, count = off.sum(axis=1)[:, None], seen.sum(axis=1)[:, None]
    shrunk = BETWEEN**2 / (NOISE + count * BETWEEN**2)
    distance = square - 2 * along - shrunk * ((total - drift) ** 2 - total**2)
    return (-distance / (2 * NOISE)).sum(axis=2)

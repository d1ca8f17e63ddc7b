"""Synthetic epidemics: reported cases a day in many regions, to forecast the next days."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field

from medkit.core.registry import datasets
from medkit.data.cohort import Cohort, Feature, RawInput
from medkit.datasets.synthetic.shared import drawn_cohort, sample_frame, subject_of_each

SETTINGS = ("rural", "town", "city")
REPORTED = (0.30, 0.45, 0.60)  # share of the infections that is reported, by setting
# From Monday: laboratories and offices work less at the weekend, and catch up after it.
WEEKDAY = np.array([1.25, 1.15, 1.10, 1.05, 1.05, 0.80, 0.60])
DISPERSION = 10.0  # variance of a day's cases: mean + mean² / 10
MISSING = 0.04  # chance that a day's report has not come in yet when the forecast is made
STARTS = 112  # days on which the window of a forecast may begin
ACTIVE = 2e-4  # cases a day and person in the window's first and last week, at least
SEASONS = 3
MOST_REGIONS_AT_ONCE = 2_000  # epidemics solved together


class _Draw(NamedTuple):
    subject: np.ndarray
    setting: np.ndarray
    day: np.ndarray  # datetime64[D] of the forecast
    expected: np.ndarray  # (samples, window + horizon) cases a day
    cases: np.ndarray  # the same, as counted
    seen: np.ndarray  # (samples, window) reports that have come in


@datasets.register(
    yields="series", targets=("course", "number"), embedded=True, reader="events",
    shared={"hours": "window.hours", "step_hours": "window.step_hours"},
)  # fmt: skip
def synthetic_epidemic(
    *,
    samples: Annotated[int, Field(ge=20, le=100_000)] = 1000,
    seed: Annotated[int, Field(ge=0)] = 0,
    hours: Annotated[int, Field(ge=96, le=2688, multiple_of=24)] = 672,
    step_hours: Literal[24] = 24,
    horizon: Annotated[int, Field(ge=1, le=56)] = 14,
    population: Annotated[int, Field(ge=1_000)] = 100_000,
    r0: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (1.5, 3.0),
    incubation_days: Annotated[float, Field(gt=0)] = 4.0,
    infectious_days: Annotated[float, Field(gt=0)] = 6.0,
) -> Cohort:
    """Synthetic epidemics: the cases of the last days, to forecast those of the next (SEIR).

    In every region and season an infection spreads by the SEIR equations: Kermack and McKendrick,
    A contribution to the mathematical theory of epidemics, Proc. R. Soc. A 115, 1927, with a
    latent stage as in Anderson and May, Infectious Diseases of Humans, Oxford 1991:
    dS/dt = -β S I / N, dE/dt = β S I / N - σ E, dI/dt = σ E - γ I with σ = 1 / incubation_days,
    γ = 1 / infectious_days and β = R0 γ. R0 and the number of first cases differ from season to
    season. Of those who fall ill on a day a share is reported, fewer at the weekend; the count is
    negative binomial around that. Some of the last days' reports are missing when the forecast is
    made; the days to come are counted in full. Forecasts are made while the epidemic goes on: of
    100,000 people 20 or more a day are reported in the window's first week and in its last.

    Regions (``subject``) have several forecasts (``time``) in up to three seasons; the attribute
    ``setting`` (rural, town, city) goes with the share reported.

    Best reachable, by the expected cases of the true epidemic (`best_score`): MAE 101.93 and RMSE
    176.05 cases/day, pinball loss 25.82, coverage of the 90 % interval 0.90. That is for one who
    knows R0 and the day it began; from the window alone they have to be guessed.

    Args:
        samples: Number of forecasts.
        seed: Seed of the random numbers; the same seed gives the same epidemics.
        hours: Length of the window before the forecast, the input, in hours.
        step_hours: Length of one time step, in hours: cases are counted by day.
        horizon: Days to forecast.
        population: People in a region.
        r0: Lowest and highest number of people that one infects in the beginning.
        incubation_days: Mean time from infection to falling ill.
        infectious_days: Mean time for which one infects others from then on.

    Returns:
        A cohort with one ``series`` input: float32 (samples, window, 1), NaN where not reported
        yet; targets (samples, horizon), cases/day.
    """
    window = hours // step_hours
    drawn = _draw(samples, seed, window, horizon, population, r0, incubation_days, infectious_days)
    frame = sample_frame(
        "E",
        drawn.subject,
        who="R",
        time=drawn.day.astype("datetime64[s]"),
        setting=np.array(SETTINGS, dtype=object)[drawn.setting],
    )
    seen = np.where(drawn.seen, drawn.cases[:, :window], np.nan).astype(np.float32)
    feature = Feature("cases", "numeric", "cases/day", 0, float(population))
    inputs = {"series": RawInput("series", seen[:, :, None], (feature,))}
    targets = drawn.cases[:, window:].astype(np.float64)
    names = tuple(f"cases +{day} d" for day in range(1, horizon + 1))
    label = f"reported cases on each of the {horizon} days after {window} days"
    return drawn_cohort(frame, inputs, targets, names, label, seed)


def best_score(
    *,
    samples: int = 5_000,
    seed: int = 0,
    quantiles: tuple[float, ...] = (0.05, 0.5, 0.95),
) -> dict[str, float]:
    """The score of the true distribution of every count: nothing can do better.

    Returns:
        ``mae`` of its median and ``rmse`` of its mean (cases/day), ``pinball``, the mean over the
        quantiles, and ``coverage`` and ``width`` of the interval between the outer ones.
    """
    from scipy.stats import nbinom

    drawn = _draw(samples, seed)
    expected, cases = drawn.expected[:, 28:], drawn.cases[:, 28:]
    chance = DISPERSION / (DISPERSION + expected)
    of_level = np.stack([nbinom.ppf(level, DISPERSION, chance) for level in quantiles], axis=-1)
    off = cases[..., None] - of_level
    levels = np.asarray(quantiles)
    inside = (cases >= of_level[..., 0]) & (cases <= of_level[..., -1])
    median = nbinom.ppf(0.5, DISPERSION, chance)
    return {
        "mae": float(np.mean(np.abs(cases - median))),
        "rmse": float(np.sqrt(np.mean((cases - expected) ** 2))),
        "pinball": float(np.mean(np.maximum(levels * off, (levels - 1) * off))),
        "coverage": float(np.mean(inside)),
        "width": float(np.mean(of_level[..., -1] - of_level[..., 0])),
    }


def _draw(
    samples: int,
    seed: int,
    window: int = 28,
    horizon: int = 14,
    population: int = 100_000,
    r0: tuple[float, float] = (1.5, 3.0),
    incubation_days: float = 4.0,
    infectious_days: float = 6.0,
) -> _Draw:
    random = np.random.default_rng(seed)
    subject = subject_of_each(random, samples, again=0.75)
    regions = int(subject[-1]) + 1
    setting = random.choice(len(SETTINGS), size=regions, p=[0.3, 0.4, 0.3])[subject]
    season = random.integers(0, SEASONS, samples)
    reproduction = random.uniform(min(r0), max(r0), (regions, SEASONS))
    first = np.exp(random.uniform(np.log(1e-5), np.log(3e-4), (regions, SEASONS)))
    quantile = random.random(samples)

    pairs, epidemic = np.unique(subject * SEASONS + season, return_inverse=True)
    infections = daily_infections(
        reproduction.ravel()[pairs],
        first.ravel()[pairs],
        STARTS + window + horizon,
        incubation_days,
        infectious_days,
    )
    people = population * np.array(REPORTED)[setting[np.searchsorted(subject, pairs // SEASONS)]]
    # Every epidemic begins on a Monday in autumn.
    mean = people[:, None] * infections * WEEKDAY[np.arange(infections.shape[1]) % 7]
    # Drawn once for a region and day: where two windows overlap, they hold the same count.
    observed = random.negative_binomial(DISPERSION, DISPERSION / (DISPERSION + mean))
    epidemic = epidemic.ravel()
    start = _starts(mean[:, : STARTS + window - 1], window, population)[epidemic]
    start = (start.cumsum(axis=1) > quantile[:, None] * start.sum(axis=1)[:, None]).argmax(axis=1)
    rows, days = epidemic[:, None], start[:, None] + np.arange(window + horizon)
    expected, cases = mean[rows, days], observed[rows, days]
    seen = random.random((samples, window)) >= MISSING
    begins = np.datetime64("2015-10-05") + 364 * season
    return _Draw(subject, setting, begins + start + window, expected, cases, seen)


def _starts(mean: np.ndarray, window: int, population: int) -> np.ndarray:
    """(epidemics, STARTS) on which first days a window may begin: any, if there is no such day."""
    week = min(7, window)
    total = np.cumsum(np.pad(mean, ((0, 0), (1, 0))), axis=1)
    enough = (total[:, week:] - total[:, :-week]) >= ACTIVE * population * week
    active = enough[:, :STARTS] & enough[:, window - week :]
    return active | ~active.any(axis=1, keepdims=True)


def daily_infections(
    r0: np.ndarray, first: np.ndarray, days: int, incubation_days: float, infectious_days: float
) -> np.ndarray:
    """Share of the people who fall ill on each day, by the SEIR equations.

    Args:
        r0: (epidemics,) people that one infects in the beginning.
        first: (epidemics,) share of the people who are infected on day 0.
        days: How many days.
        incubation_days: 1 / σ.
        infectious_days: 1 / γ.

    Returns:
        (epidemics, days) shares.
    """
    from scipy.integrate import solve_ivp

    sigma, gamma = 1 / incubation_days, 1 / infectious_days
    found = []
    for begin in range(0, len(r0), MOST_REGIONS_AT_ONCE):
        rate = r0[begin : begin + MOST_REGIONS_AT_ONCE] * gamma
        infected = first[begin : begin + MOST_REGIONS_AT_ONCE]

        def change(_: float, state: np.ndarray, rate: np.ndarray = rate) -> np.ndarray:
            susceptible, latent, infectious, _ill = state.reshape(4, -1)
            new, ill = rate * susceptible * infectious, sigma * latent
            return np.concatenate([-new, new - ill, ill - gamma * infectious, ill])

        nobody = np.zeros_like(infected)
        start = np.concatenate([1 - infected, infected, nobody, nobody])
        solved = solve_ivp(
            change, (0, days), start, t_eval=np.arange(days + 1), rtol=1e-6, atol=1e-12
        )
        found.append(np.diff(solved.y.reshape(4, -1, days + 1)[3], axis=1))
    return np.maximum(np.concatenate(found), 0.0)

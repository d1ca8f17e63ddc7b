"""Early warning: a prediction at every hour of a stay, from the hours before it."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.data.cohort import Source
from medkit.datasets.events.grid.featurise import Window
from medkit.datasets.events.grid.grid import GridPlan, gridded
from medkit.datasets.events.labels import Labels, report_unmatched
from medkit.datasets.events.problem import PredictionProblem
from medkit.datasets.events.samples import Picked, keep_rows, refuse_strangers, timed
from medkit.datasets.events.sources.found import FoundEvents, channels_of
from medkit.datasets.events.targets import (
    CENSORED,
    PREVALENT,
    EventTargets,
    censoring_notes,
    onsets_of,
    targets_of,
)
from medkit.datasets.events.windows import (
    Windows,
    axis_at,
    elapsed,
    end_after,
    stay_ends,
    stay_starts,
)
from medkit.readers.cache import Store

COLUMNS = ("stay", "hour", "onset_hour")


class Hours(NamedTuple):
    """One prediction each; all (n,).

    Args:
        row: Row of the labels, or stay where there are none.
        stay: Code of the stay.
        step: Steps from the start of the stay to the prediction.
    """

    row: np.ndarray
    stay: np.ndarray
    step: np.ndarray


def every_step(
    problem: PredictionProblem,
    found: FoundEvents,
    plan: GridPlan,
    labels: Labels | None,
    store: Store,
) -> tuple[Picked, Windows, np.ndarray, tuple[str, ...]]:
    """Predictions at every ``every_hours`` of each stay, while it is observed.

    One grid holds each stay from its start; the window of a prediction is the part of it that
    ends there, NaN before the stay began.

    Returns:
        The samples, called ``<stay>@<hour>``, with the columns ``stay``, ``hour`` (of the
        prediction, since the stay's start) and ``onset_hour`` (NaN where there is no onset); the
        windows of all predictions, of which ``picked.positions`` are the samples'; their inputs,
        float32 (n, steps, channels); and notes.

    Raises:
        DataError: No stay is long enough, the windows do not fit into memory, or a label column
            holds something else than 0 and 1.
    """
    count, step = len(found.stays), problem.window.step_hours
    rows = np.arange(count) if labels is None else labels.codes
    starts, ends = stay_starts(found, labels), stay_ends(labels, count)
    last = np.where(np.isnan(ends), np.asarray(found.last, dtype="float64"), ends)
    hours = hours_of(problem, rows, elapsed(last, starts, found.unit))
    if labels is not None and (rows < 0).all():
        refuse_strangers(labels)
    if not len(hours.row):
        raise DataError(
            "no stay is observed until a prediction is to be made",
            place=str(found.place),
            hint="The first is made at first_prediction_hours, by default every_hours.",
        )
    longest = int(hours.step.max())
    window = Window(longest * step, step, found.unit)
    moments = end_after(starts[hours.stay], window, hours.step)
    targets = moments + problem.window.gap_hours * found.unit
    windows = Windows(hours.stay, starts[hours.stay], moments, targets, ends[hours.stay])
    target = targets_of(problem, found, plan, windows, labels)
    if problem.target.flag is not None:
        target = _column(problem, found, plan, starts, ends, rows, hours, labels)

    steps, width = round(problem.window.hours / step), len(plan.names)
    _check_memory(len(np.unique(rows)) * window.steps * width + len(hours.row) * steps * width)
    axis = axis_at(found, np.arange(count), starts, ends)
    grid = gridded(found, replace(plan, window=window), axis, rows, problem.span, store)
    picked = _picked(found, labels, hours, grid.present, target, starts, step)
    kept = picked.positions
    if labels is not None:
        report_unmatched(labels, np.flatnonzero(rows < 0) + 1, grid.unlabelled)
    if problem.labelled:
        picked = picked._replace(samples=timed(picked.samples, moments[kept], found))
    values = gathered(grid.values, grid.row[hours.stay[kept]], hours.step[kept], steps)
    short = len(np.setdiff1d(np.flatnonzero(rows >= 0), hours.row))
    notes = (
        f"{len(hours.row)} predictions at every {step * _every(problem):g} h of "
        f"{len(np.unique(hours.row))} stays",
        *((f"{int((rows < 0).sum())} stays have no events",) if (rows < 0).any() else ()),
        *((f"{grid.unlabelled} stays have no label",) if grid.unlabelled else ()),
        *((f"{short} stays end before the first prediction",) if short else ()),
        *grid.notes,
    )
    return picked, windows, values, notes


def hours_of(problem: PredictionProblem, rows: np.ndarray, observed: np.ndarray) -> Hours:
    """When predictions are made.

    Args:
        problem: What is predicted, and when.
        rows: (rows,) stay of each row, -1 where it has no events.
        observed: (stays,) hours from the start to the end of the observation.
    """
    window, every = problem.window, _every(problem)
    first = every
    if window.first_prediction_hours is not None:
        first = round(window.first_prediction_hours / window.step_hours)
    latest = np.floor(np.nan_to_num(observed / window.step_hours, nan=-1.0)).astype("int64")
    if window.last_prediction_hours is not None:
        latest = np.minimum(latest, round(window.last_prediction_hours / window.step_hours))
    number = np.where(rows >= 0, np.maximum((latest[rows] - first) // every + 1, 0), 0)
    row = np.repeat(np.arange(len(rows)), number)
    position = np.arange(len(row)) - np.repeat(np.cumsum(number) - number, number)
    return Hours(row, rows[row], first + every * position)


def gathered(grid: np.ndarray, rows: np.ndarray, ends: np.ndarray, steps: int) -> np.ndarray:
    """The ``steps`` of a row before each end: float32 (n, steps, channels), NaN before step 0."""
    values = np.full((len(rows), steps, grid.shape[2]), np.nan, dtype=np.float32)
    for k in range(steps):
        at = ends - steps + k
        inside = np.flatnonzero(at >= 0)
        values[inside, k] = grid[rows[inside], at[inside]]
    return values


def _every(problem: PredictionProblem) -> int:
    window = problem.window
    return round((window.every_hours or window.step_hours) / window.step_hours)


def _picked(
    found: FoundEvents,
    labels: Labels | None,
    hours: Hours,
    present: np.ndarray,
    target: EventTargets | None,
    starts: np.ndarray,
    step: float,
) -> Picked:
    reasons = {"no events": ~present[hours.stay]}
    values: np.ndarray | None = None
    names: tuple[str, ...] = ()
    label, onset = "", np.full(len(hours.row), np.nan)
    if target is not None:
        reasons |= dict(target.dropped)
        values, names, label = target.values, target.names, target.label
        if target.first is not None:
            onset = elapsed(target.first, starts[hours.stay], found.unit)
    elif labels is not None and labels.found.values is not None:
        of = labels.found
        reasons["missing target"] = ~of.present[hours.row]
        values = np.asarray(of.values)[np.maximum(np.cumsum(of.present)[hours.row] - 1, 0)]
        names, label = of.names, of.label
    kept, dropped = keep_rows(reasons, len(hours.row))
    others = {why: mask for why, mask in reasons.items() if why != CENSORED}
    notes = censoring_notes(
        None if target is None else target.unfollowed, keep_rows(others, len(hours.row))[0],
        "drop" if CENSORED in reasons else "negative",
    )  # fmt: skip
    kept = np.flatnonzero(kept)
    samples = _samples(found, labels, Hours(*(each[kept] for each in hours)), onset[kept], step)
    taken = None if values is None else values[kept]
    source = Source({}, len(hours.row), dropped, label, notes)
    return Picked(samples, kept, taken, names, source)


def _samples(
    found: FoundEvents, labels: Labels | None, hours: Hours, onset: np.ndarray, step: float
) -> pd.DataFrame:
    stays = np.asarray(found.stays, dtype=object)[hours.stay]
    samples = pd.DataFrame(index=pd.RangeIndex(len(stays)))
    if labels is not None:
        taken = [name for name in COLUMNS if name in labels.samples]
        if taken:
            raise DataError(
                f"the attribute '{taken[0]}' has a name that index: every_step uses itself",
                place=str(labels.path),
                hint="Rename the column.",
            )
        samples = labels.samples.iloc[hours.row].reset_index(drop=True)
    if "subject" not in samples:
        samples["subject"] = stays
    samples["stay"], samples["hour"], samples["onset_hour"] = stays, hours.step * step, onset
    names = [f"{stay}@{hour:g}" for stay, hour in zip(stays, samples["hour"], strict=True)]
    return samples.set_index(pd.Index(names, name="stay@hour", dtype=object))


def _column(
    problem: PredictionProblem,
    found: FoundEvents,
    plan: GridPlan,
    starts: np.ndarray,
    ends: np.ndarray,
    rows: np.ndarray,
    hours: Hours,
    labels: Labels | None,
) -> EventTargets:
    """A label of each hour among the measurements: its value in the step that begins then."""
    name = str(problem.target.flag)
    names = channels_of(found, (name,), lambda _: False)
    step = problem.window.step_hours
    window = Window((int(hours.step.max()) + 1) * step, step, found.unit)
    plan = replace(plan, names=names, aggregates=["max"], window=window)
    axis = axis_at(found, np.arange(len(starts)), starts, ends)
    grid = gridded(found, plan, axis, rows, problem.span)
    table = np.asarray(grid.values)[:, :, 0]
    others = table[~np.isnan(table) & (table != 0) & (table != 1)]
    if len(others):
        raise DataError(
            f"target.flag: '{name}' holds {others[0]:g}, where a label is 0 or 1",
            place=str(found.place),
        )
    row = grid.row[hours.stay]
    values = table[row, hours.step]
    dropped = {"no label at that hour": np.isnan(values)}
    moments = end_after(starts[hours.stay], window, hours.step)
    if problem.target.onset is not None:
        first = onsets_of(labels).of_stay(len(starts))[hours.stay]
        dropped[PREVALENT] = first <= moments
    else:
        turned = np.where((table == 1).any(axis=1), (table == 1).argmax(axis=1), np.nan)
        onset = turned[row] * step + (problem.target.hours or 0.0)
        first = starts[hours.stay] + onset * found.unit
        if problem.target.hours is not None:
            dropped[PREVALENT] = onset <= hours.step * step
    whole = np.nan_to_num(values).astype("int64")
    label = f"'{name}' at the hour of the prediction"
    return EventTargets(whole, (name,), label, dropped, first)


def _check_memory(count: int) -> None:
    needed = 4 * count
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > 0.8 * there:
        raise DataError(
            f"the windows of all hours take {needed / 1e9:.0f} GB, more than this machine has",
            place="dataset",
            hint="Predict less often (every_hours), for less long (last_prediction_hours), or from "
            "fewer variables.",
        )

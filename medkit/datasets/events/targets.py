"""Targets from the events themselves: what occurs or is measured in the target window."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from medkit.core.errors import DataError
from medkit.datasets.events.grid.featurise import Window
from medkit.datasets.events.grid.grid import GridPlan, gridded
from medkit.datasets.events.labels import Labels
from medkit.datasets.events.occurrences import Occurrences, occurrences
from medkit.datasets.events.problem import PredictionProblem, names_of, shown
from medkit.datasets.events.sources.found import FoundEvents, channels_of
from medkit.datasets.events.windows import Windows, axis_at

log = logging.getLogger("medkit")

PREVALENT = "target event before the target window"
_MANY_UNFOLLOWED = 0.05  # share from which it is a warning
CENSORED = "observation ends before the target window does"
UNMEASURED = "nothing measured in the target window"


class EventTargets(NamedTuple):
    """What is to be predicted at each position.

    Args:
        values: (positions,) or (positions, targets).
        names: Names of the targets.
        label: The label's definition in words.
        dropped: Reason -> (positions,) bool: which have no label for it.
        first: (positions,) when the target event first occurs in the stay, NaN where it does not;
            None where the target is no event.
        unfollowed: (positions,) bool: whose observation ends before the target window does,
            without the event; None where the target is no event.
    """

    values: np.ndarray
    names: tuple[str, ...]
    label: str
    dropped: Mapping[str, np.ndarray]
    first: np.ndarray | None = None
    unfollowed: np.ndarray | None = None


def censoring_notes(
    unfollowed: np.ndarray | None, usable: np.ndarray, censoring: str
) -> tuple[str, ...]:
    """How many samples were not followed to the end, and in which direction that biases risks.

    Args:
        unfollowed: (rows,) bool; None where the target is no event.
        usable: (rows,) bool: samples that have all but, perhaps, such a label.
        censoring: What becomes of them: drop or negative.
    """
    if unfollowed is None:
        return ()
    count, of = int((unfollowed & usable).sum()), int(usable.sum())
    if not count:
        return ()
    note = (
        f"{count:,} of {of:,} samples ({count / of:.0%}) end before the target window does, "
        "without the event (discharged alive, say, which competes with it)"
    )
    if censoring == "drop":
        note += (
            ": they are left out, as none with the event is, so that its share and all predicted "
            "risks are too high for patients as they come"
        )
    else:
        note += (
            ": they count as free of it, so that its share and all predicted risks are too low "
            "where it happens unseen after that"
        )
    if count >= _MANY_UNFOLLOWED * of:
        log.warning("censoring: %s", note)
    return (note,)


def targets_of(
    problem: PredictionProblem,
    found: FoundEvents,
    plan: GridPlan,
    windows: Windows,
    labels: Labels | None,
) -> EventTargets | None:
    """The target of each position, where it is one of a target window.

    Args:
        problem: What is predicted.
        found: The events.
        plan: How they are put on the grid of inputs.
        windows: Where each position's windows lie.
        labels: The labels.

    Raises:
        DataError: No such event or variable.
    """
    if problem.target.event is not None:
        names = names_of(problem.target.event, found, "target.event")
        if problem.wide:
            _refuse_flags(found, names)
        events = occurrences(found, names, plan.engine)
        what = f"{shown(problem.target.event, names)} occurs"
        return _occurs(problem, found, windows, events, what, problem.target.event)
    if problem.target.onset is not None and problem.target.flag is None:
        events, what = onsets_of(labels), f"'{problem.target.onset}' lies"
        return _occurs(problem, found, windows, events, what, problem.target.onset)
    if problem.target.value is not None:
        return _value(problem, found, plan, windows)
    if problem.target.course:
        return _course(problem, found, plan, windows)
    return None


def onsets_of(labels: Labels | None) -> Occurrences:
    """The onsets that the labels name, one a row, as events of their stays."""
    assert labels is not None  # noqa: S101 - a declared onset has labels
    assert labels.onsets is not None  # noqa: S101
    known = (labels.codes >= 0) & ~np.isnan(labels.onsets)
    codes, times = labels.codes[known], labels.onsets[known]
    order = np.lexsort((times, codes))
    return Occurrences(codes[order], times[order])


def _refuse_flags(found: FoundEvents, names: list[str]) -> None:
    """In a wide table a column of 0 and 1 has a value in every row: it 'occurs' everywhere."""
    table = found.variables[found.variables["name"].isin(names)]
    flags = table[(table["low"] == 0) & (table["high"] <= 1)]["name"]
    if len(flags):
        raise DataError(
            f"target.event: column '{flags.iloc[0]}' holds 0 and 1, and each row would count as "
            "an event",
            place=str(found.place),
            hint=f"Predict whether it becomes 1: target: {{value: {flags.iloc[0]}, above: 0.5}}; "
            "or its value at every hour: target.flag.",
        )


def _occurs(
    problem: PredictionProblem,
    found: FoundEvents,
    windows: Windows,
    events: Occurrences,
    what: str,
    name: str,
) -> EventTargets:
    assert problem.target.hours is not None  # noqa: S101 - checked by Problem
    stays, moments = windows.stays, windows.targets
    until = moments + problem.target.hours * found.unit
    known = stays >= 0
    first = np.where(known, events.of_stay(len(found.stays))[stays], np.nan)
    first = np.where(first > windows.ends, np.nan, first)
    following = events.after(stays, moments)
    positive = (following <= until) & ~(following > windows.ends)
    last = np.where(known, np.asarray(found.last, dtype="float64")[stays], np.nan)
    observed = np.where(np.isnan(windows.ends), last, windows.ends)
    dropped = {}
    if problem.target.prevalent == "drop":
        dropped[PREVALENT] = first <= moments
    unfollowed = ~positive & (observed < until)
    if problem.target.censoring == "drop":
        dropped[CENSORED] = unfollowed
    label = f"1 if {what} {problem.horizon}"
    return EventTargets(positive.astype("int64"), (name,), label, dropped, first, unfollowed)


def _value(
    problem: PredictionProblem, found: FoundEvents, plan: GridPlan, windows: Windows
) -> EventTargets:
    name, way = str(problem.target.value), problem.target.aggregate
    values = _measured(found, plan, windows, [name], lambda _: way, problem.target.hours)
    numbers = values[:, 0].astype("float64")
    label, missing = f"{way} of '{name}' {problem.horizon}", np.isnan(numbers)
    if problem.target.above is None:
        return EventTargets(numbers, (f"{name} {way}",), label, {UNMEASURED: missing})
    label = f"1 if the {label} is above {problem.target.above:g}"
    above = (numbers > problem.target.above).astype("int64")
    return EventTargets(above, (f"{name} {way}",), label, {UNMEASURED: missing})


def _course(
    problem: PredictionProblem, found: FoundEvents, plan: GridPlan, windows: Windows
) -> EventTargets:
    names, step = list(problem.target.course), problem.window.step_hours
    way_of = problem.variables.aggregate_of
    values = _measured(found, plan, windows, names, way_of, step, problem.target.hours)
    gap = 0.0 if problem.index == "prediction" else problem.window.gap_hours
    hours = [gap + (k + 1) * step for k in range(values.shape[1] // len(names))]
    targets = tuple(f"{name} +{hour:g} h" for hour in hours for name in names)
    label = f"{', '.join(names)} every {step:g} h {problem.horizon}"
    return EventTargets(values, targets, label, {UNMEASURED: np.isnan(values).all(axis=1)})


def _measured(
    found: FoundEvents,
    plan: GridPlan,
    windows: Windows,
    names: list[str],
    way_of: Callable[[str], Any],
    step_hours: float | None,
    hours: float | None = None,
) -> np.ndarray:
    """(positions, steps * variables) of the target window, step by step; NaN where not measured."""
    names = channels_of(found, tuple(names), lambda name: way_of(name) == "count")
    step = step_hours or 1.0
    window = Window(hours or step, step, found.unit)
    plan = replace(plan, names=names, aggregates=[way_of(name) for name in names], window=window)
    axis = axis_at(found, windows.stays, windows.targets, windows.ends)
    grid = gridded(found, plan, axis, None, "the target window")
    values: np.ndarray = np.asarray(grid.values)
    return values.reshape(len(values), -1)

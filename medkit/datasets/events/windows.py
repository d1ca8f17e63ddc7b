"""Where each sample's windows lie: what is known, when it is predicted, and until when."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from medkit.core.lazy import pd
from medkit.datasets.events.grid.featurise import Window
from medkit.datasets.events.labels import Labels
from medkit.datasets.events.occurrences import occurrences
from medkit.datasets.events.problem import PredictionProblem, names_of
from medkit.datasets.events.sources.found import FoundEvents
from medkit.readers.engines import Engine


class Axis(NamedTuple):
    """The grid's first axis.

    Args:
        table: ``stay`` (key of the events), ``code`` (position on the axis), ``start`` and ``end``
            of the window and the stay, in the unit of the events' times.
        length: Length of the axis.
        others: Stays with events that have no position on it.
    """

    table: pd.DataFrame
    length: int
    others: int = 0


class Windows(NamedTuple):
    """Where each position's windows lie; all (positions,), times in the unit of the events' times.

    Args:
        stays: Code of the stay, -1 where it has no events.
        starts: Start of the input window, NaN where it has none.
        input_ends: End of the input window: nothing at that moment or later lies within it.
        targets: Start of the target window: the prediction, or ``gap_hours`` after it.
        ends: When the stay ends, NaN where unknown.
        others: Stays with events that have no position.
    """

    stays: np.ndarray
    starts: np.ndarray
    input_ends: np.ndarray
    targets: np.ndarray
    ends: np.ndarray
    others: int = 0


def input_windows(
    found: FoundEvents,
    labels: Labels | None,
    problem: PredictionProblem,
    engine: Engine,
) -> tuple[Windows, np.ndarray | None]:
    """The windows, and each label's position among them (-1 where its stay has no event).

    With ``index: prediction`` every label is a position of its own; else every stay with events is
    one. Nothing at the end of an input window or later lies within it, however times are rounded:
    that end is the index event, ``hours`` after the first event or the admission, or ``gap_hours``
    before the prediction. Without labels, the prediction is made right after the last event.

    Args:
        found: The events.
        labels: The labels.
        problem: What is predicted.
        engine: What finds the index event.

    Raises:
        DataError: No stay has the index event.
    """
    position = None if labels is None else labels.codes
    window = Window(problem.window.hours, problem.window.step_hours, found.unit)
    gap, count = problem.window.gap_hours * found.unit, len(found.stays)
    if problem.index == "prediction" and labels is not None and position is not None:
        targets = np.asarray(labels.moments, dtype="float64")
        ends = np.full(len(position), np.nan) if labels.ends is None else labels.ends
        others = len(np.setdiff1d(np.arange(count), position))
        input_ends = targets - gap
        windows = Windows(
            position, start_before(input_ends, window), input_ends, targets, ends, others
        )
        return windows, np.where(position >= 0, np.arange(len(position)), -1)
    ends = stay_ends(labels, count)
    if problem.index == "prediction":
        after = found.last + 1 if found.timestamps else np.nextafter(found.last, np.inf)
        targets = np.asarray(after, dtype="float64")
        input_ends = targets - gap
        starts = start_before(input_ends, window)
    elif not isinstance(problem.index, str):
        names = names_of(problem.index.event, found, "window.index.event")
        events = occurrences(found, names, engine).until(ends)
        moments = events.of_stay(count, problem.index.which)
        starts, input_ends, targets = start_before(moments, window), moments, moments + gap
    else:
        starts = stay_starts(found, labels)
        input_ends = end_after(starts, window)
        targets = input_ends + gap
    return Windows(np.arange(count), starts, input_ends, targets, ends), position


def stay_starts(found: FoundEvents, labels: Labels | None) -> np.ndarray:
    """(stays,) when each stay begins: at its first event, hour 0, or its admission if known."""
    count = len(found.stays)
    starts = np.array(found.first if found.timestamps else np.zeros(count), dtype="float64")
    if labels is not None and labels.moments is not None:
        known = labels.codes >= 0
        starts[labels.codes[known]] = labels.moments[known]
    return starts


def stay_ends(labels: Labels | None, count: int) -> np.ndarray:
    """(stays,) when each stay ends, NaN where unknown."""
    ends = np.full(count, np.nan)
    if labels is not None and labels.ends is not None:
        known = labels.codes >= 0
        ends[labels.codes[known]] = labels.ends[known]
    return ends


def axis_at(
    found: FoundEvents, stays: np.ndarray, starts: np.ndarray, ends: np.ndarray, others: int = 0
) -> Axis:
    """The axis of windows that begin at ``starts``; positions without a start hold nothing.

    Times get the type that the events' times have.
    """
    rows = pd.DataFrame({"position": stays, "start": starts, "end": ends})
    rows["code"] = np.arange(len(rows))
    rows = rows[(rows["position"] >= 0) & rows["start"].notna()]
    table = found.keys.rename(columns={"code": "position"}).merge(rows, on="position")
    table = table[["stay", "code", "start", "end"]]
    if found.timestamps:
        table = table.assign(start=np.floor(table["start"])).astype({"start": "int64"})
    table = table.astype({"code": "int64", "end": "float64"}).reset_index(drop=True)
    return Axis(table, len(stays), others)


def reaching_back(
    found: FoundEvents, windows: Windows, positions: np.ndarray, hours: float
) -> Axis:
    """Windows of ``hours`` that end where the input windows of the given positions do.

    For what was known at the prediction, however long before: the axis has one position for each of
    ``places``, and a grid on it has the window ``Window(hours, …)``.
    """
    starts = start_before(windows.input_ends[positions], Window(hours, hours, found.unit))
    return axis_at(found, windows.stays[positions], starts, windows.ends[positions])


def elapsed(later: np.ndarray, earlier: np.ndarray, unit: float) -> np.ndarray:
    """Hours between two times, rounded as `_featurise.placed` rounds them."""
    found = np.asarray(later, dtype="float64") - earlier
    return found if unit == 1.0 else found / 1e6 / (unit / 1e6)


def start_before(ends: np.ndarray, window: Window) -> np.ndarray:
    """The start of a window that holds nothing at its end or later.

    ``ends - hours`` is rounded, and so is the difference of an event to it: an event at the very
    end might come out as before it. Then the window begins a trifle earlier.
    """
    starts = np.asarray(ends, dtype="float64") - window.hours * window.unit
    if window.unit != 1.0:
        starts = np.floor(starts)
    while (late := elapsed(ends, starts, window.unit) < window.hours).any():
        starts = np.where(late, starts - _trifle(starts, ends, window.unit), starts)
    return starts


def end_after(starts: np.ndarray, window: Window, steps: np.ndarray | None = None) -> np.ndarray:
    """The first moment that no longer lies in a window, or in its first ``steps``."""

    def inside(ends: np.ndarray) -> np.ndarray:
        hours = elapsed(ends, starts, window.unit)
        return hours < length if steps is None else np.floor(hours / window.step_hours) < steps

    length = window.hours if steps is None else steps * window.step_hours
    ends = starts + length * window.unit
    if window.unit != 1.0:
        ends = np.ceil(ends)
    while (early := inside(ends)).any():
        ends = np.where(early, ends + _trifle(starts, ends, window.unit), ends)
    return ends


def _trifle(starts: np.ndarray, ends: np.ndarray, unit: float) -> np.ndarray | float:
    """The smallest difference that tells: a microsecond, or a rounding error of the hours."""
    return 1.0 if unit != 1.0 else np.spacing(np.maximum(np.abs(starts), np.abs(ends)))

"""The groups of parameters of `events`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from medkit.core.groups import ParameterGroup
from medkit.core.limits import limit, raised
from medkit.datasets.events.grid.featurise import Aggregate
from medkit.datasets.events.sources.source import Layout
from medkit.datasets.parameters import ReadFrom, SampleColumns
from medkit.readers.engines import Engine

Hours = Annotated[float, Field(gt=0)]
Unmatched = Literal["drop", "fail"]
Index = Literal["first_event", "admission", "prediction", "every_step"]

_STEPS = ("every_hours", "first_prediction_hours", "last_prediction_hours")


class StaySource(ReadFrom):
    """Where the events are, if not simply in files at ``path``, and how they are read."""

    layout: Layout = "long"
    """long: one event a row; wide: one time a row and one variable a column (as in the PhysioNet
    2019 Challenge); meds: a folder of the Medical Event Data Standard."""
    engine: Engine = "polars"
    """What reads Parquet and computes the grid: polars; duckdb or spark where installed."""
    refresh: bool = False
    """Ask a database again although its rows are in the cache."""


class LabelTable(ParameterGroup):
    """The table with one row a stay, or one a prediction: ``labels.csv``, or a query."""

    short = "path"

    path: Path | None = None
    """Its file, or a folder of Parquet shards."""
    query: str | None = None
    """The select statement that gives it instead, from the same database as the events."""
    unmatched: Unmatched = "drop"
    """What becomes of labels without events and events without a label: drop (counted, their rows
    named in the log) or fail."""

    @model_validator(mode="after")
    def _one_place(self) -> LabelTable:
        if (self.path is None) == (self.query is None):
            raise ValueError("give either path or query" + (", not both" if self.path else ""))
        return self


class StayColumns(SampleColumns):
    """The columns of the events (stay, time, variable, value, unit) and of the labels (others)."""

    stay: str | None = None
    """The stay's id, among events and labels; by default ``stay``, or ``subject_id`` in meds."""
    time: str | None = None
    """The event's time; by default ``time``. ``row`` in a wide layout of text: rows are consecutive
    hours."""
    variable: str | None = None
    """What was measured; by default ``variable``, or ``code`` in meds."""
    value: str | None = None
    """The number measured; by default ``value``, or ``numeric_value`` in meds."""
    unit: str | None = None
    """The value's unit; a variable in two units is refused."""
    admission: str | None = None
    """The date of admission, from which hours count; for splits by time."""
    discharge: str | None = None
    """The end of the stay; later events are not used."""
    prediction_time: str = "prediction_time"
    """The time of prediction, with ``index: prediction``."""


class IndexEvent(ParameterGroup):
    """The event that the window ends before."""

    event: str
    """Its code, or a regular expression that codes match."""
    which: Literal["first", "last"] = "first"
    """The stay's first or last such event."""


class InputWindow(ParameterGroup):
    """What is known at the prediction: from when to when, in which steps."""

    index: Index | IndexEvent | None = None
    """What places the window: the first event (hour 0, where times are hours) or the admission,
    which it begins at; the time of prediction, which it ends before; an event, which it ends
    before: ``{event: "ICU//IN"}``; or every_step: a prediction at every hour, each a sample
    ``<stay>@<hour>``. By default the first event, in meds the prediction."""
    hours: Hours = 48.0
    """Its length, in hours."""
    step_hours: Hours = 1.0
    """Length of one time step, in hours."""
    gap_hours: Annotated[float, Field(ge=0)] = 0.0
    """Hours between its end and what is predicted: with ``index: prediction`` those before the
    prediction, else those from the prediction to the target window."""
    every_hours: Hours | None = None
    """With ``index: every_step``, hours between predictions; by default ``step_hours``. Each sees
    the ``hours`` before it, NaN before the stay began."""
    first_prediction_hours: Hours | None = None
    """The first one, in hours since the stay's start (its admission, if given, else its first
    event); by default ``every_hours``."""
    last_prediction_hours: Hours | None = None
    """The last one; by default when the stay's observation ends."""

    @model_validator(mode="after")
    def _steps_fit(self) -> InputWindow:
        steps = self.hours / self.step_hours
        if steps > limit("STEPS"):
            raise ValueError(
                f"{self.hours:g} hours are {steps:,.0f} steps of {self.step_hours:g} hours, more "
                f"than {limit('STEPS'):,.0f}. {raised('STEPS')}"
            )
        if self.index != "every_step":
            for name in _STEPS:
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} is for predictions at every step: index: every_step")
            return self
        for name in ("hours", *_STEPS):
            self.check_whole(name, getattr(self, name))
        first, last = self.first_prediction_hours, self.last_prediction_hours
        if first is not None and last is not None and last < first:
            raise ValueError(f"last_prediction_hours ({last:g}) is before the first ({first:g})")
        return self

    def check_whole(self, name: str, hours: float | None) -> None:
        """Raise a ValueError if hours are no multiple of a time step."""
        steps = (hours or 0.0) / self.step_hours
        if not np.isclose(steps, round(steps)):
            raise ValueError(
                f"{name} ({hours:g}) must be a multiple of step_hours ({self.step_hours:g})"
            )


class Channels(ParameterGroup):
    """Which variables become inputs, and how several values within one step become one."""

    short = "include"

    include: tuple[str, ...] | str | None = None
    """Those that become channels, in this order, or a regular expression that their names match;
    by default all, sorted."""
    ignore: tuple[str, ...] = ()
    """Those that become no channel."""
    aggregate: Aggregate | dict[str, Aggregate] = "mean"
    """How several values within one step become one; for single variables, and for all others under
    ``"*"``: ``{"*": mean, Urine: sum}``. A count is 0 where there is no event, and events without a
    value count."""
    duplicates: Literal["keep", "drop", "fail"] = "keep"
    """What becomes of events with the same stay, time, variable and value: keep (counted where a
    variable is summed or counted), drop, or fail."""

    def aggregate_of(self, name: str) -> Aggregate:
        """How a variable's values become one."""
        if isinstance(self.aggregate, str):
            return self.aggregate
        return self.aggregate.get(name, self.aggregate.get("*", "mean"))

    @property
    def aggregates(self) -> set[Aggregate]:
        """All that are asked for."""
        if isinstance(self.aggregate, str):
            return {self.aggregate}
        return {self.aggregate.get("*", "mean"), *self.aggregate.values()}


class EventTarget(ParameterGroup):
    """What is predicted: a column of the labels (``died``), or what follows in the events."""

    short = "column"

    column: str | Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """The column of the labels to predict, or a list of several."""
    above: float | None = None
    """Predict whether the column, or the ``value``, is above this (label 1) or not (0)."""
    event: str | None = None
    """Whether an event of this code, or of one that matches this regular expression, occurs after
    the prediction (or gap) and within ``hours``; what occurs at that very moment has already
    happened."""
    onset: str | None = None
    """The column of the labels with the time at which what is predicted begins, empty where it does
    not: whether that is within ``hours``."""
    value: str | None = None
    """A variable whose ``aggregate`` in the target window, which begins with the prediction, is
    predicted: ``{value: Lactate, aggregate: max, hours: 12}``."""
    aggregate: Aggregate = "max"
    """Which of the ``value``'s measurements."""
    course: tuple[str, ...] = ()
    """Variables whose values in the target window are predicted, step by step as the inputs go on:
    ``HR +1 h``, ``MAP +1 h``, ``HR +2 h``; NaN where not measured."""
    flag: str | None = None
    """With ``index: every_step``, the measured column of 0 and 1 whose value at the hour of the
    prediction is the label; it is never an input."""
    hours: Hours | None = None
    """Length of the target window, in hours. With ``flag``: how long before the onset the label
    turns 1; hours from the onset on are then left out."""
    censoring: Literal["drop", "negative"] = "drop"
    """What becomes of samples whose stay ends (``discharge``, else its last event) before the
    target window does, without the event: drop (counted), as nobody knows; or negative, as where a
    stay's end is known to exclude it."""
    prevalent: Literal["drop", "keep"] = "drop"
    """What becomes of samples whose event has occurred before the target window: drop (counted), or
    keep, to predict the next one."""

    @property
    def kinds(self) -> list[str]:
        """The parameters that say what is predicted."""
        return [n for n in ("column", "event", "onset", "value", "course", "flag")
                if getattr(self, n)]  # fmt: skip

    @property
    def windowed(self) -> bool:
        """Whether it lies in a window after the prediction."""
        return not self.flag and bool(self.event or self.onset or self.value or self.course)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the labels to predict."""
        return (self.column,) if isinstance(self.column, str) else self.column or ()

    @model_validator(mode="after")
    def _no_contradictions(self) -> EventTarget:
        for problem in self._problems():
            raise ValueError(problem)
        return self

    def _problems(self) -> list[str]:
        kinds, windowed = self.kinds, self.windowed
        if not kinds:
            return ["names nothing: give a column, event, onset, value, course or flag"]
        found = []
        if len(kinds) > 1 and set(kinds) != {"flag", "onset"}:
            found.append(f"{' and '.join(kinds)} are different things to predict: keep one of them")
        if windowed and self.hours is None:
            found.append(f"{kinds[0]} needs the length of the target window: hours")
        if self.hours is not None and not windowed and not self.flag:
            found.append("hours is the length of the window of event, onset, value or course: give "
                         "one of them")  # fmt: skip
        if self.above is not None and not (self.column or self.value):
            found.append(f"above goes with column or value, not with {kinds[0]}")
        if self.aggregate != "max" and not self.value:
            found.append("aggregate is that of value: it needs value, the name of a variable")
        for name in ("censoring", "prevalent"):
            if getattr(self, name) != "drop" and not (self.event or self.onset):
                found.append(f"{name} is about events: it goes with event or onset")
        return found


class StaticFeatures(ParameterGroup):
    """Variables that do not change during a stay: no channels but a second input."""

    short = "features"

    features: Annotated[tuple[str, ...], Field(min_length=1)]
    """Their names (age, kind of unit): the last value before the prediction, however long before
    it; or columns of ``table``."""
    categorical: tuple[str, ...] = ()
    """Those whose numbers are codes."""
    table: Path | None = None
    """A table with one row a stay of which they are columns instead; it is read again to predict,
    and must then hold the new stays."""

    @model_validator(mode="after")
    def _categories_are_features(self) -> StaticFeatures:
        strange = [name for name in self.categorical if name not in self.features]
        if strange:
            raise ValueError(f"categorical names '{strange[0]}', which features does not")
        return self

"""The prediction problem as declared: index, windows, target, censoring; contradictions refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from medkit.core.errors import DataError, did_you_mean
from medkit.core.lazy import pd
from medkit.datasets.events.grid.featurise import WAYS

Index = Literal["first_event", "admission", "prediction", "every_step"]
IndexEvent = dict[Literal["event", "which"], str]
TargetValue = dict[Literal["variable", "aggregate"], str]
Censoring = Literal["drop", "negative"]
Prevalent = Literal["drop", "keep"]

_WINDOWED = ("target_event", "onset", "target_value", "target_variables")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is predicted, from when to when; the fields are parameters of `events`.

    Raises:
        DataError: Declarations that contradict one another, or say too little.
    """

    index: Index | Mapping[Any, str]
    hours: float
    step_hours: float
    gap_hours: float = 0.0
    target: str | None = None
    targets: tuple[str, ...] = ()
    target_above: float | None = None
    target_event: str | None = None
    target_value: Mapping[Any, str] | None = None
    target_variables: tuple[str, ...] = ()
    target_hours: float | None = None
    target_column: str | None = None
    onset: str | None = None
    censoring: Censoring = "drop"
    prevalent: Prevalent = "drop"
    every_hours: float | None = None
    first_prediction_hours: float | None = None
    last_prediction_hours: float | None = None

    def __post_init__(self) -> None:
        _check_index(self)
        _check_target(self)
        if self.index == "every_step":
            _check_steps(self)
        else:
            for name in ("every_hours", "first_prediction_hours", "last_prediction_hours"):
                if getattr(self, name) is not None:
                    raise _refused(f"{name} is for predictions at every step: index: every_step")

    @property
    def event(self) -> str | None:
        """The code or regular expression of the index event; None with another index."""
        return None if isinstance(self.index, str) else self.index["event"]

    @property
    def which(self) -> str:
        """Which of a stay's index events counts."""
        return "first" if isinstance(self.index, str) else self.index.get("which", "first")

    @property
    def ways(self) -> set[str]:
        """Aggregates that the reading of events has to provide for."""
        # Events without a value are read where they are counted; those looked for may have none.
        events = {"count"} if self.event or self.target_event else set()
        return events | (
            {self.target_value.get("aggregate", "max")} if self.target_value else set()
        )

    @property
    def windowed(self) -> bool:
        """Whether the target lies in a window after the prediction."""
        return any(getattr(self, name) for name in _WINDOWED)

    @property
    def labelled(self) -> bool:
        """Whether there is a target, of whichever kind."""
        return self.windowed or bool(self.target or self.targets or self.target_column)

    @property
    def looked_for(self) -> dict[str, str]:
        """Names or patterns of the events that are looked for, by parameter."""
        value = (self.target_value or {}).get("variable")
        named = {
            "index.event": self.event,
            "target_event": self.target_event,
            "target_value.variable": value,
            "target_column": self.target_column,
        }
        return {name: pattern for name, pattern in named.items() if pattern is not None}

    def needs(self, name: str) -> bool:
        """Whether events of this name are read for the problem itself, inputs or not."""
        if name in self.target_variables:
            return True
        return any(
            name == pattern or (key in ("index.event", "target_event") and _found(pattern, name))
            for key, pattern in self.looked_for.items()
        )

    def emptied(self, variables: pd.DataFrame, chosen: tuple[str, ...] | str | None) -> set[str]:
        """Codes of the target event that no input window can hold, since its samples are dropped.

        Those that are listed by name stay channels.
        """
        pattern = self.target_event
        if pattern is None or self.prevalent == "keep" or isinstance(chosen, tuple):
            return set()
        names = set(variables["name"])
        return {pattern} if pattern in names else {n for n in names if _found(pattern, n)}

    @property
    def span(self) -> str:
        """The input window in words."""
        hours = f"{self.hours:g} h"
        if self.index == "every_step":
            return "the hours up to the last prediction"
        if self.event is not None:
            return f"the {hours} before the index event"
        if self.index != "prediction":
            return f"the first {hours}"
        gap = f", {self.gap_hours:g} h" if self.gap_hours else ""
        return f"the {hours}{gap} before the prediction"

    @property
    def horizon(self) -> str:
        """The target window in words."""
        if self.gap_hours and self.index != "prediction":
            return f"in the {self.target_hours:g} h from {self.gap_hours:g} h after the prediction"
        return f"in the {self.target_hours:g} h after the prediction"


def declared(parameters: Mapping[str, Any]) -> None:
    """Check what the parameters of `events` declare, before any data are read.

    Raises:
        DataError: Declarations that contradict one another, or say too little.
    """
    given = {each.name: parameters[each.name] for each in fields(Problem)}
    usual = "prediction" if parameters["layout"] == "meds" else "first_event"
    problem = Problem(**{**given, "index": given["index"] or usual})
    _check_idle(parameters, problem)


def _check_idle(parameters: Mapping[str, Any], problem: Problem) -> None:
    """Refuse parameters that would do nothing, or the opposite of what they say."""
    static = set(parameters["static"])
    for name in ("static_table", "static_categorical"):
        if parameters[name] and not static:
            raise _refused(f"{name} is about static features: it needs static, their names")
    variables = parameters["variables"]
    both = sorted(static & set(variables if isinstance(variables, tuple) else ()))
    if both and not parameters["static_table"]:
        raise _refused(
            f"'{both[0]}' stands in variables and in static: it is either a channel or does not "
            "change during a stay"
        )
    if parameters["form"] == "triplets" and problem.index == "every_step":
        raise _refused("index: every_step needs form: grid, of which each prediction sees a part")
    if parameters["labels"] or parameters["labels_query"] or not problem.labelled:
        return
    for name in ("admission", "discharge", "site", "attributes"):
        if parameters[name]:
            raise _refused(f"{name} is read from labels: it needs labels, or labels_query")
    if problem.index == "prediction":
        raise _refused(
            "index: prediction needs labels, whose column prediction_time says when; without, "
            "every stay is predicted after its last event, and nothing follows"
        )


def names_of(pattern: str, variables: pd.DataFrame, parameter: str, path: Path) -> list[str]:
    """The variables that a code or regular expression names, sorted.

    Args:
        pattern: A variable's name, or else a regular expression that names match.
        variables: As in `FoundEvents`.
        parameter: What is looked for, for messages.
        path: Where the events are, for messages.

    Raises:
        DataError: No such event anywhere.
    """
    known = sorted(set(variables["name"][variables["events"] > 0]))
    found = [pattern] if pattern in known else [name for name in known if _found(pattern, name)]
    if not found:
        raise DataError(
            f"{parameter}: no event is called '{pattern}', or matches it as a regular expression"
            f"{did_you_mean(pattern, known)}",
            place=str(path),
            hint=f"There are: {', '.join(known[:40])}{', ...' if len(known) > 40 else ''}.",
        )
    return found


def shown(pattern: str, names: list[str]) -> str:
    """``'DX//A41' (3 codes)``."""
    more = f" ({len(names)} codes)" if names != [pattern] else ""
    return f"'{pattern}'{more}"


def _found(pattern: str, name: str) -> bool:
    try:
        return re.search(pattern, name) is not None
    except re.error:  # a plain code with such signs
        return False


def _check_index(problem: Problem) -> None:
    if isinstance(problem.index, str):
        return
    if not problem.index.get("event"):
        raise _refused("index: {event: CODE} needs the code: event")
    which = problem.index.get("which", "first")
    if which not in ("first", "last"):
        raise _refused(f"index.which must be first or last; got '{which}'")


def _check_target(problem: Problem) -> None:
    given = [
        name
        for name in ("target", "targets", "target_event", "target_value", "target_variables",
                     "target_column", "onset")
        if getattr(problem, name)
    ]  # fmt: skip
    if problem.target and problem.targets:
        raise _refused("give either target or targets, not both")
    if len(given) > 1 and set(given) != {"target_column", "onset"}:
        raise _refused(
            f"{' and '.join(given)} say different things to predict",
            "Keep one of them: a run has one kind of target.",
        )
    window = [name for name in given if name in _WINDOWED and "target_column" not in given]
    if window and problem.target_hours is None:
        raise _refused(
            f"{window[0]} needs the length of the target window: target_hours",
            "It is looked for in the target_hours after the prediction.",
        )
    if problem.target_hours is not None and not window and "target_column" not in given:
        raise _refused(
            "target_hours is the length of the window of target_event, target_value, "
            "target_variables or onset: give one of them"
        )
    if problem.gap_hours and given and not window and problem.index != "prediction":
        raise _refused(
            "gap_hours is the time between the window and the prediction: it needs "
            "index: prediction, or a target window, as that of target_event"
        )
    if problem.target_above is not None and not set(given) & {"target", "targets", "target_value"}:
        raise _refused(
            "target_above needs a target column" if not given
            else f"target_above goes with target, targets or target_value, not with {given[0]}"
        )  # fmt: skip
    if not {"target_event", "onset"} & set(given):
        for name, default in (("censoring", "drop"), ("prevalent", "drop")):
            if getattr(problem, name) != default:
                raise _refused(f"{name} is about events: it goes with target_event or onset")
    if problem.target_column and problem.index != "every_step":
        raise _refused(
            "target_column is a label at every hour: it needs index: every_step",
            "A label of the whole stay is a column of labels: target.",
        )
    _check_value(problem)
    if problem.target_variables:
        _whole(problem, "target_hours", problem.target_hours)


def _check_value(problem: Problem) -> None:
    if problem.target_value is None:
        return
    if not problem.target_value.get("variable"):
        raise _refused("target_value needs the name of a variable: {variable: Lactate}")
    way = problem.target_value.get("aggregate", "max")
    if way not in WAYS:
        raise _refused(f"target_value.aggregate must be {', '.join(WAYS)}; got '{way}'")


def _check_steps(problem: Problem) -> None:
    _whole(problem, "hours", problem.hours)
    for name in ("every_hours", "first_prediction_hours", "last_prediction_hours"):
        value = getattr(problem, name)
        if value is not None:
            _whole(problem, name, value)
    first, last = problem.first_prediction_hours, problem.last_prediction_hours
    if first is not None and last is not None and last < first:
        raise _refused(f"last_prediction_hours ({last:g}) is before the first ({first:g})")


def _whole(problem: Problem, name: str, value: float | None) -> None:
    steps = (value or 0.0) / problem.step_hours
    if not np.isclose(steps, round(steps)):
        raise _refused(
            f"{name} ({value:g}) must be a multiple of step_hours ({problem.step_hours:g})"
        )


def _refused(message: str, hint: str | None = None) -> DataError:
    return DataError(message, place="dataset", hint=hint)

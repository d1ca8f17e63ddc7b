"""The prediction problem as declared: index, windows, target; contradictions are refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medkit.core.errors import DataError, did_you_mean
from medkit.core.lazy import pd
from medkit.datasets.events.parameters import Channels, EventTarget, IndexEvent, InputWindow
from medkit.datasets.events.sources.found import FoundEvents

# Where nothing is predicted; by itself a target must name something.
NO_TARGET = EventTarget.model_construct()


@dataclass(frozen=True)
class PredictionProblem:
    """What is predicted, from when to when.

    Args:
        window: The input window.
        index: What places it, decided.
        target: What is predicted.
        variables: How several values of a variable become one.
        wide: Whether every variable is a column of the events.
    """

    window: InputWindow
    index: str | IndexEvent
    target: EventTarget
    variables: Channels
    wide: bool

    @property
    def event(self) -> str | None:
        """The code or regular expression of the index event; None with another index."""
        return None if isinstance(self.index, str) else self.index.event

    @property
    def aggregates(self) -> set[str]:
        """Aggregates that the reading of events has to provide for."""
        # Events without a value are read where they are counted; those looked for may have none.
        events = {"count"} if self.event or self.target.event else set()
        return events | ({self.target.aggregate} if self.target.value else set())

    @property
    def labelled(self) -> bool:
        """Whether there is a target, of whichever kind."""
        return bool(self.target.kinds)

    def needs(self, name: str) -> bool:
        """Whether events of this name are read for the problem itself, inputs or not."""
        target = self.target
        if name in (*target.course, target.value, target.flag):
            return True
        return any(
            pattern is not None and (name == pattern or _found(pattern, name))
            for pattern in (self.event, target.event)
        )

    def emptied(self, variables: pd.DataFrame, chosen: tuple[str, ...] | str | None) -> set[str]:
        """Codes of the target event that no input window can hold, since its samples are dropped.

        Those that are listed by name stay channels.
        """
        pattern = self.target.event
        if pattern is None or self.target.prevalent == "keep" or isinstance(chosen, tuple):
            return set()
        names = set(variables["name"])
        return {pattern} if pattern in names else {n for n in names if _found(pattern, n)}

    @property
    def span(self) -> str:
        """The input window in words."""
        hours = f"{self.window.hours:g} h"
        if self.index == "every_step":
            return "the hours up to the last prediction"
        if self.event is not None:
            return f"the {hours} before the index event"
        if self.index != "prediction":
            return f"the first {hours}"
        gap = f", {self.window.gap_hours:g} h" if self.window.gap_hours else ""
        return f"the {hours}{gap} before the prediction"

    @property
    def horizon(self) -> str:
        """The target window in words."""
        hours, gap = f"in the {self.target.hours:g} h", self.window.gap_hours
        if gap and self.index != "prediction":
            return f"{hours} from {gap:g} h after the prediction"
        return f"{hours} after the prediction"


def problem_of(parameters: Mapping[str, Any]) -> PredictionProblem:
    """The problem that the parameters of `events` declare.

    Raises:
        DataError: Groups that contradict one another, or that would do nothing.
    """
    window, labels = parameters["window"], parameters["labels"]
    layout, variables = parameters["source"].layout, parameters["variables"]
    meds = layout == "meds"
    index = window.index or ("prediction" if meds else "first_event")
    target = parameters["target"]
    if target is None:
        target = EventTarget(column="boolean_value") if meds and labels else NO_TARGET
    problem = PredictionProblem(window, index, target, variables, layout == "wide")
    _check_windows(problem)
    _check_labels(problem, parameters)
    static, chosen = parameters["static"], variables.include
    if static is not None and static.table is None and isinstance(chosen, tuple):
        both = sorted(set(static.features) & set(chosen))
        if both:
            raise _refused(f"'{both[0]}' stands in variables and in static: it is either a channel "
                           "or does not change during a stay")  # fmt: skip
    if parameters["form"] == "triplets" and index == "every_step":
        raise _refused("index: every_step needs form: grid, of which each prediction sees a part")
    return problem


def _check_windows(problem: PredictionProblem) -> None:
    window, target = problem.window, problem.target
    if window.gap_hours and target.kinds and not target.windowed and problem.index != "prediction":
        raise _refused(
            "window.gap_hours is the time between the window and the prediction: it needs "
            "index: prediction, or a target window, as that of target.event"
        )
    if target.flag and problem.index != "every_step":
        raise _refused(
            "target.flag is a label at every hour: it needs window.index: every_step",
            "A label of the whole stay is a column of labels: target.column.",
        )
    if target.course:
        try:
            window.check_whole("target.hours", target.hours)
        except ValueError as error:
            raise _refused(str(error)) from None


def _check_labels(problem: PredictionProblem, parameters: Mapping[str, Any]) -> None:
    """Refuse what is read from labels where there are none, and labels without what they need."""
    target, columns = problem.target, parameters["columns"]
    if parameters["labels"] is not None:
        if problem.index == "admission" and columns.admission is None:
            raise _refused("index: admission needs the column of labels with it: columns.admission")
        return
    for name in ("column", "onset"):
        if getattr(target, name):
            raise _refused(f"target.{name} is a column of labels: it needs labels")
    if not problem.labelled:
        return
    for name in ("admission", "discharge", "site", "attributes"):
        if getattr(columns, name):
            raise _refused(f"columns.{name} is read from labels: it needs labels")
    if problem.index == "prediction":
        raise _refused(
            "index: prediction needs labels, whose column prediction_time says when; without, "
            "every stay is predicted after its last event, and nothing follows"
        )


def names_of(pattern: str, events: FoundEvents, parameter: str) -> list[str]:
    """The variables that a code or regular expression names, sorted.

    Args:
        pattern: A variable's name, or else a regular expression that names match.
        events: The events.
        parameter: What is looked for, for messages.

    Raises:
        DataError: No such event anywhere.
    """
    variables = events.variables
    known = sorted(set(variables["name"][variables["events"] > 0]))
    found = [pattern] if pattern in known else [name for name in known if _found(pattern, name)]
    if not found:
        raise DataError(
            f"{parameter}: no event is called '{pattern}', or matches it as a regular expression"
            f"{did_you_mean(pattern, known)}",
            place=str(events.place),
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


def _refused(message: str, hint: str | None = None) -> DataError:
    return DataError(message, place="dataset", hint=hint)

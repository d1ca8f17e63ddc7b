"""Events as a source gives them to the featurisation, and what is checked on the way."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medkit.core.errors import DataError, did_you_mean
from medkit.core.lazy import pd

if TYPE_CHECKING:
    import narwhals as nw

MICROSECONDS_AN_HOUR = 3.6e9


@dataclass(frozen=True)
class FoundEvents:
    """Events not yet on a grid.

    Args:
        place: Where they are, for messages.
        frame: Lazy ``stay`` (key), ``time`` (hours, or int64 microseconds), ``variable`` (key),
            ``value`` (float64) and, where asked for, ``row``.
        keys: ``stay`` (key), ``code``: several keys may write the same id.
        stays: The stays' ids as text, by code.
        first: Time of each stay's first event, by code.
        last: Time of each stay's last event, by code.
        variables: ``variable`` (key), ``name``, ``events`` (with a time), ``usable`` (with a
            value too), ``low`` and ``high`` (lowest and highest value).
        timestamps: Whether ``time`` is in microseconds since 1970 rather than in hours.
        zoned: Whether the timestamps carry a time zone.
        files: File name -> sha256.
        units: The unit column's unit by variable.
        notes: What a reader of the run should know.
        key: A hash of where they are from and how they were read.
        descriptions: What a variable is in words, where its source says so.
    """

    place: Path
    frame: nw.LazyFrame[Any]
    keys: pd.DataFrame
    stays: np.ndarray
    first: np.ndarray
    last: np.ndarray
    variables: pd.DataFrame
    timestamps: bool
    zoned: bool | None
    files: dict[str, str]
    units: Mapping[str, str]
    notes: tuple[str, ...] = ()
    key: str = ""
    descriptions: Mapping[str, str] = field(default_factory=dict)

    @property
    def unit(self) -> float:
        """What an hour is in ``time``."""
        return MICROSECONDS_AN_HOUR if self.timestamps else 1.0


def channels_of(
    events: FoundEvents,
    chosen: tuple[str, ...] | str | None,
    without_value: Callable[[str], bool],
    labelled: bool = True,
    excluded: Collection[str] = (),
) -> list[str]:
    """The names that become channels: those listed, those that match a pattern, or all, sorted.

    Args:
        events: The events.
        chosen: Names, a regular expression, or None.
        without_value: Whether a variable's events count even without a value.
        labelled: Whether to train: a name may then not be absent.
        excluded: Variables that are no channels.

    Raises:
        DataError: No event has a value, a name is absent (if ``labelled``), or no name matches.
    """
    path, variables = events.place, events.variables
    variables = variables[~variables["name"].isin(excluded)]
    counts = variables["name"].map(without_value).astype(bool) & (variables["events"] > 0)
    known = sorted(set(variables["name"][(variables["usable"] > 0) | counts]))
    if chosen is None:
        if not known:
            raise DataError("no event has a value", place=str(path))
        return known
    if isinstance(chosen, str):
        try:
            found = [name for name in known if re.search(chosen, name)]
        except re.error as error:
            raise DataError(
                f"variables: '{chosen}' is not a regular expression: {error}", place="dataset"
            ) from error
        if not found:
            raise DataError(
                f"no variable matches '{chosen}'",
                place=str(path),
                hint=f"It has: {', '.join(known[:40])}.",
            )
        return found
    absent = [name for name in chosen if name not in known]
    if absent and labelled:
        raise DataError(
            f"no event of a variable called '{absent[0]}'{did_you_mean(absent[0], known)}",
            place=str(path),
            hint=f"It has: {', '.join(known[:40])}.",
        )
    return list(chosen)


def one_unit_each(found: pd.DataFrame, given: Mapping[str, str], path: Path) -> dict[str, str]:
    """The unit of each variable, from a column of units.

    Args:
        found: The combinations found: ``name``, ``unit``, and ``count`` of the events with them.
        given: Units the user states.

    Raises:
        DataError: A variable in two units, or in another than the one stated.
    """
    found = found.assign(unit=found["unit"].astype("str").str.strip())
    counts = found[found["unit"] != ""].groupby(["name", "unit"], as_index=False)["count"].sum()
    units: dict[str, str] = {}
    for key, of_name in counts.groupby("name"):
        name, several = str(key), dict(zip(of_name["unit"], of_name["count"], strict=True))
        if len(several) > 1:
            shown = ", ".join(f"{unit} ({count} events)" for unit, count in several.items())
            raise DataError(
                f"variable '{name}' is given in {len(several)} units: {shown}",
                place=str(path),
                hint="Convert its values to one unit, or give each unit a variable name of its "
                "own.",
            )
        (unit,) = several
        if given.get(name, unit) != unit:
            raise DataError(
                f"variable '{name}' is given in {unit}, where dataset.values.units says "
                f"{given[name]}",
                place=str(path),
            )
        units[name] = unit
    return units


def unused_note(count: int, lacking: str) -> tuple[str, ...]:
    """``('3 events without a time are not used',)`` or ``()``."""
    return (f"{count} events without a {lacking} are not used",) if count else ()


def unitless_notes(bare: pd.Series, units: Mapping[str, str]) -> tuple[str, ...]:
    """A note where some of a variable's events have a unit and others (``bare``) have none."""
    found = [f"{bare[name]} {name} ({units[name]})" for name in sorted(units) if bare.get(name, 0)]
    return (f"events without a unit, taken as the variable's others: {', '.join(found)}",) * bool(
        found
    )

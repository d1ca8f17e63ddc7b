"""Events read by the careful readers (text, archives), cleaned and handed to an engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.core.values import is_sentinel
from medkit.datasets.events.sources.found import (
    FoundEvents,
    one_unit_each,
    unitless_notes,
    unused_note,
)
from medkit.datasets.events.sources.source import EventSource
from medkit.datasets.events.times import times_of
from medkit.readers.engines import to_engine


def measured_events(
    frame: pd.DataFrame, source: EventSource, files: dict[str, str]
) -> tuple[FoundEvents, pd.DataFrame]:
    """The events of a frame ``stay, time, variable, value[, unit]``, and the cleaned frame.

    Args:
        frame: Events as read, the index numbering their rows in the file.
        source: Where they are from.
        files: Its fingerprints.

    Raises:
        DataError: Values or times that cannot be read, infinite values, two units of a variable.
    """
    path, columns = source.path, source.columns
    without_value = "count" in source.aggregates  # they may be counted
    codes, stays = pd.factorize(frame["stay"])
    variables, values = frame["variable"], frame["value"]
    meant = (variables.notna() & ~variables.isin(source.ignore)).to_numpy()
    given = values.notna().to_numpy() & ~_stood_in(variables, values, source.missing_values)
    named = frame["time"].rename(columns.time)
    times, timestamps, zoned = times_of(named, str(path), source.time_format)
    timed = times.notna().to_numpy()
    numbers = _numbers(values, variables, meant & given & timed, columns.value, path)
    kept = meant & timed & (given | without_value)
    names = variables[kept].astype("str").str.strip().astype("category")
    of_unit: dict[str, str] = {}
    nameless = variables.isna().to_numpy() & given & timed
    notes = unused_note(int(nameless.sum()), "variable")
    if columns.unit:
        units_of = frame["unit"][kept].astype("str").where(frame["unit"][kept].notna(), "")
        found = pd.DataFrame({"name": names.astype("str"), "unit": units_of})
        counts = found[given[kept]].value_counts(["name", "unit"]).reset_index(name="count")
        of_unit = one_unit_each(counts, source.units, path)
        bare = counts[counts["unit"].str.strip() == ""].groupby("name")["count"].sum()
        notes = (*notes, *unitless_notes(bare, of_unit))
    moments = times.to_numpy()
    limits = pd.Series(moments).groupby(codes).agg(["min", "max"])
    events = pd.DataFrame(
        {
            "stay": codes[kept].astype("int64"),
            "time": moments[kept].astype("int64" if timestamps else "float64"),
            "variable": names.cat.codes.to_numpy().astype("int64"),
            "value": numbers[kept],
            "row": np.flatnonzero(kept),
        }
    )
    known = events.assign(usable=given[kept]).groupby("variable", as_index=False).agg(
        events=("row", "size"), usable=("usable", "sum"), low=("value", "min"),
        high=("value", "max"),
    )  # fmt: skip
    known["name"] = names.cat.categories[known["variable"]]
    found_events = FoundEvents(
        path,
        to_engine(events, source.engine),
        pd.DataFrame({"stay": np.arange(len(stays)), "code": np.arange(len(stays))}),
        np.asarray(stays, dtype=object),
        limits["min"].to_numpy(),
        limits["max"].to_numpy(),
        known,
        timestamps,
        zoned,
        files,
        of_unit,
        (*notes, *unused_note(int((meant & given & ~timed).sum()), "time")),
    )
    return found_events, events


def _stood_in(
    variables: pd.Series, values: pd.Series, missing_values: Mapping[str, tuple[Any, ...]]
) -> np.ndarray:
    found = is_sentinel(values, missing_values.get("*", ())).to_numpy(copy=True)
    for name in set(missing_values) - {"*"}:
        of_name = np.flatnonzero((variables == name).to_numpy())
        found[of_name] |= is_sentinel(values.iloc[of_name], missing_values[name]).to_numpy()
    return found


def _numbers(
    values: pd.Series, variables: pd.Series, used: np.ndarray, column: str, path: Path
) -> np.ndarray:
    """Values as float64, NaN where not ``used``."""
    numbers = np.full(len(values), np.nan)
    numbers[used] = pd.to_numeric(values[used], errors="coerce").to_numpy(dtype="float64")
    for wrong, what, hint in (
        (
            used & np.isnan(numbers),
            "texts where numbers are expected",
            "List the variable under ignore, or the text under missing_values.",
        ),
        (used & np.isinf(numbers), "infinite values", None),
    ):
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            raise DataError(
                f"column '{column}' has {int(wrong.sum())} {what} (first at row "
                f"{values.index[first]}, variable '{variables.iloc[first]}')",
                place=str(path),
                hint=hint,
            )
    return numbers

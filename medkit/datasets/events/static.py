"""What does not change during a stay: from the events up to the prediction, or from a table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.data.cohort import Feature, RawInput
from medkit.datasets.events.grid.featurise import Window
from medkit.datasets.events.grid.grid import Gridded, GridPlan, gridded
from medkit.datasets.events.parameters import StaticFeatures
from medkit.datasets.events.sources.found import FoundEvents
from medkit.datasets.events.windows import Windows, reaching_back
from medkit.datasets.parameters import Values
from medkit.datasets.table.dictionary import TableValues
from medkit.datasets.table.parameters import TableColumns
from medkit.datasets.table.table import table
from medkit.readers.values import as_category, as_identifier, sentinels_of

# Two centuries: nothing that is known of a patient is older.
_HOURS_BACK = 200 * 365.25 * 24


def among_events(static: StaticFeatures | None) -> tuple[str, ...]:
    """The variables that are static features, and so no channels."""
    return () if static is None or static.table else static.features


def static_seen(
    static: StaticFeatures | None, found: FoundEvents, plan: GridPlan, windows: Windows
) -> np.ndarray:
    """(positions,) where any of these variables has an event before the prediction."""
    everywhere, names = np.arange(len(windows.stays)), among_events(static)
    if not names:
        return np.zeros(len(everywhere), dtype=bool)
    return _known(names, found, plan, windows, everywhere).present


def static_input(
    static: StaticFeatures,
    stay: str,
    found: FoundEvents,
    plan: GridPlan,
    windows: Windows,
    positions: np.ndarray,
    values: Values,
) -> tuple[RawInput, dict[str, str]]:
    """The input ``static`` of the samples, and the file it is from, if one of its own.

    Args:
        static: Which features.
        stay: The column with the stay's id.
        found: The events.
        plan: What the grid holds; its channels are others than these.
        windows: The windows of each position.
        positions: Position of each sample.
        values: What the numbers mean.

    Raises:
        DataError: A stay has no row in the table, or it cannot be read.
    """
    if static.table is None:
        return _of_events(static, found, plan, windows, positions, values), {}
    stays = np.asarray(found.stays, dtype=object)[windows.stays[positions]]
    return _of_table(static, static.table, stay, stays, values)


def _known(
    names: tuple[str, ...],
    found: FoundEvents,
    plan: GridPlan,
    windows: Windows,
    positions: np.ndarray,
) -> Gridded:
    """The static variables of each position, as a grid of one step."""
    window = Window(_HOURS_BACK, _HOURS_BACK, found.unit)
    own = replace(
        plan, names=list(names), aggregates=["last"] * len(names), duplicates="keep", window=window
    )
    axis = reaching_back(found, windows, positions, _HOURS_BACK)
    return gridded(found, own, axis, None, "")


def _of_events(
    static: StaticFeatures,
    found: FoundEvents,
    plan: GridPlan,
    windows: Windows,
    positions: np.ndarray,
    values: Values,
) -> RawInput:
    """The last value of each variable before the prediction, however long before it."""
    names, categorical = static.features, static.categorical
    grid = _known(names, found, plan, windows, positions)
    columns: dict[str, pd.Series] = {}
    features = []
    for position, name in enumerate(names):
        column = pd.Series(np.asarray(grid.values[:, 0, position], dtype="float64"))
        if name in categorical:
            columns[name] = as_category(column)
            features.append(Feature(name, "categorical"))
            continue
        columns[name] = column
        features.append(number_of(name, found, values))
    return RawInput("tabular", pd.DataFrame(columns), tuple(features))


def number_of(name: str, found: FoundEvents, values: Values) -> Feature:
    """What is known of a variable whose values are numbers."""
    low, high = values.ranges.get(name, (None, None))
    unit = values.units.get(name, found.units.get(name))
    sentinels = sentinels_of(values.missing_values, name)
    return Feature(
        name, unit=unit, low=low, high=high, outside=values.outside, missing_values=sentinels
    )


def _of_table(
    static: StaticFeatures, path: Path, stay: str, stays: np.ndarray, values: Values
) -> tuple[RawInput, dict[str, str]]:
    """Columns of a table with one row a stay: one row a sample; and file name -> sha256.

    ``stays`` (n,) is the stay of each sample, as text.
    """
    named = ("*", *static.features)
    settings = {
        key: {name: each for name, each in getattr(values, key).items() if name in named}
        for key in ("units", "ranges", "missing_values")
    }
    columns = TableColumns(id=stay, inputs=static.features, categorical=static.categorical)
    given = TableValues(outside=values.outside, **settings)
    cohort = table(path=path, columns=columns, values=given)
    known = pd.Index(as_identifier(pd.Series(cohort.samples.index.astype(object))))
    rows = known.get_indexer(pd.Index(stays))
    absent = np.flatnonzero(rows < 0)
    if len(absent):
        raise DataError(
            f"{len(absent)} of {len(stays)} stays have no row (the first is sample "
            f"{absent[0] + 1})",
            place=str(path),
            hint="Add a row for each; its values may be left empty.",
        )
    return cohort.inputs["tabular"].take(rows), dict(cohort.source.files)

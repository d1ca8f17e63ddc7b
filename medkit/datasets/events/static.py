"""What does not change during a stay: from the events up to the prediction, or from a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.data.cohort import Feature, RawInput
from medkit.datasets.events.grid.featurise import Window
from medkit.datasets.events.grid.grid import Gridded, Plan, gridded
from medkit.datasets.events.sources.found import FoundEvents
from medkit.datasets.events.windows import Windows, reaching_back
from medkit.datasets.table.dictionary import TableValues
from medkit.datasets.table.parameters import TableColumns
from medkit.datasets.table.table import table
from medkit.readers.values import as_category, as_identifier, sentinels_of

# Two centuries: nothing that is known of a patient is older.
_HOURS_BACK = 200 * 365.25 * 24


class Static(NamedTuple):
    """Which features stand beside the series.

    Args:
        names: The variables, or columns of ``table``.
        categorical: Those whose numbers are codes.
        table: A table with one row a stay; None: they are among the events.
        stay: Its column with the stay's id.
    """

    names: tuple[str, ...]
    categorical: tuple[str, ...]
    table: Path | None
    stay: str

    @property
    def among_events(self) -> tuple[str, ...]:
        """The variables that are no channels."""
        return () if self.table else self.names

    def seen(self, found: FoundEvents, plan: Plan, windows: Windows, path: Path) -> np.ndarray:
        """(places,) where any of these variables has an event before the prediction."""
        everywhere = np.arange(len(windows.stays))
        if not self.among_events:
            return np.zeros(len(everywhere), dtype=bool)
        return _known(self, found, plan, windows, everywhere, path).present

    def beside(
        self,
        found: FoundEvents,
        plan: Plan,
        windows: Windows,
        places: np.ndarray,
        path: Path,
        units: Mapping[str, str],
        missing_values: Mapping[str, tuple[Any, ...]] | None,
    ) -> tuple[dict[str, RawInput], dict[str, str]]:
        """The input ``static`` of the samples, if any, and the file it is from.

        Args:
            found: The events.
            plan: What the grid holds; its channels are others than these.
            windows: The windows of each place.
            places: Place of each sample.
            path: Where the events are, for messages.
            units: Unit by variable.
            missing_values: Values that mean 'missing', by variable.

        Raises:
            DataError: A stay has no row in the table, or it cannot be read.
        """
        strange = [name for name in self.categorical if name not in self.names]
        if strange:
            raise DataError(
                f"static_categorical names '{strange[0]}', which static does not",
                place="dataset",
                hint="Name it in both.",
            )
        if not self.names:
            return {}, {}
        if self.table is None:
            raw = _of_events(self, found, plan, windows, places, path, units, missing_values)
            return {"static": raw}, {}
        stays = np.asarray(found.stays, dtype=object)[windows.stays[places]]
        known = {name: units[name] for name in self.names if name in units}
        ranges = {name: plan.ranges[name] for name in self.names if name in plan.ranges}
        stand_ins = {k: v for k, v in (missing_values or {}).items() if k in ("*", *self.names)}
        raw, files = _of_table(
            self,
            stays,
            TableValues(units=known, ranges=ranges, outside=plan.outside, missing_values=stand_ins),
        )
        return {"static": raw}, files


def _known(
    static: Static,
    found: FoundEvents,
    plan: Plan,
    windows: Windows,
    places: np.ndarray,
    path: Path,
) -> Gridded:
    """The static variables of each place, as a grid of one step."""
    names = list(static.names)
    window = Window(_HOURS_BACK, _HOURS_BACK, found.unit)
    own = replace(plan, names=names, ways=["last"] * len(names), duplicates="keep", window=window)
    axis = reaching_back(found, windows, places, _HOURS_BACK)
    return gridded(found, own, axis, None, path, "")


def _of_events(
    static: Static,
    found: FoundEvents,
    plan: Plan,
    windows: Windows,
    places: np.ndarray,
    path: Path,
    units: Mapping[str, str],
    missing_values: Mapping[str, tuple[Any, ...]] | None,
) -> RawInput:
    """The last value of each variable before the prediction, however long before it."""
    names, categorical = static.names, static.categorical
    grid = _known(static, found, plan, windows, places, path)
    columns: dict[str, pd.Series] = {}
    features = []
    for position, name in enumerate(names):
        column = pd.Series(np.asarray(grid.values[:, 0, position], dtype="float64"))
        if name in categorical:
            columns[name] = as_category(column)
            features.append(Feature(name, "categorical"))
            continue
        columns[name] = column
        low, high = plan.ranges.get(name, (None, None))
        unit = units.get(name, found.units.get(name))
        features.append(
            Feature(name, unit=unit, low=low, high=high, outside=plan.outside,
                    missing_values=sentinels_of(missing_values, name))
        )  # fmt: skip
    return RawInput("tabular", pd.DataFrame(columns), tuple(features))


def _of_table(
    static: Static, stays: np.ndarray, values: TableValues
) -> tuple[RawInput, dict[str, str]]:
    """Columns of a table with one row a stay: one row a sample; and file name -> sha256.

    ``stays`` (n,) is the stay of each sample, as text.
    """
    path = static.table
    assert path is not None  # noqa: S101 - for mypy
    columns = TableColumns(id=static.stay, inputs=static.names, categorical=static.categorical)
    cohort = table(path=path, columns=columns, values=values)
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

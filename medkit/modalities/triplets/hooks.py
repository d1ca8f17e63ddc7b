"""The variables of triplets as the leakage gate compares and explanations hide and show them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from medkit.core.lazy import pd
from medkit.modalities.drawing import plain
from medkit.modalities.groups import FeatureGroup
from medkit.modalities.likeness import MOST_CELLS, Cells
from medkit.modalities.modality import Modality

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Events(FeatureGroup):
    """A variable among (time, variable, value) triplets: its events, wherever they stand."""

    def among(self, x: np.ndarray) -> np.ndarray:
        """(n, events) boolean: which are of this variable."""
        return np.asarray(x[:, :, 1] == self.where[0])

    def of(self, x: np.ndarray) -> np.ndarray:
        """(n, events) its values, NaN at the events of others."""
        return np.where(self.among(x), x[:, :, 2], np.nan)

    def total(
        self, found: np.ndarray, x: np.ndarray, together: Callable[..., np.ndarray] = np.sum
    ) -> np.ndarray:
        return np.asarray(np.where(self.among(x), found, 0.0).sum(axis=1))

    def lent(self, x: np.ndarray, lenders: np.ndarray) -> np.ndarray:
        """The sample's other events and the lender's of this variable, by time; where these are
        more than there is room for, without the sample's earliest."""
        room = x.shape[1]
        both = np.concatenate([lenders, x], axis=1)
        rank = np.where(self.among(both), 0, 1 + np.arange(2 * room)[::-1])
        rank[:, room:][self.among(x)] = 3 * room
        rank[:, :room][~self.among(lenders)] = 3 * room
        rank[np.isnan(both[:, :, 1])] = 3 * room
        chosen = np.argsort(rank, axis=1, kind="stable")[:, :room]
        left_out = np.take_along_axis(rank, chosen, axis=1) == 3 * room
        events = np.take_along_axis(both, chosen[:, :, None], axis=1)
        events[left_out] = np.nan
        order = np.lexsort((events[:, :, 1], events[:, :, 0]), axis=1)  # NaN comes last
        return np.take_along_axis(events, order[:, :, None], axis=1)


class TripletsHooks(Modality):
    """A variable is one feature, with all its events."""

    value_axes: ClassVar[str] = "event"
    step_axes: ClassVar[str] = "event"
    no_curves: ClassVar[str] = "A variable has a course, not one value to vary."
    numbers_at_once: ClassVar[int] = 15_000_000
    most_explained: ClassVar[int] = 50
    standardize: bool | str
    fill_: list[float]

    def groups(self, fine: bool = False) -> list[FeatureGroup]:
        return [Events(f.name, f.unit, (i,)) for i, f in enumerate(self.features)]

    def hide(self, x: np.ndarray, group: FeatureGroup) -> None:
        """Without the variable's events."""
        x[~np.isnan(group.of(x))] = np.nan

    def reference(self, layer: Any, inner: np.ndarray, x: np.ndarray) -> np.ndarray:
        """The same events at the same times, each with its variable's mean, so that what counts
        is the values."""
        start = np.array(inner)
        start[..., 1] = 0.0 if self.standardize else inner[..., 2:] @ np.asarray(self.fill_)
        return start

    def occupied(self, x: np.ndarray) -> np.ndarray | None:
        return ~np.isnan(x[:, :, 1])

    def itemized(self, x: np.ndarray, attribution: np.ndarray) -> pandas.DataFrame | None:
        values, found = x[0], attribution[0]
        positions = np.flatnonzero(~np.isnan(values[:, 1]))
        variables = [self.features[int(number)] for number in values[positions, 1]]
        return pd.DataFrame(
            {
                "feature": [each.name for each in variables],
                "hours": [plain(each) for each in values[positions, 0]],
                "value": [plain(each) for each in values[positions, 2]],
                "unit": [each.unit or "" for each in variables],
                "attribution": found[positions],
            }
        )

    # -- Compared: Events need not lie at the same times: what each variable was like in the row.

    def constants(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Variables that change within no row."""
        summary = self.summarize(x)
        return {
            name: summary[f"{name} min"].to_numpy()
            for name in self.names
            if not (summary[f"{name} min"] < summary[f"{name} max"]).any()
        }

    def near_cells(self, x: np.ndarray) -> Cells | None:
        summary = self.summarize(x)
        wanted = [n for n in summary if str(n).endswith((" mean", " first", " last"))]
        return Cells(summary[wanted].to_numpy("float32")[:, :MOST_CELLS])

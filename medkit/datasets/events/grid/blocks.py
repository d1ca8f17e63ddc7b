"""Blocks of stays: what of the events is held in memory at a time."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from medkit.core.lazy import pd
from medkit.datasets.events.windows import Axis

if TYPE_CHECKING:
    import narwhals as nw


class Block(NamedTuple):
    """Rows of the axis that one pass takes, and the stays (keys) that hold them, if few enough."""

    table: pd.DataFrame
    keys: tuple[Any, Any] | None

    def of(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """The events of these stays: an engine leaves out what the files say lies elsewhere."""
        import narwhals as nw

        if self.keys is None:
            return frame
        return frame.filter(nw.col("stay") >= self.keys[0], nw.col("stay") <= self.keys[1])


def blocks_of(
    axis: Axis, events: int, row_bytes: int, most_events: int, most_bytes: int
) -> list[Block]:
    """Blocks that are held in memory one at a time.

    Args:
        axis: The positions on the grid's first axis.
        events: How many events there are.
        row_bytes: What one position takes.
        most_events, most_bytes: What one block may hold, about.
    """
    table = axis.table
    stays = table["stay"].nunique()
    events = int(events * max(1.0, len(table) / max(stays, 1)))  # several windows of one stay
    wanted = max(events / most_events, axis.length * row_bytes / most_bytes)
    number = min(max(1, math.ceil(wanted)), max(1, len(table)))
    if number == 1:
        return [Block(table, None)]
    if table["code"].duplicated().any():  # several keys write one stay's id: they stay together
        table = table.sort_values("code", kind="stable")
        edges = np.searchsorted(table["code"], np.linspace(0, axis.length, number + 1).astype(int))
        edges[-1] = len(table)
    else:
        table = table.sort_values("stay", kind="stable")
        edges = np.linspace(0, len(table), number + 1).astype(int)
    parts = [table.iloc[low:high] for low, high in pairwise(edges) if high > low]
    return [Block(part, _ends(part["stay"])) for part in parts]


def _ends(keys: pd.Series) -> tuple[Any, Any]:
    first, last = keys.min(), keys.max()
    return (first.item(), last.item()) if hasattr(first, "item") else (str(first), str(last))

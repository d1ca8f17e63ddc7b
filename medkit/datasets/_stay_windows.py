"""Where each sample's window lies: at its first event, its admission, or before a prediction."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from medkit.datasets._featurise import Window
from medkit.datasets._found_events import FoundEvents
from medkit.datasets._stay_labels import Labels, places_of
from medkit.errors import DataError
from medkit.lazy import pd

Index = Literal["first_event", "admission", "prediction"]


class Axis(NamedTuple):
    """The grid's first axis.

    Args:
        table: ``stay`` (key of the events), ``code`` (place on the axis), ``start`` and ``end``
            of the window and the stay, in the unit of the events' times.
        places: Length of the axis.
        others: Stays with events that have no place on it.
    """

    table: pd.DataFrame
    places: int
    others: int = 0


def axis_of(
    found: FoundEvents,
    labels: Labels | None,
    index: Index,
    window: Window,
    gap_hours: float,
    path: Path,
) -> tuple[Axis, np.ndarray | None]:
    """The axis, and each label's place on it (-1 where its stay has no event).

    With ``index: prediction`` every label is a place of its own, and its window ends
    ``gap_hours`` before the prediction, which no later event can enter. Without labels, the
    prediction is made right after the stay's last event.
    """
    if gap_hours and index != "prediction":
        raise DataError(
            "gap_hours is the time between the window and the prediction: it needs "
            "index: prediction",
            place="dataset",
        )
    known = found.keys
    place = None if labels is None else places_of(labels.stays, found.stays)
    count = len(found.stays)
    ends = np.full(count, np.nan)
    if index == "prediction" and labels is not None and place is not None:
        rows = pd.DataFrame({"place": place, "code": np.arange(len(place))})
        rows["start"] = _moved(labels.moments, -(window.hours + gap_hours), window)
        rows["end"] = np.nan if labels.ends is None else labels.ends
        table = known.rename(columns={"code": "place"}).merge(rows[place >= 0], on="place")
        others = len(np.setdiff1d(np.arange(count), place))
        return Axis(_typed(table, found), len(place), others), np.where(
            place >= 0, rows["code"], -1
        )
    if index == "prediction":
        after = found.last + 1 if found.timestamps else np.nextafter(found.last, np.inf)
        starts = _moved(after, -(window.hours + gap_hours), window)
    else:
        starts = found.first if found.timestamps else np.zeros(count)
        if labels is not None and place is not None and labels.moments is not None:
            starts = np.array(starts)
            starts[place[place >= 0]] = labels.moments[place >= 0]
    if labels is not None and place is not None and labels.ends is not None:
        ends[place[place >= 0]] = labels.ends[place >= 0]
    table = known.assign(start=np.asarray(starts)[known["code"]], end=ends[known["code"]])
    return Axis(_typed(table, found), count), place


def span_of(index: Index, hours: float, gap_hours: float) -> str:
    """The window in words."""
    if index != "prediction":
        return f"the first {hours:g} h"
    gap = f", {gap_hours:g} h" if gap_hours else ""
    return f"the {hours:g} h{gap} before the prediction"


def _moved(moments: np.ndarray | None, hours: float, window: Window) -> np.ndarray:
    return np.asarray(moments, dtype="float64") + hours * window.unit


def _typed(table: pd.DataFrame, found: FoundEvents) -> pd.DataFrame:
    """Times of the type that the events' times have; stays without a time at all left out."""
    table = table[table["start"].notna()][["stay", "code", "start", "end"]]
    if found.timestamps:
        table = table.astype({"start": "int64"})
    return table.astype({"code": "int64", "end": "float64"}).reset_index(drop=True)

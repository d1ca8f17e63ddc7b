"""What a modality writes of its input as ordinary files, which a data set reads back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medkit.core.files import written_whole
from medkit.core.lazy import pd
from medkit.data.cohort import Feature

if TYPE_CHECKING:
    import pandas

EVENT_COLUMNS = ("stay", "time", "variable", "value")


@dataclass(frozen=True)
class FileRows:
    """What is known of the samples that are written.

    Args:
        ids: (n,) sample ids; windows cut from one recording share its id.
        classes: (n,) folder of each sample's file; None for one folder.
        step_hours: Hours between two steps.
        start_hours: (n,) hours at which each sample's first step lies in its recording, where it
            is a window of one.
    """

    ids: np.ndarray
    classes: Sequence[str] | None = None
    step_hours: float = 1
    start_hours: np.ndarray | None = None


@dataclass(frozen=True)
class Written:
    """What became of an input.

    Args:
        reader: Name of the data set that reads it.
        section: Parameters of that data set, paths relative to the folder.
        paths: Files that a reader opens, but for the table of the samples.
        columns: Column -> (n,) values that stand in the table of the samples.
        uses: What those columns are, within the data set's ``columns``.
        table: Parameter that names the table of the samples, and its file; an empty one is called
            like the cohort.
        key: Column of the sample ids in that table; empty where ``columns`` identify them.
        time: Its column of the time.
    """

    reader: str
    section: Mapping[str, Any] = field(default_factory=dict)
    paths: tuple[Path, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)
    uses: Mapping[str, Any] = field(default_factory=dict)
    table: tuple[str, str] = ("path", "")
    key: str = "id"
    time: str = "time"


def write_csv(frame: pandas.DataFrame, path: Path) -> Path:
    """Write a table, whole or not at all."""
    with written_whole(path) as temporary:
        frame.to_csv(temporary, index=False)
    return path


def write_events(
    folder: Path,
    cells: Sequence[Any],
    features: Sequence[Feature],
    names: Sequence[str],
    overlapping: bool = False,
    **section: Any,
) -> Written:
    """Write ``events.csv``: one measurement a row.

    Args:
        folder: Where.
        cells: Id of the stay, hours, name of the variable and value of each measurement.
        features: The variables' units and ranges.
        names: The variables, in their order.
        overlapping: Whether a measurement may occur twice, in two windows of one stay.
        section: Further parameters of the data set ``events``.
    """
    frame = pd.DataFrame(dict(zip(EVENT_COLUMNS, cells, strict=True)))
    frame = frame.drop_duplicates(list(EVENT_COLUMNS[:3])) if overlapping else frame
    path = write_csv(frame, folder / "events.csv")
    known = {"path": path.name, **section, "variables": list(names), **values_of(features)}
    return Written("events", known, (path,), table=("labels", "labels.csv"), key="stay",
                   time="admission")  # fmt: skip


def values_of(features: Iterable[Feature]) -> dict[str, Any]:
    """The group ``values``: units and ranges, where anything is known."""
    features = list(features)
    units = {f.name: f.unit for f in features if f.unit}
    ranges = {
        f.name: [float(f.low), float(f.high)]
        for f in features
        if f.low is not None and f.high is not None
    }
    known = {key: value for key, value in (("units", units), ("ranges", ranges)) if value}
    return {"values": known} if known else {}


def file_name(value: Any) -> str:
    """A value as the name of a file."""
    text = "".join(c if c.isalnum() or c in "-_." else "_" for c in str(value)).strip(".")
    return text or "_"

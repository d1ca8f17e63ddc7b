"""Where events are and how they are written: what every reader of them is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from medkit.readers.engines import Engine

Layout = Literal["long", "wide", "meds"]


class EventColumns(NamedTuple):
    """Names of the columns of an events table.

    ``time`` is None where a stay's rows are consecutive hours, ``unit`` where there is none.
    """

    stay: str
    time: str | None
    variable: str
    value: str
    unit: str | None = None


@dataclass(frozen=True)
class EventSource:
    """Where events are, how they are written and what is wanted of them.

    Args:
        path: A file, folder or archive, or what stands for a database in messages.
        skip: A table within the folder that holds no events (the labels).
        columns: The columns' names; ``stay`` is not used for files of one stay each.
        layout: long, wide (every column but stay and time is a variable) or meds.
        engine: What reads Parquet and computes.
        time_format: How timestamps in texts are written.
        missing_values: Values that mean 'missing', by variable, or for all under ``"*"``.
        ignore: Variables that are no measurements.
        units: The units the user states.
        aggregates: Those that are asked for.
    """

    path: Path
    skip: Path | None
    columns: EventColumns
    layout: Layout
    engine: Engine
    time_format: str | None
    missing_values: Mapping[str, tuple[Any, ...]]
    ignore: set[str]
    units: Mapping[str, str]
    aggregates: set[str]

    @property
    def wide(self) -> bool:
        """Whether every row is a time, and every column a variable."""
        return self.layout == "wide"

    @property
    def ordered(self) -> bool:
        """Whether the events' order in their file is needed."""
        return "last" in self.aggregates

    @property
    def used_columns(self) -> dict[str, str]:
        """Role -> name of the columns that are read; in a wide table those of stay and time."""
        roles = ("stay", "time") if self.wide else EventColumns._fields
        named = self.columns._asdict()
        return {role: named[role] for role in roles if named[role] is not None}


class Located(NamedTuple):
    """Where events are found: Parquet files, or a path for the careful readers.

    Args:
        source: Where they are; of a database, the columns as its rows were written.
        shards: The Parquet files; empty where there are none.
        origin, stamp: What names them, and their state, in the store.
        stamps: The fingerprints, where they are not those of the files: of the rows of a query,
            the same in any order.
    """

    source: EventSource
    shards: list[Path]
    origin: str
    stamp: str
    stamps: dict[str, str] | None = None

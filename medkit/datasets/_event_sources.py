"""Events of any source, made ready for the featurisation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medkit.datasets._engines import Engine
from medkit.datasets._event_files import EventColumns, read_events
from medkit.datasets._event_scan import Layout, plain, scan_events, shards_of
from medkit.datasets._found_events import FoundEvents
from medkit.datasets._measured import measured_events
from medkit.errors import DataError
from medkit.files import existing


def read_found(
    path: Path,
    labels: Path | None,
    columns: EventColumns,
    layout: Layout,
    engine: Engine,
    time_format: str | None,
    missing_values: Mapping[str, tuple[Any, ...]],
    ignore: set[str],
    units: Mapping[str, str],
    ways: set[str],
) -> FoundEvents:
    """The events of a path: Parquet of plain types by the engine, all else by careful readers.

    Raises:
        DataError: Nothing can be read.
    """
    existing(path, "file or folder")
    if layout == "wide" and columns.unit is not None:
        raise DataError("a wide layout has no column of units: give units", place="dataset")
    settings: dict[str, Any] = {"missing_values": missing_values, "ignore": ignore, "units": units}
    shards = shards_of(path, layout, labels)
    if shards and plain(shards, columns, layout):
        return scan_events(path, shards, columns, layout, engine, rows="last" in ways, **settings)
    if len(shards) > 1 or (shards and path.is_dir()):
        raise DataError(
            "shards need times as numbers or timestamps, and values as numbers",
            place=str(path),
            hint="Texts are read from one file only: join the shards, or cast their columns.",
        )
    frame, files = read_events(path, columns, labels, layout == "wide")
    return measured_events(
        frame, columns, path, files, engine,
        counted="count" in ways, time_format=time_format, **settings,
    )  # fmt: skip

"""What was found out about events, written down: the next reading need not look again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medkit.core.lazy import pd
from medkit.datasets.events.sources.found import FoundEvents
from medkit.datasets.events.sources.source import EventSource
from medkit.readers.engines import scanned

if TYPE_CHECKING:
    import narwhals as nw

_EVENTS = "events.parquet"
_COLUMNS = ("stay", "time", "variable", "value", "row")


def save_found(found: FoundEvents, folder: Path, events: pd.DataFrame | None) -> None:
    """Write what `load_found` reads.

    Args:
        found: What was found out.
        folder: An empty folder.
        events: The cleaned events themselves, where they come from no Parquet file.
    """
    stays = pd.DataFrame({"id": found.stays, "first": found.first, "last": found.last})
    stays.astype({"id": "str"}).to_parquet(folder / "stays.parquet", index=False)
    found.keys.to_parquet(folder / "keys.parquet", index=False)
    found.variables.to_parquet(folder / "variables.parquet", index=False)
    if events is not None:
        events[list(_COLUMNS)].to_parquet(folder / _EVENTS, index=False, row_group_size=1_000_000)
    facts = {
        "timestamps": bool(found.timestamps),
        "zoned": None if found.zoned is None else bool(found.zoned),
        "files": found.files, "units": dict(found.units), "notes": found.notes,
    }  # fmt: skip
    (folder / "found.json").write_text(json.dumps(facts), encoding="utf-8")


def load_found(folder: Path, frame: nw.LazyFrame[Any] | None, source: EventSource) -> FoundEvents:
    """What `save_found` wrote.

    Args:
        folder: Where.
        frame: The events; None where they were written too.
        source: Where they are from.
    """
    stays = pd.read_parquet(folder / "stays.parquet")
    facts = json.loads((folder / "found.json").read_text(encoding="utf-8"))
    if frame is None:
        frame = scanned([folder / _EVENTS], {name: name for name in _COLUMNS}, source.engine)
    return FoundEvents(
        source.path,
        frame,
        pd.read_parquet(folder / "keys.parquet"),
        np.asarray(stays["id"], dtype=object),
        stays["first"].to_numpy(),
        stays["last"].to_numpy(),
        pd.read_parquet(folder / "variables.parquet"),
        facts["timestamps"],
        facts["zoned"],
        facts["files"],
        facts["units"],
        tuple(facts["notes"]),
    )

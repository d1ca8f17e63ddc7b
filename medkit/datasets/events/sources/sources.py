"""Events of any source, made ready for the featurisation."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from medkit.core.errors import DataError
from medkit.core.files import existing
from medkit.core.lazy import pd
from medkit.datasets.events.sources.files import event_files, read_events
from medkit.datasets.events.sources.found import FoundEvents
from medkit.datasets.events.sources.found_cache import load_found, save_found
from medkit.datasets.events.sources.gather import gathered
from medkit.datasets.events.sources.measured import measured_events
from medkit.datasets.events.sources.meds import described_codes
from medkit.datasets.events.sources.parquet import (
    lazy_events,
    plain,
    scan_events,
    shards_of,
)
from medkit.datasets.events.sources.source import EventSource, Located
from medkit.datasets.events.sources.sql import Query, fetched
from medkit.readers.cache import Store, key_of, stamp_of
from medkit.readers.tables import fingerprints

log = logging.getLogger("medkit")


def read_found(source: EventSource, query: Query | None, store: Store) -> FoundEvents:
    """The events of a source.

    Parquet of plain types is read by the engine, all else by careful readers; what is kept from
    an earlier reading is used instead where nothing has changed since.

    Args:
        source: Where the events are.
        query: The query, where that is a database.
        store: What is kept.

    Raises:
        DataError: Nothing can be read.
        RunError: The cache cannot be written.
    """
    if source.wide and source.columns.unit is not None:
        raise DataError("a wide layout has no column of units: give values.units", place="dataset")
    found = _found(_located(source, query, store), store)
    if source.layout == "meds" and query is None:
        descriptions, of_code = described_codes(source.path)
        found = replace(found, descriptions=descriptions, units={**of_code, **found.units})
    return found


def _located(source: EventSource, query: Query | None, store: Store) -> Located:
    if query is not None:
        return fetched(query, source, store)
    path = existing(source.path, "file or folder")
    shards = shards_of(source)
    stamp = stamp_of(path, shards or event_files(path, source.skip)) if store.kept else ""
    return Located(source, shards, str(path.resolve()), stamp)


def _found(given: Located, store: Store) -> FoundEvents:
    source, shards = given.source, given.shards
    scan = bool(shards) and plain(shards, source)
    if not scan:
        _refuse_shards(source.path, shards)
    elif not source.wide and source.engine != "spark":  # a cluster gathers by itself
        used = [each for each in dict.fromkeys(source.columns) if each is not None]
        shards = gathered(shards, source.columns.stay, used, store, given.origin, given.stamp)
    name = key_of(
        "events", given.origin, source.columns, source.layout, source.time_format,
        str(source.skip), {str(k): list(map(str, v)) for k, v in source.missing_values.items()},
        sorted(source.ignore), dict(source.units), "count" in source.aggregates, source.ordered,
    )  # fmt: skip
    entry = store.find(name, given.stamp, "the events") if store.kept else None
    lazy = lazy_events(shards, source)[0] if entry is not None and scan else None
    kept = store.opened(entry, lambda folder: load_found(folder, lazy, source))
    if kept is not None:
        log.info("events as they were cached: %s", store.folder)
        return replace(kept, key=name)
    events: pd.DataFrame | None = None
    if scan:
        stamps = given.stamps or fingerprints(source.path, given.shards)
        found = scan_events(shards, source, stamps)
    else:
        frame, read = read_events(source)
        found, events = measured_events(frame, source, read)
    if not store.kept:
        return found
    needed = None if events is None else int(events.memory_usage(index=False).sum())
    with store.building(name, given.stamp, needed) as folder:
        save_found(found, folder, events)
    return replace(found, key=name)


def _refuse_shards(path: Path, shards: Sequence[Path]) -> None:
    if len(shards) > 1 or (shards and path.is_dir()):
        raise DataError(
            "shards need times as numbers or timestamps, and values as numbers",
            place=str(path),
            hint="Texts are read from one file only: join the shards, or cast their columns.",
        )

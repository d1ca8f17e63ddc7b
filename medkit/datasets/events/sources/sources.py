"""Events of any source, made ready for the featurisation."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from medkit.core.errors import DataError
from medkit.core.files import existing
from medkit.core.lazy import pd
from medkit.datasets.events.sources.files import EventColumns, event_files, read_events
from medkit.datasets.events.sources.found import FoundEvents
from medkit.datasets.events.sources.found_cache import load_found, save_found
from medkit.datasets.events.sources.gather import gathered
from medkit.datasets.events.sources.measured import measured_events
from medkit.datasets.events.sources.meds import described_codes
from medkit.datasets.events.sources.parquet import (
    Layout,
    fingerprints,
    lazy_events,
    plain,
    scan_events,
    shards_of,
)
from medkit.datasets.events.sources.sql import Query, fetched
from medkit.readers.cache import Store, key_of, stamp_of
from medkit.readers.engines import Engine, to_engine

log = logging.getLogger("medkit")


@dataclass(frozen=True)
class EventSource:
    """Where events are and how they are written.

    Args:
        path: A file, folder or archive; None for a query.
        query: A query of a database.
        skip: A table within the folder that holds no events (the labels).
        columns: The columns' names.
        layout: long, wide or meds.
        engine: What reads Parquet and computes.
        time_format: How timestamps in texts are written.
    """

    path: Path | None
    query: Query | None
    skip: Path | None
    columns: EventColumns
    layout: Layout
    engine: Engine
    time_format: str | None = None


def read_found(
    source: EventSource,
    store: Store,
    missing_values: Mapping[str, tuple[Any, ...]],
    ignore: set[str],
    units: Mapping[str, str],
    aggregates: set[str],
) -> tuple[FoundEvents, Path]:
    """The events of a source, and what stands for it in messages.

    Parquet of plain types is read by the engine, all else by careful readers; what is kept from
    an earlier reading is used instead where nothing has changed since.

    Args:
        source: Where the events are.
        store: What is kept.
        missing_values: Values that mean 'missing', by variable, or for all under ``"*"``.
        ignore: Variables that are no measurements.
        units: The units the user states.
        ways: The aggregates that are asked for.

    Raises:
        DataError: Nothing can be read.
        RunError: The cache cannot be written.
    """
    found, path = _found(source, store, missing_values, ignore, units, aggregates)
    if source.layout == "meds" and source.query is None:
        descriptions, of_code = described_codes(path)
        found = replace(found, descriptions=descriptions, units={**of_code, **found.units})
    return found, path


def _found(
    source: EventSource,
    store: Store,
    missing_values: Mapping[str, tuple[Any, ...]],
    ignore: set[str],
    units: Mapping[str, str],
    aggregates: set[str],
) -> tuple[FoundEvents, Path]:
    if source.layout == "wide" and source.columns.unit is not None:
        raise DataError("a wide layout has no column of units: give values.units", place="dataset")
    given = _located(source, missing_values, ignore, store)
    settings: dict[str, Any] = {"missing_values": missing_values, "ignore": ignore}
    scan = bool(given.shards) and plain(given.shards, given.columns, given.layout)
    shards = given.shards
    if scan:
        settings["rows"] = "last" in aggregates
        if given.layout != "wide" and source.engine != "spark":  # a cluster gathers by itself
            used = [each for each in dict.fromkeys(given.columns) if each is not None]
            shards = gathered(
                shards, given.columns.stay, used, store, given.origin, given.stamp
            )  # fmt: skip
    else:
        _refuse_shards(given.path, shards)
    name = key_of(
        "events", given.origin, given.columns, given.layout, source.time_format, str(source.skip),
        {str(k): list(map(str, v)) for k, v in missing_values.items()}, sorted(ignore),
        dict(units), "count" in aggregates, "last" in aggregates,
    )  # fmt: skip
    entry = store.find(name, given.stamp, "the events") if store.kept else None
    lazy = None
    if entry is not None and scan:
        lazy, _ = lazy_events(
            shards, given.columns, given.layout, source.engine, **settings
        )  # fmt: skip
    kept = store.opened(entry, lambda folder: load_found(folder, lazy, source.engine))
    if kept is not None:
        log.info("events as they were cached: %s", store.folder)
        return replace(kept, key=name), given.path
    held: list[pd.DataFrame] = []
    if scan:
        found = scan_events(
            given.path, shards, given.columns, given.layout, source.engine, units=units,
            stamps=given.stamps or fingerprints(given.path, given.shards), **settings,
        )  # fmt: skip
    else:

        def hand(frame: pd.DataFrame) -> Any:
            held.append(frame)
            return to_engine(frame, source.engine)

        frame, read = read_events(given.path, source.columns, source.skip, source.layout == "wide")
        found = measured_events(
            frame, source.columns, given.path, read, hand,
            without_value="count" in aggregates, time_format=source.time_format,
            units=units, **settings,
        )  # fmt: skip
    if not store.kept:
        return found, given.path
    events = held[0] if held else None
    needed = None if events is None else int(events.memory_usage(index=False).sum())
    with store.building(name, given.stamp, needed) as folder:
        save_found(found, folder, events)
    return replace(found, key=name), given.path


class _Located(NamedTuple):
    """Where events are found: Parquet files, or a path for the careful readers.

    ``origin`` and ``stamp`` name them in the store; ``prints`` are the fingerprints where they
    are not those of the files.
    """

    path: Path
    shards: list[Path]
    columns: EventColumns
    layout: Layout
    origin: str
    stamp: str
    stamps: dict[str, str] | None = None


def _located(
    source: EventSource, missing_values: Mapping[str, tuple[Any, ...]], ignore: set[str],
    store: Store,
) -> _Located:  # fmt: skip
    columns, layout = source.columns, source.layout
    if source.query is not None:
        rows = fetched(
            source.query, columns, layout == "wide", missing_values, ignore, source.time_format,
            store,
        )  # fmt: skip
        return _Located(
            rows.place, [rows.file], rows.columns, "long", rows.key, rows.stamp, rows.files
        )
    path = existing(Path(str(source.path)), "file or folder")
    shards = shards_of(path, layout, source.skip)
    stamp = ""
    if store.kept:
        stamp = stamp_of(path, shards or event_files(path, source.skip))
    return _Located(path, shards, columns, layout, str(path.resolve()), stamp)


def _refuse_shards(path: Path, shards: Sequence[Path]) -> None:
    if len(shards) > 1 or (shards and path.is_dir()):
        raise DataError(
            "shards need times as numbers or timestamps, and values as numbers",
            place=str(path),
            hint="Texts are read from one file only: join the shards, or cast their columns.",
        )

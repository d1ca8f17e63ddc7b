"""Large Parquet files whose stays lie scattered, copied once so that each stay lies together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medkit.core.lazy import pd
from medkit.core.progress import Progress
from medkit.readers.cache import Store, key_of

# Events up to this many are held at once anyway; about so many go into one file.
FEW = 20_000_000
A_FILE = 8_000_000
# A block of stays may read so many times its own events before copying them pays.
_WORTH = 2.5


def gathered(
    files: Sequence[Path], stay: str, columns: Sequence[str], store: Store, origin: str, stamp: str
) -> list[Path]:
    """The files themselves, or copies in which every file holds other stays.

    Without order, each block of stays would read all files again, and the time grow with the
    square of the events.

    Args:
        files: Parquet files with the same columns.
        stay: The column of the stays.
        columns: The columns to copy.
        store: Where copies lie.
        origin, stamp: What the copies are of, for the store.

    Raises:
        RunError: The disk is full.
    """
    import pyarrow.parquet

    kinds = [pyarrow.parquet.ParquetFile(file).metadata for file in files]
    events = sum(each.num_rows for each in kinds)
    if events <= FEW or not _scattered(kinds, stay, math.ceil(events / A_FILE)):
        return list(files)
    name = key_of("gathered", origin, stay, list(columns), A_FILE)
    entry = store.find(name, stamp) if store.kept else None
    if entry is None:
        needed = sum(file.stat().st_size for file in files)
        with store.building(name, stamp, needed) as folder:
            _copy(files, stay, columns, folder, events)
        entry = store.path(name, stamp)
    return sorted(entry.glob("*.parquet"))


def _scattered(kinds: Sequence[Any], stay: str, blocks: int) -> bool:
    """Whether blocks of stays would read many events of others, by the files' statistics."""
    found = []
    for kind in kinds:
        column = kind.schema.to_arrow_schema().names.index(stay)
        for number in range(kind.num_row_groups):
            group = kind.row_group(number)
            known = group.column(column).statistics
            if known is None or not known.has_min_max:
                return True
            found.append((known.min, known.max, group.num_rows))
    found.sort(key=lambda each: each[0])
    lows = [low for low, _, _ in found]
    rows = np.cumsum([count for _, _, count in found])
    starts = np.searchsorted(rows, np.linspace(0, rows[-1], blocks + 1)[1:-1])
    edges = np.array([lows[min(start, len(lows) - 1)] for start in starts])
    read = 0
    for low, high, count in found:
        first, last = np.searchsorted(edges, low), np.searchsorted(edges, high, side="right")
        read += count * int(last - first + 1)
    return bool(read > _WORTH * rows[-1])


def _copy(
    files: Sequence[Path], stay: str, columns: Sequence[str], folder: Path, events: int
) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    sample = [
        part.dictionary.to_numpy(zero_copy_only=False)[:: max(1, len(part.dictionary) // 1000)]
        for part in (_encoded(batch, stay) for batch in _groups(files, [stay]))
    ]
    values = np.sort(np.concatenate([each[pd.notna(each)] for each in sample]))
    number = math.ceil(events / A_FILE)
    edges = np.unique(values[np.linspace(0, len(values), number + 1).astype(int)[1:-1]])
    writers: dict[int, Any] = {}
    try:
        with Progress("gathering stays", events, "events") as reading:
            for batch in _groups(files, columns):
                part = _encoded(batch, stay)
                levels = part.dictionary.to_numpy(zero_copy_only=False)
                positions = np.zeros(len(levels) + 1, dtype="int64")  # the last: without a stay
                known = pd.notna(levels)
                positions[:-1][known] = np.searchsorted(edges, levels[known], side="right")
                positions = positions[part.indices.fill_null(len(levels)).to_numpy()]
                order = np.argsort(positions, kind="stable")
                batch = batch.take(pa.array(order))
                ends = np.searchsorted(positions[order], np.arange(len(edges) + 2))
                for position in map(int, np.flatnonzero(np.diff(ends))):
                    if position not in writers:
                        writers[position] = pyarrow.parquet.ParquetWriter(
                            folder / f"{position:05d}.parquet", batch.schema
                        )
                    writers[position].write_batch(batch[ends[position] : ends[position + 1]])
                reading.advance(len(order))
    finally:
        for writer in writers.values():
            writer.close()


def _groups(files: Sequence[Path], columns: Sequence[str]) -> Iterator[Any]:
    import pyarrow.parquet

    for file in files:
        with pyarrow.parquet.ParquetFile(file) as opened:
            yield from opened.iter_batches(1_000_000, columns=list(columns))


def _encoded(batch: Any, column: str) -> Any:
    import pyarrow as pa

    found = batch.column(column)
    if pa.types.is_dictionary(found.type):
        found = found.cast(found.type.value_type)
    return found.dictionary_encode()

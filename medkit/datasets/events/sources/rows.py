"""Events that come part by part, as from a database, written to one Parquet file of plain types."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.datasets.events.sources.files import melted
from medkit.datasets.events.sources.source import EventSource
from medkit.datasets.events.times import times_of
from medkit.readers.tables import check_names, require
from medkit.readers.values import as_identifier, refuse_empty

# Rows that are held before they are written.
ROWS = 500_000
# Texts in the place of numbers that are remembered of one variable.
_TEXTS = 100


@dataclass
class EventRows:
    """Rows of events, cleaned part by part and written to one Parquet file.

    A `StoredQuery` keeps columns as the database types them; here stays become text, times one
    kind and values numbers before they are written, so that the file reads like any of events.

    Args:
        file: The file: columns stay, time, variable, value and, where asked for, unit.
        source: What they are of.
    """

    file: Path
    source: EventSource
    rows: int = 0
    timestamps: bool | None = None
    zoned: bool | None = None
    total: int = 0
    texts: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    held: list[pd.DataFrame] = field(default_factory=list)
    writer: Any = None

    def add(self, frame: pd.DataFrame) -> None:
        """Clean some rows, and write them once they are many."""
        columns, wide, used = self.source.columns, self.source.wide, self.source.used_columns
        if not self.rows:
            names = list(frame.columns)
            check_names(names, self.source.path)
            for role, name in used.items():
                require(name, names, self.source.path, f"{role} column")
        frame.index = pd.RangeIndex(self.rows + 1, self.rows + len(frame) + 1, name="row")
        self.rows += len(frame)
        if not wide:
            frame = frame[list(used.values())]
        frame = frame.rename(columns={name: role for role, name in used.items()})
        stay = as_identifier(frame["stay"])
        refuse_empty(stay, columns.stay, self.source.path)
        frame = frame.assign(stay=stay, time=self._times(frame["time"]))
        frame = melted(frame, columns) if wide else frame
        found = {name: as_text(frame[name]) for name in ("stay", "variable")}
        found |= {"time": frame["time"], "value": self._numbers(frame)}
        if columns.unit is not None:
            found["unit"] = as_text(frame["unit"])
        clean = pd.DataFrame(found)
        # A sum: the same in whichever order the database gives the rows.
        hashes = pd.util.hash_pandas_object(clean, index=False).to_numpy()
        self.total = (self.total + int(np.add.reduce(hashes, dtype=np.uint64))) % 2**64
        self.held.append(clean)
        if sum(len(each) for each in self.held) >= ROWS:
            self._flush()

    def facts(self) -> dict[str, Any]:
        """What is known of the rows, as JSON."""
        content = f"{self.rows}\0{self.total}\0{self.timestamps}\0{self.zoned}"
        return {"sha256": hashlib.sha256(content.encode()).hexdigest(), "texts": self.texts}

    def close(self) -> None:
        """Write what is held and close the file."""
        if self.held:
            self._flush()
        if self.writer is not None:
            self.writer.close()

    def _times(self, column: pd.Series) -> np.ndarray:
        """Hours, or microseconds since 1970; of one kind throughout."""
        name, place = self.source.columns.time, str(self.source.path)
        times, timestamps, zoned = times_of(column.rename(name), place, self.source.time_format)
        if times.notna().any():
            kind = (timestamps, zoned)
            if self.timestamps is None:
                self.timestamps, self.zoned = kind
            elif kind != (self.timestamps, self.zoned):
                raise DataError(
                    f"column '{name}' mixes hours and timestamps, or times with and "
                    f"without a time zone (first seen by row {column.index[-1]})",
                    place=place,
                )
        return times.to_numpy()

    def _numbers(self, frame: pd.DataFrame) -> pd.Series:
        """Values as numbers; texts among them are remembered, and refused or not when read."""
        numbers = pd.to_numeric(frame["value"], errors="coerce").astype("float64")
        wrong = frame["value"].notna() & numbers.isna()
        if wrong.any():
            names, texts = as_text(frame["variable"][wrong]), as_text(frame["value"][wrong])
            for row, name, text in zip(frame.index[wrong], names, texts, strict=True):
                of_name = self.texts.setdefault(str(name), {})
                key = text if len(of_name) < _TEXTS or text in of_name else ""
                known = of_name.setdefault(key, [0, int(row)])
                known[0] += 1
        return numbers

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet

        frame = pd.concat(self.held, ignore_index=True)
        self.held = []
        arrays = {
            name: pa.array(frame[name], type=pa.string(), from_pandas=True)
            for name in ("stay", "variable", "unit") if name in frame
        }  # fmt: skip
        arrays["value"] = pa.array(frame["value"].to_numpy(), from_pandas=True)
        if self.timestamps:
            missing = frame["time"].isna().to_numpy()
            moments = frame["time"].fillna(0).to_numpy().astype("int64")
            kind = pa.timestamp("us", tz="UTC" if self.zoned else None)
            arrays["time"] = pa.array(moments, mask=missing).cast(kind)
        else:
            arrays["time"] = pa.array(frame["time"].to_numpy(), from_pandas=True)
        table = pa.table(arrays)
        if self.writer is None:
            self.writer = pyarrow.parquet.ParquetWriter(self.file, table.schema)
        self.writer.write_table(table)


def as_text(column: pd.Series) -> pd.Series:
    """Stripped texts (object), None where missing."""
    return column.astype("str").str.strip().astype(object).where(column.notna(), None)

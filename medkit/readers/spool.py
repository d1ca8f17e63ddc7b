"""Delimited text of any size as columns on disk, read once from beginning to end."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.core.progress import Progress
from medkit.core.values import BLANK
from medkit.readers.parsing import Decimal, numbers_among_texts
from medkit.readers.recoded import CountedQuotes, as_utf8
from medkit.readers.text import TextLayout, not_decoded, otherwise_encoded, unpacked
from medkit.readers.values import condensed, numbers_if_all, share_of_numbers

log = logging.getLogger("medkit")

BLOCK_BYTES = 16 * 1024**2
ROWS_A_GROUP = 500_000
_HINT = 'Put a text that holds the separator in "quotes".'
_TRUTH = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}


@dataclass(frozen=True)
class SpooledColumns:
    """Columns of a text file in a Parquet file: numbers, and texts as they were.

    Called as a `Table` reads: gives some columns as the text itself would have given them.
    """

    file: Path
    names: Sequence[str]
    separator: str
    decimal: Decimal | None

    def __call__(
        self,
        columns: Sequence[str] | None = None,
        text: Collection[str | None] = (),
        literal: Collection[str | None] = (),
        numeric: Collection[str] = (),
    ) -> pd.DataFrame:
        import pyarrow.parquet

        found = {}
        for name in columns if columns is not None else self.names:
            table = pyarrow.parquet.read_table(self.file, columns=[name])
            column = table.to_pandas(ignore_metadata=True)[name]
            if name not in text and not pd.api.types.is_numeric_dtype(column):
                column = self._typed(column, set(numeric))
            found[name] = column
        return pd.DataFrame(found, copy=False)

    def _typed(self, column: pd.Series, numeric: set[str]) -> pd.Series:
        """Truth values and numbers with a decimal comma as such, texts as they are."""
        few = condensed(column).to_frame()
        present = few.iloc[:, 0].dropna()
        if len(present) and present.isin([*_TRUTH]).all():
            return column.map(_TRUTH).astype(object if column.isna().any() else bool)
        name = str(column.name)

        def changed(frame: pd.DataFrame) -> pd.DataFrame:
            return numbers_among_texts(frame, [name], self.separator, numeric, self.decimal)

        if not changed(few)[name].equals(few[name]):
            return changed(column.to_frame())[name]
        return numbers_if_all(column) if share_of_numbers(few[name]) == 1.0 else column


def spool_text(
    path: Path,
    layout: TextLayout,
    encoding: str | None,
    decimal: Decimal | None,
    text: Collection[str],
    folder: Path,
) -> SpooledColumns:
    """Write the columns of a text file to a Parquet file, a block at a time.

    Args:
        path: The text, perhaps packed.
        layout: How it is written.
        encoding: Its encoding, where the user gave one.
        decimal: The decimal mark of the numbers.
        text: Columns kept as text where they look like numbers.
        folder: Where to write.

    Raises:
        DataError: A line with another number of fields than the header, an open quote, bytes
            that are no text, or a damaged archive.
    """
    import pyarrow.lib

    file = folder / "text.parquet"
    as_text = set(text)
    while True:
        try:
            _write(path, layout, as_text, file)
            break
        except UnicodeError:
            layout = otherwise_encoded(path, layout, encoding)
        except pyarrow.lib.ArrowInvalid as error:
            message = str(error)
            late = _late_text(message, layout.names)
            if late is not None and late not in as_text:
                # Numbers in the first lines, text further down: read anew as what it is.
                log.info("column '%s' is not all numbers: reading again, it as text", late)
                as_text.add(late)
            elif "invalid UTF8" in message:
                layout = otherwise_encoded(path, layout, encoding)
            else:
                raise _unreadable(path, layout, message) from None
    return SpooledColumns(file, layout.names, layout.delimiter, decimal)


def _write(path: Path, layout: TextLayout, text: Collection[str], file: Path) -> None:
    import pyarrow.parquet

    numeric = [name for name in _first_numbers(path, layout) if name not in text]
    schema = pyarrow.schema(
        [(n, pyarrow.float64() if n in numeric else pyarrow.string()) for n in layout.names]
    )
    rows, held = 0, []
    with (
        as_utf8(path, layout) as content,
        CountedQuotes(content) as stream,
        Progress(f"reading {path.name}", None, "rows") as reading,
        pyarrow.parquet.ParquetWriter(file, schema) as writer,
    ):
        for batch in _batches(stream, layout, numeric):
            if not reading.total and not path.name.lower().endswith((".gz", ".zst")):
                reading.total = _about(path.stat().st_size, batch)
            held.append(batch)
            rows += batch.num_rows
            reading.advance(batch.num_rows)
            if rows >= ROWS_A_GROUP:
                writer.write_table(pyarrow.Table.from_batches(held, schema))
                rows, held = 0, []
        if held:
            writer.write_table(pyarrow.Table.from_batches(held, schema))
        if stream.count % 2:
            _refuse_open_quote(path, layout)
    pyarrow.default_memory_pool().release_unused()


def _refuse_open_quote(path: Path, layout: TextLayout) -> None:
    line = 1
    with unpacked(path) as stream, io.TextIOWrapper(stream, layout.encoding, newline="") as text:
        rows = csv.reader(text, delimiter=layout.delimiter, strict=True, skipinitialspace=True)
        try:
            for _ in rows:
                line = rows.line_num + 1
        except UnicodeError:
            return
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                raise DataError(
                    f"line {line} opens a quote that is never closed", place=str(path), hint=_HINT
                ) from None


def _about(size: int, batch: Any) -> int | None:
    """How many rows a file may have, by the first block of it."""
    taken = min(size, BLOCK_BYTES)
    return int(size / taken * batch.num_rows) if batch.num_rows else None


def _batches(stream: Any, layout: TextLayout, numeric: Collection[str]) -> Iterator[Any]:
    import pyarrow
    import pyarrow.csv

    kinds: Mapping[str, Any] = {
        name: pyarrow.float64() if name in numeric else pyarrow.string() for name in layout.names
    }
    reader = pyarrow.csv.open_csv(
        stream,
        pyarrow.csv.ReadOptions(
            column_names=layout.names,
            skip_rows=1,
            block_size=BLOCK_BYTES,
        ),
        pyarrow.csv.ParseOptions(delimiter=layout.delimiter, newlines_in_values=True),
        pyarrow.csv.ConvertOptions(
            column_types=kinds,
            null_values=list(BLANK),
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        ),
    )
    with reader:
        for batch in reader:
            yield _without_spaces(batch, layout.names)


def _without_spaces(batch: Any, names: Sequence[str]) -> Any:
    """Texts without the spaces before them; what is blank then is missing."""
    import pyarrow
    import pyarrow.compute as pc

    arrays, blank = [], pyarrow.array(list(BLANK), pyarrow.string())
    for column in batch.columns:
        if column.type == pyarrow.string() and pc.any(pc.starts_with(column, " ")).as_py():
            column = pc.utf8_ltrim(column, " ")
            column = pc.if_else(pc.is_in(column, blank), None, column)
        arrays.append(column)
    return pyarrow.RecordBatch.from_arrays(arrays, list(names))


def _first_numbers(path: Path, layout: TextLayout) -> list[str]:
    """The columns that hold only numbers in the file's first block."""
    import pyarrow.compute as pc
    import pyarrow.lib

    with as_utf8(path, layout) as stream:
        lines = io.BytesIO(b"".join(_some_lines(stream, 2000)))
    found = []
    for batch in _batches(lines, layout, ()):
        for name, column in zip(layout.names, batch.columns, strict=True):
            try:
                pc.cast(pc.utf8_trim(column, " "), "float64")
                found.append(name)
            except pyarrow.lib.ArrowInvalid:
                continue
        break
    return found


def _some_lines(stream: Any, count: int) -> Iterator[bytes]:
    read = 0
    for number, line in enumerate(stream):
        read += len(line)
        if number >= count or read > BLOCK_BYTES:
            return
        yield line


def _late_text(message: str, names: Sequence[str]) -> str | None:
    """The column that a message says holds no number."""
    if "conversion error to double" not in message or "In CSV column #" not in message:
        return None
    return names[int(message.split("In CSV column #")[1].split(":")[0])]


def _unreadable(path: Path, layout: TextLayout, message: str) -> DataError:
    """The error for a text that does not parse, with the line; its content is not repeated."""
    width = len(layout.names)
    _refuse_open_quote(path, layout)
    with unpacked(path) as stream, io.TextIOWrapper(stream, layout.encoding, newline="") as text:
        rows = csv.reader(text, delimiter=layout.delimiter)
        try:
            for row in rows:
                if row and len(row) != width:
                    return DataError(
                        f"line {rows.line_num} has {len(row)} fields where the header has {width}",
                        place=str(path), hint=_HINT,
                    )  # fmt: skip
        except UnicodeError:
            return not_decoded(path, layout.encoding)
        except csv.Error:
            pass
    kind = message.split(":")[0]
    return DataError(f"cannot be read as a table ({kind})", place=str(path), hint=_HINT)

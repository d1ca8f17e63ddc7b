"""Delimited text by DuckDB's reader: its layout, its columns, and errors that name the line."""

from __future__ import annotations

import csv
import glob
import io
import logging
import re
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.core.values import BLANK
from medkit.readers.encoding import as_plain_utf8, encoding_of, first_encoding, unpacked
from medkit.readers.values import (
    condensed,
    numbers_if_all,
    share_of_commas,
    share_of_numbers,
    with_points,
)

log = logging.getLogger("medkit")

DELIMITED = tuple(
    f"{suffix}{packed}" for packed in ("", ".gz", ".zst") for suffix in (".csv", ".tsv", ".txt")
)
DELIMITERS = ",;\t|"
ROWS_A_GROUP = 100_000
# Lines in which the header must end.
_FIRST = 30
Decimal = Literal[".", ","]

_TRUTH = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}
# Nothing is fetched from elsewhere, and no patient's data go to the working folder.
_SETTINGS: dict[str, Any] = {"temp_directory": "", "autoinstall_known_extensions": "false",
             "autoload_known_extensions": "false"}  # fmt: skip


class BrokenLine(DataError):
    """A line that is no row of the table."""

    def __init__(self, line: int, what: str, place: Path):
        hint = 'Fix the line; put a text that holds the separator in "quotes".'
        super().__init__(f"line {line} {what}", place=str(place), hint=hint)
        self.line, self.what = line, what


@dataclass(frozen=True)
class Text:
    """A delimited text whose columns are known; called, it gives its rows as a `Table` does.

    Args:
        path: The file.
        names: Names of its columns, in the order of its first line.
        delimiter: What separates them.
        encoding: The encoding to try first, as Python names it.
        given: The encoding that the user gave; None: another may be tried.
        decimal: The decimal mark of the numbers; None: found out for each column.
    """

    path: Path
    names: list[str]
    delimiter: str
    encoding: str
    given: str | None = None
    decimal: Decimal | None = None

    def __call__(
        self,
        columns: Sequence[str] | None = None,
        text: Collection[str | None] = (),
        literal: Collection[str | None] = (),
        numeric: Collection[str] = (),
    ) -> pd.DataFrame:
        """Some columns; ``text``, ``literal`` and ``numeric`` as a `Table` reads.

        Raises:
            BrokenLine: A line with another number of fields than the header, or an open quote.
            DataError: Bytes that are no text, or a damaged archive.
        """
        blank = not literal and len(self.names) > 1
        taken = self._read(lambda rows: rows.to_arrow_table(), columns, blank)
        names, parts = list(taken.column_names), taken.columns
        del taken  # each column's texts go once they are read
        return self.typed(names, parts, blank, text, literal, numeric)

    def spooled(self, folder: Path) -> SpooledText:
        """All columns, as texts, in a Parquet file of this folder; they are never held as a whole.

        Raises:
            BrokenLine, DataError: As when called.
        """
        log.info("reading %s by column", self.path.name)
        file = folder / "text.parquet"
        self._read(lambda rows: _write(rows, file))
        return SpooledText(file, self)

    def _read(
        self,
        take: Callable[[Any], Any],
        columns: Sequence[str] | None = None,
        blank: bool = True,
    ) -> Any:
        """What ``take`` makes of DuckDB's relation of the columns; ``blank``: of those left blank
        as missing, where that is so in all columns and an empty line cannot be a row."""
        import duckdb

        # Where a name holds a line break, DuckDB may take that one for what ends each line.
        encoding, copied = self.encoding, self._breaks > 0
        while True:
            try:
                with (
                    tempfile.TemporaryDirectory(prefix="medkit-") as folder,
                    duckdb.connect(":memory:", config=_SETTINGS) as base,
                ):
                    file = as_plain_utf8(self.path, encoding, Path(folder), copied)
                    return take(self._relation(base, file, columns, blank))
            except UnicodeError:
                encoding = encoding_of(self.path, self.given)
            except (duckdb.Error, OSError) as error:
                # Arrow, while it streams, raises DuckDB's errors as these; others are the disk's.
                if isinstance(error, OSError) and "Invalid Input Error" not in str(error):
                    raise
                if "Invalid unicode" in str(error):
                    encoding = encoding_of(self.path, self.given)
                elif "Line: " in str(error) or copied:
                    # Not in its own words: they quote the line.
                    raise self._unreadable(str(error)) from None
                copied = True  # lines that end in different ways then end alike

    def _relation(self, base: Any, file: Path, columns: Sequence[str] | None, blank: bool) -> Any:
        aliases = {name: f"c{i}" for i, name in enumerate(self.names)}
        names = self.names if columns is None else columns
        wanted = [f'{aliases[name]} AS "{name.replace(chr(34), chr(34) * 2)}"' for name in names]
        return base.sql(
            f"SELECT {', '.join(wanted)} FROM read_csv(?, delim = ?, columns = ?, nullstr = ?, "  # noqa: S608
            "compression = 'none', header = false, skip = 1, auto_detect = false, quote = '\"', "
            "escape = '\"')",
            params=[
                glob.escape(str(file)),
                self.delimiter,
                dict.fromkeys(aliases.values(), "VARCHAR"),
                list(BLANK) if blank else ["\0"],
            ],
        )

    def _unreadable(self, message: str) -> DataError:
        line = re.search(r"CSV Error on Line: (\d+)", message)
        found = re.search(r"Expected Number of Columns: \d+ Found: (\d+)", message)
        if line and found:
            what = f"has {found[1]} fields where the header has {len(self.names)}"
        elif line and "unterminated quote" in message:
            what = "opens a quote that is never closed"
        elif line:
            what = "cannot be read"
        else:
            return DataError("cannot be read as a table", place=str(self.path))
        return BrokenLine(int(line[1]) + self._breaks, what, self.path)

    @property
    def _breaks(self) -> int:
        return sum(name.count("\n") for name in self.names)

    def typed(
        self,
        names: Sequence[str],
        columns: list[Any],
        blank: bool = True,
        text: Collection[str | None] = (),
        literal: Collection[str | None] = (),
        numeric: Collection[str] = (),
    ) -> pd.DataFrame:
        """Arrow columns of texts as a frame, with numbers and truth values as such.

        Args:
            names: Their names.
            columns: The columns; the list is emptied.
            text, literal, numeric: As a `Table` reads.
            blank: Whether what is left blank is null already.
        """
        found, commas = {}, []
        for name in names:
            missing = ("",) if name in literal else BLANK
            column = _without_spaces(columns.pop(0), missing, blank)
            kept = name in text or name in literal
            numbers = None if kept else _numbers(column)
            if numbers is None:
                numbers = column.to_pandas().rename(name)
                if not kept:
                    numbers, comma = self._typed(numbers, name in numeric)
                    commas += [name] * comma
            found[name] = numbers
        if commas:
            log.info("read with a decimal comma: %s", ", ".join(commas))
        return pd.DataFrame(found, copy=False)

    def _typed(self, texts: pd.Series, numeric: bool) -> tuple[pd.Series, bool]:
        """Texts as truth values or numbers where they are, and whether by a decimal comma."""
        distinct = condensed(texts)
        if distinct.dropna().isin([*_TRUTH]).all():
            return texts.map(_TRUTH).astype(object if texts.isna().any() else bool), False
        found_out = self.decimal is None and self.delimiter != ","
        share = share_of_commas(distinct) if self.decimal == "," or found_out else 0.0
        if share >= 0.5 or (share and (self.decimal == "," or numeric)):
            return with_points(texts), True
        others = share_of_numbers(distinct) == 1.0 or (texts == "None").any()
        return (numbers_if_all(texts) if others else texts), False


@dataclass(frozen=True)
class SpooledText:
    """Columns of a text, as texts in a Parquet file; called, it gives them as the text does."""

    file: Path
    text: Text

    def __call__(self, columns: Sequence[str] | None = None, **kinds: Any) -> pd.DataFrame:
        import pyarrow.parquet

        names = self.text.names if columns is None else list(columns)
        table = pyarrow.parquet.read_table(self.file, columns=names)
        return self.text.typed(names, table.columns, **kinds)


def _write(rows: Any, file: Path) -> None:
    """Write DuckDB's rows to a Parquet file, part by part; without a dictionary of the texts, which
    costs DuckDB's own writer three times as long for a file that is read once."""
    import pyarrow.parquet

    reader = getattr(rows, "to_arrow_reader", None) or rows.fetch_arrow_reader  # before 2.0
    parts = reader(ROWS_A_GROUP)
    with pyarrow.parquet.ParquetWriter(file, parts.schema, use_dictionary=False) as writer:
        for part in parts:
            writer.write_batch(part)


def _without_spaces(column: Any, missing: Sequence[str], blank: bool) -> Any:
    """An Arrow column without the spaces before its texts; null where these then mean missing."""
    import pyarrow
    import pyarrow.compute as pc

    spaced = pc.any(pc.starts_with(column, " ")).as_py()
    if spaced:
        column = pc.utf8_ltrim(column, " ")
    if spaced or not blank:
        means_missing = pc.is_in(column, pyarrow.array(missing, column.type))
        column = pc.if_else(means_missing, pyarrow.scalar(None, column.type), column)
    return column


def _numbers(column: Any) -> pd.Series | None:
    """An Arrow column of texts as numbers, if all are."""
    import pyarrow.compute as pc
    import pyarrow.lib

    numbers = None
    # Numbers first: '0x1F' is one to Arrow where whole ones are asked for.
    for kind in ("float64",) if column.null_count else ("float64", "int64"):
        try:
            numbers = pc.cast(column, kind)
        except pyarrow.lib.ArrowInvalid:
            break
    return None if numbers is None else numbers.to_pandas()


def open_text(
    path: Path,
    encoding: str | None = None,
    delimiter: str | None = None,
    decimal: Decimal | None = None,
) -> Text:
    """A text file; what is not given of its layout is found out from its first lines.

    Raises:
        DataError: It cannot be unpacked or decoded, has no header, or the encoding or delimiter
            given is none.
    """
    if delimiter is not None and len(delimiter) != 1:
        raise DataError(f"delimiter '{delimiter}' is not one character", place="dataset",
                        hint='As in source.delimiter: ";" or, for a tab, "\\t".')  # fmt: skip
    found = first_encoding(path, encoding)
    try:
        lines = _first_lines(path, found)
    except UnicodeError:
        found = encoding_of(path, encoding)
        lines = _first_lines(path, found)
    if not lines or not lines[0].strip():
        raise DataError("the first line is empty; a header is expected", place=str(path))
    sign = delimiter or separator_of(lines[0], path.name, lines[1:6])
    names = _header(lines, sign)
    unnamed = {i: f"Unnamed: {i}" for i, name in enumerate(names) if not name}
    if unnamed:
        log.warning(
            "columns %s of %s have no name: called %s", ", ".join(str(i + 1) for i in unnamed),
            path.name, ", ".join(f"'{name}'" for name in unnamed.values()),
        )  # fmt: skip
        names = [unnamed.get(i, name) for i, name in enumerate(names)]
    return Text(path, names, sign, found, encoding, decimal)


def _header(lines: list[str], sign: str) -> list[str]:
    """The columns' names; those in quotes may hold line breaks."""
    try:
        names = next(csv.reader((f"{line}\n" for line in lines), delimiter=sign, strict=True))
    except csv.Error:  # a quote within a name, or one that is not closed soon
        names = next(csv.reader(lines[:1], delimiter=sign))
    return [name.strip() for name in names]


def separator_of(header: str, name: str, following: list[str] | None = None) -> str:
    """The separator of a header line: by the file's suffix, else by what the lines hold.

    Of several signs that the header holds, the one that divides the next lines into as many
    fields.
    """
    if re.search(r"\.tsv(\.gz|\.zst)?$", name.lower()):
        return "\t"
    counts = {sign: _unquoted(header, sign) for sign in DELIMITERS}
    held = [sign for sign in DELIMITERS if counts[sign]]
    even = [
        sign for sign in held
        if following and all(_unquoted(line, sign) == counts[sign] for line in following if line)
    ]  # fmt: skip
    if even:
        return max(even, key=counts.__getitem__)
    return "," if counts[","] else max(DELIMITERS, key=counts.__getitem__)


def _unquoted(line: str, sign: str) -> int:
    return re.sub(r'"[^"]*"', "", line).count(sign)


def _first_lines(path: Path, encoding: str) -> list[str]:
    with unpacked(path) as stream, io.TextIOWrapper(stream, encoding=encoding) as text:
        return [line.rstrip("\r\n") for line in islice(text, _FIRST)]

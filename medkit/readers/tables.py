"""Tables read from text, Parquet and Excel files, with errors that name the line."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medkit.core.errors import DataError, did_you_mean
from medkit.core.files import existing, sha256
from medkit.core.lazy import pd
from medkit.readers.engines import parquet_schema
from medkit.readers.excel import EXCEL, read_sheet
from medkit.readers.text import DELIMITED, Decimal, open_text
from medkit.readers.values import is_text, with_dates, with_points

PARQUET = (".parquet", ".pq")
# How many times its size a packed table may have.
PACKED = 5


@dataclass(frozen=True)
class Table:
    """A table whose columns are known and whose rows are still to be read.

    Args:
        names: Names of the columns.
        place: The file, or the name that stands for a database, for messages.
        read: Gives the rows, from ``columns``, ``text`` and ``literal`` as ``read_table`` has
            them, and ``numeric``: columns known to hold numbers.
        fingerprints: Gives file name -> SHA-256 of what is read.
        size: About how many bytes the rows take in memory; 0 where that is not known.
        file: The file, where it is one.
        spool: Writes the rows of a text to a folder, from which they are read by column; None
            where ``read`` can do so.
    """

    names: list[str]
    place: Path
    read: Callable[..., pd.DataFrame]
    fingerprints: Callable[[], Mapping[str, str]]
    size: int = 0
    file: Path | None = None
    spool: Callable[[Path], Callable[..., pd.DataFrame]] | None = None


def is_table(path: Path) -> bool:
    """Whether the name is one of a table this module reads."""
    return path.name.lower().endswith((*PARQUET, *DELIMITED, *EXCEL))


def open_table(
    path: Path,
    *,
    encoding: str | None = None,
    delimiter: str | None = None,
    decimal: Decimal | None = None,
    sheet: str | None = None,
) -> Table:
    """A file as a table; what is not given of its layout is found out.

    Args:
        path: A ``.csv``, ``.tsv`` or ``.txt`` (each also with ``.gz`` or ``.zst``),
            ``.parquet`` or ``.xlsx`` file.
        encoding: The text's encoding.
        delimiter: What separates the text's columns.
        decimal: The decimal mark of the numbers.
        sheet: The workbook's sheet.

    Raises:
        DataError: The file is missing, empty, of another kind, or names a column twice.
    """
    existing(path)
    if path.is_dir():
        raise DataError("is a folder where a table is expected", place=str(path))
    if not is_table(path):
        raise DataError(
            f"'{path.suffix}' files are not read as tables",
            place=str(path),
            hint=f"Save it as one of {', '.join((*DELIMITED, *PARQUET, *EXCEL))}.",
        )
    read: Any
    spool: Any = None
    size = path.stat().st_size
    if path.name.lower().endswith(PARQUET):
        import pyarrow.parquet

        names = [str(name) for name in parquet_schema(path).names if name != "__index_level_0__"]
        read = _Rows(
            names,
            lambda columns, kept: _from_parquet(path, columns),
            decimal,
        )
        size = 8 * len(names) * pyarrow.parquet.read_metadata(path).num_rows
    elif path.name.lower().endswith(EXCEL):
        found = read_sheet(path, sheet)
        names, size = found.names, 0
        read = _Rows(names, lambda columns, kept: found.frame(kept)[columns], decimal)
    else:
        text = open_text(path, encoding, delimiter, decimal)
        names, read, spool = text.names, text, text.spooled
        size *= PACKED if path.name.lower().endswith((".gz", ".zst")) else 1
    check_names(names, path)
    return Table(names, path, read, lambda: {path.name: sha256(path)}, size, path, spool)


def _from_parquet(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Columns of a Parquet file with one number, text or moment a cell.

    Raises:
        DataError: The file is damaged, or a cell holds several values or bytes that are no text.
    """
    import pyarrow as pa
    import pyarrow.parquet

    try:
        found = pyarrow.parquet.read_table(path, columns=columns)
    except (pa.lib.ArrowException, OSError) as error:
        what = f"the file is damaged: {str(error).splitlines()[0]}"
        raise DataError(what, place=str(path), hint="Copy it again.") from error
    for i, field in enumerate(found.schema):
        if pa.types.is_nested(field.type):
            raise DataError(
                f"column '{field.name}' holds {str(field.type).partition('<')[0]}s, not one value "
                "a cell",
                place=str(path),
                hint="Write a column for each value, or a row for each.",
            )
        if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
            try:
                found = found.set_column(i, field.name, found.column(i).cast(pa.string()))
            except pa.ArrowInvalid as error:
                what = f"column '{field.name}' holds bytes that are no text"
                raise DataError(what, place=str(path)) from error
    return found.to_pandas(ignore_metadata=True)


def check_names(names: Sequence[str], place: Path) -> None:
    """Raise a DataError if a column's name stands twice."""
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(
            f"the header names the column '{repeated[0]}' {names.count(repeated[0])} times",
            place=str(place),
            hint="Give each column a name of its own.",
        )


def column_names(path: Path) -> list[str]:
    """Names of the columns.

    Raises:
        DataError: The file is missing, empty, of another kind, or names a column twice.
    """
    return open_table(path).names


def read_table(
    path: Path,
    *,
    columns: Sequence[str] | None = None,
    text: Iterable[str | None] = (),
    literal: Iterable[str | None] = (),
    decimal: Decimal | None = None,
) -> pd.DataFrame:
    """A table as a frame with rows numbered from 1, missing cells as NaN.

    Args:
        path: A file that ``open_table`` knows.
        columns: Read only these; None: all.
        text: Columns kept as text where they look like numbers (``007`` stays ``007``).
        literal: Text columns in which ``NA`` is a value; only empty is missing.
        decimal: The decimal mark of the numbers; None: a point, and a comma in columns of mostly
            such numbers where it does not separate the columns.

    Raises:
        DataError: The file cannot be read, holds no rows, or lacks one of ``columns``.
    """
    found = open_table(path, decimal=decimal)
    for column in columns or ():
        require(column, found.names, path)
    return rows_of(found, columns=columns, text=text, literal=literal)


def rows_of(found: Table, **kinds: Any) -> pd.DataFrame:
    """The rows of a table, numbered from 1; ``kinds`` as `Table.read` takes them.

    Raises:
        DataError: They cannot be read, or there are none.
    """
    frame = found.read(**kinds)
    if frame.empty:
        raise DataError("has a header but no rows", place=str(found.place))
    frame.index = pd.RangeIndex(1, len(frame) + 1, name="row")
    return frame


@dataclass(frozen=True)
class _Rows:
    """Rows of a file that has types; ``read`` takes the columns and those kept as text."""

    names: list[str]
    read: Callable[[list[str], Collection[str | None]], pd.DataFrame]
    decimal: Decimal | None

    def __call__(
        self,
        columns: Sequence[str] | None = None,
        text: Iterable[str | None] = (),
        literal: Iterable[str | None] = (),
        numeric: Iterable[str] = (),
    ) -> pd.DataFrame:
        kept = {*text, *literal}
        frame = with_dates(self.read(list(self.names if columns is None else columns), kept))
        if self.decimal != ",":
            return frame
        columns = [str(name) for name in frame if name not in kept and is_text(frame[name])]
        return frame.assign(**{name: with_points(frame[name]) for name in columns})


def require(column: str, names: Iterable[str], path: Path, what: str = "column") -> None:
    """Raise a DataError that lists the nearest name if ``column`` is not among ``names``."""
    known = [str(name) for name in names]
    if column not in known:
        shown = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")
        raise DataError(
            f"no {what} called '{column}'{did_you_mean(column, known)}",
            place=str(path),
            hint=f"It has: {shown}.",
        )


def fingerprint(files: Iterable[tuple[str, bytes | Path]]) -> str:
    """One SHA-256 for many files: their names in a folder may identify patients."""
    whole = hashlib.sha256()
    for name, content in sorted(files, key=lambda item: item[0]):
        data = content.read_bytes() if isinstance(content, Path) else content
        whole.update(f"{name}\0{hashlib.sha256(data).hexdigest()}\n".encode())
    return whole.hexdigest()


def fingerprints(path: Path, files: Sequence[Path]) -> dict[str, str]:
    """Name of the file or folder -> SHA-256 of what is read of it."""
    if path.is_file():
        return {path.name: sha256(path)}
    named = ((file.relative_to(path).as_posix(), file) for file in files)
    return {f"{path.resolve().name}/": fingerprint(named)}

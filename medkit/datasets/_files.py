"""Tables read from CSV, TSV and Parquet files, with errors that name the line."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import logging
import re
import warnings
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from medkit.datasets._values import is_text, numbers_if_all, share_of_commas, with_points
from medkit.errors import DataError, did_you_mean
from medkit.files import existing
from medkit.lazy import pd
from medkit.values import BLANK

log = logging.getLogger("medkit")

Decimal = Literal[".", ","]
PARQUET = (".parquet", ".pq")
DELIMITED = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")


def is_table(path: Path) -> bool:
    """Whether the name is one of a table this module reads."""
    return path.name.lower().endswith((*PARQUET, *DELIMITED))


def column_names(path: Path) -> list[str]:
    """Names of the columns, read from the head of the file alone.

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
            hint=f"Save it as one of {', '.join((*DELIMITED, *PARQUET))}.",
        )
    if path.name.lower().endswith(PARQUET):
        return [str(name) for name in _parquet(path).names if name != "__index_level_0__"]
    first, separator = _header(path)
    names = [name.strip() for name in next(csv.reader([first], delimiter=separator))]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(
            f"the header names the column '{repeated[0]}' {names.count(repeated[0])} times",
            place=str(path),
            hint="Give each column a name of its own.",
        )
    return names


def read_table(
    path: Path,
    *,
    columns: Sequence[str] | None = None,
    text: Iterable[str | None] = (),
    literal: Iterable[str | None] = (),
    numeric: Iterable[str] = (),
    decimal: Decimal | None = None,
) -> pd.DataFrame:
    """A table as a frame with rows numbered from 1, missing cells as NaN.

    Args:
        path: A ``.csv``, ``.tsv``, ``.txt`` (each also with ``.gz``) or ``.parquet`` file.
        columns: Read only these; None: all.
        text: Columns kept as text where they look like numbers (``007`` stays ``007``).
        literal: Text columns in which ``NA`` is a value; only empty is missing.
        numeric: Columns known to hold numbers.
        decimal: The decimal mark of the numbers; None: a point, and a comma in columns of mostly
            such numbers where it does not separate the columns.

    Raises:
        DataError: The file cannot be read, holds no rows, or lacks one of ``columns``.
    """
    names = column_names(path)
    for column in columns or ():
        require(column, names, path)
    if path.name.lower().endswith(PARQUET):
        import pyarrow.parquet

        wanted = list(columns) if columns is not None else names
        frame = pyarrow.parquet.read_table(path, columns=wanted).to_pandas(ignore_metadata=True)
        if decimal == ",":
            kept = {*text, *literal}
            frame = frame.assign(
                **{n: with_points(frame[n]) for n in frame if n not in kept and is_text(frame[n])}
            )
    else:
        separator = _header(path)[1]
        frame = parse_delimited(
            path,
            names,
            separator,
            text=text,
            literal=literal,
            numeric=numeric,
            decimal=decimal,
            place=path,
        )
        frame = frame if columns is None else frame[list(columns)]
    if frame.empty:
        raise DataError("has a header but no rows", place=str(path))
    frame.index = pd.RangeIndex(1, len(frame) + 1, name="row")
    return frame


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


def parse_delimited(
    source: Path | io.BytesIO,
    names: Sequence[str],
    separator: str,
    *,
    text: Iterable[str | None] = (),
    literal: Iterable[str | None] = (),
    numeric: Iterable[str] = (),
    decimal: Decimal | None = None,
    place: Path,
) -> pd.DataFrame:
    """The rows below the header line of a delimited file or buffer.

    Raises:
        DataError: A line with too many fields, an open quote, or bytes that are not UTF-8.
    """
    literal = [name for name in literal if name in names]
    kept_text = [name for name in (*text, *literal) if name in names]
    missing = {name: [""] if name in literal else list(BLANK) for name in names}
    try:
        with warnings.catch_warnings():
            # Raised when the lines are longer than the header: cells would be lost.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                source,
                sep=separator,
                header=0,
                names=list(names),
                index_col=False,
                dtype=dict.fromkeys(kept_text, "str"),
                keep_default_na=False,
                na_values=missing,
                skipinitialspace=True,
                low_memory=False,
                encoding="utf-8-sig",
            )
    except UnicodeDecodeError as error:
        raise _not_utf8(source, place) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"not a readable gzip file: {error}", place=str(place)) from error
    except (pd.errors.ParserError, pd.errors.ParserWarning, ValueError) as error:
        raise _unparsable(str(error), len(names), place) from error
    others = [name for name in names if name not in kept_text]
    return _numbers_among_texts(frame, others, separator, set(numeric), decimal)


def _numbers_among_texts(
    frame: pd.DataFrame,
    names: Sequence[str],
    separator: str,
    numeric: set[str],
    decimal: Decimal | None,
) -> pd.DataFrame:
    """The frame, its columns with decimal commas or with ``None`` among numbers as numbers."""
    commas = []
    changed: dict[str, pd.Series] = {}
    for name in names:
        column = frame[name]
        if not is_text(column) or pd.api.types.is_bool_dtype(column):
            continue
        found_out = decimal is None and separator != ","
        share = share_of_commas(column) if decimal == "," or found_out else 0.0
        if share >= 0.5 or (share and (decimal == "," or name in numeric)):
            changed[name] = with_points(column)
            commas.append(name)
        elif (column == "None").any():
            changed[name] = numbers_if_all(column)
    if commas:
        log.info("read with a decimal comma: %s", ", ".join(commas))
    return frame.assign(**changed) if changed else frame


def fingerprint(files: Iterable[tuple[str, bytes | Path]]) -> str:
    """One SHA-256 for many files: their names in a folder may identify patients."""
    whole = hashlib.sha256()
    for name, content in sorted(files, key=lambda item: item[0]):
        data = content.read_bytes() if isinstance(content, Path) else content
        whole.update(f"{name}\0{hashlib.sha256(data).hexdigest()}\n".encode())
    return whole.hexdigest()


def separator_of(header: str, name: str) -> str:
    """The separator of a header line: by the file's suffix, else by what the line holds."""
    if name.lower().endswith((".tsv", ".tsv.gz")):
        return "\t"
    return max(",;\t|", key=header.count) if "," not in header else ","


def _header(path: Path) -> tuple[str, str]:
    try:
        with gzip.open(path, "rb") if path.name.lower().endswith(".gz") else open(path, "rb") as f:
            first = f.readline().decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise _not_utf8(path, path) from error
    except (gzip.BadGzipFile, EOFError) as error:
        raise DataError(f"not a readable gzip file: {error}", place=str(path)) from error
    if not first.strip():
        raise DataError("the first line is empty; a header is expected", place=str(path))
    return first, separator_of(first, path.name)


def _parquet(path: Path) -> Any:
    import pyarrow.lib
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_schema(path)
    except (pyarrow.lib.ArrowException, OSError) as error:
        raise DataError("not a readable Parquet file", place=str(path)) from error


def _not_utf8(source: Path | io.BytesIO, place: Path) -> DataError:
    line = None
    if isinstance(source, Path):
        with gzip.open(source) if source.name.lower().endswith(".gz") else open(source, "rb") as f:
            for number, content in enumerate(f, start=1):
                try:
                    content.decode("utf-8")
                except UnicodeDecodeError:
                    line = number
                    break
    where = f"line {line} is" if line else "it is"
    return DataError(
        f"{where} not UTF-8 text",
        place=str(place),
        hint="Save the file as UTF-8, or as Parquet.",
    )


def _unparsable(message: str, width: int, place: Path) -> DataError:
    many = re.search(r"Expected \d+ fields in line (\d+), saw (\d+)", message)
    quote = re.search(r"EOF inside string starting at row (\d+)", message)
    if many:
        text = f"line {many[1]} has {many[2]} fields where the header has {width}"
    elif quote:
        text = f"line {int(quote[1]) + 1} opens a quote that is never closed"
    elif "Length of header" in message:
        text = f"line 2 and others have more fields than the header, which has {width}"
    else:
        text = f"cannot be read as a table: {message}"
    return DataError(
        text, place=str(place), hint='Put a text that holds the separator in "quotes".'
    )

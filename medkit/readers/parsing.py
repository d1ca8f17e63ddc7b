"""The rows of delimited text: missing cells, decimal commas, and errors that name the line."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Literal

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.core.values import BLANK
from medkit.readers.text import UTF8, not_decoded
from medkit.readers.values import is_text, numbers_if_all, share_of_commas, with_points

log = logging.getLogger("medkit")

Decimal = Literal[".", ","]


def parse_delimited(
    source: io.BytesIO,
    names: Sequence[str],
    separator: str,
    *,
    literal: Iterable[str | None] = (),
    place: Path,
) -> pd.DataFrame:
    """The rows below the header line of a buffer of UTF-8 text.

    Raises:
        DataError: A line with too many fields, an open quote, or bytes that are not UTF-8.
    """
    try:
        return parse_text(source, names, separator, UTF8, (), literal, (), None, place)
    except UnicodeError as error:
        raise not_decoded(source, "UTF-8", place) from error


def parse_text(
    source: IO[bytes],
    names: Sequence[str],
    separator: str,
    encoding: str,
    text: Iterable[str | None],
    literal: Iterable[str | None],
    numeric: Iterable[str],
    decimal: Decimal | None,
    place: Path,
) -> pd.DataFrame:
    """The rows below the header line, from an open file.

    Raises:
        DataError: A line with too many fields, or an open quote.
        UnicodeError: The bytes are no text of this encoding.
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
                encoding=encoding,
            )
    except UnicodeError:
        raise
    except (pd.errors.ParserError, pd.errors.ParserWarning, ValueError) as error:
        raise _unparsable(str(error), len(names), place) from error
    others = [name for name in names if name not in kept_text]
    return numbers_among_texts(frame, others, separator, set(numeric), decimal)


def numbers_among_texts(
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

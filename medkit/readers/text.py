"""Delimited text: compression, encoding and delimiter, given or found out."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import logging
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any

from medkit.core.errors import DataError

log = logging.getLogger("medkit")

DELIMITED = tuple(
    f"{suffix}{packed}" for packed in ("", ".gz", ".zst") for suffix in (".csv", ".tsv", ".txt")
)
DELIMITERS = ",;\t|"

UTF8 = "utf-8-sig"
WESTERN = "cp1252"
_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
# Signs that stand alone in clinical tables: units, dashes, quotes.
_SIGNS = "°µ²³±×–—‘’“”„…€£§½¼¾ªº·•®©™«»\xa0"


@dataclass(frozen=True)
class TextLayout:
    """How a delimited file is written.

    Args:
        header: Its first line.
        encoding: Its encoding, as Python names it.
        delimiter: What separates its columns.
    """

    header: str
    encoding: str
    delimiter: str

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return [name.strip() for name in next(csv.reader([self.header], delimiter=self.delimiter))]


def layout_of(path: Path, encoding: str | None = None, delimiter: str | None = None) -> TextLayout:
    """The layout of a file: what is not given is found out from its first lines.

    Raises:
        DataError: It cannot be unpacked or decoded, has no header, or the encoding or delimiter
            given is none.
    """
    if delimiter is not None and len(delimiter) != 1:
        raise DataError(f"delimiter '{delimiter}' is not one character", place="dataset",
                        hint='As in delimiter: ";" or, for a tab, delimiter: "\\t".')  # fmt: skip
    with unpacked(path) as stream:
        first = stream.read(2)
    found = _known(encoding) or _MARKS.get(first, UTF8)
    try:
        lines = _first_lines(path, found)
    except UnicodeError:
        found = encoding_of(path, encoding)
        lines = _first_lines(path, found)
    if not lines or not lines[0].strip():
        raise DataError("the first line is empty; a header is expected", place=str(path))
    return TextLayout(lines[0], found, delimiter or separator_of(lines[0], path.name, lines[1:]))


def otherwise_encoded(path: Path, layout: TextLayout, given: str | None) -> TextLayout:
    """The layout of a file that turned out, below its first lines, not to be UTF-8."""
    return replace(layout, encoding=encoding_of(path, given))


def encoding_of(path: Path, given: str | None) -> str:
    """The encoding of a file that the first guess does not fit.

    Raises:
        DataError: One was given, or the text is no Western European one: the other 8-bit
            encodings can't be told from each other.
    """
    if given is None and _is_western(path):
        log.warning(
            "%s is not UTF-8 text: read as Windows-1252 (Western European); if letters are "
            "wrong, give its encoding, as in encoding: cp1250", path.name,
        )  # fmt: skip
        return WESTERN
    raise not_decoded(path, given or "UTF-8")


@contextmanager
def unpacked(path: Path) -> Iterator[IO[bytes]]:
    """The content of a file, unpacked where its name ends in ``.gz`` or ``.zst``.

    Raises:
        DataError: It is no such archive, or cut off.
    """
    name = path.name.lower()
    kind = "gzip" if name.endswith(".gz") else "zstd" if name.endswith(".zst") else ""
    try:
        with _opened(path, kind) as stream:
            yield stream
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"not a readable gzip file: {error}", place=str(path)) from error
    except OSError as error:
        if kind == "zstd":
            raise DataError(f"not a readable zstd file: {error}", place=str(path)) from error
        raise


def _opened(path: Path, kind: str) -> Any:
    if kind == "gzip":
        return gzip.open(path, "rb")
    if kind == "zstd":
        import pyarrow

        return io.BufferedReader(pyarrow.input_stream(str(path), compression="zstd"))
    return open(path, "rb")


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
        return [line.rstrip("\r\n") for line in islice(text, 6)]


def _known(encoding: str | None) -> str | None:
    if encoding is None:
        return None
    try:
        name = codecs.lookup(encoding).name
        "a".encode(name)  # 'base64' is known but encodes no text
    except LookupError:
        raise DataError(
            f"encoding '{encoding}' is not known",
            place="dataset",
            hint="As in encoding: utf-8, cp1252, latin-1, cp1250 or utf-16.",
        ) from None
    return UTF8 if name == "utf-8" else name


def _is_western(path: Path) -> bool:
    """Whether each word that is no ASCII reads as Western European.

    In such a word at least half of the letters are ASCII; in Russian or Greek text none is.
    """
    found = False
    with unpacked(path) as stream:
        for line in stream:
            if line.isascii():
                continue
            try:
                text = line.decode(WESTERN)
            except UnicodeDecodeError:
                return False
            for word in re.findall(r"[^\W\d_]*[^\x00-\x7f]+[^\W\d_]*", text):
                letters = [c for c in word if c not in _SIGNS]
                if len(letters) == 1 and letters[0].isalpha() and not letters[0].isascii():
                    continue  # 'à' proves nothing
                found = True
                foreign = sum(not c.isascii() for c in letters)
                if any(not c.isalpha() for c in letters) or 2 * foreign > len(letters):
                    return False
    return found


def not_decoded(source: object, encoding: str, place: Path | None = None) -> DataError:
    """The error for bytes that are no text of this encoding, with the first such line."""
    line = None
    if isinstance(source, Path) and not encoding.startswith("utf-16"):
        with unpacked(source) as stream:
            for number, content in enumerate(stream, start=1):
                try:
                    content.decode(encoding)
                except UnicodeDecodeError:
                    line = number
                    break
    where = f"line {line} is" if line else "it is"
    return DataError(
        f"{where} not {encoding} text",
        place=str(place or source),
        hint="Save the file as UTF-8 or as Parquet, or give its encoding, as in "
        "dataset.encoding: cp1252 (Windows, Western Europe), cp1250 (Central Europe), utf-16.",
    )

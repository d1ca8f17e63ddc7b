"""Encoding and compression of text files: given, or found out."""

from __future__ import annotations

import codecs
import gzip
import io
import logging
import re
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from medkit.core.errors import DataError
from medkit.core.limits import check_unpacked

log = logging.getLogger("medkit")

UTF8 = "utf-8-sig"
WESTERN = "cp1252"
_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
# Signs that stand alone in clinical tables: units, dashes, quotes.
_SIGNS = "°µ²³±×–—‘’“”„…€£§½¼¾ªº·•®©™«»\xa0"


def first_encoding(path: Path, given: str | None) -> str:
    """The encoding to try first: the one given, UTF-16 by its mark, else UTF-8.

    Raises:
        DataError: The one given is none.
    """
    if given is not None:
        return _known(given)
    with unpacked(path) as stream:
        return _MARKS.get(stream.read(2), UTF8)


def encoding_of(path: Path, given: str | None) -> str:
    """The encoding of a file that the first guess does not fit.

    Not by charset-normalizer: tables hold too few letters for it. It reads '36,6 °C' as Chinese and
    'Москва' as Korean, and a wrong letter in a category would go unseen.

    Raises:
        DataError: One was given, or the text is no Western European one: the other 8-bit
            encodings cannot be distinguished.
    """
    if given is None and _is_western(path):
        log.warning(
            "%s is not UTF-8 text: read as Windows-1252 (Western European); if letters are "
            "wrong, give its encoding, as in source.encoding: cp1250", path.name,
        )  # fmt: skip
        return WESTERN
    raise _not_decoded(path, given or "UTF-8")


def as_plain_utf8(path: Path, encoding: str, folder: Path, copied: bool) -> Path:
    """The file itself where DuckDB reads it, else a plain UTF-8 copy with lines that end alike.

    DuckDB could unpack it, but takes an archive that was cut off for a whole one.

    Raises:
        UnicodeError: The bytes are no text of this encoding.
        DataError: It is no such archive, or cut off.
    """
    if encoding == UTF8 and not copied and not path.name.lower().endswith((".gz", ".zst")):
        return path
    copy = folder / "text.csv"
    with (
        unpacked(path) as stream,
        io.TextIOWrapper(stream, encoding) as text,
        open(copy, "w", encoding="utf-8", newline="\n") as file,
    ):
        shutil.copyfileobj(text, file, 1024**2)
    return copy


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
        return io.BufferedReader(Unfolding(gzip.open(path, "rb"), path), 1024**2)
    if kind == "zstd":
        import pyarrow

        stream = pyarrow.input_stream(str(path), compression="zstd")
        return io.BufferedReader(Unfolding(stream, path), 1024**2)
    return open(path, "rb")


class Unfolding(io.RawIOBase):
    """The content of a packed file, as long as it does not unfold to more than files do.

    Args:
        stream: What unpacks it.
        path: The file.

    Raises:
        DataError: While it is read.
    """

    def __init__(self, stream: Any, path: Path):
        self.stream, self.path, self.count = stream, path, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self.stream.read(len(buffer))
        buffer[: len(content)] = content
        self.count += len(content)
        check_unpacked(self.count, self.path.stat().st_size, str(self.path))
        return len(content)

    def close(self) -> None:
        if not self.closed:
            self.stream.close()
        super().close()


def _known(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
        "a".encode(name)  # 'base64' is known but encodes no text
    except LookupError:
        raise DataError(
            f"encoding '{encoding}' is not known",
            place="dataset",
            hint="As in source.encoding: utf-8, cp1252, latin-1, cp1250 or utf-16.",
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


def _not_decoded(path: Path, encoding: str) -> DataError:
    """The error for bytes that are no text of this encoding, with the first such line."""
    line = None
    if not encoding.startswith("utf-16"):
        with unpacked(path) as stream:
            for number, content in enumerate(stream, start=1):
                try:
                    content.decode(encoding)
                except UnicodeDecodeError:
                    line = number
                    break
    where = f"line {line} is" if line else "it is"
    return DataError(
        f"{where} not {encoding} text",
        place=str(path),
        hint="Save the file as UTF-8 or as Parquet, or give its encoding, as in "
        "dataset.source.encoding: cp1252 (Windows, Western Europe), cp1250 (Central Europe) or "
        "utf-16.",
    )

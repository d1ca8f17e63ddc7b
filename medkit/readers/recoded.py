"""Text of any encoding as a stream of UTF-8, for parsers that take nothing else."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medkit.readers.text import UTF8, TextLayout, unpacked


@contextmanager
def as_utf8(path: Path, layout: TextLayout) -> Iterator[Any]:
    """The content of a file, unpacked and as UTF-8."""
    with unpacked(path) as stream:
        if layout.encoding == UTF8:
            yield stream
        else:
            yield io.BufferedReader(Recoded(stream, layout.encoding), 1024**2)


class Recoded(io.RawIOBase):
    """A stream in another encoding, as UTF-8."""

    def __init__(self, stream: Any, encoding: str):
        self.stream, self.rest = stream, b""
        self.decoder = codecs.getincrementaldecoder(encoding)()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self.rest:
            content = self.stream.read(1024**2)
            self.rest = self.decoder.decode(content, final=not content).encode()
            if not content:
                break
        taken, self.rest = self.rest[: len(buffer)], self.rest[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)


class CountedQuotes(io.RawIOBase):
    """A stream whose quotes are counted: the parser takes what follows an open one as text."""

    def __init__(self, stream: Any):
        self.stream, self.count = stream, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self.stream.read(len(buffer))
        self.count += content.count(b'"')
        buffer[: len(content)] = content
        return len(content)

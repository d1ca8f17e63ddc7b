"""How far a long reading has come: a bar with rate and time left on a terminal, else lines."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

log = logging.getLogger("medkit")

T = TypeVar("T")

# Readings shorter than this show nothing; then a line each so many seconds.
QUIET_SECONDS = 2.0
LINE_SECONDS = 5.0


class Reading:
    """Counts what has been read, and says so.

    Args:
        what: What is done: ``reading stays``.
        total: How many there are; None where that is not known.
        unit: What is counted: ``files``.
    """

    def __init__(self, what: str, total: int | None, unit: str):
        self.what, self.total, self.unit, self.done = what, total, unit, 0
        self.started = self.said = time.monotonic()
        self.bar: Any = None
        self.task: Any = None

    def advance(self, count: int = 1) -> None:
        """So many more have been read."""
        self.done += count
        now = time.monotonic()
        if now - self.started < QUIET_SECONDS:
            return
        if self.bar is None and sys.stderr.isatty():
            self._draw()
        if self.bar is not None:
            self.bar.update(self.task, completed=self.done, text=self._text(now))
        elif now - self.said >= LINE_SECONDS:
            self.said = now
            log.info("%s: %s", self.what, self._text(now))

    def _text(self, now: float) -> str:
        rate = self.done / max(now - self.started, 1e-9)
        of = f" of {self.total:,}" if self.total else ""
        text = f"{self.done:,}{of} {self.unit}, {rate:,.{0 if rate >= 10 else 1}f} a second"
        if not self.total or not self.done:
            return text
        return f"{text}, {_duration((self.total - self.done) / rate)} left"

    def _draw(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self.bar = Progress(
            TextColumn(self.what), BarColumn(), TextColumn("{task.fields[text]}"),
            console=Console(stderr=True), transient=True,
        )  # fmt: skip
        self.bar.start()
        self.task = self.bar.add_task("", total=self.total, text="")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar is not None:
            self.bar.stop()


def counted(items: Iterable[T], what: str, total: int | None, unit: str) -> Iterator[T]:
    """The same items, each counted as read when the next is asked for."""
    with Reading(what, total, unit) as reading:
        for item in items:
            yield item
            reading.advance()


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else (
        f"{whole // 3600} h {whole % 3600 // 60} min"
    )  # fmt: skip

"""How far a long job has come: a bar with rate and time left on a terminal, else lines."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

log = logging.getLogger("medkit")

T = TypeVar("T")

# Jobs shorter than this show nothing; then a line each so many seconds.
QUIET_SECONDS = 2.0
LINE_SECONDS = 5.0


class Progress:
    """Counts what is done and shows it.

    Args:
        what: What is done: ``reading stays``.
        total: How many there are; None where that is not known.
        unit: What is counted: ``files``.
        quiet, every: Seconds before anything is shown, and between lines.
    """

    def __init__(
        self, what: str, total: int | None = None, unit: str = "",
        *, quiet: float = QUIET_SECONDS, every: float = LINE_SECONDS,
    ):  # fmt: skip
        self.what, self.total, self.unit, self.done = what, total, unit, 0
        self.quiet, self.every = quiet, every
        self.started = time.monotonic()
        self.line_at = self.started + quiet
        self.bar: Any = None

    def advance(self, count: int = 1) -> None:
        """Count this many more as done."""
        self.done += count
        now = time.monotonic()
        if now - self.started >= self.quiet:
            self.show(self.done, self._text(now), now)

    def show(self, done: float, text: str, now: float, last: bool = False) -> None:
        """Draw the bar at ``done``; or write a line, if it is time for one or the last.

        Args:
            done: How many are done; a fraction counts.
            text: What is shown behind the bar or in the line.
            now: The time, of ``time.monotonic``.
            last: Whether nothing follows.
        """
        if self.bar is None and sys.stderr.isatty():
            self._draw()
        if self.bar is not None:
            self.bar.update(0, completed=done, description=self.what, text=text)
        elif last or now >= self.line_at:
            self.line_at = now + self.every
            log.info("%s: %s", self.what, text)

    def _text(self, now: float) -> str:
        rate = self.done / max(now - self.started, 1e-9)
        of = f" of {self.total:,}" if self.total else ""
        text = f"{self.done:,}{of} {self.unit}, {rate:,.{0 if rate >= 10 else 1}f} a second"
        if not self.total or not self.done:
            return text
        return f"{text}, {duration((self.total - self.done) / rate)} left"

    def _draw(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        self.bar = Bar(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"),
            console=Console(stderr=True), transient=True,
        )  # fmt: skip
        self.bar.start()
        self.bar.add_task(self.what, total=self.total, text="")

    def close(self) -> None:
        """Take the bar off the terminal."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def tracked(items: Iterable[T], what: str, total: int | None, unit: str) -> Iterator[T]:
    """The same items, each counted as done when the next is asked for."""
    with Progress(what, total, unit) as progress:
        for item in items:
            yield item
            progress.advance()


def duration(seconds: float) -> str:
    """``8 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"

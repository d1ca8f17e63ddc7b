"""The commands. Results go to stdout, messages for a person go to stderr."""

# ruff: noqa: I001 - the help names the commands in the order of their import

from __future__ import annotations

import contextlib
import logging
import signal
import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from medkit.cli._shared import app, say
from medkit.core.errors import MedkitError

from medkit.cli import training, using, looking  # noqa: F401


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Warnings only.")] = False,
) -> None:
    pass


@contextlib.contextmanager
def _talking(quiet: bool) -> Iterator[None]:
    """Show medkit's log on stderr, and treat a request to end as Ctrl-C."""
    log = logging.getLogger("medkit")
    log.setLevel(logging.WARNING if quiet else logging.INFO)
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.logging import RichHandler

        handler: logging.Handler = RichHandler(
            console=Console(stderr=True), show_path=False, show_time=False
        )
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
    log.addHandler(handler)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        log.removeHandler(handler)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 failed, 2 wrong use, 130 interrupted."""
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    quiet = "--quiet" in given or "-q" in given
    # Both may stand anywhere, also behind the command.
    given = [each for each in given if each not in ("--debug", "--quiet", "-q")]
    try:
        with _talking(quiet):
            app(args=given, prog_name="medkit")
    except SystemExit as stop:
        return int(stop.code or 0)
    except Exception as error:
        if debug:
            raise
        if isinstance(error, MedkitError):
            say(str(error))
            return error.exit_status
        kind = type(error).__name__
        what = (
            "cannot continue" if isinstance(error, OSError | MemoryError) else f"unexpected {kind}"
        )
        say(f"{what}: {error}\n  --debug shows the traceback")
        return 1
    return 0

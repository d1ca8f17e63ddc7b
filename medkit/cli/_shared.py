"""What the commands share: the application, their options, and how they print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="medkit",
    help="From clinical data to a validated, documented, deployable Keras model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="YAML file of the experiment.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a value: training.epochs=3 (repeatable)."),
]


def _allow(modules: list[str] | None) -> list[str] | None:
    """Before the command runs: all that it reads may name this code."""
    from medkit.core.registry import allow_code

    allow_code(modules or ())
    return modules


AllowOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-code",
        help="Module whose code a config or run may name (repeatable).",
        callback=_allow,
    ),
]
BackendOption = Annotated[
    str | None, typer.Option("--backend", help="Keras backend: tensorflow, jax or torch.")
]
RunArgument = Annotated[Path, typer.Argument(help="Folder of a run.", metavar="RUN")]


def say(text: str) -> None:
    """To a person, on stderr."""
    print(text, file=sys.stderr)


def show(renderable: Any) -> None:
    """A table for a person, on stderr."""
    from rich.console import Console

    Console(stderr=True).print(renderable)


def show_result(renderable: Any) -> None:
    """A table that is the result, on stdout."""
    from rich.console import Console

    # Off a terminal, tables must not be cut to 80 columns.
    Console(width=None if sys.stdout.isatty() else 160).print(renderable)

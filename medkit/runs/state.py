"""What the files of a run must hold to be used; it is checked before anything is made of it."""

from __future__ import annotations

import contextlib
import json
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from medkit.core.errors import RunError

_HINT = (
    "It is damaged, or of another version of medkit: open it with that one "
    "(environment.json names it), or train again."
)


class _Named(BaseModel):
    name: str


class _Task(_Named):
    state: dict[str, Any]
    threshold: float | list[float] | None


class InputsFile(BaseModel):
    """``inputs.json``."""

    inputs: dict[str, dict[str, Any]]
    task: _Task
    features: list[dict[str, Any]] = []
    columns: dict[str, Any] = {}
    conformal: dict[str, Any] | None = None
    recalibration: dict[str, Any] | None = None


class EnvironmentFile(BaseModel):
    """``environment.json``."""

    backend: Literal["tensorflow", "jax", "torch"]
    versions: dict[str, str] = {}
    data_sha256: dict[str, str] = {}
    stages: dict[str, dict[str, float]] = {}


class _Part(BaseModel):
    n: int
    metrics: dict[str, dict[str, Any]]


class MetricsFile(BaseModel):
    """``metrics.json``, of which ``medkit schema metrics`` describes all."""

    headline: str
    test: _Part


class ConfigFile(BaseModel):
    """``config.yaml``."""

    name: str
    seed: int
    dataset: _Named
    model: _Named
    task: _Named
    split: dict[str, Any]
    evaluation: dict[str, Any]


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        RunError: It is none.
    """
    with readable(path):
        return json.loads(path.read_text(encoding="utf-8"))


def read_state(path: Path, schema: type[BaseModel]) -> Any:
    """The content of one of a run's JSON files, if it holds what ``schema`` asks for.

    Raises:
        RunError: It does not; the first place is named.
    """
    return checked(read_json(path), schema, path)


def checked(document: Any, schema: type[BaseModel], path: Path) -> Any:
    """``document``, the content of a file, if it holds what ``schema`` asks for.

    Raises:
        RunError: It does not; the first place is named.
    """
    try:
        schema.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise RunError(f"{place}: {first['msg']}", place=str(path), hint=_HINT) from None
    return document


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """What libraries raise over a run's file that they cannot use, as an error that names it.

    ``RuntimeError`` is what they say of a member that is encrypted, packed in a way that is not
    known (``NotImplementedError``) or nested too deeply (``RecursionError``).

    Raises:
        RunError: In place of theirs.
    """
    try:
        yield
    except (
        ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError,
        zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        first = (str(error).splitlines() or [""])[0][:150]
        what = f"cannot be used ({type(error).__name__}: {first})"
        raise RunError(what, place=str(path), hint=_HINT) from error

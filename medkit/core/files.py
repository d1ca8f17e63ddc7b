"""Files written whole or not at all, and their fingerprints."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from medkit.core.errors import DataError, RunError

if TYPE_CHECKING:
    import pandas


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of one file's content, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a temporary name beside ``path``; rename it to ``path`` when the block succeeds.

    The temporary name keeps the suffix, since many writers choose their format by it.

    Raises:
        RunError: The disk is full or the place cannot be written; nothing is left behind.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise RunError(
            f"cannot be written: {error.strerror or error}",
            place=str(path),
            hint="Free some space there, or choose another place.",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what writers that were killed left in a folder: files not yet renamed."""
    for path in Path(folder).rglob(".*"):
        if path.is_file() and path.stem.rpartition(".")[2].isdigit():
            path.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


# What a spreadsheet takes for the start of a formula (OWASP, CSV injection), and a number.
_FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")
_NUMBER = re.compile(r"[+-]?(\d[\d.,]*|[.,]\d+)([eE][+-]?\d+)?$")


def write_csv(frame: pandas.DataFrame, to: Path | IO[str]) -> None:
    """Write a table that a spreadsheet opens without running what a text of it says.

    A text or a column's name that would be a formula stands behind an apostrophe; a lone carriage
    return, which ends no cell but readers take for the end of a line, becomes a line feed.
    """

    def plain(value: Any) -> Any:
        if not isinstance(value, str) or _NUMBER.match(value):
            return value
        return ("'" if _FORMULA.match(value) else "") + re.sub("\r\n?", "\n", value)

    # By position: a name may be a number, or stand twice.
    guarded = frame.set_axis(range(frame.shape[1]), axis=1)
    for at in guarded:
        if guarded[at].dtype.kind not in "biufc":
            guarded[at] = guarded[at].map(plain)
    guarded.set_axis(frame.columns.map(plain), axis=1).to_csv(to, index=False)


def existing(path: Path, what: str = "file") -> Path:
    """``path`` if it is there and not empty.

    Raises:
        DataError: It is missing, empty, or a pipe or device.
    """
    path = Path(path)
    if not path.exists():
        folder = path.parent
        while not folder.exists():
            folder = folder.parent
        raise DataError(
            f"no such {what}",
            place=str(path),
            hint=f"Nearest folder that exists: {folder}. A relative path in a config is taken "
            "from the config file's folder (or its 'folder' key).",
        )
    if path.is_dir():
        return path
    if regular(path).stat().st_size == 0:
        raise DataError(f"the {what} is empty (0 bytes)", place=str(path))
    return path


def regular(path: Path) -> Path:
    """``path`` if it is a regular file, which has a size and an end.

    Raises:
        DataError: It is a pipe, a device or a folder.
    """
    if path.exists() and not path.is_file():
        raise DataError(
            "is no regular file, but a pipe, a device or a folder",
            place=str(path),
            hint="Write what it gives to a file.",
        )
    return path

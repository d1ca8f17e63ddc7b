"""Events as read: one long table, or one small file a stay in a folder or archive."""

from __future__ import annotations

import io
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from medkit.datasets._columns import as_identifier
from medkit.datasets._files import (
    column_names,
    fingerprint,
    parse_delimited,
    read_table,
    require,
    separator_of,
)
from medkit.errors import DataError
from medkit.files import existing, sha256
from medkit.lazy import pd

ARCHIVES = (".tar.gz", ".tgz", ".tar", ".zip")


class EventColumns(NamedTuple):
    """Names of the columns of an events table."""

    stay: str
    time: str
    variable: str
    value: str


def read_events(
    path: Path, columns: EventColumns, skip: Path | None
) -> tuple[pd.DataFrame, dict[str, str]]:
    """All events as a frame ``stay, time, variable, value``, and the files' fingerprints.

    Args:
        path: A long table, or a folder or archive with one file a stay.
        columns: The columns' names; ``stay`` is not used for files of one stay each.
        skip: A table within the folder that holds no events (the labels).

    Raises:
        DataError: Nothing can be read, or a column is absent.
    """
    existing(path, "file or folder")
    if path.is_dir() or path.name.lower().endswith(ARCHIVES):
        return _one_file_each(path, columns, skip)
    names = column_names(path)
    for role, name in zip(columns._fields, columns, strict=True):
        require(name, names, path, f"{role} column")
    frame = read_table(path, columns=columns, text=(columns.stay,), literal=(columns.variable,))
    frame.columns = list(EventColumns._fields)
    frame["stay"] = as_identifier(frame["stay"])
    nameless = frame["stay"].isna()
    if nameless.any():
        raise DataError(
            f"column '{columns.stay}' is empty in {int(nameless.sum())} rows "
            f"(first at row {nameless.idxmax()})",
            place=str(path),
        )
    return frame, {path.name: sha256(path)}


def _one_file_each(
    path: Path, columns: EventColumns, skip: Path | None
) -> tuple[pd.DataFrame, dict[str, str]]:
    stays: list[str] = []
    bodies: list[bytes] = []
    header = b""
    whole: list[tuple[str, bytes]] = []
    for name, content in _members(path, skip):
        if path.is_dir():
            whole.append((name, content))
        stays.append(re.sub(r"\.(csv|tsv|txt)$", "", PurePosixPath(name).name, flags=re.I))
        first, _, body = content.removeprefix(b"\xef\xbb\xbf").partition(b"\n")
        header = header or first.strip()
        if first.strip() != header and content.strip():
            # Counted, not named: a stay's file is often named after the patient.
            raise DataError(
                f"file {len(stays)} has other columns than the first one",
                place=str(path),
                hint="Every stay's file needs the same header line.",
            )
        body = body.strip(b"\r\n ")
        if b"\n\n" in body or b"\n\r" in body:
            body = re.sub(rb"\n[ \r]*(?=\n)", b"", body)  # blank lines
        bodies.append(body + b"\n" if body else b"")
    if not stays:
        raise DataError(
            "holds no .csv, .tsv or .txt file", place=str(path), hint="One file a stay is expected."
        )
    if len(set(stays)) < len(stays):
        raise DataError(
            f"{len(stays) - len(set(stays))} stays have several files of the same name",
            place=str(path),
        )
    if not any(bodies):
        raise DataError(f"none of its {len(stays)} files has an event", place=str(path))
    separator = separator_of(header.decode("utf-8", "replace"), path.name)
    names = [name.strip() for name in header.decode("utf-8", "replace").split(separator)]
    for role in ("time", "variable", "value"):
        require(getattr(columns, role), names, path, f"{role} column")
    # One parse for all files is some hundred times faster than one for each.
    counts = [body.count(b"\n") for body in bodies]
    whole_text = io.BytesIO(b"\n".join((header, b"".join(bodies))))
    frame = parse_delimited(whole_text, names, separator, literal=(columns.variable,), place=path)
    if len(frame) != sum(counts):
        raise DataError("a quoted text runs over several lines, which is not read", place=str(path))
    frame = frame[[columns.time, columns.variable, columns.value]]
    frame.columns = ["time", "variable", "value"]
    frame.index = pd.RangeIndex(1, len(frame) + 1, name="row")
    owners = np.repeat(np.arange(len(stays)), counts)
    frame["stay"] = pd.Categorical.from_codes(owners, pd.Index(stays))
    if path.is_dir():
        return frame, {f"{path.resolve().name}/": fingerprint(whole)}
    return frame, {path.name: sha256(path)}


def _members(path: Path, skip: Path | None) -> Iterator[tuple[str, bytes]]:
    """Name and content of every stay's file, sorted by name."""

    def wanted(name: str) -> bool:
        file = PurePosixPath(name)
        hidden = any(part.startswith((".", "__MACOSX")) for part in file.parts)
        return file.suffix.lower() in (".csv", ".tsv", ".txt") and not hidden

    if path.is_dir():
        for file in sorted(path.rglob("*")):
            name = file.relative_to(path).as_posix()
            if file.is_file() and wanted(name) and not (skip and file.samefile(skip)):
                yield name, file.read_bytes()
        return
    try:
        if path.name.lower().endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                for name in sorted(filter(wanted, archive.namelist())):
                    yield name, archive.read(name)
            return
        # Read as a stream, front to back: seeking in a compressed archive is slow.
        found = []
        with tarfile.open(path, "r|*") as tar:
            for member in tar:
                content = tar.extractfile(member) if wanted(member.name) else None
                if content is not None:
                    found.append((member.name, content.read()))
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise DataError(f"not a readable archive: {error}", place=str(path)) from error
    yield from sorted(found)

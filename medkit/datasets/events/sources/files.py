"""Events as read: one long table, or one small file a stay in a folder or archive."""

from __future__ import annotations

import os
import re
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from medkit.core.errors import DataError
from medkit.core.files import sha256
from medkit.core.lazy import pd
from medkit.core.limits import check_unpacked, check_zip
from medkit.core.progress import tracked
from medkit.datasets.events.sources.source import EventColumns, EventSource
from medkit.readers.tables import column_names, fingerprint, read_table, require
from medkit.readers.text import BrokenLine, open_text
from medkit.readers.values import as_identifier, refuse_empty

ARCHIVES = (".tar.gz", ".tgz", ".tar", ".zip")
OWN_STAY = "stay in the file"  # a column that the file's name makes idle


def read_events(source: EventSource) -> tuple[pd.DataFrame, dict[str, str]]:
    """All events as a frame ``stay, time, variable, value[, unit]``, and the files' fingerprints.

    Raises:
        DataError: Nothing can be read, or a column is absent.
    """
    path, columns, wide = source.path, source.columns, source.wide
    if path.is_dir() or path.name.lower().endswith(ARCHIVES):
        return _one_file_each(source)
    names = column_names(path)
    used = source.used_columns
    for role, name in used.items():
        require(name, names, path, f"{role} column")
    frame = read_table(
        path,
        columns=None if wide else list(used.values()),
        text=(columns.stay,),
        literal=() if wide else (columns.variable,),
    )
    frame = frame.rename(columns={name: role for role, name in used.items()})
    frame["stay"] = as_identifier(frame["stay"])
    refuse_empty(frame["stay"], columns.stay, path)
    return melted(frame, columns) if wide else frame, {path.name: sha256(path)}


def melted(frame: pd.DataFrame, columns: EventColumns) -> pd.DataFrame:
    """A wide frame as a long one, row by row; empty cells are no events."""
    names = [name for name in frame.columns if name not in ("stay", "time", columns.stay)]
    if columns.time is None:
        frame = frame.assign(time=frame.groupby("stay", observed=True).cumcount().astype("float64"))
    values = frame[names]
    row, column = np.nonzero(values.notna().to_numpy())
    whole = values.to_numpy()
    return pd.DataFrame(
        {
            "stay": frame["stay"].take(row).to_numpy(),
            "time": frame["time"].take(row).to_numpy(),
            "variable": pd.Categorical.from_codes(column, pd.Index(names)),
            "value": whole[row, column],
        },
        index=frame.index[row],
    ).astype({"stay": frame["stay"].dtype})


def _one_file_each(source: EventSource) -> tuple[pd.DataFrame, dict[str, str]]:
    path, columns, skip, wide = source.path, source.columns, source.skip, source.wide
    stays: list[str] = []
    bodies: list[bytes] = []
    header = b""
    whole: list[tuple[str, bytes]] = []
    total = len(event_files(path, skip)) if path.is_dir() else None
    for name, content in tracked(_members(path, skip), "reading stays", total, "files"):
        if path.is_dir():
            whole.append((name, content))
        stays.append(re.sub(r"\.(csv|tsv|txt|psv)$", "", PurePosixPath(name).name, flags=re.I))
        first, _, body = content.removeprefix(b"\xef\xbb\xbf").partition(b"\n")
        header = header or first.strip()
        if first.strip() != header and content.strip():
            # Counted, not named: a stay's file is often named after the patient.
            raise DataError(
                f"file {len(stays)} has other columns than the first one",
                place=str(path),
                hint="Every stay's file needs the same header line.",
            )
        body = body.strip(b"\r\n ").replace(b"\r\n", b"\n")
        if b"\n\n" in body:
            body = re.sub(rb"\n[ ]*(?=\n)", b"", body)  # blank lines
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
    counts = [body.count(b"\n") for body in bodies]
    frame = _all_in_one(header, bodies, counts, source)
    used = {role: name for role, name in source.used_columns.items() if role != "stay"}
    if not wide:
        frame = frame[list(used.values())]
    frame = frame.rename(columns={name: role for role, name in used.items()})
    frame.index = pd.RangeIndex(1, len(frame) + 1, name="row")
    owners = np.repeat(np.arange(len(stays)), counts)
    frame["stay"] = pd.Categorical.from_codes(owners, pd.Index(stays))
    if wide:
        frame = melted(frame.drop(columns=OWN_STAY, errors="ignore"), columns)
    if path.is_dir():
        return frame, {f"{path.resolve().name}/": fingerprint(whole)}
    return frame, {path.name: sha256(path)}


def _all_in_one(
    header: bytes, bodies: Sequence[bytes], counts: Sequence[int], source: EventSource
) -> pd.DataFrame:
    """The rows of all files: one reading is some hundred times faster than one for each.

    Args:
        header: The first line of each.
        bodies: What is below it, blank lines removed.
        counts: How many lines each has.
        source: The folder or archive.

    Raises:
        DataError: A column is absent, or a line is no row; it is named with its file's number.
    """
    columns, wide, place = source.columns, source.wide, source.path
    with tempfile.TemporaryDirectory(prefix="medkit-") as folder:
        file = Path(folder, "text.tsv" if place.name.lower().endswith(".tsv") else "text.csv")
        with open(file, "wb") as stream:
            stream.write(header + b"\n")
            stream.writelines(bodies)
        ends = np.cumsum(counts)
        try:
            found = open_text(file, "utf-8")
            for role, name in source.used_columns.items():
                if role != "stay":
                    require(name, found.names, place, f"{role} column")
            if wide and columns.stay in found.names:
                found.names[found.names.index(columns.stay)] = OWN_STAY
            frame = found(literal=() if wide else (columns.variable,))
        except BrokenLine as error:
            # The file is counted, not named: it is often named after the patient.
            number = int(np.searchsorted(ends, error.line - 1))
            line = error.line - (int(ends[number - 1]) if number else 0)
            what = f"file {number + 1}, line {line} (blank lines not counted) {error.what}"
            raise DataError(what, place=str(place), hint=error.hint) from None
        except DataError as error:
            raise DataError(error.message, place=str(place), hint=error.hint) from None
    if len(frame) != ends[-1]:
        raise DataError(
            "a quoted text runs over several lines, which is not read", place=str(place)
        )
    return frame


_HIDDEN = (".", "__MACOSX")


def event_files(path: Path, skip: Path | None) -> list[Path]:
    """The files that events are read from, sorted: those of a folder, or the one file itself."""
    if not path.is_dir():
        return [path]
    other = skip.resolve() if skip else None
    found: list[Path] = []
    for folder, folders, names in os.walk(path):  # some times faster than Path.rglob
        folders[:] = [name for name in folders if not name.startswith(_HIDDEN)]
        found += [Path(folder, name) for name in names if _wanted(name)]
    return sorted(
        file
        for file in found
        if file.is_file() and not (other and file.name == other.name and file.resolve() == other)
    )


def _wanted(name: str) -> bool:
    file = PurePosixPath(name)
    hidden = any(part.startswith(_HIDDEN) for part in file.parts)
    return file.suffix.lower() in (".csv", ".tsv", ".txt", ".psv") and not hidden


def _members(path: Path, skip: Path | None) -> Iterator[tuple[str, bytes]]:
    """Name and content of every stay's file, sorted by name."""
    if path.is_dir():
        for file in event_files(path, skip):
            yield file.relative_to(path).as_posix(), file.read_bytes()
        return
    try:
        if path.name.lower().endswith(".zip"):
            check_zip(path)
            with zipfile.ZipFile(path) as archive:
                for name in sorted(filter(_wanted, archive.namelist())):
                    yield name, archive.read(name)
            return
        # Read as a stream, front to back: seeking in a compressed archive is slow.
        found, unfolded = [], 0
        with tarfile.open(path, "r|*") as tar:
            for member in tar:
                unfolded += member.size
                check_unpacked(unfolded, path.stat().st_size, str(path))
                content = tar.extractfile(member) if _wanted(member.name) else None
                if content is not None:
                    found.append((member.name, content.read()))
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise DataError(f"not a readable archive: {error}", place=str(path)) from error
    yield from sorted(found)

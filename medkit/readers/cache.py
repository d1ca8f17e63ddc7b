"""A folder that keeps what was read of files and databases, so that it is read fast the next time.

What lies there are patients' data: folders are for their owner alone (0700), so are files (0600).
No name tells of a patient: entries are named by hashes. An entry is written under a temporary
name and renamed when it is whole, so that several processes may share a folder and what breaks
off leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
import uuid
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from medkit.core.errors import DataError, RunError

log = logging.getLogger("medkit")

T = TypeVar("T")

# Raised when what is stored, or how, changes: older entries are then left alone.
FORMAT = 1

VARIABLE = "MEDKIT_CACHE"
# An older entry that was used within so many seconds is left for now.
_RECENT = 3600
# A temporary folder in which nothing was made for so many seconds is nobody's any more.
_KILLED = 86_400


def key_of(*parts: Any) -> str:
    """A name for things that can be written as JSON (or as text), equal only where they are."""
    text = json.dumps([FORMAT, *parts], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def stamp_of(path: Path, files: Sequence[Path]) -> str:
    """A hash of the files' names, sizes and times of change: another one if a file changed."""
    found = []
    for file in sorted(files):
        stat = file.stat()
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        # The last is when the file was changed by whatever means, and can not be set back.
        found.append((name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    return key_of(found)


@dataclass
class Store:
    """Where entries lie: a folder that is kept, or one of this process that goes with it.

    Args:
        folder: The cache folder; None: none is kept.
    """

    folder: Path | None
    _temporary: list[Path] = field(default_factory=list)

    @classmethod
    def of(cls, cache: Path | None) -> Store:
        """The store that a user asked for, by parameter or by the variable MEDKIT_CACHE."""
        named = os.environ.get(VARIABLE)
        return cls(cache or (Path(named).expanduser() if named else None))

    @property
    def kept(self) -> bool:
        """Whether entries outlast the process."""
        return self.folder is not None

    @property
    def root(self) -> Path:
        """The folder of all entries; a temporary one goes when the process ends."""
        if self.folder is not None:
            return self.folder / "medkit-cache"
        if not self._temporary:
            made = Path(tempfile.mkdtemp(prefix="medkit-cache-"))
            self._temporary.append(made)
            weakref.finalize(self, shutil.rmtree, made, ignore_errors=True)
        return self._temporary[0]

    def find(self, name: str, stamp: str, what: str = "") -> Path | None:
        """The whole entry of that name and stamp, or None.

        Args:
            name, stamp: The entry's.
            what: What it holds; the log then says where only one of another stamp is there.
        """
        entry = self.root / f"{name}-{stamp}"
        with contextlib.suppress(OSError):  # another user's folder: writing there will tell
            if (entry / "whole").is_file():
                os.utime(entry)
                return entry
        if what and self._others(name, stamp):
            log.info("%s have changed since they were cached: read anew", what)
        return None

    def opened(self, entry: Path | None, read: Callable[[Path], T]) -> T | None:
        """What ``read`` makes of an entry; None, and the entry is gone, where it is damaged."""
        if entry is None:
            return None
        try:
            return read(entry)
        except (OSError, ValueError, KeyError, EOFError, DataError):  # Arrow's are ValueErrors
            log.warning("what was cached cannot be read (%s): read anew", entry.name[:12])
            shutil.rmtree(entry, ignore_errors=True)
            return None

    def newest(self, name: str) -> Path | None:
        """The entry of that name that was made last, whatever its stamp."""
        found = [each for each in self._others(name, "") if (each / "whole").is_file()]
        return max(found, key=lambda each: (each / "whole").stat().st_mtime_ns, default=None)

    def _others(self, name: str, stamp: str) -> list[Path]:
        if not self.root.is_dir():
            return []
        return [each for each in self.root.glob(f"{name}-*") if each.name != f"{name}-{stamp}"]

    @contextlib.contextmanager
    def building(self, name: str, stamp: str, needed: int | None = None) -> Iterator[Path]:
        """Give an empty folder; when the block succeeds it becomes the entry, older ones go.

        Args:
            name, stamp: The entry's.
            needed: Bytes it will take, where they are known.

        Raises:
            RunError: The disk is full or the folder cannot be written; nothing is left behind.
        """
        temporary = self.root / f".{name[:12]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        entry = self.root / f"{name}-{stamp}"
        try:
            self._make_root()
            temporary.mkdir(mode=0o700)
            if needed is not None and shutil.disk_usage(self.root).free < needed:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            yield temporary
            (temporary / "whole").touch()
            for file in temporary.iterdir():
                file.chmod(0o600)
            if entry.is_dir() and not (entry / "whole").is_file():
                shutil.rmtree(entry, ignore_errors=True)  # a computer that was switched off
            # Where another process was first, its entry holds the same.
            with contextlib.suppress(OSError):
                temporary.rename(entry)
            if not (entry / "whole").is_file():
                raise OSError(errno.EIO, "the folder cannot be renamed")
        except OSError as error:
            raise self._refused(error, needed, temporary) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        self._sweep(name, stamp)

    def path(self, name: str, stamp: str) -> Path:
        """Where the entry of that name and stamp lies."""
        return self.root / f"{name}-{stamp}"

    def _sweep(self, name: str, stamp: str) -> None:
        """Remove entries of another stamp, and what a process that was killed left behind."""
        killed = [each for each in self.root.glob(".*-*-*") if _age(each) > _KILLED]
        for other in self._others(name, stamp):
            # Another process may be reading what was used a moment ago.
            if _age(other) > _RECENT:
                killed.append(other)
        for each in killed:
            shutil.rmtree(each, ignore_errors=True)

    def _make_root(self) -> None:
        root = self.root
        if not root.is_dir():
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            root.chmod(0o700)  # the umask may have narrowed it

    def _refused(self, error: OSError, needed: int | None, temporary: Path) -> RunError:
        written = sum(f.stat().st_size for f in temporary.glob("*")) if temporary.is_dir() else 0
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        wanted = f"{size(needed)} are needed" if needed else f"{size(written)} were written so far"
        parameter = "cache" if self.kept else "cache, a folder on another disk"
        return RunError(
            f"cannot be written: {error.strerror or error}"
            + (f" ({wanted}, {size(_free(self.root))} are free)" if full else ""),
            place=str(self.folder or self.root),
            hint=f"Free some space there, or name another place under dataset.source.{parameter}. "
            "Nothing half written is left.",
        )


def _age(folder: Path) -> float:
    """Seconds since something was made or used there; 0 if it is gone."""
    try:
        return time.time() - folder.stat().st_mtime
    except OSError:
        return 0.0


def size(count: float) -> str:
    """``512 bytes``, ``3.4 MB`` or ``1.2 GB``."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count:.0f} bytes"


def _free(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free

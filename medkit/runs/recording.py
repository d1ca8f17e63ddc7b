"""What a run remembers of how it came about: log, environment, hashed identities."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import importlib.metadata
import logging
import os
import platform
import re
import secrets
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

log = logging.getLogger("medkit")

PACKAGES = ("keras-medkit", "keras", "tensorflow", "jax", "torch", "numpy", "pandas",
            "scikit-learn", "pyarrow")  # fmt: skip


class LogKeeper(logging.Handler):
    """Keeps log lines for ``log.txt``; private records (file names of patients) stay out."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        if not getattr(record, "private", False):
            self.lines.append(self.format(record))

    def __enter__(self) -> LogKeeper:
        self._level = log.level
        log.addHandler(self)
        if log.getEffectiveLevel() > logging.INFO:
            log.setLevel(logging.INFO)
        return self

    def __exit__(self, *_: object) -> None:
        log.removeHandler(self)
        log.setLevel(self._level)

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


def peak_memory_mib() -> float:
    """The most memory that this process has held so far, in MiB."""
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process().memory_info().peak_wset / 1024**2)
    import resource

    # ru_maxrss is in KiB on Linux and in bytes on macOS.
    unit = 1024**2 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


class Stages:
    """Seconds and peak memory of each stage of a run."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, float]] = {}

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - start
            self.records[name] = {
                "seconds": round(seconds, 3), "peak_memory_mib": round(peak_memory_mib()),
            }  # fmt: skip


class Hasher:
    """Salted hashes that stand for sample and subject identifiers in a run's files.

    The salt is the secret in MEDKIT_SALT, so that its owner can find a patient again, or else
    random and forgotten, so that nobody can. Either way it is written nowhere.
    """

    def __init__(self) -> None:
        given = os.environ.get("MEDKIT_SALT")
        self._salt = given.encode() if given else secrets.token_bytes(32)

    def __call__(self, identifiers: Iterable[Any], kind: str) -> list[str]:
        """16 hexadecimal digits for each identifier; ``kind`` keeps sample 7 from subject 7."""
        return [
            hmac.new(self._salt, f"{kind}:{each}".encode(), hashlib.sha256).hexdigest()[:16]
            for each in np.asarray(identifiers, dtype=object)
        ]


def environment(
    backend: str, device: str, seed: int, data: dict[str, str], stages: Stages
) -> dict[str, Any]:
    """The content of ``environment.json``."""
    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "versions": versions,
        "backend": backend,
        "device": device,
        "seed": seed,
        "git_commit": git_commit(),
        "data_sha256": data,
        "stages": stages.records,
    }


def git_commit() -> str | None:
    """Commit of the working folder's git repository; what was changed since is not seen.

    Read from the repository's files: git itself runs programs that their settings name
    (``core.fsmonitor``, filters), and the folder may be a stranger's.
    """
    here = Path.cwd()
    git = next((each / ".git" for each in (here, *here.parents) if (each / ".git").exists()), None)
    if git is None:
        return None
    try:
        if git.is_file():  # a further working tree names the folder
            git = git.parent / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
        shared = git / "commondir"
        folders = [git, *([git / shared.read_text().strip()] if shared.is_file() else ())]
        head = git / "HEAD"
        found = head.read_text(encoding="utf-8").strip() if head.is_file() else ""
        if found.startswith("ref:"):
            name = found.removeprefix("ref:").strip()
            packed = (each / "packed-refs" for each in folders)
            lines = {
                branch: commit
                for file in packed if file.is_file()
                for commit, _, branch in (
                    line.partition(" ") for line in file.read_text(encoding="utf-8").splitlines()
                )
            }  # fmt: skip
            loose = [each / name for each in folders if (each / name).is_file()]
            found = loose[0].read_text().strip() if loose else lines.get(name, "")
    except (OSError, ValueError):
        return None
    return found if re.fullmatch("[0-9a-f]{40,64}", found) else None

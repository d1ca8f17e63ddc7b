"""What a file or a setting may take of the machine: limits with names, raised in the environment.

A config cannot raise them: it may be a stranger's.
"""

from __future__ import annotations

import contextlib
import os
import zipfile
from pathlib import Path

from medkit.core.errors import DataError

# What each is for; MEDKIT_MAX_<NAME> raises it.
LIMITS: dict[str, tuple[float, str]] = {
    "CONFIG_MB": (1, "size of a config"),
    "CONFIG_VALUES": (100_000, "values in a config, aliases written out"),
    "CONFIG_DEPTH": (50, "mappings and lists within each other in a config"),
    "UNPACKED_RATIO": (250, "times its packed size that a file may unfold to, above 256 MB"),
    "QUERY_ROWS": (200_000_000, "rows that a query may give"),
    "STEPS": (20_000, "steps of a window"),
    "MEMORY_GB": (0, "memory that one array or network may take; by default the machine's"),
}
FREE_BYTES = 256 * 1024**2
GB = 1024**3


def limit(name: str) -> float:
    """A limit, as ``MEDKIT_MAX_<name>`` has it or by default.

    Raises:
        DataError: The variable is no positive number.
    """
    given = os.environ.get(f"MEDKIT_MAX_{name}")
    if not given:
        return machine_memory() / GB if name == "MEMORY_GB" else LIMITS[name][0]
    with contextlib.suppress(ValueError):
        if float(given) > 0:
            return float(given)
    default = LIMITS[name][0]
    raise DataError(
        f"is {given!r} and not a positive number",
        place=f"MEDKIT_MAX_{name}",
        hint=f"Unset it, or set a number such as {default:.0f}."
        if default
        else "Unset it, for the machine's, or set a number of GB such as 8.",
    )


def raised(name: str) -> str:
    """How to raise a limit, for messages."""
    return f"If that is meant, raise the limit: MEDKIT_MAX_{name}={limit(name):.6g} is in force."


def check(name: str, value: float, what: str, place: str) -> None:
    """Raise a DataError that says ``what`` where ``value`` is above a limit."""
    if value > limit(name):
        raise DataError(what, place=place, hint=raised(name))


def check_memory(needed: float, what: str, place: str, hint: str = "") -> None:
    """Raise a DataError before ``needed`` bytes are taken that the machine does not have.

    Args:
        needed: Bytes.
        what: What takes them: ``85 images of 8192 x 8192 pixels``.
        place: Where that is said.
        hint: What to change.
    """
    if needed > limit("MEMORY_GB") * GB:
        raise DataError(
            f"{what} would take {needed / GB:,.0f} GB of memory; "
            f"there are {limit('MEMORY_GB'):,.0f} GB",
            place=place,
            hint=f"{hint} {raised('MEMORY_GB')}".strip(),
        )


def check_unpacked(unpacked: int, packed: int, place: str) -> None:
    """Raise a DataError where so much more unfolds from a file than a table or network would."""
    if unpacked > max(FREE_BYTES, limit("UNPACKED_RATIO") * packed):
        raise DataError(
            f"unfolds to more than {limit('UNPACKED_RATIO'):g} times its size ({packed:,} bytes)",
            place=place,
            hint=raised("UNPACKED_RATIO"),
        )


def check_zip(path: Path) -> None:
    """`check_unpacked` for a ZIP archive, by its directory; what is no archive passes."""
    with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        unpacked = sum(each.file_size for each in archive.infolist())
        check_unpacked(unpacked, path.stat().st_size, str(path))


def machine_memory() -> float:
    """Bytes of memory that this process may have: the machine's, or its container's."""
    if hasattr(os, "sysconf"):
        found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        with contextlib.suppress(OSError, ValueError):
            found = min(found, int(Path("/sys/fs/cgroup/memory.max").read_text()))
        return float(found)
    import psutil

    return float(psutil.virtual_memory().total)

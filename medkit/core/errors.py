"""The errors medkit raises: each names what is wrong, where, and how to fix it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like ``name``, or None when nothing is close."""
    by_folded = {each.lower().replace("-", "_"): each for each in known}
    folded = str(name).lower().replace("-", "_")
    found = difflib.get_close_matches(folded, by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` or an empty string, to append to a message."""
    found = nearest(name, known)
    return f"; did you mean '{found}'?" if found else ""


class MedkitError(Exception):
    """Base of all medkit errors.

    Args:
        message: What is wrong.
        place: Where: a file, a config path, a column.
        hint: How to fix it.
    """

    exit_status = 1

    def __init__(self, message: str, *, place: str | None = None, hint: str | None = None):
        self.message, self.place, self.hint = message, place, hint
        super().__init__(message, place, hint)

    def __str__(self) -> str:
        text = f"{self.place}: {self.message}" if self.place else self.message
        return f"{text}\n  {self.hint}" if self.hint else text


@dataclass(frozen=True)
class Problem:
    """One mistake in a config: its path (``model.dropout``), line and message."""

    path: str
    message: str
    line: int | None = None


class ConfigError(MedkitError):
    """A config that cannot be used; holds every problem found, in file order."""

    exit_status = 2

    def __init__(self, problems: list[Problem], *, place: str = "config"):
        self.problems = sorted(problems, key=lambda p: (p.line is None, p.line or 0))
        super().__init__("; ".join(f"{p.path}: {p.message}" for p in self.problems), place=place)

    def __str__(self) -> str:
        count = len(self.problems)
        lines = [f"{self.place}: {count} problem{'s' if count != 1 else ''}"]
        for problem in self.problems:
            where = f"line {problem.line}" if problem.line else "-"
            path = f"{problem.path}: " if problem.path else ""
            lines.append(f"  {where:<8} {path}{problem.message}")
        return "\n".join(lines)


class UnknownNameError(MedkitError):
    """A name no registry knows, with the nearest right one."""

    exit_status = 2

    def __init__(self, kind: str, name: str, known: Iterable[str], *, place: str | None = None):
        known = list(known)
        plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"
        where = f"(medkit {plural} lists them)" if kind != "modality" else f"({', '.join(known)})"
        suggestion = did_you_mean(name, known)
        text = f"no {kind} called '{name}'{suggestion or ';'} {where}"
        super().__init__(text, place=place)


class DataError(MedkitError):
    """Data that cannot be used as asked."""


class RunError(MedkitError):
    """A run directory that cannot be used: unfinished, changed, or not one."""


class TrainingError(MedkitError):
    """A training that cannot continue (a loss that is not a number, for example)."""

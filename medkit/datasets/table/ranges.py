"""Plausible ranges of variables, and what became of the values outside them, in words."""

from __future__ import annotations

from collections.abc import Mapping

from medkit.core.values import Outside

Ranges = Mapping[str, tuple[float, float]]

_DONE: Mapping[str, str] = {
    "missing": "taken as missing", "clip": "set to the range's end", "keep": "kept",
    "fail": "refused",
}  # fmt: skip


def note_of(counts: Mapping[str, int], outside: Outside) -> tuple[str, ...]:
    """``('values outside their plausible range, taken as missing: 3 pH, 1 Temp',)`` or ``()``."""
    found = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return (f"values outside their plausible range, {_DONE[outside]}: {found}",) if found else ()

"""What a reader must be told of a part: classes that are absent, and what that leaves undefined."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from medkit.evaluation.wording import called

log = logging.getLogger("medkit")

_MOST = 6  # names in one sentence


def with_notes(
    described: dict[str, Any], kind: str, logged_for: str | None = None
) -> dict[str, Any]:
    """Add ``notes`` to what ``measure`` found, where a class is absent.

    Args:
        described: ``n``, ``positives`` and ``metrics``; ``notes`` is put beside them.
        kind: The task's.
        logged_for: Name of the part in a warning; None logs nothing.

    Returns:
        ``described`` itself.
    """
    absent = _absent(described["positives"], described["n"], kind)
    if absent is None:
        return described
    undefined = [
        called(name) for name, found in described["metrics"].items() if found["value"] is None
    ]
    note = f"{absent} among {described['n']} rows"
    if undefined:
        note += f": undefined {'is' if len(undefined) == 1 else 'are'} {_listed(undefined)}"
    described["notes"] = [note]
    if logged_for is not None:
        log.warning("%s: %s", logged_for, note)
    return described


def _absent(positives: Any, n: int, kind: str) -> str | None:
    if isinstance(positives, Mapping):
        if kind == "multilabel":
            alone = [name for name, count in positives.items() if count in (0, n)]
            return f"one class only of {_listed(alone)}" if alone else None
        return "one class only" if sum(count > 0 for count in positives.values()) < 2 else None
    if positives is None or 0 < positives < n:
        return None
    return "no positives" if positives == 0 else "no negatives"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + more

"""What a reader must be told of a part: absent classes, few events, outputs that tell nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from medkit.evaluation.wording import called

log = logging.getLogger("medkit")

_MOST = 6  # names in one sentence
FEW_EVENTS = 10  # subjects with an outcome, or without it, below which numbers are unsure


def doubts(task: Any, y: np.ndarray, p: np.ndarray, codes: np.ndarray) -> list[str]:
    """Sentences on what makes the numbers of these rows unsure, though they are defined.

    Fewer than 10 subjects with an outcome (or without it), and outputs that are the same in all
    rows.

    Args:
        task: The fitted task.
        y: (n, …) encoded targets.
        p: (n, outputs) the model's outputs.
        codes: (n,) subject number of each row.
    """
    if len(y) == 0:
        return []
    found = [few for few in _few(task, y, codes) if few]
    columns = p.reshape(len(p), -1)
    if len(p) > 1 and (columns == columns[0]).all():
        found.append("every row has the same output: the model tells nothing apart")
    return found


def _few(task: Any, y: np.ndarray, codes: np.ndarray) -> list[str | None]:
    if task.kind == "binary":
        outcome = y.ravel() == 1
        return [_few_of("positive", outcome, codes), _few_of("negative", ~outcome, codes)]
    if task.kind == "multiclass":
        names = [str(each) for each in task.classes_]
        outcomes = [y.ravel() == index for index in range(len(names))]
    elif task.kind == "multilabel":
        names = [*task.labels_, *(f"no {label}" for label in task.labels_)]
        outcomes = [*(y == 1).T, *(y != 1).T]
    else:
        return []
    counts = [len(np.unique(codes[rows])) for rows in outcomes]
    short = [
        f"{name} ({count})"
        for name, count in zip(names, counts, strict=True)
        if 0 < count < FEW_EVENTS
    ]
    if not short:
        return []
    return [f"fewer than {FEW_EVENTS} subjects, unsure numbers: {_listed(short)}"]


def _few_of(name: str, rows: np.ndarray, codes: np.ndarray) -> str | None:
    count = len(np.unique(codes[rows]))
    if not 0 < count < FEW_EVENTS:
        return None
    subjects = "subject" if count == 1 else "subjects"
    return f"{count} {name} {subjects}, fewer than {FEW_EVENTS}: the numbers are unsure"


def with_notes(
    described: dict[str, Any], kind: str, logged_for: str | None = None
) -> dict[str, Any]:
    """Put a note of absent classes, or of targets that do not vary, before the ``notes`` that
    ``measure`` made, and log them all.

    Args:
        described: ``n``, ``positives``, ``metrics``, perhaps ``notes``; ``notes`` is put there.
        kind: The task's.
        logged_for: Name of the part in a warning; None logs nothing.

    Returns:
        ``described`` itself.
    """
    absent = _absent(described["positives"], described["n"], kind)
    undefined = [
        called(name) for name, found in described["metrics"].items() if found["value"] is None
    ]
    if absent is None and undefined:
        absent = "nothing measured" if kind == "forecasting" else "targets that do not vary"
    if absent is not None:
        note = f"{absent} among {described['n']} rows"
        if undefined:
            note += f": undefined {'is' if len(undefined) == 1 else 'are'} {_listed(undefined)}"
        described["notes"] = [note, *described.get("notes", [])]
    if logged_for is not None:
        for note in described.get("notes", []):
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

"""What a reader must be told of a part: absent classes, few events, outputs that tell nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np

from medkit.evaluation.clusters import subjects_among
from medkit.evaluation.methods import methods_for
from medkit.evaluation.results import Measured
from medkit.evaluation.rows import EvaluatedRows
from medkit.tasks.task import Task

log = logging.getLogger("medkit")

_MOST = 6  # names in one sentence
FEW_EVENTS = 10  # subjects with an outcome, or without it, below which numbers are unsure


def doubts(rows: EvaluatedRows) -> list[str]:
    """Sentences on what makes the numbers of these rows unsure, though they are defined.

    Fewer than 10 subjects with an outcome (or without it), and outputs that are the same in all
    rows.
    """
    if len(rows) == 0:
        return []
    found = [note for note in _few(rows) if note]
    columns = np.asarray(rows.p).reshape(len(rows), -1)
    if len(rows) > 1 and (columns == columns[0]).all():
        found.append("every row has the same output: the model does not discriminate")
    return found


def _few(rows: EvaluatedRows) -> list[str | None]:
    found = methods_for(rows.task).occurrences(np.asarray(rows.y))
    counts = {name: subjects_among(rows.codes, which) for name, which in found.items()}
    if methods_for(rows.task).key is None:
        return [_few_of(name, count) for name, count in counts.items()]
    short = [f"{name} ({count})" for name, count in counts.items() if 0 < count < FEW_EVENTS]
    if not short:
        return []
    return [
        f"fewer than {FEW_EVENTS} subjects, very unsure numbers, and intervals that may cover far "
        f"less often than they say: {listed(short)}"
    ]


def _few_of(name: str, count: int) -> str | None:
    if not 0 < count < FEW_EVENTS:
        return None
    subjects = "subject" if count == 1 else "subjects"
    return (
        f"{count} {name} {subjects}, fewer than {FEW_EVENTS}: the numbers are very unsure, and an "
        "interval may cover far less often than it says"
    )


def with_notes(described: Measured, task: Task, logged_for: str | None = None) -> Measured:
    """Put a note of absent classes, or of targets that do not vary, before the ``notes`` that
    ``measure`` made, and log them all.

    Args:
        described: ``n``, ``positives``, ``metrics``, perhaps ``notes``; ``notes`` is put there.
        task: The fitted task.
        logged_for: Name of the part in a warning; None logs nothing.

    Returns:
        ``described`` itself.
    """
    methods = methods_for(task)
    absent = methods.absent(described["positives"], described["n"])
    undefined = [
        task.metric(name).label
        for name, found in described["metrics"].items()
        if found["value"] is None and not found.get("not_estimable")
    ]
    why = {
        task.metric(name).label: str(found["not_estimable"])
        for name, found in described["metrics"].items()
        if found.get("not_estimable")
    }
    described["notes"] = [*described.get("notes", []), *reasons(why, {})]
    if not described["notes"]:
        del described["notes"]
    if absent is None and undefined:
        absent = methods.undefined
    if absent is not None:
        note = f"{absent} among {described['n']} rows"
        if undefined:
            note += f": undefined {'is' if len(undefined) == 1 else 'are'} {listed(undefined)}"
        described["notes"] = [note, *described.get("notes", [])]
    if logged_for is not None:
        for note in described.get("notes", []):
            log.warning("%s: %s", logged_for, note)
    return described


def reasons(why: Mapping[str, str], called: Mapping[str, str]) -> list[str]:
    """A sentence for each reason in ``why``, naming all metrics that it leaves undefined.

    Args:
        why: Metric -> why it cannot be estimated.
        called: Metric -> how a reader knows it, where its name will not do.
    """
    notes = []
    for reason in dict.fromkeys(why.values()):
        of = [called.get(name, name.replace("_", " ")) for name in why if why[name] == reason]
        notes.append(f"not estimable: {', '.join(of)} ({reason})")
    return notes


def listed(names: list[str]) -> str:
    """Up to six names, and how many more there are."""
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + more

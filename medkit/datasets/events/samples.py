"""Which stays, or rows of labels, become samples, and why the others do not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.data.cohort import Source
from medkit.datasets.events.grid.grid import Gridded
from medkit.datasets.events.labels import Labels, report_unmatched
from medkit.datasets.events.problem import PredictionProblem
from medkit.datasets.events.sources.found import FoundEvents
from medkit.datasets.events.targets import CENSORED, EventTargets, censoring_notes
from medkit.datasets.events.windows import Windows
from medkit.datasets.table.columns import Targets


class Picked(NamedTuple):
    """The samples.

    Args:
        samples: The samples frame of a Cohort.
        positions: Position of each sample among the windows, int64 (n,).
        targets: (n,) or (n, outputs); None where there is none.
        names: Names of the targets.
        source: How many were seen and left out, the label's definition, and notes; no files.
    """

    samples: pd.DataFrame
    positions: np.ndarray
    targets: np.ndarray | None
    names: tuple[str, ...]
    source: Source


def samples_of(
    problem: PredictionProblem,
    found: FoundEvents,
    labels: Labels | None,
    position: np.ndarray | None,
    grid: Gridded,
    target: EventTargets | None,
    windows: Windows,
    subjects: bool,
) -> Picked:
    """The rows with events and a target.

    Args:
        problem: What is predicted.
        found: The events.
        labels: The labels; without them every stay with events is a row.
        position: Each label's position among the windows, -1 where its stay has no event.
        grid: Which positions hold an event, and stays without a label.
        target: The target of each position, where it is one of a target window.
        windows: The windows of each position.
        subjects: Whether a stay's id is the patient's.

    Raises:
        DataError: No label has events, or some are unmatched where this is to fail.
    """
    if position is None:
        position = np.arange(len(found.stays))
    known = position >= 0
    with_events = known & np.append(grid.present, False)[position]
    indexless = known & np.isnan(np.append(windows.starts, 0.0)[position]) & bool(problem.event)
    reasons = {"no index event": indexless, "no events": ~with_events}
    samples = pd.DataFrame(index=pd.Index(found.stays, name="stay", dtype=object))
    read = len(position)
    if labels is None and subjects and problem.labelled:
        samples["subject"] = found.stays
    own = Targets(None, (), np.ones(len(position), bool), "")
    if labels is not None:
        if not with_events.any():
            _refuse_all(labels, known, indexless, problem.span)
        rows = np.flatnonzero(~with_events & ~indexless) + 1
        report_unmatched(labels, rows, grid.unlabelled)
        samples, read, own = labels.samples, len(position) + grid.unlabelled, labels.found
    reasons["missing target"] = ~own.present
    values, names, label = own.values, own.names, own.label
    if target is not None:
        values, names, label = target.values[position], target.names, target.label
        reasons |= {why: known & mask[position] for why, mask in target.dropped.items()}
    kept, dropped = keep_rows(reasons, len(position))
    followed: tuple[str, ...] = ()
    if target is not None and target.unfollowed is not None:
        others = {why: mask for why, mask in reasons.items() if why != CENSORED}
        usable = keep_rows(others, len(position))[0]
        followed = censoring_notes(
            known & target.unfollowed[position], usable, problem.target.censoring
        )
    if labels is not None:
        dropped["no label"] = grid.unlabelled
    if values is not None:
        values = values[kept] if target is not None else values[kept[own.present]]
    samples, positions = samples[kept], position[kept]
    late = int((windows.targets[positions] > windows.ends[positions]).sum())
    short = (f"{late} stays end before what is predicted begins",) if late else ()
    notes = (*short, *followed)
    if problem.event is not None and problem.labelled:
        samples = timed(samples, windows.input_ends[positions], found)
    return Picked(samples, positions, values, names, Source({}, read, dropped, label, notes))


def timed(samples: pd.DataFrame, moments: np.ndarray, found: FoundEvents) -> pd.DataFrame:
    """The samples with ``time``, when the prediction is made, where it is a date and not given."""
    if not found.timestamps or "time" in samples:
        return samples
    times = pd.to_datetime(moments.astype("int64"), unit="us", utc=True)
    return samples.assign(time=times if found.zoned else times.tz_localize(None))


def keep_rows(reasons: Mapping[str, np.ndarray], count: int) -> tuple[np.ndarray, dict[str, int]]:
    """(count,) bool of the rows that are left; and the others, each under its first reason."""
    kept, dropped = np.ones(count, bool), {}
    for reason, mask in reasons.items():
        dropped[reason] = int((mask & kept).sum())
        kept &= ~mask
    return kept, dropped


def _refuse_all(labels: Labels, known: np.ndarray, indexless: np.ndarray, span: str) -> None:
    if indexless.any():
        raise DataError(
            f"none of its {len(indexless)} stays has an index event and an event in the window "
            f"before it ({int(indexless.sum())} have no index event)",
            place=str(labels.path),
            hint="Choose another index event, or longer hours.",
        )
    if known.any():
        raise DataError(
            f"none of its {len(labels.codes)} stays has an event in {span} "
            f"({int(known.sum())} have events at other times)",
            place=str(labels.path),
            hint="Choose longer hours, or another index. Times that are numbers of hours count "
            "from the beginning of the stay.",
        )
    refuse_strangers(labels)


def refuse_strangers(labels: Labels) -> None:
    """Raise the DataError of labels none of which is of a stay with events."""
    raise DataError(
        f"none of its {len(labels.codes)} stays has events",
        place=str(labels.path),
        hint="Does the stay column hold the same ids as the events?",
    )

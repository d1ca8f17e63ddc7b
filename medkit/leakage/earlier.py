"""Rows that an earlier run, which a branch starts from, was trained or chosen on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from medkit.leakage.findings import Finding, finding

if TYPE_CHECKING:
    from medkit.data.cohort import Cohort

# Validation rows may be validation rows again: both runs are chosen on them, neither is tested.
USED = (
    ("train", "valid", "trained it"),
    ("train", "test", "trained it"),
    ("valid", "test", "stopped its training and set its threshold"),
)


def trained_before(
    parts: Mapping[str, Cohort], earlier: Mapping[str, Mapping[str, Cohort] | str]
) -> Iterator[Finding]:
    """Subjects (else samples) of an earlier run's development that are held out here.

    Args:
        parts: Part name -> samples.
        earlier: Branch -> parts of the run that it starts from; none where no file is shared; or
            why they are not known.
    """
    for branch, before in earlier.items():
        started = "the run that the branch starts from"
        if isinstance(before, str):
            what = f"{started} was trained on the same files, on which rows is not known: {before}"
            yield finding("trained_before", what, f"branch {branch}", 0, "warn")
            continue
        every = [*parts.values(), *before.values()]
        by = "subject" if all("subject" in each.samples for each in every) else "sample"
        here, there = _identities(parts, by), _identities(before, by)
        if there and set().union(*here.values()).isdisjoint(set().union(*there.values())):
            what = f"{started} read the same files, and has no {by} by the name of one of these"
            yield finding("trained_before", what, f"branch {branch}", 0, "warn")
        for old, new, how in USED:
            both = here.get(new, set()) & there.get(old, set())
            if both:
                what = f"{len(both):,} {by}{'s' * (len(both) > 1)}"
                yield finding(
                    "trained_before", f"{what} of this {new} part {how}",
                    f"branch {branch}, its {old} part and {new}", len(both),
                )  # fmt: skip


def _identities(parts: Mapping[str, Cohort], by: str) -> dict[str, set[str]]:
    return {
        name: {str(x) for x in (each.subjects if by == "subject" else each.samples.index)}
        for name, each in parts.items()
    }

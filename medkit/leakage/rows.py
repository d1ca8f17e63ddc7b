"""Subjects and identical rows in more than one part."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from medkit.leakage.evidence import Evidence
from medkit.leakage.findings import Finding, finding

RARE = 1e-3
COARSE = 0.5  # share of recurring rows from which one row's recurrence says nothing
FEWEST_COPIES, FEWEST_SHARE = 3, 0.01
FEW = "so few may be chance"
RECURRING = 0.25  # more than this share of a part's texts is no coincidence of nature


def subject_overlap(evidence: Evidence) -> Iterator[Finding]:
    """Subjects with rows in two parts."""
    if not evidence.declared:
        return
    for a, b in evidence.pairs():
        both = np.intersect1d(*(evidence.subject[evidence.part == each] for each in (a, b)))
        if len(both):
            plural = "subject has" if len(both) == 1 else "subjects have"
            yield finding("subject_overlap", f"{len(both):,} {plural} rows in both parts",
                          f"{evidence.names[a]} and {evidence.names[b]}", len(both))  # fmt: skip


def duplicates(evidence: Evidence, keys: np.ndarray, content: np.ndarray) -> Iterator[Finding]:
    """Series, images or texts of a later part that are identical to those of an earlier one.

    Args:
        evidence: The rows.
        keys: (n,) hash of each row's input.
        content: (n,) bool: rows with enough content that equality means something.
    """
    for a, b in evidence.pairs():
        first, second = (np.flatnonzero((evidence.part == each) & content) for each in (a, b))
        copies = second[np.isin(keys[second], keys[first])]
        if not len(copies):
            continue
        mine, theirs = (_joint(keys[r], evidence.subject[r]) for r in (copies, first))
        own = np.isin(mine, theirs)
        recurring = evidence.texts_of_subjects and not own.any()
        yield pair_finding(
            "duplicates", evidence, a, b, copies, "identical to", recurring=recurring
        )


def pair_finding(
    name: str,
    evidence: Evidence,
    a: int,
    b: int,
    copies: np.ndarray,
    relation: str,
    *,
    recurring: bool = False,
    doubt: str = "",
) -> Finding:
    """A finding on the rows ``copies`` of part ``b`` that are found again in part ``a``.

    Sequences recur in nature and phrases in clinics: ``recurring`` texts, of subjects that are
    known to differ, are only worth a warning unless they are many; so are copies in ``doubt``,
    which says why they may be none.
    """
    total = int((evidence.part == b).sum())
    warn = bool(doubt) or (recurring and len(copies) <= RECURRING * total)
    earlier, later = evidence.names[a], evidence.names[b]
    if not warn:
        evidence.copies.append((earlier, copies))
    what = f"{len(copies):,} of {total:,} {later} rows are {relation} {earlier} rows"
    what += " of other subjects" * recurring + (f"; {doubt}" if doubt else "")
    where = f"{earlier} and {later}{evidence.among}"
    return finding(name, what, where, len(copies), "warn" if warn else "fail")


def beyond_chance(
    same: int, count: int, recurring: int, among: int, *, estimated: bool = False
) -> bool:
    """Whether more of ``count`` rows recur than the share that recurs within the run explains.

    Args:
        same: How many of the rows recur.
        count: How many rows there are.
        recurring: How many of the run's rows have their like among the others.
        among: How many rows the run has.
        estimated: Rows may well be alike by chance, so that the share has an error of its own:
            that of half as many observations as rows, for rows recur in pairs.
    """
    from scipy.stats import betabinom, binom

    chance = (recurring + 0.5) / (among + 1)
    if estimated:
        law = betabinom(count, recurring / 2 + 0.5, (among - recurring) / 2 + 0.5)
    else:
        law = binom(count, chance)
    return chance < COARSE and bool(law.sf(same - 1) < RARE)


def hardly_any(copies: int, count: int) -> bool:
    """Whether so few of ``count`` rows are copies that they may look so by chance."""
    return copies < max(FEWEST_COPIES, FEWEST_SHARE * count)


def _joint(keys: np.ndarray, subject: np.ndarray) -> np.ndarray:
    return keys ^ (subject.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))

"""Rows of other data that are the development rows again: by name, by content, or nearly so."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from medkit.core.lazy import pd
from medkit.data.parts import Part
from medkit.leakage.audit import repeated_rows
from medkit.leakage.evidence import Evidence
from medkit.leakage.identifiers import identifying
from medkit.leakage.rows import COARSE, RARE, beyond_chance

if TYPE_CHECKING:
    from medkit.modalities.encoder import Encoder
    from medkit.tasks.task import Task

_SHUFFLES = 999
_FEWEST_NAMES = 7  # 1 of 6! orders is more than RARE
_SHORT = 10**8  # a number of more digits is hardly another patient's by chance
_NEW = "new"
# In this order: a row counts under the first.
REASONS = ("of a subject of the run", "a sample of the run by its id", "identical to a row of the "
           "run", "almost identical to a row of the run")  # fmt: skip


class _Beside(Evidence):
    """The run's parts are each compared with the new rows, and not with each other."""

    def pairs(self) -> list[tuple[int, int]]:
        last = len(self.parts) - 1
        return [(each, last) for each in range(last)]


@dataclass(frozen=True)
class Seen:
    """Which new rows are rows of a run's parts.

    Attributes:
        reason: (n,) position in ``REASONS``, -1 of rows that the run has never seen.
        developed: (n,) bool: rows that trained or validated the run.
        notes: What was not looked at in full, or cannot be known.
    """

    reason: np.ndarray
    developed: np.ndarray
    notes: tuple[str, ...] = ()


def rows_seen(known: Mapping[str, Part], new: Part, encoder: Encoder, task: Task) -> Seen:
    """Compare new rows with those of a run's parts.

    By the names of subjects and samples; short numbers, which may mean others in another hospital,
    count where rows of one name agree more than rows of different names. By content, encoded as
    the network gets it: identical rows count where they are more than recur among the run's own,
    and, as the leakage gate finds them, near-duplicates.

    Args:
        known: ``train``, ``valid`` and ``test`` of the run, encoded; of an earlier run that it was
            made from likewise, as ``earlier train`` ….
        new: The rows, encoded by the same encoder.
        encoder: The run's.
        task: The run's.
    """
    count = len(new)
    found = {part: np.zeros((len(REASONS), count), dtype=bool) for part in known}
    # A sample is its subject's: where subjects are known, the numbers of visits say nothing more.
    declared = all("subject" in each.cohort.samples for each in (*known.values(), new))
    named, note = _same_names(known, new, encoder, declared)
    for part, rows in named.items():
        found[part][0 if declared else 1] |= rows
    recurring, other = _identical(known, new)
    notes = [each for each in (note, other) if each]
    for part, rows in recurring.items():
        found[part][2] |= rows
    gathered: list[str] = []
    for name, modality in encoder.modalities.items():
        evidence = _Beside({**known, _NEW: _ordered(known, new, name)}, name, modality, task,
                           gathered)  # fmt: skip
        start = len(evidence.part) - count
        list(repeated_rows(evidence, set(identifying(evidence))))
        # What stands for an input that a sample lacks is the same in all of them.
        present = new.cohort.inputs[name].present
        for part, rows in evidence.copies:
            rows = rows - start
            found[part][3, rows if present is None else rows[present[rows]]] = True
    reasons = np.any(list(found.values()), axis=0)
    reason = np.where(reasons.any(axis=0), reasons.argmax(axis=0), -1)
    before = [each.any(axis=0) for name, each in found.items() if not name.endswith("test")]
    developed = np.any(before, axis=0)
    return Seen(reason, developed, tuple(dict.fromkeys([*notes, *gathered])))


def recurring(keys: np.ndarray, subjects: np.ndarray) -> int:
    """How many of the rows have the key of another subject's row."""
    pairs = pd.DataFrame({"key": keys, "subject": subjects})
    return int((pairs.groupby("key")["subject"].transform("nunique") > 1).sum())


def texts(names: Any) -> np.ndarray:
    """Names as they are compared, whether read as numbers or as text."""
    found = pd.Series(np.asarray(names, dtype=object)).astype(str).str.strip()
    return np.asarray(found.str.removesuffix(".0"), dtype=object)


def names_mean_the_same(
    names: np.ndarray,
    theirs: tuple[np.ndarray, np.ndarray],
    mine: tuple[np.ndarray, np.ndarray],
    kind: str,
) -> tuple[bool, str | None]:
    """Whether equal names mean the same patients, and a note where that cannot be known.

    Names that are short numbers (7, 0012, MRN00345) may stand for others in another hospital: they
    count only where rows of one name agree more than when names are shuffled (Fisher's test).

    Args:
        names: (n,) of the new rows, as text.
        theirs: (m,) names and (m, columns) values of the run's rows.
        mine: (n,) names and (n, columns) values of the new rows, these names as the run's are kept.
        kind: What is named: subject or sample.
    """
    if not _short_numbers(names):
        return True, None
    firsts = [dict(zip(of[::-1], np.arange(len(of))[::-1], strict=True))
              for of in (theirs[0], mine[0])]  # fmt: skip
    shared = [each for each in firsts[1] if each in firsts[0]]
    values = theirs[1], mine[1]
    scale = np.nanstd(values[0], axis=0)
    usable = scale > 0
    if len(shared) < _FEWEST_NAMES or not usable.any():
        what = f"{kind} has" if len(shared) == 1 else f"{kind}s have"
        note = (f"{len(shared):,} new {what} a number of the run's, which may mean others: fewer "
                f"than {_FEWEST_NAMES}, or rows without numbers that vary, could not be judged and "
                "were kept")  # fmt: skip
        return False, note if shared else None
    center = np.nanmean(values[0], axis=0)
    first, second = (
        np.nan_to_num(((each - center) / np.where(usable, scale, 1))[:, usable], nan=0.0)[
            [rows[name] for name in shared]
        ].clip(-4, 4)
        for each, rows in zip(values, firsts, strict=True)
    )
    observed = np.abs(first - second).mean()
    random = np.random.default_rng(0)
    shuffled = [
        np.abs(first - second[random.permutation(len(second))]).mean() for _ in range(_SHUFFLES)
    ]
    return bool((1 + np.sum(np.array(shuffled) <= observed)) / (1 + _SHUFFLES) <= RARE), None


def _short_numbers(names: np.ndarray) -> bool:
    """Whether names are whole numbers that chance gives twice: short ones, or all of a range."""
    found = [re.fullmatch(r"\D*0*(\d{1,15})", each) for each in np.unique(names.astype(str))]
    numbers = [int(each[1]) for each in found if each is not None]
    if len(numbers) < len(found) or not numbers:
        return False
    return max(numbers) < _SHORT or max(numbers) - min(numbers) + 1 <= 1.5 * len(numbers)


def _same_names(
    known: Mapping[str, Part], new: Part, encoder: Encoder, declared: bool
) -> tuple[dict[str, np.ndarray], str | None]:
    """Part -> (n,) bool: new rows whose subject, or else sample, has a name of the part's."""
    mine, *theirs = (
        texts(each.cohort.subjects if declared else each.cohort.samples.index)
        for each in (new, *known.values())
    )
    found = {part: np.isin(mine, each) for part, each in zip(known, theirs, strict=True)}
    if not np.any(list(found.values())):
        return {}, None
    if not declared and re.search(r"\d\D+\d", mine[0]):
        return {}, None  # a number of the patient and one of the visit: unlike rows may share it
    a = pd.concat([encoder.summarize(part.inputs) for part in known.values()], ignore_index=True)
    values = [
        np.asarray(each.select_dtypes("number"), float)
        for each in (a, encoder.summarize(new.inputs))
    ]
    same, note = names_mean_the_same(mine, (np.concatenate(theirs), values[0]), (mine, values[1]),
                                     "subject" if declared else "sample")  # fmt: skip
    return found if same else {}, note


def _identical(
    known: Mapping[str, Part], new: Part
) -> tuple[dict[str, np.ndarray], str | None]:  # fmt: skip
    """Part -> (n,) bool: new rows that are rows of the part, if more so than by chance."""
    keys = {part: _keys(rows) for part, rows in known.items()}
    mine, every = _keys(new), np.concatenate(list(keys.values()))
    found = {part: np.isin(mine, each) for part, each in keys.items()}
    same = int(np.isin(mine, every).sum())
    if same == 0:
        return {}, None
    subjects = np.concatenate([rows.cohort.subjects.astype(str) for rows in known.values()])
    often = recurring(every, subjects)
    if beyond_chance(same, len(mine), often, len(every)):
        return found, None
    whole = [Counter(each.tolist()) for each in (*keys.values(), every)]
    if len(mine) > 1 and Counter(mine.tolist()) in whole:
        return found, None  # each value as often as there: the same rows in another order
    if often > COARSE * len(every):
        return {}, (
            f"{same:,} of {len(mine):,} new rows are identical to rows of the run, which says "
            "nothing: most of the run's own recur as well, their inputs are few or coarse"
        )
    return {}, None


def _keys(part: Part) -> np.ndarray:
    """(n,) uint64 hash of each row's encoded inputs."""
    found = np.zeros(len(part), dtype=np.uint64)
    for position, name in enumerate(sorted(part.inputs.arrays)):
        array = part.inputs.arrays[name]
        for start in range(0, len(part), 1024):
            block = np.ascontiguousarray(np.asarray(array[start : start + 1024]))
            flat = block.reshape(len(block), -1)
            if flat.dtype.kind == "f":
                flat = np.where(np.isnan(flat), np.float32(-1e30), flat + 0.0).astype(np.float32)
            salt = bytes([position])
            digests = [blake2b(row.tobytes(), digest_size=8, key=salt).digest() for row in flat]
            found[start : start + 1024] += np.frombuffer(b"".join(digests), dtype=np.uint64)
    return found


def _ordered(known: Mapping[str, Part], new: Part, name: str) -> Part:
    """The new rows with the columns of a table in the order of the run's."""
    raw, first = new.cohort.inputs[name], next(iter(known.values())).cohort.inputs[name]
    if not isinstance(raw.values, pd.DataFrame) or not isinstance(first.values, pd.DataFrame):
        return new
    values = raw.values.reindex(columns=first.values.columns)
    inputs = {**new.cohort.inputs, name: replace(raw, values=values)}
    return replace(new, cohort=replace(new.cohort, inputs=inputs))

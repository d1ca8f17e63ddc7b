"""Whether a run was developed on the rows that it is to be evaluated on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from medkit.core.errors import RunError
from medkit.core.lazy import pd
from medkit.data.parts import Part
from medkit.leakage.overlap import REASONS, Seen, names_mean_the_same, rows_seen, texts
from medkit.leakage.rows import beyond_chance
from medkit.runs.recording import Hasher
from medkit.runs.run import Run, predict_usable
from medkit.runs.stored import stored_part

_SAME = 1e-6  # outputs of one row differ by less, whatever the batch
_MOSTLY = 0.5
_NUMBERS = 16  # outputs of a row that are compared


def compared(run: Run, new: Part, developed: Mapping[str, Part] | str) -> Seen:
    """Which rows are rows of the run, or of the runs it was recalibrated from.

    Args:
        run: The run.
        new: The rows, encoded.
        developed: The run's own parts, encoded; or why they are not at hand: then hashed names are
            compared, where MEDKIT_SALT is what it was in training, and what the network says.
    """
    if not isinstance(developed, str):
        return rows_seen(developed, new, run.encoder, run.task)
    return _by_what_is_stored(run, new, developed)


def described(seen: Seen, subjects: np.ndarray) -> dict[str, Any]:
    """``{"rows", "subjects", "of", "reasons": {reason: rows}, "notes"}`` of rows left out."""
    left_out = seen.reason >= 0
    reasons = {
        name: int((seen.reason == code).sum())
        for code, name in enumerate(REASONS)
        if (seen.reason == code).any()
    }
    notes = list(seen.notes)
    if left_out.mean() > _MOSTLY:
        notes.append("most of these data are the run's own rows: the others may be copies too")
    return {
        "rows": int(left_out.sum()),
        "subjects": len(np.unique(subjects[left_out].astype(str))),
        "of": len(left_out),
        "reasons": reasons,
        "notes": notes,
    }


def in_words(overlap: Mapping[str, Any]) -> str:
    """``12 of 240 rows are the run's own: 10 identical to …, 2 of a subject of the run``."""
    reasons = ", ".join(f"{count:,} {name}" for name, count in overlap["reasons"].items())
    return f"{overlap['rows']:,} of {overlap['of']:,} rows are the run's own ({reasons})"


def _by_what_is_stored(run: Run, new: Part, why: str) -> Seen:
    reason = np.full(len(new), -1)
    developed = np.zeros(len(new), dtype=bool)
    notes = [
        f"{why}: new rows were compared with the run's stored predictions alone, which finds "
        "identical rows but neither near-duplicates nor other visits of its patients"
    ]
    split = pd.read_csv(run.path / "split.csv", dtype=str)
    whose: Mapping[str, np.ndarray] = {
        each: split[each].to_numpy() for each in ("subject", "sample")
    }
    every, mine = np.zeros((len(split), 1)), np.zeros((len(new), 1))
    try:
        parts = {part: stored_part(run, part) for part in _PARTS}
    except RunError as error:
        parts = {}
        notes.append(error.message)
    if parts:
        every = np.concatenate([_numbers(each.outputs) for each in parts.values()])
        whose = {each: np.concatenate([getattr(part, f"{each}s") for part in parts.values()])
                 for each in whose}  # fmt: skip
        mine = _numbers(predict_usable(run.model, new.inputs, np.ones(len(new), dtype=bool)))
    if os.environ.get("MEDKIT_SALT"):
        hashed = Hasher()
        names = {"subject": new.cohort.subjects, "sample": new.cohort.samples.index.to_numpy()}
        for code, (kind, values) in reversed([*enumerate(names.items())]):
            if kind == "sample" or "subject" in new.cohort.samples:
                as_kept: np.ndarray = np.array(hashed(values, kind), dtype=object)
                meant, note = names_mean_the_same(
                    texts(values), (whose[kind], every), (as_kept, mine), kind
                )
                notes += [note] if note else []
                if meant:
                    reason[np.isin(as_kept, split[kind])] = code
                    developed |= np.isin(as_kept, split.loc[split["part"] != "test", kind])
    same = copies(every, whose["subject"], mine) if parts else np.zeros(len(new), dtype=bool)
    reason[same & (reason < 0)] = REASONS.index("identical to a row of the run")
    if same.any():
        before = np.concatenate([_numbers(parts[each].outputs) for each in ("train", "valid")])
        developed |= _near(*_scaled(before, mine))
    return Seen(reason, developed, tuple(notes))


_PARTS = ("train", "valid", "test")


def _numbers(outputs: np.ndarray) -> np.ndarray:
    """(n, up to 16) some of a row's outputs."""
    flat = np.asarray(outputs, float).reshape(len(outputs), -1)
    chosen = np.linspace(0, flat.shape[1] - 1, min(_NUMBERS, flat.shape[1])).astype(int)
    return np.nan_to_num(flat[:, chosen], nan=-1e9)


def copies(known: np.ndarray, subjects: np.ndarray, mine: np.ndarray) -> np.ndarray:
    """(n,) bool: rows whose outputs are those of a known row, if more so than by chance.

    Outputs lie close together where there are many rows, so chance is what the same rule finds
    among the known rows themselves, between those of different subjects.

    Args:
        known: (m, numbers) outputs of the run's rows.
        subjects: (m,) whose they are.
        mine: (n, numbers) outputs of the new rows.
    """
    known, mine = _scaled(known, mine)
    same = _near(known, mine)
    if not same.any():
        return same
    codes = np.unique(subjects.astype(str), return_inverse=True)[1]
    recurring = np.zeros(len(known), dtype=bool)
    for bit in range(int(codes.max()).bit_length()):  # two subjects differ in one bit at least
        one = (codes >> bit & 1).astype(bool)
        recurring[one] |= _near(known[~one], known[one])
        recurring[~one] |= _near(known[one], known[~one])
    often = int(recurring.sum())
    return same & beyond_chance(int(same.sum()), len(mine), often, len(known), estimated=True)


def _scaled(known: np.ndarray, mine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scale = np.maximum(np.abs(known).max(axis=0), 1.0)
    return known / scale, mine / scale


def _near(known: np.ndarray, mine: np.ndarray) -> np.ndarray:
    from scipy.spatial import cKDTree

    tree = cKDTree(np.unique(known, axis=0))
    distances, _ = tree.query(mine, p=np.inf, distance_upper_bound=2 * _SAME)
    return np.asarray(distances <= _SAME)

"""Patients who return, where nothing names them: rows that a few exact values tie together."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import NamedTuple

import numpy as np

from medkit.core.lazy import pd
from medkit.leakage.agreement import SURE, Agreeing, agreeing, joint, standardized
from medkit.leakage.columns import is_number
from medkit.leakage.evidence import Evidence, listed
from medkit.leakage.findings import Finding, finding
from medkit.leakage.raw_table import Hashes, RawTable

FEWEST_VALUES = 8
COMMON = 0.05  # share of the rows from which a value (0, a rounded number) ties nobody together
MOST_ROWS = 50_000
MOST_PAIRS = 5_000  # different ones, on which a dependence is judged
MOST_COLUMNS = 12  # those of most different values
LARGEST = 40  # rows of one patient
FEWEST = 10  # patients, and pairs of rows
BEYOND = 3.0  # times as many pairs as the columns' own dependence explains
DERIVED = 0.7  # Chatterjee's correlation: one column is computed from the other
TIED = 0.1  # share of a later part's rows
SHARED = 0.2
CONSTANT = 0.9  # share of tied pairs that agree in a column that belongs to the patient


class _Column(NamedTuple):
    values: np.ndarray  # (n,) NaN where missing or common
    exact: np.ndarray  # (n,) code; every missing or common value has its own
    near: np.ndarray  # (n,) tenth of the values, likewise
    shown: np.ndarray  # (n,) code; common values have theirs


class _Tie(NamedTuple):
    cell: np.ndarray  # (n,) rows that are equal in both, a cell each
    tied: np.ndarray  # (n,) bool: a row of a later part with such a row in an earlier one
    excess: float  # in what the pairs share of the outcome


def returning(evidence: Evidence, left_out: set[str]) -> Iterator[Finding]:
    """Rows of two parts that are of one patient, though nobody said so.

    Age at the first visit, height or a first measurement stay with a patient: rows that agree in
    two of them exactly are far more than such columns' dependence explains, which is seen where
    rows agree nearly (in one exactly, in the other by a tenth of the rows). And they share the
    outcome, which rows that agree nearly do not. Where both are so, train and test hold the same
    patients, or the same wards or households. One column computed from another (the square of the
    age) is told by Chatterjee's correlation (2021) and left aside.

    Args:
        evidence: The rows; subjects that were declared are taken as they are, for patients that a
            column of stays does not name are tied in the same way.
        left_out: Columns that are not compared.
    """
    if evidence.table is None:
        return
    rows = evidence.some(MOST_ROWS, "patients who return")
    part = evidence.part[rows]
    columns = _columns(evidence.table, rows, left_out)
    if len(columns) < 2:
        return
    # Of patients with two visits, so many are both among the rows looked at.
    least = TIED * len(rows) / len(evidence.part) * (part > 0).sum()
    # Rows that agree in all columns are copies, which is another finding.
    whole = pd.factorize(Hashes(evidence.table, left_out).keys()[rows])[0]
    fresh = ~_earlier(whole, part)
    ties = [
        tie
        for outcome in standardized(evidence.outcomes_of(rows))
        for pair in permutations(columns.values(), 2)
        if (tie := _tie(*pair, part, outcome, fresh)) is not None and tie.tied.sum() >= least
    ]
    if not ties:
        return
    best = max(ties, key=lambda tie: tie.excess * tie.tied.sum())
    agree = [name for name in columns if _stays(columns[name], best.cell, part)]
    rests = {name: [columns[each].shown for each in agree if each != name] for name in agree}
    constant = [name for name in agree if _stays(columns[name], joint(*rests[name]), part)]
    constant = constant if len(constant) > 1 else agree
    people = len(np.unique(joint(*(columns[name].shown for name in constant))))
    tied, later = int(best.tied.sum()), int((part > 0).sum())
    among = "" if len(rows) == len(evidence.part) else " looked at"
    yield finding(
        "returning_subjects",
        f"{tied:,} of {later:,} rows{among} after {evidence.names[0]} agree exactly in these "
        "columns with a row of an earlier part, and share the outcome with it: "
        f"{len(part):,} rows look like {people:,} patients",
        f"{listed(constant)}{evidence.among}",
        tied,
    )


def _earlier(cell: np.ndarray, part: np.ndarray) -> np.ndarray:
    """(n,) bool: rows of a later part whose cell holds rows of an earlier one."""
    first = np.full(int(cell.max(initial=0)) + 1, part.max(initial=0))
    np.minimum.at(first, cell, part)
    return part > first[cell]


def _columns(table: RawTable, rows: np.ndarray, left_out: set[str]) -> dict[str, _Column]:
    """The numbers and dates of most different values, of these rows."""
    different = {}
    for name in table.columns:
        column = table[name]
        if name not in left_out and (_is_date(column) or is_number(column)):
            kept = _values(column, rows)[1]
            if kept.size >= FEWEST_VALUES and kept.sum() >= len(rows) / 2:
                different[name] = kept.size
    best = sorted(different, key=lambda name: -different[name])[:MOST_COLUMNS]
    return {name: _column(table[name], rows) for name in best}


def _is_date(column: pd.Series) -> bool:
    return bool(pd.api.types.is_datetime64_any_dtype(column))


def _values(column: pd.Series, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows,) numbers, and how often each of those is there that is not common."""
    numbers = column.astype("int64").where(column.notna()) if _is_date(column) else column
    values = numbers.to_numpy(dtype="float64", na_value=np.nan)[rows]
    counts = np.unique(values[~np.isnan(values)], return_counts=True)[1]
    return values, counts[counts <= COMMON * len(values)]


def _column(column: pd.Series, rows: np.ndarray) -> _Column:
    values, _ = _values(column, rows)
    codes, kinds = pd.factorize(values)
    common = np.bincount(codes[codes >= 0], minlength=len(kinds)) > COMMON * len(values)
    alone = (codes < 0) | np.append(common, False)[codes]
    values = np.where(alone, np.nan, values)
    share = pd.Series(values).rank(pct=True).to_numpy()
    tenth = np.minimum(np.nan_to_num(share * 10), 9).astype(np.int64)
    own = np.cumsum(alone)
    return _Column(
        values,
        np.where(alone, len(kinds) + own, codes).astype(np.int32),
        np.where(alone, 10 + own, tenth).astype(np.int32),
        codes.astype(np.int32) + 1,
    )


def _tie(
    first: _Column, second: _Column, part: np.ndarray, outcome: np.ndarray, fresh: np.ndarray
) -> _Tie | None:  # fmt: skip
    """What ties rows that are equal in two columns, if it is more than chance."""
    cell = joint(first.exact, second.exact)
    whole = agreeing(cell, part, outcome)
    fits = np.bincount(cell) <= LARGEST
    same = Agreeing(whole.pairs * fits, whole.shared * fits)
    if same.total < FEWEST or (same.pairs > 0).sum() < FEWEST:
        return None
    nearly = agreeing(joint(first.exact, second.near), part, outcome).without(whole)
    alike = [
        agreeing(codes, part, outcome).total
        for codes in (first.exact, second.exact, second.near, np.zeros_like(part))
    ]
    one, other, close, every = alike
    dependence = max(1.0, (nearly.total + 0.5) * every / (one * max(close - other, 1.0)))
    if same.total < BEYOND * max(one * other / every * dependence, 0.5):
        return None
    (mean, error), (usual, _) = same.likeness(), nearly.likeness()
    excess = mean - max(usual, 0.0)
    tied = _earlier(cell, part) & fits[cell] & fresh
    if excess < max(SHARED, SURE * error) or _derived(first.values, second.values):
        return None
    return _Tie(cell, tied, excess)


def _derived(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether one of two columns is a function of the other, by Chatterjee's correlation."""
    from scipy.stats import chatterjeexi

    both = ~np.isnan(first) & ~np.isnan(second)
    rows = np.unique(np.column_stack([first[both], second[both]]), axis=0)
    # Sorted rows would break ties of the one in the order of the other.
    rows = np.random.default_rng(0).permutation(rows)[:MOST_PAIRS]
    if len(rows) < FEWEST:
        return True
    return max(chatterjeexi(*each).statistic for each in permutations(rows.T)) > DERIVED


def _stays(column: _Column, cell: np.ndarray, part: np.ndarray) -> bool:
    """Whether nearly all rows of a cell agree in a column."""
    none = np.zeros(len(part))
    same = agreeing(joint(cell, column.shown), part, none).total
    return same >= CONSTANT * agreeing(cell, part, none).total

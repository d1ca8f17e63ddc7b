"""Inputs that name the row or the patient."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from medkit.core.lazy import pd
from medkit.leakage.columns import is_number
from medkit.leakage.evidence import Evidence, listed
from medkit.leakage.findings import Finding, finding

FEWEST = 20
SOME = 20_000  # rows whose values are compared with their subject's name
UNIQUE = 0.9  # share of different texts; numbers must all differ
RISING = 0.98  # share of steps, in the order of the rows, in one direction
SHORTEST = 1000  # a number of fewer than four digits is hardly a patient's number


def identifiers(found: list[str]) -> Iterator[Finding]:
    """The finding on ``identifying(evidence)``."""
    if found:
        one = len(found) == 1
        yield finding(
            "identifier",
            f"{len(found)} input{'s' * (not one)} look{'s' * one} like an identifier: different "
            "in every row or for every subject, and no measurement",
            listed(found),
            len(found),
        )


def identifying(evidence: Evidence) -> list[str]:
    """Names of the inputs that are different in every row or for every subject, unmeasured.

    A text is one if nearly all rows differ. A number differs in every row in honest
    measurements too; it is an identifier if all values differ and it rises or falls with the
    order of the rows; or if they are whole numbers that fill a range without gaps, or of one
    length and evenly spread like numbers drawn for patients; or if it is the subject's own.
    """
    return [name for name, values in _candidates(evidence) if _identifies(values, evidence)]


def _candidates(evidence: Evidence) -> Iterator[tuple[str, pd.Series]]:
    if evidence.table is not None:
        yield from ((name, evidence.table[name]) for name in evidence.table.columns)
        return
    constants = [evidence.modality.constants(x) for x in evidence.arrays]
    for name in constants[0]:
        if all(name in each for each in constants):
            yield name, pd.Series(np.concatenate([each[name] for each in constants]))
    if evidence.texts_of_subjects and _names_subject(evidence):
        texts = pd.Series([f"{i}" for i in range(len(evidence.part))], dtype=object)
        yield "the text (it holds the subject's name)", texts


def _identifies(values: pd.Series, evidence: Evidence) -> bool:
    rows = np.flatnonzero(values.notna().to_numpy())
    if len(rows) < FEWEST:
        return False
    values, subject = values.iloc[rows], evidence.subject[rows]
    if evidence.declared and _is_subject(values, rows, evidence):
        return True
    codes, kinds = pd.factorize(values)
    if evidence.declared and len(kinds) < len(rows):
        # Once for each subject, if its rows agree.
        first = np.unique(subject, return_index=True)[1]
        pairs = len(pd.unique(codes.astype(np.int64) * (subject.max() + 1) + subject))
        once = len(pd.unique(codes[first]))
        if pairs == len(first) >= FEWEST and _named(values.iloc[first], once):
            return True
    if _named(values, len(kinds)):
        return True
    return is_number(values) and len(kinds) == len(codes) and _follows(values, rows, evidence)


def _named(values: pd.Series, different: int) -> bool:
    """Whether values, so many of them different, are an identifier's, whatever their order."""
    if not is_number(values):
        return different >= UNIQUE * len(values) and not pd.api.types.is_bool_dtype(values)
    if different < len(values):
        return False
    numbers = values.to_numpy(dtype="float64")
    if not np.isfinite(numbers).all() or (numbers != np.round(numbers)).any():
        return False
    low, high = numbers.min(), numbers.max()
    if high - low + 1 <= 1.5 * len(numbers):
        return True
    return bool(low >= SHORTEST and _evenly_spread(numbers, low, high))


def _evenly_spread(numbers: np.ndarray, low: float, high: float) -> bool:
    """Whether whole numbers of one length look drawn from all between two bounds."""
    from scipy.stats import kstest

    if len(str(int(low))) != len(str(int(high))) or len(numbers) < 2 * FEWEST:
        return False
    if high / low < 1.5 or (numbers % 10 == 0).mean() > 0.3:
        return False
    return bool(kstest((numbers - low) / (high - low), "uniform").pvalue > 0.05)


def _follows(values: pd.Series, rows: np.ndarray, evidence: Evidence) -> bool:
    """Whether a number rises, or falls, with the order of the rows in every larger part."""
    part = evidence.part[rows]
    numbers = values.to_numpy(dtype="float64")
    shares = []
    for each in np.unique(part):
        steps = np.diff(numbers[part == each])
        if len(steps) >= FEWEST:
            shares.append((steps > 0).mean())
    return bool(shares) and (min(shares) >= RISING or max(shares) <= 1 - RISING)


def _is_subject(values: pd.Series, rows: np.ndarray, evidence: Evidence) -> bool:
    if len(rows) > SOME:  # enough for a share; all as text would take much memory
        some = np.random.default_rng(0).choice(len(rows), SOME, replace=False)
        values, rows = values.iloc[some], rows[some]
    names = evidence.samples["subject"].iloc[rows].astype(str).str.strip()
    texts = values.astype(str).str.strip().str.removesuffix(".0")
    if names.nunique() < FEWEST:
        return False
    return bool((texts.to_numpy() == names.str.removesuffix(".0").to_numpy()).mean() >= UNIQUE)


def _names_subject(evidence: Evidence) -> bool:
    """Whether nearly every text holds the name of its own subject, and few that of another."""
    rows = evidence.chosen[:2000]
    texts = [evidence.texts.values[row] for row in rows] if evidence.texts else []
    names = evidence.samples["subject"].iloc[rows].astype(str).str.strip().to_numpy()
    if len(np.unique(names)) < FEWEST or min(map(len, names)) < 2:
        return False
    others = np.roll(names, len(names) // 2)
    own = np.mean([name in text for name, text in zip(names, texts, strict=True)])
    other = np.mean([name in text for name, text in zip(others, texts, strict=True)])
    return bool(own >= UNIQUE and other <= 0.1)

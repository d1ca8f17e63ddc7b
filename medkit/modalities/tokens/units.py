"""Text -> units, and named features of encoded sequences."""

from __future__ import annotations

import re

import numpy as np

PADDING, UNSEEN, FIRST = 0, 1, 2  # ids; of known tokens the first
MOST_COLUMNS = 600
_WORDS = re.compile(r"\w+|[^\w\s]")


def split_units(text: str, unit: str, ignore_case: bool) -> list[str] | str:
    """Characters without white space, or words and punctuation marks.

    Without case, letters are upper case (as sequences are written) and words lower case.
    """
    if unit == "word":
        return _WORDS.findall(text.lower() if ignore_case else text)
    text = "".join(text.split())
    return text.upper() if ignore_case else text


def positions(x: np.ndarray, vocabulary: list[str]) -> dict[str, np.ndarray]:
    """``position 3 = A``: 1 where that token is there, else 0."""
    return {
        f"position {position + 1} = {token}": (x[:, position] == code).astype("float32")
        for position in range(x.shape[1])
        for code, token in enumerate(vocabulary, start=FIRST)
    }


def occurrences(x: np.ndarray, vocabulary: list[str]) -> dict[str, np.ndarray]:
    """Length, and the share of each token and (small vocabularies) pair among a row's tokens."""
    length = (x > 0).sum(axis=1)
    number = np.maximum(length, 1)
    kept = vocabulary[: MOST_COLUMNS - 1]
    counts = _counts(x - FIRST, len(kept))
    columns = {"length": length.astype("float32")}
    columns |= {f"share of {t}": counts[:, i] / number for i, t in enumerate(kept)}
    small = vocabulary if len(vocabulary) <= 20 else []
    if small:
        first, second = x[:, :-1] - FIRST, x[:, 1:] - FIRST
        inside = (first >= 0) & (second >= 0)
        pairs = _counts(np.where(inside, first * len(small) + second, -1), len(small) ** 2)
        share = pairs / np.maximum(number - 1, 1)[:, None]
        joint = "" if all(len(token) == 1 for token in small) else " "
        names = [f"share of {a}{joint}{b}" for a in small for b in small]
        columns |= {name: share[:, i] for i, name in enumerate(names)}
    return {name: values.astype("float32") for name, values in columns.items()}


def _counts(ids: np.ndarray, size: int) -> np.ndarray:
    """(n, size): how often each of the ids 0 … size - 1 occurs in a row; others are skipped."""
    rows, positions = np.nonzero((ids >= 0) & (ids < size))
    flat = rows * size + ids[rows, positions]
    return np.bincount(flat, minlength=len(ids) * size).reshape(len(ids), size)

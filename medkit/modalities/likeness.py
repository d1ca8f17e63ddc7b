"""What the leakage gate compares of two samples, in terms that hold for any kind of input."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

#: Cells of a sample that are compared at most; of more, a seeded choice.
MOST_CELLS = 1024
#: Fewest different values, or letters, whose recurrence means something.
_CONTENT = 8
_MIX = np.uint64(0x9E3779B97F4A7C15)


class Cells(NamedTuple):
    """Numbers by whose distance near-identical samples are found.

    Args:
        values: (n, cells), NaN where not measured.
        names: Names of the cells, where each is a column of its own whose steps may be coarse.
        shared: (cells,) what the cells with many gaps are standardized together by: the number of
            their channel; None where each stands for itself.
    """

    values: np.ndarray
    names: tuple[str, ...] = ()
    shared: np.ndarray | None = None


class Runs(NamedTuple):
    """Hashed stretches by which samples cut from the same whole are found.

    Args:
        codes: (n, runs) uint64, equal where two stretches are.
        content: (n, runs) boolean: stretches whose recurrence means something.
        common: Share of the stretches of two samples that makes them near-identical; 0: one.
        relation: What such samples are to each other, for the finding.
    """

    codes: np.ndarray
    content: np.ndarray
    common: float
    relation: str


class Texts(NamedTuple):
    """Raw texts, and whether they are made of words (else of letters, as DNA is)."""

    values: list[str]
    words: bool


def key_of(content: bytes) -> int:
    """A 64-bit hash."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def array_keys(rows: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(n,) uint64 hash of each array, and (n,) boolean: it holds enough different numbers that
    another's being the same means something."""
    keys, content = [], []
    for row in rows:
        keys.append(key_of(np.ascontiguousarray(row).tobytes()))
        values = row.ravel()
        if values.dtype.kind == "f":
            values = values[~np.isnan(values)]
        content.append(len(values) >= _CONTENT and len(np.unique(values[:4096])) >= _CONTENT)
    return np.array(keys, dtype=np.uint64), np.array(content, dtype=bool)


def text_keys(texts: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """The same of texts, white space and case left aside."""
    keys, content = [], []
    for text in texts:
        letters = "".join(text.split()).upper()
        keys.append(key_of(letters.encode()))
        content.append(len(letters) >= 2 * _CONTENT and len(set(letters)) > 1)
    return np.array(keys, dtype=np.uint64), np.array(content, dtype=bool)


def chosen_cells(shape: tuple[int, ...]) -> np.ndarray:
    """Positions of the cells compared, the same for all parts, in a flattened sample."""
    count = int(np.prod(shape))
    return np.sort(np.random.default_rng(0).permutation(count)[:MOST_CELLS])


def hashed_runs(codes: np.ndarray, width: int) -> np.ndarray:
    """(n, length - width + 1) hash of every run of ``width`` codes (n, length) uint64."""
    count = max(codes.shape[1] - width + 1, 0)
    found = np.zeros((len(codes), count), dtype=np.uint64)
    for offset in range(width):
        found = found * _MIX + _mixed(codes[:, offset : offset + count] + np.uint64(1))
    return _mixed(found)


def hashed_steps(x: np.ndarray) -> np.ndarray:
    """(n, steps) uint64: one code for all channels of a step (n, steps, channels)."""
    steps = np.zeros(x.shape[:2], dtype=np.uint64)
    for channel in range(x.shape[2]):
        values = np.asarray(x[:, :, channel], dtype="float32") + np.float32(0)
        bits = values.view(np.uint32).astype(np.uint64)
        steps = (steps * _MIX) ^ np.where(np.isnan(values), np.uint64(0), bits + np.uint64(1))
    return steps


def shared_stretches(x: np.ndarray) -> Runs | None:
    """Stretches of a quarter of a recording (n, steps, channels), equal in every number, with
    eight different numbers or more: windows that overlap share them."""
    if x.shape[1] < _CONTENT:
        return None
    width = max(_CONTENT, x.shape[1] // 4)
    seen = np.zeros(x.shape[:2], dtype=np.int32)
    moved = np.zeros(x.shape[:2], dtype=np.int32)
    for channel in range(x.shape[2]):
        values = x[:, :, channel]
        known = ~np.isnan(values)
        seen += known
        moved[:, 1:] += known[:, 1:] & (values[:, 1:] != values[:, :-1])
    content = _sums(seen, width) >= width
    content &= _sums(moved, width) >= max(_CONTENT, width // 2)
    codes = hashed_runs(hashed_steps(x), width)
    return Runs(codes, content, 0.0, "share a stretch with")


def _sums(counts: np.ndarray, width: int) -> np.ndarray:
    total = np.cumsum(np.pad(counts, ((0, 0), (1, 0))), axis=1)
    return total[:, width:] - total[:, :-width]


def _mixed(codes: np.ndarray) -> np.ndarray:
    codes = (codes ^ (codes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    codes = (codes ^ (codes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return codes ^ (codes >> np.uint64(31))

"""The same image twice, though resized, compressed, brightened or mirrored: perceptual hashes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from medkit.leakage.evidence import Evidence
from medkit.leakage.findings import Finding
from medkit.leakage.rows import FEW, beyond_chance, hardly_any, pair_finding

FREQUENCIES = 8
BITS_APART = 8  # of 64
ALIKE = 0.98  # correlation of the reduced images
MOST_ROWS = 20_000
SEVERAL = 3  # others that an image looks like, if that is usual
SELDOM = 0.05


def near_images(evidence: Evidence, keys: np.ndarray) -> Iterator[Finding]:
    """Images of a later part that look the same as one of an earlier part.

    Candidates agree in all but 8 of the 64 bits of a perceptual hash (signs of the lowest
    frequencies of the cosine transform, against their median; Zauner, 2010); of those, copies
    correlate with 0.98 or more at 32 × 32 pixels, which images of different patients in the
    same position seldom reach. Mirror images are compared too. Where the patients are known,
    images of different ones within the earlier part say what chance gives: no more than that, or
    one of a thousand, is only worth a warning, and so are images that look like several others,
    which copies do not.

    Args:
        evidence: The rows.
        keys: (n,) hash of each row, to leave identical images out.
    """
    found = [evidence.modality.reduced(x) for x in evidence.arrays]
    reduced = [each for each in found if each is not None]
    if not reduced:
        return
    small = np.concatenate(reduced)
    telling = small.std(axis=(1, 2)) > 1e-3
    pictures, mirrored = _Pictures.of(small), _Pictures.of(small[:, :, ::-1])
    random = np.random.default_rng(0)
    for a, b in evidence.pairs():
        first, second = (np.flatnonzero((evidence.part == each) & telling) for each in (a, b))
        second = second[~np.isin(keys[second], keys[first])]
        if len(first) > MOST_ROWS:
            evidence.notes.append(
                f"near-identical images: {MOST_ROWS:,} of {len(first):,} {evidence.names[a]} "
                "images compared"
            )
            first = np.sort(random.choice(first, MOST_ROWS, replace=False))
        copies = _alike(pictures, mirrored, first, second) > 0
        if not copies.any():
            continue
        count, ordinary = int(copies.sum()), False
        if evidence.declared:
            some = first[random.permutation(len(first))[: len(second)]]
            others = _alike(pictures, mirrored, first, some, evidence.subject)
            usual = int((others > 0).sum())
            ordinary = bool(usual) and (
                float(np.median(others[others > 0])) >= SEVERAL
                or (usual <= SELDOM * len(some)
                    and not beyond_chance(count, len(second), usual, len(some)))
            )  # fmt: skip
        yield pair_finding(
            "near_duplicates", evidence, a, b, second[copies], "to the eye the same as",
            doubt=(
                f"different subjects look as alike within {evidence.names[a]}" if ordinary
                else FEW if hardly_any(count, len(second)) else ""
            ),
        )  # fmt: skip


class _Pictures(NamedTuple):
    """Images of mean 0 and length 1, so that products are correlations.

    Attributes:
        units: (n, pixels).
        low: (n, 80) of their lowest frequencies.
        hashes: (n,) uint64: which of 64 of these lie above their median.
    """

    units: np.ndarray
    low: np.ndarray
    hashes: np.ndarray

    @classmethod
    def of(cls, small: np.ndarray) -> _Pictures:
        from scipy.fft import dctn

        flat = small.reshape(len(small), -1)
        flat = flat - flat.mean(axis=1, keepdims=True)
        flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
        kept = FREQUENCIES + 1
        frequencies = dctn(flat.reshape(small.shape), axes=(1, 2), norm="ortho")
        low = frequencies[:, :kept, :kept].reshape(len(small), -1)[:, 1:]
        first = low[:, :64]
        bits = np.packbits(first > np.median(first, axis=1, keepdims=True), axis=1)
        padded = np.zeros((len(small), 8), dtype=np.uint8)
        padded[:, : bits.shape[1]] = bits
        return cls(flat, np.ascontiguousarray(low), padded.view(np.uint64)[:, 0])

    def take(self, rows: np.ndarray) -> _Pictures:
        return _Pictures(*(each[rows] for each in self))


def _alike(
    pictures: _Pictures,
    mirrored: _Pictures,
    first: np.ndarray,
    second: np.ndarray,
    subject: np.ndarray | None = None,
) -> np.ndarray:
    """(second,) how many rows of ``first`` look like each, as they are or mirrored.

    Args:
        pictures: All images.
        mirrored: The same, mirrored.
        first: Rows.
        second: Rows that are compared with them.
        subject: Of all images, where only those of different subjects are compared.
    """
    whose = None if subject is None else (subject[first], subject[second])
    kept = pictures.take(first)
    return sum(
        (_matches(kept, each.take(second), whose) for each in (pictures, mirrored)),
        start=np.zeros(len(second), dtype=np.int64),
    )


def _matches(
    first: _Pictures, second: _Pictures, whose: tuple[np.ndarray, np.ndarray] | None
) -> np.ndarray:
    """(second,) number of candidates by hash that also correlate.

    Vectors of length 1 that correlate with r lie sqrt(2 - 2 r) apart, and no projection of them
    lies further: a look at the low frequencies spares most pairs the one at every pixel.
    """
    found = np.zeros(len(second.hashes), dtype=np.int64)
    step = max(1, 20_000_000 // max(1, len(first.hashes)))
    for start in range(0, len(found), step):
        apart = np.bitwise_count(second.hashes[start : start + step, None] ^ first.hashes[None])
        mine, theirs = np.nonzero(apart <= BITS_APART)
        for begin in range(0, len(mine), 20_000):
            i, j = mine[begin : begin + 20_000] + start, theirs[begin : begin + 20_000]
            if whose is not None:
                other = whose[0][j] != whose[1][i]
                i, j = i[other], j[other]
            near = ((second.low[i] - first.low[j]) ** 2).sum(axis=1) <= 2 - 2 * ALIKE + 1e-4
            i, j = i[near], j[near]
            alike = np.einsum("np,np->n", second.units[i], first.units[j]) >= ALIKE
            np.add.at(found, i[alike], 1)
    return found

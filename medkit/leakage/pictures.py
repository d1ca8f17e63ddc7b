"""The same image twice, though resized, compressed, brightened or mirrored: perceptual hashes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from medkit.leakage.evidence import Evidence
from medkit.leakage.findings import Finding
from medkit.leakage.rows import pair_finding

FREQUENCIES = 8
BITS_APART = 8  # of 64
ALIKE = 0.98  # correlation of the reduced images
MOST_ROWS = 20_000


def near_images(evidence: Evidence, keys: np.ndarray) -> Iterator[Finding]:
    """Images of a later part that look the same as one of an earlier part.

    Candidates agree in all but 8 of the 64 bits of a perceptual hash (signs of the lowest
    frequencies of the cosine transform, against their median; Zauner, 2010); of those, copies
    correlate with 0.98 or more at 32 × 32 pixels, which images of different patients in the
    same position do not reach. Mirror images are compared too.

    Args:
        evidence: The rows.
        keys: (n,) hash of each row, to leave identical images out.
    """
    found = [evidence.modality.reduced(x) for x in evidence.arrays]
    pictures = [each for each in found if each is not None]
    if not pictures:
        return
    small = np.concatenate(pictures)
    telling = small.std(axis=(1, 2)) > 1e-3
    hashes, mirrored = _hashes(small), _hashes(small[:, :, ::-1])
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
        copies = np.zeros(len(second), dtype=bool)
        for codes, pixels in ((hashes, small), (mirrored, small[:, :, ::-1])):
            copies |= _alike(hashes[first], small[first], codes[second], pixels[second])
        if copies.any():
            relation = "look the same as"
            yield pair_finding("near_duplicates", evidence, a, b, second[copies], relation)


def _alike(
    first: np.ndarray, pixels: np.ndarray, second: np.ndarray, others: np.ndarray
) -> np.ndarray:
    """(second,) bool: rows with a candidate by hash that also correlates."""
    found = np.zeros(len(second), dtype=bool)
    step = max(1, 20_000_000 // max(1, len(first)))
    for start in range(0, len(second), step):
        rows = slice(start, start + step)
        apart = np.bitwise_count(second[rows, None] ^ first[None])
        mine, theirs = np.nonzero(apart <= BITS_APART)
        for begin in range(0, len(mine), 20_000):
            i, j = mine[begin : begin + 20_000] + start, theirs[begin : begin + 20_000]
            alike = (_centred(others[i]) * _centred(pixels[j])).sum(axis=1) >= ALIKE
            found[i[alike]] = True
    return found


def _hashes(small: np.ndarray) -> np.ndarray:
    """(n,) uint64: which of 64 low frequencies lie above their median (the mean left out)."""
    from scipy.fft import dctn

    kept = FREQUENCIES + 1
    low = dctn(small, axes=(1, 2), norm="ortho")[:, :kept, :kept].reshape(len(small), -1)[:, 1:65]
    bits = np.packbits(low > np.median(low, axis=1, keepdims=True), axis=1)
    padded = np.zeros((len(small), 8), dtype=np.uint8)
    padded[:, : bits.shape[1]] = bits
    return padded.view(np.uint64)[:, 0]


def _centred(small: np.ndarray) -> np.ndarray:
    """(n, pixels) of mean 0 and length 1, so that products are correlations."""
    flat = small.reshape(len(small), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)

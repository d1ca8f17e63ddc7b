"""Synthetic promoter sequences: motifs, given by position weight matrices, in random DNA."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field

from medkit.core.registry import datasets
from medkit.data.cohort import Cohort, RawInput
from medkit.datasets.synthetic.shared import (
    binary_scores,
    class_scores,
    drawn_cohort,
    sample_frame,
    subject_of_each,
)

Target = Literal["promoter", "element"]

LETTERS = np.array(list("ACGTN"))
BACKGROUND = np.array([0.28, 0.22, 0.22, 0.28])
CLASSES = ("none", "caat", "gc", "tata")
CHANCES = np.array([0.5, 0.1, 0.15, 0.25])
# Consensus of each element in IUPAC letters.
CONSENSUS = {"caat": "RRCCAATSA", "gc": "KGGGCGGRRY", "tata": "TATAWAAR"}
IUPAC = {"A": "A", "C": "C", "G": "G", "T": "T", "R": "AG", "Y": "CT", "S": "CG", "W": "AT",
         "K": "GT"}  # fmt: skip
FIDELITY = 0.94  # share of the consensus letters at each position
UNREAD = 0.01  # share of bases read as N
SPECIES = ("human", "mouse", "rat")
DISTANCE = 0.3  # share of bases that differ between a gene and its ancestor
LABELS = {
    "promoter": "1 if the sequence carries a promoter element",
    "element": "which promoter element the sequence carries",
}


class _Draw(NamedTuple):
    letters: np.ndarray
    gene: np.ndarray
    classes: np.ndarray


@datasets.register(
    yields="tokens",
    targets={"promoter": ("yes_no", "class"), "element": ("class",)},
    embedded=True,
    reader="sequences",
)
def synthetic_dna(
    *,
    samples: Annotated[int, Field(ge=20, le=200_000)] = 2000,
    seed: Annotated[int, Field(ge=0)] = 0,
    target: Target = "promoter",
    length: Annotated[int, Field(ge=20, le=2000)] = 60,
) -> Cohort:
    """Synthetic DNA: whether a sequence carries a promoter element, and which.

    Half of the sequences are random bases; the others hold one element, a TATA box, a CAAT box
    or a GC box, drawn letter by letter from a position weight matrix, at a random place within
    the middle third. One base in a hundred is unread (``N``). A gene (``subject``) has one to a
    few related sequences, of different species, that share most of their bases: rows divided
    at random would leak from train to test. Attribute: ``species``.

    Best reachable, by the true probabilities given the sequence (`best_score`, 60 bases):
    AUROC 0.98 and AUPRC 0.98 for promoter, accuracy 0.94 and macro AUROC 0.99 for element.

    Args:
        samples: Number of sequences.
        seed: Seed of the random numbers; the same seed gives the same sequences.
        target: What to predict: promoter (1 if there is an element) or element (none, caat, gc
            or tata).
        length: Number of bases of each sequence.

    Returns:
        A cohort with one ``tokens`` input: text of the letters A, C, G, T and N.
    """
    drawn = _draw(samples, seed, length)
    texts = ["".join(row) for row in LETTERS[drawn.letters]]
    starts = np.r_[True, drawn.gene[1:] != drawn.gene[:-1]]
    order = np.arange(samples) - np.flatnonzero(starts)[drawn.gene]
    species = np.array(SPECIES, dtype=object)[order % len(SPECIES)]
    frame = sample_frame("D", drawn.gene, who="G", species=species)
    inputs = {"tokens": RawInput("tokens", np.array(texts, dtype=object))}
    targets: np.ndarray = (drawn.classes > 0).astype(np.int64)
    if target == "element":
        targets = np.array(CLASSES, dtype=object)[drawn.classes]
    how = "drawn with seed {}; the subject is the gene"
    return drawn_cohort(frame, inputs, targets, (target,), LABELS[target], seed, how)


def best_score(
    *, samples: int = 20_000, seed: int = 0, target: Target = "promoter", length: int = 60
) -> dict[str, float]:
    """The score of the true probabilities given a sequence: nothing can do better.

    The probability of a sequence under an element is the mean over its places of the ratio of
    weight matrix and background; an unread base tells nothing.

    Returns:
        ``auroc``, ``auprc``, ``brier`` and ``log_loss`` for promoter; ``accuracy`` and
        ``auroc_macro`` for element.
    """
    drawn = _draw(samples, seed, length)
    weights = [np.full(samples, CHANCES[0])]
    for name, chance in zip(CLASSES[1:], CHANCES[1:], strict=True):
        matrix = np.hstack([weight_matrix(name) / BACKGROUND, np.ones((len(CONSENSUS[name]), 1))])
        starts = _starts(length, len(matrix))
        ratios = np.zeros(samples)
        for start in starts:
            window = drawn.letters[:, start : start + len(matrix)]
            ratios += matrix[np.arange(len(matrix)), window].prod(axis=1)
        weights.append(chance * ratios / len(starts))
    posterior = np.stack(weights, axis=1)
    posterior /= posterior.sum(axis=1, keepdims=True)
    if target == "promoter":
        return binary_scores(drawn.classes > 0, 1 - posterior[:, 0])
    return class_scores(drawn.classes, posterior)


def weight_matrix(element: str) -> np.ndarray:
    """Chance of A, C, G and T at each position of an element, (positions, 4)."""
    rows = []
    for letter in CONSENSUS[element]:
        meant = np.array([base in IUPAC[letter] for base in "ACGT"], dtype=float)
        rows.append(
            FIDELITY * meant / meant.sum() + (1 - FIDELITY) * (1 - meant) / (4 - meant.sum())
        )
    return np.array(rows)


def _starts(length: int, width: int) -> np.ndarray:
    return np.arange(length // 3, max(length // 3 + 1, 2 * length // 3 - width + 1))


def _draw(samples: int, seed: int, length: int) -> _Draw:
    random = np.random.default_rng(seed)
    gene = subject_of_each(random, samples, again=0.4)
    genes = int(gene[-1]) + 1
    classes = random.choice(len(CLASSES), size=genes, p=CHANCES)[gene]
    ancestor = random.choice(4, size=(genes, length), p=BACKGROUND)[gene]
    fresh = random.choice(4, size=(samples, length), p=BACKGROUND)
    letters = np.where(random.random((samples, length)) < DISTANCE, fresh, ancestor)
    for number, name in enumerate(CLASSES[1:], start=1):
        matrix = weight_matrix(name)
        rows = np.flatnonzero(classes == number)
        start = random.choice(_starts(length, len(matrix)), size=genes)[gene[rows]]
        drawn = random.random((len(rows), len(matrix), 1)) > matrix.cumsum(axis=1)
        columns = start[:, None] + np.arange(len(matrix))
        letters[rows[:, None], columns] = np.minimum(drawn.sum(axis=2), 3)
    letters[random.random(letters.shape) < UNREAD] = 4
    return _Draw(letters, gene, classes)

"""Resamples of patients: drawn with replacement within strata of the outcome, or left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from medkit.core.lazy import pd

# Weights held at once: 2 million doubles are 16 MB, and score() makes a few copies of them.
_WEIGHTS_AT_ONCE = 2_000_000
_LEFT_OUT = 200  # groups of subjects left out in turn; a group is one subject up to so many


def subject_codes(subjects: np.ndarray) -> np.ndarray:
    """(n,) numbers 0 … of the subjects in the order of their first row."""
    return np.asarray(pd.factorize(np.asarray(subjects))[0])


def outcome_strata(events: np.ndarray | None, codes: np.ndarray) -> np.ndarray | None:
    """(subjects,) stratum of each subject, by its outcome; None where there is nothing to divide.

    A subject's stratum is the rarest event (by rows) that any of its rows has, or none. A stratum
    of one subject would never vary, so that these join the largest stratum.

    Args:
        events: (n, events) as ``Task.events`` says; None: there are none.
        codes: (n,) subject number of each row.
    """
    if events is None or len(codes) == 0:
        return None
    rows = events.sum(axis=0)
    stratum = np.zeros(int(codes.max()) + 1, dtype=np.int64)
    for rank, column in enumerate(np.argsort(-rows, kind="stable"), start=1):
        stratum[codes[events[:, column]]] = rank  # the rarest comes last and stays
    return joined_singletons(stratum)


def joined_singletons(stratum: np.ndarray) -> np.ndarray | None:
    """Strata numbered 0 …, those of one subject put into the largest; None if one is left."""
    stratum, sizes = np.unique(stratum, return_inverse=True, return_counts=True)[1:]
    stratum = np.where(sizes[stratum] == 1, np.argmax(sizes), stratum)
    stratum = np.unique(stratum, return_inverse=True)[1]
    return stratum if stratum.max() > 0 else None


def resample_weights(
    codes: np.ndarray, resamples: int, seed: int, strata: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """How often each row occurs in each resample, in chunks of resamples.

    Subjects are drawn with replacement, and a subject's rows come and go together. The same
    codes, strata and seed give the same resamples, so that two models can be compared in pairs.

    Within each stratum as many subjects are drawn as it has, so that no resample loses an
    outcome. How large a share a stratum has is drawn too (multinomial, at least one subject) and
    its rows weighted to it: AUROC or sensitivity do not mind, but accuracy, precision or Brier
    score depend on the prevalence, which is no more certain than the rest. With fixed shares the
    Brier score of a constant prediction would have an interval of no width.

    Args:
        codes: (n,) subject number of each row.
        resamples: How many resamples in all.
        seed: Seed of the draws.
        strata: (subjects,) stratum number of each subject, 0 …; None: one stratum.

    Yields:
        (chunk, n) float weights; whole numbers without strata.
    """
    count = int(codes.max()) + 1
    strata = np.zeros(count, dtype=np.int64) if strata is None else strata
    members = [np.flatnonzero(strata == each) for each in range(int(strata.max()) + 1)]
    sizes = np.array([len(each) for each in members])
    # A stream for each stratum: what is drawn does not depend on the size of the chunks.
    streams = np.random.SeedSequence(seed).spawn(len(members) + 1)
    random, *each_random = (np.random.default_rng(stream) for stream in streams)
    chunk = max(1, _WEIGHTS_AT_ONCE // len(codes))
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        times = np.empty((size, count))
        if len(members) > 1:
            shares = np.maximum(random.multinomial(count, sizes / count, size=size), 1) / sizes
        else:
            shares = np.ones((size, 1))
        for index, (rows, draws) in enumerate(zip(members, each_random, strict=True)):
            times[:, rows] = _drawn(draws, len(rows), size) * shares[:, index : index + 1]
        yield times[:, codes]


def _drawn(random: np.random.Generator, count: int, size: int) -> np.ndarray:
    """(size, count) times each of ``count`` subjects is among ``count`` draws."""
    drawn = random.integers(0, count, size=(size, count))
    drawn += np.arange(size)[:, None] * count
    return np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)


@dataclass(frozen=True)
class Groups:
    """Groups of subjects that a jackknife leaves out in turn.

    Args:
        of_subject: (subjects,) group of each subject.
        stratum: (groups,) stratum of each group.
        sizes: (strata,) subjects in each stratum.
    """

    of_subject: np.ndarray
    stratum: np.ndarray
    sizes: np.ndarray

    def weights(self, codes: np.ndarray) -> Iterator[np.ndarray]:
        """(chunk, n) weights 1, and 0 for the rows of the group that is left out."""
        of_row, count = self.of_subject[codes], len(self.stratum)
        chunk = max(1, _WEIGHTS_AT_ONCE // len(codes))
        for start in range(0, count, chunk):
            groups = np.arange(start, min(start + chunk, count))[:, None]
            yield (of_row != groups).astype(float)


def left_out_groups(codes: np.ndarray, seed: int, strata: np.ndarray | None = None) -> Groups:
    """Subjects one by one, or at random in some 200 groups where there are more, by stratum."""
    count = int(codes.max()) + 1
    strata = np.zeros(count, dtype=np.int64) if strata is None else strata
    sizes = np.bincount(strata)
    most = _LEFT_OUT if count <= _LEFT_OUT else max(10, _LEFT_OUT // len(sizes))
    random = np.random.default_rng(seed)
    of_subject = np.empty(count, dtype=np.int64)
    stratum: list[int] = []
    for index, size in enumerate(sizes):
        groups = min(int(size), most)
        of_subject[strata == index] = len(stratum) + random.permutation(size) % groups
        stratum += [index] * groups
    return Groups(of_subject, np.array(stratum), sizes)

"""Hyper-parameters by inner cross-validation on the training rows, grouped by subject."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from medkit.data.splits.strata import outcome_strata
from medkit.evaluation.baselines.boosting import Boosting
from medkit.evaluation.baselines.learned import Known, Output
from medkit.evaluation.baselines.linear import Linear
from medkit.evaluation.resampling.resampling import subject_codes

_FOLDS, _FOLDS_IF_LARGE = 5, 3
# Values (rows × features × outputs) above which there are fewer folds and choices, and above which
# only some of the subjects are searched on: every training run pays for this.
_LARGE = 100_000
_MOST = 500_000
_FEWEST_ROWS = 1_000
_THREADED = 5_000_000  # values that are worth more than one thread
# A kind of model with choices to make, such as the strength of a penalty.
Family = Linear | Boosting


def inner_folds(
    y: np.ndarray, subjects: np.ndarray, folds: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Positions of (fitted, held-out) rows of each fold; no subject is in both.

    Subjects are dealt to the folds stratified by outcome. There are as many folds as the second
    most common stratum has subjects, and ``folds`` at most; none where that leaves fewer than 2.

    Args:
        y: (n, …) encoded targets.
        subjects: (n,) subject of each row.
        folds: How many folds are asked for.
        seed: Seed of the deal.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    codes = subject_codes(subjects)
    count = int(codes.max()) + 1
    strata = outcome_strata(np.asarray(y), codes, count)
    sizes = np.sort(np.bincount(strata))[::-1]
    sizes = sizes[sizes > 0]
    folds = min(folds, int(sizes[1]) if len(sizes) > 1 else count)
    if folds < 2:
        return []
    dealt: Any = StratifiedKFold if sizes[0] >= folds and len(sizes) > 1 else KFold
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # strata with fewer subjects than folds
        parts = list(dealt(folds, shuffle=True, random_state=seed).split(strata, strata))
    return [
        (np.flatnonzero(np.isin(codes, fitted)), np.flatnonzero(np.isin(codes, held)))
        for fitted, held in parts
    ]


def search(
    family: Family,
    outputs: Sequence[Output],
    x: np.ndarray,
    y: np.ndarray,
    subjects: np.ndarray,
    seed: int,
) -> dict[str, Any]:
    """Choose hyper-parameters by their mean loss on the held-out rows of the inner folds.

    One choice for all outputs: each output's loss is taken relative to that of predicting its
    average, so that units do not matter.

    Args:
        family: The kind of model and its choices.
        outputs: What each column of ``y`` is.
        x: (n, features) features with NaN for missing.
        y: (n, outputs) targets.
        subjects: (n,) subject of each row.
        seed: Seed of the folds and of the subjects searched on.

    Returns:
        ``hyper_parameters``, the choice; ``inner_folds`` (0: none could be made), ``candidates``,
        ``search_rows``, ``inner_loss`` (held-out loss of the choice relative to that of predicting
        the average: 1 is no better; None without folds) and, where the search was cut short,
        ``note``.
    """
    width = x.shape[1] * sum(family.cost(each) for each in outputs)
    large = len(x) * width > _LARGE
    rows = _searched(width, subjects, seed)
    folds = inner_folds(y[rows], subjects[rows], _FOLDS_IF_LARGE if large else _FOLDS, seed)
    choices = family.choices(large)
    facts: dict[str, Any] = {
        "inner_folds": len(folds),
        "candidates": len(choices),
        "search_rows": len(rows),
    }
    if not folds:
        note = "too few subjects with each outcome for inner cross-validation: default settings"
        choice = {"hyper_parameters": dict(family.default)}
        return {**choice, **facts, "inner_loss": None, "note": note}
    losses = np.zeros((len(outputs), len(choices)))
    average = np.zeros((len(outputs), 1))
    with threads(x[rows]):
        for fitted, held in folds:
            for i, output in enumerate(outputs):
                own, other = (Known(x[rows[of]], y[rows[of], i]) for of in (fitted, held))
                average[i] += output.loss(other.y, output.average(own.y)(other.x))
                if len(np.unique(own.y)) > 1:  # of one class alone nothing can be learned
                    losses[i] += family.losses(output, own, other, large)
    relative = (losses / np.where(average > 0, average, 1)).mean(axis=0)
    best = int(np.argmin(relative))
    facts["inner_loss"] = float(relative[best])
    if len(rows) < len(x):
        facts["note"] = f"hyper-parameters chosen on {len(rows)} of {len(x)} training rows"
    return {"hyper_parameters": dict(choices[best]), **facts}


def _searched(width: int, subjects: np.ndarray, seed: int) -> np.ndarray:
    """Rows to search on: all, or those of as many subjects at random as the budget allows."""
    most = max(_FEWEST_ROWS, _MOST // max(width, 1))
    if len(subjects) <= most:
        return np.arange(len(subjects))
    codes = subject_codes(subjects)
    order = np.random.default_rng(seed).permutation(int(codes.max()) + 1)
    rows = np.bincount(codes)[order]
    taken = order[: max(1, int(np.searchsorted(np.cumsum(rows), most, side="right")))]
    return np.flatnonzero(np.isin(codes, taken))


def threads(x: np.ndarray) -> contextlib.AbstractContextManager[Any]:
    """How many threads may work on (n, features) values: one, or all where there are many."""
    # On small data the threads of OpenMP mostly wait for one another: where the cores are shared,
    # one thread was measured 7 to 30 times faster.
    if x.size > _THREADED:
        return contextlib.nullcontext()
    import sklearn.ensemble  # noqa: F401 - only libraries already loaded are limited
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1)

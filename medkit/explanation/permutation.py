"""Global importance: how much worse the network does when one feature is shuffled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from medkit.evaluation.resampling.intervals import interval, plain
from medkit.evaluation.resampling.resampling import outcome_strata, resample_weights, subject_codes
from medkit.explanation.groups import UNSEEN, Group, Predict, groups_of

if TYPE_CHECKING:
    from medkit.config.experiment import Evaluation

# What bounds the cost, the same on every machine: a clock would give other numbers each time.
_ROWS = 1000
_FEATURES = 200
_NUMBERS = {"tabular": 60_000_000, "series": 80_000_000, "image": 10_000_000, "tokens": 1_200_000,
            "triplets": 15_000_000}  # fmt: skip
_BYTES = 64 * 2**20  # of changed copies in one call of predict
_RESAMPLES, _WEIGHINGS = 200, 10_000_000
_TYPES = 30  # of tokens


def permutation_importance(
    predict: Predict,
    task: Any,
    x: np.ndarray,
    y: np.ndarray,
    modality: Any,
    subjects: np.ndarray,
    threshold: Any,
    settings: Evaluation,
    seed: int,
    repeats: int = 5,
    outputs: np.ndarray | None = None,
) -> dict[str, Any]:
    """How much worse the main metric gets when one feature is permuted among the samples.

    ``importance(j) = mean over r of [s(y, f(x)) - s(y, f(x with feature j permuted))]``, with
    the sign turned for errors, so that positive always means that the network uses the feature
    (Breiman, Random forests, Machine Learning 45, 2001; Fisher, Rudin and Dominici, All models
    are wrong, but many are useful, JMLR 20, 2019). Correlated features share their importance:
    what one loses the other still tells.

    A feature moves as a whole: a category with all its one-hot columns, a channel with its time
    course and its gaps, a variable with its events, a block of pixels, a band of positions. Where
    sequences are not aligned, positions mean nothing: each of the most common tokens is made unseen
    wherever it stands (erasure: Li, Monroe and Jurafsky, arXiv:1612.08220, 2016), which needs no
    repetition.

    The interval is that of the mean over permutations when subjects are resampled, in the same
    resamples with and without permutation. A permuted row counts as often as both who it is and
    who lent it the feature are drawn: the importance is a mean over pairs of patients
    (a U-statistic), and lenders left as they are would hide half of its uncertainty. ``sd`` is
    the spread between permutations of the same rows.

    Args:
        predict: (m, …) encoded samples -> (m, outputs); called a few times with many rows.
        task: The fitted task.
        x: (n, …) encoded samples of the test part.
        y: (n, …) their encoded targets.
        modality: The fitted modality.
        subjects: (n,) subject of each row.
        threshold: Operating point of the task.
        settings: ``bootstrap`` and ``confidence``.
        seed: Seed of the permutations, the resamples and the rows taken.
        repeats: Permutations of each feature, fewer where that would take too long.
        outputs: (n, outputs) ``predict(x)`` where it is known already.

    Returns:
        ``metrics["explanations"]["importance"]`` of the package's docstring.
    """
    random = np.random.default_rng(seed)
    outputs = np.asarray(predict(x) if outputs is None else outputs, float)
    groups, erased = _features(modality, x)
    notes = []
    if len(groups) > _FEATURES:
        notes.append(
            f"The {_FEATURES} of {len(groups)} features whose values go most with the output."
        )
        groups = _most_associated(outputs, x, groups)
    per_row = int(np.prod(x.shape[1:])) * max(len(groups), 1)
    rows_at_once = _NUMBERS[modality.modality] // per_row
    repeats = 1 if erased else max(min(repeats, rows_at_once // max(min(len(x), _ROWS), 1)), 2)
    if len(x) > (most := max(min(_ROWS, rows_at_once // repeats), 50)):
        notes.append(f"A random {most:,} of {len(x):,} rows, to bound the time.")
        rows = np.sort(random.choice(len(x), most, replace=False))
        x, y, outputs, subjects = x[rows], y[rows], outputs[rows], np.asarray(subjects)[rows]
    weights = _weights(task, y, subjects, settings.bootstrap, len(groups) * repeats, seed)
    plain_scores = task.score(y, outputs, threshold, weights=weights)
    metric = task.leading
    result: dict[str, Any] = {
        "metric": metric,
        "value": plain_scores[metric][0],
        "rows": len(x),
        "repeats": repeats,
        "resamples": len(weights) - 1,
        "confidence": settings.confidence,
        "method": "erasure" if erased else "permutation",
        "features": [],
    }
    if not np.isfinite(result["value"]):
        notes = [f"Not estimable: {task.metric(metric).label} is undefined on these rows."]
    elif not groups:
        notes = ["Not estimable: no feature to permute."]
    else:
        sign = task.metric(metric).sign
        copies = _erased(x, groups) if erased else _permuted(x, groups, repeats, random)
        scores = np.array(
            [
                task.score(y, p, threshold, weights=weights * weights[:, donors])[metric]
                if donors is not None
                else task.score(y, p, threshold, weights=weights)[metric]
                for donors, p in _predicted(predict, copies, x, len(groups) * repeats)
            ]
        ).reshape(len(groups), repeats, len(weights))
        losses = sign * (plain_scores[metric] - scores)
        result["features"] = _described(groups, losses, settings.confidence)
    return plain({**result, **({"note": " ".join(notes)} if notes else {})})


def _described(groups: list[Group], losses: np.ndarray, confidence: float) -> list[dict[str, Any]]:
    """Losses (groups, repeats, 1 + resamples) as one entry each, the largest first."""
    found = []
    for group, each in zip(groups, losses, strict=True):
        bounds = interval(each[:, 1:].mean(axis=0), confidence)
        found.append(
            {
                "name": group.name,
                "unit": group.unit,
                "mean": each[:, 0].mean(),
                "sd": each[:, 0].std(ddof=1) if len(each) > 1 else None,
                "low": bounds["low"],
                "high": bounds["high"],
            }
        )
    # Rounding differs between backends and batch sizes: equal to 12 digits is equal.
    return sorted(found, key=lambda feature: -round(feature["mean"], 12))


def _weights(
    task: Any, y: np.ndarray, subjects: np.ndarray, bootstrap: int, copies: int, seed: int
) -> np.ndarray:
    """(1 + resamples, n): the rows as they are, then how often each is drawn."""
    codes = subject_codes(subjects)
    ones = np.ones((1, len(codes)))
    if codes.max() == 0 or bootstrap == 0:
        return ones
    affordable = _WEIGHINGS // (copies * len(codes) * task.num_outputs + 1)
    resamples = min(bootstrap, _RESAMPLES, max(50, affordable))
    strata = outcome_strata(task.events(y), codes)
    return np.concatenate([ones, *resample_weights(codes, resamples, seed, strata)])


def _features(modality: Any, x: np.ndarray) -> tuple[list[Group], bool]:
    """The features, and whether they are token types to be erased."""
    if modality.modality != "tokens" or modality.aligned_:
        return groups_of(modality, x.shape[1:]), False
    present = [(np.any(x == code, axis=1).sum(), code) for code in np.unique(x) if code > UNSEEN]
    common = sorted(present, key=lambda each: (-each[0], each[1]))[:_TYPES]
    words = modality.vocabulary_
    return [Group(str(words[code - UNSEEN - 1]), None, (int(code),)) for _, code in common], True


def _most_associated(outputs: np.ndarray, x: np.ndarray, groups: list[Group]) -> list[Group]:
    """The features whose rank correlates most with an output, in their own order.

    It costs no prediction, where a permutation costs one for each row.
    """
    from scipy.stats import rankdata

    p = rankdata(outputs, axis=0)
    p = (p - p.mean(0)) / np.maximum(p.std(0), 1e-12)
    strength = []
    for group in groups:
        part = group.of(x).reshape(len(x), -1)
        seen = ~np.isnan(part)
        level = np.where(seen, part, 0.0).sum(1) / np.maximum(seen.sum(1), 1)
        known = seen.any(1)
        usual = level[known].mean() if known.any() else 0.0
        ranks = rankdata(np.where(known, level, usual))
        ranks = (ranks - ranks.mean()) / max(ranks.std(), 1e-12)
        strength.append(np.abs(ranks @ p / len(x)).max())
    chosen = np.sort(np.argsort(-np.array(strength), kind="stable")[:_FEATURES])
    return [groups[i] for i in chosen]


# Rows that lend the feature (None: nobody), and the changed copy of all rows.
Change = tuple[np.ndarray | None, np.ndarray]


def _permuted(
    x: np.ndarray, groups: list[Group], repeats: int, random: np.random.Generator
) -> Iterator[Change]:
    for group in groups:
        for _ in range(repeats):
            donors = random.permutation(len(x))
            yield donors, group.lent(x, x[donors])


def _erased(x: np.ndarray, groups: list[Group]) -> Iterator[Change]:
    for group in groups:
        yield None, np.where(x == group.where[0], UNSEEN, x).astype(x.dtype, copy=False)


def _predicted(
    predict: Predict, changes: Iterator[Change], x: np.ndarray, count: int
) -> Iterator[tuple[np.ndarray | None, np.ndarray]]:
    """Who lent, and (n, outputs) of each changed copy; many copies go through one call."""
    size = max(1, min(count, _BYTES // max(x.nbytes, 1)))
    held: list[Change] = []
    for number, change in enumerate(changes, start=1):
        held.append(change)
        if len(held) == size or number == count:
            outputs = np.asarray(predict(np.concatenate([each for _, each in held])), float)
            outputs = outputs.reshape(len(held), len(x), -1)
            yield from zip([lent for lent, _ in held], outputs, strict=True)
            held = []

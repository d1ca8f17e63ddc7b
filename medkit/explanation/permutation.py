"""Global importance: how much worse the network does when one feature is shuffled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from medkit.data.inputs import presence_name
from medkit.evaluation.resampling.intervals import confidence_interval, plain
from medkit.evaluation.resampling.resampling import outcome_strata, resample_weights, subject_codes
from medkit.explanation.predict import Predict
from medkit.modalities.groups import FeatureGroup
from medkit.tasks.task import Task

if TYPE_CHECKING:
    from medkit.config.experiment import Evaluation
    from medkit.data.inputs import Inputs
    from medkit.modalities.encoder import Encoder

# What bounds the cost, the same on every machine: a clock would give other numbers each time.
_ROWS = 1000
_FEATURES = 200
_BYTES = 64 * 2**20  # of changed copies in one call of predict
_RESAMPLES, _WEIGHINGS = 200, 10_000_000


def permutation_importance(
    predict: Predict,
    task: Task,
    inputs: Inputs,
    y: np.ndarray,
    encoder: Encoder,
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
        predict: m encoded samples -> (m, outputs); called a few times with many rows.
        task: The fitted task.
        inputs: n encoded samples of the test part.
        y: (n, …) their encoded targets.
        encoder: The fitted encoder.
        subjects: (n,) subject of each row.
        threshold: Operating point of the task.
        settings: ``bootstrap`` and ``confidence``.
        seed: Seed of the permutations, the resamples and the rows taken.
        repeats: Permutations of each feature, fewer where that would take too long.
        outputs: (n, outputs) ``predict(inputs)`` where it is known already.

    Returns:
        ``metrics["explanations"]["importance"]`` of the package's docstring.
    """
    random = np.random.default_rng(seed)
    outputs = np.asarray(predict(inputs) if outputs is None else outputs, float)
    groups = _features(encoder, inputs)
    notes = []
    if len(groups) > _FEATURES:
        notes.append(
            f"The {_FEATURES} of {len(groups)} features whose values go most with the output."
        )
        groups = _most_associated(outputs, inputs, groups)
    row_cost = sum(
        Fraction(int(np.prod(inputs[name].shape[1:])), each.numbers_at_once)
        for name, each in encoder.modalities.items()
    )
    affordable = int(1 / (row_cost * max(len(groups), 1)))
    repeats = max(min(repeats, affordable // max(min(len(inputs), _ROWS), 1)), 2)
    repeats = 1 if groups and not any(each.group.lendable for each in groups) else repeats
    if len(inputs) > (most := max(min(_ROWS, affordable // repeats), 50)):
        notes.append(f"A random {most:,} of {len(inputs):,} rows, to bound the time.")
        rows = np.sort(random.choice(len(inputs), most, replace=False))
        y, outputs, subjects = y[rows], outputs[rows], np.asarray(subjects)[rows]
        inputs = inputs.take(rows)
    weights = _weights(task, y, subjects, settings.bootstrap, len(groups) * repeats, seed)
    plain_scores = task.score(y, outputs, threshold, weights=weights)
    metric = task.leading
    result: dict[str, Any] = {
        "metric": metric,
        "value": plain_scores[metric][0],
        "rows": len(inputs),
        "repeats": repeats,
        "resamples": len(weights) - 1,
        "confidence": settings.confidence,
        "method": "erasure" if groups and not groups[0].group.lendable else "permutation",
        "features": [],
    }
    if not np.isfinite(result["value"]):
        notes = [f"Not estimable: {task.metric(metric).label} is undefined on these rows."]
    elif not groups:
        notes = ["Not estimable: no feature to permute."]
    else:
        sign = task.metric(metric).sign
        copies = [each for each in groups for _ in range(repeats if each.group.lendable else 1)]
        scores: dict[int, list[np.ndarray]] = {}
        for tried, donors, p in _predicted(predict, encoder, copies, inputs, random):
            drawn = weights if donors is None else weights * weights[:, donors]
            scores.setdefault(id(tried), []).append(
                task.score(y, p, threshold, weights=drawn)[metric]
            )
        losses = [sign * (plain_scores[metric] - np.array(scores[id(each)])) for each in groups]
        result["features"] = _described(groups, losses, settings.confidence)
    return plain({**result, **({"note": " ".join(notes)} if notes else {})})


def _described(
    groups: Sequence[Tried], losses: Sequence[np.ndarray], confidence: float
) -> list[dict[str, Any]]:
    """Losses (repeats, 1 + resamples) of each group as one entry, the largest first."""
    found = []
    for group, each in zip(groups, losses, strict=True):
        bounds = confidence_interval(each[:, 1:].mean(axis=0), confidence)
        found.append(
            {
                "name": group.group.name,
                "unit": group.group.unit,
                "mean": each[:, 0].mean(),
                "sd": each[:, 0].std(ddof=1) if len(each) > 1 else None,
                "low": bounds["low"],
                "high": bounds["high"],
            }
        )
    # Rounding differs between backends and batch sizes: equal to 12 digits is equal.
    return sorted(found, key=lambda feature: -round(feature["mean"], 12))


def _weights(
    task: Task, y: np.ndarray, subjects: np.ndarray, bootstrap: int, copies: int, seed: int
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


class Tried(NamedTuple):
    """A feature, and of which input it is."""

    input: str
    group: FeatureGroup


def _features(encoder: Encoder, inputs: Inputs) -> list[Tried]:
    """The features of all inputs; named by their input where that is needed to know them."""
    found = []
    for name, modality in encoder.modalities.items():
        unnamed = len(encoder.modalities) > 1 and not modality.features
        for group in modality.ranked_groups(np.asarray(inputs[name])):
            called = f"{name} {group.name}" if unnamed else group.name
            found.append(Tried(name, replace(group, name=called)))
    known = [feature.name for feature in encoder.features]
    if len(known) == len(found):  # distinguished as they are everywhere
        found = [
            t._replace(group=replace(t.group, name=name))
            for t, name in zip(found, known, strict=True)
        ]
    return found


def _most_associated(outputs: np.ndarray, inputs: Inputs, groups: list[Tried]) -> list[Tried]:
    """The features whose rank correlates most with an output, in their own order.

    It costs no prediction, where a permutation costs one for each row.
    """
    from scipy.stats import rankdata

    p = rankdata(outputs, axis=0)
    p = (p - p.mean(0)) / np.maximum(p.std(0), 1e-12)
    arrays = {name: np.asarray(inputs[name]) for name in inputs}
    strength = []
    for source, group in groups:
        x = arrays[source]
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


def _predicted(
    predict: Predict,
    encoder: Encoder,
    tries: Sequence[Tried],
    inputs: Inputs,
    random: np.random.Generator,
) -> Iterator[tuple[Tried, np.ndarray | None, np.ndarray]]:
    """Each try, the rows that lent the feature (None: nobody), and (n, outputs) of its changed
    copy of all rows; many copies go through one call."""
    count = len(inputs)
    size = max(1, min(len(tries), _BYTES // max(inputs.nbytes, 1)))
    for start in range(0, len(tries), size):
        some = tries[start : start + size]
        together = inputs.take(np.tile(np.arange(count), len(some)))
        changed = {name for each in some for name in (each.input, presence_name(each.input))}
        arrays = {name: np.array(together[name]) for name in changed & {*inputs}}
        donors: list[np.ndarray | None] = []
        for number, (source, group) in enumerate(some):
            rows = slice(number * count, (number + 1) * count)
            x = arrays[source][rows]
            lent = random.permutation(count) if group.lendable else None
            donors.append(lent)
            if lent is None:
                encoder.modalities[source].hide(x, group)
            else:
                arrays[source][rows] = group.lent(x, x[lent])
                if (present := presence_name(source)) in arrays:
                    # What a lender lacks stays missing; it is not a value.
                    arrays[present][rows] = arrays[present][rows][lent]
        for source, array in arrays.items():
            together = together.replaced(source, array)
        outputs = np.asarray(predict(together), float).reshape(len(some), count, -1)
        yield from zip(some, donors, outputs, strict=True)

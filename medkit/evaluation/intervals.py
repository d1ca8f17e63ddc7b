"""Bootstrap intervals that resample patients, not rows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from medkit.evaluation.proportions import denominators, wilson
from medkit.lazy import pd

if TYPE_CHECKING:
    from medkit.config import Evaluation

# Weights held at once: 2 million doubles are 16 MB, and score() makes a few copies of them.
_WEIGHTS_AT_ONCE = 2_000_000
_SAME = 1e-12  # resampled values closer than this differ by rounding only


def subject_codes(subjects: np.ndarray) -> np.ndarray:
    """(n,) numbers 0 … of the subjects in the order of their first row."""
    return np.asarray(pd.factorize(np.asarray(subjects))[0])


def resample_weights(codes: np.ndarray, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each row occurs in each resample, in chunks of resamples.

    Subjects are drawn with replacement, and a subject's rows come and go together. The same
    codes and seed give the same resamples, so that two models can be compared in pairs.

    Args:
        codes: (n,) subject number of each row.
        resamples: How many resamples in all.
        seed: Seed of the draws.

    Yields:
        (chunk, n) float weights.
    """
    random = np.random.default_rng(seed)
    count = int(codes.max()) + 1
    chunk = max(1, _WEIGHTS_AT_ONCE // len(codes))
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        drawn = random.integers(0, count, size=(size, count))
        drawn += np.arange(size)[:, None] * count
        times = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        yield times[:, codes].astype(float)


def resampled_scores(
    task: Any,
    y: np.ndarray,
    p: np.ndarray,
    threshold: Any,
    subjects: np.ndarray,
    resamples: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """Every metric in every resample of the subjects: metric -> (resamples,), NaN if undefined.

    A percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993) over
    clusters: rows of one patient are not independent, so whole patients are drawn (Field and
    Welsh, Bootstrapping clustered data, J. R. Stat. Soc. B 69, 2007).

    Args:
        task: The task; its ``score`` takes (B, n) weights.
        y: (n, …) encoded targets.
        p: (n, outputs) the model's outputs.
        threshold: Operating point of the task.
        subjects: (n,) subject of each row.
        resamples: Number of resamples.
        seed: Seed of the draws.
    """
    codes = subject_codes(subjects)
    if resamples == 0 or codes.max() == 0:
        return {}
    collected: dict[str, list[np.ndarray]] = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        for weights in resample_weights(codes, resamples, seed):
            for name, values in task.score(y, p, threshold, weights=weights).items():
                filled = np.broadcast_to(np.asarray(values, dtype=float), len(weights))
                collected.setdefault(name, []).append(filled)
    return {name: np.concatenate(chunks) for name, chunks in collected.items()}


def interval(replicates: np.ndarray | None, confidence: float) -> dict[str, Any]:
    """Percentile interval: ``low``, ``high``, and ``undefined`` if many resamples had no value.

    Resamples in which the metric is undefined (one class only, say) are left out. More than one
    in a hundred of them is reported; with more than half of them there is no interval. Where all
    resamples have one value (an AUROC of 1, say), ``degenerate`` is true: the bootstrap cannot
    tell how far the number would move.
    """
    if replicates is None or len(replicates) == 0:
        return {"low": None, "high": None}
    defined = replicates[np.isfinite(replicates)]
    undefined = len(replicates) - len(defined)
    found: dict[str, Any] = {"low": None, "high": None}
    if len(defined) * 2 >= len(replicates):
        tail = (1 - confidence) / 2
        low, high = np.quantile(defined, [tail, 1 - tail])
        found = {"low": float(low), "high": float(high)}
        if np.ptp(defined) < _SAME:
            found["degenerate"] = True
    if undefined * 100 > len(replicates):
        found["undefined"] = int(undefined)
    return found


def _with_wilson(
    metrics: dict[str, dict[str, Any]], counts: dict[str, int], confidence: float
) -> dict[str, dict[str, Any]]:
    """Degenerate intervals of proportions of 0 or 1 replaced by Wilson's, ``method: wilson``."""
    for name, found in metrics.items():
        value = float(found["value"])
        if found.get("degenerate") and value in (0.0, 1.0) and counts.get(name, 0) > 0:
            found["low"], found["high"] = wilson(value, counts[name], confidence)
            found["method"] = "wilson"
            del found["degenerate"]
    return metrics


def measure(
    task: Any,
    y: np.ndarray,
    p: np.ndarray,
    subjects: np.ndarray,
    threshold: Any,
    settings: Evaluation,
    seed: int,
    resamples: int | None = None,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What ``evaluate_part`` returns, and the resampled scores behind it.

    ``resamples`` takes the place of ``settings.bootstrap`` where given. A proportion of 0 or 1
    that all resamples share has Wilson's interval instead, on the number of subjects in its
    denominator.
    """
    resamples = settings.bootstrap if resamples is None else resamples
    values = task.score(y, p, threshold)
    replicates = resampled_scores(task, y, p, threshold, subjects, resamples, seed)
    metrics = {
        name: {"value": value, **interval(replicates.get(name), settings.confidence)}
        for name, value in values.items()
    }
    if any(found.get("degenerate") for found in metrics.values()):
        codes = subject_codes(subjects)
        counts = denominators(task, np.asarray(y), np.asarray(p), threshold, codes)
        metrics = _with_wilson(metrics, counts, settings.confidence)
    described = {
        "n": len(y),
        "subjects": int(subject_codes(subjects).max()) + 1,
        "positives": task.positives(y),
        "metrics": metrics,
        "threshold": threshold,
    }
    return plain(described), replicates


def plain(value: Any) -> Any:
    """Numbers and containers as JSON has them: no numpy types, null for NaN and infinities."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value

"""``crossval.json``: every fold, the spread between them, and all predictions together.

::

    {"scheme": {"kind": "grouped k-fold", "folds": 5, "repeats": 2, "notes": ["…"]},
     "name": "…", "dataset": "…", "model": "mlp", "task": "binary", "main": "auroc",
     "labels": {"auroc": "AUROC", …},
     "confidence": 0.95,
     "data_sha256": {file: hash},
     "folds": [{"name": "…", "repeat": 1, "fold": 2, "site": None, "seed": 7,
                "train": 550, "valid": 98, "n": 162, "subjects": 162, "positives": 71,
                "threshold": 0.41, "metrics": {"auroc": {value, low, high, …}, …},
                "baselines": {"logistic_regression": {"auroc": 0.83, …}}}, …],
     "summary": {"auroc": {"mean", "sd", "min", "max", "folds"[, "note"]}, …},
     "pooled": {"n", "subjects", "positives", "metrics": {"auroc": {value, low, high}}, "note",
                "calibration": {…} of the first repeat, as ``calibration_of`` returns it},
     "baselines": {"logistic_regression": {
         "summary": {…},
         "pooled": {…, "differences": {"auroc": {"value", "low", "high", "p"}}},
         "differences": {"auroc": {"mean": 0.01, "sd": 0.02, "test": {…}}}}}}

``sd`` is the standard deviation between all folds of all repeats. A difference is network minus
baseline, fold by fold; its ``test`` is the corrected resampled t-test. That of ``pooled`` is of all
predictions together, with a paired interval over the subjects; ``pooled`` is
``{"not_estimable": reason}`` where they cannot be put together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medkit.config.experiment import Experiment
from medkit.evaluation.calibration.calibration import calibration_of
from medkit.evaluation.resampling.intervals import plain
from medkit.evaluation.resampling.paired import corrected_resampled_t
from medkit.runs.run import Run
from medkit.workflows.crossval.plan import Fold, FoldPlan
from medkit.workflows.crossval.pooled import (
    Pooled,
    Scored,
    pooled_differences,
    pooled_metrics,
    pooled_scores,
)

_POOLED_NOTE = (
    "predictions of different models put together: their ranking also depends on how alike the "
    "folds' models are calibrated; the mean over the folds is the estimate of one model"
)
_NOT_KEPT = "the folds' runs do not keep this baseline's predictions"


def summarize(
    experiment: Experiment,
    plan: FoldPlan,
    folds: Sequence[tuple[Fold, Run]],
    pooled: Pooled | str,
    data_sha256: dict[str, str],
) -> dict[str, Any]:
    """The content of ``crossval.json``; the same config, data and seed give the same content."""
    described = [_fold(fold, run) for fold, run in folds]
    scheme = {"kind": plan.scheme, "folds": plan.folds, "repeats": plan.repeats}
    notes = [*plan.notes, *_shared_notes(folds)]
    task, confidence = folds[0][1].task, experiment.evaluation.confidence
    own = [_values(each["metrics"]) for each in described]
    scored = _scored(pooled, experiment)
    found: dict[str, Any] = {
        "scheme": {**scheme, "notes": notes},
        "name": experiment.name,
        "dataset": experiment.dataset.name,
        "model": experiment.model.name,
        "task": experiment.task.name,
        "main": task.leading,
        "labels": {name: task.metric(name).label for name in own[0]},
        "confidence": confidence,
        "data_sha256": data_sha256,
        "folds": described,
        "summary": spread(own),
        "pooled": _pooled(pooled, scored, "network", experiment),
        "baselines": {},
    }
    # Weights come from the training rows alone: validation rows only stop the training. Counting
    # them too would make the test less strict.
    sizes = [(each["train"], each["n"]) for each in described]
    for name in described[0]["baselines"]:
        theirs = [each["baselines"].get(name, {}) for each in described]
        found["baselines"][name] = {
            "summary": spread(theirs),
            "pooled": _pooled(pooled, scored, name, experiment),
            "differences": {
                metric: _difference(own, theirs, metric, sizes, confidence) for metric in own[0]
            },
        }
    return plain(found)


def _fold(fold: Fold, run: Run) -> dict[str, Any]:
    test = run.metrics["test"]
    baselines = run.metrics.get("baselines", {})
    return {
        "name": fold.name,
        "repeat": fold.repeat,
        "fold": fold.fold,
        "site": fold.site,
        "seed": fold.seed,
        "train": run.metrics["train"]["n"],
        "valid": run.metrics["valid"]["n"],
        **{key: test[key] for key in ("n", "subjects", "positives", "threshold", "metrics")},
        "baselines": {name: _values(each["metrics"]) for name, each in baselines.items()},
    }


def _values(metrics: dict[str, Any]) -> dict[str, float | None]:
    return {name: found["value"] for name, found in metrics.items()}


def _shared_notes(folds: Sequence[tuple[Fold, Run]]) -> list[str]:
    """What every fold's run says of its split."""
    notes_of_folds = [run.metrics.get("flow", {}).get("notes", []) for _, run in folds]
    return [note for note in notes_of_folds[0] if all(note in each for each in notes_of_folds)]


def spread(values: Sequence[dict[str, float | None]]) -> dict[str, dict[str, Any]]:
    """Mean, standard deviation (n - 1), smallest and largest value of each metric over folds.

    Folds where a metric is undefined are left out and said; with one fold left there is no
    standard deviation.
    """
    found = {}
    for metric in values[0]:
        known = np.array([v[metric] for v in values if v.get(metric) is not None], dtype=float)
        facts: dict[str, Any] = dict.fromkeys(("mean", "sd", "min", "max"))
        facts["folds"] = len(known)
        if len(known):
            facts |= {"mean": known.mean(), "min": known.min(), "max": known.max()}
        if len(known) > 1:
            facts["sd"] = known.std(ddof=1)
        if len(known) < len(values):
            facts["note"] = f"undefined in {len(values) - len(known)} of {len(values)} folds"
        found[metric] = facts
    return plain(found)


def _scored(pooled: Pooled | str, experiment: Experiment) -> dict[str, Scored]:
    if isinstance(pooled, str):
        return {}
    settings, seed = experiment.evaluation, experiment.seed
    return {name: pooled_scores(pooled, name, settings, seed) for name in pooled.outputs}


def _pooled(
    pooled: Pooled | str, scored: Mapping[str, Scored], name: str, experiment: Experiment
) -> dict[str, Any]:
    if isinstance(pooled, str):
        return {"not_estimable": pooled}
    if name not in scored:
        return {"not_estimable": _NOT_KEPT}
    settings = experiment.evaluation
    found = pooled_metrics(pooled, scored[name], settings)
    if name != "network":
        found["differences"] = pooled_differences(scored["network"], scored[name], settings)
    else:
        # Of one repeat: the mean of several predictions would be another model, an ensemble.
        found["calibration"] = calibration_of(pooled.rows(name, settings, experiment.seed)[0])
    return {**found, "note": _POOLED_NOTE}


def _difference(
    own: Sequence[dict[str, float | None]],
    theirs: Sequence[dict[str, float | None]],
    metric: str,
    sizes: Sequence[tuple[int, int]],
    confidence: float,
) -> dict[str, Any]:
    pairs = []
    for mine, other, size in zip(own, theirs, sizes, strict=True):
        a, b = mine.get(metric), other.get(metric)
        if a is not None and b is not None:
            pairs.append((a - b, size))
    values = np.array([each[0] for each in pairs], dtype=float)
    facts: dict[str, Any] = {"mean": None, "sd": None, "folds": len(values)}
    if len(values):
        facts["mean"] = values.mean()
    if len(values) < 2:
        return {**facts, "test": {"not_estimable": "fewer than two folds with a value"}}
    facts["sd"] = values.std(ddof=1)
    train, test = np.mean([each[1] for each in pairs], axis=0)
    return {**facts, "test": corrected_resampled_t(values, train, test, confidence)}

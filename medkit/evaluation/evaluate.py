"""Metrics of each part with intervals, by subgroup, and beside the baselines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from medkit.evaluation.baselines import fit_baselines
from medkit.evaluation.intervals import interval, measure, plain
from medkit.evaluation.notes import with_notes
from medkit.evaluation.subgroups import subgroup_metrics
from medkit.evaluation.wording import called, readable

if TYPE_CHECKING:
    from medkit.cohort import Cohort
    from medkit.config import Evaluation

# The metric a summary leads with: the first of these that the task reports.
_LEADING = ("auroc", "auroc_macro", "accuracy", "mae")
_LOWER_IS_BETTER = ("mae", "rmse", "mse", "brier", "log_loss")


class EncodedPart(Protocol):
    """One part of the split: its samples, encoded inputs (n, …) and encoded targets (n, …)."""

    @property
    def cohort(self) -> Cohort: ...
    @property
    def x(self) -> np.ndarray: ...
    @property
    def y(self) -> np.ndarray: ...


def main_metric(metrics: Mapping[str, Any]) -> str:
    """Of the metrics of a part, the one that a summary leads with."""
    return next((name for name in _LEADING if name in metrics), next(iter(metrics)))


def lower_is_better(metric: str) -> bool:
    """Whether smaller values of a metric are better."""
    return any(metric == name or metric.startswith(f"{name}_") for name in _LOWER_IS_BETTER)


def headline(metrics: Mapping[str, Any]) -> str:
    """The test result in one line, from the content of ``metrics.json``."""
    test = metrics["test"]["metrics"]
    name = main_metric(test)
    found = test[name]
    text = f"{called(name)} {readable(found['value'])}"
    if found.get("degenerate"):
        text += " (the same in all resamples)"
    elif found["low"] is not None:
        text += f" ({readable(found['low'])} to {readable(found['high'])})"
    for baseline, described in metrics.get("baselines", {}).items():
        value = described["metrics"][name]["value"]
        text += f"; {baseline.replace('_', ' ')} {readable(value)}"
    return text


def evaluate_run(
    task: Any,
    modality: Any,
    parts: Mapping[str, EncodedPart],
    outputs: Mapping[str, np.ndarray],
    threshold: Any,
    settings: Evaluation,
    seed: int,
) -> dict[str, Any]:
    """Everything measured of a run: the content of ``metrics.json``.

    Args:
        task: The fitted task.
        modality: The fitted modality; its summary features feed the baselines.
        parts: ``train``, ``valid`` and ``test``.
        outputs: (n, outputs) of the network, for the same parts.
        threshold: The operating point, chosen on validation.
        settings: Resamples, confidence, subgroups, baselines.
        seed: Seed of the bootstrap and the baselines.

    Returns:
        ``{"test": {n, subjects, positives, metrics, threshold}, "valid": …, "train": …,
        "subgroups": …, "baselines": …}``. Of the training part the values alone, since an
        interval there says nothing about new patients. A part with one class only has ``notes``
        of the metrics that are undefined there; they are logged too.
    """
    test = parts["test"]
    samples, subjects = test.cohort.samples, test.cohort.subjects
    result: dict[str, Any] = {}
    result["test"], replicates = measure(
        task, test.y, outputs["test"], subjects, threshold, settings, seed
    )
    for name, resamples in (("valid", settings.bootstrap), ("train", 0)):
        part = parts[name]
        result[name], _ = measure(
            task, part.y, outputs[name], part.cohort.subjects, threshold, settings, seed, resamples
        )
    for name, called_so in (("test", "test"), ("valid", "validation")):
        with_notes(result[name], task.kind, logged_for=called_so)
    if settings.subgroups:
        result["subgroups"] = subgroup_metrics(
            task, test.y, outputs["test"], samples, subjects, threshold, settings, seed
        )
    if settings.baselines:
        reference = (result["test"], replicates)
        result["baselines"] = _compared(task, modality, parts, reference, settings, seed)
    return result


def evaluate_part(
    task: Any,
    y: np.ndarray,
    p: np.ndarray,
    subjects: np.ndarray,
    threshold: Any,
    settings: Evaluation,
    seed: int,
) -> dict[str, Any]:
    """Metrics of one part with intervals bootstrapped by subject.

    Args:
        task: The fitted task.
        y: (n, …) encoded targets.
        p: (n, outputs) the model's outputs.
        subjects: (n,) subject of each row.
        threshold: The operating point, chosen on validation.
        settings: Resamples and confidence.
        seed: Seed of the bootstrap.

    Returns:
        ``n``, ``subjects``, ``positives``, ``threshold`` and ``metrics`` (name -> value, low,
        high), as JSON has them: null where a value is undefined; ``notes`` where that is for
        want of a class.
    """
    described = measure(task, y, p, subjects, threshold, settings, seed)[0]
    return with_notes(described, task.kind, logged_for="evaluated rows")


def _compared(
    task: Any,
    modality: Any,
    parts: Mapping[str, EncodedPart],
    reference: tuple[dict[str, Any], dict[str, np.ndarray]],
    settings: Evaluation,
    seed: int,
) -> dict[str, Any]:
    """Each baseline on the test part, and by how much the network differs from it."""
    features = {name: modality.summarize(part.x) for name, part in parts.items()}
    train, valid, test = parts["train"], parts["valid"], parts["test"]
    network, of_network = reference
    main = main_metric(network["metrics"])
    results: dict[str, Any] = {}
    for baseline in fit_baselines(
        task, (features["train"], train.y), (features["valid"], valid.y), seed
    ):
        p = baseline.predict(features["test"])
        described, replicates = measure(
            task, test.y, p, test.cohort.subjects, baseline.threshold, settings, seed
        )
        values = [each["metrics"][main]["value"] for each in (network, described)]
        value = None if None in values else values[0] - values[1]
        # The same resamples for both: the interval is that of the paired difference.
        pairs = of_network[main] - replicates[main] if main in replicates else None
        difference = {"metric": main, "value": value, **interval(pairs, settings.confidence)}
        results[baseline.name] = {**described, "difference": difference, **baseline.facts}
    return plain(results)

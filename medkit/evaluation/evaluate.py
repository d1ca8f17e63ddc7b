"""Metrics of each part with intervals, calibration, decisions, subgroups, baselines."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from medkit.evaluation.baselines.baselines import Fitted, fit_baselines
from medkit.evaluation.calibration.calibration import calibration_of
from medkit.evaluation.calibration.recalibration import apply_recalibration, fit_recalibration
from medkit.evaluation.decisions.decisions import decisions_of
from medkit.evaluation.early_warning.early_warning import EarlyWarning, early_warning
from medkit.evaluation.forecasting.baselines import PastRows, fit_forecast_baselines
from medkit.evaluation.forecasting.forecasts import forecast_of
from medkit.evaluation.groups.fairness import fairness_gaps
from medkit.evaluation.groups.subgroups import subgroup_metrics
from medkit.evaluation.notes import with_notes
from medkit.evaluation.resampling.intervals import measure, plain
from medkit.evaluation.resampling.paired import compare_outputs
from medkit.evaluation.uncertainty.uncertainty import evaluate_uncertainty
from medkit.evaluation.wording import called, readable

if TYPE_CHECKING:
    from medkit.config.experiment import Evaluation
    from medkit.data.parts import Part

Stage = Callable[[str], contextlib.AbstractContextManager[Any]]

# The metric a summary leads with: the first of these that the task reports.
_LEADING = ("auroc", "auroc_macro", "accuracy", "mae")
_AVERAGES = ("majority", "mean")  # one output for all rows: nothing to recalibrate
_LOWER_IS_BETTER = ("mae", "rmse", "mse", "brier", "log_loss", "pinball", "width")


def _unnamed(stage: str) -> contextlib.AbstractContextManager[Any]:
    return contextlib.nullcontext()


def main_metric(metrics: Mapping[str, Any]) -> str:
    """Of the metrics of a part, the one that a summary leads with."""
    return next((name for name in _LEADING if name in metrics), next(iter(metrics)))


def lower_is_better(metric: str) -> bool:
    """Whether smaller values of a metric are better."""
    return any(metric == name or metric.startswith(f"{name}_") for name in _LOWER_IS_BETTER)


def has_direction(metric: str) -> bool:
    """Whether a metric has a better side; coverage is to be what was asked for, not more."""
    return metric != "coverage" and not metric.startswith("coverage_")


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
    parts: Mapping[str, Part],
    outputs: Mapping[str, np.ndarray],
    threshold: Any,
    settings: Evaluation,
    seed: int,
    *,
    before: np.ndarray | None = None,
    recalibration: Mapping[str, Any] | None = None,
    spread: Mapping[str, Iterable[np.ndarray]] | None = None,
    stages: Stage = _unnamed,
    keep: Callable[[str, np.ndarray], None] | None = None,
    features: Mapping[str, Any] | None = None,
    described: Mapping[str, Part] | None = None,
) -> dict[str, Any]:
    """What was measured of a run's predictions: most of ``metrics.json``.

    Args:
        task: The fitted task.
        modality: The fitted modality; its summary features feed the baselines.
        parts: ``train``, ``valid`` and ``test``.
        outputs: (n, outputs) of the saved network, for the same parts.
        threshold: The operating point, chosen on validation.
        settings: Resamples, confidence, subgroups, baselines, …
        seed: Seed of the bootstrap and the baselines.
        before: (n, outputs) of the test part without the recalibration layer; None without one.
        recalibration: What ``fit_recalibration`` returned, where one was asked for.
        spread: What the members of an ensemble, or passes with dropout, say of the test rows.
        stages: Called with a stage's name, gives the context it runs in (to take its time).
        keep: Called with each baseline's name and its outputs (n, outputs) on the test part.
        features: ``modality.summarize`` of each part, where it was computed before.
        described: The parts that ``features`` are of, where these have fewer training rows.

    Returns:
        ``{"test": {n, subjects, positives, metrics, threshold, calibration, decisions,
        uncertainty}, "valid": …, "train": …, "subgroups": …, "fairness": …, "baselines": …}``; a
        forecast's ``test`` also has ``forecast``. See ``measure``, ``calibration_of``,
        ``decisions_of``, ``evaluate_uncertainty``, ``forecast_of``, ``subgroup_metrics``,
        ``fairness_gaps`` and ``compare_outputs``. Of the training part the
        values alone, since an interval there says nothing about new patients. A part with one
        class only has ``notes`` of the metrics that are undefined there; they are logged too.
    """
    valid, test = parts["valid"], parts["test"]
    samples, subjects = test.cohort.samples, test.cohort.subjects
    rows = (test.y, outputs["test"], subjects)
    result: dict[str, Any] = {}
    with stages("evaluate: metrics"):
        for name, resamples in (("test", None), ("valid", None), ("train", 0)):
            part = parts[name]
            result[name], _ = measure(
                task,
                part.y,
                outputs[name],
                part.cohort.subjects,
                threshold,
                settings,
                seed,
                resamples,
            )
        for name, called_so in (("test", "test"), ("valid", "validation")):
            with_notes(result[name], task.kind, logged_for=called_so)
    with stages("evaluate: calibration"):
        result["test"]["calibration"] = calibration_of(
            task, *rows, settings, seed, before=before, recalibration=recalibration
        )
    with stages("evaluate: decisions"):
        result["test"]["decisions"] = decisions_of(
            task, valid.y, outputs["valid"], *rows, threshold, settings, seed
        )
    with stages("evaluate: uncertainty"):
        result["test"]["uncertainty"] = evaluate_uncertainty(
            task, valid, test, outputs, threshold, settings, seed, spread
        )
    watched = early_warning(task, parts, settings, seed)
    if watched is not None:
        with stages("evaluate: early warning"):
            for name, block in watched.network(outputs, threshold).items():
                result[name]["early_warning"] = block
    if settings.subgroups:
        with stages("evaluate: subgroups"):
            grouped = (test.y, outputs["test"], samples, subjects, threshold, settings, seed)
            result["subgroups"] = subgroup_metrics(task, *grouped)
            result["fairness"] = fairness_gaps(task, *grouped)
    if settings.baselines:
        with stages("evaluate: baselines"):
            if features is None:
                features = {name: modality.summarize(part.x) for name, part in parts.items()}
            given = described or parts
            calibration = "none" if recalibration is None else recalibration["asked"]
            rest = (given, outputs["test"], threshold, settings, seed, keep, calibration, watched)
            if task.kind == "forecasting":
                result["baselines"] = _forecasts_compared(task, modality, features, result, *rest)
            else:
                fitted = fit_baselines(
                    task,
                    (features["train"], given["train"].y),
                    (features["valid"], valid.y),
                    seed,
                    given["train"].cohort.subjects,
                )
                result["baselines"] = _compared(task, fitted, features, *rest)
    elif task.kind == "forecasting":
        result["test"]["forecast"] = forecast_of(task, *rows, settings, seed)
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


def _forecasts_compared(
    task: Any,
    modality: Any,
    features: Mapping[str, Any],
    result: dict[str, Any],
    parts: Mapping[str, Part],
    of_network: np.ndarray,
    threshold: Any,
    settings: Evaluation,
    seed: int,
    keep: Callable[[str, np.ndarray], None] | None,
    calibration: str,
    watched: EarlyWarning | None = None,
) -> dict[str, Any]:
    """The simple forecasts; ``result["test"]["forecast"]`` is put there, which needs them."""
    past = {name: PastRows(part.x, features[name]) for name, part in parts.items()}
    train, test = parts["train"], parts["test"]
    fitted, absent = fit_forecast_baselines(
        task, modality, past["train"], train.y, train.cohort.subjects, seed
    )
    outputs = {each.name: each.predict(past["test"]) for each in fitted}
    subjects = test.cohort.subjects
    result["test"]["forecast"] = forecast_of(
        task, test.y, of_network, subjects, settings, seed, outputs, absent
    )
    rest = (of_network, threshold, settings, seed, keep, calibration, watched)
    return _compared(task, fitted, past, parts, *rest)


def _compared(
    task: Any,
    fitted: Iterable[Fitted],
    features: Mapping[str, Any],
    parts: Mapping[str, Part],
    of_network: np.ndarray,
    threshold: Any,
    settings: Evaluation,
    seed: int,
    keep: Callable[[str, np.ndarray], None] | None,
    calibration: str,
    watched: EarlyWarning | None = None,
) -> dict[str, Any]:
    """Each baseline on the test part, and by how much the network differs from it.

    Where the network was recalibrated, so are the baselines, on the same validation rows: the
    comparison of Brier scores and log losses would flatter the network otherwise.
    """
    valid, test = parts["valid"], parts["test"]
    subjects = test.cohort.subjects
    results: dict[str, Any] = {}
    for baseline in fitted:
        p, at = baseline.predict(features["test"]), baseline.threshold
        facts = dict(baseline.facts)
        chosen = baseline.predict(features["valid"])
        if calibration != "none" and baseline.name not in _AVERAGES:
            state = fit_recalibration(calibration, task, valid.y, chosen)
            facts["recalibration"] = state["kind"]
            p, chosen = (apply_recalibration(state, each) for each in (p, chosen))
            at = task.choose_threshold(valid.y, chosen, model=baseline.name.replace("_", " "))
        if keep is not None:
            keep(baseline.name, p)
        described, _ = measure(task, test.y, p, subjects, at, settings, seed)
        comparison = compare_outputs(
            task, test.y, of_network, p, threshold, at, subjects, settings, seed
        )
        main = main_metric(described["metrics"])
        found = dict(comparison["metrics"][main])
        difference = {"metric": main, "value": found.pop("difference"), **found}
        results[baseline.name] = {
            **described,
            "difference": difference,
            "comparison": comparison,
            **facts,
        }
        if watched is not None:
            results[baseline.name]["early_warning"] = watched.baseline(chosen, p, at)
    return plain(results)

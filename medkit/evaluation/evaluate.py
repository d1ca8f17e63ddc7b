"""Metrics of each part with intervals, calibration, decisions, subgroups, baselines."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from medkit.evaluation.baselines.aside import Aside
from medkit.evaluation.baselines.baselines import Predicted, predicted
from medkit.evaluation.baselines.learned import PastRows
from medkit.evaluation.calibration.calibration import calibration_of
from medkit.evaluation.calibration.recalibration import apply_recalibration, fit_recalibration
from medkit.evaluation.decisions.decisions import decisions_of
from medkit.evaluation.early_warning.early_warning import EarlyWarning, early_warning
from medkit.evaluation.groups.fairness import fairness_gaps
from medkit.evaluation.groups.subgroups import subgroup_metrics
from medkit.evaluation.methods import baseline_name, methods_for
from medkit.evaluation.notes import with_notes
from medkit.evaluation.part_metrics import measure
from medkit.evaluation.resampling.intervals import plain
from medkit.evaluation.resampling.paired import compare_outputs
from medkit.evaluation.results import (
    Assessed,
    Baseline,
    ByGroup,
    Evaluated,
    Leading,
    Measured,
)
from medkit.evaluation.rows import EvaluatedRows
from medkit.evaluation.uncertainty.conformal import conformal_of
from medkit.evaluation.uncertainty.uncertainty import uncertainty_of
from medkit.evaluation.wording import readable
from medkit.tasks.task import Task, Threshold

if TYPE_CHECKING:
    from medkit.config.experiment import Evaluation
    from medkit.data.parts import Part
    from medkit.modalities.encoder import Encoder

Stage = Callable[[str], contextlib.AbstractContextManager[Any]]

_AVERAGES = ("majority", "mean")  # one output for all rows: nothing to recalibrate
_NO_VALIDATION = "the validation rows are not known"


def _unnamed(stage: str) -> contextlib.AbstractContextManager[Any]:
    return contextlib.nullcontext()


def headline(task: Task, metrics: Evaluated) -> str:
    """The test result in one line."""
    found = metrics["test"]["metrics"][task.leading]
    text = f"{task.metric(task.leading).label} {readable(found['value'])}"
    if found.get("degenerate"):
        text += " (the same in all resamples)"
    elif found["low"] is not None:
        text += f" ({readable(found['low'])} to {readable(found['high'])})"
    for baseline, described in metrics.get("baselines", {}).items():
        value = described["metrics"][task.leading]["value"]
        text += f"; {baseline_name(baseline)} {readable(value)}"
    return text


def evaluate_part(rows: EvaluatedRows, logged_for: str = "evaluated rows") -> Measured:
    """Metrics of one part with intervals bootstrapped by subject.

    Args:
        rows: What is measured.
        logged_for: What a warning calls these rows.

    Returns:
        ``n``, ``subjects``, ``positives``, ``threshold`` and ``metrics`` (name -> value, low,
        high), as JSON has them: null where a value is undefined; ``notes`` where that is for
        want of a class.
    """
    return with_notes(measure(rows)[0], rows.task, logged_for=logged_for)


def assess_part(
    rows: EvaluatedRows,
    *,
    valid: EvaluatedRows | None,
    no_valid: str = _NO_VALIDATION,
    spread: Mapping[str, Iterable[np.ndarray]] | None = None,
    before: np.ndarray | None = None,
    recalibration: Mapping[str, Any] | None = None,
    baselines: Mapping[str, np.ndarray] | None = None,
    absent: Mapping[str, str] | None = None,
    logged_for: str = "evaluated rows",
    stages: Stage = _unnamed,
) -> tuple[Assessed, ByGroup]:
    """All that is measured of rows that a model was not fitted on, in whatever command.

    Args:
        rows: What is measured.
        valid: The validation rows, on which thresholds and prediction sets are chosen; None: those
            are not estimable.
        no_valid: Why there are no validation rows.
        spread: What several networks say of the rows, as ``uncertainty_of`` takes it.
        before: (n, outputs) without the recalibration layer; None without one.
        recalibration: What ``fit_recalibration`` returned, where one was asked for.
        baselines: Baseline -> its outputs on the rows.
        absent: Baseline -> why there is none.
        logged_for: What a warning calls these rows.
        stages: Called with a stage's name, gives the context it runs in.

    Returns:
        What ``evaluate_part`` returns, with ``calibration``, ``decisions``, ``uncertainty`` and
        what ``Methods.details`` adds for this kind of outcome; and the groups of the attributes
        that the config names, where these rows have them.
    """
    with stages("evaluate: metrics"):
        result: Assessed = {**evaluate_part(rows, logged_for)}
    with stages("evaluate: calibration"):
        result["calibration"] = calibration_of(rows, before=before, recalibration=recalibration)
    if valid is None:
        result["decisions"] = {"not_estimable": no_valid}
        result["uncertainty"] = {"not_estimable": no_valid}
    else:
        with stages("evaluate: decisions"):
            result["decisions"] = decisions_of(rows, valid, result["metrics"], baselines)
        with stages("evaluate: uncertainty"):
            result["uncertainty"] = {
                "conformal": conformal_of(rows, valid), **uncertainty_of(rows, spread)
            }  # fmt: skip
    result |= cast(Assessed, methods_for(rows.task).details(rows, baselines or {}, absent or {}))
    groups: ByGroup = {}
    samples = rows.samples
    if samples is not None and any(each in samples for each in rows.settings.subgroups):
        with stages("evaluate: subgroups"):
            groups = {"subgroups": subgroup_metrics(rows), "fairness": fairness_gaps(rows)}
    return result, groups


def evaluate_run(
    task: Task,
    encoder: Encoder,
    parts: Mapping[str, Part],
    outputs: Mapping[str, np.ndarray],
    threshold: Threshold,
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
    aside: Aside | None = None,
) -> Evaluated:
    """What was measured of a run's predictions: most of ``metrics.json``.

    Args:
        task: The fitted task.
        encoder: The fitted encoder; its summary features feed the baselines.
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
        features: ``encoder.summarize`` of each part, where it was computed before.
        described: The parts that ``features`` are of, where these have fewer training rows.
        aside: Where another process may have been asked to fit the baselines.

    Returns:
        ``test`` as ``assess_part`` has it, of ``valid`` the metrics, of ``train`` the values alone,
        since an interval there says nothing about new patients; see ``_compared`` for a baseline.
    """
    rows = {
        name: EvaluatedRows.of(task, part, outputs[name], threshold, settings, seed)
        for name, part in parts.items()
    }
    baselines: list[Predicted] = []
    absent: dict[str, str] = {}
    if settings.baselines:
        with stages("evaluate: baselines"):
            if aside is not None and aside.begun:
                baselines, absent = aside.predicted()
            else:
                fitted_on = described or parts
                if features is None:
                    features = {
                        name: encoder.summarize(part.inputs) for name, part in fitted_on.items()
                    }
                known = {
                    name: PastRows(part.inputs, features[name]) for name, part in fitted_on.items()
                }
                targets = {name: part.y for name, part in fitted_on.items()}
                subjects = fitted_on["train"].cohort.subjects
                found = methods_for(task).baselines(encoder, known, targets, subjects, seed)
                baselines, absent = predicted(found[0], known), found[1]
    asked = "none" if recalibration is None else recalibration["asked"]
    baselines = [_recalibrated(each, rows["valid"], asked) for each in baselines]
    test, groups = assess_part(
        rows["test"],
        valid=rows["valid"],
        spread=spread,
        before=before,
        recalibration=recalibration,
        baselines={each.name: each.outputs["test"] for each in baselines},
        absent=absent,
        logged_for="test",
        stages=stages,
    )
    with stages("evaluate: metrics"):
        valid: Assessed = {**evaluate_part(rows["valid"], "validation")}
        train, _ = measure(rows["train"], 0)
    result: Evaluated = {"test": test, "valid": valid, "train": train, **groups}
    watched = early_warning(task, parts, settings, seed)
    if watched is not None:
        with stages("evaluate: early warning"):
            blocks = watched.network(outputs, threshold)
        for part, name in ((test, "test"), (valid, "valid")):
            if name in blocks:
                part["early_warning"] = blocks[name]
    if settings.baselines:
        with stages("evaluate: comparison"):
            result["baselines"] = {
                each.name: _compared(each, rows["test"], keep, watched) for each in baselines
            }
    return result


def _recalibrated(baseline: Predicted, valid: EvaluatedRows, calibration: str) -> Predicted:
    """A baseline with the recalibration of the network, fitted on the same validation rows.

    The comparison of Brier scores, log losses and net benefits would flatter the network otherwise.
    """
    if calibration == "none" or baseline.name in _AVERAGES:
        return baseline
    state = fit_recalibration(
        calibration, valid.task, valid.y, baseline.outputs["valid"], valid.codes
    )
    outputs = {name: apply_recalibration(state, p) for name, p in baseline.outputs.items()}
    named = baseline_name(baseline.name)
    at = valid.task.choose_threshold(valid.y, outputs["valid"], model=named)
    facts = {**baseline.facts, "recalibration": state["kind"]}
    return replace(baseline, outputs=outputs, threshold=at, facts=facts)


def _compared(
    baseline: Predicted,
    test: EvaluatedRows,
    keep: Callable[[str, np.ndarray], None] | None,
    watched: EarlyWarning | None,
) -> Baseline:
    """A baseline on the test part, and by how much the network differs from it."""
    task = test.task
    chosen, p, at = baseline.outputs["valid"], baseline.outputs["test"], baseline.threshold
    if keep is not None:
        keep(baseline.name, p)
    of_baseline = test.answered(p, at)
    described, _ = measure(of_baseline)
    comparison = compare_outputs(test, of_baseline)
    found = comparison["metrics"][task.leading].copy()
    value = found.pop("difference")
    difference = cast(Leading, {"metric": task.leading, "value": value, **found})
    result: Baseline = {**described, "difference": difference, "comparison": comparison}
    if watched is not None:
        result["early_warning"] = watched.baseline(chosen, p, at)
    return plain(result | dict(baseline.facts))

"""Out-of-fold predictions of all folds, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medkit.config.experiment import Evaluation, Split
from medkit.data.cohort import Cohort
from medkit.data.splits import split
from medkit.evaluation.part_metrics import described, resample
from medkit.evaluation.resampling.intervals import Resampled, plain
from medkit.evaluation.rows import EvaluatedRows
from medkit.runs.run import Run
from medkit.runs.stored import Stored, stored_part
from medkit.tasks.task import Task
from medkit.workflows.crossval.plan import Fold


@dataclass(frozen=True)
class Pooled:
    """Every tested sample once a repeat, in the order of the cohort.

    Attributes:
        task: The fitted task.
        y: Encoded targets (n, …).
        subjects: (n,) subject of each sample; of the cohort itself, to be written nowhere.
        outputs: Model -> (n, outputs) of each repeat; ``network`` and the baselines.
        thresholds: Model -> operating point of each sample, (n, …) of each repeat, or None where
            the task has none.
    """

    task: Task
    y: np.ndarray
    subjects: np.ndarray
    outputs: Mapping[str, Sequence[np.ndarray]]
    thresholds: Mapping[str, Sequence[np.ndarray | None]]

    def rows(self, name: str, settings: Evaluation, seed: int) -> list[EvaluatedRows]:
        """What a model says of the samples in each repeat."""
        return [
            EvaluatedRows(self.task, self.y, p, self.subjects, at, settings, seed)
            for p, at in zip(self.outputs[name], self.thresholds[name], strict=True)
        ]


def pool(cohort: Cohort, folds: Sequence[tuple[Fold, Run]]) -> Pooled | str:
    """Pool the folds' test predictions; the reason where that cannot be done.

    A baseline is pooled if every fold keeps its predictions.
    """
    task = folds[0][1].task
    kept = [(fold, run, stored_part(run)) for fold, run in folds]
    first = _question(task, kept[0][2].y)
    if any(_question(run.task, stored.y) != first for _, run, stored in kept[1:]):
        return "the classes differ between the folds: not all occur in every training part"
    rows = [_rows(cohort, fold, run, len(stored.y)) for fold, run, stored in kept]
    repeats = sorted({fold.repeat for fold, _, _ in kept})
    tested = np.unique(np.concatenate(rows))
    position = np.full(len(cohort), -1)
    position[tested] = np.arange(len(tested))
    y = np.zeros((len(tested), *kept[0][2].y.shape[1:]), dtype=kept[0][2].y.dtype)
    for where, (_, _, stored) in zip(rows, kept, strict=True):
        y[position[where]] = stored.y
    names = [
        "network",
        *(n for n in kept[0][2].baselines if all(n in s.baselines for *_, s in kept)),
    ]
    outputs: dict[str, list[np.ndarray]] = {name: [] for name in names}
    thresholds: dict[str, list[np.ndarray | None]] = {name: [] for name in names}
    for repeat in repeats:
        of_repeat = [
            (position[where], run, stored)
            for where, (fold, run, stored) in zip(rows, kept, strict=True)
            if fold.repeat == repeat
        ]
        if sum(len(where) for where, *_ in of_repeat) != len(tested):
            return "the repeats do not test the same samples"
        for name in names:
            found, at = _put_together(of_repeat, name, len(tested))
            outputs[name].append(found)
            thresholds[name].append(at)
    return Pooled(task, y, cohort.subjects[tested], outputs, thresholds)


def _question(task: Task, y: np.ndarray) -> tuple[list[str], list[tuple[Any, ...]]]:
    """What the outputs mean: their names, and the classes of each outcome."""
    return task.output_names, [each.classes for each in task.outcomes(y)]


def _rows(cohort: Cohort, fold: Fold, run: Run, count: int) -> np.ndarray:
    """(count,) positions in the cohort of the samples that a fold tested."""
    tested = split(cohort, Split(**fold.split), fold.seed).rows("test")
    usable = run.encoder.keep(cohort.take(tested).inputs)
    tested = tested[usable]
    if len(tested) != count:
        raise AssertionError(f"{fold.name}: {count} predictions for {len(tested)} samples")
    return tested


def _put_together(
    folds: Sequence[tuple[np.ndarray, Run, Stored]], name: str, count: int
) -> tuple[np.ndarray, np.ndarray | None]:
    outputs = np.full((count, *folds[0][2].outputs.shape[1:]), np.nan)
    thresholds: np.ndarray | None = np.full_like(outputs, np.nan)
    for where, run, stored in folds:
        own = name == "network"
        outputs[where] = stored.outputs if own else stored.baselines[name]
        at = run.threshold if own else run.metrics["baselines"][name]["threshold"]
        if at is None or thresholds is None:
            thresholds = None
        else:
            thresholds[where] = at
    return outputs, thresholds


@dataclass(frozen=True)
class Scored:
    """A model's pooled predictions, scored: means over the repeats.

    Attributes:
        values: Metric -> value.
        resampled: The same in every resample of the subjects, which are the same in every repeat.
    """

    values: Mapping[str, float]
    resampled: Resampled


def pooled_scores(pooled: Pooled, name: str, settings: Evaluation, seed: int) -> Scored:
    """Score a model's pooled predictions, each sample at its own fold's operating point."""
    repeats = pooled.rows(name, settings, seed)
    values = [pooled.task.measure(rows.statistics) for rows in repeats]
    drawn = [resample(rows) for rows in repeats]
    over_repeats = Resampled(
        {m: np.mean([d.replicates[m] for d in drawn], axis=0) for m in drawn[0].replicates},
        {m: np.mean([d.left_out[m] for d in drawn], axis=0) for m in drawn[0].left_out},
        drawn[0].groups,
        withheld=drawn[0].withheld,
    )
    means = {m: float(np.mean([found[m] for found in values])) for m in values[0]}
    return Scored(means, over_repeats)


def pooled_metrics(pooled: Pooled, scored: Scored, settings: Evaluation) -> dict[str, Any]:
    """Metrics of a model's pooled predictions, with intervals that resample subjects; as
    ``described`` gives them."""
    rows = pooled.rows("network", settings, 0)[0]
    found = plain(described(rows, scored.values, scored.resampled))
    del found["threshold"]  # each fold has its own
    return found


def pooled_differences(
    network: Scored, baseline: Scored, settings: Evaluation
) -> dict[str, dict[str, Any]]:
    """Network minus baseline on the same pooled samples, with paired intervals.

    Both are scored in the same resamples of the subjects (Efron and Tibshirani, An Introduction
    to the Bootstrap, 1993), and a subject drawn is drawn in all repeats: repeats make the
    interval no narrower than the subjects allow. The models stay as they were trained.

    Returns:
        Metric -> ``{"value", "low", "high"}``, with ``p`` where there is an interval.
    """
    drawn = network.resampled.less(baseline.resampled)
    found: dict[str, dict[str, Any]] = {}
    for metric, value in network.values.items():
        difference = value - baseline.values[metric]
        found[metric] = {
            "value": difference,
            **drawn.confidence_interval(metric, difference, settings.confidence),
        }
        if found[metric]["low"] is not None:
            found[metric]["p"] = drawn.p_value(metric, difference)
    return plain(found)

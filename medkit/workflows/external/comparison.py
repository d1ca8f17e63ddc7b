"""Development beside new data: who is in them, and what becomes of the performance."""

from __future__ import annotations

from typing import Any

import numpy as np

from medkit.config.experiment import Evaluation
from medkit.core.errors import RunError
from medkit.data.parts import Part
from medkit.evaluation.groups.case_mix import table_one
from medkit.evaluation.groups.membership import membership
from medkit.evaluation.groups.shift import standardised_differences, unit_warnings
from medkit.evaluation.part_metrics import resample
from medkit.evaluation.resampling.intervals import confidence_interval, plain
from medkit.evaluation.resampling.resampling import subject_codes
from medkit.evaluation.rows import EvaluatedRows
from medkit.runs.run import Run
from medkit.runs.stored import stored_part

DEVELOPMENT, NEW = "development", "new"


def case_mix(
    run: Run, part: Part, trained: Part | str, settings: Evaluation, seed: int
) -> dict[str, Any]:
    """Table 1 side by side, standardised differences, the membership model, units to check.

    Args:
        run: The run, whose metrics hold Table 1 of its training part.
        part: The new rows, encoded.
        trained: The training rows, or why they are not at hand.
        settings: Smallest group, resamples, confidence.
        seed: Seed of the membership model.
    """
    table = _side_by_side(run, part, trained, settings)
    if isinstance(table, str):
        return {"not_estimable": table}
    found: dict[str, Any] = {
        "table_one": table,
        "differences": standardised_differences(table, DEVELOPMENT, NEW),
        "warnings": unit_warnings(table, DEVELOPMENT, NEW, run.encoder.features),
    }
    if isinstance(trained, str):
        found["membership"] = {"auroc": None, "not_estimable": trained}
    else:
        sides = [
            (run.encoder.summarize(each.inputs), each.y, each.cohort.subjects)
            for each in (trained, part)
        ]
        found["membership"] = membership(
            sides[0], sides[1], seed, settings.bootstrap, settings.confidence
        )
    return plain(found)


def _side_by_side(
    run: Run, part: Part, trained: Part | str, settings: Evaluation
) -> dict[str, Any] | str:
    table = table_one({NEW: part}, run.encoder, run.task, settings.minimum_group)
    before = run.metrics.get("table_one")
    name = "train"
    if before is None:
        if isinstance(trained, str):
            return f"the run holds no Table 1, and {trained}"
        name = DEVELOPMENT
        before = table_one({name: trained}, run.encoder, run.task, settings.minimum_group)
    known = {(row["role"], row["name"], row["kind"]): row["parts"][name] for row in before["rows"]}
    rows = []
    for row in table["rows"]:
        described = known.get((row["role"], row["name"], row["kind"]))
        parts = {} if described is None else {DEVELOPMENT: described}
        rows.append({**row, "parts": {**parts, NEW: row["parts"][NEW]}})
    sizes = {DEVELOPMENT: before["parts"][name], NEW: table["parts"][NEW]}
    return {**table, "parts": sizes, "rows": rows}


def performance_drop(
    run: Run, part: Part, outputs: np.ndarray, reference: str, settings: Evaluation, seed: int
) -> dict[str, Any]:
    """Each metric in development and on the new rows, and the difference with an interval.

    The two samples are of different patients: each is resampled by itself, and the interval is of
    the differences between the replicates (Efron and Tibshirani, An Introduction to the
    Bootstrap, 1993, chapter 8: the two-sample bootstrap).

    Args:
        run: The run; its stored predictions stand for development.
        part: The new rows, encoded.
        outputs: (n, outputs) of the saved network for them.
        reference: ``test``; or ``valid`` where the new rows were among the run's own test rows.
        settings: Resamples and confidence.
        seed: Seed of the bootstrap.
    """
    try:
        before = stored_part(run, reference)
    except RunError as error:
        return {"not_estimable": error.message}
    notes = []
    if reference == "valid":
        notes.append(
            "compared with the validation rows, since the new rows were in the run's own test part;"
            " the validation rows chose the threshold and when to stop, and so flatter the model"
        )
    task, at = run.task, run.threshold
    development = (before.y, before.outputs, before.subjects)
    samples = {
        DEVELOPMENT: EvaluatedRows(task, *development, at, settings, seed),
        NEW: EvaluatedRows.of(task, part, outputs, at, settings, seed + 1),
    }
    values = {name: task.measure(rows.statistics) for name, rows in samples.items()}
    drawn = {name: resample(rows) for name, rows in samples.items()}
    metrics = {}
    for metric, new in values[NEW].items():
        old = values[DEVELOPMENT][metric]
        both = [drawn[name].replicates.get(metric) for name in (NEW, DEVELOPMENT)]
        pairs = None if both[0] is None or both[1] is None else both[0] - both[1]
        reason = next((of.withheld[metric] for of in drawn.values() if metric in of.withheld), None)
        bounds = confidence_interval(None if reason else pairs, settings.confidence)
        bounds |= {"note": reason} if reason else {}
        found = {DEVELOPMENT: old, NEW: new, "value": new - old, **bounds}
        if not np.isfinite(new - old):
            found |= {"low": None, "high": None, "not_estimable": "undefined in one of them"}
        metrics[metric] = found
    described = {"n": len(before.y), "subjects": int(subject_codes(before.subjects).max()) + 1}
    return plain({"reference": reference, **described, "metrics": metrics, "notes": notes})

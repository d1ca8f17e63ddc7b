"""Paired differences and tests of runs against the first of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medkit.config.sections import Evaluation
from medkit.core.errors import RunError
from medkit.evaluation.groups.fairness import holm
from medkit.evaluation.resampling.intervals import plain
from medkit.evaluation.resampling.paired import compare_outputs
from medkit.evaluation.rows import EvaluatedRows
from medkit.runs.run import Run
from medkit.runs.stored import stored_part
from medkit.tasks.task import Task
from medkit.workflows.compare.rows import TestRows, matched


@dataclass(frozen=True)
class Comparison:
    """Runs compared.

    Args:
        result: What ``medkit compare`` prints; see the package.
        rows: The test rows of each run, in the order of the runs.
    """

    result: dict[str, Any]
    rows: tuple[TestRows, ...]

    @property
    def task(self) -> Task:
        """The task of the first run; the others ask the same."""
        return self.rows[0].run.task


def compare_runs(paths: Sequence[Path | str], other_data: bool = False) -> Comparison:
    """Compare finished runs with the first of them.

    Runs tested on the same rows are compared in pairs, by the bootstrap, DeLong's test and
    McNemar's, with the resamples, confidence and seed of the first run's config. For others there
    is a note of why that is not possible, and their own numbers.

    Args:
        paths: Folders of two runs or more.
        other_data: Whether runs on other data are meant: then there is no test, only their numbers.

    Raises:
        RunError: One run only, a run given twice, a damaged run, or runs that predict other
            things, or (unless that is meant) read other data.
    """
    folders = [Path(path) for path in paths]
    if len(folders) < 2:
        raise RunError("a comparison needs two runs or more")
    resolved = [folder.resolve() for folder in folders]
    for i, folder in enumerate(resolved):
        if folder in resolved[:i]:
            raise RunError("the run is given twice", place=str(folders[i]))
    opened = [Run.open(folder) for folder in folders]
    labels = _labels(opened)
    rows = [TestRows(*each, stored_part(each[0])) for each in zip(opened, labels, strict=True)]
    reference = rows[0]
    for each in rows[1:]:
        _same_question(reference, each)
    settings = Evaluation.model_validate(reference.run.config["evaluation"])
    comparisons = [_against(reference, each, settings) for each in rows[1:]]
    for each, found in zip(rows[1:], comparisons, strict=True):
        if not (other_data or found["paired"] or _same_data(reference, each)):
            raise RunError(
                "the runs read other data (their SHA-256 differ): a difference between them may "
                "be one of the patients",
                place=f"{reference.name} and {each.name}",
                hint="--other-data compares their numbers side by side, without a test.",
            )
    correction = None
    if len(comparisons) > 1:
        _correct(comparisons)
        correction = "Holm, over the p-values of the same test in all paired comparisons"
    result = {
        "task": reference.run.task.kind,
        "reference": reference.name,
        "metric": reference.run.task.leading,
        "confidence": settings.confidence,
        "runs": [_described(each) for each in rows],
        "comparisons": comparisons,
        "correction": correction,
    }
    return Comparison(plain(result), tuple(rows))


def _labels(opened: Sequence[Run]) -> list[str]:
    """Model and the end of the folder's name; the whole name where that is not unique."""
    labels = [f"{run.config['model']['name']} {run.path.name.rsplit('-', 1)[-1]}" for run in opened]
    if len(set(labels)) == len(labels):
        return labels
    return [f"{i} {run.path.name}" for i, run in enumerate(opened, 1)]


def _same_question(one: TestRows, other: TestRows) -> None:
    """Refuse runs whose outputs do not mean the same."""
    place = f"{one.name} and {other.name}"
    tasks = [each.run.task for each in (one, other)]
    if tasks[0].outcome != tasks[1].outcome:
        raise RunError(
            f"the runs have different tasks: {tasks[0].kind} and {tasks[1].kind}",
            place=place,
            hint="Only runs that predict the same can be compared.",
        )
    questions = [_question]
    if _same_data(one, other):
        questions.append(_target)  # elsewhere the same outcome may have another name
    for found in questions:
        before, after = found(one), found(other)
        if before != after:
            raise RunError(
                f"the runs predict different targets: {before} and {after}",
                place=place,
                hint="Only runs that predict the same can be compared.",
            )


def _same_data(one: TestRows, other: TestRows) -> bool:
    files = [each.run.environment.get("data_sha256") for each in (one, other)]
    return bool(files[0] == files[1])


def _question(rows: TestRows) -> str:
    """Classes, labels or outputs, as the task learned them."""
    classes = [str(each) for outcome in rows.outcomes for each in outcome.classes]
    return ", ".join(classes or rows.run.task.output_names)


def _target(rows: TestRows) -> str:
    """The target as the config names it; empty where the dataset has its own."""
    dataset = rows.run.config["dataset"]
    target = dataset.get("target")
    given = target if isinstance(target, dict) else {"column": target}
    named = {"target" if key == "column" else key: value for key, value in given.items()}
    return ", ".join(f"{key} {value}" for key, value in named.items() if value is not None)


def _described(rows: TestRows) -> dict[str, Any]:
    run, test = rows.run, rows.run.metrics["test"]
    stages = run.environment.get("stages") or {}
    seconds = {name: each.get("seconds") for name, each in stages.items()}
    return {
        "run": rows.name,
        "label": rows.label,
        "experiment": run.config.get("name"),
        "model": run.config["model"]["name"],
        "dataset": run.config["dataset"]["name"],
        **{key: test.get(key) for key in ("n", "subjects", "positives", "threshold")},
        "seconds": {
            "total": round(sum(filter(None, seconds.values())), 3) if seconds else None,
            "fit": seconds.get("fit"),
        },
        "confidence": run.config["evaluation"]["confidence"],
        "metrics": test["metrics"],
    }


def _against(reference: TestRows, rows: TestRows, settings: Evaluation) -> dict[str, Any]:
    names = {"run": rows.name, "reference": reference.name}
    order, evidence = matched(reference, rows)
    y = reference.test.y
    missing = y.dtype.kind == "f"  # a future value may not have been measured
    if order is not None and not np.array_equal(rows.test.y[order], y, equal_nan=missing):
        order, evidence = None, "the same test rows have other targets"
    if order is None:
        return {**names, "paired": False, "note": f"no paired test is possible: {evidence}"}
    run, seed = reference.run, reference.run.config["seed"]
    stored, outputs = reference.test, rows.test.outputs[order]
    given = (y, stored.outputs, stored.subjects, run.threshold, settings, seed)
    theirs = EvaluatedRows(run.task, *given)
    found = compare_outputs(theirs.answered(outputs, rows.run.threshold), theirs)
    return {**names, "paired": True, "rows": evidence, **found}


def _correct(comparisons: Sequence[dict[str, Any]]) -> None:
    """Write ``p_holm`` beside each p, over the comparisons that have the same test."""
    tests: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for comparison in comparisons:
        for path, found in _tests(comparison):
            tests.setdefault(path, []).append(found)
    for same in tests.values():
        known = [found for found in same if found["p"] is not None]
        for found, adjusted in zip(known, holm([each["p"] for each in known]), strict=True):
            found["p_holm"] = adjusted


def _tests(
    found: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    for key, value in found.items():
        if isinstance(value, dict):
            if "p" in value:
                yield (*path, key), value
            yield from _tests(value, (*path, key))

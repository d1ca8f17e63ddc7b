"""How well the network does on the test part: curves, confusion, and where it errs most."""

from __future__ import annotations

from typing import Any

import numpy as np

from medkit.evaluation import called
from medkit.report.drawing import Figure
from medkit.report.inputs import ReportInputs
from medkit.report.sections import figures
from medkit.report.sections.forecast import largest_misses
from medkit.report.templates import readable

_MOST_CLASSES = 20
_MOST_OUTPUTS = 4
_WORST = 10
_EDGE = 1e-7
_SUBGROUP_METRICS = ("auprc", "recall", "specificity", "accuracy", "f1_macro", "rmse", "r2")


def confusion(inputs: ReportInputs) -> dict[str, Any] | None:
    """Counts by observed (rows) and predicted (columns) class on the test part.

    Returns:
        ``{"names", "rows": [[(count, share of the row), …], …]}`` of a multiclass task with at
        most 20 classes, else None: a binary task has the slider's matrix.
    """
    found = inputs.test()
    if found is None or inputs.task.kind != "multiclass" or found[1].shape[1] > _MOST_CLASSES:
        return None
    y, p = found
    size = p.shape[1]
    pairs = y.ravel().astype(int) * size + p.argmax(axis=1)
    counts = np.bincount(pairs, minlength=size * size).reshape(size, size)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    rows = [
        [(int(n), round(float(share), 3)) for n, share in zip(*row, strict=True)]
        for row in zip(counts, shares, strict=True)
    ]
    return {"names": inputs.names(size), "rows": rows}


def result_figures(inputs: ReportInputs) -> list[Figure]:
    """ROC and precision-recall curves, or observed against predicted values."""
    found = inputs.test()
    if found is None:
        return []
    y, p = found
    if inputs.task.kind == "regression":
        return _values(inputs, y.reshape(len(y), -1), p)
    outcomes = inputs.one_against_rest()
    if outcomes is None:
        return []
    names, targets, p = outcomes
    test = inputs.metrics["test"]
    said = ", ".join(
        f"{called(name)} {readable(test['metrics'][name]['value'])}"
        for name in ("auroc", "auprc", "auroc_macro", "auprc_macro")
        if name in test["metrics"]
    )
    curves = [(name, t, q) for name, t, q in zip(names, targets.T, p.T, strict=True)]
    return figures.discrimination(curves, thresholds_in_use(inputs, len(names)), said)


def thresholds_in_use(inputs: ReportInputs, count: int) -> list[float | None]:
    """The threshold of each outcome; None where the task has none."""
    used = inputs.metrics["test"].get("threshold")
    if inputs.task.kind == "multiclass":
        return [None] * count
    return list(used) if isinstance(used, list) else [used] * count


def subgroup_columns(inputs: ReportInputs, main: str) -> list[str]:
    """The metrics that the tables of subgroups have room for, the leading one first."""
    reported = inputs.metrics["test"]["metrics"]
    return [main, *(name for name in _SUBGROUP_METRICS if name in reported)][:4]


def worst_errors(inputs: ReportInputs) -> dict[str, Any] | None:
    """The test samples whose outcome the network least expected, named by hash.

    Returns:
        ``{"head": [text], "rows": [[text]], "caption"}``, at most 10 rows; None where the hashes
        of the samples are not given.
    """
    found, hashed = inputs.test(), inputs.hashed.get("test", ())
    if found is None or len(hashed) != len(found[0]):
        return None
    if inputs.task.kind == "forecasting":
        return largest_misses(inputs, *found, hashed)
    if inputs.task.kind == "regression":
        return _largest_residuals(inputs, *found, hashed)
    outcomes = inputs.one_against_rest()
    if outcomes is None:
        return None
    names, y, p = outcomes
    if inputs.task.kind == "multiclass":
        return _least_expected_class(names, y, p, hashed)
    return _least_expected(inputs, names, y, p, hashed)


def _values(inputs: ReportInputs, y: np.ndarray, p: np.ndarray) -> list[Figure]:
    names = inputs.names(p.shape[1])
    labels = names if len(inputs.target_names) == len(names) else ["value"] * len(names)
    drawn: list[Figure] = []
    for i in range(min(p.shape[1], _MOST_OUTPUTS)):
        drawn += figures.observed_and_predicted(f"output{i}", labels[i], y[:, i], p[:, i])
    return drawn


def _largest_residuals(
    inputs: ReportInputs, y: np.ndarray, p: np.ndarray, hashed: Any
) -> dict[str, Any]:
    y = y.reshape(len(y), -1)
    residuals = y - p
    spread = residuals.std(axis=0)
    scaled = np.abs(residuals) / np.where(spread > 0, spread, 1)
    names = inputs.names(p.shape[1])
    rows = []
    for position in _largest(scaled):
        row, output = np.unravel_index(position, scaled.shape)
        cells = [hashed[row], *([names[output]] if len(names) > 1 else [])]
        values = (y[row, output], p[row, output], residuals[row, output])
        rows.append([*cells, *(readable(float(each)) for each in values)])
    head = ["Sample", *(["Output"] if len(names) > 1 else []), "Observed", "Predicted",
            "Observed − predicted"]  # fmt: skip
    return {"head": head, "rows": rows, "caption": "Largest errors on the test part."}


def _least_expected(
    inputs: ReportInputs, names: list[str], y: np.ndarray, p: np.ndarray, hashed: Any
) -> dict[str, Any]:
    given = np.where(y == 1, p, 1 - p)
    thresholds = thresholds_in_use(inputs, len(names))
    used = np.array([0.5 if each is None else each for each in thresholds], dtype=float)
    wrong = (p >= used) != (y == 1)
    several = len(names) > 1
    classes = ["no", "yes"] if several else inputs.names(2)
    rows = []
    for position in _largest(-np.log(np.clip(given, _EDGE, 1))):
        row, outcome = np.unravel_index(position, p.shape)
        rows.append(
            [hashed[row], *([names[outcome]] if several else []), classes[int(y[row, outcome])],
             readable(float(p[row, outcome])), "wrong" if wrong[row, outcome] else "right"]
        )  # fmt: skip
    head = ["Sample", *(["Outcome"] if several else []), "Observed",
            "Probability" if several else f"Probability of {classes[1]}",
            "At the threshold in use"]  # fmt: skip
    caption = "The outcomes the network least expected on the test part."
    return {"head": head, "rows": rows, "caption": caption}


def _least_expected_class(
    names: list[str], y: np.ndarray, p: np.ndarray, hashed: Any
) -> dict[str, Any]:
    observed, predicted = y.argmax(axis=1), p.argmax(axis=1)
    given = p[np.arange(len(p)), observed]
    rows = [
        [hashed[row], names[observed[row]], readable(float(given[row])), names[predicted[row]],
         readable(float(p[row, predicted[row]]))]
        for row in _largest(1 - given)
    ]  # fmt: skip
    head = ["Sample", "Observed", "Its probability", "Most probable", "With probability"]
    caption = "The classes the network least expected on the test part."
    return {"head": head, "rows": rows, "caption": caption}


def _largest(values: np.ndarray) -> np.ndarray:
    """Positions in the flattened array of the largest values, the largest first."""
    return np.argsort(-values.ravel(), kind="stable")[:_WORST]

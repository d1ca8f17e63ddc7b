"""How the output moves with one feature of a table: partial dependence and ALE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from medkit.data.inputs import Inputs
from medkit.evaluation.resampling.intervals import plain
from medkit.explanation.predict import OfOne, Predict, of_one_input
from medkit.modalities.modality import Modality
from medkit.tasks.task import Task

FEATURES = 6
POINTS = 20
_ROWS = 500  # of partial dependence: each is predicted at every grid point
_ROWS_ALE = 5000
_OUTPUTS = 4
_SHOWN = 5  # rows that must share a value before it is printed as such


def dependence(
    predict: Predict,
    task: Task,
    inputs: Inputs,
    source: str,
    modality: Modality,
    names: Sequence[str],
    seed: int,
) -> list[dict[str, Any]]:
    """Curves of partial dependence and accumulated local effects.

    Args:
        predict: m encoded samples -> (m, outputs).
        task: The fitted task.
        inputs: n encoded samples of the test part.
        source: Name of the input whose columns are drawn.
        modality: Its fitted modality, of which single values can be varied.
        names: The features to draw, the most important first; ``FEATURES`` of them are taken.
        seed: Seed of the rows taken.

    Returns:
        ``metrics["explanations"]["dependence"]`` of the package's docstring.
    """
    random = np.random.default_rng(seed)
    some = [_taken(predict, inputs, source, most, random) for most in (_ROWS, _ROWS_ALE)]
    features = {feature.name: i for i, feature in enumerate(modality.features)}
    result: list[dict[str, Any]] = []
    for name in [each for each in names if each in features][:FEATURES]:
        result += _curves(task, some, modality, features[name])
    return plain(result)


def partial_dependence(predict: OfOne, x: np.ndarray, column: int, grid: np.ndarray) -> np.ndarray:
    """(points, outputs): the mean output with one column set to each grid value.

    ``PD(v) = mean over rows i of f(v, x_i without the column)`` (Friedman, Greedy function
    approximation, Annals of Statistics 29, 2001). Where features are correlated it averages over
    rows that nobody has; ALE does not.
    """
    copies = np.repeat(x[None], len(grid), axis=0)
    copies[:, :, column] = np.asarray(grid, x.dtype)[:, None]
    outputs = np.asarray(predict(copies.reshape(-1, x.shape[1])), float)
    return outputs.reshape(len(grid), len(x), -1).mean(axis=1)


def accumulated_local_effects(
    predict: OfOne, x: np.ndarray, column: int, edges: np.ndarray
) -> np.ndarray:
    """(edges, outputs): accumulated local effects of one numeric column, with mean 0.

    ``ALE(z_k) = sum over bins up to k of mean over rows in the bin of
    f(z_b, x_i) - f(z_(b-1), x_i)``, less its mean over the rows (Apley and Zhu, Visualizing the
    effects of predictor variables in black box supervised learning models, JRSS B 82, 2020).
    Rows beyond the edges count to the first or last bin; rows without a value are left out.

    Args:
        predict: (m, columns) -> (m, outputs).
        x: (n, columns) rows.
        column: The numeric column.
        edges: Increasing edges of the bins, two or more.
    """
    edges = np.asarray(edges, x.dtype)
    seen = ~np.isnan(x[:, column])
    bins = np.clip(np.searchsorted(edges, x[:, column], side="left"), 1, len(edges) - 1)
    both = np.concatenate([x, x])
    both[:, column] = np.concatenate([edges[bins - 1], edges[bins]])
    lower, upper = (half[seen] for half in np.split(np.asarray(predict(both), float), 2))
    bins = bins[seen]
    counts = np.bincount(bins, minlength=len(edges))[1:]
    sums = np.zeros((len(edges), lower.shape[1]))
    np.add.at(sums, bins, upper - lower)
    curve = np.cumsum(np.r_[0 * sums[:1], sums[1:] / np.maximum(counts, 1)[:, None]], axis=0)
    middle = (curve[1:] + curve[:-1]) / 2
    return curve - (middle * counts[:, None]).sum(axis=0) / counts.sum()


def grid_of(values: np.ndarray, points: int = POINTS) -> np.ndarray:
    """At most ``points`` increasing values: those that occur, if few, else quantiles.

    A value is printed as it is only if five rows share it. Quantiles go from 2.5 % to 97.5 % and
    are interpolated and rounded to four digits: no single patient's extreme value is shown.
    """
    values = values[~np.isnan(values)].astype(float)
    if not len(values):
        return values
    distinct, counts = np.unique(values, return_counts=True)
    common = distinct[counts >= _SHOWN]
    if 2 <= len(common) <= points and counts[counts >= _SHOWN].sum() >= 0.9 * len(values):
        return common
    found = np.quantile(values, np.linspace(0.025, 0.975, points))
    # Digits that distinguish neighbours, however far from zero they lie.
    spread = found[-1] - found[0]
    if spread == 0:
        return found[:1]
    return np.unique(np.round(found, int(3 - np.floor(np.log10(spread)))))


def _curves(
    task: Task, some: Sequence[tuple[OfOne, np.ndarray]], modality: Modality, column: int
) -> list[dict[str, Any]]:
    """The curves of one column; for partial dependence, and for ALE, outputs and rows."""
    feature = modality.features[column]
    base: dict[str, Any] = {"feature": feature.name, "unit": feature.unit, "kind": feature.kind}
    ale: np.ndarray | None = None
    values = some[1][1][:, column]
    levels = modality.levels(column, values)
    if levels is not None:
        codes, shown = levels
        note = "Categories have no order to accumulate effects along."
    else:
        codes = grid_of(values)
        shown, note = codes.tolist(), ""
    if len(codes) < 2:
        note = "Not estimable: the feature does not vary in the test part."
        empty = {"output": None, "grid": shown, "partial": None, "ale": None, "note": note}
        return [{**base, **empty}]
    partial = partial_dependence(*some[0], column, codes)
    if levels is None:
        ale = accumulated_local_effects(*some[1], column, codes)
    names = task.output_names
    notes = [note] if note else []
    if len(names) > _OUTPUTS:
        notes.append(f"The first {_OUTPUTS} of {len(names)} outputs.")
    noted = {"note": " ".join(notes)} if notes else {}
    return [
        {
            **base,
            "output": name if len(names) > 1 or task.probabilities else None,
            "grid": shown,
            "partial": partial[:, i],
            "ale": None if ale is None else ale[:, i],
            **noted,
        }
        for i, name in enumerate(names[:_OUTPUTS])
    ]


def _taken(
    predict: Predict, inputs: Inputs, source: str, most: int, random: np.random.Generator
) -> tuple[OfOne, np.ndarray]:
    """Some rows of an input, and the outputs for changed copies of them."""
    if len(inputs) > most:
        inputs = inputs.take(np.sort(random.choice(len(inputs), most, replace=False)))
    return of_one_input(predict, inputs, source), np.asarray(inputs[source])

"""Explanations as tables: of one sample, feature by feature; of many, one row each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from medkit.core.lazy import pd
from medkit.explanation.groups import Events, Group, groups_of
from medkit.explanation.local import Local

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Explained:
    """Samples of a file and the explanation of one of their inputs.

    Args:
        name: Name of the input.
        modality: Its fitted modality.
        task: The run's task.
        samples: (n,) the file's own sample ids.
        x: (n, …) encoded samples.
        local: Their explanations.
        single: Whether one sample was asked for.
        left_out: Usable samples of the file that were not explained.
        title: Name of the experiment and of its run.
    """

    name: str
    modality: Any
    task: Any
    samples: np.ndarray
    x: np.ndarray
    local: Local
    single: bool
    left_out: int = 0
    title: str = ""


def table_of(explained: Sequence[Explained]) -> pandas.DataFrame:
    """The explanations of all inputs as a table.

    Returns:
        Of one sample: ``feature``, ``step`` (time series by step) or ``hours`` (events),
        ``value``, ``unit`` and ``attribution``, the largest first where there is no order. Of
        many: one row each with ``sample``, ``output`` (what is explained), ``prediction``,
        ``reference`` (what the attributions start from, where they sum up), and a column for each
        feature: a channel is summed over its steps, a variable over its events, pixels over
        (Grad-CAM and occlusion: averaged in) blocks. Of several inputs, ``input`` comes first in
        the table of one sample, and the input's name before columns that would not say it.
    """
    if not explained[0].single:
        return _many(explained)
    tables = [_single(each) for each in explained]
    if len(tables) == 1:
        return tables[0]
    for each, table in zip(explained, tables, strict=True):
        table.insert(0, "input", each.name)
    return pd.concat(tables, ignore_index=True)


def totals(explained: Explained) -> tuple[list[str], list[str | None], np.ndarray]:
    """Names, units and (n, features) attributions by feature, position, step or block."""
    local, modality, x = explained.local, explained.modality, explained.x
    found = local.attributions
    if local.axes in ("feature", "step feature"):
        features = modality.features
        sums = found.sum(axis=1) if local.axes == "step feature" else found
        return [f.name for f in features], [f.unit for f in features], sums
    if local.axes == "event":
        groups = groups_of(modality, x.shape[1:])
        sums = [np.where(_is_of(group, x), found, 0.0).sum(axis=1) for group in groups]
        return [g.name for g in groups], [g.unit for g in groups], np.stack(sums, axis=1)
    if local.axes in ("position", "step"):
        names = [f"{local.axes} {i + 1}" for i in range(found.shape[1])]
        return names, [None] * len(names), found
    groups = groups_of(modality, x.shape[1:], fine=True)
    together = np.sum if local.method == "integrated_gradients" else np.mean
    spatial = tuple(range(1, found.ndim))
    blocks = [together(group.of(found), axis=spatial) for group in groups]
    return [g.name for g in groups], [None] * len(groups), np.stack(blocks, axis=1)


def _single(explained: Explained) -> pandas.DataFrame:
    local, modality, x = explained.local, explained.modality, explained.x[0]
    if local.axes == "step feature":
        found, names = local.attributions[0], modality.names
        # A step without a measurement has no row unless its being empty counted.
        steps, channels = np.nonzero(~np.isnan(x) | (found != 0))
        table = pd.DataFrame(
            {
                "feature": [names[c] for c in channels],
                "step": steps + 1,
                "value": [_shown(value) for value in x[steps, channels]],
                "unit": [modality.features[c].unit or "" for c in channels],
                "attribution": found[steps, channels],
            }
        )
        return _largest_first(table)
    if local.axes == "event":
        return _events(explained)
    names, units, attributions = totals(explained)
    table = pd.DataFrame(
        {
            "feature": names,
            "value": _values(explained),
            "unit": [unit or "" for unit in units],
            "attribution": attributions[0],
        }
    )
    return table if local.axes in ("position", "step") else _largest_first(table)


def _events(explained: Explained) -> pandas.DataFrame:
    """Each event of one sample."""
    found, x = explained.local.attributions[0], explained.x[0]
    features = explained.modality.features
    places = np.flatnonzero(~np.isnan(x[:, 1]))
    variables = [features[int(number)] for number in x[places, 1]]
    table = {
        "feature": [each.name for each in variables],
        "hours": [_number(each) for each in x[places, 0]],
        "value": [_number(each) for each in x[places, 2]],
        "unit": [each.unit or "" for each in variables],
        "attribution": found[places],
    }
    return _largest_first(pd.DataFrame(table))


def _is_of(group: Group, x: np.ndarray) -> np.ndarray:
    """(n, events) boolean: which events are of a variable."""
    return group.among(x) if isinstance(group, Events) else np.zeros(x.shape[:2], dtype=bool)


def _many(explained: Sequence[Explained]) -> pandas.DataFrame:
    first = explained[0]
    local = first.local
    known = first.task.output_names
    columns: dict[str, Any] = {
        "sample": first.samples,
        "output": [known[i] for i in local.which],
        "prediction": local.explained,
    }
    if local.reference is not None:
        columns["reference"] = local.reference
    found = [pd.DataFrame(columns)]
    each_total = [totals(each) for each in explained]
    count = Counter(name for names, _, _ in each_total for name in names)
    for each, (names, _, attributions) in zip(explained, each_total, strict=True):
        clear = len(explained) == 1 or each.modality.features
        called = [
            name if clear and count[name] == names.count(name) else f"{each.name} {name}"
            for name in names
        ]
        # A feature may be called 'sample' too: names need not be unique in the file.
        found.append(pd.DataFrame(attributions, columns=called))
    return pd.concat(found, axis=1)


def _largest_first(table: pandas.DataFrame) -> pandas.DataFrame:
    order = np.argsort(-np.abs(table["attribution"].to_numpy()), kind="stable")
    return table.iloc[order].reset_index(drop=True)


def _values(explained: Explained) -> list[Any]:
    """What one sample holds, feature by feature, as a reader knows it; None where nothing."""
    modality, x, axes = explained.modality, explained.x[0], explained.local.axes
    if modality.modality == "tabular":
        return [
            _category(modality, f.name, value) if f.kind == "categorical" else _number(value)
            for f, value in zip(modality.features, x, strict=True)
        ]
    if axes == "position":
        known = ["", "(unseen)", *modality.vocabulary_]
        return [known[code] for code in x]
    if axes == "step":
        return [None] * len(x)
    if modality.modality == "triplets":
        values = (group.of(explained.x)[0] for group in groups_of(modality, x.shape))
        events = (each[~np.isnan(each)] for each in values)
        usual = [each.mean() if len(each) else np.nan for each in events]
        return [_shown(mean) for mean in usual]
    if modality.modality == "series":
        measured = ~np.isnan(x)
        sums = np.where(measured, x, 0.0).sum(axis=0, dtype=float)
        counts = measured.sum(axis=0)
        means = [s / n if n else np.nan for s, n in zip(sums, counts, strict=True)]
        return [_shown(mean) for mean in means]
    return [float(g.of(explained.x)[0].mean()) for g in groups_of(modality, x.shape, fine=True)]


def _shown(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _category(modality: Any, name: str, code: float) -> str | None:
    if np.isnan(code):
        return None
    return "(rare or unseen)" if code == 0 else modality.categories_[name][int(code) - 1]


def _number(value: float) -> float | None:
    # As it was written: 0.1 rather than its nearest float32.
    return None if np.isnan(value) else float(np.format_float_positional(value))

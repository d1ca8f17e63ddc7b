"""Explanations as tables: of one sample, feature by feature; of many, one row each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from medkit.core.lazy import pd
from medkit.explanation.local import Local
from medkit.modalities.groups import FeatureGroup
from medkit.modalities.modality import Modality
from medkit.tasks.task import Task

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
    modality: Modality
    task: Task
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
    local, x, found = explained.local, explained.x, explained.local.attributions
    if local.axes in ("position", "step"):
        names = [f"{local.axes} {i + 1}" for i in range(found.shape[1])]
        return names, [None] * len(names), found
    groups = _groups(explained)
    if local.axes != "feature":
        summed = local.method == "integrated_gradients" or local.axes != "pixel"
        together = np.sum if summed else np.mean
        found = np.stack([group.total(found, x, together) for group in groups], axis=1)
    return [group.name for group in groups], [group.unit for group in groups], found


def _groups(explained: Explained) -> list[FeatureGroup]:
    return explained.modality.groups(fine=explained.local.axes in ("position", "pixel"))


def _single(explained: Explained) -> pandas.DataFrame:
    local, modality, x = explained.local, explained.modality, explained.x
    if local.axes == modality.value_axes:
        items = modality.itemized(x, local.attributions)
        if items is not None:
            return _largest_first(items)
    names, units, attributions = totals(explained)
    values: list[Any] = [None] * len(names)
    if local.axes != "step":
        values = [modality.shown(x, group) for group in _groups(explained)]
    table = pd.DataFrame(
        {
            "feature": names,
            "value": values,
            "unit": [unit or "" for unit in units],
            "attribution": attributions[0],
        }
    )
    return table if local.axes in ("position", "step") else _largest_first(table)


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

"""A table's columns as the leakage gate compares and explanations hide and show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from medkit.core.lazy import pd
from medkit.data.stored_columns import StoredColumns
from medkit.modalities.drawing import plain
from medkit.modalities.groups import FeatureGroup
from medkit.modalities.hooks import prepared
from medkit.modalities.likeness import Cells
from medkit.modalities.modality import Modality

if TYPE_CHECKING:
    import pandas


MOST_LEVELS = 20


class TabularHooks(Modality):
    """One column is one feature, with its one-hot columns and its indicator."""

    no_curves: ClassVar[str] = ""
    most_explained: ClassVar[int] = 1000
    standardize: bool
    categories_: dict[str, list[str]]
    rare_: list[str]

    def reference(self, layer: Any, inner: np.ndarray, x: np.ndarray) -> np.ndarray:
        """The training mean of each number (or what fills it), all categories alike, nothing
        marked as missing."""
        start = prepared(layer, np.full_like(x[:1], np.nan)).copy()
        numeric, hot = len(layer.numeric_columns), np.asarray(layer.hot_columns, int)
        # Without any category, each would get what is common to all of them.
        start[..., numeric : numeric + len(hot)] = 1 / np.bincount(hot, minlength=1)[hot]
        start[..., numeric + len(hot) :] = 0.0
        if self.standardize:
            start[..., :numeric] = 0.0
        return np.broadcast_to(start, inner.shape)

    def attributed(self, layer: Any, inner: np.ndarray, x: np.ndarray) -> np.ndarray:
        """(n, columns), from each column's one-hot columns and its indicator."""
        columns = [*layer.numeric_columns, *layer.hot_columns, *layer.indicator_columns]
        found = np.zeros((len(columns), x.shape[1]))
        found[np.arange(len(columns)), columns] = 1.0
        return np.asarray(inner @ found)

    def shown(self, x: np.ndarray, group: FeatureGroup) -> Any:
        feature, value = self.features[group.where[0]], x[0, group.where[0]]
        if feature.kind != "categorical":
            return plain(value)
        if np.isnan(value):
            return None
        return "(rare or unseen)" if value == 0 else self.categories_[feature.name][int(value) - 1]

    def levels(self, position: int, values: np.ndarray) -> tuple[np.ndarray, list[str]] | None:
        """Codes and names of the most common categories, in the order of training."""
        feature = self.features[position]
        if feature.kind != "categorical":
            return None
        known = ["(rare)", *self.categories_[feature.name]]
        counts = np.bincount(values[~np.isnan(values)].astype(int), minlength=len(known))
        if feature.name not in self.rare_:
            counts[0] = 0  # has no column of its own: it would stand for 'missing'
        kept = np.sort(np.argsort(-counts, kind="stable")[:MOST_LEVELS])
        kept = kept[counts[kept] > 0]
        return kept.astype(float), [known[code] for code in kept]

    # -- Compared: identical rows weighed against coincidence by column, near ones by numbers.

    def row_keys(self, raw: Any) -> tuple[np.ndarray, np.ndarray]:
        table = self.table(raw)
        blocks = table.blocks() if isinstance(table, StoredColumns) else [table]
        hashed = [pd.util.hash_pandas_object(each, index=False) for each in blocks]
        keys = np.concatenate([each.to_numpy(dtype=np.uint64) for each in hashed])
        return keys, np.ones(len(keys), dtype=bool)

    def table(self, raw: Any) -> pandas.DataFrame | StoredColumns:
        values = self._values(raw)
        if not isinstance(values, StoredColumns):
            values = pd.DataFrame(values).rename(columns=str)
        return values[[name for name in self.names if name in values.columns]]

    def near_cells(self, x: np.ndarray) -> Cells | None:
        numeric = [i for i, f in enumerate(self.features) if f.kind == "numeric"]
        names = tuple(self.names[i] for i in numeric)
        return Cells(np.asarray(x[:, numeric], "float32"), names) if numeric else None

"""A table's columns as the leakage gate compares them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from medkit.core.lazy import pd
from medkit.data.stored_columns import StoredColumns
from medkit.modalities.likeness import Cells
from medkit.modalities.modality import Modality

if TYPE_CHECKING:
    import pandas


class TabularCompared(Modality):
    """Identical rows are weighed against coincidence column by column; near ones are numeric."""

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

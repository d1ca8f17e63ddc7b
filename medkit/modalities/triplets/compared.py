"""Triplets as the leakage gate compares them."""

from __future__ import annotations

import numpy as np

from medkit.modalities.likeness import MOST_CELLS, Cells
from medkit.modalities.modality import Modality


class TripletsCompared(Modality):
    """Events need not lie at the same times: what each variable was like in the row."""

    def constants(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Variables that change within no row."""
        summary = self.summarize(x)
        return {
            name: summary[f"{name} min"].to_numpy()
            for name in self.names
            if not (summary[f"{name} min"] < summary[f"{name} max"]).any()
        }

    def near_cells(self, x: np.ndarray) -> Cells | None:
        summary = self.summarize(x)
        wanted = [n for n in summary if str(n).endswith((" mean", " first", " last"))]
        return Cells(summary[wanted].to_numpy("float32")[:, :MOST_CELLS])

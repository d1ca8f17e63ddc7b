"""Series as the leakage gate compares them."""

from __future__ import annotations

import numpy as np

from medkit.data.stored_arrays import blocks, by_channel
from medkit.modalities.likeness import Cells, Runs, chosen_cells, shared_stretches
from medkit.modalities.modality import Modality


class SeriesCompared(Modality):
    """Near-identical by the distance of their cells; cut from one recording by shared stretches."""

    def constants(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Channels that change within no row."""
        found = ((self.names[i], _constant(np.asarray(channel))) for i, channel in by_channel(x))
        return {name: values for name, values in found if values is not None}

    def near_cells(self, x: np.ndarray) -> Cells | None:
        chosen = chosen_cells(x.shape[1:])
        flat = [part.reshape(len(part), -1)[:, chosen].astype("float32") for _, part in blocks(x)]
        values = np.concatenate(flat) if flat else np.empty((0, len(chosen)), "float32")
        return Cells(values, shared=chosen % x.shape[2])

    def runs(self, x: np.ndarray) -> Runs | None:
        return shared_stretches(x)


def _constant(channel: np.ndarray) -> np.ndarray | None:
    """(n,) value of a channel that does not change within a row; None if it does in some row."""
    last = np.full(len(channel), np.nan, dtype=channel.dtype)
    for step in channel.T:
        known = ~np.isnan(step)
        if (known & ~np.isnan(last) & (step != last)).any():
            return None
        last = np.where(known, step, last)
    return last

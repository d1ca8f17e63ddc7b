"""Images as the leakage gate compares them."""

from __future__ import annotations

import numpy as np

from medkit.modalities.modality import Modality

SIDE = 32


class ImageCompared(Modality):
    """Near-identical by their look when reduced; judged also by the extremes of small blocks."""

    def gate_columns(self, x: np.ndarray) -> tuple[list[str], np.ndarray]:
        """The summaries, and the brightest and darkest pixel of each block of a grid of at most
        32 × 32: a burnt-in mark shows there."""
        names, values = super().gate_columns(x)
        x = x if x.ndim == 4 else x.max(axis=1)
        x = np.asarray(x.mean(axis=-1) if x.shape[-1] > 1 else x[..., 0], dtype="float32")
        starts = [_starts(size) for size in x.shape[1:]]
        found = [values]
        for what, reduce in (("brightest", np.maximum), ("darkest", np.minimum)):
            pooled = reduce.reduceat(reduce.reduceat(x, starts[0], axis=1), starts[1], axis=2)
            found.append(pooled.reshape(len(x), -1))
            names += [
                f"{what} at row {r + 1}, column {c + 1}" for r in starts[0] for c in starts[1]
            ]
            if pooled.shape == x.shape:
                break  # blocks of one pixel: the same twice
        return names, np.hstack(found)

    def reduced(self, x: np.ndarray) -> np.ndarray | None:
        """Blocks, channels and depth averaged."""
        found = []
        for start in range(0, len(x), 256):
            block = np.asarray(x[start : start + 256], dtype="float32").mean(axis=-1)
            block = block.mean(axis=1) if block.ndim == 4 else block
            for axis in (1, 2):
                starts = _starts(block.shape[axis])
                shape = [1, 1, 1]
                shape[axis] = len(starts)
                width = np.diff([*starts, block.shape[axis]]).reshape(shape)
                block = np.add.reduceat(block, starts, axis=axis) / width
            found.append(block)
        return np.concatenate(found)


def _starts(size: int) -> np.ndarray:
    count = min(size, SIDE)
    return (np.arange(count) * size) // count

"""Images as the leakage gate compares them, explanations hide them, and people look at them."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from medkit.modalities.drawing import Drawing, shares
from medkit.modalities.groups import FeatureGroup, blocks_of
from medkit.modalities.hooks import prepared
from medkit.modalities.modality import Modality

SIDE = 32
BLOCKS = 4  # along each axis, over all samples; twice as many for single ones
_WINDOWS = 400
_SIDE = 384  # pixels of a picture's longer side, at least
_FOR, _AGAINST = (226, 93, 20), (31, 95, 168)  # orange, blue


class ImageHooks(Modality):
    """A feature is a block of pixels; without it they are the training images' mean."""

    value_axes: ClassVar[str] = "pixel"
    step_axes: ClassVar[str] = "pixel"
    group_axes: ClassVar[str] = "pixel"
    no_curves: ClassVar[str] = "Pixels are not features to vary one by one."
    numbers_at_once: ClassVar[int] = 10_000_000
    most_explained: ClassVar[int] = 50
    pictured: ClassVar[bool] = True
    dtype_: str
    low_: float
    high_: float
    center_: list[float]

    def groups(self, fine: bool = False) -> list[FeatureGroup]:
        sizes = self.input_shape_[:-1]
        axes = ("row", "column") if len(sizes) == 2 else ("slice", "row", "column")
        return blocks_of(sizes, 2 * BLOCKS if fine else BLOCKS, axes)

    def hidden_parts(self) -> tuple[list[FeatureGroup], bool]:
        """Windows that slide over the image by half their size (Zeiler and Fergus, Visualizing and
        understanding convolutional networks, ECCV 2014)."""
        return [FeatureGroup("", None, window) for window in _windows(self.input_shape_[:-1])], True

    def hide(self, x: np.ndarray, group: FeatureGroup) -> None:
        group.of(x)[...] = self._mean_pixel.astype(x.dtype)

    def reference(self, layer: Any, inner: np.ndarray, x: np.ndarray) -> np.ndarray:
        """The training images' mean pixel everywhere."""
        blank = np.broadcast_to(self._mean_pixel, x.shape[1:]).astype(x.dtype)
        return np.broadcast_to(prepared(layer, blank[None])[0], inner.shape)

    @property
    def _mean_pixel(self) -> np.ndarray:
        """(channels,) the training images' mean, as raw pixels have it."""
        raw = self.low_ + np.asarray(self.center_) * (self.high_ - self.low_)
        return np.round(raw) if self.dtype_ == "uint8" else raw

    def draw(
        self, x: np.ndarray, row: int, attribution: np.ndarray | None = None
    ) -> Drawing | None:
        """The image with its heat map over it: orange for the output, blue against it. Of a volume
        the slice with the strongest evidence, or the middle one."""
        heat = np.zeros(x.shape[1:-1]) if attribution is None else attribution[row]
        return Drawing(picture=_overlay(np.asarray(x[row]), heat))

    # -- Compared: near-identical by their look when reduced; the extremes of small blocks too.

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


def _overlay(image: np.ndarray, heat: np.ndarray) -> bytes:
    from PIL import Image
    from scipy.ndimage import zoom

    if heat.ndim == 3:
        evidence = np.abs(heat).sum(axis=(1, 2))
        strongest = int(evidence.argmax()) if evidence.any() else len(heat) // 2
        image, heat = image[strongest], heat[strongest]
    low, high = float(image.min()), float(image.max())
    grey = (np.asarray(image, float) - low) / (high - low if high > low else 1.0)
    colours = grey[..., :3] if grey.shape[-1] >= 3 else np.repeat(grey[..., :1], 3, axis=-1)
    factor = max(1, -(-_SIDE // max(heat.shape)))
    colours = colours.repeat(factor, axis=0).repeat(factor, axis=1)
    strength = zoom(shares(heat, heat.shape), factor, order=1, mode="nearest", grid_mode=True)
    tint = np.where(strength[..., None] >= 0, np.array(_FOR) / 255, np.array(_AGAINST) / 255)
    share = 0.75 * np.clip(np.abs(strength), 0, 1)[..., None]
    mixed = (1 - share) * colours + share * tint
    buffer = io.BytesIO()
    Image.fromarray((255 * mixed + 0.5).astype("uint8")).save(buffer, format="PNG")
    return buffer.getvalue()


def _windows(size: Sequence[int]) -> list[tuple[slice, ...]]:
    """Overlapping windows an eighth of each axis wide, or wider where they would be too many."""
    parts = 8
    while (2 * parts - 1) ** len(size) > _WINDOWS and parts > 2:
        parts -= 1
    axes = []
    for length in size:
        width = min(length, max(2, round(length / parts)))
        step = max(1, width // 2)
        starts = sorted({*range(0, length - width, step), length - width})
        axes.append([slice(start, start + width) for start in starts])
    return list(itertools.product(*axes))


def _starts(size: int) -> np.ndarray:
    count = min(size, SIDE)
    return (np.arange(count) * size) // count

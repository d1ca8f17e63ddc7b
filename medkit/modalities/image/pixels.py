"""Numbers about large arrays, read in blocks: they may be memmaps larger than memory."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.data.stored_arrays import blocks

if TYPE_CHECKING:
    import pandas

PERCENTILES = (5, 25, 50, 75, 95)


def refuse_not_finite(images: np.ndarray) -> None:
    """Raise a DataError where a pixel is NaN or infinite."""
    if images.dtype.kind != "f":
        return
    for start, block in blocks(images):
        bad = np.flatnonzero(~np.isfinite(block.reshape(len(block), -1)).all(axis=1))
        if len(bad):
            raise DataError(
                f"image {start + bad[0] + 1} has pixels that are NaN or infinite",
                hint="Replace them by the background's value, or drop the image.",
            )


def pixel_statistics(
    images: np.ndarray, given: tuple[float, float] | None = None
) -> tuple[float, float, np.ndarray, np.ndarray]:
    """The values that become 0 and 1, and each channel's mean and standard deviation then.

    uint8 is counted value by value and so exact; other pixels are summed in float64.

    Args:
        images: (n, …, channels).
        given: The values that become 0 and 1, where they are declared.
    """
    channels = images.shape[-1]
    if images.dtype == np.uint8:
        counts = np.zeros((channels, 256), dtype="int64")
        for _, block in blocks(images):
            for channel in range(channels):
                counts[channel] += np.bincount(block[..., channel].ravel(), minlength=256)
        low, high = given or (0.0, 255.0)
        values = (np.arange(256) - low) / (high - low)
        share = counts / counts.sum(axis=1, keepdims=True)
        mean = share @ values
        spread = np.sqrt((share * (values - mean[:, None]) ** 2).sum(axis=1))
        return low, high, mean, np.where((counts > 0).sum(axis=1) > 1, spread, 1.0)
    low, high = given or _lowest_and_highest(images)
    number = images.size // channels
    axes = tuple(range(images.ndim - 1))
    mean, squares = np.zeros(channels), np.zeros(channels)
    for _, block in blocks(images):
        mean += ((block.astype("float64") - low) / (high - low)).sum(axis=axes) / number
    for _, block in blocks(images):
        scaled = (block.astype("float64") - low) / (high - low)
        squares += ((scaled - mean) ** 2).sum(axis=axes) / number
    spread = np.sqrt(squares)
    return low, high, mean, np.where(spread > 1e-6, spread, 1.0)


def _lowest_and_highest(images: np.ndarray) -> tuple[float, float]:
    found = [(block.min(), block.max()) for _, block in blocks(images)]
    low, high = float(min(f[0] for f in found)), float(max(f[1] for f in found))
    return low, high if high > low else low + 1.0


def summarize_pixels(images: np.ndarray) -> pandas.DataFrame:
    """Mean, standard deviation, percentiles and block means of each channel."""
    tables = [_summarize(block) for _, block in blocks(images)]
    columns = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    return pd.DataFrame(columns)


def _summarize(images: np.ndarray) -> dict[str, np.ndarray]:
    space = images.shape[1:-1]
    grid = tuple(min(8 if len(space) == 2 else 4, size) for size in space)
    columns: dict[str, np.ndarray] = {}
    for channel in range(images.shape[-1]):
        pixels = images[..., channel].astype("float32")
        prefix = f"channel {channel + 1} " if images.shape[-1] > 1 else ""
        flat = pixels.reshape(len(pixels), -1)
        columns[f"{prefix}mean"] = flat.mean(axis=1)
        columns[f"{prefix}standard deviation"] = flat.std(axis=1)
        for percent, values in zip(
            PERCENTILES, np.percentile(flat, PERCENTILES, axis=1), strict=True
        ):
            columns[f"{prefix}percentile {percent}"] = values.astype("float32")
        means = pixels
        for axis, parts in enumerate(grid, start=1):
            edges = np.linspace(0, space[axis - 1], parts + 1).round().astype(int)
            shape = [-1 if i == axis else 1 for i in range(means.ndim)]
            sums = np.add.reduceat(means, edges[:-1], axis=axis)
            means = sums / np.diff(edges).reshape(shape)
        cells = itertools.product(*(range(1, parts + 1) for parts in grid))
        for cell, values in zip(cells, means.reshape(len(means), -1).T, strict=True):
            columns[f"{prefix}block {', '.join(map(str, cell))}"] = values.astype("float32")
    return columns

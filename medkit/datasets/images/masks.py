"""Masks beside their images: one file each, of the image's own size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medkit.core.errors import DataError
from medkit.datasets.images.decode import opened


def read_masks(files: Sequence[Path], images: Sequence[Path], size: tuple[int, int]) -> np.ndarray:
    """Masks (n, height, width) uint8: 1 where the file is not 0.

    Args:
        files: PNG files of the masks.
        images: The image that each lies on.
        size: (height, width) that the images were read in; masks are resized without mixing.

    Raises:
        DataError: A mask that cannot be read, or is of another size than its image.
    """
    from PIL import Image

    masks = np.zeros((len(files), *size), np.uint8)
    for number, (file, of) in enumerate(zip(files, images, strict=True)):
        mask, image = opened(file), opened(of)
        if mask is None:
            raise DataError(
                "the mask cannot be read", place=str(file), hint="Is it a whole PNG file?"
            )
        if image is not None and mask.size != image.size:
            raise DataError(
                f"the mask is {mask.height} × {mask.width} pixels and its image {of.name} "
                f"{image.height} × {image.width}",
                place=str(file),
                hint="Name the mask that was drawn on this image, or bring it to the image's size "
                "(by the nearest pixel, so that it stays 0 and 1).",
            )
        resized = mask.convert("L").resize((size[1], size[0]), Image.Resampling.NEAREST)
        masks[number] = np.asarray(resized) > 0
    return masks

"""Image files decoded to one uint8 array, in threads."""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

log = logging.getLogger("medkit")

SUFFIXES = (".png", ".jpg", ".jpeg")


def decode_images(
    files: Sequence[Path], size: tuple[int, int] | None, channels: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Decoded images, and which of the files could be read.

    Args:
        files: PNG or JPEG files.
        size: (height, width); None: that of the first readable image.
        channels: 1 or 3; None: 1 if the first readable image is grey, else 3.

    Returns:
        Images, uint8 (readable, height, width, channels), and a mask, bool (files,). No image
        where no file could be read.
    """
    readable = np.zeros(len(files), dtype=bool)
    first = next((image for image in map(_opened, files) if image is not None), None)
    if first is None:
        return np.zeros((0, 1, 1, 1), np.uint8), readable
    size = size or (first.height, first.width)
    channels = channels or (1 if first.mode in GREY else 3)
    images = np.zeros((len(files), *size, channels), dtype=np.uint8)
    resized = recoloured = 0

    def decode(number: int) -> tuple[bool, bool]:
        image = _opened(files[number])
        if image is None:
            return False, False
        differs = (image.height, image.width) != size
        coloured = channels == 1 and image.mode not in GREY
        images[number] = as_array(image, size, channels)
        readable[number] = True
        return differs, coloured

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for number, (differs, coloured) in enumerate(pool.map(decode, range(len(files))), start=1):
            resized, recoloured = resized + differs, recoloured + coloured
            if number % 2000 == 0:
                log.info("read %d of %d images", number, len(files))
    if resized:
        log.info("%d images resized to %d x %d pixels (height x width)", resized, *size)
    if recoloured:
        log.warning("%d colour images turned grey; set channels: 3 to keep colour", recoloured)
    return (images if readable.all() else images[readable]), readable


GREY = ("1", "L", "LA", "I", "F", "I;16", "I;16L", "I;16B")


def _opened(file: Path) -> Any | None:
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as image:
            image.load()
            # Photographs of phones are stored sideways, with a note how to turn them.
            return ImageOps.exif_transpose(image)
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError):
        return None  # counted and reported by the caller


def as_array(image: Any, size: tuple[int, int], channels: int) -> np.ndarray:
    """One PIL image as uint8 (height, width, channels), resized if needed; 16 bit become 8."""
    from PIL import Image

    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(image, dtype=np.float64)
        deepest = 255.0 if values.max(initial=0.0) <= 255 else 65535.0
        image = Image.fromarray(np.clip(values * (255.0 / deepest), 0, 255).astype(np.uint8))
    image = image.convert("L" if channels == 1 else "RGB")
    if (image.height, image.width) != tuple(size):
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR, reducing_gap=3.0)
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[..., None] if channels == 1 else pixels

"""Image files decoded to one array of whole numbers, in threads."""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from medkit.core.errors import DataError
from medkit.core.limits import check_memory

log = logging.getLogger("medkit")

SUFFIXES = (".png", ".jpg", ".jpeg")
# Pillow knows many more, some by starting another program, whatever the file is called.
FORMATS = ("PNG", "JPEG")


def decode_images(
    files: Sequence[Path], size: tuple[int, int] | None, channels: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Decoded images, and which of the files could be read.

    Pixels stay the whole numbers that the files hold: what becomes 0 and 1 is learned from the
    training images, or declared, and the same for all.

    Args:
        files: PNG or JPEG files.
        size: (height, width); None: that of the first readable image.
        channels: 1 or 3; None: 1 if the first readable image is grey, else 3.

    Returns:
        Images (readable, height, width, channels), uint8, or uint16 of files with 16 bits a
        pixel; and a mask, bool (files,). No image where no file could be read.

    Raises:
        DataError: Files of 8 and of 16 bits a pixel.
    """
    readable = np.zeros(len(files), dtype=bool)
    first = next((image for image in map(opened, files) if image is not None), None)
    if first is None:
        return np.zeros((0, 1, 1, 1), np.uint8), readable
    size = size or (first.height, first.width)
    channels = channels or (1 if first.mode in GREY else 3)
    check_images(len(files), size, channels, files[0].parent)
    images = np.zeros((len(files), *size, channels), np.uint16 if _deep(first) else np.uint8)
    resized = recoloured = otherwise = 0

    def decode(number: int) -> tuple[bool, bool, bool]:
        image = opened(files[number])
        if image is None:
            return False, False, False
        differs = (image.height, image.width) != size
        coloured = channels == 1 and image.mode not in GREY
        if other_depth := _deep(image) != _deep(first):
            return differs, coloured, other_depth
        images[number] = as_array(image, size, channels)
        readable[number] = True
        return differs, coloured, False

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for number, found in enumerate(pool.map(decode, range(len(files))), start=1):
            resized, recoloured = resized + found[0], recoloured + found[1]
            otherwise += found[2]
            if number % 2000 == 0:
                log.info("read %d of %d images", number, len(files))
    if otherwise:
        deep = int(readable.sum()) if _deep(first) else otherwise
        raise DataError(
            f"{deep} of {otherwise + int(readable.sum())} images have 16 bits a pixel, the others "
            "8: their values mean different things",
            place=str(files[0].parent),
            hint="Convert all to one depth, from the original files.",
        )
    if resized:
        log.info("%d images resized to %d x %d pixels (height x width)", resized, *size)
    if recoloured:
        log.warning("%d colour images turned grey; set channels: 3 to keep colour", recoloured)
    return (images if readable.all() else images[readable]), readable


def check_images(count: int, size: tuple[int, int], channels: int, place: Path) -> None:
    """Raise a DataError where so many images of a size do not fit into memory."""
    check_memory(
        count * size[0] * size[1] * channels,
        f"{count} images of {size[0]} x {size[1]} pixels",
        str(place),
        "Choose a smaller dataset.size.",
    )


GREY = ("1", "L", "LA", "I", "F", "I;16", "I;16L", "I;16B")


def opened(file: Path) -> Any | None:
    """The file as a PIL image, upright; None where it cannot be read."""
    from PIL import Image, ImageOps

    if not file.is_file():  # a pipe or a device has no end
        return None
    try:
        with Image.open(file, formats=FORMATS) as image:
            image.load()
            # Photographs of phones are stored sideways, with a note how to turn them.
            return ImageOps.exif_transpose(image)
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError):
        return None  # counted and reported by the caller


def _deep(image: Any) -> bool:
    """Whether a file has 16 bits a pixel; of colours, Pillow reads 8."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def as_array(image: Any, size: tuple[int, int], channels: int) -> np.ndarray:
    """One PIL image as uint8 or uint16 (height, width, channels), resized if needed."""
    from PIL import Image

    if _deep(image):
        # Interpolated as floating point: Pillow's 16-bit modes have no all-round arithmetic.
        image = Image.fromarray(np.asarray(image).astype(np.float32))
    else:
        image = image.convert("L" if channels == 1 else "RGB")
    if (image.height, image.width) != tuple(size):
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR, reducing_gap=3.0)
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8:
        pixels = np.clip(np.round(pixels), 0, 65535).astype(np.uint16)
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], channels, axis=2)

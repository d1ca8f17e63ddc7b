"""Images that lie as arrays in a ``.npz``, as MedMNIST delivers them."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from medkit.core.errors import DataError
from medkit.core.files import sha256
from medkit.core.lazy import pd
from medkit.core.limits import check_zip
from medkit.data.cohort import Cohort, RawInput, Source
from medkit.datasets.images.decode import as_array, check_images

PREFIXES = {"train_": "train", "val_": "valid", "test_": "test", "": ""}


def read_arrays(
    path: Path, labelled: bool, size: tuple[int, int] | None, channels: int | None
) -> Cohort:
    """The cohort of a ``.npz`` with ``[train_|val_|test_]images`` and ``…labels``."""
    arrays = _loaded(path)
    images, labels, parts = [], [], []
    for prefix, part in PREFIXES.items():
        if f"{prefix}images" not in arrays:
            continue
        pixels = arrays[f"{prefix}images"]
        _refuse_shape(pixels, path)
        images.append(pixels)
        parts += [part] * len(pixels)
        if labelled:
            if f"{prefix}labels" not in arrays:
                raise DataError(f"has {prefix}images but no {prefix}labels", place=str(path))
            values = arrays[f"{prefix}labels"]
            if values.ndim == 0 or len(values) != len(pixels):
                rows = len(values) if values.ndim else "no"
                raise DataError(
                    f"{prefix}images has {len(pixels)} rows, {prefix}labels has {rows}",
                    place=str(path),
                )
            labels.append(values)
    if not sum(map(len, images)):
        raise DataError(
            "holds no images",
            place=str(path),
            hint="Expected train_images, val_images, test_images or images; it holds "
            f"{', '.join(arrays) or 'nothing'}.",
        )
    if len({each.shape[1:] for each in images}) > 1:
        shapes = ", ".join(str(each.shape[1:]) for each in images)
        raise DataError(f"its parts hold images of different shapes: {shapes}", place=str(path))
    pixels = _fitted(_checked(np.concatenate(images), path), size, channels, path)
    samples = pd.DataFrame(index=pd.RangeIndex(1, len(pixels) + 1, name="row"))
    if any(parts):
        samples["split"] = parts
    targets, label, missing = None, "", np.zeros(len(pixels), bool)
    if labelled:
        targets, label = np.concatenate(labels), "labels of the file"
        targets = targets[:, 0] if targets.ndim == 2 and targets.shape[1] == 1 else targets
        if targets.dtype.kind == "f":
            missing = np.isnan(targets).reshape(len(targets), -1).any(axis=1)
    if missing.all():
        raise DataError(f"every label is missing ({len(missing)} images)", place=str(path))
    files, dropped = {path.name: sha256(path)}, {"missing target": missing.sum()}
    source = Source(files, len(pixels), dropped, label)
    cohort = Cohort(samples, {"image": RawInput("image", pixels)}, targets, source)
    return cohort.take(~missing) if missing.any() else cohort


def _loaded(path: Path) -> dict[str, np.ndarray]:
    check_zip(path)
    if not zipfile.is_zipfile(path):  # NumPy would take it for pickled content
        raise DataError("not a readable .npz file", place=str(path))
    try:
        with np.load(path, allow_pickle=False) as stored:
            wanted = [name for name in stored.files if name.endswith(("images", "labels"))]
            return {name: stored[name] for name in wanted}
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError) as error:
        raise DataError("not a readable .npz file", place=str(path)) from error
    except ValueError as error:  # NumPy says so for pickled content
        raise DataError(
            "holds pickled objects, which are not loaded: they could run code",
            place=str(path),
            hint="Save plain number arrays with numpy.savez.",
        ) from error


def _refuse_shape(pixels: np.ndarray, path: Path) -> None:
    # (n, height, width), (n, depth, height, width), or either with channels last
    if pixels.ndim not in (3, 4, 5) or 0 in pixels.shape[1:]:
        raise DataError(
            f"its images have the shape {pixels.shape[1:]}; expected (height, width) or "
            "(depth, height, width), with or without channels",
            place=str(path),
        )


def _checked(pixels: np.ndarray, path: Path) -> np.ndarray:
    if pixels.dtype.kind not in "uif":
        raise DataError(f"its images are {pixels.dtype}; numbers are expected", place=str(path))
    if pixels.ndim == 3 or (pixels.ndim == 4 and pixels.shape[-1] not in (1, 3)):
        pixels = pixels[..., None]
    if pixels.dtype == np.uint8:
        return pixels
    infinite = ~np.isfinite(pixels).reshape(len(pixels), -1).all(axis=1)
    if infinite.any():
        raise DataError(
            f"{int(infinite.sum())} images hold infinite or missing values "
            f"(first at row {int(infinite.argmax()) + 1})",
            place=str(path),
        )
    return pixels.astype(np.float32)


def _fitted(
    pixels: np.ndarray, size: tuple[int, int] | None, channels: int | None, path: Path
) -> np.ndarray:
    height_width = pixels.shape[1:3]
    if (size is None or tuple(size) == height_width) and channels in (None, pixels.shape[-1]):
        return pixels
    if pixels.ndim != 4 or pixels.dtype != np.uint8:
        raise DataError(
            f"size and channels cannot be changed for {pixels.dtype} images of the shape "
            f"{pixels.shape[1:]}",
            place=str(path),
            hint="Leave dataset.size and dataset.channels out.",
        )
    from PIL import Image

    plain = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    height, width = size or height_width
    count = channels or int(pixels.shape[-1])
    check_images(len(pixels), (height, width), count, path)
    return np.stack([as_array(Image.fromarray(each), (height, width), count) for each in plain])

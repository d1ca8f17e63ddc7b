"""Images and volumes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from medkit.core.errors import ConfigError, DataError, Problem
from medkit.core.files import written_whole
from medkit.core.registry import modalities
from medkit.data.cohort import RawInput
from medkit.modalities.files import FileRows, Written, file_name
from medkit.modalities.image.hooks import ImageHooks
from medkit.modalities.image.pixels import pixel_statistics, refuse_not_finite, summarize_pixels
from medkit.modalities.modality import Gives, log

if TYPE_CHECKING:
    import keras
    import pandas

PIXEL_TYPES = ("uint8", "float32")


@modalities.register(name="image")
class Image(ImageHooks):
    """Images or volumes: rescaled to 0 … 1, augmented in training, standardized in the model.

    Encoded: pixels as they are, uint8 or float32, (n, height, width, channels) or (n, depth,
    height, width, channels). One range of values becomes 0 … 1 for all images, learned from the
    training images or declared. Augmentation acts in training only, on 0 … 1, each image on its
    own.

    Args:
        pixel_range: The values that become 0 and 1, as ``[0, 4095]`` of 12-bit radiographs; by
            default 0 and 255 of 8-bit pixels, and of others the lowest and the highest of the
            training images.
        standardize: Subtract each channel's training mean and divide by its standard deviation.
        flip: Mirror images at random: left-right (horizontal), top-bottom (vertical), or both.
            Note that a mirrored body has its heart on the wrong side.
        rotation: Largest random rotation, degrees, either way; not for volumes.
        translation: Largest random shift, fraction of height and width; not for volumes.
        zoom: Largest random change of size, fraction: 0.1 gives 0.9 to 1.1 times; not for volumes.
        contrast: Largest random change of contrast, fraction.
        noise: Standard deviation of random noise on each pixel, where the whole range is 1.
    """

    modality: ClassVar[str] = "image"
    gives: ClassVar[Gives] = "grid"
    noun: ClassVar[str] = "images"
    deterministic: ClassVar[bool] = False
    moves_pixels: ClassVar[tuple[str, ...]] = ("flip", "rotation", "translation", "zoom")
    shape_: list[int]
    dtype_: str
    bits_: int
    low_: float
    high_: float
    center_: list[float]
    scale_: list[float]

    def __init__(
        self,
        *,
        pixel_range: tuple[float, float] | None = None,
        standardize: bool = True,
        flip: Literal["horizontal", "vertical", "both"] | None = None,
        rotation: Annotated[float, Field(ge=0, le=180)] = 0.0,
        translation: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        zoom: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        contrast: Annotated[float, Field(ge=0, le=1)] = 0.0,
        noise: Annotated[float, Field(ge=0)] = 0.0,
    ):
        self.pixel_range = None if pixel_range is None else (pixel_range[0], pixel_range[1])
        self.standardize, self.flip, self.rotation = standardize, flip, rotation
        self.translation, self.zoom = translation, zoom
        self.contrast, self.noise = contrast, noise

    def fit(self, raw: RawInput | np.ndarray) -> Self:
        """Learn the range of pixels, where none is declared, and each channel's mean and deviation.

        Raises:
            ConfigError: A declared range that does not rise.
            DataError: No images, another number of dimensions, pixels that are not finite, or an
                augmentation that volumes cannot have.
        """
        self._check_parameters()
        given = self.pixel_range
        if given and not given[0] < given[1]:
            text = f"must rise; got {list(given)}"
            raise ConfigError([Problem("pixel_range", text)], place=self.modality)
        values = np.asanyarray(self._values(raw))
        images = _pixels(values)
        images = images[..., None] if images.ndim == 3 else images
        if images.ndim not in (4, 5):
            raise DataError(
                "images must be (n, height, width, channels), or volumes (n, depth, height, "
                f"width, channels); got an array of shape {images.shape}"
            )
        self._check_rows(len(images))
        flat_only = [each for each in ("rotation", "translation", "zoom") if getattr(self, each)]
        if images.ndim == 5 and flat_only:
            raise DataError(
                f"{', '.join(flat_only)} cannot be applied to volumes",
                hint="Volumes can have flip, contrast and noise.",
            )
        refuse_not_finite(images)
        self.features_ = []
        self.shape_, self.dtype_ = [int(size) for size in images.shape[1:]], images.dtype.name
        self.bits_ = _bits(values)
        self.low_, self.high_, center, scale = pixel_statistics(images, given)
        whose = "of 8 bits" if self.bits_ == 8 else "of the training images"
        whose = "declared" if given else whose
        log.info("images: pixels from %g to %g (%s) become 0 to 1", self.low_, self.high_, whose)
        self.center_, self.scale_ = center.tolist(), scale.tolist()
        return self

    def encode(self, raw: RawInput | np.ndarray) -> np.ndarray:
        """Pixels as they are, of the fitted type; grey images may lack their channel axis.

        Raises:
            DataError: Another size or depth than in training, other pixels, or not finite ones.
        """
        wanted = list(self._learned("shape_"))
        values = np.asanyarray(self._values(raw))
        images = _pixels(values)
        if wanted[-1] == 1 and list(images.shape[1:]) == wanted[:-1]:
            images = images[..., None]
        if list(images.shape[1:]) != wanted:
            raise DataError(
                f"images of {_size(images.shape[1:])} were given where the model was trained on "
                f"{_size(wanted)}",
                hint="Resize the images, or read them with the dataset's own size setting.",
            )
        if {self.bits_, _bits(values)} == {8, 16}:
            raise DataError(
                f"the model was trained on {self.bits_}-bit pixels (from {self.low_:g} to "
                f"{self.high_:g}); these images have {_bits(values)} bits",
                hint="Give the images with the depth that they had in training.",
            )
        if images.dtype == self.dtype_:
            refuse_not_finite(images)
            return images
        if self.dtype_ == "float32":
            return images.astype("float32")
        whole = np.clip(np.nan_to_num(images), 0, 255).astype("uint8")
        if not np.array_equal(whole, images):
            raise DataError(
                "the model was trained on whole pixel values from 0 to 255 (uint8); these images "
                f"are {images.dtype} with other values",
                hint="Give the images as they were read, before any rescaling.",
            )
        return whole

    @property
    def input_shape_(self) -> tuple[int, ...]:
        return tuple(self._learned("shape_"))

    @property
    def input_dtype_(self) -> str:
        return self._learned("dtype_")

    def preprocessing(self) -> keras.Layer:
        """The layer that takes raw pixels to rescaled float32 ones, of the same shape."""
        from medkit.layers.image import ImagePreprocessing

        names = ("flip", "rotation", "translation", "zoom", "contrast", "noise")
        augmentation = {name: getattr(self, name) for name in names if getattr(self, name)}
        layer = ImagePreprocessing(standardize=self.standardize, augmentation=augmentation)
        layer.build((None, *self.input_shape_))
        layer.set_statistics(self.low_, self.high_, self.center_, self.scale_)
        return layer

    def write(self, raw: RawInput, folder: Path, rows: FileRows) -> Written:
        """``images/<class>/<sample>.png`` and the manifest's column of their paths, read by
        ``images``.

        Raises:
            DataError: Images that are neither 2-D uint8 nor 2-D grey uint16, or sample ids that
                are the same as file names.
        """
        from PIL import Image as Pillow

        pixels = raw.values
        deep = pixels.dtype == np.uint16 and pixels.shape[-1] == 1
        flat = pixels.ndim == 4 and pixels.shape[3] in (1, 3)
        if not flat or not (deep or pixels.dtype == np.uint8):
            raise DataError(
                f"images of shape {pixels.shape[1:]} and type {pixels.dtype} cannot be PNG files",
                hint="uint8 images (height, width, 1 or 3) and grey uint16 ones can be written.",
            )
        files = []
        for row, sample in enumerate(rows.ids):
            within = (file_name(rows.classes[row]),) if rows.classes is not None else ()
            files.append("/".join(("images", *within, f"{file_name(sample)}.png")))
            with written_whole(folder / files[-1]) as temporary:
                Pillow.fromarray(pixels[row] if pixels.shape[3] == 3 else pixels[row, ..., 0]).save(
                    temporary
                )
            if (row + 1) % 2000 == 0:
                log.info("wrote %d of %d images", row + 1, len(pixels))
        if len(set(files)) < len(files):
            raise DataError("sample ids are not different as file names")
        return Written("images", columns={"path": files}, table=("path", "manifest.csv"), key="")

    def summarize(self, x: np.ndarray) -> pandas.DataFrame:
        """Per channel: mean, standard deviation and percentiles of the pixels, and the means of
        8 × 8 blocks (4 × 4 × 4 in volumes), counted from the top left."""
        return summarize_pixels(np.asanyarray(x))


def _bits(values: np.ndarray) -> int:
    """Depth of pixels that come from files: 8 or 16; 0 of computed numbers."""
    return {"uint8": 8, "uint16": 16}.get(values.dtype.name, 0)


def _pixels(values: Any) -> np.ndarray:
    images = np.asanyarray(values)
    if images.dtype.name in PIXEL_TYPES:
        return images
    if images.dtype.kind not in "fiub":
        raise DataError(
            f"images must be arrays of numbers, all of one size; got {images.dtype} of shape "
            f"{images.shape}"
        )
    return images.astype("float32")


def _size(shape: Any) -> str:
    named = {2: "height × width", 3: "height × width × channels"}
    named[4] = "depth × height × width × channels"
    axes = f" ({named[len(shape)]})" if len(shape) in named else ""
    return " × ".join(str(size) for size in shape) + axes

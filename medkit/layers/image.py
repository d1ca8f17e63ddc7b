"""Raw pixels -> rescaled, standardized, and in training augmented images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="medkit")
class ImageAugmentation(keras.layers.Layer):
    """Vary images at random, each on its own, in training only; otherwise pass them on.

    Rotation, translation and zoom are composed into one affine map, so that an image is
    interpolated once (bilinear; the border is repeated outwards).

    Args:
        flip: Mirror left-right (``horizontal``), top-bottom (``vertical``) or ``both``, each
            with probability one half.
        rotation: Largest angle, degrees, either way.
        translation: Largest shift, as a fraction of height and width, either way.
        zoom: Largest change of size, as a fraction: 0.1 is 0.9 to 1.1 times.
        contrast: Largest change of contrast about the image's mean, as a fraction; the result is
            clipped to 0 … 1.
        noise: Standard deviation of Gaussian noise added to each pixel.
        seed: Seed of the random numbers; None to draw one (as set by
            ``keras.utils.set_random_seed``).

    Input and output shape: (batch, height, width, channels), or (batch, depth, height, width,
    channels) where rotation, translation and zoom are 0. Pixels range over 0 … 1.
    """

    def __init__(
        self,
        flip: Literal["horizontal", "vertical", "both"] | None = None,
        rotation: float = 0.0,
        translation: float = 0.0,
        zoom: float = 0.0,
        contrast: float = 0.0,
        noise: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.flip, self.rotation, self.translation = flip, rotation, translation
        self.zoom, self.contrast, self.noise, self.seed = zoom, contrast, noise, seed
        self.moves = bool(rotation or translation or zoom)
        self.seed_generator = keras.random.SeedGenerator(seed)
        if self.moves and keras.backend.backend() == "tensorflow":
            self.supports_jit = False  # TensorFlow's image transform has no XLA kernel

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if len(input_shape) not in ((4,) if self.moves else (4, 5)):
            raise ValueError(
                f"{type(self).__name__} expects (batch, height, width, channels), "
                f"got input of shape {tuple(input_shape)}"
            )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if not training:
            return inputs
        images = inputs
        if self.flip in ("horizontal", "both"):
            images = self._flipped(images, axis=-2)
        if self.flip in ("vertical", "both"):
            images = self._flipped(images, axis=-3)
        if self.moves:
            images = ops.image.affine_transform(
                images,
                self._transforms(ops.shape(images)[0], images.shape[1], images.shape[2]),
                interpolation="bilinear",
                fill_mode="nearest",
                data_format="channels_last",
            )
        if self.contrast:
            factor = 1.0 + self._uniform(self._each(images), self.contrast)
            mean = ops.mean(images, axis=tuple(range(1, len(images.shape))), keepdims=True)
            images = ops.clip((images - mean) * factor + mean, 0.0, 1.0)
        if self.noise:
            noise = keras.random.normal(ops.shape(images), seed=self.seed_generator)
            images = images + self.noise * noise
        return images

    def _each(self, images: Any) -> tuple[Any, ...]:
        return (ops.shape(images)[0], *(1 for _ in images.shape[1:]))

    def _uniform(self, shape: tuple[Any, ...], largest: float) -> Any:
        return keras.random.uniform(shape, -largest, largest, seed=self.seed_generator)

    def _flipped(self, images: Any, axis: int) -> Any:
        chosen = self._uniform(self._each(images), 1.0) > 0.0
        return ops.where(chosen, ops.flip(images, axis=axis), images)

    def _transforms(self, count: Any, height: int, width: int) -> Any:
        """(batch, 8) maps from a pixel of the result to one of the image, about its centre."""
        angle = self._uniform((count,), math.radians(self.rotation))
        size = 1.0 + self._uniform((count,), self.zoom)
        right = self._uniform((count,), self.translation) * width
        down = self._uniform((count,), self.translation) * height
        middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
        cosine, sine = ops.cos(angle) / size, ops.sin(angle) / size
        shift_x = middle_x - cosine * (middle_x + right) + sine * (middle_y + down)
        shift_y = middle_y - sine * (middle_x + right) - cosine * (middle_y + down)
        zero = ops.zeros_like(angle)
        return ops.stack([cosine, -sine, shift_x, sine, cosine, shift_y, zero, zero], axis=1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape


@keras.saving.register_keras_serializable(package="medkit")
class ImagePreprocessing(keras.layers.Layer):
    """Rescale pixels to 0 … 1, augment them in training, standardize each channel.

    Computes in float32 whatever the precision policy.

    Args:
        standardize: Subtract each channel's mean and divide by its standard deviation.
        augmentation: Arguments of `ImageAugmentation`; None or empty for none.

    Input shape: (batch, height, width, channels) or (batch, depth, height, width, channels),
    raw pixels of any type. Output shape: the same, float32.
    """

    def __init__(
        self,
        standardize: bool = True,
        augmentation: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.standardize = standardize
        self.augmentation = ImageAugmentation(**augmentation) if augmentation else None

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.low = self.add_weight(shape=(), initializer="zeros", trainable=False, name="low")
        self.range = self.add_weight(shape=(), initializer="ones", trainable=False, name="range")
        if self.standardize:
            shape = (input_shape[-1],)
            self.center, self.scale = (
                self.add_weight(shape=shape, initializer=start, trainable=False, name=name)
                for name, start in (("center", "zeros"), ("scale", "ones"))
            )
        if self.augmentation is not None:
            self.augmentation.build(input_shape)

    def set_statistics(
        self, low: float, high: float, center: Sequence[float], scale: Sequence[float]
    ) -> None:
        """Set the raw values that become 0 and 1, and each channel's mean and standard deviation
        (after that rescaling)."""
        self.low.assign(np.float32(low))
        self.range.assign(np.float32(high - low))
        if self.standardize:
            self.center.assign(np.asarray(center, "float32"))
            self.scale.assign(np.asarray(scale, "float32"))

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        images = (ops.cast(inputs, self.compute_dtype) - self.low) / self.range
        if self.augmentation is not None:
            images = self.augmentation(images, training=training)
        if self.standardize:
            images = (images - self.center) / self.scale
        return images

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

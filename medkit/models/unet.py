"""U-Net: an answer for every pixel."""

from __future__ import annotations

from typing import Any

from medkit.core.errors import MedkitError
from medkit.core.keras_names import Activation, Initializer
from medkit.core.lazy import keras
from medkit.core.registry import models
from medkit.models._parts import Penalty, Rate, Units, activated, check_rank, finished, penalty

_SHAPES = {3: "(height, width, channels)"}


@models.register(accepts=("grid",), answers=("pixel",), shapes={"grid": ((16, 16, 1), (8, 12, 3))})
def unet(
    input_shape: tuple[int, ...],
    num_outputs: int | None,
    *,
    output_activation: str | None = None,
    filters: tuple[Units, ...] = (16, 32, 64),
    kernel_size: Units = 3,
    convolutions: Units = 2,
    activation: Activation = "relu",
    kernel_initializer: Initializer = "he_normal",
    batch_normalization: bool = True,
    dropout: Rate = 0.0,
    l1: Penalty = 0.0,
    l2: Penalty = 0.0,
) -> keras.Model:
    """U-Net: down to a coarse resolution and up again, with skip connections.

    Each level halves height and width; on the way up, each is doubled and joined with its own
    level of the way down. After Ronneberger, Fischer and Brox, "U-Net: convolutional networks for
    biomedical image segmentation", MICCAI 2015; with padded convolutions, so that the answer has
    the size of the image.

    Args:
        input_shape: Shape of one sample, without the batch: ``(height, width, channels)``.
        num_outputs: Answers for each pixel; None for the last features of each pixel,
            (batch, height, width, filters[0]).
        output_activation: Activation of the head, set by the task.
        filters: Channels of each level, the finest first; each further level halves the size.
        kernel_size: Width of the kernels along both axes.
        convolutions: Convolutions at each level, down and up.
        activation: Keras activation of the convolutions.
        kernel_initializer: Keras initializer of their weights.
        batch_normalization: Normalize each convolution before its activation (Ioffe and Szegedy
            2015).
        dropout: Share of channels left out in each training step, at the coarsest level.
        l1: Penalty on the absolute values of all weights but the head's.
        l2: Penalty on the squares of all weights but the head's.

    Returns:
        An uncompiled model, (batch, height, width, channels) -> (batch, height, width,
        num_outputs).

    Raises:
        MedkitError: The input is not an image, or a side cannot be halved so often.

    Example:
        >>> from medkit.models import unet
        >>> model = unet((32, 32, 1), 1, output_activation="sigmoid", filters=(8, 16))
        >>> model.output_shape
        (None, 32, 32, 1)
    """
    check_rank("unet", input_shape, _SHAPES)
    _check_size(input_shape[:-1], len(filters))

    def convolution(count: int, **settings: Any) -> Any:
        return keras.layers.Conv2D(
            count,
            kernel_size,
            padding="same",
            kernel_initializer=kernel_initializer,
            kernel_regularizer=penalty(l1, l2),
            **settings,
        )

    def level(x: Any, count: int) -> Any:
        for _ in range(convolutions):
            x = activated(x, convolution, count, activation, batch_normalization)
        return x

    inputs = keras.Input(input_shape)
    x, skipped = inputs, []
    for count in filters[:-1]:
        x = level(x, count)
        skipped.append(x)
        x = keras.layers.MaxPooling2D()(x)
    x = level(x, filters[-1])
    x = keras.layers.SpatialDropout2D(dropout)(x)
    for count, finer in zip(reversed(filters[:-1]), reversed(skipped), strict=True):
        x = keras.layers.UpSampling2D()(x)
        x = level(keras.layers.Concatenate()([finer, x]), count)
    return finished("unet", inputs, x, num_outputs, output_activation)


def _check_size(sizes: tuple[int, ...], levels: int) -> None:
    halved = 2 ** (levels - 1)
    for side, size in zip(("height", "width"), sizes, strict=True):
        if size % halved:
            raise MedkitError(
                f"unet: {levels} levels halve the image {levels - 1} times, and its {side} of "
                f"{size} pixels is not a multiple of {halved}",
                place="model.filters",
                hint=f"Give fewer filters, or images whose sides are multiples of {halved} "
                "(the dataset's size setting).",
            )

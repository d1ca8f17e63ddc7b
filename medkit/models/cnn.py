"""Convolutional network in one, two or three dimensions."""

from __future__ import annotations

from typing import Any, Literal

from medkit.core.errors import MedkitError
from medkit.core.keras_names import Activation, Initializer
from medkit.core.lazy import keras
from medkit.core.registry import models
from medkit.models._parts import (
    Penalty,
    Rate,
    Units,
    activated,
    check_rank,
    dense_blocks,
    finished,
    penalty,
)

_SHAPES = {
    2: "(time, channels)",
    3: "(height, width, channels)",
    4: "(depth, height, width, channels)",
}


@models.register(accepts=("steps", "grid"))
def cnn(
    input_shape: tuple[int, ...],
    num_outputs: int | None,
    *,
    output_activation: str | None = None,
    filters: tuple[Units, ...] = (32, 64),
    kernel_size: Units = 3,
    convolutions: Units = 1,
    pooling: Literal["max", "average"] = "max",
    pool_size: Units = 2,
    summary: Literal["flatten", "mean", "max"] = "flatten",
    dense_units: tuple[Units, ...] = (64,),
    activation: Activation = "relu",
    kernel_initializer: Initializer = "he_normal",
    batch_normalization: bool = False,
    dropout: Rate = 0.25,
    l1: Penalty = 0.0,
    l2: Penalty = 0.0,
) -> keras.Model:
    """Convolutional network: blocks of convolution and pooling, then dense layers.

    The rank of the input decides between one, two and three dimensions. After LeCun et al.,
    "Gradient-based learning applied to document recognition", Proceedings of the IEEE 86
    (1998); the blocks of small kernels follow Simonyan and Zisserman, "Very deep convolutional
    networks for large-scale image recognition", ICLR 2015.

    Args:
        input_shape: Shape of one sample, without the batch: ``(time, channels)``,
            ``(height, width, channels)`` or ``(depth, height, width, channels)``.
        num_outputs: Width of the head; None for the embedding, (batch, dense_units[-1]), or
            the summary itself without dense units.
        output_activation: Activation of the head, set by the task.
        filters: Channels of each block; the field of view doubles from block to block.
        kernel_size: Width of the kernels along every axis.
        convolutions: Convolutions in each block before its pooling.
        pooling: Keep the maximum or the average of each pool.
        pool_size: Width of the pools along every axis; 1 for no pooling.
        summary: How the last block becomes one vector: every position kept (flatten), or the
            mean or maximum over all positions, which forgets where something was seen.
        dense_units: Width of each dense layer after the summary; an empty list for none.
        activation: Keras activation of convolutions and dense layers.
        kernel_initializer: Keras initializer of their weights.
        batch_normalization: Normalize each convolution and dense layer before its activation
            (Ioffe and Szegedy 2015).
        dropout: Share left out in each training step, after the summary and each dense layer.
        l1: Penalty on the absolute values of all weights but the head's.
        l2: Penalty on the squares of all weights but the head's.

    Returns:
        An uncompiled model, (batch, *input_shape) -> (batch, num_outputs).

    Raises:
        MedkitError: The input has another rank, or is too small for so many poolings.

    Example:
        >>> from medkit.models import cnn
        >>> model = cnn((28, 28, 1), 1, output_activation="sigmoid", filters=(16, 32))
        >>> model.output_shape
        (None, 1)
    """
    check_rank("cnn", input_shape, _SHAPES)
    _check_size(input_shape[:-1], len(filters), pool_size)
    rank = len(input_shape) - 1
    convolution = getattr(keras.layers, f"Conv{rank}D")
    kind = "Max" if pooling == "max" else "Average"

    def layer(count: int, **settings: Any) -> Any:
        return convolution(
            count,
            kernel_size,
            padding="same",
            kernel_initializer=kernel_initializer,
            kernel_regularizer=penalty(l1, l2),
            **settings,
        )

    inputs = keras.Input(input_shape)
    x = inputs
    for count in filters:
        for _ in range(convolutions):
            x = activated(x, layer, count, activation, batch_normalization)
        if pool_size > 1:
            x = getattr(keras.layers, f"{kind}Pooling{rank}D")(pool_size)(x)
    if summary == "flatten":
        x = keras.layers.Flatten()(x)
    else:
        over_all = "Average" if summary == "mean" else "Max"
        x = getattr(keras.layers, f"Global{over_all}Pooling{rank}D")()(x)
    x = keras.layers.Dropout(dropout)(x)
    x = dense_blocks(
        x,
        dense_units,
        activation=activation,
        kernel_initializer=kernel_initializer,
        dropout=dropout,
        l1=l1,
        l2=l2,
        batch_normalization=batch_normalization,
    )
    return finished("cnn", inputs, x, num_outputs, output_activation)


def _check_size(sizes: tuple[int, ...], blocks: int, pool_size: int) -> None:
    smallest, size = min(sizes), min(sizes)
    for block in range(blocks):
        size //= pool_size
        if size == 0:
            fitting = f"at most {block} filters" if block else "no filters"
            raise MedkitError(
                f"cnn: {blocks} poolings by {pool_size} leave nothing of an input whose smallest "
                f"axis has {smallest} positions (shape {sizes})",
                hint=f"Reduce pool_size, or give {fitting} (one pooling each).",
            )

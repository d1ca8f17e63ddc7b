"""Temporal convolutional network."""

from __future__ import annotations

from typing import Any, Literal

from medkit.core.keras_names import Activation, Initializer
from medkit.core.lazy import keras
from medkit.core.registry import models
from medkit.models._parts import (
    Penalty,
    Rate,
    Units,
    activate,
    check_rank,
    dense_blocks,
    finished,
    penalty,
    pooled,
    refuse_gated,
)


@models.register(accepts=("steps",))
def tcn(
    input_shape: tuple[int, ...],
    num_outputs: int | None,
    *,
    output_activation: str | None = None,
    filters: tuple[Units, ...] = (64, 64, 64, 64),
    kernel_size: Units = 3,
    pooling: Literal["last", "mean", "max"] = "last",
    dense_units: tuple[Units, ...] = (),
    activation: Activation = "relu",
    kernel_initializer: Initializer = "he_normal",
    dropout: Rate = 0.1,
    l1: Penalty = 0.0,
    l2: Penalty = 0.0,
) -> keras.Model:
    """Temporal convolutional network: dilated convolutions that see the past only.

    Each block's steps lie twice as far apart as those of the block before it: with kernels of
    width k, b blocks look back over 1 + 2 (k - 1)(2^b - 1) steps. After Bai, Kolter and Koltun,
    "An empirical evaluation of generic convolutional and recurrent networks for sequence
    modeling", 2018; layer normalization (Ba, Kiros and Hinton 2016) takes the place of their
    weight normalization.

    Args:
        input_shape: Shape of one sample, without the batch: ``(time, channels)``.
        num_outputs: Width of the head; None for the embedding: the last dense layer, or the
            pooled sequence without dense units.
        output_activation: Activation of the head, set by the task.
        filters: Channels of each block of two convolutions.
        kernel_size: Width of the kernels.
        pooling: What of the last block is kept: its final step, or the mean or maximum over time.
        dense_units: Width of each dense layer after the pooling; an empty list for none.
        activation: Keras activation of convolutions and dense layers.
        kernel_initializer: Keras initializer of all weights but the head's.
        dropout: Share of channels (whole over time) and dense units left out in each training
            step.
        l1: Penalty on the absolute values of all weights but the head's.
        l2: Penalty on the squares of all weights but the head's.

    Returns:
        An uncompiled model, (batch, time, channels) -> (batch, num_outputs).

    Raises:
        MedkitError: The input has another rank, or 'glu' is asked for.

    Example:
        >>> from medkit.models import tcn
        >>> tcn((48, 37), 1, output_activation="sigmoid", filters=(32, 32)).output_shape
        (None, 1)
    """
    check_rank("tcn", input_shape, {2: "(time, channels)"})
    refuse_gated("tcn", activation)

    def convolved(x: Any, count: int, width: int, dilation: int) -> Any:
        return keras.layers.Conv1D(
            count,
            width,
            dilation_rate=dilation,
            padding="causal",
            kernel_initializer=kernel_initializer,
            kernel_regularizer=penalty(l1, l2),
        )(x)

    inputs = keras.Input(input_shape)
    x = inputs
    for block, count in enumerate(filters):
        inner = x
        for _ in range(2):
            inner = keras.layers.LayerNormalization(epsilon=1e-5)(
                convolved(inner, count, kernel_size, 2**block)
            )
            inner = activate(inner, activation)
            inner = keras.layers.SpatialDropout1D(dropout)(inner)
        past = x if x.shape[-1] == count else convolved(x, count, 1, 1)
        x = activate(keras.layers.Add()([past, inner]), activation)
    x = dense_blocks(
        pooled(x, pooling), dense_units, activation=activation,
        kernel_initializer=kernel_initializer, dropout=dropout, l1=l1, l2=l2,
    )  # fmt: skip
    return finished("tcn", inputs, x, num_outputs, output_activation)

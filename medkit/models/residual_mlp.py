"""Residual multilayer perceptron."""

from __future__ import annotations

from typing import Any

from medkit.core.keras_names import Activation, Initializer
from medkit.core.lazy import keras
from medkit.core.registry import models
from medkit.models._parts import (
    Penalty,
    Rate,
    Units,
    activate,
    check_rank,
    finished,
    penalty,
    refuse_gated,
)


@models.register(accepts=("vector",))
def residual_mlp(
    input_shape: tuple[int, ...],
    num_outputs: int | None,
    *,
    output_activation: str | None = None,
    num_blocks: Units = 2,
    width: Units = 128,
    hidden_factor: Units = 2,
    activation: Activation = "relu",
    kernel_initializer: Initializer = "he_uniform",
    hidden_dropout: Rate = 0.2,
    residual_dropout: Rate = 0.0,
    l1: Penalty = 0.0,
    l2: Penalty = 0.0,
) -> keras.Model:
    """Residual network for tables: blocks of two dense layers, each added to its own input.

    After the ResNet of Gorishniy, Rubachev, Khrulkov and Babenko, "Revisiting deep learning
    models for tabular data", NeurIPS 2021: batch normalization comes first in each block, and
    nothing stands on the path that goes past the blocks.

    Args:
        input_shape: Shape of one sample, without the batch: ``(features,)``.
        num_outputs: Width of the head; None for the embedding, (batch, width).
        output_activation: Activation of the head, set by the task.
        num_blocks: Number of blocks.
        width: Width of the path past the blocks.
        hidden_factor: Width inside a block, as a multiple of ``width``.
        activation: Keras activation inside the blocks and before the head.
        kernel_initializer: Keras initializer of all weights but the head's.
        hidden_dropout: Share left out in each training step inside the blocks.
        residual_dropout: Share left out of what a block adds.
        l1: Penalty on the absolute values of all weights but the head's.
        l2: Penalty on the squares of all weights but the head's.

    Returns:
        An uncompiled model, (batch, features) -> (batch, num_outputs).

    Raises:
        MedkitError: The input has another rank, or 'glu' is asked for.

    Example:
        >>> from medkit.models import residual_mlp
        >>> residual_mlp((30,), 1, output_activation="sigmoid", width=32).output_shape
        (None, 1)
    """
    check_rank("residual_mlp", input_shape, {1: "(features,)"})
    refuse_gated("residual_mlp", activation)

    def dense(x: Any, units: int) -> Any:
        return keras.layers.Dense(
            units, kernel_initializer=kernel_initializer, kernel_regularizer=penalty(l1, l2)
        )(x)

    inputs = keras.Input(input_shape)
    x = dense(inputs, width)
    for _ in range(num_blocks):
        inner = keras.layers.BatchNormalization()(x)
        inner = activate(dense(inner, hidden_factor * width), activation)
        inner = dense(keras.layers.Dropout(hidden_dropout)(inner), width)
        x = keras.layers.Add()([x, keras.layers.Dropout(residual_dropout)(inner)])
    x = activate(keras.layers.BatchNormalization()(x), activation)
    return finished("residual_mlp", inputs, x, num_outputs, output_activation)

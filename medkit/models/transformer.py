"""Time-series transformer."""

from __future__ import annotations

from typing import Any, Literal

from medkit.core.keras_names import Activation
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
    pooled,
    refuse_gated,
)


@models.register(accepts=("steps",))
def transformer(
    input_shape: tuple[int, ...],
    num_outputs: int | None,
    *,
    output_activation: str | None = None,
    num_blocks: Units = 2,
    num_heads: Units = 4,
    key_dim: Units = 16,
    feed_forward_units: Units = 128,
    positions: Literal["learned", "sinusoidal"] = "learned",
    summary: Literal["flatten", "mean", "max", "last"] = "flatten",
    activation: Activation = "gelu",
    dropout: Rate = 0.1,
    l1: Penalty = 0.0,
    l2: Penalty = 0.0,
) -> keras.Model:
    """Time-series transformer: attention among time steps, normalized over the batch.

    After Zerveas, Jayaraman, Patel, Bhamidipaty and Eickhoff, "A transformer-based framework for
    multivariate time series representation learning", KDD 2021: batch normalization, which
    outliers in one series disturb less than layer normalization, follows each part; positions are
    learned; every step of the last block reaches the head. For normalization first and readable
    attention weights, see ``attention``.

    Args:
        input_shape: Shape of one sample, without the batch: ``(time, channels)``.
        num_outputs: Width of the head; None for the embedding: the summary of the last block.
        output_activation: Activation of the head, set by the task.
        num_blocks: Number of blocks.
        num_heads: Heads in each block.
        key_dim: Width of each head; the blocks work on num_heads * key_dim channels.
        feed_forward_units: Width of the hidden layer of each block's two-layer network.
        positions: How positions are encoded: learned vectors, or fixed sine waves.
        summary: How the last block becomes one vector: every step kept, their mean or maximum,
            or the last one.
        activation: Keras activation of the two-layer networks and before the head.
        dropout: Share left out in each training step, after each part of a block and before the
            head.
        l1: Penalty on the absolute values of all weights but the head's.
        l2: Penalty on the squares of all weights but the head's.

    Returns:
        An uncompiled model, (batch, time, channels) -> (batch, num_outputs).

    Raises:
        MedkitError: The input has another rank, or 'glu' is asked for.

    Example:
        >>> from medkit.models import transformer
        >>> transformer((48, 37), 1, output_activation="sigmoid", num_blocks=1).output_shape
        (None, 1)
    """
    from medkit.layers.positions import Positions
    from medkit.layers.self_attention import SelfAttention

    check_rank("transformer", input_shape, {2: "(time, channels)"})
    refuse_gated("transformer", activation)
    width = num_heads * key_dim

    def dense(units: int, name: str | None = None) -> Any:
        return keras.layers.Dense(units, activation=name, kernel_regularizer=penalty(l1, l2))

    def added(x: Any, part: Any) -> Any:
        total = keras.layers.Add()([x, keras.layers.Dropout(dropout)(part)])
        return keras.layers.BatchNormalization()(total)

    inputs = keras.Input(input_shape)
    x = Positions(positions)(dense(width)(inputs))
    for _ in range(num_blocks):
        x = added(x, SelfAttention(num_heads, key_dim, kernel_regularizer=penalty(l1, l2))(x))
        hidden = activate(dense(feed_forward_units)(x), activation)
        x = added(x, dense(width)(hidden))
    x = activate(x, activation)
    x = keras.layers.Dropout(dropout)(x)
    x = keras.layers.Flatten()(x) if summary == "flatten" else pooled(x, summary)
    return finished("transformer", inputs, x, num_outputs, output_activation)

"""Self-attention blocks over a sequence."""

from __future__ import annotations

import contextlib
from operator import itemgetter
from typing import Any, Literal

import numpy as np

from medkit.core.errors import MedkitError
from medkit.core.keras_names import Activation, Initializer
from medkit.core.lazy import keras
from medkit.core.registry import models
from medkit.models._parts import (
    Penalty,
    Rate,
    Units,
    check_rank,
    dense_blocks,
    finished,
    penalty,
    pooled,
)

_RECURRENT = {"simple_rnn": "SimpleRNN", "lstm": "LSTM", "gru": "GRU"}


@models.register(accepts=("steps",))
def attention(
    input_shape: tuple[int, ...],
    num_outputs: int | None,
    *,
    output_activation: str | None = None,
    num_blocks: Units = 2,
    num_heads: Units = 4,
    key_dim: Units = 16,
    feed_forward_units: Units = 128,
    positions: Literal["sinusoidal", "learned"] | None = "sinusoidal",
    recurrent: Literal["simple_rnn", "lstm", "gru"] | None = None,
    recurrent_units: Units = 64,
    pooling: Literal["last", "mean", "max"] = "mean",
    mask_zeros: bool = False,
    dense_units: tuple[Units, ...] = (),
    activation: Activation = "relu",
    kernel_initializer: Initializer = "glorot_uniform",
    dropout: Rate = 0.1,
    attention_dropout: Rate = 0.0,
    recurrent_dropout: Rate = 0.0,
    l1: Penalty = 0.0,
    l2: Penalty = 0.0,
) -> keras.Model:
    """Self-attention: every time step attends to every other, in blocks of several heads.

    The channels are projected to ``num_heads * key_dim``, positions are added, and each block
    adds self-attention and a two-layer network to its input, each after layer normalization.
    After Vaswani et al., "Attention is all you need", NeurIPS 2017; normalization before rather
    than after each part follows Xiong et al., "On layer normalization in the transformer
    architecture", ICML 2020. ``attention_weights`` reads the weights.

    Args:
        input_shape: Shape of one sample, without the batch: ``(time, channels)``.
        num_outputs: Width of the head; None for the embedding: the last dense layer, or the
            pooled sequence without dense units.
        output_activation: Activation of the head, set by the task.
        num_blocks: Number of blocks.
        num_heads: Heads in each block.
        key_dim: Width of each head; the blocks work on num_heads * key_dim channels.
        feed_forward_units: Width of the hidden layer of each block's two-layer network.
        positions: How positions are encoded: fixed sine waves, learned vectors, or not at all.
        recurrent: A recurrent layer that reads the attended sequence; null for none.
        recurrent_units: Width of that recurrent layer.
        pooling: What of the sequence is kept: its last step, or the mean or maximum over time.
        mask_zeros: Hide the time steps whose channels are all zero (padding). Slower.
        dense_units: Width of each dense layer after the pooling; an empty list for none.
        activation: Keras activation of the two-layer networks and dense layers.
        kernel_initializer: Keras initializer of all weights but the head's.
        dropout: Share left out in each training step, after each part of a block, the
            recurrent layer and each dense layer.
        attention_dropout: Share of the attention weights left out in each training step.
        recurrent_dropout: Share of the recurrent state left out in each training step.
        l1: Penalty on the absolute values of all weights but the head's.
        l2: Penalty on the squares of all weights but the head's.

    Returns:
        An uncompiled model, (batch, time, channels) -> (batch, num_outputs).

    Raises:
        MedkitError: The input has another rank.

    Example:
        >>> from medkit.models import attention
        >>> model = attention((48, 37), 1, output_activation="sigmoid", num_blocks=1)
        >>> model.output_shape
        (None, 1)
    """
    from medkit.layers.positions import Positions
    from medkit.layers.self_attention import SelfAttention

    check_rank("attention", input_shape, {2: "(time, channels)"})
    width = num_heads * key_dim
    shared: dict[str, Any] = {"kernel_initializer": kernel_initializer, "l1": l1, "l2": l2}
    linear: dict[str, Any] = {**shared, "activation": "linear", "dropout": dropout}

    inputs = keras.Input(input_shape)
    x = keras.layers.Masking()(inputs) if mask_zeros else inputs
    x = dense_blocks(x, (width,), activation="linear", dropout=0.0, **shared)
    if positions is not None:
        x = Positions(positions)(x)
    for _ in range(num_blocks):
        attended = keras.layers.LayerNormalization(epsilon=1e-5)(x)
        attended = SelfAttention(
            num_heads,
            key_dim,
            dropout=attention_dropout,
            kernel_initializer=kernel_initializer,
            kernel_regularizer=penalty(l1, l2),
        )(attended)
        attended = keras.layers.Dropout(dropout)(attended)
        x = keras.layers.Add()([x, attended])
        hidden = keras.layers.LayerNormalization(epsilon=1e-5)(x)
        hidden = dense_blocks(
            hidden, (feed_forward_units,), activation=activation, dropout=0.0, **shared
        )
        x = keras.layers.Add()([x, dense_blocks(hidden, (width,), **linear)])
    x = keras.layers.LayerNormalization(epsilon=1e-5)(x)
    if recurrent is not None:
        x = getattr(keras.layers, _RECURRENT[recurrent])(
            recurrent_units,
            return_sequences=pooling != "last",
            kernel_initializer=kernel_initializer,
            kernel_regularizer=penalty(l1, l2),
            recurrent_regularizer=penalty(l1, l2),
            recurrent_dropout=recurrent_dropout,
        )(x)
        x = keras.layers.Dropout(dropout)(x)
    if recurrent is None or pooling != "last":
        x = pooled(x, pooling)
    x = dense_blocks(x, dense_units, activation=activation, dropout=dropout, **shared)
    return finished("attention", inputs, x, num_outputs, output_activation)


def attention_weights(
    model: keras.Model, x: Any, *, within: keras.Model | None = None, batch_size: int = 256
) -> np.ndarray:
    """The attention weights of each sample: which step attended to which.

    Args:
        model: A model of ``attention``, or any that holds one: a saved run's whole model, with
            its preprocessing inside, gives the same weights.
        x: What the model takes, n samples (an array, or a dict or list of arrays).
        within: The model inside ``model`` whose weights are wanted: a branch of a fusion.
        batch_size: Samples computed at a time.

    Returns:
        (n, blocks, heads, time, time) float32; the last axis, the steps attended to, sums to 1.

    Raises:
        MedkitError: The model has no self-attention layer.
    """
    from medkit.layers.self_attention import SelfAttention

    layers = layers_within(within or model, SelfAttention)
    if not layers:
        raise MedkitError(
            f"model '{model.name}' has no self-attention layer to read weights from",
            hint="Build it with medkit.models.attention.",
        )
    count = len(keras.tree.flatten(x)[0])
    parts = []
    for start in range(0, count, batch_size):
        batch = keras.tree.map_structure(itemgetter(slice(start, start + batch_size)), x)
        with contextlib.ExitStack() as stack:
            calls = [stack.enter_context(layer.recorded()) for layer in layers]
            model(batch, training=False)
        parts.append(np.stack([call[-1] for call in calls], axis=1))
    return np.concatenate(parts)


def layers_within(model: Any, kind: type) -> list[Any]:
    """The layers of one kind in order, each once, those of models inside the model included."""
    found: dict[Any, None] = {}
    for layer in model.layers:
        if isinstance(layer, kind):
            found[layer] = None
        elif hasattr(layer, "layers"):
            found |= dict.fromkeys(layers_within(layer, kind))
    return list(found)

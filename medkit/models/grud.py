"""GRU-D: a gated recurrent unit for measurements with gaps."""

from __future__ import annotations

from typing import Any, Literal

from medkit.core.keras_names import Activation
from medkit.core.lazy import keras, ops
from medkit.core.registry import models
from medkit.models._parts import (
    PAIRS,
    Penalty,
    Rate,
    Units,
    check_pairs,
    dense_blocks,
    finished,
    penalty,
    pooled,
)


@models.register(**PAIRS)
def grud(
    input_shape: tuple[int, ...],
    num_outputs: int | None,
    *,
    output_activation: str | None = None,
    units: Units = 64,
    pooling: Literal["last", "mean", "max"] = "last",
    dense_units: tuple[Units, ...] = (),
    dense_activation: Activation = "relu",
    dropout: Rate = 0.3,
    recurrent_dropout: Rate = 0.0,
    l1: Penalty = 0.0,
    l2: Penalty = 0.0,
) -> keras.Model:
    """GRU-D: the last measured values and the memory decay until something new is measured.

    After Che, Purushotham, Cho, Sontag and Liu, "Recurrent neural networks for multivariate time
    series with missing values", Scientific Reports 8 (2018). The rates of fading are learned.
    Needs ``preprocessing: {missing: forward_fill, indicators: all}``: the last measured values,
    then for each of them whether it was measured at that step.

    Args:
        input_shape: Shape of one sample, without the batch: ``(time, 2 * variables)``.
        num_outputs: Width of the head; None for the embedding: the last dense layer, or the
            pooled states without dense units.
        output_activation: Activation of the head, set by the task.
        units: Width of the recurrent layer.
        pooling: What of the states is kept: the final one, or the mean or maximum over time.
        dense_units: Width of each dense layer after the pooling; an empty list for none.
        dense_activation: Keras activation of the dense layers.
        dropout: Share left out in each training step, after the recurrent and each dense layer.
        recurrent_dropout: Share of the state left out in each training step, the same at every
            time step (Gal and Ghahramani 2016).
        l1: Penalty on the absolute values of the recurrent and dense weights.
        l2: Penalty on the squares of the recurrent and dense weights.

    Returns:
        An uncompiled model, (batch, time, 2 * variables) -> (batch, num_outputs).

    Raises:
        MedkitError: The input has another rank, or an odd number of channels.

    Example:
        >>> from medkit.models import grud
        >>> grud((48, 74), 1, output_activation="sigmoid", units=32).output_shape
        (None, 1)
    """
    from medkit.layers.decay import DecayCell, InputDecay

    check_pairs("grud", input_shape)
    cell = DecayCell(
        units,
        masked=bool(recurrent_dropout),
        kernel_regularizer=penalty(l1, l2),
        recurrent_regularizer=penalty(l1, l2),
    )
    inputs = keras.Input(input_shape)
    faded = InputDecay()(inputs)
    states = None
    if recurrent_dropout:
        start = ops.repeat(ops.zeros_like(faded[:, 0, :1]), units, axis=1)
        states = [start, keras.layers.Dropout(recurrent_dropout)(ops.ones_like(start))]
    recurrent = keras.layers.RNN(cell, return_sequences=pooling != "last")
    x: Any = recurrent(faded, initial_state=states)
    x = keras.layers.Dropout(dropout)(x)
    x = x if pooling == "last" else pooled(x, pooling)
    x = dense_blocks(
        x, dense_units, activation=dense_activation, kernel_initializer="glorot_uniform",
        dropout=dropout, l1=l1, l2=l2,
    )  # fmt: skip
    return finished("grud", inputs, x, num_outputs, output_activation)

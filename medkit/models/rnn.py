"""Recurrent networks: simple, LSTM and GRU, stacked and bidirectional."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal

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


def _recurrent(
    cell: str,
    input_shape: tuple[int, ...],
    num_outputs: int | None,
    *,
    output_activation: str | None = None,
    units: tuple[Units, ...] = (64,),
    bidirectional: bool = False,
    pooling: Literal["last", "mean", "max", "attention"] = "last",
    mask_zeros: bool = False,
    dense_units: tuple[Units, ...] = (),
    activation: Activation = "tanh",
    recurrent_activation: Activation = "sigmoid",
    dense_activation: Activation = "relu",
    kernel_initializer: Initializer = "glorot_uniform",
    recurrent_initializer: Initializer = "orthogonal",
    dropout: Rate = 0.1,
    recurrent_dropout: Rate = 0.0,
    l1: Penalty = 0.0,
    l2: Penalty = 0.0,
) -> keras.Model:
    """SUMMARY

    Args:
        input_shape: Shape of one sample, without the batch: ``(time, channels)``.
        num_outputs: Width of the head; None for the embedding: the last dense layer, or the
            pooled states without dense units.
        output_activation: Activation of the head, set by the task.
        units: Width of each recurrent layer; several are stacked.
        bidirectional: Read the sequence forwards and backwards (Schuster and Paliwal 1997).
        pooling: What of the last recurrent layer is kept: its final state, or the mean or
            maximum of its states over time, or their mean weighted by learned attention.
        mask_zeros: Skip the time steps whose channels are all zero (padding). Slower.
        dense_units: Width of each dense layer after the pooling; an empty list for none.
        activation: Keras activation of the state, or of the candidate for it.
        recurrent_activation: Keras activation of the gates.
        dense_activation: Keras activation of the dense layers.
        kernel_initializer: Keras initializer of the input and dense weights.
        recurrent_initializer: Keras initializer of the state-to-state weights.
        dropout: Share left out in each training step, after each recurrent and dense layer.
        recurrent_dropout: Share of the state left out in each training step, the same at every
            time step (Gal and Ghahramani 2016). Slower: no fused kernel can be used.
        l1: Penalty on the absolute values of all weights but the head's.
        l2: Penalty on the squares of all weights but the head's.

    Returns:
        An uncompiled model, (batch, time, channels) -> (batch, num_outputs).

    Raises:
        MedkitError: The input has another rank, or 'glu' is asked for inside the cell.

    Example:
        >>> from medkit.models import NAME
        >>> model = NAME((48, 37), 1, output_activation="sigmoid", units=(64,))
        >>> model.output_shape
        (None, 1)
    """
    check_rank(cell, input_shape, {2: "(time, channels)"})
    if "glu" in (activation, recurrent_activation):
        raise MedkitError(f"{cell}: 'glu' halves the width of a state and cannot be used in a cell")
    if not units:
        raise MedkitError(f"{cell}: units is empty", hint="Give at least one layer, as [64].")
    gates = {} if cell == "simple_rnn" else {"recurrent_activation": recurrent_activation}
    kinds = {"simple_rnn": "SimpleRNN", "lstm": "LSTM", "gru": "GRU"}
    inputs = keras.Input(input_shape)
    x = keras.layers.Masking()(inputs) if mask_zeros else inputs
    for index, width in enumerate(units):
        recurrent = getattr(keras.layers, kinds[cell])(
            width,
            return_sequences=index < len(units) - 1 or pooling != "last",
            activation=activation,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            kernel_regularizer=penalty(l1, l2),
            recurrent_regularizer=penalty(l1, l2),
            recurrent_dropout=recurrent_dropout,
            **gates,
        )
        x = (keras.layers.Bidirectional(recurrent) if bidirectional else recurrent)(x)
        x = keras.layers.Dropout(dropout)(x)
    x = x if pooling == "last" else pooled(x, pooling, l1, l2)
    x = dense_blocks(
        x, dense_units, activation=dense_activation, kernel_initializer=kernel_initializer,
        dropout=dropout, l1=l1, l2=l2,
    )  # fmt: skip
    return finished(cell, inputs, x, num_outputs, output_activation)


def _of_cell(cell: str, summary: str, left_out: tuple[str, ...] = ()) -> Callable[..., keras.Model]:
    """Register ``_recurrent`` of one cell under its name, without the settings it has not."""
    shared = inspect.signature(_recurrent)
    known = [each for each in shared.parameters.values() if each.name not in ("cell", *left_out)]
    signature = shared.replace(parameters=known)

    def factory(*shapes: Any, **settings: Any) -> keras.Model:
        signature.bind(*shapes, **settings)  # a TypeError names a setting that the cell has not
        return _recurrent(cell, *shapes, **settings)

    lines = inspect.cleandoc(_recurrent.__doc__ or "").replace("NAME", cell).splitlines()
    lines = [line for line in lines if line.strip().partition(":")[0] not in left_out]
    factory.__doc__ = "\n".join(lines).replace("SUMMARY", inspect.cleandoc(summary))
    factory.__name__ = factory.__qualname__ = cell
    factory.__signature__ = signature  # type: ignore[attr-defined]
    return models.register(accepts=("steps",))(factory)


_of_cell(
    "simple_rnn",
    """Simple recurrent network: the state is one dense layer of input and previous state.

    Forgets what lies more than a few steps back; lstm and gru exist for that reason. After
    Elman, "Finding structure in time", Cognitive Science 14 (1990).
    """,
    left_out=("recurrent_activation",),
)
_of_cell(
    "lstm",
    """Long short-term memory: a recurrent network with a gated memory cell.

    After Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 9 (1997),
    with the forget gate of Gers, Schmidhuber and Cummins (2000).
    """,
)
_of_cell(
    "gru",
    """Gated recurrent unit: a recurrent network with two gates and no separate cell.

    After Cho et al., "Learning phrase representations using RNN encoder-decoder for
    statistical machine translation", EMNLP 2014.
    """,
)

"""What the model factories share: parameter types, checked shapes, dense blocks, the head."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from medkit.core.errors import MedkitError
from medkit.core.lazy import keras, ops

Units = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Penalty = Annotated[float, Field(ge=0)]


def check_rank(model: str, input_shape: tuple[int, ...], known: dict[int, str]) -> None:
    """Raise unless the rank of ``input_shape`` is one of ``known`` (rank -> how it is written).

    Raises:
        MedkitError: The rank is another one; the message lists those the model takes.
    """
    if len(input_shape) not in known:
        expected = " or ".join(known.values())
        raise MedkitError(
            f"{model} takes inputs of shape {expected}; got {tuple(input_shape)}",
            hint="Give the shape of one sample, without the batch. mlp takes any shape.",
        )


# How a factory of pairs of channels registers, each variable and whether it was measured: the mean
# must be 0, since values fade to it; a third channel a variable fits no pairs.
PAIRS: dict[str, Any] = {
    "accepts": ("steps",),
    "requires": {
        "missing": "forward_fill",
        "indicators": "all",
        "standardize": (True, "robust"),
        "time_since": False,
    },
    "shapes": {"steps": ((12, 6),)},
}


def check_pairs(model: str, input_shape: tuple[int, ...]) -> None:
    """Raise unless ``input_shape`` is (time, 2 * variables).

    Raises:
        MedkitError: The rank is another one, or the number of channels is odd.
    """
    check_rank(model, input_shape, {2: "(time, 2 * variables)"})
    if input_shape[1] % 2:
        raise MedkitError(
            f"{model} takes each variable and whether it was measured: {input_shape[1]} channels "
            "are not pairs",
            hint="Set preprocessing: {missing: forward_fill, indicators: all}.",
        )


def penalty(l1: float, l2: float) -> Any:
    """The L1 and L2 weight penalty as a new Keras regularizer; None when both are zero."""
    return keras.regularizers.L1L2(l1, l2) if l1 or l2 else None


def activated(x: Any, layer: Any, units: int, activation: str, batch_normalization: bool) -> Any:
    """Apply ``layer(units, …)``, batch normalization if asked for, then the activation.

    ``layer`` builds a Dense or convolution layer from ``units``, ``activation`` and ``use_bias``.
    """
    if activation == "glu" or batch_normalization:
        # A gated linear unit halves the channels: twice the units go in, so that `units` come out.
        doubled = 2 * units if activation == "glu" else units
        x = layer(doubled, activation=None, use_bias=not batch_normalization)(x)
        if batch_normalization:
            x = keras.layers.BatchNormalization()(x)
        return activate(x, activation)
    return layer(units, activation=activation, use_bias=True)(x)


def activate(x: Any, activation: str) -> Any:
    """The activation by itself; ``glu`` halves the channels."""
    if activation == "glu":
        # The function rather than an Activation layer, whose static shape it would break.
        return keras.activations.glu(x)
    return keras.layers.Activation(activation)(x)


def refuse_gated(model: str, activation: str) -> None:
    """Raise where ``glu`` is asked for beside a path that keeps its width.

    Raises:
        MedkitError: It is.
    """
    if activation == "glu":
        raise MedkitError(
            f"{model}: 'glu' halves the width and cannot be added to what goes past it",
            hint="Choose another activation, such as silu or gelu.",
        )


def dense_blocks(
    x: Any,
    units: tuple[int, ...],
    *,
    activation: str,
    kernel_initializer: str,
    dropout: float,
    l1: float,
    l2: float,
    batch_normalization: bool = False,
) -> Any:
    """(batch, …, features) -> (batch, …, units[-1]): dense layers, each followed by dropout."""

    def layer(count: int, **settings: Any) -> Any:
        return keras.layers.Dense(
            count,
            kernel_initializer=kernel_initializer,
            kernel_regularizer=penalty(l1, l2),
            **settings,
        )

    for count in units:
        x = activated(x, layer, count, activation, batch_normalization)
        x = keras.layers.Dropout(dropout)(x)
    return x


def pooled(x: Any, pooling: str, l1: float = 0.0, l2: float = 0.0) -> Any:
    """(batch, time, channels) -> (batch, channels): last step, mean, maximum or weighted mean.

    ``attention`` weighs the steps by a small learned network, which ``l1`` and ``l2`` penalize.
    """
    if pooling == "mean":
        return keras.layers.GlobalAveragePooling1D()(x)
    if pooling == "max":
        # Not a layer: masked steps repeat the state before them, so they change no maximum.
        return ops.max(x, axis=1)
    if pooling == "attention":
        from medkit.layers.attention_pooling import AttentionPooling

        return AttentionPooling(kernel_regularizer=penalty(l1, l2))(x)
    return x[:, -1]


def finished(
    name: str, inputs: Any, x: Any, num_outputs: int | None, output_activation: str | None
) -> keras.Model:
    """The model from ``inputs`` to the head on ``x``, or to ``x`` itself without a head.

    The head is a dense layer called ``output``; it computes in float32 also under mixed
    precision, where a loss in half precision would lose small probabilities.
    """
    if num_outputs is not None:
        x = keras.layers.Dense(
            num_outputs, activation=output_activation, dtype="float32", name="output"
        )(x)
    return keras.Model(inputs, x, name=name)

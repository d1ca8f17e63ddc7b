"""A second branch for what does not change over time: age, sex, kind of unit."""

from __future__ import annotations

from typing import Any

from medkit.core.errors import MedkitError
from medkit.core.keras_names import Activation
from medkit.core.lazy import keras
from medkit.models._parts import Rate, Units, dense_blocks, finished


def with_static(
    model: keras.Model,
    static_shape: tuple[int, ...],
    num_outputs: int | None,
    *,
    output_activation: str | None = None,
    units: tuple[Units, ...] = (16,),
    joint_units: tuple[Units, ...] = (32,),
    activation: Activation = "relu",
    dropout: Rate = 0.1,
) -> keras.Model:
    """A series model and static features as a second input, joined before the head.

    The embedding of the series and dense layers on the static features are concatenated; dense
    layers on both lead to the head (late fusion; the static branch of Tipirneni and Reddy,
    "Self-supervised transformer for sparse and irregularly sampled multivariate clinical
    time-series", ACM TKDD 16, 2022).

    Args:
        model: Any series model built with ``num_outputs=None``: its embedding.
        static_shape: Shape of the static features of one sample: ``(columns,)``.
        num_outputs: Width of the head; None for the joint embedding.
        output_activation: Activation of the head, set by the task.
        units: Width of each dense layer on the static features; an empty list for none.
        joint_units: Width of each dense layer on series and static features together.
        activation: Keras activation of the dense layers.
        dropout: Share left out in each training step, after each dense layer.

    Returns:
        An uncompiled model of two inputs, ``[(batch, time, channels), (batch, columns)]`` ->
        (batch, num_outputs).

    Raises:
        MedkitError: The model's output is no embedding (batch, width).

    Example:
        >>> from medkit.models import gru, with_static
        >>> model = with_static(gru((48, 37), None), (5,), 1, output_activation="sigmoid")
        >>> model.output_shape
        (None, 1)
    """
    if len(model.output_shape) != 2:
        raise MedkitError(
            f"'{model.name}' gives {model.output_shape}, no embedding (batch, width)",
            hint="Build it with num_outputs=None.",
        )
    sequence = keras.Input(model.input_shape[1:], name="sequence")
    static = keras.Input(static_shape, name="static")
    settings: dict[str, Any] = {
        "activation": activation, "kernel_initializer": "glorot_uniform", "dropout": dropout,
        "l1": 0.0, "l2": 0.0,
    }  # fmt: skip
    joint = keras.layers.Concatenate()([model(sequence), dense_blocks(static, units, **settings)])
    joint = dense_blocks(joint, joint_units, **settings)
    return finished(f"{model.name}_static", [sequence, static], joint, num_outputs,
                    output_activation)  # fmt: skip

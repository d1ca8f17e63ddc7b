"""A sequence and the static features beside it: packed into one array, and taken apart again.

Inside medkit a sample with static features is one array, so that splits, explanations and the
leakage gate need to know of one only: (steps, channels + columns), the static columns in the first
step and NaN in the others. The saved network has two inputs, as one would call it elsewhere.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

#: Name of the network within the saved one, that takes the packed array.
PACKED = "packed"
SEQUENCE, STATIC = "sequence", "static"


def sequence_of(x: Any, columns: int) -> Any:
    """(n, steps, channels) of a packed array or tensor."""
    return x[:, :, :-columns]


def static_of(x: Any, columns: int) -> Any:
    """(n, columns) of a packed array or tensor."""
    return x[:, 0, -columns:]


@keras.saving.register_keras_serializable(package="medkit")
class PackStatic(keras.layers.Layer):
    """Two inputs to the packed array.

    Args:
        fill: What stands in the steps after the first, beside the sequence.

    Input shapes: (batch, steps, channels) and (batch, columns), float.
    Output shape: (batch, steps, channels + columns) float32.
    """

    def __init__(self, fill: float = 0.0, **kwargs: Any):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.fill = fill

    def call(self, inputs: Any) -> Any:
        sequence, static = inputs
        first = ops.cast(static, self.compute_dtype)[:, None, :]
        rest = ops.full_like(sequence[:, 1:, :1], self.fill)
        rest = ops.repeat(rest, static.shape[-1], axis=2)
        columns = ops.concatenate([first, rest], axis=1)
        return ops.concatenate([ops.cast(sequence, self.compute_dtype), columns], axis=2)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        (batch, steps, channels), (_, columns) = input_shape
        return (batch, steps, channels + columns)

    def get_config(self) -> dict[str, Any]:
        # NaN is no JSON.
        return {**super().get_config(), "fill": "nan" if self.fill != self.fill else self.fill}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> PackStatic:
        return cls(**{**config, "fill": float(config["fill"])})


@keras.saving.register_keras_serializable(package="medkit")
class StaticPreprocessing(keras.layers.Layer):
    """The preprocessing of a sequence and that of its static features, on a packed array.

    Args:
        sequence: Layer that takes (batch, steps, channels).
        static: Layer that takes (batch, columns).
        columns: Number of static columns.

    Input shape: (batch, steps, channels + columns) in physical units, NaN where missing.
    Output shape: (batch, steps, inner channels + inner columns), packed alike, 0 in later steps.
    """

    def __init__(self, sequence: Any, static: Any, columns: int, **kwargs: Any):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.sequence, self.static, self.columns = sequence, static, columns
        self.pack = PackStatic()

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        for layer, shape in zip((self.sequence, self.static), self._shapes(input_shape),
                                strict=True):  # fmt: skip
            if not layer.built:
                layer.build(shape)
        self.built = True

    def _shapes(self, shape: tuple[int | None, ...]) -> tuple[Any, Any]:
        batch, steps, width = shape
        return (batch, steps, (width or 0) - self.columns), (batch, self.columns)

    def call(self, inputs: Any, training: Any = None) -> Any:
        sequence = self.sequence(sequence_of(inputs, self.columns), training=training)
        static = self.static(static_of(inputs, self.columns), training=training)
        return self.pack([sequence, static])

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        sequence, static = self._shapes(input_shape)
        inner = self.sequence.compute_output_shape(sequence)
        return (*inner[:2], inner[2] + self.static.compute_output_shape(static)[-1])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "sequence": keras.saving.serialize_keras_object(self.sequence),
            "static": keras.saving.serialize_keras_object(self.static),
            "columns": self.columns,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> StaticPreprocessing:
        for name in ("sequence", "static"):
            config[name] = keras.saving.deserialize_keras_object(config[name])
        return cls(**config)


def with_two_inputs(model: keras.Model, columns: int) -> keras.Model:
    """What is saved of a network that takes the packed array.

    Args:
        model: Takes (batch, steps, channels + columns).
        columns: Number of static columns.

    Returns:
        The same network with the inputs ``sequence`` (batch, steps, channels) and ``static``
        (batch, columns).
    """
    steps, width = model.input_shape[1:]
    sequence = keras.Input((steps, width - columns), name=SEQUENCE)
    static = keras.Input((columns,), name=STATIC)
    # A model of its own: its name is what it is found by, whatever the network is called.
    inner = keras.Model(model.input, model.output, name=PACKED)
    packed = PackStatic(float("nan"), name="pack")([sequence, static])
    return keras.Model({SEQUENCE: sequence, STATIC: static}, inner(packed), name="medkit")


def with_one_input(model: keras.Model) -> keras.Model:
    """The network that takes the packed array, of one that was saved with two inputs."""
    names = [layer.name for layer in model.layers]
    return model.get_layer(PACKED) if PACKED in names else model

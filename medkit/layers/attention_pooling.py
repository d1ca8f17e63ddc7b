"""The steps of a sequence, weighted by what a small network makes of each."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="medkit")
class AttentionPooling(keras.layers.Layer):
    """(batch, time, channels) -> (batch, channels): the steps' mean, weighted by learned scores.

    A step x scores ``v . tanh(x W + b)``; the softmax of the scores over time weighs the steps
    (Bahdanau, Cho and Bengio, "Neural machine translation by jointly learning to align and
    translate", ICLR 2015). A mask of the sequence (batch, time) gives its padding no weight.

    Args:
        kernel_regularizer: Keras regularizer of ``W`` and ``v``.
    """

    def __init__(self, kernel_regularizer: Any = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the scoring network."""
        channels = input_shape[-1]
        self.kernel, self.direction = (
            self.add_weight(
                name=name,
                shape=(channels, width),
                initializer="glorot_uniform",
                regularizer=self.kernel_regularizer,
            )
            for name, width in (("kernel", channels), ("direction", 1))
        )
        self.bias = self.add_weight(name="bias", shape=(channels,), initializer="zeros")

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Score the steps and sum them up."""
        hidden = ops.tanh(ops.matmul(inputs, self.kernel) + self.bias)
        scores = ops.matmul(hidden, self.direction)
        if mask is not None:
            # -30,000 still fits into half precision.
            scores = ops.where(mask[:, :, None], scores, ops.cast(-3e4, scores.dtype))
        return ops.sum(ops.softmax(scores, axis=1) * inputs, axis=1)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        """None: no steps are left to mask."""

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            **super().get_config(),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }

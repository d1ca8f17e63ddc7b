"""From standardized outputs back to physical units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np


@keras.saving.register_keras_serializable(package="medkit")
class TargetScale(keras.layers.Layer):
    """``output * scale + mean`` for each output: (batch, outputs) -> the same shape, float32.

    The statistics are non-trainable weights, saved with the model.

    Args:
        mean: (outputs,) mean of the training targets in physical units; 0 until loaded.
        scale: (outputs,) their standard deviation; 1 until loaded.
    """

    def __init__(
        self,
        mean: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**{"dtype": "float32", **kwargs})
        self._statistics = (mean, scale)
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make one mean and one scale for each output."""
        width = int(input_shape[-1] or 0)

        def constant(values: Sequence[float] | None, otherwise: str) -> Any:
            if values is None:
                return otherwise
            array = np.broadcast_to(np.asarray(values, "float32"), (width,))
            return lambda shape, dtype=None: keras.ops.convert_to_tensor(array, dtype=dtype)

        mean, scale = self._statistics
        self.mean = self.add_weight(
            name="mean", shape=(width,), initializer=constant(mean, "zeros"), trainable=False
        )
        self.scale = self.add_weight(
            name="scale", shape=(width,), initializer=constant(scale, "ones"), trainable=False
        )

    def call(self, inputs: Any) -> Any:
        """Rescale."""
        return inputs * self.scale + self.mean

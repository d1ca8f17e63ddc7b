"""Where in a sequence a step stands: added to its channels, since attention ignores order."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


def sinusoids(length: int, width: int) -> np.ndarray:
    """(length, width) sine (even channels) and cosine (odd) of the position, float32.

    The wavelengths grow from 2 pi to 10,000 * 2 pi steps (Vaswani et al., "Attention is all you
    need", NeurIPS 2017).
    """
    rates = 10_000.0 ** (-2 * (np.arange(width) // 2) / width)
    angles = np.arange(length)[:, None] * rates
    return np.where(np.arange(width) % 2 == 0, np.sin(angles), np.cos(angles)).astype("float32")


@keras.saving.register_keras_serializable(package="medkit")
class Positions(keras.layers.Layer):
    """Add a vector for each position: (batch, time, channels) -> the same shape.

    Args:
        kind: ``sinusoidal`` (fixed) or ``learned`` (one trained vector for each position).
    """

    def __init__(self, kind: str = "sinusoidal", **kwargs: Any):
        super().__init__(**kwargs)
        self.kind = kind
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the table of position vectors, (time, channels)."""
        length, width = input_shape[-2:]
        if length is None or width is None:
            raise ValueError(f"Positions needs a fixed length and width; got {input_shape}")
        learned = self.kind == "learned"

        def table(shape: tuple[int, ...], dtype: Any = None) -> Any:
            return keras.ops.convert_to_tensor(sinusoids(*shape), dtype=dtype)

        self.table = self.add_weight(
            name="table",
            shape=(length, width),
            initializer=keras.initializers.RandomNormal(stddev=0.02) if learned else table,
            trainable=learned,
        )

    def call(self, inputs: Any) -> Any:
        """Add the table to every sample."""
        return inputs + keras.ops.cast(self.table, inputs.dtype)

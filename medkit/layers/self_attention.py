"""Multi-head self-attention whose weights can be read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="medkit")
class SelfAttention(keras.layers.Layer):
    """Multi-head scaled dot-product self-attention: (batch, time, channels) -> the same shape.

    The same function as ``keras.layers.MultiHeadAttention`` of a sequence with itself (Vaswani
    et al., "Attention is all you need", NeurIPS 2017), with one matrix product for queries, keys
    and values together, which is faster on CPU, and with readable weights. A mask of the
    sequence (batch, time) hides its padding from every query.

    Args:
        num_heads: Number of heads.
        key_dim: Width of each head's queries, keys and values.
        dropout: Share of the attention weights left out in training.
        kernel_initializer: Keras initializer of both weight matrices.
        kernel_regularizer: Keras regularizer of both weight matrices.
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        dropout: float = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.num_heads, self.key_dim, self.dropout = num_heads, key_dim, dropout
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.supports_masking = True
        self._drop = keras.layers.Dropout(dropout, dtype=self.dtype_policy)
        self._recorder: Any = None

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the projections into the heads and back."""
        channels, inner = input_shape[-1], self.num_heads * self.key_dim
        # Queries, keys and values are initialized apart: glorot's limits depend on the width.
        self.inward_kernel = self.add_weight(
            name="inward_kernel",
            shape=(channels, 3 * inner),
            initializer=_side_by_side(self.kernel_initializer, 3),
            regularizer=self.kernel_regularizer,
        )
        self.inward_bias = self.add_weight(
            name="inward_bias", shape=(3 * inner,), initializer="zeros"
        )
        self.outward_kernel = self.add_weight(
            name="outward_kernel",
            shape=(inner, channels),
            initializer=_side_by_side(self.kernel_initializer, 1),
            regularizer=self.kernel_regularizer,
        )
        self.outward_bias = self.add_weight(
            name="outward_bias", shape=(channels,), initializer="zeros"
        )

    def call(self, inputs: Any, mask: Any = None, training: bool | None = None) -> Any:
        """Attend from every step to every step."""
        length, channels = inputs.shape[1:]
        heads, width = self.num_heads, self.key_dim
        # One product of two dimensions, then a split: in TensorFlow on CPU the backward pass of
        # slices, or of a five-dimensional transpose, costs more than the fusion gains.
        flat = ops.reshape(inputs, (-1, channels))
        projected = ops.matmul(flat, self.inward_kernel) + self.inward_bias
        query, key, value = (
            ops.transpose(ops.reshape(part, (-1, length, heads, width)), (0, 2, 1, 3))
            for part in ops.split(projected, 3, axis=-1)
        )
        scores = ops.matmul(query * width**-0.5, ops.swapaxes(key, -1, -2))
        if mask is not None:
            hidden = ops.logical_not(mask)[:, None, None, :]
            # -30,000 still fits into half precision.
            scores = ops.where(hidden, ops.cast(-3e4, scores.dtype), scores)
        weights = ops.softmax(scores, axis=-1)  # (batch, heads, time, time)
        if self._recorder is not None:
            self._recorder(ops.convert_to_numpy(ops.cast(weights, "float32")))
        if self.dropout:
            weights = self._drop(weights, training=training)
        attended = ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))
        attended = ops.reshape(attended, (-1, heads * width))
        attended = ops.matmul(attended, self.outward_kernel) + self.outward_bias
        return ops.reshape(attended, (-1, length, channels))

    @contextlib.contextmanager
    def recorded(self) -> Iterator[list[np.ndarray]]:
        """Collect the weights (batch, heads, time, time) of every eager call in the block."""
        calls: list[np.ndarray] = []
        self._recorder = calls.append
        try:
            yield calls
        finally:
            self._recorder = None

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "dropout": self.dropout,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }


def _side_by_side(initializer: Any, parts: int) -> Any:
    def initialize(shape: tuple[int, ...], dtype: Any = None) -> Any:
        one = (shape[0], shape[1] // parts)
        # Clones, since one initializer draws the same numbers at every call.
        return ops.concatenate([_clone(initializer)(one, dtype=dtype) for _ in range(parts)], -1)

    return initialize


def _clone(initializer: Any) -> Any:
    return initializer.clone() if hasattr(initializer, "clone") else initializer

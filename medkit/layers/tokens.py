"""Token ids -> vectors: one-hot, or a trainable embedding."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="medkit")
class TokenPreprocessing(keras.layers.Layer):
    """A vector for each token, inside the model; padding gives zeros.

    Args:
        vocabulary: Number of ids: 0 for padding, 1 for an unseen token, then the known ones.
        dimensions: Size of a trainable embedding; None for one-hot vectors.
        unseen: Whether an unseen token has a vector of its own; else it gives zeros, as there
            was none in training to learn from.

    Input shape: (batch, length) integers. Output shape: (batch, length, channels) float32, where
    channels is ``dimensions``, or the number of ids that have a vector.
    """

    def __init__(
        self, vocabulary: int, dimensions: int | None = None, unseen: bool = False, **kwargs: Any
    ):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.vocabulary, self.dimensions, self.unseen = vocabulary, dimensions, unseen
        self.first = 1 if unseen else 2

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if self.dimensions is not None:
            self.embedding = self.add_weight(
                shape=(self.vocabulary, self.dimensions), initializer="uniform", name="embedding"
            )

    def call(self, inputs: Any) -> Any:
        ids = ops.expand_dims(ops.cast(inputs, "int32"), -1)
        if self.dimensions is None:
            known = np.arange(self.first, self.vocabulary, dtype="int32")
            return ops.cast(ops.equal(ids, known), self.compute_dtype)
        vectors = ops.take(self.embedding, ids[..., 0], axis=0)
        return vectors * ops.cast(ops.greater_equal(ids, self.first), self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape, self.dimensions or self.vocabulary - self.first)

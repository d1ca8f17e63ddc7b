"""What stands for an input's embedding in the samples that lack the input."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="medkit")
class SubstitutedEmbedding(keras.layers.Layer):
    """An input's embedding, or a learned vector for the samples that lack the input.

    In training it also takes away the whole input of some samples at random, so that the network
    learns to do without (ModDrop: Neverova et al., "ModDrop: adaptive multi-modal gesture
    recognition", IEEE TPAMI 38, 2016).

    Args:
        rate: Share of the samples whose input is taken away in each training step.
        seed: Seed of the draw; None for one from Keras' global generator.

    Input shapes: (batch, width), or [(batch, width), (batch, 1)] with 1 where the sample has the
    input and 0 where it lacks it.
    Output shape: (batch, width).
    """

    def __init__(self, rate: float = 0.0, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.rate, self.seed = rate, seed
        self.generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: Any) -> None:
        """Make the vector."""
        width = input_shape[0][-1] if isinstance(input_shape[0], (list, tuple)) else input_shape[-1]
        self.substitute = self.add_weight(name="substitute", shape=(width,), initializer="zeros")

    def call(self, inputs: Any, training: Any = None) -> Any:
        """Choose between the two, sample by sample."""
        embedding, *given = inputs if isinstance(inputs, (list, tuple)) else (inputs,)
        present = ops.cast(given[0], embedding.dtype) if given else ops.ones_like(embedding[:, :1])
        if training and self.rate:
            drawn = keras.random.uniform(ops.shape(present), seed=self.generator)
            present = present * ops.cast(drawn >= self.rate, present.dtype)
        return ops.where(present > 0.5, embedding, ops.cast(self.substitute, embedding.dtype))

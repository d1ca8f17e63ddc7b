"""Several inputs' embeddings as one: what stands for an input a sample lacks, and how they join."""

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

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """(batch, width)."""
        return tuple(input_shape[0] if isinstance(input_shape[0], (list, tuple)) else input_shape)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable(package="medkit")
class GatedJoin(keras.layers.Layer):
    """Several embeddings of one width -> their sum, each gated by what all of them hold.

    ``sum over i of sigmoid(W_i e + b_i) * e_i`` with ``e`` the embeddings side by side (gated
    multimodal units: Arevalo et al., "Gated multimodal networks", Neural Computing and
    Applications 32, 2020).

    Input shapes: a list of (batch, width). Output shape: (batch, width).
    """

    def build(self, input_shape: Any) -> None:
        """Make the gates."""
        count, width = len(input_shape), input_shape[0][-1]
        self.kernel = self.add_weight(name="kernel", shape=(count * width, count * width))
        self.bias = self.add_weight(name="bias", shape=(count * width,), initializer="zeros")

    def call(self, inputs: Any) -> Any:
        """Open the gates and sum up."""
        together = ops.concatenate(inputs, axis=-1)
        passed = ops.sigmoid(ops.matmul(together, self.kernel) + self.bias) * together
        return sum(ops.split(passed, len(inputs), axis=-1))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """(batch, width)."""
        return tuple(input_shape[0])


@keras.saving.register_keras_serializable(package="medkit")
class Stacked(keras.layers.Layer):
    """Several embeddings of one width -> (batch, inputs, width), as steps to attend to."""

    def call(self, inputs: Any) -> Any:
        """Stack them."""
        return ops.stack(inputs, axis=1)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """(batch, inputs, width)."""
        batch, width = input_shape[0]
        return (batch, len(input_shape), width)

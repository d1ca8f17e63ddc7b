"""Each number of a table as a vector of its own: tokens and numeric embeddings."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="medkit")
class FeatureTokens(keras.layers.Layer):
    """(batch, features) -> (batch, 1 + features, width): a vector for each number, and one more.

    Each number scales a direction of its own and adds a bias; the first token, the same for
    every sample, is where attention gathers what it learns (Gorishniy et al., "Revisiting deep
    learning models for tabular data", NeurIPS 2021).

    Args:
        width: Width of the tokens.
    """

    def __init__(self, width: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.width = width

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the directions and biases."""
        bound = 1 / math.sqrt(self.width)
        start = keras.initializers.RandomUniform(-bound, bound)
        self.directions, self.biases = (
            self.add_weight(name=name, shape=(input_shape[-1], self.width), initializer=each)
            for name, each in (("directions", start), ("biases", start.clone()))
        )
        self.gathering = self.add_weight(
            name="gathering", shape=(1, self.width), initializer=start.clone()
        )

    def call(self, inputs: Any) -> Any:
        """The gathering token, then the features' in their order."""
        tokens = inputs[:, :, None] * self.directions + self.biases
        first = ops.zeros_like(tokens[:, :1]) + self.gathering
        return ops.concatenate([first, tokens], axis=1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """(batch, 1 + features, width)."""
        batch, features = input_shape
        return (batch, None if features is None else features + 1, self.width)


@keras.saving.register_keras_serializable(package="medkit")
class NumericEmbedding(keras.layers.Layer):
    """(batch, features) -> (batch, features * width): each number seen through many functions.

    ``periodic``: sines and cosines of trained frequencies, then a dense layer and ReLU for each
    feature. ``piecewise_linear``: how far the number has come through each of several bins,
    then a dense layer for each feature; the bins are the quantiles of a standard normal, since
    numbers arrive standardized, and the outer two go on beyond their ends. Both after
    Gorishniy, Rubachev and Babenko, "On embeddings for numerical features in tabular deep
    learning", NeurIPS 2022.

    Args:
        kind: ``periodic`` or ``piecewise_linear``.
        width: Width of each feature's embedding.
        pieces: Number of frequencies, or of bins.
        spread: Standard deviation of the first frequencies (periodic).
    """

    def __init__(self, kind: str, width: int, pieces: int = 16, spread: float = 0.1, **kwargs: Any):
        super().__init__(**kwargs)
        self.kind, self.width, self.pieces, self.spread = kind, width, pieces, spread

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the frequencies and the dense layer of each feature."""
        features = input_shape[-1]
        inner = self.pieces
        if self.kind == "periodic":
            self.frequencies = self.add_weight(
                name="frequencies",
                shape=(features, self.pieces),
                initializer=keras.initializers.RandomNormal(stddev=self.spread),
            )
            inner = 2 * self.pieces
        bound = 1 / math.sqrt(inner)
        start = keras.initializers.RandomUniform(-bound, bound)
        self.kernel = self.add_weight(
            name="kernel", shape=(features, inner, self.width), initializer=start
        )
        self.bias = self.add_weight(
            name="bias", shape=(features, self.width), initializer=start.clone()
        )

    def call(self, inputs: Any) -> Any:
        """Embed each feature apart, side by side."""
        numbers = inputs[:, :, None]
        if self.kind == "periodic":
            angles = 2 * math.pi * numbers * self.frequencies
            seen = ops.concatenate([ops.cos(angles), ops.sin(angles)], axis=-1)
        else:
            edges = normal_quantiles(self.pieces)
            start, length, least, most = (
                ops.cast(each, self.compute_dtype)
                for each in (edges[:-1], edges[1:] - edges[:-1], *_ends(self.pieces))
            )
            seen = ops.minimum(ops.maximum((numbers - start) / length, least), most)
        embedded = ops.einsum("bfp,fpw->bfw", seen, self.kernel) + self.bias
        if self.kind == "periodic":
            embedded = ops.relu(embedded)
        return ops.reshape(embedded, (-1, inputs.shape[1] * self.width))


def normal_quantiles(pieces: int) -> np.ndarray:
    """(pieces + 1,) bounds of equally likely bins of a standard normal; the ends at ±4."""
    inner = [NormalDist().inv_cdf(i / pieces) for i in range(1, pieces)]
    return np.array([-4.0, *inner, 4.0], dtype="float32")


def _ends(pieces: int) -> tuple[np.ndarray, np.ndarray]:
    """The least and the most that each bin counts, (pieces,): 0 and 1 but for the outer ends."""
    least, most = np.zeros(pieces, "float32"), np.ones(pieces, "float32")
    least[0], most[-1] = -np.inf, np.inf
    return least, most

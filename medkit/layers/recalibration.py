"""Probabilities -> recalibrated probabilities, as the last layer of the saved model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

# Single precision: log(0) is kept finite, and so is log(1 - p) where p is rounded to 1.
SMALLEST = 1e-30
LARGEST = 1 - 2.0**-24
# One-vs-rest probabilities below this are raised to it, so that their sum is never 0.
LEAST_SHARE = 1e-7


@keras.saving.register_keras_serializable(package="medkit")
class Recalibration(keras.layers.Layer):
    """Recalibrate each output: (batch, outputs) probabilities -> the same shape, float32.

    By ``link``:

    - ``sigmoid``: sigmoid(slope * logit(p) + intercept), each output for itself.
    - ``softmax``: softmax(slope * log(p) + intercept), the outputs sum to 1.
    - ``knots``: the line through (knots, values), constant beyond both ends; the sum of what it
      rises in each interval, which needs neither gather nor search.

    The numbers are non-trainable weights, saved with the model; the identity until loaded.

    Args:
        link: sigmoid, softmax or knots.
        renormalize: Divide by the sum of the outputs (one-vs-rest fits of exclusive classes).
        points: Number of knots of each output, with link knots.
        slope: (outputs,) with links sigmoid and softmax; 1 until loaded.
        intercept: (outputs,) with links sigmoid and softmax; 0 until loaded.
        knots: (outputs, points) ascending places; padded by repeating the last one.
        values: (outputs, points) what they become.
    """

    def __init__(
        self,
        link: Literal["sigmoid", "softmax", "knots"] = "sigmoid",
        renormalize: bool = False,
        points: int = 2,
        slope: Sequence[float] | None = None,
        intercept: Sequence[float] | None = None,
        knots: Sequence[Sequence[float]] | None = None,
        values: Sequence[Sequence[float]] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**{"dtype": "float32", **kwargs})
        if link not in ("sigmoid", "softmax", "knots"):
            raise ValueError(f"link must be sigmoid, softmax or knots; got {link!r}")
        self.link, self.renormalize, self.points = link, renormalize, points
        self._numbers = {"slope": slope, "intercept": intercept, "knots": knots, "values": values}

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights of the link."""
        width = int(input_shape[-1] or 0)

        def constant(name: str, shape: tuple[int, ...], otherwise: Any) -> Any:
            given = self._numbers[name]
            array = np.asarray(otherwise if given is None else given, "float32")
            array = np.broadcast_to(array, shape)
            return self.add_weight(
                name=name,
                shape=shape,
                initializer=lambda shape, dtype=None: ops.convert_to_tensor(array, dtype=dtype),
                trainable=False,
            )

        if self.link == "knots":
            even = np.linspace(0, 1, self.points)
            self.knots = constant("knots", (width, self.points), even)
            self.values = constant("values", (width, self.points), even)
        else:
            self.slope = constant("slope", (width,), 1.0)
            self.intercept = constant("intercept", (width,), 0.0)

    def call(self, inputs: Any) -> Any:
        """Recalibrate."""
        if self.link == "knots":
            found = self._line(inputs)
        else:
            p = ops.clip(inputs, SMALLEST, LARGEST)
            logs = ops.log(p)
            if self.link == "softmax":
                return ops.softmax(logs * self.slope + self.intercept, axis=-1)
            logs = logs - ops.log(1.0 - p)
            found = ops.sigmoid(logs * self.slope + self.intercept)
        if not self.renormalize:
            return found
        found = ops.maximum(found, LEAST_SHARE)
        return found / ops.sum(found, axis=-1, keepdims=True)

    def _line(self, inputs: Any) -> Any:
        low, high = self.knots[:, :-1], self.knots[:, 1:]
        rise = self.values[:, 1:] - self.values[:, :-1]
        width = ops.maximum(high - low, 1e-30)  # padding has none, and rises by 0
        part = (ops.expand_dims(inputs, -1) - low) / width
        return self.values[:, 0] + ops.sum(ops.clip(part, 0.0, 1.0) * rise, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Link and shapes; the numbers are weights."""
        return {
            **super().get_config(),
            "link": self.link,
            "renormalize": self.renormalize,
            "points": self.points,
        }

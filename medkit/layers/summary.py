"""Summary statistics of each variable over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from medkit.layers.features import normal_quantiles

STATISTICS = (
    "mean", "min", "max", "first", "last", "deviation", "slope", "count", "since", "ever",
    "carried_mean", "carried_min", "carried_max",
)  # fmt: skip


@keras.saving.register_keras_serializable(package="medkit")
class SeriesStatistics(keras.layers.Layer):
    """(batch, time, 2 * variables) -> (batch, statistics, variables).

    The first half of the channels holds each variable's standardized value, carried forward
    where it was not measured; the second half is 1 where it was measured. A variable never
    measured has 0 throughout, but for ``since`` and the carried values.

    Args:
        statistics: Of the measured values ``mean``, ``min``, ``max``, ``first``, ``last``,
            ``deviation`` (standard), ``slope`` (of the least-squares line, over the whole time,
            shrunk where the measurements lie close together), ``count`` (twice the share of the
            steps with one), ``since`` (twice the share of the time after the last one) and
            ``ever`` (2 if measured at all). Of the values carried forward ``carried_mean``,
            ``carried_min`` and ``carried_max``: each counts for as long as it was the latest
            known. The factors bring counts and times to the scale of standardized values.
    """

    def __init__(self, statistics: Sequence[str] = STATISTICS, **kwargs: Any):
        super().__init__(**kwargs)
        unknown = [name for name in statistics if name not in STATISTICS]
        if unknown or not statistics:
            raise ValueError(f"statistics must be of {STATISTICS}; got {tuple(statistics)}")
        self.statistics = tuple(statistics)

    def call(self, inputs: Any) -> Any:
        """Every statistic of every variable."""
        steps, width = inputs.shape[1], inputs.shape[2] // 2
        values, seen = inputs[:, :, :width], inputs[:, :, width:]
        known = seen > 0.5
        seen = ops.cast(known, inputs.dtype)
        count = ops.sum(seen, axis=1)
        number = ops.maximum(count, 1.0)
        ever = ops.cast(count > 0.5, inputs.dtype)
        clock = ops.convert_to_tensor(np.linspace(0.0, 1.0, steps, dtype="float32")[None, :, None])
        clock = ops.cast(clock, inputs.dtype)
        latest = ops.max(seen * clock, axis=1)
        mean = ops.sum(values * seen, axis=1) / number
        apart = (values - mean[:, None]) * seen
        ticks = (clock - (ops.sum(clock * seen, axis=1) / number)[:, None]) * seen
        # Of the first (last) value: the one with the earliest (latest) measured step.
        earliest = ops.min(ops.where(known, clock, 2.0), axis=1)
        at_first = seen * ops.cast(ops.equal(clock, earliest[:, None]), inputs.dtype)
        large = 1e4  # fits into half precision
        found = {
            "mean": lambda: mean,
            "min": lambda: ever * ops.min(ops.where(known, values, large), axis=1),
            "max": lambda: ever * ops.max(ops.where(known, values, -large), axis=1),
            "first": lambda: ops.sum(values * at_first, axis=1),
            # Carried forward, the final step holds the last measured value.
            "last": lambda: ever * values[:, -1],
            "deviation": lambda: _root(ops.sum(apart * apart, axis=1) / number),
            "slope": lambda: (
                ops.sum(ticks * apart, axis=1) / (ops.sum(ticks * ticks, axis=1) + 0.02)
            ),
            "count": lambda: 2.0 * count / steps,
            "since": lambda: 2.0 * (1.0 - latest),
            "ever": lambda: 2.0 * ever,
            "carried_mean": lambda: ops.mean(values, axis=1),
            "carried_min": lambda: ops.min(values, axis=1),
            "carried_max": lambda: ops.max(values, axis=1),
        }
        return ops.stack([found[name]() for name in self.statistics], axis=1)


def _root(square: Any) -> Any:
    # The derivative of a root is infinite at 0.
    return ops.sqrt(square + 1e-12)


@keras.saving.register_keras_serializable(package="medkit")
class PiecewiseLinear(keras.layers.Layer):
    """(batch, features) -> (batch, features * pieces): how far each number has come through bins.

    0 before a bin, 1 after it, the share within; less its mean for a standard normal, so that
    dropout leaves a typical number behind. A dense layer on it gives each feature a response of
    several slopes. The bins are the quantiles of a standard normal, from -4 to 4
    (piecewise-linear encoding; Gorishniy, Rubachev and Babenko, "On embeddings for numerical
    features in tabular deep learning", NeurIPS 2022). No weights.

    Args:
        pieces: Number of bins.
    """

    def __init__(self, pieces: int = 7, **kwargs: Any):
        super().__init__(**kwargs)
        self.pieces = pieces

    def call(self, inputs: Any) -> Any:
        """The bins of one feature stand together."""
        edges = normal_quantiles(self.pieces)
        start, length = (
            ops.cast(each, self.compute_dtype) for each in (edges[:-1], np.diff(edges))
        )
        typical = ops.cast(1.0 - (np.arange(self.pieces) + 0.5) / self.pieces, self.compute_dtype)
        seen = ops.clip((inputs[:, :, None] - start) / length, 0.0, 1.0) - typical
        return ops.reshape(seen, (-1, inputs.shape[1] * self.pieces))

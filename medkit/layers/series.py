"""Time series in physical units -> filled, standardized channels and measured-or-not channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


def forward_fill(values: Any, missing: Any) -> tuple[Any, Any]:
    """Carry the last value along axis 1 into the steps that miss one.

    log2(steps) shifted copies rather than a scan or a gather: the same few operations on every
    backend, and none that an exporter refuses.

    Args:
        values: (batch, steps, channels); anything but NaN where missing.
        missing: Boolean, of the same shape.

    Returns:
        The filled values, and a boolean of what is still missing: steps with no past.
    """
    steps, shift = values.shape[1], 1
    while shift < steps:
        values = ops.where(missing, _later(values, shift), values)
        missing = ops.logical_and(missing, _later(missing, shift))
        shift *= 2
    return values, missing


def _later(values: Any, shift: int) -> Any:
    # The first steps are kept: as they are no fill for themselves, any value does there.
    return ops.concatenate([values[:, :shift], values[:, :-shift]], axis=1)


def time_since_measured(measured: Any) -> Any:
    """Steps since each channel was measured, before the present step; since the start if never.

    0 at the first step; one step after a measurement, 1 (Che et al., Scientific Reports 8, 2018,
    equation 1, for steps of equal length).

    Args:
        measured: Boolean (batch, steps, channels).

    Returns:
        (batch, steps, channels) float32.
    """
    steps = measured.shape[1]
    positions = ops.convert_to_tensor(np.arange(steps, dtype="float32")[None, :, None])
    # The step of the last measurement before this one: the first step stands for 'never'.
    at = ops.where(measured, positions, 0.0)
    at, _ = forward_fill(at, ops.logical_not(measured))
    before = ops.concatenate([ops.zeros_like(at[:, :1]), at[:, :-1]], axis=1)
    return positions - before


def within_course(inputs: Any) -> Any:
    """From the first to the last step with a measurement: boolean (batch, steps, 1).

    Args:
        inputs: (batch, steps, channels) with NaN where not measured.
    """
    measured = ops.any(ops.logical_not(ops.isnan(inputs)), axis=2, keepdims=True)
    count = ops.cumsum(ops.cast(measured, "int32"), axis=1)
    begun, measured_later = count > 0, count[:, -1:] - count > 0
    return ops.logical_and(begun, ops.logical_or(measured_later, measured))


@keras.saving.register_keras_serializable(package="medkit")
class SeriesPreprocessing(keras.layers.Layer):
    """Fill, standardize and mark what was measured, inside the model.

    Computes in float32 whatever the precision policy: float16 ends at 65504.

    Args:
        carry_forward: Carry the last measured value forward; the fill value serves before it.
        indicators: Channels that are followed by a channel which is 1 where the value was
            measured and 0 where it was filled.
        clip: Bound on the standardized values, in standard deviations; None for none.
        since: Whether each indicator is followed by the time since the channel was measured, as
            a share of the whole.
        zero_padding: Make all channels 0 in the steps before a sample's first measurement and
            after its last.
        logarithm: Channels of which the logarithm of 1 + value is taken first.

    Input shape: (batch, steps, channels) float, physical units, NaN where not measured.
    Output shape: (batch, steps, channels + indicators (+ indicators)) float32.
    """

    def __init__(
        self,
        carry_forward: bool = True,
        indicators: Sequence[int] = (),
        clip: float | None = None,
        since: bool = False,
        zero_padding: bool = False,
        logarithm: Sequence[int] = (),
        **kwargs: Any,
    ):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.zero_padding = zero_padding
        self.carry_forward, self.indicators, self.clip = carry_forward, list(indicators), clip
        self.since, self.logarithm = since, list(logarithm)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if len(input_shape) != 3 or input_shape[1] is None or input_shape[2] is None:
            raise ValueError(
                f"{type(self).__name__} expects (batch, steps, channels) with steps and channels "
                f"known, got input of shape {tuple(input_shape)}"
            )
        starts = {"fill": 0.0, "center": 0.0, "scale": 1.0, "low": -np.inf, "high": np.inf}
        self.fill, self.center, self.scale, self.low, self.high = (
            self.add_weight(
                shape=(input_shape[2],),
                initializer=keras.initializers.Constant(start),
                trainable=False,
                name=name,
            )
            for name, start in starts.items()
        )

    def set_statistics(
        self,
        fill: Sequence[float],
        center: Sequence[float],
        scale: Sequence[float],
        bounds: Sequence[Sequence[float]] | None = None,
    ) -> None:
        """Set fill values, centres, scales and bounds (low, high), one a channel, in its unit."""
        if bounds is not None:
            self.low.assign(np.asarray(bounds[0], "float32"))
            self.high.assign(np.asarray(bounds[1], "float32"))
        self.fill.assign(np.asarray(fill, "float32"))
        self.center.assign(np.asarray(center, "float32"))
        self.scale.assign(np.asarray(scale, "float32"))

    def call(self, inputs: Any) -> Any:
        found = self._filled(inputs)
        return ops.where(within_course(inputs), found, 0.0) if self.zero_padding else found

    def _filled(self, inputs: Any) -> Any:
        missing = unfilled = ops.isnan(inputs)
        values = ops.where(missing, 0.0, inputs)
        if self.logarithm:
            skewed = np.isin(np.arange(inputs.shape[2]), self.logarithm)
            values = ops.where(skewed, ops.log1p(ops.maximum(values, 0.0)), values)
        # Before filling: a constant to fill with is no extreme measurement.
        values = ops.minimum(ops.maximum(values, self.low), self.high)
        if self.carry_forward:
            values, unfilled = forward_fill(values, missing)
        # Converted: Keras hands JAX's where the variable itself, which grad refuses.
        values = ops.where(unfilled, ops.convert_to_tensor(self.fill), values)
        values = (values - self.center) / self.scale
        if self.clip is not None:
            values = ops.clip(values, -self.clip, self.clip)
        if not self.indicators:
            return values
        if self.indicators != list(range(inputs.shape[2])):
            missing = ops.take(missing, np.asarray(self.indicators, "int32"), axis=2)
        measured = 1.0 - ops.cast(missing, self.compute_dtype)
        if not self.since:
            return ops.concatenate([values, measured], axis=-1)
        since = time_since_measured(ops.logical_not(missing)) / inputs.shape[1]
        return ops.concatenate([values, measured, since], axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, steps, channels = input_shape
        more = len(self.indicators) * (2 if self.since else 1)
        return (batch, steps, None if channels is None else channels + more)

"""Forecasts of several values, some of them never measured: head, loss and watched error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from medkit.layers.target_scale import TargetScale


def by_value(outputs: Any, quantiles: int) -> Any:
    """(batch, values * quantiles) -> (batch, values, quantiles)."""
    width = int(outputs.shape[-1])
    if width % quantiles:
        raise ValueError(
            f"the model has {width} outputs, which are not {quantiles} quantiles for each value"
        )
    return keras.ops.reshape(outputs, (-1, width // quantiles, quantiles))


@keras.saving.register_keras_serializable(package="medkit")
class ForecastScale(TargetScale):
    """Standardized outputs to physical units, the quantiles of each value in rising order.

    Quantiles that are learned one by one may cross; sorted they never do, and their pinball loss
    is never larger: Chernozhukov, Fernández-Val and Galichon, Quantile and probability curves
    without crossing, Econometrica 78, 2010.

    Input and output: (batch, values * quantiles), float32.

    Args:
        mean: (values * quantiles,) mean of the training targets in physical units.
        scale: (values * quantiles,) their standard deviation, above 0.
        quantiles: How many quantiles each value has; 1 leaves the order as it is.
    """

    def __init__(
        self,
        mean: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        quantiles: int = 1,
        **kwargs: Any,
    ):
        super().__init__(mean, scale, **kwargs)
        self.quantiles = quantiles

    def call(self, inputs: Any) -> Any:
        """Rescale, then sort."""
        outputs = super().call(inputs)
        if self.quantiles == 1:
            return outputs
        ordered = keras.ops.sort(by_value(outputs, self.quantiles), axis=-1)
        return keras.ops.reshape(ordered, (-1, int(outputs.shape[-1])))

    def get_config(self) -> dict[str, Any]:
        """With the number of quantiles; the statistics are weights."""
        return {**super().get_config(), "quantiles": self.quantiles}


@keras.saving.register_keras_serializable(package="medkit")
class ForecastLoss(keras.losses.Loss):
    """A loss of the values that were measured; NaN among the targets counts nothing.

    Targets (batch, values), outputs (batch, values * quantiles). For each row the sum over what
    was measured, divided by the number of values. ``pinball`` of a quantile q:
    ``max(q e, (q - 1) e)`` of the error e = target - output, averaged over the quantiles; Koenker
    and Bassett, Regression quantiles, Econometrica 46, 1978.

    Args:
        kind: pinball, mae, mse or huber.
        quantiles: The quantiles of each value; one (0.5, say) for a point forecast.
        delta: With huber, where squared turns absolute.
    """

    def __init__(
        self,
        kind: str = "pinball",
        quantiles: Sequence[float] = (0.5,),
        delta: float = 1.0,
        name: str = "forecast_loss",
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self.kind, self.quantiles, self.delta = kind, tuple(quantiles), delta

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """(batch,) losses."""
        ops = keras.ops
        outputs = by_value(ops.cast(y_pred, "float32"), len(self.quantiles))
        truth, seen = _measured(y_true)
        if truth.shape[-1] != outputs.shape[1]:
            raise ValueError(
                f"the model has {outputs.shape[1] * len(self.quantiles)} outputs for "
                f"{truth.shape[-1]} values with {len(self.quantiles)} quantiles each"
            )
        error = ops.expand_dims(truth, -1) - outputs
        each = ops.mean(self._of(error), axis=-1)
        # Not measured: an error of 0 instead of that to the stand-in.
        return ops.mean(ops.where(seen, each, ops.zeros_like(each)), axis=-1)

    def _of(self, error: Any) -> Any:
        ops = keras.ops
        if self.kind == "pinball":
            levels = ops.convert_to_tensor(self.quantiles, dtype="float32")
            return ops.maximum(levels * error, (levels - 1.0) * error)
        size = ops.abs(error)
        if self.kind == "mae":
            return size
        if self.kind == "mse":
            return ops.square(error)
        squared = 0.5 * ops.square(error)
        return ops.where(size <= self.delta, squared, self.delta * (size - 0.5 * self.delta))

    def get_config(self) -> dict[str, Any]:
        """Kind, quantiles and delta."""
        mine = {"kind": self.kind, "quantiles": list(self.quantiles), "delta": self.delta}
        return {**super().get_config(), **mine}


@keras.saving.register_keras_serializable(package="medkit")
class ForecastError(keras.metrics.Mean):
    """Mean absolute error of the point forecast over the values that were measured.

    Args:
        quantiles: How many outputs each value has.
        point: Which of them is the point forecast.
    """

    def __init__(self, quantiles: int = 1, point: int = 0, name: str = "mae", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.quantiles, self.point = quantiles, point

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch; row weights are not used."""
        outputs = by_value(keras.ops.cast(y_pred, "float32"), self.quantiles)[:, :, self.point]
        truth, seen = _measured(y_true)
        error = keras.ops.abs(truth - outputs)
        super().update_state(error, sample_weight=keras.ops.cast(seen, "float32"))

    def get_config(self) -> dict[str, Any]:
        """With the layout of the outputs."""
        return {**super().get_config(), "quantiles": self.quantiles, "point": self.point}


def _measured(y_true: Any) -> tuple[Any, Any]:
    """Targets with 0 where not measured, and where they were measured."""
    truth = keras.ops.cast(y_true, "float32")
    missing = keras.ops.isnan(truth)
    return keras.ops.where(missing, keras.ops.zeros_like(truth), truth), keras.ops.logical_not(
        missing
    )

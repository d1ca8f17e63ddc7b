"""(time, variable, value) triplets in physical units -> what a network of events takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="medkit")
class TripletPreprocessing(keras.layers.Layer):
    """Standardize times and values, and say which variable each event is of, inside the model.

    Of an event come the standardized time, the standardized value, and one column a variable:
    1 at the event's own, 0 at the others. Where there is no event, all are 0: the columns of the
    variables tell padding from events, whatever their times and values.

    Computes in float32 whatever the precision policy: float16 ends at 65504.

    Args:
        channels: Number of variables.
        clip: Bound on the standardized values, in standard deviations; None for none.

    Input shape: (batch, events, 3) float: hours since the window's start, position of the
        variable, value in its unit; NaN where there is no event.
    Output shape: (batch, events, 2 + variables) float32.
    """

    def __init__(self, channels: int, clip: float | None = None, **kwargs: Any):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.channels, self.clip = channels, clip

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if len(input_shape) != 3 or input_shape[2] != 3:
            raise ValueError(
                f"{type(self).__name__} expects (batch, events, 3): time, variable and value; "
                f"got input of shape {tuple(input_shape)}"
            )
        shapes = {"time": ((2,), 0.0), "center": ((self.channels,), 0.0),
                  "scale": ((self.channels,), 1.0)}  # fmt: skip
        self.time, self.center, self.scale = (
            self.add_weight(
                shape=shape,
                initializer=keras.initializers.Constant(start),
                trainable=False,
                name=name,
            )
            for name, (shape, start) in shapes.items()
        )
        self.time.assign([0.0, 1.0])

    def set_statistics(
        self, time: tuple[float, float], center: Sequence[float], scale: Sequence[float]
    ) -> None:
        """Set centre and scale of the times (hours), and of each variable's values (its unit)."""
        self.time.assign(np.asarray(time, "float32"))
        self.center.assign(np.asarray(center, "float32"))
        self.scale.assign(np.asarray(scale, "float32"))

    def call(self, inputs: Any) -> Any:
        # One NaN of three makes the sum NaN: then there is no event.
        missing = ops.isnan(ops.sum(inputs, axis=-1, keepdims=True))
        events = ops.where(missing, 0.0, inputs)
        time, variable, value = (events[:, :, i : i + 1] for i in range(3))
        known = ops.convert_to_tensor(np.arange(self.channels, dtype="float32"))
        present = 1.0 - ops.cast(missing, self.compute_dtype)
        which = ops.cast(ops.equal(variable, known), self.compute_dtype) * present
        # Taken, not multiplied out: a GPU may round the factors of a product to 10 bits.
        channel = ops.cast(ops.clip(variable[:, :, 0], 0, self.channels - 1), "int32")
        center, scale = (
            ops.take(ops.convert_to_tensor(each), channel, axis=0)[:, :, None]
            for each in (self.center, self.scale)
        )
        values = (value - center) / scale
        if self.clip is not None:
            values = ops.clip(values, -self.clip, self.clip)
        # A variable that the model does not know is no event either.
        present = ops.max(which, axis=-1, keepdims=True)
        times = (time - self.time[0]) / self.time[1]
        return ops.concatenate([times * present, values * present, which], axis=-1)

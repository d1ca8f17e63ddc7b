"""GRU-D: a recurrent unit whose input and state fade while nothing is measured."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from medkit.layers.series import time_since_measured


@keras.saving.register_keras_serializable(package="medkit")
class InputDecay(keras.layers.Layer):
    """Let the last measured value fade to the mean while nothing new is measured.

    With x the last measured value (0 is the training mean), m whether it was measured at this
    step and d the steps since: ``m x + (1 - m) exp(-max(0, w d + b)) x`` for each variable (Che
    et al., "Recurrent neural networks for multivariate time series with missing values",
    Scientific Reports 8, 2018, equations 3 to 6).

    Input: (batch, time, 2 variables), the values carried forward, then 1 or 0 for measured.
    Output: (batch, time, 3 variables): the faded values, measured, and the time since measured
    as a share of the whole.
    """

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Make each variable's rate."""
        variables = input_shape[-1] // 2
        # Not zeros: there the rectifier passes no gradient, and nothing would ever fade.
        self.rate, self.start = (
            self.add_weight(name=name, shape=(variables,), initializer=start)
            for name, start in (("rate", "ones"), ("start", "zeros"))
        )

    def call(self, inputs: Any) -> Any:
        """Fade the values, and say how long ago they were measured."""
        variables = inputs.shape[-1] // 2
        values, measured = inputs[..., :variables], inputs[..., variables:]
        since = time_since_measured(measured > 0.5)
        since = ops.cast(since, inputs.dtype) / inputs.shape[1]
        kept = ops.exp(-ops.relu(since * self.rate + self.start))
        faded = measured * values + (1 - measured) * kept * values
        return ops.concatenate([faded, measured, since], axis=-1)


@keras.saving.register_keras_serializable(package="medkit")
class DecayCell(keras.layers.Layer):
    """One step of GRU-D, for ``keras.layers.RNN``: a gated unit whose state fades first.

    The input is what ``InputDecay`` gives: values, measured, time since measured.

    Args:
        units: Width of the state.
        masked: Whether a second state, (batch, units), multiplies the first where gates and
            candidate read it, and stays the same over time: recurrent dropout (Gal and
            Ghahramani 2016) without random numbers inside the loop.
        kernel_regularizer: Keras regularizer of the input weights.
        recurrent_regularizer: Keras regularizer of the state-to-state weights.
    """

    def __init__(
        self,
        units: int,
        masked: bool = False,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.units, self.masked = units, masked
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = keras.regularizers.get(recurrent_regularizer)
        self.state_size, self.output_size = [units, units] if masked else units, units

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Make the gates' and the fading's weights."""
        width = input_shape[-1]
        third, units = width // 3, self.units
        self.kernel = self.add_weight(
            name="kernel", shape=(2 * third, 3 * units), initializer="glorot_uniform",
            regularizer=self.kernel_regularizer,
        )  # fmt: skip
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel", shape=(units, 3 * units), initializer="orthogonal",
            regularizer=self.recurrent_regularizer,
        )  # fmt: skip
        self.bias = self.add_weight(name="bias", shape=(3 * units,), initializer="zeros")
        self.fading = self.add_weight(
            name="fading", shape=(third, units), initializer="glorot_uniform"
        )
        self.fading_bias = self.add_weight(name="fading_bias", shape=(units,), initializer="zeros")

    def call(self, inputs: Any, states: Any) -> Any:
        """The next state, and the list of states."""
        third, units = inputs.shape[-1] // 3, self.units
        seen, since = inputs[:, : 2 * third], inputs[:, 2 * third :]
        kept = ops.exp(-ops.relu(ops.matmul(since, self.fading) + self.fading_bias))
        state = kept * states[0]
        past = state * states[1] if self.masked else state
        inward = ops.matmul(seen, self.kernel) + self.bias
        gates = ops.sigmoid(
            inward[:, : 2 * units] + ops.matmul(past, self.recurrent_kernel[:, : 2 * units])
        )
        update, reset = gates[:, :units], gates[:, units:]
        candidate = ops.tanh(
            inward[:, 2 * units :] + ops.matmul(reset * past, self.recurrent_kernel[:, 2 * units :])
        )
        new = (1 - update) * state + update * candidate
        return new, [new, *states[1:]]

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """Zeros; nothing masked."""
        shape, dtype = (batch_size, self.units), self.compute_dtype
        return [ops.zeros(shape, dtype), *([ops.ones(shape, dtype)] if self.masked else [])]

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            **super().get_config(),
            "units": self.units,
            "masked": self.masked,
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "recurrent_regularizer": keras.regularizers.serialize(self.recurrent_regularizer),
        }

"""Many networks in one: layers whose members share a kernel, their mean, and their loss."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="medkit")
class MemberDense(keras.layers.Layer):
    """(batch, members, features) -> (batch, members, units): one kernel, scaled by each member.

    Member k computes ``((x * r_k) W) * s_k + b_k`` (Wen, Tran and Ba, "BatchEnsemble", ICLR 2020).

    Args:
        units: Width.
        members: Number of members.
        shared: Whether the kernel is shared; otherwise each member has its own.
        varied: Whether the members' input scales start as random signs, so that they differ from
            the start; otherwise as ones.
        activation: Keras activation.
        kernel_regularizer: Keras regularizer of the kernel.
    """

    def __init__(
        self,
        units: int,
        members: int,
        shared: bool = True,
        varied: bool = False,
        activation: Any = None,
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.units, self.members, self.shared, self.varied = units, members, shared, varied
        self.activation = keras.activations.get(activation)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the kernel, the members' scales and biases."""
        features = input_shape[-1]
        # Keras counts the members' axis among a kernel's inputs, which it is not.
        scale = 1 / 3 if self.shared else self.members / 3
        self.kernel = self.add_weight(
            name="kernel",
            shape=(features, self.units) if self.shared else (self.members, features, self.units),
            initializer=keras.initializers.VarianceScaling(scale, "fan_in", "uniform"),
            regularizer=self.kernel_regularizer,
        )
        if self.shared:
            self.inward = self.add_weight(
                name="inward",
                shape=(self.members, features),
                initializer=_signs if self.varied else "ones",
            )
            self.outward = self.add_weight(
                name="outward", shape=(self.members, self.units), initializer="ones"
            )
        self.bias = self.add_weight(
            name="bias", shape=(self.members, self.units), initializer="zeros"
        )

    def call(self, inputs: Any) -> Any:
        """Each member's dense layer."""
        if self.shared:
            x = ops.matmul(inputs * self.inward, self.kernel) * self.outward
        else:
            x = ops.einsum("bmf,mfu->bmu", inputs, self.kernel)
        return self.activation(x + self.bias)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            **super().get_config(),
            "units": self.units,
            "members": self.members,
            "shared": self.shared,
            "varied": self.varied,
            "activation": keras.activations.serialize(self.activation),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }


def _signs(shape: tuple[int, ...], dtype: Any = None) -> Any:
    uniform = keras.random.uniform(shape, -1.0, 1.0, dtype=dtype)
    return ops.where(uniform < 0, -ops.ones_like(uniform), ops.ones_like(uniform))


@keras.saving.register_keras_serializable(package="medkit")
class MemberMean(keras.layers.Layer):
    """(batch, members, outputs) -> (batch, outputs): the members' mean.

    In training each row is answered by one member at random, so that any loss is, in expectation,
    the mean of the members' own losses; the loss of their mean would let them lean on one another.
    ``MemberModel`` takes ``answers`` instead, and every member learns each row.

    Args:
        seed: Seed of the choice.
    """

    def __init__(self, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.answers: Any = None  # (batch, members, outputs) of the training step under way

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The mean; in training, one member a row."""
        self.answers = inputs if training else None
        if not training:
            return ops.mean(inputs, axis=1)
        members = inputs.shape[1]
        # Of every member's uniform number the largest marks the chosen one.
        drawn = keras.random.uniform((ops.shape(inputs)[0], members), seed=self.seed_generator)
        chosen = ops.one_hot(ops.argmax(drawn, axis=1), members, dtype=inputs.dtype)
        return ops.sum(inputs * chosen[:, :, None], axis=1)


@keras.saving.register_keras_serializable(package="medkit")
class MemberModel(keras.Model):
    """A functional model that ends in ``MemberMean`` and trains on the mean of the members' losses.

    Each member answers for every row of the batch and has its own loss on it; row weights count
    for all members alike. Predicting and validating, the model answers with the members' mean.
    Inside another model, the loss is ``MemberMean``'s.
    """

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The compiled loss; in training, of (batch * members) answers."""
        mean = self.layers[-1]
        answers, mean.answers = mean.answers, None
        if training and answers is not None and y is not None:
            members = answers.shape[1]
            y_pred = ops.reshape(answers, (-1, answers.shape[2]))
            y = ops.repeat(y, members, axis=0)
            if sample_weight is not None:
                sample_weight = ops.repeat(sample_weight, members, axis=0)
        return super().compute_loss(x, y, y_pred, sample_weight, training)

"""Multilayer perceptron."""

from __future__ import annotations

from medkit.core.keras_names import Activation, Initializer
from medkit.core.lazy import keras
from medkit.core.registry import models
from medkit.models._parts import Penalty, Rate, Units, dense_blocks, finished


@models.register(accepts=("vector", "steps", "grid"))
def mlp(
    input_shape: tuple[int, ...],
    num_outputs: int | None,
    *,
    output_activation: str | None = None,
    hidden_units: tuple[Units, ...] = (64, 32),
    activation: Activation = "relu",
    kernel_initializer: Initializer = "glorot_uniform",
    batch_normalization: bool = False,
    dropout: Rate = 0.1,
    l1: Penalty = 0.0,
    l2: Penalty = 0.0,
) -> keras.Model:
    """Multilayer perceptron: dense layers, each followed by dropout.

    Inputs of more than one axis are flattened first. Without hidden units and with a head it is
    a linear or logistic regression. After Rumelhart, Hinton and Williams, "Learning
    representations by back-propagating errors", Nature 323 (1986).

    Args:
        input_shape: Shape of one sample, without the batch: ``(features,)`` or any other.
        num_outputs: Width of the head; None for the embedding, (batch, hidden_units[-1]).
        output_activation: Activation of the head, set by the task.
        hidden_units: Width of each hidden layer; an empty list for none.
        activation: Keras activation of the hidden layers.
        kernel_initializer: Keras initializer of the hidden layers' weights.
        batch_normalization: Normalize each hidden layer before its activation (Ioffe and
            Szegedy 2015).
        dropout: Share of hidden units left out in each training step (Srivastava et al. 2014).
        l1: Penalty on the absolute values of the hidden layers' weights.
        l2: Penalty on the squares of the hidden layers' weights.

    Returns:
        An uncompiled model, (batch, *input_shape) -> (batch, num_outputs).

    Example:
        >>> from medkit.models import mlp
        >>> model = mlp((13,), 1, output_activation="sigmoid", hidden_units=(64, 32))
        >>> model.output_shape
        (None, 1)
    """
    inputs = keras.Input(input_shape)
    x = keras.layers.Flatten()(inputs) if len(input_shape) > 1 else inputs
    x = dense_blocks(
        x,
        hidden_units,
        activation=activation,
        kernel_initializer=kernel_initializer,
        dropout=dropout,
        l1=l1,
        l2=l2,
        batch_normalization=batch_normalization,
    )
    return finished("mlp", inputs, x, num_outputs, output_activation)

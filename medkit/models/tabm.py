"""TabM: many multilayer perceptrons in one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from medkit.core.keras_names import Activation
from medkit.core.lazy import keras, ops
from medkit.core.registry import models
from medkit.models._parts import Penalty, Rate, Units, check_rank, penalty


@models.register(accepts=("vector",))
def tabm(
    input_shape: tuple[int, ...],
    num_outputs: int | None,
    *,
    output_activation: str | None = None,
    members: Units = 32,
    hidden_units: tuple[Units, ...] = (256, 256),
    embedding: Literal["periodic", "piecewise_linear"] | None = None,
    embedding_width: Units = 8,
    embedding_pieces: Annotated[int, Field(ge=2)] = 16,
    embedding_spread: Annotated[float, Field(gt=0)] = 0.1,
    activation: Activation = "relu",
    dropout: Rate = 0.1,
    l1: Penalty = 0.0,
    l2: Penalty = 0.0,
) -> keras.Model:
    """TabM: many multilayer perceptrons in one, their answers averaged.

    The members share their kernels and differ in scales and biases of their own; each has its own
    head, and learns each row by its own loss. After Gorishniy, Kotelnikov and Babenko, "TabM:
    advancing tabular deep learning with parameter-efficient ensembling", ICLR 2025, on
    BatchEnsemble (Wen, Tran and Ba, ICLR 2020). Without a head, or inside another model, one
    member at random learns a row in each step.

    Args:
        input_shape: Shape of one sample, without the batch: ``(features,)``.
        num_outputs: Width of the head; None for the embedding, (batch, hidden_units[-1]), the
            mean of the members' last hidden layers.
        output_activation: Activation of the head, set by the task.
        members: Number of members.
        hidden_units: Width of each hidden layer of a member.
        embedding: How each number is seen: through sines and cosines of trained frequencies,
            through bins, or as it is.
        embedding_width: Width of each number's embedding.
        embedding_pieces: Frequencies or bins of each number.
        embedding_spread: Standard deviation of the first frequencies (periodic).
        activation: Keras activation of the hidden layers.
        dropout: Share of hidden units left out in each training step.
        l1: Penalty on the absolute values of the shared kernels.
        l2: Penalty on the squares of the shared kernels.

    Returns:
        An uncompiled model, (batch, features) -> (batch, num_outputs).

    Raises:
        MedkitError: The input has another rank.

    Example:
        >>> from medkit.models import tabm
        >>> tabm((30,), 1, output_activation="sigmoid", hidden_units=(16,)).output_shape
        (None, 1)
    """
    from medkit.layers.features import NumericEmbedding
    from medkit.layers.members import MemberDense, MemberMean, MemberModel

    check_rank("tabm", input_shape, {1: "(features,)"})
    inputs = keras.Input(input_shape)
    x: Any = inputs
    if embedding is not None:
        x = NumericEmbedding(embedding, embedding_width, embedding_pieces, embedding_spread)(x)
    x = ops.repeat(x[:, None, :], members, axis=1)
    for position, units in enumerate(hidden_units):
        x = MemberDense(
            units,
            members,
            varied=position == 0,
            activation=activation,
            kernel_regularizer=penalty(l1, l2),
        )(x)
        x = keras.layers.Dropout(dropout)(x)
    if num_outputs is not None:
        x = MemberDense(
            num_outputs,
            members,
            shared=False,
            activation=output_activation,
            dtype="float32",
            name="output",
        )(x)
    if num_outputs is None:
        return keras.Model(inputs, MemberMean()(x), name="tabm")
    return MemberModel(inputs, MemberMean(dtype="float32")(x), name="tabm")

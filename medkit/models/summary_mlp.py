"""Multilayer perceptron on summary statistics of each series."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

import numpy as np
from pydantic import Field

from medkit.core.errors import MedkitError
from medkit.core.keras_names import Activation, Initializer
from medkit.core.lazy import keras, ops
from medkit.core.registry import models
from medkit.models._parts import PAIRS, Penalty, Rate, Units, check_pairs, dense_blocks, finished

Statistic = Literal[
    "mean", "min", "max", "first", "last", "deviation", "slope", "count", "since", "ever",
    "carried_mean", "carried_min", "carried_max",
]  # fmt: skip


@models.register(**PAIRS)
def summary_mlp(
    input_shape: tuple[int, ...],
    num_outputs: int | None,
    *,
    output_activation: str | None = None,
    statistics: tuple[Statistic, ...] = get_args(Statistic),
    binned_statistics: tuple[Statistic, ...] = ("mean", "min", "max", "last", "count", "ever"),
    pieces: Annotated[int, Field(ge=2)] = 7,
    hidden_units: tuple[Units, ...] = (64,),
    activation: Activation = "silu",
    kernel_initializer: Initializer = "he_normal",
    input_dropout: Rate = 0.3,
    dropout: Rate = 0.5,
    l1: Penalty = 0.0,
    l2: Penalty = 2e-3,
) -> keras.Model:
    """Multilayer perceptrons on statistics of each variable over time, computed inside the model.

    The statistics are those that severity scores and strong entries to the PhysioNet Challenge
    2012 were made of (Silva, Moody, Scott, Celi and Mark, "Predicting in-hospital mortality of
    ICU patients", Computing in Cardiology 39, 2012): the range, the first and last value, the
    trend, how often something was measured. One perceptron sees them as they are, another through
    bins (Gorishniy, Rubachev and Babenko, NeurIPS 2022); their answers are averaged, and each
    trains on a loss of its own, so that they learn independently.
    Needs fewer samples than a recurrent network; the order of what happened in between is lost.
    Needs ``preprocessing: {missing: forward_fill, indicators: all}``: the last measured values,
    then for each of them whether it was measured at that step.

    Args:
        input_shape: Shape of one sample, without the batch: ``(time, 2 * variables)``.
        num_outputs: Width of the head; None for the embedding, the last hidden layers of both
            perceptrons side by side.
        output_activation: Activation of the head, set by the task.
        statistics: Which statistics of each variable the first perceptron sees as they are; an
            empty list leaves it out.
        binned_statistics: Which statistics the second sees through bins; an empty list leaves it
            out.
        pieces: Number of bins.
        hidden_units: Width of each hidden layer of each perceptron; an empty list for none.
        activation: Keras activation of the hidden layers.
        kernel_initializer: Keras initializer of the hidden layers' weights.
        input_dropout: Share of the statistics, or bins, left out in each training step.
        dropout: Share of hidden units left out in each training step.
        l1: Penalty on the absolute values of the hidden layers' weights.
        l2: Penalty on the squares of the hidden layers' weights.

    Returns:
        An uncompiled model, (batch, time, 2 * variables) -> (batch, num_outputs).

    Raises:
        MedkitError: The input has another rank, an odd number of channels, or no statistic is
            asked for.

    Example:
        >>> from medkit.models import summary_mlp
        >>> summary_mlp((48, 74), 1, output_activation="sigmoid").output_shape
        (None, 1)
    """
    from medkit.layers.members import MemberMean, MemberModel
    from medkit.layers.summary import PiecewiseLinear, SeriesStatistics

    check_pairs("summary_mlp", input_shape)
    if not statistics and not binned_statistics:
        raise MedkitError(
            "summary_mlp: statistics and binned_statistics are both empty",
            hint="Leave out one of the two settings.",
        )

    inputs = keras.Input(input_shape)
    computed = tuple(dict.fromkeys((*statistics, *binned_statistics)))
    summary = ops.clip(SeriesStatistics(computed)(inputs), -4.0, 4.0)

    def perceptron(names: tuple[Statistic, ...], binned: bool) -> Any:
        chosen = np.array([computed.index(name) for name in names], dtype="int32")
        x = keras.layers.Flatten()(ops.take(summary, chosen, axis=1))
        x = PiecewiseLinear(pieces)(x) if binned else x
        x = keras.layers.Dropout(input_dropout)(x)
        return dense_blocks(
            x, hidden_units, activation=activation, kernel_initializer=kernel_initializer,
            dropout=dropout, l1=l1, l2=l2,
        )  # fmt: skip

    given = ((statistics, False), (binned_statistics, True))
    last = [perceptron(names, binned) for names, binned in given if names]
    if num_outputs is None or len(last) == 1:
        joined = last[0] if len(last) == 1 else keras.layers.Concatenate()(last)
        return finished("summary_mlp", inputs, joined, num_outputs, output_activation)
    answers = [
        keras.layers.Dense(num_outputs, activation=output_activation, dtype="float32")(each)
        for each in last
    ]
    mean = MemberMean(dtype="float32", name="output")(ops.stack(answers, axis=1))
    return MemberModel(inputs, mean, name="summary_mlp")

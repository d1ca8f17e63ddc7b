"""The whole network: preprocessing, a factory's model, and the task's head, in one graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from medkit.config.experiment import Component
from medkit.config.sections import StaticBranch
from medkit.core import registry
from medkit.core.errors import MedkitError
from medkit.core.lazy import keras
from medkit.models import with_static
from medkit.training.ensemble import AVERAGE, member_seed

# Preprocessed copies larger than this stay in the graph, batch by batch.
PREPARED_BYTES_AT_MOST = 2 * 1024**3


@dataclass
class Network:
    """Two views of the same weights.

    Attributes:
        full: What is saved: raw arrays in physical units -> probabilities or values; the average
            over the members of an ensemble.
        members: What is fitted, one after the other: each takes ``prepare(x)``.
        prepared: Whether deterministic preprocessing is applied once, before training.
        columns: Number of static features beside a sequence; 0 for none.
    """

    full: keras.Model
    members: tuple[keras.Model, ...]
    preprocessing: Any
    prepared: bool
    columns: int = 0

    @property
    def saved(self) -> keras.Model:
        """What is written to disk: ``full``, with two inputs where there are static features."""
        if not self.columns:
            return self.full
        from medkit.layers.with_static import with_two_inputs

        return with_two_inputs(self.full, self.columns)

    @property
    def trained(self) -> keras.Model:
        """The first member: the only one but for an ensemble."""
        return self.members[0]

    def prepare(self, x: np.ndarray) -> np.ndarray:
        """The array that ``trained`` takes."""
        if not self.prepared:
            return x
        return self.preprocessing.predict(x, batch_size=4096, verbose=0)


def build_network(
    modality: Any,
    task: Any,
    model: Component,
    rows: int,
    members: int = 1,
    seed: int = 0,
    static: StaticBranch | None = None,
) -> Network:
    """Build the network for a fitted modality and task; several make a deep ensemble.

    Lakshminarayanan, Pritzel and Blundell, Simple and scalable predictive uncertainty estimation
    using deep ensembles, NeurIPS 2017: the members share the preprocessing, and their outputs are
    averaged (probabilities, or values).

    Args:
        modality: Fitted modality.
        task: Fitted task.
        model: The factory's name and parameters.
        rows: Training rows, to decide whether preprocessing is worth doing beforehand.
        members: Networks in the ensemble; 1 for a plain network.
        seed: Seed from which the second and later members have theirs (``member_seed``). The
            first is built under the seed that the caller has set, as a plain network is.
        static: The branch of the static features, where the modality has such.

    Raises:
        MedkitError: The factory cannot build for this input shape.
    """
    inputs = keras.Input(modality.input_shape_, dtype=modality.input_dtype_, name="inputs")
    layer = modality.preprocessing()
    ready = inputs if layer is None else layer(inputs)
    # Columns of the static features, as given and as they come out of their preprocessing.
    columns = getattr(modality, "columns_", 0)
    beside = len(modality.static_features.output_names) if columns else 0
    cores = []
    for number in range(1, members + 1):
        if number > 1:
            keras.utils.set_random_seed(member_seed(seed, number))
        core = _embedded(
            modality.embedding_layer(),
            tuple(ready.shape[1:]),
            lambda shape: _core(shape, task, model, beside, static or StaticBranch()),
        )
        if members > 1:
            core.name = f"member_{number}"  # a graph's layers need names of their own
        cores.append(core)
    each = [core(ready) for core in cores]
    outputs = each[0]
    if members > 1:
        outputs = keras.layers.Average(name=AVERAGE, dtype="float32")(each)
    head = task.output_layer()
    full = keras.Model(inputs, outputs if head is None else head(outputs), name="medkit")
    size = rows * int(np.prod(ready.shape[1:])) * 4
    prepared = layer is not None and modality.static and size <= PREPARED_BYTES_AT_MOST
    if prepared:
        return Network(full, tuple(cores), keras.Model(inputs, ready), True, columns)
    if members == 1 and head is None:
        return Network(full, (full,), None, False, columns)
    trained = tuple(keras.Model(inputs, output) for output in each)
    return Network(full, trained, None, False, columns)


def _embedded(embedding: Any, shape: tuple[int, ...], core_of: Callable[..., Any]) -> keras.Model:
    """A core behind the embedding of its categories, where there is one.

    A part of the core, not of the preprocessing: it is trained, each ensemble member's apart.
    """
    if embedding is None:
        return core_of(shape)
    prepared = keras.Input(shape, name="prepared")
    embedded = embedding(prepared)
    core = core_of(tuple(embedded.shape[1:]))
    return keras.Model(prepared, core(embedded), name=core.name)


def _core(
    input_shape: tuple[int, ...], task: Any, model: Component, beside: int, static: StaticBranch
) -> keras.Model:
    """The factory's model; with a second branch for the last ``beside`` columns."""
    from medkit.layers.with_static import sequence_of, static_of

    if not beside:
        return _built(model, input_shape, task.num_outputs, task.output_activation)
    steps, width = input_shape
    joined = with_static(
        _built(model, (steps, width - beside), None, None),
        (beside,),
        task.num_outputs,
        output_activation=task.output_activation,
        **static.model_dump(),
    )
    packed = keras.Input(input_shape, name="packed")
    outputs = joined([sequence_of(packed, beside), static_of(packed, beside)])
    return keras.Model(packed, outputs, name=joined.name)


def _built(
    model: Component, input_shape: tuple[int, ...], outputs: int | None, activation: str | None
) -> keras.Model:
    try:
        core: keras.Model = registry.models.build(
            model.name, input_shape, outputs, output_activation=activation, **model.parameters
        )
    except ValueError as error:
        raise MedkitError(
            f"the model '{model.name}' cannot be built for inputs of shape "
            f"{input_shape}: {str(error).splitlines()[0]}",
            place="model",
            hint="Change the model's settings or the dataset's size settings.",
        ) from error
    return core


def trainable_weights(model: keras.Model) -> int:
    """Number of trainable weights."""
    return int(sum(np.prod(each.shape) for each in model.trainable_weights))

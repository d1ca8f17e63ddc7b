"""The whole network: preprocessing, a factory's model, and the task's head, in one graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from medkit import registry
from medkit.config import Component
from medkit.ensemble import AVERAGE, member_seed
from medkit.errors import MedkitError
from medkit.lazy import keras

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
    """

    full: keras.Model
    members: tuple[keras.Model, ...]
    preprocessing: Any
    prepared: bool

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
    modality: Any, task: Any, model: Component, rows: int, members: int = 1, seed: int = 0
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

    Raises:
        MedkitError: The factory cannot build for this input shape.
    """
    inputs = keras.Input(modality.input_shape_, dtype=modality.input_dtype_, name="inputs")
    layer = modality.preprocessing()
    ready = inputs if layer is None else layer(inputs)
    cores = []
    for number in range(1, members + 1):
        if number > 1:
            keras.utils.set_random_seed(member_seed(seed, number))
        core = _core(tuple(ready.shape[1:]), task, model)
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
        return Network(full, tuple(cores), keras.Model(inputs, ready), True)
    if members == 1 and head is None:
        return Network(full, (full,), None, False)
    return Network(full, tuple(keras.Model(inputs, output) for output in each), None, False)


def _core(input_shape: tuple[int, ...], task: Any, model: Component) -> keras.Model:
    try:
        core: keras.Model = registry.models.build(
            model.name,
            input_shape,
            task.num_outputs,
            output_activation=task.output_activation,
            **model.parameters,
        )
    except ValueError as error:
        raise MedkitError(
            f"the model '{model.name}' cannot be built for inputs of shape "
            f"{input_shape}: {str(error).splitlines()[0]}",
            place="model",
            hint="Change the model's settings or the dataset's size settings.",
        ) from error
    return core

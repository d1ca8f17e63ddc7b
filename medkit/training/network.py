"""The whole network: preprocessing, a factory's model, and the task's head, in one graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from medkit.config.experiment import Component
from medkit.core import registry
from medkit.core.errors import MedkitError
from medkit.core.lazy import keras
from medkit.data.inputs import Inputs
from medkit.modalities.encoder import Encoder
from medkit.tasks.task import Task
from medkit.training.ensemble import AVERAGE, member_seed
from medkit.training.feed import row_count
from medkit.training.memory import IN_TRAINING, within_memory
from medkit.training.validation import batch_outputs

# Preprocessed copies larger than this stay in the graph, batch by batch.
PREPARED_BYTES_AT_MOST = 2 * 1024**3


@dataclass
class Network:
    """Two views of the same weights.

    Attributes:
        full: What is saved: ``{input: raw array in physical units}`` -> probabilities or values;
            the average over the members of an ensemble.
        members: What is fitted, one after the other: each takes ``prepare(inputs)``.
        preprocessing: Raw inputs -> what the members take, where that is done once, before
            training; None where it is a part of each member.
    """

    full: keras.Model
    members: tuple[keras.Model, ...]
    preprocessing: keras.Model | None = None

    @property
    def trained(self) -> keras.Model:
        """The first member: the only one but for an ensemble."""
        return self.members[0]

    def prepare(self, inputs: Inputs) -> Any:
        """What the members take: the arrays by name, or one array where preprocessing is done."""
        if self.preprocessing is None:
            return dict(inputs.arrays)
        arrays = dict(inputs.arrays)
        return batch_outputs(self.preprocessing, arrays, min(4096, row_count(arrays)))


def build_network(
    encoder: Encoder, task: Task, model: Component, rows: int, members: int = 1, seed: int = 0
) -> Network:
    """Build the network for a fitted encoder and task; several make a deep ensemble.

    Lakshminarayanan, Pritzel and Blundell, Simple and scalable predictive uncertainty estimation
    using deep ensembles, NeurIPS 2017: the members share the preprocessing, and their outputs are
    averaged (probabilities, or values).

    Args:
        encoder: Fitted encoder.
        task: Fitted task.
        model: The factory's name and parameters.
        rows: Training rows, to decide whether preprocessing is worth doing beforehand.
        members: Networks in the ensemble; 1 for a plain network.
        seed: Seed from which the second and later members have theirs (``member_seed``). The
            first is built under the seed that the caller has set, as a plain network is.

    Raises:
        MedkitError: The factory cannot build for these input shapes.
        DataError: The weights do not fit into memory.
    """
    with within_memory(IN_TRAINING):
        return _whole(encoder, task, model, rows, members, seed)


def _whole(
    encoder: Encoder, task: Task, model: Component, rows: int, members: int, seed: int
) -> Network:
    each = encoder.modalities
    inputs = {
        name: keras.Input(shape, dtype=dtype, name=name)
        for name, (shape, dtype) in encoder.input_shapes.items()
    }
    ready = {**inputs, **{n: layer(inputs[n]) for n, layer in encoder.preprocessing().items()}}
    cores = []
    for number in range(1, members + 1):
        if number > 1:
            keras.utils.set_random_seed(member_seed(seed, number))
        core = _core(encoder, {n: tuple(r.shape[1:]) for n, r in ready.items()}, task, model)
        if members > 1:
            core.name = f"member_{number}"  # a graph's layers need names of their own
        cores.append(core)
    taken = ready if isinstance(cores[0].input, dict) else next(iter(ready.values()))
    outputs = [core(taken) for core in cores]
    whole = outputs[0]
    if members > 1:
        whole = keras.layers.Average(name=AVERAGE, dtype="float32")(outputs)
    head = task.output_layer()
    full = keras.Model(inputs, whole if head is None else head(whole), name="medkit")
    size = rows * 4 * sum(int(np.prod(prepared.shape[1:])) for prepared in ready.values())
    if all(modality.deterministic for modality in each.values()) and size <= PREPARED_BYTES_AT_MOST:
        return Network(full, tuple(cores), keras.Model(inputs, taken))
    if members == 1 and head is None:
        return Network(full, (full,))
    return Network(full, tuple(keras.Model(inputs, output) for output in outputs))


def _core(
    encoder: Encoder, shapes: Mapping[str, tuple[int, ...]], task: Task, model: Component
) -> keras.Model:
    """The factory's model, behind the embedding of categories where an input has one.

    The embedding is a part of the core, not of the preprocessing: it is trained, each ensemble
    member's apart.
    """
    several = registry.models.get(model.name).tags.get("accepts") == "several"
    embeddings = {name: each.embedding_layer() for name, each in encoder.modalities.items()}
    if not any(embeddings.values()):
        return _built(model, dict(shapes) if several else next(iter(shapes.values())), task)
    prepared = {name: keras.Input(shape, name=name) for name, shape in shapes.items()}
    embedded = {
        name: tensor if (layer := embeddings.get(name)) is None else layer(tensor)
        for name, tensor in prepared.items()
    }
    behind = {name: tuple(tensor.shape[1:]) for name, tensor in embedded.items()}
    if several:
        core = _built(model, behind, task)
        return keras.Model(prepared, core(embedded), name=core.name)
    (name,) = shapes
    core = _built(model, behind[name], task)
    return keras.Model(prepared[name], core(embedded[name]), name=core.name)


def _built(model: Component, shapes: Any, task: Task) -> keras.Model:
    try:
        core: keras.Model = registry.models.build(
            model.name, shapes, task.num_outputs, output_activation=task.output_activation,
            **model.parameters,
        )  # fmt: skip
    except ValueError as error:
        raise MedkitError(
            f"the model '{model.name}' cannot be built for inputs of shape "
            f"{shapes}: {str(error).splitlines()[0]}",
            place="model",
            hint="Change the model's settings or the dataset's size settings.",
        ) from error
    return core


def trainable_weights(model: keras.Model) -> int:
    """Number of trainable weights."""
    return int(sum(np.prod(each.shape) for each in model.trainable_weights))

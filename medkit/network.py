"""The whole network: preprocessing, a factory's model, and the task's head, in one graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from medkit import registry
from medkit.config import Component
from medkit.errors import MedkitError
from medkit.lazy import keras

# Preprocessed copies larger than this stay in the graph, batch by batch.
PREPARED_BYTES_AT_MOST = 2 * 1024**3


@dataclass
class Network:
    """Two views of the same weights.

    Attributes:
        full: What is saved: raw arrays in physical units -> probabilities or values.
        trained: What is fitted: takes ``prepare(x)``.
        prepared: Whether deterministic preprocessing is applied once, before training.
    """

    full: keras.Model
    trained: keras.Model
    preprocessing: Any
    prepared: bool

    def prepare(self, x: np.ndarray) -> np.ndarray:
        """The array that ``trained`` takes."""
        if not self.prepared:
            return x
        return self.preprocessing.predict(x, batch_size=4096, verbose=0)


def build_network(modality: Any, task: Any, model: Component, rows: int) -> Network:
    """Build the network for a fitted modality and task.

    Args:
        modality: Fitted modality.
        task: Fitted task.
        model: The factory's name and parameters.
        rows: Training rows, to decide whether preprocessing is worth doing beforehand.

    Raises:
        MedkitError: The factory cannot build for this input shape.
    """
    inputs = keras.Input(modality.input_shape_, dtype=modality.input_dtype_, name="inputs")
    layer = modality.preprocessing()
    ready = inputs if layer is None else layer(inputs)
    try:
        core = registry.models.build(
            model.name,
            tuple(ready.shape[1:]),
            task.num_outputs,
            output_activation=task.output_activation,
            **model.parameters,
        )
    except ValueError as error:
        raise MedkitError(
            f"the model '{model.name}' cannot be built for inputs of shape "
            f"{tuple(ready.shape[1:])}: {str(error).splitlines()[0]}",
            place="model",
            hint="Change the model's settings or the dataset's size settings.",
        ) from error
    outputs = core(ready)
    head = task.output_layer()
    full = keras.Model(inputs, outputs if head is None else head(outputs), name="medkit")
    size = rows * int(np.prod(ready.shape[1:])) * 4
    prepared = layer is not None and modality.static and size <= PREPARED_BYTES_AT_MOST
    if prepared:
        return Network(full, core, keras.Model(inputs, ready), True)
    trained = full if head is None else keras.Model(inputs, outputs)
    return Network(full, trained, None, False)

"""Several networks as one model: seeds, outputs of each member, passes with dropout left on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from medkit.core.lazy import keras
from medkit.data.inputs import Inputs
from medkit.training.validation import predict

#: Name of the layer that averages the members in a saved ensemble.
AVERAGE = "ensemble"
_ROWS_AT_ONCE = 512

History = dict[str, list[float]]


def member_seed(seed: int, number: int) -> int:
    """The seed of weights and row order of member ``number``, from 1; the first has ``seed``."""
    if number == 1:
        return seed
    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0])


def joined(histories: Sequence[History]) -> History:
    """The histories of all members, concatenated; with ``member`` if there are several.

    Args:
        histories: Watched value -> one number an epoch, of each member.

    Returns:
        The only history itself, or ``member`` (1, 1, … 2, …) and each value of all members.
    """
    if len(histories) == 1:
        return histories[0]
    members = [float(i) for i, each in enumerate(histories, 1) for _ in next(iter(each.values()))]
    names = dict.fromkeys(name for each in histories for name in each)
    values = {name: [value for each in histories for value in each[name]] for name in names}
    return {"member": members, **values}


def averaged(history: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """What ``joined`` gave, as one curve: in each epoch the mean of the members still training."""
    if "member" not in history:
        return {name: list(values) for name, values in history.items()}
    members = np.asarray(history["member"])
    epochs = np.concatenate([np.arange((members == each).sum()) for each in np.unique(members)])
    return {
        name: (np.bincount(epochs, np.asarray(values, float)) / np.bincount(epochs)).tolist()
        for name, values in history.items()
        if name != "member"
    }


def members_of(model: keras.Model) -> keras.Model | None:
    """The members of a saved or new ensemble: raw inputs -> a list of each one's outputs.

    Each member's outputs go through what follows the average in the whole model: back to the
    units of the targets, or a recalibration. None for a single network.
    """
    averages = [layer for layer in model.layers if layer.name == AVERAGE]
    if not averages:
        return None
    (average,) = averages
    after = model.layers[model.layers.index(average) + 1 :]
    outputs = []
    for output in average.input:
        for layer in after:
            output = layer(output)
        outputs.append(output)
    return keras.Model(model.input, outputs)


def member_outputs(model: keras.Model, inputs: Inputs) -> np.ndarray | None:
    """(members, n, outputs) float64 of each member of an ensemble; None for a single network.

    Args:
        model: The whole model, new or loaded.
        inputs: Encoded inputs of n samples.
    """
    members = members_of(model)
    if members is None:
        return None
    together = keras.Model(members.input, keras.ops.stack(members.outputs, axis=1))
    return predict(together, dict(inputs.arrays), min(1024, len(inputs))).swapaxes(0, 1)


def dropout_passes(
    model: keras.Model, inputs: Inputs, passes: int, seed: int
) -> Iterator[np.ndarray]:
    """Outputs with dropout left on, pass after pass (Monte-Carlo dropout).

    Gal and Ghahramani, Dropout as a Bayesian approximation, ICML 2016. All that the network draws
    at random in training is drawn (dropout, recurrent and attention dropout); augmentation is
    off, and batch normalization uses what it learned in training. An ensemble is averaged in each
    pass. The same seed gives the same passes; the model is left as it was.

    Args:
        model: The whole model, new or loaded.
        inputs: Encoded inputs of n samples.
        passes: How many.
        seed: Seed of the dropout.

    Yields:
        (n, outputs) float64. Don't train the model before the last one is taken.
    """
    dropping = _dropping(model)
    states = _random_states(dropping)
    before = [np.array(keras.ops.convert_to_numpy(each)) for each in states]
    drawn = np.random.default_rng(seed).integers(0, 2**31, size=(len(states), 2))
    norms = [layer for layer in _inner(model) if _is_normalization(layer) and layer.trainable]
    rows = min(_ROWS_AT_ONCE, len(inputs))
    # PyTorch's dropout draws from the global state.
    keras.utils.set_random_seed(seed)
    try:
        for layer in norms:
            layer.trainable = False
        for state, value in zip(states, drawn, strict=True):
            state.assign(value.astype(np.array(keras.ops.convert_to_numpy(state)).dtype))
        for _ in range(passes):
            yield predict(dropping, dict(inputs.arrays), rows)
    finally:
        for layer in norms:
            layer.trainable = True
        for state, value in zip(states, before, strict=True):
            state.assign(value)


def _dropping(model: Any) -> Any:
    """The same model, sharing all weights, with its networks (not its preprocessing) in training
    mode."""

    class Training(keras.layers.Layer):
        def __init__(self, core: Any):
            super().__init__(name=f"{core.name}_dropping", dtype=core.dtype_policy)
            self.core = core

        def call(self, inputs: Any, mask: Any = None) -> Any:
            return self.core(inputs, training=True, mask=mask)

        def compute_output_shape(self, input_shape: Any) -> Any:
            return self.core.compute_output_shape(input_shape)

    def shared(layer: Any) -> Any:
        return Training(layer) if isinstance(layer, keras.Model) else layer

    return keras.models.clone_model(model, clone_function=shared)


def _random_states(model: Any) -> list[Any]:
    weights = {id(each) for each in model.weights}
    return [each for each in model.variables if id(each) not in weights]


def _inner(model: Any) -> list[Any]:
    return list(model._flatten_layers(include_self=False, recursive=True))


def _is_normalization(layer: Any) -> bool:
    return any(base.__name__ == "BatchNormalization" for base in type(layer).__mro__)

"""Reach into a saved network: its inner layers, and other values in their place."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from medkit.core.lazy import keras, ops
from medkit.modalities.encoder import preprocessing_name
from medkit.models.attention import layers_within
from medkit.models.fusion import branch_name


def preprocessing_layers(model: Any, names: Sequence[str]) -> list[Any]:
    """The layer that prepares each input; empty where the network has none of medkit's."""
    known = {layer.name: layer for layer in model.layers}
    wanted = [preprocessing_name(name) for name in names]
    return [known[name] for name in wanted] if set(wanted) <= set(known) else []


def last_convolutions(model: Any, name: str) -> list[Any]:
    """The last convolution that an input goes through, or that of each member of an ensemble.

    Args:
        model: The saved network.
        name: The input: where branches are joined, that of its name is looked at.
    """
    kinds = ("Conv1D", "Conv2D", "Conv3D", "SeparableConv1D", "SeparableConv2D",
             "DepthwiseConv1D", "DepthwiseConv2D")  # fmt: skip
    classes = tuple(getattr(keras.layers, kind) for kind in kinds)
    branch = branch_of(model, name)
    if branch is not None and branch is not model:
        return last_convolutions(branch, name)
    inner = [each for each in model.layers if hasattr(each, "layers")]
    within = [last for each in inner for last in last_convolutions(each, name)]
    own = [layer for layer in model.layers if isinstance(layer, classes)]
    return [*dict.fromkeys(within), *own[-1:]]


def branch_of(model: Any, name: str) -> Any:
    """The model inside the network that takes one input alone; None where nothing is joined."""
    for layer in model.layers:
        if layer.name == branch_name(name):
            return layer
        found = branch_of(layer, name) if hasattr(layer, "layers") else None
        if found is not None:
            return found
    return None


@contextlib.contextmanager
def tapped(
    layers: Sequence[Any], change: Callable[[int, Callable[[], Any], Any], Any]
) -> Iterator[None]:
    """Let ``change`` decide what some layers return while the block runs.

    Cutting the graph at the layer would do for a chain, but not where something bypasses it (a
    residual connection) or where it lies in a model within the model.

    Args:
        layers: The layers.
        change: Takes a layer's position in ``layers``, a function that computes what it would
            return, and its inputs; returns what it is to return instead.
    """

    def other(position: int, usual: Callable[..., Any]) -> Callable[..., Any]:
        return lambda inputs, *args, **kwargs: change(
            position, lambda: usual(inputs, *args, **kwargs), inputs
        )

    with contextlib.ExitStack() as stack:
        for position, layer in enumerate(layers):
            # Past Keras' own __setattr__, which would track it as a part of the model.
            object.__setattr__(layer, "call", other(position, layer.call))
            stack.callback(object.__delattr__, layer, "call")
        yield


@contextlib.contextmanager
def without_recalibration(model: Any) -> Iterator[None]:
    """Let the network's outputs be as they were before they were recalibrated."""
    from medkit.layers.recalibration import Recalibration

    with tapped(layers_within(model, Recalibration), lambda position, usual, inputs: inputs):
        yield


def output_of(model: Any, rows: int, given: Mapping[str, Any]) -> Any:
    """(rows, outputs) of a network whose preprocessing layers are tapped, so that of its inputs
    only those matter that are ``given``: which samples lack an input."""
    blank = {
        name: ops.zeros((rows, *tensor.shape[1:]), tensor.dtype)
        for name, tensor in model.input.items()
        if name not in given
    }
    return ops.cast(model({**blank, **given}, training=False), "float32")


def one_hot(which: np.ndarray, outputs: int) -> np.ndarray:
    """(n, outputs) float32: 1 at the output to explain."""
    return np.eye(outputs, dtype="float32")[which]

"""Reach into a saved network: its inner layers, and other values in their place."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from medkit.core.lazy import keras, ops


def layers_within(model: Any, *kinds: type) -> list[Any]:
    """The layers of some kinds, those of models inside the model included, in graph order."""
    found: dict[int, Any] = {}

    def search(each: Any) -> None:
        for layer in each.layers:
            if isinstance(layer, kinds):
                found.setdefault(id(layer), layer)
            elif hasattr(layer, "layers"):
                search(layer)

    search(model)
    return list(found.values())


def preprocessing_layers(model: Any) -> list[Any]:
    """The layers that take raw values; several where each member of an ensemble has its own."""
    from medkit.layers.image import ImagePreprocessing
    from medkit.layers.series import SeriesPreprocessing
    from medkit.layers.tabular import TabularPreprocessing
    from medkit.layers.tokens import TokenPreprocessing
    from medkit.layers.triplets import TripletPreprocessing
    from medkit.layers.with_static import StaticPreprocessing

    return layers_within(
        model, TabularPreprocessing, SeriesPreprocessing, TokenPreprocessing, ImagePreprocessing,
        TripletPreprocessing, StaticPreprocessing,
    )  # fmt: skip


def last_convolutions(model: Any) -> list[Any]:
    """The last convolution of the model, or of each member of an ensemble."""
    kinds = ("Conv1D", "Conv2D", "Conv3D", "SeparableConv1D", "SeparableConv2D",
             "DepthwiseConv1D", "DepthwiseConv2D")  # fmt: skip
    classes = tuple(getattr(keras.layers, kind) for kind in kinds)
    own = [layer for layer in model.layers if isinstance(layer, classes)]
    inner = [last for each in model.layers if hasattr(each, "layers")
             for last in last_convolutions(each)]  # fmt: skip
    return [*dict.fromkeys(inner), *own[-1:]]


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


def representations(layers: Sequence[Any], x: np.ndarray) -> list[np.ndarray]:
    """What each preprocessing layer makes of encoded samples: (n, …) float32."""
    return [np.asarray(ops.convert_to_numpy(each(ops.convert_to_tensor(x)))) for each in layers]


def output_of(model: Any, rows: int, dtype: str) -> Any:
    """(rows, outputs) of a network whose preprocessing layers are tapped, so that its input does
    not matter."""
    blank = np.zeros((rows, *model.input_shape[1:]), dtype)
    return ops.cast(model(ops.convert_to_tensor(blank), training=False), "float32")


def one_hot(which: np.ndarray, outputs: int) -> np.ndarray:
    """(n, outputs) float32: 1 at the output to explain."""
    return np.eye(outputs, dtype="float32")[which]

"""Where in an image a network looks: Grad-CAM and occlusion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from medkit.core.errors import MedkitError
from medkit.core.lazy import ops
from medkit.data.inputs import Inputs
from medkit.explanation.gradients import differentiated
from medkit.explanation.intermediate import (
    last_convolutions,
    one_hot,
    tapped,
    without_recalibration,
)
from medkit.explanation.predict import OfOne
from medkit.modalities.groups import FeatureGroup
from medkit.modalities.modality import Modality

_BYTES = 64 * 2**20
_BATCH = 64


def grad_cam(model: Any, inputs: Inputs, name: str, which: np.ndarray) -> np.ndarray:
    """Heat maps of the evidence for one output, in the last convolution's own resolution.

    ``relu(sum over channels k of mean over places (df / dA_k) * A_k)``, with ``A`` what the last
    convolution returns, and then interpolated to the image's size (Selvaraju et al., Grad-CAM:
    visual explanations from deep networks via gradient-based localization, ICCV 2017). The
    output is the probability rather than the logit: for each row that is the same map up to a
    positive factor; and that before any recalibration, which may be flat. Maps compare places
    within an image, not images.

    Args:
        model: The saved network.
        inputs: n encoded samples.
        name: The input whose branch is looked at.
        which: (n,) position of the output to explain.

    Returns:
        (n, …) of the size of the input without its channels (time, or height and width, …).

    Raises:
        MedkitError: The network has no convolution.
    """
    layers = last_convolutions(model, name)
    if not layers:
        raise MedkitError(
            "the network has no convolution, so Grad-CAM has no map to show",
            hint="Use --method occlusion, which works with any network.",
        )
    shape = inputs[name].shape[1:]
    size = shape if len(shape) == 1 else shape[:-1]
    maps = [_cam(model, layers, batch, which[number * _BATCH :][:_BATCH], size)
            for number, batch in enumerate(inputs.batches(_BATCH))]  # fmt: skip
    return np.concatenate(maps)


def _cam(
    model: Any,
    layers: Sequence[Any],
    batch: dict[str, np.ndarray],
    which: np.ndarray,
    size: Sequence[int],
) -> np.ndarray:
    seen: dict[int, np.ndarray] = {}

    def record(position: int, usual: Any, _: Any) -> Any:
        value = usual()
        seen[position] = np.asarray(ops.convert_to_numpy(ops.cast(value, "float32")))
        return value

    inputs = {name: ops.convert_to_tensor(x) for name, x in batch.items()}
    with tapped(layers, record):
        outputs = model(inputs, training=False)
    activations = [seen[i] for i in range(len(layers))]

    def output(tensors: list[Any]) -> Any:
        *inner, picked = tensors

        def replaced(position: int, usual: Any, _: Any) -> Any:
            return ops.cast(inner[position], layers[position].compute_dtype)

        with tapped(layers, replaced), without_recalibration(model):
            outputs = ops.cast(model(inputs, training=False), "float32")
            return ops.sum(outputs * picked, axis=-1)

    _, gradients = differentiated(output)([*activations, one_hot(which, outputs.shape[-1])])
    total = np.zeros((len(which), *size))
    for layer, activation, gradient in zip(layers, activations, gradients, strict=False):
        axis = 1 if getattr(layer, "data_format", "") == "channels_first" else -1
        spatial = tuple(i for i in range(1, activation.ndim) if i != axis % activation.ndim)
        weight = gradient.mean(axis=spatial, keepdims=True)
        evidence = np.maximum((weight * activation).sum(axis=axis), 0.0)
        total += np.stack([enlarged(each, size) for each in evidence])
    return total


def enlarged(heat: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """A map interpolated linearly to another size, pixel areas on pixel areas."""
    from scipy.ndimage import zoom

    factors = [new / old for new, old in zip(size, heat.shape, strict=True)]
    return zoom(heat, factors, order=1, mode="nearest", grid_mode=True)


def occlusion(predict: OfOne, modality: Modality, x: np.ndarray, which: np.ndarray) -> np.ndarray:
    """How much the output falls when a feature is hidden: ``f(x) - f(x without it)``.

    Where what is hidden overlaps, as the windows that slide over an image do, a place gets the
    mean over those that cover it (Zeiler and Fergus, Visualizing and understanding convolutional
    networks, ECCV 2014).

    Args:
        predict: (m, …) encoded samples -> (m, outputs).
        modality: The fitted modality.
        x: (n, …) encoded samples.
        which: (n,) position of the output to explain.

    Returns:
        (n, features), or where they overlap (n, …) of the size of the input without its channels.
    """
    before = _picked(predict(x), which)
    parts, overlap = modality.hidden_parts()
    changed = _without(predict, modality, x, which, parts)
    if not overlap:
        return before[:, None] - np.stack(list(changed), axis=1)
    size = x.shape[1:-1]
    total, times = np.zeros((len(x), *size)), np.zeros(size)
    for part, after in zip(parts, changed, strict=True):
        part.of(total)[...] += (before - after).reshape(-1, *(1 for _ in size))
        times[part.where] += 1
    return total / times


def _without(
    predict: OfOne,
    modality: Modality,
    x: np.ndarray,
    which: np.ndarray,
    parts: Sequence[FeatureGroup],
) -> Iterator[np.ndarray]:
    """(n,) the output of all samples without each part, many in one prediction."""
    size = max(1, min(len(parts), _BYTES // max(x.nbytes, 1)))
    for start in range(0, len(parts), size):
        some = parts[start : start + size]
        copies = np.repeat(x[None], len(some), axis=0)
        for copy, part in zip(copies, some, strict=True):
            modality.hide(copy, part)
        outputs = np.asarray(predict(copies.reshape(-1, *x.shape[1:])), float)
        for each in outputs.reshape(len(copies), len(x), -1):
            yield _picked(each, which)


def _picked(outputs: np.ndarray, which: np.ndarray) -> np.ndarray:
    return np.asarray(outputs, float)[np.arange(len(which)), which]

"""Integrated gradients: how much each value moved the output away from that of a baseline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from medkit.core.errors import MedkitError
from medkit.core.lazy import ops
from medkit.data.inputs import Inputs
from medkit.explanation.gradients import differentiated
from medkit.explanation.intermediate import (
    one_hot,
    output_of,
    preprocessing_layers,
    tapped,
)
from medkit.modalities.encoder import Encoder
from medkit.modalities.hooks import prepared

_STEPS, _MOST_STEPS = 16, 256
_GAP = 0.005  # of the attributions' total size, above which more steps are taken
_NUMBERS = 4_000_000  # in one backward pass


def integrated_gradients(
    model: Any, encoder: Encoder, inputs: Inputs, which: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Attributions of raw values of all inputs to one output of a network.

    ``IG_i = (z_i - b_i) * integral over a in 0 … 1 of df(b + a (z - b)) / dz_i`` (Sundararajan,
    Taly and Yan, Axiomatic attribution for deep networks, ICML 2017), by Gauss-Legendre
    quadrature, with more points for rows whose attributions do not yet add up. They sum to
    ``f(x) - f(baseline)`` (completeness).

    Raw values hold gaps and category codes, which have no gradient. So ``z`` is what the
    preprocessing layer makes of them, and what it attributes to is summed back: to a column from
    its one-hot columns and its indicator, to a measurement from the steps into which it was
    carried forward and from its indicator, to a token or pixel from its channels.

    The baseline ``b`` is what each modality takes as a neutral sample (``Modality.reference``): for
    tables and series the training mean of each number, for images that of the pixels.

    Args:
        model: The saved network, its preprocessing inside.
        encoder: The fitted encoder.
        inputs: n encoded samples.
        which: (n,) position of the output to explain.

    Returns:
        Attributions by input: (n, columns), (n, steps, channels), (n, events), (n, positions), or
        (n, [depth,] height, width); ``f(baseline)`` (n,); and what is missing from completeness,
        ``f(x) - f(baseline) - sum`` (n,).

    Raises:
        MedkitError: The network holds no preprocessing layer of medkit's.
    """
    names = list(encoder.modalities)
    layers = preprocessing_layers(model, names)
    if not layers:
        raise MedkitError(
            "the network has no preprocessing layer to take gradients from",
            hint="Use another method: occlusion works with any network.",
        )
    raw = [np.asarray(inputs[name]) for name in names]
    ends = [prepared(layer, x) for layer, x in zip(layers, raw, strict=True)]
    each_input = list(zip(encoder.modalities.values(), layers, ends, raw, strict=True))
    starts = [modality.reference(*each) for modality, *each in each_input]
    others = [name for name in inputs if name not in names]
    fixed = [one_hot(which, model.output_shape[-1]), *(np.asarray(inputs[n]) for n in others)]

    def output(tensors: list[Any]) -> Any:
        inner, picked, given = tensors[: len(names)], tensors[len(names)], tensors[len(names) + 1 :]
        with tapped(layers, lambda position, usual, inputs: inner[position]):
            outputs = output_of(model, len(picked), dict(zip(others, given, strict=True)))
            return ops.sum(outputs * picked, axis=-1)

    gradients = differentiated(output)
    at_start = _values(gradients, [*starts, *fixed])
    difference = _values(gradients, [*ends, *fixed]) - at_start
    total = [np.zeros(end.shape) for end in ends]
    rows, steps = np.arange(len(inputs)), _STEPS
    gap = difference.copy()
    while len(rows):
        some = [[each[rows] for each in arrays] for arrays in (starts, ends, fixed)]
        found = _path(gradients, some[0], some[1], some[2], steps)
        for each, mine in zip(total, found, strict=True):
            each[rows] = mine
        sums = sum(each.reshape(len(rows), -1).sum(1) for each in found)
        size = sum(np.abs(each).reshape(len(rows), -1).sum(1) for each in found)
        gap[rows] = difference[rows] - sums
        # Rounding in float32 is no reason for more points.
        rows = rows[np.abs(gap[rows]) > np.maximum(_GAP * size, 1e-5)]
        steps *= 2
        if steps > _MOST_STEPS:
            break
    attributions = {
        name: modality.attributed(layer, mine, x)
        for name, (modality, layer, _, x), mine in zip(names, each_input, total, strict=True)
    }
    return attributions, at_start, gap


def _path(
    gradients: Any,
    starts: Sequence[np.ndarray],
    ends: Sequence[np.ndarray],
    fixed: Sequence[np.ndarray],
    steps: int,
) -> list[np.ndarray]:
    """(z - b) times the mean gradient along the straight path, for each representation."""
    points, weights = np.polynomial.legendre.leggauss(steps)
    shares, weights = (points + 1) / 2, weights / 2
    total = [np.zeros(end.shape) for end in ends]
    per_row = steps * sum(int(np.prod(end.shape[1:])) for end in ends)
    for rows in _batches(len(fixed[0]), max(1, _NUMBERS // per_row)):
        between = [
            np.concatenate([start[rows] + a * (end[rows] - start[rows]) for a in shares])
            for start, end in zip(starts, ends, strict=True)
        ]
        _, found = gradients([*between, *(np.tile(each[rows], (steps, 1)) for each in fixed)])
        for sums, each in zip(total, found, strict=False):
            by_point = each.reshape(steps, len(fixed[0][rows]), *each.shape[1:])
            sums[rows] = np.tensordot(weights, by_point, axes=1)
    return [(end - start) * sums for start, end, sums in zip(starts, ends, total, strict=True)]


def _values(gradients: Any, arrays: Sequence[np.ndarray]) -> np.ndarray:
    """(n,) the output itself."""
    size = max(1, _NUMBERS // sum(int(np.prod(each.shape[1:])) for each in arrays))
    parts = [
        gradients([each[rows] for each in arrays])[0] for rows in _batches(len(arrays[0]), size)
    ]
    return np.concatenate(parts)


def _batches(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))

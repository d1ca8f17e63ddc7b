"""Integrated gradients: how much each value moved the output away from that of a baseline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from medkit.core.errors import MedkitError
from medkit.core.lazy import ops
from medkit.data.inputs import Inputs
from medkit.explanation.gradients import differentiated
from medkit.explanation.groups import mean_pixel
from medkit.explanation.intermediate import (
    one_hot,
    output_of,
    preprocessing_layers,
    represented,
    tapped,
)
from medkit.modalities.encoder import Encoder

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

    The baseline ``b``: for tables the training mean (or median, by the preprocessing) of each
    number, all categories alike, nothing marked as missing; for series the same mean, and nothing
    measured; for triplets the same events at the same times, each with its variable's mean, so
    that what counts is the values; for tokens the mean vector of the vocabulary where a token
    stands, so that the length says nothing; for images the training images' mean.

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
    ends = [represented(layer, x) for layer, x in zip(layers, raw, strict=True)]
    each_input = list(zip(encoder.modalities.values(), layers, ends, raw, strict=True))
    starts = [baseline(*each) for each in each_input]
    targets = one_hot(which, model.output_shape[-1])

    def output(tensors: list[Any]) -> Any:
        *inner, picked = tensors
        with tapped(layers, lambda position, usual, inputs: inner[position]):
            return ops.sum(output_of(model, len(picked)) * picked, axis=-1)

    gradients = differentiated(output)
    at_start = _values(gradients, [*starts, targets])
    difference = _values(gradients, [*ends, targets]) - at_start
    total = [np.zeros(end.shape) for end in ends]
    rows, steps = np.arange(len(inputs)), _STEPS
    gap = difference.copy()
    while len(rows):
        some = [each[rows] for each in (*starts, *ends, targets)]
        found = _path(gradients, some[: len(layers)], some[len(layers) : -1], some[-1], steps)
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
        name: attributed_to_raw(modality, layer, mine, x)
        for name, (modality, layer, _, x), mine in zip(names, each_input, total, strict=True)
    }
    return attributions, at_start, gap


def baseline(modality: Any, layer: Any, end: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Where the path to ``end`` (n, …) starts, in the preprocessing layer's own terms."""
    if modality.modality == "image":
        blank = np.broadcast_to(mean_pixel(modality), x.shape[1:]).astype(x.dtype)
        return np.broadcast_to(represented(layer, blank[None]), end.shape)
    if modality.modality == "tokens":
        vocabulary = np.arange(layer.first, layer.vocabulary, dtype=x.dtype)
        middle = represented(layer, vocabulary[None])[0].mean(axis=0)
        return np.where(np.any(end != 0, axis=-1, keepdims=True), middle, 0.0).astype("float32")
    if modality.modality == "triplets":
        start = np.array(end)
        start[..., 1] = 0.0 if modality.standardize else end[..., 2:] @ np.asarray(modality.fill_)
        return start
    start = np.array(represented(layer, np.full_like(x[:1], np.nan)))
    if modality.modality == "tabular":
        numbers, hot = len(layer.numeric_columns), np.asarray(layer.hot_columns, int)
        # Without any category, each would get what is common to all of them.
        start[..., numbers : numbers + len(hot)] = 1 / np.bincount(hot, minlength=1)[hot]
        start[..., numbers + len(hot) :] = 0.0
    else:
        numbers = x.shape[2]
    if modality.standardize:
        start[..., :numbers] = 0.0
    return np.broadcast_to(start, end.shape)


def attributed_to_raw(modality: Any, layer: Any, inner: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Attributions of the preprocessing layer's outputs, summed to the raw values behind them."""
    if modality.modality == "tabular":
        columns = [*layer.numeric_columns, *layer.hot_columns, *layer.indicator_columns]
        found = np.zeros((len(columns), x.shape[1]))
        found[np.arange(len(columns)), columns] = 1.0
        return inner @ found
    if modality.modality != "series":
        return inner.sum(axis=-1)
    channels = x.shape[2]
    found = np.array(inner[..., :channels])
    if layer.carry_forward:
        found[:] = 0.0
        row, channel = np.arange(len(x))[:, None, None], np.arange(channels)
        np.add.at(found, (row, _measured_at(x), channel), inner[..., :channels])
    # What follows are the indicators, and the times since a measurement where they are used.
    marked = layer.indicators
    for start in range(channels, inner.shape[-1], max(len(marked), 1)):
        found[:, :, marked] += inner[..., start : start + len(marked)]
    return found


def _measured_at(x: np.ndarray) -> np.ndarray:
    """(n, steps, channels): at which step the value carried into each step was measured."""
    steps = np.arange(x.shape[1])[None, :, None]
    last = np.maximum.accumulate(np.where(np.isnan(x), -1, steps), axis=1)
    return np.where(last < 0, np.broadcast_to(steps, x.shape), last)


def _path(
    gradients: Any,
    starts: Sequence[np.ndarray],
    ends: Sequence[np.ndarray],
    targets: np.ndarray,
    steps: int,
) -> list[np.ndarray]:
    """(z - b) times the mean gradient along the straight path, for each representation."""
    points, weights = np.polynomial.legendre.leggauss(steps)
    shares, weights = (points + 1) / 2, weights / 2
    total = [np.zeros(end.shape) for end in ends]
    per_row = steps * sum(int(np.prod(end.shape[1:])) for end in ends)
    for rows in _batches(len(targets), max(1, _NUMBERS // per_row)):
        between = [
            np.concatenate([start[rows] + a * (end[rows] - start[rows]) for a in shares])
            for start, end in zip(starts, ends, strict=True)
        ]
        _, found = gradients([*between, np.tile(targets[rows], (steps, 1))])
        for sums, each in zip(total, found, strict=False):
            by_point = each.reshape(steps, len(targets[rows]), *each.shape[1:])
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

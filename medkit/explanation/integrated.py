"""Integrated gradients: how much each value moved the output away from that of a baseline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from medkit.core.errors import MedkitError
from medkit.core.lazy import ops
from medkit.explanation.gradients import differentiated
from medkit.explanation.groups import mean_pixel
from medkit.explanation.intermediate import (
    one_hot,
    output_of,
    preprocessing_layers,
    representations,
    tapped,
)

_STEPS, _MOST_STEPS = 16, 256
_GAP = 0.005  # of the attributions' total size, above which more steps are taken
_NUMBERS = 4_000_000  # in one backward pass


def integrated_gradients(
    model: Any, modality: Any, x: np.ndarray, which: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Attributions of raw values to one output of a network.

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
        modality: The fitted modality.
        x: (n, …) encoded samples.
        which: (n,) position of the output to explain.

    Returns:
        Attributions: (n, columns), (n, steps, channels), (n, events), (n, positions), or
        (n, [depth,] height, width); ``f(baseline)`` (n,); and what is missing from completeness,
        ``f(x) - f(baseline) - sum`` (n,).

    Raises:
        MedkitError: The network holds no preprocessing layer of medkit's.
    """
    layers = preprocessing_layers(model)
    if not layers:
        raise MedkitError(
            "the network has no preprocessing layer to take gradients from",
            hint="Use another method: occlusion works with any network.",
        )
    ends = representations(layers, x)
    starts = [baseline(modality, layer, end, x) for layer, end in zip(layers, ends, strict=True)]
    targets = one_hot(which, model.output_shape[-1])

    def output(tensors: list[Any]) -> Any:
        *inner, picked = tensors
        with tapped(layers, lambda position, usual, inputs: inner[position]):
            return ops.sum(output_of(model, len(picked), x.dtype.name) * picked, axis=-1)

    gradients = differentiated(output)
    at_start = _values(gradients, [*starts, targets])
    difference = _values(gradients, [*ends, targets]) - at_start
    total = [np.zeros(end.shape) for end in ends]
    rows, steps = np.arange(len(x)), _STEPS
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
    attributions = sum(
        attributed_to_raw(modality, layer, each, x)
        for layer, each in zip(layers, total, strict=True)
    )
    return np.asarray(attributions), at_start, gap


def baseline(modality: Any, layer: Any, end: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Where the path to ``end`` (n, …) starts, in the preprocessing layer's own terms."""
    if _joined(layer):
        return _together(*(baseline(*each) for each in _apart(modality, layer, end, x)))
    if modality.modality == "image":
        blank = np.broadcast_to(mean_pixel(modality), x.shape[1:]).astype(x.dtype)
        return np.broadcast_to(representations([layer], blank[None])[0], end.shape)
    if modality.modality == "tokens":
        vocabulary = np.arange(layer.first, layer.vocabulary, dtype=x.dtype)
        middle = representations([layer], vocabulary[None])[0][0].mean(axis=0)
        return np.where(np.any(end != 0, axis=-1, keepdims=True), middle, 0.0).astype("float32")
    if modality.modality == "triplets":
        start = np.array(end)
        start[..., 1] = 0.0 if modality.standardize else end[..., 2:] @ np.asarray(modality.fill_)
        return start
    start = np.array(representations([layer], np.full_like(x[:1], np.nan))[0])
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
    if _joined(layer):
        parts = _apart(modality, layer, inner, x)
        return _together(*(attributed_to_raw(*each) for each in parts))
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


def _joined(layer: Any) -> bool:
    """Whether it prepares a sequence and static features beside it."""
    from medkit.layers.with_static import StaticPreprocessing

    return isinstance(layer, StaticPreprocessing)


def _apart(
    modality: Any, layer: Any, inner: np.ndarray, x: np.ndarray
) -> list[tuple[Any, Any, np.ndarray, np.ndarray]]:
    """Modality, layer, its outputs and its inputs, of the sequence and of the static features."""
    columns, beside = layer.columns, len(modality.static_features.output_names)
    return [
        (modality.sequence, layer.sequence, inner[:, :, :-beside], x[:, :, :-columns]),
        (modality.static_features, layer.static, inner[:, 0, -beside:], x[:, 0, -columns:]),
    ]


def _together(sequence: np.ndarray, static: np.ndarray) -> np.ndarray:
    """One array again, the static part in the first step."""
    steps, channels = sequence.shape[1:]
    found = np.zeros((len(sequence), steps, channels + static.shape[1]), sequence.dtype)
    found[:, :, :channels] = sequence
    found[:, 0, channels:] = static
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
    size = max(1, _NUMBERS // int(np.prod(arrays[0].shape[1:])))
    parts = [
        gradients([each[rows] for each in arrays])[0] for rows in _batches(len(arrays[0]), size)
    ]
    return np.concatenate(parts)


def _batches(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))

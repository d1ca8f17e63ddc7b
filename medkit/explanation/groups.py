"""The features of a raw sample, as a person would name them: what is permuted or hidden whole.

A table's column is one feature (its one-hot columns and indicators arise inside the network), a
series' channel is one with its whole course and its gaps, that of triplets is a variable with all
its events, an image's is a block of pixels, a sequence's is a position or a band of positions.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medkit.data.inputs import Inputs

#: Encoded samples -> (n, outputs).
Predict = Callable[[Inputs], np.ndarray]

#: (k n, …) changed copies of one input of n samples, one below the other -> (k n, outputs).
OfOne = Callable[[np.ndarray], np.ndarray]


def of_one_input(predict: Predict, inputs: Inputs, name: str) -> OfOne:
    """The outputs for changed copies of one input, the others as they are."""

    def call(x: np.ndarray) -> np.ndarray:
        rows = np.arange(len(x)) % len(inputs)
        return predict(inputs.take(rows).replaced(name, x))

    return call


UNSEEN, PADDING = 1, 0  # token ids
BANDS = 20  # of positions, in global explanations
GRID = 4  # blocks along each axis of an image, in global explanations


@dataclass(frozen=True)
class Group:
    """One feature.

    Args:
        name: As the user knows it.
        unit: Of its values; None if they have none.
        where: Index of its values in one encoded sample.
    """

    name: str
    unit: str | None
    where: tuple[Any, ...]

    def of(self, x: np.ndarray) -> np.ndarray:
        """(n, …) the feature's values in encoded samples: a view."""
        return x[(slice(None), *self.where)]

    def lent(self, x: np.ndarray, lenders: np.ndarray) -> np.ndarray:
        """A copy of encoded samples with this feature as the lenders (n, …) have it."""
        changed = np.array(x)
        self.of(changed)[...] = self.of(lenders)
        return changed


@dataclass(frozen=True)
class Events(Group):
    """A variable among (time, variable, value) triplets: its events, wherever they stand."""

    @property
    def number(self) -> int:
        """Position of the variable."""
        return int(self.where[0])

    def among(self, x: np.ndarray) -> np.ndarray:
        """(n, events) boolean: which are of this variable."""
        return x[:, :, 1] == self.number

    def of(self, x: np.ndarray) -> np.ndarray:
        """(n, events) its values, NaN at the events of others."""
        return np.where(self.among(x), x[:, :, 2], np.nan)

    def lent(self, x: np.ndarray, lenders: np.ndarray) -> np.ndarray:
        """The sample's other events and the lender's of this variable, by time; where these are
        more than there is room for, without the sample's earliest."""
        room = x.shape[1]
        both = np.concatenate([lenders[:, :, :3], x[:, :, :3]], axis=1)
        rank = np.where(self.among(both), 0, 1 + np.arange(2 * room)[::-1])
        rank[:, room:][self.among(x)] = 3 * room
        rank[:, :room][~self.among(lenders)] = 3 * room
        rank[np.isnan(both[:, :, 1])] = 3 * room
        chosen = np.argsort(rank, axis=1, kind="stable")[:, :room]
        left_out = np.take_along_axis(rank, chosen, axis=1) == 3 * room
        events = np.take_along_axis(both, chosen[:, :, None], axis=1)
        events[left_out] = np.nan
        order = np.lexsort((events[:, :, 1], events[:, :, 0]), axis=1)  # NaN comes last
        changed = np.array(x)
        changed[:, :, :3] = np.take_along_axis(events, order[:, :, None], axis=1)
        return changed


def groups_of(modality: Any, shape: Sequence[int], fine: bool = False) -> list[Group]:
    """The features of encoded samples.

    Args:
        modality: The fitted modality.
        shape: Shape of one encoded sample.
        fine: Single positions of a sequence, and 8 blocks along each axis of an image, rather
            than bands and 4 blocks.
    """
    if modality.modality == "tabular":
        return [Group(f.name, f.unit, (i,)) for i, f in enumerate(modality.features)]
    if modality.modality == "series":
        return [Group(f.name, f.unit, (slice(None), i)) for i, f in enumerate(modality.features)]
    if modality.modality == "triplets":
        return [Events(f.name, f.unit, (i,)) for i, f in enumerate(modality.features)]
    if modality.modality == "tokens":
        spans = _spans(shape[0], shape[0] if fine else BANDS)
        return [Group(_named("position", span), None, (span,)) for span in spans]
    return windows(shape[:-1], 2 * GRID if fine else GRID)


def windows(sizes: Sequence[int], count: int) -> list[Group]:
    """Blocks of an image or volume, ``count`` along each axis where it has as many pixels."""
    axes = ("row", "column") if len(sizes) == 2 else ("slice", "row", "column")
    found = []
    for spans in itertools.product(*(_spans(size, count) for size in sizes)):
        name = ", ".join(_named(axis, span) for axis, span in zip(axes, spans, strict=True))
        found.append(Group(name, None, spans))
    return found


def hidden(modality: Any, x: np.ndarray, group: Group) -> np.ndarray:
    """A copy of encoded samples without one feature.

    A number, category or channel is missing; of a variable there is no event; a token is unseen
    (padding stays); pixels take the training images' mean.
    """
    changed = np.array(x)
    hide(modality, changed, group)
    return changed


def hide(modality: Any, x: np.ndarray, group: Group) -> None:
    """``hidden`` in place."""
    if isinstance(group, Events):
        x[:, :, :3][group.among(x)] = np.nan
        return
    part = group.of(x)
    if modality.modality in ("tabular", "series", "triplets"):
        part[...] = np.nan
    elif modality.modality == "tokens":
        part[...] = np.where(part == PADDING, PADDING, UNSEEN)
    else:
        part[...] = mean_pixel(modality).astype(x.dtype)


def mean_pixel(modality: Any) -> np.ndarray:
    """(channels,) the training images' mean, as raw pixels have it."""
    center = np.asarray(modality.center_)
    raw = modality.low_ + center * (modality.high_ - modality.low_)
    return np.round(raw) if modality.dtype_ == "uint8" else raw


def _spans(size: int, count: int) -> list[slice]:
    edges = np.unique(np.linspace(0, size, min(size, count) + 1).round().astype(int))
    return [slice(int(a), int(b)) for a, b in itertools.pairwise(edges)]


def _named(what: str, span: slice) -> str:
    """Counted from 1, both ends included."""
    if span.stop - span.start == 1:
        return f"{what} {span.stop}"
    return f"{what}s {span.start + 1}–{span.stop}"

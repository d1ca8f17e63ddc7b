"""The channels of a series as the leakage gate compares and explanations hide and show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from medkit.core.lazy import pd
from medkit.data.stored_arrays import blocks, by_channel
from medkit.modalities.drawing import Drawing, Mark, shares, spelt
from medkit.modalities.groups import FeatureGroup
from medkit.modalities.hooks import prepared
from medkit.modalities.likeness import Cells, Runs, chosen_cells, shared_stretches
from medkit.modalities.modality import Modality

if TYPE_CHECKING:
    import pandas


class SeriesCompared(Modality):
    """Near-identical by the distance of their cells; cut from one recording by shared stretches."""

    def constants(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Channels that change within no row."""
        found = ((self.names[i], _constant(np.asarray(channel))) for i, channel in by_channel(x))
        return {name: values for name, values in found if values is not None}

    def near_cells(self, x: np.ndarray) -> Cells | None:
        chosen = chosen_cells(x.shape[1:])
        flat = [part.reshape(len(part), -1)[:, chosen].astype("float32") for _, part in blocks(x)]
        values = np.concatenate(flat) if flat else np.empty((0, len(chosen)), "float32")
        return Cells(values, shared=chosen % x.shape[2])

    def runs(self, x: np.ndarray) -> Runs | None:
        return shared_stretches(x)


def _constant(channel: np.ndarray) -> np.ndarray | None:
    """(n,) value of a channel that does not change within a row; None if it does in some row."""
    last = np.full(len(channel), np.nan, dtype=channel.dtype)
    for step in channel.T:
        known = ~np.isnan(step)
        if (known & ~np.isnan(last) & (step != last)).any():
            return None
        last = np.where(known, step, last)
    return last


class SeriesExplained(Modality):
    """A channel is one feature, with its whole course and its gaps."""

    value_axes: ClassVar[str] = "step feature"
    step_axes: ClassVar[str] = "step"
    no_curves: ClassVar[str] = (
        "A channel has a course, not one value to vary: shifting it as a whole would draw courses "
        "that nobody has."
    )
    numbers_at_once: ClassVar[int] = 80_000_000
    standardize: bool | str

    def groups(self, fine: bool = False) -> list[FeatureGroup]:
        return [FeatureGroup(f.name, f.unit, (slice(None), i)) for i, f in enumerate(self.features)]

    def reference(self, layer: Any, inner: np.ndarray, x: np.ndarray) -> np.ndarray:
        """The training mean of each channel (or what fills it) throughout, nothing measured."""
        start = prepared(layer, np.full_like(x[:1], np.nan)).copy()
        if self.standardize:
            start[..., : x.shape[2]] = 0.0
        return np.broadcast_to(start, inner.shape)

    def attributed(self, layer: Any, inner: np.ndarray, x: np.ndarray) -> np.ndarray:
        """(n, steps, channels): what a measurement was carried forward into, and its indicators,
        count to where it was measured."""
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

    def itemized(self, x: np.ndarray, attribution: np.ndarray) -> pandas.DataFrame | None:
        values, found = x[0], attribution[0]
        # A step without a measurement has no row unless its being empty counted.
        steps, channels = np.nonzero(~np.isnan(values) | (found != 0))
        measured = values[steps, channels]
        return pd.DataFrame(
            {
                "feature": [self.names[c] for c in channels],
                "step": steps + 1,
                "value": [None if np.isnan(each) else float(each) for each in measured],
                "unit": [self.features[c].unit or "" for c in channels],
                "attribution": found[steps, channels],
            }
        )

    def draw(
        self, x: np.ndarray, row: int, attribution: np.ndarray | None = None
    ) -> Drawing | None:
        """A mark for each channel and step, the channels that count most first."""
        values = x[row]
        share = shares(None if attribution is None else attribution[row], values.shape)
        order = np.argsort(-np.abs(share).sum(axis=0), kind="stable")
        return Drawing(
            courses=tuple(
                (self.names[c], _marks(values[:, c], share[:, c], self.features[c])) for c in order
            )
        )


def _marks(values: np.ndarray, share: np.ndarray, feature: Any) -> tuple[Mark, ...]:
    return tuple(
        Mark("", float(each), f"{feature.name}, step {step}: {spelt(value, feature.unit)}",
             not np.isnan(value))
        for step, (value, each) in enumerate(zip(values, share, strict=True), 1)
    )  # fmt: skip


def _measured_at(x: np.ndarray) -> np.ndarray:
    """(n, steps, channels): at which step the value carried into each step was measured."""
    steps = np.arange(x.shape[1])[None, :, None]
    last = np.maximum.accumulate(np.where(np.isnan(x), -1, steps), axis=1)
    return np.where(last < 0, np.broadcast_to(steps, x.shape), last)

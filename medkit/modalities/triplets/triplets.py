"""Triplets: the events of each sample as they are, (time, variable, value), and no grid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.core.registry import modalities
from medkit.data.cohort import Feature, RawInput
from medkit.data.stored_arrays import blocks
from medkit.modalities.files import FileRows, Written, write_events
from medkit.modalities.modality import (
    Gives,
    check_unique,
    cleaned_numbers,
    feature_dicts,
    log,
    statistics,
    three_axes,
)
from medkit.modalities.triplets.events import (
    FlatEvents,
    fill,
    flat,
    in_order,
    kept_events,
    summaries,
)
from medkit.modalities.triplets.hooks import TripletsHooks

if TYPE_CHECKING:
    import keras
    import pandas

# Share of the training samples whose events are all kept, where `most_events` allows it: a few
# stays of thousands of events must not make every other one as long.
_WHOLE = 0.99
_EXPECTED = "triplets must be numbers of shape (samples, events, 3), time, variable and value"


@modalities.register(name="triplets")
class Triplets(TripletsHooks):
    """Events as they were measured, (time, variable, value), of samples of any length; no grid.

    Encoded: float32 (n, events, 3): hours since the window's start, position of the variable in
    ``names``, value in physical units; rows of NaN after a sample's last event. In the model: the
    standardized time, the standardized value, and one column a variable that is 1 at its own
    events, (n, events, 2 + variables); all 0 where there is no event.

    Every sample gets the same room: that which holds 99 % of the training samples, and no more
    than ``most_events``. Of a sample with more, each variable's last event is kept, and of the
    others the latest; how many were left out is logged.

    Args:
        most_events: Most events of a sample that the model takes; attention among them costs
            time and memory with their square (of 1024 samples of 256 events at a time and 4
            heads, 1 GiB; of 512 events, 4 GiB).
        standardize: Subtract each variable's training mean and divide by its standard deviation;
            robust: the median, and the distance of the quartiles over 1.349. Times are always
            standardized.
        clip: Bound on the standardized values, in standard deviations, so that a typing error
            in one value moves the outcome no further; null for none.
    """

    modality: ClassVar[str] = "triplets"
    gives: ClassVar[Gives] = "events"
    noun: ClassVar[str] = "events"
    deterministic: ClassVar[bool] = True
    events_: int
    time_: list[float]
    fill_: list[float]
    center_: list[float]
    scale_: list[float]

    def __init__(
        self,
        *,
        most_events: Annotated[int, Field(ge=1, le=10_000)] = 256,
        standardize: bool | Literal["robust"] = True,
        clip: Annotated[float, Field(gt=0)] | None = 10.0,
    ):
        self.most_events, self.standardize, self.clip = most_events, standardize, clip

    def fit(self, raw: RawInput | np.ndarray) -> Self:
        """Learn the variables, their means and standard deviations, and the room for events.

        Variables that no training row has are left out: nothing could be learned of them.

        Raises:
            DataError: No rows, not (n, events, 3), infinite values, a variable without a name,
                or no event.
        """
        self._check_parameters()
        values = self._array(raw)
        self._check_rows(len(values))
        parts = [(start, flat(block)) for start, block in blocks(values)]
        variable = np.concatenate([part.variable for _, part in parts])
        value = np.concatenate([part.value for _, part in parts])
        time = np.concatenate([part.time for _, part in parts])
        if not len(value):
            raise DataError("no variable was measured in any training row")
        features = self._named(raw, variable)
        counts = np.bincount(variable, minlength=len(features))
        empty = [f.name for f, count in zip(features, counts, strict=True) if not count]
        if empty:
            log.warning("variables never measured in the training rows: %s", ", ".join(empty))
        self.features_ = feature_dicts(f for f in features if f.name not in empty)
        self.fill_, self.center_, self.scale_ = [], [], []
        in_order = np.argsort(variable, kind="stable")
        ends = np.cumsum(counts)
        for start, end in zip(ends - counts, ends, strict=True):
            if end > start:
                self._learn(value[in_order[start:end]], "mean", 0.0, self.standardize)
        _, *self.time_ = statistics(time, "mean", 0.0, True)
        lengths = np.concatenate(
            [np.bincount(p.row, minlength=len(block)) for (_, p), (_, block)
             in zip(parts, blocks(values), strict=True)]
        )  # fmt: skip
        room = int(np.ceil(np.quantile(lengths, _WHOLE)))
        self.events_ = max(1, min(self.most_events, room))
        return self

    def _named(self, raw: Any, variable: np.ndarray) -> tuple[Feature, ...]:
        most = int(variable.max()) + 1
        given = tuple(raw.features) if isinstance(raw, RawInput) else ()
        features = given or tuple(Feature(f"variable_{i + 1}") for i in range(most))
        check_unique([feature.name for feature in features], "variables")
        if most > len(features):
            raise DataError(f"{len(features)} variable names for {most} variables")
        return features

    def encode(self, raw: RawInput | np.ndarray) -> np.ndarray:
        """Events as float32 (n, events, 3), the variables numbered as they were in training.

        A variable that was not there in training is left out, and one that is not there now was
        not measured. A plain array has the fitted variables in the fitted order (``names``).
        Values that mean 'missing', and those outside a range, are treated as the dataset treated
        them; an event without a value does not count.

        Raises:
            DataError: Not (n, events, 3), no known variable, or infinite values.
        """
        values = self._array(raw)
        number = self._numbered(raw)
        to_clean = self._to_clean(raw)
        room = self._learned("events_")
        encoded = np.full((len(values), room, 3), np.nan, dtype="float32")
        cut, left_out = 0, 0
        for start, block in blocks(values):
            events = flat(block)
            if len(events.variable) and int(events.variable.max()) >= len(number):
                raise DataError(
                    f"variable {int(events.variable.max()) + 1} of {len(number)} was given",
                    hint=f"They are, in this order: {', '.join(self.names)}.",
                )
            events = events._replace(variable=number[events.variable])
            events = in_order(events.where(events.variable >= 0))
            for feature in to_clean:
                events = self._cleaned(events, feature)
            kept = kept_events(events, len(block), room)
            cut += len(np.unique(events.row[~kept]))
            left_out += int((~kept).sum())
            fill(encoded[start : start + len(block)], events.where(kept))
        if cut:
            log.info(
                "%d of %d samples have more than %d events: %d events left out (each variable's "
                "last and the latest are kept)", cut, len(values), room, left_out,
            )  # fmt: skip
        return encoded

    def _numbered(self, raw: Any) -> np.ndarray:
        """The fitted position of each given variable, -1 where it was not there in training."""
        names = self.names
        given = [f.name for f in raw.features] if isinstance(raw, RawInput) else []
        if not given:
            return np.arange(len(names))
        self._compare_names(given, "variables")
        return np.array([names.index(name) if name in names else -1 for name in given])

    def _cleaned(self, events: FlatEvents, feature: Feature) -> FlatEvents:
        """Without the events whose value means 'missing'; a range applied to the others."""
        mine = np.flatnonzero(events.variable == self.names.index(feature.name))
        value = np.array(events.value)
        value[mine] = cleaned_numbers(value[mine], feature)
        return events._replace(value=value).where(~np.isnan(value))

    def _array(self, raw: Any) -> np.ndarray:
        values = three_axes(np.asanyarray(self._values(raw)), _EXPECTED)
        if values.shape[2] != 3:
            raise DataError(f"{_EXPECTED}; got shape {values.shape}")
        return values

    def course(self, x: np.ndarray, name: str) -> np.ndarray:
        return np.where(x[:, :, 1] == self.names.index(name), x[:, :, 2], np.nan)

    @property
    def input_shape_(self) -> tuple[int, ...]:
        return (self._learned("events_"), 3)

    @property
    def output_names(self) -> list[str]:
        """Names of the model's inner columns, in the order the preprocessing gives them."""
        return ["time", "value", *(f"is {name}" for name in self.names)]

    def preprocessing(self) -> keras.Layer:
        """The layer that takes encoded events to (n, events, 2 + variables) float32."""
        from medkit.layers.triplets import TripletPreprocessing

        layer = TripletPreprocessing(len(self.names), self.clip if self.standardize else None)
        layer.build((None, *self.input_shape_))
        layer.set_statistics((self.time_[0], self.time_[1]), self.center_, self.scale_)
        return layer

    def write(self, raw: RawInput, folder: Path, rows: FileRows) -> Written:
        """``events.csv``, read by ``events``."""
        values = np.asarray(raw.values)
        sample, positions = np.nonzero(~np.isnan(values).any(axis=2))
        hours, channels, measured = values[sample, positions].T
        names = [feature.name for feature in raw.features]
        cells = (rows.ids[sample], hours, np.array(names)[channels.astype(int)], measured)
        window = {"hours": float(np.floor(hours.max(initial=0.0)) + 1)}
        return write_events(folder, cells, raw.features, names, form="triplets", window=window)

    def gaps(self) -> tuple[str, bool]:
        return "nothing is filled: what was not measured is not an event", False

    def summarize(self, x: np.ndarray) -> pandas.DataFrame:
        """Per variable: mean, min, max, first, last, standard deviation and count of its values;
        NaN where nothing was measured."""
        width = len(self.names)
        found = [summaries(flat(block), len(block), width) for _, block in blocks(x)]
        columns = {}
        for position, name in enumerate(self.names):
            for summary in found[0] if found else ():
                parts = [part[summary][:, position] for part in found]
                columns[f"{name} {summary}"] = np.concatenate(parts)
        return pd.DataFrame(columns)

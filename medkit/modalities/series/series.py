"""Time series: measured variables on a regular grid of time steps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.core.registry import modalities
from medkit.data.cohort import Feature, RawInput
from medkit.data.stored_arrays import as_array, by_channel, chosen
from medkit.modalities.files import FileRows, Written, write_events
from medkit.modalities.modality import (
    Gives,
    absent_names,
    check_unique,
    cleaned_numbers,
    feature_dicts,
    log,
    three_axes,
)
from medkit.modalities.preparation import filling
from medkit.modalities.series.channels import (
    channel_summary,
    frequency,
    refuse_infinite,
    rows_with,
    tails,
)
from medkit.modalities.series.hooks import SeriesCompared, SeriesExplained

if TYPE_CHECKING:
    import keras
    import pandas


@modalities.register(name="series")
class Series(SeriesExplained, SeriesCompared):
    """Time steps × channels: filled, standardized and marked as measured or not in the model.

    Encoded: float32 (n, steps, channels) in physical units, NaN where not measured. In the model:
    the channels, then the indicators.

    Args:
        missing: What replaces a missing value: the last measured one (and the training mean
            before the first), the training mean or median, a constant, or nothing, samples with
            a gap being dropped.
        constant: The constant, in each channel's own unit.
        indicators: Add a channel that is 1 where the value was measured and 0 where it was
            filled, for each channel with gaps in the training rows; all: for every channel.
        time_since: Add the time since it was last measured, as a share of the whole, for each
            channel that has such an indicator.
        standardize: Subtract the training mean and divide by the standard deviation; robust: the
            median, and the distance of the quartiles over 1.349 (the same for a normal), which a
            few extreme values cannot move.
        winsorize: Share of the training values in each tail beyond which values are set to the
            bound: 0.001 keeps what lies between the 0.1 and the 99.9 percent quantiles.
        clip: Bound on the standardized values, in standard deviations, so that a typing error
            in one value moves the outcome no further; null for none.
        padding: What fills the steps before a sample's first measurement and after its last, where
            stays differ in length: what fills any gap, or zero in every channel, which models with
            ``mask_zeros`` skip.
        minimum_frequency: Share of the training samples in which a channel must have been measured
            at least once (one without gaps, as a count of events: be other than 0); rarer
            channels are left out.
        logarithm: Channels of which the logarithm of 1 + value is taken before all else, since a
            few high values are far from most (laboratory values); below 0 counts as 0.
    """

    modality: ClassVar[str] = "series"
    gives: ClassVar[Gives] = "steps"
    noun: ClassVar[str] = "time series"
    regular: ClassVar[bool] = True
    deterministic: ClassVar[bool] = True
    given_: list[str]
    steps_: int
    missing_: list[str]
    fill_: list[float]
    center_: list[float]
    scale_: list[float]

    def __init__(
        self,
        *,
        missing: Literal["forward_fill", "mean", "median", "constant", "drop"] = "forward_fill",
        constant: float = 0.0,
        indicators: bool | Literal["all"] = True,
        time_since: bool = False,
        standardize: bool | Literal["robust"] = True,
        winsorize: Annotated[float, Field(ge=0, lt=0.5)] = 0.0,
        clip: Annotated[float, Field(gt=0)] | None = 10.0,
        padding: Literal["fill", "zero"] = "fill",
        minimum_frequency: Annotated[float, Field(ge=0, le=1)] = 0.0,
        logarithm: tuple[str, ...] = (),
    ):
        self.missing, self.constant = missing, constant
        self.indicators, self.time_since = indicators, time_since
        self.standardize, self.winsorize, self.clip = standardize, winsorize, clip
        self.padding, self.minimum_frequency = padding, minimum_frequency
        self.logarithm = tuple(logarithm)

    def fit(self, raw: RawInput | np.ndarray) -> Self:
        """Learn fill values, means and standard deviations of each channel from training rows.

        Raises:
            DataError: No rows, not (n, steps, channels), infinite values, or nothing measured.
        """
        self._check_parameters()
        values = self._array(raw)
        given = raw.features if isinstance(raw, RawInput) else ()
        features = given or tuple(Feature(f"channel_{i + 1}") for i in range(values.shape[2]))
        if len(features) != values.shape[2]:
            raise DataError(f"{len(features)} channel names for {values.shape[2]} channels")
        check_unique([feature.name for feature in features], "channels")
        unknown = absent_names(list(self.logarithm), [feature.name for feature in features])
        if unknown:
            raise DataError(f"logarithm names channels that are not there: {', '.join(unknown)}")
        if self.missing == "drop":
            values = chosen(values, self.keep(values))
        self._check_rows(len(values))
        refuse_infinite(values)
        self.given_, self.steps_ = [feature.name for feature in features], int(values.shape[1])
        self.missing_, self.fill_, self.center_, self.scale_ = [], [], [], []
        self.bounds_: list[list[float]] | None = [[], []] if self.winsorize else None
        frequent, empty = [], []
        for position, channel in by_channel(values):  # one at a time: the whole may not fit
            feature = features[position]
            if self.minimum_frequency and frequency(channel) < self.minimum_frequency:
                continue
            observed = channel[~np.isnan(channel)]
            if not observed.size:  # a network's weights for it would stay as they were drawn
                empty.append(feature.name)
                continue
            frequent.append(feature)
            if observed.size < channel.size:
                self.missing_.append(feature.name)
            constant = self.constant
            if feature.name in self.logarithm:
                observed = np.log1p(np.maximum(observed, 0))
                constant = float(np.log1p(max(constant, 0)))
            if self.bounds_ is not None:
                low, high = tails(observed, self.winsorize)
                observed = np.clip(observed, low, high)
                self.bounds_[0].append(low)
                self.bounds_[1].append(high)
            self._learn(observed, self.missing, constant, self.standardize)
        self.features_ = feature_dicts(frequent)
        if empty and not frequent:
            raise DataError("no channel was measured in any training row")
        rare = [name for name in self.given_ if name not in (*self.names, *empty)]
        share = f"{100 * self.minimum_frequency:g} % of the training samples"
        if rare and not frequent:
            raise DataError(f"no channel was measured in {share}", hint="Lower minimum_frequency.")
        if rare:
            shown = ", ".join(rare[:20]) + (", ..." if len(rare) > 20 else "")
            log.info("left out %d channels measured in less than %s: %s", len(rare), share, shown)
        if empty:
            shown = ", ".join(empty)
            log.warning("left out channels never measured in the training rows: %s", shown)
        return self

    def encode(self, raw: RawInput | np.ndarray) -> np.ndarray:
        """Rows as float32 (n, steps, channels), the channels aligned by name to the fitted ones.

        A channel that is absent was not measured: it is NaN throughout. A plain array has the
        fitted channels in the fitted order (``names``). Values that mean 'missing', and those
        outside a range, are treated as the dataset treated them, but for the range of channels
        that hold sums.

        Raises:
            DataError: Another number of steps, no known channel, or infinite values.
        """
        names = self.names
        values = self._array(raw)
        if values.shape[1] != self.steps_:
            raise DataError(
                f"series of {values.shape[1]} time steps were given where the model was trained "
                f"on {self.steps_}",
                hint="Read the data with the same grid (hours and step) as in training.",
            )
        given = [f.name for f in raw.features] if isinstance(raw, RawInput) else []
        if not given and values.shape[2] == len(self.given_):
            given = self.given_  # a plain array as the one it was fitted on
        if not given:
            if values.shape[2] != len(names):
                raise DataError(
                    f"{values.shape[2]} channels were given where {len(names)} are expected",
                    hint=f"They must be, in this order: {', '.join(names)}.",
                )
            given = names
        refuse_infinite(values)
        if given != names:
            values = self._aligned(values, given)
        return self._cleaned(values, self._to_clean(raw))

    def _cleaned(self, values: np.ndarray, features: list[Feature]) -> np.ndarray:
        mine = values
        to_clean = {self.names.index(feature.name): feature for feature in features}
        for position, channel in by_channel(values) if to_clean else ():
            if position not in to_clean:
                continue
            found = cleaned_numbers(channel, to_clean[position])
            if not np.array_equal(found, channel, equal_nan=True):
                mine = np.array(values) if mine is values else mine  # never the caller's own
                mine[:, :, position] = found
        return mine

    def _aligned(self, values: np.ndarray, given: list[str]) -> np.ndarray:
        self._compare_names(given, "channels", self.given_)  # told in fit
        aligned = np.full((*values.shape[:2], len(self.names)), np.nan, dtype="float32")
        for position, name in enumerate(self.names):
            if name in given:
                aligned[:, :, position] = values[:, :, given.index(name)]
        return aligned

    def keep(self, raw: RawInput | np.ndarray) -> np.ndarray:
        """(n,) boolean: with ``missing="drop"``, the samples without a gap; else all."""
        values = self._array(raw)
        if self.missing != "drop":
            return np.ones(len(values), dtype=bool)
        if "features_" in vars(self):
            values = self.encode(raw)
        return ~rows_with(np.isnan, values)

    def _array(self, raw: Any) -> np.ndarray:
        expected = "series must be numbers of shape (samples, time steps, channels)"
        return three_axes(as_array(self._values(raw)), expected)

    @property
    def input_shape_(self) -> tuple[int, ...]:
        return (self.steps_, len(self.features))

    @property
    def output_names(self) -> list[str]:
        """Names of the model's inner channels, in the order the preprocessing gives them."""
        marked = [self.names[i] for i in self._indicators]
        since = [f"{name} time since measured" for name in marked] if self.time_since else []
        return self.names + [f"{name} measured" for name in marked] + since

    @property
    def _indicators(self) -> list[int]:
        if not self.indicators:
            return []
        if self.indicators == "all":
            return list(range(len(self.names)))
        return [i for i, name in enumerate(self.names) if name in self.missing_]

    def preprocessing(self) -> keras.Layer:
        """The layer that takes encoded rows to (n, steps, len(output_names)) float32."""
        from medkit.layers.series import SeriesPreprocessing

        layer = SeriesPreprocessing(
            self.missing == "forward_fill", self._indicators,
            self.clip if self.standardize else None, self.time_since, self.padding == "zero",
            [i for i, name in enumerate(self.names) if name in self.logarithm],
        )  # fmt: skip
        layer.build((None, *self.input_shape_))
        layer.set_statistics(self.fill_, self.center_, self.scale_, self.bounds_)
        return layer

    def write(self, raw: RawInput, folder: Path, rows: FileRows) -> Written:
        """``events.csv``, read by ``events``: what was measured, by hours from the start."""
        values = np.asarray(raw.values)
        names = [feature.name for feature in raw.features]
        names = names or [f"channel_{k + 1}" for k in range(values.shape[2])]
        sample, steps, channels = np.nonzero(~np.isnan(values))
        hours: Any = steps * rows.step_hours
        if rows.start_hours is not None:
            hours = rows.start_hours[sample] + hours
        measured = values[sample, steps, channels]
        cells = (rows.ids[sample], hours, np.array(names)[channels], measured)
        window = {"hours": float(values.shape[1] * rows.step_hours)}
        window |= {"step_hours": rows.step_hours} if rows.step_hours != 1 else {}
        return write_events(
            folder, cells, raw.features, names, rows.start_hours is not None, window=window
        )

    def gaps(self) -> tuple[str, bool]:
        return filling(self.missing, self.indicators)

    def summarize(self, x: np.ndarray) -> pandas.DataFrame:
        """Per channel: mean, min, max, first, last, standard deviation and count of what was
        measured; NaN where nothing was."""
        columns: dict[str, np.ndarray] = {}
        for position, channel in by_channel(x):
            for summary, values in channel_summary(channel).items():
                columns[f"{self.names[position]} {summary}"] = values
        return pd.DataFrame(columns)

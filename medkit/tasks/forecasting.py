"""Future values of some channels, each with its uncertainty."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import AfterValidator, Field, ValidationInfo

from medkit.core.errors import DataError, MedkitError
from medkit.core.registry import tasks
from medkit.tasks.outcomes import Metric, Outcome, for_each
from medkit.tasks.regression import Regression
from medkit.tasks.scores.courses import ahead, channels_of, errors, future_values, pooled
from medkit.tasks.scores.metrics import with_each
from medkit.tasks.task import Statistics, Threshold, checked_outputs, fitted

MEDIAN = 0.5
_UNITS = ("mean_", "scale_")
_ERRORS = (
    Metric("mae", "MAE", "less"), Metric("rmse", "RMSE", "less"),
    Metric("pinball", "pinball loss", "less"), Metric("coverage", "coverage", "neither"),
    Metric("width", "width", "less"),
)  # fmt: skip


def _quantile_problem(quantiles: Sequence[float]) -> str | None:
    if not quantiles:
        return None
    rising = all(low < high for low, high in itertools.pairwise(quantiles))
    if not rising or not all(0 < each < 1 for each in quantiles):
        return "must rise between 0 and 1, such as [0.05, 0.5, 0.95]"
    if MEDIAN not in quantiles:
        return "must hold 0.5, the point forecast; leave them empty for a point forecast alone"
    return None


def _loss_problem(loss: str, quantiles: Sequence[float]) -> str | None:
    if loss != "pinball" and quantiles:
        return f"'{loss}' has no quantiles: set quantiles: [], or loss: pinball"
    return None


def _refused(value: Any, text: str | None) -> Any:
    if text:
        raise ValueError(text)
    return value


def _check_quantiles(value: tuple[float, ...]) -> tuple[float, ...]:
    return _refused(value, _quantile_problem(value))


def _check_loss(value: str, info: ValidationInfo) -> str:
    # Absent where the quantiles are wrong themselves.
    return _refused(value, _loss_problem(value, info.data.get("quantiles", ())))


@tasks.register(name="forecasting")
class Forecasting(Regression):
    """Future values of chosen channels over a horizon, with quantiles.

    Targets (n, values), a column for each channel at each step ahead, named ``HR +6 h`` or
    ``cases +1 d``; NaN where not measured. Such values are left out of loss and metrics. The
    network learns targets standardized by channel; the model that is saved ends in a layer that
    gives the units back and puts the quantiles of each value in rising order. Its outputs are
    (n, values * quantiles): all quantiles of the first value, then those of the second, …

    Reported are MAE and RMSE of the point forecast (the median where there are quantiles), the
    pinball loss (mean over the quantiles), and of the interval between the first and the last
    quantile the coverage and the width, in the targets' units: Gneiting and Raftery, Strictly
    proper scoring rules, prediction, and estimation, J. Am. Stat. Assoc. 102, 2007. Of several
    channels each has its own (``mae_<channel>``), and the plain ones are the mean over them.

    Args:
        quantiles: Quantiles of each value, rising, 0.5 among them; empty for a point forecast.
        loss: pinball; without quantiles pinball is half of mae, and mae, mse or huber (squared
            near zero, absolute beyond) may be chosen.
        huber_delta: With loss huber, where squared turns absolute, in standard deviations of the
            channel's training targets (in their units without standardize).
        standardize: Learn targets of mean 0 and standard deviation 1 in each channel, from train.
        season_hours: Length of a season, for the baseline that repeats the value of one season
            earlier: 24 for vital signs, 168 for cases counted by day.
        step_hours: Length of one time step of the input in hours, which that baseline needs; null:
            there is no such baseline.
    """

    kind: ClassVar[str] = "forecasting"
    outcome: ClassVar[str] = "course"
    no_single_value: ClassVar[str] = "the past of a channel may well foretell its future"
    leading: ClassVar[str] = "mae"
    monitors: ClassVar[dict[str, str]] = {"loss": "min", "mae": "min"}
    monitor: ClassVar[str] = "loss"
    learned: ClassVar[tuple[str, ...]] = ("mean_", "scale_", "spread_")

    def __init__(
        self,
        *,
        quantiles: Annotated[tuple[float, ...], AfterValidator(_check_quantiles)] = (
            0.05, MEDIAN, 0.95,
        ),
        loss: Annotated[
            Literal["pinball", "mae", "mse", "huber"],
            AfterValidator(_check_loss),
            Field(validate_default=True),
        ] = "pinball",
        huber_delta: Annotated[float, Field(gt=0)] = 1.0,
        standardize: bool = True,
        season_hours: Annotated[float, Field(gt=0)] = 24.0,
        step_hours: Annotated[float, Field(gt=0)] | None = None,
    ):  # fmt: skip
        super().__init__(huber_delta=huber_delta, standardize=standardize)
        self.loss = loss
        quantiles = tuple(float(each) for each in quantiles)
        for name, text in (
            ("quantiles", _quantile_problem(quantiles)),
            ("loss", _loss_problem(loss, quantiles)),
        ):
            if text:
                raise MedkitError(text, place=f"task.{name}")
        self.quantiles, self.season_hours, self.step_hours = quantiles, season_hours, step_hours
        self.spread_: list[float] | None = None

    @property
    def levels(self) -> tuple[float, ...]:
        """The quantiles of each value; the median alone of a point forecast."""
        return self.quantiles or (MEDIAN,)

    @property
    def point(self) -> int:
        """Which of a value's outputs is the point forecast."""
        return self.levels.index(MEDIAN)

    def fit(self, targets: Any, names: Sequence[str] = ()) -> Self:
        """Learn mean and standard deviation of each channel, over all its steps.

        Raises:
            DataError: Not numbers, infinite values, a value never measured, a channel whose
                targets are all equal, a name that does not say how far ahead it is.
        """
        values = future_values(targets, names)
        width = values.shape[1]
        given = tuple(names) if len(names) == width else ()
        for name in given:
            if ahead(name).hours is None:
                raise DataError(
                    "the name does not say which channel it is of and how far ahead",
                    place=f"target '{name}'",
                    hint="Name future values as in 'HR +6 h' or 'cases +1 d' (min, h, d or w).",
                )
        self.names_ = given or tuple(f"value_{i + 1}" for i in range(width))
        for index in np.flatnonzero(np.isnan(values).all(axis=0))[:1]:
            raise DataError(
                f"never measured in any of the {len(values)} training rows",
                place=f"target '{self.names_[index]}'",
                hint="Forecast another channel or a longer step, or use more rows.",
            )
        mean, scale = np.zeros(width), np.ones(width)
        for channel, columns in channels_of(self.names_).items():
            known = values[:, columns][~np.isnan(values[:, columns])]
            if (known == known[0]).all():
                raise DataError(
                    f"all {len(known)} training targets are {known[0]:g}",
                    place=f"channel '{channel}'",
                    hint="There is nothing to learn: check the targets.",
                )
            mean[columns], scale[columns] = known.mean(), known.std()
        self.spread_ = scale.tolist()
        self.mean_ = (mean if self.standardize else np.zeros(width)).tolist()
        self.scale_ = (scale if self.standardize else np.ones(width)).tolist()
        return self

    @classmethod
    def example(cls, rows: int, random: np.random.Generator) -> np.ndarray:
        """Four future values, a fifth of them not measured."""
        return np.where(random.random((rows, 4)) < 0.2, np.nan, random.normal(80, 9, (rows, 4)))

    def encode(self, targets: Any) -> np.ndarray:
        """(n, values) float32 in the targets' units, NaN where not measured.

        Raises:
            DataError: Not numbers, infinite values, another number of columns.
        """
        values = future_values(targets, self.names_).astype(np.float32)
        if values.shape[1] != len(fitted(self, "mean_")):
            raise DataError(
                f"the targets have {values.shape[1]} columns; expected {len(fitted(self, 'mean_'))}"
            )
        return values

    def output_layer(self) -> Any:
        """Units, and quantiles in rising order."""
        if not self.standardize and len(self.levels) == 1:
            return None
        from medkit.layers.forecast import ForecastScale

        count = len(self.levels)
        mean, scale = (np.repeat(fitted(self, each), count).tolist() for each in _UNITS)
        return ForecastScale(mean, scale, count, name="units")

    @property
    def num_outputs(self) -> int:
        """Values times quantiles."""
        return len(fitted(self, "mean_")) * len(self.levels)

    @property
    def output_names(self) -> list[str]:
        """A name for each output: ``HR +6 h`` of the point forecast, ``HR +6 h (5 %)``."""
        fitted(self, "mean_")
        return [
            name if level == MEDIAN else f"{name} ({100 * level:g} %)"
            for name in self.names_
            for level in self.levels
        ]

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The mean over the channels, then each channel where there are several."""
        own = _ERRORS[:2] + _ERRORS[2:3] * bool(self.quantiles)
        own += _ERRORS[3:] * (len(self.quantiles) > 1)
        channels = channels_of(self.names_)
        return for_each(own, channels if len(channels) > 1 else ())

    def keras_loss(self) -> Any:
        """The loss of (n, values) standardized targets with NaN."""
        from medkit.layers.forecast import ForecastLoss

        return ForecastLoss(self.loss, self.levels, self.huber_delta)

    def watch(self) -> list[Any]:
        """Mean absolute error of the point forecast, in standard deviations."""
        from medkit.layers.forecast import ForecastError

        return [ForecastError(len(self.levels), self.point, name="mae")]

    def statistics(self, y: np.ndarray, p: np.ndarray, threshold: Threshold = None) -> Statistics:
        """What each forecast is off by; see ``errors``."""
        return self.errors(y, p)

    def measure(self, statistics: Statistics, weights: np.ndarray | None = None) -> dict[str, Any]:
        """The metrics over the measured values; see Task.measure."""
        channels = channels_of(self.names_)
        sample = pooled(statistics, list(channels.values()), None)
        each = sample if weights is None else pooled(statistics, list(channels.values()), weights)
        found = with_each(each, list(channels) if len(channels) > 1 else (), sample)
        if weights is None:
            return {name: float(values[0]) for name, values in found.items()}
        return found

    def errors(self, y: np.ndarray, p: np.ndarray) -> dict[str, np.ndarray]:
        """What each forecast is off by, (n, values) each; see ``_horizon.errors``.

        Raises:
            DataError: Another number of rows or outputs, or forecasts that are not finite.
        """
        y, p = np.asarray(y), checked_outputs(p, y)
        y = y[:, None] if y.ndim == 1 else y
        if p.shape[1] != self.num_outputs or y.shape[1] * len(self.levels) != p.shape[1]:
            raise DataError(
                f"{p.shape[1]} outputs for {y.shape[1]} values; expected {self.num_outputs}"
            )
        return errors(y, p, self.quantiles, self.point)

    def outcomes(
        self, y: np.ndarray, p: np.ndarray | None = None, threshold: Threshold = None
    ) -> list[Outcome]:
        """The whole course: (n, values), and all quantiles of each value."""
        return [Outcome("course", self.outcome, np.asarray(y), p)]

    def target_columns(self, targets: np.ndarray) -> dict[str, np.ndarray]:
        """``target_<name>`` of each value."""
        named = (f"target_{name}" for name in self.names_)
        return dict(zip(named, np.asarray(targets).T, strict=True))

    def prediction_columns(
        self, p: np.ndarray, threshold: Threshold = None
    ) -> dict[str, np.ndarray]:
        """``prediction_<name>`` and ``quantile_0.05_<name>`` of each value, in its units."""
        p = checked_outputs(p)
        columns = (
            f"prediction_{name}" if level == MEDIAN else f"quantile_{level:g}_{name}"
            for name in self.names_
            for level in self.levels
        )
        return dict(zip(columns, p.T, strict=True))

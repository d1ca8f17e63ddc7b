"""Future values of some channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from medkit.evaluation.baselines.baselines import Fitted
from medkit.evaluation.baselines.learned import PastRows
from medkit.evaluation.forecasting.baselines import (
    channel_values,
    fit_forecast_baselines,
    on_grid,
)
from medkit.evaluation.forecasting.forecasts import forecast_of
from medkit.evaluation.groups.group_measures import GroupMeasure, forecast_errors
from medkit.evaluation.methods import Methods, methods
from medkit.tasks.forecasting import Forecasting
from medkit.tasks.scores.courses import channels_of
from medkit.tasks.task import Threshold

if TYPE_CHECKING:
    from medkit.data.inputs import Inputs
    from medkit.evaluation.rows import EvaluatedRows
    from medkit.modalities.encoder import Encoder


@methods.register("course")
class Courses(Methods):
    """Values at each step ahead, with their quantiles."""

    task: Forecasting
    key: str | None = "per_output"
    no_calibration: ClassVar[str] = "of a forecast the coverage at each step ahead says it"
    no_uncertainty: ClassVar[str] = "of a forecast its quantiles say it: see coverage and width"
    undefined: ClassVar[str] = "nothing measured"

    def group_measures(
        self, y: np.ndarray, p: np.ndarray, threshold: Threshold
    ) -> dict[Any, list[GroupMeasure]]:
        """Mean absolute error and bias of each channel."""
        point = p.reshape(*y.shape, -1)[..., self.task.point]
        return {
            name: forecast_errors(y[:, values], point[:, values])
            for name, values in channels_of(self.task.names_).items()
        }

    def baselines(
        self, encoder: Encoder | None, rows: Mapping[str, PastRows], y: Mapping[str, np.ndarray],
        subjects: np.ndarray, seed: int,
    ) -> tuple[list[Fitted], dict[str, str]]:  # fmt: skip
        """The last value, that of a season ago, and a linear model."""
        if encoder is None:
            raise TypeError("simple forecasts read the channels: the encoder is needed")
        return fit_forecast_baselines(self.task, encoder, rows["train"], y["train"], subjects, seed)

    def details(
        self, rows: EvaluatedRows, baselines: Mapping[str, np.ndarray], absent: Mapping[str, str]
    ) -> dict[str, Any]:
        """Error, coverage and skill at each step ahead."""
        return {"forecast": forecast_of(rows, baselines, absent)}

    def known_course(self, encoder: Encoder, inputs: Inputs) -> dict[str, np.ndarray]:
        """Of channels on a regular grid."""
        return {
            channel: channel_values(encoder, inputs, channel)
            for channel in channels_of(self.task.names_)
            if on_grid(encoder, channel)
        }

    def described(self, y: np.ndarray) -> dict[str, np.ndarray]:
        """Each value, by its name."""
        return dict(zip(self.task.names_, np.asarray(y, float).T, strict=True))

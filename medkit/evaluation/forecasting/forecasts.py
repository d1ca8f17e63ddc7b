"""Forecasts step by step: error, coverage, and skill against the simple forecasts.

``forecast_of`` returns, as JSON has it; MEASURE is ``{"value", "low", "high"[, …]}``::

    {"quantiles": [0.05, 0.5, 0.95],     # [] of a point forecast
     "nominal": 0.9,                     # what ``coverage`` should be; null without an interval
     "resamples": 1000,
     "horizon": [{"target": "HR +6 h", "channel": "HR", "step": "+6 h", "hours": 6.0,
                  "n": 380,              # rows in which it was measured
                  "metrics": {"mae": MEASURE, "rmse", "pinball", "coverage", "width"},
                  "baselines": {"last_value": {"mae": MEASURE, "skill": MEASURE}, …},
                  "not_estimable"?: reason}, …],
     "skill": {"last_value": MEASURE, …},
     "not_estimable": {"seasonal": reason}}

``skill`` is 1 - MAE / MAE of the simple forecast: 1 is perfect, 0 no better, below 0 worse; of
several channels with each error divided by the standard deviation of the channel's training
targets, since their units differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from medkit.evaluation.resampling.intervals import plain, resample_by
from medkit.evaluation.rows import EvaluatedRows
from medkit.tasks.forecasting import Forecasting
from medkit.tasks.scores.courses import ahead, channels_of, pooled
from medkit.tasks.scores.metrics import mean_of_known
from medkit.tasks.scores.ranking import divided
from medkit.tasks.task import fitted

_UNMEASURED = "not measured in these rows"


def forecast_of(
    rows: EvaluatedRows,
    baselines: Mapping[str, np.ndarray] | None = None,
    absent: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Each value ahead with intervals bootstrapped by subject.

    Args:
        rows: Of a forecasting task: targets (n, values), NaN where not measured, and outputs
            (n, values * quantiles).
        baselines: Simple forecasts of the same rows, laid out as ``p``.
        absent: Simple forecast -> why there is none.

    Returns:
        What the head of this file shows.
    """
    task, y, settings = cast(Forecasting, rows.task), np.asarray(rows.y), rows.settings
    own = task.errors(y, rows.p)
    others = {name: task.errors(y, outputs) for name, outputs in (baselines or {}).items()}
    measured = own["measured"].sum(axis=0).astype(int)

    def score(weights: np.ndarray | None) -> dict[str, np.ndarray]:
        return _scores(task, own, others, weights)

    values = {name: float(each[0]) for name, each in score(None).items()}
    resampled = resample_by(score, rows.codes, None, settings.bootstrap, rows.seed)

    def with_interval(name: str) -> dict[str, Any]:
        return {
            "value": values[name],
            **resampled.confidence_interval(name, values[name], settings.confidence),
        }

    horizon = []
    metrics = [metric for metric in ("mae", "rmse", *own) if f"{metric} 0" in values]
    for index, name in enumerate(task.names_):
        of = ahead(name)
        row: dict[str, Any] = {"target": name, "channel": of.channel, "step": of.step,
                               "hours": of.hours, "n": measured[index]}  # fmt: skip
        row["metrics"] = {each: with_interval(f"{each} {index}") for each in dict.fromkeys(metrics)}
        row["baselines"] = {
            other: {each: with_interval(f"{other} {each} {index}") for each in ("mae", "skill")}
            for other in others
        }
        if not measured[index]:
            row["not_estimable"] = _UNMEASURED
        horizon.append(row)
    levels = task.quantiles
    return plain({
        "quantiles": list(levels),
        "nominal": levels[-1] - levels[0] if len(levels) > 1 else None,
        "resamples": settings.bootstrap if resampled.groups is not None else 0,
        "horizon": horizon,
        "skill": {other: with_interval(f"{other} skill") for other in others},
        "not_estimable": dict(absent or {}),
    })  # fmt: skip


def _scores(
    task: Forecasting,
    own: dict[str, np.ndarray],
    others: Mapping[str, dict[str, np.ndarray]],
    weights: np.ndarray | None,
) -> dict[str, np.ndarray]:
    """Name -> (resamples,): ``mae 3`` of the fourth value, ``last_value skill 3`` and the like."""
    each = [[index] for index in range(len(task.names_))]
    channels = list(channels_of(task.names_).values())
    spread = np.array([fitted(task, "spread_")[columns[0]] for columns in channels])
    mine = pooled(own, each, weights)
    overall = _scaled(own, channels, spread, weights)
    found = {
        f"{metric} {index}": values[:, index]
        for metric, values in mine.items()
        for index in range(values.shape[1])
    }
    for name, theirs in others.items():
        absolute = {key: theirs[key] for key in ("mae", "mse", "measured")}
        mae = pooled(absolute, each, weights)["mae"]
        skill = 1 - divided(mine["mae"], mae)
        for index in range(mae.shape[1]):
            found[f"{name} mae {index}"] = mae[:, index]
            found[f"{name} skill {index}"] = skill[:, index]
        found[f"{name} skill"] = 1 - divided(overall, _scaled(theirs, channels, spread, weights))
    return found


def _scaled(
    of_rows: dict[str, np.ndarray],
    channels: list[list[int]],
    spread: np.ndarray,
    weights: np.ndarray | None,
) -> np.ndarray:
    """(resamples,) mean absolute error in standard deviations, mean over the channels."""
    absolute = {key: of_rows[key] for key in ("mae", "mse", "measured")}
    scaled: np.ndarray = mean_of_known(pooled(absolute, channels, weights)["mae"] / spread)
    return scaled

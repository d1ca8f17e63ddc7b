"""Simple forecasts on the same split: the last value, that of a season ago, a linear model.

``fit_forecast_baselines`` returns ``baselines.Fitted``, whose ``predict`` takes ``PastRows``, and
why a forecast could not be made. Names and ``facts`` (part of ``metrics.json``)::

    last_value           {"features", "train_rows", "hyper_parameters": {}, "inner_folds": 0,
                          "filled": 0.02}     # share of test forecasts without a value to repeat
    seasonal             the same; "season_hours": 24.0
    linear_regression    as in ``baselines``

Their quantiles are the forecast and the quantiles of what it was off by in the training rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from medkit.core.lazy import pd
from medkit.evaluation.baselines.baselines import Fitted, _matrix, _usable, some_rows
from medkit.evaluation.baselines.inner_folds import inner_folds, threads
from medkit.evaluation.baselines.learned import PastRows
from medkit.evaluation.baselines.linear import preparation
from medkit.tasks.forecasting import Forecasting
from medkit.tasks.scores.courses import ahead, channels_of

if TYPE_CHECKING:
    from medkit.data.inputs import Inputs
    from medkit.modalities.encoder import Encoder

LAST, SEASONAL, LINEAR = "last_value", "seasonal", "linear_regression"

_PENALTIES = np.logspace(-1, 5, 7)
_FOLDS, _FOLDS_IF_LARGE, _LARGE = 5, 3, 500_000
_WINDOW_STEPS = 48  # the last steps of a forecast channel that the linear model sees one by one

Point = Callable[[PastRows], np.ndarray]


def fit_forecast_baselines(
    task: Forecasting,
    encoder: Encoder,
    past: PastRows,
    y: np.ndarray,
    subjects: np.ndarray,
    seed: int,
) -> tuple[list[Fitted], dict[str, str]]:
    """Fit them on the training rows.

    The last value of the channel within the window (the training mean of the target where there
    is none), and the value at the same phase of the latest season that lies wholly before the
    forecast: Hyndman and Athanasopoulos, Forecasting: principles and practice, chapter 5.2.
    Ridge regression takes the summary features and the filled window of the channels that are
    forecast; its penalty is chosen by cross-validation grouped by subject.

    Args:
        task: The fitted forecasting task.
        encoder: The fitted encoder.
        past: Training rows.
        y: (n, values) their targets, NaN where not measured.
        subjects: (n,) subject of each row.
        seed: Seed of the folds.

    Returns:
        The baselines, and for each that cannot be made the reason.
    """
    rows = some_rows(len(y), seed)
    past, y = past.take(rows), np.asarray(y, dtype=np.float64)[rows]
    subjects = np.asarray(subjects)[rows]
    targets = [ahead(name) for name in task.names_]
    mean = np.nanmean(y, axis=0)
    fitted, absent = [], {}
    unknown = sorted(each for each in {t.channel for t in targets} if not encoder.holding([each]))
    if unknown:
        reason = f"no input channel is called {', '.join(unknown[:6])}"
        absent = {LAST: reason, SEASONAL: reason}
    else:
        fitted.append(_naive(task, LAST, _LastValue(task, encoder, mean), past, y))
        seasonal = _Seasonal(task, encoder, mean)
        if seasonal.not_estimable:
            absent[SEASONAL] = seasonal.not_estimable
        else:
            fitted.append(_naive(task, SEASONAL, seasonal, past, y))
    fitted.append(_linear(task, encoder, past, y, subjects, seed))
    return fitted, absent


def channel_values(encoder: Encoder, inputs: Inputs, channel: str) -> np.ndarray:
    """(n, steps) one channel's values in the order of time, NaN where not measured."""
    source = encoder.holding([channel])
    assert source is not None  # noqa: S101 - asked of channels that an input has
    return encoder.modalities[source].course(np.asarray(inputs[source]), channel)


def on_grid(encoder: Encoder, channel: str) -> bool:
    """Whether an input has this channel, at regular steps."""
    source = encoder.holding([channel])
    return source is not None and encoder.modalities[source].regular


def last_measured(values: np.ndarray) -> np.ndarray:
    """(n, steps) -> (n,) the last value that is not NaN; NaN where there is none."""
    return _filled(values)[:, -1]


class _LastValue:
    def __init__(self, task: Forecasting, encoder: Encoder, mean: np.ndarray):
        self.task, self.encoder, self.mean = task, encoder, mean
        self.facts: dict[str, Any] = {}

    def measured(self, rows: PastRows) -> np.ndarray:
        """(n, values), NaN where there is nothing to repeat."""
        last = {
            channel: last_measured(channel_values(self.encoder, rows.inputs, channel))
            for channel in channels_of(self.task.names_)
        }
        return np.column_stack([last[ahead(name).channel] for name in self.task.names_])

    def __call__(self, rows: PastRows) -> np.ndarray:
        found = self.measured(rows)
        return np.where(np.isnan(found), self.mean, found)


class _Seasonal(_LastValue):
    """The value one season before what is forecast, else the last value, else the mean."""

    def __init__(self, task: Forecasting, encoder: Encoder, mean: np.ndarray):
        super().__init__(task, encoder, mean)
        self.facts = {"season_hours": task.season_hours}
        self.steps: list[int] = []
        self.not_estimable = self._find()

    def _find(self) -> str | None:
        task = self.task
        if not all(on_grid(self.encoder, each) for each in channels_of(task.names_)):
            return "the inputs lie on no grid of time steps"
        if task.step_hours is None:
            return "the length of an input step is not known: set task.step_hours"
        for name in task.names_:
            hours = ahead(name).hours
            if hours is None:
                return f"'{name}' does not say how far ahead it is, as in 'HR +6 h'"
            season = task.season_hours
            past = hours - season * np.ceil(hours / season - 1e-9)  # at most 0
            back = past / task.step_hours
            source = self.encoder.holding([ahead(name).channel])
            steps = self.encoder.modalities[str(source)].input_shape_[0]
            if abs(back - round(back)) > 1e-6:
                return f"{name} less {season:g} h lies between two input steps"
            position = steps - 1 + round(back)
            if position < 0:
                window = steps * task.step_hours
                return f"a season of {season:g} h is longer than the window of {window:g} h"
            self.steps.append(position)
        return None

    def measured(self, rows: PastRows) -> np.ndarray:
        last = super().measured(rows)
        found = np.column_stack([
            channel_values(self.encoder, rows.inputs, ahead(name).channel)[:, step]
            for name, step in zip(self.task.names_, self.steps, strict=True)
        ])  # fmt: skip
        return np.where(np.isnan(found), last, found)


def _naive(
    task: Forecasting, name: str, point: _LastValue, past: PastRows, y: np.ndarray
) -> Fitted:
    predict = _with_quantiles(task, point, y - point(past))
    filled = float(np.isnan(point.measured(past)).mean())
    facts = {"features": len(channels_of(task.names_)),
             "train_rows": len(y), "hyper_parameters": {}, "inner_folds": 0,
             "filled": filled, **point.facts}  # fmt: skip
    return Fitted(name, predict, None, facts)


def _with_quantiles(
    task: Forecasting, point: Point, off: np.ndarray
) -> Callable[[Any], np.ndarray]:
    """The point forecast and its quantiles, laid out as the network's output.

    Args:
        task: The fitted task.
        point: Rows -> (n, values).
        off: (rows, values) what the point forecast was off by, target minus forecast, NaN unknown.
    """
    levels, middle = np.asarray(task.levels), task.point
    spread = np.nan_to_num(np.nanquantile(off, levels, axis=0))  # (quantiles, values)
    # The point forecast stays what it is, and the quantiles in order, biased as it may be.
    spread[:middle] = np.minimum(spread[:middle], 0.0)
    spread[middle] = 0.0
    spread[middle + 1 :] = np.maximum(spread[middle + 1 :], 0.0)

    def predict(rows: PastRows) -> np.ndarray:
        found = point(rows)
        return (found[:, :, None] + spread.T).reshape(len(found), -1)

    return predict


def _linear(
    task: Forecasting,
    encoder: Encoder,
    past: PastRows,
    y: np.ndarray,
    subjects: np.ndarray,
    seed: int,
) -> Fitted:
    """Ridge regression of every value; Hoerl and Kennard, Technometrics 12, 1970."""
    known = [each for each in channels_of(task.names_) if on_grid(encoder, each)]

    def columns(rows: PastRows) -> np.ndarray:
        windows = [_filled(channel_values(encoder, rows.inputs, each)) for each in known]
        return _matrix(np.column_stack([np.asarray(rows.features, dtype=float), *windows]))

    x = columns(past)
    filled = np.where(np.isnan(y), np.nanmean(y, axis=0), y)
    usable = _usable(x, filled, regression=True)
    x = x[:, usable]
    large = x.size * y.shape[1] > _LARGE
    folds = inner_folds(filled, subjects, _FOLDS_IF_LARGE if large else _FOLDS, seed)
    with threads(x):
        penalty, held, facts = _chosen(x, y, folds)
        model = _ridge(x, y, np.array([penalty]))

        def point(rows: PastRows) -> np.ndarray:
            return model(columns(rows)[:, usable])[0]

        off = y - (model(x)[0] if held is None else held)
    facts = {"features": len(usable), "train_rows": len(x), **facts}
    return Fitted(LINEAR, _with_quantiles(task, point, off), None, facts)


def _filled(values: np.ndarray) -> np.ndarray:
    """The last steps (n, up to 48), each gap filled with the value before it."""
    return np.asarray(pd.DataFrame(values).ffill(axis=1))[:, -_WINDOW_STEPS:]


def _chosen(
    x: np.ndarray, y: np.ndarray, folds: list[tuple[np.ndarray, np.ndarray]]
) -> tuple[float, np.ndarray | None, dict[str, Any]]:
    """Penalty, its held-out forecasts (n, values), and what to report of the choice."""
    facts: dict[str, Any] = {"inner_folds": len(folds), "candidates": len(_PENALTIES),
                             "search_rows": len(x)}  # fmt: skip
    if not folds or not x.shape[1]:
        penalty, note = 1.0, "too few subjects for inner cross-validation: default settings"
        note = note if x.shape[1] else "no feature varies: the means are forecast"
        facts |= {"hyper_parameters": {"alpha": penalty}, "inner_folds": 0, "inner_loss": None,
                  "note": note}  # fmt: skip
        return penalty, None, facts
    held = np.full((len(_PENALTIES), *y.shape), np.nan)
    for fitted, rest in folds:
        held[:, rest] = _ridge(x[fitted], y[fitted], _PENALTIES)(x[rest])
    squares = np.nanmean((held - y) ** 2, axis=1)
    relative = np.nanmean(squares / np.maximum(np.nanvar(y, axis=0), 1e-12), axis=1)
    best = int(np.argmin(relative))
    penalty = float(_PENALTIES[best])
    facts |= {"hyper_parameters": {"alpha": penalty}, "inner_loss": float(relative[best])}
    return penalty, held[best], facts


def _ridge(
    x: np.ndarray, y: np.ndarray, penalties: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Rows -> (penalties, n, values); each value is fitted on the rows in which it was measured."""
    from sklearn.linear_model import Ridge

    count = len(penalties)
    models: list[tuple[list[int], Any]] = []
    prepared = preparation().fit(x) if x.shape[1] else None
    z = prepared.transform(x) if prepared else x
    for columns in _alike(~np.isnan(y)).values():
        rows = ~np.isnan(y[:, columns[0]])
        truth = y[np.ix_(rows, columns)]
        if len(truth) < 2 or prepared is None:
            models.append((columns, truth.mean(axis=0) if len(truth) else np.nan))
            continue
        # One factorization serves all penalties and values.
        model = Ridge(alpha=np.repeat(penalties, len(columns)), solver="cholesky")
        models.append((columns, model.fit(z[rows], np.tile(truth, count))))

    def predict(rows: np.ndarray) -> np.ndarray:
        ready = prepared.transform(rows) if prepared else rows
        found = np.empty((count, len(rows), y.shape[1]))
        for columns, model in models:
            if hasattr(model, "predict"):
                flat = np.asarray(model.predict(ready)).reshape(len(rows), count, len(columns))
                found[:, :, columns] = flat.transpose(1, 0, 2)
            else:
                found[:, :, columns] = model
        return found

    return predict


def _alike(measured: np.ndarray) -> Mapping[bytes, list[int]]:
    """Columns measured in the same rows, together."""
    found: dict[bytes, list[int]] = {}
    for column in range(measured.shape[1]):
        found.setdefault(measured[:, column].tobytes(), []).append(column)
    return found

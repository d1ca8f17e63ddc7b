"""A forecast drawn and told: some of them with their interval, and error by step ahead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from medkit.evaluation.forecasting.baselines import LINEAR
from medkit.report.drawing import BLUE, CYCLE, GREY, INK, REFERENCE, Figure, draw, plottable
from medkit.report.figures import largest, typical
from medkit.report.inputs import ReportInputs
from medkit.report.outcome import Level, OutcomeReport, outcome_reports
from medkit.report.section import section
from medkit.report.templates import count, estimate, label, percent, readable, sentence
from medkit.tasks.forecasting import Forecasting
from medkit.tasks.scores.courses import HOURS, channels_of

_MOST_CHANNELS = 4
_MOST_ROWS = 60
_PAST = 4  # horizons of the past that are drawn, so that the forecast has room


@section("forecast", "Forecast", 60, kinds=("course",), external=True)
def forecast_section(inputs: ReportInputs) -> dict[str, Any] | None:
    """What the page tells of ``metrics["test"]["forecast"]``.

    Returns:
        ``{"fans", "figures", "caption", "head", "rows", "skill", "absent", "left_out"}``; None
        without it.
    """
    found = inputs.metrics["test"].get("forecast")
    if not found:
        return None
    steps = found["horizon"]
    channels = channels_of([row["target"] for row in steps])
    alt = list(channels.items())[:_MOST_CHANNELS]
    of_channel = {name: [steps[i] for i in columns] for name, columns in alt}
    figures = []
    for number, (name, rows) in enumerate(of_channel.items()):
        figures += step_figures(f"step{number}", name, {"Network": rows}, found["nominal"])
    interval_of = f"{percent(found['nominal'], 0)} interval" if found["nominal"] else ""
    head, rows = _table(found)
    return {
        "fans": [f for i, (name, columns) in enumerate(alt)
                 for f in _fans(inputs, i, name, columns, interval_of)],
        "figures": figures,
        "nominal": interval_of,
        "head": head,
        "rows": rows,
        "skill": [
            [label(name), estimate(each)] for name, each in (found.get("skill") or {}).items()
        ],
        "absent": [f"{label(name)}: not estimable, {reason}"
                   for name, reason in (found.get("not_estimable") or {}).items()],
        "left_out": max(len(channels) - _MOST_CHANNELS, 0),
    }  # fmt: skip


def _table(found: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    steps = found["horizon"]
    # Room for some metrics and intervals only; all are in metrics.json.
    metrics = [each for each in ("mae", "coverage", "width") if each in steps[0]["metrics"]]
    others = [each for each in steps[0]["baselines"] if each != LINEAR]
    head = ["Forecast of", "n", *("MAE" if each == "mae" else label(each) for each in metrics)]
    head += [f"Skill against {label(each, capital=False)}" for each in others]
    rows = [
        [
            row["target"],
            count(row["n"]),
            *(_cell(each, row["metrics"][each]) for each in metrics),
            *(estimate(row["baselines"][each]["skill"]) for each in others),
        ]
        for row in steps[:_MOST_ROWS]
    ]
    return head, rows


def _cell(metric: str, found: Mapping[str, Any]) -> str:
    return readable(found["value"]) if metric == "width" else estimate(found)


def step_figures(
    key: str, channel: str, runs: Mapping[str, Sequence[Mapping[str, Any]]], nominal: float | None
) -> list[Figure]:
    """Mean absolute error and coverage at each step ahead.

    Args:
        key: Prefix of the element ids, unique in the page.
        channel: What is forecast.
        runs: Name -> rows of ``horizon`` of that channel; of one alone its baselines are drawn too.
        nominal: What the coverage should be; None without an interval.
    """
    first = next(iter(runs.values()))
    at, unit = _ahead(first)
    lines = {name: [row["metrics"]["mae"] for row in rows] for name, rows in runs.items()}
    if len(runs) == 1:
        for other in first[0]["baselines"]:
            lines[label(other)] = [row["baselines"][other]["mae"] for row in first]
    alt = "; ".join(
        f"{name} {readable(each[0]['value'])} to {readable(each[-1]['value'])}"
        for name, each in lines.items()
    )
    ends = f"from {first[0]['step'] or 'the first'} to {first[-1]['step'] or 'the last'}"
    figures = [
        draw(
            f"{key}-error",
            f"{channel}: error by step ahead",
            "Mean absolute error of the point forecast, lower is better. Bars: interval.",
            f"Mean absolute error of {channel} {ends}: {alt}",
            lambda axes: _lines(axes, at, unit, lines, f"MAE of {channel}"),
        )
    ]
    if nominal is None:
        return figures
    coverage = {name: [row["metrics"]["coverage"] for row in rows] for name, rows in runs.items()}
    alt = "; ".join(
        f"{name} {percent(each[0]['value'])} to {percent(each[-1]['value'])}"
        for name, each in coverage.items()
    )

    def plot(axes: Any) -> None:
        axes.axhline(nominal, **REFERENCE)
        _lines(axes, at, unit, coverage, "share of values inside")
        axes.set_ylim(min(0.5, axes.get_ylim()[0]), 1.02)

    figures.append(
        draw(
            f"{key}-coverage",
            f"{channel}: coverage by step ahead",
            f"How often the value lay in the {percent(nominal, 0)} interval; dashed: what was "
            "meant. Below it the forecast is too sure of itself.",
            f"Coverage of {channel} {ends}: {alt}; meant were {percent(nominal, 0)}",
            plot,
        )
    )
    return figures


def _ahead(rows: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, str]:
    """How far ahead each row is, and in which unit: that of the names, else numbered."""
    units = {str(row["step"]).rpartition(" ")[2] for row in rows}
    if len(units) == 1 and (unit := units.pop()) in HOURS:
        return np.array([row["hours"] / HOURS[unit] for row in rows]), unit
    return np.arange(1, len(rows) + 1), "step"


def _lines(
    axes: Any,
    at: np.ndarray,
    unit: str,
    lines: Mapping[str, Sequence[Mapping[str, Any]]],
    called: str,
) -> None:
    for (name, measured), colour in zip(lines.items(), CYCLE, strict=False):
        value, low, high = (
            plottable([each[bound] for each in measured]) for bound in ("value", "low", "high")
        )
        axes.plot(at, value, "o-", color=colour, markersize=3, label=name)
        axes.vlines(at, low, high, color=colour, linewidth=0.9)
    axes.set(xlabel=f"ahead ({unit})", ylabel=called)
    if len(lines) > 1:
        axes.legend()


def _fans(
    inputs: ReportInputs, number: int, channel: str, columns: Sequence[int], interval_of: str
) -> list[Figure]:
    """Three test forecasts of a channel, chosen by their place among all, from good to poor."""
    found = inputs.test()
    if found is None:
        return []
    y, p = found
    y = y.reshape(len(y), -1)[:, columns]
    levels = len(_forecasting(inputs).levels)
    p = p.reshape(len(p), -1, levels)[:, columns]
    error = np.abs(y - p[:, :, _forecasting(inputs).point])
    known = ~np.isnan(error)
    mean = np.nansum(error, axis=1) / np.where(known.any(axis=1), known.sum(axis=1), np.nan)
    figures = []
    for called, row in typical(mean, ("a close one", "a middling one", "a poor one")):
        window = inputs.windows[channel][row] if channel in inputs.windows else None
        figures.append(
            _fan(inputs, f"fan{number}-{called.split()[1]}", channel, columns,
                 (called, inputs.sample_name(row)), y[row], p[row], window, interval_of)
        )  # fmt: skip
    return figures


def _fan(
    inputs: ReportInputs, key: str, channel: str, columns: Sequence[int], title: tuple[str, str],
    y: np.ndarray, p: np.ndarray, window: np.ndarray | None, interval_of: str,
) -> Figure:  # fmt: skip
    steps = inputs.metrics["test"]["forecast"]["horizon"]
    at, unit = _ahead([steps[i] for i in columns])
    unit_of = {feature.name: feature.unit for feature in inputs.features}.get(channel)
    point, hours = _forecasting(inputs).point, _forecasting(inputs).step_hours

    def plot(axes: Any) -> None:
        if window is not None and hours is not None and unit in HOURS:
            ago = np.arange(1 - len(window), 1) * hours / HOURS[unit]
            seen = ~np.isnan(window) & (ago >= -_PAST * at[-1])
            axes.plot(ago[seen], window[seen], "-", color=INK, linewidth=1.0)
            axes.axvline(0, color=GREY, linewidth=0.8, linestyle="--")
        if interval_of:
            axes.fill_between(at, p[:, 0], p[:, -1], color=BLUE, alpha=0.2, linewidth=0,
                              label=interval_of)  # fmt: skip
        axes.plot(at, p[:, point], color=BLUE, label="forecast")
        axes.plot(at, y, "o", color=INK, markersize=3, label="measured")
        axes.set(xlabel=f"from the forecast on ({unit})",
                 ylabel=f"{channel} ({unit_of})" if unit_of else channel)  # fmt: skip
        axes.legend(loc="best")

    known = ~np.isnan(y)
    off = readable(float(np.abs(y - p[:, point])[known].mean()))
    alt = f"{channel}: {title[0]} ({title[1]}), {off} off on average over {known.sum()} values"
    caption = f"{title[1].capitalize()}: {off} off on average. Line: what was known before."
    return draw(key, f"{channel}: {title[0]}", caption, alt, plot)


def _forecasting(inputs: ReportInputs) -> Forecasting:
    """The task, which is one that predicts courses."""
    return cast(Forecasting, inputs.task)


@outcome_reports.register("course")
class Course(OutcomeReport):
    """Future values of one or several channels, with or without quantiles."""

    unweighted = "The outcome is a measured number: it has no classes."

    def errors(self, hashed: Sequence[str]) -> dict[str, Any] | None:
        """The values furthest from their forecast, in standard deviations of the channel."""
        task, course = _forecasting(self.inputs), self.inputs.outcomes[0]
        y, p = course.y, course.p
        point = p.reshape(*y.shape, -1)[:, :, task.point]
        scaled = np.nan_to_num(np.abs(y - point) / np.asarray(task.spread_), nan=-1.0)
        rows = [
            [hashed[row], str(task.names_[column]), readable(float(y[row, column])),
             readable(float(point[row, column])),
             readable(float(y[row, column] - point[row, column]))]
            for row, column in largest(scaled)
            if scaled[row, column] >= 0
        ]  # fmt: skip
        head = ["Sample", "Forecast of", "Measured", "Forecast", "Difference"]
        caption = f"The values of {self.inputs.where} that were furthest from their forecast."
        return {"head": head, "rows": rows, "caption": caption}

    def words(self) -> list[str]:
        """The mean absolute error, of each channel by itself: a mean over units means nothing."""
        metrics = self.inputs.metrics["test"]["metrics"]
        each = {
            channel: metrics[f"mae_{channel}"]["value"]
            for channel in channels_of(self.inputs.task.names_)
            if f"mae_{channel}" in metrics
        }
        if each:
            listed = ", ".join(f"{readable(value)} of {name}" for name, value in each.items())
            return [f"On average a forecast is away from the measured value by: {listed}."]
        error = metrics.get("mae", {}).get("value")
        if error is None:
            return []
        return [f"On average a forecast is {readable(error)} away from the measured value."]

    def output(self) -> str:
        """The future values, alone or with their quantiles."""
        levels = ", ".join(f"{100 * each:g}" for each in _forecasting(self.inputs).quantiles)
        what = f"with its quantiles ({levels} %)" if levels else "alone"
        return sentence(f"The outputs are the future values, each {what}, in the unit of what is "
                        "measured; there is no threshold")  # fmt: skip

    def measures(self) -> list[str]:
        """Each step ahead."""
        return ["the forecast at each step ahead"]

    def calibrated(self) -> tuple[Level, str]:
        """Coverage stands for it, where there are quantiles."""
        text = "Of a forecast the error and, with quantiles, the coverage at each step ahead are."
        return "good" if _forecasting(self.inputs).quantiles else "unsure", text

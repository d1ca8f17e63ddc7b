"""The curves of several runs on one pair of axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from medkit.evaluation import called
from medkit.evaluation.calibration.smooth import Loess, drawn_rows
from medkit.report.drawing import CYCLE, GREY, Figure, draw, thinned, unit_square
from medkit.report.figures import discrimination, roc_points
from medkit.report.sections.forecast import step_figures
from medkit.report.templates import readable
from medkit.tasks.scores.courses import channels_of
from medkit.workflows.compare.rows import TestRows

_MOST_RUNS = len(CYCLE)
_MOST_OUTCOMES = 4


def curves(rows: Sequence[TestRows]) -> list[Figure]:
    """ROC, precision and recall, and calibration; of numbers, how large the errors are."""
    rows = rows[:_MOST_RUNS]
    task = rows[0].run.task
    if task.kind == "regression":
        return _error_curves(rows)
    if task.kind == "forecasting":
        return _by_step(rows)
    if task.kind == "binary":
        drawn = [(each.label, each.y.ravel().astype(float), each.p[:, 0]) for each in rows]
        figures = discrimination(drawn, [each.run.threshold for each in rows], _said(rows))
        return [*figures, *_calibration("calibration", "Calibration", drawn)]
    return _one_against_rest(rows)


def _said(rows: Sequence[TestRows]) -> str:
    """What the curves show, for those who do not see them."""
    found = []
    for each in rows:
        metrics = each.run.metrics["test"]["metrics"]
        named = [name for name in ("auroc", "auprc", "auroc_macro") if name in metrics]
        values = ", ".join(f"{called(name)} {readable(metrics[name]['value'])}" for name in named)
        found.append(f"{each.label}: {values}")
    return "; ".join(found)


def _one_against_rest(rows: Sequence[TestRows]) -> list[Figure]:
    """A ROC curve and a calibration curve for each of the first classes or labels."""
    task = rows[0].run.task
    names = [str(each) for each in (task.classes_ if task.kind == "multiclass" else task.labels_)]
    ranking, calibrated = [], []
    for i, name in enumerate(names[:_MOST_OUTCOMES]):
        drawn = []
        for each in rows:
            truth = each.y == i if task.kind == "multiclass" else each.y[:, i]
            drawn.append((each.label, np.asarray(truth, dtype=float).ravel(), each.p[:, i]))
        ranking += _roc(f"roc-{i}", f"ROC curve of {name}", drawn)
        calibrated += _calibration(f"calibration-{i}", f"Calibration of {name}", drawn)
    return [*ranking, *calibrated]


def _roc(
    name: str, title: str, drawn: Sequence[tuple[str, np.ndarray, np.ndarray]]
) -> list[Figure]:
    known = [each for each in drawn if 0 < each[1].sum() < len(each[1])]
    if not known:
        return []

    def plot(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle="--")
        for (label, y, p), colour in zip(known, CYCLE, strict=False):
            axes.plot(*thinned(*roc_points(y, p)), color=colour, label=label)
        axes.set(xlabel="1 − specificity", ylabel="sensitivity (recall)")
        unit_square(axes)
        axes.legend(loc="lower right")

    said = f"{title} of {len(known)} runs"
    return [draw(name, title, "Against all others. Dashed: chance.", said, plot)]


def _calibration(
    name: str, title: str, drawn: Sequence[tuple[str, np.ndarray, np.ndarray]]
) -> list[Figure]:
    """Smoothed observed share against predicted probability (loess), a line for each run."""
    smoothed = []
    for label, y, p in drawn:
        rows = drawn_rows(len(p))
        if np.ptp(p[rows]) > 0:
            curve = Loess(p[rows], y[rows])
            share = np.clip(curve.fit(np.ones(len(p[rows])))[0], 0, 1)
            smoothed.append((label, curve.at, share))
    if not smoothed:
        return []

    def plot(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle="--")
        for (label, at, share), colour in zip(smoothed, CYCLE, strict=False):
            axes.plot(at, share, color=colour, label=label)
        axes.set(xlabel="predicted probability", ylabel="observed share")
        unit_square(axes)
        axes.legend(loc="upper left")

    gaps = [f"{label}: {np.nanmax(np.abs(at - share)):.2f}" for label, at, share in smoothed]
    said = f"{title}; largest distance from the dashed line of {'; '.join(gaps)}"
    caption = "On the dashed line probabilities can be taken at their word. Smoothed by loess."
    return [draw(name, title, caption, said, plot)]


def _by_step(rows: Sequence[TestRows]) -> list[Figure]:
    """Error and coverage at each step ahead."""
    found = {each.label: each.run.metrics["test"]["forecast"] for each in rows}
    first = next(iter(found.values()))
    channels = channels_of([row["target"] for row in first["horizon"]])
    figures = []
    for number, (channel, columns) in enumerate(list(channels.items())[:_MOST_OUTCOMES]):
        runs = {
            label: [each["horizon"][index] for index in columns] for label, each in found.items()
        }
        figures += step_figures(f"step{number}", channel, runs, first["nominal"])
    return figures


def _error_curves(rows: Sequence[TestRows]) -> list[Figure]:
    """Share of test rows with an absolute error up to a value (Bi and Bennett, REC, ICML 2003)."""
    task = rows[0].run.task
    width = rows[0].p.shape[1]
    names = task.names_ if len(task.names_) == width else [f"output {i + 1}" for i in range(width)]
    return [_error_curve(i, str(name), rows) for i, name in enumerate(names[:_MOST_OUTCOMES])]


def _error_curve(i: int, name: str, rows: Sequence[TestRows]) -> Figure:
    errors = [np.sort(np.abs(each.y.reshape(len(each.p), -1)[:, i] - each.p[:, i]))
              for each in rows]  # fmt: skip

    def plot(axes: Any) -> None:
        for each, error, colour in zip(rows, errors, CYCLE, strict=False):
            share = np.arange(1, len(error) + 1) / len(error)
            axes.plot(*thinned(error, share), color=colour, label=each.label)
        axes.set(xlabel=f"absolute error of {name}", ylabel="share of the test rows",
                 ylim=(-0.02, 1.02))  # fmt: skip
        axes.legend(loc="lower right")

    medians = "; ".join(
        f"{each.label}: {readable(float(np.median(error)))}"
        for each, error in zip(rows, errors, strict=True)
    )
    caption = "How many rows are predicted at least that closely; the higher, the better."
    said = f"Absolute errors of {name}; medians of {medians}"
    return draw(f"errors-{i}", f"Errors of {name}", caption, said, plot)


def difference_figure(result: dict[str, Any]) -> list[Figure]:
    """The paired differences in the leading metric with their intervals, one above the other."""
    metric = result["metric"]
    labels = {each["run"]: each["label"] for each in result["runs"]}
    shown = [
        (labels[each["run"]], each["metrics"][metric])
        for each in result["comparisons"]
        if each["paired"] and each["metrics"][metric]["difference"] is not None
    ][:20]
    if not shown:
        return []

    def plot(axes: Any) -> None:
        axes.axvline(0, color=GREY, linewidth=0.9, linestyle="--")
        for row, (_, found) in enumerate(shown):
            if found["low"] is not None:
                axes.plot([found["low"], found["high"]], [row, row], color=CYCLE[0])
            axes.plot(found["difference"], row, "o", color=CYCLE[0], markersize=5)
        axes.set(xlabel=f"difference in {called(metric)}", ylim=(len(shown) - 0.5, -0.5))
        axes.set_yticks(range(len(shown)), [label for label, _ in shown])

    reference = labels[result["reference"]]
    said = "; ".join(f"{label} {readable(found['difference'])}" for label, found in shown)
    return [
        draw(
            "differences",
            f"Difference in {called(metric)} from {reference}",
            f"On the same test rows, with {100 * result['confidence']:g}\u00a0% intervals.",
            f"Differences in {called(metric)} from {reference}: {said}",
            plot,
            size=(7.6, 0.9 + 0.3 * len(shown)),
            left=1.6,
            broad=True,
        )
    ]

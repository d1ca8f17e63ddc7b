"""How well the outputs discriminate, as curves: ROC, precision and recall, learning, residuals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medkit.report.drawing import (
    BLUE,
    CYCLE,
    DOTS,
    ORANGE,
    REFERENCE,
    Figure,
    diagonal,
    draw,
    some_rows,
    thinned,
    unit_square,
)  # fmt: skip
from medkit.report.templates import readable
from medkit.tasks.task import Task

_MOST_CURVES = 8
_LISTED = 10  # largest errors
EDGE = 1e-7  # the smallest probability whose logarithm is taken

# Name, (n,) truth, (n,) probability, and the threshold in use if there is one.
Curve = tuple[str, np.ndarray, np.ndarray, float | None]


def areas(task: Task, test: Mapping[str, Any]) -> str:
    """The areas under the curves in words, from the metrics of the test part."""
    found = test["metrics"]
    named = ("auroc", "auprc", "auroc_macro", "auprc_macro")
    return ", ".join(
        f"{task.metric(n).label} {readable(found[n]['value'])}" for n in named if n in found
    )


def typical(values: np.ndarray, names: tuple[str, str, str]) -> list[tuple[str, int]]:
    """A row of low, of middling and of high value with what it is called; NaN are left out."""
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    positions = np.round(np.array([0.1, 0.5, 0.9]) * (len(order) - 1)).astype(int)
    return list(zip(names, order[positions].tolist(), strict=True)) if len(order) else []


def largest(values: np.ndarray) -> list[tuple[int, int]]:
    """(row, column) of the ten largest values, the largest first."""
    order = np.argsort(-values.ravel(), kind="stable")[:_LISTED]
    rows, columns = np.unravel_index(order, values.shape)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def learning_curves(
    history: Mapping[str, Sequence[float]], watched: Mapping[str, str], rising: Sequence[str] = ()
) -> list[Figure]:
    """Loss, and the watched metric, per epoch on train and validation: key -> label.

    Args:
        history: Metric -> its value in each epoch, ``val_`` before those of validation.
        watched: Metric -> what it is called.
        rising: Those of which more is better.
    """
    figures = []
    for metric, called in watched.items():
        if not history.get(metric) or len(history[metric]) < 2:
            continue
        epochs = np.arange(1, len(history[metric]) + 1)

        def plot(
            axes: Any, metric: str = metric, called: str = called, epochs: np.ndarray = epochs
        ) -> None:
            for key, label, colour in (
                (metric, "training", BLUE),
                (f"val_{metric}", "validation", ORANGE),
            ):
                if history.get(key):
                    x, values = thinned(epochs, np.asarray(history[key], float))
                    axes.plot(x, values, color=colour, label=label)
            axes.set_xlabel("epoch")
            axes.set_ylabel(called)
            axes.legend()

        last = history.get(f"val_{metric}", history[metric])[-1]
        alt = f"{metric} over {len(epochs)} epochs; in the last on validation {last:.3g}"
        caption = learned(history, metric, metric in rising)
        figures.append(draw(f"curve-{metric}", f"Learning: {called}", caption, alt, plot))
    return figures


def learned(history: Mapping[str, Sequence[float]], metric: str, rising: bool) -> str:
    """Where validation was best, and what became of it after that."""
    of_valid = np.asarray(history.get(f"val_{metric}", ()), float)
    if not np.isfinite(of_valid).any():
        return "Only training was measured: whether it overfits cannot be seen here."
    best = int(np.nanargmax(of_valid) if rising else np.nanargmin(of_valid))
    last, trained = of_valid[-1], float(history[metric][-1])
    found = (
        f"On validation it was best in epoch {best + 1} of {len(of_valid)} ({of_valid[best]:.3g})"
    )
    if best == len(of_valid) - 1:
        return f"{found}, the last: a longer training may go further."
    if not np.isfinite([last, trained]).all():
        return f"{found}; in the last it was undefined."
    return f"{found}, and {last:.3g} in the last, with {trained:.3g} in training."


def discrimination(curves: Sequence[Curve], alt: str) -> list[Figure]:
    """ROC and precision-recall curves of one or several outcomes or models."""
    from sklearn.metrics import precision_recall_curve

    drawn = drawable(curves)
    if not drawn:
        return []

    def precision(axes: Any) -> None:
        for (name, y, p, mark), colour in zip(drawn, CYCLE, strict=False):
            axes.axhline(y.mean(), **REFERENCE | ({"color": colour} if len(drawn) > 1 else {}))
            share, recall, _ = precision_recall_curve(y, p)
            share, recall = share[:-1], recall[:-1]  # no threshold leads to the last point
            axes.plot(*thinned(recall, share), color=colour, label=name)
            if mark is not None and (p >= mark).any():
                axes.plot(
                    (p[y == 1] >= mark).mean(), y[p >= mark].mean(), "o", color=colour, markersize=5
                )
        axes.set(xlabel="recall (sensitivity)", ylabel="precision")
        unit_square(axes)
        if len(drawn) > 1:
            axes.legend(loc="lower left")

    dot = " Dot: the threshold in use." if any(mark is not None for *_, mark in curves) else ""
    return [
        draw("roc", "ROC curve", f"Dashed: chance.{dot}", f"ROC curve; {alt}",
             lambda axes: plot_roc(axes, drawn)),
        draw(
            "precision-recall",
            "Precision and recall",
            f"Dashed: precision of calling everyone positive.{dot}",
            f"Precision-recall curve; {alt}",
            precision,
        ),
    ]  # fmt: skip


def drawable(curves: Sequence[Curve]) -> list[Curve]:
    """The first curves of which both classes occur."""
    return [each for each in curves if 0 < each[1].sum() < len(each[1])][:_MOST_CURVES]


def plot_roc(axes: Any, drawn: Sequence[Curve]) -> None:
    """ROC curves on one pair of axes."""
    from sklearn.metrics import roc_curve

    diagonal(axes)
    for (name, y, p, mark), colour in zip(drawn, CYCLE, strict=False):
        alarms, hits, _ = roc_curve(y, p, drop_intermediate=False)
        axes.plot(*thinned(alarms, hits), color=colour, label=name)
        if mark is not None:
            alarm, hit = (p[y == 0] >= mark).mean(), (p[y == 1] >= mark).mean()
            axes.plot(alarm, hit, "o", color=colour, markersize=5)
    axes.set(xlabel="1 − specificity", ylabel="sensitivity (recall)")
    unit_square(axes)
    if len(drawn) > 1:
        axes.legend(loc="lower right")


def observed_and_predicted(name: str, label: str, y: np.ndarray, p: np.ndarray) -> list[Figure]:
    """Predicted against observed values, and residuals against predicted values."""
    rows, some = some_rows(len(y))
    residual = y - p

    def values(axes: Any) -> None:
        ends = [min(y.min(), p.min()), max(y.max(), p.max())]
        diagonal(axes, ends)
        axes.plot(p[rows], y[rows], **DOTS)
        axes.set(xlabel=f"predicted {label}", ylabel=f"observed {label}")

    def residuals(axes: Any) -> None:
        axes.axhline(0, **REFERENCE)
        axes.plot(p[rows], residual[rows], **DOTS)
        axes.set(xlabel=f"predicted {label}", ylabel="observed − predicted")

    correlation = np.corrcoef(y, p)[0, 1] if y.std() > 0 and p.std() > 0 else float("nan")
    return [
        draw(
            f"{name}-values",
            "Observed and predicted",
            f"Dashed: perfect prediction.{some}",
            f"Observed against predicted {label}; correlation {correlation:.2f}",
            values,
        ),
        draw(
            f"{name}-residuals",
            "Residuals",
            f"A trend or a funnel shows where the model errs systematically.{some}",
            f"Residuals against predicted {label}; mean {residual.mean():.3g}, "
            f"standard deviation {residual.std():.3g}",
            residuals,
        ),
    ]

"""Figures as inline SVG with a text that says what they show."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medkit.evaluation import called

BLUE, ORANGE, GREY, INK = "#1f5fa8", "#c2571a", "#8a94a0", "#22303c"
_CYCLE = (BLUE, ORANGE, "#2e7d4f", "#8e4585", "#7a6a1c", "#b0344a", "#4a7f9c", "#5b5b9e")
_MOST_CURVES = 8
_MOST_POINTS = 800  # of a scatter plot, so that the page stays small
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: smaller, searchable, in the page's own font
    "svg.hashsalt": "medkit",  # the same figure has the same bytes
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.grid": True,
    "grid.color": "#e4e8ec",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "lines.linewidth": 1.6,
    "path.simplify_threshold": 0.5,
}


@dataclass(frozen=True)
class Figure:
    """A drawn figure.

    Args:
        title: Heading.
        caption: What to read from it.
        svg: The inline ``<svg>`` element, with its alternative text.
    """

    title: str
    caption: str
    svg: str


def draw(
    name: str, title: str, caption: str, alternative: str, plot: Callable[[Any], None]
) -> Figure:
    """Draw one figure of one pair of axes.

    Args:
        name: Unique in the page; prefix of the element ids.
        title: Heading.
        caption: What to read from it.
        alternative: What a reader who cannot see it should know.
        plot: Draws on the axes.
    """
    import matplotlib
    import matplotlib.figure  # no pyplot: no window system, no global state

    with matplotlib.rc_context(_STYLE):
        drawing = matplotlib.figure.Figure(figsize=(3.7, 3.1))
        axes = drawing.add_axes((0.185, 0.15, 0.785, 0.82))  # room for 0.0025 or 1,000
        plot(axes)
        buffer = io.StringIO()
        drawing.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return Figure(title, caption, _inline(buffer.getvalue(), name, alternative))


def _inline(svg: str, name: str, alternative: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # Several figures share one page: their ids must differ.
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    box = re.search(r'viewBox="[^"]*"', svg)
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'{box.group(0) if box else ""} role="img" aria-label="{html.escape(alternative)}">'
    )
    return opening + svg[svg.index(">") + 1 :].strip()


def thinned(*curves: np.ndarray, most: int = 300) -> list[np.ndarray]:
    """Every so many points of long curves, ends kept."""
    count = len(curves[0])
    kept = np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))
    return [curve[kept] for curve in curves]


def roc_points(y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rate at each distinct threshold, from none to all positive."""
    hits, alarms, _ = _cumulated(y, p)
    return alarms / max(alarms[-1], 1), hits / max(hits[-1], 1)


def recall_precision_points(y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision at each distinct threshold."""
    hits, alarms, _ = _cumulated(y, p)
    hits, alarms = hits[1:], alarms[1:]
    return hits / max(hits[-1], 1), hits / (hits + alarms)


def _cumulated(y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    order = np.argsort(-p, kind="stable")
    y, p = y[order], p[order]
    last = np.append(np.flatnonzero(np.diff(p)), len(p) - 1)
    hits, alarms = np.cumsum(y)[last], np.cumsum(1 - y)[last]
    return np.append(0, hits), np.append(0, alarms), np.append(np.inf, p[last])


def calibration_points(
    y: np.ndarray, p: np.ndarray, bins: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean prediction, observed share and its Wilson 95 % bounds in bins of equal size."""
    bins = int(np.clip(len(y) // 10, 2, bins))
    order = np.argsort(p, kind="stable")
    groups = [g for g in np.array_split(order, bins) if len(g)]
    size = np.array([len(g) for g in groups])
    predicted = np.array([p[g].mean() for g in groups])
    share = np.array([y[g].mean() for g in groups])
    z = 1.959964
    centre = (share + z**2 / (2 * size)) / (1 + z**2 / size)
    half = z * np.sqrt(share * (1 - share) / size + z**2 / (4 * size**2)) / (1 + z**2 / size)
    return predicted, share, np.minimum(centre - half, share), np.maximum(centre + half, share)


def learning_curves(history: Mapping[str, Sequence[float]], watched: str) -> list[Figure]:
    """Loss, and the watched metric, per epoch on train and validation."""
    figures = []
    for metric in dict.fromkeys(("loss", watched)):
        if not history.get(metric) or len(history[metric]) < 2:
            continue
        epochs = np.arange(1, len(history[metric]) + 1)

        def plot(axes: Any, metric: str = metric, epochs: np.ndarray = epochs) -> None:
            for key, label, colour in (
                (metric, "training", BLUE),
                (f"val_{metric}", "validation", ORANGE),
            ):
                if history.get(key):
                    x, values = thinned(epochs, np.asarray(history[key], float))
                    axes.plot(x, values, color=colour, label=label)
            axes.set_xlabel("epoch")
            axes.set_ylabel(called(metric))
            axes.legend()

        last = history.get(f"val_{metric}", history[metric])[-1]
        said = f"{metric} over {len(epochs)} epochs; in the last on validation {last:.3g}"
        caption = "Validation far from training, or turning back, is overfitting."
        figures.append(draw(f"curve-{metric}", f"Learning: {called(metric)}", caption, said, plot))
    return figures


def discrimination(
    curves: Sequence[tuple[str, np.ndarray, np.ndarray]], marks: Sequence[float | None], said: str
) -> list[Figure]:
    """ROC and precision-recall curves of one or several (name, y, p); a dot at each threshold."""
    both = [(*curve, mark) for curve, mark in zip(curves, marks, strict=True)]
    drawn = [each for each in both if 0 < each[1].sum() < len(each[1])][:_MOST_CURVES]
    if not drawn:
        return []

    def roc(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle="--")
        for (name, y, p, mark), colour in zip(drawn, _CYCLE, strict=False):
            axes.plot(*thinned(*roc_points(y, p)), color=colour, label=name)
            if mark is not None:
                alarm, hit = (p[y == 0] >= mark).mean(), (p[y == 1] >= mark).mean()
                axes.plot(alarm, hit, "o", color=colour, markersize=5)
        axes.set(xlabel="1 − specificity", ylabel="sensitivity (recall)")
        _unit_square(axes)
        if len(drawn) > 1:
            axes.legend(loc="lower right")

    def precision(axes: Any) -> None:
        for (name, y, p, mark), colour in zip(drawn, _CYCLE, strict=False):
            axes.axhline(y.mean(), color=colour if len(drawn) > 1 else GREY, linewidth=0.9,
                         linestyle="--")  # fmt: skip
            axes.plot(*thinned(*recall_precision_points(y, p)), color=colour, label=name)
            if mark is not None and (p >= mark).any():
                axes.plot(
                    (p[y == 1] >= mark).mean(), y[p >= mark].mean(), "o", color=colour, markersize=5
                )
        axes.set(xlabel="recall (sensitivity)", ylabel="precision")
        _unit_square(axes)
        if len(drawn) > 1:
            axes.legend(loc="lower left")

    dot = " Dot: the threshold in use." if any(mark is not None for mark in marks) else ""
    return [
        draw("roc", "ROC curve", f"Dashed: chance.{dot}", f"ROC curve; {said}", roc),
        draw(
            "precision-recall",
            "Precision and recall",
            f"Dashed: precision of calling everyone positive.{dot}",
            f"Precision-recall curve; {said}",
            precision,
        ),
    ]


def calibration(y: np.ndarray, p: np.ndarray) -> Figure:
    """Observed share against mean predicted probability, in bins of equal size."""
    predicted, share, low, high = calibration_points(y, p)

    def plot(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle="--")
        axes.errorbar(
            predicted, share, yerr=[share - low, high - share], color=BLUE, marker="o",
            markersize=4, linewidth=1.2, elinewidth=0.9,
        )  # fmt: skip
        axes.set(xlabel="mean predicted probability", ylabel="observed share of positives")
        _unit_square(axes)

    gap = float(np.abs(predicted - share).max())
    said = f"Calibration in {len(predicted)} bins; largest gap to the observed share {gap:.2f}"
    caption = "On the dashed line predicted probabilities can be taken at their word. Bars: 95 %."
    return draw("calibration", "Calibration", caption, said, plot)


def _unit_square(axes: Any) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))


def observed_and_predicted(name: str, label: str, y: np.ndarray, p: np.ndarray) -> list[Figure]:
    """Predicted against observed values, and residuals against predicted values."""
    rows = np.arange(len(y))
    if len(rows) > _MOST_POINTS:
        rows = np.sort(np.random.default_rng(0).choice(len(y), _MOST_POINTS, replace=False))
    some = f" {_MOST_POINTS} of {len(y)} rows, at random." if len(rows) < len(y) else ""
    dots = {"color": BLUE, "alpha": 0.55, "markersize": 3.2, "linestyle": "none", "marker": "o",
            "markeredgewidth": 0}  # fmt: skip
    residual = y - p

    def values(axes: Any) -> None:
        ends = [min(y.min(), p.min()), max(y.max(), p.max())]
        axes.plot(ends, ends, color=GREY, linewidth=0.9, linestyle="--")
        axes.plot(p[rows], y[rows], **dots)
        axes.set(xlabel=f"predicted {label}", ylabel=f"observed {label}")

    def residuals(axes: Any) -> None:
        axes.axhline(0, color=GREY, linewidth=0.9, linestyle="--")
        axes.plot(p[rows], residual[rows], **dots)
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

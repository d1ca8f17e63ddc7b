"""Probabilities of several runs: ROC, precision and recall, and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from medkit.evaluation.calibration.smooth import Loess, drawn_rows
from medkit.report.drawing import CYCLE, GREY, Figure, draw, thinned, unit_square
from medkit.report.figures import areas, discrimination, roc_points
from medkit.workflows.compare.curves import MOST_OUTCOMES, compared
from medkit.workflows.compare.rows import TestRows

Drawn = Sequence[tuple[str, np.ndarray, np.ndarray]]  # label of the run, truth, probability


@compared.register("yes_no", "class")
def probability_curves(rows: Sequence[TestRows]) -> list[Figure]:
    """Of a single yes/no all curves; of the first labels or classes ROC and calibration."""
    asked = [[one for of in each.outcomes for one in of.one_by_one()] for each in rows]
    names = [each.name for each in asked[0]]
    labels = [each.label for each in rows]

    def drawn(i: int) -> Drawn:
        return [(label, np.asarray(each[i].y, dtype=float), each[i].p)
                for label, each in zip(labels, asked, strict=True)]  # fmt: skip

    if len(names) == 1:
        alt = "; ".join(
            f"{each.label}: {areas(each.run.task, each.run.metrics['test'])}" for each in rows
        )
        figures = discrimination(drawn(0), [each[0].threshold for each in asked], alt)
        return [*figures, *_calibration("calibration", "Calibration", drawn(0))]
    ranking, calibrated = [], []
    for i, name in enumerate(names[:MOST_OUTCOMES]):
        ranking += _roc(f"roc-{i}", f"ROC curve of {name}", drawn(i))
        calibrated += _calibration(f"calibration-{i}", f"Calibration of {name}", drawn(i))
    return [*ranking, *calibrated]


def _roc(name: str, title: str, drawn: Drawn) -> list[Figure]:
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

    alt = f"{title} of {len(known)} runs"
    return [draw(name, title, "Against all others. Dashed: chance.", alt, plot)]


def _calibration(name: str, title: str, drawn: Drawn) -> list[Figure]:
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
    alt = f"{title}; largest distance from the dashed line of {'; '.join(gaps)}"
    caption = "On the dashed line probabilities can be taken at their word. Smoothed by loess."
    return [draw(name, title, caption, alt, plot)]

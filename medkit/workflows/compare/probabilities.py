"""Probabilities of several runs: ROC, precision and recall, and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from medkit.evaluation.calibration.smooth import Loess, drawn_rows
from medkit.report.drawing import CYCLE, Figure, diagonal, draw, unit_square
from medkit.report.figures import Curve, areas, discrimination, drawable, plot_roc
from medkit.workflows.compare.curves import MOST_OUTCOMES, compared
from medkit.workflows.compare.rows import TestRows


@compared.register("yes_no", "class")
def probability_curves(rows: Sequence[TestRows]) -> list[Figure]:
    """Of a single yes/no all curves; of the first labels or classes ROC and calibration."""
    asked = [[one for of in each.outcomes for one in of.one_by_one()] for each in rows]
    names = [each.name for each in asked[0]]
    labels = [each.label for each in rows]

    def drawn(i: int) -> list[Curve]:
        single = len(names) == 1
        return [(label, each[i].y.astype(float), each[i].p, each[i].threshold if single else None)
                for label, each in zip(labels, asked, strict=True)]  # fmt: skip

    if len(names) == 1:
        alt = "; ".join(
            f"{each.label}: {areas(each.run.task, each.run.metrics['test'])}" for each in rows
        )
        figures = discrimination(drawn(0), alt)
        return [*figures, *_calibration("calibration", "Calibration", drawn(0))]
    ranking, calibrated = [], []
    for i, name in enumerate(names[:MOST_OUTCOMES]):
        ranking += _roc(f"roc-{i}", f"ROC curve of {name}", drawable(drawn(i)))
        calibrated += _calibration(f"calibration-{i}", f"Calibration of {name}", drawn(i))
    return [*ranking, *calibrated]


def _roc(key: str, title: str, drawn: Sequence[Curve]) -> list[Figure]:
    alt, caption = f"{title} of {len(drawn)} runs", "Against all others. Dashed: chance."
    return [draw(key, title, caption, alt, lambda axes: plot_roc(axes, drawn))] if drawn else []


def _calibration(name: str, title: str, drawn: Sequence[Curve]) -> list[Figure]:
    """Smoothed observed share against predicted probability (loess), a line for each run."""
    smoothed = []
    for label, y, p, _ in drawn:
        rows = drawn_rows(len(p))
        if np.ptp(p[rows]) > 0:
            curve = Loess(p[rows], y[rows])
            share = np.clip(curve.fit(np.ones(len(p[rows])))[0], 0, 1)
            smoothed.append((label, curve.at, share))
    if not smoothed:
        return []

    def plot(axes: Any) -> None:
        diagonal(axes)
        for (label, at, share), colour in zip(smoothed, CYCLE, strict=False):
            axes.plot(at, share, color=colour, label=label)
        axes.set(xlabel="predicted probability", ylabel="observed share")
        unit_square(axes)
        axes.legend(loc="upper left")

    gaps = [f"{label}: {np.nanmax(np.abs(at - share)):.2f}" for label, at, share in smoothed]
    alt = f"{title}; largest distance from the dashed line of {'; '.join(gaps)}"
    caption = "On the dashed line probabilities can be taken at their word. Smoothed by loess."
    return [draw(name, title, caption, alt, plot)]

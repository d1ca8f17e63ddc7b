"""Numbers that several runs predicted: how large the errors are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from medkit.report.drawing import CYCLE, Figure, draw, thinned
from medkit.report.templates import readable
from medkit.workflows.compare.curves import MOST_OUTCOMES, compared
from medkit.workflows.compare.rows import TestRows


@compared.register("number")
def error_curves(rows: Sequence[TestRows]) -> list[Figure]:
    """Share of test rows with an absolute error up to a value (Bi and Bennett, REC, ICML 2003)."""
    names = [each.name for each in rows[0].outcomes]
    return [_error_curve(i, name, rows) for i, name in enumerate(names[:MOST_OUTCOMES])]


def _error_curve(i: int, name: str, rows: Sequence[TestRows]) -> Figure:
    found = [each.outcomes[i] for each in rows]
    errors = [np.sort(np.abs(each.y - each.p)) for each in found]

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
    alt = f"Absolute errors of {name}; medians of {medians}"
    return draw(f"errors-{i}", f"Errors of {name}", caption, alt, plot)

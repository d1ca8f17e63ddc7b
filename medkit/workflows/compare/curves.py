"""What is drawn of several runs on one pair of axes, by their kind of outcome."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from medkit.core.by_outcome import ByOutcome
from medkit.report.drawing import CYCLE, REFERENCE, Figure, draw
from medkit.report.templates import readable
from medkit.tasks.outcomes import Metric
from medkit.workflows.compare.rows import TestRows

MOST_OUTCOMES = 4
_MOST_RUNS = len(CYCLE)

compared: ByOutcome[Callable[[Sequence[TestRows]], list[Figure]]] = ByOutcome(
    "figures of a comparison", "medkit.workflows.compare"
)


def curves(rows: Sequence[TestRows]) -> list[Figure]:
    """The curves of the first runs; none of a kind of outcome that nobody draws."""
    drawn = compared.get(rows[0].run.task.outcome)
    return [] if drawn is None else drawn(rows[:_MOST_RUNS])


def difference_figure(result: dict[str, Any], metric: Metric) -> list[Figure]:
    """The paired differences in the leading metric with their intervals, one above the other."""
    labels = {each["run"]: each["label"] for each in result["runs"]}
    shown = [
        (labels[each["run"]], each["metrics"][metric.name])
        for each in result["comparisons"]
        if each["paired"] and each["metrics"][metric.name]["difference"] is not None
    ][:20]
    if not shown:
        return []

    def plot(axes: Any) -> None:
        axes.axvline(0, **REFERENCE)
        for row, (_, found) in enumerate(shown):
            if found["low"] is not None:
                axes.plot([found["low"], found["high"]], [row, row], color=CYCLE[0])
            axes.plot(found["difference"], row, "o", color=CYCLE[0], markersize=5)
        axes.set(xlabel=f"difference in {metric.label}", ylim=(len(shown) - 0.5, -0.5))
        axes.set_yticks(range(len(shown)), [label for label, _ in shown])

    reference = labels[result["reference"]]
    alt = "; ".join(f"{label} {readable(found['difference'])}" for label, found in shown)
    return [
        draw(
            "differences",
            f"Difference in {metric.label} from {reference}",
            f"On the same test rows, with {100 * result['confidence']:g}\u00a0% intervals.",
            f"Differences in {metric.label} from {reference}: {alt}",
            plot,
            size=(7.6, 0.9 + 0.3 * len(shown)),
            left=1.6,
            broad=True,
        )
    ]

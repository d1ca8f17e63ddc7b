"""Forecasts of several runs: error and coverage at each step ahead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from medkit.report.drawing import Figure
from medkit.report.sections.forecast import step_figures
from medkit.tasks.scores.courses import channels_of
from medkit.workflows.compare.curves import MOST_OUTCOMES, compared
from medkit.workflows.compare.rows import TestRows


@compared.register("course")
def by_step(rows: Sequence[TestRows]) -> list[Figure]:
    """Error and coverage at each step ahead."""
    parts = {each.label: cast(dict[str, Any], each.run.metrics["test"]) for each in rows}
    found = {label: part["forecast"] for label, part in parts.items()}
    first = next(iter(found.values()))
    channels = channels_of([row["target"] for row in first["horizon"]])
    figures = []
    for number, (channel, columns) in enumerate(list(channels.items())[:MOST_OUTCOMES]):
        runs = {
            label: [each["horizon"][index] for index in columns] for label, each in found.items()
        }
        figures += step_figures(f"step{number}", channel, runs, first["nominal"])
    return figures

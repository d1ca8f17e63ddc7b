"""Outcomes that are numbers: predicted beside observed, the largest residuals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from medkit.report import figures
from medkit.report.drawing import Figure
from medkit.report.outcome import OutcomeReport, outcome_reports
from medkit.report.templates import readable

_MOST_DRAWN = 4


@outcome_reports.register("number")
class NumbersReport(OutcomeReport):
    """One or several measured numbers."""

    unweighted = "The outcome is a measured number: it has no classes."
    region = "interval"

    def figures(self) -> list[Figure]:
        """Predicted against observed values, and residuals."""
        drawn: list[Figure] = []
        named = bool(self.inputs.target_names)
        for i, each in enumerate(self.inputs.outcomes[:_MOST_DRAWN]):
            label = each.name if named else "value"
            drawn += figures.observed_and_predicted(f"output{i}", label, each.y, each.p)
        return drawn

    def errors(self, hashed: Sequence[str]) -> dict[str, Any] | None:
        """The largest residuals, in standard deviations of each output."""
        outcomes = self.inputs.outcomes
        residuals = np.stack([each.y - each.p for each in outcomes], axis=1)
        spread = residuals.std(axis=0)
        several = len(outcomes) > 1
        rows = []
        for row, i in figures.largest(np.abs(residuals) / np.where(spread > 0, spread, 1)):
            values = (outcomes[i].y[row], outcomes[i].p[row], residuals[row, i])
            rows.append([hashed[row], *([outcomes[i].name] if several else []),
                         *(readable(float(each)) for each in values)])  # fmt: skip
        head = ["Sample", *(["Output"] if several else []), "Observed", "Predicted",
                "Observed − predicted"]  # fmt: skip
        return {"head": head, "rows": rows, "caption": "Largest errors on the test part."}

    def words(self) -> list[str]:
        """The mean absolute error."""
        error = self.inputs.metrics["test"]["metrics"].get("mae", {}).get("value")
        if error is None:
            return []
        return [f"On average a prediction is {readable(error)} away from the measured value."]

    def output(self) -> str:
        """The value itself."""
        return "The output is the predicted value in the outcome's own unit; there is no threshold."

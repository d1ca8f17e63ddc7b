"""What the pages say of outcomes of one kind, found as the sections are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from medkit.core.by_outcome import ByOutcome
from medkit.report.drawing import Figure
from medkit.report.inputs import ReportInputs
from medkit.report.section import PACKAGE

Level = Literal["good", "unsure", "bad", "unknown"]  # of a signal of bias


class OutcomeReport:
    """One kind of outcome on the pages.

    This class is also what is said of a kind that nobody registered: its metrics stand in the
    tables, and nothing is drawn or concluded from them.

    Args:
        inputs: What the page is made from.
    """

    #: Why no class can be rare; empty where an outcome is one of several classes.
    unweighted = ""
    #: What is said of a sample that counts: ``42 positive``.
    positive = "positive"
    #: What conformal prediction gives of it.
    region = "set"

    def __init__(self, inputs: ReportInputs):
        self.inputs = inputs

    def figures(self) -> list[Figure]:
        """How well the network does on the test part."""
        return []

    def confusion(self) -> dict[str, Any] | None:
        """Counts by observed and predicted class: ``{"names", "rows": [[(n, share), …], …]}``."""
        return None

    def largest_errors(self) -> dict[str, Any] | None:
        """Which test samples to look at; None where they are not named."""
        hashed = self.inputs.test_hashes()
        return None if hashed is None or not self.inputs.outcomes else self.errors(hashed)

    def errors(self, hashed: Sequence[str]) -> dict[str, Any] | None:
        """The same by the samples' names: ``{"head": [text], "rows": [[text]], "caption"}``."""
        return None

    def words(self) -> list[str]:
        """The result in sentences that need no statistics."""
        return []

    def output(self) -> str:
        """What the model returns, and where a threshold came from."""
        return ""

    def measures(self) -> list[str]:
        """What is measured of the test part beside the metrics."""
        test = self.inputs.metrics["test"]
        named = ("calibration", "decisions", "uncertainty")
        return [name for name in named if (test.get(name) or {}).get("not_estimable") is None
                and test.get(name)]  # fmt: skip

    def calibrated(self) -> tuple[Level, str]:
        """Whether calibration is reported beside discrimination: level of a signal, and text."""
        found = self.inputs.metrics["test"].get("calibration") or {}
        if found.get("not_estimable"):
            return "unsure", f"Calibration is not estimable: {found['not_estimable']}."
        if found:
            return "good", "Both are, with intervals."
        return "unsure", "No calibration was measured."


outcome_reports: ByOutcome[type[OutcomeReport]] = ByOutcome("report", PACKAGE)


def outcome_report(inputs: ReportInputs) -> OutcomeReport:
    """What the pages say of the task's outcomes, by their kind."""
    return (outcome_reports.get(inputs.task.outcome) or OutcomeReport)(inputs)

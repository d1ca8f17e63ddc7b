"""The test samples to look at, named by hash."""

from __future__ import annotations

from typing import Any

from medkit.report.inputs import ReportInputs
from medkit.report.outcome import outcome_report
from medkit.report.section import section


@section("errors", "Largest errors", 130)
def largest_errors(inputs: ReportInputs) -> dict[str, Any] | None:
    """At most ten; None where the samples are not named or the kind of outcome is unknown."""
    return outcome_report(inputs).largest_errors()

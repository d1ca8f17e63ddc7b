"""Signals of bias after PROBAST+AI, and the sample size, on the page."""

from __future__ import annotations

from typing import Any

from medkit.report.checklists.probast import SOURCE, signals
from medkit.report.inputs import ReportInputs
from medkit.report.section import section


@section("probast", "PROBAST+AI", 190)
def probast(inputs: ReportInputs) -> dict[str, Any]:
    """What a machine can read off data and config."""
    return {"signals": signals(inputs), "source": SOURCE,
            "sample_size": inputs.metrics.get("sample_size")}  # fmt: skip

"""The samples' way from the file to the parts."""

from __future__ import annotations

from typing import Any

from medkit.report.inputs import ReportInputs
from medkit.report.section import section
from medkit.report.sections._flow import flow_diagram
from medkit.report.sections.summary import parts_of


@section("rows", "Rows", 20)
def rows(inputs: ReportInputs) -> dict[str, Any]:
    """The flow diagram, and what the data set notes."""
    flow = flow_diagram(inputs.metrics.get("flow", {}), parts_of(inputs))
    return {"flow": flow, "notes": inputs.source.notes}

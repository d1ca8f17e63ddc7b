"""The samples' way from the file to the parts."""

from __future__ import annotations

from typing import Any

from medkit.report.drawing import Figure
from medkit.report.inputs import PART_NAMES, ReportInputs
from medkit.report.section import section
from medkit.report.sections._flow import flow_diagram
from medkit.report.sections.summary import positives
from medkit.report.templates import count


@section("rows", "Rows", 20)
def rows(inputs: ReportInputs) -> dict[str, Any]:
    """The flow diagram, and what the data set notes."""
    return {"flow": _flow(inputs), "notes": inputs.source.notes}


def _flow(inputs: ReportInputs) -> Figure | None:
    parts = []
    for name in ("train", "valid", "test"):
        described = inputs.metrics.get(name)
        if described is None:
            continue
        subjects = described["subjects"]
        lines = [
            f"{count(described['n'])} samples",
            f"{count(subjects)} {'subject' if subjects == 1 else 'subjects'}",
        ]
        found = positives(described)
        parts.append((PART_NAMES[name], [*lines, found] if found else lines))
    return flow_diagram(inputs.metrics.get("flow", {}), parts)

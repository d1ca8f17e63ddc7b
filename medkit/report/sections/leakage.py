"""What the leakage gate checked and found."""

from __future__ import annotations

from typing import Any

from medkit.report.inputs import ReportInputs
from medkit.report.section import section


@section("leakage", "Leakage gate", 40)
def leakage_section(inputs: ReportInputs) -> dict[str, Any] | None:
    """Waived findings first; None where the gate did not run."""
    gate = inputs.metrics.get("leakage")
    if not gate:
        return None
    findings = sorted(
        gate.get("findings", ()),
        key=lambda each: (not each.get("waived"), each.get("severity") != "fail"),
    )
    return {
        "checked": [str(each).replace("_", " ") for each in gate.get("checked", ())],
        "findings": findings,
        "waived": [each for each in findings if each.get("waived")],
        "notes": gate.get("notes", []),
    }

"""Files read, versions, device, time and memory."""

from __future__ import annotations

from medkit.report.inputs import ReportInputs
from medkit.report.section import section


@section("environment", "Data and environment", 160)
def environment(inputs: ReportInputs) -> bool:
    """The template reads it off the inputs."""
    return True

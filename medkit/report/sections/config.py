"""The config, with every default written out."""

from __future__ import annotations

from medkit.report.inputs import ReportInputs
from medkit.report.section import section


@section("config", "Config", 200)
def config(inputs: ReportInputs) -> str:
    """Its text."""
    return inputs.config

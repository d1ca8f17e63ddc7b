"""The input variables with their units."""

from __future__ import annotations

from typing import Any

from medkit.report.inputs import ReportInputs
from medkit.report.section import section

_MOST = 200


@section("inputs", "Inputs", 150)
def input_variables(inputs: ReportInputs) -> dict[str, Any] | None:
    """The first of them; None where the inputs are no variables."""
    return {"features": inputs.features, "most": _MOST} if inputs.features else None

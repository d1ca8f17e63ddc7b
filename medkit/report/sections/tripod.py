"""The TRIPOD+AI checklist on the page."""

from __future__ import annotations

from typing import Any

from medkit.report.checklists.checklist import CAUTION, SOURCE, TO_WRITE, counts, tripod_ai
from medkit.report.inputs import ReportInputs
from medkit.report.section import section


@section("tripod", "TRIPOD+AI", 180)
def tripod(inputs: ReportInputs) -> dict[str, Any]:
    """Its items, and how many of them the run fills."""
    items = tripod_ai(inputs)
    return {"listed": items, "counts": counts(items), "source": SOURCE, "caution": CAUTION,
            "to_write": TO_WRITE}  # fmt: skip

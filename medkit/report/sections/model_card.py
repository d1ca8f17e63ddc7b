"""The model card on the page."""

from __future__ import annotations

from typing import Any

from medkit.report.checklists.checklist import TO_WRITE
from medkit.report.checklists.model_card import SOURCE
from medkit.report.checklists.model_card import model_card as sections_of_card
from medkit.report.inputs import ReportInputs
from medkit.report.section import section


@section("card", "Model card", 170)
def model_card(inputs: ReportInputs) -> dict[str, Any]:
    """The card's own sections."""
    return {"card": sections_of_card(inputs), "source": SOURCE, "to_write": TO_WRITE}

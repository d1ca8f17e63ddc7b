"""The report of a run: one HTML page that needs nothing else, and its model card."""

from medkit.evaluation.sample_size import sample_size
from medkit.report.checklists.model_card import write_model_card
from medkit.report.inputs import ReportInputs
from medkit.report.pages.page import write_report

__all__ = ["ReportInputs", "sample_size", "write_model_card", "write_report"]

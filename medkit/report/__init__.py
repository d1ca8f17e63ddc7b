"""The report of a run: one HTML page that needs nothing else, and its model card."""

from medkit.report.inputs import ReportInputs
from medkit.report.model_card import write_model_card
from medkit.report.page import write_report
from medkit.report.sample_size import sample_size

__all__ = ["ReportInputs", "sample_size", "write_model_card", "write_report"]

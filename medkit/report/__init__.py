"""The report of a run: one HTML page that needs nothing else."""

from medkit.report.page import ReportInputs, write_report

__all__ = ["ReportInputs", "write_report"]

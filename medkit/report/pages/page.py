"""``report.html``: what was done, how well it works, and beside what."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from medkit.core.files import write_text
from medkit.report.inputs import ReportInputs
from medkit.report.outcome import outcome_report
from medkit.report.section import filled
from medkit.report.sections.summary import positives
from medkit.report.templates import percent, render


def write_report(path: Path, inputs: ReportInputs) -> None:
    """Write the page: one file, nothing loaded from anywhere; its only script moves the slider.

    Raises:
        RunError: The file cannot be written.
    """
    write_text(path, report_text(inputs))


def report_text(inputs: ReportInputs) -> str:
    """The page as text, from the sections that registered."""
    return render("report.html.j2", **shared(inputs), sections=filled(inputs))


def shared(inputs: ReportInputs) -> dict[str, Any]:
    """What the templates of all sections may name beside ``its``, their own content."""
    return {
        "run": inputs,
        "metrics": inputs.metrics,
        "main": inputs.main,
        "metric": inputs.task.metric,
        "percent_of_interval": percent(inputs.confidence, 0),
        "positives": partial(positives, positive=outcome_report(inputs).positive),
    }

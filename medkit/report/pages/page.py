"""``report.html``: what was done, how well it works, and beside what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medkit.core.files import write_text
from medkit.evaluation import main_metric
from medkit.report.checklists.checklist import CAUTION, TO_WRITE, counts, tripod_ai
from medkit.report.checklists.checklist import SOURCE as TRIPOD
from medkit.report.checklists.model_card import SOURCE as CARD
from medkit.report.checklists.model_card import model_card
from medkit.report.checklists.probast import SOURCE as PROBAST
from medkit.report.checklists.probast import signals
from medkit.report.inputs import PART_NAMES, ReportInputs
from medkit.report.sections import figures
from medkit.report.sections.performance import (
    confusion,
    result_figures,
    subgroup_columns,
    worst_errors,
)
from medkit.report.sections.rows import flow_figure, table_one_rows
from medkit.report.sections.sections import contents, optional_sections
from medkit.report.sections.summary import cautions, plain_words, positives, special, verdict
from medkit.report.templates import percent, render

_MOST_ROWS = 200


def write_report(path: Path, inputs: ReportInputs) -> None:
    """Write the page: one file, nothing loaded from anywhere; its only script moves the slider.

    Raises:
        RunError: The file cannot be written.
    """
    write_text(path, report_text(inputs))


def report_text(inputs: ReportInputs) -> str:
    """The page as text."""
    metrics = inputs.metrics
    main = main_metric(metrics["test"]["metrics"])
    blocks: dict[str, Any] = {
        "flow_figure": flow_figure(inputs),
        "table_one": table_one_rows(metrics),
        "confusion": confusion(inputs),
        "worst": worst_errors(inputs),
        "result_figures": result_figures(inputs),
        "learning_figures": figures.learning_curves(inputs.history, _watched(inputs)),
        **optional_sections(inputs, main),
    }
    listed, checklist = contents(inputs, blocks), tripod_ai(inputs)
    return render(
        "report.html.j2",
        run=inputs,
        metrics=metrics,
        flow=metrics.get("flow", {}),
        main=main,
        percent_of_interval=percent(inputs.confidence, 0),
        verdict=verdict(metrics, main),
        cautions=cautions(inputs),
        special=special(metrics),
        parts=[(name, called_so) for name, called_so in PART_NAMES.items() if name in metrics],
        positives=positives,
        subgroup_metrics=subgroup_columns(inputs, main),
        most_rows=_MOST_ROWS,
        plain_words=plain_words(inputs, main),
        checklist=checklist,
        tripod={"source": TRIPOD, "caution": CAUTION, "counts": counts(checklist)},
        signals=signals(inputs),
        probast={"source": PROBAST},
        sample_size=metrics.get("sample_size"),
        card=model_card(inputs),
        card_source=CARD,
        to_write=TO_WRITE,
        contents=listed,
        anchors=[name for name, _ in listed],
        **blocks,
    )


def _watched(inputs: ReportInputs) -> str:
    """The task's monitor, unless the validation rows leave it undefined: Keras then says 0."""
    monitor: str = getattr(inputs.task, "monitor", "loss")
    measured = inputs.metrics.get("valid", {}).get("metrics", {})
    return "loss" if monitor in measured and measured[monitor]["value"] is None else monitor

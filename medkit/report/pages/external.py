"""``external.html``: a run on the data of another site, beside its development data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medkit.core.files import write_text
from medkit.report.drawing import BLUE, GREY, REFERENCE, WIDE, Figure, draw
from medkit.report.inputs import ReportInputs
from medkit.report.outcome import outcome_report
from medkit.report.pages.page import shared
from medkit.report.section import filled
from medkit.report.sections.results import not_estimable
from medkit.report.sections.summary import plain_words, special
from medkit.report.sections.table_one import table_one_rows
from medkit.report.templates import count, estimate, readable, render
from medkit.tasks.outcomes import Metric

_MOST_SHOWN = 25  # rows of the figure of standardised differences
_LARGE = 0.1


def write_external_report(path: Path, facts: Mapping[str, Any], inputs: ReportInputs) -> None:
    """Write the page: one file, nothing loaded from anywhere; its only script moves the slider.

    Args:
        path: The file.
        facts: ``run``, ``dataset``, ``data_sha256``, ``sites``.
        inputs: ``metrics["test"]`` is what ``evaluate_run_on`` returns, ``predictions["test"]``
            the targets and outputs it was measured on.
    """
    result = inputs.metrics["test"]
    mix, drop = result.get("case_mix", {}), result.get("performance_drop", {})
    differences = [each for each in mix.get("differences", ()) if each["value"] is not None]
    kind = outcome_report(inputs)
    page = render(
        "external.html.j2",
        **shared(inputs),
        sections=filled(inputs, external=True),
        facts=facts,
        result=result,
        head=_sentence(result, inputs.leading),
        plain_words=plain_words(inputs),
        warnings=mix.get("warnings", ()),
        performance=_performance(inputs, result),
        reference=drop.get("reference", ""),
        no_drop=drop.get("not_estimable", ""),
        drop_notes=drop.get("notes", ()),
        notes=result.get("notes", ()),
        special=special(inputs.metrics),
        confusion=kind.confusion(),
        result_figures=kind.figures(),
        not_estimable=not_estimable(inputs),
        table=_table_one(mix),
        case_mix=mix,
        membership=_membership(mix),
        love_plot=[_love_plot(differences)] if differences else [],
    )
    write_text(path, page)


def _sentence(result: Mapping[str, Any], metric: Metric) -> str:
    main = metric.name
    found = result["metrics"][main]
    text = f"{metric.title} {estimate(found)} in {count(result['n'])} new samples"
    drop = result.get("performance_drop", {}).get("metrics", {}).get(main)
    if drop and drop["value"] is not None:
        text += (
            f", against {readable(drop['development'])} in development: a difference of "
            f"{estimate(drop)}"
        )
    return f"{text}."


def _performance(inputs: ReportInputs, result: Mapping[str, Any]) -> list[list[str]]:
    drops = result.get("performance_drop", {}).get("metrics", {})
    rows = []
    for metric, found in result["metrics"].items():
        row = [inputs.task.metric(metric).title, estimate(found)]
        if drops:
            drop = drops.get(metric, {})
            row += [readable(drop.get("development")), estimate(drop)]
        rows.append(row)
    return rows


def _table_one(mix: Mapping[str, Any]) -> dict[str, Any] | None:
    """Table 1 with the standardised difference in the first line of every variable."""
    if not mix.get("table_one"):
        return None
    values = {(each["role"], each["name"]): readable(each["value"]) for each in mix["differences"]}
    return table_one_rows(mix, values)


def _membership(mix: Mapping[str, Any]) -> str:
    found = mix.get("membership")
    if found is None:
        return ""
    if found["auroc"] is None:
        return f"Membership model: not estimable, {found['not_estimable']}."
    return (
        f"Membership model: AUROC {estimate(found['auroc'])} of telling development samples "
        f"from new ones by inputs and outcome; {found['reading']}."
    )


def _love_plot(differences: Sequence[Mapping[str, Any]]) -> Figure:
    shown = sorted(differences, key=lambda each: -abs(each["value"]))[:_MOST_SHOWN][::-1]
    values = [each["value"] for each in shown]

    def plot(axes: Any) -> None:
        for edge in (-_LARGE, _LARGE):
            axes.axvline(edge, **REFERENCE)
        axes.axvline(0, color=GREY, linewidth=0.9)
        axes.plot(values, range(len(shown)), "o", color=BLUE, markersize=5)
        axes.set_yticks(range(len(shown)), [str(each["name"])[:28] for each in shown])
        axes.set(xlabel="standardised difference, new minus development")

    large = sum(abs(each["value"]) > _LARGE for each in differences)
    alt = (
        f"Standardised differences of {len(differences)} variables; {large} beyond 0.1; largest "
        f"{values[-1]:.2f} ({shown[-1]['name']})"
    )
    caption = "Dashed: 0.1, above which a difference counts. Of categories the size alone is shown."
    size = (WIDE[0], max(2.2, 0.24 * len(shown) + 0.8))
    return draw("differences", "Standardised differences", caption, alt, plot, size=size,
                left=2.2, broad=True)  # fmt: skip

"""A comparison as a table for the terminal and as one self-contained page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from medkit.core.files import write_text
from medkit.report.templates import bounds, count, estimate, percent, readable, render
from medkit.runs.run import check_written
from medkit.tasks.task import Task
from medkit.workflows.compare.curves import curves, difference_figure
from medkit.workflows.compare.pairs import Comparison

if TYPE_CHECKING:
    from rich.table import Table

_MOST_IDS = 4
_MOST_METRICS = 12
_ADJUSTED = "Adjusted p"
_HEAD = ["Measure", "Difference", "p", _ADJUSTED, "Remark"]


def default_page(comparison: Comparison) -> Path:
    """``comparison-<ids>.html`` in the working folder, by the ends of the runs' names."""
    ids = [each.name.rsplit("-", 1)[-1] for each in comparison.rows]
    more = [f"and-{len(ids) - _MOST_IDS}-more"] if len(ids) > _MOST_IDS else []
    return Path(f"comparison-{'-'.join([*ids[:_MOST_IDS], *more])}.html")


def comparison_table(comparison: Comparison) -> Table:
    """One column a run: size, time, metrics with intervals, and the difference in the first."""
    from rich.table import Table

    result = comparison.result
    runs, metric = result["runs"], comparison.task.metric
    table = Table("", *(run["label"] for run in runs), title=f"test part, {result['task']} task")
    table.add_row("samples", *(count(run["n"]) for run in runs))
    table.add_row("subjects", *(count(run["subjects"]) for run in runs))
    table.add_row("seconds", *(_seconds(run) for run in runs))
    for name in _leading(comparison):
        table.add_row(metric(name).label, *(estimate(run["metrics"].get(name)) for run in runs))
    differences = [_difference(each, result["metric"]) for each in result["comparisons"]]
    leading = metric(result["metric"]).label
    table.add_row(f"difference in {leading}", "reference", *differences)
    return table


def write_page(comparison: Comparison, path: Path) -> None:
    """Write the page: one file, nothing loaded from anywhere.

    Raises:
        RunError: The file cannot be written, or belongs to a run.
    """
    check_written(path)
    result = comparison.result
    text = render(
        "compare.html.j2",
        result=result,
        metric=comparison.task.metric,
        names=list(result["runs"][0]["metrics"]),
        labels={run["run"]: run["label"] for run in result["runs"]},
        verdicts=[verdict(comparison, each) for each in result["comparisons"]],
        head=_HEAD if result["correction"] else [each for each in _HEAD if each != _ADJUSTED],
        differences=[
            (each, _rows(comparison.task, each, adjusted=result["correction"] is not None))
            for each in result["comparisons"]
            if each["paired"]
        ],
        figures=curves(comparison.rows),
        forest=difference_figure(result, comparison.task.metric(result["metric"])),
        seconds=_seconds,
        confidence=percent(result["confidence"], 0),
        own_confidence=len({run["confidence"] for run in result["runs"]}) > 1,
    )
    write_text(path, text)


def verdict(comparison: Comparison, found: dict[str, Any]) -> dict[str, str]:
    """One comparison in words: ``level`` (good, unsure, bad, none) and ``text``."""
    result = comparison.result
    labels = {run["run"]: run["label"] for run in result["runs"]}
    one, other = labels[found["run"]], labels[found["reference"]]
    if not found["paired"]:
        return {"level": "none", "text": f"{one} and {other}: {found['note']}"}
    metric = comparison.task.metric(result["metric"])
    difference = found["metrics"][metric.name]
    value = difference["difference"]
    if value is None:
        return {"level": "none", "text": f"{one} and {other}: {metric.label} is undefined."}
    by = f"{readable(abs(value))} in {metric.label}"
    where = "ahead of" if value * metric.sign > 0 else "behind"
    sentence = f"{one} is {where} {other} by {by}"
    if not value:
        sentence = f"{one} is level with {other} in {metric.label}"
    between = bounds(difference)
    sentence += f" (interval of the paired difference {between})" if between else " (no interval)"
    p, adjusted = difference.get("p_holm", difference["p"]), "p_holm" in difference
    level = "unsure"
    if p is None:
        sentence += "; whether that is chance cannot be said"
    else:
        sentence += f"; p {_p(p)}" + (" after Holm's correction" if adjusted else "")
        if p < 1 - result["confidence"] and difference["low"] * difference["high"] > 0:
            level = "good" if value * metric.sign > 0 else "bad"
        else:
            sentence += ": that may be chance"
    return {"level": level, "text": sentence + "."}


def _leading(comparison: Comparison) -> list[str]:
    """The metrics that fit on a terminal: of several outputs the means."""
    metrics = list(comparison.result["runs"][0]["metrics"])
    first = comparison.result["metric"]
    return [first, *(name for name in metrics if name != first)][:_MOST_METRICS]


def _seconds(run: dict[str, Any]) -> str:
    total = run["seconds"]["total"]
    return "–" if total is None else f"{total:.0f}"


def _difference(found: dict[str, Any], metric: str) -> str:
    if not found["paired"]:
        return "other rows"
    difference = found["metrics"][metric]
    between = bounds(difference)
    text = readable(difference["difference"]) + (f" ({between})" if between else "")
    if difference["p"] is None:
        return text
    return f"{text}, p {_p(difference.get('p_holm', difference['p']))}"


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _rows(task: Task, found: dict[str, Any], *, adjusted: bool) -> list[list[str]]:
    """What was compared, its difference with interval, p, adjusted p if asked for, and remarks."""
    rows = [
        _row(task.metric(name).title, each, each.get("not_estimable", ""))
        for name, each in found["metrics"].items()
    ]
    for name, each in _by_label(found.get("delong")):
        rows.append(_row(f"AUROC{name}, DeLong", each, each.get("note", "")))
    for name, each in _by_label(found.get("mcnemar")):
        remark = f"right alone: {each['only_a']} and {each['only_b']} rows; {each['method']}"
        rows.append(_row(f"McNemar{name}", {"difference": None, "low": None, **each}, remark))
    return rows if adjusted else [[*row[:3], row[4]] for row in rows]


def _row(name: str, each: dict[str, Any], remark: str) -> list[str]:
    value = "–" if each["difference"] is None else readable(each["difference"])
    between = bounds(each)
    shown = value + (f" ({between})" if between else "")
    return [name, shown, _p(each["p"]), _p(each.get("p_holm")), remark]


def _by_label(found: dict[str, Any] | None) -> list[tuple[str, dict[str, Any]]]:
    if not found:
        return []
    if "p" in found:
        return [("", found)]
    return [(f" of {name}", each) for name, each in found.items()]

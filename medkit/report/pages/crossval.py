"""``crossval.html``: the folds of a cross-validation on one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medkit.core.files import write_text
from medkit.evaluation.methods import baseline_name
from medkit.report.drawing import CYCLE, Figure, draw
from medkit.report.sections.calibration import calibration_curve
from medkit.report.templates import bounds, estimate, p_value, readable, render
from medkit.tasks.outcomes import Metric

_MOST_METRICS = 9


def write_crossval_report(path: Path, content: Mapping[str, Any], config: str) -> None:
    """Write the page: one file, no script, nothing loaded from anywhere.

    Args:
        path: The file.
        content: The content of ``crossval.json``.
        config: The config as YAML text.
    """
    metrics = [Metric(*each) for each in content["labels"].items()]
    main = Metric(content["main"], content["labels"][content["main"]])
    figures = [dots(content, metric) for metric in metrics[:_MOST_METRICS]]
    calibration = content["pooled"].get("calibration", {})
    if calibration.get("bins"):
        of = "Out-of-fold predictions of the first repeat"
        figures.append(calibration_curve("calibration", of, calibration))
    page = render(
        "crossval.html.j2",
        content=content,
        main=main,
        head=sentence_of_folds(content, main),
        spread_rows=[_spread_row(content, metric) for metric in metrics],
        models=["network", *content["baselines"]],
        pooled=_pooled_rows(content, metrics),
        differences=_difference_rows(content, metrics),
        folds=_fold_rows(content),
        figures=[each for each in figures if each is not None],
        config=config,
    )
    write_text(path, page)


def spread_text(found: Mapping[str, Any]) -> str:
    """``0.853 ± 0.021``: mean and standard deviation between the folds."""
    if found["mean"] is None:
        return "–"
    more = "" if found["sd"] is None else f" ± {readable(found['sd'])}"
    return readable(found["mean"]) + more


def sentence_of_folds(content: Mapping[str, Any], main: Metric) -> str:
    """The main metric of the network and of each baseline, over the folds."""
    scheme, found = content["scheme"], content["summary"][main.name]
    count = scheme["folds"] * scheme["repeats"]
    text = f"{main.title} {spread_text(found)} (mean ± standard deviation of {count} folds)"
    for name, described in content["baselines"].items():
        text += f"; {baseline_name(name)} {spread_text(described['summary'][main.name])}"
    return f"{text}."


def _spread_row(content: Mapping[str, Any], metric: Metric) -> list[str]:
    found = content["summary"][metric.name]
    row = [
        metric.title,
        spread_text(found),
        readable(found["min"]),
        readable(found["max"]),
    ]
    row += [spread_text(each["summary"][metric.name]) for each in content["baselines"].values()]
    return [*row, found.get("note", "")]


def _pooled_rows(content: Mapping[str, Any], metrics: Sequence[Metric]) -> list[list[str]]:
    described = [content["pooled"], *(each["pooled"] for each in content["baselines"].values())]
    if "not_estimable" in described[0]:
        return []
    return [
        [metric.title, *(estimate(each.get("metrics", {}).get(metric.name)) for each in described)]
        for metric in metrics
    ]


def _difference_rows(content: Mapping[str, Any], metrics: Sequence[Metric]) -> list[list[str]]:
    rows = []
    for name, described in content["baselines"].items():
        for metric in metrics:
            found = described["differences"][metric.name]
            if found["mean"] is None:
                continue
            test, together = found["test"], described["pooled"].get("differences", {})
            p = p_value(test.get("p"))
            if test.get("p") is None:
                p = test.get("not_estimable") or test.get("note") or "–"
            rows.append([
                f"{metric.title}, less {baseline_name(name)}",
                readable(found["mean"]), bounds(test) or "–", p,
                estimate(together.get(metric.name)),
            ])  # fmt: skip
    return rows


def _fold_rows(content: Mapping[str, Any]) -> list[list[str]]:
    main = content["main"]
    rows = []
    for fold in content["folds"]:
        named = fold["site"] or f"fold {fold['fold']}"
        events = fold["positives"] if isinstance(fold["positives"], int) else "–"
        rows.append([
            f"repeat {fold['repeat']}, {named}", str(fold["seed"]), str(fold["train"]),
            str(fold["valid"]), str(fold["n"]), str(fold["subjects"]), str(events),
            estimate(fold["metrics"][main]),
            *(readable(fold["baselines"].get(name, {}).get(main)) for name in content["baselines"]),
        ])  # fmt: skip
    return rows


def dots(content: Mapping[str, Any], metric: Metric) -> Figure | None:
    """One dot a fold for each model, and the mean as a line."""
    columns = {"network": [fold["metrics"][metric.name]["value"] for fold in content["folds"]]}
    for name in content["baselines"]:
        columns[name] = [
            fold["baselines"].get(name, {}).get(metric.name) for fold in content["folds"]
        ]
    known = {
        name: np.array([value for value in values if value is not None], dtype=float)
        for name, values in columns.items()
    }
    known = {name: values for name, values in known.items() if len(values)}
    if "network" not in known:
        return None

    def plot(axes: Any) -> None:
        for position, (values, colour) in enumerate(zip(known.values(), CYCLE, strict=False)):
            # Side by side in the order of the folds, so that equal values do not hide each other.
            aside = np.linspace(-0.18, 0.18, len(values)) if len(values) > 1 else np.zeros(1)
            axes.plot(position + aside, values, "o", color=colour, markersize=4, alpha=0.75)
            axes.plot(position + np.array([-0.28, 0.28]), [values.mean()] * 2, color=colour)
        names = [baseline_name(name).replace(" ", "\n", 1) for name in known]
        axes.set_xticks(range(len(known)), names)
        axes.set(xlim=(-0.5, len(known) - 0.5), ylabel=metric.label)
        axes.grid(visible=False, axis="x")

    alt = "; ".join(
        f"{baseline_name(name)} mean {values.mean():.3f}, from {values.min():.3f} to "
        f"{values.max():.3f}"
        for name, values in known.items()
    )
    title = metric.title
    caption = "A dot a fold, in their order; the line is the mean."
    return draw(f"dots-{metric.name}", title, caption, f"{title} by fold: {alt}", plot)

"""``crossval.html``: the folds of a cross-validation on one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medkit.core.files import write_text
from medkit.report.drawing import BLUE, CYCLE, GREY, Figure, draw, unit_square
from medkit.report.templates import label, readable, render
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
        alt = "Out-of-fold predictions of the first repeat."
        figures.append(calibration_figure(calibration, alt))
    page = render(
        "crossval.html.j2",
        content=content,
        main=main,
        head=_sentence(content, main),
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


def _sentence(content: Mapping[str, Any], main: Metric) -> str:
    scheme, found = content["scheme"], content["summary"][main.name]
    count = scheme["folds"] * scheme["repeats"]
    text = f"{main.title} {spread_text(found)} (mean ± standard deviation of {count} folds)"
    for name, described in content["baselines"].items():
        text += f"; {label(name).lower()} {spread_text(described['summary'][main.name])}"
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
        [metric.title, *(_with_interval(each, metric.name) for each in described)]
        for metric in metrics
    ]


def _with_interval(described: Mapping[str, Any], metric: str) -> str:
    found = described.get("metrics", {}).get(metric)
    if found is None or found["value"] is None:
        return "–"
    if found["low"] is None:
        return readable(found["value"])
    return f"{readable(found['value'])} ({readable(found['low'])} to {readable(found['high'])})"


def _difference_rows(content: Mapping[str, Any], metrics: Sequence[Metric]) -> list[list[str]]:
    rows = []
    for name, described in content["baselines"].items():
        for metric in metrics:
            found = described["differences"][metric.name]
            if found["mean"] is None:
                continue
            test = found["test"]
            between, p = "–", test.get("not_estimable") or test.get("note") or "–"
            if test.get("low") is not None:
                between = f"{readable(test['low'])} to {readable(test['high'])}"
            if test.get("p") is not None:
                p = "below 0.001" if test["p"] < 0.001 else f"{test['p']:.3f}"
            together = {"metrics": described["pooled"].get("differences", {})}
            rows.append([
                f"{metric.title}, less {label(name).lower()}",
                readable(found["mean"]), between, p, _with_interval(together, metric.name),
            ])  # fmt: skip
    return rows


def _fold_rows(content: Mapping[str, Any]) -> list[list[str]]:
    main = content["main"]
    rows = []
    for fold in content["folds"]:
        named = fold["site"] or f"fold {fold['fold']}"
        events = fold["positives"] if isinstance(fold["positives"], int) else "–"
        own = fold["metrics"][main]
        rows.append([
            f"repeat {fold['repeat']}, {named}", str(fold["seed"]), str(fold["train"]),
            str(fold["valid"]), str(fold["n"]), str(fold["subjects"]), str(events),
            _with_interval({"metrics": {main: own}}, main),
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
        names = [name.replace("_", "\n", 1).replace("_", " ") for name in known]
        axes.set_xticks(range(len(known)), names)
        axes.set(xlim=(-0.5, len(known) - 0.5), ylabel=metric.label)
        axes.grid(visible=False, axis="x")

    alt = "; ".join(
        f"{name.replace('_', ' ')} mean {values.mean():.3f}, from {values.min():.3f} to "
        f"{values.max():.3f}"
        for name, values in known.items()
    )
    title = metric.title
    caption = "A dot a fold, in their order; the line is the mean."
    return draw(f"dots-{metric.name}", title, caption, f"{title} by fold: {alt}", plot)


def calibration_figure(calibration: Mapping[str, Any], of: str) -> Figure:
    """Observed share against predicted probability: bins, and the smooth curve.

    Args:
        calibration: A block of ``calibration_of``.
        of: Whose predictions, as a sentence.
    """
    bins = calibration["bins"]
    predicted, observed, low, high = (
        np.array([each[key] for each in bins], dtype=float)
        for key in ("predicted", "observed", "low", "high")
    )
    curve = calibration.get("curve")

    def plot(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle="--")
        spread = [np.maximum(observed - low, 0), np.maximum(high - observed, 0)]
        axes.errorbar(predicted, observed, yerr=spread, color=BLUE, marker="o", markersize=4,
                      linestyle="none", elinewidth=0.9)  # fmt: skip
        if curve:
            axes.plot(curve["predicted"], curve["observed"], color=BLUE, linewidth=1.3)
        axes.set(xlabel="mean predicted probability", ylabel="observed share of positives")
        unit_square(axes)

    gap = float(np.abs(predicted - observed).max())
    alt = f"Calibration in {len(bins)} bins; largest gap to the observed share {gap:.2f}. {of}"
    caption = f"{of} On the dashed line they can be taken at their word. Bars: 95\u00a0%."
    return draw("calibration", "Calibration", caption, alt, plot)

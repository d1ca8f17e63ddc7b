"""``report.html``: what was done, how well it works, and beside what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medkit.cohort import Feature, Source
from medkit.evaluation import called, lower_is_better, main_metric
from medkit.evaluation import readable as _readable
from medkit.files import write_text
from medkit.report import figures

_PART_NAMES = {"test": "Test", "valid": "Validation", "train": "Training"}
_SUBGROUP_METRICS = ("auprc", "recall", "specificity", "accuracy", "f1_macro", "rmse", "r2")
_MOST_ROWS = 200


@dataclass(frozen=True)
class ReportInputs:
    """What the page tells.

    Args:
        name: Name of the experiment.
        task: The fitted task (``kind``, ``monitor``, ``classes_`` where it has classes).
        metrics: The content of ``metrics.json``, with ``flow`` (rows_read, dropped, parts, notes).
        history: Watched value -> one number per epoch.
        predictions: Part -> (targets as encoded, outputs of the network).
        source: Where the data came from.
        features: Input variables with their units.
        environment: The content of ``environment.json``.
        config: The config as YAML text.
        description: A sentence of the user's own.
        model: Name of the model.
        target_names: Names of the outputs of a multilabel or regression task.
        confidence: Coverage of the intervals.
    """

    name: str
    task: Any
    metrics: Mapping[str, Any]
    history: Mapping[str, Sequence[float]]
    predictions: Mapping[str, tuple[np.ndarray, np.ndarray]]
    source: Source = field(default_factory=Source)
    features: Sequence[Feature] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    config: str = ""
    description: str = ""
    model: str = ""
    target_names: Sequence[str] = ()
    confidence: float = 0.95


def write_report(path: Path, inputs: ReportInputs) -> None:
    """Write the page: one file, no script, nothing loaded from anywhere.

    Raises:
        RunError: The file cannot be written.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(number=readable, called=called, count=_count, interval=_interval)
    environment.filters.update(small=_small, title_of=_title, bounds=_bounds)
    metrics = inputs.metrics
    main = main_metric(metrics["test"]["metrics"])
    text = environment.get_template("report.html.j2").render(
        run=inputs,
        metrics=metrics,
        flow=metrics.get("flow", {}),
        main=main,
        percent=f"{100 * inputs.confidence:g} %",
        verdict=verdict(metrics, main),
        special=_special(metrics),
        parts=[(n, called_so) for n, called_so in _PART_NAMES.items() if n in metrics],
        positives=_positives,
        arrow=lambda name: "↓" if lower_is_better(name) else "↑",
        confusion=_confusion(inputs),
        result_figures=_result_figures(inputs),
        learning_figures=figures.learning_curves(inputs.history, _watched(inputs)),
        subgroup_metrics=_subgroup_metrics(metrics, main),
        most_rows=_MOST_ROWS,
    )
    write_text(path, text.lstrip())


def verdict(metrics: Mapping[str, Any], main: str) -> dict[str, str]:
    """Whether the network beats the baselines: ``level`` (good, unsure, bad, none) and ``text``."""
    baselines = {
        name: described["difference"]
        for name, described in metrics.get("baselines", {}).items()
        if described.get("difference", {}).get("value") is not None
    }
    if not baselines and metrics.get("baselines"):
        return {"level": "none", "text": f"{_title(main)} is undefined on the test part: nothing "
                "says whether the network is better than the baselines."}  # fmt: skip
    if not baselines:
        return {"level": "none", "text": "No baseline was computed: nothing says whether a simpler "
                "model would do as well."}  # fmt: skip
    sign = -1.0 if lower_is_better(main) else 1.0
    hardest = min(baselines, key=lambda name: sign * baselines[name]["value"])
    difference, name = baselines[hardest], hardest.replace("_", " ")
    gain = sign * difference["value"]
    bounds = [difference["low"], difference["high"]]
    between = " (no interval)"
    certain = False
    if None not in bounds:
        low, high = sorted(sign * bound for bound in bounds)
        between = f" (interval of the paired difference {readable(low)} to {readable(high)})"
        certain = low > 0
    by = f"{readable(abs(gain))} in {called(main)}{between}"
    if gain <= 0:
        text = (
            f"The network does not beat {name}: it is "
            + (f"behind by {by}" if gain < 0 else "level with it")
            + ". Prefer the simpler model unless something else speaks for the network."
        )
        return {"level": "bad", "text": text}
    if not certain:
        text = f"The network is ahead of {name} by {by}; that may be chance."
        return {"level": "unsure", "text": text}
    return {"level": "good", "text": f"The network is ahead of {name}, the best baseline, by {by}."}


def readable(value: float | None) -> str:
    """A number as the page shows it, with a true minus sign."""
    return _readable(value).replace("-", "−")


def _watched(inputs: ReportInputs) -> str:
    """The task's monitor, unless the validation rows leave it undefined: Keras then says 0."""
    monitor = getattr(inputs.task, "monitor", "loss")
    measured = inputs.metrics.get("valid", {}).get("metrics", {})
    return "loss" if monitor in measured and measured[monitor]["value"] is None else monitor


def _special(metrics: Mapping[str, Any]) -> str:
    """What to say of intervals that are no percentiles of the resamples; empty without any."""
    groups = [group for each in metrics.get("subgroups", {}).values() for group in each.values()]
    parts = [metrics[name] for name in _PART_NAMES if name in metrics]
    measured = [*parts, *metrics.get("baselines", {}).values(), *groups]
    found = [each for one in measured for each in one.get("metrics", {}).values()]
    text = ""
    if any(each.get("method") == "wilson" for each in found):
        text += (
            "Wilson: no resample moves a proportion of 0 or 1, so its interval is Wilson's (1927), "
            "on the number of subjects in the denominator. "
        )
    if any(each.get("degenerate") for each in found):
        text += (
            "The same in all resamples: the bootstrap cannot tell how far this number would move; "
            "that is no certainty."
        )
    return text.strip()


def _title(metric: str) -> str:
    text = called(metric)
    return text[:1].upper() + text[1:]


def _count(value: Any) -> str:
    return "–" if value is None else f"{value:,}"


def _interval(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "–"
    bounds = _bounds(found)
    return readable(found["value"]) + (f" ({bounds})" if bounds else "")


def _bounds(found: Mapping[str, Any]) -> str:
    """``0.93 to 1.00, Wilson``; what is known of how far a value would move, empty if nothing."""
    if found.get("degenerate"):
        return "the same in all resamples"
    if found.get("low") is None:
        return ""
    method = ", Wilson" if found.get("method") == "wilson" else ""
    return f"{readable(found['low'])} to {readable(found['high'])}{method}"


def _small(value: Any) -> str:
    """Any small value of the environment as text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {each}" for key, each in value.items())
    return "–" if value is None else str(value)


def _positives(described: Mapping[str, Any]) -> str:
    """``42 positive (36.8 %)``, or the count of each class."""
    positives, n = described.get("positives"), described["n"]
    if positives is None:
        return ""
    if isinstance(positives, Mapping):
        listed = [f"{name}: {_count(count)}" for name, count in positives.items()]
        return ", ".join(listed[:12]) + (" …" if len(listed) > 12 else "")
    return f"{_count(positives)} positive ({100 * positives / n:.1f}\u00a0%)"


def _names(inputs: ReportInputs, count: int) -> list[str]:
    """Names of the outputs or classes: as given, as the task learned them, or numbers."""
    given: Sequence[Any] = inputs.target_names
    for learned in ("labels_", "names_", "classes_"):
        if len(given) != count:
            given = getattr(inputs.task, learned, None) or ()
    return [str(each) for each in given] if len(given) == count else [str(i) for i in range(count)]


def _confusion(inputs: ReportInputs) -> dict[str, Any] | None:
    """Counts by observed (rows) and predicted (columns) class on the test part."""
    if "test" not in inputs.predictions:
        return None
    y, p = inputs.predictions["test"]
    threshold = inputs.metrics["test"].get("threshold")
    if inputs.task.kind == "binary" and threshold is not None:
        # In double precision, as the task itself compares.
        predicted = p.ravel().astype(float) >= threshold
        observed, names = y.ravel() == 1, _names(inputs, 2)
    elif inputs.task.kind == "multiclass" and p.shape[1] <= 20:
        observed, predicted, names = y.ravel(), p.argmax(axis=1), _names(inputs, p.shape[1])
    else:
        return None
    size = len(names)
    pairs = observed.astype(int) * size + predicted.astype(int)
    counts = np.bincount(pairs, minlength=size * size).reshape(size, size)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return {
        "names": names,
        "rows": [
            [(int(n), round(float(share), 3)) for n, share in zip(*row, strict=True)]
            for row in zip(counts, shares, strict=True)
        ],
        "threshold": threshold if inputs.task.kind == "binary" else None,
    }


def _result_figures(inputs: ReportInputs) -> list[figures.Figure]:
    if "test" not in inputs.predictions:
        return []
    y, p = (np.asarray(each, dtype=float) for each in inputs.predictions["test"])
    test, kind = inputs.metrics["test"], inputs.task.kind
    columns = p.reshape(len(p), -1)
    if kind == "regression":
        observed = y.reshape(len(y), -1)
        names = _names(inputs, columns.shape[1])
        labels = names if len(inputs.target_names) == len(names) else ["value"] * len(names)
        found = []
        for i in range(min(columns.shape[1], 4)):
            args = (f"output{i}", labels[i], observed[:, i], columns[:, i])
            found += figures.observed_and_predicted(*args)
        return found
    said = ", ".join(
        f"{called(name)} {readable(test['metrics'][name]['value'])}"
        for name in ("auroc", "auprc", "auroc_macro", "auprc_macro")
        if name in test["metrics"]
    )
    if kind == "binary":
        y = y.ravel()
        curves = [("positive", y, columns[:, 0])]
        found = figures.discrimination(curves, [test.get("threshold")], said)
        return [*found, figures.calibration(y, columns[:, 0])]
    names = _names(inputs, columns.shape[1])
    if kind == "multilabel":
        targets, thresholds = list(y.T), test.get("threshold")
    else:
        targets, thresholds = [(y.ravel() == i).astype(float) for i in range(len(names))], None
    marks = thresholds if isinstance(thresholds, list) else [thresholds] * len(names)
    curves = [(name, t, q) for name, t, q in zip(names, targets, columns.T, strict=True)]
    return figures.discrimination(curves, marks, said)


def _subgroup_metrics(metrics: Mapping[str, Any], main: str) -> list[str]:
    reported = metrics["test"]["metrics"]
    return [main, *(name for name in _SUBGROUP_METRICS if name in reported)][:4]

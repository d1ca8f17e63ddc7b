"""Metrics and numbers as a reader takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What metrics are called in text.
_CALLED = {
    "auroc": "AUROC", "auprc": "AUPRC", "mae": "MAE", "rmse": "RMSE", "r2": "R²", "f1": "F1",
    "brier": "Brier score", "log_loss": "log loss",
}  # fmt: skip


def called(metric: str) -> str:
    """A metric's name in text: ``auroc_macro`` is macro AUROC, ``mae_pressure`` MAE pressure."""
    if metric in _CALLED:
        return _CALLED[metric]
    for average in ("macro", "weighted"):
        if metric.endswith(f"_{average}"):
            return f"{average} {called(metric.removesuffix(f'_{average}'))}"
    for name, text in _CALLED.items():
        if metric.startswith(f"{name}_"):
            return f"{text} {metric.removeprefix(f'{name}_')}"
    return metric.replace("_", " ")


def readable(value: float | None) -> str:
    """A number with as many digits as a reader can use."""
    if value is None:
        return "undefined"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    if size > 1:
        return f"{value:.1f}" if size >= 100 else f"{value:.2f}"
    return f"{value:.3f}" if size >= 0.001 or value == 0 else f"{value:.2g}"


# To go once report, comparison and cross-validation ask the task (``Task.metric``, ``leading``).
_LEADING = ("auroc", "auroc_macro", "accuracy", "mae")
_LOWER_IS_BETTER = ("mae", "rmse", "mse", "brier", "log_loss", "pinball", "width")


def main_metric(metrics: Mapping[str, Any]) -> str:
    """Of the metrics of a part, the one that a summary leads with."""
    return next((name for name in _LEADING if name in metrics), next(iter(metrics)))


def lower_is_better(metric: str) -> bool:
    """Whether smaller values of a metric are better."""
    return any(metric == name or metric.startswith(f"{name}_") for name in _LOWER_IS_BETTER)


def has_direction(metric: str) -> bool:
    """Whether a metric has a better side; coverage is to be what was asked for, not more."""
    return metric != "coverage" and not metric.startswith("coverage_")

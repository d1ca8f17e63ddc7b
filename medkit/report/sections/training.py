"""How the training went, epoch by epoch."""

from __future__ import annotations

from medkit.report.drawing import Figure
from medkit.report.figures import learning_curves
from medkit.report.inputs import ReportInputs
from medkit.report.section import section


@section("training", "Training", 140)
def training(inputs: ReportInputs) -> list[Figure]:
    """Loss, and the watched metric."""
    watched = {name: inputs.called(name) for name in ("loss", _watched(inputs))}
    return learning_curves(inputs.history, watched)


def _watched(inputs: ReportInputs) -> str:
    """The task's monitor, unless the validation rows leave it undefined: Keras then says 0."""
    monitor = inputs.task.monitor
    measured = inputs.metrics.get("valid", {}).get("metrics", {})
    return "loss" if monitor in measured and measured[monitor]["value"] is None else monitor

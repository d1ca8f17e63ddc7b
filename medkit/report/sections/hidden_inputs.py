"""How the model does without each input that a sample may lack."""

from __future__ import annotations

from typing import Any

from medkit.report.inputs import ReportInputs
from medkit.report.section import section
from medkit.report.templates import estimate


@section("hidden-inputs", "Without an input", 32)
def hidden_inputs_section(inputs: ReportInputs) -> dict[str, Any] | None:
    """The leading metric with all inputs and with each one hidden; None where none may lack."""
    hidden = inputs.metrics.get("inputs")
    if not hidden:
        return None
    leading = inputs.leading.name
    whole = inputs.metrics["test"]
    rows = [["all as they are", "", estimate(whole["metrics"][leading])]]
    for name, found in hidden.items():
        without = estimate(found["without"]["metrics"][leading])
        rows.append([f"without {name}", f"{found['lacking']:,} of {whole['n']:,}", without])
    head = ["Inputs of the test samples", "samples that lacked it", inputs.leading.label]
    return {"head": head, "rows": rows}

"""Sections whose templates show what the run holds nearly as it is."""

from __future__ import annotations

from typing import Any

from medkit.report.checklists import checklist, probast
from medkit.report.checklists import model_card as cards
from medkit.report.drawing import Figure
from medkit.report.figures import learning_curves
from medkit.report.inputs import ReportInputs
from medkit.report.outcome import outcome_report
from medkit.report.section import section
from medkit.report.templates import estimate


@section("hidden-inputs", "Without an input", 32)
def hidden_inputs(inputs: ReportInputs) -> dict[str, Any] | None:
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


@section("leakage", "Leakage gate", 40)
def leakage(inputs: ReportInputs) -> dict[str, Any] | None:
    """What the gate checked and found, failures first; None where it did not run."""
    gate = inputs.metrics.get("leakage")
    if not gate:
        return None
    findings = sorted(gate.get("findings", ()), key=lambda each: each.get("severity") != "fail")
    return {
        "checked": [str(each).replace("_", " ") for each in gate.get("checked", ())],
        "findings": findings,
        "waived": [each for each in findings if each.get("waived")],
        "notes": gate.get("notes", []),
    }


@section("errors", "Largest errors", 130)
def largest_errors(inputs: ReportInputs) -> dict[str, Any] | None:
    """At most ten; None where the samples are not named or the kind of outcome is unknown."""
    return outcome_report(inputs).largest_errors()


@section("training", "Training", 140)
def training(inputs: ReportInputs) -> list[Figure]:
    """Loss, and the task's monitor unless the validation rows leave it undefined: Keras says 0."""
    watched = inputs.task.monitor
    measured = inputs.metrics.get("valid", {}).get("metrics", {})
    if watched in measured and measured[watched]["value"] is None:
        watched = "loss"
    return learning_curves(
        inputs.history,
        {each: inputs.called(each) for each in ("loss", watched)},
        [each.name for each in inputs.task.metrics if each.better == "more"],
    )


@section("inputs", "Inputs", 150)
def input_variables(inputs: ReportInputs) -> dict[str, Any] | None:
    """The first of them with their units; None where the inputs are no variables."""
    return {"features": inputs.features, "most": 200} if inputs.features else None


@section("environment", "Data and environment", 160)
def environment(inputs: ReportInputs) -> bool:
    """Files read, versions, device, time and memory: the template reads them off the inputs."""
    return True


@section("card", "Model card", 170)
def model_card(inputs: ReportInputs) -> dict[str, Any]:
    """The card's own sections."""
    return {"card": cards.model_card(inputs), "source": cards.SOURCE,
            "to_write": checklist.TO_WRITE}  # fmt: skip


@section("tripod", "TRIPOD+AI", 180)
def tripod(inputs: ReportInputs) -> dict[str, Any]:
    """The checklist's items, and how many of them the run fills."""
    items = checklist.tripod_ai(inputs)
    return {"listed": items, "counts": checklist.counts(items), "source": checklist.SOURCE,
            "caution": checklist.CAUTION, "to_write": checklist.TO_WRITE}  # fmt: skip


@section("probast", "PROBAST+AI", 190)
def signals_of_bias(inputs: ReportInputs) -> dict[str, Any]:
    """What a machine can read off data and config, and the sample size."""
    return {"signals": probast.signals(inputs), "source": probast.SOURCE,
            "sample_size": inputs.metrics.get("sample_size")}  # fmt: skip


@section("config", "Config", 200)
def config(inputs: ReportInputs) -> str:
    """Its text, with every default written out."""
    return inputs.config

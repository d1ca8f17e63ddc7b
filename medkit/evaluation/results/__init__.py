"""What ``metrics.json`` holds: ``medkit schema metrics`` prints it as a JSON Schema.

They are typed dictionaries: what is measured is built as they say, and a key that is not theirs
is an error of type. Every number that was estimated is an ``Estimate``. What cannot be estimated
says why in ``not_estimable``. Kinds of outcome add blocks of their own to ``Assessed``, and
baselines facts of their own to ``Baseline``; elsewhere no other key is there.
"""

from __future__ import annotations

import logging
from typing import Any, NotRequired

from pydantic import TypeAdapter, ValidationError

from medkit.evaluation.results.estimates import (
    Bootstrapped,
    Comparison,
    Difference,
    Estimate,
    Gap,
    Leading,
    Result,
)
from medkit.evaluation.results.parts import (
    Assessed,
    Baseline,
    ByGroup,
    Calibration,
    Conformal,
    Decisions,
    Gaps,
    GroupResult,
    Measured,
    OperatingPoint,
    Uncertainty,
)

__all__ = [
    "Assessed", "Baseline", "Bootstrapped", "ByGroup", "Calibration", "Comparison", "Conformal",
    "Decisions", "Difference", "Estimate", "Evaluated", "Flow", "Gap", "Gaps", "GroupResult",
    "Leading", "Leakage", "Measured", "Metrics", "OperatingPoint", "Result", "SampleSize",
    "TableOne", "Uncertainty", "check_metrics", "metrics_adapter", "metrics_schema",
]  # fmt: skip

log = logging.getLogger("medkit")


class TableOne(Result):
    """Who is in each part; see ``table_one``."""

    parts: dict[str, dict[str, int]]
    """Rows and patients."""
    minimum_group: int
    """Cells of fewer patients are suppressed."""
    rows: list[dict[str, Any]]
    """Inputs, attributes and outcomes."""


class SampleSize(Result):
    """Were the training rows enough? See ``sample_size``."""

    n: int
    """Patients with training rows."""
    rows: int
    """Training rows."""
    parameters: int
    """Candidate predictors of a regression."""
    weights: int | None
    """Trainable weights of the network."""
    outcome: NotRequired[str]
    """The rarest."""
    events: NotRequired[int | None]
    """Patients with the rarer of its two values."""
    events_per_parameter: NotRequired[float]
    """Of a number, patients per parameter."""
    assumptions: list[dict[str, Any]]
    """Criteria under each assumption."""


class Leakage(Result):
    """What the gate found."""

    checked: list[str]
    """The checks."""
    findings: list[dict[str, Any]]
    """What was found, and whether it was waived."""


class Flow(Result):
    """How many samples came, went and why."""

    rows_read: int
    """Rows."""
    dropped: dict[str, int]
    """Why -> samples."""
    parts: dict[str, int]
    """Part -> samples."""


class Evaluated(ByGroup):
    """What is measured of a run's predictions."""

    test: Assessed
    """The test part."""
    valid: Assessed
    """The validation part: metrics alone."""
    train: Measured
    """The training part: values alone, since an interval there says nothing about new patients."""
    baselines: NotRequired[dict[str, Baseline]]
    """Simple models on the same split."""


class Metrics(Evaluated):
    """metrics.json of a run."""

    headline: str
    """The test result in one line."""
    inputs: NotRequired[dict[str, Any]]
    """Of several inputs, how the network does without each."""
    explanations: NotRequired[dict[str, Any]]
    """Importance and dependence; see ``explanations``."""
    table_one: TableOne
    """Who is in each part."""
    sample_size: SampleSize
    """Were the training rows enough?"""
    leakage: Leakage
    """What the gate found."""
    flow: Flow
    """How many samples came and went."""
    recalibration: NotRequired[dict[str, Any]]
    """Of a run recalibrated elsewhere."""


metrics_adapter: TypeAdapter[Metrics] = TypeAdapter(Metrics)


def check_metrics(metrics: Metrics) -> None:
    """Log where the content of metrics.json is not as its types say.

    A plug-in may have added what they do not know, and a run is not lost for that.
    """
    try:
        metrics_adapter.validate_python(metrics)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        log.warning(
            "metrics.json is not as `medkit schema metrics` says, in %d places, such as %s: %s",
            error.error_count(), place, first["msg"],
        )  # fmt: skip


def metrics_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of metrics.json."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **metrics_adapter.json_schema(),
        "title": "medkit metrics",
    }

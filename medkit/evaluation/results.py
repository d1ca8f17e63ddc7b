"""What ``metrics.json`` holds: ``medkit schema metrics`` prints it as a JSON Schema.

Every number that was estimated is an ``Estimate``. What cannot be estimated says why in
``not_estimable``. Kinds of outcome add blocks of their own to ``Assessed``, and baselines facts of
their own to ``Baseline``; elsewhere no other key is there.
"""

from __future__ import annotations

import logging
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

log = logging.getLogger("medkit")

Bounds = float | None
Column = list[float | None]


class Result(BaseModel):
    """A block of metrics.json."""

    model_config = ConfigDict(
        extra="forbid", use_attribute_docstrings=True, ser_json_inf_nan="null"
    )

    not_estimable: str | None = None
    """Why there is nothing else."""
    notes: list[str] = []
    """What a reader must know."""


class Bootstrapped(Result):
    """An interval from resamples of subjects, or why there is none."""

    low: Bounds = None
    """Lower bound."""
    high: Bounds = None
    """Upper bound."""
    method: str | None = None
    """wilson, newcombe, … where the bounds are not the bootstrap's."""
    degenerate: bool | None = None
    """All resamples have one value: the bootstrap cannot tell how far the number would move."""
    undefined: int | None = None
    """Resamples without a value."""
    note: str | None = None
    """What is wrong with the interval."""


class Estimate(Bootstrapped):
    """A number with its interval."""

    value: float | None = None
    """The number; null where it is undefined."""
    delong: Bootstrapped | None = None
    """Of an AUROC, DeLong's interval."""
    bland_altman: Bootstrapped | None = None
    """Of the differences of numbers, the interval of Bland and Altman."""
    if_calibrated: float | None = None
    """What a perfectly calibrated model would show in as many rows, on average."""
    if_calibrated_high: float | None = None
    """The upper bound of that."""


class Difference(Bootstrapped):
    """One model minus another, in the same resamples."""

    difference: float | None = None
    """The first minus the second, whichever direction is better."""
    p: float | None = None
    """Two-sided p of the hypothesis that they do not differ."""
    standard_error: float | None = None
    """Of DeLong's test."""
    z: float | None = None
    """Of DeLong's test."""


class Leading(Bootstrapped):
    """The difference in the metric that a summary leads with."""

    metric: str
    """Its name."""
    value: float | None = None
    """The network minus the baseline."""
    p: float | None = None
    """Two-sided p of the hypothesis that they do not differ."""


class Measured(Result):
    """Metrics of some rows."""

    n: int
    """Rows."""
    subjects: int
    """Patients."""
    positives: int | dict[str, int] | None
    """Rows with the outcome, or of each class or label."""
    threshold: float | list[float] | None
    """The operating point in use."""
    metrics: dict[str, Estimate]
    """By name, as the task names them."""


class Calibration(Result):
    """See ``calibration_of``: one block, or blocks by label, class or output."""

    kind: str | None = None
    """The kind of outcome."""
    n: int | None = None
    """Rows."""
    subjects: int | None = None
    """Patients."""
    positives: int | None = None
    """Rows with the outcome."""
    resamples: int | None = None
    """How many the intervals are from."""
    metrics: dict[str, Estimate] = {}
    """in_the_large, observed_expected, slope, … of numbers bias, limits of agreement, …"""
    bins: list[dict[str, Bounds]] = []
    """Groups of equal size: predicted and observed."""
    curve: dict[str, Column] | None = None
    """Loess with a pointwise band."""
    histogram: dict[str, list[float]] | None = None
    """Counts of rows by predicted probability."""
    within_limits: float | None = None
    """Of numbers: the share within the limits of agreement."""
    percentiles: dict[str, Bounds] | None = None
    """Of numbers: percentiles of the differences."""
    per_label: dict[str, Calibration] | None = None
    """By label."""
    per_class: dict[str, Calibration] | None = None
    """By class, against the rest."""
    per_output: dict[str, Calibration] | None = None
    """By output."""
    top_label: Calibration | None = None
    """Of whether the most probable class is right."""
    recalibration: dict[str, Any] | None = None
    """What was fitted on validation."""
    before: Calibration | None = None
    """The same before recalibration."""


class Decisions(Result):
    """See ``decisions_of``: one block, or blocks by label or class."""

    kind: str | None = None
    """The kind of outcome."""
    resamples: int | None = None
    """How many the intervals are from."""
    curve: dict[str, Any] | None = None
    """Net benefit by threshold."""
    operating_points: list[dict[str, Any]] = []
    """Thresholds chosen on validation, and what they mean."""
    per_label: dict[str, Decisions] | None = None
    """By label."""
    per_class: dict[str, Decisions] | None = None
    """By class, against the rest."""


class Conformal(Result):
    """See ``conformal_of``: sets or intervals with a coverage."""

    method: str | None
    """lac or absolute_residual."""
    coverage: float
    """Asked for."""
    calibration: dict[str, Any]
    """The rows it is calibrated on."""
    state: dict[str, Any]
    """The quantiles."""
    note: str
    """How far the coverage is guaranteed."""
    outputs: dict[str, dict[str, Any]] | None = None
    """What was seen, by target."""


class Uncertainty(Result):
    """How certain the model is of a row."""

    conformal: Conformal | None = None
    """Prediction sets or intervals."""
    entropy: dict[str, Any] | None = None
    """Entropy or spread between networks; see ``uncertainty_of``."""
    abstention: dict[str, Any] | None = None
    """What leaving out the least certain rows gains; see ``abstention_of``."""


class Assessed(Measured):
    """A part that the model was not fitted on, and what its kind of outcome adds."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    calibration: Calibration | None = None
    """Whether predictions mean what they say."""
    decisions: Decisions | None = None
    """What thresholds would mean at the bedside."""
    uncertainty: Uncertainty | None = None
    """How certain the model is."""
    early_warning: dict[str, Any] | None = None
    """Of stays at one hour each."""


class GroupResult(Result):
    """A subgroup, or why it is not shown."""

    n: int | None = None
    """Rows."""
    subjects: int | None = None
    """Patients."""
    positives: int | dict[str, int] | None = None
    """Rows with the outcome, or of each class or label."""
    threshold: float | list[float] | None = None
    """The operating point in use."""
    metrics: dict[str, Estimate] | None = None
    """By name."""
    calibration: Calibration | None = None
    """In a few numbers."""
    suppressed: str | None = None
    """Why it is not shown."""


class Gaps(Result):
    """Gaps between the groups of an attribute and the largest; see ``fairness_gaps``."""

    reference: str | None
    """The largest group."""
    tests: int | None = None
    """Gaps that Holm's correction is over."""
    gaps: dict[str, dict[str, dict[str, Any]]] | None = None
    """Group -> gap -> value, interval, p."""
    per_label: dict[str, dict[str, dict[str, dict[str, Any]]]] | None = None
    """The same by label."""
    per_class: dict[str, dict[str, dict[str, dict[str, Any]]]] | None = None
    """The same by class."""
    per_output: dict[str, dict[str, dict[str, dict[str, Any]]]] | None = None
    """The same by output."""
    suppressed: dict[str, str] | None = None
    """Groups that are not shown, and why."""
    note: str | None = None
    """Why there are no gaps."""


class Comparison(Result):
    """Network and baseline on the same rows; see ``compare_outputs``."""

    metrics: dict[str, Difference]
    """By name."""
    delong: Difference | dict[str, Difference] | None = None
    """DeLong's test; by label where there are several."""
    mcnemar: dict[str, Any] | None = None
    """McNemar's test; by label where there are several."""


class Baseline(Measured):
    """A simple model on the test part, and facts of how it was fitted."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    difference: Leading
    """In the metric that a summary leads with."""
    comparison: Comparison
    """In all metrics."""
    early_warning: dict[str, Any] | None = None
    """Of stays at one hour each."""


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
    """Training rows."""
    parameters: int
    """Candidate predictors of a regression."""
    weights: int | None
    """Trainable weights of the network."""
    outcome: str | None = None
    """The rarest."""
    events: int | None = None
    """Of the rarer of its two values."""
    events_per_parameter: float | None = None
    """Rows per parameter of a number."""
    assumptions: list[dict[str, Any]] = []
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


class Metrics(Result):
    """metrics.json of a run."""

    headline: str
    """The test result in one line."""
    test: Assessed
    """The test part."""
    valid: Assessed
    """The validation part: metrics alone."""
    train: Measured
    """The training part: values alone, since an interval there says nothing about new patients."""
    subgroups: dict[str, dict[str, GroupResult]] | None = None
    """Attribute -> group of the test part."""
    fairness: dict[str, Gaps] | None = None
    """Attribute -> gaps between its groups."""
    baselines: dict[str, Baseline] | None = None
    """Simple models on the same split."""
    inputs: dict[str, Any] | None = None
    """Of several inputs, how the network does without each."""
    explanations: dict[str, Any] | None = None
    """Importance and dependence; see ``explanations``."""
    table_one: TableOne
    """Who is in each part."""
    sample_size: SampleSize
    """Were the training rows enough?"""
    leakage: Leakage
    """What the gate found."""
    flow: Flow
    """How many samples came and went."""
    recalibration: dict[str, Any] | None = None
    """Of a run recalibrated elsewhere."""


def written(metrics: dict[str, Any]) -> dict[str, Any]:
    """The content of metrics.json as its models write it.

    A run is not lost because a plug-in adds what the models do not know: that is logged, and
    written as it is.
    """
    try:
        return Metrics.model_validate(metrics).model_dump(mode="json", exclude_unset=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        log.warning(
            "metrics.json is not as `medkit schema metrics` says, in %d places, such as %s: %s",
            error.error_count(), place, first["msg"],
        )  # fmt: skip
        return metrics


def metrics_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of metrics.json."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Metrics.model_json_schema(),
        "title": "medkit metrics",
    }

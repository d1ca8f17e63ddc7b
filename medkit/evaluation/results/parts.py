"""What is measured of the rows of a part, or of a group of its patients."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, Field, with_config

from medkit.evaluation.results.estimates import (
    Bounds,
    Column,
    Comparison,
    Estimate,
    Gap,
    Leading,
    Result,
)

Groups = dict[str, dict[str, Gap]]


class Measured(Result):
    """Metrics of some rows."""

    n: Annotated[int, Field(description="Rows.")]
    subjects: Annotated[int, Field(description="Patients.")]
    positives: Annotated[
        int | dict[str, int] | None,
        Field(description="Rows with the outcome, or of each class or label."),
    ]
    subjects_with: NotRequired[
        Annotated[dict[str, int], Field(description="Patients with each outcome, and without.")]
    ]
    threshold: Annotated[
        float | list[float] | None, Field(description="The operating point in use.")
    ]
    metrics: Annotated[dict[str, Estimate], Field(description="By name, as the task names them.")]


class Calibration(Result, total=False):
    """See ``calibration_of``: one block, or blocks by label, class or output."""

    kind: str
    """The kind of outcome."""
    n: int
    """Rows."""
    subjects: int
    """Patients."""
    positives: int
    """Rows with the outcome."""
    resamples: int
    """How many the intervals are from."""
    metrics: dict[str, Estimate]
    """in_the_large, observed_expected, slope, … of numbers bias, limits of agreement, …"""
    bins: list[dict[str, Bounds]]
    """Groups of equal size: predicted and observed."""
    curve: dict[str, Column] | None
    """Loess with a pointwise band."""
    histogram: dict[str, list[float]]
    """Counts of rows by predicted probability."""
    within_limits: float | None
    """Of numbers: the share within the limits of agreement."""
    percentiles: dict[str, Bounds]
    """Of numbers: percentiles of the differences."""
    per_label: dict[str, Calibration]
    """By label."""
    per_class: dict[str, Calibration]
    """By class, against the rest."""
    per_output: dict[str, Calibration]
    """By output."""
    top_label: Calibration
    """Of whether the most probable class is right."""
    recalibration: dict[str, Any]
    """What was fitted on validation."""
    before: Calibration
    """The same before recalibration."""


class OperatingPoint(Result, total=False):
    """A threshold chosen on validation, and what it means."""

    name: str
    """in_use, youden, sensitivity_0.9, …"""
    rule: str
    """The same in words."""
    threshold: float | None
    """Null where validation cannot serve the rule."""
    exchange_rate: float | None
    """How many missed events a false alarm weighs as much as; null where none was stated."""
    sensitivity: Estimate
    """Share of the events that are called."""
    specificity: Estimate
    """Share of the non-events that are not."""
    ppv: Estimate
    """Share of the called with the event."""
    npv: Estimate
    """Share of the others without."""
    alerts_per_100: Estimate
    """Rows called, of 100."""
    net_benefit: Estimate
    """True positives a row, less false ones at the exchange rate."""
    at_prevalence: dict[str, Any] | None
    """Predictive values at the prevalence that the config states."""


class Decisions(Result, total=False):
    """See ``decisions_of``: one block, or blocks by label or class."""

    kind: str
    """The kind of outcome."""
    resamples: int
    """How many the intervals are from."""
    curve: dict[str, Any]
    """Net benefit by threshold."""
    operating_points: list[OperatingPoint]
    """Thresholds chosen on validation, and what they mean."""
    per_label: dict[str, Decisions]
    """By label."""
    per_class: dict[str, Decisions]
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
    outputs: NotRequired[dict[str, dict[str, Any]]]
    """What was seen, by target."""


class Uncertainty(Result, total=False):
    """How certain the model is of a row."""

    conformal: Conformal
    """Prediction sets or intervals."""
    entropy: dict[str, Any]
    """Entropy or spread between networks; see ``uncertainty_of``."""
    abstention: dict[str, Any]
    """What leaving out the least certain rows gains; see ``abstention_of``."""


@with_config(ConfigDict(extra="allow", use_attribute_docstrings=True))
class Assessed(Measured, total=False):
    """A part that the model was not fitted on, and what its kind of outcome adds."""

    calibration: Calibration
    """Whether predictions mean what they say."""
    decisions: Decisions
    """What thresholds would mean at the bedside."""
    uncertainty: Uncertainty
    """How certain the model is."""
    early_warning: dict[str, Any]
    """Of stays at one hour each."""


class GroupResult(Result, total=False):
    """A subgroup, or why it is not shown."""

    n: int
    """Rows."""
    subjects: int
    """Patients."""
    positives: int | dict[str, int] | None
    """Rows with the outcome, or of each class or label."""
    subjects_with: dict[str, int]
    """Patients with each outcome, and without."""
    threshold: float | list[float] | None
    """The operating point in use."""
    metrics: dict[str, Estimate]
    """By name."""
    calibration: Calibration
    """In a few numbers."""
    suppressed: str
    """Why it is not shown."""


class Gaps(Result, total=False):
    """Gaps between the groups of an attribute and the largest; see ``fairness_gaps``."""

    reference: str | None
    """The largest group."""
    tests: int
    """Gaps that Holm's correction is over."""
    gaps: Groups
    """Group -> gap."""
    per_label: dict[str, Groups]
    """The same by label."""
    per_class: dict[str, Groups]
    """The same by class."""
    per_output: dict[str, Groups]
    """The same by output."""
    suppressed: dict[str, str]
    """Groups that are not shown, and why."""
    note: str | None
    """Why there are no gaps."""


class ByGroup(Result, total=False):
    """Of the attributes that the config names."""

    subgroups: dict[str, dict[str, GroupResult]]
    """Attribute -> group of the test part."""
    fairness: dict[str, Gaps]
    """Attribute -> gaps between its groups."""


@with_config(ConfigDict(extra="allow", use_attribute_docstrings=True))
class Baseline(Measured):
    """A simple model on the test part, and facts of how it was fitted."""

    difference: Leading
    """In the metric that a summary leads with."""
    comparison: Comparison
    """In all metrics."""
    early_warning: NotRequired[dict[str, Any]]
    """Of stays at one hour each."""

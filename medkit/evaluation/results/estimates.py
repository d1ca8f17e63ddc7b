"""Estimates: numbers with their intervals, and differences between two models."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict  # pydantic reads typing's own from Python 3.12 on

Bounds = float | None
Column = list[float | None]


# The docstrings of a class describe its own keys: those that others inherit have a Field.
@with_config(ConfigDict(extra="forbid", use_attribute_docstrings=True))
class Result(TypedDict, total=False):
    """A block of metrics.json."""

    not_estimable: Annotated[str | None, Field(description="Why there is nothing else.")]
    notes: Annotated[list[str], Field(description="What a reader must know.")]


class Bootstrapped(Result, total=False):
    """An interval from resamples of subjects, or why there is none."""

    low: Annotated[Bounds, Field(description="Lower bound.")]
    high: Annotated[Bounds, Field(description="Upper bound.")]
    method: Annotated[str, Field(description="Where the bounds are not the bootstrap's.")]
    degenerate: Annotated[bool, Field(description="All resamples have one value.")]
    undefined: Annotated[int, Field(description="Resamples without a value.")]
    standard_error: Annotated[float, Field(description="Of DeLong's test.")]
    note: Annotated[str, Field(description="What is wrong with the interval.")]


class Estimate(Bootstrapped, total=False):
    """A number with its interval."""

    value: float | None
    """The number; null where it is undefined."""
    delong: Bootstrapped
    """Of an AUROC, DeLong's interval."""
    bland_altman: Bootstrapped
    """Of the differences of numbers, the interval of Bland and Altman."""
    apparent: float
    """Of a distance, as it was seen: with what chance adds to it."""
    if_calibrated: float
    """What a perfectly calibrated model would show in as many rows, on average."""
    if_calibrated_high: float
    """The upper bound of that."""


class Difference(Bootstrapped, total=False):
    """One model minus another, in the same resamples."""

    difference: float | None
    """The first minus the second, whichever direction is better."""
    p: float | None
    """Two-sided p of the hypothesis that they do not differ."""
    z: float
    """Of DeLong's test."""


class Leading(Bootstrapped, total=False):
    """The difference in the metric that a summary leads with."""

    metric: str
    """Its name."""
    value: float | None
    """The network minus the baseline."""
    p: float | None
    """Two-sided p of the hypothesis that they do not differ."""


class Gap(Bootstrapped, total=False):
    """A group of patients less the reference group; see ``fairness_gaps``."""

    value: float | None
    """The difference; of equalized odds the larger of two, without a sign."""
    group: float | None
    """The number of the group."""
    reference: float | None
    """The number of the reference group."""
    p: float | None
    """Two-sided p of the hypothesis that they do not differ."""
    p_holm: float | None
    """Corrected for all gaps of all attributes."""


class Comparison(Result, total=False):
    """Two models on the same rows; see ``compare_outputs``."""

    metrics: dict[str, Difference]
    """By name."""
    delong: Difference | dict[str, Difference]
    """DeLong's test; by label where there are several."""
    mcnemar: dict[str, Any]
    """McNemar's test; by label where there are several."""

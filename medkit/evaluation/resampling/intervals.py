"""Bootstrap intervals that resample patients, not rows, of any statistics."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from medkit.evaluation.resampling.bca import Correction, correction
from medkit.evaluation.resampling.proportions import wilson
from medkit.evaluation.resampling.resampling import Groups, left_out_groups, resample_weights
from medkit.evaluation.results import Bootstrapped, Estimate

NOBODY_CALLED = "no row is called positive"
ONE_SUBJECT = "the rows are of one subject: there are no intervals"
FEWEST_SUBJECTS = 3  # of each class, for an interval of an AUROC
_SAME = 1e-12  # resampled values closer than this differ by rounding only


@dataclass(frozen=True)
class Resampled:
    """Every metric in every resample of the subjects, and with each group of them left out.

    Args:
        replicates: metric -> (resamples,), NaN if undefined.
        left_out: metric -> (groups,), NaN if undefined.
        groups: The groups of subjects; None without resamples.
        curves: Curve -> (resamples, m).
        withheld: Metric -> why it has no interval though it was resampled.
    """

    replicates: dict[str, np.ndarray]
    left_out: dict[str, np.ndarray]
    groups: Groups | None
    curves: dict[str, np.ndarray] = field(default_factory=dict)
    withheld: Mapping[str, str] = field(default_factory=dict)

    def without(self, withheld: Mapping[str, str]) -> Resampled:
        """The same, but no interval of some metrics: metric -> why."""
        return replace(self, withheld={**self.withheld, **withheld})

    def confidence_interval(self, name: str, value: float, confidence: float) -> Bootstrapped:
        """What ``confidence_interval`` returns of one metric."""
        replicates = self.replicates.get(name)
        if replicates is None:
            return confidence_interval(None, confidence)
        if name in self.withheld:
            return {"low": None, "high": None, "note": self.withheld[name]}
        return confidence_interval(replicates, confidence, self.corrected(name, value))

    def estimate(
        self,
        name: str,
        value: float,
        confidence: float,
        otherwise: str,
        among: np.ndarray | None = None,
    ) -> Estimate:
        """``value`` with its interval, or nulls and why it is ``not_estimable``.

        Args:
            name: The metric.
            value: Its value; ``otherwise`` is the reason where it is not finite.
            confidence: Coverage of the interval.
            otherwise: Why there is no value.
            among: Subjects in the denominator of a proportion; None of what is none.
        """
        if not math.isfinite(value):
            return not_estimable(otherwise)
        found: Estimate = {"value": value, **self.confidence_interval(name, value, confidence)}
        return found if among is None else with_wilson(found, among, confidence)

    def corrected(self, name: str, value: float) -> Correction | None:
        """The metric's correction; None where it is undefined."""
        replicates = self.replicates[name]
        defined = replicates[np.isfinite(replicates)]
        if self.groups is None or len(defined) == 0 or not np.isfinite(value):
            return None
        return correction(defined, float(value), self.left_out[name], self.groups)

    def p_value(self, name: str, value: float) -> float:
        """Two-sided p of the hypothesis that the metric, a difference, is 0."""
        replicates = self.replicates[name]
        corrected = self.corrected(name, value) or Correction()
        return corrected.p_value(replicates[np.isfinite(replicates)], value)

    def band(self, curve: str, points: int, confidence: float) -> dict[str, np.ndarray]:
        """``low`` and ``high``, (points,) each: pointwise bounds of a curve; NaN without any."""
        low = high = np.full(points, np.nan)
        if curve in self.curves:
            tail = (1 - confidence) / 2
            low, high = np.nanquantile(self.curves[curve], [tail, 1 - tail], axis=0)
        return {"low": low, "high": high}

    def less(self, other: Resampled) -> Resampled:
        """The differences to another model in the same resamples."""
        return Resampled(
            {name: each - other.replicates[name] for name, each in self.replicates.items()},
            {name: each - other.left_out[name] for name, each in self.left_out.items()},
            self.groups,
            withheld={**other.withheld, **self.withheld},
        )


def resample_by(
    score: Callable[[np.ndarray], Mapping[str, Any]],
    codes: np.ndarray,
    strata: np.ndarray | None,
    resamples: int,
    seed: int,
) -> Resampled:
    """Any statistics in every resample of the subjects.

    A bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993) over clusters: rows
    of one patient are not independent, so whole patients are drawn (Field and Welsh,
    Bootstrapping clustered data, J. R. Stat. Soc. B 69, 2007), by stratum as ``resample_weights``
    describes.

    Args:
        score: (B, n) weights of the rows -> name -> (B,) values, NaN if undefined, or (B, m)
            of a curve.
        codes: (n,) subject number of each row.
        strata: (subjects,) stratum of each subject, as ``outcome_strata`` gives them, or None.
        resamples: Number of resamples.
        seed: Seed of the draws.

    Returns:
        Without anything in it where there are no resamples, or one subject only.
    """
    drawn = replicates_of(score, codes, strata, resamples, seed)
    if not drawn:
        return Resampled({}, {}, None)
    groups = left_out_groups(codes, seed, strata)
    without = _collected(score, groups.weights(codes))
    curves = {name: values for name, values in drawn.items() if values.ndim > 1}
    scalars = {name: values for name, values in drawn.items() if values.ndim == 1}
    return Resampled(scalars, {name: without[name] for name in scalars}, groups, curves)


def replicates_of(
    measure: Callable[[np.ndarray], Mapping[str, Any]],
    codes: np.ndarray,
    strata: np.ndarray | None,
    resamples: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """Name -> (resamples, …) of a measure; empty without resamples, or with one subject only."""
    if resamples == 0 or len(codes) == 0 or codes.max() == 0:
        return {}
    return _collected(measure, resample_weights(codes, resamples, seed, strata))


def _collected(
    measure: Callable[[np.ndarray], Mapping[str, Any]], chunks: Iterable[np.ndarray]
) -> dict[str, np.ndarray]:
    found: dict[str, list[np.ndarray]] = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        for weights in chunks:
            for name, values in measure(weights).items():
                whole = values if np.ndim(values) else np.full(len(weights), values, float)
                found.setdefault(name, []).append(np.asarray(whole, float))
    return {name: np.concatenate(each) for name, each in found.items()}


def confidence_interval(
    replicates: np.ndarray | None, confidence: float, corrected: Correction | None = None
) -> Bootstrapped:
    """Interval from resampled values: ``low``, ``high``, and what is wrong with it.

    Resamples in which the metric is undefined (one class only, say) are left out. More than one
    in a hundred of them is reported as ``undefined``; with more than half of them there is no
    interval. Where all resamples have one value (an AUROC of 1, say), ``degenerate`` is true: the
    bootstrap cannot tell how far the number would move.

    Args:
        replicates: (B,) resampled values, NaN if undefined; None for none.
        confidence: Coverage, such as 0.95.
        corrected: Which quantiles to take; None: the plain percentiles.
    """
    if replicates is None or len(replicates) == 0:
        return {"low": None, "high": None}
    defined = replicates[np.isfinite(replicates)]
    undefined = len(replicates) - len(defined)
    found: Bootstrapped = {"low": None, "high": None}
    if len(defined) * 2 >= len(replicates):
        tail = (1 - confidence) / 2
        levels = corrected.quantiles(confidence) if corrected else (tail, 1 - tail)
        low, high = (_exact(float(each)) for each in np.quantile(defined, levels))
        found = {"low": low, "high": high}
        if np.ptp(defined) < _SAME:
            found["degenerate"] = True
    if undefined * 100 > len(replicates):
        found["undefined"] = int(undefined)
    return found


def _exact(value: float) -> float:
    """0 and 1 where rounding alone is between: weights are fractions, and -4e-16 is no share."""
    nearest = round(value)
    return float(nearest) if abs(value - nearest) < _SAME and nearest in (0, 1) else value


def too_few(subjects: Mapping[str, int], needed: int = FEWEST_SUBJECTS) -> str | None:
    """Why an interval of how well a model discriminates would mean nothing; None if it may.

    With 1, 2 and 3 subjects of a class, nominal 95 % intervals of an AUROC cover some 20, 70 and
    90 % (``benchmarks/coverage.py``).

    Args:
        subjects: Class -> subjects with rows of it; of none there is nothing to estimate.
        needed: How many of each there must be.
    """
    short = [f"{name} ({n})" for name, n in subjects.items() if 0 < n < needed]
    if not short:
        return None
    return (
        f"too few subjects for an interval: {', '.join(short)}; {needed} of each class are needed"
    )


def not_estimable(reason: str) -> Estimate:
    """An estimate that there is not."""
    return {"value": None, "low": None, "high": None, "not_estimable": reason}


def with_wilson(found: Estimate, among: np.ndarray, confidence: float) -> Estimate:
    """A proportion of 0 or 1 that no resample moves has Wilson's interval, ``method: wilson``.

    Args:
        found: ``value``, ``low``, ``high`` and, where it applies, ``degenerate``; changed.
        among: Subjects of the rows in the denominator: each counts once.
        confidence: Coverage of the interval.
    """
    if found.get("degenerate") and found["value"] in (0.0, 1.0) and len(among):
        count = len(np.unique(among))
        found["low"], found["high"] = wilson(float(found["value"]), count, confidence)
        found["method"] = "wilson"
        del found["degenerate"]
    return found


def plain(value: Any) -> Any:
    """Numbers and containers as JSON has them: no numpy types, null for NaN and infinities."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value

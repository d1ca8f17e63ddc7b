"""Bootstrap intervals corrected for bias, skewness and small samples, and p-values from them."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from medkit.evaluation.resampling.resampling import Groups

_SAME = 1e-12  # values closer than this differ by rounding only
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Correction:
    """What takes a nominal quantile z to the quantile of the resampled values.

    z0 + (z0 + z) / (1 - a (z0 + z)), as a normal quantile (BCa: Efron, Better bootstrap
    confidence intervals, J. Am. Stat. Assoc. 82, 1987), with z = w t, t the quantile of
    Student's distribution: the plain percentiles are too narrow in small samples (Hesterberg,
    What teachers should know about the bootstrap, Am. Stat. 69, 2015).

    Args:
        bias: z0, the normal quantile of the share of resampled values below the estimate.
        acceleration: a, from the skewness of what the estimate loses with each subject.
        freedom: Degrees of freedom of t.
        widening: w, the square root of n / (n - 1).
    """

    bias: float = 0.0
    acceleration: float = 0.0
    freedom: float = np.inf
    widening: float = 1.0

    def quantiles(self, confidence: float) -> tuple[float, float]:
        """Which quantiles of the resampled values are the bounds."""
        from scipy.special import ndtr, stdtrit

        half = self.widening * stdtrit(self.freedom, (1 + confidence) / 2)
        reached = self.bias + np.array([-half, half])
        shrink = 1 - self.acceleration * reached
        if (shrink <= 0.1).any():  # the formula has a pole: very skewed and very few
            shrink = np.ones(2)
        low, high = ndtr(self.bias + reached / shrink)
        return float(low), float(high)

    def p_value(self, replicates: np.ndarray, value: float) -> float:
        """Two-sided p of the hypothesis that the estimated difference is 0.

        1 less the confidence at which the interval ends at 0. Where no resample reaches 0 they
        only tell that p is below 2 / (B + 1), too coarse to be corrected for many tests: there
        it is Student's, of the estimate over the standard deviation of the resampled values.

        Args:
            replicates: (B,) resampled differences, those that are defined.
            value: The estimate.
        """
        from scipy.special import ndtri, stdtr

        if np.abs(replicates).max() < _SAME:
            return 1.0
        smallest = 2 / (len(replicates) + 1)
        if (replicates > _SAME).all() or (replicates < -_SAME).all():
            spread = float(np.std(replicates, ddof=1)) if len(replicates) > 1 else 0.0
            if spread < _SAME:
                return smallest
            z = abs(value) / (spread * self.widening)
            return min(smallest, float(2 * stdtr(self.freedom, -z)))
        reached = ndtri(_share_below(replicates, 0.0)) - self.bias
        z = reached / max(1 + self.acceleration * reached, 0.1) - self.bias
        return max(smallest, float(2 * stdtr(self.freedom, -abs(z) / self.widening)))


def correction(
    replicates: np.ndarray, value: float, left_out: np.ndarray, groups: Groups
) -> Correction:
    """The correction for one metric.

    Acceleration: Σ u³ / (6 (Σ u²)^1.5), where u is what leaving a group of subjects out takes
    away. The degrees of freedom are Welch's and Satterthwaite's for the variances of u in each
    stratum, and between strata: a sensitivity has those of the positive subjects.

    Args:
        replicates: (B,) resampled values, those that are defined.
        value: The estimate.
        left_out: (groups,) the estimate without each group; NaN if undefined.
        groups: The groups.
    """
    bias = _NORMAL.inv_cdf(_share_below(replicates, value))
    known = np.isfinite(left_out)
    losses = np.where(known, np.mean(left_out[known]) - left_out, 0.0) if known.any() else 0.0
    losses = np.broadcast_to(losses, len(groups.stratum)).astype(float)
    total = (losses**2).sum()
    subjects = int(groups.sizes.sum())
    if total < _SAME**2:
        return Correction(bias, 0.0, subjects - 1, float(np.sqrt(subjects / (subjects - 1))))
    acceleration = (losses**3).sum() / (6 * total**1.5)
    counts = np.bincount(groups.stratum)
    means = np.bincount(groups.stratum, losses) / counts
    within = np.bincount(groups.stratum, (losses - means[groups.stratum]) ** 2)
    variances = np.append(within, (counts * (means - losses.mean()) ** 2).sum())
    sizes = np.append(groups.sizes, subjects)
    freedom = variances.sum() ** 2 / (variances**2 / np.maximum(sizes - 1, 1)).sum()
    unbiased = (variances * sizes / np.maximum(sizes - 1, 1)).sum() / variances.sum()
    return Correction(bias, float(acceleration), float(freedom), float(np.sqrt(unbiased)))


def _share_below(replicates: np.ndarray, value: float) -> float:
    """Share of the values below, ties counted half, never quite 0 or 1."""
    below = (replicates < value - _SAME).sum() + 0.5 * (np.abs(replicates - value) <= _SAME).sum()
    smallest = 1 / (len(replicates) + 1)
    return float(np.clip(below / len(replicates), smallest, 1 - smallest))

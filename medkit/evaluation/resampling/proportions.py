"""Intervals of proportions that no resample moves: 53 right of 53 is no certainty."""

from __future__ import annotations

import math
from statistics import NormalDist


def wilson(share: float, count: int, confidence: float) -> tuple[float, float]:
    """Bounds of the score interval of a proportion.

    Wilson, Probable inference, the law of succession, and statistical inference, J. Am. Stat.
    Assoc. 22, 1927.

    Args:
        share: Observed proportion, 0 to 1.
        count: Number of independent observations, at least 1.
        confidence: Coverage, such as 0.95.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    stretched = 1 + z**2 / count
    centre = (share + z**2 / (2 * count)) / stretched
    half = z * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / stretched
    # At 0 and 1 the nearer bound is the share itself, but for rounding.
    low = 0.0 if share == 0 else max(centre - half, 0.0)
    high = 1.0 if share == 1 else min(centre + half, 1.0)
    return low, high


def newcombe(
    shares: tuple[float, ...], counts: tuple[int, int], confidence: float
) -> tuple[float, float]:
    """Bounds of the difference of two independent proportions, from the score interval of each.

    d - sqrt((p1 - l1)² + (u2 - p2)²) to d + sqrt((u1 - p1)² + (p2 - l2)²) (Newcombe, Interval
    estimation for the difference between independent proportions, Stat. Med. 17, 1998, method 10).

    Args:
        shares: The two observed proportions.
        counts: Number of independent observations of each, at least 1.
        confidence: Coverage, such as 0.95.
    """
    (low1, high1), (low2, high2) = (
        wilson(share, count, confidence) for share, count in zip(shares, counts, strict=True)
    )
    difference = shares[0] - shares[1]
    below = math.hypot(shares[0] - low1, high2 - shares[1])
    above = math.hypot(high1 - shares[0], shares[1] - low2)
    return difference - below, difference + above


def newcombe_p(shares: tuple[float, ...], counts: tuple[int, int]) -> float:
    """Two-sided p: 1 less the confidence at which Newcombe's interval ends at 0."""
    if shares[0] == shares[1]:
        return 1.0
    low, high = 0.0, 1 - 1e-12
    for _ in range(60):
        middle = (low + high) / 2
        bounds = newcombe(shares, counts, middle)
        low, high = (low, middle) if bounds[0] <= 0 <= bounds[1] else (middle, high)
    return 1 - high

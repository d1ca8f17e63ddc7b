"""Distances between predicted and observed shares, without what chance adds to them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from medkit.evaluation.results import Estimate

DISTANCES = ("ece", "ece_equal_width", "ici")
_MOST = 1e3  # times the distance that was seen
_HALVINGS = 30


def distance(gaps: np.ndarray, drawn: np.ndarray | None, confidence: float) -> Estimate:
    """Σ |gap| with the part of chance taken away, and an interval by inverting a test.

    Were the true gaps λ times those seen, Σ |λ gap + ε| would be seen, ε the deviations of the
    resampled gaps from those of the rows. ``value`` is λ Σ |gap| at the λ with which what was seen
    is the median (0 where even a perfect model shows more), so that it is as often too high as too
    low; ``low`` and ``high`` are those at which it is the upper and the lower 2.5 % (Efron and
    Tibshirani, An Introduction to the Bootstrap, 1993, section 12.3: test inversion). Resampling
    patients makes ε that of patients.

    Args:
        gaps: (m,) observed less predicted in each bin, or at each point of a curve, times its
            share of the rows.
        drawn: (B, m) the same in each resample; None without resamples.
        confidence: Coverage of the interval.

    Returns:
        ``value``, ``low``, ``high``, ``method: inverted``, ``apparent`` (Σ |gap| as seen), and
        ``if_calibrated`` and ``if_calibrated_high``: the mean, and the upper bound (97.5 %), of
        what a perfectly calibrated model would show in as many rows.
    """
    seen = float(np.abs(gaps).sum())
    noise = np.empty((0, len(gaps))) if drawn is None else drawn[np.isfinite(drawn).all(axis=1)]
    if len(noise) == 0:
        note = "no resamples to take away what chance adds to it"
        return {"value": seen, "low": None, "high": None, "apparent": seen, "note": note}
    noise = noise - gaps
    by_chance = np.abs(noise).sum(axis=1)
    tail = (1 - confidence) / 2

    def below(times: float) -> float:
        return float(np.mean(np.abs(times * gaps + noise).sum(axis=1) <= seen))

    low, value, high = (_falls_to(level, below) * seen for level in (1 - tail, 0.5, tail))
    return {
        "value": value, "low": low, "high": high, "method": "inverted", "apparent": seen,
        "if_calibrated": float(by_chance.mean()),
        "if_calibrated_high": float(np.quantile(by_chance, 1 - tail)),
    }  # fmt: skip


def _falls_to(level: float, share: Callable[[float], float]) -> float:
    """Where a share that falls from 0 on comes down to a level; 0 where it is there already."""
    low, high = 0.0, 1.0
    if share(low) <= level:
        return 0.0
    while share(high) > level and high < _MOST:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if share(middle) > level else (low, middle)
    return low

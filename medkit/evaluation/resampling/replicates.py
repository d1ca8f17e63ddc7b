"""Any measure of weighted rows, in the resamples that all intervals of a run come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from medkit.evaluation.resampling.intervals import Resampled
from medkit.evaluation.resampling.resampling import left_out_groups, resample_weights

# (B, n) weights -> name -> (B,) or, for curves, (B, m).
Measure = Callable[[np.ndarray], dict[str, np.ndarray]]


def replicate(
    measure: Measure, codes: np.ndarray, strata: np.ndarray | None, resamples: int, seed: int
) -> tuple[Resampled, dict[str, np.ndarray]]:
    """A measure in every resample of the subjects, as ``intervals.resample`` draws them.

    Args:
        measure: (B, n) weights -> name -> (B,) or (B, m).
        codes: (n,) subject number of each row.
        strata: (subjects,) from ``outcome_strata``.
        resamples: Number of resamples.
        seed: Seed of the draws.

    Returns:
        The numbers, ready for ``Resampled.interval``, and of each curve (resamples, m). Both are
        empty without resamples, or with one subject only.
    """
    if resamples == 0 or len(codes) == 0 or codes.max() == 0:
        return Resampled({}, {}, None), {}

    def collected(chunks: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
        found: dict[str, list[np.ndarray]] = {}
        for weights in chunks:
            for name, values in measure(weights).items():
                found.setdefault(name, []).append(values)
        return {name: np.concatenate(each) for name, each in found.items()}

    groups = left_out_groups(codes, seed, strata)
    drawn = collected(resample_weights(codes, resamples, seed, strata))
    without = collected(groups.weights(codes))
    numbers = {name: values for name, values in drawn.items() if values.ndim == 1}
    curves = {name: values for name, values in drawn.items() if values.ndim > 1}
    left_out = {name: without[name] for name in numbers}
    return Resampled(numbers, left_out, groups), curves

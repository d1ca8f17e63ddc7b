"""Whether probabilities mean what they say: calibration with intervals, curve and bins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from medkit.evaluation.calibration.agreement import Agreement
from medkit.evaluation.calibration.reliability import Reliability
from medkit.evaluation.methods import Questions, methods_for
from medkit.evaluation.resampling.intervals import ONE_SUBJECT, plain, resample_by
from medkit.evaluation.results import Calibration
from medkit.evaluation.rows import EvaluatedRows
from medkit.tasks.outcomes import Outcome

_OF_KIND: dict[str, Callable[..., Agreement | Reliability]] = {
    "number": Agreement, "yes_no": Reliability
}  # fmt: skip


def calibration_of(
    rows: EvaluatedRows,
    *,
    before: np.ndarray | None = None,
    recalibration: Mapping[str, Any] | None = None,
) -> Calibration:
    """How well the outputs of one part are calibrated: ``metrics["test"]["calibration"]``.

    Args:
        rows: With the saved model's outputs, recalibrated if it recalibrates.
        before: (n, outputs) the outputs without the recalibration layer; None without one.
        recalibration: What ``fit_recalibration`` returned; None if nothing was asked for.

    Returns:
        With ``kind``, that of the outcome, and by kind:

        - yes_no: a *block*, see below; of several ``per_label`` (label -> block).
        - class: ``per_class`` (class -> block, one against the rest) and ``top_label`` (a
          block of whether the most probable class is right against its probability).
        - number: ``per_output`` (output -> ``{n, subjects, resamples, metrics,
          within_limits, percentiles, curve, histogram, notes?}``, see ``Agreement.described``).

        and, where a recalibration was asked for, ``recalibration`` (its state: ``kind`` in use,
        ``asked`` for, ``rows``, ``warning`` or null, parameters) and, if it changed the outputs,
        ``before`` (the same by kind, of the outputs before it; no ``kind``).

        Of a part without rows, or with outputs that are not finite, only ``kind`` and
        ``not_estimable`` (text) are returned.

        A block is ``{n, subjects, positives, resamples, metrics, bins, curve, histogram,
        notes?}``; ``resamples`` may be fewer than asked for, down to 200, where rows and outcomes
        are very many.

        - ``metrics``: name -> ``{value, low, high, degenerate?, undefined?, method?,
          not_estimable?}``; value is null where ``not_estimable`` (text) says why. Names:
          ``in_the_large`` (logit scale, 0 is perfect), ``observed_expected`` (ratio, 1),
          ``intercept`` (0) and ``slope`` (1) of the logistic calibration, ``brier``,
          ``brier_scaled`` (1 - brier / uncertainty), ``reliability``, ``resolution``,
          ``uncertainty`` and ``within_bins`` (brier = reliability - resolution + uncertainty +
          within_bins; no intervals of these but ``uncertainty``'s), and ``ece`` (bins of equal
          size), ``ece_equal_width`` and ``ici`` (mean absolute distance of the curve from the
          diagonal), which chance alone makes larger: ``value`` is without that, ``apparent`` with
          it, ``if_calibrated`` and ``if_calibrated_high`` are the mean and the upper bound (97.5 %)
          of what a perfectly calibrated model would show in as many rows; see ``distance``.
        - ``bins``: up to 10 of equal size, ``[{n, predicted, observed, low, high}, …]``, with
          Wilson's interval of the share observed, on the number of subjects.
        - ``curve``: ``{predicted: [m], observed: [m], low: [m], high: [m]}``, m up to 50 points,
          loess with a pointwise band; low and high hold nulls without a bootstrap. null where no
          curve can be drawn; a note says why.
        - ``histogram``: ``{edges: [21], positives: [20], negatives: [20]}`` counts of rows.
        - ``notes``: list of sentences for the reader.
    """
    found: Calibration = {"kind": rows.task.outcome, **_described(rows, rows.p)}
    if recalibration is not None:
        found["recalibration"] = dict(recalibration)
        if before is not None and recalibration.get("kind") != "none":
            found["before"] = _described(rows, before)
    return plain(found)


def _described(rows: EvaluatedRows, outputs: np.ndarray) -> Calibration:
    p = np.asarray(outputs, np.float64)
    p = p[:, None] if p.ndim == 1 else p
    if len(p) == 0:
        return {"not_estimable": "there are no rows"}
    wrong = int((~np.isfinite(p).all(axis=1)).sum())
    if wrong:
        return {"not_estimable": f"{wrong} of {len(p)} predictions are not finite"}

    def blocks(parts: Questions) -> dict[str | None, Calibration]:
        resamples = rows.affordable(len(parts))
        return {name: _block(rows, part, resamples) for name, part in parts.items()}

    return methods_for(rows.task).calibration(np.asarray(rows.y), p, blocks)


def _block(rows: EvaluatedRows, part: Outcome, resamples: int) -> Calibration:
    """One outcome, measured numbers or yes and no; made one after the other, for the memory."""
    codes, confidence = rows.codes, rows.settings.confidence
    of = _OF_KIND[part.kind](part.y, part.p, codes)
    resampled = resample_by(of.measure, codes, rows.strata, resamples, rows.seed)
    found: Calibration = {"n": len(codes), "subjects": int(codes.max()) + 1}
    if isinstance(of, Reliability):
        found["positives"] = int(of.y.sum())
    found["resamples"] = resamples if resampled.groups is not None else 0
    found.update(of.described(resampled, codes, confidence, rows.seed))
    if resamples and resampled.groups is None:
        found["notes"] = [*found.get("notes", []), ONE_SUBJECT]
    return found

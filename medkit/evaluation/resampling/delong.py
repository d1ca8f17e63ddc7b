"""DeLong's variance of the AUROC and test of two of them, also for several rows per subject.

Shapes returned (plain Python, as JSON has it):

* ``delong_interval`` -> ``{"low": float, "high": float, "standard_error": float}``, or
  ``{"low": None, "high": None, "note": reason}``.
* ``delong_test`` -> ``{"difference", "low", "high", "standard_error", "z", "p"}`` of floats, or
  ``{"difference": float | None, "low": None, "high": None, "p": float | None, "note": reason}``
  (``p`` is 1 where both models rank every pair alike, and None where nothing can be tested).
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from medkit.core.errors import DataError
from medkit.evaluation.resampling.intervals import FEWEST_SUBJECTS
from medkit.evaluation.results import Bootstrapped, Difference

_NO_SPREAD = 1e-14  # variances below this are rounding


def delong_interval(
    y: np.ndarray, p: np.ndarray, confidence: float = 0.95, subjects: np.ndarray | None = None
) -> Bootstrapped:
    """Interval of an AUROC A from DeLong's variance, on the logit scale.

    log(A / (1 - A)) ± t · SE / (A (1 - A)), turned back (Pepe, The Statistical Evaluation of
    Medical Tests, 2003, section 5.2.4): unlike A ± t · SE it stays within 0 and 1, and it covers
    better in small samples of high AUROC. t is Student's quantile with one degree of freedom less
    than the rarer class has subjects, whose variance is hardly better known than theirs: with the
    normal quantile 88 to 91 % were covered where few had the outcome.

    Args:
        y: (n,) or (n, 1), 0 or 1.
        p: (n,) or (n, 1) scores, higher for 1.
        confidence: Coverage, such as 0.95.
        subjects: (n,) subject of each row; None: every row is a subject of its own.

    Returns:
        ``low``, ``high`` and ``standard_error`` (of A itself), or null bounds and a ``note``.

    Raises:
        DataError: Lengths differ, targets other than 0 and 1, or scores that are not finite.
    """
    from scipy.special import stdtrit

    y, scores, codes = _checked(y, [p], subjects)
    missing = _too_few(y, codes)
    if missing:
        return {"low": None, "high": None, "note": missing}
    areas, covariance = delong_covariance(y, scores, codes)
    area, variance = float(areas[0]), float(covariance[0, 0])
    if variance < _NO_SPREAD:
        reason = f"AUROC {area:.3g}: no row ranks differently from the others of its class"
        return {"low": None, "high": None, "note": reason}
    error = math.sqrt(variance)
    if not 0 < area < 1:
        return {"low": None, "high": None, "note": f"AUROC {area:.3g}: it has no logit"}
    centre = math.log(area / (1 - area))
    rarer = min(len(np.unique(codes[y == each])) for each in (0, 1))
    half = float(stdtrit(rarer - 1, (1 + confidence) / 2)) * error / (area * (1 - area))
    low, high = (1 / (1 + math.exp(-bound)) for bound in (centre - half, centre + half))
    return {"low": low, "high": high, "standard_error": error}


def delong_test(
    y: np.ndarray,
    p1: np.ndarray,
    p2: np.ndarray,
    subjects: np.ndarray | None = None,
    confidence: float = 0.95,
) -> Difference:
    """Test of the hypothesis that two models have one AUROC, on the same rows.

    z = (A1 - A2) / sqrt(V11 + V22 - 2 V12), two-sided against the normal distribution (DeLong,
    DeLong and Clarke-Pearson, Comparing the areas under two or more correlated receiver operating
    characteristic curves, Biometrics 44, 1988).

    Args:
        y: (n,) or (n, 1), 0 or 1.
        p1: (n,) or (n, 1) scores of the first model.
        p2: (n,) or (n, 1) scores of the second.
        subjects: (n,) subject of each row; None: every row is a subject of its own.
        confidence: Coverage of the interval of the difference (A1 - A2 ± z · SE).

    Returns:
        ``difference`` (first minus second), ``low``, ``high``, ``standard_error``, ``z`` and ``p``;
        see the head of this file for what cannot be tested.

    Raises:
        DataError: Lengths differ, targets other than 0 and 1, or scores that are not finite.
    """
    y, scores, codes = _checked(y, [p1, p2], subjects)
    missing = _too_few(y, codes)
    if missing:
        return {"difference": None, "low": None, "high": None, "p": None, "note": missing}
    areas, covariance = delong_covariance(y, scores, codes)
    difference = float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if variance < _NO_SPREAD:
        same = abs(difference) < 1e-12
        note = "both rank the rows alike" if same else "the difference has no variance"
        found: Difference = {"difference": difference, "low": None, "high": None}
        return {**found, "p": 1.0 if same else None, "note": note}
    error = math.sqrt(variance)
    half = _quantile(confidence) * error
    return {
        "difference": difference,
        "low": difference - half,
        "high": difference + half,
        "standard_error": error,
        "z": difference / error,
        "p": math.erfc(abs(difference / error) / math.sqrt(2)),
    }


def delong_covariance(
    y: np.ndarray, scores: np.ndarray, codes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """AUROC of each model and their covariance.

    With M positive and N negative rows, the midrank T of a row among all rows and T⁺, T⁻ among
    those of its own class, a positive row wins V10 = (T - T⁺) / N of its pairs and a negative one
    V01 = 1 - (T - T⁻) / M (Sun and Xu, Fast implementation of DeLong's algorithm, IEEE Signal
    Processing Letters 21, 2014). Summed within subjects and centred they give

        V = I⁺/(I⁺-1) Σ a a' / M² + I⁻/(I⁻-1) Σ b b' / N² + I/(I-1) Σ (a b' + b a') / (M N)

    with a = Σ (V10 - A), b = Σ (V01 - A) over the rows of a subject, and I⁺, I⁻, I the subjects
    with positive rows, with negative rows, and in all (Obuchowski, Nonparametric analysis of
    clustered ROC curve data, Biometrics 53, 1997). One row for each subject leaves DeLong's own.

    Args:
        y: (n,) 0 or 1, both present.
        scores: (models, n).
        codes: (n,) subject numbers 0 ….

    Returns:
        (models,) areas and (models, models) covariance.
    """
    from scipy.stats import rankdata

    positive = y == 1
    positives, negatives = int(positive.sum()), int((~positive).sum())
    together = rankdata(scores, axis=1)
    wins = (together[:, positive] - rankdata(scores[:, positive], axis=1)) / negatives
    losses = 1 - (together[:, ~positive] - rankdata(scores[:, ~positive], axis=1)) / positives
    areas = wins.mean(axis=1)
    count = int(codes.max()) + 1
    a = _summed(wins - areas[:, None], codes[positive], count)
    b = _summed(losses - areas[:, None], codes[~positive], count)
    of_positive, of_negative = (len(np.unique(codes[rows])) for rows in (positive, ~positive))
    mixed = a @ b.T
    covariance = (
        _unbiased(of_positive) * (a @ a.T) / positives**2
        + _unbiased(of_negative) * (b @ b.T) / negatives**2
        + _unbiased(count) * (mixed + mixed.T) / (positives * negatives)
    )
    return areas, covariance


def _summed(values: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
    """(models, rows) -> (models, subjects)."""
    return np.stack([np.bincount(codes, each, minlength=count) for each in values])


def _unbiased(count: int) -> float:
    return count / (count - 1)


def _quantile(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _too_few(y: np.ndarray, codes: np.ndarray) -> str | None:
    """Why there is no variance, or None."""
    for name, rows in (("positive", y == 1), ("negative", y == 0)):
        subjects = len(np.unique(codes[rows]))
        if subjects < FEWEST_SUBJECTS:
            who = ("no subject has", "one subject only has", "two subjects only have")[subjects]
            return f"{who} {name} rows; an interval needs {FEWEST_SUBJECTS}"
    return None


def _checked(
    y: np.ndarray, outputs: list[np.ndarray], subjects: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    y = np.asarray(y, dtype=float).ravel()
    scores = np.stack([np.asarray(each, dtype=float).ravel() for each in outputs])
    if scores.shape[1] != len(y) or (subjects is not None and len(subjects) != len(y)):
        raise DataError(f"{scores.shape[1]} predictions for {len(y)} targets")
    if not np.isin(y, (0, 1)).all():
        raise DataError("targets other than 0 and 1 have no AUROC")
    wrong = ~np.isfinite(scores).all(axis=0)
    if wrong.any():
        raise DataError(
            f"{wrong.sum()} of {len(y)} predictions are not finite "
            f"(first at row {np.flatnonzero(wrong)[0] + 1})",
            hint="Predict again, or leave these rows out and say so.",
        )
    if subjects is None:
        return y, scores, np.arange(len(y))
    return y, scores, np.unique(np.asarray(subjects), return_inverse=True)[1]

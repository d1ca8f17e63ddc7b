"""Two models on the same rows: differences with intervals, DeLong's test and McNemar's.

Differences are A minus B, whichever direction is better. ``low``, ``high`` and ``p`` are null
without a bootstrap, where many resamples have no value, or where ``not_estimable`` (text) stands
beside them; ``undefined`` and ``degenerate`` as in ``intervals.confidence_interval``. ``delong``
is there for a binary task, and for multilabel as ``{label: …}``; instead of bounds it may hold a
``note``.
``mcnemar`` is there for binary and multiclass, and for multilabel as ``{label: …}``; ``only_a`` and
``only_b`` count the rows that A (or B) alone predicts rightly, ``method`` is ``mid-p`` or
``clustered`` (which adds ``statistic``), ``p`` is 1 where the two never differ.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from medkit.core.errors import DataError
from medkit.evaluation.clusters import FEWEST, subjects_among
from medkit.evaluation.methods import methods_for
from medkit.evaluation.notes import doubts
from medkit.evaluation.part_metrics import resample
from medkit.evaluation.resampling.delong import delong_test
from medkit.evaluation.resampling.intervals import plain, too_few
from medkit.evaluation.results import Comparison, Difference
from medkit.evaluation.rows import EvaluatedRows

_SAME = 1e-12  # a difference smaller than this is rounding
_FEW_DISCORDANT = 10  # subjects below which the clustered test's chi-square is a rough guide


def compare_outputs(a: EvaluatedRows, b: EvaluatedRows) -> Comparison:
    """Compare two models' outputs on the same rows.

    Both are measured in the same resamples of the subjects, so that the interval is that of the
    paired difference; its p-value is 1 less the confidence at which the interval ends at 0 (see
    ``bca.Correction.p_value``).

    Args:
        a: The rows with the outputs of the first model and its threshold, chosen on its
            validation rows.
        b: The same rows with those of the second.

    Returns:
        What can be compared; see the head of this file.

    Raises:
        DataError: Other numbers of rows, or outputs that are not finite.
    """
    for each in (a.p, b.p, a.codes):
        if len(each) != len(a):
            raise DataError(f"{len(each)} predictions or subjects for {len(a)} targets")
    found: Comparison = {"metrics": _differences(a, b)}
    asked = [methods_for(of.task).yes_no(of.y, of.p) for of in (a, b)]
    if asked[0]:
        found["delong"] = _by_label({
            label: delong_test(of.y, of.p.astype(float), asked[1][label].p.astype(float), a.codes,
                               a.settings.confidence)
            for label, of in asked[0].items()
        })  # fmt: skip
    right_a, right_b = (methods_for(of.task).right(of.y, of.p, of.threshold) for of in (a, b))
    if right_a:
        found["mcnemar"] = _by_label(
            {label: mcnemar(of, right_b[label], a.codes) for label, of in right_a.items()}
        )
    notes = doubts(a)
    if notes:
        found["notes"] = notes
    return plain(found)


def _differences(a: EvaluatedRows, b: EvaluatedRows) -> dict[str, Difference]:
    values_a, values_b = (of.task.measure(of.statistics) for of in (a, b))
    differences = resample(a).less(resample(b)).without(_too_alike(a, b))
    found: dict[str, Difference] = {}
    for name, value_a in values_a.items():
        value = value_a - values_b[name]
        found[name] = {"difference": value}
        if not math.isfinite(value):
            reason = "undefined in these rows"
            found[name] |= {"low": None, "high": None, "p": None, "not_estimable": reason}
            continue
        found[name] |= differences.confidence_interval(name, value, a.settings.confidence)
        found[name]["p"] = None
        if found[name].get("degenerate") and abs(value) > _SAME:
            found[name]["not_estimable"] = "the same in all resamples: no test"
        elif found[name]["low"] is not None:
            found[name]["p"] = differences.p_value(name, value)
    return found


def _too_alike(a: EvaluatedRows, b: EvaluatedRows) -> dict[str, str]:
    """Metric -> why a difference in it has no interval: few with the outcome, or few that differ.

    With fewer than 10 such patients nominal 95 % intervals covered 65 to 90 %
    (``benchmarks/coverage.py``).
    """
    methods, y = methods_for(a.task), np.asarray(a.y)
    found: dict[str, str] = {}
    ranked = methods.ranked(y)
    if methods.key is None:  # one question: every metric is about its two outcomes
        ranked = dict.fromkeys((each.name for each in a.task.metrics), methods.occurrences(y))
    for metric, classes in ranked.items():
        if reason := too_few({n: subjects_among(a.codes, r) for n, r in classes.items()}, FEWEST):
            found[metric] = reason
    among = [methods.denominators(y, np.asarray(of.p), of.threshold) for of in (a, b)]
    right = [methods.right(y, np.asarray(of.p), of.threshold) for of in (a, b)]
    for label, of_a in right[0].items():
        differ = of_a != right[1][label]
        ending = "" if label is None else f"_{label}"
        for metric in ("accuracy", "precision", "recall", "specificity"):
            name = metric + ending
            if name not in among[0] or name in found:
                continue
            rows = differ & (among[0][name] | among[1][name])
            count = subjects_among(a.codes, rows)
            if 0 < count < FEWEST:
                found[name] = (
                    f"no interval: the models differ in {count} subject{'s' * (count != 1)} only; "
                    f"{FEWEST} are needed"
                )
    return found


def _by_label(found: dict[Any, Any]) -> Any:
    return found[None] if list(found) == [None] else found


def mcnemar(right_a: np.ndarray, right_b: np.ndarray, codes: np.ndarray) -> dict[str, Any]:
    """Whether one model is right more often than the other, from the rows where they differ.

    One row for each subject: McNemar's exact test with the mid-p correction, since the exact test
    itself is too cautious (Fagerland, Lydersen and Laake, The McNemar test for binary matched-pairs
    data, BMC Med. Res. Methodol. 13, 2013): 2 P(X < k) + P(X = k), X binomial(b + c, 1/2) and
    k = min(b, c).

    Several rows for a subject: (Σ d)² / Σ d² against chi-square with one degree of freedom, where
    d is by how many of a subject's rows A is right more often than B (Obuchowski, On the comparison
    of correlated proportions for clustered data, Stat. Med. 17, 1998, with the variance under the
    hypothesis of Yang, Sun and Hardin, Biom. J. 52, 2010). Were each subject one row, this would
    be McNemar's own chi-square.

    Args:
        right_a: (n,) whether the first model predicts each row rightly.
        right_b: (n,) the same of the second.
        codes: (n,) subject number of each row.

    Returns:
        ``only_a``, ``only_b``, ``method``, ``p``; if clustered ``statistic``, perhaps a ``note``.
    """
    from scipy.stats import binom, chi2

    right_a, right_b = np.asarray(right_a, bool), np.asarray(right_b, bool)
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    found: dict[str, Any] = {"only_a": only_a, "only_b": only_b}
    clustered = len(np.unique(codes)) < len(codes)
    if not clustered:
        fewer, total = min(only_a, only_b), only_a + only_b
        p = 2 * binom.cdf(fewer, total, 0.5) - binom.pmf(fewer, total, 0.5)
        return {**found, "method": "mid-p", "p": float(min(p, 1.0))}
    surplus = np.bincount(codes, right_a.astype(float) - right_b)
    squares = float((surplus**2).sum())
    statistic = float(surplus.sum() ** 2 / squares) if squares else 0.0
    found |= {"method": "clustered", "statistic": statistic, "p": float(chi2.sf(statistic, 1))}
    discordant = int((surplus != 0).sum())
    if discordant < _FEW_DISCORDANT:
        found["note"] = f"the models differ in {discordant} subjects only: p is a rough guide"
    return found


def corrected_resampled_t(
    differences: np.ndarray,
    train_fraction: float,
    test_fraction: float,
    confidence: float = 0.95,
) -> dict[str, Any]:
    """Test of the mean difference of two models over the folds of a (repeated) cross-validation.

    t = mean / sqrt((1/k + n_test / n_train) s²) with k - 1 degrees of freedom, s² the variance of
    the k differences: training sets overlap, so that the usual s² / k is far too small (Nadeau and
    Bengio, Inference for the generalization error, Machine Learning 52, 2003).

    Args:
        differences: (k,) one difference a fold, over all repeats.
        train_fraction: Share of the rows that trains in each fold, without the validation rows;
            only the ratio to the next counts, so that numbers of rows do as well.
        test_fraction: Share of the rows that tests.
        confidence: Coverage of the interval.

    Returns:
        ``{"difference", "low", "high", "t", "degrees_of_freedom", "p"}``, or the mean with nulls
        and a ``note`` where there is no variance; differences that are not finite are left out and
        counted in ``undefined``.

    Raises:
        DataError: The fractions are not positive.
    """
    from scipy.stats import t as student

    if not (train_fraction > 0 and test_fraction > 0):
        raise DataError(
            f"train_fraction and test_fraction must be above 0; "
            f"got {train_fraction} and {test_fraction}"
        )
    given = np.asarray(differences, dtype=float).ravel()
    known = given[np.isfinite(given)]
    count = len(known)
    mean = float(known.mean()) if count else None
    nulls = {"low": None, "high": None, "t": None, "degrees_of_freedom": max(count - 1, 0)}
    found: dict[str, Any] = {"difference": mean, **nulls, "p": None}
    if count < len(given):
        found["undefined"] = len(given) - count
    if count < 2:
        return plain(
            {**found, "note": f"{count} fold{'s' * (count != 1)} with a value; a test needs two"}
        )
    spread = float(known.var(ddof=1))
    if spread < 1e-24:
        same = abs(float(known.mean())) < 1e-12
        found["p"] = 1.0 if same else None
        return plain({**found, "note": "the difference is the same in all folds"})
    error = math.sqrt((1 / count + test_fraction / train_fraction) * spread)
    half = float(student.ppf((1 + confidence) / 2, count - 1)) * error
    statistic = float(known.mean()) / error
    found |= {
        "low": float(known.mean()) - half, "high": float(known.mean()) + half, "t": statistic,
        "p": float(2 * student.sf(abs(statistic), count - 1)),
    }  # fmt: skip
    return plain(found)

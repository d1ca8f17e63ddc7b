"""Gaps between groups of patients: equal opportunity, equalized odds, predictive parity.

``value`` is the group's number minus the reference's (``group`` and ``reference`` hold the two);
of ``equalized_odds`` it is the larger of two absolute gaps, without ``group`` and ``reference``.

=====================  ==========================================  ===========================
gap                    difference in                               source
=====================  ==========================================  ===========================
equal_opportunity      sensitivity                                 Hardt, Price, Srebro 2016
false_positive_rate    1 - specificity                             (half of equalized odds)
equalized_odds         max(|Δ sensitivity|, |Δ false pos. rate|)   Hardt, Price, Srebro 2016
predictive_parity      positive predictive value                   Chouldechova 2017
demographic_parity     share predicted positive                    Dwork et al. 2012
discrimination         AUROC within the group
mean_absolute_error    MAE (regression)
bias                   mean of predicted minus measured (regr.)
=====================  ==========================================  ===========================
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import numpy as np

from medkit.evaluation.groups.group_measures import GroupMeasure
from medkit.evaluation.groups.subgroups import divided
from medkit.evaluation.methods import methods_for
from medkit.evaluation.resampling.intervals import Resampled, plain, resample_by
from medkit.evaluation.resampling.proportions import newcombe, newcombe_p
from medkit.evaluation.resampling.resampling import joined_singletons
from medkit.evaluation.results import Gap, Gaps
from medkit.evaluation.rows import EvaluatedRows

Groups = dict[str, np.ndarray]  # group -> its rows
Number = Literal["value", "low", "high", "p", "p_holm"]
_HALVES = ("equal_opportunity", "false_positive_rate")  # of equalized odds
_NULLS: Gap = {"value": None, "low": None, "high": None, "p": None, "p_holm": None}


def fairness_gaps(rows: EvaluatedRows) -> dict[str, Gaps]:
    """Gaps between each group of each attribute and the largest group, with intervals.

    Intervals and p-values are the bootstrap's by subject, stratified by outcome and group, so
    that both groups are measured in the same resamples. Where a rate is 0 or 1, and no resample
    moves it, both are Newcombe's instead, on the subjects in the denominators. The interval of
    equalized odds is what the two gaps' simultaneous intervals (Bonferroni) leave possible.

    ``p_holm`` is corrected for all gaps of all attributes (Holm, A simple sequentially rejective
    multiple test procedure, Scand. J. Stat. 6, 1979). Equalized odds hold if neither of its two
    gaps is there: it takes the smaller of their corrected p-values, and adds no test.

    A gap is not told where a group has fewer than ``settings.minimum_group`` subjects in the
    denominator (positive ones for a sensitivity, say).

    Returns:
        Attribute -> gaps; ``group`` and ``reference`` of a gap are the two numbers.
    """
    methods, samples, p = methods_for(rows.task), rows.samples, np.asarray(rows.p, dtype=np.float64)
    measured = methods.group_measures(np.asarray(rows.y), p.reshape(len(p), -1), rows.threshold)
    if not measured or samples is None:
        return {}
    found: dict[str, Gaps] = {}
    for attribute, named in divided(samples, rows.codes, rows.settings).items():
        shown = {group: which for group, (which, suppressed) in named.items() if not suppressed}
        hidden = {group: suppressed for group, (_, suppressed) in named.items() if suppressed}
        reference, note = _reference(shown, rows.codes)
        found[attribute] = {"reference": reference}
        if hidden:
            found[attribute]["suppressed"] = hidden
        if reference is None or note:
            missing = samples[attribute].isna().all()
            found[attribute]["note"] = "no gaps: it is missing in all rows" if missing else note
            continue
        gaps = {
            outcome: _gaps(measures, shown, reference, rows)
            for outcome, measures in measured.items()
        }
        found[attribute] |= methods.laid_out(gaps) if methods.key else {"gaps": gaps[None]}
    _correct(found)
    return plain(found)


def _reference(shown: Groups, codes: np.ndarray) -> tuple[str | None, str | None]:
    """The largest group, and why there is nothing to compare."""
    own = {
        group: len(np.unique(codes[rows]))
        for group, rows in shown.items()
        if group != "missing" and not group.startswith("other (")
    }
    if not own:
        return None, "no gaps: no group is known and large enough to compare with"
    reference = max(own, key=lambda group: own[group])
    return reference, None if len(shown) > 1 else "no gaps: there is one group only"


def _strata(rows: EvaluatedRows, shown: Groups) -> np.ndarray | None:
    """(subjects,) by outcome and by the group of the subject's first row."""
    group = np.zeros(len(rows), dtype=np.int64)
    for number, which in enumerate(shown.values(), start=1):
        group[which] = number
    first = np.unique(rows.codes, return_index=True)[1]
    outcome = rows.strata
    together = group[first] if outcome is None else group[first] * (outcome.max() + 1) + outcome
    return joined_singletons(together)


def _gaps(
    measures: list[GroupMeasure], shown: Groups, reference: str, rows: EvaluatedRows
) -> dict[str, dict[str, Gap]]:
    """Group -> gap -> what is told of it, without the correction."""

    def levels(weights: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
        inside = {group: weights[:, which] for group, which in shown.items()}
        with np.errstate(divide="ignore", invalid="ignore"):
            return {
                each.gap: {group: each.of(inside[group], which) for group, which in shown.items()}
                for each in measures
            }

    def score(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {
            f"{gap} {group}": value - of[reference]
            for gap, of in levels(weights).items()
            for group, value in of.items()
        }

    values, settings = levels(np.ones((1, len(rows)))), rows.settings
    strata = _strata(rows, shown)
    resampled = resample_by(score, rows.codes, strata, settings.bootstrap, rows.seed)
    found: dict[str, dict[str, Gap]] = {}
    for group, which in shown.items():
        if group == reference:
            continue
        pair = (which, shown[reference])
        measured: dict[str, Gap] = {}
        strict: dict[str, Gap] = {}  # at the Bonferroni level, for equalized odds
        for each in measures:
            level = tuple(float(values[each.gap][name][0]) for name in (group, reference))
            args = (each, f"{each.gap} {group}", level, pair, rows, resampled)
            measured[each.gap] = _gap(*args, settings.confidence)
            strict[each.gap] = _gap(*args, (1 + settings.confidence) / 2)
        if "equal_opportunity" in measured:
            measured["equalized_odds"] = _equalized_odds(measured, strict)
        found[group] = measured
    return found


def _gap(
    measure: GroupMeasure,
    name: str,
    levels: tuple[float, ...],
    pair: tuple[np.ndarray, np.ndarray],
    rows: EvaluatedRows,
    resampled: Resampled,
    confidence: float,
) -> Gap:
    counts, fewest = [], rows.settings.minimum_group
    for which, where in zip(pair, ("in this group", "in the reference"), strict=True):
        for needed, among in measure.needed.items():
            count = len(np.unique(rows.codes[which[among[which]]]))
            if count < fewest:
                called = f"{needed} subjects" if needed else "subjects"
                reason = f"fewer than {fewest} {called} {where}"
                return {**_NULLS, "group": None, "reference": None, "not_estimable": reason}
            counts.append(count)
    value = levels[0] - levels[1]
    found: Gap = {"value": value, "group": levels[0], "reference": levels[1]}
    if measure.is_proportion and any(each in (0.0, 1.0) for each in levels):
        low, high = newcombe(levels, (counts[0], counts[1]), confidence)
        p = newcombe_p(levels, (counts[0], counts[1]))
        return {**found, "low": low, "high": high, "p": p, "p_holm": None, "method": "newcombe"}
    bounds = resampled.confidence_interval(name, value, confidence)
    p_value = None if bounds["low"] is None else resampled.p_value(name, value)
    if bounds.pop("degenerate", False):
        reason = "the same in all resamples"
        return {**_NULLS, **found, "not_estimable": f"{reason}: no interval and no test"}
    return {**found, **bounds, "p": p_value, "p_holm": None}


def _equalized_odds(measured: dict[str, Gap], strict: dict[str, Gap]) -> Gap:
    for name in _HALVES:
        if measured[name]["value"] is None:
            return {**_NULLS, "not_estimable": measured[name]["not_estimable"]}
    found: Gap = {"value": max(abs(each) for each in _known(measured, _HALVES, "value"))}
    lows, highs = _known(strict, _HALVES, "low"), _known(strict, _HALVES, "high")
    if len(lows) < len(_HALVES):
        return {**_NULLS, **found}
    bounds = list(zip(lows, highs, strict=True))
    nearest = [0.0 if low <= 0 <= high else min(abs(low), abs(high)) for low, high in bounds]
    farthest = [max(abs(low), abs(high)) for low, high in bounds]
    p = min(1.0, 2 * min(_known(measured, _HALVES, "p")))
    found |= {"low": max(nearest), "high": max(farthest), "p": p, "p_holm": None}
    return {**found, "method": "bonferroni"}


def _known(gaps: dict[str, Gap], names: Iterable[str], what: Number) -> list[float]:
    """One number of each of some gaps, where there is one."""
    return [number for name in names if (number := gaps[name][what]) is not None]


def holm(p_values: list[float]) -> list[float]:
    """p-values corrected for their number: the i-th smallest of m is (m - i + 1) p, made to rise.

    Holm, A simple sequentially rejective multiple test procedure, Scand. J. Stat. 6, 1979.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(np.sort(p_values) * factors), 1.0)
    return corrected.tolist()


def _correct(found: dict[str, Gaps]) -> None:
    """Fill in ``p_holm`` and ``tests``, over all attributes."""
    groups = [each for attribute in found.values() for each in _by_group(attribute)]
    tested = [
        (gap, p)
        for group in groups
        for name, gap in group.items()
        if name != "equalized_odds" and (p := gap["p"]) is not None and math.isfinite(p)
    ]
    for (gap, _), corrected in zip(tested, holm([p for _, p in tested]), strict=True):
        gap["p_holm"] = corrected
    for group in groups:
        odds = group.get("equalized_odds")
        if odds and odds["p"] is not None:
            odds["p_holm"] = min(_known(group, _HALVES, "p_holm"))
    for attribute in found.values():
        attribute["tests"] = len(tested)


def _by_group(attribute: Gaps) -> list[dict[str, Gap]]:
    outcomes = [attribute["gaps"]] if "gaps" in attribute else []
    several = (attribute.get("per_label"), attribute.get("per_class"), attribute.get("per_output"))
    for per in several:
        outcomes += (per or {}).values()
    return [gaps for groups in outcomes for gaps in groups.values()]

"""What a threshold would mean at the bedside: net benefit, operating points, predictive values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from medkit.evaluation.decisions.operating_points import Thresholds
from medkit.evaluation.methods import methods_for
from medkit.evaluation.resampling.intervals import ONE_SUBJECT, plain, resample_by
from medkit.evaluation.results import Decisions, Estimate, OperatingPoint
from medkit.evaluation.rows import EvaluatedRows
from medkit.tasks.outcomes import Outcome
from medkit.tasks.scores.ranking import best_threshold
from medkit.tasks.task import Task

_LEVELS = (0.8, 0.9, 0.95)


# One quantity under two names has one value and one interval.
_SAME_AS = (("sensitivity", "recall"), ("specificity", "specificity"), ("ppv", "precision"))


def decisions_of(
    rows: EvaluatedRows,
    valid: EvaluatedRows,
    measured: Mapping[str, Estimate] | None = None,
    baselines: Mapping[str, np.ndarray] | None = None,
) -> Decisions:
    """Decision curve and operating points of one part: ``metrics["test"]["decisions"]``.

    Args:
        rows: What is measured.
        valid: The validation rows, on which thresholds are chosen.
        measured: The metrics of the same rows, as ``evaluate_part`` gives them: sensitivity,
            specificity and PPV at the threshold in use are recall, specificity and precision.
        baselines: Baseline -> its outputs on the rows, whose curves stand beside the model's.

    Returns:
        With ``kind``, that of the outcome, and by kind: yes_no a *block*, of several ``per_label``
        (label -> block); class ``per_class`` (class -> a block without ``operating_points``, one
        against the rest); otherwise, and where there are no rows or outputs that are not finite,
        ``not_estimable`` (text).

        A block is ``{resamples, curve, operating_points, notes?}``:

        - ``curve``: ``{thresholds: [99], model: [99], low: [99], high: [99], treat_all: [99],
          treat_none: [99], range, useful, baselines?}``: net benefit at 0.01 to 0.99 with a
          pointwise band (nulls without a bootstrap); ``useful`` is ``[[from, to], …]`` within
          ``range``, where the model is above both treat_all and treat_none beyond chance (see
          ``Thresholds._useful``; empty without a bootstrap); ``baselines`` is baseline ->
          ``{model, difference, low, high}``, the difference being the network's less its.
        - ``operating_points``: list of ``{name, rule, threshold, sensitivity, specificity, ppv,
          npv, alerts_per_100, net_benefit, at_prevalence, not_estimable?}``. ``name``: in_use,
          youden, f1, sensitivity_0.8, _0.9, _0.95, specificity_0.8, _0.9, _0.95, and cost where
          ``task.cost_ratio`` is given. Each number is ``{value, low, high, method?, degenerate?,
          undefined?, not_estimable?}``. ``at_prevalence`` is null unless ``settings.prevalence``
          is given: ``{prevalence, ppv, npv, alerts_per_100}``. Of a rule that validation cannot
          serve, ``threshold`` is null, ``not_estimable`` says why, and no numbers are there.
    """
    p, p_valid = (np.asarray(of.p, np.float64) for of in (rows, valid))
    p, p_valid = (each[:, None] if each.ndim == 1 else each for each in (p, p_valid))
    task, methods, settings = rows.task, methods_for(rows.task), rows.settings
    found: Decisions = {"kind": task.outcome}
    if not task.probabilities:
        return {**found, "not_estimable": methods.no_decisions}
    if len(p) == 0:
        return {**found, "not_estimable": "there are no rows"}
    wrong = int((~np.isfinite(p).all(axis=1)).sum())
    if wrong:
        return {**found, "not_estimable": f"{wrong} of {len(p)} predictions are not finite"}
    resamples = rows.affordable(p.shape[1])

    others = {
        name: methods.one_by_one(rows.y, np.asarray(of, np.float64).reshape(len(rows), -1))
        for name, of in (baselines or {}).items()
    }

    def block(of: Outcome, points: list[OperatingPoint]) -> Decisions:
        decisions = Thresholds(of.y, of.p, points, rows.codes, settings)
        resampled = resample_by(decisions.measure, rows.codes, rows.strata, resamples, rows.seed)
        drawn = resamples if resampled.groups is not None else 0
        described = decisions.described(resampled)
        for name, each in others.items():
            theirs = each[of.name].p
            if np.ptp(theirs) == 0:
                continue  # one risk for all is treating all, or none
            other = Thresholds(of.y, theirs, [], rows.codes, settings)
            again = resample_by(other.measure, rows.codes, rows.strata, resamples, rows.seed)
            curves = described["curve"].setdefault("baselines", {})
            curves[name] = decisions.compared_with(resampled, other, again)
        if resamples and resampled.groups is None:
            described["notes"] = [*described.get("notes", []), ONE_SUBJECT]
        return {"resamples": drawn, **described}

    asked = {of.name: of for of in methods.yes_no(valid.y, p_valid, rows.threshold).values()}
    blocks = {}
    for name, of in methods.one_by_one(rows.y, p).items():
        chosen = asked.get(name)  # a class against the rest has no threshold of its own
        points = operating_points(task, chosen.y, chosen.p, chosen.threshold) if chosen else []
        blocks[name] = block(of, points)
        ending = "" if methods.key is None else f"_{name}"
        for point in blocks[name].get("operating_points", ())[:1]:
            same = {theirs: (measured or {}).get(mine + ending) for theirs, mine in _SAME_AS}
            known = {each: of for each, of in same.items() if of and of["value"] is not None}
            point.update(cast(OperatingPoint, known))
    return plain({**found, **methods.laid_out(blocks)})


def operating_points(
    task: Task, y_valid: np.ndarray, p_valid: np.ndarray, in_use: float | None
) -> list[OperatingPoint]:
    """``name``, ``rule`` (in words) and ``threshold`` of each rule, chosen on validation.

    Args:
        task: The task; its ``cost_ratio`` adds a rule.
        y_valid: (m,) 0 or 1.
        p_valid: (m,) probabilities of 1.
        in_use: The threshold in use; None: 0.5.
    """
    in_use = 0.5 if in_use is None else float(in_use)
    ratio = task.cost_ratio
    points: list[OperatingPoint] = [
        {"name": "in_use", "rule": "the threshold in use", "threshold": in_use,
         "exchange_rate": task.exchange_rate(in_use)}
    ]  # fmt: skip
    rules: list[tuple[str, str, dict[str, Any]]] = [
        ("youden", "largest sensitivity + specificity - 1", {"by": "youden"}),
        ("f1", "largest F1", {"by": "f1"}),
    ]
    for by in ("sensitivity", "specificity"):
        for level in _LEVELS:
            rules.append((f"{by}_{level:g}", f"{by} ≥ {level:g}", {"by": by, "at_least": level}))
    if ratio is not None:
        words = f"one missed event costs {ratio:g} false alarms"
        rules.append(("cost", words, {"by": "cost", "cost_ratio": ratio}))
    finite = np.isfinite(p_valid)
    for name, words, rule in rules:
        at = best_threshold(y_valid[finite], p_valid[finite], **rule) if finite.any() else None
        point: OperatingPoint = {
            "name": name, "rule": f"{words} on validation", "threshold": at,
            "exchange_rate": 1 / ratio if name == "cost" and ratio is not None else None,
        }  # fmt: skip
        if at is None:
            point["not_estimable"] = "the validation rows do not hold both classes"
        points.append(point)
    return points

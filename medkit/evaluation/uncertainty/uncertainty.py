"""How certain a model is of each row: entropy, spread between networks, and what abstaining gains.

Entropy H(p) = -sum_k p_k ln p_k, in nats. Of several networks' probabilities p_1 … p_M (a deep
ensemble: Lakshminarayanan, Pritzel and Blundell, NeurIPS 2017; or passes with dropout left on:
Gal and Ghahramani, Dropout as a Bayesian approximation, ICML 2016)

    predictive entropy  H(mean of p_m)
    expected entropy    mean of H(p_m)         what no further patient would take away (aleatoric)
    mutual information  their difference       where the networks disagree (epistemic)

(Depeweg et al., Decomposition of uncertainty in Bayesian deep learning, ICML 2018). Several labels
count as their average. Of measured numbers it is the standard deviation between the networks.

The abstention (risk-coverage) curve is the error among the most certain share of the rows (Geifman
and El-Yaniv, Selective classification for deep neural networks, NeurIPS 2017); the area under it
(AURC) averages that error over the shares 1/n, 2/n, … 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from medkit.evaluation.methods import methods_for
from medkit.evaluation.resampling.intervals import confidence_interval, plain, replicates_of
from medkit.evaluation.results import Estimate, Uncertainty
from medkit.evaluation.rows import EvaluatedRows
from medkit.evaluation.uncertainty.abstention import ONE_NETWORK, abstention_of
from medkit.evaluation.uncertainty.conformal_sets import conformal_outcomes
from medkit.evaluation.uncertainty.spread import spread_of
from medkit.tasks.scores.ranking import Ranking, divided


def uncertainty_of(
    rows: EvaluatedRows, spread: Mapping[str, Iterable[np.ndarray]] | None = None
) -> Uncertainty:
    """Entropy or spread of each row, whether it tells right from wrong, and abstaining by it.

    Args:
        rows: With the model's outputs as given to a user.
        spread: ``ensemble`` and ``monte_carlo_dropout``, where there are such -> (n, outputs)
            arrays, one a network or pass; read once, one after the other, so that a generator
            needs no more memory than a few of them. Each is recalibrated by itself where the
            model ends in a recalibration, so that their mean need not be ``p`` then.

    Returns:
        Plain JSON. MEASURE is ``{"value", "low", "high"[, "degenerate", "undefined"]}``::

            {"entropy": {
                # classes and labels:
                "unit": "nats", "maximum": 0.693,          # ln(number of classes)
                "network": {"predictive_entropy": SPREAD},  # of p alone; always there
                "ensemble": {"count": 5, "predictive_entropy": SPREAD, "expected_entropy": SPREAD,
                             "mutual_information": SPREAD},        # where there is an ensemble
                "monte_carlo_dropout": {...}                       # likewise, with passes
                # regression (unit: "the target's"), without "network" and "maximum":
                "ensemble": {"count": 5, "standard_deviation": {TARGET: SPREAD}}, …
                # a source that tells nothing: {"count": 20, "not_estimable": reason}
                # regression with neither: {"not_estimable": reason}
                "left_out": 3},              # rows whose prediction is not finite, if any
             "abstention": {...}}            # see ``abstention.abstention_of``

        where SPREAD is ::

            {"mean": MEASURE, "quartiles": [q25, q50, q75],
             # classes and labels (a row of labels is right if all of them are):
             "correct": {"n": 104, "mean": MEASURE}, "incorrect": {"n": 10, "mean": MEASURE},
             "auroc": MEASURE}     # how well it ranks wrong rows above right ones
    """
    methods, p = methods_for(rows.task), np.asarray(rows.p, float)
    if not methods.certainty_is:
        reason = {"not_estimable": methods.no_uncertainty}
        return {"entropy": dict(reason), "abstention": dict(reason)}
    found = {name: spread_of(rows.task, outputs) for name, outputs in (spread or {}).items()}
    usable = np.isfinite(p).all(axis=1)
    for each in found.values():
        for of_rows in each["rows"].values():
            usable &= np.isfinite(of_rows.reshape(len(p), -1)).all(axis=1)
    if not usable.any():
        reason = {"not_estimable": "no test prediction is a finite number"}
        return {"entropy": dict(reason), "abstention": dict(reason)}
    rows = rows.answered(p, rows.threshold).take(usable)
    for each in found.values():
        each["rows"] = {name: of_rows[usable] for name, of_rows in each["rows"].items()}
    entropy = (_numbers if methods.deviates else _classes)(rows, found)
    if not usable.all():
        entropy["left_out"] = int((~usable).sum())
    deviation = _first_deviation(found) if methods.deviates else None
    return plain({"entropy": entropy, "abstention": abstention_of(rows, deviation)})


def _first_deviation(found: Mapping[str, dict[str, Any]]) -> tuple[str, np.ndarray] | None:
    """Source and (n, outputs) standard deviations of the first source that has them."""
    for name, each in found.items():
        if "not_estimable" not in each:
            return name, each["rows"]["standard_deviation"]
    return None


def _numbers(rows: EvaluatedRows, found: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    if not found:
        return {"not_estimable": ONE_NETWORK}
    names = list(conformal_outcomes(rows.task, rows.y, rows.p))
    described: dict[str, Any] = {"unit": "the target's"}
    for source, each in found.items():
        described[source] = _head(each)
        if "not_estimable" not in each:
            columns = dict(zip(names, each["rows"]["standard_deviation"].T, strict=True))
            described[source]["standard_deviation"] = _summaries(columns, None, rows)
    return described


def _head(of_source: Mapping[str, Any]) -> dict[str, Any]:
    """How many networks or passes there were, and why they tell nothing."""
    return {key: of_source[key] for key in ("count", "not_estimable") if key in of_source}


def _classes(rows: EvaluatedRows, found: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    methods, p = methods_for(rows.task), rows.p
    wrong = methods.wrong(rows.y, p, rows.threshold) > 0
    columns: dict[Any, Any] = {("network", "predictive_entropy"): methods.entropy(p)}
    for source, each in found.items():
        if "not_estimable" not in each:
            columns |= {(source, name): of_rows for name, of_rows in each["rows"].items()}
    summaries = _summaries(columns, wrong, rows)
    described: dict[str, Any] = {"unit": "nats", "maximum": methods.most_entropy(p), "network": {}}
    described |= {source: _head(each) for source, each in found.items()}
    for (source, name), summary in summaries.items():
        described[source][name] = summary
    return described


def _summaries(
    columns: Mapping[Any, np.ndarray], wrong: np.ndarray | None, rows: EvaluatedRows
) -> dict[Any, dict[str, Any]]:
    """SPREAD of each column of values (n,); without ``wrong`` the part on all rows."""
    values = np.column_stack(list(columns.values()))
    groups, rankings = {"mean": np.ones(len(values))}, []
    if wrong is not None:
        groups |= {"correct": (~wrong).astype(float), "incorrect": wrong.astype(float)}
        rankings = [Ranking(groups["incorrect"], column) for column in values.T]

    def measured(weights: np.ndarray) -> dict[str, np.ndarray]:
        found = {
            name: divided(weights @ (values * which[:, None]), (weights @ which)[:, None])
            for name, which in groups.items()
        }
        if rankings:
            found["auroc"] = np.column_stack([each.areas(weights)[0] for each in rankings])
        return found

    found = _measured(measured, rows)
    described = {}
    for index, key in enumerate(columns):
        summary: dict[str, Any] = {
            "mean": found["mean"][index],
            "quartiles": np.quantile(values[:, index], [0.25, 0.5, 0.75]),
        }
        if wrong is not None:
            for name in ("correct", "incorrect"):
                summary[name] = {"n": int(groups[name].sum()), "mean": found[name][index]}
            summary["auroc"] = found["auroc"][index]
        described[key] = summary
    return described


def _measured(
    measure: Callable[[np.ndarray], dict[str, np.ndarray]], rows: EvaluatedRows
) -> dict[str, list[Estimate]]:
    """MEASURE of each column of each measure, from (B, n) weights -> name -> (B, columns)."""
    settings, found = rows.settings, dict[str, list[Estimate]]()
    drawn = replicates_of(measure, rows.codes, None, settings.bootstrap, rows.seed)
    for name, values in measure(np.ones((1, len(rows)))).items():
        replicates = drawn.get(name, np.empty((0, values.shape[1])))
        found[name] = [
            {"value": each, **confidence_interval(column, settings.confidence)}
            for each, column in zip(values[0], replicates.T, strict=True)
        ]
    return found

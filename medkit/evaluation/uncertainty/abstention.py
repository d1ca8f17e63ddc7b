"""What is gained by leaving the least certain rows to a human: the risk-coverage curve.

Geifman and El-Yaniv, Selective classification for deep neural networks, NeurIPS 2017; the area
under the curve and its excess over the best possible order: Geifman, Uziel and El-Yaniv,
Bias-reduced uncertainty estimation for deep neural classifiers, ICLR 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from medkit.evaluation.methods import methods_for
from medkit.evaluation.resampling.intervals import confidence_interval, plain, replicates_of
from medkit.evaluation.resampling.proportions import wilson
from medkit.evaluation.rows import EvaluatedRows
from medkit.tasks.scores.ranking import divided

Totals = dict[str, np.ndarray]

ONE_NETWORK = (
    "one network's number does not say how certain it is; training.ensemble or "
    "evaluation.monte_carlo_dropout does"
)
_ROUNDING = 1e-9
# Shares of the rows that are kept.
RETAINED = np.round(np.arange(100, 9, -2) / 100, 2)


def abstention_of(
    rows: EvaluatedRows, deviation: tuple[str, np.ndarray] | None = None
) -> dict[str, Any]:
    """The error among the most certain rows, for shares of 1.0 to 0.1 of the rows.

    How certain a row is: of classes, the largest probability; of two, how far the probability is
    from the threshold t, as a share of the way to 0 or 1 on its side: (p - t) / (1 - t) or
    (t - p) / t, which is |2p - 1| at t = 0.5 (of labels the average); of numbers, how small the
    standard deviation between networks is (of several targets the average, each in standard
    deviations of the training targets). Rows equally certain come in all orders alike: the curve
    is linear in the number of errors through them.

    Args:
        rows: With finite outputs.
        deviation: For regression, what gave them and (n, outputs) standard deviations.

    Returns:
        Plain JSON::

            {"certainty": "distance from the threshold" | "largest probability" |
                          "standard deviation between networks",
             "source": "network" | "ensemble" | "monte_carlo_dropout",
             "metric": "error" | "mae",
                 # error: share of rows (of labels) decided wrongly, at the threshold
             "curve": {"retained": [1.0, 0.98, … 0.1],      # 46 shares, fewer under 10 rows
                       METRIC: {"value": […], "low": […], "high": […]},
                       # binary: of the positive and negative rows that are retained
                       "sensitivity": {…}, "specificity": {…}},
             "aurc": MEASURE,          # area under the curve of the metric: lower is better
             "oracle": MEASURE,        # the same if every wrong row were less certain
             "excess": MEASURE,        # aurc - oracle; "random" order gives curve METRIC at 1.0
             "note": "…"}              # where all rows are equally certain

        with MEASURE ``{"value", "low", "high"[, "degenerate"]}``, or ``{"not_estimable": reason}``
        for a regression of one network. An error of 0 in all resamples has Wilson's interval.
    """
    methods, codes, settings = methods_for(rows.task), rows.codes, rows.settings
    if methods.deviates:
        if deviation is None:
            return {"not_estimable": ONE_NETWORK}
        source, metric = deviation[0], "mae"
        certain = -methods.relative(deviation[1]).mean(axis=1)
    else:
        source, metric = "network", "error"
        certain = methods.certainty(rows.p, rows.threshold)
    risk = methods.wrong(rows.y, rows.p, rows.threshold)
    columns, of = {"risk": risk}, {metric: ("risk", "size")}
    alone = methods.yes_no(rows.y).get(None)
    if alone is not None:
        positive = alone.y == 1
        for name, which in (("sensitivity", positive), ("specificity", ~positive)):
            columns |= {f"{name} right": (risk == 0) & which, f"{name} all": which}
            of[name] = (f"{name} right", f"{name} all")
    shares = RETAINED[RETAINED * len(risk) >= 1]
    curve, best = Retention(certain), Retention(-risk)

    def measured(weights: np.ndarray) -> dict[str, np.ndarray]:
        totals = curve.totals(weights, columns)
        sums = kept(totals, shares)
        found = {name: divided(sums[a], sums[b]) for name, (a, b) in of.items()}
        counts = {f"n {name}": sums[b] for name, (_, b) in of.items()}
        aurc, oracle = area(totals), area(best.totals(weights, {"risk": risk}))
        return {**found, **counts, "aurc": aurc, "oracle": oracle, "excess": aurc - oracle}

    values = {name: each[0] for name, each in measured(np.ones((1, len(risk)))).items()}
    replicates = replicates_of(measured, codes, None, settings.bootstrap, rows.seed)
    drawn: dict[str, Any] = {"retained": shares}
    independent = (codes.max() + 1) / len(codes)
    for name in of:
        counts = np.floor(values[f"n {name}"] * independent + _ROUNDING)
        counts = counts if metric == "error" else np.zeros(len(shares))
        drawn[name] = _bands(values[name], replicates.get(name), counts, settings.confidence)
    found: dict[str, Any] = {
        "certainty": methods.certainty_is, "source": source, "metric": metric, "curve": drawn,
    }  # fmt: skip
    for name in ("aurc", "oracle", "excess"):
        found[name] = {
            "value": values[name],
            **confidence_interval(replicates.get(name), settings.confidence),
        }
    if len(curve.starts) == 1:
        found["note"] = "all rows are equally certain: abstaining gains nothing"
    return plain(found)


class Retention:
    """Rows in the order in which they are kept, for any number of resamples.

    Args:
        certain: (n,) the largest are kept first.
    """

    def __init__(self, certain: np.ndarray):
        self.order = np.argsort(-certain, kind="stable")
        ranked = certain[self.order]
        self.starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])

    def totals(self, weights: np.ndarray, columns: Mapping[str, np.ndarray]) -> Totals:
        """Name -> (B, 1 + groups) sums of (n,) values over the groups kept so far (ties are one
        group); ``size`` are those of 1."""
        ranked = weights[:, self.order]
        found = {"size": self._summed(ranked)}
        for name, values in columns.items():
            found[name] = self._summed(ranked * values[self.order])
        return found

    def _summed(self, of_rows: np.ndarray) -> np.ndarray:
        if len(self.starts) < of_rows.shape[1]:
            of_rows = np.add.reduceat(of_rows, self.starts, axis=1)
        sums = np.zeros((len(of_rows), of_rows.shape[1] + 1))
        np.cumsum(of_rows, axis=1, out=sums[:, 1:])
        return sums


def kept(totals: Totals, shares: np.ndarray) -> Totals:
    """Name -> (B, shares) sums over the most certain share of the rows, part of a group too."""
    size = totals["size"]
    wanted = shares * size[:, -1:]
    # One search for all resamples: each has a stretch of numbers for itself.
    row = np.arange(len(size))[:, None]
    away = (size[:, -1].max() + 1) * row
    found = np.searchsorted((size + away).ravel(), (wanted + away).ravel()).reshape(wanted.shape)
    after = np.clip(found - size.shape[1] * row, 1, size.shape[1] - 1)
    low, high = size[row, after - 1], size[row, after]
    part = (wanted - low) / np.where(high == low, 1.0, high - low)

    def between(total: np.ndarray) -> np.ndarray:
        below = total[row, after - 1]
        return np.asarray(below + part * (total[row, after] - below))

    return {name: between(total) for name, total in totals.items()}


def area(totals: Totals) -> np.ndarray:
    """(B,) average over i = 1 … N of the mean ``risk`` of the first i of the N rows drawn.

    Within a group of ties the expected sum of the first i risks is linear in i, so that the
    group's terms are sums of 1 / i: differences of harmonic numbers.
    """
    size, total = np.rint(totals["size"]).astype(int), totals["risk"]
    harmonic = np.r_[0.0, np.cumsum(1 / np.arange(1, size.max() + 1))]
    rows, sums = np.diff(size, axis=1), np.diff(total, axis=1)
    before = total[:, :-1] - size[:, :-1] * (sums / np.maximum(rows, 1))
    terms = sums + before * np.diff(harmonic[size], axis=1)
    return np.asarray(terms.sum(axis=1) / size[:, -1])


def _bands(
    values: np.ndarray, replicates: np.ndarray | None, counts: np.ndarray, confidence: float
) -> dict[str, list[Any]]:
    """Values and their intervals at each share; Wilson's for 0 or 1 of so many in all resamples."""
    low: list[Any] = []
    high: list[Any] = []
    for index, value in enumerate(values):
        column = None if replicates is None else replicates[:, index]
        found = confidence_interval(column, confidence)
        bounds = (found["low"], found["high"])
        if found.get("degenerate"):
            known = value in (0.0, 1.0) and counts[index] >= 1
            bounds = wilson(value, int(counts[index]), confidence) if known else (None, None)
        low.append(bounds[0])
        high.append(bounds[1])
    return {"value": list(values), "low": low, "high": high}

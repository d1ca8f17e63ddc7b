"""Net benefit and operating points of one yes/no outcome, in any number of resamples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from medkit.evaluation.clusters import FEWEST, subjects_among, too_few_with
from medkit.evaluation.resampling.intervals import NOBODY_CALLED, Resampled
from medkit.evaluation.results import Decisions, Estimate, OperatingPoint

if TYPE_CHECKING:
    from medkit.config.experiment import Evaluation

THRESHOLDS = np.arange(1, 100) / 100
_AS_THEY_ARE = (
    "only predictive values and alerts are also given at the stated prevalence: the decision "
    "curve, net benefits and predicted risks are those of these rows"
)
_NO_RATE = "the threshold was not chosen by an exchange rate of false alarms and missed events"
_OF_TEST = ("sensitivity", "specificity", "ppv", "npv", "alerts_per_100", "net_benefit")


class Thresholds:
    """One outcome, ready for any number of resamples.

    Net benefit at threshold t: (true positives - false positives * t / (1 - t)) / rows (Vickers
    and Elkin, Decision curve analysis, Med. Decis. Making 26, 2006). PPV and NPV at another
    prevalence π, by Bayes' rule: se π / (se π + (1 - sp) (1 - π)), and
    sp (1 - π) / (sp (1 - π) + (1 - se) π); alerts per 100: 100 (se π + (1 - sp) (1 - π)).

    Args:
        y: (n,) 0 or 1.
        p: (n,) probabilities of 1, finite.
        points: ``name``, ``rule`` and ``threshold`` of each operating point.
        codes: (n,) subject number of each row.
        settings: Confidence and prevalence.
    """

    def __init__(
        self,
        y: np.ndarray,
        p: np.ndarray,
        points: Sequence[OperatingPoint],
        codes: np.ndarray,
        settings: Evaluation,
    ):
        self.y, self.p, self.points, self.codes = np.asarray(y, np.float64), p, points, codes
        self.confidence, self.prevalence = settings.confidence, settings.prevalence
        self.range = settings.threshold_range
        self.known = [i for i, point in enumerate(points) if point["threshold"] is not None]
        chosen = [float(points[i]["threshold"] or 0) for i in self.known]
        self.at = np.r_[THRESHOLDS, chosen]
        rates = [points[i].get("exchange_rate") for i in self.known]
        self.rates = np.array([np.nan if each is None else each for each in rates], float)
        # In order of the scores, each threshold needs one running sum, not a column of its own.
        self.order = np.argsort(-p, kind="stable")
        self.above = np.searchsorted(-p[self.order], -self.at, side="right")

    def measure(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """``curve`` and ``treat_all`` (B, 99), and ``name@point`` (B,), for (B, n) weights."""
        ranked = weights[:, self.order]
        true, events = self._running(ranked * self.y[self.order])
        false, others = self._running(ranked * (1 - self.y[self.order]))
        called, total = true + false, events + others
        odds = self.at / np.where(self.at < 1, 1 - self.at, np.nan)
        odds[len(THRESHOLDS) :] = self.rates
        with np.errstate(divide="ignore", invalid="ignore"):
            benefit = np.where((false > 0) | np.isnan(odds), true - false * odds, true) / total
            curve = len(THRESHOLDS)
            found = {"curve": benefit[:, :curve]}
            found["treat_all"] = (events - others * odds[:curve]) / total
            found["gain"] = found["curve"] - np.maximum(found["treat_all"], 0)
            sensitivity, specificity = true / events, (others - false) / others
            measures = {
                "sensitivity": sensitivity,
                "specificity": specificity,
                "ppv": true / called,
                "npv": (others - false) / (total - called),
                "alerts_per_100": 100 * called / total,
                "net_benefit": benefit,
            }
            if self.prevalence is not None:
                moved = at_prevalence(sensitivity, specificity, self.prevalence)
                measures.update({f"moved_{name}": values for name, values in moved.items()})
        for column, point in enumerate(self.known, start=curve):
            for name, values in measures.items():
                found[f"{name}@{point}"] = values[:, column]
        return found

    def _running(self, ranked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, thresholds) sums of the rows at or above each, and (B, 1) of all."""
        sums = np.zeros((len(ranked), len(self.p) + 1))
        np.cumsum(ranked, axis=1, out=sums[:, 1:])
        return sums[:, self.above], sums[:, -1:]

    def described(self, resampled: Resampled) -> Decisions:
        """A block, without ``resamples``."""
        values = self.measure(np.ones((1, len(self.y))))
        model, treat_all = values["curve"][0], values["treat_all"][0]
        found: Decisions = {
            "curve": {
                "thresholds": THRESHOLDS,
                "model": model,
                **resampled.band("curve", len(THRESHOLDS), self.confidence),
                "treat_all": treat_all,
                "treat_none": np.zeros(len(THRESHOLDS)),
                "range": self.range,
                "useful": _stretches(self._useful(values["gain"][0], resampled)),
            },
        }
        if self.points:
            found["operating_points"] = [
                self._point(i, values, resampled) for i in range(len(self.points))
            ]
        events, others = (subjects_among(self.codes, self.y == each) for each in (1, 0))
        if min(events, others) < FEWEST:
            rarer = "events" if events <= others else "non-events"
            short = too_few_with(min(events, others), rarer)
            found["notes"] = [f"these numbers say little: {short}"]
        if self.prevalence is not None:
            found["notes"] = [*found.get("notes", []), _AS_THEY_ARE]
        return found

    def _useful(self, gain: np.ndarray, resampled: Resampled) -> np.ndarray:
        """(99,) where the model is better than treating all and none, beyond chance.

        The lower end of a band of the paired difference that holds all thresholds of the range
        at once (largest deviation of the resamples, in standard errors) is above 0: of 99
        thresholds looked at one by one, noise is above 0 at some.
        """
        drawn = resampled.curves.get("gain")
        inside = (self.range[0] - 1e-9 <= THRESHOLDS) & (self.range[1] + 1e-9 >= THRESHOLDS)
        if drawn is None:
            return np.zeros(len(THRESHOLDS), dtype=bool)
        drawn = drawn[np.isfinite(drawn).all(axis=1)]
        error = drawn.std(axis=0)
        inside &= error > 1e-9
        if not inside.any():
            return inside
        farthest = ((drawn - gain) / np.where(inside, error, np.inf)).max(axis=1)
        return inside & (gain - np.quantile(farthest, (1 + self.confidence) / 2) * error > 0)

    def compared_with(
        self, resampled: Resampled, other: Thresholds, of_other: Resampled
    ) -> dict[str, np.ndarray]:
        """Another model's curve on the same rows: ``model``, and ``difference`` with a band.

        Args:
            resampled: This model's resamples.
            other: The other model.
            of_other: Its resamples, the same.
        """
        ones = np.ones((1, len(self.y)))
        mine, theirs = (each.measure(ones)["curve"][0] for each in (self, other))
        pairs = replace(resampled, curves={})
        if "curve" in resampled.curves:
            pairs = replace(
                resampled, curves={"less": resampled.curves["curve"] - of_other.curves["curve"]}
            )
        band = pairs.band("less", len(THRESHOLDS), self.confidence)
        return {"model": theirs, "difference": mine - theirs, **band}

    def _point(
        self, index: int, values: dict[str, np.ndarray], resampled: Resampled
    ) -> OperatingPoint:
        point = self.points[index].copy()
        if point["threshold"] is None:
            return point
        called = self.p >= point["threshold"]
        rows = {
            "sensitivity": (self.y == 1, "no events"),
            "specificity": (self.y == 0, "no non-events"),
            "ppv": (called, NOBODY_CALLED),
            "npv": (~called, "no row is called negative"),
        }
        found: dict[str, Estimate] = {}
        for name in _OF_TEST:
            which, otherwise = rows.get(name, (None, _NO_RATE))
            key, among = f"{name}@{index}", None if which is None else self.codes[which]
            value = float(values[key][0])
            found[name] = resampled.estimate(key, value, self.confidence, otherwise, among)
        point |= cast(OperatingPoint, found)
        point["at_prevalence"] = None
        if self.prevalence is not None:
            point["at_prevalence"] = self._moved(index, point, values, resampled)
        return point

    def _moved(
        self,
        index: int,
        point: OperatingPoint,
        values: dict[str, np.ndarray],
        resampled: Resampled,
    ) -> dict[str, Any]:
        """The predictive values at the stated prevalence.

        Where sensitivity or specificity have no interval of their own (all right, or all wrong),
        the bounds are those of the predictive values at the bounds of both.
        """
        found: dict[str, Any] = {"prevalence": self.prevalence}
        both = [point["sensitivity"], point["specificity"]]
        fixed = any("method" in each or "degenerate" in each for each in both)
        for name in ("ppv", "npv", "alerts_per_100"):
            key = f"moved_{name}@{index}"
            value = float(values[key][0])
            reason = next((each["not_estimable"] for each in both if "not_estimable" in each), None)
            reason = reason or "no row is called so at this threshold"
            found[name] = resampled.estimate(key, value, self.confidence, reason)
            if fixed and found[name]["low"] is not None:
                corners = [
                    float(at_prevalence(se, sp, float(self.prevalence or 0))[name])
                    for se in (both[0]["low"], both[0]["high"])
                    for sp in (both[1]["low"], both[1]["high"])
                ]
                low, high = np.nanmin([*corners, value]), np.nanmax([*corners, value])
                found[name] = {"value": value, "low": low, "high": high}
                found[name]["method"] = "from the bounds of sensitivity and specificity"
        return found


def at_prevalence(sensitivity: Any, specificity: Any, prevalence: float) -> dict[str, Any]:
    """PPV, NPV and alerts per 100 patients where a share ``prevalence`` has the outcome.

    Args:
        sensitivity: Of any shape, as is what is returned; 0 to 1.
        specificity: Of the same shape.
        prevalence: π, between 0 and 1.

    Returns:
        ``ppv``, ``npv`` (NaN where nobody is called so) and ``alerts_per_100``.
    """
    sensitivity, specificity = np.asarray(sensitivity, float), np.asarray(specificity, float)
    true, false = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    missed, right = (1 - sensitivity) * prevalence, specificity * (1 - prevalence)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "ppv": true / (true + false),
            "npv": right / (right + missed),
            "alerts_per_100": 100 * (true + false),
        }


def _stretches(where: np.ndarray) -> list[list[float]]:
    """[from, to] of each run of thresholds."""
    edges = np.flatnonzero(np.diff(np.r_[False, where, False].astype(int)))
    return [
        [float(THRESHOLDS[a]), float(THRESHOLDS[b - 1])]
        for a, b in zip(edges[::2], edges[1::2], strict=True)
    ]

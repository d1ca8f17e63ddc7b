"""Agreement of predicted with measured numbers: bias, limits of agreement, calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from medkit.evaluation.calibration.smooth import Loess, drawn_rows
from medkit.evaluation.clusters import FEWEST
from medkit.evaluation.notes import reasons
from medkit.evaluation.resampling.intervals import Resampled, plain
from medkit.evaluation.results import Calibration, Estimate

_Z = 1.959963984540054  # limits of agreement hold 95 % of normal differences, by definition
_HISTOGRAM = 20


class Agreement:
    """Predicted and measured values of one output, ready for any number of resamples.

    - ``bias``: mean of d = predicted - measured; ``sd`` of d; ``lower_limit`` and
      ``upper_limit``: bias -/+ 1.96 sd, between which 95 % of normal differences lie (Bland and
      Altman, Statistical methods for assessing agreement between two methods of clinical
      measurement, Lancet 327, 1986; Measuring agreement in method comparison studies, Stat.
      Methods Med. Res. 8, 1999).
    - ``intercept`` and ``slope`` of measured = intercept + slope * predicted, least squares; a
      slope below 1 means predictions that are too extreme.
    - ``proportional_bias``: the least-squares slope of d on (predicted + measured) / 2; 0 where
      the differences do not grow with what is measured. A model whose predictions vary less than
      the measurements, as all do that do not explain everything, has a negative one.

    Args:
        y: (n,) measured.
        p: (n,) predicted, finite.
        codes: (n,) subject of each row; None: every row is a subject of its own.
    """

    def __init__(self, y: np.ndarray, p: np.ndarray, codes: np.ndarray | None = None):
        self.y, self.p = np.asarray(y, np.float64).ravel(), np.asarray(p, np.float64).ravel()
        self.d = self.p - self.y
        self.why: dict[str, str] = {}
        subjects = len(self.y) if codes is None else len(np.unique(codes))
        if subjects < 3:
            there = f"{subjects} subject{'s' * (subjects != 1)}"
            self.why = dict.fromkeys(METRICS[1:], f"only {there}; 3 are needed")
        elif np.ptp(self.p) <= 1e-9 * np.abs(self.p).max():
            self.why = dict.fromkeys(("intercept", "slope"), "all predictions are equal")
        self._drawn, self.loess = drawn_rows(len(self.y)), None
        if subjects >= FEWEST and "slope" not in self.why:
            self.loess = Loess(self.p[self._drawn], self.y[self._drawn])

    def measure(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Metric -> (B,) and, with a curve, ``curve`` -> (B, m), for (B, n) weights."""
        total = weights.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            bias = weights @ self.d / total
            sd = np.sqrt(_variance(weights, self.d) / (total - 1))
            found = {"bias": bias, "sd": sd}
            found["lower_limit"], found["upper_limit"] = bias - _Z * sd, bias + _Z * sd
            found["intercept"], found["slope"] = line(weights, self.p, self.y)
            middle = (self.p + self.y) / 2
            found["proportional_bias"] = line(weights, middle, self.d)[1]
        if self.loess is not None:
            found["curve"] = self.loess.fit(weights[:, self._drawn])
        return found

    def described(
        self,
        resampled: Resampled,
        subjects: np.ndarray,
        confidence: float,
        seed: int = 0,
    ) -> Calibration:
        """What ``calibration_of`` gives for an output of a regression.

        Args:
            resampled: What ``measure`` gives in the resamples; empty for no intervals.
            subjects: (n,) subject of each row.
            confidence: Coverage of the intervals.
            seed: Not used: nothing is drawn at random.

        Returns:
            ``metrics``: name (as in the class's list) -> ``{value, low, high, not_estimable?}``,
            by the bootstrap; bias and limits also have ``bland_altman: {low, high}``, the
            intervals of 1986 and 1999 on Student's t, which take the rows as independent.
            ``within_limits``: share of the differences between the limits (null without
            limits). ``percentiles``: ``{low, high}``, the 2.5th and 97.5th of the differences,
            for those that are not normal. ``curve``: loess of measured on predicted with a band,
            ``{predicted, observed, low, high}``, or null. ``histogram``: ``{edges: [21],
            counts: [20]}`` of the differences. ``notes?``: sentences for the reader.
        """
        values = self.measure(np.ones((1, len(self.y))))
        metrics: dict[str, Estimate] = {}
        for name in METRICS:
            value = math.nan if name in self.why else float(values[name][0])
            reason = self.why.get(name, "nothing varies")
            metrics[name] = resampled.estimate(name, value, confidence, reason)
        curve = None
        if self.loess is not None:
            curve = plain(
                {
                    "predicted": self.loess.at,
                    "observed": values["curve"][0],
                    **resampled.band("curve", len(self.loess.at), confidence),
                }
            )
        counts, edges = np.histogram(self.d, _HISTOGRAM)
        low, high = np.percentile(self.d, [2.5, 97.5])
        found: Calibration = {
            "metrics": metrics,
            "within_limits": None,
            "percentiles": {"low": low, "high": high},
            "curve": curve,
            "histogram": plain({"edges": edges, "counts": counts}),
        }
        if "sd" not in self.why:
            lower, upper = (float(values[name][0]) for name in ("lower_limit", "upper_limit"))
            found["within_limits"] = float(np.mean((self.d >= lower) & (self.d <= upper)))
            if len(np.unique(subjects)) == len(self.d):
                self._student(metrics, confidence, values)
        if notes := self._notes(subjects):
            found["notes"] = notes
        return found

    def _student(
        self, metrics: dict[str, Estimate], confidence: float, values: Mapping[str, np.ndarray]
    ) -> None:
        """Standard errors: bias s / √n, limits s √(1/n + 1.96² / (2 (n - 1)))."""
        from scipy.stats import t

        n, sd = len(self.d), float(values["sd"][0])
        far = t.ppf((1 + confidence) / 2, n - 1)
        of_limits = sd * math.sqrt(1 / n + _Z**2 / (2 * (n - 1)))
        errors = {"bias": sd / math.sqrt(n), "lower_limit": of_limits, "upper_limit": of_limits}
        for name, error in errors.items():
            value = float(values[name][0])
            metrics[name]["bland_altman"] = {
                "low": value - far * error,
                "high": value + far * error,
            }

    def _notes(self, subjects: np.ndarray) -> list[str]:
        notes = reasons(self.why, {})
        if len(np.unique(subjects)) < len(self.d):
            notes.append(
                "subjects have several rows: there are no intervals of Bland and Altman, which "
                "take rows as independent; those of the bootstrap do not"
            )
        return notes


METRICS = (
    "bias", "sd", "lower_limit", "upper_limit", "intercept", "slope", "proportional_bias",
)  # fmt: skip


def _variance(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(B,) weighted sum of squares around the weighted mean."""
    centred = values - values.mean()  # before squaring: sums of large squares would cancel
    total = weights.sum(axis=1)
    return np.clip(weights @ centred**2 - (weights @ centred) ** 2 / total, 0, None)


def line(weights: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(B,) intercepts and slopes of least squares; NaN where x does not vary."""
    a, b, total = x - x.mean(), y - y.mean(), weights.sum(axis=1)
    mean_a, mean_b = weights @ a / total, weights @ b / total
    spread = weights @ a**2 - total * mean_a**2
    scale = total * (a**2).mean()
    spread = np.where(spread > 1e-12 * scale, spread, np.nan)
    slope = (weights @ (a * b) - total * mean_a * mean_b) / spread
    return mean_b + y.mean() - slope * (mean_a + x.mean()), slope

"""Calibration of one yes/no outcome, measured on the rows and on many resamples of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from medkit.evaluation.calibration.distance import DISTANCES, distance
from medkit.evaluation.calibration.logistic import (
    EDGE,
    logits,
    weighted_intercept,
    weighted_logistic,
)
from medkit.evaluation.calibration.smooth import Loess, drawn_rows, interpolation
from medkit.evaluation.clusters import FEWEST, subjects_among, too_few_with
from medkit.evaluation.notes import reasons
from medkit.evaluation.resampling.intervals import (
    Resampled,
    not_estimable,
    plain,
)
from medkit.evaluation.resampling.proportions import wilson
from medkit.evaluation.results import Calibration, Estimate

_BINS = 10
_HISTOGRAM = 20
# Parts of the Brier score that noise shifts in the rows, and once more in the resamples.
_BIASED = ("reliability", "resolution", "within_bins")
_FOR_ICI = 150  # subjects; of 100, intervals held the truth in 80 to 93 %
_TOO_SMOOTH = f"no interval: with fewer than {_FOR_ICI} subjects the curve is too smooth for one"
_NO_INTERVAL = "noise adds to it: no interval of it covers"
_LOGISTIC = ("intercept", "slope")


class Reliability:
    """Probabilities of one outcome and what happened, ready for any number of resamples.

    - O/E ratio, intercept and slope: Van Calster et al., Calibration: the Achilles heel of
      predictive analytics, BMC Med. 17, 2019.
    - Brier score = reliability - resolution + uncertainty: Murphy, A new vector partition of the
      probability score, J. Appl. Meteorol. 12, 1973. It is exact for forecasts that are equal
      within a bin; for others ``within_bins``, the variance of the forecasts within the bins
      less twice their covariance with the outcome, completes it (Stephenson, Coelho and Jolliffe,
      Two extra components in the Brier score decomposition, Weather Forecast. 23, 2008).
    - ECE = sum over bins of (share of rows) * |share observed - mean predicted|: Naeini, Cooper
      and Hauskrecht, AAAI 2015. Bins: deciles of the predictions (equal ones stay together) or
      tenths of the unit interval; resamples keep the bins of the rows.
    - ICI, the mean of |loess - predicted| over the rows: Austin and Steyerberg, The integrated
      calibration index, Stat. Med. 38, 2019. The curve has up to 50 points, each standing for the
      rows near it; of more than 20,000 rows it takes 20,000 at random.
    - ECE and ICI are told without what chance adds to them; see ``distance``.

    Args:
        y: (n,) 0 or 1.
        p: (n,) probabilities of 1, finite.
        codes: (n,) subject of each row; None: every row is a subject of its own.
    """

    def __init__(self, y: np.ndarray, p: np.ndarray, codes: np.ndarray | None = None):
        self.y = np.asarray(y, np.float64).ravel()
        self.p = np.asarray(p, np.float64).ravel()
        self.codes = np.arange(len(self.p)) if codes is None else codes
        self.x = logits(self.p)
        self.bins = _coded(self.p, np.percentile(self.p, np.arange(1, _BINS) * 100 / _BINS))
        tenths = _coded(self.p, np.arange(1, _BINS) / _BINS)
        y, p = self.y, self.p
        self._binned = _Sums(self.bins, np.ones_like(p), y, p, p * p, p * y)
        self._widths = _Sums(tenths, np.ones_like(p), y, p)
        self.why = self._reasons()
        self._drawn = drawn_rows(len(self.p))
        self.loess = None
        if "curve" not in self.why:
            self.loess = Loess(self.p[self._drawn], self.y[self._drawn])
            self._between = interpolation(self.loess.at, self.p[self._drawn])

    def _reasons(self) -> dict[str, str]:
        """Metric (or ``curve``) -> why it cannot be estimated from these rows."""
        positives, negatives = int(self.y.sum()), int((1 - self.y).sum())
        found: dict[str, str] = {}
        smooth = (*_LOGISTIC, "ici", "curve")
        if positives == 0 or negatives == 0:
            text = f"no {'events' if positives == 0 else 'non-events'} among {len(self.y)} rows"
            return dict.fromkeys((*smooth, "in_the_large", "brier_scaled"), text)
        with_events, without = (subjects_among(self.codes, self.y == each) for each in (1, 0))
        if min(with_events, without) < FEWEST:
            what = "events" if with_events <= without else "non-events"
            found = dict.fromkeys(smooth, too_few_with(min(with_events, without), what))
        elif np.ptp(self.p) == 0:
            found = dict.fromkeys(smooth, "all predictions are equal")
        elif np.isnan(weighted_logistic(self.x, self.y, np.ones(len(self.y)))).any():
            text = "the predictions separate the classes: no finite estimate exists"
            found = dict.fromkeys(_LOGISTIC, text)
        if self.p.max() == 0 or self.p.min() == 1:
            found["in_the_large"] = f"all predictions are {self.p[0]:g}"
        if self.p.max() == 0:
            found["observed_expected"] = "all predictions are 0: no events are expected"
        return found

    def measure(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Metric -> (B,) and, with a curve, ``curve`` -> (B, m), for (B, n) weights."""
        total, events = weights.sum(axis=1), weights @ self.y
        with np.errstate(divide="ignore", invalid="ignore"):
            found = {"in_the_large": weighted_intercept(self.x, self.y, weights)}
            found["observed_expected"] = events / (weights @ self.p)
            if "slope" not in self.why:
                fit = weighted_logistic(self.x, self.y, weights)
                found["intercept"], found["slope"] = fit[:, 0], fit[:, 1]
            found["brier"] = weights @ (self.p - self.y) ** 2 / total
            share = events / total
            uncertainty = share * (1 - share)
            found["brier_scaled"] = 1 - found["brier"] / np.where(share % 1, uncertainty, np.nan)
            sums = self._binned.of(weights)
            found.update(_decomposed(sums, total, share))
            found["uncertainty"] = uncertainty
            _, happened, expected = self._widths.of(weights)
            found["ece_gaps"] = (sums[1] - sums[2]) / total[:, None]
            found["ece_equal_width_gaps"] = (happened - expected) / total[:, None]
            if self.loess is not None:
                drawn = weights[:, self._drawn]
                found["curve"] = np.clip(self.loess.fit(drawn), 0, 1)
                shares = drawn @ self._between.T / drawn.sum(axis=1)[:, None]
                found["ici_gaps"] = (found["curve"] - self.loess.at) * shares
            for name in DISTANCES:
                if f"{name}_gaps" in found:
                    found[name] = np.abs(found[f"{name}_gaps"]).sum(axis=1)
        return found

    def described(
        self,
        resampled: Resampled,
        subjects: np.ndarray,
        confidence: float,
        seed: int,
    ) -> Calibration:
        """``metrics``, ``bins``, ``curve``, ``histogram`` and ``notes``; see ``calibration_of``.

        Args:
            resampled: What ``measure`` gives in the resamples; empty for no intervals.
            subjects: (n,) subject of each row.
            confidence: Coverage of the intervals.
            seed: Not used: nothing is drawn at random.
        """
        values = self.measure(np.ones((1, len(self.y))))
        metrics = {name: self._metric(name, values, resampled, confidence) for name in METRICS}
        curve = None
        if self.loess is not None:
            curve = plain(
                {
                    "predicted": self.loess.at,
                    "observed": values["curve"][0],
                    **resampled.band("curve", len(self.loess.at), confidence),
                }
            )
        edges = np.linspace(0, 1, _HISTOGRAM + 1)
        counts = {
            name: np.histogram(self.p[self.y == outcome], edges)[0]
            for name, outcome in (("positives", 1), ("negatives", 0))
        }
        found: Calibration = {
            "metrics": metrics,
            "bins": self._bin_table(subjects, confidence),
            "curve": curve,
            "histogram": plain({"edges": edges, **counts}),
        }
        notes = reasons(self.why, _SPOKEN) if self.why else []
        certain = int(((self.p <= EDGE) | (self.p >= 1 - EDGE)).sum())
        if certain and "slope" not in self.why:
            notes.append(
                f"{certain:,} of {len(self.p):,} predictions are 0 or 1 as far as single precision "
                f"goes: on the logit scale they are taken as {EDGE:g} and 1 - {EDGE:g}, and may "
                "decide the slope and the intercept"
            )
        if notes:
            found["notes"] = notes
        return found

    def _metric(
        self, name: str, values: Mapping[str, np.ndarray], resampled: Resampled, confidence: float
    ) -> Estimate:
        if name in self.why:
            return not_estimable(self.why[name])
        value = float(values[name][0])
        if name in DISTANCES:
            gaps = resampled.curves.get(f"{name}_gaps")
            found = distance(values[f"{name}_gaps"][0], gaps, confidence)
            if name == "ici" and gaps is not None and len(np.unique(self.codes)) < _FOR_ICI:
                found |= {"low": None, "high": None, "note": _TOO_SMOOTH}
            return found
        if name in _BIASED:
            return {"value": value, "low": None, "high": None, "note": _NO_INTERVAL}
        found = {"value": value, **resampled.confidence_interval(name, value, confidence)}
        if name == "brier_scaled" and found["low"] is not None and "curve" in self.why:
            found |= {"low": None, "high": None, "note": f"no interval: {self.why['curve']}"}
        return found

    def _bin_table(self, subjects: np.ndarray, confidence: float) -> list[dict[str, Any]]:
        table = []
        for code in np.unique(self.bins):
            rows = self.bins == code
            observed = float(self.y[rows].mean())
            low, high = wilson(observed, len(np.unique(subjects[rows])), confidence)
            predicted = self.p[rows].mean()
            each = {"n": int(rows.sum()), "predicted": predicted, "observed": observed}
            table.append({**each, "low": low, "high": high})
        return table


METRICS = (
    "in_the_large", "observed_expected", "intercept", "slope", "brier", "brier_scaled",
    "reliability", "resolution", "uncertainty", "within_bins", "ece", "ece_equal_width", "ici",
)  # fmt: skip
_SPOKEN = {
    "in_the_large": "calibration in the large", "observed_expected": "observed/expected",
    "intercept": "calibration intercept", "slope": "calibration slope",
    "brier_scaled": "scaled Brier score", "ici": "ICI", "curve": "calibration curve",
}  # fmt: skip


def _coded(p: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(n,) number of each row's bin, an upper edge belonging to the bin below it."""
    return np.asarray(np.unique(np.searchsorted(edges, p), return_inverse=True)[1])


class _Sums:
    """Sums over the bins of a few columns, for any weights of the rows."""

    def __init__(self, codes: np.ndarray, *columns: np.ndarray):
        from scipy.sparse import csr_array

        self.bins, self.columns = int(codes.max()) + 1, len(columns)
        at = np.concatenate([codes + i * self.bins for i in range(self.columns)])
        rows = np.tile(np.arange(len(codes)), self.columns)
        shape = (self.columns * self.bins, len(codes))
        self._matrix = csr_array((np.concatenate(columns), (at, rows)), shape=shape)

    def of(self, weights: np.ndarray) -> list[np.ndarray]:
        """(B, n) weights -> for each column (B, bins)."""
        return np.split((self._matrix @ weights.T).T, self.columns, axis=1)


def _decomposed(
    sums: list[np.ndarray], total: np.ndarray, share: np.ndarray
) -> dict[str, np.ndarray]:
    """(B,) reliability, resolution and what is left within the bins."""
    rows, happened, predicted, squares, products = sums
    some = np.where(rows > 0, rows, 1.0)
    observed, mean = happened / some, predicted / some
    within = squares - predicted * mean - 2 * (products - happened * mean)
    return {
        "reliability": (rows * (mean - observed) ** 2).sum(axis=1) / total,
        "resolution": (rows * (observed - share[:, None]) ** 2).sum(axis=1) / total,
        "within_bins": within.sum(axis=1) / total,
    }

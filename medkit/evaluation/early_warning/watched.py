"""One model's hourly scores on the stays of a part: alarms, lead times, in any resample."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from medkit.evaluation.early_warning.stays import Stays, alarms, count_alarms, spaced_thresholds
from medkit.evaluation.early_warning.utility import hourly_utility
from medkit.evaluation.resampling.intervals import Resampled, resample_by, too_few
from medkit.evaluation.resampling.resampling import outcome_strata, subject_codes
from medkit.evaluation.results import Estimate
from medkit.tasks.scores.ranking import Ranking, divided

if TYPE_CHECKING:
    from medkit.config.experiment import Evaluation

FALSE_ALARMS = (0.5, 1.0, 2.0)  # a patient-day, to choose thresholds by
_CURVE = 60
_BINS = 24
_SHUFFLED = 50
_SHOWN = (("foreseen", 2), ("missed", 1), ("false alarm", 2), ("quiet", 1))
_PROPORTIONS = ("stay_sensitivity", "event_free_stays_alarmed", "alarm_ppv", "stay_ppv")
_COMPARED = (
    ("utility", "in_use"),
    *(("stay_sensitivity", f"false_alarms_{each:g}") for each in FALSE_ALARMS),
)
_WHY = {
    "stay_auroc": "all stays have an event, or none",
    "stay_auprc": "no stay has an event",
    "stay_sensitivity": "no stay has an event",
    "event_free_stays_alarmed": "every stay has an event",
    "alarm_ppv": "no alarm at this threshold",
    "stay_ppv": "no alarm at this threshold",
    "number_needed_to_evaluate": "no true alarm at this threshold",
    "lead_median": "no true alarm at this threshold",
    "lead_q1": "no true alarm at this threshold",
    "lead_q3": "no true alarm at this threshold",
    "utility": "no hour is near enough to an event",
}


@dataclass(frozen=True)
class Watch:
    """How alarms are counted.

    Args:
        step: Hours that each row stands for.
        silence: Hours without a further alarm after each.
        lead: An alarm at most so many hours before the onset is a true one.
    """

    step: float
    silence: float
    lead: float


class Watched:
    """One model's scores on the stays of a part, ready for any number of resamples.

    Args:
        stays: The stays.
        p: (n,) probabilities of the part's rows.
        points: ``name``, ``rule`` and ``threshold`` of each operating point.
        watch: How alarms are counted.
        settings: Resamples and confidence.
        seed: Seed of the bootstrap.
    """

    def __init__(
        self,
        stays: Stays,
        p: np.ndarray,
        points: list[dict[str, Any]],
        watch: Watch,
        settings: Evaluation,
        seed: int,
    ):
        self.stays, self.watch, self.points = stays, watch, points
        self.confidence = settings.confidence
        self.p = np.asarray(p, np.float64).reshape(-1)[stays.rows]
        self.known = [i for i, point in enumerate(points) if point["threshold"] is not None]
        at = np.array([float(points[i]["threshold"]) for i in self.known])
        self.curve = spaced_thresholds(self.p, _CURVE)
        counts = count_alarms(stays, self.p, np.r_[self.curve, at], watch.silence, watch.lead)
        self.alarms, self.true, self.lead = (counts[each] for each in ("alarms", "true", "lead"))
        self.days = stays.days(watch.step)
        alarmed = self.alarms > 0
        each = (self.alarms, self.true, self.true > 0, alarmed, alarmed & ~stays.event)
        self.sums = np.concatenate(each, dtype=float).T
        self.window = self._window()
        begins, self.ranked = stays.windows(self.window, seed)
        self.begins, self.seed = begins[self.ranked], seed
        self.ranking = self._ranking(self.p)
        self.utility, self.best, self.inaction = self._utilities(at)
        codes = subject_codes(stays.subjects)
        strata = outcome_strata(stays.event[:, None], codes)
        self.codes = codes
        with np.errstate(divide="ignore", invalid="ignore"):
            self.values = {k: v[0] for k, v in self.measure(np.ones((1, len(stays)))).items()}
            self.resampled = resample_by(self.measure, codes, strata, settings.bootstrap, seed)
        events = {"with the event": stays.event & self.ranked,
                  "without": ~stays.event & self.ranked}  # fmt: skip
        reason = too_few({name: len(np.unique(codes[rows])) for name, rows in events.items()})
        if reason is not None:
            self.resampled = self.resampled.without({"stay_auroc": reason, "stay_auprc": reason})
        self.resamples = settings.bootstrap if self.resampled.groups is not None else 0

    def _window(self) -> int:
        """Rows of the window that stays are ranked by: the lead, if half of those with an event
        are as long."""
        sizes = self.stays.sizes[self.stays.event]
        rows = max(1, round(self.watch.lead / self.watch.step))
        return min(rows, max(1, int(np.median(sizes)))) if len(sizes) else 1

    def _ranking(self, p: np.ndarray) -> Ranking:
        top = self.stays.highest(p, self.begins, self.window)
        return Ranking(self.stays.event[self.ranked].astype(int), top)

    def by_chance(self) -> dict[str, float]:
        """What scores dealt out to the rows at random would have, on average."""
        random, ones = np.random.default_rng(self.seed), np.ones((1, len(self.begins)))
        areas = [self._ranking(random.permutation(self.p)).areas(ones) for _ in range(_SHUFFLED)]
        means = np.mean(areas, axis=0).ravel()
        return dict(zip(("stay_auroc", "stay_auprc"), map(float, means), strict=True))

    def _utilities(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Observed (points, stays), best and without any prediction (stays,)."""
        positive, negative, best = hourly_utility(self.stays.lead)
        observed = np.where(self.p >= at[:, None], positive, negative)
        sums = (np.add.reduceat(each, self.stays.starts, axis=-1)
                for each in (observed.reshape(len(at), -1), best, negative))  # fmt: skip
        first, second, third = sums
        return first, second, third

    def measure(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """(B,) of each ``metric@point``, and (B, thresholds) of the curve, for (B, stays)."""
        event, size = self.stays.event.astype(float), len(self.curve)
        days = weights @ self.days
        events, free = weights @ event, weights @ (1 - event)
        auroc, auprc = self.ranking.areas(weights[:, self.ranked])
        found = {"stay_auroc": auroc, "stay_auprc": auprc}
        sounding, true, true_stays, any_stays, in_free = np.split(weights @ self.sums, 5, axis=1)
        sensitivity = divided(true_stays, events[:, None])
        false_per_day = divided(sounding - true, days[:, None])
        found["sensitivity"], found["false"] = sensitivity[:, :size], false_per_day[:, :size]
        measures = {
            "stay_sensitivity": sensitivity,
            "event_free_stays_alarmed": divided(in_free, free[:, None]),
            "alarms_per_day": divided(sounding, days[:, None]),
            "false_alarms_per_day": false_per_day,
            "alarm_ppv": divided(true, sounding),
            "stay_ppv": divided(true_stays, any_stays),
            "number_needed_to_evaluate": divided(sounding, true),
        }
        best, inaction = weights @ self.best, weights @ self.inaction
        for column, point in enumerate(self.known):
            for name, values in measures.items():
                found[f"{name}@{point}"] = values[:, size + column]
            q1, median, q3 = weighted_quartiles(self.lead[size + column], weights)
            found |= {
                f"lead_median@{point}": median,
                f"lead_q1@{point}": q1,
                f"lead_q3@{point}": q3,
            }
            gained = weights @ self.utility[column] - inaction
            found[f"utility@{point}"] = divided(gained, best - inaction)
        return found

    def described(self) -> dict[str, Any]:
        """The block but for histogram and timelines."""
        stays = self.stays
        drawn = self.resampled if stays.event.any() else Resampled({}, {}, None)
        by_chance = self.by_chance()
        late = np.minimum.reduceat(stays.lead, stays.starts) <= self.watch.lead
        return {
            "stays": len(stays),
            "event_stays": int(stays.event.sum()),
            "subjects": int(self.codes.max()) + 1,
            "patient_days": float(self.days.sum()),
            "step_hours": self.watch.step,
            "silence_hours": self.watch.silence,
            "lead_hours": self.watch.lead,
            "foreseeable": int((stays.event & late).sum()),
            "resamples": self.resamples,
            "window_hours": self.window * self.watch.step,
            "ranked_stays": len(self.begins),
            "metrics": {
                name: {**self._number(name, name), "by_chance": chance}
                for name, chance in by_chance.items()
            },
            "operating_points": [self._point(i) for i in range(len(self.points))],
            "curve": {
                "thresholds": self.curve,
                "false_alarms_per_day": self.values["false"],
                "stay_sensitivity": self.values["sensitivity"],
                **drawn.band("sensitivity", len(self.curve), self.confidence),
            },
        }

    def _point(self, index: int) -> dict[str, Any]:
        point = dict(self.points[index])
        if index not in self.known:
            return point
        names = [
            name.removesuffix(f"@{index}") for name in self.values if name.endswith(f"@{index}")
        ]
        point["metrics"] = {name: self._number(f"{name}@{index}", name, index) for name in names}
        return point

    def _number(self, key: str, name: str, index: int | None = None) -> Estimate:
        """A value with its interval; Wilson's where a proportion of 0 or 1 does not move."""
        proportion = name in _PROPORTIONS
        among = self.codes[self._denominator(name, index)] if proportion else None
        value, why = float(self.values[key]), _WHY.get(name, "undefined in these stays")
        return self.resampled.estimate(key, value, self.confidence, why, among)

    def _denominator(self, name: str, index: int | None) -> np.ndarray:
        if name == "stay_sensitivity":
            return self.stays.event
        if name == "event_free_stays_alarmed" or index is None:
            return ~self.stays.event
        return self.alarms[len(self.curve) + self.known.index(index)] > 0

    def difference(self, other: Watched) -> dict[str, Any]:
        """By how much these scores do better than another model's, in pairs of resamples."""
        mine, theirs = ({point["name"]: i for i, point in enumerate(each.points)}
                        for each in (self, other))  # fmt: skip
        keys = [("stay_auroc",) * 3, ("stay_auprc",) * 3]
        for metric, name in _COMPARED:
            a, b = f"{metric}@{mine.get(name)}", f"{metric}@{theirs.get(name)}"
            keys.append((metric if name == "in_use" else f"{metric} at {name}", a, b))
        found = {}
        for name, a, b in keys:
            if a in self.values and b in other.values:
                found[name] = self._less(other, a, b)
        return found

    def _less(self, other: Watched, a: str, b: str) -> dict[str, Any]:
        value = float(self.values[a] - other.values[b])
        found: dict[str, Any] = {"value": value, "low": None, "high": None, "p": None}
        if not math.isfinite(value):
            return {**found, "value": None, "not_estimable": "undefined in these stays"}
        if self.resampled.groups is None:
            return found
        one, two = (
            Resampled(
                {a: each.replicates[key]},
                {a: each.left_out[key]},
                each.groups,
                withheld={a: each.withheld[key]} if key in each.withheld else {},
            )
            for each, key in ((self.resampled, a), (other.resampled, b))
        )
        less = one.less(two)
        found |= less.confidence_interval(a, value, self.confidence)
        if found["low"] is not None and not found.get("degenerate"):
            found["p"] = less.p_value(a, value)
        return found

    def drawn(self, seed: int) -> dict[str, Any]:
        """``lead_histogram`` and ``timelines`` at the first operating point."""
        row, threshold = len(self.curve), float(self.points[0]["threshold"])
        lead = self.lead[row]
        width = max(1.0, math.ceil(self.watch.lead / _BINS))
        edges = np.arange(0, math.ceil(self.watch.lead / width) + 1) * width
        bins = np.searchsorted(edges, lead[np.isfinite(lead)] - 1e-9, side="left") - 1
        counts = np.bincount(np.clip(bins, 0, None), minlength=len(edges) - 1)
        missed = int((self.stays.event & np.isnan(lead)).sum())
        sounding = alarms(self.stays, self.p, np.array([threshold]), self.watch.silence)[0]
        event, alarmed = self.stays.event, self.alarms[row] > 0
        kinds = {
            "foreseen": event & np.isfinite(lead),
            "missed": event & np.isnan(lead),
            "false alarm": ~event & alarmed,
            "quiet": ~event & ~alarmed,
        }
        random = np.random.default_rng(seed)
        timelines = []
        for kind, most in _SHOWN:
            of_kind = random.permutation(np.flatnonzero(kinds[kind]))[:most]
            for stay in np.sort(of_kind):
                rows = slice(
                    self.stays.starts[stay], self.stays.starts[stay] + self.stays.sizes[stay]
                )
                hour = self.stays.hour[rows]
                timelines.append(
                    {"kind": kind, "hours": hour, "risk": np.round(self.p[rows], 6),
                     "alarms": hour[sounding[rows]], "onset_hour": self.stays.onset[stay]}
                )  # fmt: skip
        histogram = {"edges": edges, "counts": counts, "missed": missed}
        return {"lead_histogram": histogram, "timelines": timelines}


def weighted_quartiles(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(3, B) quartiles of values that occur ``weights`` times; NaN where there are none.

    Where a quartile falls between two values it is their mean (definition 2 of Hyndman and Fan,
    Sample quantiles in statistical packages, Am. Stat. 50, 1996).

    Args:
        values: (n,) NaN where there is no value.
        weights: (B, n) not negative.
    """
    order = np.argsort(values, kind="stable")[: int(np.isfinite(values).sum())]
    found = np.full((3, len(weights)), np.nan)
    if not len(order):
        return found
    ranked, sums = values[order], np.cumsum(weights[:, order], axis=1)
    total = sums[:, -1:]
    there = total[:, 0] > 0
    for row, share in enumerate((0.25, 0.5, 0.75)):
        below = ranked[np.argmax(sums >= share * total * (1 - 1e-12), axis=1)]
        above = ranked[np.argmax(sums > share * total * (1 + 1e-12), axis=1)]
        found[row, there] = ((below + above) / 2)[there]
    return found

"""Stays watched hour by hour: what belongs together, and when an alarm would sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from medkit.core.lazy import pd

if TYPE_CHECKING:
    import pandas

# The columns of samples that are a stay at one hour each.
STAY, HOUR, ONSET = COLUMNS = ("stay", "hour", "onset_hour")
_SAME = 1e-9  # hours closer than this differ by rounding only
_CELLS_AT_ONCE = 4_000_000  # of thresholds x rows


def has_stays(samples: pandas.DataFrame) -> bool:
    """Whether the samples are stays at one hour each, with the hour of the event."""
    return all(column in samples for column in COLUMNS)


def reserved_columns(samples: pandas.DataFrame) -> tuple[str, ...]:
    """Columns of the samples that say which stay and hour they are, and are no attributes."""
    return COLUMNS if has_stays(samples) else ()


class Stays:
    """The rows of a part by stay and hour.

    Rows at or after the onset, and those without a stay or an hour, are left out.

    Args:
        samples: (n rows) ``stay``, ``hour`` and ``onset_hour`` (NaN without an event).
        subjects: (n,) subject of each row.

    Attributes:
        rows: (m,) the rows that count, by stay and hour; all below are in this order.
        starts: (stays,) where each stay begins among them.
        sizes: (stays,) its number of rows.
        hour: (m,) hours since the start of the stay.
        lead: (m,) hours to the onset; infinite without an event.
        onset: (stays,) hour of the event; NaN without.
        event: (stays,) bool.
        subjects: (stays,) subject of each stay.
        not_estimable: Why nothing can be said of these stays; None if it can.
        notes: What was left out.
    """

    def __init__(self, samples: pandas.DataFrame, subjects: np.ndarray):
        hour, onset = (samples[each].to_numpy(float, na_value=np.nan) for each in (HOUR, ONSET))
        known = samples[STAY].notna().to_numpy() & np.isfinite(hour)
        before = known & ~(hour >= onset)
        self.notes = [
            f"rows {what}, left out: {count:,}"
            for count, what in (
                (int((~known).sum()), "without a stay or an hour"),
                (int((known & ~before).sum()), "at or after the onset"),
            )
            if count
        ]
        kept = np.flatnonzero(before)
        whose = pd.MultiIndex.from_arrays([np.asarray(subjects)[kept], samples[STAY].iloc[kept]])
        codes = pd.factorize(whose)[0]
        order = np.lexsort((hour[kept], codes))
        self.rows, codes = kept[order], codes[order]
        self.starts = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]][: len(codes)])
        self.sizes = np.diff(np.r_[self.starts, len(codes)])
        self.hour = hour[self.rows]
        self.onset = onset[self.rows][self.starts]
        self.event = np.isfinite(self.onset)
        self.subjects = np.asarray(subjects)[self.rows][self.starts]
        self.lead = np.where(np.isfinite(onset[self.rows]), onset[self.rows] - self.hour, np.inf)
        self.not_estimable = self._why_not(codes, onset[self.rows])

    def _why_not(self, codes: np.ndarray, onset: np.ndarray) -> str | None:
        if len(codes) == 0:
            return "there are no rows before an onset"
        first = self.spread(self.onset)
        differ = ~((onset == first) | (np.isnan(onset) & np.isnan(first)))
        if differ.any():
            stays = len(np.unique(codes[differ]))
            return f"the onset hour differs within {stays:,} stay{'s' * (stays > 1)}"
        again = (codes[1:] == codes[:-1]) & (np.diff(self.hour) < _SAME)
        if again.any():
            return f"hours that occur twice in their stay: {int(again.sum()):,}"
        return None

    def __len__(self) -> int:
        return len(self.starts)

    def spread(self, of_stay: np.ndarray) -> np.ndarray:
        """(m,) values of the stays for each of their rows."""
        return np.repeat(of_stay, self.sizes)

    def steps(self) -> np.ndarray:
        """Hours from each row to the next of the same stay."""
        within = np.diff(self.spread(np.arange(len(self)))) == 0
        return np.diff(self.hour)[within]

    def days(self, step: float) -> np.ndarray:
        """(stays,) patient-days, each row standing for ``step`` hours."""
        return self.sizes * step / 24

    def windows(self, rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Windows of equally many rows: (stays,) where each begins, and whether the stay has one.

        The highest score of a whole stay is the higher the longer the stay, and an event ends a
        stay: noise alone would rank stays with an event low. A stay with an event is looked at
        in its last rows before it, one without at an hour at which such a stay ended (drawn at
        random from those it lasted to; in its last rows if it is shorter than all of them).

        Args:
            rows: Rows of a window; stays of fewer have none.
            seed: Seed of the draws.
        """
        long = self.sizes >= rows
        ends = np.sort(self.sizes[self.event & long])
        reached = np.searchsorted(ends, self.sizes, side="right")
        chosen = (np.random.default_rng(seed).random(len(self)) * reached).astype(int)
        free = ~self.event & (reached > 0)
        end = self.sizes.copy()
        end[free] = ends[chosen[free]]
        return self.starts + np.maximum(end - rows, 0), long

    def highest(self, p: np.ndarray, begins: np.ndarray, rows: int) -> np.ndarray:
        """(stays,) the highest of the (m,) scores in a window of so many rows of each."""
        return np.asarray(p[begins[:, None] + np.arange(rows)].max(axis=1))


def alarms(stays: Stays, p: np.ndarray, thresholds: np.ndarray, silence: float) -> np.ndarray:
    """(thresholds, m) bool: the rows at which an alarm sounds.

    An alarm sounds at a score at or above the threshold, unless one has sounded in this stay less
    than ``silence`` hours before. Without silence every such row is an alarm.

    Args:
        stays: The stays.
        p: (m,) scores in the order of ``stays.rows``.
        thresholds: (thresholds,) in any order.
        silence: Hours.
    """
    above = p >= np.asarray(thresholds, float)[:, None]
    if silence <= 0:
        return above
    last = np.full((len(above), len(stays)), -np.inf)
    for step in range(int(stays.sizes.max())):
        which = np.flatnonzero(stays.sizes > step)
        rows = stays.starts[which] + step
        silent = stays.hour[rows] - last[:, which] < silence - _SAME
        above[:, rows] &= ~silent
        last[:, which] = np.where(above[:, rows], stays.hour[rows], last[:, which])
    return above


def count_alarms(
    stays: Stays, p: np.ndarray, thresholds: Any, silence: float, lead_hours: float
) -> dict[str, np.ndarray]:
    """What would have sounded in each stay, at each threshold: (thresholds, stays).

    Args:
        stays: The stays.
        p: (m,) scores in the order of ``stays.rows``.
        thresholds: (thresholds,).
        silence: Hours without a further alarm after each.
        lead_hours: An alarm at most so long before the onset is a true one.

    Returns:
        ``alarms`` and ``true``, their numbers, and ``lead``, the hours from the first true alarm to
        the onset (NaN without).
    """
    thresholds = np.atleast_1d(np.asarray(thresholds, float))
    in_time = stays.lead <= lead_hours + _SAME
    found: dict[str, list[np.ndarray]] = {"alarms": [], "true": [], "lead": []}
    chunk = max(1, _CELLS_AT_ONCE // max(1, len(stays.rows)))
    for start in range(0, len(thresholds), chunk):
        sounding = alarms(stays, p, thresholds[start : start + chunk], silence)
        true = sounding & in_time
        lead = np.maximum.reduceat(np.where(true, stays.lead, -np.inf), stays.starts, axis=1)
        found["alarms"].append(np.add.reduceat(sounding, stays.starts, axis=1, dtype=float))
        found["true"].append(np.add.reduceat(true, stays.starts, axis=1, dtype=float))
        found["lead"].append(np.where(np.isfinite(lead), lead, np.nan))
    return {name: np.concatenate(each) for name, each in found.items()}


def spaced_thresholds(p: np.ndarray, count: int) -> np.ndarray:
    """Rising thresholds at which an evenly rising order of magnitude of the scores lies above.

    The last is above all scores, so that nothing sounds.
    """
    shares = np.geomspace(1 / len(p), 1, count)
    found = np.unique(np.quantile(p, 1 - shares, method="higher"))
    return np.r_[found, np.nextafter(found[-1], np.inf)]

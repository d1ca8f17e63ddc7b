"""When events of chosen codes occur: what an index event and a target event are found by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from medkit.core.lazy import pd
from medkit.datasets.events.sources.found import FoundEvents
from medkit.readers.engines import Engine, collected, to_engine


class Occurrences(NamedTuple):
    """Events of some codes, sorted by stay and time.

    Args:
        stays: Code of each event's stay, int64 (events,).
        times: Its time, float64 (events,), in the unit of the events' times.
    """

    stays: np.ndarray
    times: np.ndarray

    def until(self, ends: np.ndarray) -> Occurrences:
        """Those not after the end of their stay; ``ends`` (stays,), NaN where unknown."""
        kept = ~(self.times > ends[self.stays])
        return Occurrences(self.stays[kept], self.times[kept])

    def of_stay(self, count: int, which: str = "first") -> np.ndarray:
        """(count,) time of the first or last one of each stay, NaN where there is none."""
        found = np.full(count, np.nan)
        if which == "first":  # written backwards, so that the first one stays
            found[self.stays[::-1]] = self.times[::-1]
        else:
            found[self.stays] = self.times
        return found

    def after(self, stays: np.ndarray, moments: np.ndarray) -> np.ndarray:
        """(n,) time of the next one after each moment, not at it; NaN where there is none."""
        found = np.full(len(stays), np.nan)
        asked = pd.DataFrame({"stay": stays, "time": moments, "row": np.arange(len(stays))})
        asked = asked[(asked["stay"] >= 0) & asked["time"].notna()].sort_values("time")
        events = pd.DataFrame({"stay": self.stays, "time": self.times, "next": self.times})
        if len(asked) and len(events):
            joined = pd.merge_asof(
                asked.astype({"stay": "int64"}),
                events.astype({"stay": "int64"}).sort_values("time"),
                on="time",
                by="stay",
                direction="forward",
                allow_exact_matches=False,
            )
            found[joined["row"]] = joined["next"]
        return found


def occurrences(found: FoundEvents, names: Sequence[str], engine: Engine) -> Occurrences:
    """Every time at which an event of these variables occurs, with or without a value."""
    import narwhals as nw

    chosen: Any = found.variables.loc[found.variables["name"].isin(names), ["variable"]]
    frame = found.frame.join(to_engine(chosen, engine), on="variable", how="inner")
    frame = frame.filter(~nw.col("time").is_null()).group_by("stay", "time").agg(events=nw.len())
    table = pd.DataFrame(collected(frame)).merge(found.keys, on="stay")
    stays, times = table["code"].to_numpy("int64"), table["time"].to_numpy("float64")
    order = np.lexsort((times, stays))
    return Occurrences(stays[order], times[order])

"""The parts of a cohort once encoded, and how many samples came, went and why."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from medkit.data.cohort import Cohort


@dataclass(frozen=True)
class Part:
    """The samples of one part, encoded.

    Attributes:
        cohort: The samples.
        x: (n, …) in physical units, NaN where missing.
        y: Targets as the task encodes them, in physical units.
    """

    cohort: Cohort
    x: np.ndarray
    y: np.ndarray


@dataclass
class Flow:
    """How many samples came, went and why; JSON by ``vars``."""

    rows_read: int
    dropped: dict[str, int] = field(default_factory=dict)
    parts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

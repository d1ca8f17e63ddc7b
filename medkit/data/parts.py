"""The parts of a cohort once encoded, and how many samples came, went and why."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from medkit.data.cohort import Cohort
from medkit.data.inputs import Inputs


@dataclass(frozen=True)
class Part:
    """The samples of one part, encoded.

    Attributes:
        cohort: The samples.
        inputs: Encoded inputs by name, in physical units, NaN where missing.
        y: Targets as the task encodes them, in physical units.
    """

    cohort: Cohort
    inputs: Inputs
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: np.ndarray) -> Part:
        """The given rows, in the given order."""
        return Part(self.cohort.take(rows), self.inputs.take(rows), self.y[rows])

    def without_raw(self) -> Part:
        """The same without its raw inputs, which nobody needs after the leakage gate."""
        return replace(self, cohort=replace(self.cohort, inputs={}))


@dataclass
class Flow:
    """How many samples came, went and why; JSON by ``vars``."""

    rows_read: int
    dropped: dict[str, int] = field(default_factory=dict)
    parts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

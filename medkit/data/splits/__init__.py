"""Train, valid and test: by subject, time, site, column or fold; no subject is ever divided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from medkit.core.errors import DataError
from medkit.data.cohort import Cohort
from medkit.data.splits.assignment import NO_SUBJECT, PARTS, WAYS, Division

if TYPE_CHECKING:
    from medkit.config.experiment import Split


@dataclass(frozen=True)
class SplitResult:
    """Which part each sample belongs to.

    Args:
        parts: (n,) of ``train``, ``valid``, ``test`` or ``dropped``.
        dropped: Reason -> number of samples dropped for it.
        notes: What a reader of the run should know about the split.
    """

    parts: np.ndarray
    dropped: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def rows(self, part: str) -> np.ndarray:
        """Row positions of one part, ascending."""
        return np.flatnonzero(self.parts == part)

    @property
    def counts(self) -> dict[str, int]:
        """Part -> number of samples (``dropped`` included only when there are any)."""
        counts = {part: int((self.parts == part).sum()) for part in (*PARTS, "dropped")}
        return {part: n for part, n in counts.items() if n or part != "dropped"}


def split(cohort: Cohort, settings: Split, seed: int) -> SplitResult:
    """Divide a cohort's samples into train, valid and test.

    The same seed gives the same parts, whatever the order of the rows.

    Args:
        cohort: The samples; ``cohort.samples['subject']`` keeps a patient's rows together.
        settings: How to divide, and the fractions (of subjects).
        seed: Seed of the random choice.

    Raises:
        DataError: Too few subjects, a column or site that is not there, a part left empty, a
            subject that the given column puts into two parts.
    """
    division = Division(cohort, settings, seed)
    codes = WAYS[settings.by](division)
    for position, part in enumerate(PARTS):
        if not (codes == position).any():
            reasons = ", ".join(f"{reason}: {n}" for reason, n in division.dropped.items())
            raise DataError(
                f"the part '{part}' is left without rows"
                + (f" ({reasons})" if reasons else f" (split by {settings.by})"),
                place="split",
                hint="Change split.by, or the fractions or sites of the split.",
            )
    parts = np.array([*PARTS, "dropped"])[codes]
    return SplitResult(parts, dict(division.dropped), tuple(division.notes))


def folds(cohort: Cohort, settings: Split, seed: int) -> np.ndarray:
    """(n,) fold of each sample, 1 … ``settings.folds``: those that ``split`` tests by fold.

    Grouped by subject, and stratified by the outcome unless ``settings.stratify`` is off. A
    repeat of the cross-validation is another seed.

    Args:
        cohort: The samples.
        settings: A split by fold; which ``fold`` it tests does not matter here.
        seed: Seed of the dealing.

    Raises:
        DataError: Fewer subjects than folds.
    """
    division = Division(cohort, settings, seed)
    return division.folds(np.ones(division.count, dtype=bool), settings.folds)[division.subject]


__all__ = ["NO_SUBJECT", "PARTS", "SplitResult", "folds", "split"]

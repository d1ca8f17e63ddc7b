"""Rows of one part with what a model says of them: what everything in this package measures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from medkit.evaluation.resampling.resampling import outcome_strata, subject_codes
from medkit.tasks.task import Statistics, Task, Threshold

if TYPE_CHECKING:
    import pandas as pd

    from medkit.config.experiment import Evaluation
    from medkit.data.parts import Part

# Rows drawn for the intervals of one outcome, over all resamples: some 5 s of work.
_MOST_DRAWS = 20_000_000
_FEWEST_RESAMPLES = 200


@dataclass(frozen=True)
class EvaluatedRows:
    """Rows of one part, what a model says of them, and how that is measured.

    Args:
        task: The fitted task.
        y: (n, …) encoded targets.
        p: (n, outputs) the model's outputs.
        subjects: (n,) subject of each row.
        threshold: The operating point, chosen on validation.
        settings: Resamples, confidence, subgroups, coverage.
        seed: Seed of the bootstrap.
        samples: (n rows) attributes, for subgroups; None where there are none.
    """

    task: Task
    y: np.ndarray
    p: np.ndarray
    subjects: np.ndarray
    threshold: Threshold
    settings: Evaluation
    seed: int
    samples: pd.DataFrame | None = None

    @classmethod
    def of(
        cls, task: Task, part: Part, p: np.ndarray, threshold: Threshold, settings: Evaluation,
        seed: int,
    ) -> EvaluatedRows:  # fmt: skip
        """The rows of an encoded part, and a model's outputs for them."""
        cohort = part.cohort
        return cls(task, part.y, p, cohort.subjects, threshold, settings, seed, cohort.samples)

    def __len__(self) -> int:
        return len(self.y)

    @cached_property
    def codes(self) -> np.ndarray:
        """(n,) subject number of each row, from 0."""
        return subject_codes(self.subjects)

    @cached_property
    def strata(self) -> np.ndarray | None:
        """(subjects,) stratum of each subject, by its outcome."""
        return outcome_strata(self.task.events(self.y), self.codes)

    @cached_property
    def statistics(self) -> Statistics:
        """What is known of each row, from which every metric follows; see ``Task.statistics``."""
        return self.task.statistics(self.y, self.p, self.threshold)

    def affordable(self, together: int) -> int:
        """How many resamples ``together`` outcomes can have: fewer than set of very many rows."""
        most = max(_FEWEST_RESAMPLES, _MOST_DRAWS // (len(self) * together))
        return min(self.settings.bootstrap, most)

    def take(self, rows: np.ndarray) -> EvaluatedRows:
        """Some of the rows, by position or as (n,) bool."""
        samples = None if self.samples is None else self.samples.iloc[rows]
        y, p = np.asarray(self.y)[rows], np.asarray(self.p)[rows]
        return replace(self, y=y, p=p, subjects=np.asarray(self.subjects)[rows], samples=samples)

    def answered(self, p: np.ndarray, threshold: Any) -> EvaluatedRows:
        """The same rows with another model's outputs and operating point."""
        return replace(self, p=p, threshold=threshold)

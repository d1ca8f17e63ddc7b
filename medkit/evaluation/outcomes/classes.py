"""One of several classes that exclude one another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from medkit.evaluation.baselines.learned import Output
from medkit.evaluation.groups.group_measures import GroupMeasure, rates
from medkit.evaluation.methods import Questions, methods
from medkit.evaluation.outcomes._on_summaries import OnSummaries
from medkit.evaluation.results import Calibration
from medkit.evaluation.uncertainty.conformal_sets import Sets
from medkit.tasks.outcomes import Outcome
from medkit.tasks.task import Threshold


@methods.register("class")
class Classes(OnSummaries):
    """Probabilities that sum to 1; each class is also a yes/no against the rest."""

    key: str | None = "per_class"
    conformal: ClassVar[Any] = Sets
    exclusive: ClassVar[bool] = True
    certainty_is: ClassVar[str] = "largest probability"
    undefined: ClassVar[str] = "one class only"

    def calibration(
        self, y: np.ndarray, p: np.ndarray, blocks: Callable[[Questions], dict[Any, Calibration]]
    ) -> Calibration:
        """Of each class, and of whether the most probable class is right."""
        right = Outcome("top", "yes_no", self.right(y, p)[None], p.max(axis=1))
        found = blocks({**dict[Any, Outcome](self.one_by_one(y, p)), None: right})
        top = found.pop(None)
        return {**self.laid_out(found), "top_label": top}

    def right(
        self, y: np.ndarray, p: np.ndarray, threshold: Threshold = None
    ) -> Mapping[str | None, Any]:
        """Whether the most probable class is the true one."""
        return {None: p.argmax(axis=1) == np.asarray(y).ravel()}

    def denominators(
        self, y: np.ndarray, p: np.ndarray, threshold: Threshold
    ) -> dict[str, np.ndarray]:
        """Accuracy counts all rows; means over classes are no proportion."""
        return {"accuracy": np.ones(len(y), bool)}

    def ranked(self, y: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
        """Means of AUROC and AUPRC over the classes."""
        return dict.fromkeys(("auroc_macro", "auroc_weighted", "auprc_macro"), self.occurrences(y))

    def occurrences(self, y: np.ndarray) -> dict[str, np.ndarray]:
        """Each class."""
        return {name: of.y for name, of in self.one_by_one(y).items()}

    def absent(self, positives: Any, n: int) -> str | None:
        """Whether fewer than two classes occur."""
        return "one class only" if sum(count > 0 for count in positives.values()) < 2 else None

    def group_measures(
        self, y: np.ndarray, p: np.ndarray, threshold: Threshold
    ) -> dict[Any, list[GroupMeasure]]:
        """Rates and discrimination of each class against the rest."""
        chosen = p.argmax(axis=1)
        return {
            name: rates(of.y, chosen == index, of.p)
            for index, (name, of) in enumerate(self.one_by_one(y, p).items())
        }

    def entropy(self, p: np.ndarray) -> np.ndarray:
        """Of all classes together."""
        from scipy.special import entr

        p = np.clip(np.asarray(p, float), 0.0, 1.0)
        total = p.sum(axis=1, keepdims=True)
        return np.asarray(entr(p / np.where(total == 0, 1.0, total)).sum(axis=1))

    def most_entropy(self, p: np.ndarray) -> float:
        """With all classes equally probable."""
        return float(np.log(p.shape[1]))

    def certainty(self, p: np.ndarray, threshold: Threshold) -> np.ndarray:
        """The largest probability."""
        return np.asarray(np.clip(np.asarray(p, float), 0.0, 1.0).max(axis=1))

    def wrong(self, y: np.ndarray, p: np.ndarray, threshold: Threshold) -> np.ndarray:
        """1 where another class is the most probable."""
        return 1.0 - self.right(y, p)[None]

    def learned(self, y: np.ndarray) -> list[Output]:
        """One column of class numbers."""
        return [Output(regression=False, classes=self.task.num_outputs)]

    def described(self, y: np.ndarray) -> dict[str, np.ndarray]:
        """The classes by name."""
        (of,) = self.task.outcomes(y)
        classes = np.array([str(each) for each in of.classes], dtype=object)
        return {next(iter(self.task.names_), "outcome"): classes[of.y.astype(int)]}

"""One yes/no question, or several that do not exclude one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from medkit.evaluation.baselines.learned import Output
from medkit.evaluation.groups.group_measures import GroupMeasure, rates
from medkit.evaluation.methods import Questions, methods
from medkit.evaluation.notes import listed
from medkit.evaluation.outcomes._on_summaries import OnSummaries
from medkit.evaluation.uncertainty.conformal_sets import Sets
from medkit.tasks.task import Task, Threshold, at_or_above


@methods.register("yes_no")
class YesNo(OnSummaries):
    """Probabilities of yes, each with its threshold."""

    conformal: ClassVar[Any] = Sets
    certainty_is: ClassVar[str] = "distance from the threshold"
    undefined: ClassVar[str] = "one class only"

    def __init__(self, task: Task):
        super().__init__(task)
        self.key = None if task.num_outputs == 1 else "per_label"

    def yes_no(
        self, y: np.ndarray, p: np.ndarray | None = None, threshold: Threshold = None
    ) -> Questions:
        """By label; None: the only one."""
        found = self.one_by_one(y, p, threshold)
        return {None if self.key is None else name: each for name, each in found.items()}

    def right(self, y: np.ndarray, p: np.ndarray, threshold: Threshold) -> Mapping[str | None, Any]:
        """Whether each answer is on the right side of the threshold."""
        questions = self.yes_no(y, p, threshold)
        return {
            name: at_or_above(of.p, of.threshold) == (of.y == 1) for name, of in questions.items()
        }

    def denominators(
        self, y: np.ndarray, p: np.ndarray, threshold: Threshold
    ) -> dict[str, np.ndarray]:
        """Accuracy counts all rows, recall the positive, specificity the negative ones."""
        found = {}
        for label, of in self.yes_no(y, p, threshold).items():
            ending = "" if label is None else f"_{label}"
            found[f"accuracy{ending}"] = np.ones(len(of.y), bool)
            found[f"precision{ending}"] = at_or_above(of.p, of.threshold)
            found[f"recall{ending}"] = of.y == 1
            found[f"specificity{ending}"] = of.y == 0
        return found

    def ranked(self, y: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
        """AUROC and AUPRC of each question, and their means over those with yes and no."""
        found: dict[str, dict[str, np.ndarray]] = {"auroc": {}, "auprc": {}}
        for label, of in self.yes_no(y).items():
            rows = {"positive": of.y == 1, "negative": of.y == 0}
            for metric in ("auroc", "auprc"):
                if label is None:
                    found[metric] = rows
                    continue
                found[f"{metric}_{label}"] = rows
                if all(each.any() for each in rows.values()):
                    found[metric] |= {f"{name} {label}": each for name, each in rows.items()}
        return found

    def occurrences(self, y: np.ndarray) -> dict[str, np.ndarray]:
        """Yes and no to each question."""
        rows = {label: of.y == 1 for label, of in self.yes_no(y).items()}
        if self.key is None:
            return {"positive": rows[None], "negative": ~rows[None]}
        labels = {str(label): yes for label, yes in rows.items()}
        return labels | {f"no {label}": ~yes for label, yes in rows.items()}

    def absent(self, positives: Any, n: int) -> str | None:
        """Questions that all rows answer alike."""
        if self.key is None:
            if 0 < positives < n:
                return None
            return "no positives" if positives == 0 else "no negatives"
        alone = [name for name, count in positives.items() if count in (0, n)]
        return f"one class only of {listed(alone)}" if alone else None

    def group_measures(
        self, y: np.ndarray, p: np.ndarray, threshold: Threshold
    ) -> dict[Any, list[GroupMeasure]]:
        """Rates and discrimination of each question."""
        return {
            label: rates(of.y == 1, at_or_above(of.p, of.threshold), of.p)
            for label, of in self.yes_no(y, p, threshold).items()
        }

    def entropy(self, p: np.ndarray) -> np.ndarray:
        """Of yes and no, averaged over the questions."""
        from scipy.special import entr

        p = np.clip(np.asarray(p, float), 0.0, 1.0)
        return np.asarray((entr(p) + entr(1 - p)).mean(axis=1))

    def certainty(self, p: np.ndarray, threshold: Threshold) -> np.ndarray:
        """How far from the threshold, as a share of the way to 0 or 1, averaged over questions."""
        p = np.clip(np.asarray(p, float), 0.0, 1.0)
        at = np.broadcast_to(np.asarray(0.5 if threshold is None else threshold), p.shape[1:])
        side = np.where(p >= at, 1 - at, at)
        # A threshold of 0 or 1 leaves no way to go on one side.
        return np.asarray((np.abs(p - at) / np.where(side == 0, 1.0, side)).mean(axis=1))

    def wrong(self, y: np.ndarray, p: np.ndarray, threshold: Threshold) -> np.ndarray:
        """The share of questions that are answered wrongly."""
        return 1.0 - np.column_stack([*self.right(y, p, threshold).values()]).mean(axis=1)

    def learned(self, y: np.ndarray) -> list[Output]:
        """Two classes each."""
        return [Output(regression=False)] * self.task.num_outputs

    def described(self, y: np.ndarray) -> dict[str, np.ndarray]:
        """The two classes by name; of several questions yes and no."""
        if self.key is not None:
            return {
                name: np.where(of.y == 1, "yes", "no").astype(object)
                for name, of in self.one_by_one(y).items()
            }
        (of,) = self.task.outcomes(y)
        classes = np.array([str(each) for each in of.classes], dtype=object)
        return {next(iter(self.task.names_), "outcome"): classes[of.y.astype(int)]}

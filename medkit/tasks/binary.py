"""Yes or no."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from medkit.core.errors import DataError
from medkit.core.registry import tasks
from medkit.tasks._yes_no import YesNoTask
from medkit.tasks.outcomes import Metric, Outcome
from medkit.tasks.scores.metrics import BINARY, binary_scores
from medkit.tasks.scores.ranking import best_threshold
from medkit.tasks.scores.threshold_rules import AtLeast, CostRatio, Rule
from medkit.tasks.targets import classes_of, labels, many, numbered, shown
from medkit.tasks.task import (
    Statistics,
    Threshold,
    at_or_above,
    balanced,
    checked_outputs,
    fitted,
    log,
    named,
)


@tasks.register(name="binary")
class Binary(YesNoTask):
    """One of two classes: the probability of the positive one.

    Targets (n,), any two values; encoded as float32 (n, 1), 1 for the positive class. The model
    returns probabilities (n, 1); at or above the threshold a row counts as positive.

    Args:
        positive: The positive class as it stands in the target column; by default 1 or true, or
            the last of the two in alphabetical order.
        loss: binary_crossentropy, focal (Lin et al. 2017; for rare positives), or mse, the
            Brier score.
        label_smoothing: Share by which the targets are drawn towards one half.
        focal_gamma: With loss focal, how much less the rows count that are already right.
        focal_alpha: With loss focal, weight of the positives (the negatives weigh 1 - alpha);
            null weighs both alike.
        threshold: How it is chosen on the validation rows: youden (largest sensitivity +
            specificity - 1), f1 (largest F1), sensitivity or specificity (largest other one of
            those that reach at_least), or cost (smallest cost by cost_ratio).
        at_least: With threshold sensitivity or specificity, what it must reach on validation.
        cost_ratio: With threshold cost, how many false positives one false negative is worth.
        fixed_threshold: A threshold used as it is; nothing is chosen on the validation rows.
    """

    kind: ClassVar[str] = "binary"
    one_class_each: ClassVar[bool] = True
    learned: ClassVar[tuple[str, ...]] = ("classes_",)

    def __init__(
        self,
        *,
        positive: str | int | bool | float | None = None,
        loss: Literal["binary_crossentropy", "focal", "mse"] = "binary_crossentropy",
        label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        focal_gamma: Annotated[float, Field(ge=0)] = 2.0,
        focal_alpha: Annotated[float, Field(gt=0, lt=1)] | None = None,
        threshold: Rule = "youden",
        at_least: AtLeast = None,
        cost_ratio: CostRatio = None,
        fixed_threshold: Annotated[float, Field(gt=0, lt=1)] | None = None,
    ):
        super().__init__(
            loss=loss, label_smoothing=label_smoothing, focal_gamma=focal_gamma,
            focal_alpha=focal_alpha, threshold=threshold, at_least=at_least,
            cost_ratio=cost_ratio, fixed_threshold=fixed_threshold,
        )  # fmt: skip
        self.positive = positive
        self.classes_: list[Any] | None = None

    def fit(self, targets: Any, names: Sequence[str] = ()) -> Self:
        """Learn the two classes; ``classes_`` is [negative, positive].

        Raises:
            DataError: One class only, more than two, or ``positive`` is none of them.
        """
        values = labels(targets)
        found = classes_of(values)
        if len(found) > 2:
            listed = "" if many(found, len(values)) else f": {shown(found)}"
            raise DataError(
                f"task binary needs two classes; the target has {len(found)}{listed}",
                hint="Use task: multiclass for classes, or regression for a measured number.",
            )
        positive = found[-1] if self.positive is None else self.positive
        if positive not in found:
            raise DataError(
                f"the positive class {positive!r} does not occur among the targets",
                place="task.positive",
                hint=f"The target column holds {shown(found)}.",
            )
        positive = found[found.index(positive)]
        self.classes_ = [next(each for each in found if each != positive), positive]
        self.names_ = tuple(names)
        if self.positive is None and any(isinstance(each, str) for each in found):
            log.info("positive class: %r (task.positive chooses the other)", positive)
        return self

    @classmethod
    def example(cls, rows: int, random: np.random.Generator) -> np.ndarray:
        """Zeros and ones."""
        return random.integers(0, 2, rows)

    def encode(self, targets: Any) -> np.ndarray:
        """(n, 1) float32, 1 for the positive class.

        Raises:
            DataError: Missing values, or a class that did not occur in training.
        """
        return numbered(labels(targets), fitted(self, "classes_")).astype(np.float32)[:, None]

    @property
    def num_outputs(self) -> int:
        """One."""
        return 1

    @property
    def output_names(self) -> list[str]:
        """The positive class."""
        return [str(fitted(self, "classes_")[1])]

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Discrimination, decisions at the threshold, Brier score and log loss."""
        return BINARY

    def choose_threshold(self, y: np.ndarray, p: np.ndarray, model: str = "network") -> float:
        """From validation rows; 0.5 where they do not hold both classes."""
        if self.fixed_threshold is not None:
            return self.fixed_threshold
        rule = (self.threshold, self.at_least, self.cost_ratio)
        found = best_threshold(np.asarray(y).ravel(), checked_outputs(p, y)[:, 0], *rule)
        if found is None:
            log.warning(
                "%s: the validation rows do not hold both classes: threshold 0.5 is used", model
            )
        return 0.5 if found is None else found

    def statistics(self, y: np.ndarray, p: np.ndarray, threshold: Threshold = None) -> Statistics:
        """Targets, probabilities and decisions (n,)."""
        y = np.asarray(y).ravel().astype(int)
        p = checked_outputs(p, y)[:, 0]
        return {"y": y, "p": p, "predicted": at_or_above(p, threshold)}

    def measure(self, statistics: Statistics, weights: np.ndarray | None = None) -> dict[str, Any]:
        """The metrics; see Task.measure."""
        return binary_scores(**statistics, weights=weights)

    @property
    def default_threshold(self) -> float:
        """One half."""
        return 0.5

    def positives(self, y: np.ndarray) -> int:
        """Number of positive rows."""
        return int(np.asarray(y).sum())

    def class_weights(self, y: np.ndarray) -> dict[int, float]:
        """Weights that make both classes count alike."""
        return balanced(np.asarray(y), 2)

    def outcomes(
        self, y: np.ndarray, p: np.ndarray | None = None, threshold: Threshold = None
    ) -> list[Outcome]:
        """One yes/no, named by the positive class."""
        classes = tuple(fitted(self, "classes_"))
        p = None if p is None else np.asarray(p).reshape(len(p), -1)[:, 0]
        y = np.asarray(y).ravel()
        return [Outcome(str(classes[1]), self.outcome, y, p, threshold, classes)]

    def prediction_columns(
        self, p: np.ndarray, threshold: Threshold = None
    ) -> dict[str, np.ndarray]:
        """``probability`` of the positive class and the ``predicted`` class."""
        p = checked_outputs(p)[:, 0]
        classes = fitted(self, "classes_")
        above = at_or_above(p, threshold)
        return {"probability": p, "predicted": named(classes, above.astype(int))}

"""Several yes/no questions at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np

from medkit.core.errors import DataError
from medkit.core.registry import tasks
from medkit.tasks._yes_no import YesNoTask
from medkit.tasks.outcomes import Metric, Outcome, for_each
from medkit.tasks.scores.metrics import BINARY, binary_scores, with_each
from medkit.tasks.scores.ranking import best_threshold
from medkit.tasks.targets import numeric_targets
from medkit.tasks.task import (
    Statistics,
    Threshold,
    at_or_above,
    checked_outputs,
    fitted,
    log,
)


@tasks.register(name="multilabel")
class Multilabel(YesNoTask):
    """Several labels, each present or not, that do not exclude one another.

    Targets (n, labels) of 0 and 1; encoded as float32 of the same shape. The model returns a
    probability for each label; every label has its own threshold.

    Args:
        loss: binary_crossentropy, focal (Lin et al. 2017; for rare labels), or mse, the Brier
            score; averaged over the labels.
        label_smoothing: Share by which the targets are drawn towards one half.
        focal_gamma: With loss focal, how much less the labels count that are already right.
        focal_alpha: With loss focal, weight of the positives (the negatives weigh 1 - alpha);
            null weighs both alike.
        threshold: How each is chosen on the validation rows: youden (largest sensitivity +
            specificity - 1), f1 (largest F1), sensitivity or specificity (largest other one of
            those that reach at_least), or cost (smallest cost by cost_ratio).
        at_least: With threshold sensitivity or specificity, what it must reach on validation.
        cost_ratio: With threshold cost, how many false positives one false negative is worth.
        fixed_threshold: One threshold for all labels, used as it is.
    """

    kind: ClassVar[str] = "multilabel"
    several: ClassVar[bool] = True
    learned: ClassVar[tuple[str, ...]] = ("labels_",)

    labels_: list[str] | None = None

    def fit(self, targets: Any, names: Sequence[str] = ()) -> Self:
        """Check that every label occurs and is absent at least once.

        Raises:
            DataError: One column only, values other than 0 and 1, or a label of one class.
        """
        array = np.asarray(targets)
        if array.ndim != 2 or array.shape[1] < 2:
            raise DataError(
                f"task multilabel needs two or more target columns; got shape {array.shape}",
                hint="For one yes/no column use task: binary.",
            )
        known = [str(each) for each in names] or [f"label_{i}" for i in range(array.shape[1])]
        values = _zeros_and_ones(array, known)
        for index, name in enumerate(known):
            if len(set(values[:, index].tolist())) == 1:
                raise DataError(
                    f"the training targets hold one class only: {int(values[0, index])} "
                    f"({len(values)} rows)",
                    place=f"target '{name}'",
                    hint="Leave this label out, or split so that train has both.",
                )
        self.labels_, self.names_ = known, tuple(known)
        return self

    @classmethod
    def example(cls, rows: int, random: np.random.Generator) -> np.ndarray:
        """Three labels."""
        return random.integers(0, 2, (rows, 3))

    def encode(self, targets: Any) -> np.ndarray:
        """(n, labels) float32.

        Raises:
            DataError: Another number of columns, or values other than 0 and 1.
        """
        known = fitted(self, "labels_")
        return _zeros_and_ones(np.asarray(targets), known).astype(np.float32)

    @property
    def num_outputs(self) -> int:
        """The number of labels."""
        return len(fitted(self, "labels_"))

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Each metric as the mean over the labels, then for each label (``auroc_<label>``)."""
        return for_each(BINARY, fitted(self, "labels_"))

    def choose_threshold(self, y: np.ndarray, p: np.ndarray, model: str = "network") -> list[float]:
        """One a label, from validation rows; 0.5 where they do not hold both classes."""
        known, p = fitted(self, "labels_"), checked_outputs(p, y)
        if self.fixed_threshold is not None:
            return [self.fixed_threshold] * len(known)
        rule = (self.threshold, self.at_least, self.cost_ratio)
        found = [best_threshold(y[:, i], p[:, i], *rule) for i in range(len(known))]
        absent = [name for name, at in zip(known, found, strict=True) if at is None]
        if absent:
            log.warning(
                "%s: threshold 0.5 is used for %s: the validation rows do not hold both classes",
                model,
                ", ".join(absent),
            )
        return [0.5 if at is None else at for at in found]

    def statistics(self, y: np.ndarray, p: np.ndarray, threshold: Threshold = None) -> Statistics:
        """Targets, probabilities and decisions (n, labels)."""
        p = checked_outputs(p, y)
        predicted = at_or_above(p, self._thresholds(threshold))
        return {"y": np.asarray(y).astype(int), "p": p, "predicted": predicted}

    def measure(self, statistics: Statistics, weights: np.ndarray | None = None) -> dict[str, Any]:
        """The metrics; a mean leaves out labels of which it is undefined in these rows."""
        known = fitted(self, "labels_")

        def of_labels(weights: np.ndarray | None) -> dict[str, np.ndarray]:
            each = [
                binary_scores(**{n: of[:, i] for n, of in statistics.items()}, weights=weights)
                for i in range(len(known))
            ]
            return {of.name: np.stack([one[of.name] for one in each], axis=-1) for of in BINARY}

        if weights is None:
            values = of_labels(None)
            return {name: float(of) for name, of in with_each(values, known, values).items()}
        sample = of_labels(np.ones((1, np.shape(weights)[-1])))
        return with_each(of_labels(weights), known, sample)

    @property
    def default_threshold(self) -> list[float]:
        """One half for each label."""
        return [0.5] * self.num_outputs

    def positives(self, y: np.ndarray) -> dict[str, int]:
        """Label -> number of rows that have it."""
        counts = np.asarray(y).sum(axis=0)
        known = fitted(self, "labels_")
        return {name: int(count) for name, count in zip(known, counts, strict=True)}

    def outcomes(
        self, y: np.ndarray, p: np.ndarray | None = None, threshold: Threshold = None
    ) -> list[Outcome]:
        """A yes/no for each label."""
        known = fitted(self, "labels_")
        answers = [None] * len(known) if p is None else np.asarray(p).T
        columns = zip(known, np.asarray(y).T, answers, self._thresholds(threshold), strict=True)
        return [Outcome(n, self.outcome, of, p, at, (0, 1)) for n, of, p, at in columns]

    def prediction_columns(
        self, p: np.ndarray, threshold: Threshold = None
    ) -> dict[str, np.ndarray]:
        """``probability_<label>`` and ``predicted_<label>`` (0 or 1) of each label."""
        p = checked_outputs(p)
        above = at_or_above(p, self._thresholds(threshold))
        columns: dict[str, np.ndarray] = {}
        for i, name in enumerate(fitted(self, "labels_")):
            columns[f"probability_{name}"] = p[:, i]
            columns[f"predicted_{name}"] = above[:, i].astype(np.int64)
        return columns

    def _thresholds(self, threshold: Threshold) -> list[float] | np.ndarray:
        if isinstance(threshold, list | np.ndarray):
            return threshold
        return [0.5 if threshold is None else float(threshold)] * self.num_outputs


def _zeros_and_ones(targets: np.ndarray, known: Sequence[str]) -> np.ndarray:
    if targets.ndim != 2 or targets.shape[1] != len(known):
        raise DataError(f"the targets have shape {targets.shape}; expected (rows, {len(known)})")
    values = numeric_targets(targets, known)
    for index, name in enumerate(known):
        wrong = np.flatnonzero(~np.isin(values[:, index], (0.0, 1.0)))
        if len(wrong):
            raise DataError(
                f"{len(wrong)} values are neither 0 nor 1 (first at row {wrong[0] + 1})",
                place=f"target '{name}'",
                hint="Every label column must hold 0 or 1.",
            )
    return values

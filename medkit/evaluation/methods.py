"""What can be said of an answer, by its kind of outcome; of an unknown kind nothing is estimable.

A kind is one file in ``medkit.evaluation.outcomes``: a class derived from ``Methods`` that is
registered with ``methods.register("mask")``. What it leaves out is not estimable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

import numpy as np

from medkit.core.by_outcome import ByOutcome
from medkit.evaluation.results import Calibration
from medkit.tasks.outcomes import Outcome
from medkit.tasks.task import Task, Threshold

if TYPE_CHECKING:
    from medkit.data.inputs import Inputs
    from medkit.evaluation.baselines.learned import Output, PastRows
    from medkit.evaluation.groups.group_measures import GroupMeasure
    from medkit.evaluation.rows import EvaluatedRows
    from medkit.modalities.encoder import Encoder

T = TypeVar("T")
Questions = dict[Any, Outcome]


class Conformal(Protocol):
    """What makes sets or intervals of one kind of outcome from a quantile of its scores."""

    method: ClassVar[str]

    @staticmethod
    def scores(of: Outcome) -> np.ndarray:
        """(n,) how badly each truth fits its prediction; infinite where that is not finite."""
        ...

    @staticmethod
    def columns(q: float, of: Outcome, ending: str) -> dict[str, np.ndarray]:
        """What a user is given, (n,) each."""
        ...

    @staticmethod
    def measures(q: float, of: Outcome) -> dict[str, np.ndarray]:
        """Name -> (n,) what is averaged over rows; ``width`` is the same for all."""
        ...

    @staticmethod
    def by_class(of: Outcome) -> dict[str, np.ndarray] | None:
        """True class -> its rows; None of numbers."""
        ...


class Methods:
    """The methods for one kind of outcome; as they stand, those for an unknown kind.

    Args:
        task: The fitted task.
    """

    #: Where blocks of several outcomes stand: per_label, per_class, per_output.
    key: str | None = "per_outcome"
    no_calibration: ClassVar[str] = "no calibration is known for this kind of outcome"
    no_decisions: ClassVar[str] = "the task predicts no probability to decide on"
    no_uncertainty: ClassVar[str] = "no measure of uncertainty is known for this kind of outcome"
    #: Why a metric may have no value, where no class is absent.
    undefined: ClassVar[str] = "too little measured"
    #: What makes sets or intervals with a coverage.
    conformal: ClassVar[type[Conformal] | None] = None
    #: Whether its classes are mutually exclusive and their probabilities sum to 1.
    exclusive: ClassVar[bool] = False
    #: Whether networks are compared by their standard deviation: measured numbers.
    deviates: ClassVar[bool] = False
    #: Whether its baselines are fitted on summary features alone, so that another process can.
    on_summaries: ClassVar[bool] = False
    #: Baselines that are named after people -> how they are written.
    named: ClassVar[Mapping[str, str]] = {}
    #: What the certainty of a decision is.
    certainty_is: ClassVar[str] = ""

    def __init__(self, task: Task):
        self.task = task

    def laid_out(self, blocks: Mapping[Any, T]) -> Any:
        """``{key: blocks}``; the one block itself where there is a single yes/no."""
        return next(iter(blocks.values())) if self.key is None else {self.key: dict(blocks)}

    def one_by_one(
        self, y: np.ndarray, p: np.ndarray | None = None, threshold: Threshold = None
    ) -> dict[str, Outcome]:
        """Its yes/no questions and numbers by name, classes against the rest; empty: none."""
        found = [part for each in self.task.outcomes(y, p, threshold) for part in each.one_by_one()]
        return {part.name: part for part in found if part.kind in ("yes_no", "number")}

    def yes_no(
        self, y: np.ndarray, p: np.ndarray | None = None, threshold: Threshold = None
    ) -> Questions:
        """The yes/no questions that the task itself asks, by label; None: the only one."""
        return {}

    def calibration(
        self, y: np.ndarray, p: np.ndarray, blocks: Callable[[Questions], dict[Any, Calibration]]
    ) -> Calibration:
        """The blocks of ``one_by_one``; ``blocks`` makes them."""
        parts: Questions = dict(self.one_by_one(y, p))
        if not parts:
            return {"not_estimable": self.no_calibration}
        found: Calibration = self.laid_out(blocks(parts))
        return found

    def right(self, y: np.ndarray, p: np.ndarray, threshold: Threshold) -> Mapping[str | None, Any]:
        """Label -> (n,) whether each decision is right; empty where nothing is decided."""
        return {}

    def denominators(
        self, y: np.ndarray, p: np.ndarray, threshold: Threshold
    ) -> dict[str, np.ndarray]:
        """Metric -> (n,) rows in its denominator, for metrics that are proportions."""
        return {}

    def ranked(self, y: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
        """Metric of ranking -> class -> (n,) its rows, for each class that the metric is about."""
        return {}

    def occurrences(self, y: np.ndarray) -> dict[str, np.ndarray]:
        """What must occur often enough -> (n,) the rows in which it does."""
        return {}

    def absent(self, positives: Any, n: int) -> str | None:
        """What is wrong with ``Task.positives`` of ``n`` rows; None where nothing is."""
        return None

    def group_measures(
        self, y: np.ndarray, p: np.ndarray, threshold: Threshold
    ) -> dict[Any, list[GroupMeasure]]:
        """Outcome -> what is compared between groups of patients."""
        return {}

    def entropy(self, p: np.ndarray) -> np.ndarray:
        """(n,) entropy of each row in nats; of several labels the average."""
        raise NotImplementedError

    def most_entropy(self, p: np.ndarray) -> float:
        """The most it can be."""
        return float(np.log(2))

    def certainty(self, p: np.ndarray, threshold: Threshold) -> np.ndarray:
        """(n,) how certain the decision on each row is, 0 to 1."""
        raise NotImplementedError

    def relative(self, deviation: np.ndarray) -> np.ndarray:
        """(n, outputs) standard deviations between networks in those of the training targets."""
        return deviation

    def wrong(self, y: np.ndarray, p: np.ndarray, threshold: Threshold) -> np.ndarray:
        """(n,) 1 where the decision is wrong, else 0 (of labels the share); |error| of numbers."""
        raise NotImplementedError

    def learned(self, y: np.ndarray) -> list[Output]:
        """What each column of targets is to a baseline."""
        return []

    def baselines(
        self, encoder: Encoder | None, rows: Mapping[str, PastRows], y: Mapping[str, np.ndarray],
        subjects: np.ndarray, seed: int,
    ) -> tuple[list[Any], dict[str, str]]:  # fmt: skip
        """Simple models fitted on ``train``, with a threshold from ``valid``.

        Args:
            encoder: The fitted encoder; None where summary features are all there is.
            rows: Part -> encoded inputs and summary features.
            y: Part -> encoded targets.
            subjects: (n,) subject of each training row.
            seed: Seed of the choices at random.

        Returns:
            ``baselines.Fitted``, whose ``predict`` takes rows, and why others cannot be made.
        """
        return [], {}

    def details(
        self, rows: EvaluatedRows, baselines: Mapping[str, np.ndarray], absent: Mapping[str, str]
    ) -> dict[str, Any]:
        """What stands in metrics.json of this kind only, beside metrics and calibration.

        Args:
            rows: What is measured.
            baselines: Outputs of the baselines on the same rows.
            absent: Baseline -> why there is none.
        """
        return {}

    def known_course(self, encoder: Encoder, inputs: Inputs) -> dict[str, np.ndarray]:
        """Channel -> (n, steps) what is known of each channel that is forecast."""
        return {}

    def described(self, y: np.ndarray) -> dict[str, np.ndarray]:
        """Targets as Table 1 has them: name -> (n,) numbers, or classes as text."""
        return {}


methods: ByOutcome[type[Methods]] = ByOutcome("evaluation", "medkit.evaluation.outcomes")


def methods_for(task: Task) -> Methods:
    """The methods for a task's kind of outcome."""
    return (methods.get(task.outcome) or Methods)(task)


def baseline_name(name: str) -> str:
    """A baseline as it stands in a sentence: ``gradient boosting``, ``Kaplan–Meier``."""
    kinds = (methods.get(kind) or Methods for kind in methods.kinds())
    written = next((each.named[name] for each in kinds if name in each.named), None)
    return written or name.replace("_", " ")

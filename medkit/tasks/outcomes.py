"""How evaluation sees a task's answer: outcomes of a few kinds, whatever the task is called.

==================  ======================================================================
kind                ``y`` and ``p``
==================  ======================================================================
``yes_no``          (n,) 0 or 1; (n,) probability; ``threshold`` a float
``class``           (n,) number of the class; (n, classes) probabilities
``number``          (n,) measured; (n,) predicted, in the unit of the target
``course``          (n, values) measured, NaN where not; (n, values * quantiles)
``time_to_event``   (n, 2) time and whether the event was seen; (n, intervals) what is predicted
``mask``            (n, height, width[, classes]) truth; probabilities alike
==================  ======================================================================

``boxes``, ``tags``, ``span`` and ``text`` are to come. A kind that a room does not know is "not
estimable" there (``medkit.core.by_outcome``); it is never taken for another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple


class Outcome(NamedTuple):
    """One thing that a task predicts, with truth and answer of n samples.

    Args:
        name: What it is called: a label, a target column; the positive class of a yes/no.
        kind: Which of the kinds above.
        y: The truth.
        p: The answer; None where only the truth is asked about.
        threshold: Operating point of a yes/no, or None.
        classes: What the classes are called: no and yes, or all of several.
    """

    name: str
    kind: str
    y: Any
    p: Any
    threshold: Any = None
    classes: tuple[Any, ...] = ()

    def one_by_one(self) -> list[Outcome]:
        """Itself; of several exclusive classes a yes/no for each, against all others."""
        if self.kind != "class":
            return [self]
        return [
            Outcome(str(name), "yes_no", self.y == i, None if self.p is None else self.p[:, i])
            for i, name in enumerate(self.classes)
        ]


class Metric(NamedTuple):
    """One reported metric.

    Args:
        name: As in ``metrics.json``: ``auroc``.
        label: As a person reads it: ``AUROC``.
        better: Which side is better: more, less, or neither (a coverage that is to be met).
    """

    name: str
    label: str
    better: Literal["more", "less", "neither"] = "more"

    @property
    def title(self) -> str:
        """The label at the start of a line."""
        return self.label[:1].upper() + self.label[1:]

    @property
    def sign(self) -> int:
        """By what a gain is multiplied so that better is above 0; 0 without a better side."""
        return {"more": 1, "less": -1, "neither": 0}[self.better]

    def of(self, name: str) -> Metric:
        """The same of one label, output or channel: ``auroc_edema``, ``AUROC edema``."""
        return Metric(f"{self.name}_{name}", f"{self.label} {name}", self.better)


def for_each(metrics: Sequence[Metric], names: Iterable[str]) -> tuple[Metric, ...]:
    """The metrics, then those of each name."""
    return (*metrics, *(metric.of(name) for name in names for metric in metrics))

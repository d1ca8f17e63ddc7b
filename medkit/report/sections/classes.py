"""Outcomes that are one of several classes: curves of each, confusion, the least expected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from medkit.report import figures
from medkit.report.drawing import Figure
from medkit.report.outcome import OutcomeReport, outcome_reports
from medkit.report.templates import readable

_MOST_CLASSES = 20


@outcome_reports.register("class")
class ClassesReport(OutcomeReport):
    """One of several classes, each with its probability."""

    def figures(self) -> list[Figure]:
        """ROC and precision-recall curves of each class against the others."""
        each = [one for outcome in self.inputs.outcomes for one in outcome.one_by_one()]
        curves = [(one.name, one.y.astype(float), one.p, None) for one in each]
        return figures.discrimination(
            curves, figures.areas(self.inputs.task, self.inputs.metrics["test"])
        )

    def confusion(self) -> dict[str, Any] | None:
        """Counts by observed (rows) and predicted (columns) class, of at most 20 classes."""
        if not self.inputs.outcomes:
            return None
        names, y, p = self._found()
        if len(names) > _MOST_CLASSES:
            return None
        size = len(names)
        pairs = y * size + p.argmax(axis=1)
        counts = np.bincount(pairs, minlength=size * size).reshape(size, size)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        rows = [
            [(int(n), round(float(share), 3)) for n, share in zip(*row, strict=True)]
            for row in zip(counts, shares, strict=True)
        ]
        return {"names": names, "rows": rows}

    def errors(self, hashed: Sequence[str]) -> dict[str, Any] | None:
        """The classes that the network least expected."""
        names, y, p = self._found()
        predicted, given = p.argmax(axis=1), p[np.arange(len(p)), y]
        rows = [
            [hashed[row], names[y[row]], readable(float(given[row])), names[predicted[row]],
             readable(float(p[row, predicted[row]]))]
            for row, _ in figures.largest(1 - given[:, None])
        ]  # fmt: skip
        head = ["Sample", "Observed", "Its probability", "Most probable", "With probability"]
        caption = "The classes the network least expected on the test part."
        return {"head": head, "rows": rows, "caption": caption}

    def words(self) -> list[str]:
        """How many of 100 are right."""
        accuracy = self.inputs.metrics["test"]["metrics"].get("accuracy", {}).get("value")
        if accuracy is None:
            return []
        return [f"Of 100 samples like these, about {100 * accuracy:.0f} get their right class."]

    def output(self) -> str:
        """A probability of each class."""
        return "The output is a probability of each class; the most probable one is called."

    def _found(self) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Names of the classes, (n,) class of each test sample, (n, classes) probabilities."""
        found = self.inputs.outcomes[0]
        return [str(each) for each in found.classes], found.y.astype(int), found.p

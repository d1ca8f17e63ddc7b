"""Outcomes that are or are not: curves, what the threshold does, the least expected."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from medkit.report import figures
from medkit.report.drawing import Figure
from medkit.report.outcome import OutcomeReport, outcome_reports
from medkit.report.templates import count, readable, sentence

_RULES = {
    "youden": "where sensitivity + specificity − 1 was highest",
    "f1": "where F1 was highest",
    "sensitivity": "the most specific with a sensitivity of at least {at_least:g}",
    "specificity": "the most sensitive with a specificity of at least {at_least:g}",
    "cost": "at which costs were least, one missed event as much as {cost_ratio:g} false alarms",
}


@outcome_reports.register("yes_no")
class YesNoReport(OutcomeReport):
    """One or several labels, each with its probability."""

    def figures(self) -> list[Figure]:
        """ROC and precision-recall curves, with a dot at the threshold in use."""
        curves = [(each.name, each.y, each.p, each.threshold) for each in self.inputs.outcomes]
        return figures.discrimination(
            curves, figures.areas(self.inputs.task, self.inputs.metrics["test"])
        )

    def errors(self, hashed: Sequence[str]) -> dict[str, Any] | None:
        """The outcomes that the network least expected."""
        outcomes = self.inputs.outcomes
        y = np.stack([each.y for each in outcomes], axis=1)
        p = np.stack([each.p for each in outcomes], axis=1)
        used = np.array([0.5 if each.threshold is None else each.threshold for each in outcomes])
        given, wrong = np.where(y == 1, p, 1 - p), (p >= used) != (y == 1)
        several = len(outcomes) > 1
        classes = ["no", "yes"] if several else [str(each) for each in outcomes[0].classes]
        rows = []
        for row, i in figures.largest(-np.log(np.clip(given, figures.EDGE, 1))):
            name = [outcomes[i].name] if several else []
            rows.append([hashed[row], *name, classes[int(y[row, i])], readable(float(p[row, i])),
                         "wrong" if wrong[row, i] else "right"])  # fmt: skip
        head = ["Sample", *(["Outcome"] if several else []), "Observed",
                "Probability" if several else f"Probability of {classes[1]}",
                "At the threshold in use"]  # fmt: skip
        caption = "The outcomes the network least expected on the test part."
        return {"head": head, "rows": rows, "caption": caption}

    def words(self) -> list[str]:
        """What the threshold finds and misses; of several labels nothing in one sentence."""
        if len(self.inputs.outcomes) != 1:
            return []
        outcome = self.inputs.outcomes[0]
        if outcome.threshold is None:
            return []
        positive, alarm = outcome.y == 1, outcome.p >= outcome.threshold
        found, false = int((positive & alarm).sum()), int((~positive & alarm).sum())
        return [
            f"At its threshold of {readable(outcome.threshold)}, chosen on validation, it finds "
            f"{count(found)} of {count(int(positive.sum()))} positives and raises "
            f"{count(false)} false {'alarm' if false == 1 else 'alarms'} among "
            f"{count(int((~positive).sum()))} negatives."
        ]

    def output(self) -> str:
        """A probability, and where its threshold came from."""
        several = self.inputs.task.num_outputs > 1
        text = "The output is " + (
            "a probability of each label" if several else "the probability of the positive class"
        )
        fixed = self.inputs.setting("task.fixed_threshold")
        if fixed is not None:
            return sentence(f"{text}; the threshold {fixed:g} was set beforehand")
        used = self.inputs.threshold
        if used is None:
            return sentence(text)
        setting = self.inputs.setting
        rule = _RULES.get(setting("task.threshold", ""), "").format(
            at_least=setting("task.at_least") or math.nan,
            cost_ratio=setting("task.cost_ratio") or math.nan,
        )
        at = f"the threshold {used:.3g}" if isinstance(used, float) else "a threshold of each label"
        how = f", {rule}" if rule else ""
        return sentence(f"{text}; {at} was chosen on the validation part{how}")

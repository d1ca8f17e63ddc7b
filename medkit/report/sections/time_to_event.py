"""Times to an event: the observed and the predicted course, and calibration at the horizon."""

from __future__ import annotations

from typing import Any

import numpy as np

from medkit.report.drawing import BLUE, GREY, Figure, diagonal, draw
from medkit.report.outcome import OutcomeReport, outcome_reports
from medkit.report.templates import readable


@outcome_reports.register("time_to_event")
class TimesToEvent(OutcomeReport):
    """One time to an event."""

    positive = "with the event"
    unweighted = "The outcome is a time to an event: it has no classes."

    def figures(self) -> list[Figure]:
        """Kaplan and Meier's curve beside the mean prediction, and calibration."""
        found = self.inputs.metrics["test"].get("time_to_event") or {}
        if "course" not in found:
            return []
        course, groups, at = found["course"], found["calibration"], found["horizon"]
        times = np.r_[0.0, course["times"]]

        def from_one(name: str) -> np.ndarray:
            return np.r_[1.0, np.asarray(course[name], float)]

        def curves(axes: Any) -> None:
            axes.fill_between(times, from_one("low"), from_one("high"), step="post", color=GREY,
                              alpha=0.25)  # fmt: skip
            axes.step(times, from_one("observed"), where="post", color=GREY, label="observed")
            axes.step(times, from_one("predicted"), where="post", color=BLUE, label="predicted")
            axes.set(xlabel=self.inputs.target_names[0], ylabel="free of the event", ylim=(0, 1.02))
            axes.legend(loc="lower left")

        def calibration(axes: Any) -> None:
            diagonal(axes)
            x, y, low, high = (
                np.array([group[name] for group in groups], float)
                for name in ("predicted", "observed", "low", "high")
            )
            bars = np.maximum(0, np.stack([y - low, high - y]))
            axes.errorbar(x, y, bars, fmt="o", color=BLUE, capsize=2)
            axes.set(xlabel=f"predicted free of the event at {at:g}", ylabel="observed",
                     xlim=(0, 1.02), ylim=(0, 1.02))  # fmt: skip

        ends = [readable(float(from_one(name)[-1])) for name in ("observed", "predicted")]
        return [
            draw("course", "Course", "Observed: Kaplan–Meier with its interval.",
                 f"Free of the event at the last cut: observed {ends[0]}, predicted {ends[1]}",
                 curves),
            draw("horizon", "Calibration at the horizon", "Fifths of the predicted risk; dashed: "
                 "perfect.", f"Observed against predicted at {at:g} in {len(groups)} groups",
                 calibration),
        ]  # fmt: skip

    def words(self) -> list[str]:
        """What the C-index means."""
        found = self.inputs.metrics["test"]["metrics"]["c_index"]["value"]
        if found is None:
            return []
        share = f"In {100 * found:.0f} % of pairs of patients"
        return [f"{share} the one with the higher predicted risk has the event first."]

    def output(self) -> str:
        """Probabilities by time."""
        return "The output is the probability of being free of the event at each of several times."

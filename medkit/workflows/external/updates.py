"""How outputs are updated for another site, by kind of outcome: a layer behind the network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from medkit.core.by_outcome import ByOutcome
from medkit.core.errors import DataError
from medkit.evaluation.calibration.recalibration import fit_recalibration, recalibration_layer
from medkit.evaluation.clusters import FEWEST
from medkit.evaluation.resampling.intervals import plain
from medkit.tasks.task import Task

# (task, method, targets, outputs, subjects) -> the layer, and the numbers that were fitted.
Update = Callable[[Task, str, np.ndarray, np.ndarray, np.ndarray], tuple[Any, dict[str, Any]]]

updates: ByOutcome[Update] = ByOutcome("update of the outputs", "medkit.workflows.external")


@updates.register("yes_no", "class")
def logistic(
    task: Task, method: str, y: np.ndarray, p: np.ndarray, subjects: np.ndarray
) -> tuple[Any, dict[str, Any]]:
    """A shift, or a straight line, on the logit scale.

    Raises:
        DataError: Nothing could be fitted.
    """
    state = fit_recalibration(method, task, y, p, subjects)
    if state["kind"] == "none":
        raise DataError(
            state["warning"] or "nothing could be fitted",
            place="--recalibrate",
            hint="Half of the new data is tested, and 35 % of it fits the recalibration: more "
            "patients are needed.",
        )
    return recalibration_layer(state), dict(state)


@updates.register("number")
def straight_line(
    task: Task, method: str, y: np.ndarray, p: np.ndarray, subjects: np.ndarray
) -> tuple[Any, dict[str, Any]]:
    """Intercept and slope of each output by least squares; the slope 1 where only shifted.

    Raises:
        DataError: The predictions do not vary.
    """
    from medkit.layers.target_scale import TargetScale

    truth = np.asarray(y, dtype=float).reshape(len(p), -1)
    slopes = np.ones(p.shape[1])
    if method == "slope":
        centred = p - p.mean(axis=0)
        squares = (centred**2).sum(axis=0)
        if (squares == 0).any() or len(np.unique(subjects)) < FEWEST:
            raise DataError(
                "no slope can be fitted: the predictions are all equal, or of fewer than "
                f"{FEWEST} subjects",
                place="--recalibrate",
                hint="Recalibrate the intercept, or give more patients.",
            )
        slopes = (centred * (truth - truth.mean(axis=0))).sum(axis=0) / squares
    intercepts = (truth - slopes * p).mean(axis=0)
    state: dict[str, Any] = plain(
        {"kind": method, "rows": len(p), "intercept": intercepts, "slope": slopes}
    )
    return TargetScale(state["intercept"], state["slope"]), state

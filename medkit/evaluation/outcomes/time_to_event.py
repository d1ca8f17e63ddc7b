"""Time to an event: Kaplan-Meier and Cox beside the network, and calibration at a horizon.

``details`` adds ``time_to_event`` to a part of metrics.json::

    {"horizon": 365.0,
     "course": {"times": […], "observed": […], "low": […], "high": […], "predicted": […]},
     "calibration": [{"n", "predicted", "observed", "low", "high"}, …]}   # by fifths of the risk

``observed`` is Kaplan and Meier's probability of being free of the event, with its log-log
interval; ``predicted`` the mean of the network's. It is ``{"not_estimable": reason}`` without
scikit-survival.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from medkit.evaluation.baselines.baselines import Fitted
from medkit.evaluation.baselines.learned import PastRows
from medkit.evaluation.baselines.linear import preparation
from medkit.evaluation.methods import Methods, methods
from medkit.modalities.encoder import Encoder
from medkit.tasks.survival import Survival, kaplan_meier, step_at

if TYPE_CHECKING:
    from medkit.evaluation.rows import EvaluatedRows

_GROUPS = 5
_PENALTY = 0.1
_MISSING = "scikit-survival is not installed: pip install 'keras-medkit[survival]'"


@methods.register("time_to_event")
class TimeToEvent(Methods):
    """Probabilities of being free of the event at several times."""

    task: Survival
    no_calibration: ClassVar[str] = "of a time to an event, time_to_event has it at the horizon"
    undefined: ClassVar[str] = "no two rows can be compared"
    named: ClassVar[Mapping[str, str]] = {"kaplan_meier": "Kaplan–Meier", "cox": "Cox"}

    def occurrences(self, y: np.ndarray) -> dict[str, np.ndarray]:
        """Events."""
        return {"event": np.asarray(y)[:, 1] == 1}

    def baselines(
        self, encoder: Encoder | None, rows: Mapping[str, PastRows], y: Mapping[str, np.ndarray],
        subjects: np.ndarray, seed: int,
    ) -> tuple[list[Fitted], dict[str, str]]:  # fmt: skip
        """One curve for all (Kaplan and Meier), and Cox's regression with a ridge penalty.

        Cox, Regression models and life-tables, J. R. Stat. Soc. B 34, 1972.
        """
        time, event = np.asarray(y["train"], float).T
        curve = step_at(*kaplan_meier(time, event), self.cuts)  # type: ignore[arg-type]
        facts: dict[str, Any] = {"train_rows": len(time), "inner_folds": 0}
        average = Fitted("kaplan_meier", lambda of: np.tile(curve, (len(of.features), 1)), None,
                         {**facts, "features": 0, "hyper_parameters": {}})  # fmt: skip
        try:
            from sksurv.linear_model import CoxPHSurvivalAnalysis
            from sksurv.util import Surv
        except ImportError:
            return [average], {"cox": _MISSING}
        prepared = preparation().fit(_matrix(rows["train"]))
        model = CoxPHSurvivalAnalysis(alpha=_PENALTY)
        model.fit(prepared.transform(_matrix(rows["train"])), Surv.from_arrays(event == 1, time))

        def predict(of: PastRows) -> np.ndarray:
            found = model.predict_survival_function(prepared.transform(_matrix(of)))
            return np.stack([step_at(each.x, each.y, self.cuts) for each in found])

        facts |= {"features": _matrix(rows["train"]).shape[1],
                  "hyper_parameters": {"alpha": _PENALTY}}  # fmt: skip
        return [average, Fitted("cox", predict, None, facts)], {}

    @property
    def cuts(self) -> np.ndarray:
        """(intervals,) their ends."""
        return np.asarray(self.task.cuts_)

    def details(
        self, rows: EvaluatedRows, baselines: Mapping[str, np.ndarray], absent: Mapping[str, str]
    ) -> dict[str, Any]:
        """Observed and predicted course, and calibration at the horizon by fifths of the risk."""
        try:
            from sksurv.nonparametric import kaplan_meier_estimator
        except ImportError:
            return {"time_to_event": {"not_estimable": _MISSING}}

        y, p, confidence = rows.y, rows.p, rows.settings.confidence

        def observed(which: np.ndarray, at: np.ndarray) -> dict[str, list[float]]:
            times, free, (low, high) = kaplan_meier_estimator(
                y[which, 1] == 1, y[which, 0], conf_type="log-log", conf_level=confidence
            )
            found = {"observed": free, "low": low, "high": high}
            return {name: step_at(times, each, at).tolist() for name, each in found.items()}

        horizon = np.asarray([self.task.horizon_])
        free_at = np.array([np.interp(horizon[0], np.r_[0, self.cuts], np.r_[1, row]) for row in p])
        groups = []
        for which in np.array_split(np.argsort(free_at, kind="stable"), _GROUPS):
            if len(which):
                one = {name: each[0] for name, each in observed(which, horizon).items()}
                groups.append({"n": len(which), "predicted": float(free_at[which].mean()), **one})
        course = {"times": self.cuts.tolist(), "predicted": p.mean(axis=0).tolist(),
                  **observed(np.arange(len(y)), self.cuts)}  # fmt: skip
        return {"time_to_event": {"horizon": float(horizon[0]), "course": course,
                                  "calibration": groups}}  # fmt: skip

    def described(self, y: np.ndarray) -> dict[str, np.ndarray]:
        """The time, and whether the event was seen."""
        time, event = np.asarray(y, float).T
        named = np.where(event == 1, "yes", "no").astype(object)
        return dict(zip(self.task.names_, (time, named), strict=True))


def _matrix(rows: PastRows) -> np.ndarray:
    return np.asarray(rows.features, float).reshape(len(rows.features), -1)

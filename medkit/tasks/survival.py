"""How long until an event, for samples that may be censored before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Field

from medkit.core.errors import DataError
from medkit.core.lazy import keras
from medkit.core.registry import tasks
from medkit.tasks.outcomes import Metric, Outcome
from medkit.tasks.scores.ranking import divided
from medkit.tasks.targets import numeric_targets
from medkit.tasks.task import Statistics, Task, Threshold, checked_outputs, fitted

METRICS = (
    Metric("c_index", "C-index"),
    Metric("c_index_ipcw", "C-index (censoring-weighted)"),
    Metric("integrated_brier", "integrated Brier score", "less"),
)
_ROWS = 500  # of pairs that are compared at once


def _check_cuts(parameters: Mapping[str, Any]) -> None:
    """Raise a DataError where cuts are given that do not rise, or end before the horizon."""
    cuts = list(parameters["cuts"])
    if cuts != sorted(set(cuts)) or len(cuts) == 1:
        raise DataError("cuts must rise, two or more, such as [30, 90, 365]")
    if cuts and parameters["horizon"]:
        _check_horizon(parameters["horizon"], cuts[-1])


def _check_horizon(horizon: float, last: float) -> None:
    if horizon > last:
        raise DataError(
            f"horizon {horizon:g} lies beyond the last cut, {last:g}, and nothing is predicted "
            f"for it: set it to {last:g} or less, or name later cuts"
        )


@tasks.register(name="survival", check=_check_cuts)
class Survival(Task):
    """Time to an event that some samples have not had when they were last seen.

    Targets (n, 2): the time to the event or to the last visit, and whether the event was seen (1)
    or not (0). Follow-up is cut into intervals; the network gives the hazard of each, and the model
    that is saved ends in the probability of being free of the event at the end of each: (n,
    intervals), falling. The loss is the likelihood of what was seen: Gensheimer and Narasimhan, A
    scalable discrete-time survival model for neural networks, PeerJ 7, 2019. A sample censored
    within an interval counts there from its middle on.

    Reported are Harrell's C-index (JAMA 247, 1982) and Uno's, weighted by the inverse probability
    of censoring (Stat. Med. 30, 2011), of the expected time without event up to the last cut; and
    the Brier score integrated over the cuts (Graf et al., Stat. Med. 18, 1999). Censoring is
    estimated in the training rows.

    Args:
        intervals: Into how many the follow-up is cut, each with as many training events.
        cuts: Ends of the intervals in the unit of the target, in place of ``intervals``.
        horizon: Time at which calibration is shown, in the unit of the target; null: the cut
            nearest to the median time of the training events.
    """

    kind: ClassVar[str] = "survival"
    outcome: ClassVar[str] = "time_to_event"
    no_single_value: ClassVar[str] = "the time to an event may be censored"
    reads: ClassVar[str] = "time_to_event"
    leading: ClassVar[str] = "c_index"
    monitors: ClassVar[dict[str, str]] = {"loss": "min"}
    monitor: ClassVar[str] = "loss"
    learned: ClassVar[tuple[str, ...]] = ("cuts_", "horizon_", "censoring_")
    metrics = METRICS

    def __init__(
        self,
        *,
        intervals: Annotated[int, Field(ge=2, le=100)] = 10,
        cuts: tuple[Annotated[float, Field(gt=0)], ...] = (),
        horizon: Annotated[float, Field(gt=0)] | None = None,
    ):
        _check_cuts({"cuts": cuts, "horizon": horizon})
        self.intervals, self.cuts, self.horizon = intervals, tuple(cuts), horizon
        self.cuts_: list[float] | None = None
        self.horizon_: float | None = None
        self.censoring_: dict[str, list[float]] | None = None

    @classmethod
    def example(cls, rows: int, random: np.random.Generator) -> np.ndarray:
        """Days, half of them censored."""
        return np.column_stack([random.integers(1, 900, rows), random.integers(0, 2, rows)])

    def fit(self, targets: Any, names: Sequence[str] = ()) -> Self:
        """Learn the cuts, the horizon and the distribution of censoring.

        Raises:
            DataError: Not two columns, a time that is missing, infinite or negative, an event other
                than 0 and 1, fewer events than intervals, or a horizon beyond the last cut.
        """
        self.names_ = tuple(names) if len(names) == 2 else ("time", "event")
        time, event = self._checked(targets).T
        seen = time[event == 1]
        needed = len(self.cuts) or self.intervals
        if len(seen) < needed:
            raise DataError(
                f"{len(seen)} events among {len(time)} training rows; {needed} intervals "
                "need one each",
                place=f"target '{self.names_[1]}'",
                hint="Set task.intervals lower, or check that 1 means that the event was seen.",
            )
        # What comes after the last cut is survived in all intervals.
        at = np.quantile(seen, np.arange(1, self.intervals + 1) / (self.intervals + 1))
        self.cuts_ = list(self.cuts) or np.unique(at[at > 0]).tolist()
        if len(self.cuts_) < 2:
            raise DataError(
                f"the {len(seen)} training events fall on too few times to cut the follow-up",
                place=f"target '{self.names_[0]}'",
                hint="Set task.cuts, such as [30, 90, 365], or give times in a finer unit.",
            )
        if self.horizon:
            _check_horizon(self.horizon, self.cuts_[-1])
        near = np.argmin(np.abs(np.asarray(self.cuts_) - np.median(seen)))
        self.horizon_ = float(self.horizon or self.cuts_[near])
        known, free = kaplan_meier(time, event, of_censoring=True)
        self.censoring_ = {"time": known.tolist(), "free": free.tolist()}
        return self

    def encode(self, targets: Any) -> np.ndarray:
        """(n, 2) float32: time and whether the event was seen.

        Raises:
            DataError: As of ``fit``, but for the number of events.
        """
        return self._checked(targets).astype(np.float32)

    def _checked(self, targets: Any) -> np.ndarray:
        array = np.asarray(targets)
        if array.ndim != 2 or array.shape[1] != 2:
            raise DataError(
                f"the targets have shape {array.shape}; survival needs a time and an event, (n, 2)",
                hint="Name both columns: target: [days, died].",
            )
        values = numeric_targets(array, self.names_)
        time, event = values.T
        for name, wrong, what, hint in (
            (self.names_[1], ~np.isin(event, (0, 1)), "neither 0 nor 1",
             "1: the event was seen, 0: censored. The time comes first: target: [days, died]."),
            (self.names_[0], time < 0, "negative",
             "A time runs from the moment of prediction: correct those rows, or drop them."),
        ):  # fmt: skip
            if wrong.any():
                raise DataError(
                    f"{int(wrong.sum())} values are {what} "
                    f"(first at row {int(np.argmax(wrong)) + 1})",
                    place=f"target '{name}'",
                    hint=hint,
                )
        return values

    def scale(self, y: np.ndarray) -> np.ndarray:
        """(n, 2 * intervals) float32: which intervals were survived, and in which the event was."""
        time, event = np.asarray(y, float).T
        ends = np.asarray(fitted(self, "cuts_"))
        middle = (np.r_[0.0, ends[:-1]] + ends) / 2
        last = np.where(event == 1, np.searchsorted(ends, time), len(ends))[:, None]
        number = np.arange(len(ends))
        survived = np.where(event[:, None] == 1, number < last, middle <= time[:, None])
        return np.concatenate([survived, number == last], axis=1).astype(np.float32)

    def output_layer(self) -> Any:
        """From hazards to the probability of being free of the event."""
        hazards = keras.Input((self.num_outputs,), name="hazards")
        return keras.Model(hazards, keras.ops.cumprod(1.0 - hazards, axis=1), name="survival")

    def loss_layer(self) -> Any:
        """From these probabilities back to hazards."""
        free = keras.Input((self.num_outputs,), name="free")
        before = keras.ops.pad(free[:, :-1], ((0, 0), (1, 0)), constant_values=1.0)
        return keras.Model(free, 1.0 - free / keras.ops.maximum(before, 1e-7), name="hazards")

    @property
    def num_outputs(self) -> int:
        """The number of intervals."""
        return len(fitted(self, "cuts_"))

    @property
    def output_names(self) -> list[str]:
        """``free at 365`` for each cut."""
        return [f"free at {cut:.4g}" for cut in fitted(self, "cuts_")]

    @property
    def output_activation(self) -> str:
        """Hazards are probabilities."""
        return "sigmoid"

    def keras_loss(self) -> Any:
        """The negative log likelihood of (n, 2 * intervals) and hazards."""
        return negative_log_likelihood

    def watch(self) -> list[Any]:
        """The loss alone."""
        return []

    def positives(self, y: np.ndarray) -> int:
        """Number of events."""
        return int(np.asarray(y)[:, 1].sum())

    def events(self, y: np.ndarray) -> np.ndarray | None:
        """(n, 1) whether the event was seen."""
        return np.asarray(y)[:, 1:] == 1

    def outcomes(
        self, y: np.ndarray, p: np.ndarray | None = None, threshold: Threshold = None
    ) -> list[Outcome]:
        """One time to an event, named by the column of the event."""
        return [Outcome(self.names_[1], self.outcome, np.asarray(y), p)]

    def expected_time(self, p: np.ndarray) -> np.ndarray:
        """(n,) mean time without event up to the last cut: the area under the steps of ``p``."""
        widths = np.diff(np.r_[0.0, fitted(self, "cuts_")])
        return np.asarray(np.column_stack([np.ones(len(p)), p[:, :-1]]) @ widths)

    def statistics(self, y: np.ndarray, p: np.ndarray, threshold: Threshold = None) -> Statistics:
        """Time, event, expected time, weight by censoring, and the row's integrated Brier score."""
        p = checked_outputs(p, y).astype(float)
        time, event = np.asarray(y, float).T
        cuts, state = np.asarray(fitted(self, "cuts_")), fitted(self, "censoring_")
        uncensored, still = (step_at(state["time"], state["free"], at) for at in (time, cuts))
        # Nobody was followed so long in training: such rows can stand for no others.
        uncensored, still = (np.where(each == 0, np.inf, each) for each in (uncensored, still))
        happened = (time[:, None] <= cuts) & (event[:, None] == 1)
        score = p**2 * happened / uncensored[:, None]
        score += (1 - p) ** 2 * (time[:, None] > cuts) / still
        integrated = np.trapezoid(score, cuts, axis=1) / (cuts[-1] - cuts[0])
        weight = event * (time < cuts[-1]) / uncensored**2
        return {"time": time, "event": event, "expected": self.expected_time(p),
                "weight": weight, "brier": integrated}  # fmt: skip

    def measure(self, statistics: Statistics, weights: np.ndarray | None = None) -> dict[str, Any]:
        """The metrics; see Task.measure."""
        drawn = np.ones((1, len(statistics["time"]))) if weights is None else weights
        found = {
            name: divided(*concordance(statistics, statistics[of], drawn))
            for name, of in (("c_index", "event"), ("c_index_ipcw", "weight"))
        }
        found["integrated_brier"] = divided(drawn @ statistics["brier"], drawn.sum(axis=1))
        return found if weights is not None else {k: float(v[0]) for k, v in found.items()}

    def prediction_columns(
        self, p: np.ndarray, threshold: Threshold = None
    ) -> dict[str, np.ndarray]:
        """``free_at_<cut>`` for each, and ``predicted_time`` without event up to the last cut."""
        p = checked_outputs(p)
        names = (f"free_at_{cut:g}" for cut in fitted(self, "cuts_"))
        return {**dict(zip(names, p.T, strict=True)), "predicted_time": self.expected_time(p)}


def negative_log_likelihood(y_true: Any, y_pred: Any) -> Any:
    """(batch,) losses of which intervals were survived, and in which the event was, by hazard."""
    ops = keras.ops
    hazard = ops.clip(ops.cast(y_pred, "float32"), 1e-7, 1 - 1e-7)
    survived, died = ops.split(ops.cast(y_true, "float32"), 2, axis=-1)
    return -ops.sum(survived * ops.log(1 - hazard) + died * ops.log(hazard), axis=-1)


def kaplan_meier(
    time: np.ndarray, event: np.ndarray, of_censoring: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Times, and the probability of being free of the event after each (Kaplan and Meier 1958).

    ``of_censoring``: of being uncensored; who has the event is censored no more.
    """
    times, which = np.unique(time, return_inverse=True)
    happened, gone = np.bincount(which, event), np.bincount(which)
    at_risk = gone[::-1].cumsum()[::-1].astype(float)
    if of_censoring:
        at_risk, happened = at_risk - happened, gone - happened
    return times, np.cumprod(1 - divided(happened, at_risk, 0.0))


def step_at(times: Sequence[float], values: Sequence[float], at: np.ndarray) -> np.ndarray:
    """A step function that is 1 before the first time."""
    return np.r_[1.0, np.asarray(values)][np.searchsorted(np.asarray(times), at, side="right")]


def concordance(
    statistics: Statistics, weight: np.ndarray, drawn: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(resamples,) weight of the concordant pairs, half of the tied, and of all that compare."""
    concordant = comparable = np.zeros(len(drawn))
    for rows in _blocks(np.flatnonzero(weight > 0)):
        later = statistics["time"][rows, None] < statistics["time"]
        # Censored at the time of the event: still free of it then.
        same = statistics["time"][rows, None] == statistics["time"]
        later |= same & (statistics["event"] == 0)
        sooner = np.sign(statistics["expected"] - statistics["expected"][rows, None])
        ordered = later * (1 + sooner) / 2
        of_rows = drawn[:, rows] * weight[rows]
        concordant = concordant + ((of_rows @ ordered) * drawn).sum(axis=1)
        comparable = comparable + ((of_rows @ later.astype(float)) * drawn).sum(axis=1)
    return concordant, comparable


def _blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), _ROWS):
        yield rows[start : start + _ROWS]

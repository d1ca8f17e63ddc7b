"""Early warning: predictions at every hour of a stay, scored as the ward would meet them.

``EarlyWarning.network`` gives for a part (plain Python, as JSON has it)::

    {
        "stays", "event_stays", "subjects", "patient_days", "step_hours",
        "silence_hours",      # after an alarm no other sounds for so long
        "lead_hours",         # an alarm at most so long before the onset is a true one
        "foreseeable",        # event stays with a prediction that late
        "resamples",
        "window_hours",       # stays are ranked by their highest score in so many hours,
        "ranked_stays",       # those that are as long: see ``Stays.windows``
        "metrics": {"stay_auroc", "stay_auprc"},        # with ``by_chance``: of shuffled scores
        "operating_points": [{"name", "rule", "threshold", "metrics", "not_estimable"?}],
        "curve": {"thresholds", "false_alarms_per_day", "stay_sensitivity", "low", "high"},
        "lead_histogram": {"edges", "counts", "missed"},      # at the threshold in use
        "timelines": [{"kind", "hours", "risk", "alarms", "onset_hour"}],
        "notes": [text],                                # only if there is something to say
    }

or ``{"not_estimable": text}``. The metrics of a point, each ``{"value", "low", "high"}`` with
``method``, ``degenerate``, ``undefined`` or ``not_estimable`` where they apply:

- ``stay_sensitivity``: event stays with a true alarm / event stays
- ``event_free_stays_alarmed``: stays without an event that had an alarm / stays without an event
- ``alarms_per_day``, ``false_alarms_per_day``: alarms / patient-days
- ``alarm_ppv``: true alarms / alarms; ``number_needed_to_evaluate``: alarms / true alarms
- ``stay_ppv``: stays with a true alarm / stays with any alarm
- ``lead_median``, ``lead_q1``, ``lead_q3``: hours from the first true alarm to the onset
- ``utility``: of every hour, without silence; see ``evaluation.utility``

A block of a baseline has no histogram and no timelines, but ``difference``: network minus baseline
in the same resamples, ``{name: {"value", "low", "high", "p"}}`` with names such as ``stay_auroc``
and ``stay_sensitivity at false_alarms_1``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from medkit.evaluation.early_warning.stays import Stays, count_alarms, has_stays, spaced_thresholds
from medkit.evaluation.early_warning.watched import FALSE_ALARMS, Watch, Watched
from medkit.evaluation.methods import methods_for
from medkit.evaluation.resampling.intervals import ONE_SUBJECT, plain
from medkit.tasks.task import Task

if TYPE_CHECKING:
    from medkit.config.experiment import Evaluation
    from medkit.data.parts import Part

log = logging.getLogger("medkit")

_SENSITIVITIES = (0.8, 0.9)
_CANDIDATES = 200
_FEWEST = 10


def early_warning(
    task: Task, parts: Mapping[str, Part], settings: Evaluation, seed: int
) -> EarlyWarning | None:
    """What scores stays, where the samples of every part are stays at one hour each.

    Args:
        task: The fitted task; alarms are those of a binary one.
        parts: Part -> samples and encoded targets.
        settings: See ``EarlyWarning``.
        seed: Seed of the bootstrap.
    """
    if not all(has_stays(part.cohort.samples) for part in parts.values()):
        return None
    if methods_for(task).key is not None:
        log.warning("stays and alarms are scored for one yes/no, not for task %s", task.kind)
        return None
    return EarlyWarning(parts, settings, seed)


class EarlyWarning:
    """The stays of each part, ready for the network and each baseline.

    Args:
        parts: Part -> samples and encoded targets. Thresholds are chosen on ``valid``, if there
            is one; the label's horizon is taken from all.
        settings: ``alarm_silence_hours``; ``alarm_lead_hours``, None for the longest lead of any
            positive row; resamples and confidence.
        seed: Seed of the bootstrap.
    """

    def __init__(self, parts: Mapping[str, Part], settings: Evaluation, seed: int):
        self.settings, self.seed = settings, seed
        self.stays = {
            name: Stays(part.cohort.samples, part.cohort.subjects) for name, part in parts.items()
        }
        usable = {name: each for name, each in self.stays.items() if each.not_estimable is None}
        steps = np.concatenate([each.steps() for each in usable.values()] or [np.empty(0)])
        leads = {
            name: each.lead[np.asarray(parts[name].y).ravel()[each.rows] == 1]
            for name, each in usable.items()
        }
        longest = max((np.max(each, initial=0.0, where=np.isfinite(each))
                       for each in leads.values()), default=0.0)  # fmt: skip
        given = settings.alarm_lead_hours
        self.watch = Watch(
            step=float(np.median(steps)) if len(steps) else 1.0,
            silence=settings.alarm_silence_hours,
            lead=float(longest if given is None else given),
        )
        self.notes = {name: list(each.notes) for name, each in usable.items()}
        for name, each in leads.items():
            if not len(steps):
                self.notes[name].append("no stay has two rows: each row is taken as an hour")
            strange = int(np.isinf(each).sum())
            if strange:
                self.notes[name].append(f"positive rows in stays without an onset: {strange:,}")
        self._network: Watched | None = None

    def network(self, outputs: Mapping[str, np.ndarray], threshold: Any) -> dict[str, Any]:
        """The blocks of ``test`` and ``valid``; see the head of this file.

        Args:
            outputs: Part -> (n, 1) probabilities.
            threshold: The one in use.
        """
        found: dict[str, Any] = {}
        for name in ("test", "valid"):
            if name not in self.stays:
                continue
            stays = self.stays[name]
            if stays.not_estimable is not None:
                found[name] = {"not_estimable": stays.not_estimable}
                continue
            points = [in_use(threshold)]
            if name == "test":
                points += self.chosen(outputs.get("valid"))
            watched = self._watched(name, outputs[name], points)
            found[name] = watched.described()
            if name == "test":
                self._network = watched
                found[name] |= watched.drawn(self.seed)
            notes = [*self.notes[name], *self._doubts(watched)]
            if notes:
                found[name]["notes"] = notes
        return plain(found)

    def baseline(self, valid: np.ndarray, test: np.ndarray, threshold: float) -> dict[str, Any]:
        """The block of another model on ``test``, with its ``difference`` to the network.

        Args:
            valid: (m, 1) its probabilities on validation, to choose thresholds by.
            test: (n, 1) and on test.
            threshold: The one in use, of its own.
        """
        reason = self.stays["test"].not_estimable
        if reason is not None:
            return {"not_estimable": reason}
        watched = self._watched("test", test, [in_use(threshold), *self.chosen(valid)])
        found = watched.described()
        if self._network is not None:
            found["difference"] = self._network.difference(watched)
        return plain(found)

    def chosen(self, p: np.ndarray | None) -> list[dict[str, Any]]:
        """Operating points by their false alarms and sensitivity on validation.

        Args:
            p: (m, 1) probabilities on validation; None: there is none.
        """
        stays = self.stays.get("valid")
        if stays is None or p is None:
            return []
        reason = stays.not_estimable
        if reason is None and not stays.event.any():
            reason = "no validation stay has an event"
        rules: list[tuple[str, str, float | None, float | None]] = []
        for each in FALSE_ALARMS:
            words = f"most stays foreseen with at most {each:g} false alarms per patient-day"
            rules.append((f"false_alarms_{each:g}", words, each, None))
        for each in _SENSITIVITIES:
            words = f"fewest false alarms with {each:g} of the event stays foreseen"
            rules.append((f"stay_sensitivity_{each:g}", words, None, each))
        points: list[dict[str, Any]] = []
        if reason is None:
            mine = np.asarray(p, np.float64).ravel()[stays.rows]
            tried = spaced_thresholds(mine, _CANDIDATES)
            counts = count_alarms(stays, mine, tried, self.watch.silence, self.watch.lead)
            false = (counts["alarms"] - counts["true"]).sum(axis=1)
            false /= stays.days(self.watch.step).sum()
            foreseen = (counts["true"] > 0).sum(axis=1) / stays.event.sum()
        for name, words, most, least in rules:
            point: dict[str, Any] = {"name": name, "rule": f"{words}, on validation"}
            at = None
            if reason is None:
                at = _best(tried, false, foreseen, most, least)
            points.append({**point, "threshold": at})
            if at is None:
                points[-1]["not_estimable"] = reason or "no threshold reaches it on validation"
        return points

    def _watched(self, name: str, p: np.ndarray, points: list[dict[str, Any]]) -> Watched:
        return Watched(self.stays[name], p, points, self.watch, self.settings, self.seed)

    def _doubts(self, watched: Watched) -> list[str]:
        stays, found = watched.stays, []
        for called, which in (("with", stays.event), ("without", ~stays.event)):
            count = len(np.unique(watched.codes[which]))
            if count < _FEWEST:
                subjects = "subject has a stay" if count == 1 else "subjects have a stay"
                found.append(
                    f"{count} {subjects} {called} an event, fewer than {_FEWEST}: "
                    "the numbers are unsure"
                )
        if self.watch.lead <= 0:
            found.append("no row is positive: no alarm can be a true one")
        if self.settings.bootstrap and not watched.resamples:
            found.append(ONE_SUBJECT)
        return found


def in_use(threshold: float | None) -> dict[str, Any]:
    """The operating point of the run."""
    at = 0.5 if threshold is None else float(threshold)
    return {"name": "in_use", "rule": "the threshold in use", "threshold": at}


def _best(
    thresholds: np.ndarray,
    false: np.ndarray,
    foreseen: np.ndarray,
    most: float | None,
    least: float | None,
) -> float | None:
    """The threshold that foresees most at few enough false alarms, or the other way round."""
    if most is not None:
        allowed, worth = false <= most + 1e-12, np.lexsort((false, -foreseen))
    else:
        allowed, worth = foreseen >= float(least or 0) - 1e-12, np.lexsort((-foreseen, false))
    best = worth[allowed[worth]]
    return float(thresholds[best[0]]) if len(best) else None

"""External validation: how a run does elsewhere, and how far elsewhere is from home.

``evaluate_run_on`` returns what ``evaluate_part`` returns, and::

    {"part": "all" | "test", "overlaps_development": bool,
     "calibration": {…}, "decisions": {…}, "uncertainty": {…},  # as in metrics.json
     "subgroups": {…}, "fairness": {…},                         # if the config names any
     "early_warning": {…},                                      # of stays at one hour each
     # not for the run's own test part:
     "case_mix": {"table_one": {… parts "development" and "new"},
                  "differences": [{"name", "role", "kind", "value"[, "not_estimable"]}],
                  "membership": {"auroc": {value, low, high}, "n", "reading"},
                  "warnings": [{"name", "text"}]},
     "performance_drop": {"reference": "test", "n", "subjects",
                          "metrics": {"auroc": {"development", "new", "value", "low", "high"}},
                          "notes": ["…"]}}

``value`` of a drop is new less development, whichever direction is better. What cannot be had is
``{"not_estimable": reason}`` in its place.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medkit.config.experiment import Evaluation
from medkit.core.errors import RunError
from medkit.data.parts import Part
from medkit.evaluation import evaluate_part, subgroup_metrics
from medkit.evaluation.calibration.calibration import calibration_of
from medkit.evaluation.decisions.decisions import decisions_of
from medkit.evaluation.early_warning.early_warning import early_warning
from medkit.evaluation.forecasting.forecasts import forecast_of
from medkit.evaluation.groups.fairness import fairness_gaps
from medkit.evaluation.resampling.intervals import plain
from medkit.evaluation.uncertainty.conformal import conformal_of
from medkit.evaluation.uncertainty.uncertainty import uncertainty_of
from medkit.runs.run import Run, predict_usable
from medkit.runs.stored import stored_part
from medkit.workflows.assess import spread_of_networks
from medkit.workflows.external.comparison import case_mix, performance_drop
from medkit.workflows.external.data import development, encoded, new_data
from medkit.workflows.external.page import check_folder, write_external

log = logging.getLogger("medkit")


def evaluate_run_on(
    run: Run,
    config: Path | None = None,
    overrides: Sequence[str] = (),
    report: Path | None = None,
) -> dict[str, Any]:
    """Evaluate a run's saved model on another data set, or again on its own test part.

    Args:
        run: The run.
        config: Config whose ``dataset`` section names the data; None: the run's own config.
        overrides: Changes to it, such as ``dataset.path=other.csv``.
        report: Folder for ``external.json`` and ``external.html``; None: neither is written.

    Returns:
        See the head of this file.

    Raises:
        ConfigError, DataError: What is wrong with the config or the data.
    """
    if report is not None:
        check_folder(report)
    new = new_data(run, config, overrides)
    part = encoded(run, new.cohort)
    outputs = predict_usable(run.model, part.x, np.ones(len(part.x), dtype=bool))
    settings, seed = new.experiment.evaluation, new.experiment.seed
    result: dict[str, Any] = {"part": new.part, "overlaps_development": new.overlaps}
    result |= external_metrics(run, part, outputs, settings, seed)
    if not new.own:
        trained = development(run, new)
        result["case_mix"] = case_mix(run, part, trained, settings, seed)
        for each in result["case_mix"].get("warnings", ()):
            log.warning("%s: %s", each["name"], each["text"])
        result["performance_drop"] = performance_drop(
            run, part, outputs, "valid" if new.tested else "test", settings, seed
        )
    result = plain(result)
    if report is not None:
        write_external(report, run, new, part, outputs, result)
    return result


def external_metrics(
    run: Run, part: Part, outputs: Any, settings: Evaluation, seed: int
) -> dict[str, Any]:
    """What is measured of a saved model on rows it was not developed on.

    Thresholds and prediction sets are those chosen on the run's validation rows.

    Args:
        run: The run.
        part: The rows, encoded.
        outputs: (n, outputs) of the saved network.
        settings: Resamples, confidence, subgroups, coverage.
        seed: Seed of the bootstrap.
    """
    task, threshold = run.task, run.threshold
    rows = (part.y, outputs, part.cohort.subjects)
    result = evaluate_part(task, *rows, threshold, settings, seed)
    result["calibration"] = calibration_of(task, *rows, settings, seed)
    try:
        valid = stored_part(run, "valid")
    except RunError as error:
        reason = {"not_estimable": error.message}
        result |= {"decisions": reason, "uncertainty": reason}
    else:
        result["decisions"] = decisions_of(
            task, valid.y, valid.outputs, *rows, threshold, settings, seed
        )
        passes = settings.monte_carlo_dropout
        spread = spread_of_networks(run.model, part.x, passes, seed)
        chosen = (valid.y, valid.outputs, valid.subjects)
        result["uncertainty"] = {
            "conformal": conformal_of(task, *chosen, *rows, part.cohort.samples, settings, seed),
            **uncertainty_of(task, *rows, threshold, settings, seed, spread),
        }
    if task.kind == "forecasting":
        result["forecast"] = forecast_of(task, *rows, settings, seed)
    watched = early_warning(task, {"test": part}, settings, seed)
    if watched is not None:
        result["early_warning"] = watched.network({"test": outputs}, threshold)["test"]
    if [each for each in settings.subgroups if each in part.cohort.samples]:
        y, p, subjects = rows
        grouped = (y, p, part.cohort.samples, subjects, threshold, settings, seed)
        result["subgroups"] = subgroup_metrics(task, *grouped)
        result["fairness"] = fairness_gaps(task, *grouped)
    return result

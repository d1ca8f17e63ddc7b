"""External validation: how a run does elsewhere, and how far elsewhere is from home.

``evaluate_run_on`` returns what ``evaluate_part`` returns, and::

    {"part": "all" | "test", "overlaps_development": bool,      # rows that were left out
     "overlap": {"rows", "subjects", "of", "reasons": {reason: rows}, "notes"},
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

``value`` of a drop is new minus development, whichever direction is better. What cannot be had is
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
from medkit.evaluation import EvaluatedRows, assess_part
from medkit.evaluation.early_warning.early_warning import early_warning
from medkit.evaluation.resampling.intervals import plain
from medkit.runs.run import Run, predict_usable
from medkit.runs.stored import stored_part
from medkit.workflows.assess import spread_of_networks
from medkit.workflows.external.comparison import case_mix, performance_drop
from medkit.workflows.external.data import external_data
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
    new = external_data(run, config, overrides)
    part = new.rows
    outputs = predict_usable(run.model, part.inputs, np.ones(len(part), dtype=bool))
    settings, seed = new.experiment.evaluation, new.experiment.seed
    left_out = new.overlap is not None and new.overlap["rows"] > 0
    result: dict[str, Any] = {"part": new.part, "overlaps_development": left_out}
    result |= external_metrics(run, part, outputs, settings, seed)
    if not new.own:
        result["overlap"] = new.overlap
        trained = new.developed if isinstance(new.developed, str) else new.developed["train"]
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
    task, rest = run.task, (run.threshold, settings, seed)
    rows = EvaluatedRows.of(task, part, outputs, *rest)
    valid, no_valid = None, ""
    try:
        stored = stored_part(run, "valid")
        valid = EvaluatedRows(task, stored.y, stored.outputs, stored.subjects, *rest)
    except RunError as error:
        no_valid = error.message
    assessed, groups = assess_part(
        rows,
        valid=valid,
        no_valid=no_valid,
        spread=spread_of_networks(run.model, part.inputs, settings.monte_carlo_dropout, seed),
    )
    result: dict[str, Any] = {**assessed, **groups}
    watched = early_warning(task, {"test": part}, settings, seed)
    if watched is not None:
        result["early_warning"] = watched.network({"test": outputs}, run.threshold)["test"]
    return result

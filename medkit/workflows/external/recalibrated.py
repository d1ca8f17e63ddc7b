"""A run recalibrated for another site: a new run beside the old, which stays as it is.

The new data are divided by subject, stratified by the outcome: half is tested, and of the other
half 70 % fit the recalibration and 30 % choose the threshold (and when to stop). No row is tested
that was fitted on. The new run's ``split`` says just that, so that ``medkit evaluate`` of it tests
the same half again. Methods, from least to most (Steyerberg et al., Validation and updating of
predictive logistic regression models, Stat. Med. 23, 2004; Van Calster et al., BMC Med. 17, 2019):

- ``intercept``: recalibration in the large; all predictions are shifted, on the logit scale (of
  regression: on the targets' own).
- ``slope``: logistic recalibration, a slope and an intercept (of regression: a straight line).
- ``refit``: model revision; the whole network is trained on, from its present weights, at a tenth
  of its learning rate and with early stopping. What preprocessing learned in development (fill
  values, means, categories) is kept.
"""

from __future__ import annotations

import copy
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medkit.config.experiment import Experiment, check_config
from medkit.core import registry
from medkit.core.errors import ConfigError, DataError, Problem, did_you_mean
from medkit.core.files import write_text
from medkit.core.lazy import keras
from medkit.data.parts import Part
from medkit.evaluation import EvaluatedRows, evaluate_part
from medkit.evaluation.resampling.intervals import plain
from medkit.leakage import audit, gate
from medkit.runs import run as runs
from medkit.runs.predictions import Predictions
from medkit.runs.recording import LogKeeper, Stages
from medkit.runs.run import Run
from medkit.runs.saving import Trained, save_run
from medkit.training.backend import start
from medkit.training.network import Network
from medkit.workflows.assess import assess, predict_parts, summarize
from medkit.workflows.external.data import ExternalData, encoded, external_data
from medkit.workflows.external.overlap import in_words
from medkit.workflows.external.updates import Update, updates
from medkit.workflows.prepare import as_trained, divide

log = logging.getLogger("medkit")

METHODS = ("intercept", "slope", "refit")
_SLOWER = 10.0
_VALID = 0.3


def recalibrate_run(
    run: Run, method: str, config: Path | None = None, overrides: Sequence[str] = ()
) -> Run:
    """Recalibrate a run on a part of another data set; a new run, tested on the rest.

    Args:
        run: The run; nothing in its folder changes.
        method: intercept, slope or refit; see the head of this file.
        config: Config whose ``dataset`` section names the data.
        overrides: Changes to it, or to the run's own config.

    Returns:
        The new run, beside the old one. Its ``metrics["recalibration"]`` holds ``method``,
        ``parent`` (the old run's id), ``rows`` fitted on, ``state`` (the numbers) and ``before``:
        the old model on the same tested rows.

    Raises:
        ConfigError, DataError: What is wrong with the method, the config or the data; data that
            the run was developed on.
    """
    if method not in METHODS:
        near = did_you_mean(method, METHODS) or f"; one of {', '.join(METHODS)}"
        raise ConfigError([Problem("--recalibrate", f"no method '{method}'{near}")])
    update = None if method == "refit" else updates.get(run.task.outcome)
    if method != "refit" and update is None:
        text = f"'{method}' is not for the task {run.task.kind}; refit is"
        raise ConfigError([Problem("--recalibrate", text)])
    stages = Stages()
    with LogKeeper() as kept:
        with stages("read"):
            new = external_data(run, config, overrides)
        _check_rows(new)
        experiment = _config(run, new, method)
        with stages("split"):
            # All rows, as who evaluates the new run divides them; ``split.sites`` chooses.
            divided, flow = divide(new.whole, experiment)
        with stages("encode"):
            parts = {name: encoded(run, cohort) for name, cohort in divided.items()}
            flow.parts = {name: len(part) for name, part in parts.items()}
        with stages("audit"):
            findings = gate(
                audit(parts, run.encoder, run.task, experiment.split), experiment.leakage
            )
        device = start()
        with stages("fit"):
            before = predict_parts(run.model, parts)
            model, state, history = _fitted(run, parts, before["train"], method, update, experiment)
        outputs = predict_parts(model, parts)
        threshold = run.task.choose_threshold(parts["valid"].y, outputs["valid"])
        fitted = state if method != "refit" and run.task.probabilities else None
        predictions = Predictions(outputs, threshold, before["test"], fitted)
        network = Network(model, (model,))
        with stages("evaluate"):
            summaries = summarize(run.encoder, parts, experiment.seed)
            metrics = assess(
                network, run.encoder, run.task, parts, predictions, experiment, summaries,
                findings, flow, stages,
            )  # fmt: skip
        metrics["recalibration"] = _account(run, method, state, parts, before["test"], experiment)
        log.info("test: %s", metrics["headline"])
        folder = runs.new_folder(run.path.resolve().parents[1], run.path.resolve().parent.name)
        try:
            write_text(folder / "config.yaml", experiment.to_yaml(target_folder=folder))
            trained = Trained(
                experiment, run.encoder, run.task, new.whole, parts, predictions, network, history,
                metrics,
            )  # fmt: skip
            parent = metrics["recalibration"]["parent"]
            save_run(folder, trained, device, stages, kept, recalibrated_from=parent)
        except BaseException:
            shutil.rmtree(folder)
            raise
    return Run.open(folder)


def _check_rows(new: ExternalData) -> None:
    if new.own or (new.overlap and new.overlap["rows"]):
        what = in_words(new.overlap) if new.overlap else "these rows are its own test part"
        raise DataError(
            f"a run is recalibrated on data it was not developed on; {what}",
            place="--recalibrate",
            hint="Name another data set, or write the other rows to a file of their own: "
            "--config, or --set dataset.path=FILE.",
        )
    if new.part == "test" and not new.sites:
        raise DataError(
            "rows chosen by a column of the run's own data set cannot be recalibrated on",
            place="--recalibrate",
            hint="Write them to a file of their own, and name it: --set dataset.path=FILE.",
        )


def _config(run: Run, new: ExternalData, method: str) -> Experiment:
    """The run's config on the new data, as what is done here."""
    document = copy.deepcopy(dict(run.config))
    document["dataset"] = copy.deepcopy(new.experiment.plain["dataset"])
    tags = registry.datasets.get(new.dataset.name).tags
    for path, value in as_trained(tags, run.encoder, new.experiment.dataset.parameters).items():
        *groups, name = path.split(".")
        inner = document["dataset"]
        for group in groups:
            inner = inner[group]
        inner[name] = list(value) if isinstance(value, tuple) else value
    document["evaluation"] = new.experiment.plain["evaluation"]
    document["seed"] = new.experiment.seed
    document["folder"] = None
    document["split"] = {
        "by": "fold", "folds": 2, "fold": 1, "valid": _VALID, "sites": list(new.sites),
    }  # fmt: skip
    parent = f"Recalibrated ({method}) on other data from run {run.path.resolve().name}."
    document["description"] = f"{document.get('description') or ''} {parent}".strip()
    if method == "refit":
        training = document["training"]
        rate = training["optimizer"].get("learning_rate") or 1e-3
        training["optimizer"] = {**training["optimizer"], "learning_rate": rate / _SLOWER}
        training["learning_rate_schedule"] = None
    return check_config(document, folder=new.experiment.folder, place=new.experiment.place)


def _fitted(
    run: Run,
    parts: dict[str, Part],
    p: np.ndarray,
    method: str,
    update: Update | None,
    experiment: Experiment,
) -> tuple[Any, dict[str, Any], dict[str, list[float]]]:
    """The recalibrated model, the numbers of it, and the history of a refit."""
    train = parts["train"]
    if update is None:
        model, history = _refitted(run, parts, experiment)
        return model, {"kind": "refit", "rows": len(train)}, history
    layer, state = update(run.task, method, train.y, p, train.cohort.subjects)
    earlier = sum(each.name.startswith("external_") for each in run.model.layers)
    layer.name = f"external_{earlier + 1}_{method}"  # of one name there is one in a model
    model = keras.Model(run.model.input, layer(run.model.output), name=run.model.name)
    return model, state, {}


def _refitted(
    run: Run, parts: dict[str, Part], experiment: Experiment
) -> tuple[Any, dict[str, list[float]]]:
    from medkit.training.trainer import Trainer

    model = run.model
    # The loss is not in the targets' units, whatever recalibrations follow them.
    layer = run.task.loss_layer()
    trained = model if layer is None else keras.Model(model.input, layer(model.output))
    trainer = Trainer(trained, task=run.task, seed=experiment.seed, settings=experiment.training)
    ready = {name: (dict(parts[name].inputs.arrays), parts[name].y) for name in ("train", "valid")}
    fitted = trainer.fit(*ready["train"], validation_data=ready["valid"])
    del run.model  # its weights have changed: read them again from the file
    return model, fitted.history


def _account(
    run: Run,
    method: str,
    state: dict[str, Any],
    parts: dict[str, Part],
    before: np.ndarray,
    experiment: Experiment,
) -> dict[str, Any]:
    test = parts["test"]
    settings, seed = experiment.evaluation, experiment.seed
    rows = EvaluatedRows.of(run.task, test, before, run.threshold, settings, seed)
    return plain(
        {
            "method": method,
            "parent": run.path.resolve().name,
            "rows": len(parts["train"]),
            "state": state,
            "before": evaluate_part(rows),
            "notes": [
                "half of the new data is tested; of the other half 70 % fitted the recalibration "
                "and 30 % chose the threshold: no row that was fitted on is tested"
            ],
        }
    )

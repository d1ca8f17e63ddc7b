"""What a trained network is worth: outputs, recalibrated where asked, and all measurements."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from medkit.config.experiment import Experiment
from medkit.core.lazy import keras, pd
from medkit.data.parts import Flow, Part
from medkit.data.splits import PARTS
from medkit.data.stored_arrays import StoredRows
from medkit.evaluation import evaluate_run, headline
from medkit.evaluation.baselines.aside import Aside
from medkit.evaluation.baselines.baselines import some_rows
from medkit.evaluation.calibration.recalibration import fit_recalibration, recalibration_layer
from medkit.evaluation.groups.case_mix import table_one
from medkit.evaluation.sample_size import sample_size
from medkit.explanation import explanations
from medkit.leakage import Findings, summary
from medkit.runs.predictions import Predictions
from medkit.runs.recording import Stages
from medkit.training import ensemble
from medkit.training.network import Network, trainable_weights

log = logging.getLogger("medkit")


def predict(network: Network, task: Any, parts: dict[str, Part], calibration: str) -> Predictions:
    """Predict for every part, after adding the recalibration that was asked for to the network.

    Args:
        network: The trained network; its last layer recalibrates afterwards.
        task: The fitted task.
        parts: Encoded parts.
        calibration: none, temperature, platt or isotonic; fitted on the validation part.
    """
    outputs = predict_parts(network.full, parts)
    state, before = None, None
    if calibration != "none":
        state = fit_recalibration(calibration, task, parts["valid"].y, outputs["valid"])
        if state["kind"] != "none":
            before = outputs["test"]
            layer = recalibration_layer(state)
            network.full = keras.Model(
                network.full.input, layer(network.full.output), name=network.full.name
            )
            outputs = predict_parts(network.full, parts)
    threshold = task.choose_threshold(parts["valid"].y, outputs["valid"])
    return Predictions(outputs, threshold, before, state)


def predict_parts(model: keras.Model, parts: Mapping[str, Part]) -> dict[str, np.ndarray]:
    """Outputs (n, outputs) of a network for each part, in one pass where they fit in memory."""
    if any(isinstance(parts[name].x, StoredRows) for name in PARTS):
        from medkit.training import validation

        found = {name: validation.predict(model, parts[name].x, 1024) for name in PARTS}
        return {name: outputs.astype(np.float64) for name, outputs in found.items()}
    together = model.predict(
        np.concatenate([parts[name].x for name in PARTS]), batch_size=1024, verbose=0
    ).astype(np.float64)
    ends = np.cumsum([len(parts[name].x) for name in PARTS])[:-1]
    return dict(zip(PARTS, np.split(together, ends), strict=True))


def assess(
    network: Network,
    modality: Any,
    task: Any,
    parts: Mapping[str, Part],
    predictions: Predictions,
    experiment: Experiment,
    summaries: Summaries,
    findings: Findings,
    flow: Flow,
    stages: Stages,
    aside: Aside | None = None,
) -> dict[str, Any]:
    """Everything measured of a run: the content of ``metrics.json``."""
    settings, test = experiment.evaluation, parts["test"]
    described, features = summaries.parts, summaries.features
    passes = settings.monte_carlo_dropout
    spread = spread_of_networks(network.full, test.x, passes, experiment.seed)
    metrics = evaluate_run(
        task,
        modality,
        parts,
        predictions.outputs,
        predictions.threshold,
        settings,
        experiment.seed,
        before=predictions.before,
        recalibration=predictions.recalibration,
        spread=spread,
        stages=stages,
        keep=predictions.baselines.__setitem__,
        features=features,
        described=described,
        aside=aside,
    )
    metrics["headline"] = headline(task, metrics)
    if settings.explanations:
        with stages("evaluate: explanations"):
            metrics["explanations"] = explanations(
                lambda x: network.full.predict(x, batch_size=1024, verbose=0),
                task,
                modality,
                test.x,
                test.y,
                test.cohort.subjects,
                predictions.threshold,
                settings,
                experiment.seed,
                predictions.outputs["test"],
            )
    with stages("evaluate: description"):
        metrics["table_one"] = table_one(
            described, modality, task, settings.minimum_group, features
        )
        if described["train"] is not parts["train"]:
            few, all_rows = len(described["train"].x), len(parts["train"].x)
            note = f"the training column describes a random {few:,} of {all_rows:,} rows"
            metrics["table_one"]["notes"].append(note)
        metrics["sample_size"] = sample_size(
            task,
            parts["train"].y,
            list(features["train"].columns),
            (test.y, predictions.outputs["test"]),
            trainable_weights(network.full),
        )
    metrics["leakage"] = summary(findings)
    metrics["flow"] = asdict(flow)
    return metrics


@dataclass(frozen=True)
class Summaries:
    """What baselines and descriptions are made of.

    Attributes:
        parts: The parts, of training perhaps some rows only.
        features: Summary features of each part.
    """

    parts: Mapping[str, Part]
    features: Mapping[str, pd.DataFrame]


def summarize(modality: Any, parts: Mapping[str, Part], seed: int) -> Summaries:
    """Summary features of every part; of training, of as many rows as baselines are fitted on."""
    some = {**parts, "train": _at_most(parts["train"], seed)}
    return Summaries(some, {name: modality.summarize(part.x) for name, part in some.items()})


def _at_most(train: Part, seed: int) -> Part:
    """The training rows that the baselines are fitted on: their summaries may not fit in memory."""
    rows = some_rows(len(train.x), seed)
    if len(rows) == len(train.x):
        return train
    return Part(train.cohort.take(rows), train.x[rows], train.y[rows])


def spread_of_networks(
    model: keras.Model, x: np.ndarray, passes: int, seed: int
) -> dict[str, Iterable[np.ndarray]]:
    """What an ensemble's members, and passes with dropout left on, say of some rows.

    Args:
        model: The whole model, new or loaded.
        x: (n, …) encoded inputs.
        passes: Passes with dropout left on; 0: none.
        seed: Seed of the dropout.

    Returns:
        ``ensemble`` and ``monte_carlo_dropout``, where there are such, as ``uncertainty_of`` takes
        them.
    """
    found: dict[str, Iterable[np.ndarray]] = {}
    members = ensemble.member_outputs(model, x)
    if members is not None:
        found["ensemble"] = members
    if passes:
        found["monte_carlo_dropout"] = ensemble.dropout_passes(model, x, passes, seed)
    return found

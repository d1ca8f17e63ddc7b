"""What a trained network is worth: outputs, recalibrated where asked, and all measurements."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np

from medkit.config.experiment import Evaluation, Experiment
from medkit.core.lazy import keras, pd
from medkit.data.inputs import Inputs, presence_name
from medkit.data.parts import Flow, Part
from medkit.data.splits import PARTS
from medkit.evaluation import EvaluatedRows, evaluate_part, evaluate_run, headline, results
from medkit.evaluation.baselines.aside import Aside
from medkit.evaluation.baselines.baselines import some_rows
from medkit.evaluation.calibration.recalibration import fit_recalibration, recalibration_layer
from medkit.evaluation.groups.case_mix import table_one
from medkit.evaluation.results import Metrics
from medkit.evaluation.sample_size import sample_size
from medkit.explanation import explanations
from medkit.leakage import Findings, summary
from medkit.modalities.encoder import Encoder
from medkit.runs.predictions import Predictions
from medkit.runs.recording import Stages
from medkit.tasks.task import Task
from medkit.training import ensemble, validation
from medkit.training.network import Network, trainable_weights

log = logging.getLogger("medkit")


def predict(network: Network, task: Task, parts: dict[str, Part], calibration: str) -> Predictions:
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
        state = fit_recalibration(
            calibration, task, parts["valid"].y, outputs["valid"], parts["valid"].cohort.subjects
        )
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
    """(n, outputs) float64 of a network for each part, a batch in memory at a time."""
    rows = min(1024, max(map(len, parts.values())))
    return {
        name: validation.predict(model, dict(parts[name].inputs.arrays), rows) for name in PARTS
    }


def assess(
    network: Network,
    encoder: Encoder,
    task: Task,
    parts: Mapping[str, Part],
    predictions: Predictions,
    experiment: Experiment,
    summaries: Summaries,
    findings: Findings,
    flow: Flow,
    stages: Stages,
    aside: Aside | None = None,
) -> Metrics:
    """Everything measured of a run: the content of ``metrics.json``."""
    settings, test = experiment.evaluation, parts["test"]
    described, features = summaries.parts, summaries.features
    passes = settings.monte_carlo_dropout
    spread = spread_of_networks(network.full, test.inputs, passes, experiment.seed)
    found = evaluate_run(
        task,
        encoder,
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
    with stages("evaluate: description"):
        table = table_one(described, encoder, task, settings.minimum_group, features)
        if described["train"] is not parts["train"]:
            sampled, all_rows = len(described["train"]), len(parts["train"])
            note = f"the training column describes a random {sampled:,} of {all_rows:,} rows"
            table["notes"].append(note)
        enough = sample_size(
            task,
            parts["train"].y,
            list(features["train"].columns),
            (test.y, predictions.outputs["test"]),
            trainable_weights(network.full),
            parts["train"].cohort.subjects,
        )
    metrics: Metrics = {
        **found,
        "headline": headline(task, found),
        "table_one": table,
        "sample_size": enough,
        "leakage": cast(results.Leakage, summary(findings)),
        "flow": cast(results.Flow, asdict(flow)),
    }
    if encoder.optional:
        with stages("evaluate: without each input"):
            metrics["inputs"] = without_each_input(
                network.full, encoder, task, test, predictions.threshold, settings, experiment.seed
            )
    if settings.explanations:
        with stages("evaluate: explanations"):
            metrics["explanations"] = explanations(
                lambda given: validation.predict(network.full, dict(given.arrays)),
                task,
                encoder,
                test.inputs,
                test.y,
                test.cohort.subjects,
                predictions.threshold,
                settings,
                experiment.seed,
                predictions.outputs["test"],
            )
    return metrics


def without_each_input(
    model: keras.Model,
    encoder: Encoder,
    task: Task,
    test: Part,
    threshold: Any,
    settings: Evaluation,
    seed: int,
) -> dict[str, Any]:
    """How the model does without each input that a sample may lack, taken from all test samples.

    Returns:
        Input -> ``lacking``, the samples that lacked it anyhow, and ``without``, as
        ``evaluate_part`` has it.
    """
    found = {}
    for name in sorted(encoder.optional):
        hidden = test.inputs.without(name)
        outputs = validation.predict(model, dict(hidden.arrays), min(1024, len(test)))
        rows = EvaluatedRows.of(task, test, outputs, threshold, settings, seed)
        present = np.asarray(test.inputs[presence_name(name)])
        found[name] = {
            "lacking": int((present == 0).sum()),
            "without": evaluate_part(rows, f"{name} hidden"),
        }
    return found


@dataclass(frozen=True)
class Summaries:
    """What baselines and descriptions are made of.

    Attributes:
        parts: The parts, of training perhaps some rows only.
        features: Summary features of each part.
    """

    parts: Mapping[str, Part]
    features: Mapping[str, pd.DataFrame]


def summarize(encoder: Encoder, parts: Mapping[str, Part], seed: int) -> Summaries:
    """Summary features of every part; of training, of as many rows as baselines are fitted on:
    all of them may not fit in memory."""
    train = parts["train"]
    rows = some_rows(len(train), seed)
    some = {**parts, "train": train if len(rows) == len(train) else train.take(rows)}
    return Summaries(some, {name: encoder.summarize(part.inputs) for name, part in some.items()})


def spread_of_networks(
    model: keras.Model, inputs: Inputs, passes: int, seed: int
) -> dict[str, Iterable[np.ndarray]]:
    """What an ensemble's members, and passes with dropout left on, say of some rows.

    Args:
        model: The whole model, new or loaded.
        inputs: Encoded inputs of n samples.
        passes: Passes with dropout left on; 0: none.
        seed: Seed of the dropout.

    Returns:
        ``ensemble`` and ``monte_carlo_dropout``, where there are such, as ``uncertainty_of`` takes
        them.
    """
    found: dict[str, Iterable[np.ndarray]] = {}
    members = ensemble.member_outputs(model, inputs)
    if members is not None:
        found["ensemble"] = members
    if passes:
        found["monte_carlo_dropout"] = ensemble.dropout_passes(model, inputs, passes, seed)
    return found

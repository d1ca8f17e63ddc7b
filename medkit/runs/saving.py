"""Writes the files of a run: model, inputs, history, rows, metrics, report and model card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medkit.config.experiment import Experiment
from medkit.core.files import write_text, written_whole
from medkit.core.lazy import keras, pd
from medkit.data.cohort import Cohort
from medkit.data.parts import Part
from medkit.evaluation.early_warning.stays import has_stays
from medkit.evaluation.methods import methods_for
from medkit.evaluation.results import Metrics, check_metrics
from medkit.modalities.encoder import Encoder
from medkit.runs import run as runs
from medkit.runs.predictions import Predictions
from medkit.runs.recording import Hasher, LogKeeper, Stages, environment
from medkit.tasks.task import Task
from medkit.training import ensemble
from medkit.training.network import Network, trainable_weights

History = dict[str, list[float]]


@dataclass(frozen=True)
class Trained:
    """A network and all that led to it; ``metrics`` are what ``assess`` returns."""

    experiment: Experiment
    encoder: Encoder
    task: Task
    cohort: Cohort
    parts: Mapping[str, Part]
    predictions: Predictions
    network: Network
    history: History
    metrics: Metrics


def save_run(
    folder: Path, trained: Trained, device: str, stages: Stages, kept: LogKeeper, **facts: Any
) -> None:
    """Write all files of a run but its config, and seal it.

    Args:
        folder: The run's folder; holds ``config.yaml`` already.
        trained: What is saved.
        device: What it was computed on.
        stages: Take the time of writing.
        kept: The log.
        **facts: What else ``environment.json`` is to say.
    """
    with stages("save"):
        save_model(folder, trained)
        hashed = save_rows(folder, trained)
    backend, files = keras.backend.backend(), dict(trained.cohort.source.files)
    facts = environment(backend, device, trained.experiment.seed, files, stages) | facts
    with stages("report"):
        save_report(folder, trained, facts, hashed)
    runs.write_json(folder / "environment.json", {**facts, "stages": stages.records})
    write_text(folder / "log.txt", kept.text)
    runs.seal(folder)


def save_model(folder: Path, trained: Trained) -> None:
    """Write the model, what it takes to use it, and how it did."""
    encoder, task, predictions = trained.encoder, trained.task, trained.predictions
    inputs = {
        "inputs": encoder.to_dict(),
        "task": {
            "name": task.kind,
            "state": task.to_dict(),
            "threshold": predictions.threshold,
        },
        "features": [asdict(feature) for feature in encoder.features],
        "columns": dict(trained.cohort.source.columns),
        "conformal": trained.metrics["test"]["uncertainty"]["conformal"].get("state"),
        "recalibration": predictions.recalibration,
    }
    runs.write_json(folder / "inputs.json", inputs)
    with written_whole(folder / "model.keras") as temporary:
        trained.network.full.save(temporary)
    with written_whole(folder / "history.csv") as temporary:
        frame = pd.DataFrame(trained.history or {"loss": []})
        epochs: Any = np.arange(1, len(frame) + 1)
        if "member" in frame:
            frame["member"] = frame["member"].astype(int)
            epochs = frame.groupby("member").cumcount() + 1
        frame.insert(0, "epoch", epochs)
        frame.to_csv(temporary, index=False)
    check_metrics(trained.metrics)
    runs.write_json(folder / "metrics.json", trained.metrics)


def save_rows(folder: Path, trained: Trained) -> dict[str, list[str]]:
    """Write split.csv and predictions.parquet; identities as salted hashes.

    Returns:
        Part -> hash of each sample, in the order of the predictions.
    """
    task, predictions = trained.task, trained.predictions
    hashed = Hasher()
    frames = []
    samples: dict[str, list[str]] = {}
    for name, part in trained.parts.items():
        samples[name] = hashed(part.cohort.samples.index, "sample")
        frame = pd.DataFrame(
            {
                "sample": samples[name],
                "subject": hashed(part.cohort.subjects, "subject"),
                "part": name,
            }
        )
        if has_stays(part.cohort.samples):
            frame["stay"] = hashed(part.cohort.samples["stay"], "stay")
            frame["hour"] = part.cohort.samples["hour"].to_numpy(float)
        frame = frame.assign(**task.target_columns(np.asarray(part.cohort.targets)))
        task.write(folder, name, part.y, predictions.outputs[name])
        found = task.prediction_columns(predictions.outputs[name], predictions.threshold)
        if name == "test":
            # A baseline's outputs on the test part stand beside the network's.
            for baseline, outputs in predictions.baselines.items():
                at = trained.metrics["baselines"][baseline]["threshold"]
                of_baseline = task.prediction_columns(outputs, at)
                found |= {f"{baseline}.{key}": each for key, each in of_baseline.items()}
        # All at once: a forecast has hundreds of columns.
        frames.append(pd.concat([frame, pd.DataFrame(found, index=frame.index)], axis=1))
    rows = pd.concat(frames, ignore_index=True)
    with written_whole(folder / "split.csv") as temporary:
        rows[["sample", "subject", "part"]].to_csv(temporary, index=False)
    with written_whole(folder / "predictions.parquet") as temporary:
        rows.to_parquet(temporary, index=False)
    return samples


def save_report(
    folder: Path, trained: Trained, facts: dict[str, Any], hashed: dict[str, list[str]]
) -> None:
    """Write report.html and MODEL_CARD.md."""
    from medkit.report import ReportInputs, write_model_card, write_report

    experiment, encoder, task = trained.experiment, trained.encoder, trained.task
    parts, cohort, outputs = trained.parts, trained.cohort, trained.predictions.outputs
    inputs = ReportInputs(
        name=experiment.name,
        description=experiment.header.description,
        task=task,
        model=experiment.model.name,
        metrics=trained.metrics,
        history=ensemble.averaged(trained.history),
        predictions={name: (parts[name].y, outputs[name]) for name in parts},
        source=cohort.source,
        features=encoder.features,
        preparation={name: each.preparation() for name, each in encoder.modalities.items()},
        environment=facts,
        config=(folder / "config.yaml").read_text(encoding="utf-8"),
        target_names=cohort.target_names,
        confidence=experiment.evaluation.confidence,
        hashed=hashed,
        encoded=parts["test"].inputs,
        windows=methods_for(task).known_course(encoder, parts["test"].inputs),
        weights=trainable_weights(trained.network.full),
    )
    write_report(folder / "report.html", inputs)
    write_model_card(folder / "MODEL_CARD.md", inputs)

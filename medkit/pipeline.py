"""One line of data from config to run; ``train`` is the whole path on one screen."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from medkit import runs
from medkit.backend import select_backend, start
from medkit.cohort import Cohort
from medkit.config import Experiment, load_config
from medkit.errors import ConfigError, Problem, RunError, TrainingError
from medkit.evaluation import evaluate_run, headline
from medkit.files import write_text, written_whole
from medkit.lazy import pd
from medkit.network import Network, build_network
from medkit.preparation import Part, divide, encode, read
from medkit.recording import Hasher, LogKeeper, Stages, environment
from medkit.runs import Run
from medkit.splits import PARTS

log = logging.getLogger("medkit")


class Interrupted(KeyboardInterrupt):
    """Training was interrupted; ``folder`` can be resumed."""

    def __init__(self, folder: Path):
        super().__init__(str(folder))
        self.folder = folder


def train(
    config: Experiment | Path | str,
    *,
    overrides: Sequence[str] = (),
    out: Path | str = "runs",
    resume: Path | str | None = None,
) -> Run:
    """Train, evaluate and save what a config describes.

    Args:
        config: A checked config, or the path of a YAML file.
        overrides: ``a.b=value`` assignments, when ``config`` is a path.
        out: Folder in which ``<experiment name>/<UTC time>-<id>`` is made.
        resume: Folder of an interrupted run of this config; goes on from its last epoch.

    Returns:
        The finished run.

    Raises:
        MedkitError: Config, data or training at fault; the message says how to mend it.
        Interrupted: Ctrl-C; the folder it names can be resumed.
    """
    experiment = config if isinstance(config, Experiment) else load_config(config, overrides)
    backend = select_backend(experiment.header.backend)
    stages = Stages()
    with LogKeeper() as kept:
        with stages("read"):
            cohort = read(experiment.dataset)
        with stages("split"):
            divided, flow = divide(cohort, experiment)
        with stages("encode"):
            modality, task, parts = encode(divided, experiment, flow)
        with stages("import keras"):
            device = start()
        with stages("build"):
            network = build(experiment, modality, task, len(parts["train"].x))
        folder = begin(experiment, cohort, Path(out)) if resume is None else reopen(resume, cohort)
        try:
            with stages("fit"):
                history = fit(network, task, parts, experiment, folder, resume is not None)
            with stages("predict"):
                outputs = predict_parts(network, parts)
                threshold = task.choose_threshold(parts["valid"].y, outputs["valid"])
            with stages("evaluate"):
                metrics = evaluate_run(
                    task,
                    modality,
                    parts,
                    outputs,
                    threshold,
                    experiment.evaluation,
                    experiment.seed,
                )
                metrics["flow"] = asdict(flow)
            log.info("test: %s", headline(metrics))
            with stages("save"):
                save(folder, modality, task, threshold, network, history, metrics)
                save_rows(folder, task, threshold, parts, outputs)
            facts = environment(backend, device, experiment.seed, dict(cohort.source.files), stages)
            runs.write_json(folder / "environment.json", facts)
            report(
                folder, experiment, modality, task, cohort, parts, outputs, history, metrics, facts
            )
            write_text(folder / "log.txt", kept.text)
            shutil.rmtree(folder / runs.CHECKPOINT, ignore_errors=True)
            runs.seal(folder)
        except KeyboardInterrupt as stop:
            raise Interrupted(folder) from stop
        except TrainingError:
            # To resume would end the same way; only epochs already kept are worth a folder.
            if not (folder / runs.CHECKPOINT / "state.npz").exists():
                shutil.rmtree(folder)
            raise
    return Run.open(folder)


def build(experiment: Experiment, modality: Any, task: Any, rows: int) -> Network:
    """Build the seeded network, under mixed precision if asked for."""
    import keras

    from medkit.trainer import set_mixed_precision

    keras.utils.set_random_seed(experiment.seed)
    set_mixed_precision(experiment.training.mixed_precision)
    network = build_network(modality, task, experiment.model, rows)
    log.info(
        "model %s: %s parameters; inputs %s",
        experiment.model.name,
        f"{network.full.count_params():,}",
        tuple(network.full.input_shape[1:]),
    )
    return network


def begin(experiment: Experiment, cohort: Cohort, out: Path) -> Path:
    """Make the run's folder and write what a resumption needs: the config and data hashes."""
    folder = runs.new_folder(out, experiment.name)
    write_text(folder / "config.yaml", experiment.to_yaml(beside=folder))
    runs.write_json(folder / runs.CHECKPOINT / "data.json", dict(cohort.source.files))
    return folder


def reopen(folder: Path | str, cohort: Cohort) -> Path:
    """The folder of an interrupted run, if its data are still the same.

    Raises:
        RunError: The run is finished, or its data have changed since.
    """
    folder = Path(folder)
    if (folder / runs.MANIFEST).exists():
        raise RunError("the run is finished; there is nothing to resume", place=str(folder))
    before = runs.read_json(folder / runs.CHECKPOINT / "data.json")
    if before != dict(cohort.source.files):
        raise RunError(
            "the data have changed since the run was interrupted",
            place=str(folder),
            hint="Put the former files back, or train anew without --resume.",
        )
    return folder


def resumed(folder: Path | str, overrides: Sequence[str] = ()) -> Experiment:
    """The config of an interrupted run; only the number of epochs may be changed.

    Raises:
        RunError: Not an interrupted run.
        ConfigError: Another setting is to be changed.
    """
    folder = Path(folder)
    if not (folder / "config.yaml").is_file():
        raise RunError("is not a run: it has no config.yaml", place=str(folder))
    for assignment in overrides:
        path = assignment.partition("=")[0].strip()
        if path != "training.epochs":
            problem = Problem(
                path, "a resumed run keeps its settings; only training.epochs may change"
            )
            raise ConfigError([problem], place=f"--set {assignment}")
    return load_config(folder / "config.yaml", overrides)


def fit(
    network: Network,
    task: Any,
    parts: dict[str, Part],
    experiment: Experiment,
    folder: Path,
    resume: bool,
) -> dict[str, list[float]]:
    """Train the network; returns the value of every watched metric per epoch."""
    from medkit.trainer import Trainer

    trainer = Trainer(
        network.trained,
        task=task,
        seed=experiment.seed,
        settings=experiment.training,
        folder=folder,
    )
    ready = {name: (network.prepare(parts[name].x), parts[name].y) for name in ("train", "valid")}
    return trainer.fit(*ready["train"], validation_data=ready["valid"], resume=resume).history


def predict_parts(network: Network, parts: dict[str, Part]) -> dict[str, np.ndarray]:
    """Outputs of the saved network for each part, in one pass."""
    together = network.full.predict(
        np.concatenate([parts[name].x for name in PARTS]), batch_size=1024, verbose=0
    ).astype(np.float64)
    ends = np.cumsum([len(parts[name].x) for name in PARTS])[:-1]
    return dict(zip(PARTS, np.split(together, ends), strict=True))


def save(
    folder: Path,
    modality: Any,
    task: Any,
    threshold: Any,
    network: Network,
    history: dict[str, list[float]],
    metrics: dict[str, Any],
) -> None:
    """Write the model, what it takes to use it, and how it did."""
    inputs = {
        "modality": {"name": modality.modality, "state": modality.to_dict()},
        "task": {"name": task.kind, "state": task.to_dict(), "threshold": threshold},
        "features": [asdict(feature) for feature in modality.features],
    }
    runs.write_json(folder / "inputs.json", inputs)
    with written_whole(folder / "model.keras") as temporary:
        network.full.save(temporary)
    with written_whole(folder / "history.csv") as temporary:
        frame = pd.DataFrame(history)
        frame.insert(0, "epoch", np.arange(1, len(frame) + 1))
        frame.to_csv(temporary, index=False)
    runs.write_json(folder / "metrics.json", metrics)


def save_rows(
    folder: Path, task: Any, threshold: Any, parts: dict[str, Part], outputs: dict[str, np.ndarray]
) -> None:
    """Write split.csv and predictions.parquet; identities as salted hashes."""
    hashed = Hasher()
    frames = []
    for name, part in parts.items():
        frame = pd.DataFrame(
            {
                "sample": hashed(part.cohort.samples.index, "sample"),
                "subject": hashed(part.cohort.subjects, "subject"),
                "part": name,
            }
        )
        targets = np.asarray(part.cohort.targets)
        columns = targets.reshape(len(frame), -1).T
        names = ["target"] if len(columns) == 1 else [f"target_{i}" for i in range(len(columns))]
        frame = frame.assign(**dict(zip(names, columns, strict=True)))
        frames.append(frame.assign(**task.prediction_columns(outputs[name], threshold)))
    rows = pd.concat(frames, ignore_index=True)
    with written_whole(folder / "split.csv") as temporary:
        rows[["sample", "subject", "part"]].to_csv(temporary, index=False)
    with written_whole(folder / "predictions.parquet") as temporary:
        rows.to_parquet(temporary, index=False)


def report(
    folder: Path,
    experiment: Experiment,
    modality: Any,
    task: Any,
    cohort: Cohort,
    parts: dict[str, Part],
    outputs: dict[str, np.ndarray],
    history: dict[str, list[float]],
    metrics: dict[str, Any],
    facts: dict[str, Any],
) -> None:
    """Write report.html."""
    from medkit.report import ReportInputs, write_report

    inputs = ReportInputs(
        name=experiment.name,
        description=experiment.header.description,
        task=task,
        model=experiment.model.name,
        metrics=metrics,
        history=history,
        predictions={name: (parts[name].y, outputs[name]) for name in parts},
        source=cohort.source,
        features=modality.features,
        environment=facts,
        config=(folder / "config.yaml").read_text(encoding="utf-8"),
        target_names=cohort.target_names,
        confidence=experiment.evaluation.confidence,
    )
    write_report(folder / "report.html", inputs)

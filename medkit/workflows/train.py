"""One line of data from config to run; ``train`` is the whole path on one screen."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from medkit.config.experiment import Experiment, load_config
from medkit.config.inputs import as_fusion
from medkit.core.errors import ConfigError, Problem, RunError, TrainingError
from medkit.core.files import write_text
from medkit.data.cohort import Cohort
from medkit.data.parts import Part
from medkit.evaluation.baselines.aside import Aside
from medkit.leakage import audit, gate
from medkit.modalities.encoder import Encoder
from medkit.runs import run as runs
from medkit.runs.recording import LogKeeper, Stages
from medkit.runs.run import Run
from medkit.runs.saving import Trained, save_run
from medkit.runs.state import read_json
from medkit.tasks.task import Task
from medkit.training import ensemble
from medkit.training.backend import select_backend, start
from medkit.training.network import Network, build_network
from medkit.workflows.assess import assess, predict, summarize
from medkit.workflows.finished_branches import (
    earlier_parts,
    finished_branches,
    fitted_modalities,
    with_embeddings,
    with_their_preprocessing,
)
from medkit.workflows.prepare import divide, encode, read

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
        MedkitError: Config, data or training at fault; the message says how to fix it.
        Interrupted: Ctrl-C; the folder it names can be resumed.
    """
    experiment = config if isinstance(config, Experiment) else load_config(config, overrides)
    if resume is not None and sealed(Path(resume)):
        return Run.open(resume)
    select_backend(experiment.header.backend)
    stages = Stages()
    with LogKeeper() as kept, Aside() as aside, contextlib.ExitStack() as held:
        begun = finished_branches(experiment)
        experiment = with_their_preprocessing(experiment, begun)
        with stages("read"):
            cohort = read(experiment.dataset)
        with stages("split"):
            divided, flow = divide(cohort, experiment)
        with stages("encode"):
            fitted = fitted_modalities(begun, cohort, experiment)
            encoder, task, parts = encode(divided, experiment, flow, fitted)
        with stages("audit"):
            earlier = earlier_parts(begun, cohort)
            found = audit(parts, encoder, task, experiment.split, earlier)
            findings = gate(found, experiment.leakage)
        # Nobody looks at raw inputs from here on: they need not stay in memory.
        cohort = replace(cohort, inputs={})
        parts = {name: part.without_raw() for name, part in parts.items()}
        del divided, earlier
        with stages("summarize"):
            summaries = summarize(encoder, parts, experiment.seed)
            if experiment.evaluation.baselines:
                aside.begin(task, summaries.features, summaries.parts, experiment.seed)
        with stages("import keras"):
            device = start()
        with stages("build"):
            network = build(experiment, encoder, task, len(parts["train"]), begun)
        folder = begin(experiment, cohort, Path(out)) if resume is None else reopen(resume, cohort)
        held.enter_context(runs.locked(folder / runs.CHECKPOINT / ".lock"))
        if resume is not None:
            # Who kept the lock until now may have finished the run, or removed it.
            if sealed(folder):
                return Run.open(folder)
            reopen(folder, cohort)
        try:
            with stages("fit"):
                history = fit(network, task, parts, experiment, folder, resume is not None)
            with stages("predict"):
                predictions = predict(network, task, parts, experiment.header.calibration)
            with stages("evaluate"):
                metrics = assess(
                    network, encoder, task, parts, predictions, experiment, summaries, findings,
                    flow, stages, aside,
                )  # fmt: skip
            log.info("test: %s", metrics["headline"])
            trained = Trained(
                experiment, encoder, task, cohort, parts, predictions, network, history, metrics
            )
            save_run(folder, trained, device, stages, kept)
        except KeyboardInterrupt as stop:
            raise Interrupted(folder) from stop
        except RunError as error:
            hint = f"{error.hint or ''} Then go on with: medkit train --resume {folder}".strip()
            raise RunError(error.message, place=error.place, hint=hint) from error
        except TrainingError:
            # To resume would end the same way; only epochs already kept are worth a folder.
            kept_files = (folder / runs.CHECKPOINT / "state.npz", folder / runs.MANIFEST)
            if not any(each.exists() for each in kept_files):
                shutil.rmtree(folder)
            raise
    return Run.open(folder)


def build(
    experiment: Experiment,
    encoder: Encoder,
    task: Task,
    rows: int,
    begun: Mapping[str, Run] | None = None,
) -> Network:
    """Build the seeded network, under mixed precision if asked for.

    Args:
        experiment: The config.
        encoder: The fitted encoder.
        task: The fitted task.
        rows: Training rows.
        begun: Input name -> the run that its branch starts from.
    """
    import keras

    from medkit.training.trainer import set_mixed_precision

    keras.utils.set_random_seed(experiment.seed)
    set_mixed_precision(experiment.training.mixed_precision)
    kinds = {name: each.name for name, each in experiment.preprocessing.items()}
    model = as_fusion(experiment.model, kinds) or experiment.model
    model = with_embeddings(model, begun or {})
    network = build_network(
        encoder, task, model, rows, experiment.training.ensemble, experiment.seed
    )  # fmt: skip
    log.info(
        "model %s: %s parameters; inputs %s",
        model.name,
        f"{network.full.count_params():,}",
        ", ".join(f"{name} {each.shape[1:]}" for name, each in network.full.input.items()),
    )
    return network


def begin(experiment: Experiment, cohort: Cohort, out: Path) -> Path:
    """Make the run's folder and write what a resumption needs: the config and data hashes."""
    folder = runs.new_folder(out, experiment.name)
    # The config last: a folder that has one can be resumed.
    runs.write_json(folder / runs.CHECKPOINT / "data.json", dict(cohort.source.files))
    write_text(folder / "config.yaml", experiment.to_yaml(target_folder=folder))
    return folder


def reopen(folder: Path | str, cohort: Cohort) -> Path:
    """The folder of an interrupted run, if its data are still the same.

    Raises:
        RunError: The run is finished, or its data have changed since.
    """
    folder = Path(folder)
    if (folder / runs.MANIFEST).exists():
        raise RunError("the run is finished; there is nothing to resume", place=str(folder))
    if not (folder / runs.CHECKPOINT / "data.json").is_file():
        raise RunError(
            "the run has no checkpoint to go on from",
            place=str(folder),
            hint="Remove it and begin a new one, from its config.yaml.",
        )
    before = read_json(folder / runs.CHECKPOINT / "data.json")
    if before != dict(cohort.source.files):
        raise RunError(
            "the data have changed since the run was interrupted",
            place=str(folder),
            hint="Put the former files back, or start a new run without --resume.",
        )
    return folder


def sealed(folder: Path) -> bool:
    """Whether a run has a manifest and a checkpoint, which is then removed.

    It was killed between the two, or waited for: a lock makes its folder anew.
    """
    left = folder / runs.CHECKPOINT
    if not ((folder / runs.MANIFEST).is_file() and left.is_dir()):
        return False
    shutil.rmtree(left, ignore_errors=True)
    return True


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
    task: Task,
    parts: dict[str, Part],
    experiment: Experiment,
    folder: Path,
    resume: bool,
) -> dict[str, list[float]]:
    """Train the network, or each member of an ensemble.

    Returns:
        The value of every watched metric per epoch; with ``member`` if there are several.
    """
    from medkit.training.trainer import Trainer

    ready = {
        name: (network.prepare(parts[name].inputs), parts[name].y) for name in ("train", "valid")
    }
    histories = []
    for number, model in enumerate(network.members, 1):
        trainer = Trainer(
            model,
            task=task,
            seed=ensemble.member_seed(experiment.seed, number),
            settings=experiment.training,
            folder=folder,
            member=(number, len(network.members)),
        )
        fitted = trainer.fit(*ready["train"], validation_data=ready["valid"], resume=resume)
        histories.append(fitted.history)
    return ensemble.joined(histories)

"""Every config validates; every pair that makes sense has a smoke config, which runs."""

from __future__ import annotations

import dataclasses
import functools
import os
from pathlib import Path

import numpy as np
import pytest
import yaml

import medkit
from medkit.config.experiment import load_config
from medkit.core import registry
from medkit.data.parts import Part
from medkit.evaluation.results import metrics_adapter
from medkit.modalities.encoder import Encoder
from medkit.tasks.task import Task
from medkit.workflows.prepare import divide, encode, read
from medkit.workflows.synthesize import synthesize
from medkit.workflows.train import build

CONFIGS = Path(__file__).parents[1] / "configs"
SMOKE = sorted((CONFIGS / "smoke").glob("*.yaml"))


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda p: p.stem)
def test_config_validates(path):
    load_config(path)


def test_every_dataset_and_model_has_a_smoke_config():
    experiments = [load_config(path) for path in SMOKE]
    for name in registry.datasets.names():
        if not registry.datasets.get(name).yielded:
            continue  # what it gives, its parameters decide: there is no data set by itself
        assert name in {e.dataset.name for e in experiments}, f"configs/smoke lacks one of {name}"
    of_one_input = [registry.models_for(modality) for modality in registry.modalities.names()]
    for name in {name for names in of_one_input for name in names}:
        assert name in {e.model.name for e in experiments}, f"configs/smoke lacks one of {name}"


def cases() -> list[tuple[Path, str | None]]:
    """Every smoke config; and for each pair of data set and model that has none the first config
    of the data set with that model."""
    first: dict[str, Path] = {}
    answers: dict[str, str] = {}
    pairs = set()
    for path in SMOKE:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        dataset, model, task = (
            part if isinstance(part := document[section], str) else part["name"]
            for section in ("dataset", "model", "task")
        )
        first.setdefault(dataset, path)
        answers.setdefault(dataset, registry.tasks.get(task).factory.answers)
        pairs.add((dataset, model))
    others = [
        (first[name], model)
        for name in first
        for modality in registry.datasets.get(name).yielded
        for model in registry.models_for(modality)
        if (name, model) not in pairs
        and answers[name] in registry.models.get(model).tags.get("answers", ("sample",))
    ]
    return [*((path, None) for path in SMOKE), *others]


@pytest.fixture(scope="module")
def synthetic_files(tmp_path_factory):
    """The synthetic datasets as the files that the readers' smoke configs name; beside them the
    real ones, where MEDKIT_TEST_DATA says where they are."""
    folder = tmp_path_factory.mktemp("data")
    real = os.environ.get("MEDKIT_TEST_DATA")
    for each in Path(real).iterdir() if real else ():
        (folder / each.name).symlink_to(each)
    for name in ("synthetic_vitals", "synthetic_icu", "synthetic_xray", "synthetic_dna"):
        synthesize(name, folder / name, ["samples=300"])
    synthesize("synthetic_deterioration", folder / "synthetic_deterioration", ["stays=60"])
    return folder


@functools.cache
def trained() -> dict[Path, bool]:
    """As few configs as train every data set, task and model, and those with a name of their own.

    Each with whether baselines are fitted and explanations made: once for each kind of input and
    task is enough.
    """
    shown = {}
    for path in SMOKE:
        experiment = load_config(path)
        dataset, model = experiment.dataset.name, experiment.model.name
        shown[path] = {("dataset", dataset), ("model", model), ("task", experiment.task.name)}
        inputs = tuple(registry.datasets.get(dataset).yielded)
        shown[path].add(("evaluated", (*inputs, experiment.task.name)))
        if path.stem != f"{dataset}_{model}":
            shown[path].add(("config", path.stem))
    chosen: dict[Path, bool] = {}
    missing = set.union(*shown.values())
    while missing:
        best = max(SMOKE, key=lambda path: len(shown[path] & missing))
        chosen[best] = any(kind == "evaluated" for kind, _ in shown[best] & missing)
        missing -= shown[best]
    return chosen


@functools.cache
def encoded(path: Path) -> tuple[Encoder, Task, dict[str, Part]]:
    """The parts of a config's cohort; the same for every model."""
    experiment = load_config(path)
    divided, flow = divide(read(experiment.dataset), experiment)
    return encode(divided, experiment, flow)


@pytest.mark.parametrize(
    ("path", "model"), cases(), ids=lambda each: getattr(each, "stem", each) or "as it is"
)
def test_smoke_config(path, model, tmp_path, synthetic_files, monkeypatch):
    """Every data set, task and model is trained once; the other pairs are built and predict."""
    monkeypatch.setenv("MEDKIT_DATA", str(synthetic_files))
    experiment = load_config(path, [f"model={{name: {model}}}"] if model else [])
    source = experiment.dataset.parameters.get("path")
    if source is not None and not Path(source).exists():
        pytest.skip("on real data, and MEDKIT_TEST_DATA is not set")
    if model is None and path in trained():
        training = experiment.training.model_copy(update={"epochs": 1})
        whole, evaluation = trained()[path], experiment.evaluation
        evaluation = evaluation.model_copy(
            update={"baselines": whole, "explanations": whole and evaluation.explanations}
        )
        faster = dataclasses.replace(experiment, training=training, evaluation=evaluation)
        metrics = medkit.train(faster, out=tmp_path).metrics
        assert metrics["test"]["n"] > 0
        metrics_adapter.validate_python(metrics)
        return
    encoder, task, parts = encoded(path)
    network = build(experiment, encoder, task, len(parts["train"]))
    outputs = np.asarray(network.full(next(parts["test"].inputs.batches(4)), training=False))
    assert len(outputs) == 4
    assert np.isfinite(outputs).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pneumoniamnist_cnn", "physionet2012_gru", "splice_cnn"])
def test_real_config_reads_and_trains_an_epoch(name, real_data, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDKIT_DATA", str(real_data))
    overrides = ["training.epochs=1", "evaluation.bootstrap=20", "evaluation.baselines=false"]
    run = medkit.train(CONFIGS / f"{name}.yaml", overrides=overrides, out=tmp_path)
    assert run.metrics["test"]["n"] > 300

"""Every config validates; every pair that makes sense has a smoke config, which runs."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pytest

import medkit
from medkit.config.experiment import load_config
from medkit.core import registry
from medkit.data.cohort import Cohort
from medkit.workflows.prepare import divide, encode, read
from medkit.workflows.synthesize import synthesize
from medkit.workflows.train import build

CONFIGS = Path(__file__).parents[1] / "configs"
SMOKE = sorted((CONFIGS / "smoke").glob("*.yaml"))


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda p: p.stem)
def test_config_validates(path):
    load_config(path)


def test_every_pair_has_a_smoke_config():
    pairs = {(e.dataset.name, e.model.name) for e in map(load_config, SMOKE)}
    for name in registry.datasets.names():
        # A table goes to the models made for tables; so does everything that takes one.
        for modality in registry.datasets.get(name).yielded:
            for model in registry.models_for(modality):
                assert (name, model) in pairs, f"configs/smoke lacks {name}_{model}.yaml"


@pytest.fixture(scope="module")
def synthetic_files(tmp_path_factory):
    """The synthetic datasets as the files that the readers' smoke configs name."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("synthetic_vitals", "synthetic_icu", "synthetic_xray", "synthetic_dna"):
        synthesize(name, folder / name, ["samples=300"])
    synthesize("synthetic_deterioration", folder / "synthetic_deterioration", ["stays=60"])
    return folder


@functools.cache
def trained() -> dict[Path, bool]:
    """As few configs as train every data set, task and model, and those with a name of their own.

    Each with whether its baselines are fitted: once for each data set is enough.
    """
    shown = {}
    for path in SMOKE:
        experiment = load_config(path)
        dataset, model = experiment.dataset.name, experiment.model.name
        shown[path] = {("dataset", dataset), ("model", model), ("task", experiment.task.name)}
        if path.stem != f"{dataset}_{model}":
            shown[path].add(("config", path.stem))
    chosen: dict[Path, bool] = {}
    missing = set.union(*shown.values())
    while missing:
        best = max(SMOKE, key=lambda path: len(shown[path] & missing))
        chosen[best] = any(kind == "dataset" for kind, _ in shown[best] & missing)
        missing -= shown[best]
    return chosen


COHORTS: dict[str, Cohort] = {}


@pytest.mark.parametrize("path", SMOKE, ids=lambda p: p.stem)
def test_smoke_config(path, tmp_path, synthetic_files, monkeypatch):
    """Every data set, task and model is trained once; the other pairs are built and predict."""
    monkeypatch.setenv("MEDKIT_DATA", str(synthetic_files))
    experiment = load_config(path)
    if path in trained():
        training = experiment.training.model_copy(update={"epochs": 1})
        evaluation = experiment.evaluation.model_copy(update={"baselines": trained()[path]})
        faster = dataclasses.replace(experiment, training=training, evaluation=evaluation)
        assert medkit.train(faster, out=tmp_path).metrics["test"]["n"] > 0
        return
    key = repr(experiment.dataset)
    if key not in COHORTS:
        COHORTS[key] = read(experiment.dataset)
    divided, flow = divide(COHORTS[key], experiment)
    encoder, task, parts = encode(divided, experiment, flow)
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

"""Every config validates; every smoke config trains; every pair that makes sense has one."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import pytest

import medkit
from medkit.config.experiment import load_config
from medkit.core import registry
from medkit.workflows.synthesize import synthesize

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
def first_of_each() -> set[Path]:
    """The first config of each dataset and task."""
    found: dict[tuple[str, str], Path] = {}
    for path in SMOKE:
        experiment = load_config(path)
        found.setdefault((experiment.dataset.name, experiment.task.name), path)
    return set(found.values())


@pytest.mark.parametrize("path", SMOKE, ids=lambda p: p.stem)
def test_smoke_config_trains(path, tmp_path, synthetic_files, monkeypatch):
    monkeypatch.setenv("MEDKIT_DATA", str(synthetic_files))
    experiment = load_config(path)
    training = experiment.training.model_copy(update={"epochs": 1})
    # The baselines are the dataset's and the task's affair: once for each is enough.
    evaluation = experiment.evaluation.model_copy(update={"baselines": path in first_of_each()})
    faster = dataclasses.replace(experiment, training=training, evaluation=evaluation)
    run = medkit.train(faster, out=tmp_path)
    assert run.metrics["test"]["n"] > 0


REAL = {
    "heart_disease_mlp": "heart_disease/heart_disease_4sites.csv",
    "heart_disease_tabm": "heart_disease/heart_disease_4sites.csv",
    "pneumoniamnist_cnn": "pneumoniamnist/pneumoniamnist.npz",
    "physionet2012_gru": "physionet2012/set-a.tar.gz",
    "physionet2012_attention": "physionet2012/set-a.tar.gz",
    "splice_cnn": "splice/splice.csv",
    "splice_lstm": "splice/splice.csv",
}


@pytest.mark.parametrize("name", ["pneumoniamnist_cnn", "physionet2012_gru", "splice_cnn"])
def test_real_config_reads_and_trains_an_epoch(name, real_data, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDKIT_DATA", str(real_data))
    overrides = ["training.epochs=1", "evaluation.bootstrap=20", "evaluation.baselines=false"]
    run = medkit.train(CONFIGS / f"{name}.yaml", overrides=overrides, out=tmp_path)
    assert run.metrics["test"]["n"] > 300

"""Branches of a fusion that start from finished runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from medkit.cli import app
from medkit.config.experiment import check_config
from medkit.core.errors import ConfigError
from medkit.models.fusion import branch_name
from medkit.runs.run import Run
from medkit.workflows.finished_branches import finished_branches, fitted_modalities
from medkit.workflows.prepare import divide, encode, read
from medkit.workflows.train import build, train

QUICK = {
    "training": {"epochs": 1},
    "evaluation": {"bootstrap": 0, "baselines": False, "explanations": False},
}
SEPSIS = {"name": "synthetic_icu", "samples": 120}


def config(folder, dataset=None, model="gru", **changes):
    document = {"name": "x", "dataset": dataset or SEPSIS, "task": "binary", "model": model}
    return check_config({**document, **QUICK, **changes}, folder=folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("from")


@pytest.fixture(scope="module")
def vitals(folder) -> Run:
    scaled = {"preprocessing": {"standardize": "robust"}}
    model = {"name": "gru", "units": [4]}
    return train(config(folder, model=model, **scaled), out=folder / "runs")


def fusion_of(folder, run: Path | str, *, frozen=True, dataset=None, **changes):
    given = dataset or {**SEPSIS, "seed": 5, "static": ["age", "sex"]}
    branches = {"series": {"from": str(run), "frozen": frozen}, "static": "mlp"}
    model = {"name": "fusion", "branches": branches}
    return config(folder, given, model, **changes)


def prepared(experiment):
    begun = finished_branches(experiment)
    cohort = read(experiment.dataset)
    divided, flow = divide(cohort, experiment)
    fitted = fitted_modalities(begun, cohort, experiment)
    encoder, task, parts = encode(divided, experiment, flow, fitted)
    return encoder, build(experiment, encoder, task, len(parts["train"]), begun)


def weights_of(network_or_run):
    import keras

    def found(model):
        for layer in model.layers:
            if layer.name == branch_name("series"):
                return layer
            if isinstance(layer, keras.Model) and (inner := found(layer)) is not None:
                return inner
        return None

    return [np.array(each) for each in found(network_or_run).get_weights()]


def equal(some, others):
    return all(np.array_equal(a, b) for a, b in zip(some, others, strict=False))


def test_it_starts_with_the_weights_and_the_scaling_of_the_run(vitals, folder):
    relative = vitals.path.relative_to(folder)
    experiment = fusion_of(folder, relative, frozen=False, training={"epochs": 1, "ensemble": 2})
    encoder, network = prepared(experiment)
    state = {**vitals.encoder.modalities["series"].to_dict()}
    assert encoder.modalities["series"].to_dict() == state
    assert encoder.modalities["static"].names == ["age", "sex"]
    core = next(each for each in vitals.model.layers if each.name == "gru")
    for member in network.members:
        mine = weights_of(member)
        assert len(mine) == len(core.get_weights()) - 2  # the head's kernel and bias
        assert equal(mine, core.get_weights())


@pytest.mark.parametrize("frozen", [True, False])
def test_what_is_frozen_stays(vitals, folder, frozen):
    run = train(fusion_of(folder, vitals.path, frozen=frozen), out=folder / "runs")
    before = next(each for each in vitals.model.layers if each.name == "gru").get_weights()
    assert equal(weights_of(run.model), before) is frozen
    assert str(run.config["model"]["branches"]["series"]["from"])
    cohort = read(fusion_of(folder, vitals.path).dataset)
    assert np.isfinite(run.outputs(cohort.inputs)).all()


def test_runs_that_do_not_fit_are_named(vitals, folder, tmp_path):
    with pytest.raises(ConfigError, match=r"model\.branches\.series\.from: .*no such run"):
        finished_branches(fusion_of(folder, "nowhere"))
    other = {"name": "synthetic_admissions", "samples": 60}
    model = {"name": "fusion", "branches": {
        "vitals": "gru", "static": {"from": str(vitals.path)}, "xray": "cnn", "note": "cnn",
    }}  # fmt: skip
    with pytest.raises(ConfigError, match="takes series data, and 'static' is tabular data"):
        finished_branches(config(folder, other, model))
    model["branches"] |= {"static": "mlp", "vitals": {"from": str(vitals.path)}}
    experiment = config(folder, other, model)
    with pytest.raises(ConfigError, match="the input 'vitals' lacks 'oxygen_saturation', 'temp"):
        prepared(experiment)
    experiment = fusion_of(folder, vitals.path)
    cohort = read(experiment.dataset)
    first, *rest = cohort.inputs["series"].features
    renamed = (replace(first, name="pulse"), replace(rest[0], unit="kPa"), *rest[1:])
    series = replace(cohort.inputs["series"], features=renamed)
    cohort = replace(cohort, inputs={**cohort.inputs, "series": series})
    message = rf"lacks '{first.name}'; has 'pulse', unknown to the run; has '{rest[0].name}' in kPa"
    with pytest.raises(ConfigError, match=message):
        fitted_modalities({"series": vitals}, cohort, experiment)
    with pytest.raises(ConfigError, match=r"series\.frosen: not a setting of a branch from a run"):
        config(folder, {**SEPSIS, "static": ["age"]}, {"name": "fusion", "branches": {
            "series": {"from": "x", "frosen": True}, "static": "mlp"}})  # fmt: skip


def test_frozen_alone_lacks_its_run(folder):
    with pytest.raises(ConfigError, match=r"model\.branches\.series\.from: is required"):
        config(folder, {**SEPSIS, "static": ["age"]}, {"name": "fusion", "branches": {
            "series": {"frozen": True}, "static": "mlp"}})  # fmt: skip


def test_a_changed_run_is_no_start(vitals, folder, tmp_path):
    import shutil

    shutil.copytree(vitals.path, tmp_path / "run")
    (tmp_path / "run" / "history.csv").write_text("")
    path = tmp_path / "x.yaml"
    path.write_text(fusion_of(folder, tmp_path / "run").to_yaml())
    result = CliRunner().invoke(app, ["validate", "--config", str(path)])
    assert isinstance(result.exception, ConfigError)
    assert "history.csv was changed after the run finished" in str(result.exception)

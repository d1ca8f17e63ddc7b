"""Joined data under a fusion of several inputs: cross-validated, and evaluated elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.metrics import roc_auc_score

from medkit.config.experiment import load_config
from medkit.core.errors import DataError
from medkit.runs.run import Run
from medkit.workflows.audit import audit_experiment
from medkit.workflows.crossval import cross_validate
from medkit.workflows.external import evaluate_run_on
from medkit.workflows.prepare import read
from medkit.workflows.synthesize import synthesize
from medkit.workflows.train import train

INPUTS = {"vitals", "static", "xray", "note"}
FUSION = {
    "name": "fusion",
    "branches": {
        "vitals": {"name": "gru", "units": [4]}, "static": {"name": "mlp", "hidden_units": [4]},
        "xray": {"name": "cnn", "filters": [2]}, "note": {"name": "cnn", "filters": [2]},
    },
    "joint_units": [4],
}  # fmt: skip
QUICK = ["training.epochs=1", "evaluation.baselines=false", "evaluation.bootstrap=20",
         "evaluation.explanations=false", f"model={json.dumps(FUSION)}"]  # fmt: skip


@pytest.fixture(scope="module")
def configs(tmp_path_factory) -> dict[str, Path]:
    """Files of two hospitals and their configs."""
    found = {}
    for name, seed in (("home", 4), ("away", 5)):
        folder = tmp_path_factory.mktemp(name)
        *_, found[name] = synthesize("synthetic_admissions", folder, ["samples=90", f"seed={seed}"])
    return found


@pytest.mark.slow
def test_joined_inputs_are_cross_validated(configs, tmp_path):
    folder = cross_validate(
        configs["home"], overrides=QUICK, folds=2, jobs=0, out=tmp_path / "crossval"
    )
    result = json.loads((folder / "crossval.json").read_text(encoding="utf-8"))
    assert len(result["folds"]) == 2
    tested = []
    for path in sorted((folder / "folds").rglob("MANIFEST.json")):
        run = Run.open(path.parent)
        assert set(run.encoder.modalities) == INPUTS
        tested.append(run.metrics["test"]["n"])
    assert sum(tested) == 90


def test_a_branch_may_start_from_a_run_on_one_of_the_joined_files(configs, tmp_path):
    alone = dict(yaml.safe_load(configs["home"].read_text(encoding="utf-8")))
    alone["dataset"]["inputs"] = {"vitals": alone["dataset"]["inputs"]["vitals"]}
    alone["folder"] = str(configs["home"].parent)
    (tmp_path / "vitals.yaml").write_text(yaml.safe_dump(alone), encoding="utf-8")
    network = f"model={json.dumps(FUSION['branches']['vitals'])}"
    run = train(tmp_path / "vitals.yaml", overrides=[*QUICK[:-1], network], out=tmp_path / "runs")
    branches = {**FUSION["branches"], "vitals": {"from": str(run.path), "frozen": True}}
    begun = [*QUICK[:-1], f"model={json.dumps({**FUSION, 'branches': branches})}"]
    same = audit_experiment(load_config(configs["home"], begun))
    assert "trained_before" in same.checked
    assert "trained_before" not in [each.name for each in same]
    other = audit_experiment(load_config(configs["home"], [*begun, "seed=99"]))
    assert {each.severity for each in other if each.name == "trained_before"} == {"fail"}
    away = audit_experiment(load_config(configs["away"], begun))
    assert "trained_before" not in [each.name for each in away]


def test_joined_inputs_are_evaluated_elsewhere(configs, tmp_path):
    run = train(configs["home"], overrides=QUICK, out=tmp_path / "runs")
    result = evaluate_run_on(run, configs["away"])
    assert (result["part"], result["n"], result["overlaps_development"]) == ("all", 90, False)
    away = read(load_config(configs["away"], QUICK).dataset)
    expected = run.predict(away.inputs)["probability"].to_numpy()
    assert np.isfinite(expected).all()
    assert result["metrics"]["auroc"]["value"] == pytest.approx(
        roc_auc_score(away.targets, expected)
    )
    assert {each["name"] for each in result["case_mix"]["differences"]} & {"age", "sex"}
    with pytest.raises(DataError, match="nothing is left to validate on"):
        evaluate_run_on(run, configs["home"])

"""The commands: results on stdout, talk on stderr, exit status, messages."""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohorts import only_input

from medkit.cli import main
from medkit.datasets.builtin import breast_cancer
from medkit.runs.run import seal

CONFIGS = Path(__file__).parents[1] / "configs"
SMOKE = CONFIGS / "smoke" / "breast_cancer_mlp.yaml"
# Where a run is needed, and not what it says of itself.
QUICK = ("--set", "training.epochs=1",
         "--set", "evaluation={bootstrap: 0, baselines: false, explanations: false}")  # fmt: skip


@pytest.fixture
def medkit_command(capsys):
    def call(*arguments: object) -> tuple[int, str, str]:
        status = main([str(each) for each in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def new_patients(tmp_path) -> Path:
    path = tmp_path / "new.csv"
    only_input(breast_cancer()).values.head(7).to_csv(path, index=False)
    return path


def test_train_prints_the_path_alone(medkit_command, tmp_path):
    status, out, err = medkit_command(
        "train", "--config", SMOKE, "--out", tmp_path, "--set", "training.epochs=1"
    )
    assert status == 0, err
    assert out.count("\n") == 1
    run = Path(out.strip())
    assert (run / "MANIFEST.json").exists()
    assert "AUROC" in err
    assert medkit_command("verify", run)[0] == 0
    status, out, _ = medkit_command("runs", tmp_path)
    assert status == 0
    assert run.name in out
    assert "breast_cancer" in out


FORMULAS = ["=1+1", "+SUM(A1)", "-cmd|x!A0", "@SUM(A1)", "\tx", "\r=1", "\n=1", "＝1", "+4 9"]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_in_a_csv_is_a_formula(text, tmp_path):
    from medkit.core.files import write_csv

    numbers = ["-1.5", "+2", "-1,5e-3", "007"]
    frame = pd.DataFrame({"sample": [text, *numbers], text: [-1.0, 2, 3, 4, 5]})
    write_csv(frame, tmp_path / "a.csv")
    found = pd.read_csv(tmp_path / "a.csv", dtype=str)
    guarded = "'" + text.replace("\r", "\n")
    assert list(found) == ["sample", guarded]
    # Numbers stay what they are, also where they are ids.
    assert found["sample"].tolist() == [guarded, *numbers]
    assert found.iloc[0, 1] == "-1.0"


def test_names_that_are_no_text_stay_columns_of_their_own():
    from medkit.core.files import write_csv

    text, table = io.StringIO(), pd.DataFrame([["=1", "a", "@x", 2.5]], columns=[0, 1, "b", "b"])
    write_csv(table, text)
    assert text.getvalue() == "0,1,b,b\n'=1,a,'@x,2.5\n"
    assert table.iloc[0, 0] == "=1"


def test_predict_to_stdout_and_files(medkit_command, breast_cancer_run, new_patients, tmp_path):
    status, out, _ = medkit_command("predict", breast_cancer_run.path, "--input", new_patients)
    assert status == 0
    table = pd.read_csv(io.StringIO(out))
    assert list(table) == ["sample", "probability", "predicted", "prediction_set"]
    assert len(table) == 7
    for suffix, read in ((".csv", pd.read_csv), (".parquet", pd.read_parquet)):
        target = tmp_path / f"p{suffix}"
        status, out, _ = medkit_command(
            "predict", breast_cancer_run.path, "--input", new_patients, "--output", target
        )
        assert (status, out.strip()) == (0, str(target))
        assert len(read(target)) == 7
    status, _, err = medkit_command(
        "predict", breast_cancer_run.path, "--input", new_patients, "--output", tmp_path / "p.txt"
    )
    assert status == 1
    assert "written as .csv or .parquet, not '.txt'" in err


def test_predict_with_missing_columns_and_files(
    medkit_command, breast_cancer_run, new_patients, tmp_path
):
    table = pd.read_csv(new_patients)
    table.drop(columns=table.columns[0]).to_csv(tmp_path / "lacking.csv", index=False)
    status, out, err = medkit_command(
        "predict", breast_cancer_run.path, "--input", tmp_path / "lacking.csv"
    )
    assert (status, out) == (1, "")
    assert table.columns[0] in err
    status, _, err = medkit_command(
        "predict", breast_cancer_run.path, "--input", tmp_path / "no.csv"
    )
    assert status == 1
    assert "no such file" in err
    (tmp_path / "empty.csv").touch()
    status, _, err = medkit_command(
        "predict", breast_cancer_run.path, "--input", tmp_path / "empty.csv"
    )
    assert status == 1
    assert "is empty (0 bytes)" in err


def test_evaluate_on_another_data_set(medkit_command, breast_cancer_run, tmp_path):
    cohort = breast_cancer()
    other = only_input(cohort).values.assign(diagnosis=cohort.targets).head(120)
    random = np.random.default_rng(0)
    for name in other.columns[:-1]:  # other patients: each value is somebody's
        other[name] = random.permutation(other[name])
    other.to_csv(tmp_path / "other.csv", index=False)
    status, out, err = medkit_command(
        "evaluate", breast_cancer_run.path, "--set",
        f"dataset={{name: table, path: {tmp_path / 'other.csv'}, target: diagnosis}}",
    )  # fmt: skip
    assert status == 0, err
    result = json.loads(out)
    assert result["n"] == 120
    assert result["threshold"] == breast_cancer_run.metrics["test"]["threshold"]
    assert not result["overlaps_development"]
    # Without another data set: the run's own test part, and so the run's own numbers.
    status, out, _ = medkit_command("evaluate", breast_cancer_run.path)
    result = json.loads(out)
    assert result["part"] == "test"
    assert not result["overlaps_development"]
    saved = breast_cancer_run.metrics["test"]["metrics"]["auroc"]["value"]
    assert result["metrics"]["auroc"]["value"] == pytest.approx(saved, abs=1e-6)


def test_evaluate_is_honest_about_its_rows(medkit_command, breast_cancer_run, tmp_path):
    path = breast_cancer_run.path
    status, out, err = medkit_command("evaluate", path, "--config", SMOKE)
    assert (status, out) == (1, "")
    assert "569 of 569 rows are the run's own" in err
    assert "nothing is left to validate on" in err
    for change in ("seed=8", "split.test=0.6", "task=multiclass"):
        status, out, err = medkit_command("evaluate", path, "--set", change)
        assert (status, out) == (2, "")
        assert "only dataset and evaluation may change here" in err
    other = Path(shutil.copytree(path, tmp_path / "run"))
    facts = json.loads((other / "environment.json").read_text())
    facts["data_sha256"] = {"breast_cancer": "0" * 64}
    (other / "environment.json").write_text(json.dumps(facts))
    (other / "MANIFEST.json").unlink()
    seal(other)
    status, out, err = medkit_command("evaluate", other)
    assert (status, out) == (1, "")
    assert "the data have changed since the run" in err


def test_runs_shows_damaged_ones_beside_the_others(medkit_command, breast_cancer_run, tmp_path):
    shutil.copytree(breast_cancer_run.path, tmp_path / "whole")
    broken = Path(shutil.copytree(breast_cancer_run.path, tmp_path / "broken"))
    (broken / "metrics.json").write_text("{")
    status, out, _ = medkit_command("runs", tmp_path)
    assert status == 0
    assert "damaged: metrics.json was changed" in out
    assert "AUROC" in out
    status, _, err = medkit_command("runs", tmp_path / "nowhere")
    assert status == 1
    assert "no such folder" in err


def test_validate(medkit_command, tmp_path):
    assert medkit_command("validate", "--config", SMOKE)[0] == 0
    bad = tmp_path / "bad.yaml"
    bad.write_text("dataset: breast_cancer\ntask: binary\nmodel: {name: mlp, hidden_unit: [3]}\n")
    status, out, err = medkit_command("validate", "--config", bad)
    assert (status, out) == (2, "")
    assert "1 problem\n  line 3   model.hidden_unit: not a parameter of 'mlp'" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "arguments",
    [["frobnicate"], ["train"], ["train", "--config"], ["validate"], ["predict", "x"]],
)
def test_wrong_use_is_status_2(medkit_command, arguments):
    status, out, err = medkit_command(*arguments)
    assert (status, out) == (2, "")
    assert err


@pytest.mark.parametrize("kind", ["models", "datasets", "tasks", "preprocessing"])
def test_listings(medkit_command, kind):
    from medkit.core import registry

    known = registry.modalities if kind == "preprocessing" else getattr(registry, kind)
    status, out, _ = medkit_command(kind)
    assert status == 0
    for name in known.names():
        assert name in out
        status, text, _ = medkit_command(kind, name)
        assert status == 0
        for parameter in known.schema(name).model_fields:
            assert parameter in text
    status, _, err = medkit_command(kind, "nonesuch")
    assert status == 2
    assert "called 'nonesuch'" in err


def test_a_described_model_shows_type_bounds_default_and_meaning(medkit_command):
    _, out, _ = medkit_command("models", "mlp")
    row = next(line for line in out.splitlines() if line.strip().startswith("dropout"))
    assert "number" in row
    assert "≥ 0" in row
    assert "0.1" in row


def test_parameters_are_listed_in_their_groups(medkit_command):
    _, out, _ = medkit_command("datasets", "events")
    lines = out.splitlines()
    group = next(k for k, line in enumerate(lines) if line.startswith(" window "))
    assert "group" in lines[group]
    assert "What is known at the prediction" in lines[group]
    inner = next(line for line in lines[group:] if line.startswith("   step_hours "))
    assert "number" in inner
    assert "> 0" in inner
    assert "1.0" in inner
    assert any("group; or its column alone" in line for line in lines)


def test_schema_accepts_every_config_and_refuses_misspelling(medkit_command):
    import jsonschema

    from medkit.core.yaml_file import read_yaml

    schema = json.loads(medkit_command("schema")[1])
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for path in CONFIGS.rglob("*.yaml"):
        document = read_yaml(path)[0]
        assert not list(validator.iter_errors(document)), path.name
        assert not validator.is_valid({**document, "modle": "mlp"})
    events = {"name": "events", "path": "a.csv", "labels": "b.csv", "target": "died"}
    for window, right in (({"hours": 24}, True), ({"hour": 24}, False), ({"hours": 0}, False)):
        document = {"dataset": {**events, "window": window}, "task": "binary", "model": "gru"}
        assert validator.is_valid(document) == right
    assert schema["$defs"]["InputWindow"]["properties"]["hours"]["description"]
    begun = {"from": "runs/x", "frozen": True}
    for branch, right in (
        (begun, True), ("gru", True), ({"name": "gru", "units": [4]}, True), ("gruu", False),
        ({"name": "gru", "unit": [4]}, False), ({**begun, "frozen": 1}, False),
        ({**begun, "name": "gru"}, False),
    ):  # fmt: skip
        model = {"name": "fusion", "branches": {"series": branch, "static": "mlp"}}
        document = {"dataset": "synthetic_icu", "task": "binary", "model": model}
        assert validator.is_valid(document) == right, branch
    parts = {"labels": {**events, "window": {"hours": 24}}, "inputs": {"vitals": events}}
    for changed, right in (({}, True), ({"labels": {**events, "window": {"hour": 1}}}, False)):
        document["dataset"] = {"name": "joined", "key": "stay", **parts, **changed}
        assert validator.is_valid({**document, "model": "gru"}) == right


def test_init_writes_a_config_that_validates_and_trains(medkit_command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cohort = breast_cancer()
    table = only_input(cohort).values.iloc[:, :5].assign(diagnosis=cohort.targets)
    table.insert(0, "patient", range(len(table)))
    table.to_csv("visits.csv", index=False)
    status, out, err = medkit_command(
        "init", "visits.csv", "--target", "diagnosis", "--subject", "patient"
    )
    assert status == 0, err
    assert out.strip() == "visits.yaml"
    assert medkit_command("validate", "--config", "visits.yaml")[0] == 0
    status, out, err = medkit_command(
        "train", "--config", "visits.yaml", *QUICK, "--set", "training.epochs=2"
    )
    assert status == 0, err
    assert medkit_command("init", "visits.csv", "--target", "diagnosis")[0] == 1
    status, _, err = medkit_command("init", "visits.csv", "--target", "diagnosys", "-o", "x.yaml")
    assert status == 1
    assert "diagnosis" in err


@pytest.mark.parametrize(
    "name", ["synthetic_vitals", "synthetic_icu", "synthetic_xray", "synthetic_dna", "diabetes"]
)
def test_synth_files_train_by_their_own_config(medkit_command, name, tmp_path):
    size = [] if name == "diabetes" else ["--set", "samples=150"]
    status, out, err = medkit_command("synth", name, "--out", tmp_path / name, *size)
    assert status == 0, err
    config = next(line for line in out.splitlines() if line.endswith(".yaml"))
    status, _, err = medkit_command("train", "--config", config, "--out", tmp_path, *QUICK)
    assert status == 0, err


@pytest.mark.parametrize("name", ["synthetic_icu", "synthetic_xray", "synthetic_dna"])
def test_a_run_on_a_synthetic_dataset_predicts_for_its_files(medkit_command, name, tmp_path):
    settings = ["--set", f"dataset={{name: {name}, samples: 120}}", *QUICK]
    model = {"synthetic_icu": "gru", "synthetic_xray": "cnn", "synthetic_dna": "cnn"}[name]
    config = CONFIGS / "smoke" / f"{name}_{model}.yaml"
    status, out, err = medkit_command("train", "--config", config, "--out", tmp_path, *settings)
    assert status == 0, err
    run = out.strip()
    files = tmp_path / "files"
    status, out, err = medkit_command("synth", name, "--out", files, "--set", "samples=60")
    assert status == 0, err
    status, out, err = medkit_command("predict", run, "--input", out.splitlines()[0])
    assert status == 0, err
    assert len(pd.read_csv(io.StringIO(out))) == 60


def test_synth_of_an_unknown_name(medkit_command, tmp_path):
    status, _, err = medkit_command("synth", "synthetic_vital", "--out", tmp_path)
    assert status == 2
    assert "did you mean 'synthetic_vitals'?" in err


@pytest.mark.slow
def test_ctrl_c_says_how_to_resume_and_resuming_finishes(medkit_command, tmp_path):
    settings = ["--set", "training.epochs=100000", "--set", "training.early_stopping=null"]
    process = subprocess.Popen(
        [sys.executable, "-m", "medkit", "train", "--config", SMOKE, "--out", tmp_path, *settings],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    before = []
    # The end of the first epoch is reported at once, so that the signal arrives in a later one.
    for line in process.stderr:
        before.append(line)
        if "epoch 1/100000" in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, "".join(before) + err
    assert out == ""
    assert "continue with: medkit train --resume" in err
    folder = Path(err.rsplit("--resume", 1)[1].split()[0])
    with np.load(folder / "checkpoint" / "state.npz") as checkpoint:
        epochs = json.loads(str(checkpoint["state"]))["epochs"]
    assert epochs >= 1
    more = ["--set", f"training.epochs={epochs + 2}", "--set", "evaluation.baselines=false"]
    status, out, err = medkit_command("train", "--resume", folder, *more)
    assert status == 2
    assert "only training.epochs may change" in err
    status, out, err = medkit_command("train", "--resume", folder, *more[:2])
    assert status == 0, err
    assert f"resuming after epoch {epochs}\n" in err
    assert Path(out.strip()) == folder
    assert len(pd.read_csv(folder / "history.csv")) == epochs + 2
    assert medkit_command("verify", folder)[0] == 0


def test_plug_in_code_runs_only_when_allowed(medkit_command, tmp_path, monkeypatch):
    (tmp_path / "my_lab.py").write_text(
        "import keras\n\n"
        "def build(input_shape, num_outputs, *, output_activation=None, width: int = 4):\n"
        '    """A small net."""\n'
        "    x = keras.Input(input_shape)\n"
        "    y = keras.layers.Dense(width)(x)\n"
        "    y = keras.layers.Dense(num_outputs, activation=output_activation)(y)\n"
        "    return keras.Model(x, y)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    change = ["--set", "model={name: 'my_lab:build', width: 6}"]
    status, _, err = medkit_command("validate", "--config", SMOKE, *change)
    assert status == 2
    assert "--allow-code my_lab" in err
    command = ["train", "--config", SMOKE, "--out", tmp_path, *change]
    status, _, err = medkit_command(*command, "--allow-code", "my_lab")
    assert status == 0, err


def test_ctrl_c_at_any_time_shows_no_traceback(monkeypatch):
    from medkit import __main__ as program

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("medkit.cli.main", interrupted)
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit) as stop:
            program.run()
        assert stop.value.code == 130
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN  # also while Python ends
    finally:
        signal.signal(signal.SIGINT, before)

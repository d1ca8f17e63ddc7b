"""`medkit init`: roles and task guessed from a table, as a config that trains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from cohorts import only_input

from medkit.config.experiment import load_config
from medkit.core import registry
from medkit.core.errors import DataError, RunError
from medkit.workflows.propose import propose_config, write_config


@pytest.fixture
def clinic(tmp_path):
    """A table with every kind of column that a clinic's export has."""
    random = np.random.default_rng(5)
    n = 120
    glucose = random.normal(100, 15, n).round(1).astype(str).astype(object)
    glucose[[3, 50]] = "?"
    frame = pd.DataFrame(
        {
            "record": np.arange(1, n + 1),
            "patient_id": [f"P{i // 2:03d}" for i in range(n)],
            "surname": [f"name {i}" for i in range(n)],
            "Hospital": random.choice(["north", "south"], n),
            "admitted": pd.date_range("2024-01-01", periods=n).strftime("%Y-%m-%d"),
            "sex": random.choice(["F", "M"], n),
            "age, years": random.integers(20, 90, n),
            "lactate": np.where(np.arange(n) < 5, -9, random.normal(2, 0.3, n).round(2)),
            "sbp": np.where(np.arange(n) < 7, 0, random.normal(120, 10, n).round()),
            "glucose": glucose,
            "grade": random.integers(1, 5, n),
            "on": random.choice(["yes", "no", "?"], n),
            "always": 1,
            "nothing": np.nan,
            "died": random.integers(0, 2, n),
            "score": random.normal(50, 5, n),
            "kind": random.choice(["a", "b", "c"], n),
        }
    )
    frame.to_csv(tmp_path / "clinic.csv", index=False)
    return tmp_path / "clinic.csv"


def test_roles(clinic):
    text = propose_config(clinic, "died")
    config = yaml.safe_load(text)
    dataset = config["dataset"]
    columns = dataset["columns"]
    assert config["task"] == "binary"
    assert config["name"] == "clinic-mlp"
    assert columns["ignore"] == ["surname", "Hospital", "admitted", "always", "nothing"]
    assert columns["subject"] == "patient_id"
    assert columns["id"] == "record"
    assert columns["categorical"] == ["sex", "on", "kind"]
    assert dataset["values"]["missing_values"] == {"glucose": ["?"], "on": ["?"]}
    assert columns["attributes"] == ["sex"]
    assert "# The patient, by the column's name:" in text
    assert "# site: Hospital" in text
    assert "# time: admitted" in text
    assert "{lactate: [-9]}   5 rows, apart from all others" in text
    assert "{sbp: [0]}   7 rows are 0, all others" in text
    assert "#   [grade]" in text


@pytest.mark.parametrize(
    ("target", "task"), [("score", "regression"), ("kind", "multiclass"), ("grade", "multiclass")]
)
def test_tasks(clinic, target, task):
    assert yaml.safe_load(propose_config(clinic, target))["task"] == task


def test_ids_births_days_and_decimal_commas(tmp_path):
    rows = [f'P{i:02d},{i % 28 + 1:02d}.01.1950,{i % 9 + 1:02d}.0{i % 3 + 1}.2024,"{i},5",{i % 2}'
            for i in range(30)]  # fmt: skip
    file = tmp_path / "data.csv"
    file.write_text("patient_id,date_of_birth,visit,crp,died\n" + "\n".join(rows) + "\n")
    text = propose_config(file, "died")
    dataset = yaml.safe_load(text)["dataset"]
    assert dataset["columns"]["id"] == "patient_id"
    assert dataset["source"]["decimal"] == ","
    assert dataset["columns"]["ignore"] == ["date_of_birth", "visit"]
    assert "# time: visit" in text
    assert "# time: date_of_birth" not in text
    assert "# time_format: \"%d.%m.%Y\"   as it is: the dates in column 'visit' may be" in text
    assert "Units appear in the report and the model card: units: {crp: ...}" in text


def test_weight_at_birth_is_an_input(tmp_path):
    rows = "\n".join(f"{2500 + 7 * i},{i % 2}" for i in range(40))
    (tmp_path / "data.csv").write_text(f"birth_weight,died\n{rows}\n")
    proposed = yaml.safe_load(propose_config(tmp_path / "data.csv", "died"))
    assert not proposed["dataset"]["columns"]


def test_target_with_stand_ins_for_missing(clinic):
    config = yaml.safe_load(propose_config(clinic, "glucose"))
    assert config["task"] == "regression"
    assert config["dataset"]["values"]["missing_values"]["glucose"] == ["?"]


@pytest.mark.parametrize("subject", [None, "patient_id"])
def test_config_validates_and_its_data_is_read(clinic, tmp_path, subject):
    written = write_config(clinic, "died", subject, tmp_path / "configs" / "clinic.yaml")
    experiment = load_config(written)
    assert "path: ../clinic.csv" in written.read_text().replace('"', "")
    cohort = registry.datasets.build("table", **experiment.dataset.parameters)
    assert len(cohort) == 120
    assert cohort.subjects.tolist() == [f"P{i // 2:03d}" for i in range(120)]
    settings = experiment.preprocessing["tabular"].parameters
    modality = registry.modalities.build("tabular", **settings)
    assert modality.fit(only_input(cohort)).encode(only_input(cohort)).shape[0] == 120


def test_config_trains(clinic, tmp_path):
    import medkit

    written = write_config(clinic, "died", "patient_id", tmp_path / "clinic.yaml")
    quick = ("training.epochs=2", "evaluation.bootstrap=0", "evaluation.baselines=false")
    run = medkit.train(written, overrides=quick, out=tmp_path / "runs")
    assert (Path(run.path) / "MANIFEST.json").is_file()


def test_an_existing_config_is_kept(clinic, tmp_path):
    output = tmp_path / "mine.yaml"
    output.write_text("precious")
    with pytest.raises(RunError, match="exists already"):
        write_config(clinic, "died", None, output)
    assert output.read_text() == "precious"
    write_config(clinic, "died", None, output, force=True)
    assert output.read_text() != "precious"


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("age,died\n1,0\n2,1\n", {"target": "dead"},
         "no target column called 'dead'; did you mean 'died'?"),
        ("age,died\n1,0\n2,1\n", {"subject": "patient"}, "no subject column called 'patient'"),
        ("age,died\n1,1\n2,1\n", {}, "the target column 'died' holds one value only"),
        ("age,died\n1,\n2,\n", {}, "the target column 'died' is empty"),
        ("always,died\n1,0\n1,1\n", {}, "no column is left as an input"),
        ("age,died\n" + "".join(f"{i},x{i}\n" for i in range(40)), {},
         "has 40 different texts in 40 rows; is it an identifier?"),
        ("age,died\n1,0.5\n2,inf\n3,1.5\n", {},
         "target column 'died' has 1 infinite values (first at row 2)"),
        ("", {}, "the file is empty"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(tmp_path, text, settings, message):
    (tmp_path / "data.csv").write_text(text)
    with pytest.raises(DataError) as error:
        propose_config(tmp_path / "data.csv", **{"target": "died", **settings})
    assert message in str(error.value)


def test_heart_disease(real_data):
    text = propose_config(real_data / "heart_disease" / "heart_disease_4sites.csv", "num")
    assert "{chol: [0]}   172 rows are 0, all others 85 or more" in text
    assert yaml.safe_load(text)["task"] == "multiclass"

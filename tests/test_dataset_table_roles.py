"""Roles that columns have by their names: no identifier becomes an input, all of it is said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from cohorts import only_input

from medkit.core.errors import DataError
from medkit.datasets.table.roles import folded, infer_roles
from medkit.datasets.table.table import table

N = 60
HALVES = np.arange(N) // 2
DATES = pd.date_range("2024-01-01", periods=N).strftime("%Y-%m-%d")


@pytest.fixture
def read(tmp_path):
    def reader(found, **settings):
        random = np.random.default_rng(0)
        more = {"age": random.integers(20, 90, N), "died": random.integers(0, 2, N)}
        pd.DataFrame({**found, **more}).to_csv(tmp_path / "a.csv", index=False)
        return table(path=tmp_path / "a.csv", target="died", **settings)

    return reader


@pytest.mark.parametrize("name", ["patient_id", "PatientID", "subject id", "MRN", "person_no",
                                  "study_participant_id", "RecordID", "patient"])  # fmt: skip
def test_the_patient_by_the_name(read, name):
    cohort = read({name: [f"{i:03d}" for i in HALVES]})
    assert cohort.subjects.tolist() == [f"{i:03d}" for i in HALVES]
    assert cohort.source.columns[name] == "subject; by its name"
    assert f"roles by the columns' names: {name} (subject)" in cohort.source.notes
    assert only_input(cohort).values.columns.tolist() == ["age"]


@pytest.mark.parametrize("name", ["patient_id", "RecordID", "encounter_id", "Unnamed: 0", "index"])
def test_an_identifier_of_rows_is_no_input(read, name):
    cohort = read({name: np.arange(N) + 1000})
    assert only_input(cohort).values.columns.tolist() == ["age"]
    role = "id; by its name" if name not in ("Unnamed: 0",) else "ignore; an identifier"
    assert cohort.source.columns[name] == role
    if role.startswith("id"):
        assert cohort.samples.index[0] == "1000"


def test_the_coarser_of_two_patients_columns_keeps_rows_together(read):
    cohort = read({"subject_id": HALVES, "mrn": HALVES // 2, "stay_id": HALVES * 7})
    assert cohort.source.columns["mrn"] == "subject; by its name"
    assert cohort.source.columns["subject_id"] == "ignore; an identifier"
    assert cohort.source.columns["stay_id"] == "ignore; an identifier"


def test_what_the_user_says_goes_before_the_name(read):
    found = {"patient_id": HALVES, "hospital": ["a", "b"] * (N // 2)}
    by_name = {"ignore": ("patient_id",), "categorical": ("hospital",)}
    cohort = read(found, columns=by_name)
    assert "subject" not in cohort.samples
    assert "site" not in cohort.samples
    assert cohort.source.columns["patient_id"] == "ignore"
    assert cohort.source.columns["hospital"] == "input (categorical)"
    assert not cohort.source.notes
    cohort = read(found, columns={"inputs": ("patient_id", "age")})
    assert cohort.source.columns["patient_id"] == "input (numeric)"
    assert cohort.samples["site"].tolist() == found["hospital"]
    named = read({**found, "sbp": range(N)}, columns={"subject": "age"})
    assert named.source.columns["patient_id"] == "ignore; an identifier"


def test_site_time_birth_and_group(read):
    cohort = read({"hospital_id": [1, 2] * (N // 2), "admission_date": DATES,
                   "date_of_birth": DATES, "sex": ["F", "M"] * (N // 2)})  # fmt: skip
    assert {*cohort.samples} == {"site", "time", "sex"}
    assert cohort.samples["time"].iloc[1] == pd.Timestamp("2024-01-02")
    assert only_input(cohort).values.columns.tolist() == ["sex", "age"]
    assert cohort.source.columns["sex"] == "input (categorical), attribute; by its name"
    assert "no inputs, by name: date_of_birth (a date of birth; an age would be an input)" in (
        cohort.source.notes
    )


def test_names_that_may_mean_something_else_stay_inputs(read, caplog):
    columns = {"tumor_site": ["lung", "skin"] * (N // 2), "case": [0, 1] * (N // 2),
               "time": np.arange(N) % 9, "year": 2000 + np.arange(N) % 7,
               "ward_id": np.arange(N) % 4, "smoker_no": np.arange(N) % 2}  # fmt: skip
    cohort = read(columns)
    assert only_input(cohort).values.columns.tolist() == [*columns, "age"]
    assert cohort.samples.empty or not {*cohort.samples}
    assert "column 'ward_id' is called an id, but has few values" in caplog.text
    assert only_input(cohort).values["case"].tolist() == [0, 1] * (N // 2)


def test_dates_of_which_each_may_be_meant_are_asked_for(read):
    with pytest.raises(DataError, match=r"'admission_date' holds dates[\s\S]*columns.time"):
        read({"admission_date": DATES, "visit_date": DATES})
    ambiguous = [f"0{i % 9 + 1}.0{i % 7 + 1}.2024" for i in range(N)]
    with pytest.raises(DataError, match="'visit_date' holds dates"):
        read({"visit_date": ambiguous})


def test_a_new_file_settles_nothing_by_names(tmp_path):
    (tmp_path / "new.csv").write_text("patient_id,age\n1,50\n")
    cohort = table(path=tmp_path / "new.csv", columns={"numeric": ("patient_id", "age")})
    assert only_input(cohort).values.columns.tolist() == ["patient_id", "age"]
    assert not {*cohort.samples}


def test_the_roles_stand_in_the_run(tmp_path):
    import medkit
    from medkit.runs.state import read_json

    random = np.random.default_rng(0)
    pd.DataFrame(
        {"patient_id": np.arange(120) // 2, "age": random.normal(60, 9, 120).round(1),
         "sex": ["F", "M"] * 60, "died": random.integers(0, 2, 120)}
    ).to_csv(tmp_path / "a.csv", index=False)  # fmt: skip
    config = tmp_path / "a.yaml"
    config.write_text(
        "name: roles\ndataset: {name: table, path: a.csv, target: died}\ntask: binary\n"
        "model: {name: mlp, hidden_units: [2]}\ntraining: {epochs: 1}\n"
        "evaluation: {bootstrap: 0, baselines: false, explanations: false, subgroups: [sex]}\n"
    )
    run = medkit.train(config, out=tmp_path / "runs")
    assert read_json(run.path / "inputs.json")["columns"] == {
        "patient_id": "subject; by its name", "age": "input (numeric)",
        "sex": "input (categorical), attribute; by its name", "died": "target",
    }  # fmt: skip
    assert run.metrics["test"]["subjects"] < run.metrics["test"]["n"]
    assert "patient_id: subject; by its name" in (run.path / "log.txt").read_text()


def test_folded():
    assert folded("RecordID") == folded("record id") == "record_id"
    assert folded("Unnamed: 0") == "unnamed_0"


def test_nothing_is_found_where_nothing_is_told(tmp_path):
    from medkit.datasets.table.columns import Roles

    found = infer_roles(pd.DataFrame(index=range(3)), Roles(), tmp_path)
    assert found.roles == Roles()
    assert found.notes == ()

"""Data sets joined by a key: what each sample gets, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from medkit.config.experiment import check_config
from medkit.core import registry
from medkit.core.errors import ConfigError, DataError
from medkit.data.cohort import Cohort

LABELS = "stay,patient,time,died\n001,p1,2024-01-10,0\n002,p1,2024-02-10,1\n003,p2,2024-01-05,0\n"
ADMISSIONS = "stay,patient,age\n003,p2,41\n001,p1,60\n002,p1,61\n"
NOTES = "stay,text\n002,worse today\n001,eating well\n"


@pytest.fixture
def folder(tmp_path):
    for name, text in (("labels", LABELS), ("admissions", ADMISSIONS), ("notes", NOTES)):
        (tmp_path / f"{name}.csv").write_text(text)
    return tmp_path


def document(folder, **changes):
    dataset = {
        "name": "joined",
        "key": "stay",
        "labels": {
            "name": "table", "path": "labels.csv", "target": "died",
            "columns": {"id": "stay", "subject": "patient", "time": "time"},
        },
        "inputs": {
            "static": {"name": "table", "path": "admissions.csv", "columns": {
                "id": "stay", "subject": "patient"}},
            "note": {"name": "sequences", "path": "notes.csv",
                     "columns": {"id": "stay", "sequence": "text"}},
        },
    } | changes  # fmt: skip
    model = {"name": "fusion", "branches": {"static": "mlp", "note": {"name": "cnn"}}}
    return {"dataset": dataset, "task": "binary", "model": model}


def joined(folder, **changes) -> Cohort:
    experiment = check_config(document(folder, **changes), folder=folder)
    return registry.datasets.build("joined", **experiment.dataset.parameters)


def inputs_of(folder, **columns):
    given = document(folder)["dataset"]["inputs"]
    for name, changed in columns.items():
        given[name]["columns"] = changed
    return given


def test_each_sample_gets_the_row_of_its_key(folder):
    cohort = joined(folder)
    assert list(cohort.samples.index) == ["001", "002", "003"]
    assert cohort.targets.tolist() == [0, 1, 0]
    assert cohort.subjects.tolist() == ["p1", "p1", "p2"]
    assert cohort.inputs["static"].values["age"].tolist() == [60, 61, 41]
    assert cohort.inputs["static"].present is None
    assert cohort.inputs["note"].values.tolist() == ["eating well", "worse today", ""]
    assert cohort.inputs["note"].present.tolist() == [True, True, False]
    assert "note: 1 of 3 samples lack it" in cohort.source.notes
    assert set(cohort.source.files) == {"labels.csv", "static/admissions.csv", "note/notes.csv"}


def test_what_a_sample_lacks_of_an_array_on_disk_is_blank(folder, monkeypatch):
    from medkit.data import stored_arrays
    from medkit.data.cohort import RawInput
    from medkit.datasets.matching import taken_rows

    monkeypatch.setattr(stored_arrays, "IN_MEMORY", 0)
    for dtype, blank in (("float32", np.nan), ("uint8", 0)):
        np.save(folder / "x.npy", np.arange(1, 13).reshape(3, 2, 2).astype(dtype))
        stored = np.load(folder / "x.npy", mmap_mode="r")
        taken = taken_rows(RawInput("series", stored), np.array([2, -1, 0, 1]))
        assert isinstance(taken.values, stored_arrays.StoredRows)
        for values in (np.asarray(taken.values), np.stack([taken.values[i] for i in range(4)])):
            np.testing.assert_array_equal(values[1], np.full((2, 2), blank, dtype))
            np.testing.assert_array_equal(values[[0, 2, 3]], stored[[2, 0, 1]])
        later = taken.take(np.array([1, 2]))
        np.testing.assert_array_equal(later.values[:, 0, 1], np.array([blank, 2], dtype))


def test_a_subject_may_have_several_samples(folder):
    (folder / "people.csv").write_text("patient,height\np1,170\np2,180\n")
    people = {"name": "table", "path": "people.csv", "columns": {"subject": "patient"}}
    given = document(folder, key="patient", inputs={"static": people})
    given["model"] = "mlp"
    experiment = check_config(given, folder=folder)
    cohort = registry.datasets.build("joined", **experiment.dataset.parameters)
    assert cohort.inputs["static"].values["height"].tolist() == [170, 170, 180]


def test_a_join_that_multiplies_rows_is_refused_unless_asked(folder):
    (folder / "notes.csv").write_text(NOTES + "001,confused\n")
    given = inputs_of(folder, note={"attributes": ["stay"], "sequence": "text"})
    (folder / "notes.csv").write_text("stay,text\ns2,worse\ns1,eating\ns1,confused\n")
    (folder / "labels.csv").write_text(LABELS.replace("00", "s"))
    (folder / "admissions.csv").write_text(ADMISSIONS.replace("00", "s"))
    with pytest.raises(DataError, match=r"1 keys have several rows \(first at row 3\)") as caught:
        joined(folder, inputs=given)
    assert caught.value.place == "dataset.inputs.note"
    assert "repeated: first or last, or within_hours" in caught.value.hint
    first, last = (
        joined(folder, inputs=given, repeated=which).inputs["note"].values[0]
        for which in ("first", "last")
    )
    assert (first, last) == ("eating", "confused")


def test_of_several_rows_none_is_taken_that_is_later_than_the_sample(folder, caplog):
    (folder / "notes.csv").write_text(
        "stay,written,text\ns1,2024-01-09,day before\ns1,2024-01-01,long before\n"
        "s1,2024-01-11,day after\ns2,2024-03-01,too late\n"
    )
    (folder / "labels.csv").write_text(LABELS.replace("00", "s"))
    (folder / "admissions.csv").write_text(ADMISSIONS.replace("00", "s"))
    columns = {"attributes": ["stay"], "time": "written", "sequence": "text"}
    given = inputs_of(folder, note=columns)
    last, first = (
        joined(folder, inputs=given, repeated=which).inputs["note"].values.tolist()
        for which in ("last", "first")
    )
    assert last == ["day before", "", ""]
    assert first == ["long before", "", ""]
    assert "inputs.note: 2 samples have later rows" in caplog.text


def test_the_latest_earlier_row_within_a_tolerance(folder):
    (folder / "notes.csv").write_text(
        "stay,written,text\ns1,2024-01-09,day before\ns1,2024-01-01,long before\n"
        "s1,2024-01-11,day after\ns2,2024-01-01,too early\n"
    )
    (folder / "labels.csv").write_text(LABELS.replace("00", "s"))
    (folder / "admissions.csv").write_text(ADMISSIONS.replace("00", "s"))
    columns = {"attributes": ["stay"], "time": "written", "sequence": "text"}
    cohort = joined(folder, inputs=inputs_of(folder, note=columns), within_hours=48)
    assert cohort.inputs["note"].values.tolist() == ["day before", "", ""]
    without = {"attributes": ["stay"], "sequence": "text"}
    with pytest.raises(DataError, match="within_hours needs a time"):
        joined(folder, inputs=inputs_of(folder, note=without), within_hours=48)


def test_a_table_of_several_columns_may_lack_rows(folder):
    (folder / "admissions.csv").write_text(
        "stay,patient,age,sex,ward\n001,p1,60,m,3\n003,p2,41,f,4\n"
    )
    static = joined(folder, key="stay").inputs["static"]
    assert static.present.tolist() == [True, False, True]
    assert static.values["age"].isna().tolist() == [False, True, False]
    assert static.values["sex"].isna().tolist() == [False, True, False]


def test_patients_that_only_an_input_names_are_kept_apart(folder):
    given = document(folder)["dataset"]["labels"]
    given["path"], given["columns"] = "bare.csv", {"id": "stay"}
    (folder / "bare.csv").write_text("stay,died\n001,0\n002,1\n003,0\n")
    assert joined(folder, labels=given).subjects.tolist() == ["p1", "p1", "p2"]
    (folder / "admissions.csv").write_text("stay,patient,age\n003,p2,41\n001,p1,60\n")
    with pytest.raises(DataError, match=r"inputs\.static, which does, lacks 1 of") as caught:
        joined(folder, labels=given)
    assert "columns.subject" in caught.value.hint


def test_an_input_without_any_of_the_keys_is_said(folder):
    (folder / "notes.csv").write_text("stay,text\n1,worse today\n2,eating well\n")
    with pytest.raises(DataError, match="no sample of the labels is found in it by") as caught:
        joined(folder)
    assert caught.value.place == "dataset.inputs.note"
    assert "text of 3 characters, it has text of 1 characters" in caught.value.hint


def test_times_as_numbers_of_any_type_and_absent_ones(folder):
    (folder / "labels.csv").write_text("stay,patient,time,died\ns1,p1,10,0\ns2,p1,20,1\n")
    (folder / "admissions.csv").write_text("stay,patient,age\ns1,p1,60\ns2,p1,61\n")
    (folder / "notes.csv").write_text("stay,written,text\ns1,9.5,near\ns1,2.5,far\ns2,21.5,late\n")
    columns = {"attributes": ["stay"], "time": "written", "sequence": "text"}
    cohort = joined(folder, inputs=inputs_of(folder, note=columns), within_hours=4)
    assert cohort.inputs["note"].values.tolist() == ["near", ""]
    (folder / "labels.csv").write_text("stay,patient,time,died\ns1,p1,10,0\ns2,p1,,1\n")
    with pytest.raises(DataError, match=r"1 rows have no time \(first at row 2\)") as caught:
        joined(folder, inputs=inputs_of(folder, note=columns), within_hours=4)
    assert caught.value.place == "dataset.labels"


def test_keys_of_another_type_are_said(folder):
    given = inputs_of(folder, note={"attributes": ["stay"], "sequence": "text"})
    with pytest.raises(DataError, match="its keys are numbers, those of the labels text of 3"):
        joined(folder, inputs=given)


def test_an_absent_key_is_said(folder):
    with pytest.raises(DataError, match="the data set has no key 'ward'") as caught:
        joined(folder, key="ward")
    assert caught.value.place == "dataset.inputs.static"
    assert "It has: sample, subject" in caught.value.hint


def test_disagreement_about_a_subject_is_said(folder):
    (folder / "admissions.csv").write_text(ADMISSIONS.replace("003,p2", "003,p1"))
    with pytest.raises(DataError, match=r"1 samples belong to another subject .*first at row 1"):
        joined(folder)


def test_samples_without_any_input_are_left_out_and_counted(folder):
    given = {"note": document(folder)["dataset"]["inputs"]["note"]}
    experiment = check_config(document(folder, inputs=given) | {"model": "cnn"}, folder=folder)
    cohort = registry.datasets.build("joined", **experiment.dataset.parameters)
    assert list(cohort.samples.index) == ["001", "002"]
    assert cohort.source.dropped["no input"] == 1
    (folder / "notes.csv").write_text("stay,text\nxxx,worse\n")
    with pytest.raises(DataError, match="no sample of the labels is found in any input"):
        registry.datasets.build("joined", **experiment.dataset.parameters)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset.inputs": {"note": {"name": "sequence", "path": "notes.csv"}}},
         r"dataset\.inputs\.note\.name: no dataset called 'sequence'; did you mean 'sequences'"),
        ({"dataset.labels": {"name": "table", "path": "labels.csv", "targets": "died"}},
         r"dataset\.labels\.targets: not a parameter of 'table'; did you mean 'target'"),
        ({"dataset.labels": {"name": "table", "path": "labels.csv"}},
         r"1 problem\n.*dataset: labels: name what is predicted, such as labels: \{name: table, …, "
         r"target: died\}"),
        ({"dataset.inputs": {}},
         r"1 problem\n.*dataset: inputs: name one data set or more, such as static: "),
        ({"model.branches": {"static": {"name": "mlp", "from": "runs/x"}, "note": "cnn"}},
         r"1 problem\n.*model\.branches\.static\.name: cannot be combined with from: a branch is "
         r"a model by its name and parameters, or starts from a run; give one"),
        ({"model.branches": {"static": {"from": "runs/x", "frosen": 1}, "note": "cnn"}},
         r"static\.frosen: not a setting of a branch from a run; did you mean 'frozen'"),
        ({"model.branches": {"static": {"from": "runs/x", "depth": 1}, "note": "cnn"}},
         r"static\.depth: not a setting of a branch from a run; known: from, frozen"),
        ({"dataset.labels": {"name": "diabetes"}},
         r"'binary' cannot learn the targets of 'joined'; these can: regression"),
        ({"model.branches": {"static": "mlp", "notes": "cnn"}},
         r"model\.branches\.notes: 'joined' yields no input 'notes'; did you mean 'note'"),
        ({"model.branches": {"static": "mlp"}},
         r"model\.branches: lacks the input 'note' of 'joined'; models that take tokens data"),
        ({"model.branches": {"static": "gru", "note": "cnn"}},
         r"model\.branches\.static: 'gru' cannot take tabular data"),
        ({"model.branches": {"static": {"name": "mlp", "hidden_unit": [4]}, "note": "cnn"}},
         r"model\.branches\.static\.hidden_unit: not a parameter of 'mlp'; did you mean"),
    ],
)  # fmt: skip
def test_mistakes_are_named_before_anything_is_read(folder, changes, message):
    given = document(folder)
    for path, value in changes.items():
        section, name = path.split(".")
        given[section][name] = value
    with pytest.raises(ConfigError, match=message):
        check_config(given, folder=folder)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "inputs: name one data set or more"),
        (("chest/x-ray",), "'chest/x-ray' must be a word of letters, digits and underscores"),
        (("note", "note_present"), "'note_present' is what, of 'note', says which samples have it"),
    ],
)
def test_names_that_no_input_can_have_are_refused(folder, names, message):
    note = document(folder)["dataset"]["inputs"]["note"]
    with pytest.raises(ConfigError, match=message):
        check_config(document(folder, inputs=dict.fromkeys(names, note)), folder=folder)


def test_a_model_of_one_input_is_ambiguous_with_two_that_are_no_tables(folder):
    given = document(folder)
    given["dataset"]["inputs"]["history"] = given["dataset"]["inputs"]["note"]
    given["model"] = "cnn"
    with pytest.raises(ConfigError, match=r"'cnn' takes one input; 'joined' yields .*: write "):
        check_config(given, folder=folder)


def test_paths_are_taken_from_the_config_and_variables_expanded(folder, monkeypatch):
    monkeypatch.setenv("NOTES", "notes")
    given = document(folder)
    given["dataset"]["inputs"]["note"]["path"] = "${NOTES}.csv"
    experiment = check_config(given, folder=folder)
    assert experiment.dataset.parameters["inputs"]["note"]["path"] == folder / "notes.csv"
    assert experiment.plain["dataset"]["inputs"]["note"]["path"] == "${NOTES}.csv"


def test_new_files_are_read_as_their_own_input_was(folder):
    from medkit.modalities.encoder import Encoder
    from medkit.workflows.prepare import _parts_unlabelled

    tables = {
        name: {"name": "table", "path": "admissions.csv", "columns": {"id": "stay"}}
        for name in ("lab", "lab_late")
    }
    given = document(folder, inputs=tables)
    given["model"] = {"name": "fusion", "branches": {"lab": "mlp", "lab_late": "mlp"}}
    dataset = check_config(given, folder=folder).dataset
    new = folder / "new"
    new.mkdir()
    frames = {
        "lab": pd.DataFrame({"sex": ["m", "f"]}),
        "lab_late": pd.DataFrame({"ward": ["a", "b"]}),
    }
    for name in frames:
        (new / f"{name}.csv").touch()
    encoder = Encoder({name: registry.modalities.build("tabular") for name in frames})
    encoder.fit(frames)
    _, found = _parts_unlabelled(dataset, new, encoder)
    assert found["inputs"]["lab"]["columns"].categorical == ("sex",)
    assert found["inputs"]["lab_late"]["columns"].categorical == ("ward",)


def test_a_row_of_numbers_is_a_frame_of_the_labels(folder):
    cohort = joined(folder)
    assert isinstance(cohort.samples, pd.DataFrame)
    assert np.issubdtype(cohort.samples["time"].dtype, np.datetime64)


def test_a_run_predicts_for_a_folder_with_a_file_for_each_input(folder):
    from medkit.runs.run import Run
    from medkit.workflows.external import predict_file
    from medkit.workflows.train import train

    random = np.random.default_rng(0)
    stays, died = [f"{i:03d}" for i in range(80)], random.integers(0, 2, 80)
    frame = pd.DataFrame({"stay": stays, "patient": [f"p{i}" for i in range(80)]})
    frame.assign(time="2024-01-01", died=died).to_csv(folder / "labels.csv", index=False)
    frame.assign(age=60 + 5 * died + random.normal(0, 5, 80)).to_csv(
        folder / "admissions.csv", index=False
    )
    texts = np.where(died ^ (random.random(80) < 0.3), "worse today", "eating well")
    notes = frame.assign(text=texts)[["stay", "text"]].iloc[:60]
    notes.to_csv(folder / "notes.csv", index=False)
    given = document(folder) | {"training": {"epochs": 1}, "evaluation": {"bootstrap": 0,
                                "baselines": False}}  # fmt: skip
    run = train(check_config(given, folder=folder), out=folder / "runs")
    new = folder / "new"
    new.mkdir()
    (new / "static.csv").write_text("stay,patient,age\n900,p900,70\n901,p901,50\n")
    (new / "note.csv").write_text("stay,text\n901,eating well\n")
    found = predict_file(Run.open(run.path), new)
    assert found["sample"].tolist() == ["900", "901"]
    one = run.predict({"static": pd.DataFrame({"age": [70.0]})})["probability"]
    assert found["probability"][0] == pytest.approx(one[0], abs=1e-6)
    (new / "note.csv").unlink()
    assert len(predict_file(run, new)) == 2
    (new / "static.csv").unlink()
    with pytest.raises(DataError, match="0 files are called 'static'; one is needed"):
        predict_file(run, new)
    with pytest.raises(DataError, match="'joined' data predicts for a folder"):
        predict_file(run, folder / "labels.csv")

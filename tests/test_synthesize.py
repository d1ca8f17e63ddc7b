"""A cohort written as files is the cohort its reader gives back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohorts import only_input

from medkit.config.experiment import load_config
from medkit.core import registry
from medkit.core.checking import check
from medkit.core.errors import ConfigError, DataError, RunError, UnknownNameError
from medkit.data.cohort import Cohort, Feature, RawInput
from medkit.workflows.cohort_files import task_for, write_files
from medkit.workflows.synthesize import synthesize

CASES = [
    ("breast_cancer", {}),
    ("diabetes", {}),
    ("synthetic_vitals", {"samples": 150}),
    ("synthetic_vitals", {"samples": 150, "target": "systolic_pressure"}),
    ("synthetic_icu", {"samples": 60}),
    ("synthetic_icu", {"samples": 30, "hours": 10}),
    ("synthetic_xray", {"samples": 40}),
    ("synthetic_xray", {"samples": 40, "target": "location", "size": 20}),
    ("synthetic_xray", {"samples": 40, "target": "findings"}),
    ("synthetic_dna", {"samples": 60}),
    ("synthetic_dna", {"samples": 60, "target": "element"}),
]


def read_back(section: dict, folder: Path) -> Cohort:
    parameters = dict(section)
    name = parameters.pop("name")
    for key in ("path", "labels"):
        if key in parameters:
            parameters[key] = folder / parameters[key]
    schema = registry.datasets.schema(name)
    checked, problems = check(schema, parameters, "a parameter")
    assert not problems
    return registry.datasets.build(name, **{k: getattr(checked, k) for k in parameters})


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_read_back_the_same(name, parameters, tmp_path):
    entry = registry.datasets.get(name)
    cohort = entry.factory(**parameters)
    paths, section = write_files(cohort, name, tmp_path)
    assert all(path.is_file() for path in paths)
    assert section["name"] == entry.tags["reader"]
    again = read_back(section, tmp_path)

    assert len(again) == len(cohort)
    ids = (
        [Path(i).stem for i in again.samples.index]
        if section["name"] == "images"
        else again.samples.index
    )
    assert list(ids) == list(cohort.samples.index)
    assert np.array_equal(again.targets, cohort.targets)
    assert again.target_names == cohort.target_names
    assert set(again.samples) == set(cohort.samples)
    for column in cohort.samples:
        if column == "time":
            assert (again.samples["time"].to_numpy() == cohort.samples["time"].to_numpy()).all()
        else:
            same = again.samples[column].astype(str).to_numpy() == cohort.samples[column].astype(
                str
            )
            assert same.all(), column

    before, after = only_input(cohort), only_input(again)
    assert after.modality == before.modality
    assert after.features == before.features
    if before.modality == "tabular":
        assert list(after.values) == list(before.values)
        for column in before.values:
            if not pd.api.types.is_numeric_dtype(before.values[column]):
                assert list(after.values[column]) == list(before.values[column])
            else:
                np.testing.assert_allclose(after.values[column], before.values[column], rtol=1e-12)
    elif before.modality == "series":
        assert np.array_equal(np.isnan(after.values), np.isnan(before.values))
        np.testing.assert_allclose(after.values, before.values, rtol=1e-6)
    else:
        assert np.array_equal(after.values, before.values)


@pytest.mark.parametrize("name", sorted({name for name, _ in CASES}))
def test_config_is_written_last_and_validates(name, tmp_path):
    sets = ["samples=40"] if name.startswith("synthetic") else []
    paths = synthesize(name, tmp_path / "new", sets)
    assert paths[-1] == tmp_path / "new" / f"{name}.yaml"
    assert paths[-1].read_text().startswith(f"# {name}")
    experiment = load_config(paths[-1])
    expected = "regression" if name == "diabetes" else "binary"
    assert experiment.task.name == expected
    assert not list((tmp_path / "new").rglob(".*")), "no temporary files stay behind"
    with pytest.raises(RunError, match=r"exists already\n.*choose another folder with --out"):
        synthesize(name, tmp_path / "new", sets)


@pytest.mark.parametrize(
    ("name", "assignments", "message"),
    [
        ("synthetic_icu", ["samples=3"], "samples: must be 20 or more; got 3"),
        ("synthetic_icu", ["sample=30"], "did you mean 'samples'?"),
        ("synthetic_vitals", ["target=rsk"], "target"),
        ("table", [], "'table' reads files of your own; these can be written: breast_cancer"),
    ],
)
def test_wrong_parameters_write_nothing(name, assignments, message, tmp_path):
    with pytest.raises(ConfigError) as error:
        synthesize(name, tmp_path / "new", assignments)
    assert message in str(error.value)
    assert str(error.value).startswith(f"synth {name}: 1 problem")
    assert not (tmp_path / "new").exists()


def test_unknown_name(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'synthetic_icu'"):
        synthesize("synthetic_icus", tmp_path)


def test_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="cannot be written"):
        synthesize("synthetic_dna", tmp_path / "file" / "below", ["samples=20"])


@pytest.mark.parametrize(
    ("targets", "task"),
    [
        ([0, 1, 1], "binary"),
        (["yes", "no", "no"], "binary"),
        ([True, False, True], "binary"),
        ([0, 1, 2], "multiclass"),
        (["a", "b", "c"], "multiclass"),
        ([[0, 1], [1, 1], [0, 0]], "multilabel"),
        ([120.5, 131.0, 99.0], "regression"),
        (list(range(100)), "regression"),
    ],
)
def test_task_for_targets(targets, task):
    assert task_for(np.array(targets)) == task


def test_cohort_without_targets(tmp_path):
    cohort = registry.datasets.build("synthetic_icu", samples=20)
    bare = Cohort(cohort.samples, cohort.inputs, None)
    paths, section = write_files(bare, "new", tmp_path)
    assert [path.name for path in paths] == ["events.csv"]
    assert "target" not in section
    assert len(read_back(section, tmp_path)) == 20
    images = registry.datasets.build("synthetic_xray", samples=20, size=16)
    _, section = write_files(Cohort(images.samples, images.inputs, None), "new", tmp_path)
    assert section["labelled"] is False


def test_what_cannot_be_written(tmp_path):
    samples = pd.DataFrame({"age": [1, 2]}, index=["a", "b"])
    floats = RawInput("image", np.zeros((2, 4, 4, 1), np.float32))
    with pytest.raises(DataError, match="cannot be PNG files"):
        write_files(Cohort(samples, {"image": floats}, np.array([0, 1])), "x", tmp_path)
    table = RawInput("tabular", pd.DataFrame({"age": [1.0, 3.0]}, samples.index), (Feature("age"),))
    with pytest.raises(DataError, match="two columns called 'age' hold different values"):
        write_files(Cohort(samples, {"tabular": table}, np.array([0, 1])), "x", tmp_path)

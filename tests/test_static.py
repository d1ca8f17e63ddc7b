"""Static features as a second input beside a series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medkit.config.experiment import load_config
from medkit.config.sections import StaticBranch
from medkit.core import registry
from medkit.core.errors import ConfigError, DataError, MedkitError
from medkit.data.cohort import Cohort, Feature, RawInput
from medkit.modalities.series import Series
from medkit.modalities.tabular import Tabular
from medkit.modalities.with_static import WithStatic, fitted_from
from medkit.workflows.train import train

SMOKE = Path(__file__).parents[1] / "configs" / "smoke"
STATIC = SMOKE / "synthetic_icu_gru_static.yaml"


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return registry.datasets.build("synthetic_icu", samples=120, static=("age", "sex"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    few = ["dataset.samples=120", "training.epochs=1", "training.ensemble=2", "calibration=platt"]
    return train(STATIC, overrides=few, out=tmp_path_factory.mktemp("runs"))


def test_each_part_is_fitted_as_it_is_alone(cohort):
    both = WithStatic(Series(), Tabular()).fit(cohort.only_input)
    series, table = Series().fit(cohort.inputs["series"]), Tabular().fit(cohort.inputs["static"])
    assert both.to_dict() == {**series.to_dict(), "static": table.to_dict()}
    x = both.encode(cohort.only_input)
    assert x.shape == (120, 24, 9)
    np.testing.assert_array_equal(x[:, :, :7], series.encode(cohort.inputs["series"]))
    np.testing.assert_array_equal(x[:, 0, 7:], table.encode(cohort.inputs["static"]))
    assert np.isnan(x[:, 1:, 7:]).all()
    assert both.names[-2:] == ["age", "sex"]
    assert [f.unit for f in both.features][-2:] == ["years", None]


def test_in_the_model_the_static_columns_stand_in_the_first_step(cohort):
    both = WithStatic(Series(), Tabular()).fit(cohort.only_input)
    x = both.encode(cohort.only_input)
    inner = np.asarray(both.preprocessing()(x))
    static = np.asarray(both.static_features.preprocessing()(x[:, 0, 7:]))
    width = len(both.static_features.output_names)
    assert inner.shape[2] == len(both.output_names)
    np.testing.assert_allclose(inner[:, 0, -width:], static, rtol=1e-6)
    assert (inner[:, 1:, -width:] == 0).all()


def test_comes_back_from_json(cohort):
    both = WithStatic(Series(), Tabular()).fit(cohort.only_input)
    again = fitted_from("series", both.to_dict())
    assert isinstance(again, WithStatic)
    np.testing.assert_array_equal(again.encode(cohort.only_input), both.encode(cohort.only_input))


def test_summaries_are_those_of_both(cohort):
    both = WithStatic(Series(), Tabular()).fit(cohort.only_input)
    summary = both.summarize(both.encode(cohort.only_input))
    ages = cohort.inputs["static"].values["age"].astype("float32")
    np.testing.assert_array_equal(summary["age"], ages)
    assert "heart_rate mean" in summary
    assert "age mean" not in summary


def test_a_name_in_both_is_refused(cohort):
    series, static = cohort.inputs["series"], cohort.inputs["static"]
    twice = RawInput("tabular", static.values.rename(columns={"age": "lactate"}))
    with pytest.raises(DataError, match="channels and static features named more than once"):
        WithStatic(Series(), Tabular()).fit({"sequence": series, "static": twice})


def test_the_saved_network_has_two_inputs(run, cohort):
    import keras

    saved = keras.saving.load_model(run.path / "model.keras", compile=False, safe_mode=True)
    assert {each.name: each.shape[1:] for each in saved.inputs} == {
        "sequence": (24, 7), "static": (2,),
    }  # fmt: skip
    x = run.modality.encode(cohort.only_input)
    two = saved.predict({"sequence": x[:, :, :7], "static": x[:, 0, 7:]}, verbose=0)
    np.testing.assert_allclose(two, run.outputs(cohort.only_input), atol=1e-6)


def test_predicts_what_it_stored(run, cohort):
    import pandas as pd

    stored = pd.read_parquet(run.path / "predictions.parquet")["probability"]
    found = run.predict({"sequence": cohort.inputs["series"], "static": cohort.inputs["static"]})
    np.testing.assert_allclose(np.sort(found["probability"]), np.sort(stored), atol=1e-6)


def test_the_static_features_matter(run, cohort):
    other = cohort.inputs["static"].values.assign(age=20.0)
    given = {"sequence": cohort.inputs["series"], "static": other}
    assert not np.allclose(run.outputs(given), run.outputs(cohort.only_input))
    named = {each["name"] for each in run.metrics["explanations"]["importance"]["features"]}
    assert {"age", "sex", "lactate"} <= named


def test_explanations_sum_up(run, cohort):
    from medkit.explanation.local import explain

    few = cohort.take([0, 1, 2]).only_input
    found = explain(run.model, run.modality, run.task, run.modality.encode(few))
    assert found.attributions.shape == (3, 24, 9)
    assert np.abs(found.gap).max() < 0.01
    assert (found.attributions[:, 1:, 7:] == 0).all()


def test_one_input_alone_is_refused(run, cohort):
    with pytest.raises(DataError, match=r'Give both: {"sequence": array, "static": table}'):
        run.predict(cohort.inputs["series"])


def test_a_branch_without_static_features_is_refused():
    with pytest.raises(ConfigError, match=r"yields none here: name them in dataset\.static"):
        load_config(STATIC, ["dataset.static=[]"])
    with pytest.raises(ConfigError, match="'breast_cancer' yields none here"):
        load_config(SMOKE / "breast_cancer_mlp.yaml", ["static_branch={units: [4]}"])


def test_the_config_and_the_factory_have_the_same_defaults():
    from inspect import signature

    from medkit.models import with_static

    given = {name: p.default for name, p in signature(with_static).parameters.items()}
    assert StaticBranch().model_dump().items() <= given.items()


def test_a_head_is_no_embedding():
    import keras

    from medkit.models import with_static

    inputs = keras.Input((4, 2))
    with pytest.raises(MedkitError, match="no embedding"):
        with_static(keras.Model(inputs, inputs * 2), (3,), 1)


def test_padding_beyond_the_stay_is_zero_and_skipped():
    values = np.full((2, 5, 1), np.nan, "float32")
    values[0, 1:3] = [[10.0], [20.0]]
    values[1] = 15.0
    raw = RawInput("series", values, (Feature("HR", unit="bpm"),))
    filled = np.asarray(Series().fit(raw).preprocessing()(values))
    zeros = np.asarray(Series(padding="zero").fit(raw).preprocessing()(values))
    assert (zeros[0, [0, 3, 4]] == 0).all()
    assert (filled[0, 3:, 0] != 0).all()
    np.testing.assert_array_equal(zeros[0, 1:3], filled[0, 1:3])
    np.testing.assert_array_equal(zeros[1], filled[1])


EVENTS = """stay,time,variable,value
a,0,Age,60
a,0,Unit,3
a,1,HR,80
a,2,HR,85
a,2.0,Weight,70
a,5,Weight,75
a,8,Weight,90
b,0,Age,41
b,1,HR,95
b,3,HR,90
"""
LABELS = "stay,died\na,0\nb,1\n"


@pytest.fixture
def files(tmp_path):
    (tmp_path / "events.csv").write_text(EVENTS)
    (tmp_path / "labels.csv").write_text(LABELS)
    (tmp_path / "stays.csv").write_text("stay,age,ward\nb,41,12\na,60,3\n")
    return tmp_path


def events_of(files: Path, **settings) -> Cohort:
    given = {"path": files / "events.csv", "labels": files / "labels.csv", "target": "died"}
    return registry.datasets.build("events", **given, **settings)


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_static_variables_are_the_last_known_before_the_prediction(files, engine):
    if engine == "duckdb":
        pytest.importorskip("duckdb")
    settings = {"static": ("Age", "Unit", "Weight"), "static_categorical": ("Unit",)}
    cohort = events_of(files, engine=engine, hours=8, units={"Age": "years"}, **settings)
    assert [f.name for f in cohort.inputs["series"].features] == ["HR"]
    static = cohort.inputs["static"]
    # The weight at hour 8 is measured at the very end of the window: too late.
    assert static.values.to_dict("list") == {
        "Age": [60.0, 41.0], "Unit": ["3", None],
        "Weight": [75.0, pytest.approx(np.nan, nan_ok=True)],
    }  # fmt: skip
    assert [(f.kind, f.unit) for f in static.features] == [
        ("numeric", "years"), ("categorical", None), ("numeric", None),
    ]  # fmt: skip


def test_static_variables_at_every_step_do_not_look_ahead(files):
    settings = {"hours": 2, "first_prediction_hours": 1, "static": ("Weight",)}
    (files / "labels.csv").write_text("stay,onset\na,20\nb,20\n")
    cohort = registry.datasets.build(
        "events", path=files / "events.csv", labels=files / "labels.csv", onset="onset",
        target_hours=4, index="every_step", censoring="negative", **settings,
    )  # fmt: skip
    weight = cohort.inputs["static"].values["Weight"].to_numpy()
    hour, stay = cohort.samples["hour"].to_numpy(), cohort.samples["stay"].to_numpy()
    expected = np.where(hour > 8, 90.0, np.where(hour > 5, 75.0, np.where(hour > 2, 70.0, np.nan)))
    np.testing.assert_array_equal(weight, np.where(stay == "a", expected, np.nan))


def test_static_columns_of_a_table(files):
    cohort = events_of(
        files,
        static=("age", "ward"),
        static_categorical=("ward",),
        static_table=files / "stays.csv",
    )
    assert cohort.inputs["static"].values.to_dict("list") == {
        "age": [60.0, 41.0], "ward": ["3", "12"],
    }  # fmt: skip
    assert "stays.csv" in cohort.source.files
    assert "Age" in [f.name for f in cohort.inputs["series"].features]


def test_a_stay_without_a_row_in_the_static_table_is_said(files):
    (files / "stays.csv").write_text("stay,age\na,60\n")
    with pytest.raises(DataError, match=r"1 of 2 stays have no row \(the first is sample 2\)"):
        events_of(files, static=("age",), static_table=files / "stays.csv")


def test_a_category_that_is_not_static_is_said(files):
    with pytest.raises(DataError, match="static_categorical names 'Unit', which static does not"):
        events_of(files, static=("Age",), static_categorical=("Unit",))


def test_written_as_files_and_read_again_it_is_the_same(tmp_path):
    import yaml

    from medkit.workflows.synthesize import synthesize

    synthesize("synthetic_icu", tmp_path, ["samples=40", "static=[age, sex]"])
    config = tmp_path / "synthetic_icu.yaml"
    assert yaml.safe_load(config.read_text())["dataset"]["static_categorical"] == ["sex"]
    experiment = load_config(config)
    again = registry.datasets.build(experiment.dataset.name, **experiment.dataset.parameters)
    first = registry.datasets.build("synthetic_icu", samples=40, static=("age", "sex"))
    first = first.take([list(first.samples.index).index(stay) for stay in again.samples.index])
    assert again.inputs["static"].values.to_dict("list") == first.inputs["static"].values.to_dict(
        "list"
    )
    assert [f.unit for f in again.inputs["static"].features] == ["years", None]


def test_a_stay_of_which_only_the_static_features_are_known_is_kept(files):
    with (files / "events.csv").open("a") as events:
        events.write("c,0,Age,77\n")
    (files / "labels.csv").write_text(LABELS + "c,1\n")
    cohort = events_of(files, static=("Age",), hours=8)
    assert list(cohort.samples.index) == ["a", "b", "c"]
    assert np.isnan(cohort.inputs["series"].values[2]).all()
    assert cohort.inputs["static"].values["Age"].tolist() == [60.0, 41.0, 77.0]

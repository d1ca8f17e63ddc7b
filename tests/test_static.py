"""Static features as a second input beside a series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medkit import registry
from medkit.cohort import Cohort, Feature, RawInput
from medkit.config import load_config
from medkit.errors import ConfigError, DataError, MedkitError
from medkit.modalities.series import Series
from medkit.modalities.tabular import Tabular
from medkit.modalities.with_static import WithStatic, fitted_from
from medkit.pipeline import train
from medkit.sections import StaticBranch

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
    again = fitted_from(both.to_dict())
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

"""Several named inputs: encoded, trained, predicted and explained by name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from medkit.config.experiment import load_config
from medkit.core import registry
from medkit.core.errors import ConfigError, DataError, MedkitError
from medkit.data.cohort import Cohort, Feature, RawInput
from medkit.explanation.local import explain
from medkit.explanation.permutation import permutation_importance
from medkit.explanation.shap_engine import _payoff
from medkit.leakage import audit
from medkit.modalities.encoder import Encoder
from medkit.modalities.series import Series
from medkit.modalities.tabular import Tabular
from medkit.workflows.external import recalibrate_run
from medkit.workflows.prepare import divide, encode, read
from medkit.workflows.synthesize import synthesize
from medkit.workflows.train import build, train

SMOKE = Path(__file__).parents[1] / "configs" / "smoke"
STATIC = SMOKE / "synthetic_icu_gru_static.yaml"


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return registry.datasets.build("synthetic_icu", samples=120, static=("age", "sex"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    few = ["dataset.samples=120", "training.epochs=1", "training.ensemble=2", "calibration=platt"]
    return train(STATIC, overrides=few, out=tmp_path_factory.mktemp("runs"))


def test_each_modality_is_fitted_as_it_is_alone(cohort):
    encoder = Encoder({"series": Series(), "static": Tabular()}).fit(cohort.inputs)
    series, table = Series().fit(cohort.inputs["series"]), Tabular().fit(cohort.inputs["static"])
    assert encoder.to_dict() == {
        "series": {**series.to_dict(), "optional": False},
        "static": {**table.to_dict(), "optional": False},
    }
    inputs = encoder.encode(cohort.inputs)
    assert {name: inputs[name].shape for name in inputs} == {
        "series": (120, 24, 7), "static": (120, 2),
    }  # fmt: skip
    np.testing.assert_array_equal(inputs["static"], table.encode(cohort.inputs["static"]))
    assert encoder.names[-2:] == ["age", "sex"]
    assert [f.unit for f in encoder.features][-2:] == ["years", None]


def test_comes_back_from_json(cohort):
    encoder = Encoder({"series": Series(), "static": Tabular()}).fit(cohort.inputs)
    again = Encoder.from_dict(json.loads(json.dumps(encoder.to_dict()))).encode(cohort.inputs)
    for name, array in encoder.encode(cohort.inputs).arrays.items():
        np.testing.assert_array_equal(again[name], array)


def test_summaries_are_those_of_all_inputs(cohort):
    encoder = Encoder({"series": Series(), "static": Tabular()}).fit(cohort.inputs)
    summary = encoder.summarize(encoder.encode(cohort.inputs))
    ages = cohort.inputs["static"].values["age"].astype("float32")
    np.testing.assert_array_equal(summary["age"], ages)
    assert "heart_rate mean" in summary
    assert "age mean" not in summary


def test_a_name_that_two_inputs_share_gets_the_input_before_it(cohort):
    static = cohort.inputs["static"]
    twice = RawInput("tabular", static.values.rename(columns={"age": "lactate"}))
    given = {"series": cohort.inputs["series"], "static": twice}
    encoder = Encoder({"series": Series(), "static": Tabular()}).fit(given)
    assert "series lactate" in encoder.names
    assert "static lactate" in encoder.names
    assert "heart_rate" in encoder.names
    summary = encoder.summarize(encoder.encode(given))
    assert summary.columns.is_unique


def test_inputs_of_different_length_are_refused(cohort):
    encoder = Encoder({"series": Series(), "static": Tabular()}).fit(cohort.inputs)
    given = {**cohort.inputs, "static": cohort.inputs["static"].take(np.arange(5))}
    with pytest.raises(DataError, match="number of rows: 'series' 120, 'static' 5"):
        encoder.encode(given)


def test_the_saved_network_takes_inputs_by_name(run, cohort):
    import keras

    saved = keras.saving.load_model(run.path / "model.keras", compile=False, safe_mode=True)
    assert {each.name: each.shape[1:] for each in saved.inputs} == {
        "series": (24, 7), "static": (2,),
    }  # fmt: skip
    arrays = dict(run.encoder.encode(cohort.inputs).arrays)
    assert {*arrays} == {"series", "static"}
    np.testing.assert_allclose(
        saved.predict(arrays, verbose=0), run.outputs(cohort.inputs), atol=1e-6
    )


def test_one_input_is_no_special_case(breast_cancer_run):
    from medkit.datasets.builtin import breast_cancer

    table = breast_cancer().inputs["tabular"].values.head(5)
    assert [each.name for each in breast_cancer_run.model.inputs] == ["tabular"]
    named = breast_cancer_run.predict({"tabular": table})
    pd.testing.assert_frame_equal(named, breast_cancer_run.predict(table))
    with pytest.raises(DataError, match="no input is called 'tabulr'; did you mean 'tabular'"):
        breast_cancer_run.predict({"tabulr": table})


def test_predicts_what_it_stored(run, cohort):
    stored = pd.read_parquet(run.path / "predictions.parquet")["probability"]
    found = run.predict(cohort.inputs)
    np.testing.assert_allclose(np.sort(found["probability"]), np.sort(stored), atol=1e-6)


def test_every_input_matters(run, cohort):
    other = cohort.inputs["static"].values.assign(age=20.0)
    given = {"series": cohort.inputs["series"], "static": other}
    assert not np.allclose(run.outputs(given), run.outputs(cohort.inputs))
    named = {each["name"] for each in run.metrics["explanations"]["importance"]["features"]}
    assert {"age", "sex", "lactate"} <= named
    assert {each["feature"] for each in run.metrics["explanations"]["dependence"]} == {"age", "sex"}


@pytest.mark.parametrize("method", ["auto", "shap"])
def test_explanations_sum_up_over_all_inputs(run, cohort, method):
    if method == "shap":
        pytest.importorskip("shap")
    inputs = run.encoder.encode(cohort.take([0, 1, 2]).inputs)
    found = explain(run.model, run.encoder, run.task, inputs, method=method)
    total = sum(each.attributions.reshape(3, -1).sum(axis=1) for each in found.values())
    first = found["series"]
    assert found["static"].attributions.shape == (3, 2)
    np.testing.assert_allclose(total + first.reference + first.gap, first.explained, atol=1e-5)
    assert np.abs(first.gap).max() < 0.01


def test_what_hides_a_part_is_done_for_each_input(run, cohort):
    inputs = run.encoder.encode(cohort.take([0, 1, 2]).inputs)
    found = explain(run.model, run.encoder, run.task, inputs, method="occlusion")
    assert {name: each.attributions.shape for name, each in found.items()} == {
        "series": (3, 7), "static": (3, 2),
    }  # fmt: skip
    with pytest.raises(MedkitError, match="no self-attention layer"):
        explain(run.model, run.encoder, run.task, inputs, method="attention")


def test_an_input_alone_is_refused(run, cohort):
    with pytest.raises(DataError, match=r"Give each by name: {\"series\": …, \"static\": …}"):
        run.predict(cohort.inputs["series"])
    with pytest.raises(DataError, match="the input 'static' is missing"):
        run.predict({"series": cohort.inputs["series"]})


def test_planted_copies_are_found_beside_static_features():
    # Issue 9, 1.1: the padding of static features hid them.
    cohort = registry.datasets.build("synthetic_icu", samples=200, static=("age", "sex"))
    experiment = load_config(STATIC, ["dataset.samples=200"])
    divided, flow = divide(cohort, experiment)
    copies = np.array(divided["train"].inputs["series"].values[:20])
    random = np.random.default_rng(0)
    noisy = copies * (1 + 0.001 * random.normal(size=copies.shape).astype("float32"))
    test = divided["test"]
    values = np.array(test.inputs["series"].values)
    values[:20] = noisy
    series = replace(test.inputs["series"], values=values)
    divided["test"] = replace(test, inputs={**test.inputs, "series": series})
    encoder, task, parts = encode(divided, experiment, flow)
    found = {each.name: each for each in audit(parts, encoder, task, experiment.split)}
    assert found["near_duplicates"].count >= 19


def test_an_input_that_no_training_sample_has_is_named_with_a_remedy(cohort):
    static = replace(cohort.inputs["static"], present=np.zeros(len(cohort), dtype=bool))
    with pytest.raises(DataError, match="no training sample has the input 'static'") as caught:
        Encoder({"static": Tabular()}).fit({"static": static})
    assert "Leave it out of the data set, or divide otherwise (split, seed)" in caught.value.hint


def test_planted_copies_are_found_in_each_input_that_says_enough():
    experiment = load_config(SMOKE / "admissions_fusion.yaml")

    def found(plant=lambda divided: None):
        divided, flow = divide(read(experiment.dataset), experiment)
        plant(divided)
        encoder, task, parts = encode(divided, experiment, flow)
        findings = audit(parts, encoder, task, experiment.split)
        return {(f.name, f.where): f.count for f in findings if "duplicates" in f.name}

    def change(divided, **inputs):
        divided["test"] = replace(divided["test"], inputs={**divided["test"].inputs, **inputs})

    def identical(divided):
        train, test = divided["train"].inputs, divided["test"].inputs
        rows = np.arange(12)
        pixels, present = np.array(test["xray"].values), np.array(test["xray"].present)
        pixels[rows], present[rows] = train["xray"].values[rows], train["xray"].present[rows]
        table = test["static"].values.copy()
        table.iloc[rows] = train["static"].values.iloc[rows].to_numpy()
        change(divided, xray=replace(test["xray"], values=pixels, present=present),
               static=replace(test["static"], values=table))  # fmt: skip

    def noisy(divided):
        train, test = divided["train"].inputs["vitals"], divided["test"].inputs["vitals"]
        values, noise = np.array(test.values), np.random.default_rng(0).normal(size=(12, 24, 3))
        values[:12] = train.values[:12] * (1 + 0.001 * noise)
        change(divided, vitals=replace(test, values=values))

    assert found() == {}
    # Three coarse columns agree in many patients: the table alone says nothing.
    assert set(found(identical)) == {("duplicates", "train and test (xray)")}
    (((name, where), count),) = found(noisy).items()
    assert (name, where) == ("near_duplicates", "train and test (vitals)")
    assert count >= 11


def test_recalibrated_elsewhere_it_still_takes_every_input(run, tmp_path):
    # Issue 9, 1.2: the network was written with one packed input.
    synthesize("synthetic_icu", tmp_path, ["samples=120", "seed=5", "static=[age, sex]"])
    made = recalibrate_run(run, "intercept", tmp_path / "synthetic_icu.yaml")
    assert [each.name for each in made.model.inputs] == ["series", "static"]
    cohort = registry.datasets.build("synthetic_icu", samples=20, seed=9, static=("age", "sex"))
    before, after = (each.predict(cohort.inputs)["probability"] for each in (run, made))
    assert (np.argsort(before) == np.argsort(after)).all()


def test_many_categories_of_a_static_table_are_embedded():
    # Issue 9, 1.3: announced as embedded, and one-hot encoded.
    cohort = registry.datasets.build("synthetic_icu", samples=400, static=("age", "sex"))
    static = cohort.inputs["static"]
    wards = np.array([f"ward {i % 80}" for i in range(400)], dtype=object)
    table = RawInput("tabular", static.values.assign(ward=wards))
    cohort = replace(cohort, inputs={**cohort.inputs, "static": table})
    overrides = ["dataset.samples=400", "preprocessing.static={embedding: 2}"]
    experiment = load_config(STATIC, overrides)
    divided, flow = divide(cohort, experiment)
    encoder, task, parts = encode(divided, experiment, flow)
    network = build(experiment, encoder, task, len(parts["train"]))
    assert encoder.modalities["static"].embedding_layer() is not None
    names = [type(each).__name__ for each in network.full._flatten_layers(recursive=True)]
    assert "CategoryEmbedding" in names
    outputs = network.full.predict(dict(parts["test"].inputs.arrays), verbose=0)
    assert np.isfinite(outputs).all()


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    """A tiny run on four inputs, two of which some samples lack."""
    few = ["dataset.samples=160", "training.epochs=1", "evaluation.baselines=false"]
    return train(SMOKE / "admissions_fusion.yaml", overrides=few,
                 out=tmp_path_factory.mktemp("runs"))  # fmt: skip


def test_a_sample_may_lack_an_input(four):
    cohort = registry.datasets.build("synthetic_admissions", samples=40, seed=3)
    plain = four.predict(cohort.inputs)["probability"].to_numpy()
    raw = cohort.inputs["xray"]
    lacking = np.flatnonzero(~raw.present)
    pixels = np.array(raw.values)
    pixels[lacking] = 200  # what stands in the place of an image that is not there means nothing
    changed = {**cohort.inputs, "xray": replace(raw, values=pixels)}
    other = four.predict(changed)["probability"].to_numpy()
    np.testing.assert_allclose(other, plain, atol=1e-6)
    none = {name: each for name, each in cohort.inputs.items() if name != "xray"}
    without = four.predict(none)["probability"].to_numpy()
    np.testing.assert_allclose(without[lacking], plain[lacking], atol=1e-6)
    assert np.abs(without - plain).max() > 1e-4
    with pytest.raises(DataError, match="no input is given; the model takes: vitals, static"):
        four.predict({})


def test_the_run_says_how_it_does_without_each_input(four):
    found = four.metrics["inputs"]
    assert set(found) == {"vitals", "static", "xray", "note"}
    assert found["vitals"]["lacking"] == 0 < found["xray"]["lacking"]
    assert "auroc" in found["xray"]["without"]["metrics"]
    page = (four.path / "report.html").read_text()
    assert "without xray" in page
    assert "Without an input" in page


def test_what_a_sample_lacks_is_missing_in_its_summary(four):
    cohort = registry.datasets.build("synthetic_admissions", samples=40, seed=3)
    summary = four.encoder.summarize(four.encoder.encode(cohort.inputs))
    lacking = ~cohort.inputs["note"].present
    columns = [name for name in summary if "confused" in name]
    assert columns
    assert summary.loc[lacking, columns].isna().all(axis=None)
    assert summary.loc[~lacking, columns].notna().all(axis=None)


@pytest.mark.parametrize("method", ["permutation", "shap"])
def test_a_value_is_lent_together_with_whether_it_is_there(method):
    frame = pd.DataFrame({"a": np.arange(40.0)})
    lacking = pd.DataFrame({"b": np.where(np.arange(40) % 2, 1.0, np.nan)})
    raw = {
        "first": RawInput("tabular", frame, (Feature("a"),)),
        "second": RawInput("tabular", lacking, (Feature("b"),), present=np.arange(40) % 2 == 1),
    }
    encoder = Encoder({"first": Tabular(), "second": Tabular()}).fit(raw)
    inputs, calls = encoder.encode(raw), []

    def predict(given):
        present = np.asarray(given["second_present"])
        np.testing.assert_array_equal(np.isnan(given["second"]), present == 0)
        calls.append(present)
        return 0.25 + 0.5 * present

    if method == "permutation":
        task = registry.tasks.build("binary").fit(np.arange(40) % 2, ("y",))
        y = task.encode(np.arange(40) % 2)
        subjects = np.arange(40)
        settings = load_config(STATIC).evaluation
        found = permutation_importance(
            predict, task, inputs, y, encoder, subjects, 0.5, settings, 0
        )
        assert found["features"][0]["name"] == "b"
    else:
        groups = [(n, g) for n, each in encoder.modalities.items() for g in each.groups()]
        sample, background = inputs.take(np.array([1])), inputs.take(np.arange(0, 40, 2))
        alone = np.array([[0.0, 0.0], [0.0, 1.0]])
        payoff = _payoff(predict, groups, sample, 0, background, alone)
        np.testing.assert_allclose(payoff, [0.25, 0.75])
    assert calls


def test_four_inputs_are_explained_each_in_its_way(four):
    cohort = registry.datasets.build("synthetic_admissions", samples=20, seed=3)
    inputs = four.encoder.encode(cohort.inputs)
    found = explain(four.model, four.encoder, four.task, inputs)
    assert {name: each.axes for name, each in found.items()} == {
        "vitals": "step feature", "static": "feature", "xray": "pixel", "note": "position",
    }  # fmt: skip
    assert found["xray"].method == "grad_cam"
    gradients = explain(four.model, four.encoder, four.task, inputs, method="integrated_gradients")
    total = sum(each.attributions.reshape(20, -1).sum(axis=1) for each in gradients.values())
    first = gradients["vitals"]
    np.testing.assert_allclose(total + first.reference + first.gap, first.explained, atol=1e-4)
    lacking = ~cohort.inputs["xray"].present
    assert np.abs(gradients["xray"].attributions[lacking]).max() < 1e-6


def test_a_sample_without_any_input_is_refused(cohort):
    absent = np.arange(120) == 7
    given = {n: replace(raw, present=~absent) for n, raw in cohort.inputs.items()}
    with pytest.raises(DataError, match=r"1 samples have no input at all \(first at row 8\)"):
        replace(cohort, inputs=given)


def test_an_input_that_training_always_had_may_not_be_lacking(run, cohort):
    some = replace(cohort.inputs["static"], present=np.arange(120) > 4)
    with pytest.raises(DataError, match="5 samples lack the input 'static', which every sample"):
        run.predict({**cohort.inputs, "static": some})


@pytest.mark.parametrize("join", ["concatenate", "gated", "attention"])
def test_inputs_are_joined(join, tmp_path):
    import keras

    from medkit.models import fusion

    shapes = {"a": (6, 3), "a_present": (1,), "b": (4,)}
    model = fusion(shapes, 1, branches={"a": {"name": "gru", "units": [4]}, "b": "mlp"},
                   join=join, joint_units=(5,), input_dropout=0.5)  # fmt: skip
    random = np.random.default_rng(0)
    x = {"a": random.normal(size=(8, 6, 3)), "b": random.normal(size=(8, 4))}
    x["a_present"] = np.array([[1.0], [0.0]] * 4)
    outputs = model.predict(x, verbose=0)
    other = model.predict({**x, "a": x["a"] + 1}, verbose=0)
    assert (np.abs(outputs - other)[::2] > 0).all()
    np.testing.assert_array_equal(outputs[1::2], other[1::2])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(again.predict(x, verbose=0), outputs, atol=1e-6)
    model.compile("adam", "mse")
    before = [np.array(each) for each in model.get_weights()]
    model.train_on_batch(x, np.ones((8, 1)))
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert sum(changed) > len(changed) // 2


def test_branches_that_are_not_the_inputs_are_refused():
    from medkit.models import fusion

    with pytest.raises(MedkitError, match="the branches are a, the inputs a, b"):
        fusion({"a": (6, 3), "b": (4,)}, 1, branches={"a": "gru"})


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
    cohort = events_of(
        files,
        source={"engine": engine},
        window={"hours": 8},
        static={"features": ("Age", "Unit", "Weight"), "categorical": ("Unit",)},
        values={"units": {"Age": "years"}},
    )
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
    (files / "labels.csv").write_text("stay,onset\na,20\nb,20\n")
    cohort = registry.datasets.build(
        "events", path=files / "events.csv", labels=files / "labels.csv", static=("Weight",),
        window={"index": "every_step", "hours": 2, "first_prediction_hours": 1},
        target={"onset": "onset", "hours": 4, "censoring": "negative"},
    )  # fmt: skip
    weight = cohort.inputs["static"].values["Weight"].to_numpy()
    hour, stay = cohort.samples["hour"].to_numpy(), cohort.samples["stay"].to_numpy()
    expected = np.where(hour > 8, 90.0, np.where(hour > 5, 75.0, np.where(hour > 2, 70.0, np.nan)))
    np.testing.assert_array_equal(weight, np.where(stay == "a", expected, np.nan))


def test_static_columns_of_a_table(files):
    static = {"features": ("age", "ward"), "categorical": ("ward",), "table": files / "stays.csv"}
    cohort = events_of(files, static=static, values={"units": {"age": "years", "Age": "years"}})
    assert [f.unit for f in cohort.inputs["static"].features] == ["years", None]
    # 'age' is no variable of the events, and need be none.
    assert not [note for note in cohort.source.notes if "no event has" in note]
    assert cohort.inputs["static"].values.to_dict("list") == {
        "age": [60.0, 41.0], "ward": ["3", "12"],
    }  # fmt: skip
    assert "stays.csv" in cohort.source.files
    assert "Age" in [f.name for f in cohort.inputs["series"].features]


def test_a_stay_without_a_row_in_the_static_table_is_said(files):
    (files / "stays.csv").write_text("stay,age\na,60\n")
    with pytest.raises(DataError, match=r"1 of 2 stays have no row \(the first is sample 2\)"):
        events_of(files, static={"features": ("age",), "table": files / "stays.csv"})


def test_a_category_that_is_not_static_is_said(files):
    with pytest.raises(ConfigError, match="static: categorical names 'Unit', which features does"):
        events_of(files, static={"features": ("Age",), "categorical": ("Unit",)})


def test_written_as_files_and_read_again_it_is_the_same(tmp_path):
    synthesize("synthetic_icu", tmp_path, ["samples=40", "static=[age, sex]"])
    config = tmp_path / "synthetic_icu.yaml"
    assert yaml.safe_load(config.read_text())["dataset"]["static"]["categorical"] == ["sex"]
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
    cohort = events_of(files, static=("Age",), window={"hours": 8})
    assert list(cohort.samples.index) == ["a", "b", "c"]
    assert np.isnan(cohort.inputs["series"].values[2]).all()
    assert cohort.inputs["static"].values["Age"].tolist() == [60.0, 41.0, 77.0]


@pytest.mark.parametrize("table", ["static.csv", "${STATIC_FOLDER}/static.csv"])
def test_predictions_read_the_static_table_that_the_config_names(tmp_path, monkeypatch, table):
    """Not one of that name in the working folder, where other ages stand."""
    from medkit.workflows.external import predict_file
    from medkit.workflows.synthesize import synthesize

    there = tmp_path / "there"
    synthesize("synthetic_icu", there, ["samples=60", "static=[age, sex]"])
    monkeypatch.setenv("STATIC_FOLDER", str(there))
    settings = [
        "training.epochs=1",
        "evaluation={bootstrap: 0, baselines: false, explanations: false}",
    ]
    config = there / "synthetic_icu.yaml"
    config.write_text(config.read_text().replace("static.csv", f"'{table}'"))
    made = train(config, overrides=settings, out=tmp_path / "runs")
    expected = predict_file(made, there / "events.csv")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    others = (there / "static.csv").read_text().splitlines()
    position = others[0].split(",").index("age")
    for number, line in enumerate(others[1:], 1):
        cells = line.split(",")
        cells[position] = "20"
        others[number] = ",".join(cells)
    (elsewhere / "static.csv").write_text("\n".join(others) + "\n")
    monkeypatch.chdir(elsewhere)
    found = predict_file(made, there / "events.csv")
    np.testing.assert_array_equal(found["probability"], expected["probability"])
    if "$" in table:
        monkeypatch.delenv("STATIC_FOLDER")
        with pytest.raises(DataError, match=r"dataset\.static\.table: .* STATIC_FOLDER is not set"):
            predict_file(made, there / "events.csv")

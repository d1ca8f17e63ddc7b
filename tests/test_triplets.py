"""Triplets: events without a grid, from the files to STraTS."""

from __future__ import annotations

import json
import logging
import shutil
from importlib import import_module
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from cohorts import only_input
from merging import merged

from medkit.config.experiment import load_config
from medkit.core import registry
from medkit.core.errors import ConfigError, DataError, MedkitError
from medkit.data.cohort import Feature, RawInput
from medkit.datasets.events.events import events
from medkit.datasets.events.triplets import of_grid
from medkit.explanation.local import explain
from medkit.layers.triplets import TripletPreprocessing
from medkit.leakage import audit
from medkit.modalities.series import Series
from medkit.modalities.triplets import Triplets
from medkit.models import strats
from medkit.workflows.prepare import divide, encode, read

SMOKE = Path(__file__).parents[1] / "configs" / "smoke"
FEATURES = (Feature("HR", unit="bpm"), Feature("K", unit="mmol/L"), Feature("Temp", unit="°C"))
NAN = np.nan


def raw(*samples, features=FEATURES):
    """Triplets of samples, each a list of (time, variable, value), padded."""
    most = max(len(each) for each in samples)
    values = np.full((len(samples), most, 3), np.nan, dtype="float32")
    for row, each in enumerate(samples):
        if each:
            values[row, : len(each)] = each
    return RawInput("triplets", values, features)


TRAIN = raw(
    [(0, 0, 80), (0, 1, 4.0), (3.5, 0, 90), (7, 0, 100)],
    [(1, 0, 70), (2, 1, 5.0)],
    [(4, 0, 60)],
)


# The modality ------------------------------------------------------------------------------


def test_it_learns_each_variable_from_the_training_events():
    fitted = Triplets().fit(TRAIN)
    assert fitted.names == ["HR", "K"]  # nothing could be learned of Temp
    hr = np.array([80, 90, 100, 70, 60.0])
    assert fitted.center_ == [hr.mean(), 4.5]
    assert fitted.scale_ == [pytest.approx(hr.std()), 0.5]
    times = np.array([0, 0, 3.5, 7, 1, 2, 4])
    assert fitted.time_ == [pytest.approx(times.mean()), pytest.approx(times.std())]
    robust = Triplets(standardize="robust").fit(TRAIN)
    assert robust.center_ == [80.0, 4.5]
    assert robust.scale_ == [pytest.approx(20 / 1.349), pytest.approx(0.5 / 1.349)]


def test_a_variable_never_measured_in_train_is_said_and_left_out(caplog):
    with caplog.at_level(logging.INFO, logger="medkit"):
        fitted = Triplets().fit(TRAIN)
        x = fitted.encode(raw([(0, 2, 37.0), (1, 1, 4.2)]))
    assert "variables never measured in the training rows: Temp" in caplog.text
    assert "ignored 1 variables the model was not trained on: Temp" in caplog.text
    np.testing.assert_array_equal(x[0, 0], np.float32([1, 1, 4.2]))
    assert np.isnan(x[0, 1:]).all()


def test_variables_are_aligned_by_name():
    fitted = Triplets().fit(TRAIN)
    other = raw([(0, 0, 4.2), (0, 2, 77)], features=(Feature("K"), Feature("new"), Feature("HR")))
    np.testing.assert_array_equal(
        fitted.encode(other)[0, :2], np.float32([[0, 0, 77], [0, 1, 4.2]])
    )
    with pytest.raises(DataError, match="none of the variables the model was trained on was given"):
        fitted.encode(raw([(0, 0, 1)], features=(Feature("new"),)))


def test_the_last_of_each_variable_and_the_latest_are_kept(caplog):
    many = [(0, 1, 4.0)] + [(hour, 0, 60 + hour) for hour in range(1, 20)]
    fitted = Triplets(most_events=4).fit(raw(many))
    assert fitted.input_shape_ == (4, 3)
    with caplog.at_level(logging.INFO, logger="medkit"):
        x = fitted.encode(raw(many, [(0, 0, 60)]))
    expected = np.float32([[0, 1, 4.0], [17, 0, 77], [18, 0, 78], [19, 0, 79]])
    np.testing.assert_array_equal(x[0], expected)
    assert "1 of 2 samples have more than 4 events: 16 events left out" in caplog.text


def test_one_long_stay_makes_the_others_no_longer():
    samples = [[(0, 0, 60.0)] * 3] * 199 + [[(hour / 10, 0, 60.0) for hour in range(300)]]
    assert Triplets().fit(raw(*samples)).events_ == 3
    assert Triplets().fit(raw(*samples[-10:])).events_ > 200


def test_what_is_encoded_does_not_depend_on_order_or_padding():
    fitted = Triplets().fit(TRAIN)
    values = np.array(TRAIN.values)
    shuffled = np.random.default_rng(3).permutation(values.shape[1])
    wider = np.concatenate([values, np.full((3, 5, 3), np.nan, "float32")], axis=1)
    for other in (values[:, shuffled], wider):
        again = fitted.encode(RawInput("triplets", other, FEATURES))
        np.testing.assert_array_equal(again, fitted.encode(TRAIN))
    np.testing.assert_array_equal(fitted.encode(fitted.encode(TRAIN)), fitted.encode(TRAIN))


def test_a_dataset_that_says_less_is_cleaned_as_in_training():
    features = (Feature("HR", low=20, high=250, missing_values=(-1,)), *FEATURES[1:])
    fitted = Triplets().fit(RawInput("triplets", TRAIN.values, features))
    x = fitted.encode(raw([(0, 0, 500), (1, 0, -1), (2, 0, 80), (3, 1, -1)]))
    np.testing.assert_array_equal(x[0, :2], np.float32([[2, 0, 80], [3, 1, -1]]))
    assert np.isnan(x[0, 2:]).all()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.zeros((2, 3), "float32"), r"triplets must be numbers of shape \(samples, events, 3\)"),
        (np.float32([[[0, 0, np.inf]]]), "infinite times or values"),
        (np.float32([[[0, 0.5, 1]]]), "the variable's position"),
        (np.float32([[[0, 3, 1]]]), "3 variable names for 4 variables"),
        (np.full((2, 4, 3), np.nan, "float32"), "no variable was measured"),
        (np.zeros((0, 4, 3), "float32"), "no training rows"),
    ],
)
def test_what_is_no_triplet_is_refused(values, says):
    with pytest.raises(DataError, match=says):
        Triplets().fit(RawInput("triplets", values, FEATURES))


def test_a_sample_without_a_known_event_stays():
    fitted = Triplets().fit(TRAIN)
    x = fitted.encode(raw([(0, 2, 37.0)], [(0, 0, 80)]))
    assert np.isnan(x[0]).all()
    inner = np.asarray(fitted.preprocessing()(x))
    assert (inner[0] == 0).all()


def test_the_summaries_are_those_of_a_series():
    cohort = registry.datasets.build("synthetic_icu", samples=50)
    series, features = only_input(cohort), only_input(cohort).features
    values = np.array(series.values)
    values[:, :, 3] = np.nan
    values[:9, :, 5] = np.nan
    series = RawInput("series", values, features)
    triplets = RawInput("triplets", of_grid(values), features)
    grid = Series().fit(series)
    expected = grid.summarize(grid.encode(series))
    fitted = Triplets().fit(triplets)
    found = fitted.summarize(fitted.encode(triplets))
    assert features[3].name not in fitted.names
    pd.testing.assert_frame_equal(found, expected, rtol=1e-5)


# In the model ------------------------------------------------------------------------------


def test_the_layer_by_numpy():
    fitted = Triplets(clip=1.2).fit(TRAIN)
    x = fitted.encode(TRAIN)
    inner = np.asarray(fitted.preprocessing()(x))
    assert inner.shape == (3, fitted.events_, len(fitted.output_names))
    expected = np.zeros_like(inner)
    for row, place in zip(*np.nonzero(~np.isnan(x[:, :, 0])), strict=True):
        time, variable, value = x[row, place]
        k = int(variable)
        expected[row, place, 0] = (time - fitted.time_[0]) / fitted.time_[1]
        standardized = (value - fitted.center_[k]) / fitted.scale_[k]
        expected[row, place, 1] = np.clip(standardized, -1.2, 1.2)
        expected[row, place, 2 + k] = 1
    np.testing.assert_allclose(inner, expected, atol=1e-6)


def test_what_is_no_whole_event_is_padding():
    layer = TripletPreprocessing(2)
    x = np.float32([[[1, 1, 5], [NAN, 1, 5], [1, NAN, 5], [1, 1, NAN], [1, 2, 5], [1, -1, 5]]])
    inner = np.asarray(layer(x))
    np.testing.assert_array_equal(inner[0, 0], [1, 5, 0, 1])
    assert (inner[0, 1:] == 0).all()


@pytest.fixture(scope="module")
def network():
    """STraTS on 30 events of 4 variables, and its input for 6 samples of 1 to 25 events."""
    random = np.random.default_rng(0)
    x = np.zeros((6, 30, 6), "float32")
    for row, count in enumerate((1, 5, 10, 15, 20, 25)):
        x[row, :count, :2] = random.normal(size=(count, 2))
        x[row, np.arange(count), 2 + random.integers(0, 4, count)] = 1
    keras.utils.set_random_seed(1)
    return strats((30, 6), 1, output_activation="sigmoid", units=12, num_heads=3), x


def test_padding_has_no_part_in_it(network):
    model, x = network
    before = model.predict(x, verbose=0)
    assert len(np.unique(before.round(5))) == 6
    wider = strats((47, 6), 1, output_activation="sigmoid", units=12, num_heads=3)
    wider.set_weights(model.get_weights())
    padded = np.concatenate([x, np.zeros((6, 17, 6), "float32")], axis=1)
    np.testing.assert_allclose(wider.predict(padded, verbose=0), before, atol=1e-6)
    said = np.array(x)
    said[said[:, :, 2:].max(axis=2) == 0, :2] = 9.0
    np.testing.assert_allclose(model.predict(said, verbose=0), before, atol=1e-6)


def test_the_order_of_the_events_says_nothing_but_their_times_do(network):
    model, x = network
    before = model.predict(x, verbose=0)
    moved = x[:, np.random.default_rng(2).permutation(30)]
    np.testing.assert_allclose(model.predict(moved, verbose=0), before, atol=1e-6)
    later = np.array(x)
    later[:, :, 0] += x[:, :, 2:].max(axis=2)
    assert np.abs(model.predict(later, verbose=0) - before).min() > 1e-5


def test_no_event_at_all_gives_a_number(network):
    model, x = network
    assert np.isfinite(model.predict(np.zeros_like(x), verbose=0)).all()


def test_the_embedding_and_what_is_refused():
    assert strats((30, 6), None, units=12, num_heads=3).output_shape == (None, 12)
    with pytest.raises(MedkitError, match="multiple of num_heads; 10 is not one of 4") as error:
        strats((30, 6), 1, units=10)
    assert "Choose units: 12" in str(error.value)
    with pytest.raises(MedkitError, match=r"inputs of shape \(events, 2 \+ variables\)"):
        strats((30, 2), 1)


# From files --------------------------------------------------------------------------------

NAMES = ("HR", "K", "Lab")
SETTINGS = {
    "form": "triplets",
    "window": {"hours": 24},
    "variables": {"aggregate": {"*": "mean", "Lab": "count"}},
    "values": {"ranges": {"K": (20, 90)}, "missing_values": {"*": (-1,)}},
}


@pytest.fixture(scope="module")
def frame():
    random = np.random.default_rng(5)
    count = 1500
    found = pd.DataFrame(
        {
            "stay": random.integers(0, 20, count) * 7,
            "time": np.round(random.uniform(-2, 30, count), 2),
            "variable": random.choice(NAMES, count),
            "value": np.round(random.normal(60, 20, count), 1),
        }
    )
    found.loc[::37, "value"] = np.nan
    found.loc[::41, "value"] = -1
    found.loc[::53, "time"] = np.nan
    return pd.concat([found, found.iloc[:30]], ignore_index=True)  # some of them twice


def expected(frame, once=False):
    """The same by pandas alone."""
    frame = frame.dropna(subset=["time"])
    frame = frame.assign(value=frame["value"].mask(frame["value"] == -1))
    wrong = (frame["variable"] == "K") & ((frame["value"] < 20) | (frame["value"] > 90))
    frame = frame.assign(value=frame["value"].mask(wrong))
    frame = frame[(frame["time"] >= 0) & (frame["time"] < 24)]
    frame = frame.drop_duplicates() if once else frame
    frame = frame.assign(value=frame["value"].mask(frame["variable"] == "Lab", 1.0)).dropna()
    frame = frame.assign(number=frame["variable"].map(NAMES.index))
    frame = frame.sort_values(["stay", "time", "number", "value"])
    return {
        str(stay): rows[["time", "number", "value"]].to_numpy("float32")
        for stay, rows in frame.groupby("stay")
    }


@pytest.mark.parametrize(
    ("engine", "name"),
    [("polars", "long.parquet"), ("polars", "long.csv"), ("duckdb", "long.parquet"),
     ("spark", "long.parquet")],
)  # fmt: skip
def test_every_engine_gives_the_triplets_of_pandas(frame, tmp_path, engine, name):
    module = {"polars": "polars", "duckdb": "duckdb", "spark": "pyspark.sql"}[engine]
    pytest.importorskip(module, reason=f"needs the extra '{engine}'")
    if engine == "spark" and shutil.which("java") is None:
        pytest.skip("PySpark needs Java 17")
    write = frame.to_parquet if name.endswith("parquet") else frame.to_csv
    write(tmp_path / name, index=False)
    cohort = events(**merged({"path": tmp_path / name, "source": {"engine": engine}}, SETTINGS))
    given = only_input(cohort)
    assert given.modality == "triplets"
    assert [feature.name for feature in given.features] == list(NAMES)
    wanted = expected(frame)
    assert set(cohort.samples.index) == set(wanted)
    assert given.values.shape[1] == max(len(each) for each in wanted.values())
    for stay, values in zip(cohort.samples.index, given.values, strict=True):
        count = len(wanted[stay])
        np.testing.assert_array_equal(values[:count], wanted[stay])
        assert np.isnan(values[count:]).all()
    assert any("events repeat another one" in note for note in cohort.source.notes)


def test_duplicates_and_blocks_of_stays(frame, tmp_path, monkeypatch):
    frame.to_parquet(tmp_path / "long.parquet")
    whole = events(path=tmp_path / "long.parquet", **SETTINGS)
    monkeypatch.setattr(import_module("medkit.datasets.events.triplets"), "BLOCK", 200)
    blocks = events(path=tmp_path / "long.parquet", **SETTINGS)
    assert only_input(blocks).values.tobytes() == only_input(whole).values.tobytes()
    assert blocks.source == whole.source
    once = events(
        **merged(
            {"path": tmp_path / "long.parquet"}, SETTINGS, {"variables": {"duplicates": "drop"}}
        )
    )
    wanted = expected(frame, once=True)
    counts = (~np.isnan(only_input(once).values[:, :, 0])).sum(axis=1)
    assert dict(zip(once.samples.index, counts, strict=True)) == {
        stay: len(each) for stay, each in wanted.items()
    }
    with pytest.raises(DataError, match="events repeat another one"):
        events(
            **merged(
                {"path": tmp_path / "long.parquet"}, SETTINGS, {"variables": {"duplicates": "fail"}}
            )
        )


def test_windows_samples_and_labels_are_those_of_the_grid(frame, tmp_path):
    frame.to_csv(tmp_path / "events.csv", index=False)
    labels = pd.DataFrame({"stay": np.arange(5, 25) * 7})  # some without events, some the reverse
    labels["death"] = np.arange(len(labels)) % 2
    labels["discharge"] = np.where(labels.index % 3 == 0, 12.0, np.nan)
    labels.to_csv(tmp_path / "labels.csv", index=False)
    given = merged(
        {
            "path": tmp_path / "events.csv",
            "labels": tmp_path / "labels.csv",
            "target": "death",
            "columns": {"discharge": "discharge"},
        },
        SETTINGS,
    )
    triplets, grid = events(**given), events(**{**given, "form": "grid"})
    pd.testing.assert_frame_equal(triplets.samples, grid.samples)
    np.testing.assert_array_equal(triplets.targets, grid.targets)
    assert triplets.source.dropped == grid.source.dropped
    assert triplets.source.notes == grid.source.notes
    assert only_input(triplets).features == only_input(grid).features
    # In each cell of the grid is the mean of the same events, or their number.
    sums, counts = (np.zeros(only_input(grid).values.shape) for _ in range(2))
    values = only_input(triplets).values
    rows, places = np.nonzero(~np.isnan(values[:, :, 0]))
    hours, numbers, measured = values[rows, places].T
    at = (rows, hours.astype(int), numbers.astype(int))
    np.add.at(sums, at, measured)
    np.add.at(counts, at, 1)
    with np.errstate(invalid="ignore"):
        means = sums / counts
    means[:, :, 2] = counts[:, :, 2]
    np.testing.assert_allclose(only_input(grid).values, means, rtol=1e-5)


def test_there_is_no_early_warning_of_triplets(frame, tmp_path):
    frame.to_csv(tmp_path / "events.csv", index=False)
    with pytest.raises(DataError, match="index: every_step needs form: grid"):
        events(path=tmp_path / "events.csv", form="triplets", window={"index": "every_step"})


def test_a_stay_of_too_many_events_keeps_the_latest(tmp_path, monkeypatch):
    monkeypatch.setattr(import_module("medkit.datasets.events.triplets"), "MOST", 3)
    frame = pd.DataFrame({"stay": [1] * 5 + [2], "time": [*range(5), 1], "variable": "HR",
                          "value": [*range(50, 55), 60]})  # fmt: skip
    frame.to_csv(tmp_path / "events.csv", index=False)
    cohort = events(path=tmp_path / "events.csv", form="triplets")
    np.testing.assert_array_equal(only_input(cohort).values[0, :, 2], [52, 53, 54])
    assert "1 samples have more than 3 events: the latest are used" in cohort.source.notes


# The config and the whole way ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "change", "says"),
    [
        ("synthetic_icu_gru", "dataset.form=triplets",
         "'gru' cannot take triplets data ('synthetic_icu' with form: triplets); these can: str"),
        ("synthetic_icu_strats", "dataset.form=grid",
         "'strats' cannot take series data; set dataset.form: triplets"),
        ("synthetic_icu_strats", "dataset={name: synthetic_vitals}",
         "'strats' cannot take tabular data ('synthetic_vitals'); these can: ft_transformer"),
        ("synthetic_icu_strats", "preprocessing.name=series",
         "'synthetic_icu' yields triplets; leave the name out, or write 'triplets'"),
    ],
)  # fmt: skip
def test_a_model_that_does_not_fit_the_form(config, change, says):
    with pytest.raises(ConfigError) as error:
        load_config(SMOKE / f"{config}.yaml", [change])
    assert says in str(error.value)


@pytest.fixture(scope="module")
def run(run_once):
    few = ["dataset.samples=120", "training.epochs=1", "evaluation.explanations=true",
           "calibration=platt"]  # fmt: skip
    return run_once("triplets", SMOKE / "synthetic_icu_strats.yaml", overrides=few)


@pytest.fixture(scope="module")
def cohort():
    return registry.datasets.build("synthetic_icu", samples=40, seed=3, form="triplets")


def test_a_run_predicts_raw_events(run, cohort):
    given = only_input(cohort)
    plain = run.predict(given)["probability"]
    wider = np.concatenate([given.values, np.full((40, 9, 3), np.nan, "float32")], axis=1)
    other = run.predict(RawInput("triplets", wider[:, ::-1], given.features))["probability"]
    np.testing.assert_allclose(other, plain, atol=1e-6)
    arrays = dict(run.encoder.encode(cohort.inputs).arrays)
    saved = run.model.predict(arrays, verbose=0)[:, 0]
    np.testing.assert_allclose(saved, plain, atol=1e-6)


def test_the_report_names_variables_with_their_units(run):
    importance = run.metrics["explanations"]["importance"]
    assert {each["name"] for each in importance["features"]} == set(run.encoder.names)
    assert {each["unit"] for each in importance["features"]} >= {"bpm", "mmHg"}
    rows = json.dumps(run.metrics["table_one"]["rows"])
    assert "heart_rate mean" in rows
    assert "bpm" in rows


def test_an_event_permuted_comes_with_its_time_and_gaps(run, cohort):
    modality = run.encoder.modalities["triplets"]
    x = modality.encode(only_input(cohort))
    group = modality.groups()[2]
    donors = np.random.default_rng(0).permutation(len(x))
    lent = group.lent(x, x[donors])

    def of(values, mine):
        here = (values[:, 1] == group.where[0]) == mine
        return [tuple(each) for each in values[here & ~np.isnan(values[:, 1])]]

    for before, donor, after in zip(x, x[donors], lent, strict=True):
        assert of(after, True) == of(donor, True)
        others = of(after, False)
        assert others == of(before, False)[len(of(before, False)) - len(others) :]
        room = len(after) - len(of(after, True))
        assert len(others) == min(room, len(of(before, False)))
        known = after[~np.isnan(after[:, 0]), 0]
        assert (np.diff(known) >= 0).all()
    gone = np.array(x)
    modality.hide(gone, group)
    assert not (gone[:, :, 1] == group.where[0]).any()
    assert np.isnan(gone).sum() - np.isnan(x).sum() == 3 * group.among(x).sum()


def test_attributions_add_up_and_tell_events_from_padding(run, cohort):
    inputs = run.encoder.encode(cohort.take(np.arange(6)).inputs)
    x, modality = inputs["triplets"], run.encoder.modalities["triplets"]

    def explained(**given):
        return explain(run.model, run.encoder, run.task, inputs, **given)["triplets"]

    local = explained()
    assert (local.method, local.axes) == ("integrated_gradients", "event")
    assert local.attributions.shape == x.shape[:2]
    assert (local.attributions[np.isnan(x[:, :, 0])] == 0).all()
    sums = local.reference + local.attributions.sum(axis=1)
    np.testing.assert_allclose(sums, local.explained, atol=1e-3)
    # What the sum starts from is the same sample with every value at its variable's mean.
    usual = np.array(x)
    known = ~np.isnan(x[:, :, 1])
    usual[known, 2] = np.float32(modality.center_)[x[known, 1].astype(int)]
    outputs = run.model.predict({"triplets": usual}, verbose=0)[:, 0]
    np.testing.assert_allclose(outputs, local.reference, atol=1e-5)
    looked = explained(method="attention")
    np.testing.assert_allclose(looked.attributions.sum(axis=1), 1.0, atol=1e-5)
    assert (looked.attributions[np.isnan(x[:, :, 0])] == 0).all()
    occluded = explained(method="occlusion")
    assert occluded.attributions.shape == (6, len(modality.names))


def audited(change):
    experiment = load_config(SMOKE / "synthetic_icu_strats.yaml")
    parts, flow = divide(read(experiment.dataset), experiment)
    given = only_input(parts["test"])
    values = np.array(given.values)
    change(values, only_input(parts["train"]).values)
    test = RawInput("triplets", values, given.features)
    parts["test"] = type(parts["test"])(
        parts["test"].samples, {"triplets": test}, parts["test"].targets, parts["test"].source
    )
    encoder, task, encoded = encode(parts, experiment, flow)
    return {f.name for f in audit(encoded, encoder, task, experiment.split)
            if f.severity == "fail"}  # fmt: skip


def test_the_gate_finds_copied_and_nearly_copied_stays():
    def copied(test, train):
        test[:5] = train[:5]

    def nearly(test, train):
        test[:12] = train[:12]
        test[:12, :, 0] += 0.01
        test[:12, :, 2] *= 1.001

    assert audited(lambda test, train: None) == set()
    assert "duplicates" in audited(copied)
    assert "near_duplicates" in audited(nearly)


def test_the_gate_finds_a_variable_that_names_the_stay():
    def numbered(values, start):
        values[:, 0] = 0
        values[:, 0, 1] = 6  # creatinine
        values[:, 0, 2] = start + np.arange(len(values))
        others = values[:, 1:]
        others[others[:, :, 1] == 6] = np.nan

    experiment = load_config(SMOKE / "synthetic_icu_strats.yaml")
    parts, flow = divide(read(experiment.dataset), experiment)
    for start, part in enumerate(parts.values()):
        numbered(only_input(part).values, 1000 * start)
    encoder, task, encoded = encode(parts, experiment, flow)
    found = [f for f in audit(encoded, encoder, task, experiment.split) if f.name == "identifier"]
    assert found[0].where == "column creatinine"

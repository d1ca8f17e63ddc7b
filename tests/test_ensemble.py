"""Deep ensembles and Monte-Carlo dropout: one saved model, its members, nothing left changed."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohorts import only_input

import medkit
from medkit.config.experiment import check_config
from medkit.runs import saving
from medkit.runs.run import Run
from medkit.training import ensemble
from medkit.training.backend import start
from medkit.workflows import train as pipeline
from medkit.workflows.assess import predict_parts
from medkit.workflows.external import evaluate_run_on
from medkit.workflows.prepare import divide, encode, read

ROOT = Path(__file__).parents[1]


def experiment(**changes):
    document = {
        "name": "ensemble",
        "seed": 3,
        "dataset": "breast_cancer",
        "task": "binary",
        "model": {"name": "mlp", "hidden_units": [8], "dropout": 0.3, "batch_normalization": True},
        "training": {"epochs": 3, "ensemble": 3, "early_stopping": {"patience": 2}},
        "evaluation": {"bootstrap": 0, "baselines": False, "explanations": False},
    }
    return check_config({**document, **changes}, folder=ROOT)


def prepared(config):
    cohort = read(config.dataset)
    divided, flow = divide(cohort, config)
    encoder, task, parts = encode(divided, config, flow)
    return encoder, task, parts


def built(config, encoder, task, parts):
    return pipeline.build(config, encoder, task, len(parts["train"]))


def alone(config):
    """The same config with one network."""
    training = config.training.model_copy(update={"ensemble": 1})
    return config.__class__(**{**vars(config), "training": training})


def weights_of(model):
    return [np.array(each) for each in model.get_weights()]


@pytest.fixture
def bare(monkeypatch):
    """A pipeline that spends no time on the report."""

    def report(folder, *_, **__):
        for name in ("report.html", "MODEL_CARD.md"):
            (folder / name).write_text("left out")

    monkeypatch.setattr(saving, "save_report", report)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """An ensemble of three, and the parts it was fitted on."""
    config = experiment()
    encoder, task, parts = prepared(config)
    network = built(config, encoder, task, parts)
    folder = tmp_path_factory.mktemp("fitted")
    history = pipeline.fit(network, task, parts, config, folder, False)
    return config, encoder, task, parts, network, history


def test_the_first_member_is_the_plain_network_bit_for_bit(fitted, tmp_path):
    config, encoder, task, parts, network, history = fitted
    single = alone(config)
    plain = built(single, encoder, task, parts)
    assert plain.members == (plain.trained,)
    assert ensemble.members_of(plain.full) is None
    assert ensemble.member_outputs(plain.full, parts["test"].inputs) is None
    of_plain = pipeline.fit(plain, task, parts, single, tmp_path, False)
    for ours, theirs in zip(weights_of(network.members[0]), weights_of(plain.trained), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    first = ensemble.member_outputs(network.full, parts["test"].inputs)[0]
    outputs = predict_parts(plain.full, parts)["test"]
    np.testing.assert_allclose(first, outputs, atol=1e-7)
    count = len(of_plain["loss"])
    assert "member" not in of_plain
    assert history["member"][: count + 1] == [1.0] * count + [2.0]
    assert history["loss"][:count] == of_plain["loss"]


def test_the_whole_is_the_mean_of_different_members(fitted):
    config, _, _, parts, network, _ = fitted
    members = ensemble.member_outputs(network.full, parts["test"].inputs)
    assert members.shape == (3, len(parts["test"]), 1)
    whole = predict_parts(network.full, parts)["test"]
    np.testing.assert_allclose(whole, members.mean(axis=0), atol=1e-6)
    assert members.std(axis=0).min() > 0
    # What each was trained as is what it contributes.
    ready = network.prepare(parts["test"].inputs)
    for model, outputs in zip(network.members, members, strict=True):
        np.testing.assert_allclose(model.predict(ready, verbose=0), outputs, atol=1e-6)
    assert len({ensemble.member_seed(config.seed, number) for number in range(1, 51)}) == 50


def test_members_of_numbers_are_in_their_units(tmp_path):
    config = experiment(dataset="diabetes", task="regression")
    encoder, task, parts = prepared(config)
    network = built(config, encoder, task, parts)
    members = ensemble.member_outputs(network.full, parts["test"].inputs)
    whole = predict_parts(network.full, parts)["test"]
    np.testing.assert_allclose(whole, members.mean(axis=0), rtol=1e-5)
    assert 100 < members.mean() < 200
    network.full.save(tmp_path / "model.keras")
    import keras

    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    again = ensemble.member_outputs(loaded, parts["test"].inputs)
    np.testing.assert_allclose(again, members, rtol=1e-6)


def test_interrupted_in_a_later_member_and_resumed_equals_uninterrupted(
    fitted, tmp_path, monkeypatch, caplog
):
    import keras

    config, encoder, task, parts, whole, history = fitted
    assert history["member"].count(2.0) > 2

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    fit, calls = keras.Model.fit, []

    def counted(self, *arguments, callbacks=(), **settings):
        calls.append(settings["initial_epoch"])
        more = [Stop()] if len(calls) == 2 else []
        return fit(self, *arguments, callbacks=[*callbacks, *more], **settings)

    monkeypatch.setattr(keras.Model, "fit", counted)
    network = built(config, encoder, task, parts)
    with pytest.raises(KeyboardInterrupt):
        pipeline.fit(network, task, parts, config, tmp_path, False)
    kept = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("state.npz")}
    assert kept == {"checkpoint/state.npz", "checkpoint/member-2/state.npz"}
    network = built(config, encoder, task, parts)
    with caplog.at_level("INFO", "medkit"):
        resumed = pipeline.fit(network, task, parts, config, tmp_path, True)
    # The first member is not trained again, the second goes on after its second epoch.
    assert calls == [0, 0, 2, 0]
    assert resumed == history
    for ours, theirs in zip(weights_of(network.full), weights_of(whole.full), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert "member 2/3: resuming after epoch 2" in caplog.text
    assert "member 3/3, epoch 3/3: loss" in caplog.text


def test_members_that_augment_images_resume_exactly(tmp_path):
    """Augmentation draws from a state that the members share."""
    config = experiment(
        dataset={"name": "synthetic_xray", "samples": 60},
        model={"name": "mlp", "hidden_units": [4], "dropout": 0.0},
        preprocessing={"noise": 0.3},
        training={"epochs": 1, "ensemble": 2, "early_stopping": None},
    )
    encoder, task, parts = prepared(config)
    whole = built(config, encoder, task, parts)
    pipeline.fit(whole, task, parts, config, tmp_path / "whole", False)
    # As after an interruption between the members.
    kept = Path("checkpoint", "state.npz")
    (tmp_path / "halved" / kept).parent.mkdir(parents=True)
    shutil.copy(tmp_path / "whole" / kept, tmp_path / "halved" / kept)
    halved = built(config, encoder, task, parts)
    pipeline.fit(halved, task, parts, config, tmp_path / "halved", True)
    for ours, theirs in zip(weights_of(halved.full), weights_of(whole.full), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    # Without dropout nothing is drawn in passes: augmentation is off.
    x = parts["test"].inputs.take(np.arange(8))
    outputs = whole.full.predict(dict(x.arrays), verbose=0)
    for each in ensemble.dropout_passes(whole.full, x, 3, 0):
        np.testing.assert_allclose(each, outputs, atol=1e-6)
    assert np.abs(whole.full(dict(x.arrays), training=True) - outputs).max() > 1e-3


def test_passes_draw_dropout_and_nothing_else(fitted):
    _, _, _, parts, network, _ = fitted
    model, x = network.full, parts["test"].inputs
    before = [np.array(each.numpy()) for each in model.variables]
    trainable = [each.trainable for each in model._flatten_layers()]
    outputs = model.predict(dict(x.arrays), verbose=0)
    passes = np.stack(list(ensemble.dropout_passes(model, x, 200, 1)))
    assert passes.shape == (200, len(x), 1)
    assert np.ptp(passes, axis=0).min() > 0
    np.testing.assert_array_equal(passes, list(ensemble.dropout_passes(model, x, 200, 1)))
    assert not np.array_equal(passes, list(ensemble.dropout_passes(model, x, 200, 2)))
    # In batch statistics the outputs of a row would depend on the rows beside it.
    assert np.abs(passes.mean(axis=0) - outputs).max() < 0.1
    for ours, theirs in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs)
    assert [each.trainable for each in model._flatten_layers()] == trainable
    np.testing.assert_array_equal(model.predict(dict(x.arrays), verbose=0), outputs)


def test_batch_normalization_does_not_follow_the_batch():
    config = experiment(
        model={"name": "mlp", "hidden_units": [8], "dropout": 0.0, "batch_normalization": True}
    )
    encoder, task, parts = prepared(config)
    network = built(alone(config), encoder, task, parts)
    x = parts["train"].inputs.take(np.arange(10))
    outputs = network.full.predict(dict(x.arrays), verbose=0)
    (each,) = ensemble.dropout_passes(network.full, x, 1, 0)
    np.testing.assert_allclose(each, outputs, atol=1e-6)


def test_passes_need_few_rows_at_once(fitted, monkeypatch):
    _, _, _, parts, network, _ = fitted
    x = parts["train"].inputs.take(np.arange(100))
    sizes = []
    import keras

    predict = keras.Model.predict_on_batch

    def counted(self, batch):
        sizes.append(len(batch["tabular"]))
        return predict(self, batch)

    monkeypatch.setattr(keras.Model, "predict_on_batch", counted)
    monkeypatch.setattr(ensemble, "_ROWS_AT_ONCE", 32)
    (one,) = ensemble.dropout_passes(network.full, x, 1, 0)
    assert one.shape == (100, 1)
    assert sizes == [32] * 4


@pytest.mark.parametrize("model", ["gru", "attention"])
def test_recurrent_and_attention_dropout_vary_the_passes(model):
    parameters = {
        "gru": {"units": [4], "dropout": 0.0, "recurrent_dropout": 0.4},
        "attention": {"dropout": 0.0, "attention_dropout": 0.4},
    }[model]
    config = experiment(
        dataset={"name": "synthetic_icu", "samples": 60}, model={"name": model, **parameters},
        training={"epochs": 1},
    )  # fmt: skip
    encoder, task, parts = prepared(config)
    network = built(config, encoder, task, parts)
    passes = list(ensemble.dropout_passes(network.full, parts["test"].inputs, 3, 0))
    assert np.ptp(passes, axis=0).max() > 1e-4
    assert np.isfinite(passes).all()


def test_tensorflow_does_not_warn_of_each_members_trace():
    start()
    for text, shown in (("6 calls triggered tf.function retracing. Tracing", False), ("NaN", True)):
        record = logging.makeLogRecord({"msg": text, "levelno": logging.WARNING})
        assert bool(logging.getLogger("tensorflow").filter(record)) == shown


def test_histories_joined_and_averaged():
    one = {"loss": [3.0, 2.0], "val_loss": [4.0, 3.0]}
    assert ensemble.joined([one]) is one
    assert ensemble.averaged(one) == one
    other = {"loss": [5.0, 4.0, 1.0], "val_loss": [2.0, 1.0, 0.5]}
    together = ensemble.joined([one, other])
    assert together == {
        "member": [1.0, 1.0, 2.0, 2.0, 2.0],
        "loss": [3.0, 2.0, 5.0, 4.0, 1.0],
        "val_loss": [4.0, 3.0, 2.0, 1.0, 0.5],
    }
    assert ensemble.averaged(together) == {
        "loss": [4.0, 3.0, 1.0], "val_loss": [3.0, 2.0, 0.5],
    }  # fmt: skip


def test_the_run_reports_all_and_predicts_sets(tmp_path, bare):
    config = experiment(
        training={"epochs": 1, "ensemble": 2},
        evaluation={
            "bootstrap": 20, "baselines": False, "explanations": False, "monte_carlo_dropout": 3,
        },
    )  # fmt: skip
    run = medkit.train(config, out=tmp_path)
    found = run.metrics["test"]["uncertainty"]
    assert found["entropy"]["ensemble"]["count"] == 2
    assert found["entropy"]["monte_carlo_dropout"]["count"] == 3
    assert found["abstention"]["aurc"]["low"] is not None
    inputs = json.loads((run.path / "inputs.json").read_text())
    assert inputs["conformal"] == found["conformal"]["state"] == run.conformal
    history = run.history
    assert list(history)[:3] == ["epoch", "member", "loss"]
    assert history[["epoch", "member"]].to_numpy().tolist() == [[1, 1], [1, 2]]
    again = evaluate_run_on(run)["uncertainty"]["entropy"]  # as for another site
    for source, number in (("ensemble", 2), ("monte_carlo_dropout", 3)):
        assert again[source]["count"] == number
        value, before = (each[source]["mutual_information"]["mean"]["value"]
                         for each in (again, found["entropy"]))  # fmt: skip
        assert value == pytest.approx(before, rel=1e-3)
    (q,) = inputs["conformal"]["quantile"]
    rows = only_input(read(config.dataset)).values.head(40)
    table = Run.open(run.path).predict(rows)
    for name, chance in (("malignant", table["probability"]), ("benign", 1 - table["probability"])):
        inside = table["prediction_set"].str.contains(name)
        pd.testing.assert_series_equal(inside, 1 - chance <= q, check_names=False)


ELSEWHERE = """
import sys
import numpy as np
import keras
import medkit.layers
from medkit.data.inputs import Inputs
from medkit.training import ensemble
model = keras.saving.load_model(sys.argv[1], compile=False)
x = Inputs({"tabular": np.load(sys.argv[2])})
first = np.stack(list(ensemble.dropout_passes(model, x, 4, 5)))
again = np.stack(list(ensemble.dropout_passes(model, x, 4, 5)))
assert np.array_equal(first, again)
assert np.ptp(first, axis=0).min() > 0
whole = model.predict(dict(x.arrays), verbose=0)
np.savez(sys.argv[3], members=ensemble.member_outputs(model, x), whole=whole)
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_one_file_for_all_backends(backend, fitted, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    network, x = fitted[4], fitted[3]["test"].inputs
    network.full.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", x["tabular"])
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, *(str(tmp_path / each) for each in (
            "model.keras", "x.npy", "found.npz"))],
        capture_output=True, text=True, check=False,
        env={**os.environ, "KERAS_BACKEND": backend},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = np.load(tmp_path / "found.npz")
    np.testing.assert_allclose(
        found["members"], ensemble.member_outputs(network.full, x), atol=1e-5
    )
    np.testing.assert_allclose(
        found["whole"], network.full.predict(dict(x.arrays), verbose=0), atol=1e-5
    )

"""The Trainer: order of the rows, exact steps, resumption, stopping, messages."""

from __future__ import annotations

import json
import logging
import time
import types
import warnings

import keras
import numpy as np
import pytest

from medkit.config.experiment import Training
from medkit.core import keras_names
from medkit.core.errors import ConfigError, DataError, RunError, TrainingError
from medkit.core.progress import Progress
from medkit.training import feed, plan, watchers
from medkit.training.callbacks import StoppingCallback
from medkit.training.optimizer import build_optimizer, learning_rate
from medkit.training.trainer import Trainer, set_mixed_precision
from medkit.training.weights import row_weights

BACKEND = keras.backend.backend()


def rows(count=70, columns=4, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, columns)).astype("float32")
    y = (x[:, 0] + 0.5 * rng.normal(size=count) > 0).astype(int)
    return x, y


def network(columns=4, outputs=1, activation="sigmoid", dropout=0.3):
    keras.utils.set_random_seed(5)
    inputs = keras.Input((columns,))
    x = keras.layers.Dense(8, activation="relu")(inputs)
    x = keras.layers.BatchNormalization()(keras.layers.Dropout(dropout)(x))
    return keras.Model(inputs, keras.layers.Dense(outputs, activation=activation)(x))


def trained(epochs=3, *, folder=None, resume=False, callbacks=(), **settings):
    x, y = rows()
    model = network()
    trainer = Trainer(model, seed=1, folder=folder, epochs=epochs, **settings)
    history = trainer.fit(
        x, y, validation_data=rows(30, seed=1), resume=resume, callbacks=callbacks
    )
    return trainer, history


class Interrupt(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.current == self.epoch:
            raise KeyboardInterrupt

    def on_epoch_begin(self, epoch, logs=None):
        self.current = epoch


# The feed


def test_each_epoch_has_every_row_once_in_an_order_fixed_by_seed_and_epoch():
    x = np.arange(70)[:, None]
    made = feed.chunks((x,), batch_size=32, fused=2, seed=3)
    first = [next(made)[0] for _ in range(2)]
    assert [len(each) for each in first] == [64, 6]
    assert sorted(np.concatenate(first).ravel()) == list(range(70))
    second = np.concatenate([next(made)[0] for _ in range(2)])
    later = feed.chunks((x,), batch_size=32, fused=2, seed=3, first_epoch=1)
    assert (second == np.concatenate([next(later)[0] for _ in range(2)])).all()
    assert (second != np.concatenate(first)).any()


def test_inputs_and_targets_of_different_length_are_refused():
    with pytest.raises(DataError, match=r"differ in their number of rows: \[3, 4\]"):
        feed.row_count((np.zeros((3, 1)), np.zeros(4)))


@pytest.mark.parametrize("compiled", [False, True])
def test_the_fused_steps_are_keras_own_steps(compiled):
    """Weights after one epoch equal those of train_on_batch over the same batches."""
    if compiled and BACKEND != "tensorflow":
        pytest.skip("jit_compile is the default on JAX and torch.compile is slow to start")
    x, y = rows()
    model = network(dropout=0.0)
    Trainer(
        model, seed=1, epochs=1, early_stopping=None, jit_compile=compiled, steps_per_execution=3
    ).fit(x, y)
    by_hand = network(dropout=0.0)
    by_hand.compile("adam", "binary_crossentropy", jit_compile=False)
    order = feed.order(len(x), seed=1, epoch=0)
    for start in range(0, len(x), 32):
        batch = order[start : start + 32]
        by_hand.train_on_batch(x[batch], y[batch, None].astype("float32"))
    for ours, theirs in zip(model.get_weights(), by_hand.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)


def test_validation_equals_keras_evaluate_also_over_several_batches(monkeypatch):
    trainer, history = trained()
    x, y = rows(30, seed=1)
    expected = trainer.model.evaluate(x, y[:, None], verbose=0, return_dict=True)
    found = trainer.evaluate(x, y)
    assert found == pytest.approx(expected, abs=1e-6)
    best = history.best_epoch - 1
    assert found["loss"] == pytest.approx(history.history["val_loss"][best], abs=1e-6)
    monkeypatch.setattr("medkit.training.validation.rows_without_gradient", lambda *_: 8)
    assert trainer.evaluate(x, y) == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(trainer.predict(x), trainer.model.predict(x, verbose=0), atol=1e-6)


# Kinds of input


def test_dicts_of_arrays_and_memmaps(tmp_path):
    x, y = rows()
    inputs = {"a": keras.Input((4,), name="a"), "b": keras.Input((4,), name="b")}
    merged = keras.layers.Concatenate()(list(inputs.values()))
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(merged))
    stored = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", "float32", x.shape)
    stored[:] = x
    trainer = Trainer(model, epochs=2)
    history = trainer.fit({"a": x, "b": stored}, y)
    assert history.epochs == 2
    assert trainer.predict({"a": x[:5], "b": stored[:5]}).shape == (5, 1)


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        x, y = rows(20, seed=index)
        return x, y[:, None].astype("float32")


def test_streams():
    trainer = Trainer(network(), epochs=2, class_weight={"0": 1.0, "1": 3.0})
    trainer.task.fit([0, 1])
    history = trainer.fit(Batches(), validation_data=Batches())
    assert set(history.history) >= {"loss", "val_loss", "val_auroc"}
    assert trainer.predict(Batches()).shape == (60, 1)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        x, y = rows()
        data = tf.data.Dataset.from_tensor_slices((x, y[:, None].astype("float32"))).batch(16)
        assert Trainer(network(), epochs=2).fit(data).epochs == 2


def test_keras_has_nothing_to_warn_of():
    x, y = rows()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        trained(2, class_weight="balanced")
        trainer = Trainer(network(), epochs=1)
        trainer.task.fit([0, 1])
        trainer.fit(Batches(), validation_data=Batches())
        trainer.evaluate(x, y)
        trainer.predict(x)


def test_a_named_task_takes_targets_as_they_come_and_keeps_their_units():
    x, y = rows()
    trainer = Trainer(network(), epochs=1)
    trainer.fit(x, np.where(y == 1, "sick", "healthy"))
    assert trainer.task.classes_ == ["healthy", "sick"]
    regression = Trainer(
        network(activation="linear", dropout=0.0),
        task="regression", epochs=200, optimizer={"name": "adam", "learning_rate": 0.1},
    )  # fmt: skip
    pressure = 120 + 10 * x[:, 0]  # mmHg
    regression.fit(x, pressure)
    assert abs(regression.predict(x).mean() - 120) < 5


def test_a_task_object_takes_encoded_targets():
    x, y = rows()
    from medkit.core.registry import tasks

    task = tasks.build("multiclass").fit(["a", "b", "c"])
    history = Trainer(network(outputs=3, activation="softmax"), task=task, epochs=1).fit(
        x, (y + (x[:, 1] > 1)).astype("int32"), validation_data=(x, y.astype("int32"))
    )
    assert "val_loss" in history.history


# Sameness


def test_the_same_seed_gives_the_same_history():
    first, second = trained()[1], trained()[1]
    assert first.history == second.history
    assert first.epochs == 3
    assert first.best_epoch in (1, 2, 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate_schedule": {"name": "cosine", "warmup_epochs": 1}},
        {"learning_rate_schedule": {"name": "plateau", "patience": 1}, "class_weight": "balanced"},
    ],
)
def test_a_resumed_run_equals_one_that_was_never_interrupted(tmp_path, settings):
    whole, expected = trained(5, **settings)
    with pytest.raises(KeyboardInterrupt):
        trained(5, folder=tmp_path, callbacks=[Interrupt(3)], **settings)
    keras.utils.set_random_seed(99)  # nothing outside the checkpoint may matter
    resumed, found = trained(5, folder=tmp_path, resume=True, **settings)
    assert found.history == expected.history
    assert found.best_epoch == expected.best_epoch
    for ours, theirs in zip(resumed.model.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_finished_or_unstarted_training_can_be_resumed(tmp_path):
    _, first = trained(2, folder=tmp_path, resume=True)
    _, second = trained(2, folder=tmp_path, resume=True)
    assert second.history == first.history
    assert second.best_epoch == first.best_epoch
    assert trained(3, folder=tmp_path, resume=True)[1].epochs == 3


def test_the_checkpoint_is_plain_arrays_and_json(tmp_path):
    trained(2, folder=tmp_path)
    with np.load(tmp_path / "checkpoint" / "state.npz", allow_pickle=False) as file:
        assert json.loads(str(file["state"]))["epochs"] == 2
        assert any(name.startswith("best/") for name in file.files)
    assert [each.name for each in (tmp_path / "checkpoint").iterdir()] == ["state.npz"]


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    trained(2, folder=tmp_path)
    with pytest.raises(RunError, match="made with batch_size 32, this training has 16"):
        trained(2, folder=tmp_path, resume=True, batch_size=16)
    with pytest.raises(RunError, match="optimizer has other weights"):
        trained(2, folder=tmp_path, resume=True, optimizer="sgd")
    (tmp_path / "checkpoint" / "state.npz").write_bytes(b"nothing")
    with pytest.raises(RunError, match="is not a checkpoint"):
        trained(2, folder=tmp_path, resume=True)


# Stopping


def test_early_stopping_keeps_the_best_weights_and_ignores_undefined_values():
    stopping = StoppingCallback("val_a", "max", patience=2, min_delta=0.1, restore_best=True)
    layer = keras.layers.Dense(1)
    layer.build((None, 1))
    stopping.set_model(layer)
    layer.stop_training = False
    for epoch, value in enumerate([float("nan"), 0.5, 0.55, float("nan")]):
        layer.kernel.assign([[float(epoch)]])
        stopping.on_epoch_end(epoch, {"val_a": value})
    assert (stopping.best, stopping.best_epoch, stopping.stopped) == (0.5, 1, True)
    assert stopping.weights[0] == 1.0


def stopped_at(epochs, stopping=None, first=0, **settings):
    stopping = stopping or StoppingCallback("val_a", "max", min_delta=0.0, **settings)
    layer = keras.layers.Dense(1)
    layer.build((None, 1))
    stopping.set_model(layer)
    layer.stop_training = False
    for epoch, (value, loss) in enumerate(epochs, start=first):
        layer.kernel.assign([[float(epoch)]])
        stopping.on_epoch_end(epoch, {"val_a": value, "val_loss": loss})
    return stopping


def test_of_equal_values_the_lower_loss_is_kept_without_more_patience():
    epochs = [(0.9, 0.5), (1.0, 0.4), (1.0, 0.6), (1.0, 0.3), (0.9, 0.1)]
    found = stopped_at(epochs, patience=3, restore_best=True)
    assert (found.best, found.best_loss, found.best_epoch) == (1.0, 0.3, 3)
    assert found.weights[0] == 3.0
    assert (found.wait, found.stopped) == (3, True)
    # In two halves, by way of a checkpoint.
    half = stopped_at(epochs[:3], patience=3, restore_best=True)
    again = StoppingCallback("val_a", "max", patience=3, min_delta=0.0, restore_best=True)
    again.restore(json.loads(json.dumps(half.state())))
    assert stopped_at(epochs[3:], again, first=3).state() == found.state()
    unseen = StoppingCallback("val_a", "max", patience=3, min_delta=0.0, restore_best=True)
    unseen.restore(json.loads(json.dumps(unseen.state())))
    assert (unseen.best, unseen.best_loss) == (-np.inf, np.inf)


@pytest.mark.parametrize("plateau", [None, {"name": "plateau", "patience": 1}])
def test_a_ranking_undefined_on_validation_is_not_followed(plateau, caplog):
    x, y = rows()
    trainer = Trainer(network(), epochs=4, learning_rate_schedule=plateau)
    history = trainer.fit(x, y, validation_data=(x[:20], np.zeros(20)))
    said = "the validation rows hold one class only, so that auprc is undefined there: val_loss "
    assert said + "is monitored instead of val_auprc" in caplog.text
    assert history.best_epoch == 1 + int(np.argmin(history.history["val_loss"]))
    caplog.clear()
    Trainer(network(), epochs=1).fit(x, y, validation_data=(x[:20], y[:20]))
    Trainer(network(), epochs=1, early_stopping={"monitor": "accuracy"}).fit(
        x, y, validation_data=(x[:20], np.zeros(20))
    )
    assert "one class only" not in caplog.text


def test_of_several_labels_one_with_both_classes_is_enough(caplog):
    x, y = rows()
    both = np.column_stack([y, 1 - y])
    for column, fallen_back in ((y, False), (np.ones(70), True)):
        caplog.clear()
        Trainer(network(outputs=2), task="multilabel", epochs=1).fit(
            x, both, validation_data=(x, np.column_stack([column, np.zeros(70)]))
        )
        assert ("val_loss is monitored" in caplog.text) is fallen_back


def test_early_stopping_ends_the_training(caplog):
    caplog.set_level(logging.INFO, "medkit")
    _, history = trained(30, early_stopping={"monitor": "loss", "patience": 1, "min_delta": 10.0})
    assert (history.epochs, history.best_epoch, history.stopped_early) == (2, 1, True)
    assert "weights of epoch 1 (stopped early)" in caplog.text
    x, y = rows()
    Trainer(network(), epochs=1).fit(x, y)
    assert "no validation data: early stopping is off" in caplog.text


def test_a_loss_that_is_not_a_number_stops_the_training():
    x, y = rows()
    x[3, 2] = np.inf
    with pytest.raises(TrainingError) as caught:
        Trainer(network(), epochs=4).fit(x, y)
    text = str(caught.value)
    assert "the loss is not a finite number (nan) in epoch 1 of 4" in text
    assert "a lower learning rate (it is 0.001)" in text
    assert "clipnorm" in text


# Settings


@pytest.mark.parametrize("name", keras_names.OPTIMIZERS)
def test_every_optimizer_can_be_built(name):
    settings = Training.of(optimizer={"name": name, "learning_rate": 0.02, "clipnorm": 1.0})
    optimizer = build_optimizer(settings, 10)
    assert type(optimizer).__name__.lower() == name
    assert optimizer.clipnorm == 1.0
    assert learning_rate(optimizer) == pytest.approx(0.02)


def test_learning_rate_schedules():
    def rates(**schedule):
        settings = Training.of(epochs=4, learning_rate_schedule=schedule)
        made = build_optimizer(settings, 10)._learning_rate
        return [float(made(step)) for step in (0, 5, 10, 20, 40)]

    assert rates(name="cosine") == pytest.approx([1e-3, 9.62e-4, 8.54e-4, 5e-4, 0], abs=1e-6)
    assert rates(name="cosine", minimum=1e-4)[-1] == pytest.approx(1e-4)
    warm = rates(name="cosine", warmup_epochs=1)
    assert warm[0] == pytest.approx(1e-4)
    assert warm[2] == pytest.approx(1e-3)
    assert rates(name="warmup", epochs=2) == pytest.approx(
        [5e-5, 2.88e-4, 5.25e-4, 1e-3, 1e-3], abs=1e-5
    )


def test_class_weights():
    np.testing.assert_array_equal(
        row_weights({0: 0.5, 1: 2.0}, np.array([[0.0], [1.0], [1.0]])), [0.5, 2.0, 2.0]
    )
    x, y = rows()
    with pytest.raises(TrainingError, match="no class 'sik'; did you mean 'sick'"):
        Trainer(network(), class_weight={"sik": 2.0}).fit(x, np.where(y, "sick", "well"))
    with pytest.raises(TrainingError, match="'regression' has no mutually exclusive classes"):
        Trainer(network(), task="regression", class_weight="balanced").fit(x, x[:, 0])
    with pytest.raises(TrainingError, match="needs the targets as an array"):
        Trainer(network(), class_weight="balanced").fit(Batches())


def test_wrong_settings_are_named():
    with pytest.raises(ConfigError, match=r"epoch: .*did you mean 'epochs'"):
        Trainer(network(), epoch=3)
    with pytest.raises(TrainingError, match="does not watch 'aurok'; did you mean 'auroc'"):
        trained(1, early_stopping={"monitor": "aurok"})
    with pytest.raises(TrainingError, match="tensorboard needs a folder"):
        trained(1, tensorboard=True)


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorflow")
    pytest.importorskip("tensorboard")
    trained(1, folder=tmp_path, tensorboard=True)
    assert list((tmp_path / "tensorboard").rglob("events.*"))


def test_tensorboard_without_its_package(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TrainingError, match=r"keras-medkit\[tensorboard\]"):
        watchers.tensorboard(tmp_path)


def test_mixed_precision():
    try:
        assert set_mixed_precision(True) in ("mixed_float16", "mixed_bfloat16")
        model = network()
        assert model.layers[1].compute_dtype in ("float16", "bfloat16")
        x, y = rows()
        assert Trainer(model, epochs=1).fit(x, y).epochs == 1
    finally:
        assert set_mixed_precision(False) == "float32"


# The plan


def test_the_kind_of_a_network():
    def kind(layer, shape):
        inputs = keras.Input(shape)
        inner = keras.Model(inputs, layer(inputs))
        outer = keras.Input(shape)
        return plan.network_kind(keras.Model(outer, inner(outer)))

    assert kind(keras.layers.Dense(2), (3,)) == "dense"
    assert kind(keras.layers.Conv1D(2, 2), (5, 3)) == "convolution"
    assert kind(keras.layers.Bidirectional(keras.layers.GRU(2)), (5, 3)) == "recurrent"
    attention = keras.layers.MultiHeadAttention(1, 2)
    assert kind(lambda x: attention(x, x), (5, 3)) == "attention"


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
@pytest.mark.parametrize("device", ["cpu", "gpu"])
@pytest.mark.parametrize("kind", ["dense", "convolution", "recurrent", "attention"])
def test_every_case_has_a_plan_and_the_config_may_overrule_it(monkeypatch, backend, device, kind):
    fake = types.SimpleNamespace(backend=types.SimpleNamespace(backend=lambda: backend))
    monkeypatch.setattr(plan, "keras", fake)
    size = {"steps": 100, "epochs": 50, "batch_bytes": 1000}
    chosen = plan.choose(kind, device, **size)
    assert 1 <= chosen.fused <= 100
    assert chosen.reason
    if (backend, device) == ("tensorflow", "cpu"):
        assert not chosen.compiled
    told = plan.choose(kind, device, **size, steps_per_execution=7, jit_compile=True)
    assert (told.fused, told.compiled) == (7, True)


def test_a_second_trace_is_made_only_where_it_is_repaid():
    if BACKEND != "tensorflow":
        pytest.skip("only TensorFlow traces another batch size anew")
    size = {"steps": 10, "batch_bytes": 1000}
    assert not plan.choose("recurrent", "cpu", epochs=79, **size).fixed_shapes
    assert plan.choose("recurrent", "cpu", epochs=80, **size).fixed_shapes
    assert plan.choose("dense", "cpu", epochs=1, **size, jit_compile=True).fixed_shapes


def test_the_end_of_the_first_epoch_is_said_at_once(caplog):
    shown = Progress("epoch 1/9", 9, quiet=0, every=100)
    with caplog.at_level("INFO"):
        shown.show(1, "loss 0.5", time.monotonic())
        shown.show(2, "loss 0.4", time.monotonic())
    assert caplog.messages == ["epoch 1/9: loss 0.5"]

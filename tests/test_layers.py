"""The preprocessing layers: against numpy, saved and loaded, alike on every backend."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from medkit.layers.image import ImageAugmentation, ImagePreprocessing
from medkit.layers.series import SeriesPreprocessing, forward_fill
from medkit.layers.tabular import TabularPreprocessing
from medkit.layers.tokens import TokenPreprocessing

NAN = np.nan


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def saved_and_loaded(layer, x, folder: Path):
    inputs = keras.Input(x.shape[1:], dtype=x.dtype.name)
    keras.Model(inputs, layer(inputs)).save(folder / "model.keras")
    return keras.models.load_model(folder / "model.keras", safe_mode=True)


def test_table_columns_are_filled_standardized_and_one_hot():
    layer = TabularPreprocessing([None, 2, None], [False, True, False], [True, True, False])
    layer.build((None, 3))
    layer.set_statistics(fill=[120.0, 5.0], center=[110.0, 4.0], scale=[10.0, 2.0])
    x = np.array([[130, 1, 6], [NAN, 0, NAN], [90, NAN, 4]], "float32")
    expected = [
        # systolic, other, rare, first, second, systolic missing, category missing
        [2.0, 1.0, 0, 1, 0, 0, 0],
        [1.0, 0.5, 1, 0, 0, 1, 0],
        [-2.0, 0.0, 0, 0, 0, 0, 1],
    ]
    found = numpy(layer(x))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert layer.compute_output_shape((None, 3)) == (None, 7)
    assert not layer.trainable_weights


def test_table_of_categories_alone_has_no_statistics(tmp_path):
    layer = TabularPreprocessing([2], [False], [False])
    x = np.array([[1], [2], [0], [NAN]], "float32")
    expected = [[1, 0], [0, 1], [0, 0], [0, 0]]
    assert not layer.weights
    np.testing.assert_array_equal(numpy(saved_and_loaded(layer, x, tmp_path)(x)), expected)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 8, 48])
def test_forward_fill_equals_a_loop(steps):
    values = np.random.default_rng(0).normal(size=(20, steps, 3)).astype("float32")
    missing = np.random.default_rng(1).random(values.shape) < 0.8
    values[missing] = 0
    expected, still = values.copy(), missing.copy()
    for step in range(1, steps):
        carried = still[:, step] & ~still[:, step - 1]
        expected[:, step][carried] = expected[:, step - 1][carried]
        still[:, step] &= still[:, step - 1]
    filled, left = forward_fill(keras.ops.array(values), keras.ops.array(missing))
    np.testing.assert_array_equal(numpy(left), still)
    np.testing.assert_array_equal(numpy(filled)[~still], expected[~still])


def test_series_are_filled_standardized_and_marked():
    layer = SeriesPreprocessing(carry_forward=True, indicators=[1])
    layer.build((None, 3, 2))
    layer.set_statistics(fill=[80.0, 37.0], center=[80.0, 37.0], scale=[10.0, 0.5])
    x = np.array([[[NAN, 38], [90, NAN], [NAN, NAN]]], "float32")
    expected = [[[0, 2, 1], [1, 2, 0], [1, 2, 0]]]
    np.testing.assert_allclose(numpy(layer(x)), expected, atol=1e-6)
    assert layer.compute_output_shape((None, 3, 2)) == (None, 3, 3)


def test_series_are_clipped_in_standard_deviations():
    layer = SeriesPreprocessing(clip=2.0)
    layer.build((None, 3, 1))
    layer.set_statistics([7.4], [7.4], [0.1])
    x = np.array([[[735], [7.5], [-1]]], "float32")  # pH, twice mistyped
    np.testing.assert_allclose(numpy(layer(x)), [[[2], [1], [-2]]], atol=1e-5)


def test_series_layer_needs_a_known_number_of_steps():
    with pytest.raises(ValueError, match="steps and channels known"):
        SeriesPreprocessing().build((None, None, 2))


def test_preprocessing_stays_in_float32_under_mixed_precision():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        layer = SeriesPreprocessing()
        layer.build((None, 1, 1))
        layer.set_statistics([0.0], [250_000.0], [1_000.0])  # platelets per µL
        assert numpy(layer(np.array([[[251_000]]], "float32")))[0, 0, 0] == 1.0
    finally:
        keras.config.set_dtype_policy(policy)


def test_tokens_one_hot_and_embedding(tmp_path):
    ids = np.array([[0, 1, 2, 3]], "int32")
    one_hot = TokenPreprocessing(4)
    np.testing.assert_array_equal(numpy(one_hot(ids)), [[[0, 0], [0, 0], [1, 0], [0, 1]]])
    assert one_hot.compute_output_shape((None, 4)) == (None, 4, 2)
    with_unseen = TokenPreprocessing(4, unseen=True)
    np.testing.assert_array_equal(numpy(with_unseen(ids))[0], np.eye(4)[:, 1:])
    embedded = TokenPreprocessing(4, dimensions=5)
    vectors = numpy(embedded(ids))
    assert vectors.shape == (1, 4, 5)
    assert not vectors[0, :2].any()
    assert vectors[0, 2:].all()
    assert len(embedded.trainable_weights) == 1
    np.testing.assert_array_equal(numpy(saved_and_loaded(embedded, ids, tmp_path)(ids)), vectors)


def images(count=4, size=8):
    return np.random.default_rng(2).integers(0, 256, (count, size, size, 1), dtype="uint8")


def test_pixels_are_rescaled_then_standardized():
    layer = ImagePreprocessing()
    layer.build((None, 8, 8, 1))
    layer.set_statistics(0, 255, [0.5], [0.25])
    expected = (images() / 255 - 0.5) / 0.25
    np.testing.assert_allclose(numpy(layer(images())), expected, atol=1e-5)


ALL = {
    "flip": "both",
    "rotation": 20.0,
    "translation": 0.1,
    "zoom": 0.1,
    "contrast": 0.2,
    "noise": 0.05,
}


def test_augmentation_acts_in_training_only_and_repeats_with_the_seed(tmp_path):
    def trained():
        keras.utils.set_random_seed(3)
        layer = ImagePreprocessing(augmentation=ALL)
        return layer, [numpy(layer(images(), training=True)) for _ in range(2)]

    layer, (first, second) = trained()
    plain = numpy(layer(images()))
    assert np.abs(first - plain).mean() > 0.01
    assert np.abs(first - second).mean() > 0.01
    np.testing.assert_array_equal(numpy(layer(images(), training=False)), plain)
    np.testing.assert_array_equal(trained()[1], [first, second])
    loaded = saved_and_loaded(layer, images(), tmp_path)
    np.testing.assert_array_equal(numpy(loaded(images())), plain)
    assert np.abs(numpy(loaded(images(), training=True)) - plain).mean() > 0.01


def at_the_largest(layer, monkeypatch):
    """Every random number at its upper bound, to compare with an exact transformation."""
    monkeypatch.setattr(
        layer, "_uniform", lambda shape, largest: keras.ops.full(shape, largest, "float32")
    )
    return layer


def test_rotation_by_90_degrees_is_exact(monkeypatch):
    layer = at_the_largest(ImageAugmentation(rotation=90.0), monkeypatch)
    x = (images() / 255).astype("float32")
    expected = np.rot90(x, axes=(1, 2))
    np.testing.assert_allclose(numpy(layer(x, training=True)), expected, atol=1e-4)


def test_translation_moves_right_and_down_and_repeats_the_border(monkeypatch):
    layer = at_the_largest(ImageAugmentation(translation=0.25), monkeypatch)
    x = (images() / 255).astype("float32")
    expected = np.pad(x, ((0, 0), (2, 0), (2, 0), (0, 0)), mode="edge")[:, :8, :8]
    np.testing.assert_allclose(numpy(layer(x, training=True)), expected, atol=1e-5)


def test_zoom_magnifies_about_the_centre(monkeypatch):
    layer = at_the_largest(ImageAugmentation(zoom=0.5), monkeypatch)
    ramp = np.broadcast_to(np.arange(9, dtype="float32")[None, None, :, None], (1, 9, 9, 1))
    found = numpy(layer(np.ascontiguousarray(ramp) / 8, training=True))[0, 4, :, 0] * 8
    np.testing.assert_allclose(found, 4 + (np.arange(9) - 4) / 1.5, atol=1e-4)


def test_contrast_about_the_mean_is_clipped(monkeypatch):
    layer = at_the_largest(ImageAugmentation(contrast=0.5), monkeypatch)
    x = np.array([0.0, 0.4, 0.6, 1.0], "float32").reshape(1, 2, 2, 1)
    expected = np.array([0.0, 0.35, 0.65, 1.0]).reshape(1, 2, 2, 1)
    np.testing.assert_allclose(numpy(layer(x, training=True)), expected, atol=1e-6)


@pytest.mark.parametrize(("flip", "axis"), [("horizontal", -2), ("vertical", -3)])
@pytest.mark.parametrize("shape", [(40, 4, 5, 2), (40, 3, 4, 5, 1)])
def test_flips_mirror_some_images_and_volumes(flip, axis, shape):
    x = np.random.default_rng(0).random(shape).astype("float32")
    found = numpy(ImageAugmentation(flip=flip, seed=1)(x, training=True))
    mirrored = [np.array_equal(a, np.flip(b, axis)) for a, b in zip(found, x, strict=True)]
    same = [np.array_equal(a, b) for a, b in zip(found, x, strict=True)]
    assert all(m != s for m, s in zip(mirrored, same, strict=True))
    assert 5 < sum(mirrored) < 35


def test_volumes_cannot_be_rotated_by_the_layer():
    with pytest.raises(ValueError, match="height, width, channels"):
        ImageAugmentation(rotation=5.0).build((None, 4, 4, 4, 1))


def test_augmentation_trains_inside_a_model():
    inputs = keras.Input((8, 8, 1), dtype="uint8")
    x = ImagePreprocessing(augmentation=ALL)(inputs)
    outputs = keras.layers.Dense(1)(keras.layers.Flatten()(x))
    model = keras.Model(inputs, outputs)
    model.compile("sgd", "mse", jit_compile="auto")
    history = model.fit(images(6), np.zeros((6, 1)), batch_size=4, epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


# One process a backend: the first saves the models, all must give the same numbers.
CROSS = """
import sys, pathlib
import numpy as np, keras
import medkit.layers
from medkit.layers.image import ImagePreprocessing
from medkit.layers.series import SeriesPreprocessing
from medkit.layers.tabular import TabularPreprocessing
from medkit.layers.tokens import TokenPreprocessing

folder, backend = pathlib.Path(sys.argv[1]), keras.backend.backend()
draw = np.random.default_rng(0)

def with_gaps(shape):
    x = draw.normal(100, 20, shape).astype("float32")
    x[draw.random(shape) < 0.6] = np.nan
    return x

table = np.c_[with_gaps((9, 2)), draw.integers(0, 4, 9)].astype("float32")
table[3, 2] = np.nan
cases = {
    "tabular": (TabularPreprocessing([None, None, 3], [0, 0, 1], [1, 0, 1]), table),
    "series": (SeriesPreprocessing(True, [0, 2], clip=60.0), with_gaps((5, 11, 3))),
    "image": (ImagePreprocessing(True, {"flip": "both", "rotation": 9.0, "noise": 0.1}),
              draw.integers(0, 256, (3, 6, 7, 2), dtype="uint8")),
    "tokens": (TokenPreprocessing(5), draw.integers(0, 5, (4, 6)).astype("int32")),
    "embedding": (TokenPreprocessing(5, 3), draw.integers(0, 5, (4, 6)).astype("int32")),
}

def gradient(layer, x):
    def total(x):
        return keras.ops.sum(keras.ops.square(layer(x)))
    if backend == "tensorflow":
        import tensorflow as tf
        x = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = total(x)
        return tape.gradient(y, x).numpy()
    if backend == "jax":
        import jax
        return np.asarray(jax.grad(total)(x))
    import torch
    x = torch.tensor(x, requires_grad=True)
    total(x).backward()
    return x.grad.numpy()

results = {}
for name, (layer, x) in cases.items():
    path = folder / f"{name}.keras"
    if not path.exists():
        inputs = keras.Input(x.shape[1:], dtype=x.dtype.name)
        model = keras.Model(inputs, layer(inputs))
        for weight in model.non_trainable_weights:
            if weight.dtype == "float32":
                weight.assign(draw.uniform(1, 2, weight.shape))
        model.save(path)
    model = keras.models.load_model(path, safe_mode=True)
    results[name] = model.predict(x, verbose=0)
    if name == "image":
        varied = keras.ops.convert_to_numpy(model(x, training=True))
        assert np.isfinite(varied).all() and not np.allclose(varied, results[name])
    if name in ("tabular", "series"):
        results[name + " gradient"] = gradient(model.layers[-1], x)
        assert np.isfinite(results[name + " gradient"]).all()
np.savez(folder / f"{backend}.npz", **results)
"""


@pytest.mark.slow
def test_every_backend_gives_the_same_numbers(tmp_path):
    modules = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch"}
    backends = [name for name, module in modules.items() if importlib.util.find_spec(module)]
    if len(backends) < 2:
        pytest.skip("only one Keras backend is installed")
    root = str(Path(__file__).parents[1])
    for backend in backends:
        environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": root}
        ended = subprocess.run(
            [sys.executable, "-c", CROSS, str(tmp_path)],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, f"{backend}: {ended.stderr[-3000:]}"
    first, *others = (np.load(tmp_path / f"{backend}.npz") for backend in backends)
    for other in others:
        for name in first.files:
            np.testing.assert_allclose(other[name], first[name], rtol=1e-6, atol=1e-6, err_msg=name)

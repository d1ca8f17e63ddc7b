"""Images: raw pixels in, rescaled and standardized in the model, varied in training only."""

from __future__ import annotations

import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest

import medkit.layers  # noqa: F401
from medkit.core.errors import ConfigError, DataError
from medkit.data import stored_arrays
from medkit.data.cohort import RawInput
from medkit.modalities.image import Image


def images(*shape, dtype="uint8") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape or (12, 10, 9, 3)).astype(dtype)


def inside(image, x, training=False) -> np.ndarray:
    encoded = image.encode(x)
    return keras.ops.convert_to_numpy(image.preprocessing()(encoded, training=training))


def test_uint8_stays_uint8_and_is_standardized_in_the_model():
    x = images()
    image = Image().fit(RawInput("image", x))
    assert image.encode(x) is x
    assert (image.input_shape_, image.input_dtype_, image.deterministic) == (
        (10, 9, 3),
        "uint8",
        False,
    )
    scaled = x / 255
    mean, deviation = scaled.mean((0, 1, 2)), scaled.std((0, 1, 2))
    np.testing.assert_allclose(image.center_, mean, rtol=1e-12)
    np.testing.assert_allclose(image.scale_, deviation, rtol=1e-12)
    np.testing.assert_allclose(inside(image, x), (scaled - mean) / deviation, atol=1e-5)
    np.testing.assert_allclose(inside(Image(standardize=False).fit(x), x), scaled, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint16", "int16"])
def test_other_pixels_use_the_training_range(dtype, monkeypatch):
    monkeypatch.setattr(stored_arrays, "BLOCK_BYTES", 4000)  # several blocks
    x = images(12, 10, 9, 2, dtype=dtype) * 5
    image = Image().fit(x)
    assert image.input_dtype_ == "float32"
    assert (image.low_, image.high_) == (float(x.min()), float(x.max()))
    found = inside(image, x)
    np.testing.assert_allclose(found.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(found.std((0, 1, 2)), 1, atol=1e-5)


def test_the_range_is_that_of_training_or_declared_never_of_a_file(caplog):
    train = images(12, 10, 9, 1, dtype="uint16")
    train[0, 0, 0], train[1, 0, 0] = 0, 4000
    with caplog.at_level("INFO", "medkit"):
        image = Image(standardize=False).fit(train)
    assert "pixels from 0 to 4000 (of the training images) become 0 to 1" in caplog.text
    dark, bright = np.full((1, 10, 9, 1), 200, "uint16"), np.full((1, 10, 9, 1), 200, "uint16")
    bright[0, 0, 0] = 65535
    found = [inside(image, each)[0, 5, 5, 0] for each in (dark, bright)]
    np.testing.assert_allclose(found, 200 / 4000, rtol=1e-6)
    declared = Image(standardize=False, pixel_range=(0, 4095)).fit(train)
    assert inside(declared, dark)[0, 5, 5, 0] == pytest.approx(200 / 4095, rel=1e-6)
    assert (declared.low_, declared.high_) == (0, 4095)
    with pytest.raises(ConfigError, match=r"pixel_range: must rise; got \[5, 5\]"):
        Image(pixel_range=(5, 5)).fit(train)


def test_another_depth_than_in_training_is_refused():
    image = Image().fit(images(5, 4, 4, 1, dtype="uint16") * 20)
    with pytest.raises(DataError, match=r"trained on 16-bit pixels.*these images have 8 bits"):
        image.encode(images(5, 4, 4, 1))
    image = Image().fit(images(5, 4, 4, 1))
    with pytest.raises(DataError, match=r"trained on 8-bit pixels.*these images have 16 bits"):
        image.encode(images(5, 4, 4, 1, dtype="uint16"))


def test_one_value_everywhere_gives_zeros():
    for dtype in ("uint8", "float32"):
        x = np.full((3, 4, 4, 1), 7, dtype)
        np.testing.assert_allclose(inside(Image().fit(x), x), 0, atol=1e-6)


def test_grey_images_may_lack_their_channel():
    image = Image().fit(images(5, 8, 8))
    assert image.input_shape_ == (8, 8, 1)
    assert image.encode(images(2, 8, 8)).shape == (2, 8, 8, 1)


def test_a_wrong_size_is_named():
    image = Image().fit(images(5, 28, 28, 1))
    message = "images of 32 × 32 × 1 .* were given where the model was trained on 28 × 28 × 1"
    with pytest.raises(DataError, match=message):
        image.encode(images(2, 32, 32, 1))
    with pytest.raises(DataError, match="images must be"):
        Image().fit(images(5, 5))
    with pytest.raises(DataError, match="arrays of numbers"):
        Image().fit(np.array(["a.png"]))
    with pytest.raises(DataError, match="no training rows"):
        Image().fit(np.zeros((0, 4, 4, 1)))


def test_pixels_of_another_kind():
    image = Image().fit(images(5, 4, 4, 1))
    assert image.encode(images(5, 4, 4, 1, dtype="int64")).dtype == np.uint8
    with pytest.raises(DataError, match="whole pixel values from 0 to 255"):
        image.encode(images(5, 4, 4, 1) / 255)
    bad = images(5, 4, 4, 1, dtype="float32")
    bad[2, 0, 0] = np.nan
    with pytest.raises(DataError, match="image 3 has pixels that are NaN or infinite"):
        Image().fit(bad)


def test_augmentation_in_training_only():
    x = images(12, 10, 9, 1)
    image = Image(flip="horizontal", rotation=10, translation=0.1, zoom=0.1, noise=0.02).fit(x)
    plain = inside(Image().fit(x), x)
    np.testing.assert_array_equal(inside(image, x), plain)
    keras.utils.set_random_seed(1)
    varied = inside(image, x, training=True)
    assert np.abs(varied - plain).mean() > 0.1
    keras.utils.set_random_seed(1)
    np.testing.assert_array_equal(inside(image, x, training=True), varied)


def test_volumes():
    x = images(4, 6, 8, 10, 2)
    image = Image(flip="both", contrast=0.1, noise=0.1).fit(x)
    assert inside(image, x, training=True).shape == x.shape
    assert image.summarize(x).shape == (4, 2 * (2 + 5 + 64))
    with pytest.raises(DataError, match="rotation, zoom cannot be applied to volumes"):
        Image(rotation=5, zoom=0.1).fit(x)


def test_parameters_are_bounded():
    for wrong in ({"rotation": 270}, {"zoom": 1.0}, {"flip": "left"}, {"noise": -1}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            Image(**wrong).fit(images())


def test_state_is_strict_json_and_gives_the_same_model(tmp_path):
    x = images()
    image = Image(flip="vertical").fit(x)
    again = Image.from_dict(json.loads(json.dumps(image.to_dict(), allow_nan=False)))
    assert again.to_dict() == image.to_dict()
    assert again.input_shape_ == image.input_shape_
    np.testing.assert_array_equal(inside(again, x), inside(image, x))
    inputs = keras.Input(image.input_shape_, dtype=image.input_dtype_)
    keras.Model(inputs, image.preprocessing()(inputs)).save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(model.predict(x, verbose=0), inside(image, x), atol=1e-6)


def test_summary_of_pixels(monkeypatch):
    monkeypatch.setattr(stored_arrays, "BLOCK_BYTES", 4000)
    x = images(12, 10, 9, 1)
    summary = Image().fit(x).summarize(x)
    assert list(summary)[:3] == ["mean", "standard deviation", "percentile 5"]
    assert summary.shape == (12, 71)
    np.testing.assert_allclose(summary["mean"], x.mean((1, 2, 3)), rtol=1e-6)
    even = np.arange(16 * 16, dtype="float32").reshape(1, 16, 16, 1)
    blocks = Image().fit(even).summarize(even)
    assert blocks["block 1, 2"][0] == even[0, :2, 2:4].mean()
    assert blocks["block 8, 8"][0] == even[0, 14:, 14:].mean()


@pytest.mark.skipif("MEDKIT_TEST_DATA" not in os.environ, reason="MEDKIT_TEST_DATA is not set")
def test_pneumoniamnist():
    path = Path(os.environ["MEDKIT_TEST_DATA"]) / "pneumoniamnist/pneumoniamnist.npz"
    with np.load(path, allow_pickle=False) as archive:
        x = archive["train_images"]
    image = Image().fit(x)
    assert image.input_shape_ == (28, 28, 1)
    assert image.center_[0] == pytest.approx(0.5719, abs=1e-4)

"""Time series: channels by name, gaps filled in the model."""

from __future__ import annotations

import json
import logging

import keras
import numpy as np
import pytest

import medkit.layers  # noqa: F401
from medkit.core.errors import DataError
from medkit.data.cohort import Feature, RawInput
from medkit.modalities.series import Series

NAN = np.nan
FEATURES = (Feature("heart rate", unit="bpm"), Feature("lactate", unit="mmol/L"))


def values() -> np.ndarray:
    draw = np.random.default_rng(0)
    x = np.stack([draw.normal(80, 10, (30, 6)), draw.normal(2, 1, (30, 6))], axis=-1)
    x[draw.random(x.shape) < 0.5] = NAN
    x[0, :, 1] = NAN
    return x.astype("float32")


def raw(x=None, features=FEATURES) -> RawInput:
    return RawInput("series", values() if x is None else x, features)


def inside(series, given) -> np.ndarray:
    return keras.ops.convert_to_numpy(series.preprocessing()(series.encode(given)))


def reference(x: np.ndarray, fill: np.ndarray, forward: bool) -> np.ndarray:
    x, mean, deviation = x.copy(), np.nanmean(x, (0, 1)), np.nanstd(x, (0, 1))
    for step in range(1, x.shape[1] if forward else 1):
        gap = np.isnan(x[:, step])
        x[:, step][gap] = x[:, step - 1][gap]
    return (np.where(np.isnan(x), fill, x) - mean) / deviation


@pytest.mark.parametrize("missing", ["forward_fill", "mean", "median", "constant"])
def test_the_layer_equals_numpy(missing):
    series = Series(missing=missing, constant=1.0).fit(raw())
    x = values().astype("float64")
    fills = {"median": np.nanmedian(x, (0, 1)), "constant": np.ones(2)}
    fill = fills.get(missing, np.nanmean(x, (0, 1)))
    expected = reference(x, fill, missing == "forward_fill")
    found = inside(series, raw())
    np.testing.assert_allclose(found[..., :2], expected, atol=2e-5)
    np.testing.assert_array_equal(found[..., 2:], ~np.isnan(values()))
    assert series.output_names == [
        "heart rate", "lactate", "heart rate measured", "lactate measured",
    ]  # fmt: skip
    assert series.input_shape_ == (6, 2)
    assert series.deterministic


def test_values_are_clipped_in_standard_deviations():
    x = values()
    x[0, 0, 0] = 1e30
    fitted = Series(clip=2.0).fit(raw())
    assert np.abs(inside(fitted, raw(x))[..., :2]).max() == 2
    assert Series().fit(raw()).clip == 10
    for unbounded in (Series(clip=None), Series(standardize=False)):
        assert inside(unbounded.fit(raw()), raw(x))[..., :2].max() > 1e28


def test_indicators_only_where_training_had_gaps():
    x = values()
    x[..., 0] = 80
    series = Series().fit(raw(x))
    assert series.output_names == ["heart rate", "lactate", "lactate measured"]
    assert inside(series, raw()).shape == (30, 6, 3)
    assert inside(Series(indicators=False).fit(raw()), raw()).shape == (30, 6, 2)


def test_encoding_keeps_values_without_a_copy():
    x = values()
    assert Series().fit(raw(x)).encode(raw(x)) is x


def test_channels_are_aligned_by_name(caplog):
    series = Series().fit(raw())
    x = values()[..., ::-1]
    extra = np.concatenate([x, x[..., :1]], axis=-1)
    features = (FEATURES[1], FEATURES[0], Feature("sodium", unit="mmol/L"))
    with caplog.at_level(logging.INFO, "medkit"):
        np.testing.assert_array_equal(series.encode(raw(extra, features)), values())
    assert "ignored 1 channels the model was not trained on: sodium" in caplog.text


def test_an_absent_channel_was_not_measured(caplog):
    series = Series().fit(raw())
    with caplog.at_level(logging.INFO, "medkit"):
        encoded = series.encode(raw(values()[..., :1], FEATURES[:1]))
    assert "1 channels not measured at all in this data: 'lactate'" in caplog.text
    assert np.isnan(encoded[..., 1]).all()
    other = (Feature("Heart rate"), Feature("x"))
    with pytest.raises(DataError, match="'heart rate'; did you mean 'Heart rate'"):
        series.encode(raw(features=other))


def test_another_grid_is_refused():
    series = Series().fit(raw())
    with pytest.raises(DataError, match="4 time steps were given where the model was trained on 6"):
        series.encode(raw(values()[:, :4]))
    with pytest.raises(DataError, match="3 channels were given where 2 are expected"):
        series.encode(np.zeros((1, 6, 3)))
    with pytest.raises(DataError, match=r"shape \(samples, time steps, channels\)"):
        series.encode(np.zeros((6, 2)))


def test_infinite_values_are_refused():
    x = values()
    x[3, 0, 0] = x[4, 0, 0] = -np.inf
    with pytest.raises(DataError, match="infinite values in 2 series, first in row 4"):
        Series().fit(raw(x))


def test_a_channel_never_measured_in_training(caplog):
    x = values()
    x[..., 1] = NAN
    series = Series().fit(raw(x))
    assert "left out channels never measured in the training rows: lactate" in caplog.text
    # Nothing was learned of it: where it is measured later, it is not used.
    assert "lactate" not in series.names
    np.testing.assert_array_equal(series.encode(raw()), series.encode(raw(x)))
    assert np.isfinite(inside(series, raw())).all()
    with pytest.raises(DataError, match="no channel was measured"):
        Series().fit(raw(np.full((2, 3, 2), NAN)))


def test_dropping_samples_with_gaps():
    x = values()
    x[:3] = 1
    series = Series(missing="drop")
    assert series.keep(raw(x)).tolist() == [True] * 3 + [False] * 27
    assert series.fit(raw(x)).center_ == [1.0, 1.0]
    assert series.keep(raw(x)).sum() == 3
    with pytest.raises(DataError, match="no training rows"):
        Series(missing="drop").fit(raw())


def test_state_is_strict_json_and_gives_the_same_model(tmp_path):
    series = Series().fit(raw())
    again = Series.from_dict(json.loads(json.dumps(series.to_dict(), allow_nan=False)))
    assert again.to_dict() == series.to_dict()
    assert again.features == FEATURES
    np.testing.assert_array_equal(inside(again, raw()), inside(series, raw()))
    inputs = keras.Input(series.input_shape_)
    keras.Model(inputs, series.preprocessing()(inputs)).save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(model.predict(values(), verbose=0), inside(series, raw()), atol=1e-6)


def test_summary_of_what_was_measured():
    x = np.array([[[NAN], [3], [5], [NAN]], [[NAN]] * 4], "float32")
    series = Series().fit(RawInput("series", x, (Feature("HR"),)))
    summary = series.summarize(x)
    expected = {
        "HR mean": 4, "HR min": 3, "HR max": 5, "HR first": 3, "HR last": 5,
        "HR standard deviation": 1, "HR count": 2,
    }  # fmt: skip
    assert summary.iloc[0].to_dict() == expected
    assert summary.iloc[1].isna().sum() == 6
    assert summary["HR count"].tolist() == [2, 0]


def test_plain_arrays_are_cleaned_as_the_dataset_did():
    features = (
        Feature("heart rate", low=20, high=150.1, missing_values=(-1,)),
        Feature("lactate", low=0, high=0.1, outside="clip"),
        Feature("urine", low=0, high=5, outside="keep"),
    )
    x = np.full((2, 2, 3), 0.1, dtype="float32")
    x[..., 0] = 80
    series = Series.from_dict(Series().fit(RawInput("series", x, features)).to_dict())
    new = x.copy()
    new[0, :, 0], new[1, 0, 0], new[1, 0, 1], new[1, 1, 2] = (-1, 300), np.float32(150.1), 7, 9
    before = new.copy()
    found = series.encode(new)
    np.testing.assert_array_equal(found[..., 0], [[NAN, NAN], [np.float32(150.1), 80]])
    np.testing.assert_array_equal(found[..., 1], np.full((2, 2), np.float32(0.1)))
    assert found[1, 1, 2] == 9
    np.testing.assert_array_equal(new, before)
    np.testing.assert_array_equal(series.encode(found), found)
    # Already cleaned by a dataset that says the same.
    assert series.encode(RawInput("series", new, features)) is new

"""summary_mlp: its statistics against numpy, its bins, and the logarithm of skewed channels."""

from typing import get_args

import keras
import numpy as np
import pytest
from test_new_models import array

from medkit import models
from medkit.config.experiment import load_config
from medkit.core.errors import ConfigError, DataError, MedkitError
from medkit.data.cohort import Feature, RawInput
from medkit.layers.summary import STATISTICS, PiecewiseLinear, SeriesStatistics
from medkit.modalities.series import Series
from medkit.models.summary_mlp import Statistic
from medkit.testing import check_model

STEPS = 9


def gaps(rows=30, channels=3):
    draw = np.random.default_rng(5)
    x = draw.normal(size=(rows, STEPS, channels)).astype("float32")
    x[draw.random(x.shape) < 0.6] = np.nan
    x[0, :, 0] = np.nan  # never measured
    x[1, :, 1], x[1, 4, 1] = np.nan, 2.5  # measured once
    return x


def carried(x):
    filled = x.copy()
    for step in range(1, STEPS):
        gap = np.isnan(filled[:, step])
        filled[:, step][gap] = filled[:, step - 1][gap]
    return np.nan_to_num(filled)


def expected(name, values, whole):
    """One statistic of one variable of one sample, from what was measured and what was carried."""
    steps = np.flatnonzero(~np.isnan(values))
    seen = values[steps].astype("float64")
    clock = np.linspace(0, 1, STEPS)[steps]
    if name.startswith("carried"):
        return {"mean": whole.mean, "min": whole.min, "max": whole.max}[name[8:]]()
    if name == "since":
        return 2 * (1 - clock[-1]) if len(steps) else 2.0
    if not len(steps):
        return 0.0
    if name == "slope":
        return np.sum((clock - clock.mean()) * seen) / (np.sum((clock - clock.mean()) ** 2) + 0.02)
    return {
        "mean": seen.mean(), "min": seen.min(), "max": seen.max(), "first": seen[0],
        "last": seen[-1], "deviation": seen.std(), "count": 2 * len(seen) / STEPS, "ever": 2.0,
    }[name]  # fmt: skip


@pytest.mark.parametrize("name", STATISTICS)
def test_statistics_are_those_of_what_was_measured(name):
    x = gaps()
    whole = carried(x)
    inputs = np.concatenate([whole, ~np.isnan(x)], axis=2).astype("float32")
    found = array(SeriesStatistics([name])(inputs))[:, 0]
    wanted = [
        [expected(name, x[row, :, c], whole[row, :, c]) for c in range(x.shape[2])]
        for row in range(len(x))
    ]
    np.testing.assert_allclose(found, wanted, atol=2e-6)


def test_the_model_offers_the_layers_statistics():
    assert get_args(Statistic) == STATISTICS
    with pytest.raises(ValueError, match="statistics must be of"):
        SeriesStatistics(["median"])


def test_bins_tell_how_far_a_number_has_come():
    found = array(PiecewiseLinear(2)(np.array([[-4.0], [-2.0], [0.0], [1.0], [4.0], [9.0]])))
    # Bins from -4 to 0 and from 0 to 4; the means of a standard normal are 3/4 and 1/4.
    shares = np.array([[0, 0], [0.5, 0], [1, 0], [1, 0.25], [1, 1], [1, 1]])
    np.testing.assert_allclose(found, shares - [0.75, 0.25], atol=1e-6)


@pytest.mark.parametrize("left_out", ["statistics", "binned_statistics"])
def test_contract_with_either_perceptron_alone(left_out):
    shapes = {"series": ((STEPS, 6),)}
    check_model(models.summary_mlp, ("series",), shapes, hidden_units=(4,), **{left_out: ()})


def test_gaps_do_not_reach_the_answer_through_the_fill():
    """What was carried forward changes nothing where no carried statistic is asked for."""
    model = models.summary_mlp((STEPS, 2), 1, statistics=("mean", "max", "since"))
    x = np.ones((1, STEPS, 2), "float32")
    x[0, 4:6, 1] = 0  # not measured
    other = x.copy()
    other[0, 4:6, 0] = 3.0
    np.testing.assert_array_equal(array(model(x)), array(model(other)))
    other[0, 3, 0] = 3.0
    assert not np.array_equal(array(model(x)), array(model(other)))


def test_refusals(tmp_path):
    with pytest.raises(MedkitError, match="5 channels are not pairs"):
        models.summary_mlp((STEPS, 5), 1)
    with pytest.raises(MedkitError, match="both empty"):
        models.summary_mlp((STEPS, 6), 1, statistics=(), binned_statistics=())
    config = tmp_path / "config.yaml"
    config.write_text("dataset: synthetic_icu\ntask: binary\nmodel: summary_mlp\n")
    with pytest.raises(ConfigError, match="'summary_mlp' needs preprocessing"):
        load_config(config)


def skewed(values):
    features = (Feature("lactate", "mmol/L"), Feature("heart_rate", "bpm"))
    return RawInput("series", values, features)


@pytest.mark.parametrize("winsorize", [0.0, 0.1])
@pytest.mark.parametrize("missing", ["forward_fill", "constant"])
def test_logarithm_is_that_of_the_values_read(missing, winsorize):
    x = np.exp(gaps(channels=2)) - 0.05
    settings = {"missing": missing, "winsorize": winsorize, "constant": 1.0}
    one = Series(logarithm=["lactate"], **settings).fit(skewed(x))
    logged = x.copy()
    logged[:, :, 0] = np.log1p(np.maximum(x[:, :, 0], 0))
    settings["constant"] = float(np.log1p(1.0))
    two = Series(**settings).fit(skewed(logged))
    first, second = (array(each.preprocessing()(v)) for each, v in ((one, x), (two, logged)))
    lactate = [0, 2]  # values, indicator
    np.testing.assert_allclose(first[:, :, lactate], second[:, :, lactate], atol=1e-5)
    again = Series.from_dict(one.to_dict())
    np.testing.assert_array_equal(array(again.preprocessing()(x)), first)


def test_logarithm_is_saved_with_the_model(tmp_path):
    x = np.exp(gaps(channels=2))
    layer = Series(logarithm=["lactate"]).fit(skewed(x)).preprocessing()
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(array(loaded(x)), array(model(x)))


def test_logarithm_of_an_unknown_channel():
    with pytest.raises(DataError, match="'lactat'; did you mean 'lactate'"):
        Series(logarithm=["lactat"]).fit(skewed(gaps(channels=2)))

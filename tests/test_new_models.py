"""Networks for tables and for series with gaps, against loops in plain numpy and their papers."""

from __future__ import annotations

import math
from statistics import NormalDist

import keras
import numpy as np
import pandas as pd
import pytest

from medkit import models
from medkit.config.experiment import load_config
from medkit.config.sections import Training
from medkit.core.errors import ConfigError, MedkitError
from medkit.core.keras_names import ACTIVATIONS
from medkit.layers.attention_pooling import AttentionPooling
from medkit.layers.decay import DecayCell, InputDecay
from medkit.layers.features import FeatureTokens, NumericEmbedding
from medkit.layers.members import MemberDense, MemberMean, MemberModel
from medkit.layers.series import time_since_measured
from medkit.modalities.series import Series

DRAW = np.random.default_rng(3)
NAN = np.nan
SERIES = (12, 6)
SMALL = {
    "residual_mlp": ((5,), {"width": 8}),
    "ft_transformer": ((5,), {"num_blocks": 1, "num_heads": 2, "key_dim": 4}),
    "tabm": ((5,), {"members": 3, "hidden_units": (4,), "embedding": "piecewise_linear"}),
    "tcn": (SERIES, {"filters": (4, 4)}),
    "transformer": (SERIES, {"num_blocks": 1, "num_heads": 2, "key_dim": 4}),
    "grud": (SERIES, {"units": 4, "recurrent_dropout": 0.3}),
}


def array(tensor) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)


def values(model, x, training=False) -> np.ndarray:
    return array(model(x, training=training))


def shuffled_weights(layer) -> None:
    """Weights as after training: none left at its starting value."""
    for weight in layer.trainable_variables:
        weight.assign(DRAW.normal(size=weight.shape, scale=0.5).astype("float32"))


def pairs(rows=7, steps=12, variables=3) -> tuple[np.ndarray, np.ndarray]:
    x = DRAW.normal(size=(rows, steps, variables)).astype("float32")
    return x, (DRAW.random(x.shape) < 0.4).astype("float32")


# All of them


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_outputs_stay_float32_under_mixed_precision(name, policy):
    shape, parameters = SMALL[name]
    keras.config.set_dtype_policy(policy)
    try:
        model = getattr(models, name)(shape, 1, output_activation="sigmoid", **parameters)
    finally:
        keras.config.set_dtype_policy("float32")
    found = values(model, DRAW.normal(size=(4, *shape)).astype("float32"))
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


@pytest.mark.parametrize("name", ["residual_mlp", "tcn", "transformer"])
def test_any_activation_but_a_gated_one(name):
    shape, parameters = SMALL[name]
    width = getattr(models, name)(shape, None, **parameters).output_shape
    for activation in ACTIVATIONS:
        if activation == "glu":
            with pytest.raises(MedkitError, match=f"{name}: 'glu' halves the width"):
                getattr(models, name)(shape, 1, activation="glu", **parameters)
        else:
            built = getattr(models, name)(shape, None, activation=activation, **parameters)
            assert built.output_shape == width, activation


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_any_activation_after_batch_normalization(activation):
    built = models.mlp((5,), 1, activation=activation, batch_normalization=True)
    assert built.output_shape == (None, 1)


@pytest.mark.parametrize("name", SMALL)
def test_every_trainable_weight_gets_a_gradient(name):
    shape, parameters = SMALL[name]
    keras.utils.set_random_seed(1)
    model = getattr(models, name)(shape, 1, **parameters)
    x = DRAW.normal(size=(64, *shape)).astype("float32")
    if name == "grud":
        x[..., 3:] = x[..., 3:] > 0
    before = [array(each).copy() for each in model.trainable_variables]
    model.compile("sgd", "mse")
    model.fit(x, x.reshape(64, -1)[:, :1], epochs=2, verbose=0)
    still = [
        each.path
        for each, old in zip(model.trainable_variables, before, strict=True)
        if np.array_equal(array(each), old)
    ]
    assert still == []


# Tables


def test_feature_tokens_equal_numpy():
    layer = FeatureTokens(4)
    x = DRAW.normal(size=(6, 3)).astype("float32")
    layer.build(x.shape)
    shuffled_weights(layer)
    found = array(layer(x))
    assert found.shape == layer.compute_output_shape(x.shape) == (6, 4, 4)
    np.testing.assert_allclose(found[:, 0], np.repeat(array(layer.gathering), 6, axis=0))
    for feature in range(3):
        expected = x[:, [feature]] * array(layer.directions)[feature] + array(layer.biases)[feature]
        np.testing.assert_allclose(found[:, 1 + feature], expected, atol=1e-6)


def test_periodic_embedding_equals_numpy():
    layer = NumericEmbedding("periodic", 2, 5)
    x = DRAW.normal(size=(6, 3)).astype("float32")
    layer.build(x.shape)
    shuffled_weights(layer)
    found = array(layer(x)).reshape(6, 3, 2)
    for feature in range(3):
        angles = 2 * math.pi * x[:, [feature]] * array(layer.frequencies)[feature]
        seen = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
        expected = seen @ array(layer.kernel)[feature] + array(layer.bias)[feature]
        np.testing.assert_allclose(found[:, feature], np.maximum(expected, 0), atol=1e-5)


def test_piecewise_linear_embedding_is_the_papers_formula():
    """Gorishniy et al. 2022, equation 1: only the outer ends go on beyond 0 and 1."""
    pieces = 4
    layer = NumericEmbedding("piecewise_linear", pieces, pieces)
    layer.build((None, 1))
    layer.kernel.assign(np.eye(pieces, dtype="float32")[None])
    layer.bias.assign(np.zeros((1, pieces), "float32"))
    edges = [-4.0, *(NormalDist().inv_cdf(i / pieces) for i in (1, 2, 3)), 4.0]
    for x in (-9.0, -4.0, -1.0, 0.0, 0.3, 2.0, 9.0):
        expected = []
        for t in range(1, pieces + 1):
            low, high = edges[t - 1], edges[t]
            if x < low and t > 1:
                expected.append(0.0)
            elif x >= high and t < pieces:
                expected.append(1.0)
            else:
                expected.append((x - low) / (high - low))
        found = array(layer(np.array([[x]], "float32")))[0]
        np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=str(x))


@pytest.mark.parametrize("shared", [True, False])
def test_member_layers_equal_a_loop(shared):
    layer = MemberDense(4, 3, shared=shared, activation="tanh")
    x = DRAW.normal(size=(6, 3, 5)).astype("float32")
    layer.build(x.shape)
    shuffled_weights(layer)
    found = array(layer(x))
    for member in range(3):
        if shared:
            inner = (x[:, member] * array(layer.inward)[member]) @ array(layer.kernel)
            inner = inner * array(layer.outward)[member]
        else:
            inner = x[:, member] @ array(layer.kernel)[member]
        expected = np.tanh(inner + array(layer.bias)[member])
        np.testing.assert_allclose(found[:, member], expected, atol=1e-5)


def test_members_start_apart_with_kernels_of_the_right_size():
    first = MemberDense(4, 16, varied=True)
    first.build((None, 16, 50))
    assert set(np.unique(array(first.inward))) == {-1.0, 1.0}
    head = MemberDense(40, 16, shared=False)
    head.build((None, 16, 50))
    largest = np.abs(array(head.kernel)).max()  # uniform within 1 / sqrt(inputs)
    assert 0.95 / math.sqrt(50) < largest <= 1 / math.sqrt(50)


def test_members_answer_one_by_one_in_training_and_by_their_mean_otherwise():
    x = np.arange(4000 * 4, dtype="float32").reshape(4000, 4, 1) + np.zeros((1, 1, 2), "float32")
    layer = MemberMean(seed=1)
    np.testing.assert_allclose(values(layer, x), x.mean(axis=1))
    found = values(layer, x, training=True)
    member = (found[:, 0] - x[:, 0, 0]).astype(int)
    np.testing.assert_array_equal(found, x[np.arange(4000), member])
    assert np.abs(np.bincount(member, minlength=4) / 4000 - 0.25).max() < 0.05


def test_tabm_answers_with_the_mean_of_its_members():
    model = models.tabm((5,), 2, output_activation="softmax", members=3, hidden_units=(4,))
    x = DRAW.normal(size=(6, 5)).astype("float32")
    each = keras.Model(model.inputs, model.get_layer("output").output)
    answers = values(each, x)
    assert answers.shape == (6, 3, 2)
    np.testing.assert_allclose(values(model, x), answers.mean(axis=1), atol=1e-6)


TABM_LOSSES = {
    "sigmoid": (1, "binary_crossentropy", lambda n: DRAW.integers(0, 2, (n, 1)).astype("float32")),
    "softmax": (3, "sparse_categorical_crossentropy", lambda n: DRAW.integers(0, 3, n)),
    "linear": (2, "mse", lambda n: DRAW.normal(size=(n, 2)).astype("float32")),
}


@pytest.mark.parametrize("activation", TABM_LOSSES)
def test_tabm_learns_by_the_mean_of_its_members_losses(activation):
    """Not by the loss of their mean: of 4 members, each row's loss is counted 4 times."""
    outputs, loss, targets = TABM_LOSSES[activation]
    model = models.tabm(
        (5,), outputs, output_activation=activation, members=4, hidden_units=(6,), dropout=0.0,
        l2=0.01,
    )  # fmt: skip
    assert isinstance(model, MemberModel)
    shuffled_weights(model)
    x, y = DRAW.normal(size=(32, 5)).astype("float32"), targets(32)
    weights = DRAW.uniform(0, 2, 32).astype("float32")
    each = values(keras.Model(model.input, model.get_layer("output").output), x)
    of = keras.losses.get(loss)
    losses = [array(of(y, each[:, member])) for member in range(4)]
    penalties = float(array(sum(model.losses)))
    model.compile(keras.optimizers.SGD(0.0), loss)
    learned = model.train_on_batch(x, y, sample_weight=weights)
    assert learned == pytest.approx(np.mean([e * weights for e in losses]) + penalties, rel=1e-4)
    of_mean = array(of(y, each.mean(axis=1)))
    assert learned - penalties > np.mean(of_mean * weights) + 0.01  # Jensen: the known mistake
    tested = model.test_on_batch(x, y)
    assert tested == pytest.approx(of_mean.mean() + penalties, rel=1e-4)


def test_tabm_members_do_not_lean_on_one_another():
    """One step changes a member's own head as if the others answered anything else."""

    def head_after(others: float) -> np.ndarray:
        keras.utils.set_random_seed(3)
        model = models.tabm((4,), 1, members=3, hidden_units=(5,), dropout=0.0)
        head = model.get_layer("output")
        bias = np.zeros((3, 1), "float32")
        bias[1:] = others
        head.bias.assign(bias)
        model.compile(keras.optimizers.SGD(0.1), "mse")
        x = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
        model.train_on_batch(x, x[:, :1])
        return array(head.kernel)

    near, far = head_after(0.0), head_after(50.0)
    np.testing.assert_allclose(near[0], far[0], atol=1e-6)
    assert np.abs(near[1] - far[1]).max() > 0.1


def test_tabm_members_differ_from_the_start_by_the_first_signs_only():
    model = models.tabm((6,), None, members=8, hidden_units=(5, 5))
    first, second = (each for each in model.layers if isinstance(each, MemberDense))
    assert set(np.unique(array(first.inward))) == {-1.0, 1.0}
    for scales in (first.outward, second.inward, second.outward):
        assert (array(scales) == 1).all()
    assert first.kernel.shape == (6, 5)
    assert second.kernel.shape == (5, 5)


def test_tabm_is_saved_as_what_it_is(tmp_path):
    model = models.tabm((5,), 1, output_activation="sigmoid", members=3, hidden_units=(4,))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    x = DRAW.normal(size=(6, 5)).astype("float32")
    assert isinstance(again, MemberModel)
    np.testing.assert_allclose(values(again, x), values(model, x), atol=1e-6)


# Series


@pytest.mark.parametrize("kernel_size", [2, 3])
def test_a_tcn_sees_the_past_only_and_as_far_as_it_says(kernel_size):
    model = models.tcn((40, 2), None, filters=(4, 4, 4), kernel_size=kernel_size, dropout=0)
    blocks = keras.Model(model.inputs, [e.output for e in model.layers if e.name[:3] == "add"][-1])
    x = DRAW.normal(size=(2, 40, 2)).astype("float32")
    changed = x.copy()
    changed[:, 10] += 50
    differs = np.abs(values(blocks, x) - values(blocks, changed)).max(axis=(0, 2)) > 1e-6
    reach = 1 + 2 * (kernel_size - 1) * (2**3 - 1)
    assert not differs[:10].any()
    assert differs[10]
    assert not differs[10 + reach :].any()


def test_a_tcn_block_ends_with_its_activation():
    model = models.tcn(SERIES, None, filters=(6,), activation="relu", pooling="mean")
    assert values(model, DRAW.normal(size=(9, *SERIES)).astype("float32")).min() >= 0


def loop_since(measured: np.ndarray) -> np.ndarray:
    """Che et al. 2018, equation 1, for steps of length 1."""
    since = np.zeros(measured.shape)
    for t in range(1, measured.shape[1]):
        since[:, t] = 1 + np.where(measured[:, t - 1] > 0, 0, since[:, t - 1])
    return since


@pytest.mark.parametrize("steps", [1, 2, 7, 12])
def test_time_since_measured_equals_a_loop(steps):
    _, measured = pairs(steps=steps)
    found = array(time_since_measured(keras.ops.convert_to_tensor(measured > 0)))
    np.testing.assert_array_equal(found, loop_since(measured))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("masked", [False, True])
def test_grud_equals_a_loop(masked):
    x, measured = pairs()
    decay, cell = InputDecay(), DecayCell(4, masked=masked)
    rnn = keras.layers.RNN(cell)
    given = np.concatenate([x, measured], axis=-1)
    faded = decay(given)
    mask = np.array([[0.0, 2.0, 1.0, 2.0]], "float32").repeat(7, axis=0)
    start = [np.zeros((7, 4), "float32"), mask] if masked else None
    rnn(faded, initial_state=start)
    for layer in (decay, cell):
        shuffled_weights(layer)
    found = array(rnn(decay(given), initial_state=start))

    since = loop_since(measured) / x.shape[1]
    kept = np.exp(-np.maximum(0, since * array(decay.rate) + array(decay.start)))
    seen = measured * x + (1 - measured) * kept * x
    w, u, b = array(cell.kernel), array(cell.recurrent_kernel), array(cell.bias)
    state = np.zeros((7, 4))
    for t in range(x.shape[1]):
        fade = np.maximum(0, since[:, t] @ array(cell.fading) + array(cell.fading_bias))
        state = np.exp(-fade) * state
        past = state * (mask if masked else 1)
        inward = np.concatenate([seen[:, t], measured[:, t]], axis=1) @ w + b
        update = sigmoid(inward[:, :4] + past @ u[:, :4])
        reset = sigmoid(inward[:, 4:8] + past @ u[:, 4:8])
        candidate = np.tanh(inward[:, 8:] + (reset * past) @ u[:, 8:])
        state = (1 - update) * state + update * candidate
    np.testing.assert_allclose(found, state, atol=1e-5)


def test_grud_with_recurrent_dropout_saves_and_drops_in_training_only(tmp_path):
    x = np.concatenate(pairs(), axis=-1)
    model = models.grud(SERIES, 1, units=4, recurrent_dropout=0.5, dropout=0)
    np.testing.assert_array_equal(values(model, x), values(model, x))
    assert np.abs(values(model, x, training=True) - values(model, x)).max() > 1e-4
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(values(loaded, x), values(model, x), atol=1e-6)


@pytest.mark.parametrize(
    ("preprocessing", "wrong"),
    [
        ("{missing: mean, indicators: all}", ["missing"]),
        ("{missing: forward_fill}", ["indicators"]),
        ("{indicators: all, standardize: false, time_since: true}", ["standardize", "time_since"]),
    ],
)
def test_grud_says_what_preprocessing_it_needs(tmp_path, preprocessing, wrong):
    config = tmp_path / "grud.yaml"
    config.write_text(
        f"dataset: synthetic_icu\ntask: binary\nmodel: grud\npreprocessing: {preprocessing}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_config(config)
    needs = (
        "'grud' needs preprocessing: {missing: forward_fill, indicators: all, standardize: true, "
        "time_since: false}"
    )
    for key in ("missing", "indicators", "standardize", "time_since"):
        assert (f"preprocessing.{key}: {needs}" in str(caught.value)) == (key in wrong)


def test_grud_takes_robust_standardization(tmp_path):
    config = tmp_path / "grud.yaml"
    config.write_text(
        "dataset: synthetic_icu\ntask: binary\nmodel: grud\n"
        "preprocessing: {indicators: all, standardize: robust}\n"
    )
    assert load_config(config).model.name == "grud"


def test_attention_pooling_equals_numpy_and_gives_padding_no_weight():
    layer = AttentionPooling()
    x = DRAW.normal(size=(5, 6, 3)).astype("float32")
    layer.build(x.shape)
    shuffled_weights(layer)
    scores = np.tanh(x @ array(layer.kernel) + array(layer.bias)) @ array(layer.direction)
    weights = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(array(layer(x)), (weights * x).sum(axis=1), atol=1e-5)

    padded = np.concatenate([x, np.zeros((5, 4, 3), "float32")], axis=1)
    parameters = {"units": (4,), "pooling": "attention", "mask_zeros": True}
    long = models.gru((10, 3), None, **parameters)
    short = models.gru((6, 3), None, **parameters)
    short.set_weights(long.get_weights())
    np.testing.assert_allclose(values(long, padded), values(short, x), atol=1e-6)


def test_penalties_reach_attention_pooling():
    model = models.gru(SERIES, 1, units=(4,), pooling="attention", l2=0.1)
    assert len(model.losses) == 4  # input and state kernels, kernel and direction of the pooling


# Preprocessing of series


def gaps() -> np.ndarray:
    x = DRAW.normal([80, 2], [10, 1], size=(40, 9, 2)).astype("float32")
    x[DRAW.random(x.shape) < 0.5] = NAN
    x[0, 0, 0] = 4000  # a typing error
    return x


def inside(series: Series, x: np.ndarray) -> np.ndarray:
    return array(series.preprocessing()(series.encode(x)))


def flat(x: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(x.reshape(-1, x.shape[2]))


def test_robust_standardization_is_pandas_quartiles():
    x = gaps()
    series = Series(missing="median", standardize="robust", indicators=False, clip=None).fit(x)
    table = flat(x)
    scale = (table.quantile(0.75) - table.quantile(0.25)) / 1.349
    expected = (table.fillna(table.median()) - table.median()) / scale
    np.testing.assert_allclose(inside(series, x), expected.to_numpy().reshape(x.shape), atol=1e-4)


def test_winsorizing_is_pandas_clip_and_comes_before_the_statistics():
    x = gaps()
    series = Series(missing="mean", winsorize=0.05, indicators=False, clip=None).fit(x)
    table = flat(x)
    table = table.clip(table.quantile(0.05), table.quantile(0.95), axis=1)
    expected = (table.fillna(table.mean()) - table.mean()) / table.std(ddof=0)
    np.testing.assert_allclose(inside(series, x), expected.to_numpy().reshape(x.shape), atol=1e-4)
    again = Series.from_dict(series.to_dict())
    np.testing.assert_array_equal(inside(again, x), inside(series, x))


def test_winsorizing_leaves_the_constant_that_fills_alone():
    x = gaps()
    series = Series(
        missing="constant", constant=-1.0, winsorize=0.05, standardize=False, indicators=False
    ).fit(x)
    np.testing.assert_array_equal(inside(series, x)[np.isnan(x)], -1.0)


def test_all_indicators_and_time_since():
    x = gaps()
    x[:, :, 1] = 1.0  # no gaps in training
    series = Series(indicators="all", time_since=True).fit(x)
    assert len(series.output_names) == 6
    found = inside(series, x)
    measured = (~np.isnan(x)).astype("float32")
    np.testing.assert_array_equal(found[..., 2:4], measured)
    np.testing.assert_allclose(found[..., 4:], loop_since(measured) / 9, atol=1e-6)
    some = Series(time_since=True).fit(x)
    assert len(some.output_names) == inside(some, x).shape[-1] == 4


# Settings of the optimizer and its schedule


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        ({"name": "sgd", "momentun": 0.9}, "momentun: not a setting of 'sgd'; did you mean"),
        ({"name": "adam", "epsilon": -1.0}, "epsilon: must be 0 or more"),
        ({"name": "adam", "beta_1": 1.0}, "beta_1: must be below 1"),
        ({"name": "lion", "beta_1": 0.0}, "beta_1: must be above 0"),
        ({"name": "adam", "gradient_accumulation_steps": 1}, "must be 2 or more; got 1"),
        ({"name": "ftrl", "learning_rate_power": 1.0}, "learning_rate_power: must be 0 or less"),
        (
            {"name": "adam", "clipnorm": 1.0, "clipvalue": 1.0},
            "optimizer: clips gradients in one way only; got clipnorm and clipvalue",
        ),
    ],
)
def test_optimizer_arguments_are_checked_before_keras_sees_them(optimizer, message):
    with pytest.raises(ConfigError) as caught:
        Training.of(optimizer=optimizer)
    assert message in str(caught.value)


def test_a_misspelt_schedule_setting_gets_the_schedules_own_names():
    with pytest.raises(ConfigError, match=r"not a setting of 'cosine'; did you mean 'warmup_ep"):
        Training.of(learning_rate_schedule={"name": "cosine", "warmup": 3})

"""Model factories: what goes beyond the contract tests."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from medkit import models
from medkit.core.errors import MedkitError
from medkit.core.keras_names import ACTIVATIONS, INITIALIZERS
from medkit.core.registry import argument_descriptions
from medkit.models.attention import attention_weights

SERIES = (6, 3)


@pytest.fixture(scope="module")
def series():
    return np.random.default_rng(0).normal(size=(5, *SERIES)).astype("float32")


def values(model, x):
    import keras

    return keras.ops.convert_to_numpy(model(x, training=False))


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


@pytest.mark.parametrize("name", ["simple_rnn", "lstm", "gru", "attention", "cnn"])
def test_refuses_another_rank(name):
    with pytest.raises(MedkitError, match=f"{name} takes inputs of shape .*got \\(7,\\)"):
        getattr(models, name)((7,), 1)


def test_no_outputs_gives_the_embedding():
    assert models.mlp((4,), None, hidden_units=(8, 5)).output_shape == (None, 5)
    assert models.mlp((4, 3), None, hidden_units=()).output_shape == (None, 12)
    assert models.cnn((8, 8, 1), None, dense_units=(), filters=(4,)).output_shape == (None, 64)
    assert models.gru(SERIES, None, units=(7,), bidirectional=True).output_shape == (None, 14)
    assert models.attention(SERIES, None, num_heads=2, key_dim=4).output_shape == (None, 8)


def test_the_head_is_called_output_and_stays_float32():
    import keras

    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        for name in ("mlp", "cnn", "lstm", "attention"):
            head = getattr(models, name)(SERIES, 2, output_activation="softmax").get_layer("output")
            assert (head.compute_dtype, head.activation.__name__) == ("float32", "softmax")
    finally:
        keras.mixed_precision.set_global_policy("float32")


# The others need arguments that a name cannot carry.
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_any_activation(activation, series):
    """Keras' own Dense cannot take 'glu', which halves the width it promises."""
    model = models.mlp(SERIES, 1, hidden_units=(4, 3), activation=activation)
    assert values(model, series).shape == (5, 1)
    assert models.mlp(SERIES, None, hidden_units=(4,), activation=activation).output_shape[1] == 4


@pytest.mark.parametrize("initializer", INITIALIZERS)
def test_any_initializer(initializer):
    models.mlp((4,), 1, hidden_units=(4,), kernel_initializer=initializer)


def test_penalties_reach_every_hidden_weight():
    for name in ("mlp", "cnn", "simple_rnn", "lstm", "gru"):
        assert getattr(models, name)(SERIES, 1).losses == [], name
    assert len(models.mlp(SERIES, 1, hidden_units=(4, 3), l1=0.1).losses) == 2
    assert len(models.cnn(SERIES, 1, l2=0.1).losses) == 3
    assert len(models.gru(SERIES, 1, units=(4, 3), l2=0.1).losses) == 4


# cnn


@pytest.mark.parametrize(
    ("shape", "layer"),
    [((16, 3), "Conv1D"), ((16, 16, 3), "Conv2D"), ((8, 8, 8, 1), "Conv3D")],
)
def test_cnn_follows_the_rank(shape, layer):
    model = models.cnn(shape, 1, pooling="average", summary="mean")
    assert kinds(model).count(layer) == 2
    assert kinds(model).count(layer.replace("Conv", "AveragePooling")) == 2
    assert layer.replace("Conv", "GlobalAveragePooling") in kinds(model)


def test_cnn_that_leaves_nothing_says_what_to_reduce():
    with pytest.raises(MedkitError) as error:
        models.cnn((28, 6, 1), 1, filters=(8, 8, 8))
    assert "3 poolings by 2 leave nothing" in str(error.value)
    assert "smallest axis has 6 positions" in str(error.value)
    assert "Reduce pool_size, or give at most 2 filters" in str(error.value)
    assert models.cnn((28, 6, 1), 1, filters=(8, 8, 8), pool_size=1).output_shape == (None, 1)


def test_batch_normalization_comes_before_the_activation():
    names = kinds(models.cnn((8, 3), 1, filters=(4,), dense_units=(), batch_normalization=True))
    assert names[1:3] == ["Conv1D", "BatchNormalization"]
    dense = models.mlp((4,), 1, hidden_units=(3,), batch_normalization=True).layers[1]
    assert not dense.use_bias  # the normalization has its own


# Recurrent


def test_recurrent_factories_say_the_same():
    described = [argument_descriptions(inspect.getdoc(each)) for each in (models.lstm, models.gru)]
    assert described[0] == described[1]
    simple = argument_descriptions(inspect.getdoc(models.simple_rnn))
    assert set(described[0]) - set(simple) == {"recurrent_activation"}
    shared = (set(simple) & set(described[0])) - {"activation"}
    assert all(simple[name] == described[0][name] for name in shared)


@pytest.mark.parametrize("name", ["simple_rnn", "lstm", "gru"])
@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
def test_recurrent_pooling(name, pooling, series):
    model = getattr(models, name)(SERIES, None, units=(4, 3), pooling=pooling, dropout=0.2)
    assert values(model, series).shape == (5, 3)


def test_recurrent_refuses_what_no_cell_can_do():
    with pytest.raises(MedkitError, match="'glu' halves the width"):
        models.lstm(SERIES, 1, activation="glu")
    with pytest.raises(MedkitError, match="units is empty"):
        models.gru(SERIES, 1, units=())


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
def test_masked_padding_changes_nothing(pooling, series, recwarn):
    padded = np.concatenate([series, np.zeros((5, 4, 3), "float32")], axis=1)
    long = models.gru(padded.shape[1:], None, units=(4,), pooling=pooling, mask_zeros=True)
    short = models.gru(SERIES, None, units=(4,), pooling=pooling, mask_zeros=True)
    short.set_weights(long.get_weights())
    np.testing.assert_allclose(values(long, padded), values(short, series), atol=1e-6)
    assert not [each for each in recwarn if "mask" in str(each.message)]


# Attention


def small_attention(shape=SERIES, **parameters):
    return models.attention(shape, 1, num_heads=2, key_dim=4, feed_forward_units=8, **parameters)


def test_self_attention_is_keras_multi_head_attention(series):
    import keras

    from medkit.layers.self_attention import SelfAttention

    ours = SelfAttention(2, 4)
    expected = keras.layers.MultiHeadAttention(2, 4)
    ours.build(series.shape)
    expected.build(series.shape, series.shape)
    inward, inward_bias, outward, outward_bias = (
        np.random.default_rng(1).normal(size=w.shape) for w in ours.weights
    )
    ours.set_weights([inward, inward_bias, outward, outward_bias])
    thirds = []
    for kernel, bias in zip(np.split(inward, 3, 1), np.split(inward_bias, 3), strict=True):
        thirds += [kernel.reshape(3, 2, 4), bias.reshape(2, 4)]
    # Keras keeps query, key, value, output in this order.
    expected.set_weights([*thirds, outward.reshape(2, 4, 3), outward_bias])
    a, scores = expected(series, series, return_attention_scores=True)
    with ours.recorded() as calls:
        b = ours(series)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(b), keras.ops.convert_to_numpy(a), atol=1e-5
    )
    np.testing.assert_allclose(calls[0], keras.ops.convert_to_numpy(scores), atol=1e-5)


def test_attention_weights_of_a_saved_model_with_the_network_inside(series, tmp_path):
    import keras

    core = small_attention(num_blocks=2)
    direct = attention_weights(core, series)
    assert direct.shape == (5, 2, 2, 6, 6)
    np.testing.assert_allclose(direct.sum(-1), 1, atol=1e-5)
    inputs = keras.Input(SERIES)
    whole = keras.Model(inputs, core(keras.layers.Rescaling(0.5)(inputs)))
    whole.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(
        attention_weights(loaded, 2 * series, batch_size=2), direct, atol=1e-6
    )
    np.testing.assert_allclose(values(loaded, 2 * series), values(core, series), atol=1e-6)
    with pytest.raises(MedkitError, match="no self-attention layer"):
        attention_weights(models.mlp(SERIES, 1), series)


def test_attention_tells_the_order_only_by_positions(series):
    turned = series[:, ::-1]
    blind = small_attention(positions=None, pooling="mean")
    np.testing.assert_allclose(values(blind, turned), values(blind, series), atol=1e-5)
    for positions in ("sinusoidal", "learned"):
        seeing = small_attention(positions=positions)
        assert np.abs(values(seeing, turned) - values(seeing, series)).max() > 1e-5


def test_sinusoids():
    from medkit.layers.positions import sinusoids

    table = sinusoids(50, 7)
    assert (table.shape, table.dtype) == ((50, 7), np.float32)
    assert table[0].tolist() == [0, 1, 0, 1, 0, 1, 0]
    np.testing.assert_allclose(table[:, 0], np.sin(np.arange(50)), atol=1e-6)


def test_attention_hides_padding(series):
    padded = np.concatenate([series, np.zeros((5, 4, 3), "float32")], axis=1)
    long = small_attention(padded.shape[1:], mask_zeros=True)
    short = small_attention(mask_zeros=True)
    fixed = [w for w in long.get_weights() if w.shape != (10, 8)]
    short.set_weights([fixed.pop(0) if w.shape != (6, 8) else w for w in short.get_weights()])
    np.testing.assert_allclose(values(long, padded), values(short, series), atol=1e-5)
    weights = attention_weights(long, padded)
    assert weights[..., 6:].max() == 0


@pytest.mark.parametrize("recurrent", ["simple_rnn", "lstm", "gru"])
@pytest.mark.parametrize("pooling", ["last", "max"])
def test_a_recurrent_layer_reads_the_attended_sequence(recurrent, pooling, series):
    model = models.attention(SERIES, None, recurrent=recurrent, recurrent_units=5, pooling=pooling)
    assert values(model, series).shape == (5, 5)

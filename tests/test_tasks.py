"""Tasks: refused targets, encodings, losses, and metrics against scikit-learn."""

from __future__ import annotations

import json
import logging
import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from medkit.config.experiment import Evaluation
from medkit.core.errors import DataError, MedkitError
from medkit.core.registry import tasks
from medkit.evaluation import evaluate_part
from medkit.evaluation.rows import EvaluatedRows
from medkit.tasks.scores.ranking import best_threshold


def metric_names(task):
    return tuple(metric.name for metric in task.metrics)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def resamples(rng, n, count=12):
    return rng.multinomial(n, np.ones(n) / n, size=count)


# Targets


@pytest.mark.parametrize(
    ("task", "targets", "message"),
    [
        ("binary", ["yes"] * 4, "one class only: 'yes' (4 rows)"),
        ("binary", list("abcdefabcdef"), "has 6: 'a', 'b', 'c', 'd', 'e', …"),
        ("binary", list("abcabc"), "Use task: multiclass"),
        ("binary", [0.0, np.nan, 1.0], "1 target is missing (first at row 2)"),
        ("binary", np.array(["a", None, None], object), "2 targets are missing (first at row 2)"),
        ("binary", [0.0, np.inf], "1 target is infinite (first at row 2)"),
        ("binary", [[0, 1], [1, 0]], "one column was expected"),
        ("binary", [], "there are no targets"),
        ("multiclass", [3, 3], "one class only: 3 (2 rows)"),
        ("multiclass", np.arange(200), "200 classes in 200 rows"),
        ("multilabel", [0, 1, 0], "needs two or more target columns"),
        ("multilabel", [[0, 1], [1, 2]], "target 'y': 1 values are neither 0 nor 1"),
        ("multilabel", [[0, 1], [1, 1]], "target 'y': the training targets hold one class only: 1"),
        ("regression", ["a", "b"], "2 targets are not numbers (first at row 1)"),
        ("regression", [1.0, np.nan], "1 target is missing (first at row 2)"),
        ("regression", [1.0, -np.inf], "1 target is infinite (first at row 2)"),
        ("regression", [5.0, 5.0], "all 2 training targets are 5"),
    ],
)
def test_refuses_targets(task, targets, message):
    with pytest.raises(DataError) as error:
        tasks.build(task).fit(np.asarray(targets), names=("x", "y"))
    assert message in str(error.value)


def test_does_not_print_the_values_of_an_identifier_column():
    identifiers = np.array([f"patient-{i}" for i in range(200)])
    for task in ("binary", "multiclass"):
        with pytest.raises(DataError, match="200") as error:
            tasks.build(task).fit(identifiers)
        assert "patient-" not in str(error.value)
    with pytest.raises(DataError) as error:
        tasks.build("binary").fit(["a", "b"]).encode(identifiers)
    assert "patient-" not in str(error.value)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_a_class_unknown_from_training_is_named(task):
    built = tasks.build(task).fit(["a", "b", "a"])
    with pytest.raises(DataError, match="class 'c' \\(2 rows\\) did not occur in the training"):
        built.encode(["a", "c", "c"])


def test_other_data_of_which_no_class_is_known():
    built = tasks.build("multiclass").fit(["a", "b", "a"])
    with pytest.raises(DataError) as error:
        built.encode([1, 2, 1])
    assert "classes '1', '2' (3 rows) did not occur in the training rows" in str(error.value)
    assert "Known from training: 'a', 'b'. None of these rows has a known class: the target " in (
        str(error.value)
    )
    assert "the target column or the task may be another than the run's" in str(error.value)
    with pytest.raises(DataError, match="Merge rare classes"):
        built.encode(["a", "c"])


def test_binary_positive_class(caplog):
    with caplog.at_level(logging.INFO, logger="medkit"):
        task = tasks.build("binary").fit(["sick", "healthy", "sick"])
    assert "positive class: 'sick'" in caplog.text
    assert task.encode(["healthy", "sick"]).tolist() == [[0.0], [1.0]]
    other = tasks.build("binary", positive="healthy").fit(["sick", "healthy"])
    assert other.encode(["healthy", "sick"]).tolist() == [[1.0], [0.0]]
    with pytest.raises(DataError, match="positive class 'ill' does not occur"):
        tasks.build("binary", positive="ill").fit(["sick", "healthy"])
    # 1, 1.0 and True are one class, however the file was read.
    numeric = tasks.build("binary", positive=1).fit(np.array([0.0, 1.0]))
    assert numeric.encode(np.array([True, False])).tolist() == [[1.0], [0.0]]
    assert numeric.encode(np.array([1, 0])).dtype == np.float32


def test_regression_standardizes_by_train_only():
    train = np.array([[100.0, 1.0], [140.0, 3.0]])
    task = tasks.build("regression").fit(train, names=("systolic", "score"))
    assert task.mean_ == [120.0, 2.0]
    assert task.scale_ == [20.0, 1.0]
    y = task.encode(np.array([[160.0, 2.0]]))
    assert y.tolist() == [[160.0, 2.0]]
    scaled = task.scale(y)
    assert scaled.tolist() == [[2.0, 0.0]]
    layer = task.output_layer()
    back = layer(scaled)
    import keras

    np.testing.assert_allclose(keras.ops.convert_to_numpy(back), y)
    plain = tasks.build("regression", standardize=False).fit(train)
    assert plain.output_layer() is None
    assert plain.scale(y).tolist() == y.tolist()
    with pytest.raises(DataError, match="2 columns; expected 1"):
        tasks.build("regression").fit([1.0, 2.0]).encode(train)


@pytest.mark.parametrize(
    ("task", "targets", "names"),
    [
        ("binary", ["a", "b"], ()),
        ("multiclass", [1, 2, 3], ()),
        ("multilabel", [[0, 1], [1, 0]], ("x", "y")),
        ("regression", [1.5, 2.5], ()),
    ],
)
def test_state_is_json_and_comes_back(task, targets, names):
    built = tasks.build(task).fit(np.asarray(targets), names)
    saved = json.loads(json.dumps(built.to_dict()))
    again = type(built).from_dict(saved)
    assert again.to_dict() == built.to_dict()
    assert np.array_equal(again.encode(np.asarray(targets)), built.encode(np.asarray(targets)))
    assert metric_names(again) == metric_names(built)
    p = np.full((2, built.num_outputs), 0.5)
    columns = again.prediction_columns(p, built.choose_threshold(built.encode(targets)[:2], p))
    assert all(len(column) == 2 for column in columns.values())


def test_unfitted_says_so():
    with pytest.raises(MedkitError, match="call fit first"):
        tasks.build("multiclass").encode([1, 2])


# Heads, losses, watched metrics


@pytest.mark.parametrize(
    ("task", "loss"),
    [
        *(("binary", loss) for loss in ("binary_crossentropy", "focal", "mse")),
        *(("multilabel", loss) for loss in ("binary_crossentropy", "focal", "mse")),
        ("multiclass", "sparse_categorical_crossentropy"),
        ("multiclass", "categorical_crossentropy"),
        ("multiclass", "focal"),
        *(("regression", loss) for loss in ("mse", "mae", "huber")),
    ],
)
def test_losses_take_sample_weights(task, loss, rng):
    import keras

    targets = {
        "binary": rng.integers(0, 2, 8),
        "multiclass": np.arange(8) % 3,
        "multilabel": np.array([[0, 1], [1, 0]] * 4),
        "regression": rng.normal(size=8),
    }[task]
    built = tasks.build(task, loss=loss).fit(targets)
    y = built.scale(built.encode(targets))
    p = rng.uniform(0.1, 0.9, (8, built.num_outputs)).astype("float32")
    p = p / p.sum(1, keepdims=True) if task == "multiclass" else p
    whole, weight = built.keras_loss(), np.array([1, 0, 0, 0, 0, 0, 0, 0], "float32")
    value = keras.ops.convert_to_numpy(whole(y, p, sample_weight=weight))
    first = keras.ops.convert_to_numpy(whole(y[:1], p[:1]))
    np.testing.assert_allclose(value * 8, first, rtol=1e-5)
    for metric in built.watch():
        metric.update_state(y, p)
        assert np.isfinite(float(metric.result()))
        assert metric.name in built.monitors
    assert built.monitor in built.monitors


def test_focal_multiclass_loss(rng):
    import keras

    y, p = np.array([0, 2, 1]), rng.dirichlet(np.ones(3), 3).astype("float32")
    plain = tasks.build("multiclass").fit([0, 1, 2]).keras_loss()
    focal = tasks.build("multiclass", loss="focal", focal_gamma=0.0).fit([0, 1, 2]).keras_loss()
    np.testing.assert_allclose(float(focal(y, p)), float(plain(y, p)), rtol=1e-5)
    hard = tasks.build("multiclass", loss="focal", focal_gamma=2.0).fit([0, 1, 2]).keras_loss()
    true = p[np.arange(3), y]
    np.testing.assert_allclose(
        float(hard(y, p)), np.mean(-((1 - true) ** 2) * np.log(true)), rtol=1e-5
    )
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(hard))
    assert float(again(y[:, None], p)) == float(hard(y, p))


def test_class_weights():
    binary = tasks.build("binary").fit([0, 1])
    assert binary.class_weights(np.array([[0.0], [0.0], [0.0], [1.0]])) == {0: 4 / 6, 1: 2.0}
    with pytest.raises(MedkitError, match="'regression' has no mutually exclusive"):
        tasks.build("regression").class_weights(np.zeros((3, 1)))


# Thresholds


def test_threshold_is_the_best_of_all(rng):
    y = rng.integers(0, 2, 200)
    p = np.round(0.3 * y + rng.uniform(0, 0.7, 200), 2)
    every = np.unique(np.r_[p, p + 0.005])
    for by, measure in (
        ("f1", lambda q: sk.f1_score(y, q)),
        ("youden", lambda q: sk.recall_score(y, q) - 1 + sk.recall_score(y, q, pos_label=0)),
    ):
        chosen = tasks.build("binary", threshold=by).fit(y).choose_threshold(y, p)
        assert measure(p >= chosen) == pytest.approx(max(measure(p >= at) for at in every))


def test_threshold_edges(caplog):
    task = tasks.build("binary").fit([0, 1])
    assert task.choose_threshold(np.zeros((3, 1)), np.full((3, 1), 0.2)) == 0.5
    assert "network: the validation rows do not hold both classes" in caplog.text
    caplog.clear()
    task.choose_threshold(np.zeros((3, 1)), np.full((3, 1), 0.2), model="logistic regression")
    assert [each.getMessage() for each in caplog.records] == [
        "logistic regression: the validation rows do not hold both classes: threshold 0.5 is used"
    ]
    caplog.clear()
    labels = tasks.build("multilabel").fit([[0, 1], [1, 0]], names=("x", "y"))
    labels.choose_threshold(np.array([[0, 1], [0, 0]]), np.full((2, 2), 0.2), model="trees")
    assert "trees: threshold 0.5 is used for x: the validation rows" in caplog.text
    assert task.choose_threshold(np.zeros((0, 1)), np.zeros((0, 1))) == 0.5
    fixed = tasks.build("binary", fixed_threshold=0.2).fit([0, 1])
    assert fixed.choose_threshold(np.array([[0], [1]]), np.array([[0.1], [0.9]])) == 0.2
    # Between separated scores: half way.
    assert best_threshold(np.array([0, 1]), np.array([0.2, 0.6]), "youden") == pytest.approx(0.4)


# Metrics


def binary_by_scikit_learn(y, p, threshold, weight=None):
    q = p >= threshold
    given = {"sample_weight": weight}
    return {
        "auroc": sk.roc_auc_score(y, p, **given),
        "auprc": sk.average_precision_score(y, p, **given),
        "accuracy": sk.accuracy_score(y, q, **given),
        "precision": sk.precision_score(y, q, zero_division=np.nan, **given),
        "recall": sk.recall_score(y, q, **given),
        "specificity": sk.recall_score(y, q, pos_label=0, **given),
        "f1": sk.f1_score(y, q, **given),
        "brier": sk.brier_score_loss(y, p, **given),
        "log_loss": sk.log_loss(y, p, labels=[0, 1], **given),
    }


@pytest.mark.parametrize("digits", [1, 2, 12])
@pytest.mark.parametrize("threshold", [0.5, 0.99])
def test_binary_metrics_are_scikit_learns(rng, digits, threshold):
    y = rng.integers(0, 2, 150)
    p = np.round(np.clip(rng.normal(0.4 + 0.2 * y, 0.2), 0, 1), digits)  # one digit: many ties
    task = tasks.build("binary").fit(y)
    encoded = task.encode(y)
    found = task.score(encoded, p[:, None], threshold)
    assert tuple(found) == metric_names(task)
    assert found == pytest.approx(binary_by_scikit_learn(y, p, threshold), nan_ok=True, abs=0)
    weights = resamples(rng, len(y))
    many = task.score(encoded, p[:, None], threshold, weights)
    for row, weight in enumerate(weights):
        expected = binary_by_scikit_learn(y, p, threshold, weight)
        for name, value in expected.items():
            assert many[name][row] == pytest.approx(value, abs=1e-12, nan_ok=True), name


def test_blocks_of_resamples_agree_with_one(rng, monkeypatch):
    y, p = rng.integers(0, 2, 40), rng.uniform(size=(40, 1))
    task, weights = tasks.build("binary").fit(y), resamples(rng, 40)
    whole = task.score(task.encode(y), p, 0.5, weights)
    monkeypatch.setattr("medkit.tasks.scores.metrics._BLOCK", 90)
    parts = task.score(task.encode(y), p, 0.5, weights)
    for name in whole:
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-12)


def test_undefined_metrics_are_nan():
    task = tasks.build("binary").fit([0, 1])
    p = np.array([[0.2], [0.8]], "float32")
    negatives = task.score(np.zeros((2, 1)), p, 0.5)
    undefined = {name for name, value in negatives.items() if np.isnan(value)}
    assert undefined == {"auroc", "auprc", "recall", "f1"}
    assert {n for n, v in task.score(np.ones((2, 1)), p, 0.5).items() if np.isnan(v)} == {
        "auroc",
        "specificity",
    }
    both = task.score(np.array([[0], [1]]), p, 0.5, np.array([[2, 0], [0, 2], [1, 1]]))
    assert np.isnan(both["auroc"]).tolist() == [True, True, False]
    assert np.isnan(both["recall"]).tolist() == [True, False, False]
    assert np.isnan(list(task.score(np.zeros((0, 1)), np.zeros((0, 1)), 0.5).values())).all()
    constant = task.score(np.array([[0], [1]]), np.full((2, 1), 0.1), 0.5)
    assert constant["auroc"] == 0.5
    assert np.isnan(constant["precision"])  # nobody is called positive: as the PPV has it
    multiclass = tasks.build("multiclass").fit([0, 1, 2])
    one = multiclass.score(np.zeros(3, int), np.full((3, 3), 1 / 3))
    assert np.isnan(one["auroc_macro"])
    assert one["accuracy"] == 1.0
    regression = tasks.build("regression").fit([1.0, 2.0])
    assert np.isnan(regression.score(np.ones((3, 1)), np.zeros((3, 1)))["r2"])


def multiclass_by_scikit_learn(y, p, weight=None):
    q, given = p.argmax(1), {"sample_weight": weight}
    found = {
        "accuracy": sk.accuracy_score(y, q, **given),
        "balanced_accuracy": sk.balanced_accuracy_score(y, q, **given),
        "log_loss": sk.log_loss(y, p, **given),
        "auprc_macro": np.mean(
            [sk.average_precision_score(y == c, p[:, c], **given) for c in range(p.shape[1])]
        ),
    }
    for average in ("macro", "weighted"):
        given["average"] = average
        found[f"precision_{average}"] = sk.precision_score(y, q, zero_division=0, **given)
        found[f"recall_{average}"] = sk.recall_score(y, q, zero_division=0, **given)
        found[f"f1_{average}"] = sk.f1_score(y, q, zero_division=0, **given)
        found[f"auroc_{average}"] = sk.roc_auc_score(y, p, multi_class="ovr", **given)
    return found


def test_multiclass_metrics_are_scikit_learns(rng):
    y = rng.integers(0, 4, 160)
    p = rng.dirichlet(np.ones(4), 160)
    p[:, 3] = 1e-3  # never predicted
    p /= p.sum(1, keepdims=True)
    task = tasks.build("multiclass").fit(y)
    found = task.score(task.encode(y), p)
    assert set(found) == set(metric_names(task))
    for name, value in multiclass_by_scikit_learn(y, p).items():
        assert found[name] == pytest.approx(value, abs=1e-14), name
    weights = resamples(rng, len(y))
    many = task.score(task.encode(y), p, None, weights)
    for row, weight in enumerate(weights):
        for name, value in multiclass_by_scikit_learn(y, p, weight).items():
            assert many[name][row] == pytest.approx(value, abs=1e-12), name
    assert many.keys() == found.keys()


def test_a_softmax_in_single_precision_is_scored_as_probabilities(rng):
    y = rng.integers(0, 4, 160)
    raw = rng.normal(size=(160, 4)).astype("float32")
    raw = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    task, p = tasks.build("multiclass").fit(y), raw.astype(np.float64)
    assert np.abs(p.sum(axis=1) - 1).max() > 1e-9
    exact = p / p.sum(axis=1, keepdims=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = task.score(task.encode(y), p)
        expected = multiclass_by_scikit_learn(y, exact)
        columns = task.prediction_columns(p)
    assert found["log_loss"] == expected["log_loss"]
    assert found["accuracy"] == expected["accuracy"]
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-14), name
    # What is stored gives the reported numbers again, to the last digit.
    stored = np.column_stack([columns[f"probability_{each}"] for each in range(4)])
    np.testing.assert_array_equal(stored, exact)
    assert task.score(task.encode(y), stored) == found
    assert task.score(task.encode(y), raw) == found
    weights = resamples(rng, len(y))
    many = task.score(task.encode(y), p, None, weights)
    for row, weight in enumerate(weights):
        for name, value in multiclass_by_scikit_learn(y, exact, weight).items():
            assert many[name][row] == pytest.approx(value, abs=1e-12), name


def test_a_resample_without_a_class_has_no_mean_over_classes(rng):
    """A mean over other classes from resample to resample would be another quantity."""
    y = np.array([0, 0, 1, 1, 2])
    p = np.array([[0.7, 0.2, 0.1], [0.2, 0.7, 0.1], [0.2, 0.7, 0.1], [0.7, 0.2, 0.1], [0, 0, 1.0]])
    task = tasks.build("multiclass").fit(y)
    weight = np.array([2, 1, 1, 1, 0])
    many = task.score(y, p, None, weight[None])
    rows = np.repeat(np.arange(5), weight)
    for name, value in task.score(y[rows], p[rows]).items():
        if name.endswith("_macro") or name == "balanced_accuracy":
            assert np.isnan(many[name][0]), name
        else:
            assert many[name][0] == pytest.approx(value), name


def test_a_mean_over_labels_is_undefined_where_one_of_them_is(rng):
    """Not of a label that is undefined in the rows themselves: the mean is not over it."""
    y, p = rng.integers(0, 2, (40, 3)), rng.uniform(size=(40, 3))
    y[:, 1], y[:, 2] = np.arange(40) < 1, 0
    task = tasks.build("multilabel").fit(np.r_[y, 1 - y], names=("a", "b", "c"))
    weights = np.ones((2, 40))
    weights[1, 0] = 0  # the only row with b
    many = task.score(y, p, 0.5, weights)
    alone = task.score(y, p, 0.5)
    assert many["auroc"][0] == pytest.approx(alone["auroc"])
    assert alone["auroc"] == pytest.approx((alone["auroc_a"] + alone["auroc_b"]) / 2)
    assert np.isnan(many["auroc"][1])
    assert np.isfinite(many["auroc_a"]).all()
    settings = Evaluation(bootstrap=100)
    found = evaluate_part(EvaluatedRows(task, y, p, np.arange(40), 0.5, settings, 0))["metrics"]
    assert found["auroc"]["low"] is None
    assert "too few subjects for an interval: positive b (1)" in found["auroc"]["note"]
    assert found["recall"]["undefined"] > 10


def test_multilabel_metrics_are_means_over_labels(rng):
    y = rng.integers(0, 2, (80, 3))
    p = np.clip(rng.normal(0.4 + 0.2 * y, 0.2), 0, 1)
    task = tasks.build("multilabel").fit(y, names=("effusion", "mass", "nodule"))
    threshold = task.choose_threshold(task.encode(y), p)
    assert len(threshold) == 3
    found = task.score(task.encode(y), p, threshold)
    assert set(found) == set(metric_names(task))
    assert found["auroc"] == pytest.approx(sk.roc_auc_score(y, p, average="macro"), abs=1e-14)
    assert found["auroc_mass"] == sk.roc_auc_score(y[:, 1], p[:, 1])
    q = p >= np.array(threshold)
    assert found["f1"] == pytest.approx(sk.f1_score(y, q, average="macro"), abs=1e-14)
    weights = resamples(rng, 80, 3)
    many = task.score(task.encode(y), p, threshold, weights)
    expected = sk.roc_auc_score(y, p, average="macro", sample_weight=weights[2])
    assert many["auroc"][2] == pytest.approx(expected, abs=1e-12)
    assert task.positives(y)["mass"] == y[:, 1].sum()


@pytest.mark.parametrize("outputs", [1, 2])
def test_regression_metrics_are_scikit_learns(rng, outputs):
    y = rng.normal(120, 15, (70, outputs)).astype("float32")
    p = y + rng.normal(0, 5, y.shape)
    task = tasks.build("regression").fit(y)
    weights = resamples(rng, 70)
    found, many = task.score(y, p), task.score(y, p, None, weights)
    assert tuple(found) == metric_names(task)
    for row in (None, *range(len(weights))):
        given = {} if row is None else {"sample_weight": weights[row]}
        expected = {
            "mae": sk.mean_absolute_error(y, p, **given),
            "rmse": sk.root_mean_squared_error(y, p, **given),
            "r2": sk.r2_score(y, p, **given),
        }
        for name, value in expected.items():
            got = found[name] if row is None else many[name][row]
            assert got == pytest.approx(value, rel=1e-10), name


def test_predictions_that_are_not_finite_are_refused():
    task = tasks.build("binary").fit([0, 1])
    with pytest.raises(DataError, match="1 of 2 predictions are not finite \\(first at row 2\\)"):
        task.score(np.array([[0], [1]]), np.array([[0.5], [np.nan]]), 0.5)
    with pytest.raises(DataError, match="2 predictions for 1 targets"):
        task.score(np.array([[0]]), np.array([[0.5], [0.1]]), 0.5)

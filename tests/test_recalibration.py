"""Recalibration against scikit-learn and statsmodels, and the layer against numpy."""

import json
import logging

import keras
import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from medkit.core.errors import MedkitError
from medkit.core.registry import tasks
from medkit.evaluation.calibration.logistic import logits, weighted_intercept, weighted_logistic
from medkit.evaluation.calibration.recalibration import (
    KINDS,
    apply_recalibration,
    fit_recalibration,
    recalibration_layer,
)

sm = pytest.importorskip("statsmodels.api")
ROWS = 400


def binary(seed=0, slope=0.5, intercept=-0.4):
    random = np.random.default_rng(seed)
    p = random.beta(0.6, 0.9, size=(ROWS, 1)).astype(np.float32)
    truth = 1 / (1 + np.exp(-(slope * logits(p) + intercept)))
    y = (random.random((ROWS, 1)) < truth).astype(np.float32)
    return tasks.build("binary").fit([0, 1]), y, p


def multiclass(seed=0, slope=0.5):
    random = np.random.default_rng(seed)
    p = random.dirichlet([0.6, 0.5, 0.8], size=ROWS).astype(np.float32)
    truth = np.clip(p.astype(float), 1e-7, 1) ** slope
    truth /= truth.sum(axis=1, keepdims=True)
    y = np.array([random.choice(3, p=each) for each in truth])
    return tasks.build("multiclass").fit(["a", "b", "c"] * 5), y, p


def multilabel(seed=0):
    each = [binary(seed + i, 0.5 + 0.4 * i) for i in range(3)]
    y, p = (np.concatenate([one[i] for one in each], axis=1) for i in (1, 2))
    return tasks.build("multilabel").fit(y, names=("x", "y", "z")), y, p


MADE = {"binary": binary, "multiclass": multiclass, "multilabel": multilabel}


# Against references


def test_temperature_equals_a_logistic_regression_without_intercept():
    task, y, p = binary()
    state = fit_recalibration("temperature", task, y, p)
    expected = sm.Logit(y.ravel(), logits(p)).fit(disp=0, tol=1e-12).params
    assert state["slope"] == pytest.approx(expected, abs=1e-6)
    assert state["intercept"] == [0.0]


def test_multiclass_temperature_equals_scikit_learn():
    task, y, p = multiclass()
    x = np.log(np.clip(p.astype(float), 1e-7, None))

    class Logits(LogisticRegression):
        def decision_function(self, rows):
            return rows

    frozen = FrozenEstimator(Logits().fit(x, y))
    reference = CalibratedClassifierCV(frozen, method="temperature").fit(x, y)
    found = apply_recalibration(fit_recalibration("temperature", task, y, p), p)
    np.testing.assert_allclose(found, reference.predict_proba(x), atol=1e-4)
    assert (found.argmax(axis=1) == p.argmax(axis=1)).all()


def test_platt_equals_scikit_learn():
    task, y, p = binary()

    class Logits(LogisticRegression):
        def decision_function(self, rows):
            return rows[:, 0]

    x = logits(p)
    frozen = FrozenEstimator(Logits().fit(x, y.ravel()))
    reference = CalibratedClassifierCV(frozen, method="sigmoid").fit(x, y.ravel())
    found = apply_recalibration(fit_recalibration("platt", task, y, p), p)
    np.testing.assert_allclose(found[:, 0], reference.predict_proba(x)[:, 1], atol=1e-4)


def test_isotonic_equals_scikit_learn_and_is_never_certain():
    task, y, p = binary()
    state = fit_recalibration("isotonic", task, y, p)
    edge = 1 / (ROWS + 2)
    reference = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(p.ravel(), y.ravel())
    at = np.linspace(0, 1, 5001, dtype=np.float32)
    found = apply_recalibration(state, at[:, None])[:, 0]
    # Between two knots scikit-learn's line starts at 0 or 1, ours at the edge.
    np.testing.assert_allclose(found, reference.predict(at), atol=edge + 1e-6)
    assert (np.diff(found) >= 0).all()
    assert found.min() == pytest.approx(edge)
    assert found.max() == pytest.approx(1 - edge)
    assert "isotonic calibration on 400 subjects may overfit" in state["note"]


def test_intercept_and_slope_are_maximum_likelihood():
    task, y, p = binary()
    state = fit_recalibration("slope", task, y, p)
    expected = sm.Logit(y.ravel(), sm.add_constant(logits(p))).fit(disp=0, tol=1e-12).params
    assert [*state["intercept"], *state["slope"]] == pytest.approx(expected, abs=1e-6)
    after = apply_recalibration(state, p)
    one = np.ones(len(y))
    assert weighted_logistic(logits(after), y, one)[0] == pytest.approx([0, 1], abs=1e-4)
    state = fit_recalibration("intercept", task, y, p)
    assert state["slope"] == [1.0]
    after = logits(apply_recalibration(state, p).ravel())
    assert weighted_intercept(after, y, one)[0] == pytest.approx(0, abs=1e-4)


def test_multiclass_intercepts_give_each_class_its_share():
    task, y, p = multiclass()
    y = np.where((y == 0) & (np.arange(ROWS) % 2 == 0), 2, y)
    for kind in ("intercept", "slope"):
        after = apply_recalibration(fit_recalibration(kind, task, y, p), p)
        np.testing.assert_allclose(after.mean(axis=0), np.bincount(y) / ROWS, atol=1e-5)
        rows = np.arange(ROWS)
        assert np.log(after[rows, y]).mean() > np.log(p[rows, y]).mean()


@pytest.mark.parametrize("kind", ["temperature", "platt", "isotonic"])
@pytest.mark.parametrize("made", MADE)
def test_new_rows_are_better_calibrated(made, kind):
    task, y, p = MADE[made](0)
    _, y_new, p_new = MADE[made](7)
    after = apply_recalibration(fit_recalibration(kind, task, y, p), p_new)
    columns = range(p.shape[1])
    if made == "multiclass":
        y_new = (y_new[:, None] == np.arange(3)).astype(float)
        np.testing.assert_allclose(after.sum(axis=1), 1, atol=1e-6)
    before = np.mean([log_loss(y_new[:, i], p_new[:, i].astype(float)) for i in columns])
    assert np.mean([log_loss(y_new[:, i], after[:, i]) for i in columns]) < before
    if kind != "isotonic" and made != "multiclass":
        for i in columns:
            areas = [roc_auc_score(y_new[:, i], of[:, i]) for of in (after, p_new)]
            assert areas[0] == pytest.approx(areas[1], abs=1e-9)


# The layer


@pytest.mark.parametrize("kind", [each for each in KINDS if each != "none"])
@pytest.mark.parametrize("made", MADE)
def test_the_layer_equals_numpy_also_when_saved(made, kind, tmp_path):
    task, y, p = MADE[made]()
    state = json.loads(json.dumps(fit_recalibration(kind, task, y, p), allow_nan=False))
    layer = recalibration_layer(state)
    width = p.shape[1]
    inputs = keras.Input((width,))
    model = keras.Model(inputs, layer(inputs))
    random = np.random.default_rng(0)
    ends = [np.eye(width), 1 - np.eye(width), np.full((1, width), 1e-20), np.full((1, width), 0.5)]
    near = np.full((1, width), 1 - 1e-7)
    rows = np.concatenate([p, *ends, near, random.random((500, width))]).astype(np.float32)
    found = model.predict(rows, verbose=0)
    assert found.shape == rows.shape
    assert np.isfinite(found).all()
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(found, apply_recalibration(state, rows), atol=1e-6)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(rows, verbose=0), found, atol=1e-6)
    assert layer.count_params() > 0
    assert not layer.trainable_weights


def test_a_layer_without_numbers_changes_nothing_and_two_can_follow_each_other():
    from medkit.layers.recalibration import Recalibration

    p = np.random.default_rng(0).random((50, 2)).astype(np.float32)
    for link in ("sigmoid", "knots"):
        found = keras.ops.convert_to_numpy(Recalibration(link)(p))
        np.testing.assert_allclose(found, p, atol=1e-6)
    with pytest.raises(ValueError, match="sigmoid, softmax or knots; got 'probit'"):
        Recalibration("probit")
    task, y, p = binary()
    first = fit_recalibration("platt", task, y, p)
    second = fit_recalibration("intercept", task, 1 - y, apply_recalibration(first, p))
    inputs = keras.Input((1,))
    outputs = recalibration_layer(second, name="update")(recalibration_layer(first)(inputs))
    found = keras.Model(inputs, outputs).predict(p, verbose=0)
    expected = apply_recalibration(second, apply_recalibration(first, p))
    np.testing.assert_allclose(found, expected, atol=1e-6)


# Validation that cannot be used


def fails(kind, task, y, p, caplog):
    with caplog.at_level(logging.WARNING, logger="medkit"):
        state = fit_recalibration(kind, task, np.asarray(y), np.asarray(p))
    json.dumps(state, allow_nan=False)
    assert state["kind"] == "none"
    assert state["asked"] == kind
    assert state["warning"] in caplog.text
    assert recalibration_layer(state) is None
    same = np.asarray(p, float)
    np.testing.assert_array_equal(apply_recalibration(state, same), same)
    return state["warning"]


@pytest.mark.parametrize("kind", ["temperature", "platt", "isotonic", "slope"])
def test_degenerate_validation_leaves_the_model_as_it_is(kind, caplog):
    task, _, p = binary()
    nothing = fails(kind, task, np.zeros((ROWS, 1)), p, caplog)
    assert "only 0 subjects with events; 10 are needed in validation" in nothing
    few = (np.arange(ROWS) < 9)[:, None]
    assert "only 9 subjects with events" in fails(kind, task, few, p, caplog)
    assert "only 9 subjects with non-events" in fails(kind, task, ~few, p, caplog)
    half = (np.arange(ROWS) % 2)[:, None].astype(float)
    equal = np.full((ROWS, 1), 0.3)
    assert "all predictions are equal" in fails(kind, task, half, equal, caplog)
    if kind != "slope":  # which has no finite estimate there
        falling = 0.9 - half * 0.7 - p / 10
        assert "do not rise" in fails(kind, task, half, falling, caplog)
    missing = np.where(np.arange(ROWS)[:, None] == 2, np.nan, p)
    assert "1 of 400 predictions are not finite" in fails(kind, task, half, missing, caplog)


def test_perfect_validation_has_no_temperature_but_platt(caplog):
    task, _, p = binary()
    y = (p > 0.5).astype(float)
    assert "no finite temperature exists" in fails("temperature", task, y, p, caplog)
    assert "no finite slope exists" in fails("slope", task, y, p, caplog)
    assert fit_recalibration("platt", task, y, p)["slope"][0] > 1
    task, _, p = multiclass()
    assert "no finite temperature" in fails("temperature", task, p.argmax(axis=1), p, caplog)
    assert "only 0 subjects with another class than the commonest" in fails(
        "temperature", task, np.zeros(ROWS, int), p, caplog
    )
    rare = np.where(np.arange(ROWS) < 9, 1, 0)
    assert "fewer than 10 subjects with b, c" in fails("slope", task, rare, p, caplog)


@pytest.mark.parametrize("kind", ["temperature", "platt", "isotonic"])
def test_a_label_that_cannot_be_fitted_keeps_its_probabilities(kind, caplog):
    task, y, p = multilabel()
    y[:, 1] = 0
    with caplog.at_level(logging.WARNING, logger="medkit"):
        state = fit_recalibration(kind, task, y, p)
    assert "(y: only 0 subjects with events; 10 are needed in validation)" in caplog.text
    after = apply_recalibration(state, p)
    np.testing.assert_allclose(after[:, 1], p[:, 1], atol=1e-6)
    assert np.abs(after[:, 0] - p[:, 0]).max() > 0.01


@pytest.mark.parametrize("kind", ["temperature", "platt", "isotonic", "intercept", "slope"])
def test_many_rows_of_few_patients_are_no_basis(kind):
    for name, made in MADE.items():
        task, y, p = made()
        subjects = np.arange(len(y)) % 9
        state = fit_recalibration(kind, task, y, p, subjects)
        assert state["kind"] == "none", name
        assert "10" in state["warning"]
        assert fit_recalibration(kind, task, y, p)["kind"] == kind


def test_what_is_refused():
    task, y, p = binary()
    with pytest.raises(MedkitError, match="no recalibration called 'beta'"):
        fit_recalibration("beta", task, y, p)
    regression = tasks.build("regression").fit([1.0, 2.0])
    with pytest.raises(MedkitError, match="no probabilities to recalibrate"):
        fit_recalibration("platt", regression, y, p)
    none = fit_recalibration("none", task, y, p)
    assert none == {
        "kind": "none", "asked": "none", "rows": 400, "warning": None
    }  # fmt: skip

"""Explanations: against independent references, known drivers, and randomised weights."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from cohorts import only_input
from scipy.stats import spearmanr

from medkit import explanation
from medkit.cli import main
from medkit.config.experiment import Component, Evaluation
from medkit.core.errors import DataError, MedkitError
from medkit.data.cohort import Feature, RawInput
from medkit.data.inputs import Inputs
from medkit.datasets.synthetic import dna, icu, vitals, xray
from medkit.explanation import accumulated_local_effects, local, partial_dependence
from medkit.explanation.intermediate import last_convolutions as convolutions
from medkit.explanation.partial_dependence import grid_of
from medkit.explanation.tables import Explained
from medkit.modalities.encoder import Encoder
from medkit.modalities.image import Image
from medkit.modalities.series import Series
from medkit.modalities.tabular import Tabular
from medkit.modalities.tokens import Tokens
from medkit.models.attention import layers_within
from medkit.report.pages.explanation import render
from medkit.runs.run import verify
from medkit.tasks.binary import Binary
from medkit.tasks.multiclass import Multiclass
from medkit.tasks.regression import Regression
from medkit.training.network import build_network

CONFIGS = Path(__file__).parents[1] / "configs"
RESULT = {"metric", "value", "rows", "repeats", "resamples", "confidence", "method", "features"}


def of_x(predict):
    """A prediction that takes the input ``x`` alone."""
    return lambda inputs: predict(inputs["x"])


def explain(model, modality, task, x, background=None, **given):
    given |= {} if background is None else {"background": Inputs({"x": background})}
    return local.explain(model, Encoder({"x": modality}), task, Inputs({"x": x}), **given)["x"]


def permutation_importance(predict, task, x, y, modality, *rest, **given):
    encoder, inputs = Encoder({"x": modality}), Inputs({"x": x})
    return explanation.permutation_importance(
        of_x(predict), task, inputs, y, encoder, *rest, **given
    )


def explanations(predict, task, modality, x, *rest, **given):
    encoder, inputs = Encoder({"x": modality}), Inputs({"x": x})
    return explanation.explanations(of_x(predict), task, encoder, inputs, *rest, **given)


def dependence(predict, task, x, modality, names, seed):
    inputs = Inputs({"x": x})
    return explanation.dependence(of_x(predict), task, inputs, "x", modality, names, seed)


def last_convolutions(model):
    return convolutions(model, "x")


def settings(**given):
    return Evaluation(**{"bootstrap": 100, **given})


def numeric(x, names=None, units=None):
    """A fitted tabular modality of plain columns, and the encoded rows."""
    names = names or [f"x{i}" for i in range(x.shape[1])]
    features = tuple(Feature(n, "numeric", u) for n, u in zip(names, units or names, strict=True))
    modality = Tabular().fit(RawInput("tabular", pd.DataFrame(x, columns=names), features))
    return modality, modality.encode(x)


def network(modality, task, name, **parameters):
    import keras

    keras.utils.set_random_seed(0)
    return build_network(Encoder({"x": modality}), task, Component(name, parameters), 10).full


def randomised(model, seed=1):
    """Every trained weight drawn anew, on the same scale."""
    random = np.random.default_rng(seed)
    for weight in model.trainable_variables:
        value = np.asarray(weight)
        weight.assign(random.normal(0, value.std() + 1e-3, value.shape).astype("float32"))


# ---- permutation importance


def test_permutation_importance_agrees_with_scikit_learn():
    from sklearn.inspection import permutation_importance as reference
    from sklearn.linear_model import LinearRegression

    random = np.random.default_rng(0)
    x = random.normal(size=(300, 4))
    y = x @ [3.0, 1.0, 0.0, -2.0] + random.normal(size=300)
    model = LinearRegression().fit(x, y)
    modality, encoded = numeric(x)
    task = Regression().fit(y)
    found = permutation_importance(
        lambda v: model.predict(v)[:, None], task, encoded, task.encode(y), modality,
        np.arange(300), None, settings(), 3, repeats=40,
    )  # fmt: skip
    theirs = reference(model, x, y, scoring="neg_mean_absolute_error", n_repeats=40, random_state=0)
    assert set(found) == RESULT
    assert (found["metric"], found["rows"], found["repeats"]) == ("mae", 300, 40)
    assert found["value"] == pytest.approx(np.abs(y - model.predict(x)).mean(), rel=1e-5)
    assert [each["name"] for each in found["features"]] == ["x0", "x3", "x1", "x2"]
    for each in found["features"]:
        column = int(each["name"][1])
        mean, sd = theirs.importances_mean[column], theirs.importances_std[column]
        assert abs(each["mean"] - mean) < 4 * (sd + each["sd"]) / np.sqrt(40) + 1e-9
        assert each["low"] <= each["mean"] <= each["high"]


def test_importance_interval_holds_the_truth():
    # f = x0 with y = x0: MAE 0, and permuted the mean of |a - b| of normals, 2 / sqrt(pi).
    held, widths, truth = 0, [], 2 / np.sqrt(np.pi)
    for seed in range(60):
        x = np.random.default_rng(seed).normal(size=(120, 2)).astype("float32")
        modality, encoded = numeric(x)
        y = x[:, :1].astype(float)
        task = Regression().fit(y[:, 0])
        found = permutation_importance(
            lambda v: v[:, :1], task, encoded, y, modality, np.arange(120), None,
            settings(bootstrap=200), seed,
        )  # fmt: skip
        first = found["features"][0]
        held += first["low"] <= truth <= first["high"]
        widths.append(first["high"] - first["low"])
    assert held >= 55  # of 60: 0.96 in 300 samples; 0.75 without resampling the lenders too
    assert np.mean(widths) < 0.4


def test_column_of_categories_is_one_feature_and_unused_ones_are_zero():
    frame = pd.DataFrame({
        "sex": np.tile(["f", "m"], 100), "site": np.repeat(["a", "b", "c", None], 50),
        "age": np.linspace(20, 90, 200),
    })  # fmt: skip
    modality = Tabular().fit(RawInput("tabular", frame, (
        Feature("sex", "categorical"), Feature("site", "categorical"),
        Feature("age", "numeric", "years"),
    )))  # fmt: skip
    x = modality.encode(frame)
    y = (x[:, 1] == 2).astype("float32")[:, None]  # site b
    task = Binary().fit(y[:, 0])

    def predict(v):
        return np.where(v[:, 1:2] == 2, 0.9, 0.1)

    found = permutation_importance(
        predict, task, x, y, modality, np.arange(200), 0.5, settings(), 0
    )
    assert [(each["name"], each["unit"]) for each in found["features"]] == [
        ("site", None), ("sex", None), ("age", "years")
    ]  # fmt: skip
    # Permuted, a prediction is right by chance: AUROC falls from 1 to about one half.
    assert 0.35 < found["features"][0]["mean"] < 0.6
    for each in found["features"][1:]:
        assert each["mean"] == each["sd"] == each["low"] == each["high"] == 0.0


def test_true_drivers_of_the_synthetic_pressure_rank_first():
    cohort = vitals.synthetic_vitals(samples=1500, target="systolic_pressure")
    frame = only_input(cohort).values.fillna(only_input(cohort).values.median())
    modality = Tabular().fit(RawInput("tabular", frame, only_input(cohort).features))
    x, task = modality.encode(frame), Regression().fit(cohort.targets)

    def truth(v):
        signs = np.zeros((len(v), 5))
        signs[:, [vitals.HEART, vitals.BREATHS, vitals.TEMPERATURE, vitals.BMI]] = v[:, 1:]
        return vitals._pressure(v[:, 0], 0.5, signs)[:, None]

    found = permutation_importance(
        truth, task, x, task.encode(cohort.targets), modality, cohort.subjects, None,
        settings(), 0,
    )  # fmt: skip
    # Age moves pressure by 8 mmHg per SD, body mass by 5.
    assert [each["name"] for each in found["features"][:2]] == ["age", "bmi"]
    assert found["rows"] == 1000
    assert found["note"] == "A random 1,000 of 1,500 rows, to bound the time."
    assert found["features"][0]["low"] > 0


def test_rows_of_one_subject_are_resampled_together():
    x = np.repeat(np.random.default_rng(0).normal(size=(40, 2)), 10, axis=0)
    modality, encoded = numeric(x)
    task = Regression().fit(x[:, 0])

    def width(subjects):
        found = permutation_importance(
            lambda v: v[:, :1], task, encoded, task.encode(x[:, 0]), modality, subjects, None,
            settings(bootstrap=200), 0,
        )  # fmt: skip
        return found["features"][0]["high"] - found["features"][0]["low"]

    assert width(np.repeat(np.arange(40), 10)) > 1.5 * width(np.arange(400))


def test_one_class_and_one_subject_are_not_estimable():
    x = np.random.default_rng(0).normal(size=(30, 2)).astype("float32")
    modality, encoded = numeric(x)
    task = Binary().fit([0, 1])

    def importance(y, subjects, **given):
        return permutation_importance(
            lambda v: 1 / (1 + np.exp(-v[:, :1])), task, encoded, y, modality, subjects, 0.5,
            settings(**given), 0,
        )  # fmt: skip

    found = importance(np.zeros((30, 1), "float32"), np.arange(30))
    assert found["value"] is None
    assert found["features"] == []
    assert found["note"] == "Not estimable: AUROC is undefined on these rows."
    y = (x[:, :1] > 0).astype("float32")
    for one in (importance(y, np.zeros(30)), importance(y, np.arange(30), bootstrap=0)):
        assert one["resamples"] == 0
        assert one["features"][0]["mean"] > 0.2
        assert one["features"][0]["low"] is one["features"][0]["high"] is None


def test_importance_is_the_same_twice_and_leaves_the_samples_alone():
    x = np.random.default_rng(0).normal(size=(50, 3)).astype("float32")
    x[::7, 1] = np.nan
    modality, encoded = numeric(x)
    before = encoded.copy()
    task = Regression().fit(np.nan_to_num(x[:, 1]))
    y = task.encode(np.nan_to_num(x[:, 1]))

    def once(seed):
        return explanations(
            lambda v: np.nan_to_num(v[:, 1:2]), task, modality, encoded, y, np.arange(50), None,
            settings(), seed,
        )  # fmt: skip

    assert json.dumps(once(1), allow_nan=False) == json.dumps(once(1), allow_nan=False)
    assert once(1) != once(2)
    assert np.array_equal(encoded, before, equal_nan=True)


def test_few_calls_whatever_the_number_of_features():
    x = np.random.default_rng(0).normal(size=(86, 30)).astype("float32")
    modality, encoded = numeric(x)
    task = Binary().fit([0, 1])
    calls = []

    def predict(v):
        calls.append(len(v))
        return np.full((len(v), 1), 0.5)

    y = np.tile([[0.0], [1.0]], (43, 1)).astype("float32")
    permutation_importance(
        predict, task, encoded, y, modality, np.arange(86), 0.5, settings(), 0,
        outputs=np.full((86, 1), 0.5),
    )  # fmt: skip
    assert calls == [30 * 5 * 86]


def test_wide_tables_are_screened():
    x = np.random.default_rng(0).normal(size=(80, 400)).astype("float32")
    x[:3, 7] = np.nan
    modality, encoded = numeric(x)
    task = Regression().fit(x[:, 399])
    found = permutation_importance(
        lambda v: v[:, 399:], task, encoded, task.encode(x[:, 399]), modality, np.arange(80),
        None, settings(), 0,
    )  # fmt: skip
    assert len(found["features"]) == 200
    assert found["features"][0]["name"] == "x399"
    assert "The 200 of 400 features whose values go most with the output." in found["note"]


# ---- groups of other inputs


def test_a_channel_moves_with_its_course_and_its_gaps():
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 6, 3)).astype("float32")
    x[random.random(x.shape) < 0.5] = np.nan
    modality = Series().fit(RawInput("series", x, (
        Feature("a"), Feature("b", "numeric", "mmHg"), Feature("c"))))  # fmt: skip
    counts = np.isnan(x[:, :, 1]).sum(axis=1, keepdims=True)
    task = Regression().fit(counts[:, 0])
    seen = []

    def predict(v):
        seen.append(v)
        return np.isnan(v[:, :, 1]).sum(axis=1, keepdims=True).astype(float)

    found = permutation_importance(
        predict, task, x, task.encode(counts[:, 0]), modality, np.arange(60), None, settings(), 0
    )
    # The gaps alone carry the information.
    assert (found["features"][0]["name"], found["features"][0]["unit"]) == ("b", "mmHg")
    assert found["features"][0]["mean"] > 0.5
    courses = {each.tobytes() for each in x[:, :, 1]}
    assert {each.tobytes() for each in seen[1][:, :, 1]} == courses


def test_tokens_by_band_or_erased_by_type():
    random = np.random.default_rng(0)
    texts = ["".join(random.choice(list("ACGT"), 40)) for _ in range(100)]
    modality = Tokens().fit(texts)
    x = modality.encode(texts)
    code = modality.vocabulary_.index("G") + 2
    y = (x[:, 20] == code).astype("float32")[:, None]
    task = Binary().fit(y[:, 0])

    def middle(v):
        return (v[:, 20:21] == code) * 0.8 + 0.1

    found = permutation_importance(middle, task, x, y, modality, np.arange(100), 0.5, settings(), 0)
    assert found["features"][0]["name"] == "positions 21–22"
    assert len(found["features"]) == 20

    modality = Tokens(unit="word", min_count=1).fit(
        ["mild fever today", "no fever", "severe sepsis", "well"])  # fmt: skip
    texts = ["severe sepsis", "well", "no fever", "sepsis today", "well today", "mild fever"] * 5
    x = modality.encode(texts)
    code = modality.vocabulary_.index("sepsis") + 2
    y = np.any(x == code, axis=1).astype("float32")[:, None]
    found = permutation_importance(
        lambda v: np.any(v == code, axis=1)[:, None] * 0.8 + 0.1, Binary().fit([0, 1]), x, y,
        modality, np.arange(30), 0.5, settings(), 0,
    )  # fmt: skip
    assert (found["method"], found["repeats"]) == ("erasure", 1)
    assert found["features"][0]["name"] == "sepsis"
    assert found["features"][0]["mean"] == pytest.approx(0.5)
    assert found["features"][0]["sd"] is None
    assert found["features"][1]["mean"] == 0.0


def test_image_blocks():
    images = np.random.default_rng(0).integers(0, 255, (40, 28, 28, 1)).astype("uint8")
    modality = Image().fit(images)
    bright = images[:, 7:14, 14:21].mean(axis=(1, 2, 3))
    task = Regression().fit(bright)
    found = explanations(
        lambda v: v[:, 7:14, 14:21].mean(axis=(1, 2, 3))[:, None], task, modality, images,
        task.encode(bright), np.arange(40), None, settings(), 0,
    )  # fmt: skip
    first = found["importance"]["features"][0]
    assert first["name"] == "rows 8–14, columns 15–21"
    assert found["importance"]["features"][1]["mean"] == 0.0
    assert found["dependence"] == []
    assert found["note"] == "Pixels are not features to vary one by one."


def without(modality, x, group):
    changed = np.array(x)
    modality.hide(changed, group)
    return changed


def test_hidden_values():
    texts = ["ACGT", "AC"]
    modality = Tokens(length=4).fit(texts)
    x = modality.encode(texts)
    groups = modality.groups(fine=True)
    assert [each.name for each in groups] == [f"position {i}" for i in (1, 2, 3, 4)]
    assert without(modality, x, groups[0])[:, 0].tolist() == [1, 0]  # padding stays
    images = np.full((2, 4, 4, 1), 10, "uint8")
    images[1] = 30
    modality = Image().fit(images)
    changed = without(modality, images, modality.groups()[0])
    assert changed[:, 0, 0, 0].tolist() == [20, 20]
    assert images[0, 0, 0, 0] == 10


# ---- partial dependence and ALE


def test_partial_dependence_agrees_with_scikit_learn():
    from sklearn.ensemble import GradientBoostingRegressor
    from sklearn.inspection import partial_dependence as reference

    random = np.random.default_rng(0)
    x = random.normal(size=(120, 3)).astype("float32")
    model = GradientBoostingRegressor(n_estimators=20, random_state=0)
    model.fit(x, x[:, 0] ** 2 + x[:, 1])
    theirs = reference(model, x, [0], method="brute", grid_resolution=12)
    mine = partial_dependence(lambda v: model.predict(v)[:, None], x, 0, theirs["grid_values"][0])
    assert mine[:, 0] == pytest.approx(theirs["average"][0], abs=1e-9)


def test_ale_of_correlated_features_has_the_closed_form():
    # f = x0 * x1 with x1 = x0: the local effect of x0 is x1 = x0, so that ALE is x0²/2 - 1/6
    # (mean 0 on -1 … 1), where partial dependence is x0 * mean(x1) = 0 (Apley and Zhu, section 1).
    x = np.repeat(np.linspace(-1, 1, 4001)[:, None], 2, axis=1).astype("float32")

    def product(v):
        return v[:, :1] * v[:, 1:2]

    edges = np.linspace(-1, 1, 41)
    ale = accumulated_local_effects(product, x, 0, edges)[:, 0]
    assert ale == pytest.approx(edges**2 / 2 - 1 / 6, abs=2e-3)
    partial = partial_dependence(product, x, 0, edges)[:, 0]
    assert partial == pytest.approx(0 * edges, abs=1e-6)


def test_ale_of_a_line_is_the_line_whatever_is_missing():
    x = np.random.default_rng(0).normal(size=(200, 2)).astype("float32")
    x[::3, 0] = np.nan
    edges = np.array([-1.5, -0.5, 0.0, 2.0])
    ale = accumulated_local_effects(lambda v: 3 * v[:, :1] + v[:, 1:], x, 0, edges)[:, 0]
    assert np.diff(ale) == pytest.approx(3 * np.diff(edges), abs=1e-5)


def test_dependence_curves_and_what_cannot_be_drawn():
    random = np.random.default_rng(0)
    n = 200
    frame = pd.DataFrame({
        "age": random.normal(60, 15, n), "smoker": random.integers(0, 2, n).astype(float),
        "constant": np.ones(n), "empty": np.full(n, np.nan),
        "site": random.choice(["north", "south"], n),
    })  # fmt: skip
    features = (
        Feature("age", "numeric", "years"), Feature("smoker"), Feature("constant"),
        Feature("empty"), Feature("site", "categorical"),
    )  # fmt: skip
    modality = Tabular().fit(RawInput("tabular", frame, features))
    x, task = modality.encode(frame), Binary().fit(["no", "yes"])

    def predict(v):
        known = np.nan_to_num(v[:, [0, 1, 4]])
        return 1 / (1 + np.exp(-(known @ [0.05, 1.0, 0.5] - 3)))[:, None]

    names = ["age", "smoker", "site", "constant", "empty"]
    curves = {each["feature"]: each for each in dependence(predict, task, x, modality, names, 0)}
    assert list(curves) == names
    age = curves["age"]
    assert (age["unit"], age["kind"], age["output"]) == ("years", "numeric", "yes")
    assert len(age["grid"]) == len(age["partial"]) == len(age["ale"]) == 20
    assert np.all(np.diff(age["grid"]) > 0)
    assert np.all(np.diff(age["partial"]) > 0)
    # No single patient's value is printed.
    assert not set(age["grid"]) & {round(float(v), 1) for v in np.sort(x[:, 0])[[0, -1]]}
    assert curves["smoker"]["grid"] == [0.0, 1.0]
    assert curves["site"]["grid"] == ["north", "south"]
    assert curves["site"]["ale"] is None
    assert curves["site"]["note"] == "Categories have no order to accumulate effects along."
    for name in ("constant", "empty"):
        assert curves[name]["partial"] is None
        assert "does not vary in the test part" in curves[name]["note"]
    json.dumps(curves, allow_nan=False)


def test_curves_of_several_classes():
    x = np.random.default_rng(0).normal(size=(60, 1)).astype("float32")
    modality, encoded = numeric(x)
    task = Multiclass().fit(list("abcdef"))
    curves = dependence(
        lambda v: np.repeat(v, 6, axis=1) * np.arange(6), task, encoded, modality, ["x0"], 0
    )
    assert [each["output"] for each in curves] == ["a", "b", "c", "d"]
    assert curves[3]["partial"] == pytest.approx(3 * np.array(curves[3]["grid"]), rel=1e-5)
    assert curves[0]["note"] == "The first 4 of 6 outputs."


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_grid_tells_neighbours_apart(scale):
    values = (np.random.default_rng(0).normal(140, 3, 500) * scale).astype("float32")
    grid = grid_of(values)
    assert len(grid) == 20
    assert grid[0] > values.min()
    assert grid[-1] < values.max()


def test_values_that_few_share_are_not_printed():
    few = np.repeat([41.0, 52.0, 63.0, 97.0], [9, 9, 9, 1])
    assert grid_of(few).tolist() == [41.0, 52.0, 63.0]
    # Fifteen ages of fifteen patients: interpolated, none of the outermost ones.
    grid = grid_of(np.arange(30.0, 45.0))
    assert grid[0] > 30
    assert grid[-1] < 44
    assert len(grid) == 20


# ---- integrated gradients


def test_integrated_gradients_of_a_linear_model_are_its_terms():
    x = np.random.default_rng(0).normal([80, 37], [10, 1], size=(50, 2)).astype("float32")
    x[:10, 1] = np.nan
    modality, encoded = numeric(x, ["heart_rate", "temperature"])
    task = Regression().fit(np.linspace(0, 1, 50))
    model = network(modality, task, "mlp", hidden_units=())
    (dense,) = layers_within(model, type(model.layers[2].layers[-1]))
    dense.set_weights([np.array([[2.0], [3.0], [5.0]]), np.array([1.0])])
    found = explain(model, modality, task, encoded)
    # Two standardized numbers and the indicator of a missing temperature.
    scale = float(np.asarray(model.layers[-1].scale)[0])
    z = (np.nan_to_num(x, nan=modality.fill_["temperature"]) -
         [modality.center_["heart_rate"], modality.center_["temperature"]])  # fmt: skip
    z = z / [modality.scale_["heart_rate"], modality.scale_["temperature"]]
    expected = scale * (z * [2, 3] + np.isnan(x) * 5)
    assert found.method == "integrated_gradients"
    assert found.attributions == pytest.approx(expected, abs=1e-4)
    assert found.reference == pytest.approx(found.explained - expected.sum(axis=1), abs=1e-4)


def trained(cohort, modality, task, name, epochs, **parameters):
    from medkit.training.trainer import Trainer

    modality.fit(only_input(cohort))
    task.fit(cohort.targets, cohort.target_names)
    x, y = modality.encode(only_input(cohort)), task.encode(cohort.targets)
    import keras

    keras.utils.set_random_seed(0)
    whole = build_network(Encoder({"x": modality}), task, Component(name, parameters), len(x))
    trainer = Trainer(whole.trained, task=task, epochs=epochs, batch_size=64, seed=0)
    half = len(x) // 2
    ready = whole.prepare(Inputs({"x": x}))
    trainer.fit(ready[:half], y[:half], validation_data=(ready[half:], y[half:]))
    return whole.full, x[half:], y[half:], cohort.take(np.arange(half, len(x)))


@pytest.fixture(scope="module")
def table():
    cohort = vitals.synthetic_vitals(samples=3000)
    modality, task = Tabular(), Binary()
    found = trained(cohort, modality, task, "mlp", 25, hidden_units=(16,), dropout=0.0)
    return SimpleNamespace(modality=modality, task=task, model=found[0], x=found[1], y=found[2],
                           cohort=found[3])  # fmt: skip


@pytest.fixture(scope="module")
def stays():
    cohort = icu.synthetic_icu(samples=2000, hours=12)
    modality, task = Series(), Binary()
    found = trained(cohort, modality, task, "mlp", 20, hidden_units=(), l2=0.003)
    return SimpleNamespace(modality=modality, task=task, model=found[0], x=found[1], y=found[2],
                           cohort=found[3])  # fmt: skip


def test_attributions_add_up(table, stays):
    for each in (table, stays):
        x = each.x[:60]
        found = explain(each.model, each.modality, each.task, x)
        sums = found.attributions.reshape(60, -1).sum(axis=1)
        assert found.explained - found.reference == pytest.approx(sums + found.gap, abs=1e-5)
        sizes = np.abs(found.attributions).reshape(60, -1).sum(axis=1)
        assert np.all(np.abs(found.gap) <= 0.01 * sizes + 1e-4)
        assert np.ptp(found.explained) > 0.1


def test_baseline_is_the_typical_sample(table, stays):
    """What the attributions start from, by another way: predicted."""
    typical = np.repeat(table.x[:1], 2, axis=0)
    typical[:] = [table.modality.center_.get(name, np.nan) for name in table.modality.names]
    typical[:, table.modality.names.index("sex")] = [1, 2]
    _, preprocessing, core = table.model.layers[:3]
    middle = np.asarray(preprocessing(typical)).mean(axis=0, keepdims=True)
    assert np.sort(middle[0])[-3:].tolist() == pytest.approx([0.0, 0.5, 0.5], abs=1e-6)
    found = explain(table.model, table.modality, table.task, table.x[:5])
    assert found.reference == pytest.approx(np.full(5, float(core(middle)[0, 0])), abs=1e-5)
    nothing = np.full_like(stays.x[:1], np.nan)
    found = explain(stays.model, stays.modality, stays.task, stays.x[:5])
    plain = stays.model.predict(nothing, verbose=0)[0, 0]
    assert found.reference == pytest.approx(np.full(5, plain), abs=1e-5)
    # Of a stay without measurements there is nothing to attribute.
    none = explain(stays.model, stays.modality, stays.task, nothing)
    assert np.abs(none.attributions).max() < 1e-6


def test_carried_values_count_to_their_measurement(stays):
    x = np.full_like(stays.x[:1], np.nan)
    x[0, 3, 0] = 140.0
    found = explain(stays.model, stays.modality, stays.task, x)
    assert np.flatnonzero(found.attributions[0, :, 0]).tolist() == [3]
    assert np.abs(found.attributions[0, :, 1:]).max() == 0.0


def test_true_drivers_rank_first(table, stays):
    # Of the synthetic risk's terms saturation and breathing are the largest (0.7 and 0.6 in log
    # odds per SD); body mass is the smallest (0.1).
    local = np.abs(explain(table.model, table.modality, table.task, table.x[:300]).attributions)
    names = [table.modality.names[i] for i in np.argsort(-local.mean(axis=0))]
    assert set(names[:2]) == {"oxygen_saturation", "respiratory_rate"}
    found = [each["name"] for each in importance_of(table)["features"]]
    assert set(found[:2]) == {"oxygen_saturation", "respiratory_rate"}
    assert {names[-1], found[-1]} <= {"bmi", "sex"}

    # Severity moves heart rate and arterial pressure most, against their spread within a stay;
    # the true probability given all values says how much each of them tells.
    def truth(v):
        log_odds = np.log(icu.PREVALENCE / (1 - icu.PREVALENCE)) + icu._value_evidence(v)
        return 1 / (1 + np.exp(-log_odds))[:, None]

    best = importance_of(stays, truth)["features"]
    assert [each["name"] for each in best[:2]] == ["heart_rate", "mean_arterial_pressure"]
    assert best[0]["low"] > best[1]["mean"]
    found = [each["name"] for each in importance_of(stays)["features"]]
    assert {"heart_rate", "mean_arterial_pressure"} < set(found[:3])
    local = explain(stays.model, stays.modality, stays.task, stays.x).attributions.sum(axis=1)
    # Fast hearts speak for deterioration.
    last = pd.DataFrame(stays.x[:, :, 0]).ffill(axis=1).iloc[:, -1]
    assert spearmanr(local[:, 0], last).statistic > 0.5


def importance_of(each, predict=None):
    return permutation_importance(
        predict or (lambda v: each.model.predict(v, batch_size=1024, verbose=0)), each.task,
        each.x, each.y, each.modality, each.cohort.subjects, 0.5, settings(), 0,
    )  # fmt: skip


def test_randomised_weights_are_explained_otherwise(table, stays):
    """Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018."""
    for each in (table, stays):
        x = each.x[:100]
        before = each.model.get_weights()
        first, correlations = explain(each.model, each.modality, each.task, x).attributions, []
        try:
            for seed in range(5):
                randomised(each.model, seed)
                other = explain(each.model, each.modality, each.task, x).attributions
                correlations.append(spearmanr(first.ravel(), other.ravel()).statistic)
        finally:
            each.model.set_weights(before)
        again = explain(each.model, each.modality, each.task, x).attributions
        assert spearmanr(first.ravel(), again.ravel()).statistic > 0.999
        assert abs(np.mean(correlations)) < 0.4


def motif_finder(modality):
    """A network whose only weights find one element: its log-odds matrix as a convolution."""
    task = Binary().fit([0, 1])
    matrix = dna.weight_matrix("tata")
    model = network(modality, task, "cnn", filters=(1,), kernel_size=len(matrix), pool_size=1,
                    summary="max", dense_units=(), dropout=0.0)  # fmt: skip
    (convolution,) = last_convolutions(model)
    kernel = np.zeros(convolution.kernel.shape, "float32")
    first = layers_within(model, type(model.layers[1]))[0].first
    for letter, column in zip("ACGT", np.log(matrix / dna.BACKGROUND).T, strict=True):
        kernel[:, modality.vocabulary_.index(letter) + 2 - first, 0] = column
    convolution.set_weights([kernel, np.zeros(1)])
    (head,) = [layer for layer in model.layers[2].layers if layer.name == "output"]
    head.set_weights([np.array([[1.0]]), np.array([-6.0])])
    return model, task


def test_motif_is_found_where_it_is():
    random = np.random.default_rng(0)
    letters = random.choice(list("ACGT"), (30, 60), p=dna.BACKGROUND)
    letters[:, 25:33] = list("TATAAAAG")
    letters[:, 50] = "N"
    texts = ["".join(each) for each in letters]
    modality = Tokens().fit(texts)
    model, task = motif_finder(modality)
    x = modality.encode(texts)
    for method in ("integrated_gradients", "occlusion"):
        found = explain(model, modality, task, x, method=method).attributions
        inside = np.argsort(-found, axis=1)[:, :4]
        assert np.mean((inside >= 25) & (inside < 33)) > 0.95, method
        # And by its letters, not by its place alone.
        assert found[:, :20].sum(axis=1).max() < found[:, 25:33].sum(axis=1).min()
    gap = explain(model, modality, task, x).gap
    assert np.abs(gap).max() < 0.02
    heat = explain(model, modality, task, x, method="grad_cam").attributions
    assert heat.shape == (30, 60)
    assert np.mean((heat.argmax(axis=1) >= 25) & (heat.argmax(axis=1) < 33)) > 0.9
    before = explain(model, modality, task, x).attributions
    randomised(model)
    after = explain(model, modality, task, x).attributions
    assert abs(spearmanr(before.ravel(), after.ravel()).statistic) < 0.4


# ---- images


@pytest.fixture(scope="module")
def films():
    """Radiographs without opacities, each with a bright spot at a known place; a network for
    which bright spots speak, and dark ones a little against."""
    drawn = only_input(xray.synthetic_xray(samples=40, size=32)).values
    images = np.minimum(drawn, 150)
    random = np.random.default_rng(0)
    places = random.integers(6, 26, (40, 2))
    for image, (row, column) in zip(images, places, strict=True):
        image[row - 3 : row + 3, column - 3 : column + 3] = 250
    modality = Image().fit(images)
    task = Binary().fit([0, 1])
    model = network(modality, task, "cnn", filters=(2,), kernel_size=5, pool_size=2,
                    summary="mean", dense_units=(), dropout=0.0)  # fmt: skip
    (convolution,) = last_convolutions(model)
    kernel = np.zeros(convolution.kernel.shape, "float32")
    kernel[..., 0], kernel[..., 1] = 1 / 25, -1 / 25
    bright = (200 / 255 - modality.center_[0]) / modality.scale_[0]
    convolution.set_weights([kernel, np.array([-bright, 0.0])])
    (head,) = [layer for layer in model.layers[2].layers if layer.name == "output"]
    head.set_weights([np.array([[20.0], [-3.0]]), np.array([-1.0])])
    return SimpleNamespace(modality=modality, task=task, model=model, x=images, places=places)


def hits(heat, places):
    rows, columns = np.unravel_index(heat.reshape(len(heat), -1).argmax(axis=1), heat.shape[1:])
    return np.mean((np.abs(rows - places[:, 0]) <= 4) & (np.abs(columns - places[:, 1]) <= 4))


@pytest.mark.parametrize("method", ["grad_cam", "occlusion", "integrated_gradients"])
def test_spot_is_found_where_it_is(films, method):
    found = explain(films.model, films.modality, films.task, films.x, method=method)
    assert found.attributions.shape == (40, 32, 32)
    assert hits(found.attributions, films.places) > 0.95
    assert explain(films.model, films.modality, films.task, films.x[:2]).method == "grad_cam"


def test_grad_cam_is_the_class_activation_map_of_a_pooled_network(films):
    """Selvaraju et al., section 3: with global average pooling, Grad-CAM is CAM (Zhou et al.,
    CVPR 2016): the head's weights times the activations."""
    import keras

    core = films.model.layers[2]
    (convolution,) = last_convolutions(films.model)
    inner = keras.Model(core.input, convolution.output)
    activations = np.asarray(inner(films.model.layers[1](films.x)))
    cam = np.maximum(activations @ np.array([20.0, -3.0]), 0)
    heat = explain(films.model, films.modality, films.task, films.x).attributions

    def largest(maps):
        return maps / maps.max(axis=(1, 2), keepdims=True)

    # In front of the pooling only the largest of four reaches the head: their mean counts.
    assert largest(heat) == pytest.approx(largest(cam), abs=1e-4)


def test_occlusion_of_a_linear_model_is_what_is_covered(films):
    modality = films.modality
    x = films.x[:3]
    weight = np.zeros((32, 32))
    weight[10, 12] = 1.0
    task = Regression().fit([0.0, 1.0])

    class Model:
        output_shape = (None, 1)

        def predict_on_batch(self, values):
            return (values["x"][..., 0] * weight).sum(axis=(1, 2))[:, None]

    found = explain(Model(), modality, task, x, method="occlusion").attributions
    # Every window that covers the pixel takes away what it has beyond the mean pixel.
    mean = round(255 * modality.center_[0])
    assert found[:, 10, 12] == pytest.approx(x[:, 10, 12, 0].astype(float) - mean, abs=1e-6)
    assert np.abs(found[:, 20:, 20:]).max() == 0.0


def test_randomised_network_has_other_maps(films):
    before = films.model.get_weights()
    maps = {}
    try:
        for name in ("trained", "random"):
            maps[name] = [
                explain(
                    films.model, films.modality, films.task, films.x[:16], method=each
                ).attributions
                for each in ("grad_cam", "occlusion", "integrated_gradients")
            ]
            randomised(films.model, 3)
    finally:
        films.model.set_weights(before)
    for first, other in zip(maps["trained"], maps["random"], strict=True):
        pairs = [(a.ravel(), b.ravel()) for a, b in zip(first, other, strict=True) if np.ptp(b) > 0]
        assert len(pairs) > 10
        assert abs(np.mean([spearmanr(*pair).statistic for pair in pairs])) < 0.5


def test_volumes():
    volumes = np.random.default_rng(0).integers(0, 100, (4, 8, 8, 8, 1)).astype("uint8")
    volumes[:, 2:4, 4:6, 6:8] = 255
    modality = Image().fit(volumes)
    task = Binary().fit([0, 1])
    model = network(modality, task, "cnn", filters=(2,), summary="mean", dense_units=())
    for method in ("grad_cam", "occlusion", "integrated_gradients"):
        found = explain(model, modality, task, volumes, method=method)
        assert found.attributions.shape == (4, 8, 8, 8)


# ---- other methods


def test_attention_sums_to_one_and_padding_asks_for_nothing():
    texts = ["ACGTACGTACGT", "ACG", "ACGTAC", ""]
    modality = Tokens(length=12).fit(texts)
    task = Binary().fit([0, 1])
    model = network(modality, task, "attention", num_blocks=2, num_heads=2, key_dim=4,
                    feed_forward_units=8)  # fmt: skip
    x = modality.encode(texts)
    found = explain(model, modality, task, x, method="attention")
    assert found.attributions.shape == (4, 12)
    assert found.attributions.sum(axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    from medkit.models.attention import attention_weights

    weights = attention_weights(model, x)
    expected = weights[1].mean(axis=(0, 1))[-3:].mean(axis=0)  # the three tokens come last
    assert found.attributions[1] == pytest.approx(expected, abs=1e-6)


def test_methods_that_do_not_fit_say_so(table, films):
    def asked(each, **given):
        explain(each.model, each.modality, each.task, each.x[:2], **given)

    with pytest.raises(MedkitError, match="no explanation method called 'lime'") as caught:
        asked(table, method="lime")
    assert "integrated_gradients" in caught.value.hint
    with pytest.raises(MedkitError, match="no convolution, so Grad-CAM has no map"):
        asked(table, method="grad_cam")
    with pytest.raises(MedkitError, match="no self-attention layer"):
        asked(table, method="attention")
    with pytest.raises(DataError, match="the network has no output '2'"):
        asked(films, output="2")


def test_explained_class_is_the_most_probable_or_the_one_named():
    x = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
    modality, encoded = numeric(x)
    task = Multiclass().fit(["a", "b", "c"])
    model = network(modality, task, "mlp", hidden_units=(4,))
    found = explain(model, modality, task, encoded)
    assert found.which.tolist() == found.outputs.argmax(axis=1).tolist()
    named = explain(model, modality, task, encoded, output="b")
    assert set(named.which) == {1}
    assert named.attributions.sum(axis=1) + named.gap == pytest.approx(
        named.outputs[:, 1] - named.reference, abs=1e-5
    )


def test_ensembles_and_recalibrated_networks_are_explained():
    import keras

    from medkit.layers.recalibration import Recalibration

    x = np.random.default_rng(0).integers(0, 255, (3, 16, 16, 1)).astype("uint8")
    modality, task = Image().fit(x), Binary().fit([0, 1])
    given = Component("cnn", {"filters": (2, 3), "dense_units": ()})
    full = build_network(Encoder({"x": modality}), task, given, 10, members=2, seed=0).full
    assert len(last_convolutions(full)) == 2
    flat = Recalibration(link="knots", points=2, knots=[[0.0, 1.0]], values=[[0.3, 0.3]])
    recalibrated = keras.Model(full.input, flat(full.output))
    heat = explain(full, modality, task, x, method="grad_cam").attributions
    assert heat.max() > 0
    # A flat recalibration has no gradient, but the map is that of the network before it.
    same = explain(recalibrated, modality, task, x, method="grad_cam").attributions
    assert same == pytest.approx(heat, abs=1e-6)
    found = explain(full, modality, task, x, method="integrated_gradients")
    sizes = np.abs(found.attributions).sum(axis=(1, 2))
    assert np.all(np.abs(found.gap) < 0.02 * sizes)


def test_shapley_values_of_a_linear_model(table):
    pytest.importorskip("shap", reason="shap is not installed (pip install 'keras-medkit[shap]')")
    x = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")
    x[3, 1] = np.nan
    modality, encoded = numeric(x)

    class Model:
        output_shape = (None, 1)

        def predict_on_batch(self, values):
            return np.nan_to_num(values["x"]) @ np.array([[1.0], [-2.0], [0.0]])

    task = Regression().fit([0.0, 1.0])
    found = explain(Model(), modality, task, encoded[:4], method="shap", background=encoded)
    known = np.nan_to_num(encoded)
    expected = (known[:4] - known.mean(axis=0)) * [1.0, -2.0, 0.0]
    assert found.attributions == pytest.approx(expected, abs=1e-5)
    assert np.abs(found.gap).max() < 1e-6


def test_shap_that_is_not_installed_is_named(table, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "shap" else find(name, *a)
    )
    with pytest.raises(MedkitError, match="needs the package shap") as caught:
        explain(table.model, table.modality, table.task, table.x[:1], method="shap")
    assert "pip install 'keras-medkit[shap]'" in caught.value.hint


# ---- the other backends

OTHER = """
import sys
import keras
import numpy as np
import medkit.layers
from medkit.data.inputs import Inputs
from medkit.explanation.local import explain
from medkit.modalities.encoder import Encoder
from medkit.modalities.image import Image
from medkit.modalities.series import Series
from medkit.tasks.binary import Binary
folder = sys.argv[1]
task = Binary().fit([0, 1])
given = np.load(folder + "/given.npz")
found = {}
for name, kind, method in (("stays", Series, "integrated_gradients"), ("films", Image, "grad_cam")):
    model = keras.saving.load_model(f"{folder}/{name}.keras", compile=False)
    encoder = Encoder({"x": kind().fit(given[name])})
    each = explain(model, encoder, task, Inputs({"x": given[name][:4]}), method=method)["x"]
    found[name] = each.attributions
np.savez(folder + "/" + keras.backend.backend() + ".npz", **found)
print(keras.backend.backend())
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory, films):
    """Two networks, what to explain, and its explanation on TensorFlow."""
    folder = tmp_path_factory.mktemp("backends")
    x = only_input(icu.synthetic_icu(samples=20, hours=5)).values
    task = Binary().fit([0, 1])
    modality = Series().fit(x)
    model = network(modality, task, "gru", units=(4,))
    model.save(folder / "stays.keras")
    films.model.save(folder / "films.keras")
    np.savez(folder / "given.npz", stays=x, films=films.x)
    expected = {
        "stays": explain(model, modality, task, x[:4]).attributions,
        "films": explain(films.model, films.modality, task, films.x[:4]).attributions,
    }
    return folder, expected


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_explain_alike(backend, saved):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed (pip install 'keras-medkit[{backend}]')")
    folder, expected = saved
    done = subprocess.run(
        [sys.executable, "-c", OTHER, str(folder)], capture_output=True, text=True, check=False,
        env={**os.environ, "KERAS_BACKEND": backend},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip().splitlines()[-1] == backend
    found = np.load(folder / f"{backend}.npz")
    for name, each in expected.items():
        size = np.abs(each).max()
        assert size > 0
        assert found[name] == pytest.approx(each, abs=1e-4 * size)


# ---- the command


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A tiny run on radiographs and one on visits, each with a file of new samples."""
    import medkit
    from medkit.workflows.synthesize import synthesize

    folder = tmp_path_factory.mktemp("explained")
    made = {}
    for name, model in (("synthetic_vitals", "mlp"), ("synthetic_xray", "cnn")):
        config = CONFIGS / "smoke" / f"{name}_{model}.yaml"
        given = ["training.epochs=1", "evaluation.bootstrap=0", "dataset.samples=40"]
        run = medkit.train(config, out=folder, overrides=[*given, "evaluation.baselines=false"])
        written = synthesize(name, folder / name, ["samples=20", "seed=5"])
        made[name] = (run, next(each for each in written if each.suffix == ".csv"))
    return made


def explained(capsys, run, source, *more):
    status = main(["explain", str(run.path), "--input", str(source), *more])
    out, said = capsys.readouterr()
    return status, out, said


def test_command_explains_one_row_or_all(finished, capsys, tmp_path):
    run, source = finished["synthetic_vitals"]
    before = sorted(each.name for each in run.path.rglob("*"))
    status, out, _ = explained(capsys, run, source)
    every = pd.read_csv(io.StringIO(out))
    assert status == 0
    assert list(every) == ["sample", "output", "prediction", "reference", *run.encoder.names]
    predicted = run.predict(pd.read_csv(source))["probability"]
    assert every["prediction"].tolist() == pytest.approx(predicted.tolist(), abs=1e-6)

    page = tmp_path / "one.html"
    status, out, said = explained(capsys, run, source, "--row", "3", "--output", str(page))
    one = pd.read_csv(io.StringIO(out))
    assert status == 0
    assert str(page) in said
    assert list(one) == ["feature", "value", "unit", "attribution"]
    assert (one["attribution"].abs().diff().dropna() <= 1e-12).all()
    wide = every.set_index("sample").loc[3]
    for feature, attribution in zip(one["feature"], one["attribution"], strict=True):
        assert attribution == pytest.approx(wide[feature], abs=1e-6)
    raw = pd.read_csv(source).iloc[2]
    given = one.set_index("feature")
    assert given.loc["age", "value"] == f"{raw['age']}"
    assert given.loc["age", "unit"] == "years"
    assert given.loc["sex", "value"] == raw["sex"]

    text = page.read_text(encoding="utf-8")
    assert "<title>Explanation" in text
    assert "not what causes the outcome" in text
    for name in run.encoder.names:
        assert name in text
    assert not re.search(r"(?:src|href)=[\"'](?!#|data:)", text)
    assert "<script" not in text
    table = tmp_path / "all.csv"
    assert explained(capsys, run, source, "--output", str(table))[:2] == (0, "")
    assert len(pd.read_csv(table)) == 20
    # Nothing is left in the run, which stays whole.
    assert sorted(each.name for each in run.path.rglob("*")) == before
    verify(run.path)


def test_command_draws_images(finished, capsys, tmp_path):
    from PIL import Image as Picture

    run, source = finished["synthetic_xray"]
    sample = pd.read_csv(source)["path"][0]
    png = tmp_path / "film.png"
    status, out, _ = explained(
        capsys, run, source, "--row", sample, "--method", "occlusion", "--output", str(png)
    )
    assert status == 0
    assert pd.read_csv(io.StringIO(out))["feature"].str.contains("rows").all()
    assert Picture.open(png).size == (384, 384)
    page = tmp_path / "film.html"
    explained(capsys, run, source, "--row", sample, "--output", str(page))
    assert "data:image/png;base64," in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--row", "nobody"], "the file has no sample 'nobody'"),
        (["--method", "lime"], "no explanation method called 'lime'"),
        (["--output", "x.pdf"], "explanations are written as .csv, .html, .png, not '.pdf'"),
        (["--output", "x.png"], "a .png holds one image with its heat map"),
        (["--method", "grad_cam"], "the network has no convolution"),
        (["--of", "death"], "the network has no output 'death'"),
    ],
    ids=lambda each: each[1] if isinstance(each, list) else "",
)
def test_command_says_what_is_wrong(finished, capsys, more, message):
    run, source = finished["synthetic_vitals"]
    status, out, said = explained(capsys, run, source, *more)
    assert (status, out) == (1, "")
    assert message in said


def test_page_of_text_escapes_it():
    texts = ["<script>alert(1)</script> sepsis", "well"] * 5
    modality = Tokens(unit="word", min_count=1).fit(texts)
    task = Binary().fit([0, 1])
    model = network(modality, task, "mlp", hidden_units=())
    x = modality.encode(texts[:1])
    found = explain(model, modality, task, x)
    text = render([Explained("x", modality, task, np.array(["<b>7"]), x, found, True, title="t")])
    assert "<script" not in text
    assert "&lt;b&gt;7" in text
    assert ">script</span>" in text

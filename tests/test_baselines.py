"""Simple models on the same split: what they are, and how their settings were chosen."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medkit.core.registry import tasks
from medkit.evaluation.baselines import boosting as _boosting
from medkit.evaluation.baselines import inner_folds as _inner_folds
from medkit.evaluation.baselines.baselines import fit_baselines
from medkit.evaluation.baselines.inner_folds import inner_folds


@pytest.fixture
def all_settings():
    """Asked for by a test that compares all there is."""


@pytest.fixture(autouse=True)
def few_trees(monkeypatch, request):
    """Less to compare, so that the tests are quick."""
    if "all_settings" in request.fixturenames:
        return
    some = (_boosting._Settings(0.2, 15, 1.0, 1.0, 20), _boosting._Settings(0.2, 4, 1.0, 0.5, 30))
    monkeypatch.setattr(_boosting, "_COMPARED", some)
    monkeypatch.setattr(_boosting, "_COMPARED_IF_LARGE", some[1:])


def binary():
    return tasks.build("binary").fit(np.array([0, 1]))


def patients(n=240, width=5, seed=0):
    """Features with gaps, an outcome, and two rows for each subject."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, width))
    y = (x[:, :1] + 0.7 * random.normal(size=(n, 1)) > 0.4).astype("float32")
    x[random.random(x.shape) < 0.1] = np.nan
    return x, y, np.repeat(np.arange(n // 2), 2)


def fitted(task, x, y, seed=3, subjects=None):
    """The baselines by name, of the first two thirds; the rest validates."""
    cut = len(x) * 2 // 3
    groups = None if subjects is None else subjects[:cut]
    found = fit_baselines(task, (x[:cut], y[:cut]), (x[cut:], y[cut:]), seed, groups)
    return {each.name: each for each in found}, x[:cut], y[:cut]


def prepared(x, rows):
    """Medians, indicators of missing values, standard scale, by numpy alone."""
    gaps = np.isnan(x).any(axis=0)

    def filled(values):
        missing = np.isnan(values)
        return np.hstack([np.where(missing, np.nanmedian(x, axis=0), values), missing[:, gaps]])

    mean, scale = filled(x).mean(axis=0), filled(x).std(axis=0)
    return [np.clip((filled(each) - mean) / scale, -10, 10) for each in (x, rows)]


@pytest.mark.usefixtures("all_settings")
def test_predictions_are_those_of_scikit_learn_with_the_reported_settings():
    x, y, subjects = patients()
    found, x_train, y_train = fitted(binary(), x, y, 3, subjects)
    assert list(found) == ["majority", "logistic_regression", "gradient_boosting"]
    new = np.vstack([x[-20:], np.full((1, 5), np.nan), np.full((1, 5), 1e6)])
    given = found["logistic_regression"].facts["hyper_parameters"]
    assert list(given) == ["C"]
    z, z_new = prepared(x_train, new)
    linear = LogisticRegression(**given).fit(z, y_train.ravel())
    expected = linear.predict_proba(z_new)[:, 1:]
    np.testing.assert_allclose(found["logistic_regression"].predict(new), expected, atol=1e-9)
    given = found["gradient_boosting"].facts["hyper_parameters"]
    assert set(given) == {
        "learning_rate", "max_leaf_nodes", "l2_regularization", "max_features", "max_iter",
    }  # fmt: skip
    assert found["gradient_boosting"].facts["candidates"] == 600
    trees = HistGradientBoostingClassifier(**given, early_stopping=False, random_state=3)
    expected = trees.fit(x_train, y_train.ravel()).predict_proba(new)[:, 1:]
    np.testing.assert_array_equal(found["gradient_boosting"].predict(new), expected)


def test_regression_of_several_outputs_has_one_choice_whatever_the_units(monkeypatch):
    # Some features at each split only: the seed matters.
    monkeypatch.setattr(_boosting, "_COMPARED", _boosting._COMPARED[1:])
    x, _, subjects = patients()
    noise = np.random.default_rng(1).normal(size=(len(x), 2))
    y = np.nan_to_num(x[:, :2]) + noise
    task = tasks.build("regression").fit(y)
    found, x_train, y_train = fitted(task, x, y, 3, subjects)
    assert list(found) == ["mean", "linear_regression", "gradient_boosting"]
    np.testing.assert_allclose(found["mean"].predict(x[:2]), [y_train.mean(axis=0)] * 2)
    alpha = found["linear_regression"].facts["hyper_parameters"]["alpha"]
    z, z_all = prepared(x_train, x)
    expected = Ridge(alpha=alpha).fit(z, y_train).predict(z_all)
    np.testing.assert_allclose(found["linear_regression"].predict(x), expected, atol=1e-9)
    trees = HistGradientBoostingRegressor(
        **found["gradient_boosting"].facts["hyper_parameters"], early_stopping=False, random_state=3
    )
    np.testing.assert_array_equal(
        found["gradient_boosting"].predict(x)[:, 1],
        trees.fit(x_train, y_train[:, 1]).predict(x),
    )
    scaled, _, _ = fitted(task, x, y * [1, 1000], 3, subjects)
    for name in ("linear_regression", "gradient_boosting"):
        settings = [each[name].facts["hyper_parameters"] for each in (found, scaled)]
        assert settings[0] == settings[1], name


def test_the_penalty_is_the_one_that_grid_search_finds_on_the_same_folds():
    x, y, subjects = patients()
    found, x_train, y_train = fitted(binary(), x, y, 3, subjects)
    facts = found["logistic_regression"].facts
    folds = inner_folds(y_train, subjects[: len(x_train)], 5, 3)
    pipeline = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True),
        StandardScaler(),
        LogisticRegression(max_iter=500),
    )
    grid = {"logisticregression__C": np.logspace(-4, 2, 13)}
    search = GridSearchCV(pipeline, grid, scoring="neg_log_loss", cv=folds)
    search.fit(x_train, y_train.ravel())
    assert facts["hyper_parameters"]["C"] == search.best_params_["logisticregression__C"]
    average = 0.0
    for fit, held in folds:
        share = np.full(len(held), y_train[fit].mean())
        average += log_loss(y_train[held].ravel(), share) / len(folds)
    assert facts["inner_loss"] == pytest.approx(-search.best_score_ / average, rel=1e-4)
    assert (facts["inner_folds"], facts["candidates"], facts["search_rows"]) == (5, 13, 160)
    assert found["gradient_boosting"].facts["candidates"] == 50


def test_the_number_of_trees_has_the_least_held_out_loss():
    x, y, subjects = patients()
    found, x_train, y_train = fitted(binary(), x, y, 3, subjects)
    facts = found["gradient_boosting"].facts
    folds = inner_folds(y_train, subjects[: len(x_train)], 5, 3)

    def loss(trees):
        settings = facts["hyper_parameters"] | {"max_iter": trees}
        held_out, average = [], []
        for fit, held in folds:
            model = HistGradientBoostingClassifier(
                **settings, early_stopping=False, random_state=3
            ).fit(x_train[fit], y_train[fit].ravel())
            truth = y_train[held].ravel()
            held_out.append(log_loss(truth, model.predict_proba(x_train[held])))
            average.append(log_loss(truth, np.full(len(held), y_train[fit].mean())))
        return np.mean(held_out) / np.mean(average)

    chosen = facts["hyper_parameters"]["max_iter"]
    assert facts["inner_loss"] == pytest.approx(loss(chosen))
    for other in (chosen - 1, chosen + 1, 1):
        assert other < 1 or loss(other) > facts["inner_loss"]


def test_no_subject_is_in_two_inner_folds():
    random = np.random.default_rng(0)
    subjects = random.integers(0, 60, size=300)
    y = (random.random((300, 1)) < 0.15).astype("float32")
    folds = inner_folds(y, subjects, 5, 0)
    assert len(folds) == 5
    for fit, held in folds:
        assert not set(subjects[fit]) & set(subjects[held])
        assert len(fit) + len(held) == 300
        assert y[held].sum() > 0
    assert sorted(np.concatenate([held for _, held in folds])) == list(range(300))
    again = inner_folds(y, subjects, 5, 0)
    assert all((a[1] == b[1]).all() for a, b in zip(folds, again, strict=True))
    other = inner_folds(y, subjects, 5, 1)
    assert any(not np.array_equal(a[1], b[1]) for a, b in zip(folds, other, strict=True))
    named = inner_folds(y, np.array([f"patient {each}" for each in subjects]), 5, 0)
    assert all((a[1] == b[1]).all() for a, b in zip(folds, named, strict=True))


def test_what_is_learned_of_a_subject_does_not_help_on_its_other_rows():
    random = np.random.default_rng(0)
    x = np.repeat(random.normal(size=(40, 8)), 6, axis=0)
    y = np.repeat(random.integers(0, 2, size=(40, 1)), 6, axis=0).astype("float32")
    subjects = np.repeat(np.arange(40), 6)
    by_subject = fit_baselines(binary(), (x, y), (x, y), 0, subjects)[2].facts["inner_loss"]
    by_row = fit_baselines(binary(), (x, y), (x, y), 0)[2].facts["inner_loss"]
    assert by_row < 0.3
    assert by_subject > 0.9


def test_validation_chooses_the_threshold_alone():
    x, y, subjects = patients()
    train = (x[:160], y[:160])
    one = fit_baselines(binary(), train, (x[160:], y[160:]), 0, subjects[:160])
    other = fit_baselines(binary(), train, (x[160:] * 3, 1 - y[160:]), 0, subjects[:160])
    for a, b in zip(one, other, strict=True):
        assert a.facts == b.facts
        np.testing.assert_array_equal(a.predict(x), b.predict(x))
        if a.name != "majority":
            assert a.threshold == binary().choose_threshold(y[160:], a.predict(x[160:]))
            assert a.threshold != b.threshold


def test_majority_calls_what_most_are():
    x, y, _ = patients()
    found, _, y_train = fitted(binary(), x, y)
    majority = found["majority"]
    assert majority.facts == {
        "features": 0, "train_rows": 160, "hyper_parameters": {}, "inner_folds": 0,
    }  # fmt: skip
    p = majority.predict(pd.DataFrame(x[:7]))
    assert p.shape == (7, 1)
    assert (p == y_train.mean(dtype=float)).all()
    predicted = p >= majority.threshold
    assert (predicted == (y_train.mean() >= 0.5)).all()
    task = tasks.build("multiclass").fit(np.array(["a", "b", "c"]))
    classes = np.array([0] * 60 + [2] * 30)
    found, _, _ = fitted(task, x[:90], np.tile(classes.reshape(3, 30).T.ravel(), 1))
    assert found["majority"].predict(x[:1])[0] == pytest.approx([2 / 3, 0, 1 / 3])


FEW = "too few subjects with each outcome for inner cross-validation: default settings"
ONE = "the training rows of an output hold one value only: its average is predicted there"
FLAT = "no feature varies among the training rows: its average is predicted there"


@pytest.mark.parametrize(
    ("case", "note"),
    [("one event", FEW), ("one class", ONE), ("all missing", FLAT), ("no features", FLAT),
     ("constant", FLAT), ("one subject", FEW)],
)  # fmt: skip
def test_what_cannot_be_fitted_is_said(case, note):
    x, y, subjects = patients(60)
    if case == "one event":
        y = np.zeros_like(y)
        y[5] = 1
    elif case == "one class":
        y = np.zeros_like(y)
    elif case == "all missing":
        x = np.full_like(x, np.nan)
    elif case == "no features":
        x = np.empty((60, 0))
    elif case == "constant":
        x = np.ones_like(x)
    elif case == "one subject":
        subjects = np.zeros(60)
    found = fit_baselines(binary(), (x, y), (x, y), 0, subjects)
    for baseline in found:
        p = baseline.predict(x)
        assert np.isfinite(p).all()
        assert p.min() >= 0
        assert p.max() <= 1
        json.dumps(baseline.facts, allow_nan=False)
        if baseline.name != "majority":
            assert baseline.facts["note"] == note
            assert baseline.facts["inner_folds"] == 0
            if note != FEW:
                np.testing.assert_allclose(p, y.mean())


@pytest.mark.parametrize("rows", [1, 2, 3, 5])
@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_a_handful_of_rows(kind, rows):
    x, y, _ = patients(60)
    y = y if kind == "binary" else x[:, :1] * 0 + np.arange(60)[:, None]
    y = np.where(np.isnan(y), 0, y)
    task = binary() if kind == "binary" else tasks.build("regression").fit(np.arange(4.0))
    for baseline in fit_baselines(task, (x[:rows], y[:rows]), (x, y), 0):
        assert np.isfinite(baseline.predict(x)).all()


def test_a_feature_without_values_in_one_fold_and_a_class_in_few():
    x, _, subjects = patients()
    x[:, 1] = np.nan
    x[7, 1], x[8, 1] = 1.0, 2.0  # of one fold's subjects only
    y = np.digitize(np.nan_to_num(x[:, 0]), [0.0, 1.9])
    task = tasks.build("multiclass").fit(np.arange(4))
    for baseline in fit_baselines(task, (x, y), (x, y), 0, subjects):
        p = baseline.predict(x)
        assert p.shape == (240, 4)
        assert p.sum(axis=1) == pytest.approx(1)
        assert (p[:, 3] == 0).all()
        assert "note" not in baseline.facts


def test_a_label_of_one_class_is_named_beside_those_that_are_learned():
    x, y, subjects = patients()
    labels = np.column_stack([y, np.zeros_like(y), 1 - y]).astype("float32")
    task = tasks.build("multilabel").fit(np.array([[0, 0, 0], [1, 1, 1]]), ["a", "b", "c"])
    for baseline in fit_baselines(task, (x, labels), (x, labels), 0, subjects)[1:]:
        assert baseline.facts["note"] == ONE
        assert baseline.facts["inner_folds"] == 5
        assert baseline.facts["inner_loss"] < 0.9
        assert (baseline.predict(x)[:, 1] == 0).all()


def test_large_data_are_searched_on_some_subjects(monkeypatch):
    x, y, subjects = patients()
    monkeypatch.setattr(_inner_folds, "_LARGE", 500)
    monkeypatch.setattr(_inner_folds, "_MOST", 500)
    monkeypatch.setattr(_inner_folds, "_FEWEST_ROWS", 10)
    found, x_train, _ = fitted(binary(), x, y, 3, subjects)
    for name, candidates in (("logistic_regression", 13), ("gradient_boosting", 30)):
        facts = found[name].facts
        assert (facts["search_rows"], facts["train_rows"]) == (100, len(x_train))
        assert (facts["inner_folds"], facts["candidates"]) == (3, candidates)
        assert facts["note"] == "hyper-parameters chosen on 100 of 160 training rows"
    rows = _inner_folds._searched(5, subjects, 3)
    assert not set(subjects[rows]) & set(np.delete(subjects, rows))


def test_the_same_seed_gives_the_same_baselines():
    x, y, subjects = patients()
    one, _, _ = fitted(binary(), x, y, 5, subjects)
    again, _, _ = fitted(binary(), x, y, 5, subjects)
    for name, baseline in one.items():
        assert baseline.facts == again[name].facts
        np.testing.assert_array_equal(baseline.predict(x), again[name].predict(x))


def test_many_training_rows_are_described_by_a_sample(tmp_path, monkeypatch):
    import medkit
    from medkit.evaluation.baselines import baselines

    monkeypatch.setattr(baselines, "_MOST_ROWS", 150)
    config = Path(__file__).parents[1] / "configs" / "smoke" / "breast_cancer_mlp.yaml"
    few = ["training.epochs=1", "evaluation.bootstrap=10", "evaluation.explanations=false"]
    metrics = medkit.train(config, overrides=few, out=tmp_path).metrics
    assert metrics["baselines"]["logistic_regression"]["train_rows"] == 150
    assert metrics["table_one"]["parts"]["train"]["n"] == 150
    assert metrics["train"]["n"] > 150
    assert metrics["table_one"]["notes"] == [
        f"the training column describes a random 150 of {metrics['train']['n']} rows"
    ]

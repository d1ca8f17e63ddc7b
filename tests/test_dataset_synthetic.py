"""Embedded and synthetic datasets: what they hold, and the best score they state."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pandas as pd
import pytest
from cohorts import only_input
from sklearn.metrics import roc_auc_score

from medkit.core import registry
from medkit.datasets.builtin import breast_cancer, diabetes
from medkit.datasets.synthetic import dna as synthetic_dna
from medkit.datasets.synthetic import icu as synthetic_icu
from medkit.datasets.synthetic import vitals as synthetic_vitals
from medkit.datasets.synthetic import xray as synthetic_xray
from medkit.modalities.series import Series

MODULES = {
    "synthetic_vitals": synthetic_vitals,
    "synthetic_icu": synthetic_icu,
    "synthetic_xray": synthetic_xray,
    "synthetic_dna": synthetic_dna,
}
# What the docstring states, by dataset, parameters and score.
STATED = [
    ("synthetic_vitals", {"target": "risk"}, "auroc", r"AUROC (\S+) and AUPRC \S+ for risk"),
    ("synthetic_vitals", {"target": "risk"}, "auprc", r"AUPRC (\S+) for risk"),
    ("synthetic_vitals", {"target": "systolic_pressure"}, "r2", r"R² (\S+)"),
    ("synthetic_vitals", {"target": "systolic_pressure"}, "rmse", r"RMSE (\S+) mmHg"),
    ("synthetic_icu", {}, "auroc", r"AUROC (\S+)"),
    ("synthetic_icu", {}, "auprc", r"AUPRC (\d\.\d+)"),
    ("synthetic_xray", {"target": "opacity"}, "auroc", r"AUROC (\S+)"),
    ("synthetic_xray", {"target": "opacity"}, "auprc", r"AUPRC (\S+) for opacity"),
    ("synthetic_xray", {"target": "location"}, "accuracy", r"accuracy (\S+)"),
    ("synthetic_xray", {"target": "location"}, "auroc_macro", r"macro AUROC (\S+) for location"),
    ("synthetic_xray", {"target": "findings"}, "auroc_macro", r"macro AUROC (\S+) for findings"),
    ("synthetic_dna", {"target": "promoter"}, "auroc", r"AUROC (\S+)"),
    ("synthetic_dna", {"target": "promoter"}, "auprc", r"AUPRC (\S+) for promoter"),
    ("synthetic_dna", {"target": "element"}, "accuracy", r"accuracy (\S+)"),
    ("synthetic_dna", {"target": "element"}, "auroc_macro", r"macro AUROC (\S+) for element"),
]


@pytest.fixture(scope="module")
def best():
    """Scores by dataset and parameters, each computed once."""
    found = {}

    def score(name, parameters):
        key = (name, *parameters.values())
        if key not in found:
            found[key] = MODULES[name].best_score(**parameters)
        return found[key]

    return score


@pytest.mark.parametrize(("name", "parameters", "score", "pattern"), STATED)
def test_stated_best_score_is_the_computed_one(name, parameters, score, pattern, best):
    text = " ".join(inspect.getdoc(registry.datasets.get(name).factory).split())
    stated = re.search("Best reachable.*?" + pattern, text)[1]
    assert stated == f"{best(name, parameters)[score]:.2f}"


@pytest.mark.parametrize("name", MODULES)
def test_other_seed_other_samples(name):
    build = registry.datasets.get(name).factory
    first, other = build(samples=60, seed=1), build(samples=60, seed=2)
    assert not np.array_equal(first.targets, other.targets)
    assert len(first) == 60
    assert first.samples["subject"].nunique() < 60, "some subjects have several samples"
    assert first.source.label
    assert "seed 1" in first.source.notes[0]


@pytest.mark.parametrize("name", ["synthetic_vitals", "synthetic_icu", "synthetic_xray"])
def test_patients_keep_sex_and_site_and_grow_older(name):
    samples = registry.datasets.get(name).factory(samples=400, seed=3).samples
    assert list(samples) == ["subject", "time", "site", "sex", "age_band"]
    by_patient = samples.groupby("subject")
    assert (by_patient[["sex", "site"]].nunique() == 1).all(axis=None)
    assert by_patient["time"].apply(lambda times: times.is_monotonic_increasing).all()
    assert set(samples["sex"]) == {"female", "male"}
    assert samples["site"].nunique() == 3
    assert pd.api.types.is_datetime64_any_dtype(samples["time"])


@pytest.mark.parametrize("name", ["synthetic_vitals", "synthetic_icu"])
def test_physiology_has_units_and_plausible_values(name):
    raw = only_input(registry.datasets.get(name).factory(samples=500, seed=4))
    values = raw.values if name == "synthetic_vitals" else None
    for position, feature in enumerate(raw.features):
        if feature.kind == "categorical":
            continue
        column = values[feature.name] if values is not None else raw.values[..., position].ravel()
        assert feature.unit, feature.name
        assert feature.low <= np.nanmin(column) <= np.nanmax(column) <= feature.high, feature.name


def test_vitals_move_together_and_sicker_patients_are_measured_more():
    cohort = synthetic_vitals.synthetic_vitals(samples=4000, seed=5)
    table = only_input(cohort).values
    correlation = table.drop(columns="sex").corr()
    assert correlation.loc["heart_rate", "respiratory_rate"] > 0.3
    assert correlation.loc["heart_rate", "oxygen_saturation"] < -0.3
    missing = table["oxygen_saturation"].isna()
    assert 0.1 < missing.mean() < 0.5
    assert table["heart_rate"][~missing].mean() > table["heart_rate"][missing].mean() + 2
    assert cohort.targets[~missing].mean() > cohort.targets[missing].mean()
    assert not table[["age", "heart_rate", "respiratory_rate", "sex"]].isna().any(axis=None)


def test_pressure_has_five_numeric_inputs_and_the_same_visits():
    pressure = synthetic_vitals.synthetic_vitals(samples=300, target="systolic_pressure")
    risk = synthetic_vitals.synthetic_vitals(samples=300, target="risk")
    names = ["age", "heart_rate", "respiratory_rate", "temperature", "bmi"]
    assert list(only_input(pressure).values) == names
    assert [f.name for f in only_input(pressure).features] == names
    pd.testing.assert_frame_equal(only_input(pressure).values, only_input(risk).values[names])
    assert pressure.target_names == ("systolic_pressure",)
    assert 80 < pressure.targets.min() < 120 < pressure.targets.max() < 220
    assert set(risk.targets) == {0, 1}


def test_true_risk_is_calibrated():
    drawn = synthetic_vitals._draw(20_000, 6, "risk")
    p = synthetic_vitals._expected(drawn, "risk")
    gaps = np.isnan(drawn.vitals).any(axis=1)
    for rows in (gaps, ~gaps):
        assert abs(p[rows].mean() - drawn.targets[rows].mean()) < 0.01
        high = rows & (p > 0.5)
        assert abs(p[high].mean() - drawn.targets[high].mean()) < 0.06


def test_simple_model_of_vitals_reaches_95_percent_of_the_best():
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train = synthetic_vitals.synthetic_vitals(samples=2000, seed=7)
    test = synthetic_vitals.synthetic_vitals(samples=4000, seed=8)
    table = [only_input(c).values.assign(sex=only_input(c).values["sex"] == "male").astype(float)
             for c in (train, test)]  # fmt: skip
    model = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression())
    p = model.fit(table[0], train.targets).predict_proba(table[1])[:, 1]
    reachable = synthetic_vitals.best_score(samples=4000, seed=8)["auroc"]
    assert 0.95 * reachable < roc_auc_score(test.targets, p) < reachable + 0.005


def test_icu_grid_has_informative_gaps_and_trends():
    cohort = synthetic_icu.synthetic_icu(samples=800, seed=9)
    values, y = only_input(cohort).values, cohort.targets
    assert values.shape == (800, 24, 7)
    assert values.dtype == np.float32
    assert not np.isnan(values[:, 0]).any(), "everything is measured at admission"
    measured = ~np.isnan(values)
    names = [f.name for f in only_input(cohort).features]
    often, rarely = names.index("heart_rate"), names.index("lactate")
    assert measured[:, 1:, often].mean() > 0.7
    assert measured[:, 1:, rarely].mean() < 0.3
    assert measured[y == 1].mean() > measured[y == 0].mean()
    level = values[:, 0, often]
    trend = np.nanmean(values[:, -6:, often], axis=1) - np.nanmean(values[:, :6, often], axis=1)
    assert roc_auc_score(y, trend) > roc_auc_score(y, level) + 0.1
    assert only_input(synthetic_icu.synthetic_icu(samples=30, hours=12)).values.shape[1] == 12


def test_simple_model_of_icu_summaries_reaches_95_percent_of_the_best():
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train = synthetic_icu.synthetic_icu(samples=2000, seed=10)
    test = synthetic_icu.synthetic_icu(samples=3000, seed=11)
    grid = Series().fit(only_input(train))
    table = [grid.summarize(grid.encode(only_input(c))).to_numpy(float) for c in (train, test)]
    model = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression(C=0.05))
    p = model.fit(table[0], train.targets).predict_proba(table[1])[:, 1]
    reachable = synthetic_icu.best_score(samples=3000, seed=11)["auroc"]
    assert 0.95 * reachable < roc_auc_score(test.targets, p) < reachable + 0.005


def test_xray_opacities_brighten_their_lung():
    cohort = synthetic_xray.synthetic_xray(samples=600, seed=12, target="location")
    images = only_input(cohort).values
    assert images.shape == (600, 32, 32, 1)
    assert images.dtype == np.uint8
    assert set(cohort.targets) == {"none", "left", "right", "both"}
    # Seen from the front, the patient's left lung is on the right of the image.
    halves = images[..., 0].astype(float).reshape(600, 32, 2, 16).mean(axis=(1, 3))
    lean = halves[:, 1] - halves[:, 0]
    assert lean[cohort.targets == "left"].mean() > lean[cohort.targets == "none"].mean() + 1
    assert lean[cohort.targets == "right"].mean() < lean[cohort.targets == "none"].mean() - 1


def test_xray_targets_agree():
    parts = {
        target: synthetic_xray.synthetic_xray(samples=80, seed=13, target=target, size=16)
        for target in ("opacity", "location", "findings")
    }
    location = parts["location"].targets
    assert np.array_equal(parts["opacity"].targets, (location != "none").astype(int))
    left, right = parts["findings"].targets.T
    assert np.array_equal(left, np.isin(location, ["left", "both"]).astype(int))
    assert np.array_equal(right, np.isin(location, ["right", "both"]).astype(int))
    assert parts["findings"].target_names == ("left_opacity", "right_opacity")
    assert np.array_equal(only_input(parts["opacity"]).values, only_input(parts["findings"]).values)


def test_dna_elements_are_where_they_should_be():
    cohort = synthetic_dna.synthetic_dna(samples=1500, seed=14, target="element", length=45)
    texts = only_input(cohort).values
    assert {len(text) for text in texts} == {45}
    assert set("".join(texts)) == set("ACGTN")
    held = np.array(["TATA" in text[15:30] for text in texts])
    tata = cohort.targets == "tata"
    assert held[tata].mean() > 3 * held[~tata].mean()
    promoter = synthetic_dna.synthetic_dna(samples=1500, seed=14, length=45)
    assert np.array_equal(promoter.targets, (cohort.targets != "none").astype(int))


def test_dna_of_one_gene_is_alike():
    cohort = synthetic_dna.synthetic_dna(samples=200, seed=15)
    letters = np.array([list(text) for text in only_input(cohort).values])
    same = (letters[1:] == letters[:-1]).mean(axis=1)
    relatives = cohort.subjects[1:] == cohort.subjects[:-1]
    assert same[relatives].mean() > same[~relatives].mean() + 0.2
    genes = pd.Series(cohort.targets).groupby(cohort.subjects).nunique()
    assert (genes == 1).all()
    assert np.allclose(synthetic_dna.weight_matrix("tata").sum(axis=1), 1)


def test_breast_cancer():
    cohort = breast_cancer()
    assert len(cohort) == 569
    assert only_input(cohort).values.shape == (569, 30)
    assert (cohort.targets == "malignant").sum() == 212
    assert sorted(set(cohort.targets))[-1] == "malignant", "the last class is the positive one"
    assert "subject" not in cohort.samples
    assert "one patient" in cohort.source.notes[0]
    malignant = only_input(cohort).values[cohort.targets == "malignant"]
    assert malignant["mean radius"].mean() > only_input(cohort).values["mean radius"].mean()


def test_diabetes_is_in_physical_units():
    cohort = diabetes()
    table = only_input(cohort).values
    assert table.shape == (442, 10)
    assert 19 <= table["age"].min() < table["age"].max() <= 79
    assert 18 <= table["bmi"].min() < table["bmi"].max() < 43
    units = {f.name: f.unit for f in only_input(cohort).features}
    assert (units["bmi"], units["bp"], units["s1"], units["s4"]) == ("kg/m²", "mmHg", "mg/dL", None)
    assert next(f for f in only_input(cohort).features if f.name == "sex").kind == "categorical"
    assert set(cohort.samples) == {"sex", "age_band"}
    assert (cohort.targets.min(), cohort.targets.max()) == (25, 346)

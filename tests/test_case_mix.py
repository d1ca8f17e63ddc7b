"""Table 1, standardised differences, units and the membership model, against references."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from cohorts import only_input
from scipy import stats
from scipy.spatial.distance import mahalanobis
from sklearn.metrics import roc_auc_score

from medkit.data.cohort import Cohort, Feature, RawInput
from medkit.data.inputs import Inputs
from medkit.evaluation.clusters import design_effect, intraclass_correlation
from medkit.evaluation.groups import membership as members
from medkit.evaluation.groups.case_mix import MOST_ROWS, table_one
from medkit.evaluation.groups.membership import membership
from medkit.evaluation.groups.shift import (
    of_means,
    of_proportions,
    standardised_differences,
    unit_warnings,
)
from medkit.modalities.encoder import Encoder
from medkit.modalities.tabular import Tabular
from medkit.tasks.binary import Binary
from medkit.tasks.multilabel import Multilabel
from medkit.tasks.regression import Regression
from medkit.workflows.prepare import Part


def cohort(rows: int = 200, seed: int = 0, shift: float = 0.0) -> Cohort:
    random = np.random.default_rng(seed)
    values = pd.DataFrame(
        {
            "pulse": random.normal(80 + shift, 10, rows),
            "sex": random.choice(["female", "male"], rows).astype(object),
        }
    )
    values.loc[:4, "pulse"] = np.nan
    values.loc[:2, "sex"] = None
    ward = np.where(np.arange(rows) < 4, "rare", random.choice(["a", "b", "c"], rows))
    samples = pd.DataFrame(
        {
            "subject": [f"MRN{i // 2}" for i in range(rows)],
            "ward": ward,
            "age": 60.0 + values.index,
        },
        index=[f"VISIT{i}" for i in range(rows)],
    )
    features = (Feature("pulse", unit="bpm"), Feature("sex", "categorical"))
    targets = np.where(random.random(rows) < 0.3, "dead", "alive").astype(object)
    return Cohort(samples, {"x": RawInput("tabular", values, features)}, targets)


def prepared(given: Cohort) -> tuple[Part, Encoder, Binary]:
    encoder = Encoder({"x": Tabular()}).fit(given.inputs)
    task = Binary(positive="dead").fit(given.targets)
    return part_of(given, encoder, task), encoder, task


def part_of(given: Cohort, encoder, task) -> Part:
    return Part(given, encoder.encode(given.inputs), task.encode(given.targets))


def row(table, name):
    return next(each for each in table["rows"] if each["name"] == name)


def test_table_one_agrees_with_pandas():
    given = cohort()
    part, encoder, task = prepared(given)
    table = table_one({"train": part}, encoder, task)
    pulse = row(table, "pulse")
    expected = only_input(given).values["pulse"].astype("float32").astype(float).describe()
    found = pulse["parts"]["train"]
    assert (pulse["role"], pulse["kind"], pulse["unit"]) == ("input", "numeric", "bpm")
    assert (found["n"], found["missing"]) == (195, 5)
    for key, theirs in (("mean", "mean"), ("sd", "std"), ("median", "50%"), ("q1", "25%"),
                        ("q3", "75%")):  # fmt: skip
        assert found[key] == pytest.approx(expected[theirs], rel=1e-5)
    sex = row(table, "sex")["parts"]["train"]
    assert sex["counts"] == only_input(given).values["sex"].value_counts().to_dict()
    assert sex["missing"] == 3
    outcome = row(table, "outcome")
    assert outcome["role"] == "outcome"
    counts = pd.Series(given.targets).value_counts().to_dict()
    assert outcome["parts"]["train"]["counts"] == counts
    assert row(table, "age")["role"] == "attribute"
    assert table["parts"]["train"] == {"n": 200, "subjects": 100}


def test_table_one_is_json_without_identifiers():
    part, encoder, task = prepared(cohort())
    text = json.dumps(table_one({"train": part}, encoder, task), allow_nan=False)
    assert "MRN" not in text
    assert "VISIT" not in text


def test_small_cells_are_suppressed_and_cannot_be_had_by_subtraction():
    part, encoder, task = prepared(cohort())
    counts = row(table_one({"train": part}, encoder, task), "ward")["parts"]["train"]["counts"]
    assert counts["rare"] is None
    hidden = [name for name, n in counts.items() if n is None]
    assert len(hidden) == 2
    shown = {name: n for name, n in counts.items() if n is not None}
    wards = part.cohort.samples["ward"].value_counts()
    assert shown == {name: wards[name] for name in shown}
    # The cell hidden with it is the smallest of the others.
    assert wards[(set(hidden) - {"rare"}).pop()] == min(wards.drop("rare"))


def test_fewer_subjects_than_the_minimum_give_no_numbers():
    given = cohort()
    part, encoder, task = prepared(given)
    few = part_of(given.take(np.arange(180, 194)), encoder, task)  # 14 rows of 7 subjects
    found = row(table_one({"train": part, "test": few}, encoder, task), "pulse")["parts"]["test"]
    assert found == {"n": 14, "missing": 0, "suppressed": "fewer than 10 subjects"}


def test_an_unknown_category_is_no_missing_one():
    given = cohort()
    part, encoder, task = prepared(given)
    values = only_input(given).values.assign(sex="unknown to training")
    other = Cohort(
        given.samples, {"x": RawInput("tabular", values, only_input(given).features)}, given.targets
    )
    table = table_one({"train": part, "new": part_of(other, encoder, task)}, encoder, task)
    assert row(table, "sex")["parts"]["new"] == {
        "n": 200, "missing": 0, "counts": {"(not seen in training)": 200},
    }  # fmt: skip


def test_outcomes_of_other_tasks_and_empty_columns():
    given = cohort()
    part, encoder, _ = prepared(given)
    y = np.random.default_rng(0).normal(120, 15, (200, 1))
    table = table_one({"train": Part(given, part.inputs, y)}, encoder, Regression().fit(y, ["sbp"]))
    assert row(table, "sbp")["parts"]["train"]["mean"] == pytest.approx(y.mean())
    labels = (y > np.array([[110, 130]])).astype("float32")
    task = Multilabel().fit(labels, ["low", "high"])
    table = table_one({"train": Part(given, part.inputs, labels)}, encoder, task)
    assert row(table, "high")["parts"]["train"]["counts"]["yes"] == labels[:, 1].sum()
    empty = Inputs({"x": np.where(np.arange(2) == 0, np.nan, part.inputs["x"])})
    table = table_one({"train": Part(given, empty, labels)}, encoder, task)
    assert row(table, "pulse")["parts"]["train"]["suppressed"] == "fewer than 10 subjects"


def test_very_many_inputs_are_cut_and_said():
    given = cohort()
    part, encoder, task = prepared(given)
    wide = pd.DataFrame(np.zeros((200, MOST_ROWS + 20)), columns=[f"k{i}" for i in range(120)])
    table = table_one({"train": part}, encoder, task, features={"train": wide})
    assert sum(each["role"] == "input" for each in table["rows"]) == MOST_ROWS
    assert table["notes"] == ["the first 100 of 120 input features are shown"]


def test_difference_of_means_against_scipy():
    # With equal sizes t = d sqrt(n / 2) (Austin 2009 and Welch's t share the denominator).
    n = 50
    t = stats.ttest_ind_from_stats(131.3, 17.9, n, 124.6, 15.2, n, equal_var=False).statistic
    found = of_means((124.6, 15.2), (131.3, 17.9))["value"]
    assert found == pytest.approx(t * math.sqrt(2 / n))


def test_difference_of_two_proportions_against_statsmodels():
    from statsmodels.stats.proportion import test_proportions_2indep

    n, k, m = 400, 130, 84
    z = test_proportions_2indep(k, n, m, n, method="wald").statistic
    found = of_proportions(np.array([1 - k / n, k / n]), np.array([1 - m / n, m / n]))["value"]
    assert found == pytest.approx(abs(z) * math.sqrt(2 / n))


def test_difference_of_several_proportions_is_mahalanobis_whichever_is_left_out():
    p, q = np.array([0.2, 0.3, 0.4, 0.1]), np.array([0.1, 0.35, 0.3, 0.25])

    def covariance(v):
        return np.diag(v) - np.outer(v, v)

    for left_out in range(4):
        rest = np.delete(np.arange(4), left_out)
        mean = (covariance(p[rest]) + covariance(q[rest])) / 2
        expected = mahalanobis(p[rest], q[rest], np.linalg.inv(mean))
        order = np.r_[left_out, rest]
        assert of_proportions(p[order], q[order])["value"] == pytest.approx(expected)


def test_what_cannot_be_compared_says_why():
    assert of_means((1.0, 0.0), (1.0, 0.0)) == {"value": 0.0}
    assert of_means((1.0, 0.0), (2.0, 0.0))["not_estimable"] == "no spread in either data set"
    assert of_means((1.0, None), (2.0, 1.0))["value"] is None
    apart = of_proportions(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    assert apart == {"value": None, "not_estimable": "no category in common"}
    given = cohort()
    part, encoder, task = prepared(given)
    few = part_of(given.take(np.arange(180, 194)), encoder, task)
    table = table_one({"a": part, "b": few}, encoder, task)
    by_name = {each["name"]: each for each in standardised_differences(table, "a", "b")}
    assert by_name["pulse"]["not_estimable"] == "fewer than 10 subjects"


def test_differences_of_a_table():
    part, encoder, task = prepared(cohort())
    other = part_of(cohort(seed=1, shift=5.0), encoder, task)
    table = table_one({"a": part, "b": other}, encoder, task)
    by_name = {each["name"]: each for each in standardised_differences(table, "a", "b")}
    a, b = (row(table, "pulse")["parts"][name] for name in ("a", "b"))
    n = 195
    t = stats.ttest_ind_from_stats(b["mean"], b["sd"], n, a["mean"], a["sd"], n, False).statistic
    assert by_name["pulse"]["value"] == pytest.approx(t * math.sqrt(2 / n))
    assert by_name["pulse"]["value"] > 0.3


def test_other_units_are_named():
    part, encoder, task = prepared(cohort())
    for change, said in ((1 / 60, "possibly in another unit"), (np.nan, "missing in 100%")):
        x = Inputs({"x": part.inputs["x"] * np.array([change, 1.0])})
        table = table_one({"a": part, "b": Part(part.cohort, x, part.y)}, encoder, task)
        (warning,) = unit_warnings(table, "a", "b", encoder.features)
        assert warning["name"] == "pulse"
        assert said in warning["text"]
    minutes = Part(part.cohort, Inputs({"x": part.inputs["x"] / 60}), part.y)
    assert "bpm" in unit_warnings(
        table_one({"a": part, "b": minutes}, encoder, task),
        "a", "b", encoder.features,
    )[0]["text"]  # fmt: skip
    ranged = (Feature("pulse", unit="bpm", low=20, high=60, outside="keep"),)
    table = table_one({"a": part, "b": part}, encoder, task)
    assert unit_warnings(table, "a", "b", encoder.features) == []
    (warning,) = unit_warnings(table, "a", "b", ranged)
    assert "outside the plausible range 20 to 60 bpm" in warning["text"]


def sides(shift: float, rows: int = 300, seed: int = 0):
    random = np.random.default_rng(seed)

    def side(by: float):
        frame = pd.DataFrame(random.normal(by, 1, (rows, 3)), columns=list("abc"))
        frame.iloc[::7, 0] = np.nan
        return frame, random.integers(0, 2, (rows, 1)), np.arange(rows) // 2

    return side(0.0), side(shift)


def test_membership_tells_shifted_from_equal_data():
    equal = membership(*sides(0.0), seed=1, resamples=50)
    assert equal["auroc"]["low"] < 0.55
    assert "reproducibility" in equal["reading"]
    apart = membership(*sides(1.0), seed=1, resamples=50)["auroc"]
    # Two normals one standard deviation apart in three columns: Φ(√3 / √2) = 0.89.
    assert apart["value"] == pytest.approx(stats.norm.cdf(math.sqrt(3 / 2)), abs=0.04)
    assert apart["low"] < apart["value"] < apart["high"]


def test_membership_uses_the_outcome_too():
    development, new = sides(0.0)
    new = (new[0], np.ones_like(new[1]), new[2])
    development = (development[0], np.zeros_like(development[1]), development[2])
    assert membership(development, new, seed=1, resamples=20)["auroc"]["value"] == 1.0


def test_membership_auroc_agrees_with_sklearn_and_no_subject_is_in_two_folds(monkeypatch):
    kept = {}
    cross_fitted = members._cross_fitted

    def spy(x, label, subjects, seed):
        kept["scores"], kept["label"] = cross_fitted(x, label, subjects, seed), label
        kept["subjects"] = subjects
        return kept["scores"]

    monkeypatch.setattr(members, "_cross_fitted", spy)
    found = membership(*sides(0.4), seed=1, resamples=0)["auroc"]
    assert found["value"] == pytest.approx(roc_auc_score(kept["label"], kept["scores"]))
    assert (found["low"], found["high"]) == (None, None)
    # Subject 0 of one data set is another patient than subject 0 of the other.
    assert len(np.unique(kept["subjects"])) == 300


def test_membership_of_very_few_subjects_is_not_estimable():
    development, new = sides(0.0)
    few = tuple(each[:12] for each in new)
    found = membership(development, few, seed=1)
    assert found == {
        "auroc": None,
        "not_estimable": "fewer than 10 subjects in one of the data sets",
    }


def test_outcomes_of_one_subject_that_are_alike_are_said():
    """Against the textbook formula on equal clusters; no line where subjects have one row."""
    random = np.random.default_rng(0)
    codes = np.repeat(np.arange(300), 4)
    values = random.normal(0, 1, 300)[codes] + random.normal(0, np.sqrt(3), 1200)
    groups = values.reshape(300, 4)
    between, within = 4 * groups.mean(axis=1).var(ddof=1), groups.var(axis=1, ddof=1).mean()
    expected = (between - within) / (between + 3 * within)
    assert intraclass_correlation(values, codes) == pytest.approx(expected)
    assert expected == pytest.approx(0.25, abs=0.06)
    assert design_effect(0.25, codes) == pytest.approx(1.75)
    assert intraclass_correlation((codes % 2 == 0)[:, None], codes) == pytest.approx(1.0)
    assert intraclass_correlation(values, np.arange(1200)) is None
    assert intraclass_correlation(np.ones(1200), codes) is None

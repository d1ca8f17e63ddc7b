"""Four inputs with known shares of the risk: what the best model reaches, and what ours does."""

from __future__ import annotations

import importlib
import itertools
from pathlib import Path

import numpy as np
import pytest

from medkit.config.experiment import load_config
from medkit.datasets.synthetic.admissions import INPUTS, best_score, synthetic_admissions
from medkit.workflows.external import predict_file
from medkit.workflows.prepare import read
from medkit.workflows.synthesize import synthesize
from medkit.workflows.train import train

ROOT = Path(__file__).parents[1]


def without(name):
    return [each for each in INPUTS if each != name]


@pytest.mark.slow
def test_the_docstring_states_the_best_score():
    assert best_score()["auroc"] == pytest.approx(0.86, abs=0.005)
    stated = {"vitals": 0.76, "static": 0.84, "xray": 0.82, "note": 0.82}
    for name, score in stated.items():
        assert best_score(inputs=without(name))["auroc"] == pytest.approx(score, abs=0.006)


@pytest.mark.slow
def test_more_inputs_never_make_the_best_score_worse():
    scores = {
        each: best_score(samples=4000, inputs=each)["auroc"]
        for count in range(5)
        for each in itertools.combinations(INPUTS, count)
    }
    for few, score in scores.items():
        for many, higher in scores.items():
            if set(few) < set(many):
                assert higher > score, (few, many)
    assert scores[()] == pytest.approx(0.5, abs=0.02)


def test_some_admissions_lack_an_image_or_a_note():
    cohort = synthetic_admissions(samples=2000)
    assert {name: raw.modality for name, raw in cohort.inputs.items()} == INPUTS
    lacking = {n: (~r.present).mean() for n, r in cohort.inputs.items() if r.present is not None}
    assert lacking == pytest.approx({"xray": 0.25, "note": 0.15}, abs=0.03)
    blank = cohort.inputs["xray"].values[~cohort.inputs["xray"].present]
    assert not blank.any()
    again = synthetic_admissions(samples=2000)
    np.testing.assert_array_equal(cohort.inputs["vitals"].values, again.inputs["vitals"].values)


@pytest.mark.slow
def test_written_as_files_it_is_read_again_trained_on_and_predicted_for(tmp_path):
    *paths, config = synthesize("synthetic_admissions", tmp_path, ["samples=60", "seed=4"])
    assert {path.name for path in paths} == {f"{name}.csv" for name in [*INPUTS, "labels"]}
    cohort, again = synthetic_admissions(samples=60, seed=4), read(load_config(config).dataset)
    assert list(again.samples.index) == list(cohort.samples.index)
    assert set(again.samples) == set(cohort.samples)
    np.testing.assert_array_equal(again.targets, cohort.targets)
    for name, raw in cohort.inputs.items():
        mine = again.inputs[name]
        known = np.ones(60, bool) if raw.present is None else raw.present
        assert mine.modality == raw.modality
        assert [f.name for f in mine.features] == [f.name for f in raw.features]
        if raw.present is not None:
            np.testing.assert_array_equal(mine.present, known)
        if name == "vitals":
            np.testing.assert_allclose(mine.values, raw.values, rtol=1e-6)
        elif name == "static":
            assert mine.values.astype(str).to_numpy().tolist() == (
                raw.values.astype(str).to_numpy().tolist()
            )
        else:
            assert (np.asarray(mine.values)[known] == np.asarray(raw.values)[known]).all()
    quick = ["training.epochs=1", "evaluation.baselines=false", "evaluation.bootstrap=0",
             "evaluation.explanations=false"]  # fmt: skip
    run = train(config, overrides=quick, out=tmp_path / "runs")
    found = predict_file(run, tmp_path).set_index("sample")["probability"]
    expected = run.predict(again.inputs)["probability"].to_numpy()
    np.testing.assert_allclose(found[again.samples.index], expected, atol=1e-6)


@pytest.mark.slow
def test_the_fusion_reaches_what_can_be_reached_and_each_input_is_worth_what_it_should(
    tmp_path, monkeypatch
):
    """Against the best score on the same test rows: docs/results.md has five seeds."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    share, losses = importlib.import_module("admissions").shares(7, tmp_path)
    assert share >= 0.95
    assert set(losses) == set(INPUTS)
    for cost, expected in losses.values():
        assert cost == pytest.approx(expected, abs=0.015)

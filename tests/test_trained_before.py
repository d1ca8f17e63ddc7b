"""Branches from finished runs: on what they may be tested, how their input is prepared."""

from __future__ import annotations

import pytest

from medkit.config.experiment import check_config
from medkit.core.errors import ConfigError, DataError
from medkit.leakage.earlier import trained_before
from medkit.runs.run import Run
from medkit.workflows.audit import audit_experiment
from medkit.workflows.crossval import cross_validate
from medkit.workflows.finished_branches import earlier_parts, finished_branches
from medkit.workflows.prepare import divide, read
from medkit.workflows.train import train

SEPSIS = {"name": "synthetic_icu", "samples": 120}
SAME = {**SEPSIS, "static": ["age", "sex"]}

QUICK = {
    "training": {"epochs": 1},
    "evaluation": {"bootstrap": 0, "baselines": False, "explanations": False},
}


def config(folder, dataset, model, **changes):
    document = {"name": "x", "dataset": dataset, "task": "binary", "model": model}
    return check_config({**document, **QUICK, **changes}, folder=folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("before")


@pytest.fixture(scope="module")
def vitals(folder) -> Run:
    model, scaled = {"name": "gru", "units": [4]}, {"standardize": "robust"}
    return train(config(folder, SEPSIS, model, preprocessing=scaled), out=folder / "runs")


def fusion_of(folder, run: Run, **changes):
    branches = {"series": {"from": str(run.path), "frozen": True}, "static": "mlp"}
    return config(folder, SAME, {"name": "fusion", "branches": branches}, **changes)


def test_rows_that_trained_the_run_are_not_tested_here(vitals, folder):
    other = fusion_of(folder, vitals, seed=8)
    with pytest.raises(DataError, match="trained_before") as refused:
        train(other, out=folder / "refused")
    told = str(refused.value)
    rows = dict(divide(read(other.dataset), other)[0])
    earlier = divide(read(other.dataset), fusion_of(folder, vitals))[0]
    both = set(rows["test"].subjects) & set(earlier["train"].subjects)
    assert f"{len(both)} subjects of this test part trained it" in told
    assert "(branch series, its train part and test)" in told
    assert "Keep the seed and the split of that run" in told
    assert 'leakage: {allow: {trained_before: "why it is not a leak"}}' in told
    assert not (folder / "refused").exists()
    waived = {"leakage": {"allow": {"trained_before": "a test of the waiver"}}}
    run = train(fusion_of(folder, vitals, seed=8, **waived), out=folder / "runs")
    found = run.metrics["leakage"]["findings"]
    assert {each["waived"] for each in found if each["name"] == "trained_before"} == {
        "a test of the waiver"
    }
    # Written down is how the input is really prepared; the run's config can be read again.
    assert run.config["preprocessing"]["series"] == vitals.config["preprocessing"]
    again = check_config(run.config, folder=run.path)
    assert again.preprocessing["series"].parameters["standardize"] == "robust"
    assert list(finished_branches(again)) == ["series"]
    assert "trained_before" in (run.path / "report.html").read_text(encoding="utf-8")


def test_no_fold_starts_from_a_run_that_knows_its_patients(vitals, folder):
    """Said before the first fold: every one of them would be refused by the gate."""
    out = folder / "crossval"
    with pytest.raises(
        ConfigError, match=r"model\.branches\.series\.from: .* trained on this data"
    ):
        cross_validate(fusion_of(folder, vitals), folds=2, jobs=0, out=out)
    assert not out.exists()


def test_the_split_of_the_run_tests_other_rows(vitals, folder):
    same = audit_experiment(fusion_of(folder, vitals))
    assert "trained_before" in same.checked
    assert not [each for each in same if each.name == "trained_before"]
    alone = audit_experiment(config(folder, SEPSIS, "gru"))
    assert "trained_before" not in alone.checked


def test_a_run_whose_rows_cannot_be_read_again_is_doubted(vitals, folder):
    run = Run(vitals.path)
    run.config = {**run.config, "dataset": {**run.config["dataset"], "samples": 100}}
    experiment = fusion_of(folder, vitals)
    cohort = read(experiment.dataset)
    (reason,) = earlier_parts({"series": run}, cohort).values()
    assert reason == "the development data are not at hand: they have changed since"
    (found,) = trained_before(divide(cohort, experiment)[0], {"series": reason})
    assert found.severity == "warn"
    assert reason in found.what


def test_other_preprocessing_than_the_run_s_is_refused(vitals, folder):
    given = {"series": {"standardize": False}, "static": {"standardize": False}}
    experiment = fusion_of(folder, vitals, preprocessing=given)
    with pytest.raises(ConfigError, match="1 problem") as refused:
        finished_branches(experiment)
    told = (
        'preprocessing.series.standardize: is "robust" in the run that the branch starts from: '
        "remove it; got false"
    )
    assert told in str(refused.value)
    given["series"]["standardize"] = "robust"
    assert list(finished_branches(fusion_of(folder, vitals, preprocessing=given))) == ["series"]

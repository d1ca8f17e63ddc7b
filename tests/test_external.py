"""A run elsewhere: which rows, how they differ, how it does, and what recalibration makes of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohorts import only_input
from scipy.special import expit, logit

import medkit
from medkit.config.experiment import Evaluation, check_config
from medkit.core.errors import ConfigError, DataError, RunError
from medkit.core.files import sha256
from medkit.datasets.builtin import breast_cancer
from medkit.evaluation.part_metrics import resample
from medkit.evaluation.rows import EvaluatedRows
from medkit.runs.run import Run, verify
from medkit.runs.stored import stored_part
from medkit.workflows.external import evaluate_run_on, recalibrate_run
from medkit.workflows.external.overlap import copies

CHEAP = {"bootstrap": 30, "baselines": False, "explanations": False}


def patients(path: Path, rows: int = 240, seed: int = 0, shift: float = 0.0, **changes) -> Path:
    """Visits at two hospitals; ``shift`` makes everyone older and the outcome rarer."""
    random = np.random.default_rng(seed)
    age = random.normal(60 + shift, 8, rows)
    risk = expit((age - 60) / 6 - shift / 3)
    table = pd.DataFrame(
        {
            "record": [f"MRN{7000 + seed * 1000 + i}" for i in range(rows)],
            "age": age.round(1),
            "glucose": random.normal(100, 15, rows).round(1),
            "hospital": np.where(np.arange(rows) < rows // 2, "north", "south"),
            "died": np.where(random.random(rows) < risk, "yes", "no"),
        }
    )
    table.assign(**changes).to_csv(path, index=False)
    return path


def document(path: Path, **changes):
    return {
        "name": "deaths", "seed": 1,
        "dataset": {
            "name": "table", "path": path.name, "target": "died",
            "columns": {"subject": "record", "site": "hospital", "inputs": ["age", "glucose"]},
            "values": {"units": {"age": "years", "glucose": "mg/dL"}},
        },
        "task": "binary", "model": {"name": "mlp", "hidden_units": [4]},
        "split": {"by": "site", "train_sites": ["north"], "valid": 0.3},
        "training": {"epochs": 30, "early_stopping": None, "optimizer": {
            "name": "adam", "learning_rate": 0.02}},
        "evaluation": CHEAP, **changes,
    }  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("external")


@pytest.fixture(scope="module")
def run(folder) -> Run:
    path = patients(folder / "home.csv")
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("MEDKIT_SALT", "known to the test")
        return medkit.train(check_config(document(path), folder=folder), out=folder / "runs")


@pytest.fixture(scope="module")
def away(folder) -> Path:
    return patients(folder / "away.csv", seed=1, shift=6.0)


@pytest.fixture(scope="module")
def validated(run, away, folder):
    overrides = [f"dataset.path={away}", "evaluation.subgroups=[site]"]
    return evaluate_run_on(run, None, overrides, folder / "report")


def hashes(path: Path) -> dict[str, str]:
    return {each.name: sha256(each) for each in path.rglob("*") if each.is_file()}


def config_of(folder: Path, path: Path, **changes) -> Path:
    file = folder / f"{path.stem}.json"
    file.write_text(json.dumps(document(path, **changes)))
    return file


def test_case_mix_stands_beside_development(run, validated):
    mix = validated["case_mix"]
    rows = {each["name"]: each for each in mix["table_one"]["rows"]}
    trained = next(e for e in run.metrics["table_one"]["rows"] if e["name"] == "age")
    assert rows["age"]["parts"]["development"] == trained["parts"]["train"]
    a, b = (rows["age"]["parts"][name] for name in ("development", "new"))
    expected = (b["mean"] - a["mean"]) / np.sqrt((a["sd"] ** 2 + b["sd"] ** 2) / 2)
    found = {each["name"]: each["value"] for each in mix["differences"]}
    assert found["age"] == pytest.approx(expected)
    assert found["age"] > 0.4
    assert abs(found["glucose"]) < 0.4
    assert mix["membership"]["auroc"]["value"] > 0.6
    assert mix["membership"]["n"] == {"development": len(stored_part(run, "train").y), "new": 240}
    assert mix["warnings"] == []


def test_performance_drop_is_new_less_development(run, validated):
    drop = validated["performance_drop"]
    assert drop["reference"] == "test"
    for name, found in drop["metrics"].items():
        assert found["development"] == pytest.approx(
            run.metrics["test"]["metrics"][name]["value"], abs=1e-6
        )
        assert found["new"] == validated["metrics"][name]["value"]
        assert found["value"] == pytest.approx(found["new"] - found["development"])
        assert found["low"] <= found["high"]


def test_the_drops_interval_is_that_of_two_independent_samples(run, validated, monkeypatch):
    """About as wide as the two intervals in quadrature, not as either of them."""
    kept = stored_part(run)
    given = (kept.y, kept.outputs, kept.subjects, run.threshold, Evaluation(bootstrap=300), 1)
    home = np.std(resample(EvaluatedRows(run.task, *given)).replicates["brier"])
    found = validated["performance_drop"]["metrics"]["brier"]
    away = validated["metrics"]["brier"]
    width = (found["high"] - found["low"]) / 3.92
    assert width == pytest.approx(np.hypot(home, (away["high"] - away["low"]) / 3.92), rel=0.35)


def test_the_same_is_measured_as_at_home(run, validated):
    for part in ("calibration", "decisions", "uncertainty"):
        assert set(validated[part]) <= set(run.metrics["test"][part]) | {"recalibration"}
    assert validated["threshold"] == run.threshold
    assert (validated["part"], validated["overlaps_development"]) == ("all", False)


def test_the_report_names_nobody_and_needs_nothing(validated, folder):
    written = json.loads((folder / "report" / "external.json").read_text())
    assert written["metrics"] == validated["metrics"]
    page = (folder / "report" / "external.html").read_text()
    assert f"{validated['metrics']['auroc']['value']:.3f}" in page
    assert "Standardised difference" in page
    assert "https://" not in page
    for path in (folder / "report").iterdir():
        assert "MRN7" not in path.read_text()
        assert "MRN8" not in path.read_text()
        assert str(folder) not in path.read_text()


def test_the_page_is_the_report_for_another_site(validated, folder):
    page = (folder / "report" / "external.html").read_text()
    for section in ("performance", "case-mix", "thresholds", "calibration", "uncertainty",
                    "subgroups"):  # fmt: skip
        assert f'<h2 id="{section}">' in page
        assert f'<a href="#{section}">' in page
    figures = ("ROC curve", "Precision and recall", "Decision curve", "Calibration curve",
               "AUROC by group", "Abstention")  # fmt: skip
    assert all(f"<h3>{title}</h3>" in page for title in figures)
    assert "All new samples" in page
    assert "Gaps between groups" in page
    assert "test part" not in page
    data = re.search(r'id="slider-data">(.*?)</script>', page, re.DOTALL)
    (outcome,) = json.loads(data[1])["outcomes"]
    metrics, start = validated["metrics"], outcome["start"]
    assert outcome["thresholds"][start] == validated["threshold"]
    recall = outcome["tp"][start] / outcome["positives"]
    assert recall == pytest.approx(metrics["recall"]["value"])
    assert 1 - outcome["fp"][start] / outcome["negatives"] == pytest.approx(
        metrics["specificity"]["value"]
    )


def test_an_earlier_report_is_not_overwritten(run, away, validated, folder):
    with pytest.raises(RunError, match="holds an earlier report already"):
        evaluate_run_on(run, None, [f"dataset.path={away}"], folder / "report")


def test_development_data_no_longer_at_hand(run, away, folder):
    home = folder / "home.csv"
    home.rename(folder / "moved.csv")
    try:
        mix = evaluate_run_on(run, None, [f"dataset.path={away}"])["case_mix"]
    finally:
        (folder / "moved.csv").rename(home)
    assert mix["membership"] == {
        "auroc": None, "not_estimable": "the development data are not at hand",
    }  # fmt: skip
    assert {each["name"] for each in mix["differences"]} >= {"age", "glucose"}


def test_changed_development_data_are_not_taken_for_the_old(run, away, folder):
    home = folder / "home.csv"
    before = home.read_bytes()
    home.write_bytes(before.replace(b"MRN7000", b"MRN7x00"))
    try:
        mix = evaluate_run_on(run, None, [f"dataset.path={away}"])["case_mix"]
    finally:
        home.write_bytes(before)
    assert "they have changed since" in mix["membership"]["not_estimable"]


def test_sites_of_one_file_can_be_told_apart(run, folder):
    config = config_of(folder, folder / "home.csv")
    result = evaluate_run_on(run, config)
    assert (result["part"], result["n"], result["overlaps_development"]) == ("test", 120, False)
    drop = result["performance_drop"]
    assert drop["reference"] == "valid"  # these rows are the run's own test rows
    assert "flatter the model" in drop["notes"][0]
    own = ["split={by: site, train_sites: [south], test_sites: [north]}"]
    with pytest.raises(DataError, match="nothing is left to validate on"):
        evaluate_run_on(run, config, own)


# Rows that the run was developed on


def written(folder: Path, table: pd.DataFrame, name: str) -> list[str]:
    table.to_csv(folder / f"{name}.csv", index=False)
    return [f"dataset.path={folder / f'{name}.csv'}"]


def test_a_copy_of_the_development_data_is_no_external_validation(run, folder):
    """Shuffled, under other names, in other columns' order: they are the same rows."""
    home = pd.read_csv(folder / "home.csv").sample(frac=1, random_state=0)
    named = home.assign(record=[f"N{i}x{i * i}" for i in range(len(home))])
    moved = named[home.columns[::-1]]
    for name, table in (("shuffled", home), ("renamed", named), ("moved", moved)):
        given = written(folder, table, name)
        with pytest.raises(DataError, match="240 of 240 rows are the run's own") as refused:
            evaluate_run_on(run, None, given)
        assert "nothing is left to validate on" in str(refused.value)
        with pytest.raises(DataError, match="nothing is left to validate on"):
            recalibrate_run(run, "slope", None, given)


def test_the_rows_of_the_run_among_others_are_left_out(run, away, folder, caplog):
    home, new = pd.read_csv(folder / "home.csv"), pd.read_csv(away)
    again = home.sample(40, random_state=1)
    given = written(folder, pd.concat([new, again]).sample(frac=1, random_state=2), "mixed")
    result = evaluate_run_on(run, None, given, folder / "mixed-report")
    alone = evaluate_run_on(run, None, [f"dataset.path={away}"])
    assert (result["n"], result["overlaps_development"]) == (240, True)
    assert result["overlap"]["rows"] == sum(result["overlap"]["reasons"].values()) == 40
    assert result["overlap"]["of"] == 280
    assert result["metrics"]["auroc"]["value"] == pytest.approx(alone["metrics"]["auroc"]["value"])
    assert alone["overlap"]["rows"] == 0
    assert "40 of 280 rows are the run's own" in caplog.text
    assert "40 of 280 rows are the" in (folder / "mixed-report" / "external.html").read_text()
    with pytest.raises(DataError, match="40 of 280 rows are the run's own"):
        recalibrate_run(run, "slope", None, given)


def test_patients_of_the_run_who_come_again_are_left_out(run, away, folder):
    """By their numbers, if the patients are alike: numbers alone may mean others elsewhere."""
    home, new = pd.read_csv(folder / "home.csv"), pd.read_csv(away)
    visits = home.assign(glucose=new["glucose"], died=new["died"], age=(home["age"] + 0.3).round(1))
    given = written(folder, pd.concat([new, visits]), "visits")
    result = evaluate_run_on(run, None, given)
    assert result["overlap"]["reasons"] == {"of a subject of the run": 240}
    others = new.assign(record=home["record"])  # 7000, 7001, …: others elsewhere
    assert evaluate_run_on(run, None, written(folder, others, "others"))["overlap"]["rows"] == 0


def test_development_data_that_are_gone_are_known_by_the_predictions(run, away, folder):
    home, new = pd.read_csv(folder / "home.csv"), pd.read_csv(away)
    named = home.assign(record=[f"N{i}" for i in range(len(home))])
    again = written(folder, pd.concat([new, named.head(60)]), "again")
    (folder / "home.csv").rename(folder / "gone.csv")
    try:
        result = evaluate_run_on(run, None, again)
        alone = evaluate_run_on(run, None, [f"dataset.path={away}"])
    finally:
        (folder / "gone.csv").rename(folder / "home.csv")
    assert 58 <= result["overlap"]["rows"] <= 64
    assert "neither near-duplicates nor other visits" in result["overlap"]["notes"][0]
    assert alone["overlap"]["rows"] == 0


def test_hashed_numbers_of_another_hospital_name_nobody_of_the_run(run, away, folder, monkeypatch):
    monkeypatch.setenv("MEDKIT_SALT", "known to the test")
    home, new = pd.read_csv(folder / "home.csv"), pd.read_csv(away)
    others = written(folder, new.assign(record=home["record"]), "salted")
    visits = home.assign(glucose=new["glucose"], died=new["died"], age=(home["age"] + 0.3).round(1))
    again = written(folder, pd.concat([new, visits]), "salted-visits")
    (folder / "home.csv").rename(folder / "gone.csv")
    try:
        assert evaluate_run_on(run, None, others)["overlap"]["rows"] == 0
        found = evaluate_run_on(run, None, again)["overlap"]["reasons"]
    finally:
        (folder / "gone.csv").rename(folder / "home.csv")
    assert found == {"of a subject of the run": 240}


@pytest.mark.parametrize(("rows", "new"), [(4000, 1000), (3000, 3000), (1000, 20_000)])
def test_risks_that_lie_close_together_are_no_copies(rows, new):
    """Low risks of thousands of patients are equal to 1e-6 now and then, as float32 are."""
    alarms = found = 0
    for seed in range(3):
        random = np.random.default_rng(seed)
        known, mine = (random.beta(1, 9, (n, 1)).astype(np.float32) for n in (rows, new))
        alarms += copies(known, np.arange(rows), mine).any()
        again = np.concatenate([mine, known[: new // 5] + 1e-7])
        found += copies(known, np.arange(rows), again)[new:].mean() > 0.99
    assert (alarms, found) == (0, 3)
    visits = known.repeat(3, axis=0)  # of one patient: no likeness of different ones
    assert copies(visits, np.arange(rows).repeat(3), again)[new:].all()
    coarse = random.choice([0.1, 0.2, 0.3], (new, 1))
    assert not copies(coarse, np.arange(new), coarse).any()


def test_near_duplicates_of_development_rows_are_left_out(breast_cancer_run, tmp_path):
    cohort = breast_cancer()
    table = only_input(cohort).values.assign(diagnosis=cohort.targets)
    table = table.sample(frac=1, random_state=0)
    near = (table.drop(columns="diagnosis") * 1.0005).assign(diagnosis=table["diagnosis"])
    near.to_csv(tmp_path / "near.csv", index=False)
    given = f"dataset={{name: table, path: {tmp_path / 'near.csv'}, target: diagnosis}}"
    overlap = evaluate_run_on(breast_cancer_run, None, [given])["overlap"]
    assert overlap["reasons"]["almost identical to a row of the run"] == overlap["rows"]
    assert 0.85 * 569 < overlap["rows"] < 569
    assert "the others may be copies too" in overlap["notes"][-1]


def test_other_units_are_warned_of(run, folder, caplog):
    table = pd.read_csv(patients(folder / "abroad.csv", seed=5))
    path = folder / "units.csv"
    table.assign(glucose=(table["glucose"] / 18).round(2)).to_csv(path, index=False)
    result = evaluate_run_on(run, None, [f"dataset.path={path}"])
    (warning,) = result["case_mix"]["warnings"]
    assert warning["name"] == "glucose"
    assert "possibly in another unit" in warning["text"]
    assert "glucose: mean" in caplog.text


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"died": "perhaps"}, "did not occur in the training rows"),
        ({"rename": {"age": "years_old"}}, "age"),
        ({"rename": {"died": "outcome"}}, "died"),
    ],
)
def test_other_classes_and_columns_are_refused(run, folder, columns, said):
    table = pd.read_csv(folder / "home.csv").rename(columns=columns.pop("rename", {}))
    path = folder / "other.csv"
    table.assign(**columns).to_csv(path, index=False)
    with pytest.raises(DataError, match=said):
        evaluate_run_on(run, None, [f"dataset.path={path}"])


def test_another_task_or_kind_of_data_is_refused(run, away, folder):
    config = config_of(folder, away, task="regression")
    with pytest.raises(ConfigError, match="task: is 'regression', but the run's task is 'binary'"):
        evaluate_run_on(run, config)
    config = config_of(folder, away, dataset="synthetic_dna", model="cnn")
    with pytest.raises(ConfigError, match="yields tokens, but the run takes tabular"):
        evaluate_run_on(run, config)


def test_one_class_only_leaves_numbers_out(run, folder):
    path = patients(folder / "alive.csv", rows=60, seed=2, died="no")
    result = evaluate_run_on(run, None, [f"dataset.path={path}"])
    assert result["metrics"]["auroc"]["value"] is None
    drop = result["performance_drop"]["metrics"]["auroc"]
    assert (drop["value"], drop["low"]) == (None, None)
    assert drop["not_estimable"] == "undefined in one of them"
    json.dumps(result, allow_nan=False)


# Recalibration


@pytest.fixture(scope="module")
def recalibrated(run, away):
    before = hashes(run.path)
    made = recalibrate_run(run, "slope", None, [f"dataset.path={away}"])
    assert hashes(run.path) == before
    return made


def test_a_recalibrated_run_is_whole_and_new(run, recalibrated):
    verify(recalibrated.path)
    assert recalibrated.path.parent == run.path.parent
    assert recalibrated.path != run.path
    account = recalibrated.metrics["recalibration"]
    assert account["parent"] == run.path.name
    assert run.path.name in recalibrated.config["description"]
    assert recalibrated.environment["recalibrated_from"] == run.path.name
    rows = pd.read_csv(recalibrated.path / "split.csv")
    assert (rows.groupby("subject")["part"].nunique() == 1).all()
    assert rows["part"].value_counts().to_dict() == {"test": 120, "train": 84, "valid": 36}
    assert account["rows"] == 84


def test_its_predictions_are_the_old_ones_on_a_straight_line_of_logits(run, recalibrated, away):
    table = pd.read_csv(away)
    before, after = (each.predict(table)["probability"] for each in (run, recalibrated))
    state = recalibrated.metrics["recalibration"]["state"]
    expected = expit(state["intercept"][0] + state["slope"][0] * logit(before.to_numpy(float)))
    np.testing.assert_allclose(after, expected, atol=1e-5)
    # The outcome is rarer than at home: risks come down.
    assert after.mean() < before.mean() - 0.1


def test_slope_and_intercept_against_statsmodels(run, away, monkeypatch):
    import statsmodels.api as sm

    from medkit.runs.recording import Hasher

    monkeypatch.setenv("MEDKIT_SALT", "known to the test")
    table = pd.read_csv(away).set_index("record")
    named = dict(zip(Hasher()(table.index, "subject"), table.index, strict=True))
    for method in ("intercept", "slope"):
        made = recalibrate_run(run, method, None, [f"dataset.path={away}"])
        rows = pd.read_csv(made.path / "split.csv").query("part == 'train'")
        fitted = table.loc[[named[each] for each in rows["subject"]]]
        x = logit(run.predict(fitted.reset_index())["probability"].to_numpy(float))
        y = (fitted["died"] == "yes").to_numpy(float)
        ones = np.ones((len(y), 1))
        family = sm.families.Binomial()
        if method == "intercept":
            expected = [*sm.GLM(y, ones, family=family, offset=x).fit().params, 1.0]
        else:
            expected = sm.GLM(y, np.column_stack([ones, x]), family=family).fit().params
        state = made.metrics["recalibration"]["state"]
        found = [state["intercept"][0], state["slope"][0]]
        np.testing.assert_allclose(found, expected, atol=2e-3)


def test_the_same_rows_are_tested_before_and_again(recalibrated):
    account, test = recalibrated.metrics["recalibration"], recalibrated.metrics["test"]
    assert account["before"]["n"] == test["n"] == 120
    # A monotone recalibration leaves the ranking, and corrects the calibration.
    before, after = account["before"]["metrics"], test["metrics"]
    assert after["auroc"]["value"] == pytest.approx(before["auroc"]["value"], abs=1e-3)
    assert after["brier"]["value"] < before["brier"]["value"]
    again = evaluate_run_on(Run.open(recalibrated.path))
    assert again["n"] == 120
    assert again["metrics"]["brier"]["value"] == pytest.approx(after["brier"]["value"], abs=1e-6)


def test_a_recalibrated_run_knows_what_its_parent_was_developed_on(recalibrated, folder):
    home = pd.read_csv(folder / "home.csv").sample(frac=1, random_state=3)
    given = written(folder, home.assign(record=[f"Q{i}" for i in range(len(home))]), "parental")
    with pytest.raises(DataError, match="240 of 240 rows are the run's own"):
        evaluate_run_on(Run.open(recalibrated.path), None, given)


def test_refit_trains_the_whole_network_on(run, away):
    weights = [each.copy() for each in run.model.get_weights()]
    made = recalibrate_run(run, "refit", None, [f"dataset.path={away}"])
    assert made.config["training"]["optimizer"]["learning_rate"] == pytest.approx(0.002)
    assert len(made.history) == 30
    changed = [
        not np.array_equal(a, b) for a, b in zip(weights, made.model.get_weights(), strict=True)
    ]
    assert any(changed)
    for a, b in zip(weights, run.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert made.encoder.to_dict() == run.encoder.to_dict()


def test_recalibration_on_a_site_of_the_same_file(run, folder):
    made = recalibrate_run(run, "intercept", config_of(folder, folder / "home.csv"))
    assert made.config["split"]["sites"] == ["south"]
    assert sum(made.metrics[part]["n"] for part in ("train", "valid", "test")) == 120
    again = evaluate_run_on(made)
    found = again["metrics"]["brier"]["value"]
    assert found == pytest.approx(made.metrics["test"]["metrics"]["brier"]["value"], abs=1e-6)


def test_recalibration_is_refused_where_it_would_flatter(run, away, folder):
    with pytest.raises(DataError, match="on data it was not developed on"):
        recalibrate_run(run, "slope")
    config = config_of(folder, folder / "home.csv", split={"by": "subject"})
    with pytest.raises(DataError, match="240 of 240 rows are the run's own"):
        recalibrate_run(run, "slope", config)
    with pytest.raises(ConfigError, match="no method 'slop'; did you mean 'slope'"):
        recalibrate_run(run, "slop", None, [f"dataset.path={away}"])
    few = patients(folder / "few.csv", rows=40, seed=3)
    count = len(list(run.path.parent.iterdir()))
    with pytest.raises(DataError, match=r"10 are needed[\s\S]*more patients are needed"):
        recalibrate_run(run, "slope", None, [f"dataset.path={few}"])
    assert len(list(run.path.parent.iterdir())) == count


def test_a_regression_is_recalibrated_by_a_straight_line(folder):
    random = np.random.default_rng(0)

    def table(name: str, intercept: float, slope: float) -> Path:
        age = random.normal(60, 8, 200)
        sbp = intercept + slope * age + random.normal(0, 3, 200)
        frame = pd.DataFrame({"age": age, "glucose": random.normal(100, 9, 200), "died": sbp})
        frame.assign(record=range(200), hospital="x").to_csv(folder / name, index=False)
        return folder / name

    home, away = table("sbp_home.csv", 40, 1.5), table("sbp_away.csv", 90, 0.8)
    config = document(home, task="regression", split={"by": "subject"})
    run = medkit.train(check_config(config, folder=folder), out=folder / "regression")
    evaluate_run_on(run, None, [f"dataset.path={away}"], folder / "regression-report")
    page = (folder / "regression-report" / "external.html").read_text()
    assert "<h3>Bland–Altman</h3>" in page
    assert "Lower limit of agreement" in page
    assert "<h3>Observed and predicted</h3>" in page
    assert "Operating points" not in page
    made = recalibrate_run(run, "slope", None, [f"dataset.path={away}"])
    state = made.metrics["recalibration"]["state"]
    frame = pd.read_csv(away)
    before, after = (each.predict(frame)["prediction"].to_numpy() for each in (run, made))
    np.testing.assert_allclose(after, state["intercept"][0] + state["slope"][0] * before, rtol=1e-4)
    np.testing.assert_allclose(state["slope"], np.polyfit(before, frame["died"], 1)[0], rtol=0.2)
    before_mae = made.metrics["recalibration"]["before"]["metrics"]["mae"]["value"]
    assert made.metrics["test"]["metrics"]["mae"]["value"] < before_mae / 2
    # Once recalibrated it can be again, and trained on in the units of its loss.
    third = [f"dataset.path={table('sbp_third.csv', 60, 1.2)}"]
    shifted = recalibrate_run(made, "intercept", None, third)
    fourth = [f"dataset.path={table('sbp_fourth.csv', 70, 1.0)}"]
    twice = recalibrate_run(shifted, "intercept", None, fourth)
    assert twice.metrics["recalibration"]["parent"] == shifted.path.name
    errors = [
        recalibrate_run(each, "refit", None, third).metrics["test"]["metrics"]["mae"]["value"]
        for each in (run, made)
    ]
    assert errors[1] < 1.5 * errors[0]


def test_the_command_writes_the_report_and_makes_the_run(run, away, folder, capsys):
    from medkit.cli import main

    given = ["evaluate", str(run.path), "--set", f"dataset.path={away}"]
    assert main([*given, "--report", str(folder / "by-command")]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["part"] == "all"
    assert str(folder / "by-command" / "external.html") in err
    assert (folder / "by-command" / "external.json").is_file()
    assert main([*given, "--recalibrate", "intercept"]) == 0
    out, _ = capsys.readouterr()
    assert Run.open(out.strip()).metrics["recalibration"]["method"] == "intercept"
    assert main([*given, "--recalibrate", "intercepts"]) == 2


def test_a_report_of_the_runs_own_test_part(breast_cancer_run, tmp_path):
    result = evaluate_run_on(breast_cancer_run, report=tmp_path / "report")
    assert "overlap" not in result
    page = (tmp_path / "report" / "external.html").read_text(encoding="utf-8")
    assert "are the run's own" not in page.replace("\n", " ")

"""Times to an event: metrics equal scikit-survival's, and what is wrong with a time is said."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sksurv import metrics as reference
from sksurv.util import Surv

import medkit
from medkit.cli.listing import metrics_table
from medkit.config.experiment import check_config
from medkit.core.errors import ConfigError, DataError, MedkitError
from medkit.core.registry import tasks
from medkit.report.pages.crossval import dots, sentence_of_folds
from medkit.tasks.outcomes import Metric
from medkit.workflows.crossval.table import spread_table

CUTS = (20.0, 50.0, 100.0, 200.0, 300.0)


def followed(rows: int = 300):
    """Days and deaths, and the risk behind them; every fifth time is shared."""
    random = np.random.default_rng(0)
    risk = random.normal(size=rows)
    death = np.ceil(random.exponential(200 * np.exp(-risk)) / 5) * 5
    last = np.ceil(random.exponential(300, rows) / 5) * 5
    return np.column_stack([np.minimum(death, last), death <= last]).astype(float), risk


def test_metrics_are_those_of_scikit_survival():
    y, risk = followed()
    train, test = y[:200], y[200:][y[200:, 0] < y[:200, 0].max()]
    task = tasks.build("survival", cuts=CUTS).fit(train)
    noise = np.random.default_rng(1).normal(size=300) * 0.5
    p = np.exp(-np.asarray(CUTS) / (200 * np.exp(-risk + noise)[:, None]))
    p = p[200:][y[200:, 0] < y[:200, 0].max()]
    found = task.score(test, p)
    time, event = test[:, 0], test[:, 1] == 1
    later = -task.expected_time(p)
    surv = [Surv.from_arrays(each[:, 1] == 1, each[:, 0]) for each in (train, test)]
    assert found["c_index"] == pytest.approx(
        reference.concordance_index_censored(event, time, later)[0]
    )
    assert found["c_index_ipcw"] == pytest.approx(
        reference.concordance_index_ipcw(*surv, later, tau=CUTS[-1])[0]
    )
    assert found["integrated_brier"] == pytest.approx(
        reference.integrated_brier_score(*surv, p, CUTS)
    )


def test_the_likelihood_is_that_of_gensheimer_and_narasimhan():
    task = tasks.build("survival", cuts=(10.0, 20.0, 30.0)).fit(followed()[0])
    # An event in the second interval; censored after the middle of the second; after all.
    y = np.array([[15.0, 1.0], [16.0, 0.0], [40.0, 1.0]])
    assert task.scale(y).tolist() == [
        [1, 0, 0, 0, 1, 0], [1, 1, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0],
    ]  # fmt: skip
    hazard = np.full((3, 3), 0.2, "float32")
    loss = np.asarray(task.keras_loss()(task.scale(y), hazard))
    expected = [-np.log(0.8) - np.log(0.2), -2 * np.log(0.8), -3 * np.log(0.8)]
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    free = np.asarray(task.output_layer()(hazard))
    np.testing.assert_allclose(free[0], [0.8, 0.64, 0.512], rtol=1e-6)
    np.testing.assert_allclose(np.asarray(task.loss_layer()(free)), hazard, rtol=1e-5)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (np.array([1.0, 2.0]), r"shape \(2,\); survival needs a time and an event"),
        (np.array([[3.0, 1.0], [-2.0, 1.0]]), r"'days': 1 values are negative \(first at row 2"),
        (np.array([[3.0, 1.0], [np.nan, 1.0]]), r"missing"),
        (np.array([[1.0, 30.0], [0.0, 40.0]]), r"target 'died': 2 values are neither 0 nor 1"),
        (np.array([[3.0, 0.0], [4.0, 1.0]]), r"1 events among 2 training rows; 10 intervals"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_time_is_said(targets, message):
    with pytest.raises(DataError, match=message):
        tasks.build("survival").fit(targets, ["days", "died"])


@pytest.mark.parametrize("day", [0.0, 5.0])
def test_events_that_all_fall_on_one_day_are_said(day):
    with pytest.raises(DataError, match="60 training events fall on too few times") as caught:
        tasks.build("survival").fit(np.column_stack([np.full(60, day), np.ones(60)]))
    assert "task.cuts" in caught.value.hint


def test_cuts_need_no_event_for_each_default_interval():
    time = np.arange(1.0, 31.0)
    targets = np.column_stack([time, time < 7])
    assert tasks.build("survival", cuts=(5, 20)).fit(targets).cuts_ == [5, 20]


def test_cuts_must_rise():
    with pytest.raises(MedkitError, match=r"must rise, two or more, such as \[30, 90, 365\]"):
        tasks.build("survival", cuts=(30.0, 10.0))


def test_validate_names_cuts_that_do_not_rise(tmp_path):
    given = {"dataset": "whas500", "task": {"name": "survival", "cuts": [90, 30]}, "model": "mlp"}
    with pytest.raises(ConfigError, match="task: cuts must rise, two or more"):
        check_config(given, folder=tmp_path)


def test_a_horizon_beyond_the_cuts_that_were_learned_is_refused():
    y, _ = followed(240)
    last = tasks.build("survival").fit(y).cuts_[-1]
    assert tasks.build("survival", horizon=last).fit(y).horizon_ == last
    beyond = tasks.build("survival", horizon=99999)
    with pytest.raises(
        DataError, match=r"horizon 99999 lies beyond the last cut, \d+.*: set it to"
    ):
        beyond.fit(y)


def test_the_whole_path(tmp_path):
    """A table with a time and an event: train, report, predict again."""
    y, risk = followed(240)
    rows = enumerate(zip(risk, *y.T, strict=True))
    lines = [f"{i},{r:.4f},{days:g},{int(died)}" for i, (r, days, died) in rows]
    (tmp_path / "rows.csv").write_text("\n".join(["id,risk,days,died", *lines]) + "\n")
    document = """
name: waiting
dataset: {name: table, path: rows.csv, target: [days, died], columns: {id: id}}
task: {name: survival, intervals: 5}
model: {name: mlp, hidden_units: [8]}
training: {epochs: 30}
evaluation: {bootstrap: 50}
"""
    (tmp_path / "config.yaml").write_text(document)
    run = medkit.train(tmp_path / "config.yaml", out=tmp_path / "runs")
    test = run.metrics["test"]
    assert list(run.metrics["baselines"]) == ["kaplan_meier", "cox"]
    assert run.metrics["baselines"]["kaplan_meier"]["metrics"]["c_index"]["value"] == 0.5
    assert test["metrics"]["c_index"]["value"] > 0.6
    assert sum(group["n"] for group in test["time_to_event"]["calibration"]) == test["n"]
    assert "the task predicts no probability" in test["decisions"]["not_estimable"]
    assert "no conformal method" in test["uncertainty"]["conformal"]["not_estimable"]
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "Kaplan–Meier with its interval" in page
    assert "Calibration at the horizon" in page
    assert "with the event (" in page
    assert " positive (" not in page
    assert '<th scope="col">Cox</th>' in page
    assert "Kaplan meier" not in page
    assert "of pairs of patients" in page
    headline = json.loads((run.path / "metrics.json").read_text())["headline"]
    assert headline.startswith("C-index")
    assert "; Kaplan–Meier 0.5" in headline
    assert "; Cox 0." in headline
    columns = [str(each.header) for each in metrics_table(run.task, run.metrics).columns]
    assert columns[-2:] == ["Kaplan–Meier", "Cox"]


def test_baselines_are_named_alike_between_folds():
    """In the terminal, in a sentence and below the dots; each where its name stands elsewhere."""
    spread = {"c_index": dict.fromkeys(("mean", "sd", "min", "max"), 0.5)}
    content = {
        "scheme": {"kind": "k-fold", "folds": 1, "repeats": 1, "notes": []},
        "labels": {"c_index": "C-index"},
        "summary": spread,
        "baselines": {"kaplan_meier": {"summary": spread}, "cox": {"summary": spread}},
        "folds": [
            {
                "metrics": {"c_index": {"value": 0.6}},
                "baselines": {"kaplan_meier": {"c_index": 0.5}, "cox": {"c_index": 0.6}},
            }
        ],
    }
    columns = [str(each.header) for each in spread_table(content).columns]
    assert columns[-2:] == ["Kaplan–Meier", "Cox"]
    metric = Metric("c_index", "C-index", "more")
    assert "; Kaplan–Meier 0.5" in sentence_of_folds(content, metric)
    assert "Kaplan–Meier mean 0.500" in dots(content, metric).svg

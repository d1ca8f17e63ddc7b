"""Forecasting: the task, its loss and head, simple forecasts, the epidemic, and the whole path."""

from __future__ import annotations

import inspect
import json
import re
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
from cohorts import only_input
from scipy.optimize import brentq
from sklearn import metrics as sk
from sklearn.linear_model import Ridge

from medkit.config.experiment import Evaluation, check_config
from medkit.core.errors import ConfigError, DataError, MedkitError
from medkit.core.registry import modalities
from medkit.data.cohort import Feature, RawInput
from medkit.data.inputs import Inputs
from medkit.data.parts import Part
from medkit.datasets.synthetic import epidemic
from medkit.evaluation.baselines.learned import PastRows
from medkit.evaluation.forecasting.baselines import (
    _ridge,
    fit_forecast_baselines,
    last_measured,
)
from medkit.evaluation.forecasting.forecasts import forecast_of
from medkit.evaluation.groups.fairness import fairness_gaps
from medkit.evaluation.part_metrics import measure
from medkit.evaluation.rows import EvaluatedRows
from medkit.layers.forecast import ForecastError, ForecastLoss, ForecastScale
from medkit.leakage import audit
from medkit.modalities.encoder import Encoder
from medkit.tasks.forecasting import Forecasting
from medkit.tasks.scores.courses import ahead
from medkit.workflows.external import recalibrate_run

NAMES = ("HR +1 h", "MAP +1 h", "HR +2 h", "MAP +2 h")
LEVELS = (0.1, 0.5, 0.9)


def metric_names(task):
    return tuple(metric.name for metric in task.metrics)


@pytest.fixture(scope="module")
def rows():
    """Targets (60, 4) with gaps, forecasts (60, 12) of a fitted task, 20 subjects."""
    random = np.random.default_rng(3)
    y = random.normal([80, 70, 80, 70], [10, 5, 10, 5], size=(60, 4))
    y[random.random(y.shape) < 0.25] = np.nan
    task = Forecasting(quantiles=LEVELS).fit(y, NAMES)
    centre = random.normal([80, 70, 80, 70], 4, size=(60, 4))
    p = (centre[:, :, None] + np.array([-9.0, 0.0, 9.0])).reshape(60, 12)
    return SimpleNamespace(task=task, y=task.encode(y), p=p, subjects=np.repeat(np.arange(20), 3))


# The task.


@pytest.mark.parametrize(
    ("name", "channel", "step", "hours"),
    [
        ("HR +6 h", "HR", "+6 h", 6.0),
        ("cases +14 d", "cases", "+14 d", 336.0),
        ("a + b +30 min", "a + b", "+30 min", 0.5),
        ("lactate", "lactate", "", None),
        ("HR +6 x", "HR +6 x", "", None),
    ],
)
def test_a_name_says_the_channel_and_how_far_ahead(name, channel, step, hours):
    found = ahead(name)
    assert (found.channel, found.step, found.hours) == (channel, step, hours)


def test_metrics_are_scikit_learns_of_the_measured_values(rows):
    found = rows.task.score(rows.y, rows.p)
    p = rows.p.reshape(60, 4, 3)
    expected = {}
    for channel, columns in (("HR", [0, 2]), ("MAP", [1, 3])):
        y, q = rows.y[:, columns].ravel(), p[:, columns].reshape(-1, 3)
        seen = ~np.isnan(y)
        y, q = y[seen].astype(float), q[seen]
        expected |= {
            f"mae_{channel}": sk.mean_absolute_error(y, q[:, 1]),
            f"rmse_{channel}": sk.root_mean_squared_error(y, q[:, 1]),
            f"pinball_{channel}": np.mean(
                [sk.mean_pinball_loss(y, q[:, i], alpha=a) for i, a in enumerate(LEVELS)]
            ),
            f"coverage_{channel}": np.mean((q[:, 0] <= y) & (y <= q[:, 2])),
            f"width_{channel}": 18.0,
        }
    for metric in ("mae", "rmse", "pinball", "coverage", "width"):
        expected[metric] = (expected[f"{metric}_HR"] + expected[f"{metric}_MAP"]) / 2
    assert set(found) == set(expected) == set(metric_names(rows.task))
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-6), name


def test_a_row_without_any_measured_value_changes_nothing(rows):
    y = np.vstack([rows.y, np.full((1, 4), np.nan, "float32")])
    p = np.vstack([rows.p, np.full((1, 12), 1e6)])
    assert rows.task.score(y, p) == rows.task.score(rows.y, rows.p)


def test_nothing_measured_is_undefined_and_said(rows):
    y = np.full_like(rows.y, np.nan)
    described, _ = measure(
        EvaluatedRows(rows.task, y, rows.p, rows.subjects, None, Evaluation(bootstrap=10), seed=0)
    )
    assert described["metrics"]["mae"]["value"] is None
    assert described["metrics"]["mae"]["low"] is None


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"quantiles": (0.5, 0.1)}, "must rise between 0 and 1"),
        ({"quantiles": (0.1, 0.9)}, "must hold 0.5, the point forecast"),
        ({"quantiles": (0.0, 0.5)}, "must rise between 0 and 1"),
        ({"loss": "mae"}, "'mae' has no quantiles: set quantiles: [], or loss: pinball"),
    ],
)
def test_wrong_parameters(parameters, message):
    with pytest.raises(MedkitError, match=re.escape(message)):
        Forecasting(**parameters)
    given = {key: list(v) if isinstance(v, tuple) else v for key, v in parameters.items()}
    with pytest.raises(ConfigError, match=re.escape(message)):
        check_config(_document(task={"name": "forecasting", **given}), folder=".")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"calibration": "platt"}, "task 'forecasting' has none: remove it"),
        ({"evaluation": {"prevalence": 0.1}}, "task 'forecasting' has none: remove it"),
    ],
)
def test_settings_for_probabilities_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        check_config(_document(task="forecasting", **changes), folder=".")


def _document(**changes):
    return {
        "name": "f", "dataset": {"name": "synthetic_epidemic", "samples": 60},
        "model": {"name": "mlp", "hidden_units": [8]}, **changes,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([[1.0, np.nan], [2.0, np.nan]], "target 'MAP +1 h': never measured in any of the 2"),
        ([[1.0, 5.0], [2.0, 5.0]], "channel 'MAP': all 2 training targets are 5"),
        ([[1.0, 5.0], [2.0, np.inf]], "target 'MAP +1 h': 1 targets are infinite (first at row 2)"),
        ([["a", "b"], ["c", "d"]], "the targets are not all numbers"),
    ],
)
def test_targets_that_cannot_be_learned(targets, message):
    with pytest.raises(DataError, match=re.escape(message)):
        Forecasting().fit(np.array(targets), NAMES[:2])


def test_a_target_must_say_how_far_ahead_it_is():
    with pytest.raises(DataError, match=r"target 'died': the name does not say which channel"):
        Forecasting().fit(np.array([[0.0], [1.0]]), ("died",))


def test_another_number_of_columns_or_outputs_is_refused(rows):
    with pytest.raises(DataError, match="the targets have 3 columns; expected 4"):
        rows.task.encode(np.zeros((5, 3)))
    with pytest.raises(DataError, match="4 outputs for 4 values; expected 12"):
        rows.task.score(rows.y, rows.p[:, :4])


# Loss and head.


def test_the_loss_is_scikit_learns_pinball(rows):
    y = np.nan_to_num(rows.y, nan=75.0)
    expected = np.mean(
        [sk.mean_pinball_loss(y, rows.p[:, i::3], alpha=a) for i, a in enumerate(LEVELS)]
    )
    loss = ForecastLoss("pinball", LEVELS)(y, rows.p.astype("float32"))
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_a_network_of_another_width_is_refused():
    y = np.zeros((2, 4), "float32")
    with pytest.raises(ValueError, match="6 outputs for 4 values with 3 quantiles each"):
        ForecastLoss("pinball", LEVELS)(y, np.zeros((2, 6), "float32"))
    with pytest.raises(ValueError, match="8 outputs, which are not 3 quantiles"):
        ForecastLoss("pinball", LEVELS)(y, np.zeros((2, 8), "float32"))


@pytest.mark.parametrize(
    ("kind", "reference"),
    [
        ("mae", keras.losses.MeanAbsoluteError()),
        ("mse", keras.losses.MeanSquaredError()),
        ("huber", keras.losses.Huber(delta=1.5)),
    ],
)
def test_point_losses_are_keras_own(kind, reference):
    random = np.random.default_rng(0)
    y, p = (random.normal(size=(9, 4)).astype("float32") for _ in range(2))
    found = ForecastLoss(kind, (0.5,), 1.5)(y, p)
    assert float(found) == pytest.approx(float(reference(y, p)), rel=1e-5)


def test_what_was_not_measured_moves_no_weight():
    """Trained on targets with gaps: finite, and outputs of an unmeasured value stay as they are."""
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(4, use_bias=False)(inputs))
    before = model.get_weights()[0].copy()
    model.compile("sgd", ForecastLoss("pinball", (0.5,)), metrics=[ForecastError(1, 0)])
    y = np.ones((8, 4), "float32")
    y[:, 1], y[::2, 2] = np.nan, np.nan
    logs = model.train_on_batch(np.ones((8, 3), "float32"), y, return_dict=True)
    after = model.get_weights()[0]
    assert np.isfinite(after).all()
    assert np.isfinite(list(logs.values())).all()
    assert np.array_equal(after[:, 1], before[:, 1])
    assert (after[:, [0, 2, 3]] != before[:, [0, 2, 3]]).all()


def test_the_watched_error_is_that_of_the_measured_values(rows):
    metric = ForecastError(3, 1)
    metric.update_state(rows.y, rows.p.astype("float32"))
    seen = ~np.isnan(rows.y)
    expected = np.abs(rows.y - rows.p[:, 1::3])[seen].mean()
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)


def test_the_head_gives_units_and_quantiles_in_order(tmp_path):
    layer = ForecastScale([10.0] * 3 + [0.0] * 3, [2.0] * 3 + [1.0] * 3, 3)
    inputs = keras.Input((6,))
    model = keras.Model(inputs, layer(inputs))
    x = np.array([[1.0, 0.0, -1.0, 5.0, 7.0, 6.0]], "float32")
    expected = [[8.0, 10.0, 12.0, 5.0, 6.0, 7.0]]
    np.testing.assert_allclose(model.predict(x, verbose=0), expected)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
    np.testing.assert_allclose(loaded.predict(x, verbose=0), expected)


# Simple forecasts.

X = np.array(
    [
        [[1, 10], [2, 20], [3, np.nan], [np.nan, np.nan]],
        [[5, np.nan], [6, np.nan], [7, np.nan], [8, np.nan]],
    ],
    "float32",
)


def _simple(task, x, y, channels=("HR", "MAP"), kind="series"):
    names = tuple(Feature(name) for name in channels)
    registered = "series" if kind == "irregular" else kind
    modality = modalities.get(registered).factory().fit(RawInput(registered, x, names))
    modality.regular = kind == "series"
    encoder = Encoder({kind: modality})
    frame = pd.DataFrame({"mean": np.nan_to_num(x).reshape(len(x), -1).mean(axis=1)})
    past = PastRows(Inputs({kind: x}), frame)
    fitted, absent = fit_forecast_baselines(task, encoder, past, y, np.arange(len(x)), 0)
    return {each.name: each for each in fitted}, absent, past


def _task(y, names=NAMES, **parameters):
    return Forecasting(**{"quantiles": (), **parameters}).fit(y, names)


def test_the_last_value_is_the_last_measured_one_or_the_training_mean():
    assert last_measured(X[:, :, 0]).tolist() == [3.0, 8.0]
    y = np.array([[1.0, 10.0, 2.0, 20.0], [3.0, 30.0, np.nan, 50.0]])
    task = _task(y)
    fitted, _, past = _simple(task, X, y)
    found = fitted["last_value"].predict(past)
    assert found.tolist() == [[3, 20, 3, 20], [8, 20, 8, 35]]  # means of MAP: 20 and 35
    assert fitted["last_value"].facts["filled"] == 0.25


def test_of_events_without_a_grid_the_last_one_is_repeated():
    events = [[[0, 0, 1], [1, 1, 10], [2, 0, 3], [np.nan] * 3], [[0, 1, 5], *[[np.nan] * 3] * 3]]
    y = np.array([[1.0, 10.0], [3.0, 30.0]])
    task = _task(y, NAMES[:2], step_hours=1)
    fitted, absent, past = _simple(task, np.array(events, "float32"), y, kind="triplets")
    assert fitted["last_value"].predict(past).tolist() == [[3, 10], [2, 5]]
    assert absent["seasonal"] == "the inputs lie on no grid of time steps"


def test_the_seasonal_value_is_that_of_one_season_earlier():
    y = np.array([[1.0, 10.0, 2.0, 20.0], [3.0, 30.0, np.nan, 50.0]])
    task = _task(y, season_hours=3, step_hours=1)
    fitted, absent, past = _simple(task, X, y)
    assert absent == {}
    # Three hours before +1 h is the second of four steps, before +2 h the third; a gap there is
    # filled by the last value, and by the mean where there is none.
    assert fitted["seasonal"].predict(past).tolist() == [[2, 20, 3, 20], [6, 20, 7, 35]]


@pytest.mark.parametrize(
    ("parameters", "channels", "kind", "reason"),
    [
        ({}, ("HR", "MAP"), "series", "the length of an input step is not known"),
        ({"step_hours": 1}, ("HR", "MAP"), "series", "a season of 24 h is longer than the window"),
        ({"step_hours": 1, "season_hours": 2.5}, ("HR", "MAP"), "series",
         "HR +1 h less 2.5 h lies between two input steps"),
        ({"step_hours": 1}, ("HR", "SpO2"), "series", "no input channel is called MAP"),
        ({"step_hours": 1}, ("HR", "MAP"), "irregular", "the inputs lie on no grid of time steps"),
    ],
)  # fmt: skip
def test_why_there_is_no_seasonal_forecast(parameters, channels, kind, reason):
    y = np.array([[1.0, 10.0, 2.0, 20.0], [3.0, 30.0, 4.0, 50.0]])
    fitted, absent, _ = _simple(_task(y, **parameters), X, y, channels, kind)
    assert "seasonal" not in fitted
    assert reason in absent["seasonal"]
    assert ("last_value" in absent) == ("SpO2" in channels)
    assert "linear_regression" in fitted


def test_ridge_of_each_value_is_scikit_learns_on_its_measured_rows():
    random = np.random.default_rng(1)
    x = random.normal(size=(50, 4))
    y = x @ random.normal(size=(4, 3)) + random.normal(size=(50, 3))
    y[:20, 1] = np.nan
    z = (x - x.mean(0)) / x.std(0)
    found = _ridge(x, y, np.array([0.1, 10.0]))(x)
    for k, alpha in enumerate((0.1, 10.0)):
        for column in range(3):
            seen = ~np.isnan(y[:, column])
            expected = Ridge(alpha=alpha).fit(z[seen], y[seen, column]).predict(z)
            np.testing.assert_allclose(found[k, :, column], expected, rtol=1e-6)


def test_simple_quantiles_cover_what_they_say():
    random = np.random.default_rng(2)
    x = random.normal(80, 10, size=(800, 6, 1)).cumsum(axis=1).astype("float32")
    y = x[:, -1] + random.normal(3, 5, size=(800, 2))
    task = _task(y, ("HR +1 h", "HR +2 h"), quantiles=LEVELS)
    fitted, _, past = _simple(task, x, y, ("HR",))
    scores = task.score(task.encode(y), fitted["last_value"].predict(past))
    assert scores["coverage"] == pytest.approx(0.8, abs=0.02)
    quantiles = fitted["last_value"].predict(past).reshape(800, 2, 3)
    assert np.array_equal(quantiles[:, :, 1], np.repeat(x[:, -1], 2, axis=1))
    assert (np.diff(quantiles, axis=2) >= 0).all()


# Step by step.


def test_each_step_has_its_numbers_and_skill(rows):
    naive = np.repeat(rows.task.encode(np.full((60, 4), 75.0)), 3, axis=1)
    settings = Evaluation(bootstrap=60)
    found = forecast_of(
        EvaluatedRows(rows.task, rows.y, rows.p, rows.subjects, None, settings, 0),
        {"last_value": naive},
        {"seasonal": "no season"},
    )
    assert found["nominal"] == pytest.approx(0.8)
    assert found["not_estimable"] == {"seasonal": "no season"}
    assert [row["target"] for row in found["horizon"]] == list(NAMES)
    row = found["horizon"][2]
    seen = ~np.isnan(rows.y[:, 2])
    mae = sk.mean_absolute_error(rows.y[seen, 2], rows.p[seen, 7])
    other = sk.mean_absolute_error(rows.y[seen, 2], np.full(seen.sum(), 75.0))
    assert row["n"] == seen.sum()
    assert row["metrics"]["mae"]["value"] == pytest.approx(mae)
    assert row["metrics"]["mae"]["low"] < mae < row["metrics"]["mae"]["high"]
    assert row["baselines"]["last_value"]["skill"]["value"] == pytest.approx(1 - mae / other)
    again = forecast_of(
        EvaluatedRows(rows.task, rows.y, rows.p, rows.subjects, None, settings, 0),
        {"last_value": naive},
        {"seasonal": "no season"},
    )
    assert again == found
    json.dumps(found, allow_nan=False)


def test_skill_over_channels_does_not_mind_their_units(rows):
    """Heart rate in beats a second instead of a minute changes no skill."""
    naive = np.repeat(np.full((60, 4), 75.0), 3, axis=1)
    factor = np.array([1 / 60, 1, 1 / 60, 1])
    task = Forecasting(quantiles=LEVELS).fit(rows.y * factor, NAMES)
    settings = Evaluation(bootstrap=0)
    args = (rows.subjects, None, settings, 0)
    one = forecast_of(EvaluatedRows(rows.task, rows.y, rows.p, *args), {"last_value": naive})
    wide = np.repeat(factor, 3)
    scaled = EvaluatedRows(task, rows.y * factor, rows.p * wide, *args)
    other = forecast_of(scaled, {"last_value": naive * wide})
    skill = other["skill"]["last_value"]["value"]
    assert skill == pytest.approx(one["skill"]["last_value"]["value"], rel=1e-5)


def test_a_value_never_measured_and_one_subject(rows):
    y = rows.y.copy()
    y[:, 1] = np.nan
    found = forecast_of(
        EvaluatedRows(rows.task, y, rows.p, np.zeros(60), None, Evaluation(bootstrap=30), 0),
        {"last_value": rows.p},
    )
    row = found["horizon"][1]
    assert row["not_estimable"] == "not measured in these rows"
    assert row["metrics"]["mae"] == {"value": None, "low": None, "high": None}
    assert found["resamples"] == 0
    assert found["skill"]["last_value"]["value"] == 0.0


def test_gaps_between_groups_are_of_the_measured_values(rows):
    sex = np.where(rows.subjects < 12, "female", "male").astype(object)
    samples = pd.DataFrame({"subject": rows.subjects, "sex": sex})
    settings = Evaluation(bootstrap=40, subgroups=("sex",), minimum_group=3)
    found = fairness_gaps(
        EvaluatedRows(rows.task, rows.y, rows.p, rows.subjects, None, settings, 0, samples)
    )["sex"]["per_output"]["HR"]["male"]["mean_absolute_error"]
    off = np.abs(rows.y - rows.p[:, 1::3])[:, [0, 2]]
    expected = np.nanmean(off[sex == "male"]) - np.nanmean(off[sex == "female"])
    assert found["value"] == pytest.approx(expected, rel=1e-6)


# The epidemic.


@pytest.mark.parametrize("r0", [1.4, 2.0, 3.0])
def test_the_epidemic_ends_as_kermack_and_mckendrick_say(r0):
    """Final size: the share z that falls ill solves z = 1 - exp(-R0 z)."""
    ill = epidemic.daily_infections(np.array([r0]), np.array([1e-6]), 1500, 4.0, 6.0).sum()
    expected = brentq(lambda z: 1 - np.exp(-r0 * z) - z, 1e-3, 1)
    assert ill == pytest.approx(expected, rel=1e-3)


def test_the_epidemic_begins_at_the_known_rate():
    """Exponential growth at r with (1 + r/σ)(1 + r/γ) = R0 (Anderson and May 1991)."""
    ill = epidemic.daily_infections(np.array([2.5]), np.array([1e-9]), 60, 4.0, 6.0)[0]
    rate = brentq(lambda r: (1 + 4 * r) * (1 + 6 * r) - 2.5, 0, 2)
    assert np.log(ill[50] / ill[40]) / 10 == pytest.approx(rate, rel=1e-2)


def test_below_one_the_epidemic_dies_out():
    """While hardly anyone is immune, every case leads to 1 / (1 - R0) in all."""
    ill = epidemic.daily_infections(np.array([0.7]), np.array([1e-5]), 600, 4.0, 6.0)[0]
    assert ill.sum() == pytest.approx(1e-5 / 0.3, rel=1e-3)
    assert ill[-1] < 1e-6 * ill[0]


def test_counts_lie_around_the_truth_and_weekends_report_less():
    cohort = epidemic.synthetic_epidemic(samples=400, seed=4)
    truth = epidemic._draw(400, 4).expected[:, 28:]
    assert cohort.targets.sum() / truth.sum() == pytest.approx(1, abs=0.02)
    spread = ((cohort.targets - truth) ** 2 - truth).mean() / (truth**2).mean()
    assert spread == pytest.approx(1 / epidemic.DISPERSION, rel=0.15)
    days = cohort.samples["time"].to_numpy().astype("datetime64[D]")[:, None] + np.arange(14)
    weekday = (days.astype(int) + 3) % 7  # 1970-01-01 was a Thursday
    assert truth[weekday == 6].mean() < 0.7 * truth[weekday == 0].mean()


def test_two_forecasts_of_one_epidemic_hold_the_same_counts():
    cohort = epidemic.synthetic_epidemic(samples=600, seed=1)
    x, known = only_input(cohort).values[:, :, 0], {}
    both = 0
    for row, (subject, time) in enumerate(
        zip(cohort.samples["subject"], cohort.samples["time"], strict=True)
    ):
        counts = np.concatenate([x[row], cohort.targets[row]])
        for day, value in enumerate(counts):
            if np.isnan(value):
                continue
            key = (subject, time + pd.Timedelta(days=day - 28))
            both += key in known
            assert known.setdefault(key, value) == value
    assert both > 100


def test_the_stated_best_score_is_the_computed_one():
    text = " ".join(inspect.getdoc(epidemic.synthetic_epidemic).split())
    stated = re.search(
        r"Best reachable.*?MAE (\S+) and RMSE (\S+) cases/day, pinball loss (\S+), coverage of the "
        r"90 % interval (\S+)\. ",
        text,
    )
    best = epidemic.best_score()
    computed = [f"{best[name]:.2f}" for name in ("mae", "rmse", "pinball", "coverage")]
    assert list(stated.groups()) == computed


# The whole path.


@pytest.fixture(scope="module")
def run(run_once):
    document = _document(
        dataset={"name": "synthetic_epidemic", "samples": 120, "horizon": 3},
        task={"name": "forecasting", "season_hours": 168, "step_hours": 24},
        training={"epochs": 2}, evaluation={"bootstrap": 20, "subgroups": ["setting"]},
    )  # fmt: skip
    return run_once("forecasting", check_config(document, folder="."))


def test_a_run_measures_every_step_beside_the_simple_forecasts(run):
    test = run.metrics["test"]
    assert list(test["metrics"]) == ["mae", "rmse", "pinball", "coverage", "width"]
    assert [row["step"] for row in test["forecast"]["horizon"]] == ["+1 d", "+2 d", "+3 d"]
    assert list(run.metrics["baselines"]) == ["last_value", "seasonal", "linear_regression"]
    for name, described in run.metrics["baselines"].items():
        difference = test["metrics"]["mae"]["value"] - described["metrics"]["mae"]["value"]
        assert described["difference"]["value"] == pytest.approx(difference), name
        skill = test["forecast"]["skill"][name]["value"]
        assert skill == pytest.approx(-difference / described["metrics"]["mae"]["value"])
    assert "coverage" in test["calibration"]["not_estimable"]
    assert "quantiles" in test["uncertainty"]["entropy"]["not_estimable"]
    assert "no conformal method" in test["uncertainty"]["conformal"]["not_estimable"]


def test_the_gate_leaves_out_what_does_not_apply(run):
    gate = run.metrics["leakage"]
    assert "near_duplicates" in gate["checked"]
    assert not {"predictive_feature", "copied_target"} & set(gate["checked"])
    assert any("the past of a channel" in note for note in gate["notes"])


def test_rows_have_named_columns_and_rising_quantiles(run):
    table = pd.read_parquet(run.path / "predictions.parquet")
    names = [f"quantile_0.05_cases +{d} d" for d in (1, 2, 3)]
    assert {*names, "prediction_cases +2 d", "target_cases +3 d"} <= set(table)
    assert "last_value.prediction_cases +1 d" in table
    for day in (1, 2, 3):
        each = [f"{kind}_cases +{day} d" for kind in ("quantile_0.05", "prediction",
                                                      "quantile_0.95")]  # fmt: skip
        assert (np.diff(table[each].to_numpy(), axis=1) >= 0).all()
    test = table[table["part"] == "test"]
    off = np.abs(test["target_cases +1 d"] - test["prediction_cases +1 d"]).mean()
    row = run.metrics["test"]["forecast"]["horizon"][0]
    assert row["metrics"]["mae"]["value"] == pytest.approx(off, rel=1e-5)


def test_the_model_loads_without_the_loss_and_predicts_in_units(run):
    model = keras.saving.load_model(run.path / "model.keras", compile=False, safe_mode=True)
    cohort = epidemic.synthetic_epidemic(samples=120, horizon=3)
    found = model.predict(dict(run.encoder.encode(cohort.inputs).arrays), verbose=0)
    assert found.shape == (120, 9)
    frame = run.predict(only_input(cohort))
    np.testing.assert_allclose(frame["prediction_cases +1 d"], found[:, 1], rtol=1e-5)
    assert 50 < found[:, 1].mean() < 1500


def test_the_report_draws_the_forecast_and_names_nobody(run):
    page = (run.path / "report.html").read_text()
    assert '<h2 id="forecast">Forecast by step ahead</h2>' in page
    for title in ("cases: a close one", "cases: a poor one", "cases: error by step ahead",
                  "cases: coverage by step ahead"):  # fmt: skip
        assert title in page
    assert "there is no threshold" in page
    whole = page + (run.path / "metrics.json").read_text()
    assert not re.search(r"\b[ER]0\d{4}\b", whole)


def test_only_refitting_updates_a_forecast(run):
    with pytest.raises(ConfigError, match="'slope' is not for the task forecasting; refit is"):
        recalibrate_run(run, "slope")


def test_explanations_name_the_outputs(run):
    assert run.task.output_names[:3] == ["cases +1 d (5 %)", "cases +1 d", "cases +1 d (95 %)"]
    assert run.metrics["explanations"]["importance"]["metric"] == "mae"


def test_audit_of_a_forecast_with_gaps_in_its_targets(run):
    cohort = epidemic.synthetic_epidemic(samples=120, horizon=3)
    y = run.task.encode(np.where(np.arange(3) == 1, np.nan, cohort.targets))
    inputs = run.encoder.encode(cohort.inputs)
    half = cohort.samples["subject"].to_numpy() < "R00015"
    parts = {
        name: Part(cohort, inputs, y).take(np.flatnonzero(rows))
        for name, rows in (("train", half), ("test", ~half))
    }
    found = audit(parts, run.encoder, run.task, check_config(_document(task="forecasting"),
                                                              folder=".").split)  # fmt: skip
    assert "predictive_feature" not in {each.name for each in found}

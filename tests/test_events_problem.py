"""The declared prediction problem: index event, gap, target window, censoring, early warning."""

from __future__ import annotations

import itertools
import re
import shutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohorts import only_input
from merging import merged

import medkit
from medkit.config.experiment import load_config
from medkit.core.errors import ConfigError, DataError, MedkitError
from medkit.core.registry import datasets
from medkit.data.cohort import Feature, RawInput
from medkit.datasets.events.events import events
from medkit.datasets.events.grid.featurise import Window
from medkit.datasets.events.windows import elapsed, end_after, start_before
from medkit.modalities.series import Series
from medkit.workflows.synthesize import synthesize

NAN = np.nan
START = pd.Timestamp("2024-03-30 22:00")


def write(path, text):
    path.write_text(text)
    return path


def only(cohort):
    return only_input(cohort).values


def names(cohort):
    return [feature.name for feature in only_input(cohort).features]


@pytest.fixture(params=["polars", "duckdb"])
def engine(request):
    pytest.importorskip(request.param, reason=f"needs the extra '{request.param}'")
    return request.param


# The same events in every layout.

VITALS = ("HR", "MAP", "Lactate")


def random_table(seed=0, stays=30):
    """Long events in hours on a quarter-hour clock, 'SURGERY' and 'SHOCK' without a value."""
    random = np.random.default_rng(seed)
    rows = []
    for stay in range(stays):
        length = random.uniform(4, 40)
        for name, count in (("HR", 40), ("MAP", 20), ("Lactate", 6)):
            for time in random.uniform(0, length, random.integers(1, count)):
                rows.append((stay, time, name, round(float(random.normal(80, 9)), 1)))
        rows.append((stay, 0.0, "HR", 70.0))
        for name, chance in (("SURGERY", 0.8), ("SHOCK", 0.5)):
            if random.random() < chance:
                for time in random.uniform(0, length, random.integers(1, 4)):
                    rows.append((stay, time, name, NAN))
    frame = pd.DataFrame(rows, columns=["stay", "time", "variable", "value"])
    frame["time"] = (frame["time"] * 4).round() / 4
    frame = frame.drop_duplicates(["stay", "time", "variable"])  # a wide table has one value
    return frame.sample(frac=1, random_state=seed).reset_index(drop=True)


def in_layout(frame, folder, layout):
    """The events written in a layout, and the parameters that read them."""
    stamped = START + pd.to_timedelta(frame["time"], unit="h")
    if layout == "long.csv":
        frame.to_csv(folder / "long.csv", index=False)
        return {"path": folder / "long.csv"}
    if layout == "long.parquet":
        frame.to_parquet(folder / "long.parquet")
        return {"path": folder / "long.parquet"}
    if layout == "zoned":
        frame.assign(time=stamped.dt.tz_localize("UTC")).to_parquet(folder / "zoned.parquet")
        return {"path": folder / "zoned.parquet"}
    if layout == "meds":
        (folder / "meds" / "data").mkdir(parents=True)
        meds = {"stay": "subject_id", "variable": "code", "value": "numeric_value"}
        frame.assign(time=stamped).rename(columns=meds).to_parquet(
            folder / "meds" / "data" / "0.parquet"
        )
        return {"path": folder / "meds", "source": {"layout": "meds"}}
    flagged = frame.assign(value=frame["value"].fillna(1.0))
    wide = flagged.groupby(["stay", "time", "variable"])["value"].mean().unstack().reset_index()
    if layout == "wide.parquet":
        wide.to_parquet(folder / "wide.parquet")
        return {"path": folder / "wide.parquet", "source": {"layout": "wide"}}
    (folder / "psv").mkdir()
    for stay, rows in wide.groupby("stay"):
        rows.drop(columns="stay").to_csv(folder / "psv" / f"{stay}.psv", sep="|", index=False)
    return {"path": folder / "psv", "source": {"layout": "wide"}}


def reference(frame, *, index, hours, gap, target_hours, which="first", prevalent=True):
    """Inputs (mean an hour) and label of each stay, worked out stay by stay from the definition."""
    inputs, labels, why = {}, {}, {}
    for stay, rows in frame.groupby("stay"):
        if index == "event":
            found = rows[rows["variable"] == "SURGERY"]["time"]
            if found.empty:
                why[stay] = "no index event"
                continue
            end = found.min() if which == "first" else found.max()
            start = end - hours
        else:
            start, end = rows["time"].min(), rows["time"].min() + hours
        seen = rows[(rows["time"] >= start) & (rows["time"] < end)]
        vitals = seen[seen["variable"].isin(VITALS)]
        if vitals.empty:
            why[stay] = "no events"
            continue
        begin, until = end + gap, end + gap + target_hours
        shock = rows[rows["variable"] == "SHOCK"]["time"]
        within = ((shock > begin) & (shock <= until)).any()
        if prevalent and (shock <= begin).any():
            why[stay] = "target event before the target window"
        elif not within and rows["time"].max() < until:
            why[stay] = "observation ends before the target window does"
        else:
            grid = np.full((int(hours), 3), NAN, dtype="float32")
            steps = np.floor(vitals["time"] - start).astype(int)
            for (step, name), values in vitals.groupby([steps, "variable"])["value"]:
                grid[step, VITALS.index(name)] = values.mean()
            inputs[str(stay)], labels[str(stay)] = grid, int(within)
    return inputs, labels, why


FIRST = ({"event": "SURGERY"}, {"index": "event"})
LAST = ({"event": "SURG", "which": "last"}, {"index": "event", "which": "last"})
BEGIN = ("first_event", {"index": "first_event"})


@pytest.mark.parametrize(
    ("layout", "index", "settings"),
    [
        *(("long.csv", *each) for each in (FIRST, LAST, BEGIN)),
        *((layout, *FIRST) for layout in ("zoned", "meds")),
        *((layout, *LAST) for layout in ("long.parquet", "wide.parquet")),
        ("psv", *BEGIN),
    ],
)
def test_index_and_target_window_in_every_layout(tmp_path, engine, layout, index, settings):
    frame = random_table()
    grids, labels, why = reference(frame, hours=6, gap=1.5, target_hours=8, **settings)
    cohort = events(
        **merged(
            in_layout(frame, tmp_path, layout),
            {
                "window": {"index": index, "hours": 6, "gap_hours": 1.5},
                "source": {"engine": engine},
                "variables": VITALS,
                "target": {"event": "SHOCK", "hours": 8},
            },
        )
    )
    assert sorted(cohort.samples.index) == sorted(labels)
    assert 0 < cohort.targets.sum() < len(cohort)
    for row, stay in enumerate(cohort.samples.index):
        assert cohort.targets[row] == labels[stay]
        np.testing.assert_allclose(only(cohort)[row], grids[stay], rtol=1e-6)
    assert cohort.source.dropped == pd.Series(why).value_counts().to_dict()
    assert cohort.source.rows_read == 30
    if layout == "meds":
        assert cohort.samples["subject"].tolist() == list(cohort.samples.index)


INDEXED = {
    "window": {"index": {"event": "SURGERY"}, "gap_hours": 2},
    "target": {"event": "SHOCK", "hours": 5},
}


@pytest.mark.parametrize(
    ("other", "settings"),
    [
        ("duckdb", INDEXED),
        ("duckdb", {"window": {"index": "every_step"}, "target": {"event": "SHOCK", "hours": 5}}),
        ("duckdb", {"target": {"course": ("HR", "MAP"), "hours": 4}}),
        ("duckdb", {"target": {"value": "Lactate", "hours": 24}}),
        ("spark", INDEXED),
    ],
)
def test_engines_agree_bit_for_bit(tmp_path, settings, other):
    pytest.importorskip({"spark": "pyspark.sql"}.get(other, other))
    if other == "spark" and shutil.which("java") is None:
        pytest.skip("PySpark needs Java 17")
    given = in_layout(random_table(stays=8), tmp_path, "zoned")
    given |= merged({"window": {"hours": 6}, "variables": VITALS}, settings)
    one, two = events(**given), events(**merged(given, {"source": {"engine": other}}))
    assert only_input(one).values.tobytes() == only_input(two).values.tobytes()
    assert one.targets.tobytes() == two.targets.tobytes()
    pd.testing.assert_frame_equal(one.samples, two.samples)
    assert one.source == two.source


# Nothing at the index time or later enters.


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("clock", ["hours", "timestamps"])
def test_nothing_at_the_index_time_or_later_enters(tmp_path, seed, clock):
    """Whatever happens from the index event on, the inputs are the same, byte by byte.

    Times with many digits: an hour's difference to them is rounded, one way or the other.
    """
    random = np.random.default_rng(seed)
    frame = random_table(seed, stays=12)
    frame["time"] += random.uniform(0, 1, len(frame)).round(random.integers(1, 9))
    ends = frame[frame["variable"] == "SURGERY"].groupby("stay")["time"].min()
    frame = frame[frame["stay"].isin(ends.index)]
    later = frame["time"] >= frame["stay"].map(ends)
    changed = frame.copy()
    changed.loc[later, "value"] = 999.0
    # What happened at the index time and after, now all at the index time itself.
    moved = later & (random.random(len(frame)) < 0.5)
    changed.loc[moved, "time"] = changed["stay"].map(ends)[moved]
    more = pd.DataFrame(
        {"stay": ends.index, "time": ends.to_numpy(), "variable": "HR", "value": 1e6}
    )
    changed = pd.concat([changed[~later | (random.random(len(frame)) < 0.8)], more])
    changed = pd.concat([changed, frame[frame["variable"] == "SURGERY"]])
    found = []
    for number, table in enumerate((frame, changed)):
        if clock == "timestamps":
            table = table.assign(time=START + pd.to_timedelta(table["time"], unit="h"))
        path = tmp_path / f"{number}.parquet"
        table.to_parquet(path)
        for hours, form in ((0.3, "grid"), (48.1, "grid"), (7.3, "triplets")):
            cohort = events(
                path=path,
                window={"index": {"event": "SURGERY"}, "hours": hours, "step_hours": 0.1},
                variables=VITALS,
                form=form,
            )
            found.append((list(cohort.samples.index), only(cohort).tobytes()))
    assert found[:3] == found[3:]


@pytest.mark.parametrize("at", [1.1, 17.3, 48.7, 1e6 + 0.1])
def test_an_event_at_the_very_index_time_is_out_and_one_just_before_is_in(tmp_path, at):
    """48.7 - (48.7 - 48.1) is less than 48.1 in floating point."""
    before = at - 1e-6
    for hours in (0.1, 0.3, 1.0, 48.1):
        frame = pd.DataFrame(
            {
                "stay": "1", "time": [before, at, at], "variable": ["HR", "HR", "SURGERY"],
                "value": [80.0, 999, NAN],
            }
        )  # fmt: skip
        frame.to_parquet(tmp_path / "long.parquet")
        cohort = events(
            path=tmp_path / "long.parquet",
            window={"index": {"event": "SURGERY"}, "hours": hours, "step_hours": hours},
            variables={"aggregate": "max"},
        )
        assert only(cohort).ravel().tolist() == [80]


@pytest.mark.parametrize("step", [0.1, 0.25, 1.0])
def test_no_prediction_at_an_hour_sees_that_hour(tmp_path, step):
    """Each window of index: every_step is unchanged by what happens at its end or later."""
    random = np.random.default_rng(1)
    times = np.sort(np.append(random.uniform(0, 3, 40), np.arange(31) / 10))
    frame = pd.DataFrame({"stay": 1, "time": times, "variable": "HR", "value": 1.0})
    frame["value"] = np.arange(len(frame), dtype=float)
    settings = {
        "window": {"index": "every_step", "hours": 1, "step_hours": step},
        "variables": {"aggregate": "max"},
    }
    frame.to_parquet(tmp_path / "long.parquet")
    whole = events(path=tmp_path / "long.parquet", **settings)
    assert len(whole) == int(np.floor(frame["time"].max() / step))
    for row, hour in list(enumerate(whole.samples["hour"]))[:: round(0.4 / step) or 1]:
        cut = frame.assign(value=frame["value"].where(frame["time"] < hour - 1e-9, 1e6))
        cut.to_parquet(tmp_path / "long.parquet")
        other = events(path=tmp_path / "long.parquet", **settings)
        assert other.samples.index[row] == whole.samples.index[row]
        assert only(other)[row].tobytes() == only(whole)[row].tobytes()


# Targets from the events.

LONG = """stay,time,variable,value
1,0,HR,80
1,1,HR,82
1,2,HR,84
1,2.5,HR,86
1,3,MAP,70
1,5,HR,90
1,9,END,
2,0,HR,60
2,3.5,Lactate,2
2,3.9,Lactate,5
2,9,END,
3,0,HR,65
3,1,MAP,60
3,9,END,
"""


@pytest.fixture
def long(tmp_path):
    return write(tmp_path / "long.csv", LONG)


def test_future_values_step_by_step(long):
    cohort = events(
        path=long,
        window={"hours": 2},
        target={"course": ("HR", "MAP"), "hours": 3},
        variables={"include": ("HR",), "aggregate": {"HR": "max", "*": "mean"}},
    )
    assert cohort.target_names == (
        "HR +1 h", "MAP +1 h", "HR +2 h", "MAP +2 h", "HR +3 h", "MAP +3 h"
    )  # fmt: skip
    assert cohort.targets.dtype == np.float32
    # What is measured at the prediction (hour 2) is no input, but of the first step after it.
    np.testing.assert_array_equal(cohort.targets, [[86, NAN, NAN, 70, NAN, NAN]])
    np.testing.assert_array_equal(only(cohort)[0, :, 0], [80, 82])
    assert cohort.source.dropped == {"nothing measured in the target window": 2}
    assert cohort.source.label == "HR, MAP every 1 h in the 3 h after the prediction"
    later = events(
        path=long, window={"hours": 2, "gap_hours": 1}, target={"course": ("MAP",), "hours": 1}
    )
    np.testing.assert_array_equal(later.targets, [[70]])
    assert later.target_names == ("MAP +2 h",)


def test_future_steps_of_half_an_hour(long):
    cohort = events(
        path=long, window={"hours": 2, "step_hours": 0.5}, target={"course": ("HR",), "hours": 1}
    )
    assert cohort.target_names == ("HR +0.5 h", "HR +1 h")
    np.testing.assert_array_equal(cohort.targets, [[84, 86]])


@pytest.mark.parametrize(
    ("way", "above", "value"),
    [("max", None, 5.0), ("min", None, 2.0), ("mean", None, 3.5), ("last", None, 5.0),
     ("sum", None, 7.0), (None, None, 5.0), ("max", 4, 1), ("max", 5, 0)],
)  # fmt: skip
def test_a_value_of_the_target_window(long, way, above, value):
    asked = {"value": "Lactate", "hours": 4} | ({} if way is None else {"aggregate": way})
    cohort = events(path=long, window={"hours": 2}, target={**asked, "above": above})
    assert cohort.targets.tolist() == [value]
    assert cohort.target_names == (f"Lactate {way or 'max'}",)
    assert list(cohort.samples.index) == ["2"]
    assert cohort.source.dropped == {"nothing measured in the target window": 2}


def test_ranges_hold_for_targets_too(long):
    cohort = events(
        path=long,
        window={"hours": 2},
        target={"value": "Lactate", "hours": 4},
        variables=("HR",),
        values={"ranges": {"Lactate": (0, 4)}},
    )
    assert cohort.targets.tolist() == [2.0]


# Censoring and prevalent cases.

COURSES = """stay,time,variable,value
before,0,HR,80
before,1,SEPSIS,
before,30,HR,80
at,0,HR,80
at,6,SEPSIS,
at,30,HR,80
within,0,HR,80
within,8,SEPSIS,
edge,0,HR,80
edge,16,SEPSIS,
late,0,HR,80
late,16.5,SEPSIS,
short,0,HR,80
short,12,HR,80
whole,0,HR,80
whole,16,HR,80
twice,0,HR,80
twice,2,SEPSIS,
twice,9,SEPSIS,
"""


@pytest.fixture
def courses(tmp_path):
    return write(tmp_path / "long.csv", COURSES)


def labels_of(cohort):
    return dict(zip(cohort.samples.index, cohort.targets.tolist(), strict=True))


PLAIN = {"within": 1, "edge": 1, "late": 0, "whole": 0}


@pytest.mark.parametrize(
    ("settings", "expected", "dropped"),
    [
        ({}, PLAIN, (3, 1)),
        ({"target": {"censoring": "negative"}}, PLAIN | {"short": 0}, (3, 0)),
        ({"target": {"prevalent": "keep"}}, PLAIN | {"before": 0, "at": 0, "twice": 1}, (0, 1)),
    ],
)
def test_censored_and_prevalent_samples(courses, engine, settings, expected, dropped, caplog):
    cohort = events(
        **merged(
            {
                "path": courses,
                "window": {"hours": 6},
                "target": {"event": "SEPSIS", "hours": 10},
                "source": {"engine": engine},
            },
            settings,
        )
    )
    assert labels_of(cohort) == expected
    found = dict(zip(("target event before the target window",
                      "observation ends before the target window does"), dropped,
                     strict=True))  # fmt: skip
    assert cohort.source.dropped == {why: count for why, count in found.items() if count}
    assert cohort.source.label == "1 if 'SEPSIS' occurs in the 10 h after the prediction"
    # Who is not followed to the end is counted, with the direction in which that biases risks.
    (note,) = [each for each in cohort.source.notes if "end before the target window does" in each]
    left_out = settings.get("target", {}).get("censoring") != "negative"
    count = len(cohort) + left_out
    assert note.startswith(f"1 of {count} samples ({1 / count:.0%}) end before")
    assert ("risks are too high for patients as they come" in note) == left_out
    assert ("risks are too low where it happens unseen" in note) != left_out
    assert "discharged alive, say, which competes with it" in note
    assert f"censoring: {note}" in caplog.text
    # A code of the target that no window can hold is no channel, unless it may lie in one.
    assert names(cohort) == ["HR"]


def test_the_discharge_ends_the_observation(courses, tmp_path):
    text = "stay,out\nwithin,7\nlate,15\nshort,20\nedge,40\n"
    labels = write(tmp_path / "labels.csv", text)
    cohort = events(
        path=courses,
        labels=labels,
        window={"hours": 6},
        target={"event": "SEPSIS", "hours": 10},
        columns={"discharge": "out"},
    )
    # 'within' leaves before its event, 'late' before its window ends; 'short' stays on.
    assert labels_of(cohort) == {"short": 0, "edge": 1}
    assert cohort.source.dropped["observation ends before the target window does"] == 2
    assert cohort.source.dropped["no label"] == 4


def test_an_onset_column(courses, tmp_path):
    text = "stay,onset\nwithin,8\nlate,17\nshort,\nwhole,\nbefore,1\n"
    labels = write(tmp_path / "labels.csv", text)
    settings = {"path": courses, "labels": labels, "window": {"hours": 6}, "target": {"hours": 10}}
    cohort = events(**merged(settings, {"target": {"onset": "onset"}}))
    assert labels_of(cohort) == {"within": 1, "late": 0, "whole": 0}
    write(labels, text.replace("late,17", "late,2024-01-01 10:00").replace("8", "2024-01-02"))
    with pytest.raises(DataError, match=r"column 'onset' has \d values that are not times"):
        events(**merged(settings, {"target": {"onset": "onset"}}))
    with pytest.raises(DataError, match=r"target\.onset is a column of labels: it needs labels"):
        events(**merged({**settings, "labels": None}, {"target": {"onset": "onset"}}))


def test_time_zones_of_onsets_are_not_mixed(tmp_path):
    given = in_layout(random_table(stays=3), tmp_path, "zoned")
    labels = write(tmp_path / "labels.csv", "stay,onset\n0,2024-03-31 02:00\n1,\n2,\n")
    with pytest.raises(DataError) as error:
        events(
            **merged(
                given,
                {
                    "labels": labels,
                    "target": {"onset": "onset", "hours": 3},
                    "window": {"hours": 2},
                },
            )
        )
    assert "column 'onset' has no time zone where the events' times have a time zone" in str(
        error.value
    )


def test_stays_that_end_before_the_prediction_are_counted(courses, tmp_path):
    labels = write(tmp_path / "labels.csv", "stay,died,out\nwithin,0,9\nwhole,1,5\nlate,0,\n")
    cohort = events(
        path=courses,
        labels=labels,
        target="died",
        columns={"discharge": "out"},
        window={"hours": 6},
        variables=("HR",),
    )
    assert len(cohort) == 3
    assert cohort.source.notes[-1] == "1 stays end before what is predicted begins"


def test_times_that_run_backwards(courses, tmp_path):
    labels = write(tmp_path / "labels.csv", "stay,died,into,out\nwhole,1,2024-01-02,2024-01-01\n")
    with pytest.raises(DataError, match=r"1 stays end before they begin \(first at row 1\)"):
        events(
            path=courses,
            labels=labels,
            target="died",
            columns={"admission": "into", "discharge": "out"},
        )


# Index events.


def test_an_index_event_gives_the_time_of_prediction(tmp_path):
    given = in_layout(random_table(), tmp_path, "meds")
    cohort = events(
        **merged(
            given,
            {
                "window": {"index": {"event": "^SURG"}, "hours": 6},
                "target": {"event": "SHOCK", "hours": 12},
                "variables": "^(HR|MAP)$",
            },
        )
    )
    shard = pd.read_parquet(given["path"] / "data" / "0.parquet")
    first = shard[shard["code"] == "SURGERY"].groupby("subject_id")["time"].min()
    expected = first[cohort.samples.index.astype(int)].to_numpy()
    assert (cohort.samples["time"].to_numpy() == expected).all()
    assert cohort.source.dropped["no index event"] > 0
    new = events(
        **merged(
            given, {"window": {"index": {"event": "^SURG"}, "hours": 6}, "variables": "^(HR|MAP)$"}
        )
    )
    assert len(new) > len(cohort)
    assert new.targets is None
    assert list(new.samples.columns) == []


def test_index_events_after_the_discharge_are_not_used(tmp_path):
    long = write(
        tmp_path / "long.csv",
        "stay,time,variable,value\n1,0,HR,80\n1,5,OP,\n1,9,OP,\n2,0,HR,80\n2,7,OP,\n",
    )
    labels = write(tmp_path / "labels.csv", "stay,died,out\n1,0,8\n2,1,6\n")
    cohort = events(
        path=long,
        labels=labels,
        target="died",
        columns={"discharge": "out"},
        window={"hours": 5, "index": {"event": "OP", "which": "last"}},
    )
    assert list(cohort.samples.index) == ["1"]
    assert only(cohort).ravel()[0] == 80
    assert cohort.source.dropped == {"no index event": 1}
    labels.write_text("stay,died,out\n2,1,6\n")
    with pytest.raises(DataError) as error:
        events(
            path=long,
            labels=labels,
            target="died",
            columns={"discharge": "out"},
            window={"index": {"event": "OP"}},
        )
    assert "none of its 1 stays has an index event and an event in the window before it" in str(
        error.value
    )


def test_codes_to_ignore_can_be_the_index(tmp_path):
    long = write(tmp_path / "long.csv", "stay,time,variable,value\n1,0,HR,80\n1,2,OP,1\n")
    cohort = events(
        path=long, window={"index": {"event": "OP"}, "hours": 2}, variables={"ignore": ("OP",)}
    )
    assert names(cohort) == ["HR"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_an_index_event_that_is_nowhere(tmp_path, suffix):
    frame = pd.DataFrame({"stay": 1, "time": [0.0, 1], "variable": ["HR", "OP//START"],
                          "value": 1.0})  # fmt: skip
    path = tmp_path / f"long.{suffix}"
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    with pytest.raises(DataError) as error:
        events(path=path, window={"index": {"event": "OP//STRAT"}})
    assert (
        "window.index.event: no event is called 'OP//STRAT', or matches it as a regular expression"
        "; did you mean 'OP//START'?" in str(error.value)
    )
    assert "There are: HR, OP//START." in str(error.value)


# Contradictions.


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"target": {"column": "died", "event": "OP"}},
            "column and event are different things to predict: keep one",
        ),
        (
            {"target": {"event": "OP", "course": ("HR",), "hours": 3}},
            "event and course are different things to predict",
        ),
        ({"target": {"event": "OP"}}, "target: event needs the length of the target window"),
        (
            {"target": {"column": "died", "hours": 3}},
            "target: hours is the length of the window of",
        ),
        (
            {"target": "died", "window": {"gap_hours": 3}},
            "window.gap_hours is the time between the window and the",
        ),
        (
            {"target": {"event": "OP", "hours": 3, "above": 1}},
            "target: above goes with column or value, not with event",
        ),
        ({"target": {"above": 1}}, "target: names nothing: give a column, event, onset, value"),
        (
            {"target": {"column": "died", "censoring": "negative"}},
            "target: censoring is about events: it goes with",
        ),
        (
            {"target": {"value": "HR", "hours": 1, "prevalent": "keep"}},
            "target: prevalent is about events: it goes with event or onset",
        ),
        (
            {"target": {"flag": "died"}},
            "target.flag is a label at every hour: it needs window.index",
        ),
        (
            {"target": {"aggregate": "min", "column": "died"}},
            "target: aggregate is that of value: it needs value, the name of a variable",
        ),
        (
            {"target": {"value": "HR", "aggregate": "top", "hours": 1}},
            "target.aggregate: must be 'mean', 'last', 'min', 'max', 'sum' or 'count'; got 'top'",
        ),
        (
            {"target": {"course": ("HR",), "hours": 1.5}},
            "target.hours (1.5) must be a multiple of step_hours (1)",
        ),
        (
            {"target": {"course": ("HRR",), "hours": 1}},
            "no event of a variable called 'HRR'; did you mean 'HR'?",
        ),
        (
            {"target": {"event": "ED", "hours": 1}},
            "target.event: no event is called 'ED', or matches it as a regular expression; did you",
        ),
        (
            {"window": {"every_hours": 2}},
            "window: every_hours is for predictions at every step: index: every_step",
        ),
        (
            {"window": {"index": "every_step", "every_hours": 1.5}},
            "every_hours (1.5) must be a multiple of step_hours (1)",
        ),
        (
            {"window": {"index": "every_step", "hours": 1.5}},
            "window: hours (1.5) must be a multiple of step_hours",
        ),
        (
            {
                "window": {
                    "index": "every_step",
                    "first_prediction_hours": 9,
                    "last_prediction_hours": 3,
                }
            },
            "last_prediction_hours (3) is before the first (9)",
        ),
        ({"window": {"index": {"which": "last"}}}, "window.index.event: is required"),
        (
            {"window": {"index": {"event": "HR", "which": "third"}}},
            "window.index.which: must be 'first' or 'last'; got",
        ),
        (
            {"window": {"index": "every_step", "first_prediction_hours": 90}},
            "no stay is observed until a prediction is to be made",
        ),
        (
            {"window": {"index": "every_step"}, "target": {"flag": "HR"}},
            "target.flag: 'HR' holds 80, where a label is 0 or 1",
        ),
    ],
)
def test_contradictions_are_refused(long, tmp_path, settings, message):
    if "target" in settings:
        settings["labels"] = write(tmp_path / "labels.csv", "stay,died\n1,0\n2,1\n3,0\n")
    with pytest.raises(MedkitError) as error:
        events(path=long, **merged({"window": {"hours": 2}}, settings))
    assert message in str(error.value)


def test_a_flag_in_a_wide_table_is_no_event(tmp_path):
    path = write(tmp_path / "wide.csv", "stay,time,HR,flag\n1,0,80,0\n1,1,81,0\n1,2,82,1\n")
    with pytest.raises(DataError) as error:
        events(
            path=path,
            source={"layout": "wide"},
            window={"hours": 1},
            target={"event": "flag", "hours": 5},
        )
    assert "column 'flag' holds 0 and 1, and each row would count as an event" in str(error.value)
    cohort = events(
        path=path,
        source={"layout": "wide"},
        window={"hours": 1},
        target={"value": "flag", "above": 0.5, "hours": 5},
    )
    assert cohort.targets.tolist() == [1]


# Early warning.


def hourly_table():
    """PhysioNet 2019-like: hourly rows; the label turns 1 two hours before the onset."""
    rows = []
    for stay, length, turns in (("a", 8, 4), ("b", 5, None), ("c", 7, 0)):
        for hour in range(length):
            label = int(turns is not None and hour >= turns)
            rows.append((stay, hour, 100 * (ord(stay) - 96) + hour, label))
    return pd.DataFrame(rows, columns=["stay", "ICULOS", "HR", "SepsisLabel"])


EVERY = {
    "source": {"layout": "wide"},
    "columns": {"time": "ICULOS"},
    "window": {"index": "every_step", "hours": 3},
}


@pytest.fixture(params=["csv", "parquet", "psv"])
def hourly(request, tmp_path):
    frame = hourly_table()
    if request.param == "psv":
        folder = tmp_path / "psv"
        folder.mkdir()
        for stay, rows in frame.groupby("stay"):
            rows.drop(columns="stay").to_csv(folder / f"{stay}.psv", sep="|", index=False)
        return folder
    path = tmp_path / f"wide.{request.param}"
    frame.to_csv(path, index=False) if request.param == "csv" else frame.to_parquet(path)
    return path


def test_a_label_of_every_hour(hourly):
    cohort = events(
        **merged({"path": hourly, "target": {"flag": "SepsisLabel", "hours": 2}}, EVERY)
    )
    assert names(cohort) == ["HR"]
    assert list(cohort.samples.columns) == ["subject", "stay", "hour", "onset_hour"]
    # 'a' has its onset at hour 6, from which on it has already happened; 'c' at hour 2.
    assert list(cohort.samples.index) == [
        *(f"a@{hour}" for hour in range(1, 6)), *(f"b@{hour}" for hour in range(1, 5)), "c@1"
    ]  # fmt: skip
    assert cohort.targets.tolist() == [0, 0, 0, 1, 1, 0, 0, 0, 0, 1]
    assert cohort.samples["hour"].tolist() == [1, 2, 3, 4, 5, 1, 2, 3, 4, 1]
    np.testing.assert_array_equal(
        cohort.samples["onset_hour"], [6, 6, 6, 6, 6, NAN, NAN, NAN, NAN, 2]
    )
    assert cohort.samples["subject"].tolist() == list("aaaaabbbbc")
    np.testing.assert_array_equal(only(cohort)[0].ravel(), [NAN, NAN, 100])
    np.testing.assert_array_equal(only(cohort)[4].ravel(), [102, 103, 104])
    assert cohort.source.dropped == {"target event before the target window": 7}
    assert cohort.source.rows_read == 17


def test_hours_without_a_horizon_are_all_kept(hourly):
    cohort = events(**merged({"path": hourly, "target": {"flag": "SepsisLabel"}}, EVERY))
    assert len(cohort) == 17
    assert cohort.targets[:7].tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert cohort.samples["onset_hour"].iloc[0] == 4


def test_when_predictions_are_made(hourly):
    cohort = events(
        **merged(
            {"path": hourly, "target": {"flag": "SepsisLabel"}},
            EVERY,
            {"window": {"every_hours": 2, "first_prediction_hours": 3, "last_prediction_hours": 6}},
        )
    )
    assert list(cohort.samples.index) == ["a@3", "a@5", "b@3", "c@3", "c@5"]
    new = events(**merged({"path": hourly}, EVERY, {"variables": {"ignore": ("SepsisLabel",)}}))
    assert new.targets is None
    assert len(new) == 7 + 4 + 6


def test_hours_from_labels_and_dates(tmp_path, engine):
    """Windows, labels and onsets against a reckoning stay by stay."""
    frame = random_table(3, stays=10)
    given = in_layout(frame, tmp_path, "zoned")
    admitted = {stay: -1.0 + stay / 4 for stay in range(10)}
    rows = [(stay, f"p{stay // 2}", "w" * (stay % 2 + 1), START.tz_localize("UTC")
             + pd.Timedelta(hours=hours)) for stay, hours in admitted.items()]  # fmt: skip
    pd.DataFrame(rows, columns=["stay", "patient", "ward", "admitted"]).to_csv(
        tmp_path / "labels.csv", index=False
    )
    cohort = events(
        **merged(
            given,
            {
                "labels": tmp_path / "labels.csv",
                "columns": {"admission": "admitted", "subject": "patient", "attributes": ("ward",)},
                "window": {
                    "index": "every_step",
                    "hours": 4,
                    "step_hours": 2,
                    "every_hours": 4,
                    "gap_hours": 1,
                },
                "target": {"event": "SHOCK", "hours": 6, "censoring": "negative"},
                "variables": {"include": ("HR",), "aggregate": "sum"},
                "source": {"engine": engine},
            },
        )
    )
    expected = []
    for (stay, own), since in itertools.product(frame.groupby("stay"), [0]):
        time = own["time"] - admitted[stay]
        shock = np.sort(time[own["variable"] == "SHOCK"])
        for hour in np.arange(4, time.max() + 1e-9, 4):
            if since or (shock <= hour + 1).any():
                continue
            onset = shock[0] if len(shock) else NAN
            window = [
                own["value"][(own["variable"] == "HR") & (time >= low) & (time < low + 2)
                             & (time >= 0)].sum(min_count=1)
                for low in (hour - 4, hour - 2)
            ]  # fmt: skip
            label = int(((shock > hour + 1) & (shock <= hour + 7)).any())
            expected.append((f"{stay}@{hour:g}", f"p{stay // 2}", hour, onset, label, *window))
    table = pd.DataFrame(expected, columns=["id", "subject", "hour", "onset", "label", 0, 1])
    assert list(cohort.samples.index) == table["id"].tolist()
    assert cohort.samples["subject"].tolist() == table["subject"].tolist()
    assert cohort.targets.tolist() == table["label"].tolist()
    assert 0 < cohort.targets.sum() < len(cohort)
    np.testing.assert_allclose(cohort.samples["onset_hour"], table["onset"])
    np.testing.assert_allclose(only(cohort)[:, :, 0], table[[0, 1]], rtol=1e-6)
    assert cohort.samples["ward"].isin(["w", "ww"]).all()


def test_forecasts_at_every_hour(long):
    cohort = events(
        path=long,
        window={"index": "every_step", "hours": 2},
        target={"course": ("HR",), "hours": 2},
        variables={"include": ("HR",), "aggregate": "max"},
    )
    of = dict(zip(cohort.samples.index, cohort.targets.tolist(), strict=True))
    assert of["1@1"] == [82, 86]
    assert str(of["1@4"]) == "[nan, 90.0]"


def test_a_label_of_the_stay_at_every_hour(long, tmp_path):
    labels = write(tmp_path / "labels.csv", "stay,died,hour\n1,0,8\n2,,8\n3,1,8\n")
    settings = {
        "path": long,
        "labels": labels,
        "target": "died",
        "window": {"index": "every_step", "hours": 2, "every_hours": 4},
    }
    cohort = events(**settings)
    assert labels_of(cohort) == {"1@4": 0, "1@8": 0, "3@4": 1, "3@8": 1}
    assert cohort.source.dropped == {"missing target": 2}
    with pytest.raises(DataError, match="the attribute 'hour' has a name that index: every_step"):
        events(**merged(settings, {"columns": {"attributes": ("hour",)}}))
    labels.write_text("stay,died\n77,0\n")
    with pytest.raises(DataError, match="none of its 1 stays has events"):
        events(**settings)


def test_windows_that_no_machine_holds(long, monkeypatch):
    monkeypatch.setattr(import_module("medkit.datasets.events.hourly").os, "sysconf", lambda _: 10)
    with pytest.raises(DataError) as error:
        events(path=long, window={"index": "every_step", "hours": 2})
    assert "Predict less often (every_hours)" in str(error.value)


@pytest.mark.parametrize("unit", [1.0, 3.6e9])
def test_windows_end_where_their_events_do(unit):
    """What lies at the end of a window or later is not in it; what lies a trifle before is."""
    random = np.random.default_rng(0)
    starts = random.uniform(-5, 50, 2000) * unit
    starts = starts if unit == 1.0 else np.round(starts)
    for hours, step in ((0.1, 0.1), (0.7, 0.1), (1 / 3, 1 / 3), (48.1, 1.0), (5.0, 0.25)):
        window = Window(hours, step, unit)
        steps = random.integers(1, 20, len(starts))
        for ends, within in (
            (end_after(starts, window), lambda h, limit=hours: h < limit),
            (end_after(starts, window, steps), lambda h, by=step, n=steps: np.floor(h / by) < n),
        ):
            last = ends - (1e-12 if unit == 1.0 else 2)
            assert not within(elapsed(ends, starts, unit)).any()
            assert within(elapsed(last, starts, unit)).all()
        for reach in (hours, 200 * 365.25 * 24 + hours):
            begins = start_before(starts, Window(reach, reach, unit))
            assert not (elapsed(starts, begins, unit) < reach).any()
            np.testing.assert_allclose(elapsed(starts, begins, unit), reach, rtol=1e-6)


# From files to a run.


def test_synthetic_stays_are_written_and_read_back(tmp_path):
    """Drawn with windows and labels of their own; from their events they come out the same."""
    drawn = datasets.get("synthetic_deterioration").factory(stays=30)
    paths = synthesize("synthetic_deterioration", tmp_path, ["stays=30"])
    experiment = load_config(paths[-1])
    cohort = events(**experiment.dataset.parameters)
    assert cohort.samples["stay"].tolist() == drawn.samples["stay"].tolist()
    # A prediction 'at' hour h knows that hour's values: it is made when the hour is over.
    for name in ("hour", "onset_hour"):
        np.testing.assert_array_equal(cohort.samples[name] - 1, drawn.samples[name])
    np.testing.assert_array_equal(cohort.targets, drawn.targets)
    np.testing.assert_array_equal(only(cohort), only(drawn))
    assert set(cohort.samples) == set(drawn.samples)


def test_the_declared_readmission(tmp_path, monkeypatch):
    """The config for archives in MEDS, on a small one."""
    random, rows = np.random.default_rng(2), []
    for subject in range(40):
        day = 0.0
        for _ in range(random.integers(1, 4)):
            stay = random.uniform(1, 9)
            rows.append((subject, day, "HOSPITAL_ADMISSION//EW", NAN))
            rows += [(subject, day + stay * k / 9, "LAB//K", 4.0 + k / 10) for k in range(9)]
            rows.append((subject, day + stay, "HOSPITAL_DISCHARGE//HOME", NAN))
            day += stay + random.uniform(0.2, 60)
    frame = pd.DataFrame(rows, columns=["subject_id", "day", "code", "numeric_value"])
    frame["time"] = START + pd.to_timedelta(frame.pop("day"), unit="D")
    (tmp_path / "meds" / "data").mkdir(parents=True)
    frame.to_parquet(tmp_path / "meds" / "data" / "0.parquet")
    monkeypatch.setenv("MEDKIT_DATA", str(tmp_path))
    config = load_config(Path(__file__).parents[1] / "configs" / "meds_readmission.yaml")
    cohort = events(**config.dataset.parameters)
    expected = []
    for _, own in frame.groupby("subject_id"):
        out = own["time"][own["code"].str.startswith("HOSPITAL_D")].min()
        again = own["time"][own["code"].str.startswith("HOSPITAL_A")]
        wait = (again[again > out].min() - out) / pd.Timedelta(days=1)
        expected.append(int(1 < wait <= 31))
    assert cohort.targets.tolist() == expected
    assert 5 < sum(expected) < 35
    assert names(cohort) == ["LAB//K"]
    assert cohort.source.label == (
        "1 if '^HOSPITAL_ADMISSION//' (1 codes) occurs in the 720 h from 24 h after the prediction"
    )


def test_no_stay_is_named_in_a_run(tmp_path, monkeypatch):
    """The samples hold the stays' own ids; no file of the run does."""
    monkeypatch.setenv("MEDKIT_DATA", str(tmp_path))
    synthesize("synthetic_deterioration", tmp_path / "synthetic_deterioration", ["stays=30"])
    for name in ("events.csv", "labels.csv"):
        path = tmp_path / "synthetic_deterioration" / name
        path.write_text(re.sub(r"\bS0(\d{4})\b", r"STAY-\1", path.read_text()))
    config = Path(__file__).parents[1] / "configs" / "smoke" / "events_gru_every_hour.yaml"
    run = medkit.train(config, overrides=["training.epochs=1", "evaluation.bootstrap=20",
                       "dataset.window.every_hours=6"],
                       out=tmp_path / "runs")  # fmt: skip
    assert run.metrics["test"]["early_warning"]["stays"] > 2
    files = [file for file in run.path.rglob("*") if file.is_file()]
    assert not [file.name for file in files if b"STAY-" in file.read_bytes()]
    shown = [row["name"] for row in run.metrics["table_one"]["rows"]]
    assert "sex" in shown
    assert not {"stay", "hour", "onset_hour"} & set(shown)


# Channels by frequency, on training rows.


def frequent_series():
    values = np.full((10, 4, 4), NAN, dtype="float32")
    values[:, 0, 0] = 80  # in every sample
    values[:3, 1, 1] = 4  # in 3 of 10
    values[:5, 2, 2] = 7  # in 5 of 10
    values[:, :, 3] = 0  # a count, in 2 of 10
    values[:2, 0, 3] = 1
    features = tuple(Feature(name) for name in ("HR", "K", "Lactate", "DX"))
    return RawInput("series", values, features)


@pytest.mark.parametrize(
    ("least", "kept"),
    [(0.0, ["HR", "K", "Lactate", "DX"]), (0.3, ["HR", "K", "Lactate"]), (0.31, ["HR", "Lactate"]),
     (1.0, ["HR"])],
)  # fmt: skip
def test_rare_channels_are_left_out(least, kept, caplog):
    raw = frequent_series()
    with caplog.at_level("INFO", logger="medkit"):
        series = Series(minimum_frequency=least).fit(raw)
    assert series.names == kept
    assert (f"left out {4 - len(kept)} channels measured in less than" in caplog.text) == (
        len(kept) < 4
    )
    again = Series.from_dict(series.to_dict())
    for given in (raw, raw.values):  # with names, and as a plain array in the order of fit
        encoded = again.encode(given)
        rows = [["HR", "K", "Lactate", "DX"].index(name) for name in kept]
        np.testing.assert_array_equal(encoded, raw.values[:, :, rows])
        np.testing.assert_array_equal(again.encode(encoded), encoded)
    assert again.input_shape_ == (4, len(kept))
    with pytest.raises(DataError, match="channels were given where"):
        again.encode(np.zeros((1, 4, 9), "float32"))


def test_test_rows_do_not_influence_which_channels_are_frequent():
    raw = frequent_series()
    train = raw.take(np.arange(5, 10))
    series = Series(minimum_frequency=0.5).fit(train)
    assert series.names == ["HR"]  # the others are frequent in the first rows alone
    assert series.encode(raw).shape == (10, 4, 1)
    with pytest.raises(DataError) as error:
        Series(minimum_frequency=0.5).fit(
            RawInput("series", raw.values[5:, :, 1:3], raw.features[1:3])
        )
    assert "no channel was measured in 50 % of the training samples" in str(error.value)


def test_contradictions_are_said_by_validate_with_their_place(tmp_path):
    config = tmp_path / "both.yaml"
    config.write_text(
        "dataset: {name: events, path: a.csv, labels: b.csv,\n"
        "  target: {column: died, event: DEATH}}\n"
        "task: binary\nmodel: {name: gru}\n"
    )
    with pytest.raises(
        ConfigError, match=r"line 2   dataset.target: column and event are different things to"
    ):
        load_config(config)


@pytest.mark.parametrize(("settings", "said"), [
    ("static: {table: s.csv}", ".static.features: is required"),
    ("static: {features: [AGE], categorical: [SEX]}",
     ".static: categorical names 'SEX', which features does not"),
    ("variables: [HR, AGE], static: [AGE]", ": 'AGE' stands in variables and in static"),
    ("columns: {site: ward}", ": columns.site is read from labels: it needs labels"),
    ("columns: {discharge: out}", ": columns.discharge is read from labels: it needs labels"),
    ("window: {index: prediction}",
     ": index: prediction needs labels, whose column prediction_time says when"),
    ("window: {index: every_step}, form: triplets", ": index: every_step needs form: grid"),
    ("labels: {unmatched: fail}", ".labels: give either path or query"),
])  # fmt: skip
def test_settings_that_would_do_nothing_are_refused_before_reading(tmp_path, settings, said):
    given = f"name: events, path: a.csv, target: {{event: DEATH, hours: 24}}, {settings}"
    model = "strats" if "triplets" in settings else "gru"
    path = write(
        tmp_path / "config.yaml",
        f"dataset: {{{given}}}\ntask: binary\nsplit: {{by: subject}}\nmodel: {{name: {model}}}\n",
    )
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert f"line 1   dataset{said}" in str(error.value)

"""Sources of events: shards, wide tables, PhysioNet 2019, MEDS; windows; bad input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from cohorts import only_input
from merging import merged

from medkit.core.errors import DataError
from medkit.datasets.events.events import events

NAN = np.nan


def write(path, text):
    path.write_text(text)
    return path


def only(cohort):
    return only_input(cohort).values


def names(cohort):
    return [feature.name for feature in only_input(cohort).features]


# Wide tables and PhysioNet 2019.

PSV = {
    "p000001": "HR|O2Sat|Temp|Age|ICULOS|SepsisLabel\n80|NaN|NaN|70|1|0\n90|97|NaN|70|2|0\n"
    "NaN|96|38.5|70|3|1\n",
    "p000002": "HR|O2Sat|Temp|Age|ICULOS|SepsisLabel\n60|99|36.5|50|1|0\n61|NaN|NaN|50|4|0\n",
}


@pytest.fixture
def sepsis(tmp_path):
    folder = tmp_path / "training_setA"
    folder.mkdir()
    for name, text in PSV.items():
        write(folder / f"{name}.psv", text)
    write(tmp_path / "labels.csv", "stay,sepsis\np000001,1\np000002,0\n")
    return tmp_path


def test_physionet_2019_layout(sepsis):
    cohort = events(
        path=sepsis / "training_setA",
        labels=sepsis / "labels.csv",
        target="sepsis",
        source={"layout": "wide"},
        columns={"time": "ICULOS"},
        window={"hours": 4},
        variables={"ignore": ("SepsisLabel",)},
    )
    assert names(cohort) == ["Age", "HR", "O2Sat", "Temp"]
    np.testing.assert_array_equal(
        only(cohort)[0],
        np.array([[NAN] * 4, [70, 80, NAN, NAN], [70, 90, 97, NAN], [70, NAN, 96, 38.5]], "f4"),
    )
    assert list(cohort.samples.index) == ["p000001", "p000002"]
    assert cohort.targets.tolist() == [1, 0]
    # The row of hour 4 lies outside [0, 4).
    assert cohort.source.notes == ("2 events outside the first 4 h are not used",)


def test_rows_as_hours(sepsis):
    cohort = events(
        path=sepsis / "training_setA",
        source={"layout": "wide"},
        columns={"time": "row"},
        window={"hours": 3},
        variables={"ignore": ("SepsisLabel", "ICULOS")},
    )
    np.testing.assert_array_equal(
        only(cohort)[:, :, 1], np.array([[80, 90, NAN], [60, 61, NAN]], "f4")
    )


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_wide_equals_long(tmp_path, suffix, engine):
    if engine == "duckdb":
        pytest.importorskip("duckdb", reason="needs the extra 'duckdb'")
    random = np.random.default_rng(2)
    wide = pd.DataFrame(
        {
            "stay": np.repeat(np.arange(8), 12),
            "time": np.tile(np.arange(12) / 2, 8),
            # A variable may have the name of a role.
            **{name: random.normal(size=96).round(3) for name in ("HR", "K", "value")},
        }
    ).mask(lambda frame: random.random(frame.shape) < 0.3 * (frame.columns > "a").reshape(1, -1))
    wide[["stay", "time"]] = np.stack(
        [np.repeat(np.arange(8), 12), np.tile(np.arange(12) / 2, 8)], 1
    )
    wide["stay"] = wide["stay"].astype(int)
    long = wide.melt(["stay", "time"], var_name="variable", value_name="x").dropna()
    for name, frame in (("wide", wide), ("long", long)):
        path = tmp_path / f"{name}.{suffix}"
        frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    settings = {
        "window": {"hours": 6},
        "variables": {"aggregate": "max"},
        "source": {"engine": engine},
    }
    one = events(
        **merged({"path": tmp_path / f"wide.{suffix}", "source": {"layout": "wide"}}, settings)
    )
    other = events(
        **merged({"path": tmp_path / f"long.{suffix}", "columns": {"value": "x"}}, settings)
    )
    assert names(one) == names(other) == ["HR", "K", "value"]
    assert list(one.samples.index) == list(other.samples.index)
    np.testing.assert_array_equal(only(one), only(other))


def test_wide_columns_of_text(tmp_path):
    frame = pd.DataFrame({"stay": [1, 1], "time": [0.0, 1], "HR": [80, 81], "note": ["a", "b"]})
    frame.to_parquet(tmp_path / "wide.parquet")
    cohort = events(path=tmp_path / "wide.parquet", source={"layout": "wide"}, window={"hours": 2})
    assert names(cohort) == ["HR"]
    assert cohort.source.notes == ("columns without numbers are not variables: note",)
    with pytest.raises(DataError, match="has no column of numbers beside stay and time"):
        events(
            path=tmp_path / "wide.parquet", source={"layout": "wide"}, variables={"ignore": ("HR",)}
        )


# Shards.


def test_shards_must_be_alike(tmp_path):
    frame = pd.DataFrame({"stay": [1], "time": [0.5], "variable": ["HR"], "value": [80.0]})
    frame.to_parquet(tmp_path / "0.parquet")
    frame.assign(stay=2).to_parquet(tmp_path / "1.parquet")
    cohort = events(path=tmp_path, window={"hours": 1})
    assert list(cohort.samples.index) == ["1", "2"]
    assert list(cohort.source.files) == [f"{tmp_path.name}/"]
    frame.assign(value="high").to_parquet(tmp_path / "1.parquet")
    with pytest.raises(DataError) as error:
        events(path=tmp_path)
    assert "column 'value' is not what it is in 0.parquet: text rather than number" in str(
        error.value
    )
    frame.drop(columns="time").to_parquet(tmp_path / "0.parquet")
    with pytest.raises(DataError, match="no time column called 'time'"):
        events(path=tmp_path)
    (tmp_path / "0.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        events(path=tmp_path)


def test_texts_in_parquet_are_read_with_care(tmp_path):
    frame = pd.DataFrame(
        {"stay": [1, 1], "time": ["00:10", "01:10"], "variable": "HR", "value": ["80", "x"]}
    )
    frame.to_parquet(tmp_path / "long.parquet")
    with pytest.raises(DataError, match="1 texts where numbers are expected"):
        events(path=tmp_path / "long.parquet")
    cohort = events(
        path=tmp_path / "long.parquet",
        values={"missing_values": {"HR": ("x",)}},
        window={"hours": 1},
    )
    assert only(cohort).item() == 80


# The Medical Event Data Standard.


@pytest.fixture
def meds(tmp_path):
    """Two shards; subject 1 has two predictions, 2 has one, 3 has no event, 4 no label."""
    t0 = pd.Timestamp("2024-01-10 12:00")

    def event(subject, hours, code, value):
        time = pd.NaT if hours is None else t0 + pd.Timedelta(hours=hours)
        return {"subject_id": subject, "time": time, "code": code, "numeric_value": value}

    first = [
        event(1, None, "GENDER//F", NAN), event(1, -3, "LAB//K", 4.0), event(1, -1, "LAB//K", 5.0),
        event(1, -1, "DIAGNOSIS//A41", NAN), event(1, 0, "LAB//K", 6.0),
        event(1, 1, "VITAL//HR", 90),
    ]  # fmt: skip
    second = [
        event(2, -30, "LAB//K", 1.0),
        event(2, -0.5, "VITAL//HR", 70),
        event(4, -1, "LAB//K", 3.0),
    ]
    (tmp_path / "data" / "train").mkdir(parents=True)
    for number, rows in enumerate((first, second)):
        frame = pd.DataFrame(rows).astype({"time": "datetime64[us]", "numeric_value": "float32"})
        frame.to_parquet(tmp_path / "data" / "train" / f"{number}.parquet")
    (tmp_path / "metadata").mkdir()
    pd.DataFrame({"code": ["LAB//K"], "description": ["potassium"]}).to_parquet(
        tmp_path / "metadata" / "codes.parquet"
    )
    pd.DataFrame(
        {
            "subject_id": [1, 1, 2, 3],
            "prediction_time": [t0, t0 + pd.Timedelta(hours=2), t0, t0],
            "boolean_value": [False, True, False, True],
        }
    ).astype({"prediction_time": "datetime64[us]"}).to_parquet(tmp_path / "labels.parquet")
    return tmp_path


@pytest.fixture(params=["polars", "duckdb"])
def engine(request):
    pytest.importorskip(request.param, reason=f"needs the extra '{request.param}'")
    return request.param


def test_meds(meds, engine):
    cohort = events(
        path=meds,
        labels=meds / "labels.parquet",
        source={"layout": "meds", "engine": engine},
        window={"hours": 4, "step_hours": 2},
        variables={
            "aggregate": {"DIAGNOSIS//A41": "count"},
            "include": ("LAB//K", "VITAL//HR", "DIAGNOSIS//A41"),
        },
    )
    # The window is [prediction - 4 h, prediction): what is known at noon is not yet in.
    np.testing.assert_array_equal(
        only(cohort),
        np.array(
            [
                [[4, NAN, 0], [5, NAN, 1]],
                [[5, NAN, 1], [6, 90, 0]],
                [[NAN, NAN, 0], [NAN, 70, 0]],
            ],
            "f4",
        ),
    )
    assert cohort.samples["subject"].tolist() == ["1", "1", "2"]
    assert cohort.targets.tolist() == [False, True, False]
    assert list(cohort.samples.index) == [
        "1 2024-01-10 12:00:00", "1 2024-01-10 14:00:00", "2 2024-01-10 12:00:00"
    ]  # fmt: skip
    assert cohort.source.dropped == {"no events": 1, "no label": 1}
    assert "4 events outside the 4 h before the prediction are not used" in cohort.source.notes


@pytest.mark.parametrize("gap", [0.0, 1.0])
def test_no_event_after_the_prediction_enters(meds, gap):
    """Whatever happens from the window's end on, the grid is the same."""
    settings = {
        "path": meds,
        "labels": meds / "labels.parquet",
        "source": {"layout": "meds"},
        "window": {"hours": 48, "gap_hours": gap},
        "variables": {"aggregate": "max", "include": ("LAB//K", "VITAL//HR")},
    }
    before = events(**settings)
    shard = meds / "data" / "train" / "0.parquet"
    frame = pd.read_parquet(shard)
    noon = pd.Timestamp("2024-01-10 12:00") - pd.Timedelta(hours=gap)
    later = pd.DataFrame(
        {
            "subject_id": 1, "code": "LAB//K", "numeric_value": [999, 999],
            "time": [noon, noon + pd.Timedelta(hours=100)],
        }
    )  # fmt: skip
    pd.concat([frame, later]).astype(dict(frame.dtypes)).to_parquet(shard)
    after = events(**settings)
    assert after.samples.index[0] == "1 2024-01-10 12:00:00"
    np.testing.assert_array_equal(only(before)[0], only(after)[0])
    assert not np.array_equal(
        only(before)[1], only(after)[1], equal_nan=True
    )  # at 14:00 it is known
    just_before = later.assign(time=noon - pd.Timedelta(microseconds=1))
    pd.concat([frame, just_before]).astype(dict(frame.dtypes)).to_parquet(shard)
    assert np.nanmax(only(events(**settings))[0]) == 999


def test_meds_without_labels_predicts_after_the_last_event(meds):
    cohort = events(
        path=meds,
        source={"layout": "meds"},
        window={"hours": 4, "step_hours": 2},
        variables="^(LAB|VITAL)",
    )
    assert list(cohort.samples.index) == ["1", "2", "4"]
    assert names(cohort) == ["LAB//K", "VITAL//HR"]
    np.testing.assert_array_equal(only(cohort)[0], np.array([[5, NAN], [6, 90]], "f4"))


def test_bad_meds(meds, tmp_path_factory):
    with pytest.raises(DataError, match=r"holds no data/\*\*/\*\.parquet"):
        events(path=tmp_path_factory.mktemp("empty"), source={"layout": "meds"})
    labels = pd.read_parquet(meds / "labels.parquet")
    settings = {"path": meds, "labels": meds / "labels.parquet", "source": {"layout": "meds"}}
    for change, message in (
        (labels.assign(prediction_time=labels["prediction_time"].dt.tz_localize("UTC")),
         "column 'prediction_time' has a time zone where the events' times have no time zone"),
        (labels.assign(prediction_time=48.0),
         "column 'prediction_time' holds hours where the events have timestamps"),
        (labels.drop(columns="prediction_time"), "no time column called 'prediction_time'"),
        (labels.iloc[[0, 0]], "1 predictions have more than one row (first at row 2)"),
        (labels.assign(prediction_time=labels["prediction_time"].where(labels.index > 1)),
         "column 'prediction_time' is empty in 2 rows (first at row 1)"),
    ):  # fmt: skip
        change.to_parquet(meds / "labels.parquet")
        with pytest.raises(DataError) as error:
            events(**settings)
        assert message in str(error.value)


# Windows, aggregates and choices in a long table.

LONG = "stay,time,variable,value\n1,2024-05-01 10:00,HR,80\n1,2024-05-01 12:30,HR,90\n"


def test_the_window_from_admission(tmp_path):
    long = write(tmp_path / "long.csv", LONG + "2,2024-05-01 10:00,HR,60\n")
    labels = write(
        tmp_path / "labels.csv",
        "stay,died,admitted,discharged\n1,0,2024-05-01 11:00,2024-05-02\n"
        "2,1,2024-05-01 08:00,2024-05-01 09:00\n",
    )
    settings = {"path": long, "labels": labels, "target": "died", "window": {"hours": 4}}
    cohort = events(
        **merged(settings, {"window": {"index": "admission"}, "columns": {"admission": "admitted"}})
    )
    np.testing.assert_array_equal(
        only(cohort)[:, :, 0], np.array([[NAN, 90, NAN, NAN], [NAN, NAN, 60, NAN]], "f4")
    )
    assert cohort.source.notes == ("1 events outside the first 4 h are not used",)
    cohort = events(
        **merged(
            settings,
            {
                "window": {"index": "admission"},
                "columns": {"admission": "admitted", "discharge": "discharged"},
            },
        )
    )
    assert cohort.source.notes[-1] == "1 events after the end of their stay are not used"
    assert cohort.source.dropped == {"no events": 1}
    with pytest.raises(DataError, match="index: admission needs the column of labels with it"):
        events(**merged(settings, {"window": {"index": "admission"}}))
    with pytest.raises(DataError, match="gap_hours is the time between the window and the pred"):
        events(**merged(settings, {"window": {"gap_hours": 1}}))
    with pytest.raises(DataError) as error:
        events(
            **merged(settings, {"columns": {"admission": "discharged", "discharge": "admitted"}})
        )
    assert "2 stays end before they begin (first at row 1)" in str(error.value)


def test_a_prediction_time_in_hours(tmp_path):
    long = write(
        tmp_path / "long.csv", "stay,time,variable,value\n1,1,HR,80\n1,5,HR,90\n1,6,HR,99\n"
    )
    labels = write(tmp_path / "labels.csv", "stay,died,at\n1,0,6\n1,1,7\n")
    cohort = events(
        path=long,
        labels=labels,
        target="died",
        window={"index": "prediction", "hours": 2},
        columns={"prediction_time": "at", "subject": "stay"},
    )
    np.testing.assert_array_equal(only(cohort)[:, :, 0], [[NAN, 90], [90, 99]])


def test_counts_and_patterns(tmp_path):
    long = write(
        tmp_path / "long.csv",
        "stay,time,variable,value\n1,0.1,DX//A,\n1,0.2,DX//A,1\n1,0.3,HR,80\n2,1.5,HR,70\n",
    )
    cohort = events(
        path=long, window={"hours": 2}, variables={"aggregate": {"*": "max", "DX//A": "count"}}
    )
    np.testing.assert_array_equal(
        only(cohort), np.array([[[2, 80], [0, NAN]], [[0, NAN], [0, 70]]], "f4")
    )
    assert names(events(path=long, variables="^H")) == ["HR"]
    with pytest.raises(DataError, match="no variable matches 'LAB'"):
        events(path=long, variables="LAB")
    with pytest.raises(DataError, match=r"variables: '\(' is not a regular expression"):
        events(path=long, variables="(")


# Bad input.

UNITS = (
    "stay,time,variable,value,unit\n1,0.1,Glucose,90,mg/dL\n1,0.2,Glucose,5,mmol/L\n"
    "2,0.3,Glucose,6,mmol/L\n2,0.3,HR,80,bpm\n2,0.4,HR,81,\n"
)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_two_units_for_one_variable(tmp_path, suffix):
    write(tmp_path / "long.csv", UNITS)
    pd.read_csv(tmp_path / "long.csv").to_parquet(tmp_path / "long.parquet")
    path = tmp_path / f"long.{suffix}"
    with pytest.raises(DataError) as error:
        events(path=path, columns={"unit": "unit"})
    assert "variable 'Glucose' is given in 2 units: mg/dL (1 events), mmol/L (2 events)" in str(
        error.value
    )
    with pytest.raises(DataError, match=r"variable 'HR' is given in bpm, where dataset.values"):
        events(
            path=path,
            columns={"unit": "unit"},
            variables={"ignore": ("Glucose",)},
            values={"units": {"HR": "1/s"}},
        )
    cohort = events(path=path, columns={"unit": "unit"}, variables={"ignore": ("Glucose",)})
    assert only_input(cohort).features[0].unit == "bpm"


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_duplicate_events(tmp_path, suffix):
    frame = pd.DataFrame(
        {"stay": 1, "time": [0.1, 0.1, 0.1, 0.2], "variable": "Urine", "value": [50.0, 50, 60, 50]}
    )
    frame.to_csv(tmp_path / "long.csv", index=False)
    frame.to_parquet(tmp_path / "long.parquet")
    settings = {
        "path": tmp_path / f"long.{suffix}",
        "window": {"hours": 1},
        "variables": {"aggregate": "sum"},
    }
    text = "1 events repeat another one (same stay, time, variable and value)"
    kept = events(**settings)
    assert (only(kept).item(), kept.source.notes) == (210, (text,))
    once = events(**merged(settings, {"variables": {"duplicates": "drop"}}))
    assert (only(once).item(), once.source.notes) == (160, (f"{text}; they are used once",))
    with pytest.raises(DataError) as error:
        events(**merged(settings, {"variables": {"duplicates": "fail"}}))
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (("2024-05-01 10:00", "2024-05-01T12:00+02:00"),
         "column 'time' mixes times with a time zone and 1 without (first at row 1)"),
        (("2024-05-01 10:00", "yesterday"), "column 'time' has 1 values that are not times"),
    ],
)  # fmt: skip
def test_times_that_cannot_be_placed(tmp_path, times, message):
    text = "".join(f"1,{time},HR,80\n" for time in times)
    write(tmp_path / "long.csv", "stay,time,variable,value\n" + text)
    with pytest.raises(DataError) as error:
        events(path=tmp_path / "long.csv")
    assert message in str(error.value)


def test_two_zones_are_one_time(tmp_path):
    write(
        tmp_path / "long.csv",
        "stay,time,variable,value\n1,2024-05-01T12:00+02:00,HR,80\n1,2024-05-01T11:00Z,HR,90\n",
    )
    np.testing.assert_array_equal(
        only(events(path=tmp_path / "long.csv", window={"hours": 2})).ravel(), [80, 90]
    )


def test_times_in_any_order_and_missing_times(tmp_path):
    write(
        tmp_path / "long.csv",
        "stay,time,variable,value\n1,1.5,HR,90\n1,0.5,HR,80\n1,,HR,70\n1,0.2,HR,60\n",
    )
    cohort = events(
        path=tmp_path / "long.csv", window={"hours": 2}, variables={"aggregate": "last"}
    )
    assert only(cohort).ravel().tolist() == [80, 90]
    assert cohort.source.notes == ("1 events without a time are not used",)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,0.2", "line 3 has 2 fields where the header has 4"),
        ("1,0.2,HR,80,9", "line 3 has 5 fields where the header has 4"),
    ],
)
def test_a_broken_line_is_named(tmp_path, line, message):
    path = write(
        tmp_path / "long.csv", f"stay,time,variable,value\n1,0.1,HR,80\n{line}\n2,1,HR,7\n"
    )
    with pytest.raises(DataError) as error:
        events(path=path)
    assert message in str(error.value)


@pytest.mark.parametrize("line", ["00:20,HR", "00:20,HR,80,9"])
def test_a_broken_line_in_a_file_a_stay_is_named(tmp_path, line):
    for name in ("patient_17", "patient_18"):
        write(tmp_path / f"{name}.csv", "time,variable,value\n00:10,HR,80\n")
    write(tmp_path / "patient_18.csv", f"time,variable,value\n00:10,HR,80\n{line}\n00:40,HR,7\n")
    with pytest.raises(DataError) as error:
        events(path=tmp_path)
    count = line.count(",") + 1
    assert (
        f"file 2, line 3 (blank lines not counted) has {count} fields where the header has 3"
        in (str(error.value))
    )
    assert "patient_18" not in str(error.value)


def test_empty_values_are_no_broken_lines(tmp_path):
    path = write(
        tmp_path / "long.csv", 'stay,time,variable,value\n1,0.1,"HR, mean",80\n1,0.2,"HR, mean",\n'
    )
    assert only(events(path=path, window={"hours": 1})).item() == 80


def test_labels_without_events_and_events_without_labels(tmp_path, caplog):
    long = write(
        tmp_path / "long.csv", "stay,time,variable,value\n1,0,HR,80\n2,0,HR,70\n7,0,HR,70\n"
    )
    labels = write(tmp_path / "labels.csv", "stay,died\n1,0\n5,1\n2,1\n6,0\n")
    settings = {"path": long, "labels": labels, "target": "died"}
    text = "2 stays have a label but no events (rows 2, 4); 1 stays have events but no label"
    with caplog.at_level("INFO", logger="medkit"):
        cohort = events(**settings)
    assert text in caplog.text
    assert cohort.source.dropped == {"no events": 2, "no label": 1}
    assert list(cohort.samples.index) == ["1", "2"]
    with pytest.raises(DataError) as error:
        events(**{**settings, "labels": {"path": settings["labels"], "unmatched": "fail"}})
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"value": [80.0, np.inf]},
            "column 'value' has 1 infinite values (variable 'HR')",
        ),
        ({"stay": [1, None]}, "column 'stay' is empty in 1 rows"),
        ({"value": [np.nan, np.nan]}, "no event has a value"),
        ({"value": [80.0, 900]}, "values outside their plausible range: 1 HR"),
    ],
)
def test_bad_parquet(tmp_path, engine, change, message):
    frame = pd.DataFrame({"stay": [1, 2], "time": [0.5, 1], "variable": "HR", "value": [80.0, 90]})
    frame.assign(**change).to_parquet(tmp_path / "long.parquet")
    with pytest.raises(DataError) as error:
        events(
            path=tmp_path / "long.parquet",
            source={"engine": engine},
            values={"ranges": {"HR": (10, 300)}, "outside": "fail"},
        )
    assert message in str(error.value)


# Said, not passed over in silence.

LABELS = "stay,died\nA,1\nB,0\n"


def small(tmp_path, rows, head="stay,time,variable,value"):
    return {
        "path": write(tmp_path / "events.csv", f"{head}\n{rows}"),
        "labels": write(tmp_path / "labels.csv", LABELS),
        "target": "died",
        "window": {"hours": 4},
    }


def parquet_too(tmp_path, settings):
    frame = pd.read_csv(settings["path"])
    frame.to_parquet(tmp_path / "events.parquet")
    return [settings, {**settings, "path": tmp_path / "events.parquet"}]


def test_events_without_a_variable_are_counted(tmp_path):
    settings = small(tmp_path, "A,0,HR,80\nA,1,,5\nB,0,HR,70\nB,2,,6\n")
    for each in parquet_too(tmp_path, settings):
        assert events(**each).source.notes == ("2 events without a variable are not used",)


def test_events_without_a_unit_beside_others_with_one_are_counted(tmp_path):
    rows = "A,0,TEMP,37,C\nA,1,TEMP,99,\nB,0,TEMP,36,C\nB,1,HR,70,\n"
    settings = small(tmp_path, rows, "stay,time,variable,value,unit")
    for each in parquet_too(tmp_path, settings):
        cohort = events(**merged(each, {"columns": {"unit": "unit"}}))
        assert cohort.source.notes == (
            "events without a unit, taken as the variable's others: 1 TEMP (C)",
        )
        assert [f.unit for f in only_input(cohort).features] == [None, "C"]


def test_settings_of_variables_that_no_event_has_are_said(tmp_path):
    settings = small(tmp_path, "A,0,HR,80\nB,0,HR,70\n")
    cohort = events(
        **merged(
            settings,
            {
                "values": {
                    "ranges": {"HRR": (20, 250), "HR": (20, 250)},
                    "units": {"Temperature": "°C"},
                    "missing_values": {"*": (-1,), "MAP": (0,)},
                },
                "variables": {"aggregate": {"Urine": "sum"}},
                "static": ("AGE",),
            },
        )
    )
    assert cohort.source.notes == (
        "units names variables that no event has: 'Temperature'",
        "ranges names variables that no event has: 'HRR'; did you mean 'HR'?",
        "missing_values names variables that no event has: 'MAP'",
        "aggregate names variables that no event has: 'Urine'",
        "static names variables that no event has: 'AGE'",
    )
    settings |= {"labels": None, "target": None}
    assert events(**merged(settings, {"values": {"ranges": {"HRR": (20, 250)}}})).source.notes == ()


def test_events_of_known_stays_at_other_times_are_not_taken_for_strangers(tmp_path):
    with pytest.raises(DataError) as error:
        events(**small(tmp_path, "A,100,HR,80\nB,101,HR,70\n"))
    assert (
        "none of its 2 stays has an event in the first 4 h (2 have events at other times)"
        in str(error.value)
    )
    with pytest.raises(DataError, match="none of its 2 stays has events"):
        events(**small(tmp_path, "X,0,HR,80\n"))


def test_shards_with_and_without_a_time_zone_are_refused(tmp_path):
    (tmp_path / "shards").mkdir()
    frame = pd.DataFrame({
        "stay": ["A", "B"], "time": pd.to_datetime(["2024-01-01 10:00"] * 2),
        "variable": "HR", "value": [80.0, 70.0],
    })  # fmt: skip
    frame.to_parquet(tmp_path / "shards" / "0.parquet")
    frame["time"] = frame["time"].dt.tz_localize("Europe/Paris")
    frame.to_parquet(tmp_path / "shards" / "1.parquet")
    with pytest.raises(DataError) as error:
        events(path=tmp_path / "shards", window={"hours": 4})
    assert "1.parquet: column 'time' has a time zone where it has no time zone in 0.parquet" in (
        str(error.value)
    )

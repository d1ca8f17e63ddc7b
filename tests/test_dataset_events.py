"""Events: irregular measurements on a regular grid, with labels from a second table."""

from __future__ import annotations

import io
import tarfile
import zipfile

import numpy as np
import pandas as pd
import pytest
from cohorts import only_input
from merging import merged

from medkit.core.errors import DataError, MedkitError
from medkit.datasets.events.events import events

LONG = """stay,time,variable,value
1,0.0,HR,80
1,0.5,HR,90
1,1.2,HR,100
1,1.9,HR,70
1,9.0,HR,300
1,0.1,Urine,50
1,0.2,Urine,30
2,0.5,NA,140
2,0.6,HR,-1
3,0.1,HR,60
4,0.1,HR,66
4,0.1,died,1
"""
LABELS = """stay,patient,died,ward
1,p1,0,A
2,p1,1,B
3,p2,,A
5,p3,1,A
"""


@pytest.fixture
def files(tmp_path):
    (tmp_path / "long.csv").write_text(LONG)
    (tmp_path / "labels.csv").write_text(LABELS)
    return tmp_path


def read(folder, **changes):
    settings = {
        "path": folder / "long.csv",
        "labels": folder / "labels.csv",
        "target": "died",
        "window": {"hours": 3},
        "columns": {"subject": "patient", "site": "ward"},
        "values": {"missing_values": {"HR": (-1,)}},
    }
    return events(**merged(settings, changes))


def test_grid_labels_and_counts(files):
    cohort = read(files)
    grid = only_input(cohort).values
    assert [f.name for f in only_input(cohort).features] == ["HR", "NA", "Urine"]
    assert grid.shape == (2, 3, 3)
    assert grid.dtype == np.float32
    nan = np.nan
    np.testing.assert_array_equal(grid[0, :, 0], [85, 85, nan])
    np.testing.assert_array_equal(grid[0, :, 2], [40, nan, nan])
    np.testing.assert_array_equal(grid[1, :, 1], [140, nan, nan])
    assert np.isnan(grid[1, :, 0]).all()
    assert list(cohort.samples.index) == ["1", "2"]
    assert cohort.samples["subject"].tolist() == ["p1", "p1"]
    assert cohort.samples["site"].tolist() == ["A", "B"]
    assert cohort.targets.tolist() == [0, 1]
    assert cohort.source.dropped == {"no events": 1, "no label": 1, "missing target": 1}
    assert cohort.source.rows_read == 5
    assert cohort.source.notes == ("1 events outside the first 3 h are not used",)
    assert set(cohort.source.files) == {"long.csv", "labels.csv"}


@pytest.mark.parametrize(
    ("outside", "first", "done"),
    [
        ("missing", [80, 70, np.nan], "taken as missing"),
        ("clip", [82.5, 77.5, np.nan], "set to the range's end"),
        ("keep", [85, 85, np.nan], "kept"),
    ],
)
def test_values_outside_their_range_are_no_part_of_a_mean(files, outside, first, done):
    cohort = read(
        files, values={"ranges": {"HR": (60, 85), "Urine": (0, 5000)}, "outside": outside}
    )
    np.testing.assert_array_equal(only_input(cohort).values[0, :, 0], first)
    assert cohort.source.notes[0] == f"values outside their plausible range, {done}: 3 HR"


@pytest.mark.parametrize(
    ("way", "first", "second"),
    [("mean", 85, 85), ("last", 90, 70), ("min", 80, 70), ("max", 90, 100), ("sum", 170, 170)],
)
def test_aggregates(files, way, first, second):
    grid = only_input(read(files, variables={"aggregate": {"*": way, "Urine": "sum"}})).values
    assert grid[0, :2, 0].tolist() == [first, second]
    assert grid[0, 0, 2] == 80


def test_grid_equals_pandas(tmp_path):
    random = np.random.default_rng(3)
    stay, step, variable = (random.integers(0, n, 2000) for n in (7, 5, 4))
    value, hours = random.normal(size=2000), random.random(2000)
    frame = pd.DataFrame({"s": stay, "t": step, "v": variable, "x": value})
    ways = ["mean", "min", "max", "sum"]
    frame.assign(time=step + hours, v=variable.astype(str)).to_csv(tmp_path / "long.csv")
    cohort = events(
        path=tmp_path / "long.csv",
        columns={"stay": "s", "variable": "v", "value": "x"},
        window={"hours": 5},
        variables={"aggregate": {str(position): way for position, way in enumerate(ways)}},
    )
    order = np.argsort(cohort.samples.index.astype(int))
    grid = only_input(cohort).values[order]
    for position, way in enumerate(ways):
        expected = frame[frame.v == position].groupby(["s", "t"]).x.agg(way).unstack()
        np.testing.assert_allclose(grid[:, :, position], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (["00:00", "00:30", "02:59"], [0, 0, 2]),
        (["00:00:00", "01:00:00", "2:00"], [0, 1, 2]),
        (["2024-01-01 10:30", "2024-01-01 11:29", "2024-01-01 11:30"], [0, 0, 1]),
        ([0, 1.5, 2], [0, 1, 2]),
        (pd.to_timedelta(["0h", "1h", "2h"]), [0, 1, 2]),
        (
            pd.to_datetime(["2024-01-01 10:30Z", "2024-01-01 11:30Z", "2024-01-01 12:30Z"]),
            [0, 1, 2],
        ),
    ],
)
def test_times(tmp_path, times, expected):
    frame = pd.DataFrame({"stay": 1, "time": times, "variable": "HR", "value": [1, 2, 3]})
    frame.to_parquet(tmp_path / "long.parquet")
    grid = only_input(
        events(path=tmp_path / "long.parquet", window={"hours": 3}, variables={"aggregate": "max"})
    ).values
    steps = [int(np.flatnonzero(np.isfinite(grid[0, :, 0]))[k]) for k in range(len(set(expected)))]
    assert steps == sorted(set(expected))


def test_new_file_without_labels(files):
    cohort = read(files, labels=None, target=None)
    assert cohort.targets is None
    assert list(cohort.samples.index) == ["1", "2", "3", "4"]
    assert list(cohort.samples.columns) == []
    few = events(path=files / "long.csv", variables=("Urine", "Lactate"))
    assert only_input(few).values.shape == (1, 48, 2)
    assert np.isnan(only_input(few).values[:, :, 1]).all()
    assert few.source.dropped == {"no events": 3}


def test_outcomes_among_the_events_are_no_input(files):
    labels = files / "labels.csv"
    labels.write_text(LABELS + "4,p4,1,A\n")
    names = [f.name for f in only_input(read(files)).features]
    assert "died" not in names


STAYS = {
    "11": "Time,Parameter,Value\n00:00,RecordID,11\n00:00,Age,54\n01:10,HR,80\n\n01:30,HR,90\n",
    "12": "Time,Parameter,Value\r\n00:00,Age,-1\r\n00:07,,3\r\n02:00,HR,70\r\n",
    "13": "Time,Parameter,Value\n",
}
OUTCOMES = "RecordID,SAPS-I,died\n11,6,0\n12,7,1\n13,9,1\n"


def per_stay(path, labels, **changes):
    return events(
        **merged(
            {
                "path": path,
                "labels": labels,
                "target": "died",
                "columns": {
                    "stay": "RecordID",
                    "time": "Time",
                    "variable": "Parameter",
                    "value": "Value",
                },
                "window": {"hours": 3},
                "values": {"missing_values": {"*": (-1,)}},
            },
            changes,
        )
    )


@pytest.fixture
def stays(tmp_path):
    """The same stays as a folder, a .tar.gz and a .zip; and their labels."""
    folder = tmp_path / "set"
    folder.mkdir()
    labels = folder / "Outcomes.txt"
    labels.write_text(OUTCOMES)
    for name, text in STAYS.items():
        (folder / f"{name}.txt").write_bytes(text.encode())
    with tarfile.open(tmp_path / "set.tar.gz", "w:gz") as tar:
        for name, text in STAYS.items():
            member = tarfile.TarInfo(f"set/{name}.txt")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name, text in STAYS.items():
            archive.writestr(f"set/{name}.txt", text)
    return tmp_path


@pytest.mark.parametrize("name", ["set", "set.tar.gz", "set.zip"])
def test_one_file_a_stay(stays, name):
    cohort = per_stay(stays / name, stays / "set" / "Outcomes.txt")
    assert [f.name for f in only_input(cohort).features] == ["Age", "HR"]
    nan = np.nan
    np.testing.assert_array_equal(
        only_input(cohort).values,
        [[[54, nan], [nan, 85], [nan, nan]], [[nan, nan], [nan, nan], [nan, 70]]],
    )
    assert list(cohort.samples.index) == ["11", "12"]
    assert cohort.source.dropped == {"no events": 1}
    # Names of single files may be those of patients.
    assert all("11" not in file for file in cohort.source.files)


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (("value", "number"), {}, "no value column called 'value'"),
        (("1,0.5,HR,90", "1,soon,HR,90"), {},
         "column 'time' has 1 values that are not times (first at row 2)"),
        (("1,0.5,HR,90", "1,0.5,HR,high"), {},
         "column 'value' has 1 texts where numbers are expected (first at row 2, variable 'HR')"),
        (("1,0.5,HR,90", "1,0.5,HR,inf"), {},
         "column 'value' has 1 infinite values (first at row 2, variable 'HR')"),
        (("1,0.5,HR,90", ",0.5,HR,90"), {}, "column 'stay' is empty in 1 rows (first at row 2)"),
        (("", ""), {"variables": ("HRR",)},
         "no event of a variable called 'HRR'; did you mean 'HR'?"),
        (("", ""), {"target": "dead"}, "no target column called 'dead'; did you mean 'died'?"),
        (("", ""), {"columns": {"subject": "patients"}}, "no subject column called 'patients'"),
        (("", ""), {"labels": None}, "target.column is a column of labels: it needs labels"),
        (("", ""), {"values": {"ranges": {"HR": (2, 1)}}}, "ranges.HR: 2 is above 1"),
    ],
)  # fmt: skip
def test_bad_events_are_refused(files, change, settings, message):
    (files / "long.csv").write_text(LONG.replace(*change, 1) if change[0] else LONG)
    with pytest.raises(MedkitError) as error:
        read(files, **settings)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LABELS + "1,p1,1,A\n", "1 stays have more than one row (first at row 5)"),
        ("stay,patient,died,ward\n77,p,1,A\n", "none of its 1 stays has events"),
        ("stay,patient,died,ward\n1,p,,A\n", "every row lacks a target"),
        ("visit,patient,died,ward\n1,p,,A\n", "no stay column called 'stay'"),
        ("stay,patient,died,ward\n1,,1,A\n", "1 samples have no subject"),
    ],
)
def test_bad_labels_are_refused(files, text, message):
    (files / "labels.csv").write_text(text)
    with pytest.raises(DataError) as error:
        read(files)
    assert message in str(error.value)


def test_bad_folders_and_archives_are_refused(stays, tmp_path):
    labels = stays / "set" / "Outcomes.txt"
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no \.csv, \.tsv or \.txt file"):
        per_stay(tmp_path / "empty", labels)
    (tmp_path / "broken.tar.gz").write_bytes(b"no archive")
    with pytest.raises(DataError, match="not a readable archive"):
        per_stay(tmp_path / "broken.tar.gz", labels)
    with pytest.raises(DataError, match="no such file or folder"):
        per_stay(tmp_path / "nowhere", labels)
    with pytest.raises(DataError, match="no variable column called 'Variable'"):
        per_stay(stays / "set", labels, columns={"variable": "Variable"})
    (stays / "set" / "14.txt").write_text("Time,Value\n00:00,3\n")
    with pytest.raises(DataError, match="file 4 has other columns than the first one"):
        per_stay(stays / "set", labels)


@pytest.mark.slow
def test_physionet_2012(real_data):
    folder = real_data / "physionet2012"
    cohort = per_stay(
        folder / "set-a.tar.gz", folder / "Outcomes-a.txt", target="In-hospital_death",
        window={"hours": 48}, columns={"subject": "RecordID"},
    )  # fmt: skip
    assert len(cohort) == 4000
    assert int(cohort.targets.sum()) == 554
    names = [f.name for f in only_input(cohort).features]
    assert only_input(cohort).values.shape == (4000, 48, 41)  # 36 in time, 5 descriptors
    assert not {"SAPS-I", "SOFA", "Length_of_stay", "Survival", "RecordID"} & set(names)
    age = only_input(cohort).values[:, :, names.index("Age")]
    assert 15 <= np.nanmin(age) <= np.nanmax(age) <= 90


def test_time_format_of_events_and_admissions(files):
    header = "stay,time,variable,value\n"
    (files / "long.csv").write_text(
        header + "1,03.02.2024 10:00,HR,80\n1,03.02.2024 11:30,HR,90\n2,03.02.2024 09:00,HR,1\n"
    )
    (files / "labels.csv").write_text("stay,died,day\n1,0,03.02.2024 09:00\n2,1,04.02.2024 09:00\n")
    settings = {"columns": {"subject": None, "site": None, "admission": "day"}}
    cohort = read(files, **merged(settings, {"columns": {"time_format": "%d.%m.%Y %H:%M"}}))
    np.testing.assert_array_equal(only_input(cohort).values[0, :, 0], [80, 90, np.nan])
    assert cohort.samples["time"].dt.month.tolist() == [2, 2]
    with pytest.raises(DataError, match="3 values that are not times") as error:
        read(files, **settings)
    assert "time_format" in str(error.value)


def test_features_say_how_their_values_are_cleaned(files):
    cohort = read(
        files,
        values={"ranges": {"HR": (60, 85), "Urine": (0, 60)}},
        variables={"aggregate": {"Urine": "sum"}},
    )
    of = {f.name: f for f in only_input(cohort).features}
    assert (of["HR"].outside, of["HR"].missing_values) == ("missing", (-1,))
    assert of["Urine"].outside == "keep"  # the sum of a step may exceed one event's range

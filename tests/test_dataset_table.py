"""Tables: what becomes an input, a target or a patient, and what is refused."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest
from cohorts import only_input
from merging import merged

from medkit.core.errors import ConfigError, DataError, MedkitError
from medkit.datasets.table.table import table

CSV = """id,patient,sex,sbp,smoker,visit,died
a,007,F,120,True,2024-03-01,0
b,007,M,?,False,2024-03-02,1
c,08,F,135.5,,2024-03-05,1
d,9,,-1,True,2024-03-09,
"""


@pytest.fixture
def file(tmp_path):
    """Write a text as data.csv and return its path."""

    def write(text, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def read(path, **changes):
    settings = {
        "target": "died",
        "columns": {"subject": "patient", "id": "id", "time": "visit", "attributes": ("sex",)},
        "values": {
            "missing_values": {"sbp": ("?", -1)},
            "units": {"sbp": "mmHg"},
            "ranges": {"sbp": (50, 250)},
        },
    }
    return table(path=path, **merged(settings, changes))


def test_roles_types_and_missing_values(file):
    cohort = read(file(CSV))
    assert list(cohort.samples.index) == ["a", "b", "c"]
    assert list(cohort.samples["subject"]) == ["007", "007", "08"]
    assert cohort.samples["time"].dt.day.tolist() == [1, 2, 5]
    assert list(cohort.samples.columns) == ["subject", "time", "sex"]
    values = only_input(cohort).values
    assert list(values.columns) == ["sex", "sbp", "smoker"]
    np.testing.assert_array_equal(values["sbp"], [120, np.nan, 135.5])
    assert values["smoker"].tolist() == ["True", "False", None]
    kinds = {f.name: (f.kind, f.unit, f.low, f.high) for f in only_input(cohort).features}
    assert kinds["sbp"] == ("numeric", "mmHg", 50, 250)
    assert kinds["sex"][0] == kinds["smoker"][0] == "categorical"
    assert cohort.targets.tolist() == [0, 1, 1]
    assert cohort.targets.dtype == np.int64
    assert cohort.source.dropped == {"missing target": 1}
    assert cohort.source.rows_read == 4
    assert list(cohort.source.files) == ["data.csv"]


def test_formats_read_alike(file, tmp_path):
    expected = only_input(read(file(CSV))).values
    frame = pd.read_csv(file(CSV), dtype={"patient": str})
    frame.to_parquet(tmp_path / "data.parquet")
    frame.to_csv(tmp_path / "data.tsv", sep="\t", index=False)
    (tmp_path / "data.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    file("\ufeff" + CSV.replace(",", ";").replace(";sex", "; sex"), "semicolon.csv")
    for name in ("data.parquet", "data.tsv", "data.csv.gz", "semicolon.csv"):
        cohort = read(tmp_path / name)
        pd.testing.assert_frame_equal(only_input(cohort).values, expected)
        assert list(cohort.samples["subject"]) == ["007", "007", "08"], name


def test_without_an_id_the_row_number_is_the_id(file):
    cohort = table(path=file("x,y\n1,0\n2,\n3,1\n"), target="y")
    assert list(cohort.samples.index) == [1, 3]
    assert "subject" not in cohort.samples


def test_target_above_and_its_words(file):
    cohort = table(path=file("x,num\n1,0\n2,2\n3,\n4,1\n"), target={"column": "num", "above": 0})
    assert cohort.targets.tolist() == [0, 1, 1]
    assert cohort.source.label == "1 where 'num' is above 0"


def test_text_bool_and_several_targets(file):
    path = file("x,kind,ill,a,b\n1,EI,True,0,1\n2,N,False,1,1\n3,IE,,1,0\n")
    assert table(path=path, target="kind", columns={"inputs": ("x",)}).targets.tolist() == [
        "EI",
        "N",
        "IE",
    ]
    assert table(path=path, target="ill", columns={"inputs": ("x",)}).targets.tolist() == [
        True,
        False,
    ]
    several = table(path=path, target=("a", "b"), columns={"inputs": ("x",)})
    assert several.targets.tolist() == [[0, 1], [1, 1], [1, 0]]
    assert several.target_names == ("a", "b")


def test_codes_as_categories_are_the_same_text_in_every_file(file):
    whole = table(path=file("cp,y\n1,0\n2,1\n"), target="y", columns={"categorical": ("cp",)})
    gaps = table(path=file("cp,y\n1,0\n,1\n"), target="y", columns={"categorical": ("cp",)})
    assert only_input(whole).values["cp"].tolist() == ["1", "2"]
    assert only_input(gaps).values["cp"].tolist() == ["1", None]


def test_texts_of_codes_are_not_changed(file):
    path = file("icd,y\n038,0\n250.0,1\n250.00,0\n250,1\n")
    found = only_input(table(path=path, target="y", columns={"categorical": ("icd",)})).values[
        "icd"
    ]
    assert found.tolist() == ["038", "250.0", "250.00", "250"]


def test_none_is_a_category_and_missing_among_numbers(file):
    cohort = table(path=file("alcohol,x,y\nNone,1,0\nsome,None,1\nNA,3,1\n"), target="y")
    values = only_input(cohort).values
    assert values["alcohol"].tolist() == ["None", "some", None]
    np.testing.assert_array_equal(values["x"], [1, np.nan, 3])
    classes = table(path=file("x,y\n1,None\n2,mild\n"), target="y").targets
    assert classes.tolist() == ["None", "mild"]
    with pytest.raises(DataError, match=r"1 samples have no subject \(first at row 1\)"):
        table(path=file("x,y,p\n1,0,None\n2,1,b\n"), target="y", columns={"subject": "p"})


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("age 😀", "age 😀"),
        ("age\tyears", "age\tyears"),
        ('"age\nin years"', "age\nin years"),
        ('"age\r\nin years"', "age\nin years"),
        ('"age, in ""years"""', 'age, in "years"'),
        ("", "Unnamed: 1"),
        ("  ", "Unnamed: 1"),
        ('""', "Unnamed: 1"),
    ],
)
def test_any_name_of_a_column_is_its_name(file, header, name):
    rows = "".join(f"p{i},{20 + i},{i % 2}\n" for i in range(12))
    path = file(f"patient,{header},died\n{rows}")
    found = table(path=path, target="died", columns={"subject": "patient", "inputs": (name,)})
    assert only_input(found).values[name].tolist() == [20 + i for i in range(12)]
    with pytest.raises(DataError, match=rf"line {15 + header.count(chr(10))} has 2 fields"):
        table(path=file(f"patient,{header},died\n{rows}p12,1,1\np13,1\n"), target="died")


def test_a_name_with_a_line_break_as_excel_writes_it(file):
    rows = "".join(f"p{i},{20 + i},{i % 2}\r\n" for i in range(12))
    path = file('patient,"age\nin years",died\r\n' + rows)
    found = table(path=path, target="died", columns={"subject": "patient"})
    assert only_input(found).values["age\nin years"].tolist() == [20 + i for i in range(12)]
    assert found.targets.tolist() == [i % 2 for i in range(12)]


def test_columns_without_a_name_get_one_each(file, caplog):
    with caplog.at_level("WARNING", "medkit"):
        path = file(",x,,y\n" + "".join(f"{i},{i * i % 7},{-i % 5},{i % 2}\n" for i in range(12)))
        found = table(path=path, target="y")
    assert [*only_input(found).values] == ["x", "Unnamed: 2"]  # the first counts the rows
    assert "columns 1, 3 of data.csv have no name: called 'Unnamed: 0', 'Unnamed: 2'" in caplog.text


@pytest.mark.parametrize("separator", [";", "\t"])
def test_decimal_commas(file, separator):
    text = "crp;icd;y\n12,5;1,2;0,5\n-3;3,4;1\n?;5;2,25\n".replace(";", separator)
    found = table(
        path=file(text, "data.txt"),
        target="y",
        columns={"categorical": ("icd",)},
        values={"missing_values": {"crp": ("?",)}},
    )
    np.testing.assert_array_equal(only_input(found).values["crp"], [12.5, -3, np.nan])
    assert only_input(found).values["icd"].tolist() == ["1,2", "3,4", "5"]
    assert found.targets.tolist() == [0.5, 1, 2.25]
    row = file(text.split("\n")[0] + "\n" + separator.join(("?", "1,2", "0,5")), "row.txt")
    new = table(
        path=row,
        columns={"numeric": ("crp",), "categorical": ("icd",)},
        values={"missing_values": {"*": ("?",)}},
    )
    assert np.isnan(only_input(new).values["crp"]).all()


def test_decimal_commas_between_commas_must_be_declared(file):
    path = file('crp,y\n"12,5",0\n"1,5",1\n')
    with pytest.raises(DataError) as error:
        table(path=path, target="y")
    assert "column 'crp' holds numbers with a decimal comma" in str(error.value)
    assert 'Give source.decimal: ","' in str(error.value)
    found = only_input(table(path=path, target="y", source={"decimal": ","})).values["crp"]
    assert found.tolist() == [12.5, 1.5]


def test_times_are_read_alike_in_every_row(file):
    def days(texts, **columns):
        rows = "\n".join(f"{i},{i % 2},{text}" for i, text in enumerate(texts))
        path = file(f"x,y,t\n{rows}\n")
        cohort = table(path=path, target="y", columns={"time": "t", **columns})
        return cohort.samples["time"].dt.strftime("%Y-%m-%d").tolist()

    assert days(["05.01.2024", "13.02.2024"]) == ["2024-01-05", "2024-02-13"]
    assert days(["05/01/2024", "05/31/2024"]) == ["2024-05-01", "2024-05-31"]
    assert days(["2024-01-05", "2024-02-03 14:30"]) == ["2024-01-05", "2024-02-03"]
    assert days(["05.05.2024", "06.06.2024"]) == ["2024-05-05", "2024-06-06"]
    doubtful = ["05.01.2024", "06.02.2024"]
    assert days(doubtful, time_format="%d.%m.%Y") == ["2024-01-05", "2024-02-06"]
    with pytest.raises(DataError) as error:
        days(doubtful)
    assert "the dates in column 't' may be dd.mm.yyyy or mm.dd.yyyy: 2 different" in str(
        error.value
    )
    assert 'time_format: "%d.%m.%Y"' in str(error.value)
    assert "05" not in str(error.value).split("data.csv")[1]
    with pytest.raises(DataError, match=r"1 texts that are not dates \(first at row 2\) as dd.mm"):
        days(["05.01.2024", "2024-01-05"], time_format="%d.%m.%Y")
    with pytest.raises(DataError, match="time_format '%Q' is not a format"):
        days(doubtful, time_format="%Q")


def test_a_new_file_needs_no_readable_time(file):
    new = table(path=file("x,t\n1,soon\n"), columns={"time": "t"})
    assert "time" not in new.samples


def test_targets_written_as_text_are_numbers(tmp_path):
    frame = pd.DataFrame({"x": [1, 2, 3], "y": ["1.5", "2", "3"], "grade": ["0", "1", "3+"]})
    frame["code"] = ["250.0", "250.00", "038"]
    frame.to_parquet(tmp_path / "data.parquet")

    def targets(name):
        return table(
            path=tmp_path / "data.parquet", target=name, columns={"inputs": ("x",)}
        ).targets.tolist()

    assert targets("y") == [1.5, 2, 3]
    assert targets("grade") == ["0", "1", "3+"]
    assert targets("code") == ["250.0", "250.00", "038"]


def test_ignored_attribute_is_no_input(file):
    cohort = read(file(CSV), columns={"ignore": ("sex",)})
    assert "sex" in cohort.samples
    assert "sex" not in only_input(cohort).values


def test_new_file_without_target_subject_or_attributes(file):
    new = file("sbp,extra\n120,x\n?,y\n")
    cohort = read(new, target=None)
    assert cohort.targets is None
    assert list(cohort.samples.columns) == []
    np.testing.assert_array_equal(only_input(cohort).values["sbp"], [120, np.nan])


@pytest.mark.parametrize(
    ("outside", "found", "done"),
    [
        ("missing", [120, np.nan, np.nan], "taken as missing"),
        ("clip", [120, np.nan, 130], "set to the range's end"),
        ("keep", [120, np.nan, 135.5], "kept"),
    ],
)
def test_values_outside_their_range(file, outside, found, done):
    cohort = read(file(CSV), values={"ranges": {"sbp": (50, 130)}, "outside": outside})
    np.testing.assert_array_equal(only_input(cohort).values["sbp"], found)
    assert cohort.source.notes == (f"values outside their plausible range, {done}: 1 sbp",)


def test_a_range_includes_its_ends(file):
    cohort = read(file(CSV), values={"ranges": {"sbp": (120, 135.5)}})
    np.testing.assert_array_equal(only_input(cohort).values["sbp"], [120, np.nan, 135.5])
    assert cohort.source.notes == ()


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("", {}, "the file is empty (0 bytes)"),
        ("x,y\n", {}, "has a header but no rows"),
        ("\n\n", {}, "the first line is empty; a header is expected"),
        ("x,y,x\n1,2,3\n", {}, "the header names the column 'x' 2 times"),
        ("x,y\n1,2\n1,2,3\n", {}, "line 3 has 3 fields where the header has 2"),
        ("x,y\n1,2,3\n1,2,3\n", {}, "line 2 has 3 fields where the header has 2"),
        ('x,y\n1,2\n"1,2\n3,4\n', {}, "line 3 opens a quote that is never closed"),
        (b"x,y\n1,2\n\xe9,2\n", {}, "line 3 is not UTF-8 text"),
        ("x,y\n1,2\n", {"target": "z"}, "no target column called 'z'"),
        ("age,y\n1,2\n", {"target": "Y_"}, "no target column called 'Y_'; did you mean 'y'?"),
        ("age,y\n1,2\n", {"columns": {"inputs": ("agee",)}},
         "no input column called 'agee'; did you mean 'age'?"),
        ("age,y\n1,2\n", {"columns": {"subject": "patient"}}, "no subject column called 'patient'"),
        ("age,y\n1,2\n", {"columns": {"attributes": ("sex",)}}, "no attribute column called 'sex'"),
        ("age,y\n1,2\n", {"values": {"units": {"agee": "years"}}},
         "no column (named under units) called 'agee'; did you mean 'age'?"),
        ("x,y\n1,\n2,\n", {}, "every row lacks a target: 'y' is empty in all 2 rows"),
        ("x,y\n1,0.5\n2,\n3,high\n4,2.5\n5,3\n", {},
         "target column 'y' looks numeric but has text: 1 of 4 values, first at row 3\n"
         "  If they mean 'missing': values.missing_values: {y: [\"high\"]}."),
        ("x,y\n1,0.5\n2,\n3,inf\n4,2.5\n", {},
         "target column 'y' has 1 infinite values (first at row 3)"),
        ("x,y\n1,0\ninf,1\n-inf,1\n", {}, "column 'x' has 2 infinite values (first at row 2)"),
        ("x,y\n1,0\n2,1\n?,1\n", {},
         "column 'x' looks numeric but has text: 1 of 3 values, first at row 3\n"
         "  If they mean 'missing': values.missing_values: {x: [\"?\"]}."),
        ("x,y\n1,0\na,1\nb,1\n", {"columns": {"numeric": ("x",)}},
         "column 'x' has text where numbers are expected: 2 of 3 values, first at row 2"),
        ("x,y\n1,0\n", {"columns": {"inputs": ("x", "y")}}, "'y' is both input and target"),
        ("y\n1\n", {}, "no input column is left"),
        ("x,y\n1,0\n", {"columns": {"numeric": ("x",), "categorical": ("x",)}},
         "column 'x' is both numeric and categorical"),
        ("x,y\n1,0\n", {"values": {"ranges": {"x": (2, 1)}}}, "ranges.x: 2 is above 1"),
        ("x,y,k\n1,0,a\n2,1,a\n", {"columns": {"id": "k"}},
         "1 duplicate sample ids (first at row 2)"),
        ("x,y,k\n1,0,a\n2,1,\n", {"columns": {"id": "k"}},
         "column 'k' is empty in 1 rows (first at row 2)"),
        ("x,y,k\n1,0,a\n2,1,\n", {"columns": {"subject": "k"}},
         "1 samples have no subject (first at row 2)"),
        ("x,y,t\n1,0,2024-01-01\n2,1,soon\n", {"columns": {"time": "t"}},
         "column 't' holds 1 texts that are not dates (first at row 2)"),
        ("x,y,site,h\n1,0,a,b\n", {"columns": {"site": "h", "attributes": ("site",)}},
         "the attribute 'site' has the name that medkit gives to the site column, which is 'h'"),
        ("x,y\n1,a\n2,3\n", {"target": {"column": "y", "above": 0}},
         "column 'y' has text where numbers are expected: 1 of 2 values, first at row 1"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(file, text, settings, message):
    with pytest.raises(MedkitError) as error:
        table(path=file(text), **{"target": "y", **settings})
    assert message in str(error.value)


def test_missing_file_folder_and_strange_suffix(tmp_path, file):
    with pytest.raises(DataError, match="no such file") as error:
        table(path=tmp_path / "nowhere" / "x.csv", target="y")
    assert f"Nearest folder that exists: {tmp_path}" in str(error.value)
    with pytest.raises(DataError, match="is a folder where a table is expected"):
        table(path=tmp_path, target="y")
    with pytest.raises(DataError, match=r"'\.sav' files are not read as tables"):
        table(path=file("x", "data.sav"), target="y")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        table(path=file("x", "data.parquet"), target="y")
    with pytest.raises(DataError, match="not a readable gzip file"):
        table(path=file("x", "data.csv.gz"), target="y")


def test_dates_in_parquet_are_no_inputs(tmp_path):
    frame = pd.DataFrame({"when": pd.to_datetime(["2024-01-01", "2024-01-02"]), "y": [0, 1]})
    frame.to_parquet(tmp_path / "data.parquet")
    with pytest.raises(DataError, match="column 'when' holds dates, which are not inputs"):
        table(path=tmp_path / "data.parquet", target="y")


def test_identifier_as_input_is_refused_without_repeating_it(file):
    rows = "".join(f"Name{i},{i % 2}\n" for i in range(30))
    with pytest.raises(DataError) as error:
        table(path=file("who,y\n" + rows), target="y")
    assert "column 'who' has a different text in almost every row (30 in 30)" in str(error.value)
    assert "Name" not in str(error.value)
    mixed = "".join(f"{i},{i % 2}\n" for i in range(30)) + "MRN0123,1\n"
    with pytest.raises(DataError, match="looks numeric but has text") as error:
        table(path=file("who,y\n" + mixed), target="y")
    assert "MRN" not in str(error.value)


def test_heart_disease(real_data):
    cohort = table(
        path=real_data / "heart_disease" / "heart_disease_4sites.csv",
        target={"column": "num", "above": 0},
        columns={"site": "site", "attributes": ("sex",), "categorical": ("cp", "thal")},
        values={"missing_values": {"chol": (0,)}},
    )
    assert len(cohort) == 920
    assert int(cohort.targets.sum()) == 509
    assert cohort.samples["site"].nunique() == 4
    assert only_input(cohort).values.shape == (920, 13)
    assert only_input(cohort).values["chol"].min() > 0


def test_times_with_and_without_a_zone_are_not_subtracted(file):
    head, rest = "seen,adm,y\n", {"target": "y", "columns": {"time": "adm", "durations": ("seen",)}}
    zoned, bare = "2020-01-01T00:00+02:00", "2020-01-02T00:00"
    with pytest.raises(DataError, match="'seen' has a time zone where 'adm' has none"):
        table(path=file(f"{head}{zoned},{bare},0\n{zoned},{bare},1\n"), **rest)
    with pytest.raises(DataError) as error:
        table(path=file(f"{head}{bare},{bare}Z,0\n{bare},{bare},1\n"), **rest)
    assert "column 'adm' mixes times with a time zone and 1 without (first at row 2)" in str(
        error.value
    )
    # A day, as that of birth, has no zone; two zones are two ways to write a moment.
    found = table(
        path=file(f"{head}1950-01-01,{zoned},0\n1950-01-01,2020-01-01T00:00Z,1\n"), **rest
    )
    assert only_input(found).values["seen"].tolist() == pytest.approx([25566 + 22 / 24, 25567])


def test_times_with_a_zone_in_parquet_meet_days(tmp_path):
    frame = pd.DataFrame({
        "born": pd.to_datetime(["1950-01-01", "1960-01-01"]),
        "adm": pd.to_datetime(["2020-01-01", "2020-01-01"]).tz_localize("UTC"), "y": [0, 1],
    })  # fmt: skip
    frame.to_parquet(tmp_path / "data.parquet")
    columns = {"time": "adm", "durations": ("born",)}
    found = table(path=tmp_path / "data.parquet", target="y", columns=columns)
    assert only_input(found).values["born"].tolist() == [25567.0, 21915.0]


def test_a_dictionary_of_plain_mappings_from_python(file):
    path = file("temp,y\n98.6,0\n212,1\n")
    entry = {"unit": "°F", "convert_to": "°C", "low": 90, "high": 110}
    pytest.importorskip("pint")
    found = table(path=path, target="y", values={"dictionary": {"temp": entry}})
    assert only_input(found).values["temp"].tolist() == pytest.approx([37.0, np.nan], nan_ok=True)
    with pytest.raises(
        ConfigError, match=r"dictionary\.temp\.unitt: not a setting of 'temp'; did you mean 'unit'"
    ):
        table(path=path, target="y", values={"dictionary": {"temp": {"unitt": "°F"}}})

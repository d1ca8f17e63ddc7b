"""Tables read by column onto disk: the same cohort, caches that are whole or not there."""

from __future__ import annotations

import errno
import gzip
import os
import sqlite3
import stat
import sys

import numpy as np
import pandas as pd
import pytest
from cohorts import only_input
from merging import merged

from medkit.core.errors import DataError, RunError
from medkit.data.cohort import RawInput
from medkit.data.stored_columns import StoredColumns
from medkit.datasets.table import large as _large
from medkit.datasets.table.table import table
from medkit.modalities.tabular import Tabular
from medkit.readers import cache as _cache
from medkit.readers import sql_rows as _sql_rows
from medkit.readers.text import Text

N = 400
SETTINGS = {
    "target": "died",
    "columns": {"time": "seen", "durations": ("born",), "categorical": ("icd",)},
    "values": {
        "missing_values": {"crp": ("?",)},
        "ranges": {"sbp": (60, 250)},
        "units": {"sbp": "mmHg"},
    },
}


@pytest.fixture
def always_large(monkeypatch):
    """Switches to columns on disk, whatever the size."""

    def switch():
        monkeypatch.setattr(sys.modules["medkit.datasets.table.table"], "LARGE", -1)
        monkeypatch.setattr(_sql_rows, "IN_MEMORY", -1)
        monkeypatch.setattr(_sql_rows, "ROWS_A_PART", 30)

    return switch


def clinic(separator=","):
    """Lines of a table with gaps, stand-ins, truth values, codes, dates and decimal commas."""
    random = np.random.default_rng(0)
    lines = ["patient_id,died,seen,born,sbp,crp,smoker,icd,ward,hospital,answer"]
    for i in range(N):
        crp = "?" if i % 50 == 3 else "" if i % 7 == 0 else f"{random.normal(5, 1):.2f}"
        lines.append(",".join([
            f"{i // 2:04d}", str(i % 3 // 2) if i % 40 else "", f"2024-01-{i % 28 + 1:02d}",
            f"19{50 + i % 40}-05-01" if i % 9 else "", str(40 + 2 * (i % 120)) if i % 11 else "NA",
            crp, ("True", "False", "")[i % 3], f"{i % 60:03d}.{i % 2}",
            random.choice(["ICU", " med", "surgery", ""]), ("north", "south")[i % 2],
            ("None", "some")[i % 2],
        ]))  # fmt: skip
    if separator == ";":
        lines = [line.replace(".", "|").replace(",", ";").replace("|", ",") for line in lines]
        lines = [line.replace(",0;", ".0;").replace(",1;", ".1;") if n else line
                 for n, line in enumerate(lines)]  # fmt: skip
    return "\n".join(lines) + "\n"


def as_frame(values):
    frame = values.to_frame() if isinstance(values, StoredColumns) else values
    columns = {}
    for name in frame.columns:
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column):
            columns[name] = column.astype("float32")
        else:
            column = column.astype(object)
            columns[name] = column.where(column.notna(), None)
    return pd.DataFrame(columns)


def assert_same(found, expected):
    assert isinstance(only_input(found).values, StoredColumns)
    pd.testing.assert_frame_equal(as_frame(only_input(found).values),
                                  as_frame(only_input(expected).values))  # fmt: skip
    assert only_input(found).features == only_input(expected).features
    pd.testing.assert_frame_equal(found.samples, expected.samples)
    np.testing.assert_array_equal(found.targets, expected.targets)
    assert found.targets.dtype == expected.targets.dtype
    assert found.source == expected.source


@pytest.mark.parametrize("name", ["a.csv", "b.txt", "c.csv.gz", "d.parquet", "e.tsv"])
def test_the_cohort_is_the_same_on_disk_and_in_memory(tmp_path, always_large, name):
    path = tmp_path / name
    text = clinic(";" if name == "b.txt" else ",")
    if name.endswith(".parquet"):
        (tmp_path / "text.csv").write_text(text)
        frame = pd.read_csv(tmp_path / "text.csv", dtype={"patient_id": "str", "icd": "str"})
        frame.to_parquet(path)
    else:
        content = text.replace(",", "\t") if name == "e.tsv" else text
        path.write_bytes(gzip.compress(content.encode()) if "gz" in name else content.encode())
    expected = table(path=path, **SETTINGS)
    always_large()
    found = table(path=path, **SETTINGS)
    assert found.source.notes, "there must be something to be counted"
    assert_same(found, expected)
    assert found.samples["subject"].iloc[0] == "0000"
    assert {"site", "time"} <= {*found.samples}


@pytest.mark.parametrize("ordered", [True, False])
def test_rows_of_a_database_on_disk(tmp_path, always_large, ordered):
    pytest.importorskip("sqlalchemy")
    (tmp_path / "text.csv").write_text(clinic())
    frame = pd.read_csv(tmp_path / "text.csv", dtype={"patient_id": "str", "icd": "str"})
    frame.insert(0, "id", np.arange(N) + 1)
    base = sqlite3.connect(tmp_path / "h.sqlite")
    frame.to_sql("visits", base, index=False)
    base.close()
    query = "select * from visits" + " order by id" * ordered
    rows = {"path": tmp_path / "h.sqlite", "source": {"query": query}, "columns": {"id": "id"}}
    settings = merged(SETTINGS, rows)
    expected = table(**settings)
    always_large()
    found = table(**settings)
    assert isinstance(only_input(found).values, StoredColumns)
    order = [*expected.samples.index]
    assert sorted(found.samples.index) == sorted(order)
    assert ([*found.samples.index] == order) or not ordered
    again = table(**settings)
    assert [*again.samples.index] == [*found.samples.index]
    assert again.source.files == found.source.files
    mine = as_frame(only_input(found).values).set_axis(found.samples.index)
    theirs = as_frame(only_input(expected).values).set_axis(order)
    pd.testing.assert_frame_equal(mine.loc[order], theirs, check_names=False)


def test_encoded_rows_are_the_same_and_lie_on_disk(tmp_path, always_large, monkeypatch):
    path = tmp_path / "a.csv"
    path.write_text(clinic())
    expected = table(path=path, **SETTINGS)
    always_large()
    found = table(path=path, **SETTINGS)
    monkeypatch.setattr("medkit.data.stored_columns.ROWS_IN_MEMORY", 0)
    monkeypatch.setattr("medkit.data.stored_columns.BLOCK_ROWS", 64)
    monkeypatch.setattr(StoredColumns.blocks, "__defaults__", (64,))
    random = np.random.default_rng(1)
    rows = random.permutation(len(found))[:300]
    fitted = Tabular().fit(only_input(found.take(rows)))
    plain = Tabular().fit(only_input(expected.take(rows)))
    assert fitted.to_dict() == plain.to_dict()
    encoded = fitted.encode(only_input(found))
    assert isinstance(encoded, np.memmap)
    np.testing.assert_array_equal(encoded, plain.encode(only_input(expected)))
    np.testing.assert_array_equal(
        fitted.encode(only_input(found.take(rows[:70]))), encoded[rows[:70]]
    )
    dropping = [Tabular(missing="drop").fit(only_input(each)) for each in (found, expected)]
    assert dropping[0].to_dict() == dropping[1].to_dict()
    np.testing.assert_array_equal(
        dropping[0].keep(only_input(found)), dropping[1].keep(only_input(expected))
    )


def test_the_cache_is_for_its_owner_and_follows_the_file(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", logger="medkit")
    monkeypatch.setattr(_cache, "_RECENT", -1)
    path, cache = tmp_path / "a.csv", tmp_path / "cache"
    path.write_text(clinic())
    first = table(path=path, source={"cache": cache}, **SETTINGS)
    assert "inputs from the cache" not in caplog.text
    spooled = []
    real = Text.spooled
    monkeypatch.setattr(Text, "spooled", lambda *a: spooled.append(1) or real(*a))
    assert_same(table(path=path, source={"cache": cache}, **SETTINGS), first)
    assert "inputs from the cache" in caplog.text
    assert not spooled, "the text is not read again"
    whole = [each for each in cache.rglob("*") if each.is_file()]
    assert all(stat.S_IMODE(each.stat().st_mode) == 0o600 for each in whole)
    assert all(
        stat.S_IMODE(each.stat().st_mode) == 0o700 for each in cache.rglob("*") if each.is_dir()
    )
    assert not any(b"ICU,north" in each.read_bytes() for each in whole), "no copy of the text"

    path.write_text(clinic().replace("ICU", "HDU"))
    os.utime(path, ns=(1, 1))
    changed = table(path=path, source={"cache": cache}, **SETTINGS)
    assert "HDU" in set(as_frame(only_input(changed).values)["ward"])
    assert spooled
    assert "the contents of a.csv have changed since they were cached: read anew" in caplog.text
    assert len([e for e in cache.rglob("*") if e.is_file()]) == len(whole), "the old ones are gone"
    # Another setting, another entry.
    kept = table(path=path, source={"cache": cache}, **merged(SETTINGS, {"values": {"ranges": {}}}))
    assert not np.array_equal(only_input(kept).values["sbp"], only_input(changed).values["sbp"],
                              equal_nan=True)  # fmt: skip


def test_nothing_of_a_database_is_kept(tmp_path):
    pytest.importorskip("sqlalchemy")
    base = sqlite3.connect(tmp_path / "h.sqlite")
    pd.DataFrame({"a": [1.0, 2, 3], "y": [0, 1, 0]}).to_sql("t", base, index=False)
    base.close()
    cohort = table(
        path=tmp_path / "h.sqlite",
        source={"query": "select * from t order by a", "cache": tmp_path / "cache"},
        target="y",
    )
    assert isinstance(only_input(cohort).values, StoredColumns)
    assert only_input(cohort).values["a"].tolist() == [1, 2, 3]
    del cohort
    assert not list((tmp_path / "cache").iterdir())


def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch):
    path, cache = tmp_path / "a.csv", tmp_path / "cache"
    path.write_text(clinic())
    real = _large.write_column

    def full(folder, number, name, values):
        if number == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(folder, number, name, values)

    monkeypatch.setattr(_large, "write_column", full)
    with pytest.raises(RunError, match=r"No space left on device[\s\S]*dataset.source.cache"):
        table(path=path, source={"cache": cache}, **SETTINGS)
    assert not list(cache.rglob("column_*"))
    assert not list(cache.rglob("text.parquet"))
    monkeypatch.setattr(_large, "write_column", real)
    assert len(table(path=path, source={"cache": cache}, **SETTINGS)) == N - N // 40


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,y\n" + "1,2\n" * 3000 + "1,2,3\n", "line 3002 has 3 fields where the header has 2"),
        ("x,y\n1,2\n1\n", "line 3 has 1 fields where the header has 2"),
        ('x,y\n1,2\n"1,2\n3,4\n', "line 3 opens a quote that is never closed"),
        ('x,y\n1,"2\n3,4\n', "line 2 opens a quote that is never closed"),
        ("x,y\n1,0\n2,inf\n", "target column 'y' has 1 infinite values (first at row 2)"),
        ("x,y\n" + "1,2\n" * 60 + "a,2\n", "column 'x' looks numeric but has text: 1 of 61 values, "
         "first at row 61"),
        ("x,y\n" + "".join(f"n{i},2\n" for i in range(60)), "a different text in almost every row"),
    ],
)  # fmt: skip
def test_bad_text_is_refused_as_in_memory(tmp_path, always_large, text, message):
    always_large()
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError) as error:
        table(path=tmp_path / "a.csv", target="y")
    assert message in str(error.value)
    assert "n12" not in str(error.value)


def test_text_below_numbers_is_found_and_foreign_text_too(tmp_path, always_large):
    always_large()
    lines = ["code,name,y", *("1,a,0\n2,b,1" for _ in range(1500)), "x,café,1"]
    (tmp_path / "a.csv").write_bytes("\n".join(lines).encode("cp1252"))
    values = only_input(
        table(path=tmp_path / "a.csv", target="y", columns={"inputs": ("code", "name")})
    ).values
    assert set(values["code"].dropna()) == {"1", "2", "x"}
    assert values["name"].iloc[-1] == "café"


def test_utf_16_and_packed_text(tmp_path, always_large):
    always_large()
    text = "a;b;y\n" + "".join(f'{i},5;"ä;{i % 3}";{i % 2}\n' for i in range(3000))
    for name, content in (
        ("a.csv", text.encode("utf-16")), ("b.csv.gz", gzip.compress(text.encode("utf-8-sig"))),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(content)
        values = only_input(table(path=tmp_path / name, target="y")).values
        assert values["a"].iloc[[0, 2999]].tolist() == [0.5, 2999.5]
        assert values["b"].iloc[1] == "ä;1"
    (tmp_path / "c.csv.gz").write_bytes(gzip.compress(text.encode())[:-40])
    with pytest.raises(DataError, match="not a readable gzip file"):
        table(path=tmp_path / "c.csv.gz", target="y")


def test_rows_and_columns_of_stored_columns(tmp_path):
    frame = pd.DataFrame({"a": [1.0, np.nan, 3, 4], "b": ["x", None, "y", "x"]})
    frame["b"] = frame["b"].astype(object)
    from medkit.data.stored_columns import write_column

    parts = tuple(write_column(tmp_path, i, n, frame[n]) for i, n in enumerate(frame))
    stored = StoredColumns(parts, 4)
    assert stored.shape == (4, 2)
    taken = stored.iloc[np.array([3, 0, 1])].iloc[np.array([True, False, True])]
    assert taken["b"].tolist()[0] == "x"
    assert taken["a"].isna().tolist() == [False, True]
    assert taken.index.tolist() == [4, 2]
    assert [len(block) for block in stored.blocks(3)] == [3, 1]
    assert stored[["b"]].columns.tolist() == ["b"]
    assert len(RawInput("tabular", stored).take(np.array([2]))) == 1

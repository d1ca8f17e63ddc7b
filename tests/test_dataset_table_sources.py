"""Tables from packed and foreign text, Excel and databases; data dictionaries; durations."""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import os
import pwd
import secrets
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
from glob import glob
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from cohorts import only_input
from merging import merged

from medkit.core.errors import ConfigError, DataError, MedkitError
from medkit.datasets.table.table import table
from medkit.readers import sql as _sql
from medkit.readers import sql_rows as _sql_rows

CSV = "patient,sex,sbp,died\n007,F,120,0\n007,M,?,1\n08,F,135.5,1\n9,F,100,0\n"
KINDS = {
    "target": "died",
    "columns": {"subject": "patient"},
    "values": {"missing_values": {"sbp": ("?",)}},
}


@pytest.fixture
def file(tmp_path):
    def write(content, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(_sql, "PAUSES", (0.01, 0.02, 0.04))


# --- text -------------------------------------------------------------------------------------


def test_packed_text_reads_as_plain_text(file):
    expected = table(path=file(CSV), **KINDS)
    tabs = CSV.replace(",", "\t").encode()
    raw = CSV.encode()
    for name, content in (
        ("a.csv.gz", gzip.compress(raw)), ("a.tsv.gz", gzip.compress(tabs)),
        ("a.csv.zst", zstd_bytes(raw)), ("a.tsv.zst", zstd_bytes(tabs)),
    ):  # fmt: skip
        found = table(path=file(content, name), **KINDS)
        pd.testing.assert_frame_equal(only_input(found).values, only_input(expected).values)
        assert list(found.samples["subject"]) == ["007", "007", "08", "9"], name
        assert list(found.source.files) == [name]


def zstd_bytes(content: bytes) -> bytes:
    return pa.compress(content, codec="zstd", asbytes=True)


def test_damaged_archives_are_refused(file):
    whole = zstd_bytes(CSV.encode() * 1000)
    with pytest.raises(DataError, match="not a readable zstd file"):
        table(path=file(b"hello", "a.csv.zst"), **KINDS)
    with pytest.raises(DataError, match="not a readable zstd file"):
        table(path=file(whole[: len(whole) // 2], "b.csv.zst"), **KINDS)
    text = CSV.encode() + b"1,F,1,0\n" * 100_000
    packed = gzip.compress(text)
    with pytest.raises(DataError, match="not a readable gzip file"):
        table(path=file(packed[: len(packed) // 2], "c.csv.gz"), **KINDS)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("packed", [False, True])
def test_encodings_are_found_out(file, encoding, packed):
    text = "Größe,Klinik,krank\n1,Orléans à Nuit,0\n2,Tübingen (5 µg/m²),1\n3,Köln,1\n"
    content = text.encode(encoding)
    path = file(gzip.compress(content), "a.csv.gz") if packed else file(content)
    found = only_input(table(path=path, target="krank")).values
    assert list(found.columns) == ["Größe", "Klinik"]
    assert list(found["Klinik"]) == ["Orléans à Nuit", "Tübingen (5 µg/m²)", "Köln"]


@pytest.mark.parametrize("text", ["36,6 °C", "5 µg", "5 ± 2", "«non»"])
def test_signs_alone_are_western(file, text):
    content = f"x;note;y\n1;{text};0\n2;none;1\n".encode("cp1252")
    assert only_input(table(path=file(content), target="y")).values["note"].iloc[0] == text


def test_a_late_foreign_byte_is_found(file):
    text = "x,where,y\n" + "1,Koeln,0\n" * 5000 + "2,Köln,1\n"
    found = only_input(table(path=file(text.encode("cp1252")), target="y")).values
    assert found["where"].iloc[-1] == "Köln"


def test_encodings_that_cannot_be_told_are_asked_for(file):
    text = "x,where,y\n1,Москва,0\n2,Казань,1\n"
    with pytest.raises(DataError) as error:
        table(path=file(text.encode("cp1251")), target="y")
    assert "line 2 is not UTF-8 text" in str(error.value)
    assert "dataset.source.encoding: cp1252" in str(error.value)
    found = table(path=file(text.encode("cp1251")), target="y", source={"encoding": "cp1251"})
    assert list(only_input(found).values["where"]) == ["Москва", "Казань"]
    with pytest.raises(DataError, match="line 2 is not ascii text"):
        table(path=file(text), target="y", source={"encoding": "ascii"})
    for unknown in ("utf-99", "base64"):
        with pytest.raises(DataError, match=f"encoding '{unknown}' is not known"):
            table(path=file(text), target="y", source={"encoding": unknown})


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("age, years;sbp;y\n50;120;1\n60;130;0\n", ["age, years", "sbp"]),
        ("a|b|y\n1|2|0\n3|4|1\n", ["a", "b"]),
        ('"a;x";"b, c";y\n1,5;2;0\n3;4;1\n', ["a;x", "b, c"]),
        ("a;x,b,y\n1,2,0\n3,4,1\n", ["a;x", "b"]),
    ],
)
def test_delimiters_are_found_out(file, text, columns):
    assert list(only_input(table(path=file(text), target="y")).values.columns) == columns


def test_delimiters_can_be_given(file):
    path = file("a^b^y\n1^2^0\n3^4^1\n")
    found = only_input(table(path=path, target="y", source={"delimiter": "^"})).values
    assert found["b"].tolist() == [2, 4]
    with pytest.raises(DataError, match="delimiter '::' is not one character"):
        table(path=path, target="y", source={"delimiter": "::"})
    pd.DataFrame({"a": [1, 2], "y": [0, 1]}).to_parquet(path.with_suffix(".parquet"))
    with pytest.raises(DataError, match=r"delimiter means nothing for '\.parquet' files"):
        table(path=path.with_suffix(".parquet"), target="y", source={"delimiter": ";"})


# --- Excel ------------------------------------------------------------------------------------


@pytest.fixture
def workbook(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")

    def write(*sheets, name="data.xlsx"):
        book = openpyxl.Workbook()
        book.remove(book.active)
        for title, rows in sheets:
            sheet = book.create_sheet(title)
            for row in rows:
                sheet.append(row)
        book.save(tmp_path / name)
        return tmp_path / name

    return write


ROWS = [["patient", "sex", "sbp", "died"], ["007", "F", 120, 0], ["007", "M", "?", 1],
        [], ["08", "F", 135.5, 1], [9, "F", 100, 0]]  # fmt: skip


def test_excel_reads_as_text_does(workbook, file):
    found = table(path=workbook(("Data", ROWS), ("Empty", [])), **KINDS)
    expected = table(path=file(CSV), **KINDS)
    pd.testing.assert_frame_equal(only_input(found).values, only_input(expected).values)
    assert list(found.samples["subject"]) == ["007", "007", "08", "9"]
    assert found.targets.tolist() == [0, 1, 1, 0]


def test_excel_dates_decimal_commas_and_blanks(workbook):
    day = pd.Timestamp("2024-03-01").to_pydatetime()
    rows = [["t", "crp", "grade", "y"], [day, "1,5", "NA", 0], [day, "2,5", "II", 1]]
    path = workbook(("A", rows))
    found = table(path=path, target="y", columns={"time": "t"}, source={"decimal": ","})
    assert found.samples["time"].dt.day.tolist() == [1, 1]
    assert only_input(found).values["crp"].tolist() == [1.5, 2.5]
    assert only_input(found).values["grade"].tolist() == [None, "II"]


def test_sheets_are_chosen_by_name(workbook, file):
    path = workbook(("Notes", [["x", "y"], [5, 1]]), ("Labs", [["x", "y"], [1, 0], [2, 1]]))
    assert len(table(path=path, target="y", source={"sheet": "Labs"})) == 2
    with pytest.raises(DataError, match="has 2 sheets with data: Notes, Labs") as error:
        table(path=path, target="y")
    assert 'sheet: "Notes"' in str(error.value)
    with pytest.raises(DataError, match="no sheet called 'labs'; did you mean 'Labs'"):
        table(path=path, target="y", source={"sheet": "labs"})
    with pytest.raises(DataError, match=r"sheet means nothing for '\.csv' files"):
        table(path=file("x,y\n1,0\n"), target="y", source={"sheet": "Labs"})


def test_bad_workbooks_are_refused(workbook, file):
    with pytest.raises(DataError, match="not a readable Excel workbook"):
        table(path=file("x", "b.xlsx"), target="y")
    with pytest.raises(DataError, match="column 2 has no name in the sheet's first row"):
        table(path=workbook(("A", [["x", None, "y"], [1, 2, 0]])), target="y")
    with pytest.raises(DataError, match="every sheet is empty"):
        table(path=workbook(("A", [])), target="y")
    with pytest.raises(DataError, match="has a header but no rows"):
        table(path=workbook(("A", [["x", "y"]])), target="y")
    with pytest.raises(DataError, match="2 formulas of sheet 'A' have no computed value"):
        table(path=workbook(("A", [["x", "y"], ["=1+1", 0], ["=2+1", 1]])), target="y")
    with pytest.raises(DataError, match="names the column 'x' 2 times"):
        table(path=workbook(("A", [["x", "x", "y"], [1, 2, 0]])), target="y")


@pytest.mark.parametrize(
    ("package", "extra", "settings"),
    [
        ("openpyxl", "excel", {"path": Path("{folder}/a.xlsx")}),
        ("sqlalchemy", "sql", {"source": {"url": "sqlite:///a.sqlite", "query": "select 1"}}),
        ("sqlglot", "sql", {"source": {"url": "sqlite:///a.sqlite", "query": "select 1"}}),
        ("pint", "units", {"path": Path("{folder}/a.csv"), "target": "y", "values": {
            "dictionary": {"x": {"unit": "kg", "convert_to": "g"}}}}),
    ],
)  # fmt: skip
def test_missing_packages_name_their_extra(file, monkeypatch, tmp_path, package, extra, settings):
    import importlib.util

    file("x,y\n1,0\n2,1\n", "a.csv")
    file("x", "a.xlsx")
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == package else real(name, *a)
    )
    if "path" in settings:
        settings = {**settings, "path": tmp_path / settings["path"].name}
    with pytest.raises(DataError, match=rf"pip install 'keras-medkit\[{extra}\]'"):
        table(**settings)


# --- databases in a file ----------------------------------------------------------------------


ROWS_SQL = [("007", "F", 120.0, None, 0), ("007", "M", None, "2024-01-02", 1),
            ("08", "F", 135.5, "2024-01-03", 1)]  # fmt: skip


SELECT = "select sex, sbp, died from visits"


@pytest.fixture
def sqlite(tmp_path):
    pytest.importorskip("sqlalchemy")
    path = tmp_path / "hospital.sqlite"
    with sqlite3.connect(path) as base:
        base.execute("create table visits (patient text, sex text, sbp real, seen text, died int)")
        base.executemany("insert into visits values (?, ?, ?, ?, ?)", ROWS_SQL)
    base.close()
    return path


def test_sqlite_by_path_and_by_url(sqlite):
    kinds = {"target": "died", "columns": {"subject": "patient", "ignore": ("seen",)}}
    query = "select * from visits order by patient, sbp;"
    by_path = table(path=sqlite, source={"query": query}, **kinds)
    by_url = table(source={"url": f"sqlite:///{sqlite}", "query": query}, **kinds)
    pd.testing.assert_frame_equal(only_input(by_path).values, only_input(by_url).values)
    assert list(by_path.samples["subject"]) == ["007", "007", "08"]
    np.testing.assert_array_equal(only_input(by_path).values["sbp"], [np.nan, 120, 135.5])
    assert by_path.targets.tolist() == [1, 0, 1]
    assert by_path.source.files == by_url.source.files
    assert list(by_path.source.files) == ["sqlite:hospital.sqlite"]


def test_the_fingerprint_is_that_of_the_rows(sqlite):
    def hashed(query):
        found = table(
            path=sqlite,
            source={"query": query},
            target="died",
            columns={"ignore": ("patient", "seen")},
        )
        return found.source.files

    whole = hashed("select * from visits order by patient, sbp")
    assert whole == hashed("select v.* from visits v order by patient, sbp")
    assert whole != hashed("select * from visits order by patient, sbp desc")
    # Without an order of its own, the rows' order is not the database's.
    found = [hashed(f"select * from (select * from visits limit -1 offset 0) {tail}")
             for tail in ("where 1 = 1", "where died >= 0")]  # fmt: skip
    assert found[0] == found[1]
    with sqlite3.connect(sqlite) as base:
        base.execute("update visits set sbp = 121 where sbp = 120")
    base.close()
    assert whole != hashed("select * from visits order by patient, sbp")


def test_row_order_without_order_by_is_the_same(sqlite):
    def ids(rows):
        with sqlite3.connect(sqlite) as base:
            base.execute("delete from visits")
            base.executemany("insert into visits values (?, ?, ?, ?, ?)", rows)
        base.close()
        cohort = table(path=sqlite, source={"query": SELECT}, target="died")
        return only_input(cohort).values["sbp"].tolist(), cohort.source.files

    first, again = ids(ROWS_SQL), ids(ROWS_SQL[::-1])
    np.testing.assert_array_equal(first[0], again[0])
    assert first[1] == again[1]


def test_chunks_make_one_table(sqlite, monkeypatch):
    with sqlite3.connect(sqlite) as base:
        base.executemany(
            "insert into visits values (?, ?, ?, ?, ?)",
            [(f"p{i}", "F", None if i < 100 else i, None, i % 2) for i in range(1000)],
        )
    base.close()
    query = "select * from visits order by patient, sbp"
    whole = table(
        path=sqlite, source={"query": query}, target="died", columns={"ignore": ("patient", "seen")}
    )
    monkeypatch.setattr(_sql_rows, "CHUNK", 7)
    parts = table(
        path=sqlite, source={"query": query}, target="died", columns={"ignore": ("patient", "seen")}
    )
    pd.testing.assert_frame_equal(only_input(whole).values, only_input(parts).values)
    assert len(parts) == 1003
    assert only_input(parts).values["sbp"].dtype == "float64"
    assert whole.source.files == parts.source.files


def test_the_database_is_not_written_to(sqlite):
    with pytest.raises(DataError, match="is not one select statement"):
        table(path=sqlite, source={"query": "delete from visits"}, target="died")
    with sqlite3.connect(sqlite) as base:
        assert base.execute("select count(*) from visits").fetchone() == (3,)
    base.close()


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        # SQL Server needs no ';': these words would be statements of their own.
        ("select 1 shutdown", "SELECT 1 AS [shutdown]"),
        ("select * from t commit", "SELECT * FROM [t] AS [commit]"),
        ("select 1 from t exec('drop table x')", "SELECT 1 FROM [t] AS [exec]([drop table x])"),
        ("select a from t /* -- */ -- */ shutdown", "SELECT [a] FROM [t]"),
        ('select "x]y" from dbo.t where a = \'it\'\'s\'',
         "SELECT [x]]y] FROM [dbo].[t] WHERE [a] = 'it''s'"),
        ("with v as (select top 3 dbo.myAge(born) age from p with (nolock)) select * from v;",
         "WITH [v] AS (SELECT TOP 3 [dbo].myAge([born]) AS [age] FROM [p] WITH (nolock)) "
         "SELECT * FROM [v]"),
    ],
)  # fmt: skip
def test_sql_server_is_sent_what_was_understood(query, sent):
    got = []
    url = "mssql+pyodbc://u@h/d"
    _sql.streamed(url, query, 1, lambda address, text, *_: got.append(text))
    assert got == [sent]
    got.clear()
    _sql.streamed("postgresql+psycopg://u@h/d", VISITS, 1, lambda _, text, *__: got.append(text))
    assert got == [VISITS]


def test_a_locked_database_is_asked_again(sqlite, caplog):
    blocker = sqlite3.connect(sqlite, isolation_level=None)
    blocker.execute("begin exclusive")
    with caplog.at_level(logging.WARNING), pytest.raises(DataError) as error:
        table(path=sqlite, source={"query": SELECT, "timeout": 0.05}, target="died")
    assert "(tried 4 times); nothing was read" in str(error.value)
    assert sum("again in" in record.message for record in caplog.records) == 3
    blocker.execute("rollback")
    blocker.close()
    assert len(table(path=sqlite, source={"query": SELECT}, target="died")) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": {"query": None}}, "a database needs a query"),
        (
            {"source": {"query": "select * from visit"}},
            "the database refused: no such table: visit",
        ),
        (
            {"source": {"query": "select 1\nfrom where"}},
            "is not one select statement (cannot be read near 'where' in line 2)",
        ),
        ({"source": {"query": "select * from visits where died > 7"}}, "the query finds no rows"),
        (
            {"source": {"query": "select sex, sbp as sex, died from visits"}},
            "names the column 'sex' 2 times",
        ),
        ({"source": {"query": "select sex, sbp from visits"}}, "no target column called 'died'"),
        ({}, "column 'patient' holds numbers that are written as text"),
        ({"source": {"url": "sqlite:///x.sqlite"}}, "give either path or url, not both"),
    ],
)
def test_bad_queries_are_refused(sqlite, settings, message):
    query = {"source": {"query": "select * from visits"}}
    with pytest.raises(DataError) as error:
        table(**merged({"path": sqlite, "target": "died", **query}, settings))
    assert message in str(error.value)


def test_bad_addresses_are_refused(tmp_path, file):
    pytest.importorskip("sqlalchemy")
    for url, message in (
        ("hospital", "dataset.source.url: is not a database address"),
        ("postgresql://u:p@ss@host/db", "holds more than one '@'"),
        ("postgresql://host/db?user=u&password=x", "'password' must not be a parameter"),
        (f"sqlite:///{tmp_path}/nowhere.sqlite", "no such file"),
        ("oddbase://host/db", "the driver of oddbase is not installed"),
    ):
        with pytest.raises(DataError) as error:
            table(source={"url": url, "query": "select 1"}, target="y")
        assert message in str(error.value)
        assert "p@ss" not in str(error.value)
    assert not (tmp_path / "nowhere.sqlite").exists()
    with pytest.raises(DataError, match="give either path or url"):
        table(target="y")
    with pytest.raises(DataError, match="a query is for databases"):
        table(path=file("x,y\n1,0\n"), source={"query": "select 1"}, target="y")


def test_a_password_must_come_from_the_environment(monkeypatch):
    pytest.importorskip("sqlalchemy")
    with pytest.raises(DataError) as error:
        table(
            source={"url": "postgresql://u:hunter2@localhost:1/db", "query": "select 1"}, target="y"
        )
    assert "the password is written in the address, but in no environment variable" in str(
        error.value
    )
    assert "hunter2" not in str(error.value)


def test_duckdb(tmp_path):
    pytest.importorskip("duckdb_engine")
    import duckdb

    path = tmp_path / "hospital.duckdb"
    base = duckdb.connect(str(path))
    base.execute("create table visits (patient varchar, sbp decimal(5,1), ward varchar, t date, "
                 "smoker boolean, died int)")  # fmt: skip
    base.execute("insert into visits values ('007', 120.5, 'A', '2024-01-01', true, 0), "
                 "('08', null, '50%:x', '2024-01-02', null, 1)")  # fmt: skip
    base.close()
    query = "select * from visits where ward not like 'B%' order by patient"
    found = table(
        path=path,
        source={"query": query},
        target="died",
        columns={"subject": "patient", "time": "t"},
    )
    np.testing.assert_array_equal(only_input(found).values["sbp"], [120.5, np.nan])
    assert only_input(found).values["ward"].tolist() == ["A", "50%:x"]
    assert only_input(found).values["smoker"].tolist() == ["True", None]
    assert found.samples["time"].dt.day.tolist() == [1, 2]
    assert list(found.source.files) == ["duckdb:hospital.duckdb"]


# --- PostgreSQL -------------------------------------------------------------------------------

PASSWORD = "s3cr3t-" + secrets.token_hex(6)  # hexadecimal: needs no escapes in a URL


def as_postgres():
    """How to run a command as the user the server may run as: it refuses to be root."""
    if os.getuid() != 0:
        return {}
    try:
        found = pwd.getpwnam("postgres")
    except KeyError:
        return None
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Server:
    """A PostgreSQL server of its own, in a folder of its own."""

    def __init__(self, tools: Path, folder: Path, who: dict):
        self.tools, self.folder, self.who, self.port = tools, folder, who, free_port()
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self.run("initdb", "--username=hospital", "--auth=scram-sha-256", f"--pwfile={secret}",
                 "--no-sync", "--encoding=UTF8", "--locale=C")  # fmt: skip
        secret.unlink()
        self.start()

    def run(self, tool, *arguments):
        subprocess.run(
            [self.tools / tool, "-D", self.folder / "data", *arguments],
            check=True, cwd=self.folder, stdout=subprocess.DEVNULL, timeout=60, **self.who,
        )  # fmt: skip

    def start(self):
        settings = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        log = self.folder / "log"
        self.run("pg_ctl", "-w", "-o", settings, "-l", log, "start")

    def stop(self):
        self.run("pg_ctl", "-w", "-m", "immediate", "stop")

    def execute(self, *statements):
        import psycopg

        with psycopg.connect(host="127.0.0.1", port=self.port, user="hospital",
                             dbname="postgres", password=PASSWORD) as base:  # fmt: skip
            for statement in statements:
                base.execute(statement)

    def url(self, port=None, password="${DB_PASSWORD}"):
        return f"postgresql://hospital:{password}@127.0.0.1:{port or self.port}/postgres"


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("sqlalchemy")
    pytest.importorskip("psycopg")
    found = shutil.which("initdb") or next(
        iter(sorted(glob("/usr/lib/postgresql/*/bin/initdb"))), None
    )
    who = as_postgres()
    if found is None or who is None:
        pytest.skip("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    # Not in pytest's own folder, which no other user may enter.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if "user" in who:
            os.chown(folder, who["user"], who["group"])
        server = Server(Path(found).resolve().parent, folder, who)
        try:
            server.execute(
                "create table visits (id int primary key, patient text, seen timestamptz, born "
                "date, temp numeric(4,1), glucose float, sex char(1), smoker boolean, died int)",
                "insert into visits select i, 'p' || i / 2, timestamptz '2024-01-01 12:00+02' + i "
                "* interval '1 day', date '1950-01-01' + i, case when i % 9 = 0 then null else "
                "98.6 + i % 5 end, 90 + i % 40, case when i % 2 = 0 then 'F' else 'M' end, "
                "i % 3 = 0, (i * 7919 % 11 > 5)::int from generate_series(1, 300) i",
            )
            yield server
        finally:
            server.stop()


@pytest.fixture
def address(server, monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", PASSWORD)
    return server.url(password=PASSWORD)


VISITS = "select * from visits order by id"


def test_postgresql(address):
    found = table(
        source={"url": address, "query": VISITS},
        target="died",
        columns={"id": "id", "subject": "patient", "time": "seen", "durations": ("born",)},
    )
    values = only_input(found).values
    assert list(values.columns) == ["born", "temp", "glucose", "sex", "smoker"]
    assert values["temp"].isna().sum() == 33
    assert values["temp"].iloc[0] == pytest.approx(99.6)
    assert values["smoker"].tolist()[:3] == ["False", "False", "True"]
    # 2024-01-02 12:00+02 is 10:00 UTC.
    assert found.samples["time"].iloc[0] == pd.Timestamp("2024-01-02 10:00")
    assert values["born"].iloc[0] == pytest.approx(27028 - 1 + 10 / 24, abs=1.5)
    assert values["born"].nunique() == 1
    assert found.source.files.keys() == {"postgresql:postgres"}
    again = table(
        source={"url": address, "query": VISITS},
        target="died",
        columns={"id": "id", "subject": "patient", "time": "seen", "durations": ("born",)},
    )
    assert again.source.files == found.source.files


def test_a_cursor_reads_in_chunks(address, monkeypatch):
    monkeypatch.setattr(_sql_rows, "CHUNK", 50)
    found = table(
        source={"url": address, "query": "select glucose, died from visits"}, target="died"
    )
    assert len(found) == 300
    assert only_input(found).values["glucose"].sum() == sum(90 + i % 40 for i in range(1, 301))


def test_nothing_is_written_to_postgresql(address, server, monkeypatch):
    queries = [
        "delete from visits returning *",
        "drop table visits",
        "with gone as (delete from visits returning *) select * from gone",
        "select * into other from visits",
        "copy (select 1) to program 'true'",
        "select 1; commit; drop table visits",
    ]
    for query in queries:
        with pytest.raises(DataError, match="is not one select statement"):
            table(source={"url": address, "query": query}, target="died")
    # The server's own word, where the parser is passed by.
    monkeypatch.setattr(_sql, "checked_query", lambda query, *_: query)
    for query in queries:
        with pytest.raises(DataError, match=r"the database refused|returns no rows"):
            table(source={"url": address, "query": query}, target="died")
    assert (
        len(
            table(
                source={"url": address, "query": "select glucose, died from visits"}, target="died"
            )
        )
        == 300
    )


def test_messages_quote_no_patient(address):
    query = "select (patient || ' Smith')::int as x, died from visits"
    with pytest.raises(DataError, match="the database refused: InvalidTextRepresentation") as error:
        table(source={"url": address, "query": query}, target="died")
    assert "Smith" not in str(error.value)


def test_a_wrong_password_is_refused_at_once(server, monkeypatch, caplog):
    monkeypatch.setenv("DB_PASSWORD", "not-the-right-one")
    with caplog.at_level(logging.DEBUG), pytest.raises(DataError) as error:
        table(
            source={"url": server.url(password="not-the-right-one"), "query": VISITS}, target="died"
        )
    assert "password authentication failed" in str(error.value)
    assert "not-the-right-one" not in str(error.value) + caplog.text
    assert "again in" not in caplog.text
    assert error.value.__suppress_context__


def test_the_password_may_be_left_to_pgpassword(server, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    url = server.url(password="").replace(":@", "@")
    assert (
        len(table(source={"url": url, "query": "select glucose, died from visits"}, target="died"))
        == 300
    )


def test_a_database_that_is_down(address, server, caplog):
    url = address.replace(str(server.port), str(free_port()))
    with caplog.at_level(logging.INFO), pytest.raises(DataError) as error:
        table(source={"url": url, "query": VISITS}, target="died")
    assert "the connection failed" in str(error.value)
    assert "(tried 4 times); nothing was read" in str(error.value)
    assert "Is the database running" in str(error.value)
    assert PASSWORD not in str(error.value) + caplog.text
    assert caplog.text.count("again in") == 3


def test_a_database_that_is_slow(address, caplog):
    with caplog.at_level(logging.INFO), pytest.raises(DataError) as error:
        table(
            source={"url": address, "query": "select pg_sleep(30), 1 as died", "timeout": 0.3},
            target="died",
        )
    assert "(tried 4 times); nothing was read" in str(error.value)
    assert "dataset.source.timeout" in str(error.value)


class Relay(threading.Thread):
    """Passes a connection on, and cuts the first ``cuts`` of them after so many bytes."""

    def __init__(self, port, cuts, after, hang=False):
        super().__init__(daemon=True)
        self.target, self.cuts, self.after, self.hang = port, cuts, after, hang
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.seen = self.listener.getsockname()[1], 0

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.seen += 1
            base = socket.create_connection(("127.0.0.1", self.target))
            limit = self.after if self.seen <= self.cuts else None
            threading.Thread(target=self.pump, args=(client, base, None), daemon=True).start()
            threading.Thread(target=self.pump, args=(base, client, limit), daemon=True).start()

    def pump(self, source, sink, limit):
        passed = 0
        try:
            while content := source.recv(4096):
                passed += len(content)
                if limit is not None and passed > limit:
                    if self.hang:
                        time.sleep(3)
                    break
                sink.sendall(content)
        except OSError:
            pass
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("hang", [False, True], ids=["cut", "hangs"])
def test_a_connection_lost_midway_is_made_again(address, server, monkeypatch, caplog, hang):
    monkeypatch.setattr(_sql_rows, "CHUNK", 20)
    whole = table(
        source={"url": address, "query": VISITS},
        target="died",
        columns={"subject": "patient", "time": "seen", "ignore": ("born",)},
    )
    relay = Relay(server.port, cuts=2, after=8000, hang=hang)
    relay.start()
    url = address.replace(str(server.port), str(relay.port))
    with caplog.at_level(logging.INFO):
        found = table(
            source={"url": url, "query": VISITS, "timeout": 1 if hang else 60},
            target="died",
            columns={"subject": "patient", "time": "seen", "ignore": ("born",)},
        )
    assert caplog.text.count("again in") == 2
    assert relay.seen == 3
    pd.testing.assert_frame_equal(only_input(found).values, only_input(whole).values)
    assert found.source.files == whole.source.files
    relay.listener.close()


def test_a_connection_that_is_always_lost_gives_no_half_table(address, server):
    relay = Relay(server.port, cuts=99, after=8000)
    relay.start()
    url = address.replace(str(server.port), str(relay.port))
    with pytest.raises(DataError, match=r"\(tried 4 times\); nothing was read"):
        table(source={"url": url, "query": VISITS}, target="died", columns={"ignore": ("born",)})
    assert relay.seen == 4
    relay.listener.close()


CONFIG = """
name: from-postgres
dataset:
  name: table
  source:
    url: "{url}"
    query: select * from visits order by id
  columns: {{id: id, subject: patient, time: seen, durations: [born]}}
  target: died
  values: {{dictionary: dictionary.yaml}}
task: binary
model: {{name: mlp, hidden_units: [4]}}
training: {{epochs: 1}}
evaluation: {{bootstrap: 20, baselines: false, explanations: false}}
"""
DICTIONARY = """
temp: {unit: °F, convert_to: °C, low: 90, high: 110}
glucose: {unit: mg/dL, convert_to: mmol/L, molar_mass: 180.156, low: 95, high: 600}
sex: {categories: [F, M]}
"""


def test_a_run_from_postgresql(server, address, tmp_path):
    """Training keeps no password; prediction needs neither database nor dictionary."""
    pytest.importorskip("pint")
    import medkit
    from medkit.workflows.external import predict_file

    (tmp_path / "configs").mkdir()
    config = tmp_path / "configs" / "a.yaml"
    config.write_text(CONFIG.format(url=server.url()))
    (config.parent / "dictionary.yaml").write_text(DICTIONARY)
    run = medkit.train(config, out=tmp_path / "runs")
    for each in run.path.rglob("*"):
        if each.is_file():
            assert PASSWORD.encode() not in each.read_bytes(), each.name
    assert "${DB_PASSWORD}" in (run.path / "config.yaml").read_text()
    assert set(run.environment["data_sha256"]) == {"postgresql:postgres", "dictionary.yaml"}
    features = {each.name: each for each in run.encoder.features}
    assert (features["temp"].unit, features["temp"].file_unit) == ("°C", "°F")
    assert features["born"].unit == "days"
    assert features["glucose"].low == pytest.approx(95 / 18.0156)

    shutil.rmtree(config.parent)
    rows = "temp,glucose,sex,smoker,born,seen\n100.4,126.1092,F,True,1950-01-02,2024-01-02\n"
    new = tmp_path / "new.csv"
    new.write_text(rows + "200,90,X,True,,2024-01-02\n")
    found = predict_file(run, new)
    assert len(found) == 2
    as_read = pd.DataFrame({
        "temp": [38.0, np.nan], "glucose": [7.0, np.nan], "sex": ["F", None],
        "smoker": ["True", "True"], "born": [27028.0, np.nan],
    })  # fmt: skip
    expected = run.predict(as_read)
    np.testing.assert_allclose(found["probability"], expected["probability"], atol=1e-6)


# --- data dictionary --------------------------------------------------------------------------

LABS = "temp,glucose,sex,sbp,y\n98.6,90,F,120,0\n,180.156,M,-1,1\n113,9,X,400,1\n104,90,F,90,0\n"


@pytest.fixture
def labs(file):
    return file(LABS)


def read(path, file, text, name="dictionary.yaml", **values):
    return table(path=path, target="y", values={"dictionary": file(text, name), **values})


FULL = """
temp: {unit: °F, convert_to: °C, low: 90, high: 110, description: by ear}
glucose: {unit: mg/dL, convert_to: mmol/L, molar_mass: 180.156, low: 20, high: 600}
sex: {categories: [F, M]}
sbp: {unit: mmHg, low: 40, high: 300, missing_values: [-1], outside: clip}
"""


def test_dictionary(labs, file):
    pytest.importorskip("pint")
    found = read(labs, file, FULL)
    values, features = only_input(found).values, {f.name: f for f in only_input(found).features}
    np.testing.assert_allclose(values["temp"], [37, np.nan, np.nan, 40])
    np.testing.assert_allclose(values["glucose"], [90 / 18.0156, 10, np.nan, 90 / 18.0156])
    assert values["sex"].tolist() == ["F", "M", None, "F"]
    np.testing.assert_array_equal(values["sbp"], [120, np.nan, 300, 90])
    assert (features["temp"].unit, features["temp"].file_unit) == ("°C", "°F")
    assert features["temp"].low == pytest.approx((90 - 32) / 1.8)
    assert features["sbp"].missing_values == (-1,)
    assert found.source.notes == (
        "units converted: temp from °F to °C, glucose from mg/dL to mmol/L",
        "values outside their plausible range, taken as missing: 1 temp, 1 glucose",
        "values outside their plausible range, set to the range's end: 1 sbp",
        "values that are not a declared category, taken as missing: 1 sex",
    )
    assert set(found.source.files) == {"data.csv", "dictionary.yaml"}
    assert found.source.columns == {
        "temp": "input (numeric, °C)", "glucose": "input (numeric, mmol/L)",
        "sex": "input (categorical), attribute; by its name", "sbp": "input (numeric, mmHg)",
        "y": "target",
    }  # fmt: skip


def test_a_dictionary_as_csv_says_the_same(labs, file):
    pytest.importorskip("pint")
    text = (
        "name,unit,convert_to,molar_mass,low,high,missing_values,outside,categories\n"
        "temp,°F,°C,,90,110,,,\nglucose,mg/dL,mmol/L,180.156,20,600,,,\n"
        "sex,,,,,,,,F|M\nsbp,mmHg,,,40,300,-1|-9,clip,\n"
    )
    expected = read(labs, file, FULL.replace("[-1]", '["-1", "-9"]'))
    found = read(labs, file, text, "dictionary.csv")
    pd.testing.assert_frame_equal(only_input(found).values, only_input(expected).values)
    assert only_input(found).features == only_input(expected).features


@pytest.mark.parametrize(("unit", "low", "high"), [("°F", 98.6, 104.0), ("mg/dL", 90.0, 180.156)])
def test_a_range_still_includes_its_ends_after_conversion(labs, file, unit, low, high):
    pytest.importorskip("pint")
    name, to = ("temp", "°C") if unit == "°F" else ("glucose", "mmol/L")
    mass = ", molar_mass: 180.156" if name == "glucose" else ""
    entry = f"{name}: {{unit: {unit}, convert_to: {to}{mass}, low: {low}, high: {high}}}"
    kept = only_input(read(labs, file, entry)).values[name]
    assert kept.notna().sum() == (2 if name == "temp" else 3)


def test_a_converted_target(labs, file):
    pytest.importorskip("pint")
    dictionary = file("temp: {unit: °F, convert_to: °C}", "d.yaml")
    found = table(
        path=labs, target={"column": "temp", "above": 38}, values={"dictionary": dictionary}
    )
    assert found.targets.tolist() == [0, 1, 1]


def test_parameters_go_before_the_dictionary(labs, file):
    found = read(labs, file, "sbp: {unit: kPa, low: 1, high: 2, missing_values: [-1]}",
                 units={"sbp": "mmHg"}, ranges={"sbp": (100, 300)}, outside="keep")  # fmt: skip
    feature = next(f for f in only_input(found).features if f.name == "sbp")
    assert (feature.unit, feature.low, feature.high) == ("mmHg", 100, 300)
    np.testing.assert_array_equal(only_input(found).values["sbp"], [120, np.nan, 400, 90])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("sbp: {low: 40, high: 300}", "column 'sbp': 2 values lie outside the plausible range 40 "
         "to 300 (first in row 2)"),
        ("sex: {categories: [F, M]}", "column 'sex': 1 values are not a declared category "
         "(first at row 3)"),
    ],
)  # fmt: skip
def test_outside_may_fail(labs, file, entry, message):
    with pytest.raises(DataError) as error:
        read(labs, file, entry, outside="fail")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sbp: {lowest: 40}", "line 1   sbp.lowest: not a setting of a dictionary"),
        ("sbp:\n  low: 40\n  high: abc", "line 3   sbp.high: must be a number; got 'abc'"),
        ("sbp: {low: 5, high: 1}", "sbp.low: 5 is above 1 (high)"),
        ("sbp: {convert_to: kPa}", "sbp.convert_to: needs the unit to convert from"),
        ("sex: {categories: [F], unit: kg}", "numbers or categories"),
        ("sbp: 5", "must be a mapping"),
        ("sbp: {outside: drop}", "must be 'missing', 'clip', 'keep' or 'fail'; got 'drop'"),
        ("- sbp", "must be a mapping"),
    ],
)
def test_a_dictionary_with_mistakes(labs, file, text, message):
    with pytest.raises(ConfigError) as error:
        read(labs, file, text)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("height: {unit: cm}", "the data dictionary names none of the table's columns"),
        ("SBP: {unit: mmHg}\nsex: {categories: [F]}", "describes 'SBP'; the table's column is "
         "called 'sbp'"),
        ("sex: {unit: kg}", "column 'sex' has text where numbers are expected"),
        ("glucose: {unit: mg/dL, convert_to: mmol/L}", "glucose: mg/dL cannot become mmol/L\n  "
         "Between mass and amount of a substance, give its molar_mass"),
        ("sbp: {unit: mmHg, convert_to: kg}", "sbp: mmHg cannot become kg"),
        ("sbp: {unit: mmhgg, convert_to: kPa}", "sbp: the unit 'mmhgg' is not known"),
        ("sbp: {unit: 'm^^', convert_to: kPa}", "sbp: the unit 'm^^' is not known"),
    ],
)  # fmt: skip
def test_a_dictionary_that_does_not_fit(labs, file, text, message):
    pytest.importorskip("pint")
    with pytest.raises(DataError) as error:
        read(labs, file, text)
    assert message in str(error.value)


def test_a_dictionary_in_csv_with_mistakes(labs, file):
    for text, message in (
        ("name,unit\nsbp,mmHg\nsbp,kPa\n", "names 'sbp' twice"),
        ("name,unit\n,mmHg\nsbp,kPa\n", "has a row without a name"),
        ("column,unit\nsbp,mmHg\n", "no column called 'name'"),
    ):
        with pytest.raises(DataError) as error:
            read(labs, file, text, "d.csv")
        assert message in str(error.value)
    with pytest.raises(ConfigError, match=r"sbp.low: must be a number; got 'forty'"):
        read(labs, file, "name,low\nsbp,forty\n", "d.csv")


def test_a_dictionary_wider_than_the_table(labs, file, caplog):
    with caplog.at_level(logging.INFO):
        read(labs, file, "sbp: {unit: mmHg}\nglucoze: {unit: mg/dL}\nweight: {unit: kg}\n")
    assert "describes 2 columns that the table lacks: glucoze; did you mean 'glucose'?" in (
        caplog.text
    )
    assert "does not describe 4 columns: temp, glucose, sex, y" in caplog.text


def test_a_dictionary_in_the_config(tmp_path, labs):
    from medkit.config.experiment import check_config

    document = {
        "name": "a", "task": "binary", "model": "mlp",
        "dataset": {"name": "table", "path": str(labs), "target": "y",
                    "values": {"dictionary": {"sbp": {"unit": "mmHg", "low": 100}}}},
    }  # fmt: skip
    experiment = check_config(document, folder=tmp_path)
    values = only_input(table(**experiment.dataset.parameters)).values
    np.testing.assert_array_equal(values["sbp"], [120, np.nan, 400, np.nan])
    assert json.dumps(experiment.plain["dataset"]["values"]["dictionary"])


def test_path_or_url_is_checked_before_reading(tmp_path):
    from medkit.config.experiment import check_config

    document = {"name": "a", "task": "binary", "model": "mlp", "dataset": {"name": "table"}}
    with pytest.raises(ConfigError, match=r"dataset.path: is required \(or source.url\)"):
        check_config(document, folder=tmp_path)
    document["dataset"] |= {"path": "a.csv", "source": {"url": "sqlite:///a.sqlite"}}
    with pytest.raises(
        ConfigError, match=r"dataset.source.url: cannot be combined with path: give one"
    ):
        check_config(document, folder=tmp_path)


# --- durations and roles ----------------------------------------------------------------------

DATES = "seen,born,admitted,y\n2024-01-11,1950-01-01,2024-01-01,0\n2024-02-01,,2024-02-03 12:00,1\n"


def test_durations(file):
    found = table(
        path=file(DATES), target="y", columns={"time": "seen", "durations": ("born", "admitted")}
    )
    values = only_input(found).values
    np.testing.assert_array_equal(values["admitted"], [10, np.nan])
    np.testing.assert_array_equal(values["born"], [27038, np.nan])
    assert [f.unit for f in only_input(found).features] == ["days", "days"]
    assert found.source.notes == (
        "dates after the time of prediction, taken as missing: 1 admitted",
    )
    assert found.source.columns == {
        "seen": "time", "born": "input (numeric, days)", "admitted": "input (numeric, days)",
        "y": "target",
    }  # fmt: skip


def test_one_row_alone_has_the_same_durations(file):
    kinds = {"columns": {"time": "seen", "durations": ("born", "admitted"), "inputs": ("born",)}}
    row = "\n".join(DATES.split("\n")[:2]) + "\n"
    alone = only_input(table(path=file(row, "one.csv"), **kinds)).values
    assert alone.to_numpy().tolist() == [[27038, 10]]


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        (DATES, {"columns": {"durations": ("born",)}}, "durations need the time of prediction"),
        (DATES, {"columns": {"time": "seen", "durations": ("bron",)}}, "did you mean 'born'?"),
        (DATES, {"columns": {"time": "seen", "ignore": ("admitted",)}},
         "column 'born' holds dates, which"),
        ("t,d,y\n01.02.2024,13.01.2024,0\n02.02.2024,,1\n",
         {"columns": {"time": "t", "durations": ("d",)}},
         'time_format: "%d.%m.%Y"'),
        ("t,d,y\n2024-01-01,5,0\n2024-01-02,6,1\n", {"columns": {"time": "t", "durations": ("d",)}},
         "column 'd' holds numbers where dates are expected"),
    ],
)  # fmt: skip
def test_bad_durations_are_refused(file, text, settings, message):
    with pytest.raises(MedkitError) as error:
        table(path=file(text), target="y", **settings)
    assert message in str(error.value)


def test_dates_are_no_categories(file):
    rows = "".join(f"2024-01-0{1 + i % 3},{i},{i % 2}\n" for i in range(40))
    with pytest.raises(DataError, match="column 'ward' holds dates, which are not inputs as they"):
        table(path=file("ward,x,y\n" + rows), target="y")
    assert table(path=file("ward,x,y\n" + rows), target="y", columns={"categorical": ("ward",)})


def test_every_column_has_a_role(file):
    columns = {"attributes": ("sex",), "ignore": ("sbp",)}
    found = table(path=file(CSV), **merged(KINDS, {"columns": columns}))
    assert found.source.columns == {
        "patient": "subject", "sex": "input (categorical), attribute", "sbp": "ignore",
        "died": "target",
    }  # fmt: skip


# --- predictions for rows of a database -----------------------------------------------------------


def test_predict_for_rows_of_a_database(tmp_path, monkeypatch, capsys):
    pytest.importorskip("sqlalchemy")
    import medkit
    from medkit.cli import main
    from medkit.workflows.external import predict_file

    random = np.random.default_rng(0)
    frame = pd.DataFrame({
        "id": np.arange(1, 121), "age": random.normal(60, 9, 120).round(1),
        "ward": random.choice(["a", "b"], 120), "died": random.integers(0, 2, 120),
    })  # fmt: skip
    for name in ("old", "new"):
        base = sqlite3.connect(tmp_path / f"{name}.sqlite")
        frame.to_sql("visits", base, index=False)
        base.close()
    monkeypatch.setenv("BASE", str(tmp_path / "old.sqlite"))
    config = tmp_path / "a.yaml"
    config.write_text(
        "name: visits\ndataset:\n  name: table\n  source:\n    url: sqlite:///${BASE}\n"
        "    query: select * from visits order by id\n  target: died\n  columns: {id: id}\n"
        "task: binary\n"
        "model: {name: mlp, hidden_units: [2]}\ntraining: {epochs: 1}\n"
        "evaluation: {bootstrap: 0, baselines: false, explanations: false}\n"
    )
    run = medkit.train(config, out=tmp_path / "runs")
    query = "select id, age, ward from visits where id < 6 order by id"
    found = predict_file(run, None, query)
    assert found["sample"].tolist() == ["1", "2", "3", "4", "5"]
    expected = run.predict(frame.head(5))
    np.testing.assert_allclose(found["probability"], expected["probability"], atol=1e-6)
    monkeypatch.delenv("BASE")
    with pytest.raises(DataError, match="BASE"):
        predict_file(run, None, query)

    folder, new = str(run.path), str(tmp_path / "new.sqlite")
    assert main(["predict", folder, "--query", query, "--url", f"sqlite:///{new}"]) == 0
    assert capsys.readouterr().out.count("\n") == 6
    assert main(["predict", folder, "--query", query, "--input", new]) == 0
    assert capsys.readouterr().out.count("\n") == 6
    monkeypatch.setenv("NEW", new)
    assert main(["predict", folder]) == 2
    assert "give --input FILE, or --query for rows of a database" in capsys.readouterr().err
    with pytest.raises(DataError, match="nothing to predict for is named"):
        predict_file(run, None)
    for arguments, message in (
        (["--url", "sqlite:///${NEW}"], "a database needs a query"),
        (["--query", "select id, ward from visits", "--url", "sqlite:///${NEW}"], "missing: 'age'"),
        (["--query", query, "--url", "sqlite:///x", "--input", new], "either a file or a url"),
        (["--query", "vacuum into 'copy.db'", "--input", new], "is not one select statement"),
        (["--query", f"attach '{tmp_path}/new.db' as n", "--url", f"sqlite:///{new}"],
         "is not one select statement"),
        (["--query", query, "--url", f"sqlite:///{new}?mode=rwc"], "'mode' is not an option"),
        (["--query", query, "--url", "postgresql://me:geheim@127.0.0.1:1/x"],
         "the password is written in the address"),
    ):  # fmt: skip
        assert main(["predict", folder, *arguments]) == 1
        said = capsys.readouterr().err
        assert message in said, said
        assert "geheim" not in said

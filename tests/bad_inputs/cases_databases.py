"""Queries and addresses of databases: none may load code, write, or reach out."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from bad_inputs.case import Case, config

ROWS = [(f"p{i}", 20 + i, i % 2) for i in range(40)]


def sqlite(file: Path) -> None:
    with sqlite3.connect(file) as base:
        base.execute("create table visits (patient, age, died)")
        base.executemany("insert into visits values (?, ?, ?)", ROWS)
    base.close()


def duckdb(file: Path) -> None:
    import duckdb

    with duckdb.connect(str(file)) as base:
        base.execute("create table visits (patient varchar, age int, died int)")
        base.executemany("insert into visits values (?, ?, ?)", ROWS)
        base.execute(f"copy visits to '{file.parent / 'beside.parquet'}'")
        base.execute(f"create view filed as select * from '{file.parent / 'beside.parquet'}'")


FILES = {"h.sqlite": sqlite, "h.duckdb": duckdb, "evil.duckdb_extension": b"\x7fELF native code"}


def asked(name: str, file: str, query: str, words: str) -> Case:
    dataset = f"{{name: table, path: {file}, target: died, source: {{query: {query!r}}}}}"
    return Case(name, words, config(dataset), FILES)


def addressed(
    name: str, url: str, words: str | tuple[str, ...], query: str = "select * from visits"
) -> Case:
    source = f'{{url: "{url}", query: {query!r}, timeout: 1}}'
    return Case(name, words, config(f"{{name: table, target: died, source: {source}}}"), FILES)


NOT_ONE = "is not one select statement"
OFF = "reads nothing but the database itself"
QUERIES = {
    "copies to a file": "copy visits to '{folder}/out.csv'",
    "copies to a file within a select":
        "with a as (copy visits to '{folder}/out.csv') select * from visits",
    "loads an extension": "load '{folder}/evil.duckdb_extension'",
    "loads an extension before it selects":
        "load '{folder}/evil.duckdb_extension'; select * from visits",
    "loads an extension after it selects":
        "select * from visits; load '{folder}/evil.duckdb_extension'",
    "installs an extension": "install httpfs",
    "forces the installation of an extension": "force install httpfs from 'http://127.0.0.1:9'",
    "attaches another database": "attach '{folder}/new.db' as other",
    "attaches, then selects": "attach '{folder}/new.db' as other; select * from visits",
    "exports the database": "export database '{folder}/out'",
    "imports a database": "import database '{folder}'",
    "sets an option": "set enable_external_access = true",
    "resets an option": "reset enable_external_access",
    "is a pragma": "pragma enable_object_cache",
    "calls a procedure": "call pragma_version()",
    "drops a table": "drop table visits",
    "deletes": "delete from visits",
    "inserts": "insert into visits values ('x', 1, 1)",
    "updates": "update visits set died = 1",
    "inserts within a select":
        "with a as (insert into visits values ('x', 1, 1) returning *) select * from visits",
    "deletes within a select":
        "with a as (delete from visits returning *) select * from visits",
    "creates a table": "create table copy_of as select * from visits",
    "creates a macro": "create macro f(x) as x + 1",
    "creates a secret": "create persistent secret s (type s3, key_id 'a', secret 'b')",
    "writes a checkpoint": "checkpoint",
    "vacuums": "vacuum",
    "analyzes": "explain analyze select * from visits",
    "is prepared": "prepare q as select * from visits",
    "opens a transaction": "begin; select * from visits; commit",
    "is two selects": "select * from visits; select * from visits",
    "is empty": " ",
    "is a comment": "-- select * from visits",
    "is no SQL": "selec * from visits",
    "is a word": "visits",
    "is nested a thousand times": f"select {'(' * 5000}1{')' * 5000} from visits",
    "ends within a text": "select 'abc from visits",
}  # fmt: skip
SQLITE = {
    "attaches a file": "attach '{folder}/new.db' as other",
    "vacuums into a file": "vacuum into '{folder}/copy.db'",
    "loads an extension by a function": "select load_extension('{folder}/evil') from visits",
    "writes a file by a function": "select writefile('{folder}/out', 'x') from visits",
    "switches what protects it": "pragma query_only = 0; delete from visits",
    "sets a writable schema": "pragma writable_schema = 1",
    "replaces": "replace into visits values ('x', 1, 1)",
    "reindexes": "reindex",
    "creates a trigger": "create trigger t after insert on visits begin select 1; end",
    "detaches": "detach main",
}
OUTSIDE = {
    "reads another file": "select * from '{folder}/beside.parquet'",
    "reads another file as text": "select * from read_text('/etc/hostname')",
    "reads by a view over files": "select * from filed",
    "reads a network address": "select * from read_csv('http://127.0.0.1:9/x.csv')",
    "reads an S3 address": "select * from 's3://bucket/x.parquet'",
    "lists a folder": "select * from glob('/etc/*')",
}
MSSQL = {
    "has another server run a statement": "select * from OpenQuery(s, 'delete from visits')",
    "has another server run it, by a name in brackets":
        "select * from [openquery](s, 'delete from visits')",
    "opens another database": "select * from openrowset('a', 'b', 'delete from visits')",
    "reads another database": "select * from opendatasource('a', 'b').db.dbo.visits",
    "has a second statement after no semicolon": "select * from visits where died = 1 exec('x')",
    "writes to another table": "select * into other from visits",
    "is nested 300 times": f"select {'(' * 300}1{')' * 300} from visits",
}  # fmt: skip
ADDRESSES = {
    "duckdb:///{folder}/h.duckdb?allow_unsigned_extensions=true": "allow_unsigned_extensions",
    "duckdb:///{folder}/h.duckdb?enable_external_access=true": "enable_external_access",
    "duckdb:///{folder}/h.duckdb?access_mode=read_write": "access_mode",
    "duckdb:///{folder}/h.duckdb?custom_extension_repository=http://127.0.0.1": "custom_extension",
    "duckdb:///{folder}/h.duckdb?extension_directory={folder}": "extension_directory",
    "duckdb:///:memory:?allow_unsigned_extensions=true": "allow_unsigned_extensions",
    "sqlite:///{folder}/h.sqlite?mode=rwc": "mode",
    "sqlite:///{folder}/h.sqlite?uri=true": "uri",
    "sqlite:///{folder}/h.sqlite?plugin=any": "plugin",
    "sqlite://?cache=shared": "cache",
    "postgresql+psycopg://u@h/d?service=evil": "service",
    "postgresql+psycopg://u@h/d?passfile=/etc/shadow": "passfile",
    "postgresql+psycopg://u@h/d?options=-c%20default_transaction_read_only=off": "options",
    "postgresql+psycopg2://u@h/d?gsslib=gssapi": "gsslib",
    "postgresql+psycopg://u@h/d?sslkey=pkcs11:/tmp/evil.so": "sslkey",
    "mysql+pymysql://u@h/d?local_infile=1": "local_infile",
    "mysql+pymysql://u@h/d?init_command=drop%20table%20visits": "init_command",
    "mysql+mysqldb://u@h/d?read_default_file=/tmp/my.cnf": "read_default_file",
    "mysql+mysqldb://u@h/d?plugin_dir=/tmp": "plugin_dir",
    "mariadb+mariadbconnector://u@h/d?plugin_dir=/tmp": "plugin_dir",
    "mssql+pyodbc://u@h/d?odbc_connect=Driver=/tmp/evil.so": "odbc_connect",
    "mssql+pyodbc://u@h/d?driver=/tmp/evil.so": "driver",
    "oracle+oracledb://u@h/d?thick_mode=true": "thick_mode",
    "oracle+oracledb://u@h/d?config_dir=/tmp": "config_dir",
    "oddbase://u@h/d?anything=1": "anything",
}
CASES = [
    *(asked(f"duckdb: a query that {k}", "h.duckdb", q, NOT_ONE) for k, q in QUERIES.items()),
    *(asked(f"sqlite: a query that {k}", "h.sqlite", q, NOT_ONE) for k, q in QUERIES.items()),
    *(
        asked(f"sqlite: a query that {k} itself", "h.sqlite", q,
              "the database refused" if q.startswith("select") else NOT_ONE)
        for k, q in SQLITE.items()
    ),
    asked(
        "duckdb: a query that asks for a copy by a function", "h.duckdb",
        "select * from query('copy visits to ''{folder}/out.csv''')", "the database refused",
    ),
    *(asked(f"duckdb: a query that {k}", "h.duckdb", q, OFF) for k, q in OUTSIDE.items()),
    *(
        addressed(f"mssql: a query that {k}", "mssql+pyodbc://u@h/d", NOT_ONE, q)
        for k, q in MSSQL.items()
    ),
    *(
        addressed(f"an address with {option} ({url[:12]})", url, (option, "address"))
        for url, option in ADDRESSES.items()
    ),
]  # fmt: skip


def crafted(dataset: str):
    """A run from elsewhere whose config names another data set, with hashes that are right."""

    def make(file: Path) -> None:
        import yaml

        from medkit.runs.run import seal

        config = yaml.safe_load(file.read_text())
        config |= {"dataset": yaml.safe_load(dataset), "folder": ".."}
        file.write_text(yaml.safe_dump(config))
        seal(file.parent)

    return make


def stranger(name: str, dataset: str, command: str, words: str | tuple[str, ...]) -> Case:
    return Case(name, words, None, FILES | {"run/config.yaml": crafted(dataset)}, command)


OPEN = "duckdb:///h.duckdb?allow_unsigned_extensions=true"
LOADS = "\"load 'evil.duckdb_extension'; select * from visits\""
PLAIN = "{name: table, path: visits.csv, target: died}"
CASES += [
    stranger("a run whose data are a DuckDB that loads code, evaluated",
             f'{{name: table, target: died, source: {{url: "{OPEN}", query: {LOADS}}}}}',
             "evaluate {run}", ("allow_unsigned_extensions", "address")),
    stranger("a run whose query loads code, evaluated",
             f"{{name: table, path: h.duckdb, target: died, source: {{query: {LOADS}}}}}",
             "evaluate {run}", NOT_ONE),
    stranger("a run whose query loads code, recalibrated",
             f"{{name: table, path: h.duckdb, target: died, source: {{query: {LOADS}}}}}",
             "evaluate {run} --recalibrate slope", NOT_ONE),
    stranger("a run whose address loads code, asked to predict",
             f'{{name: table, target: died, source: {{url: "{OPEN}", query: select 1}}}}',
             "predict {run} --query 'select * from visits'", "allow_unsigned_extensions"),
    *(
        stranger(f"predict --query that {k}", PLAIN, f'predict {{run}} -i {file} --query "{q}"',
                 NOT_ONE)
        for k, file, q in (
            ("loads an extension", "h.duckdb", "load 'evil.duckdb_extension'"),
            ("copies to a file", "h.duckdb", "copy visits to 'out.csv'"),
            ("copies within a select", "h.duckdb",
             "with a as (copy visits to 'out.csv') select * from visits"),
            ("attaches", "h.sqlite", "attach 'new.db' as n"),
            ("vacuums into a file", "h.sqlite", "vacuum into 'new.db'"),
            ("installs", "h.duckdb", "install httpfs"),
        )
    ),
]  # fmt: skip

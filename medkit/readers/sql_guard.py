"""What a config may ask of a database: one select, of an address that loads and writes nothing."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from medkit.core.errors import DataError

# What may stand behind an address's '?', by database. A driver's other options can load code, run
# statements, read other settings or open a database for writing.
OPTIONS = {
    "postgresql": ("host", "port", "sslmode", "sslrootcert", "sslcert", "connect_timeout",
                   "application_name", "target_session_attrs", "channel_binding", "gssencmode",
                   "krbsrvname"),
    "mysql": ("charset", "unix_socket", "ssl_ca", "ssl_cert", "ssl_check_hostname",
              "connect_timeout"),
    "mssql": ("driver", "Encrypt", "TrustServerCertificate", "ApplicationIntent",
              "Trusted_Connection", "authentication", "LoginTimeout"),
    "oracle": ("service_name",),
}  # fmt: skip
OPTIONS["mariadb"] = OPTIONS["mysql"]
# Values by which these options name code: an ODBC driver's own file.
_CODE = {"driver": r"[/\\]"}
# DuckDB reads its own file and nothing else: no other file, no address, no extension.
DUCKDB = {
    "enable_external_access": "false",
    "allow_unsigned_extensions": "false",
    "allow_community_extensions": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "lock_configuration": "true",
}
# Said first in each connection, to databases that know it.
READ_ONLY = {
    "postgresql": "SET TRANSACTION READ ONLY",
    "mysql": "SET SESSION TRANSACTION READ ONLY",
    "mariadb": "SET SESSION TRANSACTION READ ONLY",
    "oracle": "SET TRANSACTION READ ONLY",
    "sqlite": "PRAGMA query_only = ON",
}
_DIALECTS = {"postgresql": "postgres", "mariadb": "mysql", "mssql": "tsql"}


def check_options(address: Any) -> None:
    """Raise a DataError where an address has an option that no config needs."""
    kind = address.get_backend_name()
    known = OPTIONS.get(kind, ())
    for name, value in address.query.items():
        if name not in known or re.search(_CODE.get(name, r"\0"), str(value)):
            listed = f"It may have: {', '.join(known)}." if known else "It may have none."
            raise DataError(
                f"'{name}' is not an option that an address of {kind} may have"
                + (" with this value" if name in known else ""),
                place="dataset.source.url",
                hint=f"{listed} Others may load code or write.",
            )


def checked_query(query: str, kind: str, place: Path) -> str:
    """A query as it is to be sent, if it is one select statement, also within.

    To SQL Server goes what the parser understood, every name in brackets: it needs no ';', so
    that ``select 1 shutdown``, read as a column's name, would be two statements there.

    Args:
        query: The text.
        kind: The database's kind, as SQLAlchemy names it.
        place: The database, for messages.

    Raises:
        DataError: It is something else.
    """
    import sqlglot
    from sqlglot import exp

    dialect = _DIALECTS.get(kind, kind)
    logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of what is refused below
    try:
        found = sqlglot.parse(query, dialect if sqlglot.Dialect.get(dialect) else None)
        statements = [one for one in found if one is not None and type(one) is not exp.Semicolon]
        if kind == "mssql":
            query = ";".join(
                each.sql(dialect, identify=True, comments=False, normalize_functions=False)
                for each in statements
            )
    except sqlglot.ParseError as error:
        first = error.errors[0]
        why = f"cannot be read near '{first['highlight']}' in line {first['line']}"
        raise _refused(why, place) from None
    except (sqlglot.errors.SqlglotError, RecursionError) as error:
        deep = isinstance(error, RecursionError)
        raise _refused("nested too deeply" if deep else "a text has no end", place) from None
    if len(statements) != 1:
        raise _refused(f"it has {len(statements)} statements", place)
    (statement,) = statements
    writes = (exp.DML, exp.DDL, exp.Command, exp.Into)
    inner = (each.this for each in statement.find_all(exp.CTE))
    if (
        not isinstance(statement, exp.Query)
        or any(not isinstance(each, exp.Query) for each in statement.find_all(*writes))
        or any(not isinstance(each, exp.Query | exp.Values) for each in inner)
    ):
        raise _refused("it does more than select", place)
    if re.search(r"/\*M?!", query):
        raise _refused("it holds a comment that MySQL runs", place)
    if kind == "mssql" and re.search(r"\bopen(query|rowset|datasource)\b", query, re.I):
        raise _refused("it asks another server or file", place)
    return query


def _refused(why: str, place: Path) -> DataError:
    return DataError(
        f"the query is not one select statement ({why})",
        place=str(place),
        hint="Write a single select (or with … select). What it cannot say can be a view in the "
        "database.",
    )

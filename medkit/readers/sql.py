"""Rows of a database: any that SQLAlchemy knows, read whole or not at all."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import re
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from medkit.core.errors import DataError
from medkit.core.files import existing
from medkit.core.lazy import pd
from medkit.readers.cache import Store
from medkit.readers.sql_guard import check_options, checked_query
from medkit.readers.sql_rows import StoredQuery, TooSlow, gathered
from medkit.readers.tables import Table, check_names
from medkit.readers.values import with_dates

log = logging.getLogger("medkit")

# Databases in a file, by its suffix.
EMBEDDED = {".sqlite": "sqlite", ".sqlite3": "sqlite", ".db": "sqlite", ".duckdb": "duckdb"}
# Seconds before each further attempt.
PAUSES: tuple[float, ...] = (1.0, 2.0, 4.0)
_EXAMPLE = 'As in url: "postgresql+psycopg://user:${DB_PASSWORD}@host/database".'
# What a further attempt cannot fix, though drivers report it as they report a lost connection.
_FINAL = re.compile(
    r"authentication failed|no password supplied|does not exist|permission denied|no such table|"
    r"no such column|no such function|not authorized|syntax error|unable to open|not a database|"
    r"readonly|read-only", re.I
)  # fmt: skip


def database_of(path: Path | None, url: str | None, query: str | None, example: str) -> str | None:
    """The address of the database that a data set's parameters name; None where that is a file.

    Args:
        path: A file, or a database in a file.
        url: An address as SQLAlchemy takes it.
        query: The select statement.
        example: Such a statement, for messages.

    Raises:
        DataError: A database without a query, a query without a database, or both or neither of
            path and url.
    """
    if (path is None) == (url is None):
        raise DataError("give either path or url" + (", not both" if url else ""), place="dataset")
    place = "dataset.source.url" if path is None else str(path)
    if path is not None and (kind := EMBEDDED.get(path.suffix.lower())):
        url = f"{kind}:///{existing(path)}"
    if url is not None and query is None:
        hint = f"As in query: {example}."
        raise DataError("a database needs a query", place=place, hint=hint)
    if url is None and query is not None:
        raise DataError("a query is for databases", place=place, hint="Leave query out.")
    return url


def open_query(url: str, query: str, timeout: float, store: Store | None = None) -> Table:
    """The result of a query as a table, read whole; nothing is written to the database.

    A database that is down, slow or lost midway is asked again from the beginning. Rows of a query
    without ``order by`` are put in an order of their own, so that they are the same each time.

    Args:
        url: Address as SQLAlchemy takes it; a password in it must come from the environment.
        query: One select statement.
        timeout: Seconds to wait for a connection, and for each further part of the rows.
        store: Where rows go that are too many for memory; None: a temporary folder.

    Raises:
        DataError: The address or the query is wrong, the database cannot be reached, or no row
            is found. No message holds the password.
    """
    place = known_as(url)[2]
    rows: Any
    names, rows = streamed(url, query, timeout, partial(gathered, store=store or Store(None)))
    check_names(names, place)
    stored = isinstance(rows, StoredQuery)
    rows = rows if stored else with_dates(rows)
    marks = rows.marks() if stored else pd.util.hash_pandas_object(rows, index=False).to_numpy()
    if not re.search(r"\border\s+by\b", query, re.I):
        log.info("the query has no 'order by': its rows are put in an order of their own")
        order = np.argsort(marks, kind="stable")
        marks = marks[order]
        if stored:
            rows.order = order
        else:
            rows = rows.iloc[order]
    digest = hashlib.sha256("\0".join(names).encode() + marks.tobytes()).hexdigest()

    def read(columns: Sequence[str] | None = None, **_: Any) -> pd.DataFrame:
        return rows if columns is None else rows[list(columns)]

    size = 8 * rows.count * len(names) if stored else 0
    return Table(names, place, rows if stored else read, lambda: {str(place): digest}, size)


def streamed(
    url: str, query: str, timeout: float, attempt: Callable[[Any, str, float, Path], Any]
) -> Any:
    """What ``attempt(address, query, timeout, place)`` returns, tried again as `open_query` does.

    Args:
        url, query, timeout: As `open_query` has them.
        attempt: Reads all rows and leaves nothing behind where it fails.

    Raises:
        DataError: As in `open_query`.
    """
    address, secrets, place = known_as(url)
    import sqlalchemy.exc

    query = checked_query(query, address.get_backend_name(), place)
    tried = 0
    for pause in (*PAUSES, None):
        tried += 1
        try:
            return attempt(address, query, timeout, place)
        except (sqlalchemy.exc.NoSuchModuleError, ModuleNotFoundError) as error:
            raise DataError(
                f"the driver of {address.drivername} is not installed ({error})",
                place=str(place),
                hint="pip install 'keras-medkit[sql]' for SQLite, DuckDB and PostgreSQL.",
            ) from None
        except sqlalchemy.exc.DBAPIError as error:
            text = _first_line(error.orig, secrets)
            if not _is_passing(error, text):
                raise _refused(error, text, place) from None
            failure = f"the connection failed: {text}"
        except TooSlow:
            failure = f"no answer within {timeout:g} s"
            if address.get_backend_name() in EMBEDDED.values():
                break  # it computes here, and would no sooner be done
        if pause is None:
            break
        # Without the driver's own words: they may name what a log must not hold.
        log.warning("%s did not answer; again in %g s", place, pause)
        time.sleep(pause)
    raise DataError(
        f"{failure} (tried {tried} times); nothing was read",
        place=str(place),
        hint="Is the database running, and can it be reached from here? A slow query can be "
        "given longer: dataset.source.timeout, in seconds.",
    )


def known_as(url: str) -> tuple[Any, tuple[str, ...], Path]:
    """The address, the texts that no message may hold, and the name that stands for it.

    Raises:
        DataError: The address is wrong, or holds a password that is in no environment variable.
    """
    for package in ("sqlalchemy", "sqlglot"):
        if importlib.util.find_spec(package) is None:
            raise DataError(
                f"databases need the package {package}, which is not installed",
                place="dataset.source.url",
                hint="pip install 'keras-medkit[sql]'",
            )
    address, secrets = _address(url)
    place = Path(f"{address.get_backend_name()}:{Path(address.database or 'memory').name}")
    return address, secrets, place


def _address(url: str) -> tuple[Any, tuple[str, ...]]:
    """The address, and the texts that no message may hold."""
    import sqlalchemy

    # 'from None' here and below: a traceback must not show what a message may not.
    url = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url)
    try:
        address = sqlalchemy.make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise DataError(
            "is not a database address", place="dataset.source.url", hint=_EXAMPLE
        ) from None
    if url.partition("?")[0].count("@") > 1:
        raise DataError(
            "holds more than one '@'",
            place="dataset.source.url",
            hint="In a password '@' is written %40 and '%' is %25. Or leave the password out and "
            "set PGPASSWORD.",
        )
    hidden = [key for key in address.query if re.search("pass|pwd|secret|token|key", key, re.I)]
    if hidden:
        raise DataError(
            f"'{hidden[0]}' must not be a parameter of the address",
            place="dataset.source.url",
            hint=_EXAMPLE,
        )
    check_options(address)
    if not address.password:
        return _file_address(address), ()
    given = re.search(r"://[^:/@]*:([^@]*)@", url)
    secret = given[1] if given else str(address.password)
    if not any(secret == value or f":{secret}@" in value for value in os.environ.values()):
        raise DataError(
            "the password is written in the address, but in no environment variable",
            place="dataset.source.url",
            hint=f"{_EXAMPLE} A run keeps its config, and with it what is written there.",
        )
    return address, (secret, str(address.password))


def _file_address(address: Any) -> Any:
    """The address of an embedded database, opened for reading only."""
    kind, file = address.get_backend_name(), address.database
    if kind not in EMBEDDED.values() or not file or file == ":memory:":
        return address
    if not Path(file).is_file():
        raise DataError(
            "no such file",
            place=file,
            hint="A relative path in a url is taken from the working folder; "
            "with path: FILE and source.query: it is taken from the config's folder.",
        )
    if kind == "sqlite":
        options = {"mode": "ro", "uri": "true"}
        return address.set(database=f"file:{quote(file)}", query={**address.query, **options})
    return address


def _is_passing(error: Any, text: str) -> bool:
    """Whether another attempt may help."""
    import sqlalchemy.exc

    if error.connection_invalidated:
        return True
    lost = isinstance(error, sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError)
    return lost and not _FINAL.search(text)


def _refused(error: Any, text: str, place: Path) -> DataError:
    import sqlalchemy.exc

    # Messages on single values may quote a patient's.
    if isinstance(error, sqlalchemy.exc.DataError | sqlalchemy.exc.IntegrityError):
        text = type(error.orig).__name__
    hint = "Try the query in the database's own client."
    if "file system operations are disabled" in text:
        text = "a query reads nothing but the database itself, no file and no address"
        hint = "Give such a file as path:, or make a table of it in the database."
    if "authentication" in text or "password" in text:
        hint = f"{_EXAMPLE} Signs such as @ and % are written %40 and %25 there."
    return DataError(f"the database refused: {text}", place=str(place), hint=hint)


def _first_line(error: object, secrets: tuple[str, ...]) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    for secret in secrets:
        text = text.replace(secret, "***")
    return text[:300]

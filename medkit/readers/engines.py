"""Tables handed to Polars, DuckDB or PySpark and taken back, all as Narwhals lazy frames."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from medkit.core.errors import DataError
from medkit.core.lazy import pd

if TYPE_CHECKING:
    import narwhals as nw

Engine = Literal["polars", "duckdb", "spark"]

_PACKAGES = {"polars": "polars", "duckdb": "duckdb", "spark": "pyspark.sql"}


def scanned(
    files: Sequence[Path], columns: Mapping[str, str], engine: Engine, rows: bool = False
) -> nw.LazyFrame[Any]:
    """Columns of Parquet files, read by the engine itself when the frame is collected.

    Args:
        files: Parquet files with the same columns.
        columns: New name -> name in the files.
        engine: What reads and computes.
        rows: Add ``row``, the row's position within its file, int64.

    Returns:
        A lazy frame; categories are text, timestamps and durations int64 microseconds (since
        1970 in UTC).
    """
    import narwhals as nw

    module = _module(engine)
    types = arrow_types(files[0])
    native = {"polars": _polars, "duckdb": _duckdb, "spark": _spark}[engine](
        module, [str(file) for file in files], rows
    )
    frame = nw.from_native(native)
    taken = {**columns, **({"row": "row"} if rows else {})}
    frame = frame.select(**{new: nw.col(old) for new, old in taken.items()})
    moments = [new for new, old in columns.items() if types[old] == "moment"]
    if moments:
        frame = nw.from_native(_microseconds(nw.to_native(frame), moments, engine, module))
    texts = [nw.col(new).cast(nw.String) for new, old in columns.items() if types[old] == "text"]
    return frame.with_columns(*texts) if texts else frame


def to_engine(frame: pd.DataFrame, engine: Engine) -> nw.LazyFrame[Any]:
    """A pandas frame of numbers and texts as a lazy frame of the engine."""
    import narwhals as nw
    import pyarrow as pa

    module = _module(engine)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    if engine == "polars":
        return nw.from_native(module.from_arrow(table).lazy())
    if engine == "duckdb":
        return nw.from_native(module.from_arrow(table))
    texts = [
        field.with_type(pa.string()) if pa.types.is_large_string(field.type) else field
        for field in table.schema
    ]
    return nw.from_native(_session(module).createDataFrame(table.cast(pa.schema(texts))))


def flag(condition: nw.Expr) -> nw.Expr:
    """1 where a condition holds, else 0: all engines add these up."""
    import narwhals as nw

    return nw.when(condition).then(nw.lit(1)).otherwise(nw.lit(0))


def collected(frame: nw.LazyFrame[Any]) -> dict[str, np.ndarray]:
    """The frame's columns, computed: (rows,) arrays, missing numbers as NaN, texts as None."""
    engine = frame.implementation
    # Polars' streaming engine keeps the memory of a large archive low.
    options = {"engine": "streaming"} if engine.is_polars() else {}
    table = frame.collect("pyarrow", **options).to_native()
    return {name: table.column(name).to_numpy(zero_copy_only=False) for name in table.column_names}


def arrow_types(file: Path) -> dict[str, str]:
    """Column -> ``number``, ``text``, ``moment``, ``other`` of a Parquet file.

    Raises:
        DataError: Not a Parquet file.
    """
    import pyarrow as pa

    def kind(given: Any) -> str:
        if pa.types.is_dictionary(given):
            given = given.value_type
        if pa.types.is_integer(given) or pa.types.is_floating(given):
            return "number"
        if pa.types.is_timestamp(given):
            return "moment"
        texts = pa.types.is_string(given) or pa.types.is_large_string(given)
        return "text" if texts or pa.types.is_string_view(given) else "other"

    found = parquet_schema(file)
    return {field.name: kind(field.type) for field in found if field.name != "__index_level_0__"}


def has_zone(file: Path, column: str) -> bool:
    """Whether the timestamps of a Parquet file's column carry a time zone."""
    return getattr(parquet_schema(file).field(column).type, "tz", None) is not None


def parquet_schema(file: Path) -> Any:
    """The Arrow schema of a Parquet file.

    Raises:
        DataError: Not a Parquet file.
    """
    import pyarrow.lib
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_schema(file)
    except (pyarrow.lib.ArrowException, OSError) as error:
        raise DataError("not a readable Parquet file", place=str(file)) from error


def _module(engine: Engine) -> Any:
    try:
        return importlib.import_module(_PACKAGES[engine])
    except ImportError as error:
        name = _PACKAGES[engine].split(".")[0]
        raise DataError(
            f"source.engine: {engine} needs {name}, which is not installed",
            place="dataset",
            hint=f"Install it with: pip install 'keras-medkit[{engine}]', or use source.engine: "
            "polars.",
        ) from error


def _polars(polars: Any, files: list[str], rows: bool) -> Any:
    if not rows:
        return polars.scan_parquet(files)
    return polars.concat([polars.scan_parquet(f, row_index_name="row") for f in files]).cast(
        {"row": polars.Int64}
    )


def _duckdb(duckdb: Any, files: list[str], rows: bool) -> Any:
    # The default connection: Narwhals computes some expressions on it.
    found = duckdb.read_parquet(files, file_row_number=rows)
    return found.select("*, file_row_number AS row") if rows else found


def _spark(spark: Any, files: list[str], rows: bool) -> Any:
    paths = [Path(file).resolve().as_uri() for file in files]
    session = _session(spark)
    # Spark has no timestamp of nanoseconds, which pandas writes.
    session.conf.set("spark.sql.legacy.parquet.nanosAsLong", "true")
    found = session.read.parquet(*paths)
    return found.selectExpr("*", "_metadata.row_index AS row") if rows else found


def _microseconds(native: Any, columns: Sequence[str], engine: Engine, module: Any) -> Any:
    """Timestamps as int64: the one step that Narwhals has no expression for in all engines."""
    if engine == "polars":
        return native.with_columns(module.col(name).dt.timestamp("us") for name in columns)
    if engine == "duckdb":
        others = ", ".join(f'"{n}"' for n in native.columns if n not in columns)
        # Nanoseconds with a zone, as pandas writes them, have no such function.
        zones = {name: str(kind) for name, kind in zip(native.columns, native.types, strict=True)}
        kinds = {
            n: "TIMESTAMPTZ" if "ZONE" in z or "TZ" in z else "TIMESTAMP" for n, z in zones.items()
        }
        times = ", ".join(f'epoch_us("{n}"::{kinds[n]}) AS "{n}"' for n in columns)
        return native.select(", ".join(filter(None, (others, times))))
    conversions = {
        "timestamp": "unix_micros(`{}`)",
        "timestamp_ntz": "timestampdiff(MICROSECOND, TIMESTAMP_NTZ'1970-01-01 00:00:00', `{}`)",
        "bigint": "(`{0}` - pmod(`{0}`, 1000)) div 1000",  # nanoseconds, read as numbers
    }
    kinds = dict(native.dtypes)
    return native.withColumns(
        {name: module.functions.expr(conversions[kinds[name]].format(name)) for name in columns}
    )


def _session(spark: Any) -> Any:
    """The running session (a cluster's), or a local one."""
    running = spark.SparkSession.getActiveSession()
    if running is not None:
        return running
    builder = spark.SparkSession.builder.appName("medkit")
    if "SPARK_REMOTE" in os.environ or "PYSPARK_SUBMIT_ARGS" in os.environ:
        return builder.getOrCreate()
    local = {
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "8",
        "spark.driver.maxResultSize": "0",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
    }
    session = builder.master("local[*]").config(map=local).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session

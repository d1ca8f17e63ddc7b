"""Events in Parquet files, read by the engine itself: long, wide or MEDS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.datasets.events.sources.found import (
    FoundEvents,
    one_unit_each,
    unitless_notes,
    unused_note,
)
from medkit.datasets.events.sources.source import EventSource
from medkit.readers.engines import arrow_types, collected, flag, has_zone, scanned
from medkit.readers.tables import PARQUET, require
from medkit.readers.values import as_identifier

if TYPE_CHECKING:
    import narwhals as nw


def shards_of(source: EventSource) -> list[Path]:
    """The Parquet files of a path, sorted; empty where it is something else.

    Raises:
        DataError: ``layout: meds`` without a ``data`` folder of Parquet files.
    """
    path, skip = source.path, source.skip
    if source.layout == "meds":
        folder = path / "data" if (path / "data").is_dir() else path
        found = sorted(folder.rglob("*.parquet")) if folder.is_dir() else []
        if not found:
            raise DataError(
                "holds no data/**/*.parquet, as the Medical Event Data Standard has it",
                place=str(path),
            )
        return found
    if path.is_dir():
        labels = skip.resolve() if skip else None
        return [
            file
            for file in sorted(path.rglob("*"))
            if file.name.lower().endswith(PARQUET)
            and not any(part.startswith((".", "_")) for part in file.relative_to(path).parts)
            and file.resolve() != labels
        ]
    return [path] if path.name.lower().endswith(PARQUET) else []


def plain(files: Sequence[Path], source: EventSource) -> bool:
    """Whether an engine reads the columns as they are: values and times are no texts.

    Raises:
        DataError: A column is absent, or the shards differ in their columns.
    """
    types, columns = arrow_types(files[0]), source.columns
    for role, name in source.used_columns.items():
        if role != "unit":
            require(name, types, files[0], f"{role} column")
    for file in files[1:]:
        others = arrow_types(file)
        differing = [name for name in types if others.get(name) != types[name]]
        if differing:
            raise DataError(
                f"column '{differing[0]}' is not what it is in {files[0].name}: "
                f"{others.get(differing[0], 'absent')} rather than {types[differing[0]]}",
                place=str(file),
                hint="All shards need the same columns of the same types.",
            )
        if types.get(columns.time or "") == "moment":
            zoned = [has_zone(each, str(columns.time)) for each in (files[0], file)]
            if zoned[0] != zoned[1]:
                with_zone = {True: "a time zone", False: "no time zone"}
                raise DataError(
                    f"column '{columns.time}' has {with_zone[zoned[1]]} where it has "
                    f"{with_zone[zoned[0]]} in {files[0].name}",
                    place=str(file),
                    hint="Write all shards with their zone, or all in the same local time.",
                )
    if columns.time is None or types[columns.time] not in ("number", "moment"):
        return False
    if types[columns.stay] not in ("number", "text"):
        return False
    return source.wide or (types[columns.variable] == "text" and types[columns.value] == "number")


def lazy_events(
    files: Sequence[Path], source: EventSource
) -> tuple[nw.LazyFrame[Any], tuple[str, ...]]:
    """Events of Parquet files as a lazy frame, cleaned, and notes on what is left out."""
    import narwhals as nw

    frame, notes = _long(files, source)
    value, time = nw.col("value").cast(nw.Float64), nw.col("time")
    meant = ~_stand_ins(source.missing_values)
    if arrow_types(files[0])[str(source.columns.time)] != "moment":
        time = nw.when(~time.cast(nw.Float64).is_nan()).then(time.cast(nw.Float64))
    frame = frame.with_columns(time=time, value=nw.when(~value.is_nan()).then(value))
    return frame.with_columns(value=nw.when(meant).then(nw.col("value"))), notes


def scan_events(files: Sequence[Path], source: EventSource, stamps: dict[str, str]) -> FoundEvents:
    """Events of Parquet files as lazy frames; stays and variables are counted, nothing is kept.

    Args:
        files: Parquet files with the same columns.
        source: What they are of.
        stamps: The source's fingerprints.

    Raises:
        DataError: Stays without an id, infinite values, or a variable in two units.
    """
    import narwhals as nw

    path, columns = source.path, source.columns
    frame, notes = lazy_events(files, source)
    moments = arrow_types(files[0])[str(columns.time)] == "moment"
    found = collected(
        frame.group_by("stay").agg(
            first=nw.col("time").min(), last=nw.col("time").max(), events=nw.len()
        )
    )
    keys, stays, first, last = _stays(found, columns.stay, path)
    given = ~nw.col("value").is_null()
    kinds = ["variable", *(["unit"] if columns.unit else [])]
    of_kind = collected(
        frame.group_by(*kinds).agg(
            usable=flag(given & ~nw.col("time").is_null()).sum(),
            timed=flag(~nw.col("time").is_null()).sum(),
            infinite=flag(given & ~nw.col("value").is_finite()).sum(),
            low=nw.col("value").min(),
            high=nw.col("value").max(),
            timeless=flag(given & nw.col("time").is_null()).sum(),
        )
    )
    table = pd.DataFrame(of_kind)
    nameless = int(table["usable"][table["variable"].isna()].sum())
    notes = (*notes, *unused_note(nameless, "variable"))
    table = table.dropna(subset=["variable"]).sort_values("variable")
    table["name"] = table["variable"].astype("str").str.strip()
    table = table[~table["name"].isin(source.ignore)]
    for name, count in table.loc[table["infinite"] > 0, ["name", "infinite"]].to_numpy():
        text = f"column '{columns.value}' has {int(count)} infinite values (variable '{name}')"
        raise DataError(text, place=str(path))
    of_unit = {}
    if columns.unit:
        some = table[table["unit"].notna() & (table["usable"] > 0)]
        of_unit = one_unit_each(some.rename(columns={"usable": "count"}), source.units, path)
        bare = table[table["unit"].isna()].groupby("name")["usable"].sum()
        notes = (*notes, *unitless_notes(bare, of_unit))
    notes = (*notes, *unused_note(int(table["timeless"].sum()), "time"))
    variables = table.groupby(["variable", "name"], as_index=False).agg(
        events=("timed", "sum"), usable=("usable", "sum"), low=("low", "min"), high=("high", "max")
    )
    zoned = has_zone(files[0], str(columns.time)) if moments else None
    return FoundEvents(
        path, frame, keys, stays, first, last, variables, moments, zoned, stamps, of_unit, notes
    )


def _long(files: Sequence[Path], source: EventSource) -> tuple[nw.LazyFrame[Any], tuple[str, ...]]:
    import narwhals as nw

    columns, engine, rows = source.columns, source.engine, source.ordered
    if not source.wide:
        return scanned(files, source.used_columns, engine, rows), ()
    types = arrow_types(files[0])
    own = {columns.stay, columns.time, *source.ignore}
    measured = [name for name, kind in types.items() if kind == "number" and name not in own]
    others = [name for name, kind in types.items() if kind != "number" and name not in own]
    if not measured:
        raise DataError("has no column of numbers beside stay and time", place=str(files[0]))
    # Other names than the roles', so that a column called 'time' or 'value' may be a variable.
    held = {f"measured {k}": name for k, name in enumerate(measured)}
    roles = {"stay": columns.stay, "time": str(columns.time)}
    frame = scanned(files, {**roles, **held}, engine, rows)
    frame = frame.with_columns(nw.col(*held).cast(nw.Float64))
    index = ["stay", "time", *(["row"] if rows else [])]
    frame = frame.unpivot(list(held), index=index, variable_name="variable", value_name="value")
    names = nw.col("variable").replace_strict(
        list(held), list(held.values()), default=None, return_dtype=nw.String
    )
    frame = frame.with_columns(variable=names).filter(~nw.col("value").is_null())
    note = f"columns without numbers are not variables: {', '.join(others)}"
    return frame, (note,) if others else ()


def _stand_ins(missing_values: Mapping[str, tuple[Any, ...]]) -> nw.Expr:
    """Which values mean 'missing': the numbers among the sentinels, by variable."""
    import narwhals as nw

    found = nw.lit(False)
    for name, sentinels in missing_values.items():
        texts = pd.Series([str(each) for each in sentinels], dtype=object)
        numbers = pd.to_numeric(texts, errors="coerce").dropna().astype("float64").tolist()
        if numbers:
            one = nw.col("value").is_in(numbers)
            if name != "*":
                one = one & (nw.col("variable").str.strip_chars() == name)
            found = found | one.fill_null(False)
    return found


def _stays(
    found: dict[str, np.ndarray], column: str, path: Path
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    """Keys with codes, ids by code (sorted: no engine keeps an order), first and last times."""
    table = pd.DataFrame(found)
    table["id"] = as_identifier(table["stay"]).to_numpy()
    empty = int(table.loc[table["id"].isna(), "events"].sum())
    if empty:
        raise DataError(f"column '{column}' is empty in {empty} rows", place=str(path))
    table = table.sort_values("stay", kind="stable")
    table["code"], stays = pd.factorize(table["id"])
    times = table.groupby("code").agg(first=("first", "min"), last=("last", "max"))
    if np.isinf(times.to_numpy(dtype="float64")).any():
        raise DataError("the events have infinite times", place=str(path))
    keys = table[["stay", "code"]].reset_index(drop=True)
    return keys, np.asarray(stays), times["first"].to_numpy(), times["last"].to_numpy()

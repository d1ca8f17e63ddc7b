"""Events from databases, kept in a cache, and grids too large for memory."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
import sqlite3
import stat

import numpy as np
import pandas as pd
import pytest
from cohorts import only_input
from merging import merged

# Fixtures are found by name; with them come a server and a connection that is cut.
from test_dataset_table_sources import PASSWORD, Relay, address, free_port, server  # noqa: F401

import medkit.data.stored_arrays
from medkit.core import progress
from medkit.core.errors import ConfigError, DataError, RunError
from medkit.data.cohort import Feature, RawInput
from medkit.data.stored_arrays import StoredRows, by_channel, chosen
from medkit.datasets.events.events import events
from medkit.datasets.events.grid import grid as _grid
from medkit.datasets.events.sources import gather as _event_gather
from medkit.datasets.events.sources import rows as _event_rows
from medkit.datasets.events.sources import sources
from medkit.datasets.events.sources import sql as _event_sql
from medkit.modalities.series import Series
from medkit.readers import cache as _cache
from medkit.readers import sql as _sql
from medkit.readers import sql_rows as _sql_rows

WAYS = {"*": "mean", "HR": "last", "Urine": "sum"}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(_sql, "PAUSES", (0.01, 0.02, 0.04))
    monkeypatch.delenv(_cache.VARIABLE, raising=False)


@pytest.fixture(scope="module")
def frame():
    random = np.random.default_rng(3)
    count = 1500
    found = pd.DataFrame(
        {
            "stay": [f"p{number:02d}" for number in random.integers(0, 30, count)],
            "time": np.round(random.uniform(0, 8, count), 3),
            "variable": random.choice(["HR", "K", "Urine"], count),
            "value": np.round(random.normal(60, 20, count), 1),
        }
    )
    found.loc[::50, "value"] = np.nan
    return found


@pytest.fixture
def table(tmp_path, frame):
    frame.to_csv(tmp_path / "long.csv", index=False)
    labels = pd.DataFrame({"stay": sorted(frame["stay"].unique())[::-1]})
    labels.assign(died=np.arange(len(labels)) % 2).to_csv(tmp_path / "labels.csv", index=False)
    return tmp_path / "long.csv"


def grid(cohort):
    return np.asarray(only_input(cohort).values)


def settings_of(table, **changes):
    labels = {"labels": table.parent / "labels.csv", "target": "died"}
    return merged(
        {"path": table, "window": {"hours": 8}, "variables": {"aggregate": WAYS}}, labels, changes
    )


def same(one, other):
    assert grid(one).tobytes() == grid(other).tobytes()
    assert list(one.samples.index) == list(other.samples.index)
    assert only_input(one).features == only_input(other).features
    assert one.source == other.source
    np.testing.assert_array_equal(one.targets, other.targets)


def entries(folder):
    return sorted(folder.glob("medkit-cache/*"))


# A cache folder.


@pytest.mark.parametrize("kind", ["csv", "parquet", "files", "archive"])
def test_the_second_reading_reads_nothing(table, frame, tmp_path, monkeypatch, caplog, kind):
    path = table
    changes = {}
    if kind == "parquet":
        path = tmp_path / "long.parquet"
        frame.to_parquet(path)
    elif kind != "csv":
        path = tmp_path / "stays"
        path.mkdir()
        for stay, rows in frame.groupby("stay"):
            rows.drop(columns="stay").to_csv(path / f"{stay}.txt", index=False)
        if kind == "archive":
            path = shutil.make_archive(str(path), "gztar", path)
            path = tmp_path / "stays.tar.gz"
    settings = settings_of(table, path=path, **changes)
    plain = events(**settings)
    first = events(**merged(settings, {"source": {"cache": tmp_path / "cache"}}))

    def refused(*_, **__):
        raise AssertionError("read again")

    for module, name in (
        (sources, "read_events"), (sources, "measured_events"), (sources, "scan_events"),
        (_grid, "cells"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, refused)
    with caplog.at_level(logging.INFO, logger="medkit"):
        second = events(**merged(settings, {"source": {"cache": tmp_path / "cache"}}))
    assert "events as they were cached" in caplog.text
    for cached in (first, second):
        same(cached, plain)
        assert isinstance(chosen_base(only_input(cached).values), np.ndarray)


def chosen_base(values):
    return values.values if isinstance(values, StoredRows) else values


def test_an_environment_variable_names_the_folder(table, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDKIT_CACHE", str(tmp_path / "named"))
    cohort = events(path=table, window={"hours": 8})
    assert isinstance(only_input(cohort).values, np.memmap)
    assert len(entries(tmp_path / "named")) == 2  # the events and the grid
    assert not (tmp_path / "cache").exists()


def test_what_is_kept_is_for_its_owner_and_names_nobody(table, tmp_path):
    before = os.umask(0o000)
    try:
        events(**merged(settings_of(table), {"source": {"cache": tmp_path / "cache"}}))
    finally:
        os.umask(before)
    found = [*(tmp_path / "cache" / "medkit-cache").rglob("*"), tmp_path / "cache/medkit-cache"]
    assert len(found) > 8
    for each in found:
        assert stat.S_IMODE(each.stat().st_mode) == (0o700 if each.is_dir() else 0o600), each.name
        assert "p0" not in each.name
        assert "long" not in each.name


def test_changed_files_are_read_anew(table, tmp_path, frame, caplog):
    settings = settings_of(table, source={"cache": tmp_path / "cache"})
    first = events(**settings)
    frame.assign(value=frame["value"] + 1).to_csv(table, index=False)
    with caplog.at_level(logging.INFO, logger="medkit"):
        second = events(**settings)
    assert "the events have changed since they were cached: read anew" in caplog.text
    assert first.source.files["long.csv"] != second.source.files["long.csv"]
    same(second, events(**settings_of(table)))
    assert not np.array_equal(grid(first), grid(second), equal_nan=True)


def test_old_entries_go_once_nobody_reads_them(table, tmp_path, frame):
    settings = settings_of(table, source={"cache": tmp_path / "cache"})
    events(**settings)
    old = entries(tmp_path / "cache")
    killed = tmp_path / "cache" / "medkit-cache" / ".name-17-abc"
    killed.mkdir()
    for each in (*old, killed):
        os.utime(each, (0, 0))
    frame.assign(value=frame["value"] + 1).to_csv(table, index=False)
    events(**settings)
    new = entries(tmp_path / "cache")
    assert len(new) == len(old) == 2
    assert not set(new) & set(old)
    assert not killed.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"values": {"missing_values": {"*": (60,)}}},
        {"window": {"hours": 4}},
        {"variables": {"aggregate": "max"}},
        {"values": {"ranges": {"HR": (50, 70)}}},
        {"variables": ("K",)},
        {"variables": {"ignore": ("K",)}},
        {
            "window": {"index": "prediction"},
            "columns": {"prediction_time": "at"},
            "labels": None,
            "target": None,
        },
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_settings_give_another_grid(table, tmp_path, change):
    events(**merged(settings_of(table), {"source": {"cache": tmp_path / "cache"}}))
    settings = settings_of(table, **change)
    cached, plain = (
        events(**merged(settings, {"source": {"cache": tmp_path / "cache"}})),
        events(**settings),
    )
    assert grid(cached).tobytes() == grid(plain).tobytes()
    assert cached.source == plain.source


def test_other_labels_give_another_grid(table, tmp_path):
    settings = settings_of(table)
    first = events(**merged(settings, {"source": {"cache": tmp_path / "cache"}}))
    labels = pd.read_csv(table.parent / "labels.csv")
    labels.iloc[::3].to_csv(table.parent / "labels.csv", index=False)
    second = events(**merged(settings, {"source": {"cache": tmp_path / "cache"}}))
    assert len(second) < len(first)
    same(second, events(**settings))


def test_a_broken_entry_is_made_again(table, tmp_path):
    """An entry without its last file was not finished (a computer that was switched off)."""
    settings = settings_of(table, source={"cache": tmp_path / "cache"})
    first = events(**settings)
    copy = grid(first).copy()
    for each in entries(tmp_path / "cache"):
        (each / "whole").unlink()
    again = events(**settings)
    assert grid(again).tobytes() == copy.tobytes()
    assert all((each / "whole").is_file() for each in entries(tmp_path / "cache"))


@pytest.mark.parametrize(
    "file", ["values.npy", "grid.json", "events.parquet", "stays.parquet", "found.json"]
)
def test_a_damaged_entry_is_made_again(table, tmp_path, caplog, file):
    settings = settings_of(table, source={"cache": tmp_path / "cache"})
    first = events(**settings)
    copy = grid(first).copy()
    (damaged,) = (tmp_path / "cache").rglob(file)
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])
    again = events(**settings)
    assert grid(again).tobytes() == copy.tobytes()
    assert "what was cached cannot be read" in caplog.text


def test_a_second_process_that_was_slower_uses_what_is_there(tmp_path):
    store = _cache.Store(tmp_path)
    with store.building("name", "stamp") as slow:
        (slow / "content").write_text("slow")
        with store.building("name", "stamp") as quick:
            (quick / "content").write_text("quick")
    assert [each.name for each in entries(tmp_path)] == ["name-stamp"]
    assert (store.find("name", "stamp") / "content").read_text() == "quick"


@pytest.mark.parametrize("what", ["grid", "events"])
def test_a_full_disk_leaves_nothing(table, tmp_path, monkeypatch, what):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    if what == "grid":
        monkeypatch.setattr(_grid.OnDisk, "__setitem__", full)
    else:
        monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    with pytest.raises(RunError) as error:
        events(**merged(settings_of(table), {"source": {"cache": tmp_path / "cache"}}))
    text = str(error.value)
    assert text.startswith(f"{tmp_path / 'cache'}: cannot be written: No space left on device (")
    assert ("2.9 kB are needed, " if what == "grid" else " are needed, ") in text
    assert " are free)" in text
    assert "name another place under dataset.source.cache. Nothing half written is left." in text
    assert len(entries(tmp_path / "cache")) == (1 if what == "grid" else 0)


def test_a_grid_larger_than_the_disk_is_refused_before_it_is_computed(table, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=2_000)
    monkeypatch.setattr(_grid, "IN_MEMORY", 0)
    monkeypatch.setattr(_grid, "cells", None)
    monkeypatch.setattr(_cache.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(RunError) as error:
        events(**settings_of(table))
    assert "(2.9 kB are needed, 2.0 kB are free)" in str(error.value)
    assert "dataset.source.cache, a folder on another disk" in str(error.value)


def test_a_cache_that_is_no_folder(table, tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(RunError, match="cannot be written: Not a directory"):
        events(**merged(settings_of(table), {"source": {"cache": tmp_path / "cache"}}))


# Large grids.


def test_a_large_grid_lies_on_disk_without_a_cache_too(table, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    plain = events(**settings_of(table))
    monkeypatch.setattr(_grid, "IN_MEMORY", 0)
    monkeypatch.setattr(medkit.data.stored_arrays, "IN_MEMORY", 0)
    large = events(**settings_of(table))
    assert isinstance(only_input(large).values, StoredRows)  # the labels have another order
    same(large, plain)
    assert not list(tmp_path.glob("medkit-cache-*"))  # gone, though still readable
    part = large.take(np.array([3, 1, 4]))
    assert isinstance(only_input(part).values, StoredRows)
    np.testing.assert_array_equal(grid(part), grid(plain)[[3, 1, 4]])


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_blocks_of_stays_change_nothing(table, frame, tmp_path, monkeypatch, place):
    frame.to_parquet(tmp_path / "long.parquet", row_group_size=100)
    settings = settings_of(
        table, path=tmp_path / "long.parquet", values={"ranges": {"K": (30, 80)}}
    )
    whole = events(**settings)
    monkeypatch.setattr(_grid, "BLOCK", 200)
    monkeypatch.setattr(_grid, "BLOCK_BYTES", 2000)
    same(
        events(
            **merged(
                settings, {"source": {"cache": tmp_path / "cache" if place == "disk" else None}}
            )
        ),
        whole,
    )


@pytest.mark.parametrize("stays", ["text", "numbers"])
def test_scattered_stays_are_gathered(table, frame, tmp_path, monkeypatch, stays):
    if stays == "numbers":
        frame = frame.assign(stay=frame["stay"].str[1:].astype("int64"))
        labels = pd.read_csv(tmp_path / "labels.csv")
        labels.assign(stay=labels["stay"].str[1:].astype(int)).to_csv(
            tmp_path / "labels.csv", index=False
        )
    frame.to_parquet(tmp_path / "long.parquet", row_group_size=100)
    settings = settings_of(table, path=tmp_path / "long.parquet")
    plain = events(**settings)
    monkeypatch.setattr(_event_gather, "FEW", 500)
    monkeypatch.setattr(_event_gather, "A_FILE", 300)
    monkeypatch.setattr(_grid, "BLOCK", 300)
    same(events(**merged(settings, {"source": {"cache": tmp_path / "cache"}})), plain)
    (copies,) = [each for each in entries(tmp_path / "cache") if list(each.glob("0*.parquet"))]
    parts = [set(pd.read_parquet(file)["stay"]) for file in sorted(copies.glob("*.parquet"))]
    assert len(parts) == 5
    assert sum(len(part) for part in parts) == len(set.union(*parts)) == 30
    # Sorted files need no copy.
    frame.sort_values("stay", kind="stable").to_parquet(
        tmp_path / "long.parquet", row_group_size=100
    )
    shutil.rmtree(tmp_path / "cache")
    sorted_ones = events(**merged(settings, {"source": {"cache": tmp_path / "cache"}}))
    assert grid(sorted_ones).tobytes() == grid(plain).tobytes()
    assert not [each for each in entries(tmp_path / "cache") if list(each.glob("0*.parquet"))]


@pytest.fixture
def stored(tmp_path):
    values = np.random.default_rng(0).normal(size=(40, 6, 5)).astype("float32")
    values[values > 1] = np.nan
    np.save(tmp_path / "values.npy", values)
    mapped = np.load(tmp_path / "values.npy", mmap_mode="r")
    rows = np.random.default_rng(1).permutation(40)[:30]
    return StoredRows(mapped, rows), values[rows]


@pytest.mark.parametrize(
    "key",
    [
        3, slice(2, 9), [4, 1, 1], np.arange(30) % 2 == 0, (slice(None), slice(None), 2),
        (slice(None), 0), (5, slice(None), 1), (slice(3, 8), ..., slice(1, 3)), (-1, 2, 3),
        slice(0, 0), (slice(0, 0), slice(None), 2),
    ],
    ids=str,
)  # fmt: skip
def test_stored_rows_index_as_an_array_does(stored, key, monkeypatch):
    rows, values = stored
    monkeypatch.setattr(medkit.data.stored_arrays, "BLOCK_BYTES", 400)
    np.testing.assert_array_equal(rows[key], values[key])
    assert (rows.shape, rows.dtype, len(rows), rows.ndim) == (values.shape, values.dtype, 30, 3)
    assert (rows.size, rows.nbytes) == (values.size, values.nbytes)
    np.testing.assert_array_equal(np.asarray(rows.take(np.array([5, 2]))), values[[5, 2]])


def test_rows_are_copied_where_they_are_few(stored, monkeypatch):
    rows, values = stored
    mask = np.arange(30) < 10
    assert type(chosen(rows, mask)) is np.ndarray
    np.testing.assert_array_equal(chosen(rows, mask), values[:10])
    monkeypatch.setattr(medkit.data.stored_arrays, "IN_MEMORY", 0)
    assert isinstance(chosen(rows, mask), StoredRows)
    np.testing.assert_array_equal(np.asarray(chosen(rows.values, mask)), rows.values[:10])
    assert type(chosen(values, mask)) is np.ndarray


def test_channels_one_by_one(stored, monkeypatch):
    rows, values = stored
    monkeypatch.setattr(medkit.data.stored_arrays, "BLOCK_BYTES", 700)
    monkeypatch.setattr(medkit.data.stored_arrays, "_CHANNEL_BYTES", 2 * 30 * 6 * 4)
    for given in (rows, values):
        found = dict(by_channel(given))
        assert list(found) == [0, 1, 2, 3, 4]
        np.testing.assert_array_equal(np.stack(list(found.values()), -1), values)


def test_the_series_modality_never_holds_all_rows(stored, monkeypatch):
    rows, values = stored
    features = tuple(Feature(name, low=-9, high=9) for name in "abcde")
    plain = Series(winsorize=0.01).fit(RawInput("series", values, features))
    monkeypatch.setattr(StoredRows, "__array__", None)
    modality = Series(winsorize=0.01).fit(RawInput("series", rows, features))
    assert modality.to_dict() == plain.to_dict()
    encoded = modality.encode(RawInput("series", rows, features))
    assert encoded is rows
    pd.testing.assert_frame_equal(modality.summarize(encoded), plain.summarize(values))


def test_training_from_stored_rows_equals_training_from_memory(stored, monkeypatch):
    import keras

    from medkit.training import validation
    from medkit.training.trainer import Trainer

    rows, values = stored
    y = (np.arange(30) % 3 == 0).astype("float32")
    found = []
    monkeypatch.setattr(StoredRows, "__array__", None)
    read = StoredRows._read
    monkeypatch.setattr(StoredRows, "_read", lambda *given: np.nan_to_num(read(*given)))
    for x in (rows, np.nan_to_num(values)):
        keras.utils.set_random_seed(0)
        layers = [keras.Input((6, 5)), keras.layers.Flatten(), keras.layers.Dense(1, "sigmoid")]
        model = keras.Sequential(layers)
        monkeypatch.setattr(validation, "_KEPT_BYTES", 0)
        trainer = Trainer(model, "binary", epochs=2, batch_size=8, early_stopping=None)
        history = trainer.fit(x, y, validation_data=(x, y))
        found.append((history.history, trainer.predict(x)))
    assert found[0][0] == found[1][0]
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_a_grid_that_nobody_meant(tmp_path, monkeypatch):
    monkeypatch.setattr(_grid, "MANY_VARIABLES", 20)
    monkeypatch.setattr(_grid, "MUCH", 100)
    (tmp_path / "data").mkdir()
    (tmp_path / "metadata").mkdir()
    count = 60
    codes = [f"LAB//{number % 25:02d}" for number in range(count)]
    pd.DataFrame(
        {
            "subject_id": np.arange(count) % 4, "code": codes,
            "time": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(count), "min"),
            "numeric_value": 1.0,
        }
    ).to_parquet(tmp_path / "data" / "0.parquet")  # fmt: skip
    pd.DataFrame(
        {"code": ["LAB//03", "LAB//99"], "description": ["Potassium", None],
         "unit": ["mmol/L", ""], "parent_codes": [["a"], []]}
    ).to_parquet(tmp_path / "metadata" / "codes.parquet")  # fmt: skip
    with pytest.raises(DataError) as error:
        events(path=tmp_path, source={"layout": "meds"})
    text = str(error.value)
    assert "25 variables in 48 steps for 4 samples would take 19.2 kB" in text
    assert "variables: '^(LAB|VITAL)//'" in text
    assert "The most frequent: LAB//00, LAB//01, LAB//02, LAB//03 (Potassium), LAB//04" in text
    cohort = events(path=tmp_path, source={"layout": "meds"}, variables="//0")
    units = {feature.name: feature.unit for feature in only_input(cohort).features}
    assert units["LAB//03"] == "mmol/L"
    assert units["LAB//04"] is None


# Databases.

QUERY = "select * from measurements order by stay, time"


@pytest.fixture
def base(tmp_path, frame):
    pytest.importorskip("sqlalchemy")
    path = tmp_path / "hospital.sqlite"
    with sqlite3.connect(path) as open_base:
        frame.to_sql("measurements", open_base, index=False)
    open_base.close()
    return path


def change(base, statement):
    with sqlite3.connect(base) as open_base:
        open_base.execute(statement)
    open_base.close()


def test_sqlite_gives_the_grid_of_a_file(base, table, frame, tmp_path, monkeypatch):
    frame.to_parquet(tmp_path / "long.parquet")
    monkeypatch.setattr(_sql_rows, "CHUNK", 64)
    monkeypatch.setattr(_event_rows, "ROWS", 300)
    settings = settings_of(
        table, path=base, source={"query": QUERY}, variables={"aggregate": "mean"}
    )
    by_path = events(**settings)
    file = events(
        **settings_of(table, path=tmp_path / "long.parquet", variables={"aggregate": "mean"})
    )
    assert grid(by_path).tobytes() == grid(file).tobytes()
    assert list(by_path.samples.index) == list(file.samples.index)
    by_url = events(**merged({**settings, "path": None}, {"source": {"url": f"sqlite:///{base}"}}))
    assert grid(by_url).tobytes() == grid(file).tobytes()
    assert list(by_path.source.files) == ["sqlite:hospital.sqlite", "labels.csv"]
    # The fingerprint is that of the rows, in whichever order and parts they come.
    monkeypatch.setattr(_sql_rows, "CHUNK", 1000)
    other = events(
        **merged(settings, {"source": {"query": "select * from measurements order by value"}})
    )
    assert other.source.files == by_path.source.files
    change(base, "update measurements set value = value + 1 where rowid = 7")
    assert events(**settings).source.files != by_path.source.files


def test_duckdb_with_timestamps(table, frame, tmp_path):
    duckdb = pytest.importorskip("duckdb")
    pytest.importorskip("duckdb_engine")
    start = pd.Timestamp("2024-01-01")
    stamped = frame.assign(time=start + pd.to_timedelta(frame["time"].round(2), unit="h"))
    stamped.to_parquet(tmp_path / "long.parquet")
    with duckdb.connect(tmp_path / "hospital.duckdb") as open_base:
        open_base.register("given", stamped)
        open_base.execute("create table measurements as select * from given")
    settings = settings_of(
        table, path=tmp_path / "hospital.duckdb", variables={"aggregate": "mean"}
    )
    cohort = events(**merged(settings, {"source": {"query": QUERY}}))
    plain = events(**{**settings, "path": tmp_path / "long.parquet"})
    assert grid(cohort).tobytes() == grid(plain).tobytes()


def test_a_wide_query_and_a_column_of_units(tmp_path):
    pytest.importorskip("sqlalchemy")
    path = tmp_path / "hospital.db"
    with sqlite3.connect(path) as open_base:
        open_base.execute("create table wide (stay int, time real, HR real, K real)")
        open_base.executemany(
            "insert into wide values (?, ?, ?, ?)",
            [(1, 0.5, 80, None), (1, 1.5, None, 4.5), (2, 0.1, 60, 5)],
        )
        open_base.execute("create table long (stay, time, variable, value, unit)")
        open_base.executemany(
            "insert into long values (?, ?, ?, ?, ?)",
            [(1, 0.5, "HR", 80, "bpm"), (1, 1.5, "K", 4.5, "mmol/L"), (2, 0.1, "HR", 1, "1/s")],
        )
    open_base.close()
    cohort = events(
        path=path, source={"query": "select * from wide", "layout": "wide"}, window={"hours": 2}
    )
    expected = [[[80, np.nan], [np.nan, 4.5]], [[60, 5], [np.nan, np.nan]]]
    np.testing.assert_array_equal(grid(cohort), np.array(expected, "f4"))
    with pytest.raises(DataError) as error:
        events(path=path, source={"query": "select * from long"}, columns={"unit": "unit"})
    assert "variable 'HR' is given in 2 units: 1/s (1 events), bpm (1 events)" in str(error.value)
    cohort = events(
        path=path, source={"query": "select * from long where stay = 1"}, columns={"unit": "unit"}
    )
    assert [feature.unit for feature in only_input(cohort).features] == ["bpm", "mmol/L"]


def test_texts_in_a_query(base):
    change(base, "insert into measurements values ('p01', 1.0, 'HR', 'high')")
    with pytest.raises(DataError) as error:
        events(path=base, source={"query": "select * from measurements"})
    text = (
        "column 'value' has 1 texts where numbers are expected (first at row 1501, variable 'HR')"
    )
    assert text in str(error.value)
    for way_out in (
        {"values": {"missing_values": {"HR": ("high",)}}},
        {"variables": {"ignore": ("HR",)}},
    ):
        assert (
            len(
                events(
                    **merged(
                        {"path": base, "source": {"query": "select * from measurements"}}, way_out
                    )
                )
            )
            == 30
        )


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("select stay, time, variable from measurements", "no value column called 'value'"),
        ("select * from measurements where stay = 'x'", "the query finds no rows"),
        ("select * from absent", "the database refused: no such table: absent"),
        ("select '' as stay, time, variable, value from measurements",
         "column 'stay' is empty in 1500 rows (first at row 1)"),
        ("select stay, 'soon' as time, variable, value from measurements",
         "column 'time' has 1500 values that are not times (first at row 1)"),
        ("select *, value from measurements", "the header names the column 'value' 2 times"),
    ],
)  # fmt: skip
def test_bad_queries(base, query, message):
    with pytest.raises(DataError) as error:
        events(path=base, source={"query": query}, window={"hours": 8})
    assert message in str(error.value)


def test_labels_of_the_same_database(base, table, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with sqlite3.connect(base) as open_base:
        pd.read_csv(table.parent / "labels.csv").to_sql("stays", open_base, index=False)
    open_base.close()
    settings = settings_of(table, path=base, source={"query": QUERY})
    plain = events(**settings)
    settings |= {"labels": {"path": None, "query": "select * from stays order by stay desc"}}
    cohort = events(**merged(settings, {"source": {"cache": tmp_path / "cache"}}))
    assert grid(cohort).tobytes() == grid(plain).tobytes()
    np.testing.assert_array_equal(cohort.targets, plain.targets)
    assert list(cohort.source.files) == ["sqlite:hospital.sqlite", "labels.parquet"]
    assert not list(tmp_path.glob("medkit-cache-*"))
    with pytest.raises(DataError, match="no target column called 'died'"):
        events(**merged(settings, {"labels": {"query": "select stay from stays"}}))
    with pytest.raises(ConfigError, match="labels: give either path or query, not both"):
        events(**merged(settings, {"labels": {"path": table.parent / "labels.csv"}}))
    with pytest.raises(DataError, match=r"labels\.query asks the events' database"):
        events(**merged(settings, {"path": table, "source": {"query": None}}))


def test_bad_sources(base, table, monkeypatch):
    for given, message in (
        ({}, "give either path or url"),
        ({"path": base, "source": {"url": "sqlite:///x"}}, "give either path or url, not both"),
        ({"path": base}, "a database needs a query"),
        ({"source": {"url": "sqlite:///x"}}, "a database needs a query"),
        ({"path": table, "source": {"query": QUERY}}, "a query is for databases"),
    ):
        with pytest.raises(DataError, match=message):
            events(**given)
    monkeypatch.setattr(_sql_rows, "CHUNK", 3)
    query = (
        "select 1 as stay, case when value < 50 then '2024-01-01 10:00' else 3.5 end as time, "
        "variable, value from measurements order by value"
    )
    with pytest.raises(DataError, match="column 'time' mixes hours and timestamps"):
        events(path=base, source={"query": query})


def test_rows_of_a_file_are_cached_until_it_changes(base, table, tmp_path, monkeypatch, caplog):
    settings = settings_of(table, path=base, source={"query": QUERY, "cache": tmp_path / "cache"})
    first = events(**settings)
    with monkeypatch.context() as within:
        within.setattr(_event_sql, "streamed", None)
        same(events(**settings), first)
    change(base, "update measurements set value = value + 1")
    with caplog.at_level(logging.INFO, logger="medkit"):
        second = events(**settings)
    assert "the rows of sqlite:hospital.sqlite have changed since they were cached" in caplog.text
    assert not np.array_equal(grid(first), grid(second), equal_nan=True)


@pytest.fixture
def measurements(server, address, frame):  # noqa: F811
    rows = frame.astype(object).where(frame.notna(), "null")
    values = ", ".join(
        f"('{stay}', {time}, '{variable}', {value})"
        for stay, time, variable, value in rows.itertuples(index=False)
    )
    server.execute(
        "create table if not exists measurements (stay text, time float, variable text, value "
        "float)", "truncate measurements", f"insert into measurements values {values}",
    )  # fmt: skip
    return address


def test_postgresql_is_asked_once(measurements, server, table, tmp_path, caplog):  # noqa: F811
    cache = tmp_path / "cache"
    settings = settings_of(
        table, path=None, source={"url": measurements, "query": QUERY, "cache": cache}
    )
    with caplog.at_level(logging.DEBUG):
        first = events(**settings)
        server.execute("update measurements set value = value + 1")
        again = events(**settings)
        fresh = events(**merged(settings, {"source": {"refresh": True}}))
    same(again, first)
    assert "'refresh: true' asks the database again" in caplog.text
    assert fresh.source.files != first.source.files
    np.testing.assert_allclose(np.nanmean(grid(fresh)[:, :, 1] - grid(first)[:, :, 1]), 1, 1e-5)
    same(events(**settings), fresh)
    assert PASSWORD not in caplog.text
    for each in cache.rglob("*"):
        assert PASSWORD not in each.name
        assert each.is_dir() or PASSWORD.encode() not in each.read_bytes()


@pytest.mark.parametrize("hang", [False, True], ids=["cut", "hangs"])
def test_a_connection_lost_midway(measurements, server, table, tmp_path, monkeypatch, hang):  # noqa: F811
    monkeypatch.setattr(_sql_rows, "CHUNK", 50)
    monkeypatch.setattr(_event_rows, "ROWS", 100)
    whole = events(**settings_of(table, path=None, source={"url": measurements, "query": QUERY}))
    relay = Relay(server.port, cuts=2, after=20_000, hang=hang)
    relay.start()
    settings = settings_of(
        table,
        path=None,
        source={
            "query": QUERY,
            "cache": tmp_path / "cache",
            "timeout": 1 if hang else 60,
            "url": measurements.replace(str(server.port), str(relay.port)),
        },
    )
    found = events(**settings)
    assert relay.seen == 3
    same(found, whole)
    assert len(entries(tmp_path / "cache")) == 3  # rows, what was found, grid: nothing half
    relay.listener.close()


def test_a_database_that_is_always_lost_or_slow_or_down(measurements, server, tmp_path):  # noqa: F811
    relay = Relay(server.port, cuts=99, after=20_000)
    relay.start()
    lost = measurements.replace(str(server.port), str(relay.port))
    down = measurements.replace(str(server.port), str(free_port()))
    slow = "select 'a' as stay, 1 as time, 'HR' as variable, 1 as value from pg_sleep(30)"
    for url, query, timeout, message in (
        (lost, QUERY, 60, "the connection failed: "),
        (down, QUERY, 60, "the connection failed: "),
        (measurements, slow, 0.3, "dataset.source.timeout"),
    ):
        with pytest.raises(DataError) as error:
            events(
                source={"url": url, "query": query, "timeout": timeout, "cache": tmp_path / "cache"}
            )
        assert message in str(error.value)
        assert "(tried 4 times); nothing was read" in str(error.value)
        assert PASSWORD not in str(error.value)
    assert entries(tmp_path / "cache") == []
    relay.listener.close()


@pytest.mark.parametrize("terminal", [False, True])
def test_long_readings_say_how_far_they_are(monkeypatch, caplog, capsys, terminal):
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: terminal, raising=False)
    bars = []
    monkeypatch.setattr(
        progress.Progress, "_draw",
        lambda self: bars.append(self.what) or setattr(self, "bar", _Bar(bars)),
    )  # fmt: skip
    with caplog.at_level(logging.INFO, logger="medkit"):
        for _ in progress.tracked(range(100), "reading stays", 100, "files"):
            pass
    if terminal:
        assert bars[:2] == ["reading stays", "1 of 100 files, 0.2 a second, 6 min 36 s left"]
        assert bars[-2:] == ["100 of 100 files, 0.2 a second, 0 s left", "stopped"]
        assert caplog.text == ""
    else:
        assert "reading stays: 51 of 100 files, 0.2 a second, 3 min 16 s left" in caplog.text


class _Bar:
    def __init__(self, said):
        self.said = said

    def update(self, task, completed, description, text):
        self.said.append(text)

    def stop(self):
        self.said.append("stopped")


def test_keys_differ_where_anything_does():
    one = _cache.key_of("a", {"b": 1, "c": (2,)})
    assert one == _cache.key_of("a", {"c": [2], "b": 1})
    assert one != _cache.key_of("a", {"b": 1, "c": (3,)})
    assert len(one) == len(hashlib.sha1(b"").hexdigest())


def test_a_file_whose_date_was_set_back_is_read_anew(tmp_path):
    path, head = tmp_path / "small.csv", "stay,time,variable,value\n"
    path.write_text(f"{head}A,0,HR,80\n")
    settings = {"path": path, "window": {"hours": 2}, "source": {"cache": tmp_path / "cache"}}
    assert only_input(events(**settings)).values[0, 0, 0] == 80
    before = path.stat()
    path.write_text(f"{head}A,0,HR,81\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert only_input(events(**settings)).values[0, 0, 0] == 81

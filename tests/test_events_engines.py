"""One featurisation, three engines: Polars, DuckDB and PySpark give equal grids."""

from __future__ import annotations

import importlib
import shutil
import sys
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
from cohorts import only_input
from merging import merged

from medkit.core.errors import DataError
from medkit.datasets.events.events import events

AGGREGATES = {"*": "mean", "Urine": "sum", "HR": "last", "Temp": "max", "pH": "min", "Lab": "count"}
NAMES = ("HR", "K", "Lab", "Temp", "Urine", "pH")


def random_events(count=4000):
    random = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "stay": random.integers(0, 40, count) * 7,
            "time": np.round(random.uniform(-2, 30, count), 2),
            "variable": random.choice(NAMES, count),
            "value": np.round(random.normal(60, 20, count), 1),
        }
    )
    frame.loc[::37, "value"] = np.nan
    frame.loc[::41, "value"] = -1
    frame.loc[::53, "time"] = np.nan
    # Several values at one time: the last in the file is the last.
    frame.loc[1::2, ["stay", "time"]] = frame.loc[::2, ["stay", "time"]].to_numpy()
    return frame


SETTINGS = {
    "window": {"hours": 24, "step_hours": 2},
    "variables": {"aggregate": AGGREGATES},
    "values": {
        "ranges": {"K": (20, 90), "pH": (0, 100)},
        "missing_values": {"*": (-1,), "K": (60,)},
    },
}


def expected(frame):
    """The same by pandas alone, stay by stay and step by step."""
    frame = frame.dropna(subset=["time"])
    frame = frame.assign(value=frame["value"].mask(frame["value"] == -1))
    low, high = (
        frame["variable"].map({"K": 20, "pH": 0}),
        frame["variable"].map({"K": 90, "pH": 100}),
    )
    wrong = (frame["value"] < low) | (frame["value"] > high)
    wrong |= (frame["variable"] == "K") & (frame["value"] == 60)
    frame = frame.assign(value=frame["value"].mask(wrong))
    frame = frame[(frame["time"] >= 0) & (frame["time"] < 24)]
    frame = frame[frame["value"].notna() | (frame["variable"] == "Lab")]
    frame = frame.assign(step=(frame["time"] // 2).astype(int)).sort_values("time", kind="stable")
    stays = sorted(frame["stay"].unique())
    grid = np.full((len(stays), 12, len(NAMES)), np.nan, dtype="float32")
    grid[:, :, NAMES.index("Lab")] = 0
    ways = {"last": lambda v: v.iloc[-1], "count": len}
    for (stay, step, name), values in frame.groupby(["stay", "step", "variable"])["value"]:
        way = AGGREGATES.get(name, "mean")
        cell = ways[way](values) if way in ways else getattr(values, way)()
        grid[stays.index(stay), step, NAMES.index(name)] = cell
    return grid, [str(stay) for stay in stays]


@pytest.fixture(scope="module")
def frame():
    return random_events()


@pytest.fixture(scope="module")
def archive(tmp_path_factory, frame):
    """The same events as one Parquet file, as shards, with timestamps, and as CSV."""
    folder = tmp_path_factory.mktemp("archive")
    frame.to_parquet(folder / "long.parquet", row_group_size=500)
    (folder / "shards").mkdir()
    # By stay: within one moment the order in the file decides, so a stay lies in one shard.
    for number, part in enumerate(np.array_split(np.sort(frame["stay"].unique()), 3)):
        frame[frame["stay"].isin(part)].to_parquet(folder / "shards" / f"{number}.parquet")
    frame.to_csv(folder / "long.csv", index=False)
    start = pd.Timestamp("2024-03-31", tz="Europe/Berlin")  # a night when the clock changes
    stamped = frame.assign(time=start + pd.to_timedelta(frame["time"], unit="h"))
    stamped.to_parquet(folder / "stamped.parquet")
    wide = frame.dropna(subset=["time"]).groupby(["stay", "time", "variable"])["value"].max()
    wide.unstack().reset_index().to_parquet(folder / "wide.parquet")
    (folder / "meds" / "data").mkdir(parents=True)
    meds = {"stay": "subject_id", "variable": "code", "value": "numeric_value"}
    stamped.rename(columns=meds).to_parquet(folder / "meds" / "data" / "0.parquet")
    stamped.assign(time=stamped["time"].dt.tz_convert("UTC").dt.tz_localize(None)).to_parquet(
        folder / "naive.parquet"
    )
    return folder


@pytest.fixture(params=["polars", "duckdb", "spark"])
def engine(request):
    module = {"polars": "polars", "duckdb": "duckdb", "spark": "pyspark.sql"}[request.param]
    pytest.importorskip(module, reason=f"needs the extra '{request.param}'")
    if request.param == "spark" and shutil.which("java") is None:
        pytest.skip("PySpark needs Java 17")
    return request.param


@pytest.mark.parametrize("name", ["long.parquet", "long.csv"])
def test_every_engine_gives_the_grid_of_pandas(archive, frame, engine, name):
    grid, stays = expected(frame)
    cohort = events(**merged({"path": archive / name, "source": {"engine": engine}}, SETTINGS))
    order = np.argsort(cohort.samples.index.astype(int))
    assert list(cohort.samples.index[order]) == stays
    assert [feature.name for feature in only_input(cohort).features] == list(NAMES)
    assert only_input(cohort).values.dtype == np.float32
    np.testing.assert_array_max_ulp(
        np.nan_to_num(only_input(cohort).values[order], nan=-7), np.nan_to_num(grid, nan=-7), 1
    )


@pytest.mark.parametrize("engine", ["duckdb", "spark"], indirect=True)
@pytest.mark.parametrize(
    "name", ["shards", "stamped.parquet", "naive.parquet", "long.csv", "wide.parquet", "meds"]
)
def test_engines_agree_bit_for_bit(archive, engine, name):
    settings = {"path": archive / name, **SETTINGS}
    layout = name.split(".")[0] if name in ("wide.parquet", "meds") else "long"
    settings["source"] = {"layout": layout}
    polars = events(**settings)
    other = events(**merged(settings, {"source": {"engine": engine}}))
    assert only_input(other).values.tobytes() == only_input(polars).values.tobytes()
    assert list(other.samples.index) == list(polars.samples.index)
    assert other.source == polars.source


def test_a_zone_does_not_move_a_grid(archive):
    zoned = events(path=archive / "stamped.parquet", **SETTINGS)
    naive = events(path=archive / "naive.parquet", **SETTINGS)
    assert only_input(zoned).values.tobytes() == only_input(naive).values.tobytes()


def test_blocks_of_stays_change_nothing(archive, monkeypatch):
    whole = events(path=archive / "long.parquet", **SETTINGS)
    monkeypatch.setattr(import_module("medkit.datasets.events.grid.grid"), "BLOCK", 500)
    blocks = events(path=archive / "long.parquet", **SETTINGS)
    assert only_input(blocks).values.tobytes() == only_input(whole).values.tobytes()
    assert blocks.source.notes == whole.source.notes


def test_the_order_of_the_rows_changes_no_mean_and_no_sum(tmp_path):
    random = np.random.default_rng(1)
    frame = pd.DataFrame(
        {"stay": 1, "time": 0.5, "variable": "HR", "value": random.normal(37, 1, 4096)}
    )
    found = set()
    for seed in range(5):
        frame.sample(frac=1, random_state=seed).to_parquet(tmp_path / "long.parquet")
        for way in ("mean", "sum"):
            values = events(
                path=tmp_path / "long.parquet", window={"hours": 1}, variables={"aggregate": way}
            )
            found.add((way, only_input(values).values.tobytes()))
    assert len(found) == 2
    mean = only_input(events(path=tmp_path / "long.parquet", window={"hours": 1})).values.item()
    assert mean == np.float32(frame["value"].mean())


@pytest.mark.parametrize(("engine", "package"), [("duckdb", "duckdb"), ("spark", "pyspark")])
def test_an_engine_that_is_not_installed_names_its_extra(archive, monkeypatch, engine, package):
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    real = importlib.import_module

    def without(name, *rest):
        if name.split(".")[0] == package:
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(DataError) as error:
        events(path=archive / "long.parquet", source={"engine": engine})
    assert f"engine: {engine} needs {package}, which is not installed" in str(error.value)
    assert f"pip install 'keras-medkit[{engine}]'" in str(error.value)


def test_parquet_never_passes_through_pandas(archive, monkeypatch):
    import pyarrow.parquet

    def refused(*_, **__):
        raise AssertionError("the engine should scan the file")

    monkeypatch.setattr(pyarrow.parquet, "read_table", refused)
    monkeypatch.setattr(pd, "read_parquet", refused)
    assert only_input(events(path=archive / "long.parquet", **SETTINGS)).values.shape[1] == 12

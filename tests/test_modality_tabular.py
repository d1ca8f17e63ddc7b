"""Tables: fitted on training rows, encoded by name, the same in the model after a round trip."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from cohorts import only_input

import medkit.layers  # noqa: F401
from medkit.core.errors import ConfigError, DataError
from medkit.data.cohort import Feature, RawInput
from medkit.modalities.tabular import Tabular

NAN = np.nan
FEATURES = (
    Feature("age", unit="years", low=0, high=120),
    Feature("sex", "categorical"),
    Feature("pressure", unit="mmHg"),
)


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "age": [40, 50, 60, 70, 80, 90],
            "sex": ["f", "m", "f", "m", "x", None],
            "pressure": [120.0, 130, NAN, 140, 150, NAN],
        }
    )


def raw(table: pd.DataFrame | None = None) -> RawInput:
    return RawInput("tabular", frame() if table is None else table, FEATURES)


def inside(modality, given) -> np.ndarray:
    """What the model's first layer makes of raw input."""
    layer = modality.preprocessing()
    return keras.ops.convert_to_numpy(layer(modality.encode(given)))


def test_encoded_rows_are_in_physical_units_with_codes_and_nan():
    tabular = Tabular(rare_below=2).fit(raw())
    expected = [
        [40, 1, 120],
        [50, 2, 130],
        [60, 1, NAN],
        [70, 2, 140],
        [80, 0, 150],
        [90, NAN, NAN],
    ]
    encoded = tabular.encode(raw())
    assert encoded.dtype == np.float32
    np.testing.assert_array_equal(encoded, np.array(expected, "float32"))
    assert tabular.input_shape_ == (3,)
    assert tabular.input_dtype_ == "float32"
    assert tabular.features == FEATURES
    assert tabular.keep(raw()).all()


@pytest.mark.parametrize(
    ("missing", "fill"), [("median", 135.0), ("mean", 135.0), ("constant", 100.0)]
)
def test_the_layer_equals_numpy(missing, fill):
    tabular = Tabular(missing=missing, constant=100, rare_below=2).fit(raw())
    age = np.arange(40.0, 91, 10)
    pressure = np.array([120.0, 130, NAN, 140, 150, NAN])
    deviation, mean = np.nanstd(pressure), np.nanmean(pressure)
    filled = np.where(np.isnan(pressure), fill, pressure)
    expected = np.c_[
        (age - age.mean()) / age.std(),
        (filled - mean) / deviation,
        [0, 0, 0, 0, 1, 0], [1, 0, 1, 0, 0, 0], [0, 1, 0, 1, 0, 0],
        [0, 0, 0, 0, 0, 1], [0, 0, 1, 0, 0, 1],
    ]  # fmt: skip
    np.testing.assert_allclose(inside(tabular, raw()), expected, atol=1e-6)
    assert tabular.output_names == [
        "age", "pressure", "sex = (rare)", "sex = f", "sex = m", "sex missing", "pressure missing",
    ]  # fmt: skip


def test_median_and_mean_differ():
    skewed = pd.DataFrame({"creatinine": [1.0, 1, 1, 9]})
    assert Tabular(missing="median").fit(skewed).fill_ == {"creatinine": 1.0}
    assert Tabular(missing="mean").fit(skewed).fill_ == {"creatinine": 3.0}


def test_nothing_is_learned_from_rows_encoded_later():
    tabular = Tabular().fit(raw())
    before = tabular.to_dict()
    tabular.encode(raw(frame().assign(age=1000)))
    assert tabular.to_dict() == before


def test_without_indicators_and_standardization():
    tabular = Tabular(indicators=False, standardize=False, rare_below=1).fit(raw())
    assert tabular.output_names == ["age", "pressure", "sex = f", "sex = m", "sex = x"]
    np.testing.assert_array_equal(inside(tabular, raw())[2], [60, 135, 1, 0, 0])


def test_dropping_rows_with_gaps():
    tabular = Tabular(missing="drop", rare_below=1)
    keep = [True, True, False, True, True, False]
    assert tabular.keep(raw()).tolist() == keep
    tabular.fit(raw())
    assert tabular.keep(raw()).tolist() == keep
    assert tabular.center_["age"] == 60.0  # of the four whole rows
    assert np.isfinite(inside(tabular, raw())).all()
    with pytest.raises(DataError, match="no training rows"):
        Tabular(missing="drop").fit(frame().assign(pressure=NAN))


def test_unseen_categories_share_the_rare_bucket(caplog):
    tabular = Tabular(rare_below=2).fit(raw())
    new = frame().assign(sex="unknown")
    with caplog.at_level(logging.INFO, "medkit"):
        assert (tabular.encode(raw(new))[:, 1] == 0).all()
    assert "column 'sex': 6 of 6 values are rare or unseen in training" in caplog.text
    assert "unknown" not in json.dumps(tabular.to_dict())
    # Without a rare category in training there is nothing to learn from: zeros.
    assert not inside(Tabular(rare_below=1).fit(raw()), raw(new))[:, 2:5].any()


def test_rare_categories_are_not_kept_in_the_state():
    table = pd.DataFrame({"ward": ["a"] * 5 + ["Dr House"], "age": range(6)})
    assert "House" not in json.dumps(Tabular().fit(table).to_dict())


def test_whole_numbers_as_categories_survive_a_gap():
    features = (Feature("stage", "categorical"),)
    train = RawInput("tabular", pd.DataFrame({"stage": [1, 2, 1, 2]}), features)
    tabular = Tabular(rare_below=1).fit(train)
    new = pd.DataFrame({"stage": [2.0, NAN]})
    np.testing.assert_array_equal(tabular.encode(new), [[2], [NAN]])
    np.testing.assert_array_equal(tabular.encode(pd.DataFrame({"stage": ["1", " "]})), [[1], [NAN]])


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([True, False, True]),
        pd.Series([True, False, None], dtype="boolean"),
        pd.Series([True, False, None], dtype=object),
        pd.Series([1, 0, None], dtype="Int64"),
        pd.Series(["1", " 0 ", ""]),
        pd.Series(["1", "0", "1"], dtype="category"),
    ],
    ids=["bool", "boolean", "object", "Int64", "text", "category"],
)
def test_numbers_come_in_many_types(column):
    given = RawInput("tabular", pd.DataFrame({"a": column}), (Feature("a"),))
    assert Tabular().fit(given).encode(given)[:2, 0].tolist() == [1.0, 0.0]


def test_columns_are_aligned_by_name_and_extra_ones_said(caplog):
    tabular = Tabular().fit(raw())
    shuffled = frame()[["pressure", "sex", "age"]].assign(bed=7)
    with caplog.at_level(logging.INFO, "medkit"):
        np.testing.assert_array_equal(tabular.encode(shuffled), tabular.encode(raw()))
    assert "ignored 1 columns the model was not trained on: bed" in caplog.text


def test_plain_arrays_have_the_fitted_columns():
    tabular = Tabular().fit(np.array([[1.0, 2], [3, 4]]))
    assert tabular.names == ["column_1", "column_2"]
    np.testing.assert_array_equal(tabular.encode(np.array([[5, NAN]])), [[5, NAN]])
    with pytest.raises(DataError, match=r"shape \(1, 3\) was given; expected \(rows, 2\)"):
        tabular.encode(np.zeros((1, 3)))


def test_missing_columns_are_named():
    tabular = Tabular().fit(raw())
    with pytest.raises(DataError, match="2 columns missing: 'age'; did you mean 'Age'") as caught:
        tabular.encode(frame().rename(columns={"age": "Age"}).drop(columns="sex"))
    assert "'sex'" in str(caught.value)
    assert "trained on: age, sex, pressure" in str(caught.value)


def test_text_where_numbers_are_due():
    tabular = Tabular().fit(raw())
    bad = frame().astype({"pressure": object})
    bad.loc[1, "pressure"] = "high"
    message = "column 'pressure' holds text where numbers are expected: 1 value, first in row 2"
    with pytest.raises(DataError, match=message) as caught:
        tabular.encode(bad)
    assert "high" not in str(caught.value)


def test_infinite_values_and_dates_are_refused():
    bad = frame()
    bad.loc[[2, 3], "pressure"] = np.inf
    with pytest.raises(DataError, match="'pressure' holds 2 infinite values, first in row 3"):
        Tabular().fit(raw(bad))
    with pytest.raises(DataError, match="1 infinite value,"):
        Tabular().fit(pd.DataFrame({"a": [1.0, 1e300]}))
    dates = RawInput(
        "tabular", pd.DataFrame({"a": pd.to_datetime(["2020-01-01"])}), (Feature("a"),)
    )
    with pytest.raises(DataError, match="'a' holds dates where numbers are expected"):
        Tabular().fit(dates)


def test_empty_columns_are_filled_and_said(caplog):
    tabular = Tabular().fit(raw(frame().assign(pressure=NAN)))
    assert "column 'pressure' is missing in every training row" in caplog.text
    assert np.isfinite(inside(tabular, raw())).all()
    assert not inside(tabular, raw(frame().assign(pressure=NAN)))[:, 1].any()
    only = RawInput("tabular", pd.DataFrame({"a": [None, None]}), (Feature("a", "categorical"),))
    with pytest.raises(DataError, match="no column has a value"):
        Tabular(indicators=False).fit(only)


def test_a_column_of_rare_categories_is_said(caplog):
    Tabular().fit(raw())
    assert "column 'sex': every category is rare (fewer than rare_below: 5" in caplog.text


def test_constant_and_large_columns():
    table = pd.DataFrame({"constant": [0.1] * 7, "seconds": 1.6e9 + np.arange(7) * 1e4})
    tabular = Tabular().fit(table)
    assert tabular.scale_["constant"] == 1.0
    found = inside(tabular, table)
    np.testing.assert_allclose(found[:, 0], 0, atol=1e-6)
    expected = (np.arange(7) - 3) / 2
    np.testing.assert_allclose(found[:, 1], expected, atol=0.01)  # float32 holds 128 s steps


def test_columns_named_twice():
    with pytest.raises(DataError, match="columns named more than once: a"):
        Tabular().fit(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_wrong_parameters_and_use_before_fit():
    with pytest.raises(ConfigError, match="missing"):
        Tabular(missing="medain").fit(raw())
    with pytest.raises(DataError, match="learned nothing yet"):
        Tabular().encode(frame())
    with pytest.raises(DataError, match="'image' input was given where 'tabular' is expected"):
        Tabular().fit(RawInput("image", np.zeros((1, 2, 2, 1))))


def test_state_is_strict_json_and_gives_the_same_model(tmp_path):
    tabular = Tabular(rare_below=2).fit(raw())
    text = json.dumps(tabular.to_dict(), allow_nan=False)
    again = Tabular.from_dict(json.loads(text))
    assert again.to_dict() == tabular.to_dict()
    np.testing.assert_array_equal(again.encode(raw()), tabular.encode(raw()))
    np.testing.assert_array_equal(inside(again, raw()), inside(tabular, raw()))
    with pytest.raises(DataError, match="'series' modality was given where 'tabular' is expected"):
        Tabular.from_dict({"modality": "series"})
    inputs = keras.Input(tabular.input_shape_)
    keras.Model(inputs, tabular.preprocessing()(inputs)).save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    encoded = tabular.encode(raw())
    np.testing.assert_array_equal(model.predict(encoded, verbose=0), inside(tabular, raw()))


def test_summary_columns():
    summary = (t := Tabular(rare_below=2).fit(raw())).summarize(t.encode(raw()))
    assert list(summary) == ["age", "sex = (rare)", "sex = f", "sex = m", "pressure"]
    assert summary["pressure"].isna().sum() == 2
    assert summary["sex = m"].tolist() == [0, 1, 0, 1, 0, 0]


@pytest.mark.skipif("MEDKIT_TEST_DATA" not in os.environ, reason="MEDKIT_TEST_DATA is not set")
def test_heart_disease_has_gaps_of_every_kind():
    path = Path(os.environ["MEDKIT_TEST_DATA"]) / "heart_disease/heart_disease_4sites.csv"
    table = pd.read_csv(path)
    train, new = table[table.site == "cleveland"], table[table.site != "cleveland"]
    tabular = Tabular().fit(train.drop(columns=["site", "num"]))
    assert np.isfinite(inside(tabular, new)).all()
    assert tabular.missing_ == ["ca", "thal"]


CODES = ["038", "V27", "250.0", "250.00", "401", "TRUE", "None"]


def rows_of(path, texts, *, header="icd,stage,flag,x", values=(), **columns):
    """The table's raw input of a file with these lines."""
    from medkit.datasets.table.table import table

    path.write_text("\n".join([header, *texts]) + "\n")
    return only_input(table(path=path, columns=columns, values=dict(values)))


def test_an_encoded_row_depends_on_nothing_but_the_row(tmp_path):
    stages = ["1.0", "2.0", "3.0", "", "1.0", "2.0", "3.0"]
    flags = ["true", "false", "", "true", "true", "false", "false"]
    lines = [
        f"{c},{s},{f},{i}" for i, (c, s, f) in enumerate(zip(CODES, stages, flags, strict=True))
    ]
    declared = {"categorical": ("stage",)}
    whole = rows_of(tmp_path / "train.csv", lines, **declared)
    tabular = Tabular.from_dict(Tabular(rare_below=1).fit(whole).to_dict())
    assert len(tabular.categories_["icd"]) == len(CODES)
    assert tabular.categories_["stage"] == ["1", "2", "3"]
    expected = tabular.encode(whole)
    fitted = {
        kind: tuple(f.name for f in tabular.features if f.kind == kind)
        for kind in ("numeric", "categorical")
    }
    whole_frame = pd.read_csv(tmp_path / "train.csv", keep_default_na=False, na_values=[""])
    np.testing.assert_array_equal(tabular.encode(whole_frame), expected)
    np.testing.assert_array_equal(
        tabular.encode(rows_of(tmp_path / "again.csv", lines, **fitted)), expected
    )
    for number, line in enumerate(lines):
        one = rows_of(tmp_path / "one.csv", [line], **fitted)
        row = expected[[number]]
        np.testing.assert_array_equal(tabular.encode(one), row, err_msg=line)
        np.testing.assert_array_equal(tabular.encode(whole_frame.iloc[[number]]), row)
        np.testing.assert_array_equal(tabular.encode(one.values), row)
        np.testing.assert_array_equal(tabular.encode(rows_of(
            tmp_path / "one.csv", [line.replace(".0,", ",", 1) if number == 4 else line], **fitted
        )), row)  # fmt: skip


def test_numbers_stand_for_the_only_code_they_can_mean():
    train = pd.DataFrame({"icd": ["038", "V27", "250.0", "250.00"]})
    tabular = Tabular(rare_below=1).fit(train)
    known = tabular.categories_["icd"]
    new = pd.DataFrame({"icd": [38, 250.0]})  # as pandas reads them without the texts
    assert tabular.encode(new)[:, 0].tolist() == [known.index("038") + 1, 0]
    texts = pd.DataFrame({"icd": ["38", "250", "250.00"]})
    assert tabular.encode(texts)[:, 0].tolist() == [0, 0, known.index("250.00") + 1]


def test_mixed_objects_do_not_depend_on_their_order():
    train = pd.DataFrame({"a": ["True", "1", "b"]})
    tabular = Tabular(rare_below=1).fit(train)
    for values in ([True, 1, "1"], [1, True, "1"]):
        found = tabular.encode(pd.DataFrame({"a": pd.Series(values, dtype=object)}))[:, 0]
        wanted = ["True" if value is True else "1" for value in values]
        assert found.tolist() == [tabular.categories_["a"].index(each) + 1 for each in wanted]


@pytest.mark.parametrize(("outside", "last"), [("missing", NAN), ("clip", 120.0), ("keep", 300.0)])
def test_sentinels_and_ranges_are_those_of_the_file(tmp_path, outside, last):
    settings = {
        "values": {
            "missing_values": {"*": ("?",), "age": (-1,), "sex": ("9",)},
            "ranges": {"age": (0, 120)},
            "outside": outside,
        },
        "categorical": ("sex",),
    }
    header, train = "age,sex", ["40,1", "50,2", "60,1", "-1,9"]
    raw_input = rows_of(tmp_path / "a.csv", train, header=header, **settings)
    tabular = Tabular.from_dict(Tabular(rare_below=1).fit(raw_input).to_dict())
    new = ["40,1", "-1,9", "?,?", "300,2"]
    expected = np.array([[40, 1], [NAN, NAN], [NAN, NAN], [last, 2]], "float32")
    read = rows_of(tmp_path / "b.csv", new, header=header, **settings)
    np.testing.assert_array_equal(tabular.encode(read), expected)
    plain = pd.read_csv(tmp_path / "b.csv")
    np.testing.assert_array_equal(tabular.encode(plain), expected)
    np.testing.assert_array_equal(tabular.encode(read.values), expected)
    numbers_only = pd.DataFrame({"age": [-1, 300.0], "sex": [9, 2]})
    np.testing.assert_array_equal(tabular.encode(numbers_only), expected[[1, 3]])
    drop = Tabular(missing="drop", rare_below=1).fit(raw_input)
    assert drop.keep(plain).tolist() == (~np.isnan(expected).any(axis=1)).tolist()


# --- many categories -----------------------------------------------------------------------------


def diagnoses(rows: int = 500, codes: int = 90) -> pd.DataFrame:
    """Ages and ICD-like codes, frequent ones and many that are found once or twice."""
    random = np.random.default_rng(0)
    names = np.array([f"{'ABCDEFGHIJ'[i % 10]}{i:02d}.{i % 7}" for i in range(codes)])
    chosen = names[np.minimum(random.geometric(0.03, rows), codes) - 1].astype(object)
    chosen[::50] = None
    return pd.DataFrame({"age": random.normal(60, 9, rows), "icd": chosen, "ward": ["a", "b"] *
                         (rows // 2)})  # fmt: skip


def embedded(table: pd.DataFrame | None = None, **settings) -> Tabular:
    return Tabular(**{"embedding": 20, "rare_below": 3, **settings}).fit(
        diagnoses() if table is None else table
    )


def test_many_categories_are_embedded_and_few_are_not(caplog):
    caplog.set_level(logging.INFO, logger="medkit")
    modality = embedded()
    kept = len(modality.categories_["icd"])
    assert 20 < kept < 90
    ((start, count, width),) = modality.embedding_layer().groups
    assert (start, count) == (1, kept + 1)
    assert modality.output_names[start : start + count] == [
        "icd = (rare)", *(f"icd = {each}" for each in modality.categories_["icd"])
    ]  # fmt: skip
    assert width == round(1.6 * kept**0.56)
    assert f"column 'icd': {kept} categories, embedded in vectors of length {width}" in caplog.text
    assert embedded(embedding_width=3).embedding_layer().groups[0][2] == 3
    assert embedded(embedding="off").embedding_layer() is None
    assert embedded(embedding=kept).embedding_layer() is None
    assert embedded(embedding="auto", rare_below=1).embedding_layer() is not None
    assert Tabular().fit(raw()).embedding_layer() is None
    again = Tabular.from_dict(json.loads(json.dumps(modality.to_dict())))
    assert again.embedding_layer().groups == modality.embedding_layer().groups
    with pytest.raises(ConfigError):
        embedded(embedding=1)


def test_the_vector_is_that_of_the_category():
    modality = embedded()
    layer = modality.embedding_layer()
    ((start, count, width),) = layer.groups
    asked = pd.DataFrame(
        {"age": [60.0] * 4, "icd": [modality.categories_["icd"][4], "Z99.9", None, "A00.0"],
         "ward": ["a"] * 4}
    )  # fmt: skip
    ready = inside(modality, asked)
    out = keras.ops.convert_to_numpy(layer(ready))
    vectors = keras.ops.convert_to_numpy(layer.vectors[0])
    assert out.shape == (4, ready.shape[1] - count + width)
    assert tuple(layer.compute_output_shape((None, ready.shape[1]))) == (None, out.shape[1])
    np.testing.assert_allclose(out[0, start : start + width], vectors[5], rtol=1e-6)
    np.testing.assert_allclose(out[1, start : start + width], vectors[0], rtol=1e-6)
    np.testing.assert_array_equal(out[2, start : start + width], 0)
    np.testing.assert_array_equal(out[:, :start], ready[:, :start])
    np.testing.assert_array_equal(out[:, start + width :], ready[:, start + count :])
    again = type(layer).from_config(layer.get_config())
    assert again.groups == layer.groups


@pytest.mark.parametrize("name", ["mlp", "residual_mlp", "ft_transformer", "tabm"])
def test_every_model_of_tables_trains_vectors_and_is_saved_with_them(name, tmp_path):
    from medkit.config.experiment import Component
    from medkit.core import registry
    from medkit.data.inputs import Inputs
    from medkit.layers.tabular import CategoryEmbedding
    from medkit.modalities.encoder import Encoder
    from medkit.models.attention import layers_within
    from medkit.training.network import build_network

    table = diagnoses(64)
    modality = embedded(table, embedding=5, rare_below=2)
    task = registry.tasks.build("binary").fit(np.arange(64) % 2)
    network = build_network(Encoder({"table": modality}), task, Component(name, {}), 64)
    assert network.preprocessing is not None, "statistics are still applied before training"
    (layer,) = layers_within(network.trained, CategoryEmbedding)
    before = keras.ops.convert_to_numpy(layer.vectors[0]).copy()
    x = Inputs({"table": modality.encode(table)})
    network.trained.compile("adam", "binary_crossentropy", run_eagerly=True)
    network.trained.train_on_batch(network.prepare(x), np.arange(64)[:, None] % 2)
    assert np.abs(keras.ops.convert_to_numpy(layer.vectors[0]) - before).max() > 0
    network.full.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    mine, theirs = (
        keras.ops.convert_to_numpy(each(x.arrays, training=False))
        for each in (network.full, loaded)
    )
    np.testing.assert_allclose(theirs, mine, atol=1e-6)


def test_members_of_an_ensemble_have_vectors_of_their_own():
    from medkit.config.experiment import Component
    from medkit.core import registry
    from medkit.layers.tabular import CategoryEmbedding
    from medkit.modalities.encoder import Encoder
    from medkit.models.attention import layers_within
    from medkit.training.network import build_network

    encoder = Encoder({"table": embedded()})
    task = registry.tasks.build("binary").fit(np.array([0, 1]))
    mlp = Component("mlp", {"hidden_units": [2]})
    network = build_network(encoder, task, mlp, 500, members=2)
    first, second = layers_within(network.full, CategoryEmbedding)
    assert not np.array_equal(first.vectors[0], second.vectors[0])


def test_the_summary_of_many_categories_is_bounded(monkeypatch):
    monkeypatch.setattr("medkit.modalities.tabular.categories.SUMMARIZED_CATEGORIES", 6)
    modality, table = embedded(), diagnoses()
    summary = modality.summarize(modality.encode(table))
    columns = [name for name in summary if str(name).startswith("icd")]
    frequent = [f"icd = {each}" for each in sorted(table["icd"].value_counts().index[:6])]
    assert columns == ["icd = (rare)", *frequent, "icd = (other)"]
    assert summary[columns].sum(axis=1).tolist() == table["icd"].notna().astype(float).tolist()
    unbounded = embedded(embedding="off")
    assert len(unbounded.summarize(unbounded.encode(table)).columns) > 30

"""Tokens: a vocabulary of the training sequences, ids, and vectors in the model."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

import medkit.layers  # noqa: F401
from medkit.core.errors import DataError
from medkit.data.cohort import RawInput
from medkit.modalities.tokens import Tokens

DNA = ["ACGT", "AACG", "AAAC", "acnt"]


def raw(texts=DNA) -> RawInput:
    return RawInput("tokens", np.array(texts, dtype=object))


def inside(tokens, given) -> np.ndarray:
    return keras.ops.convert_to_numpy(tokens.preprocessing()(tokens.encode(given)))


def test_letters_become_ids_in_order_of_frequency():
    tokens = Tokens().fit(raw())
    assert tokens.vocabulary_ == ["A", "C", "G", "T", "N"]
    encoded = tokens.encode(["ACGT", "a", "", "AXN", "AAAAC"])
    assert encoded.dtype == np.int32
    expected = [[2, 3, 4, 5], [0, 0, 0, 2], [0, 0, 0, 0], [0, 2, 1, 6], [2, 2, 2, 2]]
    np.testing.assert_array_equal(encoded, expected)
    assert (tokens.input_shape_, tokens.input_dtype_, tokens.deterministic) == (
        (4,),
        "int32",
        False,
    )
    assert tokens.keep(raw()).all()


def test_vectors_are_one_hot_and_padding_is_zero():
    vectors = inside(Tokens().fit(raw()), ["GX"])
    assert vectors.shape == (1, 4, 5)
    np.testing.assert_array_equal(vectors[0, 2], [0, 0, 1, 0, 0])
    assert not vectors[0, [0, 1, 3]].any()  # padding, and a letter training never lacked


def test_rare_letters_are_unseen_and_have_a_vector():
    tokens = Tokens(min_count=2, padding="post").fit(raw())
    assert tokens.vocabulary_ == ["A", "C", "G", "T"]
    assert tokens.encode(["AN"]).tolist() == [[2, 1, 0, 0]]
    expected = [[0, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0] * 5]
    np.testing.assert_array_equal(inside(tokens, ["AN"])[0, :3], expected)
    assert Tokens(max_vocabulary=1).fit(raw()).vocabulary_ == ["A"]


def test_case_can_matter():
    tokens = Tokens(ignore_case=False).fit(["Aa", "aB"])
    assert tokens.vocabulary_ == ["a", "A", "B"]


def test_words_and_punctuation():
    texts = ["No fever, no cough."] * 5 + ["Mr Smith: cough"]
    tokens = Tokens(unit="word").fit(texts)
    assert tokens.vocabulary_ == ["no", "cough", ",", ".", "fever"]
    assert tokens.length_ == 6
    assert tokens.encode(["Cough NOW."]).tolist() == [[0, 0, 0, 3, 1, 5]]
    assert "smith" not in json.dumps(tokens.to_dict())
    with pytest.raises(DataError, match="no token occurs in 5 training sequences"):
        Tokens(unit="word").fit(["a b"])


def test_length_follows_the_training_sequences(caplog):
    texts = ["A" * 10] * 199 + ["A" * 5000]
    tokens = Tokens().fit(texts)
    assert tokens.length_ == 10
    with caplog.at_level(logging.INFO, "medkit"):
        tokens.encode([*texts, "", "X"])
    assert "1 of 202 sequences are longer than 10 tokens and lose their end" in caplog.text
    assert "1 of 202 sequences are empty" in caplog.text
    assert "1 of 202 sequences hold tokens outside the vocabulary" in caplog.text
    assert Tokens().fit(["A" * 5000]).length_ == 2000
    assert Tokens(length=3).fit(texts).input_shape_ == (3,)


def test_large_vocabularies_are_embedded():
    letters = [chr(0x4E00 + i) for i in range(65)]
    tokens = Tokens().fit(["".join(letters)])
    layer = tokens.preprocessing()
    assert layer(tokens.encode([letters[0]])).shape == (1, 65, 64)
    assert [w.shape for w in layer.trainable_weights] == [(67, 64)]
    assert inside(Tokens(embedding=3).fit(raw()), DNA).shape == (4, 4, 3)


def test_only_text_is_taken():
    with pytest.raises(DataError, match="sequence 2 is of type int where text is expected"):
        Tokens().fit(["ACGT", 5])
    with pytest.raises(DataError, match="every training sequence is empty"):
        Tokens().fit(["", None, np.nan])
    with pytest.raises(DataError, match="no training rows"):
        Tokens().fit([])


def test_unusual_text():
    tokens = Tokens().fit(["héß🧬", "\ud800"])
    assert len(tokens.vocabulary_) == 5  # H, É, S (of ß, twice), 🧬 and a lone surrogate
    np.testing.assert_array_equal(tokens.encode("🧬"), tokens.encode(["🧬"]))


def test_state_is_strict_json_and_gives_the_same_model(tmp_path):
    tokens = Tokens(min_count=2).fit(raw())
    again = Tokens.from_dict(json.loads(json.dumps(tokens.to_dict(), allow_nan=False)))
    assert again.to_dict() == tokens.to_dict()
    np.testing.assert_array_equal(again.encode(raw()), tokens.encode(raw()))
    np.testing.assert_array_equal(inside(again, raw()), inside(tokens, raw()))
    inputs = keras.Input(tokens.input_shape_, dtype=tokens.input_dtype_)
    keras.Model(inputs, tokens.preprocessing()(inputs)).save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    encoded = tokens.encode(raw())
    np.testing.assert_array_equal(model.predict(encoded, verbose=0), inside(tokens, raw()))


def test_summary_by_position_where_all_have_one_length():
    tokens = Tokens().fit(raw())
    summary = tokens.summarize(tokens.encode(raw()))
    assert summary.shape == (4, 20)
    assert summary["position 2 = C"].tolist() == [1, 0, 0, 1]


def test_summary_by_share_otherwise():
    tokens = Tokens().fit(["ACAC", "AG", ""])
    summary = tokens.summarize(tokens.encode(["ACAC", "AG", "AXC", ""]))
    assert list(summary)[:4] == ["length", "share of A", "share of C", "share of G"]
    assert summary["length"].tolist() == [4, 2, 3, 0]
    np.testing.assert_allclose(summary["share of A"], [0.5, 0.5, 1 / 3, 0])
    np.testing.assert_allclose(summary["share of AC"], [2 / 3, 0, 0, 0])
    np.testing.assert_allclose(summary["share of AG"], [0, 1, 0, 0])


@pytest.mark.skipif("MEDKIT_TEST_DATA" not in os.environ, reason="MEDKIT_TEST_DATA is not set")
def test_splice_junctions():
    table = pd.read_csv(Path(os.environ["MEDKIT_TEST_DATA"]) / "splice/splice.csv")
    tokens = Tokens().fit(table["sequence"])
    assert tokens.input_shape_ == (60,)
    assert sorted(tokens.vocabulary_) == list("ACDGNRST")
    assert tokens.summarize(tokens.encode(table["sequence"])).shape == (3190, 480)

"""Sequences: one column of letters a row."""

from __future__ import annotations

import pytest
from cohorts import only_input

from medkit.core.errors import DataError
from medkit.datasets.sequences import sequences


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "data.csv"
        path.write_text(text)
        return path

    return write


def test_text_is_kept_as_it_stands(file):
    path = file("sequence,label,gene\nNA,a,1\n0101,b,1\n  ACGT ,a,2\n")
    cohort = sequences(path=path, target="label", columns={"subject": "gene"})
    assert only_input(cohort).values.tolist() == ["NA", "0101", "ACGT"]
    assert only_input(cohort).values.dtype == object
    assert cohort.samples["subject"].tolist() == ["1", "1", "2"]
    assert cohort.targets.tolist() == ["a", "b", "a"]


def test_empty_sequences_and_missing_labels_are_counted(file):
    path = file("sequence,label\nACGT,a\n,b\n-,b\nGGG,\n   ,\nTTT,c\n")
    cohort = sequences(path=path, target="label", missing_values={"sequence": ("-",)})
    assert cohort.source.dropped == {"missing sequence": 3, "missing target": 1}
    assert cohort.source.rows_read == 6
    assert only_input(cohort).values.tolist() == ["ACGT", "TTT"]
    assert cohort.targets.tolist() == ["a", "c"]
    assert list(cohort.samples.index) == [1, 6]


def test_new_file_without_labels(file):
    cohort = sequences(path=file("sequence\nACGT\n"), target=None, columns={"subject": "gene"})
    assert cohort.targets is None
    assert list(cohort.samples.columns) == []


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("seq,label\nA,b\n", {}, "no sequence column called 'sequence'"),
        ("sequence,label\n,b\n,c\n", {}, "every sequence is empty: column 'sequence', 2 rows"),
        ("sequence,label\nA,\n", {}, "every row lacks a target"),
        ("sequence,label\nA,b\n", {"target": "sequence"}, "'sequence' is both sequence and target"),
        (
            "sequence,label\nA,b\n",
            {"columns": {"subject": "gene"}},
            "no subject column called 'gene'",
        ),
        ("sequence,label,k\nA,b,1\nA,b,1\n", {"columns": {"id": "k"}}, "1 duplicate sample ids"),
    ],
)
def test_bad_input_is_refused(file, text, settings, message):
    with pytest.raises(DataError) as error:
        sequences(path=file(text), **{"target": "label", **settings})
    assert message in str(error.value)


def test_splice(real_data):
    cohort = sequences(
        path=real_data / "splice" / "splice.csv", target="label", columns={"subject": "gene"}
    )
    assert len(cohort) == 3190
    assert {len(text) for text in only_input(cohort).values} == {60}
    assert sorted(set(cohort.targets)) == ["EI", "IE", "N"]
    assert cohort.samples["subject"].nunique() < 3190

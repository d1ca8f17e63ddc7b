"""Splits: no patient on both sides, whatever the way to divide."""

import numpy as np
import pandas as pd
import pytest

from medkit.config.experiment import Split
from medkit.core.errors import DataError
from medkit.data.cohort import Cohort, RawInput
from medkit.data.splits import NO_SUBJECT, split


def cohort(targets=None, **samples):
    frame = pd.DataFrame(samples)
    frame.index = pd.Index([f"row-{i}" for i in range(len(frame))])
    raw = RawInput("tabular", pd.DataFrame({"x": np.zeros(len(frame))}))
    return Cohort(frame, {"table": raw}, None if targets is None else np.asarray(targets))


def several_rows_each(subjects=60, seed=0):
    random = np.random.default_rng(seed)
    subject = random.integers(0, subjects, size=subjects * 4)
    subject = np.concatenate([np.arange(subjects), subject])
    ill = random.random(subjects) < 0.2
    target = (ill[subject] & (random.random(len(subject)) < 0.7)).astype(int)
    time = random.uniform(0, 100, size=len(subject))
    site = np.array(["north", "south", "west"])[subject % 3]
    return cohort(target, subject=[f"p{s}" for s in subject], time=time, site=site)


def parts_of_subjects(data, result):
    frame = pd.DataFrame({"subject": data.subjects, "part": result.parts})
    return frame[frame.part != "dropped"].groupby("subject").part.nunique()


@pytest.mark.parametrize(
    "settings",
    [Split(), Split(by="time"), Split(by="site", train_sites=("north", "south"))],
    ids=lambda s: s.by,
)
@pytest.mark.parametrize("seed", range(3))
def test_no_subject_is_in_two_parts(settings, seed):
    data = several_rows_each(seed=seed)
    result = split(data, settings, seed)
    assert (parts_of_subjects(data, result) == 1).all()
    assert all(result.counts[part] for part in ("train", "valid", "test"))
    assert sum(result.dropped.values()) == result.counts.get("dropped", 0)


def test_fractions_are_of_subjects_and_exact():
    data = cohort(subject=np.repeat(np.arange(200), 3))
    result = split(data, Split(valid=0.2, test=0.1), 0)
    assert result.counts == {"train": 420, "valid": 120, "test": 60}
    assert result.notes == ()


def test_same_seed_same_split_in_any_row_order():
    data = several_rows_each()
    order = np.random.default_rng(5).permutation(len(data))
    for by in (Split(), Split(by="site", train_sites=("north",)), Split(by="time")):
        first = split(data, by, 3).parts
        assert (split(data, by, 3).parts == first).all()
        assert (split(data.take(order), by, 3).parts == first[order]).all()
    assert (split(data, Split(), 4).parts != split(data, Split(), 3).parts).any()


def test_rows_without_a_subject_column_are_their_own_patients():
    result = split(cohort(x=np.arange(40)), Split(), 0)
    assert result.counts == {"train": 28, "valid": 6, "test": 6}
    assert result.notes == (NO_SUBJECT,)


def test_a_rare_class_is_in_every_part():
    target = np.zeros(200, int)
    target[[3, 50, 90, 120]] = 1
    for seed in range(10):
        result = split(cohort(target, subject=np.arange(200)), Split(), seed)
        assert set(result.parts[target == 1]) == {"train", "valid", "test"}
        assert result.counts == {"train": 140, "valid": 30, "test": 30}


def test_multiclass_and_text_targets_keep_their_shares():
    target = np.array(["N", "EI", "IE", "N"] * 100)
    result = split(cohort(target, subject=np.arange(400)), Split(), 1)
    for part, n in (("test", 60), ("valid", 60)):
        kinds, counts = np.unique(target[result.rows(part)], return_counts=True)
        assert dict(zip(kinds, counts, strict=True)) == {"EI": n / 4, "IE": n / 4, "N": n / 2}


def test_continuous_targets_are_stratified_by_quintile():
    target = np.random.default_rng(0).normal(size=1000)
    result = split(cohort(target, subject=np.arange(1000)), Split(), 0)
    edges = np.quantile(target, [0.2, 0.4, 0.6, 0.8])
    bins = np.bincount(np.searchsorted(edges, target[result.rows("test")]))
    assert bins.tolist() == [30] * 5


def test_several_labels_are_stratified_by_pattern():
    random = np.random.default_rng(0)
    target = (random.random((400, 2)) < [0.1, 0.5]).astype(int)
    result = split(cohort(target, subject=np.arange(400)), Split(), 0)
    held = target[result.rows("test")].mean(axis=0)
    assert np.allclose(held, target.mean(axis=0), atol=0.03)


def test_a_class_too_small_to_stratify_is_said():
    target = np.array([0] * 50 + [1] * 50 + [2])
    result = split(cohort(target, subject=np.arange(101)), Split(), 0)
    note = "1 class or outcome with fewer than 3 subjects could not be stratified"
    assert result.notes == (note,)
    assert not split(cohort(target, subject=np.arange(101)), Split(stratify=False), 0).notes


def test_time_goes_forward_and_late_rows_of_early_subjects_are_dropped():
    data = several_rows_each()
    time = data.samples["time"].to_numpy()
    result = split(data, Split(by="time"), 0)
    ends = {part: time[result.rows(part)] for part in ("train", "valid", "test")}
    assert ends["train"].max() < ends["valid"].min()
    assert ends["valid"].max() < ends["test"].min()
    assert result.dropped == {"later than their subject's part": result.counts["dropped"]}


def test_time_as_dates_text_and_missing():
    days = pd.date_range("2020-01-31", periods=100)
    as_text = pd.Series(days.strftime("%Y-%m-%d").to_numpy())
    as_text[7] = None
    expected = {"train": 70, "valid": 15, "test": 15}
    assert split(cohort(time=days), Split(by="time"), 0).counts == expected
    result = split(cohort(time=as_text), Split(by="time"), 0)
    assert result.parts[7] == "dropped"
    assert result.dropped == {"no time": 1}
    assert (np.diff([{"train": 0, "valid": 1, "test": 2, "dropped": 0}[p] for p in
                     np.delete(result.parts, 7)]) >= 0).all()  # fmt: skip


def test_same_first_time_stays_together():
    years = np.repeat(np.arange(2000, 2010), 10)
    result = split(cohort(time=years), Split(by="time"), 0)
    assert all(len(set(result.parts[years == year])) == 1 for year in range(2000, 2010))
    assert result.dropped == {}


def test_site():
    data = cohort(
        subject=[*range(20), 0, *range(20, 30), 40, 41],
        site=["a"] * 20 + ["b"] + ["b"] * 10 + ["c", None],
    )
    settings = Split(by="site", train_sites=("a",), test_sites=("b",), valid=0.25)
    result = split(data, settings, 0)
    assert result.counts == {"train": 15, "valid": 5, "test": 10, "dropped": 3}
    assert result.dropped == {
        "subject also at a training site": 1,
        "no site": 1,
        "other site": 1,
    }
    everything_else = split(data, Split(by="site", train_sites=("a",)), 0)
    assert everything_else.counts["test"] == 11


def test_column_with_its_own_words():
    given = ["Training"] * 6 + ["val"] * 2 + ["TEST "] * 2
    result = split(cohort(fold=given), Split(by="column", column="fold"), 0)
    assert result.parts.tolist() == ["train"] * 6 + ["valid"] * 2 + ["test"] * 2


def test_column_without_validation_takes_it_from_train_by_subject():
    data = cohort(subject=np.repeat(np.arange(30), 2), fold=["train"] * 40 + ["test"] * 20)
    result = split(data, Split(by="column", column="fold"), 0)
    assert result.counts == {"train": 34, "valid": 6, "test": 20}
    assert (parts_of_subjects(data, result) == 1).all()
    assert result.notes == (
        "column 'fold' has no valid rows: 6 of its train rows taken for validation, by subject",
    )


FEW = cohort(subject=["a", "a", "b"], time=[1, 2, 3], site=["x", "x", "y"])
TEN = cohort(
    subject=list("abcdefghij"),
    time=["2020-01-01"] * 9 + ["31/12/2020"],
    site=["cleveland"] * 5 + ["hungarian"] * 5,
    fold=["train", "test"] * 5,
    odd=["train", "test"] * 4 + ["Mary Smith", None],
    constant=["train"] * 10,
)
BAD = [
    (FEW, Split(), "2 subjects cannot be divided into train, valid and test"),
    (FEW, Split(by="time"), "2 different first times cannot be divided into train, valid and test"),
    (FEW, Split(by="site", train_sites=("x",)), "1 subject cannot be divided into train and valid"),
    (TEN, Split(valid=0.5, test=0.5), "valid and test take all 10 subjects"),
    (TEN, Split(by="time"),
     "column 'time' holds neither numbers nor dates in 1 of 10 rows (first at row 10)"),
    (TEN, Split(by="site", train_sites=("clevland",)),
     "no site called 'clevland'; did you mean 'cleveland'? sites: cleveland, hungarian"),
    (TEN, Split(by="site", train_sites=("cleveland",), test_sites=("basel",)),
     "no site called 'basel'; sites: cleveland, hungarian"),
    (TEN, Split(by="site"), "a split by site needs split.train_sites; sites: cleveland, hungarian"),
    (TEN, Split(by="site", train_sites=("cleveland",), test_sites=("cleveland",)),
     "both a training and a test site: cleveland"),
    (TEN, Split(by="site", train_sites=("cleveland", "hungarian")),
     "the part 'test' is left without rows (split by site)"),
    (TEN, Split(by="column", column="folds"),
     "a split by column needs a column 'folds'; did you mean 'fold'?"),
    (TEN, Split(by="column"), "a split by column needs split.column"),
    (TEN, Split(by="column", column="odd"),
     "2 rows of column 'odd' are neither train, valid nor test (first at row 9)"),
    (TEN, Split(by="column", column="constant"), "the part 'test' is left without rows"),
    (cohort(subject=list("aabcd"), fold=["train", "test", "train", "valid", "test"]),
     Split(by="column", column="fold"),
     "column 'fold' puts 1 subject into more than one part"),
    (cohort(subject=list("abcd"), age=[1, 2, 3, 4]), Split(by="time"),
     "a split by time needs a column 'time'; columns: age"),
    (cohort(subject=list("abcd")), Split(by="site", train_sites=("x",)),
     "a split by site needs a column 'site'; the samples have no attributes"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "settings", "message"), BAD, ids=[b[2][:40] for b in BAD])
def test_messages(data, settings, message):
    with pytest.raises(DataError) as caught:
        split(data, settings, 0)
    assert message in str(caught.value)
    assert "Mary" not in str(caught.value)

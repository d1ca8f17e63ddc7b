"""The gate where nothing names the patients, and where a table has few or coarse columns."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from test_leakage import audited, failing, only, prepared

from medkit.data.cohort import Cohort, Feature, RawInput, Source
from medkit.data.parts import Part
from medkit.data.splits import PARTS
from medkit.leakage import people
from medkit.leakage.overlap import rows_seen


def cohort(frame, y, subject=None):
    samples = pd.DataFrame(index=pd.RangeIndex(len(frame)))
    if subject is not None:
        samples["subject"] = subject
    features = tuple(Feature(name) for name in frame)
    source = Source(rows_read=len(frame), label="1 if the patient relapses")
    return Cohort(samples, {"tabular": RawInput("tabular", frame, features)}, y, source, ("y",))


def at_random(rows, seed=3):
    return np.random.default_rng(seed).choice(PARTS, rows, p=[0.6, 0.2, 0.2])


def visits(patients, seed=0, most=7):
    """Visits of patients whose values say nothing of a new patient, and whose visit it is."""
    random = np.random.default_rng(seed)
    of = np.repeat(np.arange(patients), random.integers(1, most + 1, patients))
    stays = {
        "height": random.normal(170, 9, patients).round(),
        "weight_at_first_visit": random.normal(75, 13, patients).round(1),
        "creatinine_at_first_visit": random.gamma(20, 4, patients).round(),
    }
    frame = pd.DataFrame({name: values[of] for name, values in stays.items()})
    frame["sex"] = (random.random(patients) < 0.5).astype(int)[of]
    frame["age"] = (random.uniform(30, 80, patients)[of] + random.uniform(0, 3, len(of))).round()
    frame["heart_rate"] = random.normal(75, 12, len(of)).round()
    y = (random.random(patients) < 0.3).astype(int)[of]
    return frame, y, of


@pytest.mark.parametrize("patients", [60, 300, 6000])
def test_patients_who_return_are_found_where_nothing_names_them(patients):
    frame, y, _ = visits(patients)
    found = only(audited(cohort(frame, y), parts=at_random(len(frame))), "returning_subjects")
    assert found.severity == "fail"
    count = re.search(rf"{len(frame):,} rows look like (\S+) patients", found.what)[1]
    # Two patients may agree in all that stays.
    assert 0.9 * patients <= int(count.replace(",", "")) <= patients
    assert "weight_at_first_visit" in found.where
    assert "heart_rate" not in found.where
    assert "Name the column that says whose row it is (subject)" in found.remedy


def test_patients_are_found_in_a_sample_of_a_large_table(monkeypatch):
    monkeypatch.setattr(people, "MOST_ROWS", 1000)
    frame, y, _ = visits(1500)
    findings = audited(cohort(frame, y), parts=at_random(len(frame)))
    assert "rows looked at after train" in only(findings, "returning_subjects").what
    assert any("patients who return: looked for in 1,000 of" in each for each in findings.notes)


def test_patients_are_found_though_only_a_code_changes():
    frame, y, _ = visits(300)
    frame = frame[["height", "weight_at_first_visit"]]
    frame["ward"] = np.random.default_rng(1).integers(0, 6, len(frame))
    assert "returning_subjects" in failing(audited(cohort(frame, y), parts=at_random(len(frame))))


def test_a_column_of_stays_does_not_hide_the_patients():
    frame, y, _ = visits(300)
    stays = cohort(frame, y, subject=[f"stay {row}" for row in range(len(frame))])
    assert "returning_subjects" in failing(audited(stays))


def test_patients_kept_in_one_part_are_no_finding():
    frame, y, of = visits(300)
    assert "returning_subjects" not in failing(audited(cohort(frame, y, subject=of)))


def test_patients_who_agree_by_chance_or_by_arithmetic_are_not_one():
    """Coarse, dependent and derived columns of patients who come once."""
    for seed in range(5):
        random = np.random.default_rng(seed)
        frame, _, _ = visits(800, seed, most=1)
        frame["weight"] = (frame["weight_at_first_visit"] + random.normal(0, 2, 800)).round()
        frame["weight_squared"] = frame["weight"] ** 2
        frame["bmi"] = (frame["weight"] / (frame["height"] / 100) ** 2).round(1)
        risk = 0.15 * (frame["bmi"] - 26) + 0.05 * (frame["age"] - 55)
        y = (random.random(800) < 1 / (1 + np.exp(-risk))).astype(int)
        found = audited(cohort(frame, y), parts=at_random(800))
        assert failing(found) == set(), [each.what for each in found]


def coarse(rows, seed=0):
    """Four inputs of which patients agree in all, now and then."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": random.normal(62, 11, rows).round(),
            "sex": random.integers(0, 2, rows),
            "stage": random.choice([1, 2, 3, 4], rows, p=[0.4, 0.3, 0.2, 0.1]),
            "haemoglobin": random.normal(13, 1.8, rows).round(),
        }
    )
    risk = 0.05 * (frame["age"] - 62) + 0.6 * (frame["stage"] - 2)
    return frame, (random.random(rows) < 1 / (1 + np.exp(-risk))).astype(int)


@pytest.mark.parametrize("seed", range(3))
def test_patients_of_four_coarse_columns_agree_by_chance(seed):
    frame, y = coarse(600, seed)
    assert len(frame.drop_duplicates()) < 560
    assert failing(audited(cohort(frame, y), parts=at_random(600))) == set()


def test_every_row_twice_is_found_in_four_coarse_columns():
    frame, y = coarse(600)
    twice = cohort(pd.concat([frame, frame], ignore_index=True), np.append(y, y))
    assert "duplicates" in failing(audited(twice, parts=at_random(1200)))


def test_test_rows_copied_from_training_are_found_in_four_coarse_columns():
    frame, y = coarse(600)
    parts = at_random(600)
    test, train = (np.flatnonzero(parts == name) for name in ("test", "train"))
    copied = test[: len(test) * 2 // 3]
    origin = np.random.default_rng(1).choice(train, len(copied))
    frame.iloc[copied], y[copied] = frame.iloc[origin].to_numpy(), y[origin]
    assert "duplicates" in failing(audited(cohort(frame, y), parts=parts))


@pytest.mark.parametrize("prefix", ["", "MRN"])
def test_numbers_of_another_hospital_name_nobody_of_the_run(prefix):
    """Some hundreds of 1 to 1000 here and there: many are the same, and mean other patients."""

    def of_hospital(seed, numbers=None):
        random = np.random.default_rng(seed)
        if numbers is None:
            numbers = random.choice(np.arange(1, 1001), 550, replace=False)
        frame = pd.DataFrame(random.normal(size=(len(numbers), 3)), columns=["a", "b", "c"])
        return cohort(frame, np.arange(len(frame)) % 2, [f"{prefix}{each}" for each in numbers])

    home = of_hospital(0)
    known, encoder, task = prepared(home, parts=at_random(550))

    def seen(away):
        found = rows_seen(known, Part(away, encoder.encode(away.inputs), task.encode(away.targets)),
                          encoder, task)  # fmt: skip
        return int((found.reason >= 0).sum()), found.notes

    assert seen(of_hospital(1)) == (0, ())
    own = [int(each.removeprefix(prefix)) for each in home.samples["subject"]]
    few, notes = seen(of_hospital(2, [*own[:6], *range(2001, 2201)]))
    assert few == 0
    assert "6 new subjects have a number of the run's" in notes[0]
    assert "fewer than 7" in notes[0]
    again = of_hospital(3, own)
    again.inputs["tabular"].values[:] = home.inputs["tabular"].values + 0.1
    some = again.take(np.arange(550) < 12)
    assert (seen(again)[0], seen(some)[0]) == (550, 12)

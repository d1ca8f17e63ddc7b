"""The leakage gate: every planted leak is found and named, clean data pass."""

from __future__ import annotations

import json
import logging
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohorts import only_input

import medkit
from medkit.cli import main
from medkit.config.experiment import Split, load_config
from medkit.config.sections import Leakage
from medkit.core import registry
from medkit.core.errors import ConfigError, DataError
from medkit.data.cohort import Cohort, Feature, RawInput, Source
from medkit.data.splits import PARTS, split
from medkit.data.stored_columns import StoredColumns, write_column
from medkit.datasets.builtin import breast_cancer, diabetes
from medkit.datasets.events.events import events
from medkit.datasets.images.images import images
from medkit.datasets.sequences import sequences
from medkit.datasets.synthetic.icu import synthetic_icu
from medkit.datasets.synthetic.xray import synthetic_xray
from medkit.datasets.table.table import table
from medkit.leakage import CHECKS, Finding, audit, gate, raw_table, summary, tables
from medkit.leakage.scores import (
    FOLDS,
    auroc,
    binned_auroc,
    binned_correlation,
    bins,
    chance_of_separation,
    correlation,
    folds_of,
    ranks,
)
from medkit.modalities.encoder import Encoder
from medkit.workflows.prepare import Part, divide, encode, read

CONFIGS = Path(__file__).parents[1] / "configs"


# Cohorts, and leaks planted in them


def prepared(cohort, task="binary", parts=None, settings=None, **parameters):
    """Parts as ``train`` prepares them, the encoder and the task; ``parts`` names each row's."""
    if parts is None:
        parts = split(cohort, settings or Split(), 7).parts
    divided = {name: cohort.take(parts == name) for name in PARTS}
    modalities = {
        name: registry.modalities.build(raw.modality, **parameters)
        for name, raw in cohort.inputs.items()
    }
    encoder = Encoder(modalities).fit(divided["train"].inputs)
    fitted = registry.tasks.build(task).fit(divided["train"].targets)
    return (
        {
            name: Part(each, encoder.encode(each.inputs), fitted.encode(each.targets))
            for name, each in divided.items()
        },
        encoder,
        fitted,
    )


def audited(cohort, task="binary", parts=None, settings=None, **parameters):
    prepared_parts = prepared(cohort, task, parts, settings, **parameters)
    return audit(*prepared_parts, settings or Split())


def failing(findings):
    return {each.name for each in findings if each.severity == "fail"}


def warned(findings):
    return {each.name for each in findings if each.severity == "warn"}


def only(findings, name):
    found = [each for each in findings if each.name == name]
    assert len(found) == 1, [each.name for each in findings]
    return found[0]


def with_column(cohort, name, values):
    """The cohort with one more input column, as a dataset would hand it over."""
    raw = only_input(cohort)
    column = pd.Series(np.asarray(values), index=raw.values.index)
    kind = "numeric" if pd.api.types.is_numeric_dtype(column) else "categorical"
    frame = raw.values.assign(**{name: column})
    return replace(
        cohort, inputs={"tabular": RawInput("tabular", frame, (*raw.features, Feature(name, kind)))}
    )


def with_samples(cohort, **columns):
    return replace(cohort, samples=cohort.samples.assign(**columns))


def with_copies(cohort, rows, change=lambda values, random: values):
    """The cohort with copies of some rows at its end, inputs changed; and where each came from."""
    order = np.append(np.arange(len(cohort)), rows)
    longer = replace(cohort.take(np.arange(len(cohort))), samples=cohort.samples)
    raw, random = only_input(cohort), np.random.default_rng(1)
    taken = raw.take(order)
    values = taken.values.copy()
    if isinstance(values, pd.DataFrame):
        values = values.reset_index(drop=True)
        values.iloc[len(cohort) :] = change(values.iloc[len(cohort) :].copy(), random)
    else:
        values[len(cohort) :] = change(values[len(cohort) :].copy(), random)
    samples = cohort.samples.iloc[order].reset_index(drop=True)
    if "subject" in samples:
        # The same patient, admitted under another number.
        samples["subject"] = samples["subject"].astype(str)
        again = [f"again-{i}" for i in range(len(rows))]
        samples.loc[len(cohort) :, "subject"] = again
    return replace(
        longer,
        samples=samples,
        inputs={raw.modality: replace(taken, values=values)},
        targets=np.asarray(cohort.targets)[order],
    )


def copies_across(cohort, change=lambda values, random: values, task="binary", count=6):
    """Findings where ``count`` test rows were copied into train."""
    parts = split(cohort, Split(), 7).parts
    rows = np.flatnonzero(parts == "test")[:count]
    longer = with_copies(cohort, rows, change)
    return audited(longer, task, np.append(parts, np.repeat("train", len(rows))))


def jittered(frame, random):
    for name in frame.columns:
        if frame[name].dtype != object:
            frame[name] += random.normal(0, 0.01, len(frame)) * (frame[name].std() or 1)
    return frame


def labels(cohort):
    """(n,) 0 or 1."""
    return np.unique(np.asarray(cohort.targets), return_inverse=True)[1]


@pytest.fixture(scope="session")
def heart(real_data):
    chosen = load_config(CONFIGS / "heart_disease_mlp.yaml").dataset.parameters
    path = real_data / "heart_disease" / "heart_disease_4sites.csv"
    return table(**{**chosen, "path": path})


@pytest.fixture(scope="session")
def xrays(real_data):
    return images(path=real_data / "pneumoniamnist" / "pneumoniamnist.npz")


@pytest.fixture(scope="session")
def splice(real_data):
    path = real_data / "splice" / "splice.csv"
    return sequences(path=path, target="label", columns={"subject": "gene"})


@pytest.fixture(scope="session")
def stays(real_data):
    folder = real_data / "physionet2012"
    return events(
        path=folder / "set-a.tar.gz",
        labels=folder / "Outcomes-a.txt",
        columns={
            "stay": "RecordID",
            "subject": "RecordID",
            "time": "Time",
            "variable": "Parameter",
            "value": "Value",
        },
        target="In-hospital_death",
        values={"missing_values": {"*": (-1,)}},
    )


@pytest.fixture(scope="session")
def beats(real_data):
    """Beats of the MIT-BIH records: 0.25 s before to 0.45 s after each R peak."""
    values, target, record = [], [], []
    for name in (106, 108, 114, 116, 119):
        signal = np.fromfile(real_data / "mitbih" / f"{name}.dat", dtype="<i2")
        for place, kind in annotations(real_data / "mitbih" / f"{name}.atr"):
            if kind in (1, 5) and 90 <= place < len(signal) - 162:
                values.append(signal[place - 90 : place + 162])
                target.append(int(kind == 5))
                record.append(f"record-{name}")
    chosen = np.sort(np.random.default_rng(0).permutation(len(values))[:3000])
    series = np.array(values, dtype="float32")[chosen, :, None]
    return Cohort(
        pd.DataFrame({"subject": np.array(record)[chosen]}),
        {"series": RawInput("series", series, (Feature("MLII"),))},
        np.array(target)[chosen],
    )


def annotations(path):
    """(sample, code) of a WFDB annotation file."""
    content, time, position = path.read_bytes(), 0, 0
    while position < len(content):
        (word,) = struct.unpack_from("<H", content, position)
        code, number, position = word >> 10, word & 0x3FF, position + 2
        if code == 59:  # a longer interval, high word first
            high, low = struct.unpack_from("<hH", content, position)
            time, position = time + (high << 16) + low, position + 4
        elif code == 63:
            position += number + number % 2
        elif code < 60 and word:
            time += number
            yield time, code


# Clean data


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("cohort", "task"), [(breast_cancer, "binary"), (diabetes, "regression")])
def test_clean_embedded_data_pass(cohort, task, seed):
    data = cohort()
    assert audited(data, task, split(data, Split(), seed).parts) == []


def test_small_samples_raise_no_alarm():
    data = breast_cancer()
    for seed in range(10):
        rows = np.sort(np.random.default_rng(seed).permutation(len(data))[:80])
        assert failing(audited(data.take(rows))) == set()
    random = np.random.default_rng(0)
    noise = pd.DataFrame(random.normal(size=(40, 300))).rename(columns="x{}".format)
    raw = RawInput("tabular", noise, tuple(Feature(name) for name in noise))
    cohort = Cohort(pd.DataFrame(index=noise.index), {"tabular": raw}, np.arange(40) % 2)
    assert audited(cohort) == []


def test_clean_real_tables_pass(heart):
    settings = Split(by="site", train_sites=("cleveland",))
    assert failing(audited(heart, settings=settings)) == set()
    for seed in range(3):
        assert failing(audited(heart, parts=split(heart, Split(), seed).parts)) == set()


@pytest.mark.slow
def test_clean_real_images_sequences_and_series_pass(xrays, splice, stays, beats):
    by_part = split(xrays, Split(by="column", column="split"), 7).parts
    # Eight validation images are training images; the test part is clean.
    pairs = {each.where for each in audited(xrays, parts=by_part)}
    assert pairs == {"train and valid"}
    found = audited(splice, "multiclass")
    assert failing(found) == set()
    # Homologous genes share sequences; the report says so.
    assert warned(found) == {"duplicates", "near_duplicates"}
    assert "of other subjects" in found[0].what
    assert audited(stays) == []
    by_record = np.where(np.isin(beats.subjects, ["record-106", "record-116"]), "train", "test")
    by_record[beats.subjects == "record-119"] = "valid"
    assert audited(beats, parts=by_record) == []


SMOKE = ("synthetic_vitals_mlp", "synthetic_icu_gru", "synthetic_xray_cnn", "synthetic_dna_cnn")


@pytest.mark.parametrize("name", SMOKE)
def test_smoke_configs_pass(name):
    assert failing(of_config(CONFIGS / "smoke" / f"{name}.yaml")) == set()


def of_config(path, *overrides):
    experiment = load_config(path, overrides)
    divided, flow = divide(read(experiment.dataset), experiment)
    encoder, task, parts = encode(divided, experiment, flow)
    return gate(audit(parts, encoder, task, experiment.split), experiment.leakage)


@pytest.mark.parametrize(
    "name", ["heart_disease_mlp", "splice_cnn", "physionet2012_gru", "pneumoniamnist_cnn"]
)
def test_real_configs_pass(name, real_data, monkeypatch):
    monkeypatch.setenv("MEDKIT_DATA", str(real_data))
    # The official validation images: known, and said in the report.
    known = 'leakage={allow: {duplicates: "8 validation images are training images too"}}'
    of_config(CONFIGS / f"{name}.yaml", *([known] if name == "pneumoniamnist_cnn" else []))


# Subjects and rows


def test_a_subject_in_two_parts_fails():
    data = with_samples(breast_cancer(), subject=[f"p{i // 2}" for i in range(569)])
    found = audited(
        data, parts=np.random.default_rng(0).permutation(np.repeat(PARTS, [399, 85, 85]))
    )
    overlap = [each for each in found if each.name == "subject_overlap"]
    assert {each.where for each in overlap} == {
        "train and valid", "train and test", "valid and test"
    }  # fmt: skip
    assert failing(found) == {"subject_overlap"}
    assert failing(audited(data)) == set()


@pytest.mark.parametrize(("cohort", "task"), [(breast_cancer, "binary"), (diabetes, "regression")])
def test_copied_rows_fail(cohort, task):
    found = only(copies_across(cohort(), task=task), "duplicates")
    assert (found.severity, found.count, found.where) == ("fail", 6, "train and test")


@pytest.mark.parametrize(
    "change",
    [
        jittered,
        lambda frame, _: frame.map(lambda value: float(f"{value:.3g}")),
        lambda frame, _: frame.assign(**{"worst texture": frame["worst texture"] * 1.5 + 3}),
    ],
    ids=["noise", "rounding", "one column changed"],
)  # fmt: skip
def test_nearly_copied_rows_fail(change):
    found = copies_across(breast_cancer(), change)
    assert failing(found) == {"near_duplicates"}
    assert only(found, "near_duplicates").count >= 5


def test_a_new_number_hides_no_copy():
    data = with_column(breast_cancer(), "row_number", np.arange(569.0))

    def renumbered(frame, _):
        return frame.assign(row_number=np.arange(len(frame)) + 1000.0)

    assert failing(copies_across(data, renumbered)) >= {"identifier", "duplicates"}


def coarse(rows, seed=0, columns=4):
    """Patients described by a few yes/no answers: many agree in all of them."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(random.integers(0, 2, (rows, columns)) * 1.0)
    frame = frame.rename(columns="answer_{}".format)
    frame["age"] = random.integers(40, 80, rows) * 1.0
    raw = RawInput("tabular", frame, tuple(Feature(name) for name in frame))
    return Cohort(pd.DataFrame(index=frame.index), {"t": raw}, random.integers(0, 2, rows))


@pytest.mark.parametrize("rows", [200, 2000])
@pytest.mark.parametrize("columns", [2, 4, 12])
def test_coincidences_in_a_coarse_table_are_no_duplicates(rows, columns):
    for seed in range(4):
        data = coarse(rows, seed, columns)
        parts = split(data, Split(), seed).parts
        assert audited(data, parts=parts) == []


def test_rare_flags_are_no_duplicates():
    random = np.random.default_rng(0)
    frame = pd.DataFrame((random.random((600, 40)) < 0.03) * 1.0).rename(columns="flag_{}".format)
    raw = RawInput("tabular", frame, tuple(Feature(name) for name in frame))
    data = Cohort(pd.DataFrame(index=frame.index), {"t": raw}, random.integers(0, 2, 600))
    assert failing(audited(data)) == set()


def test_copies_in_real_data_fail(heart, xrays, stays):
    assert "duplicates" in failing(copies_across(heart))
    assert only(copies_across(stays), "duplicates").count == 6
    test_part = xrays.take(xrays.samples["split"].to_numpy() == "test")
    assert "duplicates" in failing(copies_across(test_part))


def test_nearly_copied_stays_fail(stays):
    def noisy(values, random):
        return values + random.normal(0, 0.01, values.shape).astype("float32")

    assert failing(copies_across(stays, noisy)) == {"near_duplicates"}


def test_nearly_copied_stays_are_found_whatever_stands_beside_them():
    random = np.random.default_rng(0)
    level = random.normal(size=(400, 1, 6))
    stays = (level + random.normal(0, 0.7, (400, 24, 6)).cumsum(axis=1) / 4).astype("float32")
    stays[random.random(stays.shape) < 0.3] = np.nan
    copied = stays[300:320] + random.normal(0, 0.01, stays[300:320].shape).astype("float32")
    channels = tuple(Feature(f"v{i}") for i in range(6))
    vitals = {"vitals": RawInput("series", np.concatenate([stays, copied]), channels)}
    table = pd.DataFrame(random.normal(size=(420, 3)), columns=["age", "weight", "height"])
    table["sex"], table["unit"] = random.choice(["f", "m"], 420), random.choice(list("abc"), 420)
    kinds = [Feature(n, "categorical" if n in ("sex", "unit") else "numeric") for n in table]
    static = {"static": RawInput("tabular", table, tuple(kinds))}
    parts = np.repeat(["train", "test", "valid", "train"], [300, 60, 40, 20])

    def near(inputs):
        cohort = Cohort(pd.DataFrame(index=np.arange(420)), inputs, random.integers(0, 2, 420))
        return only(audited(cohort, parts=parts), "near_duplicates")

    alone, both = near(vitals), near(vitals | static)
    assert alone.count == both.count >= 15  # of 20
    assert (alone.where, both.where) == ("train and test", "train and test (vitals)")


def test_samples_that_lack_an_input_are_no_copies_of_each_other():
    random = np.random.default_rng(0)
    values = random.normal(size=(400, 4)).round(3)
    present = random.random(400) < 0.6
    values[~present] = np.nan
    table = pd.DataFrame(values, columns=list("abcd"))
    inputs = {
        "laboratory": RawInput("tabular", table, tuple(map(Feature, "abcd")), present=present),
        "vitals": RawInput("series", random.normal(size=(400, 10, 3)).astype("float32"), ()),
    }
    cohort = Cohort(pd.DataFrame(index=np.arange(400)), inputs, random.integers(0, 2, 400))
    assert {each.name for each in audited(cohort)} == set()


IMAGES = {
    "brighter": lambda x, _: np.clip(x * 0.8 + 30, 0, 255).astype("uint8"),
    "mirrored": lambda x, _: x[:, :, ::-1],
    "noisy": lambda x, random: np.clip(x + random.normal(0, 3, x.shape), 0, 255).astype("uint8"),
}


@pytest.mark.parametrize("change", IMAGES.values(), ids=IMAGES)
def test_images_that_look_the_same_fail(change, xrays):
    test_part = xrays.take(xrays.samples["split"].to_numpy() == "test")
    found = only(copies_across(test_part, change), "near_duplicates")
    assert found.severity == "fail"
    assert found.count >= 6


def test_one_image_that_looks_like_another_is_a_warning(xrays):
    test_part = xrays.take(xrays.samples["split"].to_numpy() == "test")
    found = only(copies_across(test_part, IMAGES["noisy"], count=1), "near_duplicates")
    assert found.severity == "warn"
    assert "so few may be chance" in found.what


def test_images_of_patients_who_look_the_same_anyway_are_a_warning():
    """Ten silhouettes, each of many patients: as alike within the training part as across."""
    random = np.random.default_rng(0)
    shapes = random.integers(0, 256, (10, 8, 8)).repeat(4, axis=1).repeat(4, axis=2)
    data = synthetic_xray(samples=300, size=32)
    pixels = shapes[random.integers(0, 10, 300)] + random.normal(0, 4, (300, 32, 32))
    pixels = np.clip(pixels, 0, 255).astype("uint8")[..., None]
    alike = replace(data, inputs={"image": replace(only_input(data), values=pixels)})
    found = audited(alike)
    assert "near_duplicates" in warned(found)
    assert "near_duplicates" not in failing(found)
    assert any("different subjects look as alike within train" in each.what for each in found)


def test_every_image_twice_under_another_name_fails():
    """As often within the training part as across, but each looks like one other alone."""
    data, random = synthetic_xray(samples=400, size=32), np.random.default_rng(0)
    pixels = np.tile(only_input(data).values[:200], (2, 1, 1, 1))
    pixels = np.clip(pixels + random.normal(0, 3, pixels.shape), 0, 255).astype("uint8")
    twice = replace(data, inputs={"image": replace(only_input(data), values=pixels)})
    assert "near_duplicates" in failing(audited(twice))


def test_blank_images_are_no_copies():
    data = synthetic_xray(samples=120)
    pixels = np.array(only_input(data).values)
    pixels[::3] = 0
    blank = replace(data, inputs={"image": replace(only_input(data), values=pixels)})
    assert {"duplicates", "near_duplicates"} & failing(audited(blank)) == set()


def test_repeated_and_overlapping_sequences_fail(splice):
    nameless = replace(splice, samples=splice.samples.drop(columns="subject"))
    found = audited(nameless, "multiclass")
    assert failing(found) == {"duplicates", "near_duplicates"}

    def moved(texts, _):
        return np.array([f"{text[6:]}ACGTCA" for text in texts], dtype=object)

    before = sum(each.count for each in audited(splice, "multiclass")
                 if each.name == "near_duplicates" and each.where == "train and test")  # fmt: skip
    after = copies_across(splice, moved, "multiclass")
    after = [e for e in after if e.name == "near_duplicates" and e.where == "train and test"]
    assert after[0].count >= before + 5


def test_many_recurring_texts_fail_even_of_other_subjects(splice):
    assert "duplicates" in failing(copies_across(splice, task="multiclass", count=200))


@pytest.mark.slow
def test_beats_split_at_random_fail(beats):
    parts = np.random.default_rng(0).permutation(np.repeat(PARTS, [2100, 450, 450]))
    assert "subject_overlap" in failing(audited(beats, parts=parts))
    # Also where nobody said whose beats they are, as series and as a table.
    nameless = replace(beats, samples=beats.samples[[]])
    assert failing(audited(nameless)) == {"near_duplicates"}
    columns = pd.DataFrame(only_input(beats).values[:, :, 0]).rename(columns="mv_{}".format)
    flat = replace(nameless, inputs={"tabular": RawInput("tabular", columns)})
    assert failing(audited(flat)) == {"near_duplicates"}


def test_overlapping_windows_fail():
    random = np.random.default_rng(0)
    recording = np.cumsum(random.normal(size=4000)).astype("float32")
    # Windows of 100 steps, 40 apart: neighbours share 60 steps.
    starts = np.arange(0, 3900, 40)
    values = np.stack([recording[s : s + 100] for s in starts])[:, :, None]
    cohort = Cohort(
        pd.DataFrame(index=range(len(starts))),
        {"series": RawInput("series", values, (Feature("pressure"),))},
        random.integers(0, 2, len(starts)),
    )
    found = audited(cohort)
    assert failing(found) == {"near_duplicates"}
    assert any("share a stretch" in each.what for each in found)
    # The first half of the recording trains, the second tests: one window overlaps at each cut.
    halves = np.where(starts < 2000, "train", np.where(starts < 3000, "valid", "test"))
    assert {each.count for each in audited(cohort, parts=halves)} <= {1, 2}


# Inputs that know the outcome


TARGETS = {
    "as it is": lambda y: y * 1.0,
    "turned and scaled": lambda y: 7.5 - 3.0 * y,
    "as words": lambda y: np.array(["healthy", "ill"], dtype=object)[y],
    "partly missing": lambda y: np.where(np.arange(len(y)) % 4 == 0, np.nan, y),
}


@pytest.mark.parametrize("recode", TARGETS.values(), ids=TARGETS)
def test_a_copied_target_fails(recode):
    data = breast_cancer()
    found = audited(with_column(data, "outcome_code", recode(labels(data))))
    assert failing(found) == {"copied_target"}
    assert only(found, "copied_target").where == "column outcome_code"


@pytest.mark.parametrize(
    "recode",
    [lambda y: y, lambda y: -2 * y + 3, lambda y: np.log(y), lambda y: y.astype("float32")],
    ids=["as it is", "linear", "logarithm", "rounded"],
)
def test_a_copied_number_fails(recode):
    data = diabetes()
    found = audited(with_column(data, "score", recode(data.targets)), "regression")
    assert "copied_target" in failing(found)
    assert only(found, "copied_target").where == "column score"


def test_a_copied_number_in_other_codes_fails():
    data = diabetes()
    data = replace(data, targets=np.round(data.targets / 40))
    names = dict(enumerate(np.random.default_rng(0).permutation(10)))
    codes = np.array([f"grade {names[int(value)]}" for value in data.targets], dtype=object)
    found = audited(with_column(data, "grade", codes), "regression")
    assert only(found, "copied_target").where == "column grade"


def nearly(y, random, wrong=0.004):
    return np.where(random.random(len(y)) < wrong, 1 - y, y)


PREDICTORS = {
    "monotone": lambda y, random: y * 3.0 + random.normal(0, 0.5, len(y)),
    "reversed": lambda y, random: 10 - y * 3.0 + random.normal(0, 0.5, len(y)),
    "U shape": lambda y, random: (
        (y * 2 - 1 + 3 * y) * random.choice([-1.0, 1.0], len(y)) + random.normal(0, 0.4, len(y))
    ),
    "categories": lambda y, random: np.array(list("abcdefgh"), dtype=object)[
        nearly(y, random) * 4 + random.integers(0, 4, len(y))
    ],
}


@pytest.mark.parametrize("plant", PREDICTORS.values(), ids=PREDICTORS)
def test_a_feature_that_alone_predicts_fails(plant):
    data = breast_cancer()
    values = plant(labels(data), np.random.default_rng(0))
    found = audited(with_column(data, "biopsy_done", values))
    assert failing(found) == {"predictive_feature"}
    assert only(found, "predictive_feature").where == "column biopsy_done"


def test_a_number_predicted_by_one_feature_fails():
    data, random = diabetes(), np.random.default_rng(0)
    near = data.targets + random.normal(0, 5, len(data))
    assert failing(audited(with_column(data, "later_score", near), "regression")) == {
        "predictive_feature"
    }
    folded = (data.targets - 150) ** 2 * np.sign(random.normal(size=len(data)))
    assert failing(audited(with_column(data, "noise", folded), "regression")) == set()


def test_multiclass_and_multilabel_leaks_fail():
    data, random = breast_cancer(), np.random.default_rng(0)
    three = replace(data, targets=random.integers(0, 3, 569))
    assert audited(three, "multiclass") == []
    one = (three.targets == 1) + random.normal(0, 0.1, 569)
    assert failing(audited(with_column(three, "tells_one", one), "multiclass")) == {
        "predictive_feature"
    }
    code = np.array([2.0, 0.0, 1.0])[three.targets]
    assert failing(audited(with_column(three, "code", code), "multiclass")) == {"copied_target"}
    several = replace(data, targets=random.integers(0, 2, (569, 3)))
    assert audited(several, "multilabel") == []
    second = several.targets[:, 1] * 2.0 - 1
    assert failing(audited(with_column(several, "second", second), "multilabel")) == {
        "copied_target"
    }


def test_leaks_of_the_outcome_in_real_data_fail(heart, xrays, splice, stays, beats):
    # The grade of disease from which the label was made.
    graded = with_column(heart, "grade", labels(heart) * (1 + np.arange(len(heart)) % 4) * 1.0)
    assert failing(audited(graded)) == {"predictive_feature"}

    pixels = np.array(only_input(xrays).values)
    pixels[labels(xrays) == 1, 2, 3] = 255  # a marker on the films of one class
    pixels[labels(xrays) == 0, 2, 3] = 0
    marked = replace(xrays, inputs={"image": replace(only_input(xrays), values=pixels)})
    test_part = marked.take(marked.samples["split"].to_numpy() == "test")
    found = audited(test_part)
    assert failing(found) & {"copied_target", "predictive_feature"}

    named = replace(
        splice,
        inputs={"tokens": replace(only_input(splice), values=np.array(
            [f"{'donor' if y == 'EI' else 'other'} {s}"
             for s, y in zip(only_input(splice).values, splice.targets, strict=True)], object))},
    )  # fmt: skip
    assert "predictive_feature" in failing(audited(named, "multiclass"))

    series = np.array(only_input(stays).values)
    random = np.random.default_rng(0)
    series[:, 40, 0] = 100 * labels(stays) + random.normal(0, 5, len(stays))
    series[:, 41:, 0] = np.nan
    told = replace(stays, inputs={"series": replace(only_input(stays), values=series)})
    found = audited(told)
    assert failing(found) == {"predictive_feature"}

    waves = np.array(only_input(beats).values)
    waves[:, 200:210, 0] = 5000 * labels(beats)[:, None]
    parts = np.where(beats.subjects == "record-106", "test", "train")
    parts[beats.subjects == "record-119"] = "valid"
    found = audited(replace(beats, inputs={"series": replace(only_input(beats), values=waves)}),
                    parts=parts)  # fmt: skip
    assert failing(found) == {"predictive_feature"}


def test_telling_gaps_are_warned_of():
    data, random = breast_cancer(), np.random.default_rng(0)
    y = labels(data)
    values = np.where(random.random(569) < np.where(y, 0.95, 0.05), 1.0, np.nan)
    found = audited(with_column(data, "stage", values * random.normal(size=569)))
    assert failing(found) == set()
    assert only(found, "informative_missingness").where == "column stage"
    anywhere = np.where(random.random(569) < 0.5, np.nan, random.normal(size=569))
    assert audited(with_column(data, "sometimes", anywhere)) == []


def test_telling_gaps_of_a_channel_are_warned_of():
    data = synthetic_icu(samples=300)
    series = np.array(only_input(data).values)
    series[labels(data) == 0, :, 5] = np.nan
    series[labels(data) == 1, 3, 5] = 1.0
    found = audited(replace(data, inputs={"series": replace(only_input(data), values=series)}))
    assert "lactate" in only(found, "informative_missingness").where


# Identifiers


def patient_numbers(random, count=569):
    return np.sort(random.choice(9_000_000, count, replace=False)) + 1_000_000.0


IDENTIFIERS = {
    "row number": lambda random: np.arange(569.0),
    "shuffled row number": lambda random: random.permutation(569) + 1.0,
    "patient number": lambda random: random.permutation(patient_numbers(random)),
    "rising with the rows": lambda random: np.cumsum(random.exponential(size=569)),
    "falling with the rows": lambda random: -np.cumsum(random.exponential(size=569)),
    "name": lambda random: np.array([f"patient-{i:04d}" for i in range(569)], dtype=object),
}


@pytest.mark.parametrize("plant", IDENTIFIERS.values(), ids=IDENTIFIERS)
def test_identifiers_fail(plant):
    values = plant(np.random.default_rng(0))
    found = audited(with_column(breast_cancer(), "number", values), parts=None)
    assert failing(found) == {"identifier"}
    assert only(found, "identifier").where == "column number"


HONEST = {
    "continuous": lambda random: random.normal(size=569),
    "wide whole numbers": lambda random: np.round(np.exp(random.normal(8, 1.5, 569))),
    "platelets": lambda random: np.round(random.normal(250_000, 60_000, 569)),
    "age": lambda random: random.integers(18, 95, 569) * 1.0,
    "sorted groups": lambda random: np.sort(random.integers(0, 12, 569)) * 1.0,
    "diagnosis": lambda random: np.array([f"I{k}" for k in random.integers(0, 90, 569)], object),
}


@pytest.mark.parametrize("plant", HONEST.values(), ids=HONEST)
@pytest.mark.parametrize("seed", range(3))
def test_honest_measurements_are_no_identifiers(plant, seed):
    values = plant(np.random.default_rng(seed))
    assert audited(with_column(breast_cancer(), "number", values)) == []


def test_a_number_for_every_subject_is_an_identifier():
    random = np.random.default_rng(0)
    subject = np.repeat(np.arange(190), 3)[:569]
    data = with_samples(breast_cancer(), subject=[f"p{s}" for s in subject])
    number = random.permutation(patient_numbers(random, 190))[subject]
    assert failing(audited(with_column(data, "mrn", number))) == {"identifier"}
    own = np.array([f"p{s}" for s in subject], dtype=object)
    assert failing(audited(with_column(data, "whose", own))) == {"identifier"}
    weight = random.normal(70, 10, 190)[subject]
    assert failing(audited(with_column(data, "weight", weight))) == set()


def test_identifiers_in_real_data_fail(real_data, heart, stays, splice):
    named = table(
        path=real_data / "splice" / "splice.csv",
        target="label",
        columns={
            "subject": "gene",
            "categorical": ("instance_name",),
            "inputs": ("instance_name", "sequence"),
        },
    )
    assert "identifier" in failing(audited(named, "multiclass"))
    text = sequences(
        path=real_data / "splice" / "splice.csv",
        columns={"sequence": "instance_name", "subject": "gene"},
        target="label",
    )
    found = audited(text, "multiclass")
    assert failing(found) >= {"identifier", "predictive_feature"}
    numbered = with_column(heart, "number", np.arange(len(heart)) + 1.0)
    assert failing(audited(numbered)) == {"identifier"}
    series = np.array(only_input(stays).values)
    record = stays.samples["subject"].astype(float).to_numpy()
    series[:, :, 3] = np.where(np.isnan(series[:, :, 3]), np.nan, record[:, None])
    found = audited(replace(stays, inputs={"series": replace(only_input(stays), values=series)}))
    assert failing(found) == {"identifier"}


# Times


def dated(days):
    return pd.Timestamp("2020-01-01") + pd.to_timedelta(days, unit="D")


LATE = {
    "text": lambda day: dated(day).strftime("%Y-%m-%d").to_numpy(dtype=object),
    "text, day first": lambda day: dated(day).strftime("%d.%m.%Y").to_numpy(dtype=object),
    "number": lambda day: dated(day).strftime("%Y%m%d").astype(float).to_numpy(),
    "seconds": lambda day: (dated(day) - pd.Timestamp(0)).total_seconds().to_numpy(),
}


@pytest.mark.parametrize("written", LATE.values(), ids=LATE)
def test_inputs_after_the_prediction_fail(written):
    random = np.random.default_rng(0)
    day = random.integers(0, 300, 569)
    data = with_samples(breast_cancer(), time=dated(day))
    by_time = Split(by="time")
    earlier = with_column(data, "referred", written(day - random.integers(0, 30, 569)))
    assert audited(earlier, settings=by_time) == []
    later = with_column(data, "discharged", written(day + random.integers(0, 3, 569)))
    found = audited(later, settings=by_time)
    assert failing(found) == {"after_prediction_time"}
    assert only(found, "after_prediction_time").count > 300


def test_hours_after_the_prediction_fail():
    random = np.random.default_rng(0)
    hours = random.uniform(0, 1000, 569)
    data = with_samples(breast_cancer(), time=hours)
    later = with_column(data, "result_at", hours + random.exponential(5, 569))
    assert failing(audited(later)) == {"after_prediction_time"}
    earlier = with_column(data, "sample_at", hours - random.exponential(5, 569))
    assert failing(audited(earlier)) == set()


def test_dates_without_a_time_of_prediction_are_warned_of():
    dates = LATE["text"](np.random.default_rng(0).integers(0, 300, 569))
    found = audited(with_column(breast_cancer(), "seen", dates))
    assert only(found, "after_prediction_time").severity == "warn"


def test_the_same_period_is_warned_of():
    time = dated(np.random.default_rng(0).integers(0, 900, 569))
    data = with_samples(breast_cancer(), time=time)
    assert only(audited(data), "same_period").severity == "warn"
    assert audited(data, settings=Split(by="time")) == []


# Scores against independent references


def test_scores_agree_with_scikit_learn():
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(0)
    y = random.random(500) < 0.3
    x = random.normal(size=(500, 3)) + y[:, None] * np.array([1.0, -2.0, 0.2])
    x[:, 1] = np.round(x[:, 1])
    fold = folds_of(np.arange(500), y.astype(float))
    pairs = np.array([[(y & (fold == k)).sum() * (~y & (fold == k)).sum()] for k in range(FOLDS)])
    each = np.array([[roc_auc_score(y[fold == k], x[fold == k, j]) for j in range(3)]
                     for k in range(FOLDS)])  # fmt: skip
    each[:, 1] = 1 - each[:, 1]
    assert auroc(x, y, fold) == pytest.approx((each * pairs).sum(0) / pairs.sum(), abs=1e-9)


def test_bins_find_what_is_not_monotone():
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(0)
    x = random.normal(size=2000)
    y = np.abs(x) > 1
    fold = folds_of(np.arange(2000), y.astype(float))
    codes = bins(ranks(x[:, None]), np.ones((2000, 1), bool))
    assert auroc(x[:, None], y, fold)[0] < 0.6
    found = binned_auroc(codes, y, fold)[0]
    expected = np.empty(2000)
    for k in range(FOLDS):
        for code in np.unique(codes):
            mine = codes[:, 0] == code
            other = y[mine & (fold != k)]
            expected[mine & (fold == k)] = (other.sum() + y.mean()) / (len(other) + 1)
    assert found == pytest.approx(roc_auc_score(y, expected), abs=2e-3)
    assert found > 0.99
    noise = binned_auroc(codes, random.random(2000) < 0.3, fold)[0]
    assert 0.4 < noise < 0.6


def test_correlations_are_cross_fitted():
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 2))
    y = -3 * x[:, 0] + 100
    fold = folds_of(np.arange(300), y)
    found = correlation(x, y, fold)
    assert found[0] == pytest.approx(1)
    assert abs(found[1]) < 0.2
    # One wild point makes a correlation of 0.99 on all rows, but not in the other folds.
    wild = random.normal(size=300)
    wild[0], y[0] = 1000.0, y[0] + 1000
    assert np.corrcoef(wild, y)[0, 1] > 0.9
    assert correlation(wild[:, None], y, fold)[0] < 0.5
    codes = bins(ranks(x), np.ones_like(x, bool))
    assert binned_correlation(codes, (x[:, 0] - 0.2) ** 2, fold)[0] > 0.85


def test_few_events_that_no_luck_separates_fail():
    random = np.random.default_rng(2)
    told = {}
    for few, many in [(25, 475), (20, 20), (15, 100)]:
        won = 0
        for _ in range(4000):
            won += random.normal(2.772, 1, few).min() > random.normal(0, 1, many).max()
        told[few, many] = chance_of_separation(few, many)
        assert told[few, many] == pytest.approx(won / 4000, abs=0.015)
    assert told[25, 475] == pytest.approx(2.1e-6, rel=0.02)
    for (few, many), severity in [((25, 475), "fail"), ((20, 20), "warn")]:
        y = np.repeat([1, 0], [few, many])
        frame = pd.DataFrame(random.normal(size=(len(y), 3)), columns=list("abc"))
        frame["drug"] = random.normal(size=len(y)) + 20 * y
        raw = RawInput("tabular", frame, tuple(Feature(name) for name in frame))
        found = audited(Cohort(pd.DataFrame(index=frame.index), {"tabular": raw}, y))
        assert [(each.name, each.severity) for each in found] == [("predictive_feature", severity)]
        assert found[0].where == "column drug"


def test_too_few_events_are_not_judged():
    y = np.zeros(100, bool)
    y[:9] = True
    fold = folds_of(np.arange(100), y.astype(float))
    assert np.isnan(auroc(y[:, None] * 1.0, y, fold)).all()
    assert np.isnan(binned_auroc(y[:, None].astype(int), y, fold)).all()


def test_folds_keep_subjects_whole_and_outcomes_alike():
    subject = np.random.default_rng(0).integers(0, 200, 1000)
    y = (subject % 4 == 0).astype(float)
    fold = folds_of(subject, y)
    assert all(len(np.unique(fold[subject == s])) == 1 for s in np.unique(subject))
    events = [len(np.unique(subject[(fold == k) & (y == 1)])) for k in range(FOLDS)]
    assert max(events) - min(events) <= 1


# Large and degenerate data


def test_large_tables_are_sampled_and_it_is_said():
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(21_000, 3)).round(6)).rename(columns="x{}".format)
    raw = RawInput("tabular", frame, tuple(Feature(name) for name in frame))
    data = Cohort(pd.DataFrame(index=frame.index), {"t": raw}, random.integers(0, 2, 21_000))
    found = audited(data)
    assert found == []
    assert "inputs that predict the target: looked for in 20,000 of 21,000 rows" in found.notes
    again = audited(data)
    assert summary(again) == summary(found)


DEGENERATE = {
    "one column": lambda data: data[["mean radius"]],
    "constant": lambda data: data.assign(constant=1.0),
    "all missing": lambda data: data.assign(empty=np.nan),
    "mostly missing": lambda data: data.mask(np.random.default_rng(0).random(data.shape) < 0.9),
}


@pytest.mark.parametrize("change", DEGENERATE.values(), ids=DEGENERATE)
@pytest.mark.parametrize("task", ["binary", "regression"])
def test_degenerate_tables_pass(change, task):
    data = diabetes() if task == "regression" else breast_cancer()
    frame = only_input(data).values.select_dtypes("number")
    frame = frame.rename(columns={"bmi": "mean radius"})
    frame = change(frame)
    raw = RawInput("tabular", frame, tuple(Feature(name) for name in frame))
    assert failing(audited(replace(data, inputs={"tabular": raw}), task)) == set()


def test_a_part_of_one_class_and_one_row_passes():
    data = breast_cancer()
    parts = np.full(569, "train", dtype="<U5")
    parts[0], parts[1] = "valid", "test"
    assert audited(data, parts=parts) == []


# The gate


def a_finding(name="duplicates", severity="fail"):
    return Finding(name, severity, "3 of 10 test rows are copies", "train and test", 3,
                   "it is remembered", "Drop the copies.")  # fmt: skip


def test_the_gate_stops_with_all_that_is_wrong():
    findings = [a_finding(), a_finding("identifier"), a_finding("same_period", "warn")]
    with pytest.raises(DataError) as caught:
        gate(findings, Leakage())
    text = str(caught.value)
    assert text.startswith("leakage gate: 2 problems between the parts or in the inputs")
    assert "duplicates (train and test): 3 of 10 test rows are copies" in text
    assert "Why it matters: it is remembered" in text
    assert "What to do: Drop the copies." in text
    assert 'leakage: {allow: {duplicates: "why it is not a leak", identifier: "why' in text
    assert "same_period" not in text


def test_a_waived_finding_keeps_its_reason(caplog):
    caplog.set_level(logging.INFO, "medkit")
    waivers = Leakage(allow={"duplicates": "twins", "identifier": "left over"})
    found = gate([a_finding(), a_finding("same_period", "warn")], waivers)
    assert [each.waived for each in found] == ["twins", None]
    assert "waived: duplicates: 3 of 10 test rows are copies (reason: twins)" in caplog.text
    assert "leakage.allow.identifier: nothing of the kind was found" in caplog.text
    kept = json.loads(json.dumps(summary(found)))
    assert kept["checked"] == list(CHECKS)
    assert kept["findings"][0] == {
        "name": "duplicates", "severity": "fail", "what": "3 of 10 test rows are copies",
        "where": "train and test", "count": 3, "why": "it is remembered",
        "remedy": "Drop the copies.", "waived": "twins",
    }  # fmt: skip


def test_an_unknown_waiver_is_refused():
    with pytest.raises(ConfigError, match="no finding called 'duplicate'; did you mean 'dupli"):
        gate([], Leakage(allow={"duplicate": "a reason"}))


def test_nobody_is_named(splice):
    data = with_samples(breast_cancer(), subject=[f"patient-{i // 2}" for i in range(569)])
    data = with_column(data, "name", np.array([f"patient-{i // 2}" for i in range(569)], object))
    parts = np.random.default_rng(0).permutation(np.repeat(PARTS, [399, 85, 85]))
    text = json.dumps(summary(audited(data, parts=parts)))
    assert "subject_overlap" in text
    assert "identifier" in text
    assert "patient-" not in text
    assert "ATRINS" not in json.dumps(summary(audited(splice, "multiclass")))


# The commands


@pytest.fixture
def leaking(tmp_path):
    """A config on a table with the row number among the inputs."""
    data = breast_cancer()
    frame = only_input(data).values.assign(number=np.arange(569), diagnosis=data.targets)
    frame.to_csv(tmp_path / "masses.csv", index=False)
    path = tmp_path / "leaking.yaml"
    path.write_text(
        "dataset: {name: table, path: masses.csv, target: diagnosis}\n"
        "task: binary\nmodel: mlp\ntraining: {epochs: 1}\n"
        "evaluation: {bootstrap: 10, baselines: false, explanations: false}\n"
    )
    return path


def test_audit_exits_1_and_names_the_leak(leaking, capsys):
    assert main(["audit", "--config", str(leaking)]) == 1
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert [each["name"] for each in found["findings"]] == ["identifier"]
    assert "identifier" in err
    assert "column number" in err

    waiver = "leakage.allow={identifier: it is the order of the slides}"
    assert main(["audit", "--config", str(leaking), "--set", waiver]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["findings"][0]["waived"] == "it is the order of the slides"
    assert "it is the order of the slides" in err

    ignored = "dataset.columns.ignore=[number]"
    assert main(["audit", "--config", str(leaking), "--set", ignored]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["findings"] == []
    assert "no findings" in err

    assert main(["audit", "--config", str(leaking), "--set", "leakage.allow={x: y}"]) == 2
    assert "no finding called 'x'" in capsys.readouterr().err


def planted(name, frame, random):
    """A table of breast masses with one leak in it."""
    y = labels(breast_cancer())
    if name in ("duplicates", "near_duplicates"):
        again = frame.iloc[:60].copy()
        if name == "near_duplicates":
            again = again.assign(**{c: again[c] * 1.0001 for c in again.columns[:-1]})
        return pd.concat([frame, again])
    columns = {
        "copied_target": np.where(y, "code 7", "code 2"),
        "predictive_feature": y + random.normal(0, 0.1, 569),
        "identifier": random.permutation(569),
        "after_prediction_time": LATE["number"](random.integers(20, 30, 569)),
    }
    seen = dated(random.integers(0, 20, 569)).strftime("%Y-%m-%d")
    return frame.assign(planted=columns[name], seen=seen)


@pytest.mark.parametrize(
    "name",
    ["duplicates", "near_duplicates", "copied_target", "predictive_feature", "identifier",
     "after_prediction_time"],
)  # fmt: skip
def test_audit_names_every_planted_leak(name, tmp_path, capsys):
    data = breast_cancer()
    frame = only_input(data).values.assign(diagnosis=data.targets)
    frame = planted(name, frame, np.random.default_rng(0))
    frame.to_csv(tmp_path / "masses.csv", index=False)
    path = tmp_path / "planted.yaml"
    path.write_text(
        "dataset: {name: table, path: masses.csv, target: diagnosis}\ntask: binary\nmodel: mlp\n"
    )
    time = ["--set", "dataset.columns.time=seen"] if "seen" in frame else []
    assert main(["audit", "--config", str(path), *time]) == 1
    out, err = capsys.readouterr()
    found = json.loads(out)["findings"]
    assert {each["name"] for each in found if each["severity"] == "fail"} == {name}
    assert name in err


def test_train_stops_at_the_gate_and_keeps_waivers(leaking, tmp_path, capsys):
    out = tmp_path / "runs"
    assert main(["train", "--config", str(leaking), "--out", str(out)]) == 1
    assert "leakage gate: 1 problem" in capsys.readouterr().err
    assert not out.exists()
    run = medkit.train(
        leaking, overrides=["leakage.allow={identifier: the order of slides}"], out=out
    )
    (kept,) = run.metrics["leakage"]["findings"]
    assert (kept["name"], kept["waived"]) == ("identifier", "the order of slides")
    assert "audit" in run.environment["stages"]
    assert "waived: identifier" in (run.path / "log.txt").read_text()


@pytest.mark.slow
def test_the_gate_holds_no_large_table_whole(tmp_path):
    """In a process of its own, whose peak memory nothing else has raised."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import test_leakage as tests\n"
        "from medkit.runs.recording import peak_memory_mib\n"
        "prepared = tests.prepared(tests.on_disk(sys.argv[2]))\n"
        "before = peak_memory_mib()\n"
        "found = tests.audit(*prepared, tests.Split())\n"
        "print(peak_memory_mib() - before, *found.notes, sep='\\n')\n"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    taken, *notes = done.stdout.splitlines()
    # 267 MiB when the table was held as numbers and as hashes; what is held now are single
    # columns and chosen rows.
    assert float(taken) < 150
    assert "rows identical in most columns: looked for in 209,715 of 300,000 rows" in notes


def on_disk(folder, rows=300_000, width=20):
    """A table whose columns lie on disk."""
    random = np.random.default_rng(0)
    columns = [
        write_column(Path(folder), i, f"x{i}", pd.Series(random.normal(size=rows)))
        for i in range(width)
    ]
    features = tuple(Feature(each.name) for each in columns)
    raw = RawInput("tabular", StoredColumns(tuple(columns), rows), features)
    return Cohort(pd.DataFrame(index=range(rows)), {"t": raw}, random.integers(0, 2, rows))


def test_identical_rows_of_a_large_table_are_all_found(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "MOST_SEARCHED", 0)
    monkeypatch.setattr(tables, "MOST_COMPARED", 500)
    monkeypatch.setattr(raw_table, "HELD", 0)
    data = on_disk(tmp_path, 2000, 6)
    parts = np.repeat(["train", "valid", "test"], [1400, 300, 300])
    # Rows 1990 to 1999 of the test part are those at 0 to 9 of the training part.
    rows = np.r_[np.arange(1990), np.arange(10)]
    raw = only_input(data)
    copied = replace(data, inputs={"t": replace(raw, values=raw.values.iloc[rows])})
    found = audited(copied, parts=parts)
    assert "10 of 300 test rows are identical to train rows" in only(found, "duplicates").what


def coarse_inputs(copies: int, tables: int = 4) -> Cohort:
    """Tables of four columns with 16 levels; in the later half are copies of whole samples."""
    random, rows, names = np.random.default_rng(3), 400, [f"item_{i}" for i in range(4)]
    inputs = {}
    for number in range(tables):
        values = pd.DataFrame(random.integers(0, 16, (rows, 4)), columns=names)
        values.iloc[rows - copies :] = values.iloc[:copies].to_numpy()
        inputs[f"form_{number}"] = RawInput("tabular", values, tuple(map(Feature, names)))
    samples = pd.DataFrame(index=pd.Index(range(rows), name="id"))
    return Cohort(samples, inputs, random.integers(0, 2, rows), Source())


def test_samples_identical_in_every_input_are_found_where_no_input_alone_says_so():
    parts = np.repeat(["train", "valid", "test"], [300, 50, 50])
    found = audited(coarse_inputs(copies=6), parts=parts)
    assert failing(found) == {"duplicates"}
    only_one = only(found, "duplicates")
    assert only_one.what == "6 of 50 test rows are identical to train rows in every input"
    assert only_one.where == "train and test (all inputs)"
    assert only_one.count == 6
    assert failing(audited(coarse_inputs(copies=0), parts=parts)) == set()
    # Two coarse tables agree in whole samples by chance alone.
    assert failing(audited(coarse_inputs(copies=6, tables=2), parts=parts)) == set()

"""Waveforms: WFDB records read, cut, labelled and checked; what a signal amounts to."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from cohorts import only_input

import medkit
from medkit.core.errors import DataError, MedkitError
from medkit.core.registry import datasets
from medkit.data.cohort import Feature, RawInput
from medkit.modalities.waveform import Waveform
from medkit.testing import check_dataset, check_modality

wfdb = pytest.importorskip("wfdb", reason="the extra 'waveforms' is not installed")


def electrocardiogram(rate, seconds, beats_per_minute, seed=0):
    """A spike of 1 mV at every beat on noise of 0.02 mV, and the beats' samples."""
    random = np.random.default_rng(seed)
    signal = random.normal(0, 0.02, int(rate * seconds))
    beats = (np.arange(0.5, seconds - 0.5, 60 / beats_per_minute) * rate).astype(int)
    for beat in beats:
        reach = np.arange(-3, 4)
        signal[beat + reach] += np.exp(-((reach / 1.5) ** 2))
    return signal, beats


def write(folder, name, rate=100, leads=("II", "V1"), units="mV", symbols="NV", suffix="atr"):
    signal, beats = electrocardiogram(rate, 60, 75, seed=int(name))
    wfdb.wrsamp(
        name, fs=rate, units=[units] * len(leads), sig_name=list(leads),
        p_signal=np.column_stack([signal * (i + 1) for i in range(len(leads))]),
        fmt=["16"] * len(leads), write_dir=str(folder),
    )  # fmt: skip
    kinds = [symbols[i % len(symbols)] for i in range(len(beats))]
    wfdb.wrann(name, suffix, beats, symbol=kinds, write_dir=str(folder))
    return beats


@pytest.fixture
def folder(tmp_path):
    for name in ("101", "102", "103"):
        write(tmp_path, name)
    return tmp_path


def read(path, **parameters):
    return datasets.build("waveforms", path=path, **parameters)


BEATS = {"window": {"seconds": 0.6, "around": "atr"}, "classes": {"normal": ["N"], "pvc": ["V"]}}


def test_windows_around_beats(folder):
    cohort = read(folder, **BEATS)
    raw = only_input(cohort)
    assert (raw.modality, raw.values.shape[1:], raw.values.dtype) == ("waveform", (60, 2), "f4")
    assert raw.step_seconds == 0.01
    assert raw.features == (Feature("II", unit="mV"), Feature("V1", unit="mV"))
    assert set(cohort.samples["subject"]) == {"101", "102", "103"}
    assert cohort.targets.tolist()[:4] == ["normal", "pvc", "normal", "pvc"]
    assert cohort.samples.index[0] == "101:20"  # the beat at 0.5 s, less 0.3 s
    peaks = np.abs(raw.values[:, :, 0]).argmax(axis=1)
    assert set(peaks) == {30}
    np.testing.assert_allclose(raw.values[:, :, 1], 2 * raw.values[:, :, 0], atol=0.01)
    assert cohort.source.label == "symbols of the annotations"
    assert read(folder, leads=["V1"], **BEATS).inputs["waveform"].values.shape[2] == 1


def test_windows_that_follow_one_another(folder):
    cohort = read(folder, window=10)
    assert only_input(cohort).values.shape == (18, 1000, 2)
    assert cohort.targets is None
    rare = {"classes": {"pvc": ["V"], "normal": ["N"]}, "window": 10}
    assert set(read(folder, **rare).targets) == {"pvc"}  # each holds one: the first class wins
    table = folder / "records.csv"
    table.write_text("record,patient,died,sex\n101,a,1,f\n102,a,0,m\n103,b,0,m\n")
    columns = {"id": "record", "subject": "patient", "attributes": ["sex"]}
    cohort = read(folder, window=10, table=table, target="died", columns=columns)
    assert cohort.samples["subject"].unique().tolist() == ["a", "b"]
    assert cohort.targets.tolist() == [1] * 6 + [0] * 12
    table.write_text("record,patient,died\n101,a,1\n")
    with pytest.raises(DataError, match="no row for 2 of 3 records, first '102'"):
        read(folder, window=10, table=table, target="died", columns={"id": "record"})
    table.write_text("record,died\n101,1\n102,0\n103,0\n101,0\n")
    with pytest.raises(DataError, match=r"1 records have more than one row \(first at row 4\)"):
        read(folder, window=10, table=table, target="died", columns={"id": "record"})


def test_beats_of_no_class_and_windows_beyond_the_record_are_counted(folder):
    long = {"window": {"seconds": 1.2, "around": "atr"}, "classes": {"normal": ["N"]}}
    cohort = read(folder, **long)
    dropped = cohort.source.dropped
    assert dropped["annotation of no class"] > 100
    assert dropped["window beyond the record"] >= 3
    assert cohort.source.rows_read == len(cohort) + sum(dropped.values())


@pytest.mark.parametrize(
    ("other", "parameters", "message"),
    [
        ({"rate": 250}, BEATS,
         r"record '104' is sampled at 250 Hz, 3 of 4 records at 100 Hz\n.*Resample it"),
        ({"leads": ("II", "V5")}, BEATS, "record '104' has no lead 'V1'"),
        ({"units": "uV"}, BEATS, "lead 'II' is in uV in record '104', in mV in record '101'"),
        ({"suffix": "qrs"}, BEATS, r"record '104' has no readable annotations '104\.atr'"),
        ({}, {"records": ["105"]}, "no record '105'"),
        ({}, {**BEATS, "classes": {"paced": ["/"]}}, "no window has a label"),
    ],
)  # fmt: skip
def test_bad_records_are_named(folder, other, parameters, message):
    write(folder, "104", **other)
    with pytest.raises(DataError, match=message):
        read(folder, **parameters)


def test_broken_files_are_named(folder):
    (folder / "102.dat").unlink()
    with pytest.raises(DataError, match="the signals of record '102' cannot be read"):
        read(folder, **BEATS)
    (folder / "102.hea").write_text("nonsense")
    with pytest.raises(DataError, match="record '102' has no readable header"):
        read(folder, **BEATS)
    empty = folder / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="no WFDB records here"):
        read(empty, **BEATS)


def test_without_the_package_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "wfdb", None)
    with pytest.raises(MedkitError, match=r"pip install 'keras-medkit\[waveforms\]'"):
        read(folder, **BEATS)


def test_contracts(folder):
    entry = datasets.get("waveforms")
    cohort = check_dataset(entry.factory, {"waveform": "waveform"}, path=folder, **BEATS)
    check_modality("waveform", only_input(cohort))
    check_modality("waveform", only_input(read(folder, window=10)))


def test_heart_rate_and_power():
    signals = np.stack([electrocardiogram(250, 10, rate)[0] for rate in (60, 75, 150)])[..., None]
    waveform = Waveform(sampling_rate=250).fit(signals)
    summary = waveform.summarize(waveform.encode(signals))
    np.testing.assert_allclose(summary["lead_1 heart rate"], [60, 75, 150], rtol=0.01)
    assert (summary["lead_1 RMSSD"] < 10).all()  # ms: the beats are regular
    time = np.arange(2500) / 250
    slow, fast = (np.sin(2 * np.pi * hertz * time)[None, :, None] for hertz in (2, 25))
    power = waveform.summarize(np.concatenate([slow, fast]).astype("float32"))
    np.testing.assert_allclose(power["lead_1 0.5–5 Hz power"], [1, 0], atol=0.02)
    np.testing.assert_allclose(power["lead_1 15–40 Hz power"], [0, 1], atol=0.02)
    assert waveform.unit_of("lead_1 heart rate") == "beats/min"
    assert waveform.unit_of("lead_1 0.5–5 Hz power") is None
    nothing = np.full((1, 2500, 1), np.nan, "float32")
    assert waveform.summarize(nothing).isna().all(axis=None)


def test_heart_rate_agrees_with_cardiologists(real_data):
    """Windows of 10 s of the MIT-BIH records: the median error is below 1 beat/min."""
    name = "119"
    raw = only_input(read(real_data / "mitbih", records=[name], window=10))
    beats = wfdb.rdann(str(real_data / "mitbih" / name), "atr").sample
    true = [60 * 360 / np.diff(beats[(beats >= s) & (beats < s + 3600)]).mean()
            for s in range(0, 3600 * len(raw.values), 3600)]  # fmt: skip
    waveform = Waveform().fit(raw)
    found = waveform.summarize(waveform.encode(raw))["MLII heart rate"]
    assert np.median(np.abs(found - true)) < 1


def test_nothing_is_carried_on_and_leads_are_aligned():
    values = np.random.default_rng(0).normal(5, 2, (20, 50, 2)).astype("float32")
    values[0, 10:, 0] = np.nan
    raw = RawInput("waveform", values, (Feature("II"), Feature("V1")), step_seconds=0.01)
    waveform = Waveform().fit(raw)
    inside = np.asarray(waveform.preprocessing()(waveform.encode(raw)))
    assert (inside[0, 10:, 0] == 0).all()  # the training mean, not the last value
    np.testing.assert_allclose(inside[1:].mean(axis=(0, 1)), 0, atol=0.05)
    turned = replace(raw, values=values[:, :, ::-1], features=raw.features[::-1])
    np.testing.assert_array_equal(waveform.encode(turned), values)
    with pytest.raises(DataError, match=r"signals of 200 Hz were given .* trained on 100 Hz"):
        waveform.encode(replace(raw, step_seconds=0.005))
    with pytest.raises(DataError, match=r"leads missing: 'V1'"):
        waveform.encode(RawInput("waveform", values[:, :, :1], (Feature("II"),)))
    with pytest.raises(DataError, match="signals of 40 samples were given"):
        waveform.encode(values[:, :40])
    values[3, 4, 1] = np.inf
    with pytest.raises(DataError, match="infinite values in waveform 4"):
        waveform.encode(values)


def test_trains_predicts_and_explains(folder, tmp_path):
    config = tmp_path / "beats.yaml"
    config.write_text(
        "name: beats\ntask: binary\nmodel: {name: cnn, filters: [4]}\ntraining: {epochs: 2}\n"
        "split: {by: subject, valid: 0.3, test: 0.3}\nevaluation: {bootstrap: 20}\n"
        f"dataset: {{name: waveforms, path: {folder}, window: {{seconds: 0.6, around: atr}}, "
        "classes: {normal: [N], pvc: [V]}}\n"
        "leakage: {allow: {near_duplicates: the same drawn beat in all records}}\n"
    )
    run = medkit.train(config, out=tmp_path / "runs")
    assert run.metrics["test"]["n"] > 50
    units = {row["name"]: row["unit"] for row in run.metrics["table_one"]["rows"]}
    assert units["II mean"] == "mV"
    new = run.predict(only_input(read(folder, window={"seconds": 0.6, "around": "atr"})))
    assert len(new) > 100

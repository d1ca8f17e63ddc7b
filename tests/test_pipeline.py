"""The whole path: the same twice, resumable, private, and nothing half-written looks finished."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from merging import merged

import medkit
from medkit.config.experiment import check_config
from medkit.core.errors import DataError, MedkitError, RunError, TrainingError
from medkit.core.files import written_whole
from medkit.data.inputs import Inputs
from medkit.data.parts import Part
from medkit.runs import run as runs
from medkit.runs.run import Run
from medkit.workflows import train as pipeline
from medkit.workflows.assess import predict_parts


def patients(folder: Path, rows: int = 240, seed: int = 0) -> Path:
    """A table of visits, two a patient, with identifiers nobody may find in a run."""
    random = np.random.default_rng(seed)
    pulse = random.normal(80, 12, rows)
    lactate = random.gamma(2.0, 1.0, rows)
    risk = 1 / (1 + np.exp(-(0.06 * (pulse - 80) + 1.2 * (lactate - 2))))
    table = pd.DataFrame(
        {
            "record": [f"MRN{7000 + i // 2}" for i in range(rows)],
            "visit": [f"VISIT-{i}-SECRET" for i in range(rows)],
            "pulse": pulse.round(1),
            "lactate": np.where(random.random(rows) < 0.1, np.nan, lactate.round(2)),
            "sex": random.choice(["female", "male"], rows),
            "hospital": random.choice(["north", "south", "east"], rows),
            "died": (random.random(rows) < risk).astype(int),
        }
    )
    path = folder / "visits.csv"
    table.to_csv(path, index=False)
    return path


# Where a run is needed, and not what it says of itself.
PLAIN = {"bootstrap": 0, "baselines": False, "explanations": False}


def experiment(path: Path, **changes):
    document = {
        "name": "visits",
        "dataset": {
            "name": "table", "path": str(path), "target": "died",
            "columns": {
                "subject": "record", "id": "visit", "site": "hospital",
                "attributes": ["sex"], "categorical": ["sex"],
                "inputs": ["pulse", "lactate", "sex"],
            },
            "values": {"units": {"pulse": "bpm", "lactate": "mmol/L"}},
        },
        "task": "binary",
        "model": {"name": "mlp", "hidden_units": [8]},
        "training": {"epochs": 6, "early_stopping": None},
        "evaluation": {"bootstrap": 50, "subgroups": ["sex"]},
    }  # fmt: skip
    return check_config({**document, **changes}, folder=path.parent)


def test_same_config_and_seed_give_identical_metrics(tmp_path):
    config = experiment(patients(tmp_path))
    first = medkit.train(config, out=tmp_path / "a")
    second = medkit.train(config, out=tmp_path / "b")
    assert (first.path / "metrics.json").read_bytes() == (second.path / "metrics.json").read_bytes()
    assert (first.path / "history.csv").read_bytes() == (second.path / "history.csv").read_bytes()


def test_no_identifier_in_any_file_and_subjects_undivided(tmp_path):
    run = medkit.train(experiment(patients(tmp_path)), out=tmp_path / "runs")
    for path in run.path.rglob("*"):
        content = path.read_bytes()
        assert b"MRN7" not in content, path.name
        assert b"SECRET" not in content, path.name
    text = pd.read_parquet(run.path / "predictions.parquet").to_csv()
    assert "MRN" not in text
    assert "SECRET" not in text
    parts = pd.read_csv(run.path / "split.csv").groupby("subject")["part"].nunique()
    assert (parts == 1).all()
    assert run.metrics["subgroups"]["sex"]


def test_no_subject_column_is_said(tmp_path, caplog):
    path = patients(tmp_path)
    config = experiment(path)
    nobody = {"columns": {"subject": None, "id": None}}
    dataset = merged(config.plain["dataset"], nobody)
    # Its name would make it the subject.
    dataset["columns"]["ignore"] = [*dataset["columns"]["ignore"], "record"]
    with caplog.at_level("INFO", "medkit"):
        plain = experiment(path, dataset=dataset, evaluation=PLAIN)
        run = medkit.train(plain, out=tmp_path / "runs")
    assert "no subject column: every row is treated as its own patient" in caplog.text
    assert "no subject column" in (run.path / "log.txt").read_text()
    assert "no subject column" in (run.path / "metrics.json").read_text()


def test_interrupted_and_resumed_equals_uninterrupted(tmp_path, monkeypatch):
    config = experiment(patients(tmp_path))
    whole = medkit.train(config, out=tmp_path / "whole")

    import keras

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    fit = keras.Model.fit

    def fit_a_while(self, *arguments, callbacks=(), **settings):
        return fit(self, *arguments, callbacks=[*callbacks, Stop()], **settings)

    monkeypatch.setattr(keras.Model, "fit", fit_a_while)
    with pytest.raises(pipeline.Interrupted) as caught:
        medkit.train(config, out=tmp_path / "halved")
    monkeypatch.undo()
    folder = caught.value.folder
    with pytest.raises(RunError, match=r"did not finish[\s\S]*--resume"):
        Run.open(folder)
    assert not list(tmp_path.glob("halved/**/MANIFEST.json"))
    run = medkit.train(pipeline.resumed(folder), resume=folder)
    assert (run.path / "metrics.json").read_bytes() == (whole.path / "metrics.json").read_bytes()
    assert (run.path / "history.csv").read_bytes() == (whole.path / "history.csv").read_bytes()
    with pytest.raises(RunError, match="nothing to resume"):
        medkit.train(config, resume=folder)


class Killed(BaseException):
    """Stands for what ends a process at once."""


@pytest.mark.slow
def test_a_run_killed_while_it_is_written_is_resumed(tmp_path, monkeypatch):
    config = experiment(patients(tmp_path), evaluation=PLAIN)
    whole = medkit.train(config, out=tmp_path / "whole")
    replace, written = os.replace, []

    def dies_at(name):
        def replace_or_die(source, target):
            if Path(target).name == name:
                raise Killed(name)
            written.append(Path(target).name)
            return replace(source, target)

        return replace_or_die

    folder = None
    # Of the files in the order they are written: an early one, one in between, the last two.
    for name in ("model.keras", "predictions.parquet", "log.txt", runs.MANIFEST):
        given = {"out": tmp_path / "killed"} if folder is None else {"resume": folder}
        again = config if folder is None else pipeline.resumed(folder)
        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", dies_at(name))
            with pytest.raises(Killed, match=name):
                medkit.train(again, **given)
        folder = next((tmp_path / "killed" / "visits").iterdir())
        # What a process leaves behind that no 'finally' can clean up after.
        (folder / f".{Path(name).stem}.{2**30}{Path(name).suffix}").write_text("half")
        with pytest.raises(RunError, match=r"did not finish[\s\S]*train --resume"):
            Run.open(folder)
    assert set(written) >= {*runs.FILES[1:], "state.npz", "data.json"}
    run = medkit.train(pipeline.resumed(folder), resume=folder)
    assert {path.name for path in folder.iterdir()} == {*runs.FILES, runs.MANIFEST}
    assert (run.path / "metrics.json").read_bytes() == (whole.path / "metrics.json").read_bytes()


def test_a_run_killed_right_after_its_manifest_is_finished(tmp_path, monkeypatch):
    config = experiment(patients(tmp_path), evaluation=PLAIN)
    with monkeypatch.context() as patched:
        patched.setattr(runs.shutil, "rmtree", lambda *_, **__: None)
        run = medkit.train(config, out=tmp_path / "runs")
    assert (run.path / runs.CHECKPOINT).is_dir()
    assert set(runs.verify(run.path)) == set(runs.FILES)
    # Who starts it again, as after any other kill, has the finished run.
    assert medkit.train(pipeline.resumed(run.path), resume=run.path).path == run.path
    assert not (run.path / runs.CHECKPOINT).exists()
    with pytest.raises(RunError, match="nothing to resume"):
        medkit.train(config, resume=run.path)


def test_one_process_at_a_time_trains_a_run(tmp_path, monkeypatch):
    config = experiment(patients(tmp_path), evaluation=PLAIN)
    said = []

    def resumed_meanwhile(folder, *_, **__):
        with pytest.raises(RunError, match="another process is at work on this run") as error:
            medkit.train(pipeline.resumed(folder), resume=folder)
        said.append(str(error.value))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(runs, "LOCK_SECONDS", 0.0)
    with monkeypatch.context() as patched:
        patched.setattr(pipeline, "save_run", written_to_a_full_disk(resumed_meanwhile))
        with pytest.raises(RunError, match="No space left on device") as error:
            medkit.train(config, out=tmp_path / "runs")
    assert len(said) == 1
    folder = next((tmp_path / "runs" / "visits").iterdir())
    # What was computed is not lost, and the message says so.
    assert f"medkit train --resume {folder}" in str(error.value)
    assert medkit.train(pipeline.resumed(folder), resume=folder).path == folder
    assert not list(folder.rglob(".*"))


@pytest.mark.parametrize("done", ["finished", "removed"])
def test_a_run_that_is_done_when_its_lock_is_free_is_left_alone(
    done, tmp_path, monkeypatch, breast_cancer_run
):
    folder = tmp_path / "run"
    shutil.copytree(breast_cancer_run.path, folder)
    manifest = folder / runs.MANIFEST
    sealed = manifest.read_bytes()
    manifest.unlink()
    files = runs.read_json(folder / "environment.json")["data_sha256"]
    runs.write_json(folder / runs.CHECKPOINT / "data.json", files)
    locked = runs.locked

    @contextlib.contextmanager
    def waited_for(file, *more):
        if done == "finished":
            shutil.rmtree(file.parent)
            manifest.write_bytes(sealed)
        else:
            shutil.rmtree(folder)
        with locked(file, *more):
            yield

    def diverges(*_, **__):
        raise TrainingError("the loss is no number")

    monkeypatch.setattr(runs, "locked", waited_for)
    monkeypatch.setattr(pipeline, "fit", diverges)
    monkeypatch.setattr(pipeline, "summarize", lambda *_: SimpleNamespace(features=[], parts={}))
    monkeypatch.setattr(pipeline.Aside, "begin", lambda *_: None)
    config = pipeline.resumed(folder)
    if done == "removed":
        with pytest.raises(RunError, match="has no checkpoint to go on from"):
            medkit.train(config, resume=folder)
        return
    assert medkit.train(config, resume=folder).path == folder
    assert manifest.read_bytes() == sealed
    assert not (folder / runs.CHECKPOINT).exists()
    runs.verify(folder)


def written_to_a_full_disk(happens):
    def save(folder, *_):
        with written_whole(folder / "report.html"):
            happens(folder)

    return save


def test_a_run_without_a_checkpoint_cannot_be_resumed(tmp_path, breast_cancer_run):
    folder = tmp_path / "run"
    shutil.copytree(breast_cancer_run.path, folder)
    (folder / runs.MANIFEST).unlink()
    with pytest.raises(RunError, match=r"has no checkpoint[\s\S]*begin a new one"):
        medkit.train(pipeline.resumed(folder), resume=folder)


def test_a_run_killed_before_its_config_is_no_run(tmp_path, monkeypatch):
    def killed(*_, **__):
        raise Killed

    monkeypatch.setattr(pipeline, "write_text", killed)
    with pytest.raises(Killed):
        medkit.train(experiment(patients(tmp_path), evaluation=PLAIN), out=tmp_path / "runs")
    folder = next((tmp_path / "runs" / "visits").iterdir())
    with pytest.raises(RunError, match=r"is not a run: it has no config\.yaml"):
        pipeline.resumed(folder)


def test_resuming_refuses_changed_data_and_settings(tmp_path, monkeypatch):
    path = patients(tmp_path)
    config = experiment(path)

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "fit", stop)
    with pytest.raises(pipeline.Interrupted) as caught:
        medkit.train(config, out=tmp_path / "runs")
    folder = caught.value.folder
    with pytest.raises(MedkitError, match=r"only training\.epochs may change"):
        pipeline.resumed(folder, ["model.dropout=0.5"])
    assert pipeline.resumed(folder, ["training.epochs=9"]).training.epochs == 9
    patients(tmp_path, seed=1)
    with pytest.raises(RunError, match="the data have changed since the run was interrupted"):
        medkit.train(pipeline.resumed(folder), resume=folder)


def test_rows_with_gaps_are_dropped_when_asked(tmp_path):
    path = patients(tmp_path)
    config = experiment(path, preprocessing={"missing": "drop"}, evaluation=PLAIN)
    run = medkit.train(config, out=tmp_path / "runs")
    gaps = pd.read_csv(path)["lactate"].isna()
    assert run.metrics["flow"]["dropped"]["missing input"] == gaps.sum()
    rows = pd.read_csv(path).head(20)
    predicted = run.predict(rows)
    assert (predicted["probability"].isna() == rows["lactate"].isna()).all()


def test_a_row_is_read_alike_whatever_else_is_in_its_file(tmp_path):
    from medkit.workflows.external import evaluate_run_on, predict_file

    path = patients(tmp_path)
    table = pd.read_csv(path)
    low = np.where(table["lactate"] > 1, "250.0", "V27")
    table["code"] = np.where(table["lactate"] > 2, "250.00", low)
    table.to_csv(path, index=False)
    columns = {"categorical": [], "attributes": [], "site": None,
               "inputs": ["pulse", "lactate", "code"]}  # fmt: skip
    dataset = merged(experiment(path).plain["dataset"], {"columns": columns})
    config = experiment(path, dataset=dataset, evaluation=PLAIN)
    run = medkit.train(config, out=tmp_path / "runs")
    # Alone, the codes "250.00" look like a number, which is one with "250.0".
    some = table[table["code"] == "250.00"]
    some.to_csv(tmp_path / "some.csv", index=False)
    apart = predict_file(run, tmp_path / "some.csv").set_index("sample")["probability"]
    together = predict_file(run, path).set_index("sample")["probability"]
    np.testing.assert_allclose(apart, together[apart.index], atol=1e-6)
    # Other patients: the run's own are no external validation.
    (tmp_path / "elsewhere").mkdir()
    others = pd.read_csv(patients(tmp_path / "elsewhere", seed=1)).query("lactate > 2")
    others["record"] = "X" + others["record"]
    others["visit"] = "X" + others["visit"]
    others.assign(code="250.00").to_csv(tmp_path / "others.csv", index=False)
    apart = predict_file(run, tmp_path / "others.csv").set_index("sample")["probability"]
    result = evaluate_run_on(run, overrides=[f"dataset.path={tmp_path / 'others.csv'}"])
    brier = ((apart.to_numpy() - others["died"].to_numpy()) ** 2).mean()
    assert result["metrics"]["brier"]["value"] == pytest.approx(brier, abs=1e-6)


def test_a_loss_that_is_no_number_stops_training(tmp_path):
    path = patients(tmp_path)
    settings = {"epochs": 3, "optimizer": {"name": "sgd", "learning_rate": 1e38}}
    task = {"name": "binary", "loss": "mse"}
    model = {"name": "mlp", "hidden_units": [8], "activation": "linear"}
    config = experiment(path, training=settings, model=model, task=task)
    with pytest.raises(TrainingError, match="learning rate"):
        medkit.train(config, out=tmp_path / "runs")
    assert not list(tmp_path.glob("runs/**/MANIFEST.json"))


def test_all_one_class(tmp_path):
    path = patients(tmp_path)
    table = pd.read_csv(path).assign(died=1)
    table.to_csv(path, index=False)
    with pytest.raises(DataError, match="class"):
        medkit.train(experiment(path), out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_unwritable_output(tmp_path):
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(RunError, match="cannot be made"):
        medkit.train(experiment(patients(tmp_path)), out=tmp_path / "taken")


def test_full_disk_leaves_no_finished_run(tmp_path, monkeypatch):
    import keras

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keras.Model, "save", full)
    with pytest.raises(RunError, match=r"No space left on device[\s\S]*Free some space"):
        medkit.train(experiment(patients(tmp_path), evaluation=PLAIN), out=tmp_path / "runs")
    folder = next((tmp_path / "runs" / "visits").iterdir())
    assert not (folder / "MANIFEST.json").exists()
    assert not (folder / "model.keras").exists()
    assert runs.finished(tmp_path / "runs") == []


@pytest.mark.slow
def test_predictions_read_a_large_array_on_disk_in_batches(tmp_path):
    import keras

    x = np.memmap(tmp_path / "x", "float32", "w+", shape=(40_000, 500))  # 76 MiB
    taken = keras.Input((500,), name="x")
    model = keras.Model({"x": taken}, keras.layers.Dense(1, name="y")(taken))
    rows = {"train": slice(0, 20_000), "valid": slice(20_000, 30_000), "test": slice(30_000, None)}
    parts = {
        name: Part(cohort=None, inputs=Inputs({"x": x[some]}), y=np.zeros(len(x[some])))
        for name, some in rows.items()
    }
    tracemalloc.start()
    try:
        outputs = predict_parts(model, parts)
        held = tracemalloc.get_traced_memory()[1] / 1024**2
    finally:
        tracemalloc.stop()
    assert {name: each.shape for name, each in outputs.items()} == {
        "train": (20_000, 1), "valid": (10_000, 1), "test": (10_000, 1),
    }  # fmt: skip
    assert held < 20


@pytest.mark.slow
def test_heart_disease_by_site(real_data, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDKIT_DATA", str(real_data))
    configs = Path(__file__).parents[1] / "configs"
    run = medkit.train(configs / "heart_disease_mlp.yaml", out=tmp_path)
    hungary = run.metrics["subgroups"]["site"]["hungarian"]
    assert hungary["n"] == 294
    assert hungary["metrics"]["auroc"]["value"] >= 0.86

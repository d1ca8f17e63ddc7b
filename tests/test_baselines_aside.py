"""Baselines in a process of their own: the same numbers, heard and ended with the parent."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from medkit.core.errors import MedkitError
from medkit.core.registry import tasks
from medkit.data.inputs import Inputs
from medkit.evaluation.baselines import aside
from medkit.evaluation.baselines.aside import Aside
from medkit.evaluation.baselines.baselines import predicted
from medkit.evaluation.baselines.learned import PastRows
from medkit.evaluation.methods import methods_for


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    """A process of their own wherever that can be."""
    monkeypatch.setattr(aside, "cores", lambda: 2)
    monkeypatch.setattr(aside, "_WORTH_A_PROCESS", 0)


class Part(NamedTuple):
    """What of a part the baselines look at."""

    cohort: SimpleNamespace
    y: np.ndarray


def data(rows=150, width=4, valid_class=None):
    """Summary features, and the three parts they are of."""
    random = np.random.default_rng(0)
    features, y = {}, {}
    for name in ("train", "valid", "test"):
        x = random.normal(size=(rows, width))
        y[name] = (x[:, :1] + random.normal(size=(rows, 1)) > 0).astype("float32")
        x[random.random(x.shape) < 0.1] = np.nan
        features[name] = pd.DataFrame(x, columns=[f"feature {i}" for i in range(width)])
    if valid_class is not None:
        y["valid"][:] = valid_class
    cohort = SimpleNamespace(subjects=np.array([f"patient {i // 2}" for i in range(rows)]))
    return features, {name: Part(cohort, values) for name, values in y.items()}


def binary(**parameters):
    return tasks.build("binary", **parameters).fit(np.array([0, 1]))


def in_this_process(task, features, parts, seed):
    rows = {
        name: PastRows(Inputs({"t": np.empty((len(each), 0))}), each)
        for name, each in features.items()
    }
    y = {name: part.y for name, part in parts.items()}
    subjects = parts["train"].cohort.subjects
    return predicted(methods_for(task).baselines(None, rows, y, subjects, seed)[0], rows)


def is_alive(process_id: int) -> bool:
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(true, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_numbers_are_those_of_this_process_and_nothing_is_left_behind():
    features, parts = data()
    with Aside() as baselines:
        baselines.begin(binary(), features, parts, 3)
        folder, process = baselines._folder, baselines._process
        assert {path.suffix for path in folder.iterdir()} <= {".npy", ".json", ".txt", ".jsonl"}
        assert folder.stat().st_mode & 0o077 == 0, "others must not read it"
        found, absent = baselines.predicted()
    assert absent == {}
    assert process.returncode == 0
    assert not folder.exists()
    expected = in_this_process(binary(), features, parts, 3)
    assert [each.name for each in found] == [each.name for each in expected]
    for one, other in zip(found, expected, strict=True):
        assert (one.threshold, one.facts) == (other.threshold, other.facts)
        for part in ("valid", "test"):
            np.testing.assert_array_equal(one.outputs[part], other.outputs[part])


def test_what_the_process_logs_is_logged_here(caplog):
    features, parts = data(valid_class=1)
    with Aside() as baselines, caplog.at_level("INFO", "medkit"):
        baselines.begin(binary(), features, parts, 3)
        baselines.predicted()
    text = "logistic regression: the validation rows do not hold both classes: threshold 0.5"
    assert text in caplog.text
    assert {record.levelname for record in caplog.records} >= {"WARNING"}


def test_a_process_that_fails_is_an_error_with_its_own_words():
    features, parts = data()
    with Aside() as baselines:
        short = parts["train"]._replace(y=parts["train"].y[:10])
        baselines.begin(binary(), features, {**parts, "train": short}, 3)
        with pytest.raises(MedkitError, match=r"could not be fitted[\s\S]*IndexError[\s\S]*false"):
            baselines.predicted()
    with Aside() as baselines:
        baselines.begin(binary(), features, parts, 3)
        baselines._process.kill()
        with pytest.raises(MedkitError, match="killed by signal 9"):
            baselines.predicted()


def test_the_worker_needs_neither_keras_nor_tensorflow(tmp_path, monkeypatch):
    features, parts = data()
    monkeypatch.setattr(aside.tempfile, "mkdtemp", lambda **_: str(tmp_path))
    monkeypatch.setattr(aside, "begin", lambda *_, **__: None)
    Aside().begin(binary(), features, parts, 3)
    code = (
        "import sys; from pathlib import Path; "
        "from medkit.evaluation.baselines.worker import main; "
        "status = main(Path(sys.argv[1])); "
        "print([m for m in ('keras', 'tensorflow', 'jax', 'torch') if m in sys.modules], status)"
    )
    held, other_end = os.pipe()
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=held, capture_output=True, text=True, check=False,
    )  # fmt: skip
    os.close(held)
    os.close(other_end)
    assert done.stdout.split("\n")[0] == "[] 0", done.stderr
    assert (tmp_path / "fitted.json").is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="processes are looked up in /proc")
def test_leaving_early_ends_the_process():
    features, parts = data(rows=3000, width=30)
    with Aside() as baselines:
        baselines.begin(binary(), features, parts, 3)
        folder, process_id = baselines._folder, baselines._process.pid
    assert not is_alive(process_id)
    assert not folder.exists()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked up in /proc")
def test_no_orphan_and_no_data_stay_when_the_parent_is_killed(tmp_path):
    code = (
        "import sys, time\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_baselines_aside import Aside, aside, binary, data\n"
        "aside.cores, aside._WORTH_A_PROCESS = (lambda: 2), 0\n"
        "features, parts = data(rows=5000, width=40)\n"
        "baselines = Aside()\n"
        "baselines.begin(binary(), features, parts, 3)\n"
        "print(baselines._process.pid, baselines._folder, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as parent:
        process_id, folder = parent.stdout.readline().split()
        assert is_alive(int(process_id))
        parent.kill()
    wait_until(lambda: not is_alive(int(process_id)))
    wait_until(lambda: not Path(folder).exists())


@pytest.mark.parametrize("why", ["one core", "little to do", "a task of another package"])
def test_where_a_process_does_not_pay_there_is_none(monkeypatch, why):
    features, parts = data()
    task = binary()
    if why == "one core":
        monkeypatch.setattr(aside, "cores", lambda: 1)
    elif why == "little to do":
        monkeypatch.setattr(aside, "_WORTH_A_PROCESS", 10**6)
        monkeypatch.setitem(sys.modules, "keras", sys)
    else:
        task = type("Own", (type(task),), {"__module__": "my_lab.tasks"})().fit([0, 1])
    with Aside() as baselines:
        baselines.begin(task, features, parts, 3)
        assert not baselines.begun
        with pytest.raises(MedkitError, match="no baselines were begun"):
            baselines.predicted()

"""What one backend trained, every other opens, and predicts the same within 1e-5."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

# A process for each backend. The contract tests run under each in .ci/run, by KERAS_BACKEND.
pytestmark = pytest.mark.slow

SMOKE = Path(__file__).parents[1] / "configs" / "smoke"
CONFIGS = (
    "synthetic_vitals_mlp",
    "synthetic_icu_gru_static",
    "synthetic_icu_attention",
    "synthetic_icu_strats",
    "synthetic_xray_cnn",
    "synthetic_dna_lstm",
)

PREDICT = """
import sys
import numpy as np
from medkit.core.registry import datasets
from medkit.runs.run import Run
for folder, target in zip(sys.argv[1::2], sys.argv[2::2]):
    run = Run.open(folder)
    given = dict(run.config["dataset"])
    cohort = datasets.build(given.pop("name"), **given)
    np.save(target, run.outputs(cohort.inputs))
import keras
print(keras.backend.backend())
"""

HIDE_TENSORFLOW = """
import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tensorflow":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hide())
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: (
    None if name.split(".")[0] == "tensorflow" else find(name, *rest)
)
"""


def run_python(code: str, backend: str | None, *arguments: object) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
    if backend:
        environment["KERAS_BACKEND"] = backend
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().splitlines()[-1]


def needs(backend: str) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed (pip install 'keras-medkit[{backend}]')")


@pytest.fixture(scope="module")
def tensorflow_runs(tmp_path_factory):
    out = tmp_path_factory.mktemp("tensorflow")
    code = (
        "import sys, medkit\n"
        "for config in sys.argv[2:]:\n"
        "    run = medkit.train(config, overrides=['training.epochs=1', 'evaluation.bootstrap=10',"
        " 'evaluation.baselines=false'], out=sys.argv[1])\n"
        "print('ok')\n"
    )
    run_python(code, "tensorflow", out, *(SMOKE / f"{name}.yaml" for name in CONFIGS))
    return sorted(p.parent for p in out.rglob("MANIFEST.json"))


@pytest.fixture(scope="module")
def expected(tensorflow_runs, tmp_path_factory):
    return predicted(tensorflow_runs, None, tmp_path_factory.mktemp("expected"), "tensorflow")


def predicted(runs, backend, folder, says):
    targets = [folder / f"{i}.npy" for i in range(len(runs))]
    pairs = [each for pair in zip(runs, targets, strict=True) for each in pair]
    # Without KERAS_BACKEND a run opens under the backend that trained it.
    assert run_python(PREDICT, backend, *pairs) == says
    return [np.load(target) for target in targets]


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_trained_on_tensorflow_opens_elsewhere(backend, tensorflow_runs, expected, tmp_path):
    needs(backend)
    got = predicted(tensorflow_runs, backend, tmp_path, backend)
    for run, mine, theirs in zip(tensorflow_runs, got, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5, err_msg=run.parent.name)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_trains_where_tensorflow_is_absent(backend, tmp_path):
    needs(backend)
    code = HIDE_TENSORFLOW + (
        "import medkit\n"
        f"run = medkit.train({str(SMOKE / 'synthetic_icu_gru.yaml')!r}, out={str(tmp_path)!r},"
        " overrides=['training.epochs=1', 'evaluation.bootstrap=10'])\n"
        "assert not any(m.split('.')[0] == 'tensorflow' for m in sys.modules)\n"
        "print(run.environment['backend'])\n"
    )
    assert run_python(code, backend) == backend


def test_backend_of_the_config_is_taken_and_recorded(tmp_path):
    needs("jax")
    code = (
        "import sys\nfrom medkit.cli import main\n"
        f"config = {str(SMOKE / 'breast_cancer_mlp.yaml')!r}\n"
        "sys.exit(main(['train', '--config', config, '--backend', 'jax',"
        f" '--out', {str(tmp_path)!r}, '--set', 'training.epochs=1']))"
    )
    run = Path(run_python(code, None))
    assert '"backend": "jax"' in (run / "environment.json").read_text()
    assert len(pd.read_csv(run / "history.csv")) == 1


def test_a_backend_asked_for_too_late_is_refused():
    code = (
        "import keras\nfrom medkit.training.backend import BackendError, select_backend\n"
        "try:\n    select_backend('jax')\n"
        "except BackendError as error:\n    print(str(error).splitlines()[0])\n"
    )
    said = run_python(code, "tensorflow")
    assert said == "Keras already runs on tensorflow in this process; jax was asked for"

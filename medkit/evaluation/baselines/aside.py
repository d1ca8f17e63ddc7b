"""Baselines in a process of their own, beside ``import keras`` and the network's training.

Tuning them needs nothing of the network, so on a machine of several cores they cost no time. The
process gets its data as ``.npy`` files in a temporary folder that only this user can read, gives
its outputs back there, and ends with this one, however that ends.
"""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from medkit.core.children import begin, cores
from medkit.core.errors import MedkitError
from medkit.evaluation.baselines.baselines import Predicted
from medkit.evaluation.methods import methods_for

if TYPE_CHECKING:
    from medkit.data.parts import Part
    from medkit.tasks.task import Task

log = logging.getLogger("medkit")

# Values that are worth a process where Keras is loaded already: it takes about 1.5 s to start.
_WORTH_A_PROCESS = 100_000
_WORKER = "medkit.evaluation.baselines.worker"


class Aside:
    """The baselines of one run, perhaps in a process of their own.

    Example:
        >>> with Aside() as baselines:
        ...     baselines.begin(task, features, parts, seed)
        ...     train_the_network()
        ...     if baselines.begun:
        ...         predicted, absent = baselines.predicted()
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdin:
                self._process.stdin.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._process = self._folder = None

    @property
    def begun(self) -> bool:
        """Whether there is a process to wait for."""
        return self._process is not None

    def begin(
        self,
        task: Task,
        features: Mapping[str, Any],
        parts: Mapping[str, Part],
        seed: int,
    ) -> None:
        """Start the process, unless there is one core only, or it would cost more than it gives.

        Nor are baselines fitted there that need more than summary features.

        Args:
            task: The fitted task.
            features: Part -> (n, features) summary features of ``train``, ``valid`` and ``test``.
            parts: What the features are of.
            seed: Seed of the choices at random.
        """
        # What a plug-in's own module would need to be loaded there is not known here.
        ours = type(task).__module__.startswith("medkit.")
        loaded = "keras" in sys.modules and features["train"].size < _WORTH_A_PROCESS
        if cores() < 2 or loaded or not ours or not methods_for(task).on_summaries:
            return
        self._folder = folder = Path(tempfile.mkdtemp(prefix="medkit-baselines-"))
        for name, frame in features.items():
            np.save(folder / f"x_{name}.npy", np.asarray(frame, dtype=float))
            np.save(folder / f"y_{name}.npy", parts[name].y)
        names = np.asarray(parts["train"].cohort.subjects).astype(str)
        np.save(folder / "subjects.npy", np.unique(names, return_inverse=True)[1])
        job = {"task": task.to_dict(), "seed": seed}
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        with open(folder / "output.txt", "wb") as output:
            self._process = begin(_WORKER, str(folder), stdout=output, stderr=output)

    def predicted(self) -> tuple[list[Predicted], dict[str, str]]:
        """Wait for the baselines, and log what they logged; also why some could not be made.

        Raises:
            MedkitError: They could not be fitted; with the process's own last words.
        """
        if self._process is None or self._folder is None:
            raise MedkitError("no baselines were begun")
        status = self._process.wait()
        folder = self._folder
        for line in _lines(folder / "log.jsonl"):
            record = json.loads(line)
            log.log(record["level"], "%s", record["text"], extra={"private": record["private"]})
        if status != 0:
            output = _lines(folder / "output.txt")[-12:]
            if status < 0:
                output.append(f"the process was killed by signal {-status}")
            raise MedkitError(
                "the baselines could not be fitted: "
                + ("\n    ".join(output) or f"the process ended with status {status}"),
                hint="evaluation.baselines: false trains without them.",
            )
        found = json.loads((folder / "fitted.json").read_text(encoding="utf-8"))
        return [
            Predicted(
                each["name"],
                {part: np.load(folder / f"{each['name']}_{part}.npy") for part in each["parts"]},
                each["threshold"],
                each["facts"],
            )
            for each in found["baselines"]
        ], found["absent"]


def _lines(file: Path) -> list[str]:
    text = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
    return text.strip().splitlines()

"""The folds side by side, each in a process of its own; what is finished stays finished."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from medkit.core.errors import MedkitError, RunError
from medkit.runs import run as runs
from medkit.workflows.crossval.plan import Fold, Plan

log = logging.getLogger("medkit")

FOLDS = "folds"  # folder of the folds' runs
LOCK = ".lock"
_POLL_SECONDS = 0.2
_LOCK_SECONDS = 30.0
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS",
            "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")  # fmt: skip


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Keep the folder for this process and its children; gives the lock's file descriptor.

    Children inherit it, so that the lock of a killed cross-validation is free only when the last
    of its folds has ended.

    Raises:
        RunError: Another process keeps it.
    """
    import fcntl  # not on Windows

    with open(folder / LOCK, "w") as file:
        waited = time.monotonic()
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() - waited > _LOCK_SECONDS:
                    raise RunError(
                        "another process is at work on this cross-validation",
                        place=str(folder),
                        hint="Wait for it to end, or end it.",
                    ) from None
                time.sleep(_POLL_SECONDS)
        yield file.fileno()


def finished_run(folder: Path, fold: Fold) -> Path | None:
    """The fold's sealed run, if there is one.

    Raises:
        RunError: It was changed after it was sealed.
    """
    found = sorted(p.parent for p in (folder / FOLDS / fold.name).glob(f"*/{runs.MANIFEST}"))
    if found:
        runs.verify(found[0])
    return found[0] if found else None


def default_jobs() -> int:
    """Half the cores, at least one."""
    return max(1, _cores() // 2)


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@dataclass
class _Child:
    fold: Fold
    process: subprocess.Popen[bytes]
    said: IO[bytes]


def run_folds(
    plan: Plan, folder: Path, jobs: int, lock: int, allow_code: Sequence[str] = ()
) -> None:
    """Train every fold that is not finished yet, ``jobs`` at a time; 0: in this process.

    Raises:
        RunError: A fold failed (its own message is given), or a finished one was changed.
        KeyboardInterrupt: Ctrl-C; the folds at work keep their last epoch.
    """
    total = len(plan.runs)
    waiting = [fold for fold in plan.runs if finished_run(folder, fold) is None]
    if len(waiting) < total:
        log.info("%d of %d folds are finished already", total - len(waiting), total)
    if jobs == 0:
        _train_here(waiting, folder, total)
        return
    jobs = min(jobs, len(waiting))
    if jobs:
        log.info("%d folds to train, %d at a time", len(waiting), jobs)
    clock = _Clock(len(waiting))
    working: list[_Child] = []
    try:
        while waiting or working:
            while waiting and len(working) < jobs:
                working.append(_begin(waiting.pop(0), folder, jobs, lock, allow_code))
            for child in [each for each in working if each.process.poll() is not None]:
                working.remove(child)
                _ended(child, folder)
                done = total - len(waiting) - len(working)
                log.info("fold %d of %d finished (%s)%s", done, total, child.fold.name,
                         clock.left())  # fmt: skip
            time.sleep(_POLL_SECONDS)
    finally:
        _end(working)


def _train_here(waiting: Sequence[Fold], folder: Path, total: int) -> None:
    """Fold after fold without a process for each, whose start costs more than a small network."""
    import keras

    from medkit.config.experiment import load_config
    from medkit.workflows.train import train

    clock = _Clock(len(waiting))
    for done, fold in enumerate(waiting, total - len(waiting) + 1):
        out = folder / FOLDS
        try:
            with _unheard():
                experiment = load_config(folder / "config.yaml", fold.overrides)
                train(experiment, out=out, resume=_interrupted(out / fold.name))
        except MedkitError as error:
            raise _failed(fold, folder, str(error)) from error
        keras.backend.clear_session()
        log.info("fold %d of %d finished (%s)%s", done, total, fold.name, clock.left())


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """What a fold says goes to its own log.txt alone, as from a process of its own."""
    handlers, propagate = log.handlers, log.propagate
    log.handlers, log.propagate = [], False
    try:
        yield
    finally:
        log.handlers, log.propagate = handlers, propagate


class _Clock:
    """Time left, from the folds finished so far."""

    def __init__(self, folds: int):
        self.folds, self.done, self.started = folds, 0, time.monotonic()

    def left(self) -> str:
        self.done += 1
        seconds = (time.monotonic() - self.started) / self.done * (self.folds - self.done)
        left = datetime.timedelta(seconds=round(seconds))
        return f"; about {left} h left" if self.done < self.folds else ""


def _begin(fold: Fold, folder: Path, jobs: int, lock: int, allow_code: Sequence[str]) -> _Child:
    job = {
        "config": str(folder / "config.yaml"),
        "overrides": fold.overrides,
        "out": str(folder / FOLDS),
        "resume": _interrupted(folder / FOLDS / fold.name),
        "allow_code": list(allow_code),
    }
    threads = str(max(1, _cores() // jobs))
    environment = {**dict.fromkeys(_THREADS, threads), **os.environ}
    # The parent's search path, without the working folder that -m would put first.
    environment["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
    said = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "medkit.workflows.crossval.worker", json.dumps(job)],
        stdin=subprocess.PIPE,
        stdout=said,
        stderr=said,
        env=environment,
        pass_fds=(lock,),
        start_new_session=True,  # Ctrl-C reaches the parent, which ends its children in order
    )
    return _Child(fold, process, said)


def _interrupted(folder: Path) -> str | None:
    """A run of this fold that can be gone on with; what cannot is removed."""
    found = None
    for run in sorted(folder.glob("*/")):
        if (run / runs.CHECKPOINT / "state.npz").is_file() and found is None:
            found = str(run)
        else:
            shutil.rmtree(run)
    return found


def _ended(child: _Child, folder: Path) -> None:
    status = child.process.wait()
    if child.process.stdin is not None:
        child.process.stdin.close()
    child.said.seek(0)
    # What a fold said is shown, not kept: it may name files of patients.
    text = child.said.read().decode(errors="replace").strip()
    child.said.close()
    if status != 0 or finished_run(folder, child.fold) is None:
        said = "\n".join(text.splitlines()[-12:]) or f"ended with status {status}"
        raise _failed(child.fold, folder, said)


def _failed(fold: Fold, folder: Path, said: str) -> FoldError:
    last = "\n    ".join(said.splitlines())
    return FoldError(
        f"{fold.name} failed:\n    {last}",
        place=str(folder),
        hint=f"Finished folds are kept; go on with: medkit crossval --resume {folder}",
    )


class FoldError(MedkitError):
    """A fold that could not be trained."""


def _end(working: list[_Child]) -> None:
    for child in working:
        child.process.terminate()
    for child in working:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.process.wait(_LOCK_SECONDS)
        if child.process.poll() is None:
            child.process.kill()
            child.process.wait()
        if child.process.stdin is not None:
            child.process.stdin.close()
        child.said.close()

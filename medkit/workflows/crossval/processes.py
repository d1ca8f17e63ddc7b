"""The folds side by side, each in a process of its own; what is finished stays finished."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from medkit.core.children import arguments, cores
from medkit.core.errors import MedkitError
from medkit.core.progress import duration
from medkit.runs import run as runs
from medkit.workflows.crossval.plan import Fold, FoldPlan
from medkit.workflows.crossval.worker import FOLDS, train_fold

log = logging.getLogger("medkit")

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS",
            "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")  # fmt: skip


class FoldError(MedkitError):
    """A fold that could not be trained."""


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
    return max(1, cores() // 2)


def run_folds(plan: FoldPlan, folder: Path, jobs: int, allow_code: Sequence[str] = ()) -> None:
    """Train every fold that is not finished yet, ``jobs`` at a time; 0: in this process.

    Raises:
        RunError: A fold failed (its own message is given), or a finished one was changed.
        KeyboardInterrupt: Ctrl-C; the folds at work keep their last epoch.
    """
    total = len(plan.runs)
    waiting = [fold for fold in plan.runs if finished_run(folder, fold) is None]
    if len(waiting) < total:
        log.info("%d of %d folds are finished already", total - len(waiting), total)
    jobs = min(jobs, len(waiting))
    if jobs:
        log.info("%d folds to train, %d at a time", len(waiting), jobs)
    trained = _side_by_side(waiting, folder, jobs, allow_code) if jobs else _here(waiting, folder)
    started = time.monotonic()
    for done, fold in enumerate(trained, start=1):
        remaining = len(waiting) - done
        seconds = (time.monotonic() - started) / done * remaining
        log.info("fold %d of %d finished (%s)%s", total - remaining, total, fold.name,
                 f"; about {duration(seconds)} left" if remaining else "")  # fmt: skip


def _here(waiting: Sequence[Fold], folder: Path) -> Iterator[Fold]:
    """Fold after fold without a process for each, whose start costs more than a small network."""
    import keras

    for fold in waiting:
        try:
            with _unheard():
                train_fold(folder, fold.name, fold.overrides)
        except MedkitError as error:
            raise _failed(fold, folder, str(error)) from error
        keras.backend.clear_session()
        yield fold


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """What a fold says goes to its own log.txt alone, as from a process of its own."""
    handlers, propagate = log.handlers, log.propagate
    log.handlers, log.propagate = [], False
    try:
        yield
    finally:
        log.handlers, log.propagate = handlers, propagate


def _side_by_side(
    waiting: Sequence[Fold], folder: Path, jobs: int, allow_code: Sequence[str]
) -> Iterator[Fold]:
    # Threads that wait for commands, and no ProcessPoolExecutor: there one worker that is killed
    # for want of memory breaks the pool and takes its last words along, orphans stay when the
    # parent is killed, and a user's script without a __main__ guard would start itself again.
    ends_with_parent, held = os.pipe()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            work = {
                pool.submit(_in_a_process, fold, folder, jobs, allow_code, ends_with_parent): fold
                for fold in waiting
            }
            for each in as_completed(work):
                each.result()
                yield work[each]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            os.close(held)  # the folds at work keep their last epoch and end
            pool.shutdown()
            os.close(ends_with_parent)


def _in_a_process(
    fold: Fold, folder: Path, jobs: int, allow_code: Sequence[str], ends_with_parent: int
) -> None:
    job = {"folder": str(folder), "name": fold.name, "overrides": fold.overrides,
           "allow_code": list(allow_code)}  # fmt: skip
    threads = dict.fromkeys(_THREADS, str(max(1, cores() // jobs)))
    done = subprocess.run(
        **arguments("medkit.workflows.crossval.worker", json.dumps(job), **threads),
        stdin=ends_with_parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode != 0 or finished_run(folder, fold) is None:
        # What a fold said is shown, not kept: it may name files of patients.
        output = done.stdout.decode(errors="replace").strip().splitlines()[-12:]
        if done.returncode < 0:
            output.append(f"was killed by signal {-done.returncode}; if memory has run out, "
                        "give fewer --jobs")  # fmt: skip
        raise _failed(fold, folder, "\n".join(output) or f"ended with status {done.returncode}")


def _failed(fold: Fold, folder: Path, output: str) -> FoldError:
    last = "\n    ".join(output.splitlines())
    return FoldError(
        f"{fold.name} failed:\n    {last}",
        place=str(folder),
        hint=f"Finished folds are kept; continue with: medkit crossval --resume {folder}",
    )


__all__ = ["FOLDS", "FoldError", "default_jobs", "finished_run", "run_folds"]

"""Cross-validation: every fold a sealed run, in processes side by side, resumable.

The folder of a cross-validation::

    config.yaml        the config with every default
    plan.json          the folds, and the hashes of the data
    folds/<fold>/<id>/ a finished run each
    crossval.json      the result: see medkit.workflows.crossval.summary
    crossval.html      the result as one page
    environment.json   versions, seconds, which run belongs to which fold
    log.txt
    MANIFEST.json      last: the sha256 of every other file
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from medkit.config.experiment import Experiment, load_config, same_experiment
from medkit.core.errors import ConfigError, Problem, RunError
from medkit.core.files import write_text
from medkit.data.cohort import Cohort
from medkit.evaluation import readable
from medkit.report.pages.crossval import write_crossval_report
from medkit.runs import run as runs
from medkit.runs.recording import LogKeeper, Stages, environment
from medkit.runs.run import Run
from medkit.runs.state import read_json
from medkit.workflows.crossval import processes
from medkit.workflows.crossval.plan import SITES, Fold, FoldPlan, make_plan
from medkit.workflows.crossval.pooled import pool
from medkit.workflows.crossval.summary import summarize
from medkit.workflows.finished_branches import refuse_same_data
from medkit.workflows.prepare import read
from medkit.workflows.train import Interrupted

log = logging.getLogger("medkit")


def cross_validate(
    config: Experiment | Path | str | None = None,
    *,
    overrides: Sequence[str] = (),
    folds: int | str | None = None,
    repeats: int | None = None,
    jobs: int | None = None,
    out: Path | str | None = None,
    resume: Path | str | None = None,
    allow_code: Sequence[str] = (),
) -> Path:
    """Cross-validate what a config describes.

    Subjects are dealt into folds, stratified by the outcome; each fold in turn is tested, and
    within the others a part is set aside by subject on which the threshold, the calibration and
    early stopping are chosen (nested; Varma and Simon, BMC Bioinformatics 7, 2006). Every fold is
    a run of its own, trained by ``train``.

    Args:
        config: A checked config or the path of a YAML file; None with ``resume``.
        overrides: ``a.b=value`` assignments, when ``config`` is a path.
        folds: How many, or ``sites``: one site is left out at a time. None: ``sites`` where the
            config splits by site, else 5.
        repeats: How often the subjects are dealt anew, each time by another seed; None: once.
        jobs: Folds at a time, each in a process of its own; 0: one after the other in this
            process, which saves their start; None: half the cores.
        out: Folder to write to; one that this same cross-validation was begun in is gone on with.
            None: ``runs/<name>-crossval/<UTC time>-<id>``.
        resume: Folder of a cross-validation that was interrupted.
        allow_code: Modules whose code the config may name.

    Returns:
        The folder.

    Raises:
        MedkitError: Config, data or a fold at fault; finished folds are kept.
        Interrupted: Ctrl-C; the folder it names can be resumed.
    """
    if jobs is not None and jobs < 0:
        raise ConfigError([Problem("--jobs", f"must be 0 or more; got {jobs}")])
    begun = _begun(resume, out)
    if isinstance(config, (str, Path)):
        config = load_config(config, overrides)
    elif overrides:
        raise ConfigError([Problem("--set", "a resumed cross-validation keeps its settings")])
    if config is None:
        if begun is None:
            raise ConfigError([Problem("--config", "give --config FILE, or --resume DIR")])
        config = load_config(begun / "config.yaml")
    stages = Stages()
    with LogKeeper() as kept:
        with stages("read"):
            cohort = read(config.dataset)
        refuse_same_data(config, cohort)
        if begun is not None and folds is None and repeats is None:
            folds, repeats = _as_begun(begun)
        plan = make_plan(config, cohort, folds, repeats or 1)
        for note in plan.notes:
            log.info("%s", note)
        folder = _folder(config, cohort, plan, begun, out)
        try:
            with runs.locked(folder / ".lock", "cross-validation"):
                with stages("folds"):
                    at_once = processes.default_jobs() if jobs is None else jobs
                    processes.run_folds(plan, folder, at_once, allow_code)
                _conclude(folder, config, cohort, plan, stages, kept)
            runs.seal(folder)  # without the lock's file
        except KeyboardInterrupt as stop:
            raise Interrupted(folder) from stop
    return folder


def _begun(resume: Path | str | None, out: Path | str | None) -> Path | None:
    """The folder of an unfinished cross-validation to go on with.

    Raises:
        RunError: There is none where ``resume`` says, or it is finished.
    """
    if resume is None and (out is None or not (Path(out) / "plan.json").is_file()):
        return None
    folder = Path(resume or out or "")
    if not (folder / "plan.json").is_file():
        raise RunError("is not a cross-validation: it has no plan.json", place=str(folder))
    if (folder / runs.MANIFEST).exists():
        text = "the cross-validation is finished; there is nothing to resume"
        raise RunError(text, place=str(folder))
    return folder


def _as_begun(folder: Path) -> tuple[int | str, int]:
    plan = read_json(folder / "plan.json")["plan"]
    by_site = plan["scheme"] != "grouped k-fold"
    return SITES if by_site else plan["folds"], plan["repeats"]


def _folder(
    experiment: Experiment,
    cohort: Cohort,
    plan: FoldPlan,
    begun: Path | None,
    out: Path | str | None,
) -> Path:
    """The folder to work in: a new one, or the one begun if nothing has changed since.

    Raises:
        ConfigError: The config is another one.
        RunError: The folds or the data are others, or the folder holds something else.
    """
    now = {"format": 1, "plan": plan.to_dict(), "data_sha256": dict(cohort.source.files)}
    if begun is not None:
        same_experiment(experiment, load_config(begun / "config.yaml"))
        before = read_json(begun / "plan.json")
        if before["data_sha256"] != now["data_sha256"]:
            raise RunError(
                "the data have changed since the cross-validation was begun",
                place=str(begun),
                hint="Put the former files back, or begin anew in another folder.",
            )
        if before != now:
            was = before["plan"]
            raise RunError(
                f"was begun with other folds: {was['scheme']}, {was['folds']} folds, "
                f"{was['repeats']} repeats",
                place=str(begun),
                hint="Leave --folds and --repeats out, or begin anew in another folder.",
            )
        return begun
    if out is None:
        folder = runs.new_folder(Path("runs"), f"{experiment.name}-crossval")
    else:
        folder = Path(out)
        if folder.is_dir() and any(folder.iterdir()):
            raise RunError(
                "the folder is not empty and holds no cross-validation to continue",
                place=str(folder),
                hint="Give --out a new or empty folder.",
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot be made: {error.strerror}", place=str(folder)) from error
    write_text(folder / "config.yaml", experiment.to_yaml(target_folder=folder))
    runs.write_json(folder / "plan.json", now)
    return folder


def _conclude(
    folder: Path, experiment: Experiment, cohort: Cohort, plan: FoldPlan, stages: Stages,
    kept: LogKeeper,
) -> None:  # fmt: skip
    """Write the result of the finished folds."""
    done = list(_opened(folder, plan))
    with stages("evaluate"):
        pooled = pool(cohort, done)
        files = dict(cohort.source.files)
        content = summarize(experiment, plan, done, pooled, files)
        runs.write_json(folder / "crossval.json", content)
    with stages("report"):
        text = (folder / "config.yaml").read_text(encoding="utf-8")
        write_crossval_report(folder / "crossval.html", content, text)
    runs.write_json(folder / "environment.json", _environment(folder, experiment, done, stages))
    main = content["summary"][content["main"]]
    label = content["labels"][content["main"]]
    log.info(
        "%s over %d folds: mean %s, SD %s",
        label, main["folds"], readable(main["mean"]), readable(main["sd"]),
    )  # fmt: skip
    write_text(folder / "log.txt", kept.text)


def _opened(folder: Path, plan: FoldPlan) -> Iterator[tuple[Fold, Run]]:
    for fold in plan.runs:
        path = processes.finished_run(folder, fold)
        if path is None:
            raise RunError(f"{fold.name} is not finished", place=str(folder))
        yield fold, Run(path)


def _environment(
    folder: Path, experiment: Experiment, done: Sequence[tuple[Fold, Run]], stages: Stages
) -> dict[str, Any]:
    first = done[0][1].environment
    folds = {
        fold.name: {
            "run": run.path.relative_to(folder).as_posix(),
            "seconds": round(
                sum(each["seconds"] for each in run.environment["stages"].values()), 1
            ),
        }
        for fold, run in done
    }
    facts = environment(
        first["backend"], first["device"], experiment.seed, first["data_sha256"], stages
    )
    return {**facts, "folds": folds}


__all__ = ["cross_validate"]

"""Commands that train: train, crossval."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medkit.cli._shared import (
    AllowOption,
    BackendOption,
    SetOption,
    app,
    say,
    show,
)


@app.command()
def train(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="YAML file of the experiment.")
    ] = None,
    sets: SetOption = None,
    out: Annotated[Path, typer.Option("--out", help="Folder that runs are made in.")] = Path(
        "runs"
    ),
    resume: Annotated[
        Path | None, typer.Option("--resume", help="Interrupted run to continue.")
    ] = None,
    backend: BackendOption = None,
    allow_code: AllowOption = None,
) -> None:
    """Train, evaluate and save a model; prints the run's path."""
    from medkit.config import experiment as configs

    overrides = [*(sets or ()), *([f"backend={backend}"] if backend else ())]
    if resume is None and config is not None:
        experiment = configs.load_config(config, overrides)
    elif resume is not None:
        from medkit.workflows.train import resumed

        experiment = resumed(resume, overrides)
        if config is not None:
            configs.same_experiment(configs.load_config(config, overrides), experiment)
    else:
        raise typer.BadParameter("give --config FILE, or --resume RUN")
    from medkit.workflows.train import Interrupted
    from medkit.workflows.train import train as run_training

    try:
        run = run_training(experiment, out=out, resume=resume)
    except Interrupted as stop:
        say(f"interrupted; continue with: medkit train --resume {stop.folder}")
        raise
    from medkit.cli.listing import metrics_table

    show(metrics_table(run.task, run.metrics))
    say(f"report: {run.path / 'report.html'}")
    print(run.path)


@app.command()
def crossval(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="YAML file of the experiment.")
    ] = None,
    sets: SetOption = None,
    folds: Annotated[
        str | None,
        typer.Option("--folds", help="How many; 'sites' leaves one site out at a time."),
    ] = None,
    repeats: Annotated[
        int | None, typer.Option("--repeats", help="How often the subjects are divided into folds.")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", help="Folds trained at a time; 0: in this process; default: half the cores."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder to write to; continues what was begun there."),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", help="Interrupted cross-validation to continue.")
    ] = None,
    backend: BackendOption = None,
    allow_code: AllowOption = None,
) -> None:
    """Cross-validate a config, by subject or by site; prints the folder of the result."""
    from medkit.runs.state import read_json
    from medkit.workflows.crossval import cross_validate
    from medkit.workflows.train import Interrupted

    overrides = [*(sets or ()), *([f"backend={backend}"] if backend else ())]
    try:
        folder = cross_validate(
            config,
            overrides=overrides,
            folds=int(folds) if folds and folds.lstrip("-").isdigit() else folds,
            repeats=repeats,
            jobs=jobs,
            out=out,
            resume=resume,
            allow_code=allow_code or (),
        )
    except Interrupted as stop:
        say(f"interrupted; continue with: medkit crossval --resume {stop.folder}")
        raise
    from medkit.workflows.crossval.table import spread_table

    show(spread_table(read_json(folder / "crossval.json")))
    say(f"report: {folder / 'crossval.html'}")
    print(folder)

"""The commands. Results go to stdout, everything said to a person goes to stderr."""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from medkit.errors import MedkitError

app = typer.Typer(
    name="medkit",
    help="From clinical data to a validated, documented, deployable Keras model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="YAML file of the experiment.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a value: training.epochs=3 (repeatable)."),
]
AllowOption = Annotated[
    list[str] | None,
    typer.Option("--allow-code", help="Module whose code a config or run may name (repeatable)."),
]
BackendOption = Annotated[
    str | None, typer.Option("--backend", help="Keras backend: tensorflow, jax or torch.")
]
RunArgument = Annotated[Path, typer.Argument(help="Folder of a run.", metavar="RUN")]


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Warnings only.")] = False,
) -> None:
    pass


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
        Path | None, typer.Option("--resume", help="Interrupted run to go on with.")
    ] = None,
    backend: BackendOption = None,
    allow_code: AllowOption = None,
) -> None:
    """Train, evaluate and save a model; prints the run's path."""
    from medkit import config as configs
    from medkit.registry import allow_code as allow

    allow(allow_code or ())
    overrides = [*(sets or ()), *([f"backend={backend}"] if backend else ())]
    if resume is None and config is not None:
        experiment = configs.load_config(config, overrides)
    elif resume is not None:
        from medkit.pipeline import resumed

        experiment = resumed(resume, overrides)
        if config is not None:
            configs.same_experiment(configs.load_config(config, overrides), experiment)
    else:
        raise typer.BadParameter("give --config FILE, or --resume RUN")
    from medkit.pipeline import Interrupted
    from medkit.pipeline import train as run_training

    try:
        run = run_training(experiment, out=out, resume=resume)
    except Interrupted as stop:
        _say(f"interrupted; go on with: medkit train --resume {stop.folder}")
        raise
    from medkit.listing import metrics_table

    _show(metrics_table(run.metrics))
    _say(f"report: {run.path / 'report.html'}")
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
        int | None, typer.Option("--repeats", help="Times that the subjects are dealt into folds.")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", help="Folds trained at a time; 0: in this process; default: half the cores."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder to write to; what was begun there is gone on with."),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", help="Interrupted cross-validation to go on with.")
    ] = None,
    backend: BackendOption = None,
    allow_code: AllowOption = None,
) -> None:
    """Cross-validate a config, by subject or by site; prints the folder of the result."""
    from medkit.crossval import cross_validate
    from medkit.pipeline import Interrupted
    from medkit.registry import allow_code as allow
    from medkit.runs import read_json

    allow(allow_code or ())
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
        _say(f"interrupted; go on with: medkit crossval --resume {stop.folder}")
        raise
    from medkit.crossval.table import spread_table

    _show(spread_table(read_json(folder / "crossval.json")))
    _say(f"report: {folder / 'crossval.html'}")
    print(folder)


@app.command()
def evaluate(
    run: RunArgument,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Config that names the other data set.")
    ] = None,
    sets: SetOption = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Folder for external.html and external.json.")
    ] = None,
    recalibrate: Annotated[
        str | None,
        typer.Option("--recalibrate", help="intercept, slope or refit: makes a new run."),
    ] = None,
    backend: BackendOption = None,
    allow_code: AllowOption = None,
) -> None:
    """Evaluate a saved model on another data set; prints the metrics as JSON.

    Without --config or --set, evaluates again on the run's own test part. With --recalibrate, a
    new run is made beside the old one, fitted on a part of the new data and tested on the rest.
    """
    from medkit import external
    from medkit.backend import select_backend
    from medkit.listing import metrics_table

    opened = _opened(run, allow_code)
    select_backend(backend, preferred=opened.environment["backend"])
    if recalibrate is not None:
        made = external.recalibrate_run(opened, recalibrate, config, sets or ())
        _show(metrics_table(made.metrics))
        _say(f"report: {made.path / 'report.html'}")
        print(made.path)
        return
    result = external.evaluate_run_on(opened, config, sets or (), report)
    _show(metrics_table({result["part"]: result}))
    if report is not None:
        _say(f"report: {report / 'external.html'}")
    print(json.dumps(result, indent=2, ensure_ascii=False))


@app.command()
def predict(
    run: RunArgument,
    source: Annotated[
        Path | None, typer.Option("--input", "-i", help="File or folder of new samples.")
    ] = None,
    query: Annotated[
        str | None, typer.Option("--query", help="A select statement, for rows of a database.")
    ] = None,
    url: Annotated[
        str | None, typer.Option("--url", help="The database; default: that of the run.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help=".csv or .parquet; default: stdout.")
    ] = None,
    backend: BackendOption = None,
    allow_code: AllowOption = None,
) -> None:
    """Predict for new samples with a saved model."""
    from medkit.backend import select_backend
    from medkit.external import check_output, predict_file, write_predictions

    if output is not None:
        check_output(output)
    opened = _opened(run, allow_code)
    select_backend(backend, preferred=opened.environment["backend"])
    table = predict_file(opened, source, query, url)
    if output is None:
        table.to_csv(sys.stdout, index=False)
        return
    write_predictions(table, output)
    _say(f"{len(table)} predictions written")
    print(output)


@app.command()
def explain(
    run: RunArgument,
    source: Annotated[Path, typer.Option("--input", "-i", help="File or folder of samples.")],
    row: Annotated[
        str | None, typer.Option("--row", help="The file's own id of one sample; default: all.")
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="auto, integrated_gradients, occlusion, grad_cam, attention or shap.",
        ),
    ] = "auto",
    of: Annotated[
        str | None,
        typer.Option("--of", help="Class, label or output; default: each sample's most probable."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help=".csv, .html, or .png (an image with --row)."),
    ] = None,
    backend: BackendOption = None,
    allow_code: AllowOption = None,
) -> None:
    """Explain predictions: what each feature adds to them; prints a table as CSV."""
    from medkit.backend import select_backend
    from medkit.explaining import check_output, explain_file, table_of, write_explanation

    opened = _opened(run, allow_code)
    if output is not None:
        check_output(output, row, opened.modality)
    select_backend(backend, preferred=opened.environment["backend"])
    explained = explain_file(opened, source, row=row, method=method, output=of)
    if explained.left_out:
        _say(f"the first {len(explained.samples)} samples; {explained.left_out} are left out")
    if output is not None:
        write_explanation(explained, output)
        _say(f"explanation by {explained.local.method.replace('_', ' ')}: {output}")
    if output is None or output.suffix != ".csv":
        table_of(explained).to_csv(sys.stdout, index=False)


@app.command()
def validate(config: ConfigOption, sets: SetOption = None, allow_code: AllowOption = None) -> None:
    """Check a config without reading data; every problem is reported at once."""
    from medkit.config import load_config
    from medkit.registry import allow_code as allow

    allow(allow_code or ())
    experiment = load_config(config, sets or ())
    _say(f"{config}: valid ({experiment.model.name} on {experiment.dataset.name})")


@app.command()
def audit(config: ConfigOption, sets: SetOption = None, allow_code: AllowOption = None) -> None:
    """Look for leakage without training; prints the findings as JSON, fails if one is grave."""
    from medkit.auditing import audit_experiment, findings_table
    from medkit.config import load_config
    from medkit.leakage import summary
    from medkit.registry import allow_code as allow

    allow(allow_code or ())
    findings = audit_experiment(load_config(config, sets or ()))
    _show(findings_table(findings))
    print(json.dumps(summary(findings), indent=2, ensure_ascii=False))
    if any(each.stops for each in findings):
        raise typer.Exit(1)


@app.command()
def verify(run: RunArgument) -> None:
    """Check every file of a run against its manifest."""
    from medkit.runs import verify as verify_run

    files = verify_run(run)
    _say(f"{run}: {len(files)} files, all unchanged")


@app.command()
def runs(
    folder: Annotated[Path, typer.Argument(help="Folder to look in.", metavar="[DIR]")] = Path(
        "runs"
    ),
) -> None:
    """List the finished runs."""
    from medkit.listing import runs_table

    _print(runs_table(folder))


@app.command()
def compare(
    folders: Annotated[
        list[Path], typer.Argument(help="Folders of two runs or more.", metavar="RUN...")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for comparison.html; default: ./comparison-<ids>.html"),
    ] = None,
    allow_code: AllowOption = None,
) -> None:
    """Compare runs with the first of them; writes a page and prints paired tests as JSON."""
    from medkit import comparison
    from medkit.registry import allow_code as allow

    allow(allow_code or ())
    found = comparison.compare_runs(folders)
    page = comparison.default_page(found) if out is None else out / "comparison.html"
    comparison.write_page(found, page)
    _show(comparison.comparison_table(found))
    _say(f"page: {page}")
    print(json.dumps(found.result, indent=2, ensure_ascii=False))


@app.command()
def models(name: Annotated[str | None, typer.Argument(metavar="[NAME]")] = None) -> None:
    """List the models, or describe one."""
    _describe("models", name)


@app.command()
def datasets(name: Annotated[str | None, typer.Argument(metavar="[NAME]")] = None) -> None:
    """List the datasets, or describe one."""
    _describe("datasets", name)


@app.command()
def tasks(name: Annotated[str | None, typer.Argument(metavar="[NAME]")] = None) -> None:
    """List the tasks, or describe one."""
    _describe("tasks", name)


@app.command()
def preprocessing(name: Annotated[str | None, typer.Argument(metavar="[NAME]")] = None) -> None:
    """List the kinds of input, or describe the preprocessing settings of one."""
    _describe("modalities", name)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a config, for editors."""
    from medkit.schema import experiment_schema

    print(json.dumps(experiment_schema(), indent=2, ensure_ascii=False))


@app.command()
def init(
    file: Annotated[Path, typer.Argument(help="CSV or Parquet file.", metavar="FILE")],
    target: Annotated[str, typer.Option("--target", help="Column to predict.")],
    subject: Annotated[
        str | None, typer.Option("--subject", help="Column that identifies the patient.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Config to write; default: <FILE>.yaml")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing config.")] = False,
) -> None:
    """Look at a table and write a commented config that trains on it; prints its path."""
    from medkit.inspection import write_config

    written = write_config(file, target, subject, output or Path(f"{file.stem}.yaml"), force)
    _say(f"read it, then: medkit train --config {written}")
    print(written)


@app.command()
def synth(
    name: Annotated[str, typer.Argument(help="A synthetic or embedded dataset.", metavar="NAME")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")],
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="A parameter: samples=500 (repeatable).")
    ] = None,
) -> None:
    """Write a synthetic data set as ordinary files, with a config that reads them."""
    from medkit.synthesize import synthesize

    for path in synthesize(name, out, sets or ()):
        print(path)


def _opened(run: Path, allow_code: list[str] | None) -> Any:
    from medkit.registry import allow_code as allow
    from medkit.runs import Run

    allow(allow_code or ())
    return Run.open(run)


def _describe(kind: str, name: str | None) -> None:
    from medkit import listing, registry

    known = getattr(registry, kind)
    _print(listing.names_table(known) if name is None else listing.description(known, name))


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _show(renderable: Any) -> None:
    from rich.console import Console

    Console(stderr=True).print(renderable)


def _print(renderable: Any) -> None:
    from rich.console import Console

    # Off a terminal, tables must not be cut to 80 columns.
    Console(width=None if sys.stdout.isatty() else 160).print(renderable)


@contextlib.contextmanager
def _talking(quiet: bool) -> Iterator[None]:
    """Show medkit's log on stderr, and treat a request to end as Ctrl-C."""
    log = logging.getLogger("medkit")
    log.setLevel(logging.WARNING if quiet else logging.INFO)
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.logging import RichHandler

        handler: logging.Handler = RichHandler(
            console=Console(stderr=True), show_path=False, show_time=False
        )
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
    log.addHandler(handler)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        log.removeHandler(handler)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 failed, 2 wrong use, 130 interrupted."""
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    quiet = "--quiet" in given or "-q" in given
    # Both may stand anywhere, also behind the command.
    given = [each for each in given if each not in ("--debug", "--quiet", "-q")]
    try:
        with _talking(quiet):
            app(args=given, prog_name="medkit")
    except SystemExit as stop:
        return int(stop.code or 0)
    except MedkitError as error:
        if debug:
            raise
        _say(str(error))
        return error.exit_status
    except OSError as error:
        if debug:
            raise
        _say(f"cannot go on: {error}\n  --debug shows the traceback")
        return 1
    except Exception as error:
        if debug:
            raise
        _say(f"unexpected {type(error).__name__}: {error}\n  --debug shows the traceback")
        return 1
    return 0

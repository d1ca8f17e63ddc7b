"""Commands on runs: evaluate, predict, explain, verify, runs, compare."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from medkit.cli._shared import (
    AllowOption,
    BackendOption,
    RunArgument,
    SetOption,
    app,
    say,
    show,
    show_result,
)


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
    from medkit.cli.listing import metrics_table
    from medkit.runs.run import Run
    from medkit.training.backend import select_backend
    from medkit.workflows import external

    found = Run.open(run)
    select_backend(backend, preferred=found.environment["backend"])
    if recalibrate is not None:
        made = external.recalibrate_run(found, recalibrate, config, sets or ())
        show(metrics_table(made.task, made.metrics))
        say(f"report: {made.path / 'report.html'}")
        print(made.path)
        return
    result = external.evaluate_run_on(found, config, sets or (), report)
    show(metrics_table(found.task, {result["part"]: result}))
    if report is not None:
        say(f"report: {report / 'external.html'}")
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
    from medkit.core.files import write_csv
    from medkit.runs.run import Run
    from medkit.training.backend import select_backend
    from medkit.workflows.external import check_output, predict_file, write_predictions

    if source is None and query is None and url is None:
        raise typer.BadParameter("give --input FILE, or --query for rows of a database")
    if output is not None:
        check_output(output)
    found = Run.open(run)
    select_backend(backend, preferred=found.environment["backend"])
    table = predict_file(found, source, query, url, output)
    if output is None:
        write_csv(table, sys.stdout)
        return
    write_predictions(table, output)
    say(f"{len(table)} predictions written")
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
    from medkit.core.files import write_csv
    from medkit.runs.run import Run
    from medkit.training.backend import select_backend
    from medkit.workflows.explain import check_output, explain_file, table_of, write_explanation

    found = Run.open(run)
    if output is not None:
        check_output(output, row, found, source)
    select_backend(backend, preferred=found.environment["backend"])
    explained = explain_file(found, source, row=row, method=method, output=of)
    first = explained[0]
    if first.left_out:
        say(f"the first {len(first.samples)} samples; {first.left_out} are left out")
    if output is not None:
        write_explanation(explained, output)
        say(f"explanation by {first.local.method.replace('_', ' ')}: {output}")
    if output is None or output.suffix != ".csv":
        write_csv(table_of(explained), sys.stdout)


@app.command()
def verify(run: RunArgument) -> None:
    """Check every file of a run against its manifest."""
    from medkit.runs.run import verify as verify_run

    files = verify_run(run)
    say(f"{run}: {len(files)} files, all unchanged")


@app.command()
def runs(
    folder: Annotated[Path, typer.Argument(help="Folder to look in.", metavar="[DIR]")] = Path(
        "runs"
    ),
) -> None:
    """List the finished runs."""
    from medkit.cli.listing import runs_table

    show_result(runs_table(folder))


@app.command()
def compare(
    folders: Annotated[
        list[Path], typer.Argument(help="Folders of two runs or more.", metavar="RUN...")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for comparison.html; default: ./comparison-<ids>.html"),
    ] = None,
    other_data: Annotated[
        bool, typer.Option("--other-data", help="The runs may have read other data.")
    ] = False,
    allow_code: AllowOption = None,
) -> None:
    """Compare runs with the first of them; writes a page and prints paired tests as JSON."""
    from medkit.workflows import compare as comparison

    found = comparison.compare_runs(folders, other_data)
    page = comparison.default_page(found) if out is None else out / "comparison.html"
    comparison.write_page(found, page)
    show(comparison.comparison_table(found))
    say(f"page: {page}")
    print(json.dumps(found.result, indent=2, ensure_ascii=False))

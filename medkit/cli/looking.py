"""Commands that look and prepare: validate, audit, listings, schema, init, synth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from medkit.cli._shared import (
    AllowOption,
    ConfigOption,
    SetOption,
    app,
    say,
    show,
    show_result,
)


@app.command()
def validate(config: ConfigOption, sets: SetOption = None, allow_code: AllowOption = None) -> None:
    """Check a config without reading data; every problem is reported at once."""
    from medkit.config.experiment import load_config

    experiment = load_config(config, sets or ())
    if any("from" in each for each in experiment.model.parameters.get("branches", {}).values()):
        from medkit.workflows.finished_branches import finished_branches

        finished_branches(experiment)
    say(f"{config}: valid ({experiment.model.name} on {experiment.dataset.name})")


@app.command()
def audit(config: ConfigOption, sets: SetOption = None, allow_code: AllowOption = None) -> None:
    """Look for leakage without training; prints the findings as JSON, fails if one is serious."""
    from medkit.config.experiment import load_config
    from medkit.leakage import summary
    from medkit.workflows.audit import audit_experiment, findings_table

    findings = audit_experiment(load_config(config, sets or ()))
    show(findings_table(findings))
    print(json.dumps(summary(findings), indent=2, ensure_ascii=False))
    if any(each.stops for each in findings):
        raise typer.Exit(1)


def _lists(command: str, kind: str, about: str) -> None:
    """A command that lists the names of a registry, or describes one."""

    @app.command(command, help=about)
    def describe(name: Annotated[str | None, typer.Argument(metavar="[NAME]")] = None) -> None:
        from medkit.cli import listing
        from medkit.core import registry

        known = getattr(registry, kind)
        shown = listing.names_table(known) if name is None else listing.description(known, name)
        show_result(shown)


_lists("models", "models", "List the models, or describe one.")
_lists("datasets", "datasets", "List the datasets, or describe one.")
_lists("tasks", "tasks", "List the tasks, or describe one.")
_lists("preprocessing", "modalities",
       "List the kinds of input, or describe the preprocessing settings of one.")  # fmt: skip


@app.command()
def schema(
    what: Annotated[Literal["config", "metrics"], typer.Argument(metavar="[WHAT]")] = "config",
) -> None:
    """Print the JSON Schema of a config, for editors, or of a run's metrics.json."""
    from medkit.config.schema import experiment_schema
    from medkit.evaluation.results import metrics_schema

    found = metrics_schema() if what == "metrics" else experiment_schema()
    print(json.dumps(found, indent=2, ensure_ascii=False))


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
    from medkit.workflows.propose import write_config

    written = write_config(file, target, subject, output or Path(f"{file.stem}.yaml"), force)
    say(f"read it, then: medkit train --config {written}")
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
    from medkit.workflows.synthesize import synthesize

    for path in synthesize(name, out, sets or ()):
        print(path)

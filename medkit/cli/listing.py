"""What the listing commands show: names, descriptions, finished runs."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from rich.console import Group
from rich.markup import escape
from rich.table import Column, Table

from medkit.core.errors import MedkitError, RunError
from medkit.core.groups import groups_of
from medkit.core.registry import Registry
from medkit.runs.run import finished, verify
from medkit.runs.state import ConfigFile, MetricsFile, checked, read_state
from medkit.tasks.task import Task

_TAGS = {"accepts": "takes", "yields": "yields"}


def names_table(registry: Registry) -> Table:
    """Name, what it takes or yields, and the first line of its docstring."""
    entries = [registry.get(name) for name in registry.names()]
    tags = [tag for tag in _TAGS if any(tag in entry.tags for entry in entries)]
    table = Table("name", *(_TAGS[tag] for tag in tags), "what it is", box=None)
    for entry in entries:
        shown = (
            tuple(entry.yielded) or "several" if tag == "yields" else entry.tags.get(tag, "")
            for tag in tags
        )
        cells = (", ".join(each) if isinstance(each, tuple) else each for each in shown)
        table.add_row(entry.name, *cells, escape(entry.summary))
    return table


def description(registry: Registry, name: str) -> Group:
    """Docstring, then every parameter with type, bounds, default and meaning, group by group.

    Raises:
        UnknownNameError: No such name.
    """
    entry, model = registry.get(name), registry.schema(name)
    groups = groups_of(model)
    table = Table("parameter", "type", "bounds", "default", "meaning", box=None)
    for row in _rows(model):
        group = groups.get(row[0])
        if group is None:
            table.add_row(*map(escape, row))
            continue
        short = f"; or its {group.short} alone" if group.short else ""
        table.add_row(f"[bold]{row[0]}[/bold]", f"group{short}", "", "", f"[bold]{escape(row[4])}")
        for inner in _rows(group, model.model_fields[row[0]].default):
            table.add_row(f"  {inner[0]}", *map(escape, inner[1:]))
    text = inspect.getdoc(entry.factory) or ""
    return Group(
        f"[bold]{entry.name}[/bold] ({registry.kind})", escape(_without_args(text)), "", table
    )


def _rows(
    model: type[BaseModel], usual: BaseModel | None = None
) -> Iterator[tuple[str, str, str, str, str]]:
    """Name, type, bounds, default (that of ``usual``, if given) and meaning of each parameter."""
    given = {} if usual is None else usual.model_dump(mode="json")
    schema = model.model_json_schema()
    # What has a short form may be that or an object.
    schema = next((s for s in schema.get("anyOf", []) if "properties" in s), schema)
    for name, facts in schema.get("properties", {}).items():
        required = name in schema.get("required", [])
        default = "required" if required else json.dumps(given.get(name, facts.get("default")))
        meaning = " ".join((model.model_fields[name].description or "").split())
        yield name, _type(facts), _bounds(facts), default, meaning


def _without_args(docstring: str) -> str:
    # The table says the same, with types and bounds.
    before, marker, after = docstring.partition("\nArgs:\n")
    if not marker:
        return docstring
    kept: list[str] = []
    inside = True
    for line in after.splitlines():
        if inside and line and not line.startswith(" "):
            inside = False
        if not inside:
            kept.append(line)
    return "\n".join([before.rstrip(), "", *kept]).rstrip()


def _type(facts: dict[str, Any]) -> str:
    if "enum" in facts and len(facts["enum"]) > 8:
        return "a Keras name"
    if "enum" in facts:
        return " | ".join(str(each) for each in facts["enum"])
    if "const" in facts:
        return str(facts["const"])
    if "anyOf" in facts:
        return " | ".join(dict.fromkeys(_type(each) for each in facts["anyOf"]))
    kind = facts.get("type", "object" if "$ref" in facts else "any")
    names = {
        "integer": "whole number",
        "string": "text",
        "boolean": "true/false",
        "object": "mapping",
    }
    if kind == "array":
        if "prefixItems" in facts:
            return f"[{', '.join(_type(each) for each in facts['prefixItems'])}]"
        return f"list of {_type(facts.get('items', {}))}"
    return "path" if facts.get("format") == "path" else names.get(kind, kind)


def _bounds(facts: dict[str, Any]) -> str:
    signs = {
        "minimum": "≥ ",
        "exclusiveMinimum": "> ",
        "maximum": "≤ ",
        "exclusiveMaximum": "< ",
        "minItems": "items ≥ ",
        "maxItems": "items ≤ ",
    }
    schemas = [facts, *facts.get("anyOf", []), facts.get("items", {})]
    found = [f"{sign}{p[key]:g}" for p in schemas for key, sign in signs.items() if key in p]
    return ", ".join(dict.fromkeys(found))


def metrics_table(task: Task, metrics: Mapping[str, Any]) -> Table:
    """Every metric of the test part (or of all rows) with its interval, beside the baselines."""
    from medkit.evaluation import readable
    from medkit.evaluation.methods import baseline_name

    part = metrics.get("test") or metrics.get("all") or next(iter(metrics.values()))
    baselines = metrics.get("baselines", {})
    positives = part.get("positives")
    events = f", {positives} positive" if isinstance(positives, int) else ""
    title = f"{part['n']} samples of {part['subjects']} subjects{events}"
    table = Table("metric", "network", "interval", *map(baseline_name, baselines), title=title)
    for name, found in part["metrics"].items():
        between = f"{readable(found['low'])} – {readable(found['high'])}"
        if found["low"] is None:
            between = ""
        elif found.get("degenerate"):
            between = "the same in all resamples"
        others = (readable(each["metrics"][name]["value"]) for each in baselines.values())
        table.add_row(task.metric(name).label, readable(found["value"]), between, *others)
    return table


def runs_table(folder: Path) -> Table:
    """The finished runs below a folder: what was trained, and how it did on test."""
    from medkit.core.yaml_file import read_yaml

    if not folder.is_dir():
        raise RunError("no such folder", place=str(folder))
    found = finished(folder)
    # Paths are there to be copied: they must not be cut.
    widest = max((len(str(path)) for path in found), default=3)
    table = Table(Column("run", min_width=widest), "dataset", "model", "task", "test", box=None)
    for path in found:
        try:
            verify(path)
            config = checked(read_yaml(path / "config.yaml")[0], ConfigFile, path)
            names = [config[key]["name"] for key in ("dataset", "model", "task")]
            metrics = read_state(path / "metrics.json", MetricsFile)
            table.add_row(str(path), *names, metrics["headline"])
        except MedkitError as error:
            # One damaged run must not hide the others.
            table.add_row(str(path), "", "", "", f"[red]damaged: {escape(error.message)}[/red]")
    if not table.row_count:
        table.add_row(f"no finished runs in {folder}", "", "", "", "")
    return table

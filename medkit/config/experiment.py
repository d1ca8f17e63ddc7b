"""The experiment a YAML file describes; every mistake in the file is reported at once."""

from __future__ import annotations

import contextlib
import copy
import math
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medkit.config.checker import Checker
from medkit.config.sections import (
    TRAINING_COMPONENTS,
    Component,
    EarlyStopping,
    Evaluation,
    Header,
    Leakage,
    Split,
    Training,
    dotted,
    named,
)
from medkit.core import registry
from medkit.core.errors import ConfigError, MedkitError, Problem
from medkit.core.groups import ParameterGroup, in_full
from medkit.core.yaml_file import (
    Key,
    dump_yaml,
    expand,
    has_placeholder,
    map_strings,
    override,
    read_yaml,
)


@dataclass(frozen=True)
class Experiment:
    """A checked config. ``plain`` is what goes into the run: defaults in, ``${…}`` unexpanded."""

    header: Header
    dataset: Component
    preprocessing: Mapping[str, Component]
    task: Component
    split: Split
    model: Component
    training: Training
    evaluation: Evaluation
    leakage: Leakage
    folder: Path
    plain: Mapping[str, Any]
    place: str = "config"

    @property
    def name(self) -> str:
        return self.header.name

    @property
    def seed(self) -> int:
        return self.header.seed

    def to_yaml(self, target_folder: Path | None = None) -> str:
        """The config with every default; ``folder`` is relative to ``target_folder``."""
        plain = dict(self.plain)
        if target_folder is not None:
            plain["folder"] = _relative(self.folder, target_folder)
        return dump_yaml(plain)


def load_config(path: Path | str, overrides: Iterable[str] = ()) -> Experiment:
    """Read and check one YAML file.

    Args:
        path: The file.
        overrides: ``a.b=value`` assignments, as for ``--set``.

    Raises:
        ConfigError: Every problem of the file, with its line.
    """
    path = Path(path)
    document, lines = read_yaml(path)
    changed = {override(_in_full(document), assignment) for assignment in overrides}
    for key in changed:
        lines = {k: line for k, line in lines.items() if k[: len(key)] != key}
    return check_config(document, folder=path.parent, place=str(path), lines=lines, changed=changed)


def check_config(
    document: Mapping[str, Any],
    *,
    folder: Path,
    place: str = "config",
    lines: Mapping[Key, int] | None = None,
    changed: Iterable[Key] = (),
) -> Experiment:
    """Check a config given as nested mappings.

    Args:
        document: The mapping, as read from YAML.
        folder: Folder that relative paths are taken from (unless the config names one).
        place: What to call the config in messages.
        lines: Line of each key, for messages.
        changed: Keys given on the command line; their relative paths start at the working folder.

    Raises:
        ConfigError: Every problem found.
    """
    given = _in_full(copy.deepcopy(dict(document)))
    if isinstance(given.get("training"), dict):
        given["training"] = named(given["training"], *TRAINING_COMPONENTS)
    expanded, problems = expand(given)
    checker = Checker(expanded, problems)
    parts = checker.sections()
    known = {path for path, _ in problems}
    problems += [each for each in _not_finite(expanded) if each[0] not in known]
    if problems:
        found = [Problem(dotted(p), text, _line(lines or {}, p)) for p, text in problems]
        raise ConfigError(found, place=place)

    header = parts["header"]
    if header.folder is not None:
        folder = Path(folder, header.folder)
    plain = {**header.model_dump(mode="json"), **checker.plain}
    dataset = parts["dataset"]
    placed = placed_paths(dataset.parameters, folder, plain["dataset"], set(changed), ("dataset",))
    parts["dataset"] = Component(dataset.name, placed)
    model = parts["model"]
    placed = placed_paths(model.parameters, folder, plain["model"], set(changed), ("model",))
    parts["model"] = Component(model.name, placed)

    def unexpanded(text: str, path: Key) -> Any:
        original = _at(given, path)
        return original if has_placeholder(original) else text

    plain = map_strings(plain, unexpanded)
    return Experiment(**parts, folder=Path(folder), plain=plain, place=place)


def check_dataset(section: Mapping[str, Any], *, folder: Path, place: str) -> Component:
    """Check the dataset section of a config by itself, its variables expanded already.

    Args:
        section: The mapping, as read from YAML.
        folder: Folder that relative paths are taken from.
        place: What to call the config in messages.

    Raises:
        ConfigError: Every problem found.
    """
    problems: list[tuple[Key, str]] = []
    found = Checker({"dataset": dict(section)}, problems).component("dataset", registry.datasets)
    if found is None or problems:
        raise ConfigError([Problem(dotted(path), text) for path, text in problems], place=place)
    return Component(found.name, placed_paths(found.parameters, folder))


def same_experiment(given: Experiment, before: Experiment) -> None:
    """Check that a config given beside ``--resume`` is the interrupted run's own.

    Raises:
        ConfigError: Names the sections that differ.
    """
    compared = {*given.plain, *before.plain} - {"folder", "description", "dataset"}
    differs = "differs from the interrupted run's config"
    problems = [
        Problem(key, f"{differs}; leave --config out, or start a new run")
        for key in sorted(compared)
        if given.plain.get(key) != before.plain.get(key)
    ]
    if given.dataset != before.dataset:
        problems.append(Problem("dataset", differs))
    if problems:
        raise ConfigError(problems, place=given.place)


def _not_finite(value: Any, path: Key = ()) -> Iterator[tuple[Key, str]]:
    """Numbers that are none, or infinite where that is no end of a range."""
    if isinstance(value, float) and not math.isfinite(value):
        if math.isnan(value) or "ranges" not in path:
            yield path, f"must be a finite number; got {value}"
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _not_finite(each, (*path, key))
    elif isinstance(value, list):
        for i, each in enumerate(value):
            yield from _not_finite(each, (*path, i))


def _line(lines: Mapping[Key, int], path: Key) -> int | None:
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


def _at(document: Any, path: Key) -> Any:
    for key in path:
        if isinstance(document, dict):
            document = document.get(key)
        elif isinstance(document, list) and isinstance(key, int) and key < len(document):
            document = document[key]
        else:
            return None
    return document


def placed_paths(
    parameters: Mapping[str, Any],
    folder: Path,
    plain: dict[str, Any] | None = None,
    changed: Collection[Key] = (),
    above: Key = (),
) -> dict[str, Any]:
    """The parameters with relative paths, also those in groups, taken from a folder.

    Args:
        parameters: By name.
        folder: The config's folder.
        plain: The same as plain data; the paths in it that were given on the command line are
            rewritten, so that they too start at ``folder``.
        changed: Keys given on the command line; their relative paths start at the working folder.
        above: Where the parameters stand in the config.
    """
    found = dict(parameters)
    for name, value in parameters.items():
        key = (*above, name)
        if isinstance(value, ParameterGroup):
            inside = {each: getattr(value, each) for each in type(value).model_fields}
            below = plain[name] if plain else None
            found[name] = value.model_copy(update=placed_paths(inside, folder, below, changed, key))
        elif isinstance(value, dict):
            below = plain[name] if plain else None
            found[name] = placed_paths(value, folder, below, changed, key)
        elif isinstance(value, Path):
            here = any(key[: len(each)] == each for each in changed)
            found[name] = Path(os.path.normpath((Path.cwd() if here else folder) / value))
            if here and plain and found[name] != value:
                plain[name] = _relative(found[name], folder)
    return found


def _in_full(document: dict[str, Any]) -> dict[str, Any]:
    """The document with short forms written out, in place: ``model: mlp``, ``target: died``."""
    document.update(named(document, "dataset", "task", "model", "preprocessing"))
    if "dataset" in document:
        document["dataset"] = _dataset_in_full(document["dataset"])
    return document


def _dataset_in_full(data: Any) -> Any:
    """A data set, or several by name, and those that are parts of it, with groups written out."""
    if not isinstance(data, dict):
        return data
    if not isinstance(data.get("name"), str):
        return {key: _dataset_in_full(each) for key, each in data.items()}
    with contextlib.suppress(MedkitError):  # an unknown name is reported later
        data = in_full(registry.datasets.schema(data["name"]), data)
        parts = registry.datasets.get(data["name"]).tags.get("parts", ())
        data |= {part: _dataset_in_full(data[part]) for part in parts if part in data}
    return data


def _relative(path: Any, start: Path) -> str:
    # Relative, so that a run tells nothing of the machine beyond what the user wrote.
    return os.path.relpath(path, start)


__all__ = [
    "Component", "EarlyStopping", "Evaluation", "Experiment", "Header", "Split",
    "Training",
    "check_config", "check_dataset", "load_config", "same_experiment",
]  # fmt: skip

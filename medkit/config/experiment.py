"""The experiment a YAML file describes; every mistake in the file is reported at once."""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from medkit.config.across import across
from medkit.config.inputs import described
from medkit.config.sections import (
    TRAINING_COMPONENTS,
    Component,
    EarlyStopping,
    Evaluation,
    FinishedRun,
    Header,
    Leakage,
    Section,
    Split,
    Training,
    dotted,
    named,
)
from medkit.core import registry
from medkit.core.checking import check
from medkit.core.errors import ConfigError, DataError, MedkitError, Problem, did_you_mean
from medkit.core.groups import ParameterGroup, in_full, value_at
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
        """The config with every default; ``folder`` is relative to the folder ``beside``."""
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
    checker = _Checker(expanded, problems)
    parts = checker.sections()
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
    found = _Checker({"dataset": dict(section)}, problems).component("dataset", registry.datasets)
    if found is None or problems:
        raise ConfigError([Problem(dotted(path), text) for path, text in problems], place=place)
    return Component(found.name, placed_paths(found.parameters, folder))


def same_experiment(given: Experiment, before: Experiment) -> None:
    """Check that a config given beside ``--resume`` is the interrupted run's own.

    Raises:
        ConfigError: Names the sections that differ.
    """
    compared = {*given.plain, *before.plain} - {"folder", "description", "dataset"}
    problems = [
        Problem(key, "differs from the interrupted run's config; leave --config out, or train anew")
        for key in sorted(compared)
        if given.plain.get(key) != before.plain.get(key)
    ]
    if given.dataset != before.dataset:
        problems.append(Problem("dataset", "differs from the interrupted run's config"))
    if problems:
        raise ConfigError(problems, place=given.place)


class _Checker:
    """Checks each section on its own, so that one mistake hides no other."""

    def __init__(self, document: dict[str, Any], problems: list[tuple[Key, str]]):
        self.document, self.problems = document, problems
        self.plain: dict[str, Any] = {}

    def sections(self) -> dict[str, Any]:
        kinds = {"dataset": registry.datasets, "task": registry.tasks, "model": registry.models}
        sections: dict[str, type[Section]] = {
            "split": Split, "training": Training, "evaluation": Evaluation, "leakage": Leakage,
        }  # fmt: skip
        known = [*Header.model_fields, *kinds, *sections, "preprocessing"]
        for key in self.document:
            if key not in known:
                near = did_you_mean(str(key), known) or f"; known: {', '.join(known)}"
                self.problems.append(((key,), f"not a section of a config{near}"))
        parts: dict[str, Any] = {"header": self.section("", Header)}
        parts["dataset"] = self.component("dataset", registry.datasets)
        parts["preprocessing"] = self.preprocessing(parts["dataset"])
        for key in ("task", "model"):
            parts[key] = self.component(key, kinds[key])
        for key, section in sections.items():
            parts[key] = self.section(key, section)
        self.problems.extend(across(parts))
        return parts

    def section(self, key: str, model: type[Section]) -> Any:
        if key:
            data = self.document.get(key)
            data = {} if data is None else data
        else:
            data = {k: v for k, v in self.document.items() if k in model.model_fields}
        found, problems = check(model, data, f"a setting of '{key}'")
        prefix = (key,) if key else ()
        self.problems.extend(((*prefix, *path), text) for path, text in problems)
        if found is not None and key:
            self.plain[key] = found.model_dump(mode="json")
        return found

    def component(self, key: str, known: registry.Registry) -> Component | None:
        data = self.document.get(key)
        if data is None:
            example = known.names()[0]
            self.problems.append(((key,), f"is required, such as '{key}: {example}'"))
            return None
        checked = self.checked((key,), known, data)
        if checked is None:
            return None
        found, self.plain[key] = checked
        return found

    def checked(
        self, place: Key, known: registry.Registry, data: Any
    ) -> tuple[Component, dict[str, Any]] | None:
        """A name with its parameters, those of components inside it included, and how they are
        written with every default; None where something is wrong."""
        if isinstance(data, str):
            data = {"name": data}
        if not isinstance(data, dict) or not isinstance(data.get("name"), str):
            self.problems.append((place, "must be a name, or a mapping with 'name'"))
            return None
        try:
            schema = known.schema(data["name"])
        except MedkitError as error:
            self.problems.append(((*place, "name"), error.message))
            return None
        checked = self.parameters(place, data["name"], schema, in_full(schema, data))
        if checked is None:
            return None
        found, plain = checked
        tags = known.get(data["name"]).tags
        choice = tags.get("one_of", ())
        given = [each for each in choice if value_at(found.parameters, each) is not None]
        if choice and not given:
            text = f"is required (or {', '.join(choice[1:])})"
            self.problems.append(((*place, choice[0]), text))
        elif len(given) > 1:
            text = f"stands beside {given[0]}: give one of them"
            self.problems.append(((*place, *given[1].split(".")), text))
        check_declared = tags.get("check")
        if check_declared:
            try:
                check_declared(found.parameters)
            except DataError as error:
                self.problems.append((place, error.message))
        for name in tags.get("parts", ()):
            if found.parameters[name] is None:
                continue
            inside = self.inside((*place, name), known, found.parameters[name])
            if inside is None:
                return None
            found = Component(found.name, {**found.parameters, name: inside[0]})
            plain[name] = inside[1]
        return found, plain

    def inside(
        self, place: Key, known: registry.Registry, data: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """A component that is a parameter of another one, or several by name."""
        if isinstance(data.get("name"), str):
            return self.part(place, known, data)
        each = {name: self.part((*place, name), known, part) for name, part in data.items()}
        whole = {name: found for name, found in each.items() if found is not None}
        if len(whole) < len(each):
            return None
        return (
            {name: found for name, (found, _) in whole.items()},
            {name: plain for name, (_, plain) in whole.items()},
        )

    def part(
        self, place: Key, known: registry.Registry, data: Any
    ) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """One component inside another; of a model, it may come from a finished run."""
        if known is registry.models and isinstance(data, dict) and "from" in data:
            run, problems = check(FinishedRun, data, "a setting of a branch from a run")
            self.problems.extend(((*place, *path), text) for path, text in problems)
            if run is None:
                return None
            return run.model_dump(by_alias=True), run.model_dump(mode="json", by_alias=True)
        checked = self.checked(place, known, data)
        if checked is None:
            return None
        return {"name": checked[0].name, **checked[0].parameters}, checked[1]

    def parameters(
        self, place: Key, name: str, schema: type[BaseModel], data: dict[str, Any]
    ) -> tuple[Component, dict[str, Any]] | None:
        """The component and how it is written with every default; None where it is wrong."""
        rest = {k: v for k, v in data.items() if k != "name"}
        found, problems = check(schema, rest, f"a parameter of '{name}'")
        self.problems.extend(((*place, *path), text) for path, text in problems)
        if found is None:
            return None
        plain = {"name": name, **found.model_dump(mode="json")}
        return Component(name, {each: getattr(found, each) for each in schema.model_fields}), plain

    def preprocessing(self, dataset: Component | None) -> dict[str, Component] | None:
        """Input name -> its modality and settings: flat for one input, else by name."""
        data = self.document.get("preprocessing") or {}
        if not isinstance(data, dict):
            self.problems.append((("preprocessing",), "must be a mapping"))
            return None
        if dataset is None:
            return None
        kinds = registry.datasets.get(dataset.name).yields(dataset.parameters)
        if not kinds:
            text = f"'{dataset.name}' does not say what it yields"
            self.problems.append((("dataset", "name"), text))
            return None
        flat = len(kinds) == 1
        given = dict.fromkeys(kinds, data) if flat else named(data, *kinds)
        for name in given:
            if name not in kinds:
                text = f"'{dataset.name}' yields {described(kinds)}: give the settings of each "
                text += f"input below its name{did_you_mean(str(name), kinds)}"
                self.problems.append((("preprocessing", name), text))
        found, plain = {}, {}
        for name, kind in kinds.items():
            place: Key = ("preprocessing",) if flat else ("preprocessing", name)
            settings = given.get(name) or {}
            if not isinstance(settings, dict):
                self.problems.append((place, "must be a mapping"))
                continue
            if settings.get("name", kind) != kind:
                text = f"'{dataset.name}' yields {kind}; leave the name out, or write '{kind}'"
                self.problems.append(((*place, "name"), text))
                continue
            checked = self.parameters(place, kind, registry.modalities.schema(kind), settings)
            if checked is not None:
                found[name], plain[name] = checked
        self.plain["preprocessing"] = next(iter(plain.values()), {}) if flat else plain
        return found if len(found) == len(kinds) else None


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

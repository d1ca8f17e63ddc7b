"""Each section of a config checked on its own, components inside components included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from medkit.config.across import across
from medkit.config.inputs import described
from medkit.config.sections import (
    Component,
    Evaluation,
    FinishedRun,
    Header,
    Leakage,
    Section,
    Split,
    Training,
    named,
)
from medkit.core import registry
from medkit.core.checking import check
from medkit.core.errors import DataError, MedkitError, did_you_mean
from medkit.core.groups import in_full, value_at
from medkit.core.yaml_file import Key


class Checker:
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
            text = f"cannot be combined with {given[0]}: give one of them"
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
        of_run = isinstance(data, dict) and ("from" in data or data.keys() == {"frozen"})
        if known is registry.models and of_run:
            if "name" in data:
                text = "cannot be combined with from: a branch is a model by its name and "
                text += "parameters, or starts from a run; give one"
                self.problems.append(((*place, "name"), text))
                return None
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
        if not kinds and any(path[0] == "dataset" for path, _ in self.problems):
            return None
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

"""The JSON Schema of a whole config, so that editors complete and check it."""

from __future__ import annotations

from typing import Any

from medkit.config.sections import Evaluation, FinishedRun, Header, Leakage, Split, Training
from medkit.core import registry


def experiment_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a config; plug-ins that are installed are in it."""
    definitions: dict[str, Any] = {}

    def lifted(schema: dict[str, Any]) -> dict[str, Any]:
        definitions.update(schema.pop("$defs", {}))
        return schema

    def component(known: registry.Registry) -> dict[str, Any]:
        options: list[dict[str, Any]] = [{"enum": known.names()}]
        for name in known.names():
            options.append(named(known, name, required=["name"]))
        # An import path, for code that --allow-code permits.
        path = {"type": "string", "pattern": r"^[\w.]+:\w+$"}
        options += [path, {"type": "object", "required": ["name"], "properties": {"name": path}}]
        return {"anyOf": options}

    def named(known: registry.Registry, name: str, required: list[str]) -> dict[str, Any]:
        schema = lifted(known.schema(name).model_json_schema())
        schema["properties"] = {"name": {"const": name}, **schema.get("properties", {})}
        schema["required"] = [*required, *schema.get("required", [])]
        for part in known.get(name).tags.get("parts", ()):
            schema["properties"][part] = inside(known, schema["properties"][part])
        schema["title"] = name
        schema["description"] = known.get(name).summary
        return schema

    def inside(known: registry.Registry, part: dict[str, Any]) -> dict[str, Any]:
        """Components inside another one, by name or a single one; a model may be a run's."""
        one: dict[str, Any] = {"$ref": f"#/$defs/any_{known.kind}"}
        if known is registry.models:
            one = {"anyOf": [one, lifted(FinishedRun.model_json_schema())]}
        kept: dict[str, Any] = {
            key: part[key] for key in ("title", "description", "default") if key in part
        }
        if isinstance(part.get("additionalProperties"), dict):
            return {**kept, "type": "object", "additionalProperties": one}
        return {**kept, "anyOf": [one, {"type": "null"}]}

    header = lifted(Header.model_json_schema())
    sections = {
        key: lifted(model.model_json_schema())
        for key, model in (
            ("split", Split),
            ("training", Training),
            ("evaluation", Evaluation),
            ("leakage", Leakage),
        )
    }
    # 'optimizer: adam' and 'learning_rate_schedule: cosine' are short for their mappings.
    for key in ("optimizer", "learning_rate_schedule"):
        settings = sections["training"]["properties"][key]
        long_form = {
            k: settings.pop(k) for k in ("discriminator", "oneOf", "anyOf") if k in settings
        }
        settings["anyOf"] = [{"type": "string"}, long_form]
    modalities = registry.modalities
    # Flat with one input; with several, by input name.
    of_each = [named(modalities, name, []) for name in modalities.names()]
    by_input = {"type": "object", "additionalProperties": {"anyOf": of_each}}
    preprocessing = {"anyOf": [*of_each, by_input]}
    for known in (registry.datasets, registry.models):
        definitions[f"any_{known.kind}"] = component(known)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "medkit experiment",
        "type": "object",
        "additionalProperties": False,
        "required": ["dataset", "task", "model"],
        "properties": {
            **header["properties"],
            "dataset": {"$ref": "#/$defs/any_dataset"},
            "preprocessing": preprocessing,
            "task": component(registry.tasks),
            "model": {"$ref": "#/$defs/any_model"},
            **sections,
        },
        "$defs": definitions,
    }

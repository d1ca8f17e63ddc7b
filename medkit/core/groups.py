"""Parameters in groups: ``window: {hours: 48, step_hours: 1}`` instead of twenty flat names."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any, ClassVar

import pydantic
from pydantic_core import core_schema


class ParameterGroup(pydantic.BaseModel):
    """Parameters that belong together, described by the docstrings below them.

    ``short`` names the one that a plain value stands for: with ``short = "column"``,
    ``target: died`` means ``target: {column: died}``.
    """

    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=()
    )
    short: ClassVar[str | None] = None

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: core_schema.CoreSchema, handler: pydantic.GetJsonSchemaHandler
    ) -> dict[str, Any]:
        schema = handler.resolve_ref_schema(handler(core))
        plain = schema["properties"].get(cls.short)
        return schema if plain is None else {"anyOf": [plain, schema]}


def groups_of(model: type[pydantic.BaseModel]) -> dict[str, type[ParameterGroup]]:
    """The groups among a model's fields, by name."""
    found = {}
    for name, field in model.model_fields.items():
        for each in (field.annotation, *typing.get_args(field.annotation)):
            if isinstance(each, type) and issubclass(each, ParameterGroup):
                found[name] = each
    return found


def in_full(model: type[pydantic.BaseModel], data: Any) -> Any:
    """The data with groups written out: from short forms, and with what the signature gives them.

    ``columns: Columns = Columns(id="record")`` keeps its id where only a subject is given.
    """
    if not isinstance(data, dict):
        return data
    found = dict(data)
    for name, group in groups_of(model).items():
        usual = model.model_fields[name].default
        if name in data and data[name] is None and isinstance(usual, ParameterGroup):
            del found[name]  # 'columns:' with nothing but comments below it
        elif (
            group.short
            and data.get(name) is not None
            and not isinstance(data[name], dict | ParameterGroup)
        ):
            found[name] = {group.short: data[name]}
        if isinstance(found.get(name), dict) and isinstance(usual, ParameterGroup):
            own = usual.model_dump(mode="json", exclude_defaults=True)
            found[name] = {**own, **found[name]}
    return found


def defaults_of(model: type[pydantic.BaseModel]) -> dict[str, Any]:
    """The defaults of all fields that have one."""
    fields = model.model_fields.items()
    return {name: field.default for name, field in fields if not field.is_required()}


def value_at(parameters: Mapping[str, Any], path: str) -> Any:
    """The value of ``source.url``; None where its group is None."""
    name, _, rest = path.partition(".")
    found = parameters.get(name)
    return getattr(found, rest, None) if rest else found


def with_values(parameters: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with the values at paths such as ``source.url`` replaced."""
    found = dict(parameters)
    for path, value in values.items():
        name, _, rest = path.partition(".")
        found[name] = found[name].model_copy(update={rest: value}) if rest else value
    return found

"""Checking data against a pydantic model, with messages a clinician can act on."""

from __future__ import annotations

import json
import typing
from typing import Any, TypeVar

import pydantic

from medkit.core.errors import ConfigError, Problem, did_you_mean, nearest
from medkit.core.groups import ParameterGroup, groups_of, in_full
from medkit.core.yaml_file import Key

Model = TypeVar("Model", bound=pydantic.BaseModel)

_EXPECTED = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "path_type": "must be a path",
    "finite_number": "must be a finite number",
    "greater_than_equal": "must be {ge:g} or more",
    "greater_than": "must be above {gt:g}",
    "less_than_equal": "must be {le:g} or less",
    "less_than": "must be below {lt:g}",
    "too_short": "must have {min_length} or more items",
    "too_long": "must have {max_length} items at most",
}


def check(model: type[Model], data: Any, what: str) -> tuple[Model | None, list[tuple[Key, str]]]:
    """Validate ``data`` strictly; returns the instance, or None and (path, message) pairs.

    Args:
        model: The pydantic model to check against.
        data: Plain data as YAML gives it.
        what: What an unknown key is not: ``a parameter of 'mlp'``.
    """
    data = in_full(model, data)
    try:
        # By way of JSON, where strict mode still reads lists as tuples and text as paths, yet
        # does not turn "3" into 3 or 1 into True.
        return model.model_validate_json(json.dumps(data, default=_plain), strict=True), []
    except pydantic.ValidationError as error:
        by_path: dict[Key, list[str]] = {}
        for each in error.errors(include_url=False):
            path = _path_in(data, each["loc"], missing=each["type"] == "missing")
            message = _message(each, path, model, data, what)
            if message not in by_path.setdefault(path, []):
                by_path[path].append(message)
        # Of a union, the branch that goes on below: its other branches are not what was meant.
        last = [p for p in by_path if not any(p == q[: len(p)] and p != q for q in by_path)]
        return None, [(path, _joined(by_path[path])) for path in last]


def group_from(group: type[ParameterGroup], value: Any, name: str, what: str) -> ParameterGroup:
    """A group of parameters from itself or a mapping.

    Args:
        group: The kind of group.
        value: What was given for it, in full.
        name: The parameter's name, for messages.
        what: What it is a parameter of.

    Raises:
        ConfigError: The value is wrong; all mistakes are named.
    """
    if isinstance(value, ParameterGroup):
        return value
    found, problems = check(group, value, f"a parameter of the group {name}")
    if found is None:
        listed = [Problem(".".join(map(str, (name, *path))), text) for path, text in problems]
        raise ConfigError(listed, place=what)
    return found


def _plain(value: Any) -> Any:
    return value.model_dump() if isinstance(value, pydantic.BaseModel) else str(value)


def _path_in(data: Any, location: tuple[int | str, ...], missing: bool) -> Key:
    # A union adds the name of its branch to the location: keep what indexes into the data.
    path: list[int | str] = []
    for item in location:
        inside = (
            item in data
            if isinstance(data, dict)
            else (isinstance(data, list) and isinstance(item, int) and item < len(data))
        )
        if inside:
            data = data[item]
        if inside or (missing and item == location[-1]):
            path.append(item)
    return tuple(path)


def _message(error: Any, path: Key, model: type[pydantic.BaseModel], data: Any, what: str) -> str:
    kind, context, given = error["type"], error.get("ctx", {}), error.get("input")
    got = f"; got {_shown(given)}"
    if kind == "extra_forbidden":
        whole = model
        model, data = _place_of(model, data, path[:-1])
        if isinstance(data.get("name"), str):
            what = f"a setting of '{data['name']}'"
        elif len(path) > 1:
            group = issubclass(model, ParameterGroup)
            what = f"a parameter of the group {path[-2]}" if group else f"a setting of '{path[-2]}'"
        return _unknown(str(path[-1]), data, model, whole, what)
    if kind == "missing":
        return "is required"
    if kind == "union_tag_not_found":
        return "needs a 'name'"
    if kind == "union_tag_invalid":
        known = context["expected_tags"].replace("'", "").split(", ")
        near = did_you_mean(context["tag"], known) or f"; known: {', '.join(known)}"
        return f"no {str(path[-1]).replace('_', ' ')} called '{context['tag']}'{near}"
    if kind in _EXPECTED:
        return _EXPECTED[kind].format(**context) + got
    if kind in ("literal_error", "enum"):
        choices = context["expected"]
        near = did_you_mean(str(given), choices.replace("'", "").replace(" or ", ", ").split(", "))
        return f"must be {choices}{got}{near}"
    if kind == "value_error":
        return str(context["error"])
    return f"{error['msg'][0].lower()}{error['msg'][1:]}{got}"


def _unknown(
    name: str,
    given: typing.Container[str],
    model: type[pydantic.BaseModel],
    whole: type[pydantic.BaseModel],
    what: str,
) -> str:
    """What to write instead of a name that nothing has: in a group, or nearly the same.

    Args:
        name: The name.
        given: The names beside it.
        model: What has no such field: the whole, or a group of it.
        whole: What the groups are of.
        what: What the name is not.
    """
    every = [field.alias or each for each, field in model.model_fields.items()]
    known = [each for each in every if each not in given]
    groups = groups_of(whole).items()
    inside = [(group, field) for group, each in groups for field in each.model_fields]
    within = issubclass(model, ParameterGroup) and model is not whole
    if within and name in whole.model_fields:
        return f"not {what}, it stands beside it: write '{name}: ...' a level higher"
    homes = [(g, field) for g, field in inside if name in (field, f"{g}_{field}")]
    if homes:
        written = " or ".join(f"{group}: {{{field}: ...}}" for group, field in homes)
        named = [group for group, _ in homes]
        near = did_you_mean(name, [each for each in known if each not in named])
        return f"is in the group {' or '.join(named)}: write {written}{near}"
    if near := did_you_mean(name, known):
        return f"not {what}{near}"
    # 'stepp' in the group window is 'step_hours' rather than the 'site' of another group.
    words = {word: each for each in known for word in reversed(each.split("_")) if len(word) > 3}
    if within and (word := nearest(name, words)):
        return f"not {what}; did you mean '{words[word]}'?"
    field = nearest(name, [field for _, field in inside])
    for group in (group for group, each in inside if each == field):
        return f"not {what}; did you mean '{group}: {{{field}: ...}}'?"
    return f"not {what}; known: {', '.join(every)}"


def _place_of(
    model: type[pydantic.BaseModel], data: Any, path: Key
) -> tuple[type[pydantic.BaseModel], Any]:
    """The model and the data at a path; of a union of named models, the one that is named."""
    for key in path:
        data = data[key]
        field = model.model_fields.get(str(key))
        annotation = field.annotation if field else None
        nested = [
            each
            for each in (annotation, *_branches(annotation))
            if isinstance(each, type) and issubclass(each, pydantic.BaseModel)
        ]
        name = data.get("name") if isinstance(data, dict) else None
        fits = [
            each
            for each in nested
            if "name" in each.model_fields and each.model_fields["name"].default == name
        ]
        if nested:
            model = (fits or nested)[0]
    return model, data


def _branches(annotation: Any) -> list[Any]:
    """All types a union is made of, also those of a union inside it."""
    return [
        each
        for one in typing.get_args(annotation)
        for each in (one, *(_branches(one) if not isinstance(one, type) else ()))
    ]


def _joined(messages: list[str]) -> str:
    if len(messages) == 1:
        return messages[0]
    # The branches of a union: "must be a number; got 'x'" and "must be text; got 'x'".
    heads = [message.split("; got ")[0] for message in messages]
    tail = messages[-1].partition("; got ")[2]
    return " or ".join([heads[0], *(h.removeprefix("must be ") for h in heads[1:])]) + (
        f"; got {tail}" if tail else ""
    )


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    text = text.replace('"', "'") if isinstance(value, str) else text
    return text if len(text) <= 60 else f"{text[:57]}..."

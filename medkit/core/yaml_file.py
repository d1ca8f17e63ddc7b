"""Reading YAML strictly: line numbers, no duplicate keys, ``${VAR:-default}``, overrides."""

from __future__ import annotations

import itertools
import math
import os
import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from medkit.core.errors import ConfigError, DataError, Problem
from medkit.core.files import regular
from medkit.core.limits import limit, raised

Key = tuple[str | int, ...]


class _StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader, refusing duplicate keys and reading 1e-3 as a number.

    YAML 1.1, which PyYAML follows, asks for a point in a float: ``1e-3`` would be text.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:  # a date of month 13, a number of 5,000 digits
            raise ConstructorError(None, None, str(error).split(";")[0], node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue  # '<<' takes in another mapping; it may stand more than once
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise ConstructorError(None, None, "a key must be a word", key_node.start_mark)
            line = key_node.start_mark.line + 1
            if key in seen:
                raise _DuplicateKey(str(key), seen[key], line)
            seen[key] = line
        return super().construct_mapping(node, deep)


_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\d[\d_]*)(?:\.[\d_]*)?[eE][-+]?\d+$"),
    list("-+0123456789"),
)


class _TooMuch(Exception):
    """A text within the limits of size says more than any config does."""


class _DuplicateKey(Exception):
    def __init__(self, key: str, first: int, second: int):
        super().__init__(key)
        self.key, self.first, self.second = key, first, second


def read_yaml(path: Path) -> tuple[dict[str, Any], dict[Key, int]]:
    """The mapping in a YAML file, and the line of every key and list item by its path.

    Raises:
        ConfigError: No such file, tabs, syntax, duplicate keys, or no mapping.
    """
    place = str(path)

    def wrong(message: str, line: int | None = None, key: str = "") -> ConfigError:
        return ConfigError([Problem(key, message, line)], place=place)

    try:
        if Path(path).stat().st_size > limit("CONFIG_MB") * 1024**2:
            raise wrong(f"is larger than {limit('CONFIG_MB'):g} MB. {raised('CONFIG_MB')}")
        text = regular(Path(path)).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise wrong("no such file") from None
    except DataError as error:
        raise wrong(error.message) from None
    except (OSError, UnicodeDecodeError) as error:
        raise wrong(f"cannot be read as UTF-8 text ({error})") from error
    try:
        node, document = _loaded(text)
    except _TooMuch as error:
        raise wrong(str(error)) from None
    except _DuplicateKey as error:
        message = f"stands twice (first on line {error.first}); keep one of them"
        raise wrong(message, error.second, error.key) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        message = getattr(error, "problem", None) or str(error).splitlines()[0]
        line = mark.line + 1 if mark else None
        if line and re.match(r" *\t", [*text.splitlines(), ""][line - 1]):
            raise wrong("a tab; YAML is indented with spaces", line) from None
        raise wrong(f"not valid YAML: {message}", line) from None
    if not isinstance(document, dict):
        got = "nothing" if document is None else f"a {type(document).__name__}"
        raise wrong(f"must be a mapping of settings such as 'model: mlp'; got {got}")
    return document, dict(_lines(node))


def _loaded(text: str) -> tuple[yaml.Node | None, Any]:
    """The tree of a YAML text, and what it says.

    Raises:
        _TooMuch: It is nested too deeply, holds itself, or too much with its aliases written out.
        yaml.YAMLError, _DuplicateKey: It is not valid.
    """
    loader = _StrictLoader(text)
    try:
        node = loader.get_single_node()
        if node is not None and _written_out(node, {})[0] > limit("CONFIG_VALUES"):
            most = f"{limit('CONFIG_VALUES'):,.0f}"
            raise _TooMuch(f"more than {most} values, aliases written out. "
                           f"{raised('CONFIG_VALUES')}")  # fmt: skip
        return node, None if node is None else loader.construct_document(node)
    except RecursionError:
        raise _too_deep() from None
    finally:
        loader.dispose()


def _written_out(
    node: yaml.Node, known: dict[int, tuple[float, int]], depth: int = 0
) -> tuple[float, int]:
    """Values in a tree and levels below its root, aliases written out; ``known`` of its parts."""
    if depth > limit("CONFIG_DEPTH"):
        raise _too_deep()
    if not isinstance(node, yaml.CollectionNode):
        return 1, 0
    if id(node) not in known:
        known[id(node)] = math.inf, 0  # until it is counted: it may hold itself
        inner = node.value if isinstance(node, yaml.SequenceNode) else itertools.chain(*node.value)
        parts = [_written_out(each, known, depth + 1) for each in inner]
        values = 1 + sum(count for count, _ in parts)
        if math.isinf(values):
            raise _TooMuch(f"line {node.start_mark.line + 1}: an alias that holds itself")
        known[id(node)] = values, max((1 + levels for _, levels in parts), default=0)
    if depth + known[id(node)][1] > limit("CONFIG_DEPTH"):
        raise _too_deep()
    return known[id(node)]


def _too_deep() -> _TooMuch:
    levels = f"{limit('CONFIG_DEPTH'):g} levels"
    return _TooMuch(f"nested in more than {levels}. {raised('CONFIG_DEPTH')}")


def _lines(node: yaml.Node | None, path: Key = ()) -> Iterable[tuple[Key, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, key.value)
            yield here, key.start_mark.line + 1
            yield from _lines(value, here)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield (*path, index), item.start_mark.line + 1
            yield from _lines(item, (*path, index))


def override(document: dict[str, Any], assignment: str) -> Key:
    """Set ``a.b=value`` (the value read as YAML) in the document; returns the path set.

    Raises:
        ConfigError: No ``=``, a value that is not YAML, or a path through a plain value.
    """
    path, equals, text = assignment.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        problem = Problem(path, "--set takes PATH=VALUE, such as training.epochs=3")
        raise ConfigError([problem], place=f"--set {assignment}")
    try:
        value = _loaded(text)[1]
    except (yaml.YAMLError, _DuplicateKey, _TooMuch) as error:
        raise ConfigError(
            [Problem(path, f"not a YAML value: {str(error).splitlines()[0]}")],
            place=f"--set {assignment}",
        ) from None
    inner = document
    for depth, key in enumerate(keys[:-1]):
        # 'model: mlp' is short for 'model: {name: mlp}', so model.units=8 must find a mapping.
        if isinstance(inner.get(key), str):
            inner[key] = {"name": inner[key]}
        below = inner.setdefault(key, {})
        if below is None:
            below = inner[key] = {}
        if not isinstance(below, dict):
            at = ".".join(keys[: depth + 1])
            raise ConfigError(
                [Problem(path, f"'{at}' is {below!r}, not a mapping")], place=f"--set {assignment}"
            )
        inner = below
    inner[keys[-1]] = value
    return tuple(keys)


_PLACEHOLDER = re.compile(r"\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}")


def map_strings(value: Any, change: Callable[[str, Key], Any], path: Key = ()) -> Any:
    """A copy of nested mappings and lists with every string replaced by ``change``."""
    if isinstance(value, str):
        return change(value, path)
    if isinstance(value, Mapping):
        return {str(k): map_strings(v, change, (*path, str(k))) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [map_strings(v, change, (*path, i)) for i, v in enumerate(value)]
    return value


def expand(document: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[Key, str]]]:
    """Expand ``${VAR}`` and ``${VAR:-default}`` in every string.

    Returns the expanded copy, and (path, message) for each variable that is not set.
    """
    problems: list[tuple[Key, str]] = []

    def change(text: str, path: Key) -> str:
        def value(match: re.Match[str]) -> str:
            name, default = match.groups()
            found = os.environ.get(name, default)
            if found == "" and default is not None:  # as in a shell: unset or empty
                return str(default)
            if found is None:
                advice = f"set it, or write ${{{name}:-default}}"
                problems.append((path, f"the environment variable {name} is not set; {advice}"))
                return ""
            return found

        return _PLACEHOLDER.sub(value, text)

    return map_strings(document, change), problems


def has_placeholder(text: object) -> bool:
    """Whether a value is text that ``expand`` would change."""
    return isinstance(text, str) and _PLACEHOLDER.search(text) is not None


def dump_yaml(document: Mapping[str, Any]) -> str:
    """YAML text of plain data, in the given order."""
    return yaml.safe_dump(
        dict(document), sort_keys=False, allow_unicode=True, default_flow_style=None, width=100
    )

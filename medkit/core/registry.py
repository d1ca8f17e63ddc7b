"""Registries: what is written in a config by name, and the schema its signature implies."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import pkgutil
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, TypeVar

from medkit.core.errors import MedkitError, UnknownNameError

if TYPE_CHECKING:
    import pydantic

F = TypeVar("F", bound=Callable[..., Any])

# Modules whose code a config or a run may name; empty unless the user passes --allow-code.
_allowed_modules: set[str] = set()


def allow_code(modules: Iterable[str]) -> None:
    """Let configs and runs name code in these modules (``name: my_lab.nets:build_tcn``)."""
    _allowed_modules.update(modules)


def import_modules(package: str) -> None:
    """Import every module of a package whose name starts with no ``_``, so that it registers."""
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{package}.{module.name}")


class ForbiddenCodeError(MedkitError):
    """A config or run names code that the user has not allowed."""

    exit_status = 2


@dataclass(frozen=True)
class Entry:
    """One registered factory with what was said about it (``accepts``, ``yields`` …)."""

    name: str
    factory: Any  # a function, or a class with from_dict
    tags: Mapping[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return (inspect.getdoc(self.factory) or "").split("\n", 1)[0]

    def yields(self, parameters: Mapping[str, Any]) -> dict[str, str]:
        """Input name -> modality of what a dataset yields with these parameters.

        The tag ``yields`` names the modality of one input called like it, or is a function of the
        parameters; ``yields_by={"form": {"triplets": "triplets"}}`` is for a parameter that
        changes it, ``yields_beside={"static": "tabular"}`` for one that adds an input of its name.
        Empty where the dataset does not say.
        """
        given = self.tags.get("yields")
        if callable(given):
            return dict(given(parameters))
        for name, modality_of in self.tags.get("yields_by", {}).items():
            if parameters.get(name) in modality_of:
                given = modality_of[parameters[name]]
        further = self.tags.get("yields_beside", {})
        found = {} if given is None else {given: given}
        return found | {name: kind for name, kind in further.items() if parameters.get(name)}

    def targets(self, parameters: Mapping[str, Any]) -> tuple[str, ...] | None:
        """The kinds of outcome a dataset's targets can be learned as: the tag ``targets``, or what
        it says of the parameter ``target`` or of all; None where the user's files decide."""
        found = self.tags.get("targets")
        if callable(found):
            return found(parameters)
        return found[parameters["target"]] if isinstance(found, Mapping) else found

    @property
    def yielded(self) -> dict[str, dict[str, Any]]:
        """Every modality of a dataset's only input -> the parameters that make it so."""
        found: dict[str, dict[str, Any]] = {}
        if isinstance(self.tags.get("yields"), str):
            found[self.tags["yields"]] = {}
        for name, modality_of in self.tags.get("yields_by", {}).items():
            found |= {modality: {name: value} for value, modality in modality_of.items()}
        return found


class Registry:
    """Names of one kind of extension, found in one package and in installed plug-ins.

    Every module of the package that does not start with ``_`` is imported at the first look-up:
    a new file is all it takes to add a name. Plug-ins come from entry points of the group
    ``medkit.<package>``, or by import path (``module:function``) where the user allows it.

    Args:
        kind: What is registered, for messages: ``model``.
        package: Where its files lie: ``medkit.models``.
        reserved: Keyword-only parameters that medkit sets itself and no config may.
    """

    def __init__(self, kind: str, package: str, reserved: tuple[str, ...] = ()):
        self.kind, self.package, self.reserved = kind, package, reserved
        self._entries: dict[str, Entry] = {}
        self._discovered = False

    def register(self, *, name: str | None = None, **tags: Any) -> Callable[[F], F]:
        """Decorate a factory: its name (by default the function's) becomes usable in configs."""

        def decorate(factory: F) -> F:
            known_as = name or factory.__name__
            before = self._entries.get(known_as)
            if before is not None and before.factory.__module__ != factory.__module__:
                raise ValueError(
                    f"{self.kind} '{known_as}' is registered twice: in "
                    f"{before.factory.__module__} and {factory.__module__}"
                )
            self._entries[known_as] = Entry(known_as, factory, tags)
            return factory

        return decorate

    def discover(self) -> None:
        """Import every public module of the package and every installed plug-in, once."""
        if self._discovered:
            return
        importlib.import_module(self.package)
        if self._discovered:  # the package's own __init__ may discover
            return
        import_modules(self.package)
        for point in importlib.metadata.entry_points(group=self.package):
            loaded = point.load()
            if point.name not in self._entries:
                self._entries[point.name] = Entry(point.name, loaded)
        self._discovered = True

    def names(self, **tags: str) -> list[str]:
        """Registered names, sorted; with tags, those whose tag equals or contains the value."""
        self.discover()

        def fits(entry: Entry) -> bool:
            return all(
                value in entry.tags.get(tag, ())
                if isinstance(entry.tags.get(tag, ()), tuple)
                else entry.tags.get(tag) == value
                for tag, value in tags.items()
            )

        return sorted(name for name, entry in self._entries.items() if fits(entry))

    def get(self, name: str) -> Entry:
        """The entry of a name or of an allowed import path.

        Raises:
            UnknownNameError: No such name; the message gives the nearest one.
            ForbiddenCodeError: An import path outside the allowed modules.
        """
        self.discover()
        if name in self._entries:
            return self._entries[name]
        if ":" in name:
            return self._imported(name)
        raise UnknownNameError(self.kind, name, self.names())

    def _imported(self, path: str) -> Entry:
        module, _, attribute = path.partition(":")
        if not any(module == each or module.startswith(f"{each}.") for each in _allowed_modules):
            raise ForbiddenCodeError(
                f"'{path}' names code to run; it is not allowed unless you pass "
                f"--allow-code {module.split('.')[0]}"
            )
        try:
            factory = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise UnknownNameError(self.kind, path, self.names(), place=str(error)) from error
        for entry in self._entries.values():
            if entry.factory is factory:
                return entry
        return Entry(path, factory)

    def schema(self, name: str) -> type[pydantic.BaseModel]:
        """The pydantic model of a factory's keyword-only parameters."""
        return signature_model(self.get(name).factory, self.reserved)

    def build(self, name: str, *args: Any, **parameters: Any) -> Any:
        """Call the factory of a name."""
        return self.get(name).factory(*args, **parameters)


def with_groups(factory: F) -> F:
    """Let plain values stand for groups of parameters, as in a config.

    ``table(path="a.csv", target="died", columns={"subject": "patient"})``.

    Raises:
        ConfigError: A group's value is wrong; all mistakes are named.
    """

    @wraps(factory)
    def called(*args: Any, **parameters: Any) -> Any:
        from medkit.core.checking import group_from
        from medkit.core.groups import groups_of, in_full

        model = signature_model(factory)
        parameters = in_full(model, parameters)
        for name, group in groups_of(model).items():
            if parameters.get(name) is not None:
                parameters[name] = group_from(group, parameters[name], name, factory.__name__)
        return factory(*args, **parameters)

    return typing.cast(F, called)


@cache
def signature_model(
    factory: Callable[..., Any], reserved: tuple[str, ...] = ()
) -> type[pydantic.BaseModel]:
    """A pydantic model of the keyword-only parameters: types, bounds, defaults, descriptions."""
    import pydantic

    described = argument_descriptions(inspect.getdoc(factory) or "")
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(factory).parameters.values():
        if parameter.kind is not parameter.KEYWORD_ONLY or parameter.name in reserved:
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        annotation = _evaluated(parameter.annotation, factory)
        info = pydantic.Field(default, description=described.get(parameter.name))
        fields[parameter.name] = (annotation, info)
    # protected_namespaces: 'model_…' is a fine parameter name here.
    config = pydantic.ConfigDict(extra="forbid", protected_namespaces=(), frozen=True)
    return pydantic.create_model(factory.__name__, __config__=config, **fields)


def _evaluated(annotation: Any, factory: Callable[..., Any]) -> Any:
    # One annotation at a time: evaluating the whole signature would also evaluate
    # '-> keras.Model' and import Keras.
    if annotation is inspect.Parameter.empty:
        return Any
    function = factory.__init__ if inspect.isclass(factory) else inspect.unwrap(factory)
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    scope = getattr(function, "__globals__", {})
    return typing.get_type_hints(holder, globalns=scope, include_extras=True)["it"]


def argument_descriptions(docstring: str) -> dict[str, str]:
    """Parameter descriptions from the ``Args:`` block of a docstring."""
    block = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", docstring, re.MULTILINE | re.DOTALL)
    if not block:
        return {}
    found: dict[str, str] = {}
    for match in re.finditer(
        r"^ {4}([\w, ]+?):\s(.*?)(?=^ {4}\w[\w, ]*:\s|\Z)",
        block.group(1),
        re.MULTILINE | re.DOTALL,
    ):
        text = " ".join(match.group(2).split())
        found.update(dict.fromkeys((n.strip() for n in match.group(1).split(",")), text))
    return found


datasets = Registry("dataset", "medkit.datasets")
modalities = Registry("modality", "medkit.modalities")
models = Registry("model", "medkit.models", reserved=("output_activation",))
tasks = Registry("task", "medkit.tasks")


def fits(model: Entry, modality: str) -> bool:
    """Whether a model takes what a modality gives, and the settings it needs exist.

    Args:
        model: The entry of a model; one that does not say what it accepts is taken to fit.
        modality: Name of a modality.
    """
    known = modalities.get(modality)
    accepts = model.tags.get("accepts", (known.factory.gives,))
    settings = modalities.schema(modality).model_fields
    return known.factory.gives in accepts and {*model.tags.get("requires", ())} <= {*settings}


def models_for(modality: str) -> list[str]:
    """The names of the models that take what a modality gives, sorted."""
    return [name for name in models.names() if fits(models.get(name), modality)]

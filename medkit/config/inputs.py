"""Several inputs in a config: what a dataset yields by name, and which model takes which of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from medkit.config.sections import Component
from medkit.core import registry
from medkit.core.errors import did_you_mean
from medkit.core.yaml_file import Key

Problems = Iterator[tuple[Key, str]]

#: Input name -> modality.
Kinds = Mapping[str, str]

# The branch of a vector (a table) that stands beside a model's own input.
_BESIDE = {"name": "mlp", "hidden_units": (16,)}


def described(kinds: Kinds) -> str:
    """In words: ``series``; of several inputs, ``vitals (series) and static (tabular)``."""
    if len(kinds) == 1:
        return next(iter(kinds.values()))
    *first, last = [f"{name} ({kind})" if name != kind else kind for name, kind in kinds.items()]
    return f"{', '.join(first)} and {last}"


def takes_several(model: str) -> bool:
    """Whether a model takes all inputs by name."""
    return bool(registry.models.get(model).tags.get("accepts") == "several")


def as_fusion(model: Component, kinds: Kinds) -> Component | None:
    """The model for all inputs: where it takes one, joined with a small mlp for each table beside.

    None where that is ambiguous: several inputs that are no vectors, or vectors alone.
    """
    if len(kinds) == 1 or takes_several(model.name):
        return model
    own = [n for n, k in kinds.items() if registry.modalities.get(k).factory.gives != "vector"]
    if len(own) != 1:
        return None
    branches: dict[str, Any] = dict.fromkeys(kinds, _BESIDE)
    branches[own[0]] = {"name": model.name, **model.parameters}
    return Component("fusion", {"branches": branches})


def model_on_inputs(
    model: Component, dataset: Component, preprocessing: Mapping[str, Component] | None
) -> Problems:
    """Place and text of every reason why a model cannot take what a dataset yields."""
    kinds = registry.datasets.get(dataset.name).yields(dataset.parameters)
    if not kinds:
        return
    whole = as_fusion(model, kinds)
    if whole is None:
        wanted = ", ".join(f"{name}: …" for name in kinds)
        text = f"'{model.name}' takes one input; '{dataset.name}' yields {described(kinds)}"
        yield ("model", "name"), f"{text}: write {{name: fusion, branches: {{{wanted}}}}}"
        return
    branches: dict[str, Component | None]
    if takes_several(whole.name):
        branches = {n: chosen(each) for n, each in whole.parameters["branches"].items()}
        if whole is model:
            yield from _unmatched(branches, dataset.name, kinds)
    else:
        branches = dict.fromkeys(kinds, model)
    for name, branch in branches.items():
        if name not in kinds or branch is None:
            continue
        place: Key = ("model", "name")
        if whole is model and takes_several(model.name):
            place = ("model", "branches", name)
        if not registry.fits(registry.models.get(branch.name), kinds[name]):
            yield place, _refused(branch.name, dataset, kinds[name])
        elif preprocessing:
            at: Key = ("preprocessing",) if len(kinds) == 1 else ("preprocessing", name)
            yield from _required(branch.name, preprocessing[name], at)


def chosen(branch: Mapping[str, Any]) -> Component | None:
    """The model of a branch; None of one that starts from a finished run."""
    given = dict(branch)
    return None if "from" in given else Component(given.pop("name"), given)


def _unmatched(branches: Iterable[str], dataset: str, kinds: Kinds) -> Problems:
    for name in branches:
        if name not in kinds:
            text = f"'{dataset}' yields no input '{name}'{did_you_mean(name, kinds)}"
            yield ("model", "branches", name), f"{text}; it yields {described(kinds)}"
    for name, kind in kinds.items():
        if name not in branches:
            text = f"lacks the input '{name}' of '{dataset}'; models that take {kind} data"
            able = ", ".join(registry.models_for(kind))
            yield ("model", "branches"), f"{text}: {able}"


def _required(model: str, preprocessing: Component, place: Key) -> Problems:
    """Settings of the preprocessing that a model cannot do without."""
    needed = registry.models.get(model).tags.get("requires", {})
    for key, value in needed.items():
        allowed = value if isinstance(value, tuple) else (value,)
        if preprocessing.parameters.get(key) not in allowed:
            wanted = ", ".join(f"{k}: {_written(v)}" for k, v in needed.items())
            yield (*place, key), f"'{model}' needs {'.'.join(map(str, place))}: {{{wanted}}}"


def _refused(model: str, dataset: Component, kind: str) -> str:
    """Why a model cannot take an input, and what would do."""
    yielded = registry.datasets.get(dataset.name).yielded
    entry = registry.models.get(model)
    for other, wanted in yielded.items():
        if wanted and registry.fits(entry, other):
            setting = ", ".join(f"dataset.{key}: {value}" for key, value in wanted.items())
            return f"'{model}' cannot take {kind} data; set {setting}"
    because = ", ".join(f"{key}: {value}" for key, value in yielded.get(kind, {}).items())
    given = f"'{dataset.name}'" + (f" with {because}" if because else "")
    able = ", ".join(registry.models_for(kind))
    return f"'{model}' cannot take {kind} data ({given}); these can: {able}"


def _written(value: Any) -> str:
    """A needed setting as in YAML; the first of several that would do."""
    value = value[0] if isinstance(value, tuple) else value
    return str(value).lower() if isinstance(value, bool) else str(value)

"""The contract tests over the registries: a new file is covered as soon as it is there."""

from __future__ import annotations

import inspect

import pytest
from cohorts import only_input

from medkit.core import registry
from medkit.testing import check_dataset, check_modality, check_model, check_signature, check_task


def small(registered: str) -> dict:
    """Fewer samples where a dataset lets one choose."""
    schema = registry.datasets.schema(registered)
    return {"samples": 120} if "samples" in schema.model_fields else {}


EMBEDDED = [n for n in registry.datasets.names() if registry.datasets.get(n).tags.get("embedded")]


SINGLE = [n for n in registry.models.names() if registry.models.get(n).tags["accepts"] != "several"]


@pytest.mark.parametrize("name", SINGLE)
def test_model(name):
    entry = registry.models.get(name)
    check_model(
        entry.factory,
        entry.tags["accepts"],
        entry.tags.get("shapes"),
        entry.tags.get("answers", ("sample",)),
    )


@pytest.mark.parametrize("name", registry.datasets.names())
def test_dataset_signature(name):
    check_signature(registry.datasets.get(name).factory)
    entry = registry.datasets.get(name)
    assert entry.yielded or callable(entry.tags["yields"])
    for modality, parameters in entry.yielded.items():
        assert modality in registry.modalities.names()
        assert set(parameters) <= set(registry.datasets.schema(name).model_fields)
        assert entry.yields(parameters) == {modality: modality}


@pytest.mark.parametrize(
    ("name", "modality"),
    [(name, modality) for name in EMBEDDED for modality in registry.datasets.get(name).yielded],
)
def test_embedded_dataset_and_its_modality(name, modality):
    entry = registry.datasets.get(name)
    cohort = check_dataset(
        entry.factory, {modality: modality}, **entry.yielded[modality], **small(name)
    )
    check_modality(modality, only_input(cohort))


def test_embedded_dataset_with_several_inputs():
    entry = registry.datasets.get("synthetic_admissions")
    cohort = check_dataset(entry.factory, entry.yields({}), **small("synthetic_admissions"))
    assert len(cohort.inputs) == 4


@pytest.mark.parametrize("name", registry.tasks.names())
def test_task(name):
    check_task(registry.tasks.get(name).factory)


@pytest.mark.parametrize("kind", ["models", "datasets", "tasks", "modalities"])
def test_every_name_says_what_it_is(kind):
    known = getattr(registry, kind)
    for name in known.names():
        entry = known.get(name)
        assert entry.summary.endswith("."), f"{name}: the first line should be a sentence"
        assert len(inspect.getdoc(entry.factory) or "") > len(entry.summary), name

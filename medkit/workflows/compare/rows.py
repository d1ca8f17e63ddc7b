"""The test rows of a run, and whether two runs were tested on the same ones."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from pydantic import BaseModel

from medkit.core import registry
from medkit.core.groups import groups_of
from medkit.evaluation.resampling.resampling import subject_codes
from medkit.runs.run import Run
from medkit.runs.stored import Stored
from medkit.tasks.outcomes import Outcome

# These ways to split give the same test part whatever the seed.
_SEEDLESS = ("time", "site", "column")
_SALT_HINT = (
    "Set MEDKIT_SALT to one secret for all trainings: rows are then matched by their hashes."
)


@dataclass(frozen=True)
class TestRows:
    """A run and what it predicted for its test part.

    Args:
        run: The run, opened.
        label: Short name for tables and legends, unique among the runs compared.
        test: The test part, in the order of the data.
    """

    run: Run
    label: str
    test: Stored

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return self.run.path.name

    @property
    def outcomes(self) -> list[Outcome]:
        """What is predicted, with truth and answer."""
        return self.run.task.outcomes(self.test.y, self.test.outputs, self.run.threshold)


def matched(one: TestRows, other: TestRows) -> tuple[np.ndarray | None, str]:
    """The order in which ``other`` has the test rows of ``one``, and how that was found out.

    Samples are named by salted hashes, and the salt is random unless MEDKIT_SALT gives it. Under
    one salt, equal hashes are equal rows. Under two, rows are the same if the runs read the same
    files with the same settings and split them alike, and the targets and the subjects' rows
    follow each other alike.

    Returns:
        (n,) positions, or None; in words: the evidence, or why the rows cannot be paired.
    """
    first, second = one.test, other.test
    if first.every & second.every:
        position = {sample: i for i, sample in enumerate(second.samples)}
        shared = [position[sample] for sample in first.samples if sample in position]
        if len(shared) == len(first.samples) == len(second.samples):
            return np.array(shared), "equal hashes of the samples"
        text = (
            f"the test parts differ: {len(shared)} rows in common "
            f"of {len(second.samples)} and {len(first.samples)}"
        )
        return None, text
    reason = next(_differing(one, other), None)
    if reason is not None:
        return None, f"{reason}. {_SALT_HINT}"
    evidence = "same files, settings and split, and the same sequence of targets and subjects"
    return np.arange(len(first.samples)), evidence


def _differing(one: TestRows, other: TestRows) -> Iterator[str]:
    """Reasons to doubt that two test parts are the same, the plainest first."""
    files = [each.run.environment.get("data_sha256") for each in (one, other)]
    if files[0] != files[1] or not files[0]:
        yield "the runs read other data (their SHA-256 differ)"
    for section in ("dataset", "split"):
        keys = _differing_keys(one.run.config, other.run.config, section)
        if keys:
            named = ", ".join(f"{section}.{key}" for key in keys)
            yield f"the settings differ: {named}"
    configs = (one.run.config, other.run.config)
    if configs[0]["split"]["by"] not in _SEEDLESS and configs[0]["seed"] != configs[1]["seed"]:
        yield f"the seeds of the split differ: {configs[1]['seed']} and {configs[0]['seed']}"
    flows = [each.run.metrics.get("flow", {}) for each in (one, other)]
    preprocessing = [each.get("preprocessing") for each in configs]
    if any("missing input" in flow.get("dropped", {}) for flow in flows) and (
        preprocessing[0] != preprocessing[1]
    ):
        yield "rows with missing inputs were dropped, perhaps not the same ones"
    first, second = one.test, other.test
    if len(first.samples) != len(second.samples):
        yield f"the test parts have {len(second.samples)} and {len(first.samples)} rows"
    elif not np.array_equal(first.y, second.y, equal_nan=first.y.dtype.kind == "f"):
        yield "the targets of the test rows differ, or their order does"
    elif not np.array_equal(subject_codes(first.subjects), subject_codes(second.subjects)):
        yield "the test rows belong to other subjects"


def _differing_keys(one: Mapping[str, Any], other: Mapping[str, Any], section: str) -> list[str]:
    """Settings of a section that differ; names of files count by their content alone."""
    first, second = (_by_path(each.get(section, {})) for each in (one, other))
    files: Collection[str] = ()
    if section == "dataset" and first.get("name") in registry.datasets.names():
        files = set(_files(registry.datasets.schema(first["name"])))
    keys = dict.fromkeys([*first, *second])
    return [key for key in keys if key not in files and first.get(key) != second.get(key)]


def _by_path(section: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, those in groups as ``window.hours``."""
    found: dict[str, Any] = {}
    for key, value in section.items():
        inner = value if isinstance(value, Mapping) else {}
        found |= {f"{key}.{name}": each for name, each in inner.items()} or {key: value}
    return found


def _files(schema: type[BaseModel]) -> Iterator[str]:
    """The settings that name files."""
    groups = groups_of(schema)
    for name, field in schema.model_fields.items():
        if field.annotation is Path or Path in get_args(field.annotation):
            yield name
        elif name in groups:
            yield from (f"{name}.{each}" for each in _files(groups[name]))

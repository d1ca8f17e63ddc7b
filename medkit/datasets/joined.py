"""Several data sets as the inputs of one cohort, joined by a key."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from medkit.core import registry
from medkit.core.errors import DataError
from medkit.core.groups import value_at, with_values
from medkit.core.lazy import pd
from medkit.core.registry import datasets
from medkit.data.cohort import Cohort, RawInput, Source
from medkit.data.inputs import presence_name
from medkit.datasets.matching import (
    Repeated,
    check_same_subjects,
    check_same_type,
    examples,
    keys_of_rows,
    role_of,
    rows_for,
    taken_rows,
    with_subjects,
)
from medkit.datasets.table.times import as_time

log = logging.getLogger("medkit")

Part = dict[str, Any]


def yields(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Input name -> modality; of a data set with several inputs, ``{input}_{its own name}``."""
    found = {}
    for name, part in (parameters.get("inputs") or {}).items():
        entry = registry.datasets.get(part["name"])
        kinds = entry.yields({k: v for k, v in part.items() if k != "name"})
        for own, kind in kinds.items():
            found[_called(name, own, kinds)] = kind
    return found


def targets(parameters: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The kinds of outcome that the targets of the labels can be learned as."""
    labels = parameters["labels"]
    return registry.datasets.get(labels["name"]).targets(labels) if labels else None


def _check_parts(parameters: Mapping[str, Any]) -> None:
    """Raise a DataError of labels without target, and of names that no input can have."""
    labels = parameters["labels"] or {}
    if labels.get("name") in registry.datasets.names() and not labels.get("target"):
        fields = registry.datasets.schema(labels["name"]).model_fields
        # A folder of images, and labels beside events, may say by themselves what is predicted.
        if "target" in fields and not {"labelled", "labels"} & {*fields}:
            text = "labels: name what is predicted, such as labels: "
            raise DataError(f"{text}{{name: {labels['name']}, …, target: died}}")
    names = list(parameters["inputs"])
    if not names:
        raise DataError("inputs: name one data set or more, such as static: {name: table, …}")
    flags = {presence_name(name): name for name in names}
    for name in names:
        if not name.isidentifier():
            raise DataError(f"inputs: '{name}' must be a word of letters, digits and underscores")
        if name in flags:
            text = "says which samples have it; choose another name"
            raise DataError(f"inputs: '{name}' is what, of '{flags[name]}', {text}")


@datasets.register(yields=yields, targets=targets, parts=("labels", "inputs"), check=_check_parts)
def joined(
    *,
    key: str,
    inputs: dict[str, Part],
    labels: Part | None = None,
    repeated: Repeated = "refuse",
    within_hours: Annotated[float, Field(gt=0)] | None = None,
) -> Cohort:
    """Any data sets as inputs of one cohort, joined by sample, subject or another key.

    Every sample of ``labels`` gets from each input the row of its key. Where an input has
    several rows for a key, the join is refused unless ``repeated`` or ``within_hours`` says which
    one is meant: no sample is ever multiplied. A sample that an input has no row for lacks that
    input; one that lacks all is left out, and counted.

    Args:
        key: ``sample`` (the sample ids), ``subject``, or the name of a column that every data set
            has.
        inputs: Input name -> data set, as in a config; a target is not needed.
        labels: The data set, as in a config, whose samples, targets and subjects are taken; None
            where only predicting: then every key of an input is a sample.
        repeated: Of several rows for one key: refuse, or take the first or last one by time, or
            by their order where they have no time. Where the sample has a time too, no row is
            taken that is later than it.
        within_hours: Take the latest row at or before the time of the sample, no more than so
            many hours earlier. Needs a time in ``labels`` and in every input that has several
            rows for a key.

    Returns:
        A cohort with the inputs by name, ``present`` where samples lack one.

    Raises:
        DataError: The key is absent, of another type or repeated; data sets that disagree about
            a subject; no sample has any input.
    """
    parts = {name: _read(part, key, f"inputs.{name}", labelled=False)
             for name, part in inputs.items()}  # fmt: skip
    keys_of = {name: keys_of_rows(cohort, inputs[name], key, f"inputs.{name}")
               for name, cohort in parts.items()}  # fmt: skip
    if labels is None:
        base, keys = _of_keys(keys_of)
        # The sample is predicted for now: of several rows, the latest one is meant.
        repeated, within_hours = ("last" if within_hours else repeated), None
    else:
        base = _read(labels, key, "labels", labelled=True)
        keys = keys_of_rows(base, labels, key, "labels")
        if base.targets is None:
            raise DataError("the labels have no target", place="dataset.labels",
                            hint="Name it: labels: {name: table, …, target: died}.")  # fmt: skip
    found: dict[str, RawInput] = {}
    notes, files = list(base.source.notes), dict(base.source.files)
    rows_of = {}
    for name, cohort in parts.items():
        place = f"inputs.{name}"
        check_same_type(keys, keys_of[name], place)
        rows_of[name] = rows_for(base, keys, cohort, keys_of[name], place, repeated, within_hours)
    if labels is not None:
        base = with_subjects(base, parts, rows_of)
    for name, cohort in parts.items():
        rows = rows_of[name]
        check_same_subjects(base, cohort, rows, f"inputs.{name}")
        for own, raw in cohort.inputs.items():
            called = _called(name, own, cohort.inputs)
            found[called] = taken_rows(raw, rows)
            lacking = int((rows < 0).sum())
            notes.append(f"{called}: {lacking:,} of {len(rows):,} samples lack it")
        files |= {f"{name}/{file}": digest for file, digest in cohort.source.files.items()}
        notes += [f"{name}: {note}" for note in cohort.source.notes]
    some = [np.ones(len(base), bool) if r.present is None else r.present for r in found.values()]
    kept = np.flatnonzero(np.logical_or.reduce(some))
    if not len(kept):
        raise DataError(f"no sample of the labels is found in any input by '{key}'",
                        place="dataset.key", hint=f"Labels have {examples(keys)}.")  # fmt: skip
    for name, rows in rows_of.items():
        if labels is not None and (rows < 0).all():
            raise DataError(
                f"no sample of the labels is found in it by '{key}'",
                place=f"dataset.inputs.{name}",
                hint=f"Labels have {examples(keys)}, it has {examples(keys_of[name])}.",
            )
    dropped = dict(base.source.dropped)
    if len(kept) < len(base):
        dropped["no input"] = len(base) - len(kept)
    source = replace(base.source, dropped=dropped, notes=tuple(notes), files=files, columns={})
    whole = replace(base, inputs={n: replace(r, present=None) for n, r in found.items()},
                    source=source)  # fmt: skip
    chosen = whole.take(kept)
    present = {n: None if r.present is None else r.present[kept] for n, r in found.items()}
    return replace(chosen, inputs={
        name: replace(raw, present=None if (p := present[name]) is None or p.all() else p)
        for name, raw in chosen.inputs.items()
    })  # fmt: skip


def _of_keys(keys_of: Mapping[str, np.ndarray]) -> tuple[Cohort, np.ndarray]:
    """A sample for every key that an input has, and these keys."""
    first, *others = keys_of
    for name in others:
        check_same_type(keys_of[first], keys_of[name], f"inputs.{name}", first)
    keys = pd.unique(np.concatenate(list(keys_of.values())))
    return Cohort(pd.DataFrame(index=pd.Index(keys, name="id")), {}, None, Source()), keys


def _called(name: str, own: str, siblings: Mapping[str, Any]) -> str:
    """What an input of a part is called in the cohort."""
    return name if len(siblings) == 1 or own == next(iter(siblings)) else f"{name}_{own}"


def _read(part: Mapping[str, Any], key: str, place: str, *, labelled: bool) -> Cohort:
    """One data set; the key is kept among its attributes, of labels no column is an input."""
    given = dict(part)
    name = given.pop("name")
    schema = registry.datasets.schema(name)
    given = {**{n: f.default for n, f in schema.model_fields.items() if not f.is_required()},
             **given}  # fmt: skip
    columns = given.get("columns")
    changed: dict[str, Any] = {}
    known = getattr(columns, "attributes", None)
    if known is not None and key not in ("sample", "subject") and role_of(columns, key) is None:
        known = (*known, key)
    # Without a target a reader leaves the time out.
    time = None if labelled else getattr(columns, "time", None)
    if known is not None:
        known = (*known, *([time] if time else []))
        changed["columns.attributes"] = tuple(dict.fromkeys(known))
    if labelled and getattr(columns, "inputs", ()) is None:
        changed["columns.inputs"] = ()
    if not labelled and value_at(given, "target") is None and "labelled" in given:
        changed["labelled"] = False
    try:
        cohort: Cohort = registry.datasets.build(name, **with_values(given, changed))
    except DataError as error:
        raise DataError(error.message, place=f"dataset.{place}", hint=error.hint) from error
    if columns is None or known is None or time is None:
        return cohort
    times = as_time(cohort.samples[time], Path(str(given["path"])), columns.time_format)
    return replace(cohort, samples=cohort.samples.drop(columns=time).assign(time=times))

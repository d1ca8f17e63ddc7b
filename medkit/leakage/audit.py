"""All checks of the gate, in one pass."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from medkit.leakage.earlier import trained_before
from medkit.leakage.evidence import Evidence
from medkit.leakage.features import outcome_findings
from medkit.leakage.findings import CHECKS, Finding, Findings
from medkit.leakage.identifiers import identifiers, identifying
from medkit.leakage.near import near_rows
from medkit.leakage.people import returning
from medkit.leakage.pictures import near_images
from medkit.leakage.raw_table import Hashes
from medkit.leakage.rows import duplicates, subject_overlap
from medkit.leakage.stretches import overlapping
from medkit.leakage.tables import table_duplicates
from medkit.leakage.times import after_prediction, same_period
from medkit.leakage.whole import whole_samples
from medkit.tasks.task import Task

if TYPE_CHECKING:
    from medkit.config.sections import Split
    from medkit.data.cohort import Cohort
    from medkit.data.parts import Part
    from medkit.modalities.encoder import Encoder

log = logging.getLogger("medkit")

# What an input must not tell of the outcome; of a channel's own future its past is meant to.
OF_OUTCOMES = (
    "copied_target", "predictive_feature", "informative_missingness", "returning_subjects"
)  # fmt: skip


def audit(
    parts: Mapping[str, Part],
    encoder: Encoder,
    task: Task,
    split: Split,
    earlier: Mapping[str, Mapping[str, Cohort] | str] | None = None,
) -> Findings:
    """Look for leakage between the parts and from the outcome into the inputs.

    Args:
        parts: Part name -> encoded samples, the earlier parts (train) first.
        encoder: The fitted encoder.
        task: The fitted task.
        split: How the parts were divided.
        earlier: Input name -> the parts of the run that its branch starts from, or why they are
            not known.

    Returns:
        The findings in the order of ``CHECKS``, a list; ``.notes`` says what was looked at in a
        sample only.
    """
    gathered: list[str] = []
    every = [
        Evidence(_having(parts, name), name, modality, task, gathered)
        for name, modality in encoder.modalities.items()
    ]
    whole = replace(every[0], parts=parts)
    named = {one.input: identifying(one) for one in every}
    found = [*_of_samples(whole, split)]
    found += [each for one in every for each in _of_input(one, named[one.input])]
    if len(every) > 1:
        left_out = {name: set(columns) for name, columns in named.items()}
        found += whole_samples(whole, every, left_out)
    cohorts = {name: part.cohort for name, part in parts.items()}
    found += trained_before(cohorts, earlier or {})
    found.sort(key=lambda each: list(CHECKS).index(each.name))
    notes = list(dict.fromkeys(gathered))
    for note in notes:
        log.info("leakage gate: %s", note)
    skipped = () if whole.outcomes else OF_OUTCOMES
    return Findings(found, notes, skipped if earlier else (*skipped, "trained_before"))


def _having(parts: Mapping[str, Part], name: str) -> dict[str, Part]:
    """The samples that have an input: what stands for it in the others is the same in all."""
    found = {}
    for part, samples in parts.items():
        present = samples.cohort.inputs[name].present
        found[part] = samples if present is None else samples.take(np.flatnonzero(present))
    return {part: samples for part, samples in found.items() if len(samples)} or found


def _of_samples(evidence: Evidence, split: Split) -> Iterator[Finding]:
    yield from subject_overlap(evidence)
    yield from same_period(evidence, split)


def _of_input(evidence: Evidence, named: list[str]) -> Iterator[Finding]:
    yield from identifiers(named)
    yield from repeated_rows(evidence, set(named))
    if evidence.outcomes:
        yield from outcome_findings(evidence)
        yield from returning(evidence, set(named))
    else:
        evidence.notes.append(
            "inputs that give the target away are not looked for: " + evidence.task.no_single_value
        )
    yield from after_prediction(evidence)


def repeated_rows(evidence: Evidence, left_out: set[str]) -> Iterator[Finding]:
    """Rows of a later part that are those of an earlier one, exactly or nearly, beyond chance."""
    if evidence.table is not None:
        hashed = Hashes(evidence.table, left_out)
        yield from table_duplicates(evidence, hashed)
        keys = hashed.keys()
    else:
        keys, content = evidence.row_keys
        yield from duplicates(evidence, keys, content)
        yield from near_images(evidence, keys)
        yield from overlapping(evidence, keys)
    yield from near_rows(evidence, keys, left_out)

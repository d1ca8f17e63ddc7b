"""What several test files do with cohorts."""

from __future__ import annotations

from medkit.data.cohort import Cohort, RawInput


def only_input(cohort: Cohort) -> RawInput:
    """The raw input of a cohort that has one."""
    (raw,) = cohort.inputs.values()
    return raw

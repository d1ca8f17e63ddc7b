"""What the gate finds, what may be waived, and what stops the run."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from medkit.core.errors import ConfigError, DataError, Problem, did_you_mean

if TYPE_CHECKING:
    from medkit.config.sections import Leakage

log = logging.getLogger("medkit")

# name -> why it matters, what to do
CHECKS: dict[str, tuple[str, str]] = {
    "subject_overlap": (
        "the model can recognize a patient it was trained on, so the test is not independent",
        "Split by subject, or correct the column that assigns the parts.",
    ),
    "trained_before": (
        "a branch that starts from a finished run knows the rows that run was trained on, so that "
        "they are no test of it",
        "Keep the seed and the split of that run, if it had the same samples; else divide both by "
        "one column of parts (split: {by: column}), or start from another run.",
    ),
    "duplicates": (
        "the answer to a row seen in training is remembered, not predicted",
        "Drop the copies, or name the subject's column so that copies stay in one part.",
    ),
    "near_duplicates": (
        "rows that differ by noise, rounding or a shift are one observation: in train and test "
        "they make the model look better than it will be on new patients",
        "Name the subject's column (patient, recording) so that such rows stay in one part, or "
        "drop the copies.",
    ),
    "returning_subjects": (
        "the model recognizes patients by values that stay with them and remembers their outcome: "
        "the test says how it does on patients it knows, not on new ones",
        "Name the column that says whose row it is (subject). If there is none, the data cannot "
        "be divided by patient: ask for it where they came from.",
    ),
    "predictive_feature": (
        "a single input that tells the outcome almost perfectly is usually recorded because of "
        "the outcome, and will not be known when the prediction is needed",
        "Leave the input out (ignore), unless it is truly known at the time of prediction.",
    ),
    "copied_target": (
        "the input is the outcome under another name or code",
        "Leave the input out (ignore).",
    ),
    "identifier": (
        "an identifier carries the order of the rows, the site or the patient, not medicine, and "
        "says nothing of a new patient",
        "Leave the input out, or name it as the dataset's subject or id.",
    ),
    "after_prediction_time": (
        "what is recorded after the moment of prediction is unknown when the model is used",
        "Leave the input out, or correct the time of prediction.",
    ),
    "informative_missingness": (
        "whether a value was recorded tells the outcome, perhaps because it was recorded for it",
        "Find out why it is missing; if because of the outcome, leave the input out.",
    ),
    "same_period": (
        "practice, coding and equipment change: tested on the same period, a model meant for the "
        "future is not tested on the future",
        "Use split: {by: time} if the model is to predict for later patients.",
    ),
}


@dataclass(frozen=True)
class Finding:
    """One finding of the gate.

    Args:
        name: One of ``CHECKS``; the word that waives it.
        severity: ``fail`` stops the run unless waived, ``warn`` is said and reported.
        what: What was found, with counts; never a value or an identifier.
        where: Parts, or names of columns or features.
        count: How many rows, subjects or columns, as ``what`` says.
        why: Why it matters.
        remedy: What to do.
        waived: The reason given in the config; None if not waived.
    """

    name: str
    severity: Literal["fail", "warn"]
    what: str
    where: str
    count: int
    why: str
    remedy: str
    waived: str | None = None

    @property
    def stops(self) -> bool:
        """Whether the run must not go on."""
        return self.severity == "fail" and self.waived is None


class Findings(list[Finding]):
    """Findings in the order of ``CHECKS``, with notes on what could not be looked at in full.

    Args:
        findings: The findings.
        notes: What was looked at in a sample only.
        skipped: Checks that do not apply to the task.
    """

    def __init__(
        self,
        findings: Iterable[Finding] = (),
        notes: Iterable[str] = (),
        skipped: Iterable[str] = (),
    ):
        super().__init__(findings)
        self.notes, self.skipped = list(notes), tuple(skipped)

    @property
    def checked(self) -> list[str]:
        """Names of the checks that were made."""
        return [name for name in CHECKS if name not in self.skipped]


def finding(
    name: str, what: str, where: str, count: int, severity: Literal["fail", "warn"] = "fail"
) -> Finding:
    """A finding with the check's own reasons."""
    return Finding(name, severity, what, where, int(count), *CHECKS[name])


def waive(findings: Iterable[Finding], settings: Leakage) -> Findings:
    """Mark the findings that the config allows, and log every one.

    Raises:
        ConfigError: The config allows a finding that does not exist.
    """
    known = list(CHECKS)
    problems = [
        Problem(
            f"leakage.allow.{name}",
            f"no finding called '{name}'{did_you_mean(name, known) or ';'} "
            f"findings: {', '.join(known)}",
        )
        for name in settings.allow
        if name not in CHECKS
    ]
    if problems:
        raise ConfigError(problems)
    marked = [replace(each, waived=settings.allow.get(each.name)) for each in findings]
    for each in marked:
        if each.waived is not None:
            log.warning("waived: %s: %s (reason: %s)", each.name, each.what, each.waived)
        elif not each.stops:
            log.warning("leakage: %s: %s; %s", each.name, each.what, each.why)
    for name in settings.allow:
        if not any(each.name == name for each in marked):
            log.warning("leakage.allow.%s: nothing of the kind was found; remove the waiver", name)
    return Findings(marked, getattr(findings, "notes", ()), getattr(findings, "skipped", ()))


def gate(findings: Iterable[Finding], settings: Leakage) -> Findings:
    """Let the run go on, or stop it with every failing finding that is not waived.

    Args:
        findings: From ``audit``.
        settings: The config's section ``leakage``.

    Returns:
        All findings, waivers marked.

    Raises:
        DataError: A failing finding is not waived; the message lists all of them.
        ConfigError: The config allows a finding that does not exist.
    """
    marked = waive(findings, settings)
    stopping = [each for each in marked if each.stops]
    if stopping:
        lines = [line for each in stopping for line in _lines(each)]
        names = list(dict.fromkeys(each.name for each in stopping))
        allowed = ", ".join(f'{name}: "why it is not a leak"' for name in names)
        problems = "1 problem" if len(stopping) == 1 else f"{len(stopping)} problems"
        raise DataError(
            "\n".join([f"{problems} between the parts or in the inputs", *lines]),
            place="leakage gate",
            hint=f"To go on all the same, give the reason in the config: "
            f"leakage: {{allow: {{{allowed}}}}}",
        )
    return marked


def _lines(each: Finding) -> list[str]:
    return [
        f"  {each.name} ({each.where}): {each.what}",
        f"    Why it matters: {each.why}.",
        f"    What to do: {each.remedy}",
    ]


def summary(findings: Iterable[Finding]) -> dict[str, Any]:
    """What a run keeps: ``{"checked": [...], "findings": [...], "notes": [...]}``."""
    return {
        "checked": getattr(findings, "checked", list(CHECKS)),
        "findings": [asdict(each) for each in findings],
        "notes": list(getattr(findings, "notes", ())),
    }

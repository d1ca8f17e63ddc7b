"""The leakage gate without training: what ``medkit audit`` does."""

from __future__ import annotations

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from medkit.config.experiment import Experiment
from medkit.leakage import Findings, audit, waive
from medkit.workflows.finished_branches import earlier_parts, finished_branches, fitted_modalities
from medkit.workflows.prepare import divide, encode, read


def audit_experiment(experiment: Experiment) -> Findings:
    """Read, divide and encode the data as ``train`` does, then look for leakage.

    Returns:
        The findings, waivers marked; nothing is raised for them.

    Raises:
        MedkitError: Config or data at fault, or a waiver of a finding that does not exist.
    """
    begun = finished_branches(experiment)
    cohort = read(experiment.dataset)
    divided, flow = divide(cohort, experiment)
    fitted = fitted_modalities(begun, cohort, experiment)
    encoder, task, parts = encode(divided, experiment, flow, fitted)
    found = audit(parts, encoder, task, experiment.split, earlier_parts(begun, cohort))
    return waive(found, experiment.leakage)


def findings_table(findings: Findings) -> Group:
    """One row a finding: how grave, name, where and what, why it matters and what to do."""
    notes = [escape(note) for note in findings.notes]
    if not findings:
        return Group(f"no findings in {len(findings.checked)} checks", *notes)
    table = Table("", "finding", "what was found", "why, and what to do", show_lines=True)
    for each in findings:
        grave = "[red]fail[/red]" if each.stops else "[yellow]warn[/yellow]"
        if each.waived is not None:
            grave = "waived"
        reason = "" if each.waived is None else f"\nWaived: {escape(each.waived)}"
        table.add_row(
            grave,
            each.name,
            f"{escape(each.what)}\n({escape(each.where)})",
            f"{escape(each.why)}. {escape(each.remedy)}{reason}",
        )
    return Group(table, *notes)

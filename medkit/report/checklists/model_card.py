"""The model card: what the model is, for whom, and how well it works.

Mitchell et al., Model cards for model reporting, FAT* 2019, 220–29, doi 10.1145/3287560.3287596.
The run fills what it knows; what only its authors know is left to them, in so many words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from medkit.core.files import write_text
from medkit.report.checklists import facts
from medkit.report.checklists.checklist import TO_WRITE
from medkit.report.inputs import ReportInputs
from medkit.report.templates import bounds, count, label, readable, sentence

SOURCE = "Mitchell et al., Model cards for model reporting. FAT* 2019:220–29"


@dataclass(frozen=True)
class CardSection:
    """One section of the card.

    Args:
        title: Heading.
        lines: (term, text); an empty text is to be written by the authors.
        table: Head and rows of a table, the first cell of a row its heading; empty without one.
    """

    title: str
    lines: tuple[tuple[str, str], ...] = ()
    table: tuple[tuple[str, ...], ...] = ()


def model_card(inputs: ReportInputs) -> list[CardSection]:
    """The sections of the card, in Mitchell's order."""
    return [
        _details(inputs), _intended_use(inputs), _factors(inputs), _metrics(inputs),
        _evaluation_data(inputs), _training_data(inputs), _results(inputs), _ethics(inputs),
        _caveats(inputs),
    ]  # fmt: skip


def write_model_card(path: Path, inputs: ReportInputs) -> None:
    """Write the card as Markdown, ``MODEL_CARD.md``.

    Raises:
        RunError: The file cannot be written.
    """
    write_text(path, model_card_text(inputs))


def model_card_text(inputs: ReportInputs) -> str:
    """The card as Markdown; names and notes of the user's own are escaped."""
    blocks = [f"# Model card: {_plain(inputs.name)}"]
    if inputs.description:
        blocks.append(_plain(inputs.description))
    blocks.append(f"After {SOURCE}. Figures are of this run's test part; see report.html.")
    for section in model_card(inputs):
        blocks.append(f"## {section.title}")
        if section.lines:
            blocks.append(
                "\n".join(
                    f"- **{_plain(term)}:** {_plain(text) or f'*{TO_WRITE}*'}"
                    for term, text in section.lines
                )
            )
        if section.table:
            head, *rows = ([_plain(cell) for cell in row] for row in section.table)
            rule = ["---"] * len(head)
            blocks.append("\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows)))
    return "\n\n".join(blocks) + "\n"


def _details(inputs: ReportInputs) -> CardSection:
    run = inputs.environment
    versions = run.get("versions", {})
    stack = ", ".join(
        f"{name} {versions[name]}" for name in ("keras-medkit", "keras") if name in versions
    )
    backend = f" on {run['backend']}" if run.get("backend") else ""
    return CardSection(
        "Model details",
        (
            ("Model", facts.model(inputs)),
            ("Output", facts.output(inputs)),
            ("Inputs", facts.predictors(inputs) or _input_kind(inputs)),
            ("Recalibration", sentence(facts.recalibration(inputs) or "none")),
            ("Made with", f"{stack}{backend}" if stack else ""),
            ("Version", sentence(_version(inputs))),
            ("Developers, date, licence, contact", ""),
        ),
    )


def _input_kind(inputs: ReportInputs) -> str:
    return sentence(", ".join(each.kind for each in inputs.preparation.values()))


def _version(inputs: ReportInputs) -> str:
    commit = inputs.environment.get("git_commit")
    seed = inputs.environment.get("seed")
    details = [f"commit {commit}" if commit else "", f"seed {seed}" if seed is not None else ""]
    return (
        ", ".join(filter(None, details)) or "the run's MANIFEST.json names every file by its hash"
    )


def _intended_use(inputs: ReportInputs) -> CardSection:
    return CardSection(
        "Intended use",
        (
            ("Predicted", facts.outcome(inputs)),
            ("Primary use, users and setting", ""),
            ("Uses that are out of scope", "Any decision about a patient: this run is a "
             "development on retrospective data and no evidence of benefit in care."),
        ),
    )  # fmt: skip


def _factors(inputs: ReportInputs) -> CardSection:
    groups = facts.subgroups(inputs)
    return CardSection(
        "Factors",
        (
            ("Groups looked at", sentence(groups) if groups else
             "None was declared (evaluation.subgroups)."),
            ("Groups that matter but were not recorded", ""),
            ("Instruments and environment", ""),
        ),
    )  # fmt: skip


def _metrics(inputs: ReportInputs) -> CardSection:
    names = [inputs.called(name) for name in inputs.metrics["test"]["metrics"]]
    listed = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    return CardSection(
        "Metrics",
        (
            ("Measures", sentence(listed)),
            ("Decision threshold", facts.output(inputs)),
            ("Uncertainty", facts.intervals(inputs) or "No intervals were computed."),
        ),
    )


def _evaluation_data(inputs: ReportInputs) -> CardSection:
    test = inputs.metrics["test"]
    held = f"{count(test['n'])} samples of {count(test['subjects'])} subjects"
    return CardSection(
        "Evaluation data",
        (
            ("Data", sentence(f"the test part, {held}")),
            ("Division", facts.split(inputs)),
            ("Leakage", facts.leakage(inputs) or "The leakage gate did not run."),
            ("Preparation", facts.handling(inputs)),
            ("Why these data", ""),
        ),
    )


def _training_data(inputs: ReportInputs) -> CardSection:
    files = ", ".join(list(inputs.source.files)[:5])
    return CardSection(
        "Training data",
        (
            ("Source", ". ".join(filter(None, [files, *inputs.source.notes]))),
            ("Rows", " ".join(filter(None, [facts.rows(inputs), facts.participants(inputs)]))),
            ("Missing values", facts.missing(inputs) or "Not told by the config."),
            ("Class imbalance", facts.imbalance(inputs)),
            *((("Development", facts.update(inputs)),) if facts.update(inputs) else ()),
        ),
    )


def _results(inputs: ReportInputs) -> CardSection:
    metrics = inputs.metrics
    baselines = metrics.get("baselines", {})
    head = ("Metric", "Network", "Interval", *(label(name) for name in baselines))
    rows = [head]
    for name, found in metrics["test"]["metrics"].items():
        others = [
            readable(described["metrics"].get(name, {}).get("value"))
            for described in baselines.values()
        ]
        rows.append((inputs.called(name), readable(found["value"]), bounds(found) or "–", *others))
    return CardSection("Quantitative analyses", _by_group(metrics), tuple(rows[:16]))


def _by_group(metrics: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    if metrics.get("subgroups"):
        return (("By group", "See the forest plot and the table of subgroups in report.html."),)
    return (("By group", "No groups were declared (evaluation.subgroups)."),)


def _ethics(inputs: ReportInputs) -> CardSection:
    return CardSection(
        "Ethical considerations",
        (
            ("Personal data", "The run names samples and subjects by salted hashes only. The "
             "model's weights were fitted on patients' data; whoever receives it should be "
             "entitled to that."),
            ("Approval and consent", ""),
            ("Risks and harms", ""),
        ),
    )  # fmt: skip


def _caveats(inputs: ReportInputs) -> CardSection:
    notes = list(inputs.metrics.get("flow", {}).get("notes", []))
    notes += [note for part in ("test", "valid") for note in
              inputs.metrics.get(part, {}).get("notes", [])]  # fmt: skip
    waived = [
        f"{each['name'].replace('_', ' ')} waived: {each['waived']}"
        for each in inputs.metrics.get("leakage", {}).get("findings", [])
        if each.get("waived")
    ]
    return CardSection(
        "Caveats and recommendations",
        (
            ("Known", " ".join(sentence(each) for each in dict.fromkeys([*notes, *waived]))
             or "None beyond those of any single data set."),
            ("Before use", "Evaluate on patients of the place and time where it is to be used "
             "(medkit evaluate), recalibrate if needed, and watch for drift."),
            ("Further", ""),
        ),
    )  # fmt: skip


def _plain(text: str) -> str:
    """Text of others without the power of Markdown or HTML."""
    for sign, safe in (("\\", "\\\\"), ("&", "&amp;"), ("<", "&lt;"), ("*", "\\*"), ("_", "\\_"),
                       ("`", "\\`"), ("[", "\\["), ("|", "\\|"), ("\n", " ")):  # fmt: skip
        text = text.replace(sign, safe)
    return text

"""The model card: what the model is, for whom, and how well it works.

Mitchell et al., Model cards for model reporting, FAT* 2019, 220–29, doi 10.1145/3287560.3287596.
The run fills what it knows; what only its authors know is left to them, in so many words.
"""

from __future__ import annotations

import re
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
    metrics, test = inputs.metrics, inputs.metrics["test"]
    names = [inputs.called(name) for name in test["metrics"]]
    measures = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    groups, update = facts.subgroups(inputs), facts.update(inputs)
    of_groups = "See the forest plot and the table of subgroups in report.html."
    undeclared = "No groups were declared (evaluation.subgroups)."
    lines: dict[str, tuple[tuple[str, str], ...]] = {
        "Model details": (
            ("Model", facts.model(inputs)),
            ("Output", facts.output(inputs)),
            ("Inputs", facts.predictors(inputs) or _input_kind(inputs)),
            ("Recalibration", sentence(facts.recalibration(inputs) or "none")),
            ("Made with", _made_with(inputs)),
            ("Version", sentence(_version(inputs))),
            ("Developers, date, licence, contact", ""),
        ),
        "Intended use": (
            ("Predicted", facts.outcome(inputs)),
            ("Primary use, users and setting", ""),
            ("Uses that are out of scope", "Any decision about a patient: this run is a "
             "development on retrospective data and no evidence of benefit in care."),
        ),
        "Factors": (
            ("Groups looked at", sentence(groups) or undeclared),
            ("Groups that matter but were not recorded", ""),
            ("Instruments and environment", ""),
        ),
        "Metrics": (
            ("Measures", sentence(measures)),
            ("Decision threshold", facts.output(inputs)),
            ("Uncertainty", facts.intervals(inputs) or "No intervals were computed."),
        ),
        "Evaluation data": (
            ("Data", f"The test part, {count(test['n'])} samples of {count(test['subjects'])} "
             "subjects."),
            ("Division", facts.split(inputs)),
            ("Leakage", facts.leakage(inputs) or "The leakage gate did not run."),
            ("Preparation", facts.handling(inputs)),
            ("Why these data", ""),
        ),
        "Training data": (
            ("Source", ". ".join([*list(inputs.source.files)[:5], *inputs.source.notes])),
            ("Rows", " ".join(filter(None, [facts.rows(inputs), facts.participants(inputs)]))),
            ("Missing values", facts.missing(inputs) or "Not stated in the config."),
            ("Class imbalance", facts.imbalance(inputs)),
            *((("Development", update),) if update else ()),
        ),
        "Quantitative analyses": (
            ("By group", of_groups if metrics.get("subgroups") else undeclared),
        ),
        "Ethical considerations": (
            ("Personal data", "The run names samples and subjects by salted hashes only. The "
             "model's weights were fitted on patients' data; whoever receives it should be "
             "entitled to that."),
            ("Approval and consent", ""),
            ("Risks and harms", ""),
        ),
        "Caveats and recommendations": (
            ("Known", _caveats(inputs) or "None beyond those of any single data set."),
            ("Before use", "Evaluate on patients of the place and time where it is to be used "
             "(medkit evaluate), recalibrate if needed, and watch for drift."),
            ("Further", ""),
        ),
    }  # fmt: skip
    table = {"Quantitative analyses": _results(inputs)}
    return [CardSection(title, of, table.get(title, ())) for title, of in lines.items()]


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


def _made_with(inputs: ReportInputs) -> str:
    run = inputs.environment
    versions, backend = run.get("versions", {}), run.get("backend")
    names = [f"{name} {versions[name]}" for name in ("keras-medkit", "keras") if name in versions]
    return ", ".join(names) + (f" on {backend}" if names and backend else "")


def _input_kind(inputs: ReportInputs) -> str:
    return sentence(", ".join(each.kind for each in inputs.preparation.values()))


def _version(inputs: ReportInputs) -> str:
    commit = inputs.environment.get("git_commit")
    seed = inputs.environment.get("seed")
    details = [f"commit {commit}" if commit else "", f"seed {seed}" if seed is not None else ""]
    return (
        ", ".join(filter(None, details)) or "the run's MANIFEST.json names every file by its hash"
    )


def _results(inputs: ReportInputs) -> tuple[tuple[str, ...], ...]:
    baselines = inputs.metrics.get("baselines", {})
    rows = [("Metric", "Network", "Interval", *(label(name) for name in baselines))]
    for name, found in inputs.metrics["test"]["metrics"].items():
        others = [
            readable(described["metrics"].get(name, {}).get("value"))
            for described in baselines.values()
        ]
        rows.append((inputs.called(name), readable(found["value"]), bounds(found) or "–", *others))
    return tuple(rows[:16])


def _caveats(inputs: ReportInputs) -> str:
    parts = [inputs.metrics.get(each, {}) for each in ("flow", "test", "valid")]
    notes = [note for part in parts for note in part.get("notes", [])]
    notes += [
        f"{each['name'].replace('_', ' ')} waived: {each['waived']}"
        for each in inputs.metrics.get("leakage", {}).get("findings", [])
        if each.get("waived")
    ]
    return " ".join(sentence(each) for each in dict.fromkeys(notes))


def _plain(text: str) -> str:
    """Text of others without the power of Markdown or HTML; addresses are no links."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    text = re.sub(r"([\\*_`~\[|]|^[#>+=-])", r"\\\1", text)
    text = re.sub(r"^(\d+)([.)] )", r"\1\\\2", text)
    return re.sub(r":(?=//)|(?i:(?<=\bwww)\.)|@", lambda sign: f"&#{ord(sign[0])};", text)

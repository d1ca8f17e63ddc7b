"""TRIPOD+AI: what a report of a prediction model should tell, filled from the run where it can be.

Collins et al., TRIPOD+AI statement, BMJ 2024;385:e078378. The items are told in our own words;
where copies of the list number them differently (12d, 12f, 23b, 27), the page says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from medkit.report.checklists import facts
from medkit.report.inputs import ReportInputs
from medkit.report.outcome import outcome_report
from medkit.report.templates import estimate, readable, sentence

SOURCE = "Collins et al., TRIPOD+AI statement. BMJ 2024;385:e078378"
CAUTION = (
    "Items are paraphrased. Copies of the list number 12d, 12f, 23b and 27 differently: "
    "check the numbers against the paper before you hand the list in."
)
TO_WRITE = "to be written by the authors"

Status = Literal["filled", "partly", "authors"]


@dataclass(frozen=True)
class Item:
    """One line of the checklist.

    Args:
        number: As in the paper, with the caution above.
        section: Part of the manuscript.
        asks: What is to be told, in our own words.
        status: ``filled`` from the run, ``partly`` (the authors must add to it), or ``authors``.
        text: What the run says; what is missing, where the authors must write.
        anchor: Section of the page that shows more; empty without one.
    """

    number: str
    section: str
    asks: str
    status: Status
    text: str
    anchor: str = ""


@dataclass(frozen=True)
class _Ask:
    number: str
    section: str
    asks: str
    fill: Callable[[ReportInputs], tuple[Status, str]] | None = None
    anchor: str = ""


def tripod_ai(inputs: ReportInputs) -> list[Item]:
    """Every item, filled from the run where it can be."""
    items = []
    for ask in _ASKS:
        status, text = ask.fill(inputs) if ask.fill else ("authors", "")
        anchor = ask.anchor if status != "authors" else ""
        items.append(Item(ask.number, ask.section, ask.asks, status, text, anchor))
    return items


def counts(items: Sequence[Item]) -> Counter[Status]:
    """How many items have each status."""
    return Counter(item.status for item in items)


def _filled(text: str, else_missing: str = "") -> tuple[Status, str]:
    return ("filled", text) if text else ("authors", else_missing)


def _partly(text: str, add: str) -> tuple[Status, str]:
    return ("partly", f"{text} To add: {add}.") if text else ("authors", f"{add}.")


def _dates(inputs: ReportInputs) -> tuple[Status, str]:
    if inputs.setting("dataset.columns.time") or inputs.setting("split.by") == "time":
        return _partly("The samples have times.", "the dates that they cover, and follow-up")
    return "authors", "No time column was declared."


def _outcome(inputs: ReportInputs) -> tuple[Status, str]:
    return _partly(facts.outcome(inputs), "the time horizon, and how the outcome was assessed")


def _predictors(inputs: ReportInputs) -> tuple[Status, str]:
    return _partly(facts.predictors(inputs), "how and when each was measured")


def _size(inputs: ReportInputs) -> tuple[Status, str]:
    found = inputs.metrics.get("sample_size")
    if not found or not found.get("assumptions"):
        return "authors", "The run could not compute a criterion of sample size."
    details = "; ".join(facts.needed(each) for each in found["assumptions"])
    text = (
        f"{found['n']:,} patients in training ({found['rows']:,} rows), {found['parameters']} "
        "candidate parameters; patients a regression needs by the criteria of Riley et al. "
        f"(BMJ 2020;368:m441): {details}."
    )
    return _partly(text, "how the size was arrived at")


def _heterogeneity(inputs: ReportInputs) -> tuple[Status, str]:
    groups = (inputs.metrics.get("subgroups") or {}).get("site") or {}
    measured = sum(bool(each.get("metrics")) for each in groups.values())
    elsewhere = inputs.setting("split.by") == "site"
    where = "The model is tested at sites it was not trained on." if elsewhere else ""
    if measured > 1:
        return (
            "filled",
            f"Performance is reported for {measured} sites, among the subgroups. {where}".strip(),
        )
    if elsewhere or measured:
        one = "Performance is reported for one site only." if measured else ""
        return _partly(
            f"{where} {one}".strip(),
            "how performance differs between sites (evaluation.subgroups: [site])",
        )
    return "authors", "No site column was declared, or it is not among the subgroups."


def _updating(inputs: ReportInputs) -> tuple[Status, str]:
    if inputs.metrics.get("recalibration"):
        return "filled", facts.update(inputs)
    kind = facts.recalibration(inputs)
    if kind:
        return "filled", f"Outputs were recalibrated: {kind}; before and after are shown."
    return "filled", "The model was not updated or recalibrated."


def _measures(inputs: ReportInputs) -> tuple[Status, str]:
    test = inputs.metrics["test"]
    details = [*test["metrics"]]
    extra = outcome_report(inputs).measures()
    text = f"{len(details)} measures of performance"
    text += f", and {', '.join(extra)}" if extra else ""
    return "filled", f"{text}, each explained on this page. {facts.intervals(inputs)}"


def _fairness(inputs: ReportInputs) -> tuple[Status, str]:
    found = facts.subgroups(inputs)
    if not found:
        return "authors", "No attributes were declared under evaluation.subgroups."
    gaps = " Gaps between groups are reported." if inputs.metrics.get("fairness") else ""
    return _partly(
        f"Performance by {found}.{gaps}", "why these attributes, and what was done about gaps"
    )


def _differences(inputs: ReportInputs) -> tuple[Status, str]:
    by = inputs.setting("split.by", "subject")
    if by == "subject":
        text = (
            "Training and test rows are a random division of one data set: same setting, same "
            "eligibility, same outcome and predictors."
        )
    else:
        text = facts.split(inputs)
    return _partly(text, "differences in setting, eligibility and outcome, if there are any")


def _code(inputs: ReportInputs) -> tuple[Status, str]:
    version = inputs.environment.get("versions", {}).get("keras-medkit")
    commit = inputs.environment.get("git_commit")
    text = f"Made with keras-medkit {version}" if version else ""
    if commit:
        text += f"{', config at commit ' if text else 'Commit '}{commit}"
    return _partly(sentence(text), "where code and config can be had")


def _in_table_one(text: str) -> Callable[[ReportInputs], tuple[Status, str]]:
    return lambda inputs: _filled(
        text if inputs.metrics.get("table_one") else "", "No Table 1 was computed."
    )


def _specification(inputs: ReportInputs) -> tuple[Status, str]:
    text = (
        "The whole model, preprocessing included, is the run's model.keras; its config, with every "
        "default written out, is at the end of this page."
    )
    return _partly(text, "where others can get it, and on what terms")


def _performance(inputs: ReportInputs) -> tuple[Status, str]:
    groups = facts.subgroups(inputs)
    text = facts.result(inputs)
    return "filled", f"{text} By subgroup: {groups}." if groups else text


def _updated(inputs: ReportInputs) -> tuple[Status, str]:
    calibration = inputs.metrics["test"].get("calibration") or {}
    updated = inputs.metrics.get("recalibration")
    if updated and not calibration.get("before"):
        now, before = (estimate(each["metrics"].get(inputs.main))
                       for each in (inputs.metrics["test"], updated["before"]))  # fmt: skip
        return (
            "filled",
            f"{inputs.leading.title} {before} before the update, {now} after it.",
        )
    if not calibration.get("before"):
        return _updating(inputs)
    text = "Calibration before and after recalibration is shown."
    brier = [
        each.get("metrics", {}).get("brier", {}).get("value")
        for each in (calibration["before"], calibration)
    ]
    if None not in brier:
        text += f" Brier score {readable(brier[0])} before, {readable(brier[1])} after."
    return "filled", text


def _facts(*details: Callable[[ReportInputs], str]) -> Callable[[ReportInputs], tuple[Status, str]]:
    return lambda inputs: _filled(" ".join(filter(None, (each(inputs) for each in details))))


_M, _R, _D = "Methods", "Results", "Discussion"
_OPEN = "Open science"

_ASKS = (
    _Ask("1", "Title", "Say that a prediction model was developed or evaluated, for whom, and for "
         "which outcome."),
    _Ask("2", "Abstract", "A structured abstract; TRIPOD+AI has a checklist of its own for it."),
    _Ask("3a", "Introduction", "The clinical setting and why the model is needed, with earlier "
         "models."),
    _Ask("3b", "Introduction", "Who is to use it, on whom, and at which point of care."),
    _Ask("3c", "Introduction", "Known health inequalities between groups of patients."),
    _Ask("4", "Introduction", "Aims: development, evaluation, or both."),
    _Ask("5a", _M, "Where the data come from, and whether they stand for the patients meant."),
    _Ask("5b", _M, "Dates of the data: first and last patient, end of follow-up.", _dates),
    _Ask("6a", _M, "Setting: kind, number and place of the centres."),
    _Ask("6b", _M, "Who was eligible."),
    _Ask("6c", _M, "Treatments received, and how they were dealt with."),
    _Ask("7", _M, "How data were prepared and checked, alike for all groups of patients.",
         _facts(facts.handling, facts.leakage), "leakage"),
    _Ask("8a", _M, "The outcome, its time horizon, and how it was assessed.", _outcome),
    _Ask("8b", _M, "Who judged the outcome, with which qualification, where that is a judgement."),
    _Ask("8c", _M, "Whether outcome assessors were blind to the predictors."),
    _Ask("9a", _M, "Why these predictors, and how they were chosen beforehand."),
    _Ask("9b", _M, "All predictors, with when and how they were measured.", _predictors, "inputs"),
    _Ask("9c", _M, "Who judged the predictors, with which qualification, where that is a "
         "judgement."),
    _Ask("10", _M, "How the sample size was arrived at, and whether it was enough.", _size,
         "probast"),
    _Ask("11", _M, "Missing data: how they were dealt with, and why rows were left out.",
         _facts(facts.missing), "table-one"),
    _Ask("12a", _M, "Which rows served which purpose: training, tuning, evaluation.",
         _facts(facts.split), "rows"),
    _Ask("12b", _M, "How predictors entered the model: form, scaling, transformation.",
         _facts(facts.handling), "inputs"),
    _Ask("12c", _M, "Kind of model, steps of building it, tuning, internal validation.",
         _facts(facts.model, facts.intervals), "training"),
    _Ask("12d", _M, "How differences between clusters (hospitals, countries) were dealt with.",
         _heterogeneity, "subgroups"),
    _Ask("12e", _M, "Measures and plots of performance, and why these.", _measures, "results"),
    _Ask("12f", _M, "Any updating of the model after its evaluation.", _updating),
    _Ask("12g", _M, "For an evaluation: how predictions were calculated.",
         lambda inputs: ("filled", "The saved model.keras was applied to each test row once; it "
                         "takes physical units and holds its own preprocessing.")),
    _Ask("13", _M, "Whether and how class imbalance was dealt with, and probabilities set right "
         "afterwards.", _facts(facts.imbalance), "calibration"),
    _Ask("14", _M, "What was done for fairness between groups of patients.", _fairness,
         "subgroups"),
    _Ask("15", _M, "What the model returns, and how thresholds were chosen.",
         _facts(facts.output), "thresholds"),
    _Ask("16", _M, "Differences between the data of development and of evaluation.", _differences,
         "rows"),
    _Ask("17", _M, "Ethical approval and consent, or why none was needed."),
    _Ask("18a", _OPEN, "Funding, and the funder's part in the study."),
    _Ask("18b", _OPEN, "Conflicts of interest."),
    _Ask("18c", _OPEN, "Where the protocol can be read."),
    _Ask("18d", _OPEN, "Registration of the study."),
    _Ask("18e", _OPEN, "Availability of the data."),
    _Ask("18f", _OPEN, "Availability of the code.", _code, "environment"),
    _Ask("19", _M, "Involvement of patients and the public."),
    _Ask("20a", _R, "Flow of participants, with the number with and without the outcome.",
         _facts(facts.rows, facts.participants), "rows"),
    _Ask("20b", _R, "Characteristics of the participants, with missing values.",
         _in_table_one("Table 1 of this page, with missing values, by part."), "table-one"),
    _Ask("20c", _R, "Development and evaluation data side by side.",
         _in_table_one("Table 1 has training and test side by side."), "table-one"),
    _Ask("21", _R, "Participants and events in each analysis.", _facts(facts.participants),
         "rows"),
    _Ask("22", _R, "The full model, so that others can predict with it.", _specification,
         "config"),
    _Ask("23a", _R, "Performance with intervals, also in subgroups.", _performance, "results"),
    _Ask("23b", _R, "Differences of performance between clusters.", _heterogeneity, "subgroups"),
    _Ask("24", _R, "Results of updating the model.", _updated, "calibration"),
    _Ask("25", _D, "What the results mean, with fairness, in the light of other studies."),
    _Ask("26", _D, "Limitations, and what they do to bias, uncertainty and generality."),
    _Ask("27a", _D, "How poor or missing input data are dealt with when the model is used."),
    _Ask("27b", _D, "What users must do with input and output, and which skill that takes."),
    _Ask("27c", _D, "Next steps: further research, use, monitoring."),
)  # fmt: skip

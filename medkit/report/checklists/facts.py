"""What a run did, in sentences: for the checklists and the model card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medkit.modalities.preparation import Preparation
from medkit.report.inputs import ReportInputs
from medkit.report.outcome import outcome_report
from medkit.report.sections.summary import parts_of
from medkit.report.templates import count, estimate, label, readable, sentence

# How ``medkit evaluate --recalibrate`` updates a model.
_UPDATES = {
    "intercept": "a new intercept of its outputs (recalibration in the large)",
    "slope": "a new intercept and slope of its outputs (logistic or linear recalibration)",
    "refit": "further training of the whole network from its former weights",
}
_SPLITS = {
    "subject": "at random by subject, so that no subject is in two parts",
    "time": "by time: the latest subjects are the test part",
    "site": "by site: training and test come from different sites",
    "column": "as a column of the data says",
    "fold": "into folds by subject, so that no subject is in two parts; one fold is the test part",
}
_MOST_NAMES = 12


def rows(inputs: ReportInputs) -> str:
    """How many rows were read, dropped and why."""
    flow = inputs.metrics.get("flow", {})
    dropped = flow.get("dropped", {})
    read = flow.get("rows_read") or 0
    if not read:
        return ""
    reasons = "; ".join(f"{reason}: {count(n)}" for reason, n in dropped.items())
    return sentence(
        f"{count(read)} samples were read and {count(sum(dropped.values()))} dropped"
        + (f" ({reasons})" if reasons else "")
    )


def split(inputs: ReportInputs) -> str:
    """How the parts were made."""
    by = inputs.setting("split.by")
    found = f"divided {_SPLITS[by]}" if by in _SPLITS else "divided into training and test"
    shares = [
        f"{100 * inputs.setting(f'split.{part}'):g} % {called_so}"
        for part, called_so in (("valid", "for validation"), ("test", "for the test"))
        if by in ("subject", "time") and inputs.setting(f"split.{part}")
    ]
    # What the data set says of itself stands with the data.
    notes = inputs.metrics.get("flow", {}).get("notes", [])
    notes = [note for note in notes if note not in inputs.source.notes]
    text = found + (f", {' and '.join(shares)}" if shares else "")
    return " ".join([sentence(text), *(sentence(note) for note in notes)])


def participants(inputs: ReportInputs) -> str:
    """Samples, subjects and events of each part."""
    parts = parts_of(inputs)
    return sentence("; ".join(f"{name.lower()}: {', '.join(of)}" for name, of in parts))


def outcome(inputs: ReportInputs) -> str:
    """What is predicted."""
    if inputs.source.label:
        return sentence(inputs.source.label)
    target = inputs.setting("dataset.target.column")
    return sentence(f"column {target}") if isinstance(target, str) else ""


def missing(inputs: ReportInputs) -> str:
    """What became of missing values, input by input."""
    prepared = inputs.preparation
    if not prepared:
        return ""
    named = "; ".join(
        f"{name}: {each.gaps}" if len(prepared) > 1 else each.gaps
        for name, each in prepared.items()
    )
    if any(each.filled for each in prepared.values()):
        named += f"; what fills them was learned {_learned_on(inputs)} alone and lies in the model"
    dropped = inputs.metrics.get("flow", {}).get("dropped", {})
    gone = {reason: n for reason, n in dropped.items() if "missing" in reason}
    listed = "; ".join(f"{reason}: {count(n)}" for reason, n in gone.items())
    return sentence(named) + (f" Dropped for want of a value: {listed}." if gone else "")


def predictors(inputs: ReportInputs) -> str:
    """The input variables."""
    names = [
        feature.name + (f" ({feature.unit})" if feature.unit else "") for feature in inputs.features
    ]
    if not names:
        return ""
    more = len(names) - _MOST_NAMES
    listed = ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
    return sentence(f"{len(names)} input variables: {listed}")


def handling(inputs: ReportInputs) -> str:
    """How predictors enter the model, input by input."""
    if not inputs.preparation:
        return ""
    named = "; ".join(
        (f"{name}: " if len(inputs.preparation) > 1 else "") + _settings(each)
        for name, each in inputs.preparation.items()
    )
    return sentence(
        f"{named}; numbers are not cut into classes; all of it is learned {_learned_on(inputs)} "
        "and lies in the saved model"
    )


def _settings(prepared: Preparation) -> str:
    """``tables (missing median, …)``, without what is not set."""
    chosen = ", ".join(
        f"{key.replace('_', ' ')} {_yes(value)}"
        for key, value in prepared.settings.items()
        if value is not None and value != () and value != []
    )
    return f"preprocessing of {prepared.kind}" + (f" ({chosen})" if chosen else "")


def model(inputs: ReportInputs) -> str:
    """Kind of model, training and choice of the final weights."""
    given = {k: v for k, v in dict(inputs.setting("model", {})).items() if k != "name"}
    set_so = ", ".join(
        f"{key.replace('_', ' ')} {_yes(value)}" for key, value in given.items() if value
    )
    name = inputs.model or inputs.setting("model.name", "no name given")
    text = f"a neural network in Keras, {name}" + (f" ({set_so})" if set_so else "")
    if inputs.weights:
        text += f" with {count(inputs.weights)} trainable weights"
    optimizer = inputs.setting("training.optimizer.name")
    if optimizer:
        rate = inputs.setting("training.optimizer.learning_rate")
        text += f"; fitted by {optimizer}" + (f" at a learning rate of {rate:g}" if rate else "")
        text += f", at most {inputs.setting('training.epochs', 0)} epochs"
    monitor = inputs.setting("training.early_stopping.monitor") or inputs.task.monitor
    if inputs.setting("training.early_stopping") and monitor:
        text += f", the epoch chosen by validation {inputs.called(monitor)}"
    members = inputs.setting("training.ensemble", 1)
    if members > 1:
        text += f"; {members} networks are averaged"
    return sentence(text)


def output(inputs: ReportInputs) -> str:
    """What the model returns, and where the threshold came from."""
    return outcome_report(inputs).output()


def imbalance(inputs: ReportInputs) -> str:
    """What was done about classes that are rare."""
    unweighted = outcome_report(inputs).unweighted
    if unweighted:
        return unweighted
    weights, distortion = inputs.setting("training.class_weight"), distorted(inputs)
    text = "No resampling and no class weights."
    if weights is not None:
        how = "balanced" if weights == "balanced" else str(weights)
        text = f"Class weights in the loss ({how}); no resampling. Weights shift the probabilities."
    if distortion:
        text += f" {sentence(distortion)}"
    if weights is None and not distortion:
        return text
    return f"{text} " + (
        f"They were recalibrated by {recalibration(inputs)}." if set_right(inputs) else
        "See the calibration, or set calibration in the config."
    )  # fmt: skip


def recalibration(inputs: ReportInputs) -> str:
    """How outputs were recalibrated; empty if they were not."""
    found = inputs.metrics.get("recalibration")
    if found:
        return f"{_UPDATES[found['method']]}, on the {count(found['rows'])} training samples"
    kind = inputs.setting("calibration", "none")
    return "" if kind == "none" else f"{kind} scaling on the validation part"


def set_right(inputs: ReportInputs) -> bool:
    """Whether something was fitted to make the probabilities right again."""
    refit = inputs.metrics.get("recalibration", {}).get("method") == "refit"
    return bool(recalibration(inputs)) and not refit


def update(inputs: ReportInputs) -> str:
    """What the model was before it was updated for these data; empty if it was developed here."""
    found = inputs.metrics.get("recalibration")
    if not found:
        return ""
    return sentence(
        f"The model was developed on other data, in run {found['parent']}, and updated for these: "
        f"{recalibration(inputs)}. Its preprocessing is still that of its development"
    )


def _learned_on(inputs: ReportInputs) -> str:
    if inputs.metrics.get("recalibration"):
        return "on the rows that the model was first developed on"
    return "on the training part"


def intervals(inputs: ReportInputs) -> str:
    """How the intervals were made."""
    resamples = inputs.setting("evaluation.bootstrap")
    if not resamples:
        return "No intervals were computed." if resamples == 0 else ""
    return (
        f"{100 * inputs.confidence:g} % intervals from {count(resamples)} bootstrap resamples "
        "of subjects."
    )


def result(inputs: ReportInputs) -> str:
    """The leading metric on the test part, with the baselines'."""
    metrics = inputs.metrics
    main = inputs.main
    others = "; ".join(
        f"{label(name, capital=False)} {estimate(described['metrics'].get(main))}"
        for name, described in metrics.get("baselines", {}).items()
    )
    text = f"{inputs.called(main)} {estimate(metrics['test']['metrics'][main])} on the test part"
    return sentence(text + (f"; {others}" if others else ""))


def leakage(inputs: ReportInputs) -> str:
    """What the leakage gate found."""
    gate = inputs.metrics.get("leakage")
    if not gate:
        return ""
    findings = gate.get("findings", [])
    waived = [each for each in findings if each.get("waived")]
    text = f"{len(gate.get('checked', []))} checks for leakage between and within the parts: "
    if not findings:
        return text + "nothing found."
    return text + (
        f"{len(findings)} {'finding' if len(findings) == 1 else 'findings'}, "
        f"{len(waived)} of them waived by name."
    )


def subgroups(inputs: ReportInputs) -> str:
    """Which attributes were looked at."""
    found = inputs.metrics.get("subgroups") or {}
    return ", ".join(found)


def _yes(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return " × ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def needed(assumption: Mapping[str, Any]) -> str:
    """What one assumption on R² asks of the number of patients, and whether they were there."""
    if assumption["needed"] is None:
        return f"with {assumption['basis']} {assumption['note']}"
    verdict = "met" if assumption["met"] else "not met"
    return f"{assumption['needed']:,} patients with {assumption['basis']} ({verdict})"


def optimism(inputs: ReportInputs) -> str:
    """The leading metric in training against its interval in test: whether it overfits."""
    metric, parts = inputs.leading, inputs.metrics
    test = parts["test"]["metrics"].get(metric.name) or {}
    trained = (parts.get("train", {}).get("metrics", {}).get(metric.name) or {}).get("value")
    if trained is None or test.get("value") is None:
        return f"{metric.title} is not known of both training and test."
    text = f"{metric.title} {readable(trained)} in training, {estimate(test)} in test: "
    if test.get("low") is None or not metric.sign:
        return f"{text}without an interval, whether it overfits is not known."
    bound = test["high"] if metric.sign > 0 else test["low"]
    if (trained - bound) * metric.sign > 0:
        by = inputs.setting("split.by")
        others = {"site": "other sites", "time": "a later time", "column": "a part set apart"}
        doubt = f", or the patients of {others[by]} differ" if by in others else ""
        return f"{text}better in training than chance explains, it overfits{doubt}."
    return f"{text}no better in training than chance explains."


def distorted(inputs: ReportInputs) -> str:
    """By which settings of the loss probabilities are shifted; empty if by none."""
    found = []
    if inputs.setting("task.loss") == "focal":
        found.append("the focal loss draws probabilities towards one half")
    smoothing = inputs.setting("task.label_smoothing") or 0
    if smoothing > 0:
        found.append(f"label smoothing ({smoothing:g}) draws probabilities to the middle")
    return " and ".join(found)

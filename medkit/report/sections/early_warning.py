"""Early warning drawn and told: stays foreseen, false alarms, lead times, a few stays by hour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from medkit.report.drawing import (
    BLUE,
    CYCLE,
    GREY,
    INK,
    ORANGE,
    WIDE,
    Figure,
    band,
    draw,
    plottable,
)
from medkit.report.inputs import ReportInputs
from medkit.report.section import section
from medkit.report.templates import count, estimate, label, percent, readable, with_p

# What is told of each measure, and whether it is a share.
_MEASURES = {
    "stay_sensitivity": "Event stays foreseen",
    "event_free_stays_alarmed": "Stays without event that had an alarm",
    "alarms_per_day": "Alarms per patient-day",
    "false_alarms_per_day": "False alarms per patient-day",
    "alarm_ppv": "Alarms that are true",
    "number_needed_to_evaluate": "Number needed to evaluate",
    "stay_ppv": "Stays with an alarm that had a true one",
    "lead_median": "Lead time in hours, median",
    "lead_q1": "Lead time, lower quartile",
    "lead_q3": "Lead time, upper quartile",
    "utility": "Utility (best 1, no alarms 0)",
}
_POINTS = {
    "false_alarms": "False alarms ≤ {}",
    "stay_sensitivity": "Foreseen ≥ {}",
}
_MATCHED = "false_alarms_1"


@section("early-warning", "Early warning", 80, kinds=("yes_no",), external=True)
def early_warning_section(inputs: ReportInputs) -> dict[str, Any] | None:
    """What the page tells of ``metrics["test"]["early_warning"]``.

    Returns:
        ``{"words", "table", "compared", "figures", "notes", "not_estimable"}``; None without it.
    """
    found = inputs.metrics["test"].get("early_warning")
    if not found:
        return None
    shown: dict[str, Any] = {"words": [], "table": None, "compared": None, "figures": [],
                            "notes": list(found.get("notes", ())),
                            "not_estimable": found.get("not_estimable", "")}  # fmt: skip
    if shown["not_estimable"]:
        return shown
    others = {
        name: described["early_warning"]
        for name, described in inputs.metrics.get("baselines", {}).items()
        if _telling(described.get("early_warning"))
    }
    figures = [_curve(found, others), _leads(found), _timelines(found)]
    return shown | {
        "words": _words(found),
        "table": _table(inputs, found),
        "compared": _compared(found, others) if others else None,
        "figures": [figure for figure in figures if figure is not None],
    }


def _telling(block: Mapping[str, Any] | None) -> bool:
    """Whether a baseline discriminates at all: a constant is below or above any threshold."""
    return bool(block) and len((block or {}).get("curve", {}).get("thresholds", ())) > 2


def hours(value: float) -> str:
    """``6 hours``, ``1 hour``, ``0.5 hours``."""
    return f"{value:g} hour{'s' * (value != 1)}"


def _words(found: Mapping[str, Any]) -> list[str]:
    """How it was counted, and what the threshold in use means on a ward."""
    lead = hours(found["lead_hours"])
    silence = (
        f"after an alarm no other sounds in that stay for {hours(found['silence_hours'])}"
        if found["silence_hours"]
        else "every hour at or above the threshold is an alarm"
    )
    words = [
        f"{count(found['stays'])} stays, {count(found['event_stays'])} with an event, watched for "
        f"{readable(found['patient_days'])} patient-days. An alarm is true if the event follows "
        f"within {lead}; {silence}. Hours from the onset on are left out."
    ]
    if found["foreseeable"] < found["event_stays"]:
        missing = found["event_stays"] - found["foreseeable"]
        words.append(
            f"{count(missing)} event stays have no prediction in the last {lead} before the onset: "
            "they count as missed."
        )
    point = found["operating_points"][0]
    values = {name: each["value"] for name, each in point["metrics"].items()}
    parts = []
    if values["stay_sensitivity"] is not None:
        text = f"{percent(values['stay_sensitivity'], 0)} of the event stays had a true alarm"
        if values["lead_median"] is not None:
            text += (
                f", the first of them {hours(round(values['lead_median'], 1))} before the onset "
                f"in the median (quartiles {values['lead_q1']:g} to {values['lead_q3']:g})"
            )
        parts.append(text)
    parts.append(
        f"there were {readable(values['alarms_per_day'])} alarms per patient-day, "
        f"{readable(values['false_alarms_per_day'])} of them false"
    )
    if values["number_needed_to_evaluate"] is not None:
        every = readable(values["number_needed_to_evaluate"])
        parts.append(f"{every} alarms had to be looked at for one that was true")
    auroc = found["metrics"]["stay_auroc"]
    if auroc["value"] is not None:
        words.append(
            f"The highest risk in {hours(found['window_hours'])}, before the event or at an hour "
            "at which others had it, discriminates stays with an event from those without: AUROC "
            f"{estimate(auroc)}, by chance {readable(auroc['by_chance'])}; "
            f"{count(found['ranked_stays'])} of {count(found['stays'])} stays are as long."
        )
    return [*words, f"At the threshold in use ({readable(point['threshold'])}) {'; '.join(parts)}."]


def _table(inputs: ReportInputs, found: Mapping[str, Any]) -> dict[str, Any]:
    points = found["operating_points"]
    merged: dict[float, tuple[list[str], Mapping[str, Any]]] = {}
    for point in points:
        if point["threshold"] is not None:
            merged.setdefault(point["threshold"], ([], point))[0].append(_called(point["name"]))
    known = [point for _, point in merged.values()]
    rows = [["Threshold", *(readable(point["threshold"]) for point in known)]]
    for name, words in _MEASURES.items():
        rows.append([words, *(estimate(point["metrics"][name]) for point in known)])
    caption = f"Measured on {inputs.where}, with intervals by subject. "
    if len(points) > 1:
        caption += (
            "Thresholds chosen on validation: most stays foreseen with so many false alarms per "
            "patient-day, or fewest false alarms with such a share of stays foreseen. "
        )
    caption += (
        "The utility counts every hour above the threshold, silenced or not, up to the onset; the "
        "Challenge of 2019 goes on for three hours, so its published scores are others."
    )
    notes = [f"{_called(point['name'])}: {point['not_estimable']}" for point in points
             if point["threshold"] is None]  # fmt: skip
    head = ["", *(", ".join(names) for names, _ in merged.values())]
    return {"caption": caption, "head": head, "rows": rows, "notes": notes}


def _called(point: str) -> str:
    if point == "in_use":
        return "In use"
    name, _, number = point.rpartition("_")
    return _POINTS.get(name, name).format(number)


def _compared(found: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """The network beside each baseline, at thresholds that give as many false alarms."""
    head = ["Model", "AUROC of stays", "AUPRC of stays", "Foreseen, false alarms ≤ 1",
            "Lead time there, median", "Utility, in use"]  # fmt: skip
    rows = [["Network", *_summary(found)]]
    for name, block in others.items():
        rows.append([label(name), *_summary(block)])
        less = block.get("difference") or {}
        cells = [with_p(less.get(key)) for key in
                 ("stay_auroc", "stay_auprc", f"stay_sensitivity at {_MATCHED}")]  # fmt: skip
        rows.append(
            [f"Network − {label(name, capital=False)}", *cells, "", with_p(less.get("utility"))]
        )
    caption = (
        "Stays are ranked by their highest risk in windows of equal length. Thresholds for one "
        "false alarm per patient-day are each model's own, chosen on validation. Differences in "
        "pairs of resamples."
    )
    return {"caption": caption, "head": head, "rows": rows}


def _summary(block: Mapping[str, Any]) -> list[str]:
    points = {point["name"]: point.get("metrics") or {} for point in block["operating_points"]}
    matched, used = points.get(_MATCHED, {}), points["in_use"]
    cells = [estimate(block["metrics"][each]) for each in ("stay_auroc", "stay_auprc")]
    cells += [estimate(matched[each]) if matched else "–"
              for each in ("stay_sensitivity", "lead_median")]  # fmt: skip
    return [*cells, estimate(used["utility"])]


def _curve(found: Mapping[str, Any], others: Mapping[str, Any]) -> Figure | None:
    curve = found["curve"]
    false, foreseen = plottable(curve["false_alarms_per_day"]), plottable(curve["stay_sensitivity"])
    if not np.isfinite(foreseen).any():
        return None
    low, high = plottable(curve["low"]), plottable(curve["high"])
    used = found["operating_points"][0]["metrics"]

    def plot(axes: Any) -> None:
        order = np.argsort(false, kind="stable")
        band(axes, false[order], {"low": low[order], "high": high[order]})
        for (name, block), colour in zip(others.items(), CYCLE[1:], strict=False):
            x, y = (plottable(block["curve"][each])
                    for each in ("false_alarms_per_day", "stay_sensitivity"))  # fmt: skip
            axes.plot(x, y, color=colour, linewidth=1, label=label(name))
        axes.plot(false, foreseen, color=BLUE, label="Network")
        x, y = (used[each]["value"] for each in ("false_alarms_per_day", "stay_sensitivity"))
        if y is not None:
            axes.plot(x, y, "o", color=BLUE, markersize=5)
        axes.set(xlabel="false alarms per patient-day", ylabel="event stays foreseen",
                 xlim=(0, None), ylim=(-0.02, 1.02))  # fmt: skip
        axes.legend(loc="lower right")

    caption = (
        "Each point is a threshold; the dot is the one in use. A long silence after each alarm "
        "can make a lower threshold foresee fewer stays."
    )
    title = "Stays foreseen and false alarms"
    sensible = "; ".join(
        f"{readable(y)} at {readable(x)}"
        for x, y in zip(false[::-12], foreseen[::-12], strict=True)
    )
    return draw("early-curve", title, caption, f"{title}: {sensible}", plot)


def _leads(found: Mapping[str, Any]) -> Figure | None:
    histogram = found.get("lead_histogram")
    if not histogram or not sum(histogram["counts"]):
        return None
    edges, counts = np.array(histogram["edges"], float), np.array(histogram["counts"])

    def plot(axes: Any) -> None:
        axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=BLUE, edgecolor="white")
        axes.set(xlabel="hours from the first true alarm to the onset", ylabel="event stays")
        axes.invert_xaxis()
        axes.yaxis.get_major_locator().set_params(integer=True)

    missed = histogram["missed"]
    caption = f"At the threshold in use. {count(missed)} event stays had no true alarm."
    bars = ", ".join(f"{n} up to {edge:g}" for n, edge in zip(counts, edges[1:], strict=True))
    title = "Lead time"
    return draw("early-leads", title, caption, f"{title} in hours: {bars}", plot)


def _timelines(found: Mapping[str, Any]) -> Figure | None:
    lines = found.get("timelines")
    if not lines:
        return None
    threshold = found["operating_points"][0]["threshold"]
    top = max([threshold, *(max(each["risk"]) for each in lines)]) * 1.08

    def plot(axes: Any) -> None:
        for lane, line in enumerate(reversed(lines)):
            risk = lane + 0.86 * np.array(line["risk"], float) / top
            limit = lane + 0.86 * threshold / top
            axes.fill_between(line["hours"], lane, risk, color=BLUE, alpha=0.12, linewidth=0)
            axes.plot(line["hours"], risk, color=BLUE, linewidth=1.1)
            axes.plot([line["hours"][0], line["hours"][-1]], [limit] * 2, color=GREY, linewidth=0.8,
                      linestyle=":")  # fmt: skip
            at = np.isin(line["hours"], line["alarms"])
            axes.plot(np.array(line["hours"])[at], risk[at], "v", color=ORANGE, markersize=5)
            if line["onset_hour"] is not None:
                axes.plot([line["onset_hour"]] * 2, [lane, lane + 0.9], color=INK, linewidth=1.6)
        names = [f"{i}: {line['kind']}" for i, line in enumerate(lines, 1)]
        axes.set_yticks(np.arange(len(lines)) + 0.4, names[::-1])
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.set(xlabel="hours since the start of the stay", ylim=(-0.05, len(lines)))

    title = "Some stays, hour by hour"
    caption = (
        f"Drawn by lot within each kind, numbered only. Blue: risk, each lane from 0 to "
        f"{readable(top)}; dotted: the threshold in use; triangles: alarms; upright line: onset."
    )
    alt = "; ".join(
        f"stay {i}, {line['kind']}: {len(line['alarms'])} alarms in {len(line['hours'])} hours"
        for i, line in enumerate(lines, 1)
    )
    size = (WIDE[0], 0.75 + 0.62 * len(lines))
    return draw("early-stays", title, caption, f"{title}: {alt}", plot, size=size, left=1.1,
                broad=True)  # fmt: skip

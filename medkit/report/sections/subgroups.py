"""Subgroups: a forest plot, a table of each attribute, gaps between groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from medkit.report.drawing import BLUE, INK, REFERENCE, Figure, draw
from medkit.report.inputs import ReportInputs
from medkit.report.section import section
from medkit.report.sections.calibration import blocks_of
from medkit.report.templates import estimate, label, readable, with_p

# The metrics that the tables have room for, beside the leading one.
_COLUMNS = ("auprc", "recall", "specificity", "accuracy", "f1_macro", "rmse", "r2")
_MOST_COLUMNS = 4
_MOST_ROWS = 60
_MOST_LETTERS = 26
_ROW = 0.205  # inches
_GAPS = {
    "equal_opportunity": "Equal opportunity (sensitivity)",
    "false_positive_rate": "False positive rate",
    "equalized_odds": "Equalized odds (larger of both, absolute)",
    "predictive_parity": "Predictive parity (PPV)",
    "demographic_parity": "Demographic parity (share called positive)",
    "discrimination": "Discrimination (AUROC)",
    "mean_absolute_error": "Mean absolute error",
}


@section("subgroups", "Subgroups", 110, external=True)
def subgroups_section(inputs: ReportInputs) -> dict[str, Any] | None:
    """What the page says of ``metrics["subgroups"]`` and ``metrics["fairness"]``."""
    groups = inputs.metrics.get("subgroups")
    if not groups:
        return None
    reported = inputs.metrics["test"]["metrics"]
    others = [name for name in _COLUMNS if name in reported and name != inputs.main]
    columns = [inputs.main, *others][:_MOST_COLUMNS]
    return {"groups": groups, "columns": columns, "forest": forest(inputs),
            "fairness": fairness_section(inputs)}  # fmt: skip


def forest(inputs: ReportInputs) -> list[Figure]:
    """The leading metric by group, and the calibration slope or bias where it was measured."""
    subgroups = inputs.metrics.get("subgroups") or {}
    if not subgroups:
        return []
    test = inputs.metrics["test"]
    rows = _rows(subgroups, lambda group: (group.get("metrics") or {}).get(inputs.main))
    figures = [_plot(inputs, "forest", inputs.leading.label, test["metrics"][inputs.main], rows)]
    key = "bias" if _calibrated(test, "bias") else "observed_expected"
    overall = _calibrated(test, key)
    rows = _rows(subgroups, lambda group: _calibrated(group, key))
    if overall and any(found and found.get("value") is not None for _, _, found, _ in rows):
        name = "bias" if key == "bias" else "observed : expected events"
        figures.append(_plot(inputs, "forest-calibration", name, overall, rows,
                             0.0 if key == "bias" else 1.0))  # fmt: skip
    return figures


def _calibrated(group: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
    blocks = blocks_of(group.get("calibration") or {})
    if len(blocks) != 1:
        return None
    found: Mapping[str, Any] | None = next(iter(blocks.values())).get("metrics", {}).get(key)
    return found


def _rows(subgroups: Mapping[str, Any], of_group: Any) -> list[tuple[str, str, Any, int]]:
    """(name, text at the right, value with bounds or None, n), headings with n = 0."""
    rows: list[tuple[str, str, Any, int]] = []
    for attribute, groups in subgroups.items():
        rows.append((str(attribute), "", None, 0))
        for name, group in groups.items():
            if "suppressed" in group:
                rows.append((f"   {name}", "not shown: too few", None, -1))
                continue
            found = of_group(group)
            value = None if found is None or found.get("value") is None else found
            text = "not estimable" if value is None else estimate(found)
            rows.append((f"   {name}", text, value, group["n"]))
    return rows[:_MOST_ROWS]


def _plot(
    inputs: ReportInputs, key: str, name: str, overall: Mapping[str, Any],
    rows: list[tuple[str, str, Any, int]], ideal: float | None = None,
) -> Figure:  # fmt: skip
    shown = [*rows, (f"All {inputs.samples}", estimate(overall), overall, 0)]
    largest = max((n for *_, n in rows), default=1) or 1

    def plot(axes: Any) -> None:
        axes.grid(axis="y", visible=False)
        if overall.get("value") is not None:
            axes.axvline(overall["value"], **REFERENCE)
        if ideal is not None:
            axes.axvline(ideal, color=INK, linewidth=0.8)
        for i, (_, _, found, n) in enumerate(reversed(shown)):
            if found is None or found.get("value") is None:
                continue
            if found.get("low") is not None:
                axes.plot([found["low"], found["high"]], [i, i], color=BLUE, linewidth=1.3)
            whole = i == 0
            size = 7.0 if whole else 3.5 + 4.5 * np.sqrt(max(n, 0) / largest)
            axes.plot(found["value"], i, "D" if whole else "s", color=BLUE, markersize=size)
        _labels(axes, shown)
        axes.set(xlabel=name, ylim=(-0.7, len(shown) - 0.4))

    alt = "; ".join(f"{group.strip()} {text}" for group, text, *_ in shown if text)
    height = 0.6 + _ROW * len(shown)
    title = f"{name[:1].upper()}{name[1:]} by group"
    caption = (
        f"Squares: value in the group, larger with more samples; lines: interval; dashed: all "
        f"{inputs.samples} ({readable(overall.get('value'))}). A group whose interval holds the "
        "dashed line may not differ."
    )
    return draw(key, title, caption, f"{title}: {alt}", plot, size=(7.6, height), left=2.0,
                right=2.1, broad=True)  # fmt: skip


def _labels(axes: Any, shown: list[tuple[str, str, Any, int]]) -> None:
    names = []
    for name, _, _, n in reversed(shown):
        short = name if len(name) <= _MOST_LETTERS else name[: _MOST_LETTERS - 1] + "…"
        names.append(f"{short} (n = {n:,})" if n > 0 else short)
    axes.set_yticks(range(len(shown)), names, ha="left")
    axes.tick_params(axis="y", length=0, pad=138)
    for tick, (*_, n) in zip(axes.get_yticklabels(), reversed(shown), strict=True):
        if n == 0:
            tick.set_fontweight("bold")
    for i, (_, text, *_) in enumerate(reversed(shown)):
        axes.annotate(text, (1, i), xycoords=("axes fraction", "data"), xytext=(8, 0),
                      textcoords="offset points", va="center", annotation_clip=False,
                      color=INK)  # fmt: skip


def fairness_section(inputs: ReportInputs) -> dict[str, Any] | None:
    """What the page says of ``metrics["fairness"]``: a table of gaps for each attribute.

    Returns:
        ``{"tables": [{"caption", "head", "rows"}], "notes"}``; None without it.
    """
    found = inputs.metrics.get("fairness")
    if not found:
        return None
    tables, notes = [], []
    for attribute, described in found.items():
        if described.get("note"):
            notes.append(f"{attribute}: {described['note']}")
        gaps = {"": described["gaps"]} if described.get("gaps") else {}
        for key in ("per_label", "per_class", "per_output"):
            gaps.update(described.get(key) or {})
        for name, groups in gaps.items():
            if groups:
                tables.append(_gaps(attribute, name, described.get("reference"), groups))
        for group, reason in (described.get("suppressed") or {}).items():
            notes.append(f"{attribute}, {group}: not shown ({reason})")
    return {"tables": tables, "notes": notes}


def _gaps(
    attribute: str, name: str, reference: str | None, groups: Mapping[str, Any]
) -> dict[str, Any]:
    kinds = list(dict.fromkeys(kind for gaps in groups.values() for kind in gaps))
    rows = [
        [f"{group} − {reference}", *(with_p(gaps.get(kind), "p_holm") for kind in kinds)]
        for group, gaps in groups.items()
    ]
    of = f" ({name})" if name else ""
    caption = (
        f"By {attribute}{of}: the group's number minus that of the largest group, with interval; p "
        "is corrected for all gaps shown here (Holm)."
    )
    return {"caption": caption, "head": ["Groups", *(_GAPS.get(k, label(k)) for k in kinds)],
            "rows": rows}  # fmt: skip

"""``external.html``: a run on the data of another site, beside its development data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medkit.evaluation import main_metric
from medkit.files import write_text
from medkit.report.crossval import calibration_figure
from medkit.report.drawing import BLUE, GREY, WIDE, Figure, draw
from medkit.report.rows import table_one_rows
from medkit.report.templates import bounds, count, label, percent, readable, render, title

_MOST_SHOWN = 25  # rows of the figure of standardised differences
_LARGE = 0.1


def write_external_report(path: Path, facts: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    """Write the page: one file, no script, nothing loaded from anywhere.

    Args:
        path: The file.
        facts: ``run``, ``name``, ``model``, ``task``, ``dataset``, ``data_sha256``,
            ``confidence``, ``sites``.
        result: What ``evaluate_run_on`` returns.
    """
    mix, drop = result.get("case_mix", {}), result.get("performance_drop", {})
    differences = [each for each in mix.get("differences", ()) if each["value"] is not None]
    figures = [_love_plot(differences)] if differences else []
    calibration = result.get("calibration", {})
    drawn = [calibration_figure(calibration, "The new rows.")] if calibration.get("bins") else []
    page = render(
        "external.html.j2",
        facts=facts,
        result=result,
        head=_sentence(result),
        warnings=mix.get("warnings", ()),
        performance=_performance(result),
        reference=drop.get("reference", ""),
        no_drop=drop.get("not_estimable", ""),
        drop_notes=drop.get("notes", ()),
        notes=result.get("notes", ()),
        calibration=_calibration_rows(calibration),
        calibration_figures=drawn,
        table=_table_one(mix),
        case_mix=mix,
        membership=_membership(mix),
        figures=figures,
        subgroups=_subgroups(result),
        main=main_metric(result["metrics"]),
        confidence=percent(facts["confidence"], 0),
    )
    write_text(path, page)


def _sentence(result: Mapping[str, Any]) -> str:
    main = main_metric(result["metrics"])
    found = result["metrics"][main]
    text = f"{title(main)} {_with_bounds(found)} in {count(result['n'])} new samples"
    drop = result.get("performance_drop", {}).get("metrics", {}).get(main)
    if drop and drop["value"] is not None:
        text += (
            f", against {readable(drop['development'])} in development: a difference of "
            f"{readable(drop['value'])}"
        )
        if drop["low"] is not None:
            text += f" ({readable(drop['low'])} to {readable(drop['high'])})"
    return f"{text}."


def _with_bounds(found: Mapping[str, Any]) -> str:
    between = bounds(found)
    return readable(found["value"]) + (f" ({between})" if between else "")


def _performance(result: Mapping[str, Any]) -> list[list[str]]:
    drops = result.get("performance_drop", {}).get("metrics", {})
    rows = []
    for metric, found in result["metrics"].items():
        row = [title(metric), _with_bounds(found)]
        if drops:
            drop = drops.get(metric, {})
            between = ""
            if drop.get("low") is not None:
                between = f" ({readable(drop['low'])} to {readable(drop['high'])})"
            row += [readable(drop.get("development")), readable(drop.get("value")) + between]
        rows.append(row)
    return rows


def _calibration_rows(calibration: Mapping[str, Any]) -> list[list[str]]:
    return [
        [title(name), _with_bounds(found) if found["value"] is not None else "not estimable: "
         + str(found.get("not_estimable", ""))]
        for name, found in calibration.get("metrics", {}).items()
    ]  # fmt: skip


def _table_one(mix: Mapping[str, Any]) -> dict[str, Any] | None:
    """Table 1 with the standardised difference in the first line of every variable."""
    whole = mix.get("table_one")
    if not whole:
        return None
    values = {(each["role"], each["name"]): each["value"] for each in mix["differences"]}
    groups = []
    for role in ("outcome", "input", "attribute"):
        own = [row for row in whole["rows"] if row["role"] == role]
        ready = table_one_rows({"table_one": {**whole, "rows": own}})
        if ready is None:
            continue
        left = iter(own)
        for heading, lines in ready["groups"]:
            rows = []
            for line in lines:
                value = None if line["under"] else values[role, next(left)["name"]]
                last = "" if line["under"] else "–" if value is None else readable(value)
                rows.append({**line, "cells": [*line["cells"], last]})
            groups.append((heading, rows))
    return {**(table_one_rows({"table_one": whole}) or {}), "groups": groups}


def _membership(mix: Mapping[str, Any]) -> str:
    found = mix.get("membership")
    if found is None:
        return ""
    if found["auroc"] is None:
        return f"Membership model: not estimable, {found['not_estimable']}."
    return (
        f"Membership model: AUROC {_with_bounds(found['auroc'])} of telling development samples "
        f"from new ones by inputs and outcome; {found['reading']}."
    )


def _subgroups(result: Mapping[str, Any]) -> list[list[str]]:
    main = main_metric(result["metrics"])
    rows = []
    for attribute, groups in result.get("subgroups", {}).items():
        for group, found in groups.items():
            named = f"{label(attribute)}: {group}"
            if "suppressed" in found:
                rows.append([named, found["suppressed"], "–", "–"])
                continue
            events = found["positives"] if isinstance(found["positives"], int) else "–"
            row = [named, str(found["n"]), str(events), _with_bounds(found["metrics"][main])]
            rows.append(row)
    return rows


def _love_plot(differences: Sequence[Mapping[str, Any]]) -> Figure:
    shown = sorted(differences, key=lambda each: -abs(each["value"]))[:_MOST_SHOWN][::-1]
    values = [each["value"] for each in shown]

    def plot(axes: Any) -> None:
        for edge in (-_LARGE, _LARGE):
            axes.axvline(edge, color=GREY, linewidth=0.9, linestyle="--")
        axes.axvline(0, color=GREY, linewidth=0.9)
        axes.plot(values, range(len(shown)), "o", color=BLUE, markersize=5)
        axes.set_yticks(range(len(shown)), [str(each["name"])[:28] for each in shown])
        axes.set(xlabel="standardised difference, new less development")

    large = sum(abs(each["value"]) > _LARGE for each in differences)
    said = (
        f"Standardised differences of {len(differences)} variables; {large} beyond 0.1; largest "
        f"{values[-1]:.2f} ({shown[-1]['name']})"
    )
    caption = "Dashed: 0.1, above which a difference counts. Of categories the size alone is shown."
    size = (WIDE[0], max(2.2, 0.24 * len(shown) + 0.8))
    return draw("differences", "Standardised differences", caption, said, plot, size=size,
                left=2.2, broad=True)  # fmt: skip

"""Who is in each part: Table 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medkit.report.inputs import PART_NAMES, ReportInputs
from medkit.report.section import section
from medkit.report.templates import count, percent, readable

_ROLES = {"attribute": "Attributes", "outcome": "Outcome", "input": "Inputs"}
_MOST_CATEGORIES = 12
_MOST_VARIABLES = 40
_KEPT_BACK = "few"


@section("table-one", "Table 1", 30)
def table_one(inputs: ReportInputs) -> dict[str, Any] | None:
    """Table 1 of the parts."""
    return table_one_rows(inputs.metrics)


def table_one_rows(
    metrics: Mapping[str, Any], last: Mapping[tuple[str, str], str] | None = None
) -> dict[str, Any] | None:
    """Table 1 ready to print.

    Args:
        metrics: With ``table_one`` as ``medkit.evaluation.groups.case_mix`` describes it.
        last: (Role, variable) -> a cell more in the first line of each variable; None: no such.

    Returns:
        ``{"parts": [(title, "398 samples of 398 subjects")], "groups": [(title, [row])],
        "notes", "minimum"}`` where a row is ``{"name", "under": bool, "cells": [text]}``; None
        without a table.
    """
    table = metrics.get("table_one")
    if not table or not table.get("rows"):
        return None
    parts = [name for name in ("train", "valid", "test") if name in table["parts"]]
    parts += [name for name in table["parts"] if name not in parts]
    heads = []
    for name in parts:
        of_part = table["parts"][name]
        heads.append((PART_NAMES.get(name, name), f"n = {count(of_part['n'])}"))
    groups, notes = [], list(table.get("notes", ()))
    for role, title in _ROLES.items():
        of_role = [each for each in table["rows"] if each.get("role", "input") == role]
        rows = []
        for each in of_role[:_MOST_VARIABLES]:
            lines = _lines(each, parts)
            if last is not None:
                for line in lines:
                    line["cells"].append("" if line["under"] else last[role, each["name"]])
            rows += lines
        if rows:
            groups.append((title, rows))
        if len(of_role) > _MOST_VARIABLES:
            notes.append(f"{title.lower()}: {_MOST_VARIABLES} of {len(of_role)} are shown here; "
                         "the others are in metrics.json")  # fmt: skip
    return {
        "parts": heads,
        "groups": groups,
        "notes": notes,
        "minimum": table.get("minimum_group"),
    }


def _lines(row: Mapping[str, Any], parts: list[str]) -> list[dict[str, Any]]:
    name = f"{row['name']} ({row['unit']})" if row.get("unit") else str(row["name"])
    found = [row["parts"].get(part) or {} for part in parts]
    lines: list[dict[str, Any]] = []
    if row["kind"] == "numeric":
        lines.append({"name": name, "under": False, "cells": [_number(each) for each in found]})
    else:
        lines.append({"name": name, "under": False,
                      "cells": [each.get("suppressed", "") for each in found]})  # fmt: skip
        categories: dict[str, None] = {}
        for each in found:
            categories.update(dict.fromkeys(each.get("counts") or {}))
        shown = list(categories)[:_MOST_CATEGORIES]
        lines += [
            {"name": str(category), "under": True,
             "cells": [_share(each, category) for each in found]}
            for category in shown
        ]  # fmt: skip
        if len(categories) > len(shown):
            rest = f"and {len(categories) - len(shown)} more"
            lines.append({"name": rest, "under": True, "cells": [""] * len(found)})
    if any("icc" in each for each in found):
        cells = [_alike(each) for each in found]
        name = "intra-class correlation within subjects (design effect)"
        lines.append({"name": name, "under": True, "cells": cells})
    if any(each.get("missing") for each in found):
        cells = [_missing(each) for each in found]
        lines.append({"name": "missing", "under": True, "cells": cells})
    return lines


def _number(found: Mapping[str, Any]) -> str:
    if "suppressed" in found:
        return str(found["suppressed"])
    if found.get("median") is None and found.get("mean") is None:
        return "–"
    spread = "" if found.get("sd") is None else f" ± {readable(found['sd'])}"
    middle = ""
    if found.get("q1") is not None:
        quartiles = f"{readable(found['q1'])}, {readable(found['q3'])}"
        middle = f"; {readable(found['median'])} [{quartiles}]"
    return f"{readable(found['mean'])}{spread}{middle}"


def _share(found: Mapping[str, Any], category: str) -> str:
    counts = found.get("counts")
    if not counts or category not in counts:
        return "" if "suppressed" in found else "0"
    n = counts[category]
    if n is None:
        return _KEPT_BACK
    return f"{count(n)} ({percent(n / found['n'] if found.get('n') else None)})"


def _missing(found: Mapping[str, Any]) -> str:
    missing = found.get("missing", 0)
    if missing is None:
        return _KEPT_BACK
    rows = (found.get("n") or 0) + missing
    return f"{count(missing)} ({percent(missing / rows)})" if missing else "0"


def _alike(found: Mapping[str, Any]) -> str:
    if "icc" not in found:
        return "–"
    return f"{readable(found['icc'])} ({readable(found['design_effect'])})"

"""The rows' way as a drawn diagram: read, dropped and why, split."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from medkit.report.drawing import Figure
from medkit.report.inputs import ReportInputs
from medkit.report.section import section
from medkit.report.sections.summary import parts_of

_WIDTH, _PAD, _LINE, _GAP = 760, 12, 18, 34
_MOST_REASONS = 12
_COLOURS = {"": ("#ffffff", "#8a94a0"), "dropped": ("#fdf6e7", "#a8730a"),
            "part": ("#f4f7fa", "#1f5fa8")}  # fmt: skip


@section("rows", "Rows", 20)
def rows(inputs: ReportInputs) -> dict[str, Any]:
    """The flow diagram, and what the data set notes."""
    flow = flow_diagram(inputs.metrics.get("flow", {}), parts_of(inputs))
    return {"flow": flow, "notes": inputs.source.notes}


def flow_diagram(
    flow: Mapping[str, Any], parts: Sequence[tuple[str, Sequence[str]]]
) -> Figure | None:
    """Boxes and arrows from the rows read to the parts.

    Args:
        flow: ``rows_read`` and ``dropped`` (reason -> rows) of ``metrics["flow"]``.
        parts: Name and lines of text of each part, from left to right.

    Returns:
        The figure; None where not even the parts are known.
    """
    if not parts:
        return None
    dropped = dict(flow.get("dropped", {}))
    read = flow.get("rows_read") or 0
    kept = read - sum(dropped.values())
    drawn: list[str] = []
    y = 4.0
    centre = 210.0
    if read:
        box, height = _box(60, y, 300, f"{read:,} samples read", [])
        drawn.append(box)
        gone = _reasons(dropped)
        side, side_height = _box(430, y, 326, f"{sum(dropped.values()):,} dropped", gone, "dropped")
        drawn.append(side)
        drawn.append(_arrow([(360, y + height / 2), (430, y + height / 2)]))
        below = max(y + side_height + 14, y + height + _GAP)
        drawn.append(_arrow([(centre, y + height), (centre, below)]))
        box, height = _box(60, below, 300, f"{kept:,} samples used", [])
        drawn.append(box)
        y = below + height
    width = (_WIDTH - 8 - 16 * (len(parts) - 1)) / len(parts)
    top = y + (2 * _GAP if read else 0)
    tallest = 0.0
    for i, (name, lines) in enumerate(parts):
        left = 4 + i * (width + 16)
        box, height = _box(left, top, width, name, lines, "part")
        drawn.append(box)
        tallest = max(tallest, height)
        if read:
            middle = y + _GAP
            drawn.append(
                _arrow([(centre, y), (centre, middle), (left + width / 2, middle),
                        (left + width / 2, top)])
            )  # fmt: skip
    total = top + tallest + 6
    alt = f"{read:,} samples read, {sum(dropped.values()):,} dropped; " if read else ""
    alt += "; ".join(", ".join([name, *lines]) for name, lines in parts)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {total:.0f}" role="img" '
        f'aria-label="{html.escape(alt)}" font-size="14" fill="#1d2833">'
        '<defs><marker id="flow-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8Z" fill="#53606d"/></marker></defs>'
        + "".join(drawn)
        + "</svg>"
    )
    return Figure("The samples' way", "", svg, broad=True)


def _reasons(dropped: Mapping[str, int]) -> list[str]:
    if not dropped:
        return ["none"]
    listed = [f"{reason}: {n:,}" for reason, n in list(dropped.items())[:_MOST_REASONS]]
    more = len(dropped) - _MOST_REASONS
    return [*listed, f"and {more} other reasons"] if more > 0 else listed


def _box(
    x: float, y: float, width: float, heading: str, lines: Sequence[str], kind: str = ""
) -> tuple[str, float]:
    """The element and its height; long lines are folded at what fits the width."""
    letters = max(int((width - 2 * _PAD) / 7.4), 8)
    heads = textwrap.wrap(heading, letters) or [""]
    rest = [folded for line in lines for folded in textwrap.wrap(line, letters)]
    height = 2 * _PAD + _LINE * (len(heads) + len(rest)) - 4
    fill, edge = _COLOURS[kind]
    text = [
        f'<text x="{x + _PAD:.1f}" y="{y + _PAD + 13 + i * _LINE:.1f}"'
        + (' font-weight="650"' if i < len(heads) else "")
        + f">{html.escape(line)}</text>"
        for i, line in enumerate([*heads, *rest])
    ]
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="6" '
        f'fill="{fill}" stroke="{edge}"/>' + "".join(text)
    ), height


def _arrow(points: Sequence[tuple[float, float]]) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return (
        f'<polyline points="{path}" fill="none" stroke="#53606d" stroke-width="1.4" '
        'marker-end="url(#flow-tip)"/>'
    )

"""One figure as inline SVG, with a text that says what it shows."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

BLUE, ORANGE, GREY, INK = "#1f5fa8", "#c2571a", "#8a94a0", "#22303c"
CYCLE = (BLUE, ORANGE, "#2e7d4f", "#8e4585", "#7a6a1c", "#b0344a", "#4a7f9c", "#5b5b9e")
_STYLE: dict[Any, Any] = {
    "text.parse_math": False,  # a column may be called $x
    "svg.fonttype": "none",  # text stays text: smaller, searchable, in the page's own font
    "svg.hashsalt": "medkit",  # the same figure has the same bytes
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.grid": True,
    "grid.color": "#e4e8ec",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "lines.linewidth": 1.6,
    "path.simplify_threshold": 0.5,
}


#: Of the dots of a scatter plot.
DOTS: dict[str, Any] = {
    "color": BLUE, "alpha": 0.55, "markersize": 3.2, "linestyle": "none", "marker": "o",
    "markeredgewidth": 0,
}  # fmt: skip
#: Of a line to compare with: chance, perfect prediction, no difference.
REFERENCE: dict[str, Any] = {"color": GREY, "linewidth": 0.9, "linestyle": "--"}
_MOST_POINTS = 800
SIZE = (3.7, 3.1)  # inches; three of them stand side by side
WIDE = (7.6, 3.1)


@dataclass(frozen=True)
class Figure:
    """A drawn figure.

    Args:
        title: Heading.
        caption: What to read from it.
        svg: The inline ``<svg>`` element, with its alternative text.
        broad: Whether it takes the page's whole width.
    """

    title: str
    caption: str
    svg: str
    broad: bool = False


def draw(
    name: str,
    title: str,
    caption: str,
    alternative: str,
    plot: Callable[[Any], None],
    *,
    size: tuple[float, float] = SIZE,
    left: float = 0.68,
    right: float = 0.12,
    broad: bool = False,
) -> Figure:
    """Draw one figure of one pair of axes.

    Args:
        name: Unique in the page; prefix of the element ids.
        title: Heading.
        caption: What to read from it.
        alternative: What a reader who cannot see it should know.
        plot: Draws on the axes.
        size: Width and height in inches.
        left: Inches left of the axes; 0.68 is room for 0.0025 or 1,000.
        right: Inches right of the axes.
        broad: Whether it takes the page's whole width.
    """
    import matplotlib
    import matplotlib.figure  # no pyplot: no window system, no global state

    width, height = size
    with matplotlib.rc_context(_STYLE):
        drawing = matplotlib.figure.Figure(figsize=size)
        bottom, top = 0.46, 0.1
        axes = drawing.add_axes(
            (left / width, bottom / height, 1 - (left + right) / width,
             1 - (bottom + top) / height)
        )  # fmt: skip
        plot(axes)
        buffer = io.StringIO()
        drawing.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return Figure(title, caption, inline(buffer.getvalue(), name, alternative), broad)


def inline(svg: str, name: str, alternative: str) -> str:
    """An SVG file as an element of the page: ids of its own, and an alternative text."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # Several figures share one page: their ids must differ.
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    box = re.search(r'viewBox="[^"]*"', svg)
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'{box.group(0) if box else ""} role="img" aria-label="{html.escape(alternative)}">'
    )
    return opening + svg[svg.index(">") + 1 :].strip()


def some_rows(count: int) -> tuple[np.ndarray, str]:
    """Rows to draw, at random where they are very many, so that the page stays small; a caption."""
    if count <= _MOST_POINTS:
        return np.arange(count), ""
    rows = np.sort(np.random.default_rng(0).choice(count, _MOST_POINTS, replace=False))
    return rows, f" {_MOST_POINTS} of {count} rows, at random."


def thinned(*curves: np.ndarray, most: int = 300) -> list[np.ndarray]:
    """Every so many points of long curves, ends kept."""
    count = len(curves[0])
    kept = np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))
    return [curve[kept] for curve in curves]


def unit_square(axes: Any) -> None:
    """Both axes from 0 to 1."""
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))


def diagonal(axes: Any, ends: Sequence[float] = (0, 1)) -> None:
    """The line on which both axes say the same."""
    axes.plot(ends, ends, **REFERENCE)


def band(axes: Any, at: Any, bounds: Mapping[str, Any], colour: str = BLUE) -> None:
    """The interval of a curve: ``low`` and ``high``, each as long as ``at``."""
    low, high = plottable(bounds["low"]), plottable(bounds["high"])
    axes.fill_between(at, low, high, color=colour, alpha=0.16, linewidth=0)


def plottable(values: Any) -> np.ndarray:
    """Numbers to draw: None, which JSON has for what is undefined, leaves a gap."""
    return np.array([np.nan if each is None else each for each in values], dtype=float)

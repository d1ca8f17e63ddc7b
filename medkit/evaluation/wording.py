"""Numbers as a reader takes them."""

from __future__ import annotations


def readable(value: float | None) -> str:
    """A number with as many digits as a reader can use."""
    if value is None:
        return "undefined"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    if size > 1:
        return f"{value:.1f}" if size >= 100 else f"{value:.2f}"
    return f"{value:.3f}" if size >= 0.001 or value == 0 else f"{value:.2g}"

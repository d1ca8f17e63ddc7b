"""Pages from templates: one environment, one way to write numbers."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medkit.evaluation import readable as _readable
from medkit.evaluation.methods import baseline_name
from medkit.tasks.outcomes import Metric

__all__ = [
    "bounds", "count", "estimate", "label", "p_value", "percent", "readable", "render", "sentence",
    "with_p",
]  # fmt: skip


# A template lies beside the code that fills it.
_FOLDERS = [Path(__file__).parent / room for room in ("", "sections", "pages")]
_SMALLEST_P = 0.001


def render(template: str, **context: Any) -> str:
    """A page of this folder's templates; text is escaped, an unknown name is an error.

    Args:
        template: Name of the file, ``report.html.j2``.
        context: What the template names.
    """
    return _environment().get_template(template).render(**context).lstrip()


@functools.cache
def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDERS),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        number=readable, count=count, estimate=estimate, bounds=bounds,
        small=small, label=label, percent=percent, sentence=sentence,
    )  # fmt: skip
    environment.globals["arrow"] = _arrow
    environment.globals["delong"] = delong
    return environment


def _arrow(metric: Metric) -> str:
    return {"more": "↑", "less": "↓", "neither": ""}[metric.better]


def readable(value: float | None) -> str:
    """A number as the page shows it, with a true minus sign."""
    return _readable(value).replace("-", "−")


def percent(share: float | None, digits: int = 1) -> str:
    """``36.8 %`` of 0.368; ``–`` for None."""
    return "–" if share is None else f"{100 * share:.{digits}f}\u00a0%".replace("-", "−")


def label(name: str, capital: bool = True) -> str:
    """``gradient_boosting`` as ``Gradient boosting``; as it stands in a sentence: no capital."""
    text = baseline_name(str(name))
    return text[:1].upper() + text[1:] if capital else text


def sentence(text: str) -> str:
    """With a capital at its start and a full stop at its end."""
    text = str(text).strip().rstrip(".")
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def count(value: Any) -> str:
    """A whole number with separators; ``–`` for None."""
    return "–" if value is None else f"{value:,}"


def estimate(found: Mapping[str, Any] | None) -> str:
    """``0.973 (0.925 to 1.000)``, ``not estimable: REASON``; ``–`` where nothing was measured."""
    if not found:
        return "–"
    if found.get("value") is None:
        return f"not estimable: {found['not_estimable']}" if found.get("not_estimable") else "–"
    between = bounds(found)
    return readable(found["value"]) + (f" ({between})" if between else "")


def with_p(found: Mapping[str, Any] | None, key: str = "p") -> str:
    """An estimate and the p-value under ``key``, where there is one."""
    p = (found or {}).get(key)
    return estimate(found) if p is None else f"{estimate(found)}, p {p_value(p)}"


def bounds(found: Mapping[str, Any]) -> str:
    """``0.93 to 1.00, Wilson``; what is known of how far a value would move, empty if nothing."""
    if found.get("degenerate"):
        return "the same in all resamples"
    lost = f"undefined in {count(found['undefined'])} resamples" if found.get("undefined") else ""
    if found.get("low") is None:
        return str(found.get("note") or lost)
    method = ", Wilson" if found.get("method") == "wilson" else ""
    lost = f", {lost}" if lost else ""
    return f"{readable(found['low'])} to {readable(found['high'])}{method}{lost}"


def delong(found: Mapping[str, Any] | None) -> Any:
    """DeLong's interval as a line of its own; empty without one."""
    from markupsafe import Markup

    bounds_of = (found or {}).get("delong") or {}
    if bounds_of.get("low") is None:
        return ""
    between = f"{readable(bounds_of['low'])} to {readable(bounds_of['high'])}"
    return Markup('<span class="below">DeLong {}</span>').format(between)


def p_value(p: float | None) -> str:
    """``0.034``, ``below 0.001``, ``–`` for None."""
    if p is None:
        return "–"
    return f"below {_SMALLEST_P:g}" if p < _SMALLEST_P else f"{p:.3f}"


def small(value: Any) -> str:
    """Any small value of the environment as text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {each}" for key, each in value.items())
    return "–" if value is None else str(value)

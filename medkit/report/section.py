"""Sections of a page, registered where they are written.

A section is a function in ``report/sections/``, with a template of its name beside it:
``early-warning`` has ``early_warning.html.j2``. It says for which kinds of outcome it stands and
where, and the pages are built from what registered, so that a new section is no edit elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from medkit.core.registry import import_modules
from medkit.report.inputs import ReportInputs

PACKAGE = "medkit.report.sections"

Fill = Callable[[ReportInputs], Any]


@dataclass(frozen=True)
class ReportSection:
    """One section.

    Args:
        name: Its id on the page: ``early-warning``.
        title: What it is called in the list of contents.
        order: Its place on the page; the smallest is first.
        fill: Gives what its template shows as ``its``; None leaves the section out.
        template: The template.
        kinds: Kinds of outcome that it is for; None: any.
        external: Whether it also stands on the page of an external validation.
    """

    name: str
    title: str
    order: int
    fill: Fill
    template: str
    kinds: tuple[str, ...] | None
    external: bool


_registered: dict[str, ReportSection] = {}


def section(
    name: str,
    title: str,
    order: int,
    *,
    kinds: tuple[str, ...] | None = None,
    external: bool = False,
) -> Callable[[Fill], Fill]:
    """Register the decorated function as a section; see ``ReportSection``.

    Raises:
        ValueError: Another module has a section of that name.
    """

    def decorate(fill: Fill) -> Fill:
        template = f"{name.replace('-', '_')}.html.j2"
        before = _registered.get(name)
        if before is not None and before.fill.__module__ != fill.__module__:
            raise ValueError(f"section '{name}' is registered twice: {before.fill.__module__}")
        _registered[name] = ReportSection(name, title, order, fill, template, kinds, external)
        return fill

    return decorate


def filled(inputs: ReportInputs, *, external: bool = False) -> list[tuple[ReportSection, Any]]:
    """The sections that these inputs fill, in order, each with what its template shows.

    Args:
        inputs: What the page is made from.
        external: Only those of the page of an external validation.
    """
    import_modules(PACKAGE)
    kind = inputs.task.outcome
    found = []
    for each in sorted(_registered.values(), key=lambda each: each.order):
        if (each.kinds is None or kind in each.kinds) and (each.external or not external):
            content = each.fill(inputs)
            if content is not None:
                found.append((each, content))
    return found

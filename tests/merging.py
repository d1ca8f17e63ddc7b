"""Settings of a dataset put together group by group."""

from __future__ import annotations


def merged(*settings: dict) -> dict:
    """One mapping; of a group in several, all parameters, the later ones first."""
    found: dict = {}
    for each in settings:
        for key, value in each.items():
            both = isinstance(value, dict) and isinstance(found.get(key), dict)
            found[key] = {**found[key], **value} if both else value
    return found

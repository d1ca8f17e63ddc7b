"""Events of stays: times, variables, values, from files or a database."""

from medkit.datasets.events.events import events

__all__ = ["events"]

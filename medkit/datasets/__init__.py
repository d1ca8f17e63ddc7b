"""Datasets: each turns one kind of source into a Cohort. Nothing is learned here.

``from medkit.datasets import events`` gives the function, as for every registered name.
"""

from medkit.core.registry import datasets as _registry

_registry.discover()
# After discovery, so that the name is the function and not the module of the same name.
globals().update({_name: _registry.get(_name).factory for _name in _registry.names()})
__all__ = [*_registry.names()]

"""Model factories: plain functions that return an uncompiled keras.Model.

``from medkit.models import mlp`` works for every registered name.
"""

from medkit.core.registry import models as _registry

_registry.discover()
# After discovery, so that the name is the factory and not the module of the same name.
globals().update({_name: _registry.get(_name).factory for _name in _registry.names()})
__all__ = _registry.names()

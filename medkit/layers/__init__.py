"""Keras layers of medkit's own: preprocessing inside the model, and what its networks need.

Importing this package registers every layer with Keras, so that a saved model loads with
``safe_mode=True``.
"""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

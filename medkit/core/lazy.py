"""Heavy packages, imported at first use: ``from medkit.core.lazy import keras, pd``.

`medkit --help`, `models`, `validate` and `schema` read the extensions' signatures and so
import their modules; none of them may pay seconds for Keras or pandas.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any


class _LazyModule:
    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)


if TYPE_CHECKING:
    import keras
    import pandas as pd
    from keras import ops
else:
    keras = _LazyModule("keras")
    ops = _LazyModule("keras.ops")
    pd = _LazyModule("pandas")

__all__ = ["keras", "ops", "pd"]

"""Networks that do not fit into memory are refused before their weights are made."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

from medkit.core.lazy import keras
from medkit.core.limits import check_memory

# Weights, their gradients, and the two moments of Adam.
IN_TRAINING = 4


@contextlib.contextmanager
def within_memory(copies: int = 1) -> Iterator[None]:
    """Count the weights of what is built in the block, and stop before they are too many.

    Keras makes each weight as soon as its layer knows its shape, and has no way to ask first.

    Args:
        copies: Arrays of the weights' size: 1 to predict, ``IN_TRAINING`` to train.

    Raises:
        DataError: They would take more memory than there is (``MEDKIT_MAX_MEMORY_GB``).
    """
    layer, total = keras.layers.Layer, 0
    add_weight = layer.add_weight

    def weighed(self: Any, shape: Any = None, *given: Any, **named: Any) -> Any:
        nonlocal total
        total += math.prod(shape or ())
        what = f"a network of {total:,} weights or more"
        if copies > 1:
            what += ", with what training keeps of each,"
        check_memory(4 * copies * total, what, "model", "Make it smaller.")
        return add_weight(self, shape, *given, **named)

    layer.add_weight = weighed
    try:
        yield
    finally:
        layer.add_weight = add_weight

"""Networks as functions of encoded samples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from medkit.data.inputs import Inputs

#: Encoded samples -> (n, outputs).
Predict = Callable[[Inputs], np.ndarray]

#: (k n, …) changed copies of one input of n samples, one below the other -> (k n, outputs).
OfOne = Callable[[np.ndarray], np.ndarray]


def of_one_input(predict: Predict, inputs: Inputs, name: str) -> OfOne:
    """The outputs for changed copies of one input, the others as they are."""

    def call(x: np.ndarray) -> np.ndarray:
        rows = np.arange(len(x)) % len(inputs)
        return predict(inputs.take(rows).replaced(name, x))

    return call

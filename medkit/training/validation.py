"""Watched metrics over a fixed set of rows, without making iterators anew each epoch."""

from __future__ import annotations

from typing import Any

import numpy as np

from medkit.core.lazy import keras
from medkit.training.feed import (
    even_batches,
    for_keras,
    is_stream,
    row_bytes,
    row_count,
    rows_without_gradient,
)
from medkit.training.fused import test_on_batches

_KEPT_BYTES = 512 * 1024**2  # more than this is read again each epoch


class Evaluator:
    """Loss and watched metrics of a compiled model over the same rows, as often as called.

    Args:
        model: A compiled model.
        x: Arrays or a stream.
        y: Encoded targets; None with a stream.
        batch_size: Training batch size; evaluation batches are larger where memory allows.
    """

    def __init__(self, model: Any, x: Any, y: Any, batch_size: int):
        self.model, self.x, self.y = model, x, y
        self.batches: list[Any] | None = None
        if is_stream(x):
            return
        self.rows = rows_without_gradient(model, batch_size)
        count, small = row_count((x, y)), row_bytes((x, y))
        one_batch = count <= self.rows
        if count * small <= _KEPT_BYTES and (one_batch or keras.backend.backend() != "jax"):
            batches = list(even_batches((x, y), self.rows))
            self.batches = keras.tree.map_structure(keras.ops.convert_to_tensor, batches)

    def __call__(self) -> dict[str, float]:
        """Metric name -> value."""
        model = self.model
        if self.batches is None:
            x, y = self.x, self.y
            if not is_stream(x):
                x, y = for_keras(x, y, self.rows)
            given = {} if is_stream(x) else {"batch_size": self.rows}
            logs = model.evaluate(x, y, verbose=0, return_dict=True, **given)
        elif len(self.batches) == 1:
            logs = model.test_on_batch(*self.batches[0], return_dict=True)
        else:
            logs = test_on_batches(model, self.batches)
        return {name: float(value) for name, value in logs.items()}


def predict(model: Any, data: Any, rows: int | None = None) -> np.ndarray:
    """(n, …) float64: the outputs of a model with one output, as `batch_outputs` gives them."""
    return np.asarray(batch_outputs(model, data, rows), np.float64)


def batch_outputs(model: Any, data: Any, rows: int | None = None) -> Any:
    """The model's outputs, an array or arrays by name, a batch in memory at a time.

    A call of Keras' own ``predict`` takes about 0.1 s, to make a data set of the arrays, however
    few the rows.

    Args:
        model: Any model.
        data: Arrays in memory or on disk, as the model takes them.
        rows: Rows of every batch: the last one is filled up, since another shape would be another
            compilation; None: 1,024, or all where they are fewer.
    """
    rows = rows or min(1024, row_count(data))
    outputs: list[Any] = []
    for batch in even_batches(data, rows):
        count = row_count(batch)
        full = keras.tree.map_structure(lambda a, m=rows - count: _filled(a, m), batch)
        found = model.predict_on_batch(full)
        outputs.append(keras.tree.map_structure(lambda a, n=count: np.asarray(a)[:n], found))
    return keras.tree.map_structure(lambda *parts: np.concatenate(parts), *outputs)


def _filled(array: np.ndarray, missing: int) -> np.ndarray:
    return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) if missing else array

"""Rows in an order fixed by (seed, epoch), handed to Keras in chunks of several batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from medkit.core.errors import DataError
from medkit.core.lazy import keras
from medkit.data.stored_arrays import StoredRows


def is_stream(x: Any) -> bool:
    """Whether ``x`` makes its own batches: a ``PyDataset``, ``tf.data`` or any generator."""
    return not (isinstance(x, (Mapping, list, tuple)) or hasattr(x, "__array__"))


def as_arrays(x: Any) -> Any:
    """Arrays of a nested structure (array, dict or list of arrays); what is on disk stays there."""
    if isinstance(x, Mapping):
        return {key: as_arrays(value) for key, value in x.items()}
    if isinstance(x, (list, tuple)):
        return type(x)(as_arrays(value) for value in x)
    return x if isinstance(x, np.ndarray | StoredRows) else np.asarray(x)


def row_count(data: Any) -> int:
    """Number of rows that all arrays of a nested structure share.

    Raises:
        DataError: They differ, or there are none.
    """
    counts = {len(each) for each in keras.tree.flatten(data)}
    if len(counts) != 1:
        raise DataError(f"inputs and targets differ in their number of rows: {sorted(counts)}")
    count = counts.pop()
    if count == 0:
        raise DataError("there are no rows to train on")
    return count


def row_bytes(data: Any) -> int:
    """Bytes of one row over all arrays."""
    return sum(
        int(np.prod(each.shape[1:])) * each.dtype.itemsize for each in keras.tree.flatten(data)
    )


def take(data: Any, rows: Any) -> Any:
    """The given rows of every array."""
    return keras.tree.map_structure(lambda each: np.asarray(each[rows]), data)


def order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order of the rows in one epoch: the same on every backend, and in a resumed run."""
    return np.random.default_rng((seed, epoch)).permutation(count)


def chunks(
    data: tuple[Any, ...], *, batch_size: int, fused: int, seed: int, first_epoch: int = 0
) -> Iterator[tuple[Any, ...]]:
    """Endlessly, epoch after epoch: the rows of up to ``fused`` batches at a time.

    Args:
        data: ``(x, y)`` or ``(x, y, sample_weight)``, each an array or a nested structure.
        batch_size: Rows a batch.
        fused: Batches a chunk; the last chunk of an epoch has what is left over.
        seed: Seed of the order.
        first_epoch: Where to start; a resumed run continues as if it had never stopped.
    """
    count = row_count(data)
    for epoch in itertools.count(first_epoch):
        rows = order(count, seed, epoch)
        for start in range(0, count, batch_size * fused):
            yield take(data, rows[start : start + batch_size * fused])


def even_batches(data: Any, rows: int) -> Iterator[Any]:
    """All rows in their own order, ``rows`` at a time."""
    count = row_count(data)
    return (take(data, slice(start, start + rows)) for start in range(0, count, rows))


def for_keras(x: Any, y: Any, rows: int) -> tuple[Any, Any]:
    """``(x, y)`` as Keras takes them: rows on disk as a stream of batches, read one by one."""
    if not any(isinstance(each, StoredRows) for each in keras.tree.flatten(x)):
        return x, y

    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return -(-row_count((x, y)) // rows)

        def __getitem__(self, index: int) -> Any:
            return take((x, y), slice(index * rows, (index + 1) * rows))

    return Batches(), None


def rows_without_gradient(model: Any, batch_size: int, at_most: int = 256 * 1024**2) -> int:
    """Rows that one forward pass may take: all activations together within ``at_most`` bytes."""
    values = 0
    for layer in model.layers:
        outputs = keras.tree.flatten(getattr(layer, "output", None))
        values += sum(int(np.prod([d or 1 for d in o.shape[1:]])) for o in outputs if o is not None)
    return int(np.clip(at_most // (4 * max(values, 1)), batch_size, 8192))

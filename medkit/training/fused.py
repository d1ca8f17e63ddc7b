"""Training steps fused into one call: the function that Keras' ``fit`` calls for each chunk.

Keras' own ``steps_per_execution`` computes every metric's result at every step and asks an
iterator for every batch. Here one call takes the rows of many batches and computes the results
once. What is done to the weights is Keras' own ``train_step``, batch after batch.

All of Keras' internals that training relies on are here: ``fit`` calls ``model.train_function``
if there is one, with an iterator (TensorFlow, with state on JAX) or a list of one batch (PyTorch),
and ``train_step`` takes and returns what it does on each backend. None of this is promised from
one minor version to the next, hence the range in pyproject.toml: widen it when
tests/test_trainer.py passes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from medkit.core.lazy import keras
from medkit.training.plan import Execution


def train_function(model: Any, plan: Execution, batch_size: int) -> Callable[..., Any]:
    """The train function for the current backend.

    Args:
        model: A compiled model.
        plan: How to compute.
        batch_size: Rows a step; the last step of an epoch takes what is left over.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return _tensorflow(model, batch_size, plan.compiled, plan.fixed_shapes)
    if backend == "jax":
        return _jax(model, batch_size, plan.compiled, plan.scanned)
    return _torch(model, batch_size, plan.compiled)


def test_on_batches(model: Any, batches: Iterable[Any]) -> dict[str, Any]:
    """Metric name -> value over batches that are kept from epoch to epoch.

    ``evaluate`` would make a new iterator each time, which costs a small cohort more than its rows.
    """
    model.make_test_function()
    model.reset_metrics()
    tensorflow, logs = keras.backend.backend() == "tensorflow", {}
    for batch in batches:
        logs = model.test_function(iter((batch,)) if tensorflow else [batch])
    return logs


def _tensorflow(model: Any, batch_size: int, compiled: bool, fixed: bool) -> Callable[..., Any]:
    import tensorflow as tf

    def part(chunk: Any, start: Any, end: Any) -> Any:
        return keras.tree.map_structure(lambda each: each[start:end], chunk)

    def full_batch(chunk: Any, start: Any) -> Any:
        def cut(each: Any) -> Any:
            return tf.ensure_shape(each[start : start + batch_size], [batch_size, *each.shape[1:]])

        return keras.tree.map_structure(cut, chunk)

    step = model.train_step
    if compiled:
        step = tf.function(model.train_step, jit_compile=True, autograph=False)

    @tf.autograph.experimental.do_not_convert
    def on_chunk(chunk: Any) -> Any:
        rows = tf.shape(keras.tree.flatten(chunk)[0])[0]
        full = rows - rows % batch_size if fixed else rows

        def body(start: Any) -> Any:
            end = tf.minimum(start + batch_size, rows)
            step(full_batch(chunk, start) if fixed else part(chunk, start, end))
            return (start + batch_size,)

        # Steps depend on one another through the weights: never two at a time.
        tf.while_loop(lambda start: start < full, body, (tf.constant(0),), parallel_iterations=1)
        if fixed:

            def rest() -> Any:
                model.train_step(part(chunk, full, rows))
                return tf.constant(0)

            tf.cond(full < rows, rest, lambda: tf.constant(0))
        return model.get_metrics_result()

    # The rows of a chunk vary; one trace serves all.
    fused = tf.function(on_chunk, reduce_retracing=True)
    return lambda iterator: fused(next(iterator))


def _jax(model: Any, batch_size: int, compiled: bool, scanned: bool) -> Callable[..., Any]:
    import jax

    step = jax.jit(model.train_step, donate_argnums=0) if compiled else model.train_step

    def scan(state: Any, batches: Any) -> Any:
        def body(carried: Any, batch: Any) -> Any:
            return model.train_step(carried, batch)[1], None

        state, _ = jax.lax.scan(body, state, batches)
        with keras.StatelessScope(list(zip(model.metrics_variables, state[-1], strict=True))):
            logs = model.get_metrics_result()
        return logs, state

    fused = jax.jit(scan, donate_argnums=0)
    lengths: set[int] = set()

    def function(state: Any, iterator: Any) -> Any:
        chunk = next(iterator)
        rows = len(keras.tree.flatten(chunk)[0])
        full, start, logs = rows // batch_size, 0, {}
        # Another length would be another compilation: only the first one met is fused.
        if scanned and full > 1 and lengths <= {full}:
            lengths.add(full)
            start = full * batch_size

            def stacked(each: Any) -> Any:
                return each[:start].reshape(full, batch_size, *each.shape[1:])

            logs, state = fused(state, keras.tree.map_structure(stacked, chunk))
        for begin in range(start, rows, batch_size):
            part = slice(begin, begin + batch_size)
            logs, state = step(state, keras.tree.map_structure(lambda a, p=part: a[p], chunk))
        return logs, state

    return function


def _torch(model: Any, batch_size: int, compiled: bool) -> Callable[..., Any]:
    step = model.train_step
    if compiled:
        import torch

        step = torch.compile(step)

    def function(data: Any) -> Any:
        chunk, logs = data[0], {}
        rows = len(keras.tree.flatten(chunk)[0])
        for begin in range(0, rows, batch_size):
            part = slice(begin, begin + batch_size)
            try:
                logs = step(keras.tree.map_structure(lambda a, p=part: a[p], chunk))
            except RuntimeError as error:
                # PyTorch refuses probabilities that are not numbers before any loss is known.
                if "between 0 and 1" not in str(error):
                    raise
                return {"loss": math.nan}
        return logs

    return function

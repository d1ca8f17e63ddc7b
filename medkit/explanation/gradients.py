"""Gradients on whichever backend runs: the one place here where the three differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from medkit.core.lazy import keras, ops

# Backend tensors in, (n,) values out; differentiable.
Scalars = Callable[[list[Any]], Any]


def differentiated(
    function: Scalars,
) -> Callable[[Sequence[np.ndarray]], tuple[np.ndarray, list[np.ndarray]]]:
    """The values of a function of some arrays, and their gradients.

    Each row's value must depend on its own rows of the arrays alone, as a network's outputs do:
    one backward pass through the sum then gives every row's gradient.

    Args:
        function: Takes a list of backend tensors (n, …), returns (n,).

    Returns:
        A function of a list of arrays (n, …) that returns the values (n,) and for each array
        its gradients (n, …), as numpy arrays.
    """
    backward = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[keras.backend.backend()]
    with_gradients = backward(function)

    def call(arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        tensors = [ops.convert_to_tensor(np.asarray(each, "float32")) for each in arrays]
        values, gradients = with_gradients(tensors)
        found = [
            np.zeros(np.shape(array)) if each is None else ops.convert_to_numpy(each)
            for array, each in zip(arrays, gradients, strict=True)
        ]
        return ops.convert_to_numpy(values).astype(float), [each.astype(float) for each in found]

    return call


def _tensorflow(function: Scalars) -> Any:
    import tensorflow as tf

    def call(tensors: list[Any]) -> tuple[Any, list[Any]]:
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            values = function(tensors)
        return values, tape.gradient(values, tensors)

    return call


def _jax(function: Scalars) -> Any:
    import jax

    def total(tensors: list[Any]) -> tuple[Any, Any]:
        values = function(tensors)
        return ops.sum(values), values

    # Compiled: a recurrent layer run operation by operation would be compiled at every step.
    compiled = jax.jit(jax.value_and_grad(total, has_aux=True))

    def call(tensors: list[Any]) -> tuple[Any, list[Any]]:
        (_, values), gradients = compiled(tensors)
        return values, gradients

    return call


def _torch(function: Scalars) -> Any:
    import torch

    def call(tensors: list[Any]) -> tuple[Any, list[Any]]:
        tensors = [each.detach().clone().requires_grad_() for each in tensors]
        # CUDA's recurrent kernels refuse a backward pass outside training.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            values = function(tensors)
            gradients = torch.autograd.grad(values.sum(), tensors, allow_unused=True)
        return values.detach(), list(gradients)

    return call

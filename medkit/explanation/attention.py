"""Where a network with self-attention looked."""

from __future__ import annotations

from typing import Any

import numpy as np

from medkit.data.inputs import Inputs
from medkit.explanation.intermediate import branch_of
from medkit.modalities.modality import Modality
from medkit.models.attention import attention_weights


def attention_received(model: Any, modality: Modality, inputs: Inputs, name: str) -> np.ndarray:
    """The share of attention that each step gets, the mean over blocks, heads and queries.

    It says where the network looked, not what it made of it: other weights may give the same
    output (Jain and Wallace, Attention is not explanation, NAACL 2019). Padding asks for nothing.

    Args:
        model: The saved network.
        modality: The fitted modality of the input.
        inputs: n encoded samples.
        name: The input; of several, its branch is looked at.

    Returns:
        (n, steps), each row summing to 1.

    Raises:
        MedkitError: The network has no self-attention layer.
    """
    arrays = {each: np.asarray(array) for each, array in inputs.arrays.items()}
    branch = branch_of(model, name)
    received = attention_weights(model, arrays, within=branch).mean(axis=(1, 2))
    occupied = modality.occupied(arrays[name])
    # Of (n, queries, steps); there may be queries beside the steps.
    asking = np.ones(received.shape[:2]) if occupied is None else occupied.astype(float)
    asking[asking.sum(axis=1) == 0] = 1.0
    return np.einsum("nqs,nq->ns", received, asking) / asking.sum(axis=1, keepdims=True)

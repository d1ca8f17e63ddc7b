"""How to compute: fused steps and compilation, by backend, device and kind of network.

Measured with ``benchmarks/training.py`` on two CPU cores (TensorFlow 2.21, JAX 0.10,
PyTorch 2.13). ``steps_per_execution`` and ``jit_compile`` in the config override the choice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from medkit.core.lazy import keras

# A chunk is copied once per epoch; more than this and the copy no longer hides behind the steps.
CHUNK_BYTES = 32 * 1024**2

# On JAX a compiled loop gains 0.5 ms a step and takes about 2 s more to compile.
SCANNED_STEPS = 4000

# On TensorFlow a step over a batch of static size gains 0.4 ms (convolutions) to 1 ms (recurrent),
# and the last batch, of another size, is a second trace: 0.2 s and 0.9 s.
FIXED_STEPS = 800


@dataclass(frozen=True)
class Execution:
    """How one training computes.

    Attributes:
        fused: Steps in one call of the train function.
        compiled: Compile the step with XLA, or with ``torch.compile``.
        scanned: On JAX, compile the loop over the steps as well.
        fixed_shapes: On TensorFlow, give full batches a static size.
        reason: Why.
    """

    fused: int
    compiled: bool
    scanned: bool
    fixed_shapes: bool
    reason: str


# (backend, device, kind) -> (compiled, scanned, fixed shapes, reason); None stands for any other.
_CHOICES: dict[tuple[str, str | None, str | None], tuple[bool, bool, bool, str]] = {
    ("tensorflow", "cpu", "dense"): (
        False, False, False, "small steps: XLA makes them slower, and one trace is quickest",
    ),
    ("tensorflow", "cpu", None): (
        False, False, True, "XLA on CPU slows convolutions and gains nothing on the rest "
        "once steps are fused; batches of static size are faster",
    ),
    ("tensorflow", "gpu", "recurrent"): (
        False, False, True, "cuDNN's recurrent kernels are faster and XLA cannot compile them",
    ),
    ("tensorflow", "gpu", None): (True, False, True, "XLA, as Keras itself chooses on a GPU"),
    ("jax", "cpu", "convolution"): (
        True, False, False, "XLA runs a convolution inside a loop on one core only",
    ),
    ("jax", None, None): (
        True, True, False, "one compiled loop over the steps",
    ),
    ("torch", None, None): (False, False, False, "PyTorch runs step by step"),
}  # fmt: skip


def network_kind(model: Any) -> str:
    """``convolution``, ``recurrent``, ``attention`` or ``dense``: what costs most in a model."""
    layers = list(model._flatten_layers(include_self=False, recursive=True))
    names = {base.__name__ for layer in layers for base in type(layer).__mro__}
    if names & {"BaseConv", "BaseDepthwiseConv", "BaseSeparableConv", "BaseConvTranspose"}:
        return "convolution"
    if "RNN" in names:
        return "recurrent"
    if any(name.endswith("Attention") for name in names):
        return "attention"
    return "dense"


def choose(
    kind: str,
    device: str,
    *,
    steps: int,
    epochs: int,
    batch_bytes: int,
    steps_per_execution: int | None = None,
    jit_compile: bool | None = None,
) -> Execution:
    """The plan for one training on the current backend.

    Args:
        kind: As ``network_kind`` says.
        device: ``cpu`` or ``gpu``.
        steps: Steps an epoch.
        epochs: Epochs at most.
        batch_bytes: Bytes of one batch.
        steps_per_execution: The user's own choice; None to choose.
        jit_compile: Likewise.
    """
    backend = keras.backend.backend()
    keys = [(backend, device, kind), (backend, device, None), (backend, None, None)]
    compiled, scanned, fixed, reason = next(_CHOICES[key] for key in keys if key in _CHOICES)
    if jit_compile is not None and jit_compile != compiled:
        compiled, reason = jit_compile, "as the config says"
    if backend == "jax" and scanned and steps * epochs < SCANNED_STEPS:
        scanned, reason = False, "too short to repay compiling a loop"
    if fixed and steps * epochs < FIXED_STEPS:
        fixed, reason = False, "too short to repay a second trace"
    if steps_per_execution is None:
        # Calls cost milliseconds, but the bar and Ctrl-C wait for the end of one.
        most = 1024 if kind == "dense" else 64
        most = max(1, min(most, steps, CHUNK_BYTES // max(batch_bytes, 1)))
        fused = math.ceil(steps / math.ceil(steps / most))
    else:
        fused, reason = min(steps_per_execution, steps), "as the config says"
    return Execution(fused, compiled, scanned and compiled and fused > 1, fixed or compiled, reason)

"""Why the network said what it said of single samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from medkit.core.errors import MedkitError
from medkit.data.inputs import Inputs
from medkit.explanation.attention import attention_received
from medkit.explanation.images import grad_cam, occlusion
from medkit.explanation.integrated import integrated_gradients
from medkit.explanation.intermediate import last_convolutions
from medkit.explanation.outputs import explained_outputs
from medkit.explanation.predict import of_one_input
from medkit.explanation.shap_engine import shapley_values
from medkit.modalities.encoder import Encoder
from medkit.modalities.modality import Modality
from medkit.tasks.task import Task
from medkit.training import validation

Method = Literal["auto", "integrated_gradients", "occlusion", "grad_cam", "attention", "shap"]
METHODS: tuple[str, ...] = get_args(Method)


@dataclass(frozen=True)
class Local:
    """Explanations of n samples.

    Args:
        method: How they were computed; never ``auto``.
        outputs: (n, outputs) of the network.
        which: (n,) position of the output that is explained.
        attributions: (n, columns) or (n, channels); (n, steps, channels); (n, steps);
            (n, events); or (n, [depth,] height, width).
        axes: What the axes after the first are: ``feature``, ``step feature``, ``step``,
            ``event``, ``position`` or ``pixel``.
        reference: (n,) output that the attributions start from; None where there is no such sum.
        gap: (n,) what the sum of the attributions lacks; None likewise.
    """

    method: str
    outputs: np.ndarray
    which: np.ndarray
    attributions: np.ndarray
    axes: str
    reference: np.ndarray | None = None
    gap: np.ndarray | None = None

    @property
    def explained(self) -> np.ndarray:
        """(n,) the output that is explained."""
        return self.outputs[np.arange(len(self.which)), self.which]


def check_method(method: str) -> None:
    """Refuse an unknown method, before anything is read.

    Raises:
        MedkitError: With the known ones.
    """
    if method not in METHODS:
        raise MedkitError(
            f"no explanation method called '{method}'", hint=f"Known: {', '.join(METHODS)}."
        )


def explain(
    model: Any,
    encoder: Encoder,
    task: Task,
    inputs: Inputs,
    *,
    method: str = "auto",
    output: str | None = None,
    background: Inputs | None = None,
    seed: int = 0,
) -> dict[str, Local]:
    """Explain the network's outputs for some samples.

    Args:
        model: The saved network, its preprocessing inside.
        encoder: The fitted encoder.
        task: The fitted task.
        inputs: n encoded samples.
        method: ``auto`` is Grad-CAM for images where the network has a convolution, else
            occlusion; integrated gradients for all other inputs.
        output: Name of the class, label or output; None for the most probable class or label of
            each row, or the first output.
        background: m encoded samples for ``shap``; None for ``inputs``.
        seed: Seed of what is drawn (``shap`` only).

    Returns:
        The explanation of each input; with Grad-CAM and attention, of those that have a
        convolution, or self-attention.

    Raises:
        MedkitError: An unknown method, one that this network does not allow, or an unknown
            output.
    """
    check_method(method)

    def predict(given: Inputs) -> np.ndarray:
        return validation.predict(model, dict(given.arrays))

    outputs = predict(inputs)
    which = explained_outputs(task, outputs, output)
    methods = {
        name: _automatic(modality, model, name) if method == "auto" else method
        for name, modality in encoder.modalities.items()
    }
    found: dict[str, Local] = {}
    if "integrated_gradients" in methods.values():
        values, start, gap = integrated_gradients(model, encoder, inputs, which)
        for name, each in methods.items():
            if each == "integrated_gradients":
                axes = encoder.modalities[name].value_axes
                found[name] = Local(each, outputs, which, values[name], axes, start, gap)
    if method == "shap":
        others = inputs if background is None else background
        shares, start = shapley_values(predict, encoder, inputs, which, others, seed)
        gap = (
            outputs[np.arange(len(inputs)), which]
            - start
            - sum(each.sum(1) for each in shares.values())
        )
        return {
            name: Local(method, outputs, which, each, "feature", start, gap)
            for name, each in shares.items()
        }
    failed: MedkitError | None = None
    for name, each in methods.items():
        modality = encoder.modalities[name]
        axes = modality.step_axes
        try:
            if each == "attention":
                values_of = attention_received(model, modality, inputs, name)
            elif each == "grad_cam":
                values_of = grad_cam(model, inputs, name, which)
            elif each == "occlusion":
                axes = modality.group_axes
                alone = of_one_input(predict, inputs, name)
                values_of = occlusion(alone, modality, np.asarray(inputs[name]), which)
            else:
                continue
        except MedkitError as error:
            failed = error  # of several inputs, the others may have what it takes
            continue
        found[name] = Local(each, outputs, which, values_of, axes)
    if not found and failed is not None:
        raise failed
    return {name: found[name] for name in encoder.modalities if name in found}


def _automatic(modality: Modality, model: Any, name: str) -> str:
    if not modality.pictured:
        return "integrated_gradients"
    return "grad_cam" if last_convolutions(model, name) else "occlusion"

"""Why the network said what it said of single samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from medkit.core.errors import MedkitError
from medkit.explanation.attention import attention_received
from medkit.explanation.images import grad_cam, occlusion
from medkit.explanation.integrated import integrated_gradients
from medkit.explanation.intermediate import last_convolutions
from medkit.explanation.outputs import explained_outputs
from medkit.explanation.shap_engine import shapley_values

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


def explain(
    model: Any,
    modality: Any,
    task: Any,
    x: np.ndarray,
    *,
    method: str = "auto",
    output: str | None = None,
    background: np.ndarray | None = None,
    seed: int = 0,
) -> Local:
    """Explain the network's outputs for some samples.

    Args:
        model: The saved network, its preprocessing inside.
        modality: The fitted modality.
        task: The fitted task.
        x: (n, …) encoded samples.
        method: ``auto`` is Grad-CAM for images where the network has a convolution, else
            occlusion; integrated gradients for all other inputs.
        output: Name of the class, label or output; None for the most probable class or label of
            each row, or the first output.
        background: (m, …) encoded samples for ``shap``; None for ``x``.
        seed: Seed of what is drawn (``shap`` only).

    Raises:
        MedkitError: An unknown method, one that this network does not allow, or an unknown
            output.
    """
    if method not in METHODS:
        raise MedkitError(
            f"no explanation method called '{method}'", hint=f"Known: {', '.join(METHODS)}."
        )

    def predict(values: np.ndarray) -> np.ndarray:
        return np.asarray(model.predict(values, batch_size=1024, verbose=0), float)

    kind = modality.modality
    if method == "auto":
        method = "integrated_gradients"
        if kind == "image":
            method = "grad_cam" if last_convolutions(model) else "occlusion"
    outputs = predict(x)
    which = explained_outputs(task, outputs, output)
    along = {"tabular": "feature", "series": "step feature", "tokens": "position",
             "triplets": "event"}  # fmt: skip
    axes = along.get(kind, "pixel")
    if method == "integrated_gradients":
        found, start, gap = integrated_gradients(model, modality, x, which)
        return Local(method, outputs, which, found, axes, start, gap)
    if method == "shap":
        others = x if background is None else background
        # Hundreds of small calls: predict would spend its time on making data sets of them.
        quick = model.predict_on_batch
        found, start = shapley_values(quick, modality, x, which, others, seed)
        mine = outputs[np.arange(len(x)), which]
        return Local(method, outputs, which, found, "feature", start, mine - start - found.sum(1))
    axes = {"series": "step"}.get(kind, axes)
    if method == "attention":
        return Local(method, outputs, which, attention_received(model, modality, x), axes)
    if method == "grad_cam":
        return Local(method, outputs, which, grad_cam(model, x, which), axes)
    axes = {"step": "feature", "event": "feature"}.get(axes, axes)
    return Local(method, outputs, which, occlusion(predict, modality, x, which), axes)

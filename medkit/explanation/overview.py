"""The explanations that every run reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from medkit.explanation.outputs import not_explained
from medkit.explanation.partial_dependence import dependence
from medkit.explanation.permutation import permutation_importance
from medkit.explanation.predict import Predict
from medkit.tasks.task import Task

if TYPE_CHECKING:
    from medkit.config.experiment import Evaluation
    from medkit.data.inputs import Inputs
    from medkit.modalities.encoder import Encoder


def explanations(
    predict: Predict,
    task: Task,
    encoder: Encoder,
    inputs: Inputs,
    y: np.ndarray,
    subjects: np.ndarray,
    threshold: Any,
    settings: Evaluation,
    seed: int,
    outputs: np.ndarray | None = None,
) -> dict[str, Any]:
    """Importance of each feature on the test part, and how the output moves with the first ones.

    Args:
        predict: m encoded samples -> (m, outputs) of the saved network.
        task: The fitted task.
        encoder: The fitted encoder.
        inputs: n encoded samples of the test part.
        y: (n, …) their encoded targets.
        subjects: (n,) subject of each row.
        threshold: Operating point of the task.
        settings: ``bootstrap`` and ``confidence``.
        seed: Seed of every draw.
        outputs: (n, outputs) ``predict(inputs)`` where it is known already.

    Returns:
        ``metrics["explanations"]`` as the package's docstring has it.
    """
    if task.answers != "sample":
        return {"note": f"Not estimable: {not_explained(task)}."}
    importance = permutation_importance(
        predict, task, inputs, y, encoder, subjects, threshold, settings, seed, outputs=outputs
    )
    result: dict[str, Any] = {"importance": importance, "dependence": []}
    for source, modality in encoder.modalities.items():
        if modality.no_curves:
            result["note"] = modality.no_curves
            continue
        # Without an importance (one class only in the test part) the curves are still defined.
        names = [each["name"] for each in importance["features"]] or modality.names
        result["dependence"] += dependence(predict, task, inputs, source, modality, names, seed)
    return result

"""Shapley values by the optional package ``shap``."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from medkit.core.errors import MedkitError
from medkit.explanation.groups import Predict, groups_of

BACKGROUND = 30  # samples that stand for an unknown feature
_FEATURES = 100
_ROUNDS = 10  # permutations, each there and back
_BYTES = 64 * 2**20


def shapley_values(
    predict: Predict,
    modality: Any,
    x: np.ndarray,
    which: np.ndarray,
    background: np.ndarray,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Shapley values of the features of tables, series and triplets (Lundberg and Lee, A unified
    approach to interpreting model predictions, NeurIPS 2017).

    The game: a feature in the coalition has the sample's value, another one that of a background
    sample, and the payoff is the mean output over the background. Features go as a whole (a
    category, a channel with its time course and gaps). ``shap`` samples permutations of the
    features; the values sum to ``f(x) - mean f(background)``.

    Args:
        predict: (m, …) encoded samples -> (m, outputs).
        modality: The fitted modality: ``tabular``, ``series`` or ``triplets``.
        x: (n, …) encoded samples.
        which: (n,) position of the output to explain.
        background: (m, …) encoded samples; at most ``BACKGROUND`` of them are drawn.
        seed: Seed of the draw and the permutations.

    Returns:
        (n, features), and the mean output over the background (n,).

    Raises:
        MedkitError: ``shap`` is not installed, another kind of input, or too many features.
    """
    groups = _features(modality, x)
    import shap

    random = np.random.default_rng(seed)
    if len(background) > BACKGROUND:
        background = background[random.choice(len(background), BACKGROUND, replace=False)]
    values, reference = np.empty((len(x), len(groups))), np.empty(len(x))
    for row in range(len(x)):

        def payoff(coalitions: np.ndarray, row: int = row) -> np.ndarray:
            return _payoff(predict, groups, x[row], int(which[row]), background, coalitions)

        # The game is over who takes part, 0 or 1: so gaps and codes never reach shap.
        nobody = np.zeros((1, len(groups)))
        engine = shap.explainers.Permutation(payoff, nobody, seed=seed)
        evaluations = _ROUNDS * (2 * len(groups) + 1)
        found = engine(nobody + 1, max_evals=evaluations, batch_size=evaluations, silent=True)
        values[row], reference[row] = found.values[0], np.ravel(found.base_values)[0]
    return values, reference


def _features(modality: Any, x: np.ndarray) -> list[Any]:
    if importlib.util.find_spec("shap") is None:
        raise MedkitError(
            "the method 'shap' needs the package shap, which is not installed",
            hint="pip install 'keras-medkit[shap]', or use --method integrated_gradients.",
        )
    if modality.modality not in ("tabular", "series", "triplets"):
        raise MedkitError(
            f"the method 'shap' takes tables, series and triplets, not {modality.modality}",
            hint="Use --method auto.",
        )
    groups = groups_of(modality, x.shape[1:])
    if len(groups) > _FEATURES:
        raise MedkitError(
            f"the method 'shap' takes at most {_FEATURES} features; these are {len(groups)}",
            hint="Use --method integrated_gradients.",
        )
    return groups


def _payoff(
    predict: Predict,
    groups: list[Any],
    sample: np.ndarray,
    which: int,
    background: np.ndarray,
    coalitions: np.ndarray,
) -> np.ndarray:
    """(coalitions,) mean output over the background where the coalition has its own values."""
    size = max(1, _BYTES // max(background.nbytes, 1))
    found = []
    for start in range(0, len(coalitions), size):
        some = coalitions[start : start + size] > 0.5
        mixed = np.repeat(background[None], len(some), axis=0)
        for column, group in enumerate(groups):
            taking_part = mixed[some[:, column]].reshape(-1, *sample.shape)
            taking_part = group.lent(taking_part, np.broadcast_to(sample, taking_part.shape))
            mixed[some[:, column]] = taking_part.reshape(-1, *mixed.shape[1:])
        outputs = np.asarray(predict(mixed.reshape(-1, *sample.shape)), float)[:, which]
        found.append(outputs.reshape(len(some), len(background)).mean(axis=1))
    return np.concatenate(found)

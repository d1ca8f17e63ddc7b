"""Shapley values by the optional package ``shap``."""

from __future__ import annotations

import importlib.util

import numpy as np

from medkit.core.errors import MedkitError
from medkit.data.inputs import Inputs, presence_name
from medkit.explanation.predict import Predict
from medkit.modalities.encoder import Encoder
from medkit.modalities.groups import FeatureGroup

BACKGROUND = 30  # samples that stand for an unknown feature
_FEATURES = 100
_ROUNDS = 10  # permutations, each there and back
_BYTES = 64 * 2**20


def shapley_values(
    predict: Predict,
    encoder: Encoder,
    inputs: Inputs,
    which: np.ndarray,
    background: Inputs,
    seed: int,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Shapley values of features (Lundberg and Lee, A unified approach to interpreting model
    predictions, NeurIPS 2017).

    The game: a feature in the coalition has the sample's value, another one that of a background
    sample, and the payoff is the mean output over the background. Features go as a whole (a
    category, a channel with its time course and gaps, a block of pixels). ``shap`` samples
    permutations of the features; the values sum to ``f(x) - mean f(background)``.

    Args:
        predict: m encoded samples -> (m, outputs).
        encoder: The fitted encoder.
        inputs: n encoded samples.
        which: (n,) position of the output to explain.
        background: m encoded samples; at most ``BACKGROUND`` of them are drawn.
        seed: Seed of the draw and the permutations.

    Returns:
        (n, features) of each input, and the mean output over the background (n,).

    Raises:
        MedkitError: ``shap`` is not installed, or there are too many features.
    """
    groups = _features(encoder)
    import shap

    random = np.random.default_rng(seed)
    if len(background) > BACKGROUND:
        background = background.take(random.choice(len(background), BACKGROUND, replace=False))
    count = len(inputs)
    values, reference = np.empty((count, len(groups))), np.empty(count)
    for row in range(count):

        def payoff(coalitions: np.ndarray, row: int = row) -> np.ndarray:
            sample = inputs.take(np.array([row]))
            return _payoff(predict, groups, sample, int(which[row]), background, coalitions)

        # The game is over who takes part, 0 or 1: so gaps and codes never reach shap.
        nobody = np.zeros((1, len(groups)))
        engine = shap.explainers.Permutation(payoff, nobody, seed=seed)
        evaluations = _ROUNDS * (2 * len(groups) + 1)
        found = engine(nobody + 1, max_evals=evaluations, batch_size=evaluations, silent=True)
        values[row], reference[row] = found.values[0], np.ravel(found.base_values)[0]
    sources = np.array([source for source, _ in groups])
    return {name: values[:, sources == name] for name in encoder.modalities}, reference


def _features(encoder: Encoder) -> list[tuple[str, FeatureGroup]]:
    if importlib.util.find_spec("shap") is None:
        raise MedkitError(
            "the method 'shap' needs the package shap, which is not installed",
            hint="pip install 'keras-medkit[shap]', or use --method integrated_gradients.",
        )
    modalities = encoder.modalities.items()
    groups = [(name, group) for name, modality in modalities for group in modality.groups()]
    if len(groups) > _FEATURES:
        raise MedkitError(
            f"the method 'shap' takes at most {_FEATURES} features; these are {len(groups)}",
            hint="Use --method integrated_gradients.",
        )
    return groups


def _payoff(
    predict: Predict,
    groups: list[tuple[str, FeatureGroup]],
    sample: Inputs,
    which: int,
    background: Inputs,
    coalitions: np.ndarray,
) -> np.ndarray:
    """(coalitions,) mean output over the background where the coalition has its own values."""
    count = len(background)
    size = max(1, _BYTES // max(background.nbytes, 1))
    found = []
    for start in range(0, len(coalitions), size):
        some = np.repeat(coalitions[start : start + size] > 0.5, count, axis=0)
        mixed = background.take(np.tile(np.arange(count), len(some) // count))
        arrays = {name: np.array(mixed[name]) for name in mixed}
        for column, (source, group) in enumerate(groups):
            x, rows = arrays[source], some[:, column]
            x[rows] = group.lent(x[rows], np.broadcast_to(sample[source], x[rows].shape))
            if (present := presence_name(source)) in arrays:
                arrays[present][rows] = sample[present]
        outputs = np.asarray(predict(Inputs(arrays)), float)[:, which]
        found.append(outputs.reshape(-1, count).mean(axis=1))
    return np.concatenate(found)

"""Pixels of structures in an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from medkit.evaluation.baselines.baselines import Fitted
from medkit.evaluation.baselines.learned import PastRows
from medkit.evaluation.methods import Methods, methods
from medkit.modalities.encoder import Encoder

_LEVELS = 32  # grey levels tried


@methods.register("mask")
class Masks(Methods):
    """Baselines that know no anatomy: the mean training mask, and one grey level."""

    no_calibration: ClassVar[str] = "the calibration of pixels is not measured"
    no_decisions: ClassVar[str] = "a mask is not a decision on a patient"
    no_uncertainty: ClassVar[str] = "no measure of uncertainty is known for masks"
    undefined: ClassVar[str] = "no image shows the structure, or none lacks it"

    def baselines(
        self, encoder: Encoder | None, rows: Mapping[str, PastRows], y: Mapping[str, np.ndarray],
        subjects: np.ndarray, seed: int,
    ) -> tuple[list[Fitted], dict[str, str]]:  # fmt: skip
        """``mean_mask``: how often each pixel is marked; ``grey_level``: all pixels above a level.

        The mean mask is marked from the share on that gives the best Dice of all training pixels;
        so is the grey level chosen, of the first channel.
        """
        truth = np.asarray(y["train"], bool)
        mean = truth.mean(axis=0)
        share = _best(np.broadcast_to(mean, truth.shape), truth)
        marked = (mean >= share).astype(float)
        level = _best(_grey(rows["train"], truth.shape), truth)

        def brighter(given: PastRows) -> np.ndarray:
            return (_grey(given, (len(given.inputs), *truth.shape[1:])) >= level).astype(float)

        def everywhere(given: PastRows) -> np.ndarray:
            return np.broadcast_to(marked, (len(given.inputs), *marked.shape))

        at = self.task.default_threshold
        return [
            Fitted("mean_mask", everywhere, at, {"share": share.tolist()}),
            Fitted("grey_level", brighter, at, {"level": level.tolist()}),
        ], {}

    def described(self, y: np.ndarray) -> dict[str, np.ndarray]:
        """Table 1 has the marked pixels of each structure."""
        return {f"{of.name} (pixels)": of.y.sum(axis=(1, 2)) for of in self.task.outcomes(y)}


def _grey(rows: PastRows, shape: tuple[int, ...]) -> np.ndarray:
    """(n, height, width, structures) first channel of the image that the masks lie on."""
    image = next(
        each for each in rows.inputs.arrays.values()
        if each.ndim == 4 and each.shape[1:3] == shape[1:3]
    )  # fmt: skip
    return np.broadcast_to(np.asarray(image, float)[..., :1], shape)


def _best(values: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(structures,) level from which on marking pixels gives the best Dice of all pixels."""
    levels = []
    for i in range(truth.shape[-1]):
        value, true = values[..., i].ravel(), truth[..., i].ravel()
        tried = np.unique(np.quantile(value, np.linspace(0, 1, _LEVELS)))
        dice = [2 * true[value >= t].sum() / ((value >= t).sum() + true.sum()) for t in tried]
        levels.append(tried[int(np.argmax(dice))])
    return np.array(levels)

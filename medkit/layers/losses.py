"""Losses that Keras lacks."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="medkit")
class SparseFocalCrossentropy(keras.losses.CategoricalFocalCrossentropy):
    """Focal cross-entropy of class numbers (batch,) and probabilities (batch, classes).

    ``-(1 - p)**gamma * log(p)`` of the true class: with gamma above 0, samples that are already
    right weigh less (Lin et al., "Focal loss for dense object detection", ICCV 2017). With gamma
    0 and alpha 1 it is the ordinary cross-entropy.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """(batch,) losses."""
        classes = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        return super().call(ops.one_hot(classes, y_pred.shape[-1]), y_pred)

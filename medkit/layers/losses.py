"""Losses that Keras lacks."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="medkit")
class SparseFocalCrossentropy(keras.losses.Loss):
    """Focal cross-entropy of class numbers (batch,) and probabilities (batch, classes).

    ``-(1 - p)**gamma * log(p)`` of the true class: with gamma above 0, samples that are already
    right weigh less (Lin et al., "Focal loss for dense object detection", ICCV 2017). With gamma
    0 it is the ordinary cross-entropy.

    Args:
        gamma: How much less, 0 or more.
        label_smoothing: Share of each target spread evenly over all classes.
    """

    def __init__(
        self,
        gamma: float = 2.0,
        label_smoothing: float = 0.0,
        name: str = "focal",
        reduction: str = "sum_over_batch_size",
        **kwargs: Any,
    ):
        super().__init__(name=name, reduction=reduction, **kwargs)
        self.gamma, self.label_smoothing = gamma, label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """(batch,) losses."""
        classes = y_pred.shape[-1]
        target = ops.one_hot(ops.cast(ops.reshape(y_true, (-1,)), "int32"), classes)
        target = ops.cast(target, y_pred.dtype)
        target = target * (1 - self.label_smoothing) + self.label_smoothing / classes
        small = keras.config.epsilon()
        p = ops.clip(y_pred, small, 1 - small)
        return -ops.sum(target * (1 - p) ** self.gamma * ops.log(p), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        config = {**super().get_config()}
        return {**config, "gamma": self.gamma, "label_smoothing": self.label_smoothing}

"""What one yes/no question and several share."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from medkit.core.lazy import keras
from medkit.tasks.scores.threshold_rules import AtLeast, CostRatio, Rule, check_rule
from medkit.tasks.task import Task


class YesNoTask(Task):
    """Probabilities of yes, each decided at a threshold chosen on validation.

    The parameters are those that ``Binary`` describes.
    """

    outcome: ClassVar[str] = "yes_no"
    probabilities: ClassVar[bool] = True
    leading: ClassVar[str] = "auroc"
    monitors: ClassVar[dict[str, str]] = {
        "loss": "min", "auroc": "max", "auprc": "max", "accuracy": "max",
    }  # fmt: skip
    monitor: ClassVar[str] = "auprc"

    def __init__(
        self,
        *,
        loss: Literal["binary_crossentropy", "focal", "mse"] = "binary_crossentropy",
        label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        focal_gamma: Annotated[float, Field(ge=0)] = 2.0,
        focal_alpha: Annotated[float, Field(gt=0, lt=1)] | None = None,
        threshold: Rule = "youden",
        at_least: AtLeast = None,
        cost_ratio: CostRatio = None,
        fixed_threshold: Annotated[float, Field(gt=0, lt=1)] | None = None,
    ):
        check_rule(threshold, at_least, cost_ratio)
        self.loss, self.label_smoothing = loss, label_smoothing
        self.focal_gamma, self.focal_alpha = focal_gamma, focal_alpha
        self.threshold, self.fixed_threshold = threshold, fixed_threshold
        self.at_least, self.cost_ratio = at_least, cost_ratio

    @property
    def output_activation(self) -> str:
        """A probability for each."""
        return "sigmoid"

    def keras_loss(self) -> Any:
        """The loss of (n, outputs) targets and probabilities."""
        if self.loss == "focal":
            return keras.losses.BinaryFocalCrossentropy(
                gamma=self.focal_gamma,
                alpha=0.25 if self.focal_alpha is None else self.focal_alpha,
                apply_class_balancing=self.focal_alpha is not None,
                label_smoothing=self.label_smoothing,
            )
        if self.loss == "mse":
            return keras.losses.MeanSquaredError()
        return keras.losses.BinaryCrossentropy(label_smoothing=self.label_smoothing)

    def exchange_rate(self, threshold: float) -> float | None:
        """Its odds where the threshold was set beforehand; by ``cost_ratio`` where costs were."""
        if self.fixed_threshold is not None:
            return threshold / (1 - threshold) if threshold < 1 else None
        return None if self.cost_ratio is None else 1 / self.cost_ratio

    def watch(self) -> list[Any]:
        """Keras' AUROC and AUPRC (200 thresholds), mean over labels, and accuracy at 0.5."""
        several = self.num_outputs > 1
        return [
            keras.metrics.AUC(multi_label=several, name="auroc"),
            keras.metrics.AUC(multi_label=several, curve="PR", name="auprc"),
            keras.metrics.BinaryAccuracy(name="accuracy"),
        ]

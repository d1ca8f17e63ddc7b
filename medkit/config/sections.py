"""The fixed sections of a config: their keys, types, bounds and defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from medkit.core.checking import check
from medkit.core.errors import ConfigError, Problem
from medkit.core.keras_names import OptimizerSettings, optimizer_schemas
from medkit.core.yaml_file import Key

Fraction = Annotated[float, Field(gt=0, lt=1)]


@dataclass(frozen=True)
class Component:
    """A registered name with all its parameters, defaults written out."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


class Section(BaseModel):
    """A part of the config with fixed keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class FinishedRun(Section):
    """A branch that starts from a finished run on its input alone."""

    path: Path = Field(alias="from")
    """The run's folder."""
    frozen: bool = False
    """Whether its weights stay as they are."""


class Cosine(Section):
    """Linear warm-up, then half a cosine from the optimizer's rate down to ``minimum``."""

    name: Literal["cosine"] = "cosine"
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    minimum: Annotated[float, Field(ge=0)] = 0.0


class Plateau(Section):
    """Multiply the rate by ``factor`` after ``patience`` epochs without a better value."""

    name: Literal["plateau"] = "plateau"
    factor: Fraction = 0.5
    patience: Annotated[int, Field(ge=1)] = 5
    minimum: Annotated[float, Field(ge=0)] = 1e-6


class Warmup(Section):
    """Linear warm-up over ``epochs``, then the optimizer's own rate."""

    name: Literal["warmup"] = "warmup"
    epochs: Annotated[float, Field(gt=0)] = 5.0


def _unprefixed(metric: str) -> str:
    return metric.removeprefix("val_")


class EarlyStopping(Section):
    """Stop when the monitored validation value no longer gets better.

    Of epochs with equal values the one with the lower validation loss is kept. Where validation
    holds one class only, the loss is monitored instead of AUROC or AUPRC.
    """

    monitor: Annotated[str, AfterValidator(_unprefixed)] | None = None
    """Watched metric, with or without Keras' ``val_``; null: the task's own choice."""
    patience: Annotated[int, Field(ge=1)] = 10
    """Epochs without a better value before training stops."""
    min_delta: Annotated[float, Field(ge=0)] = 0.0
    """Smallest change that counts as better."""
    restore_best: bool = True
    """Keep the weights of the best epoch."""


if TYPE_CHECKING:
    _Optimizer = OptimizerSettings
else:
    _Optimizer = Annotated[
        Union[tuple(optimizer_schemas().values())],  # noqa: UP007 - made at run time
        Field(discriminator="name"),
    ]
_Schedule = Annotated[Cosine | Plateau | Warmup, Field(discriminator="name")]


class Training(Section):
    """How the network is fitted."""

    epochs: Annotated[int, Field(ge=1)] = 50
    """Passes over the training rows, at most."""
    batch_size: Annotated[int, Field(ge=1)] = 32
    """Rows per step."""
    optimizer: _Optimizer = optimizer_schemas()["adam"](name="adam")
    """Any Keras optimizer with its arguments: {name: adam, learning_rate: 0.001, clipnorm: 1.0}."""
    learning_rate_schedule: _Schedule | None = None
    """cosine, plateau or warmup; null: a constant rate."""
    early_stopping: EarlyStopping | None = EarlyStopping()
    """Patience on a validation value; null: all epochs are run."""
    class_weight: Literal["balanced"] | dict[str, Annotated[float, Field(ge=0)]] | None = None
    """balanced, or {class: weight}."""
    mixed_precision: bool = False
    """16-bit arithmetic where the device gains from it."""
    tensorboard: bool = False
    """Write TensorBoard logs beside the run."""
    steps_per_execution: Annotated[int, Field(ge=1)] | None = None
    """Training steps fused into one call; null: chosen by backend, device and model."""

    @field_validator("class_weight")
    @classmethod
    def _some_weight(cls, given: Any) -> Any:
        if isinstance(given, dict) and not any(given.values()):
            raise ValueError("all weights are 0: there would be nothing to learn from")
        return given

    jit_compile: bool | None = None
    """XLA compilation; null: chosen by backend, device and model."""
    ensemble: Annotated[int, Field(ge=1, le=50)] = 1
    """Networks trained from different seeds, whose outputs are averaged (a deep ensemble)."""

    @classmethod
    def of(cls, **settings: Any) -> Training:
        """Settings from keywords as in YAML (``optimizer="adam"`` is short for its name).

        Raises:
            ConfigError: Any setting is wrong; all are named.
        """
        found, problems = check(cls, named(settings, *TRAINING_COMPONENTS), "a training setting")
        if found is None:
            raise ConfigError(
                [Problem(dotted(path), text) for path, text in problems], place="training"
            )
        return found


TRAINING_COMPONENTS = ("optimizer", "learning_rate_schedule")


class Split(Section):
    """Which samples train, choose (validation) and test."""

    by: Literal["subject", "time", "site", "column", "fold"] = "subject"
    """subject (never divided), time (the latest are tested), site, a column with the parts, or
    one fold of a cross-validation by subject."""
    valid: Fraction = 0.15
    """Fraction of the subjects for validation (by site, fold: of those not tested)."""
    test: Fraction = 0.15
    """Fraction of the subjects for the test."""
    column: str | None = None
    """For by: column; holds train, valid, test."""
    train_sites: tuple[str, ...] = ()
    """For by: site; the sites to train on."""
    test_sites: tuple[str, ...] = ()
    """For by: site; the sites to test on; empty: all others."""
    folds: Annotated[int, Field(ge=2, le=1000)] = 5
    """For by: fold; how many folds the subjects are divided into."""
    fold: Annotated[int, Field(ge=1)] = 1
    """For by: fold; the one that is tested, from 1. Another seed deals other folds."""
    sites: tuple[str, ...] = ()
    """For by: fold; only the rows of these sites; empty: of all."""
    stratify: bool = True
    """Stratify: keep the outcome's distribution the same in all parts where possible."""


class Evaluation(Section):
    """What is reported, and how certain it is."""

    bootstrap: Annotated[int, Field(ge=0, le=100_000)] = 1000
    """Resamples of subjects for the intervals; 0: none."""
    confidence: Fraction = 0.95
    """Coverage of the intervals."""
    subgroups: tuple[str, ...] = ()
    """Attributes whose groups are reported separately."""
    baselines: bool = True
    """Logistic or linear regression and gradient boosting on the same split."""
    minimum_group: Annotated[int, Field(ge=1)] = 10
    """Groups of fewer subjects are merged into one, and suppressed if still too small."""
    bands: dict[str, tuple[float, ...]] = {}
    """Cut points of numeric attributes, {age: [40, 65]}; others are cut at their quartiles."""
    prevalence: Fraction | None = None
    """Share of positives where the model is to be used; PPV and NPV are computed for it too."""
    threshold_range: tuple[Fraction, Fraction] = (0.01, 0.99)
    """Thresholds that a decision may be taken at, [0.05, 0.3]: decision curves are judged there."""
    coverage: Fraction = 0.9
    """Coverage asked of the conformal prediction sets and intervals."""
    monte_carlo_dropout: Annotated[int, Field(ge=0, le=1000)] = 0
    """Passes with dropout left on, to estimate the model's own uncertainty; 0: none."""
    explanations: bool = True
    """Importance of each input by permutation, and partial dependence."""
    alarm_silence_hours: Annotated[float, Field(ge=0)] = 6.0
    """Early warning: after an alarm no other sounds in that stay for so long; 0: every hour at or
    above the threshold is an alarm."""
    alarm_lead_hours: Annotated[float, Field(gt=0)] | None = None
    """Early warning: an alarm at most so many hours before the onset is a true one; null: the
    horizon of the label."""


class Leakage(Section):
    """The gate between split and training."""

    allow: dict[str, Annotated[str, Field(min_length=1)]] = {}
    """Findings to waive: {finding: reason in words}; printed in the report."""


class Header(Section):
    """The config's plain keys."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = "experiment"
    """Name of the experiment; its runs lie in runs/<name>."""
    description: str = ""
    """A sentence for the report."""
    folder: str | None = None
    """Folder that relative paths are taken from; null: the config file's own."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the split, the weights, the shuffling and the bootstrap."""
    backend: Literal["tensorflow", "jax", "torch"] | None = None
    """Keras backend; null: KERAS_BACKEND, or else TensorFlow."""
    calibration: Literal["none", "temperature", "platt", "isotonic"] = "none"
    """How probabilities are recalibrated, on the validation rows alone; part of the model."""


def named(document: Any, *keys: str) -> Any:
    """Write 'model: mlp' out as 'model: {name: mlp}', for the given keys."""
    if not isinstance(document, dict):
        return document
    return {k: {"name": v} if k in keys and isinstance(v, str) else v for k, v in document.items()}


def dotted(path: Key) -> str:
    """A path as the user writes it: ``training.epochs``."""
    return ".".join(str(key) for key in path)

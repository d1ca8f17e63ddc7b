"""Names that belong to Keras, kept here so that a config is checked without importing Keras.

A test compares every list with the installed Keras.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model, model_validator

from medkit.core.errors import did_you_mean

# Those that need no further argument, as a name alone gives none.
ACTIVATIONS = (
    "celu", "elu", "exponential", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu",
    "hard_swish", "hard_tanh", "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish",
    "relu", "relu6", "selu", "sigmoid", "silu", "soft_shrink", "softmax", "softplus", "softsign",
    "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "swish", "tanh", "tanh_shrink",
)  # fmt: skip

INITIALIZERS = (
    "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "identity",
    "lecun_normal", "lecun_uniform", "ones", "orthogonal", "random_normal", "random_uniform",
    "truncated_normal", "variance_scaling", "zeros",
)  # fmt: skip

_SHARED: dict[str, Any] = {
    "weight_decay": None, "clipnorm": None, "clipvalue": None, "global_clipnorm": None,
    "use_ema": False, "ema_momentum": 0.99, "ema_overwrite_frequency": None,
    "gradient_accumulation_steps": None,
}  # fmt: skip
_ADAM: dict[str, Any] = {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-07}

# Optimizer -> argument -> Keras's own default; the config's names are lower case.
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adadelta": {"learning_rate": 0.001, "rho": 0.95, "epsilon": 1e-07},
    "adafactor": {"learning_rate": 0.001, "beta_2_decay": -0.8, "epsilon_1": 1e-30,
                  "epsilon_2": 0.001, "clip_threshold": 1.0, "relative_step": True},
    "adagrad": {"learning_rate": 0.001, "initial_accumulator_value": 0.1, "epsilon": 1e-07},
    "adam": {**_ADAM, "amsgrad": False},
    "adamax": _ADAM,
    "adamw": {**_ADAM, "amsgrad": False, "weight_decay": 0.004},
    "ftrl": {"learning_rate": 0.001, "learning_rate_power": -0.5,
             "initial_accumulator_value": 0.1, "l1_regularization_strength": 0.0,
             "l2_regularization_strength": 0.0, "l2_shrinkage_regularization_strength": 0.0,
             "beta": 0.0},
    "lamb": _ADAM,
    "lion": {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.99},
    "muon": {"learning_rate": 0.001, "adam_beta_1": 0.9, "adam_beta_2": 0.999,
             "adam_weight_decay": 0.004, "epsilon": 1e-07, "weight_decay": 0.004,
             "exclude_embeddings": True, "muon_a": 3.4445, "muon_b": -4.775, "muon_c": 2.0315,
             "adam_lr_ratio": 1.0, "momentum": 0.95, "ns_steps": 5, "nesterov": True,
             "rms_rate": 0.2},
    "nadam": _ADAM,
    "rmsprop": {"learning_rate": 0.001, "rho": 0.9, "momentum": 0.0, "epsilon": 1e-07,
                "centered": False},
    "sgd": {"learning_rate": 0.01, "momentum": 0.0, "nesterov": False},
}  # fmt: skip
OPTIMIZERS = {name: {**_SHARED, **arguments} for name, arguments in OPTIMIZERS.items()}

_WHOLE = ("ema_overwrite_frequency", "gradient_accumulation_steps")

# Argument -> bounds; beyond them Keras refuses, divides by zero or climbs instead of descending.
_SHARE: dict[str, float] = {"ge": 0, "le": 1}
_SHARE_BELOW_ONE: dict[str, float] = {"ge": 0, "lt": 1}
_BOUNDS: dict[str, dict[str, float]] = {
    "learning_rate": {"gt": 0}, "learning_rate_power": {"le": 0},
    "ema_overwrite_frequency": {"ge": 1}, "gradient_accumulation_steps": {"ge": 2},
    "momentum": _SHARE, "ema_momentum": _SHARE, "rho": _SHARE_BELOW_ONE,
    "beta_1": _SHARE_BELOW_ONE, "beta_2": _SHARE_BELOW_ONE,
    "adam_beta_1": _SHARE_BELOW_ONE, "adam_beta_2": _SHARE_BELOW_ONE,
    "beta_2_decay": {"lt": 0}, "clip_threshold": {"gt": 0}, "ns_steps": {"ge": 1},
}  # fmt: skip
_NOT_NEGATIVE = (
    "adam_lr_ratio", "adam_weight_decay", "beta", "clipnorm", "clipvalue", "epsilon", "epsilon_1",
    "epsilon_2", "global_clipnorm", "initial_accumulator_value", "l1_regularization_strength",
    "l2_regularization_strength", "l2_shrinkage_regularization_strength", "rms_rate",
    "weight_decay",
)  # fmt: skip
_BOUNDS.update({name: {"ge": 0} for name in _NOT_NEGATIVE})


def one_of(kind: str, known: Iterable[str]) -> Callable[[str], str]:
    """A validator: the value is one of ``known``, or the message gives the nearest one."""
    known = tuple(known)

    def check(value: str) -> str:
        if value not in known:
            near = did_you_mean(value, known)
            raise ValueError(
                f"Keras has no {kind} '{value}'{near or '; known: ' + ', '.join(known)}"
            )
        return value

    return check


def _names(kind: str, known: tuple[str, ...]) -> Any:
    return Annotated[
        str, AfterValidator(one_of(kind, known)), Field(json_schema_extra={"enum": list(known)})
    ]


if TYPE_CHECKING:
    Activation = str
    Initializer = str
else:
    Activation = _names("activation", ACTIVATIONS)
    Initializer = _names("initializer", INITIALIZERS)


class OptimizerSettings(BaseModel):
    """A Keras optimizer by name, with its arguments."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str

    @model_validator(mode="after")
    def _clips_one_way(self) -> Self:
        clips = ("clipnorm", "clipvalue", "global_clipnorm")
        asked = [name for name in clips if getattr(self, name, None) is not None]
        if len(asked) > 1:
            raise ValueError(f"clips gradients in one way only; got {' and '.join(asked)}")
        return self

    @property
    def parameters(self) -> dict[str, Any]:
        """The arguments to call the Keras class with."""
        return self.model_dump(exclude={"name"})


@cache
def optimizer_schemas() -> dict[str, type[OptimizerSettings]]:
    """Optimizer name -> pydantic model of its Keras arguments, with ``name`` as the tag."""
    return {name: _optimizer_schema(name, given) for name, given in OPTIMIZERS.items()}


def _optimizer_schema(name: str, arguments: dict[str, Any]) -> type[OptimizerSettings]:
    fields: dict[str, Any] = {"name": (Literal[name], name)}
    for argument, default in arguments.items():
        kind: Any = type(default)
        if default is None:
            kind = int | None if argument in _WHOLE else float | None
        bounds: dict[str, Any] = dict(_BOUNDS.get(argument, {}))
        if (name, argument) == ("lion", "beta_1"):
            bounds = {"gt": 0, "lt": 1}
        fields[argument] = (kind, Field(default, **bounds))
    return create_model(name, __base__=OptimizerSettings, **fields)

"""How a threshold may be chosen, and the numbers that some of the rules need."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from medkit.core.errors import MedkitError

Rule = Literal["youden", "f1", "sensitivity", "specificity", "cost"]

_NEEDED = {"sensitivity": "at_least", "specificity": "at_least", "cost": "cost_ratio"}
_EXAMPLE = {"at_least": "at_least: 0.9", "cost_ratio": "cost_ratio: 5"}


def refusal(name: str, value: Any, rule: str) -> str | None:
    """What is wrong with ``at_least`` or ``cost_ratio`` under a rule; None if nothing is."""
    if value is None and _NEEDED.get(rule) == name:
        return f"threshold: {rule} needs {name}, such as '{_EXAMPLE[name]}'"
    if value is not None and _NEEDED.get(rule) != name:
        rules = " or ".join(each for each, needed in _NEEDED.items() if needed == name)
        return f"{name} is for threshold: {rules}; here it is {rule}"
    return None


def check_rule(rule: str, at_least: float | None, cost_ratio: float | None) -> None:
    """Refuse a rule without its number, or a number without its rule.

    Raises:
        MedkitError: Says what is missing or too much.
    """
    for name, value in (("at_least", at_least), ("cost_ratio", cost_ratio)):
        text = refusal(name, value, rule)
        if text:
            raise MedkitError(text, place=f"task.{name}")


def _fits(value: float | None, info: ValidationInfo) -> float | None:
    rule = info.data.get("threshold")  # absent where it is wrong itself
    text = refusal(str(info.field_name), value, rule) if rule else None
    if text:
        raise ValueError(text)
    return value


# So that `medkit validate` finds it too: validated when left out, after the threshold.
AtLeast = Annotated[
    Annotated[float, Field(gt=0, le=1)] | None, AfterValidator(_fits), Field(validate_default=True)
]
CostRatio = Annotated[
    Annotated[float, Field(gt=0, allow_inf_nan=False)] | None,
    AfterValidator(_fits),
    Field(validate_default=True),
]

"""Numbers from one unit to another, by pint."""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import Any

from medkit.core.errors import DataError


def conversion(
    name: str, unit: str, to: str, molar_mass: float | None, place: str
) -> tuple[float, float]:
    """Scale and shift that take a variable's numbers to another unit: ``scale * x + shift``.

    Args:
        name: The variable, for messages.
        unit: Unit of the numbers as given: ``°F``, ``mg/dL``.
        to: Unit wanted: ``°C``, ``mmol/L``.
        molar_mass: Of the substance, in g/mol: between mass and amount.
        place: Where the conversion is declared.

    Raises:
        DataError: pint is not installed, a unit is unknown, or one does not lead to the other.
    """
    if importlib.util.find_spec("pint") is None:
        raise DataError(
            "converting units needs the package pint, which is not installed",
            place=place,
            hint="pip install 'keras-medkit[units]'",
        )
    import pint

    registry = _registry()
    found = {}
    for each in (unit, to):
        try:
            found[each] = registry.parse_units(each)
        # pint hands on errors of its parser, of several kinds.
        except (
            pint.PintError,
            ValueError,
            TypeError,
            AttributeError,
            SyntaxError,
            AssertionError,
        ) as error:
            raise DataError(
                f"{name}: the unit '{each}' is not known ({error})",
                place=place,
                hint="As in mg/dL, mmol/L, °F, °C, kPa, mmHg, cm, kg.",
            ) from None
    start, end = found[unit], found[to]
    moles = [each.dimensionality.get("[substance]", 0) for each in (start, end)]
    bridge = None
    if molar_mass is not None and abs(moles[1] - moles[0]) == 1:
        bridge = registry.Quantity(molar_mass, "g/mol") ** (moles[0] - moles[1])
    try:
        if bridge is not None:
            return float((registry.Quantity(1.0, start) * bridge).to(end).magnitude), 0.0
        shift = float(registry.Quantity(0.0, start).to(end).magnitude)
        steps = [f"delta_{each:D}" if "degree_" in f"{each:D}" else f"{each:D}"
                 for each in (start, end)]  # fmt: skip
        return float(registry.Quantity(1.0, steps[0]).to(steps[1]).magnitude), shift
    except pint.PintError:
        hint = "Are both units right?"
        if molar_mass is None and moles[0] != moles[1]:
            hint = "Between mass and amount of a substance, give its molar_mass in g/mol."
        raise DataError(f"{name}: {unit} cannot become {to}", place=place, hint=hint) from None


@cache
def _registry() -> Any:
    import pint

    registry: Any = pint.UnitRegistry()
    registry.define("bpm = 1 / minute")
    return registry

"""A data dictionary: units, plausible ranges, stand-ins for 'missing' and categories by column."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import pydantic

from medkit.core.checking import check
from medkit.core.errors import ConfigError, DataError, Problem, did_you_mean
from medkit.core.files import existing
from medkit.core.lazy import pd
from medkit.core.values import category_key
from medkit.core.yaml_file import read_yaml
from medkit.data.cohort import Feature
from medkit.datasets.parameters import Values
from medkit.datasets.table.ranges import Outside
from medkit.datasets.table.units import conversion
from medkit.readers.tables import read_table, require
from medkit.readers.values import as_numbers, sentinels_of

log = logging.getLogger("medkit")


class DictionaryEntry(pydantic.BaseModel):
    """What a data dictionary says of one column."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    unit: str | None = pydantic.Field(default=None, description="Unit of the numbers in the file.")
    convert_to: str | None = pydantic.Field(default=None, description="Unit they are converted to.")
    molar_mass: Annotated[float, pydantic.Field(gt=0)] | None = pydantic.Field(
        default=None, description="Of the substance, in g/mol, to convert between mass and amount."
    )
    low: float | None = pydantic.Field(
        default=None, description="Lowest plausible value, in `unit`."
    )
    high: float | None = pydantic.Field(
        default=None, description="Highest plausible value, in `unit`."
    )
    outside: Outside | None = pydantic.Field(
        default=None, description="What becomes of other values; by default as for all columns."
    )
    missing_values: tuple[str | int | float, ...] = pydantic.Field(
        default=(), description="Values that mean 'missing'."
    )
    categories: tuple[str | int | float, ...] = pydantic.Field(
        default=(), description="The categories there may be."
    )
    description: str | None = pydantic.Field(default=None, description="What the column is.")

    @property
    def numeric(self) -> bool:
        """Whether it describes numbers."""
        return any(v is not None for v in (self.unit, self.convert_to, self.low, self.high))


Described = Mapping[str, DictionaryEntry | Feature]


def read_dictionary(path: Path) -> dict[str, DictionaryEntry]:
    """The entries of a YAML or CSV file by column.

    YAML is a mapping ``sbp: {unit: mmHg, low: 40, high: 300}``. A CSV has a column ``name`` and
    any of the others; several missing values or categories stand in one cell, divided by ``|``.

    Raises:
        ConfigError: A YAML file with mistakes, each with its line.
        DataError: A CSV file that cannot be read, or with mistakes.
    """
    existing(path)
    if path.suffix.lower() in (".yaml", ".yml"):
        document, lines = read_yaml(path)
    else:
        document, lines = _from_table(path), {}
    entries: dict[str, DictionaryEntry] = {}
    problems: list[Problem] = []
    for name, given in document.items():
        plain = {str(k): v for k, v in given.items()} if isinstance(given, dict) else given
        found, wrong = check(
            DictionaryEntry, {} if plain is None else plain, "a setting of a dictionary"
        )
        wrong += _contradictions(found) if found else []
        for where, text in wrong:
            line = lines.get((name, *where), lines.get((name,)))
            problems.append(Problem(".".join(map(str, (name, *where))), text, line))
        if found is not None:
            entries[str(name)] = found
    if problems:
        raise ConfigError(problems, place=str(path))
    return entries


def _contradictions(entry: DictionaryEntry) -> list[tuple[tuple[str, ...], str]]:
    found: list[tuple[tuple[str, ...], str]] = []
    if entry.categories and entry.numeric:
        found.append((("categories",), "has no unit or range beside it: numbers or categories"))
    if entry.convert_to and not entry.unit:
        found.append((("convert_to",), "needs the unit to convert from"))
    if entry.low is not None and entry.high is not None and entry.low > entry.high:
        found.append((("low",), f"{entry.low:g} is above {entry.high:g} (high)"))
    return found


def _from_table(path: Path) -> dict[str, dict[str, Any]]:
    lists = ("missing_values", "categories")
    frame = read_table(path, literal=("name", *lists), text=("unit", "convert_to", "description"))
    require("name", list(frame.columns), path)
    entries: dict[str, dict[str, Any]] = {}
    for row in frame.astype(object).where(frame.notna(), None).to_dict("records"):
        given = {str(key): value for key, value in row.items() if value is not None}
        name = str(given.pop("name", "")).strip()
        if not name or name in entries:
            what = f"names '{name}' twice" if name else "has a row without a name"
            raise DataError(f"the data dictionary {what}", place=str(path))
        for key in lists:
            if key in given:
                given[key] = [each.strip() for each in str(given[key]).split("|") if each.strip()]
        entries[name] = given
    return entries


class TableValues(Values):
    """What the numbers mean: units, plausible ranges, 'missing', or a dictionary of all columns."""

    dictionary: Path | dict[str, DictionaryEntry] | None = None
    """A data dictionary, YAML or CSV, or its entries: by column ``unit``, ``low`` and ``high`` (in
    that unit), ``outside``, ``missing_values``, ``categories``, and ``convert_to``, the unit that
    the model is to take (from mass to amount also ``molar_mass`` in g/mol). Numbers are converted
    as they are read, in training and from every new file alike; the run keeps how. The other
    parameters of this group go before it."""


def describe(values: TableValues, names: Sequence[str]) -> dict[str, Feature]:
    """Each column's units, range and stand-ins, from the dictionary and the parameters.

    What the parameters say of a column goes before what the dictionary says. A Feature in the
    dictionary's place is taken as it is: training has found it out.

    Args:
        values: The dataset's parameters.
        names: Columns of the table.

    Raises:
        ConfigError, DataError: The dictionary has mistakes or fits none of the columns, or a unit
            cannot be converted.
    """
    dictionary: Any = values.dictionary
    place = str(dictionary) if isinstance(dictionary, Path) else "dataset.values.dictionary"
    entries: Described = (
        read_dictionary(dictionary) if isinstance(dictionary, Path) else dictionary or {}
    )
    trained = any(isinstance(each, Feature) for each in entries.values())
    if entries and not trained:
        _compare(entries, names, place)
    found: dict[str, Feature] = {}
    for name in names:
        entry = entries.get(name)
        if isinstance(entry, Feature):
            found[name] = entry
            continue
        entry = entry or DictionaryEntry()
        low, high = values.ranges.get(name, (entry.low, entry.high))
        unit = values.units.get(name, entry.unit)
        scale, shift = 1.0, 0.0
        if entry.convert_to and unit and unit != entry.convert_to:
            scale, shift = conversion(name, unit, entry.convert_to, entry.molar_mass, place)
        converted = (scale, shift) != (1.0, 0.0)
        found[name] = Feature(
            name,
            "categorical" if entry.categories else "numeric",
            entry.convert_to or unit,
            None if low is None else scale * low + shift,
            None if high is None else scale * high + shift,
            entry.outside or values.outside,
            (*sentinels_of(values.missing_values, name), *entry.missing_values),
            unit if converted else None,
            scale,
            shift,
            tuple(category_key(each) for each in entry.categories),
        )
    return found


def declared(dictionary: Mapping[str, Feature], numeric: Iterable[str], categorical: Iterable[str]
             ) -> tuple[tuple[str, ...], tuple[str, ...]]:  # fmt: skip
    """Columns known to be numeric and categorical: those given, and those the dictionary says."""
    numeric, categorical = tuple(numeric), tuple(categorical)
    more = [n for n, each in dictionary.items() if each.categories and n not in categorical]
    wrong = sorted(set(more) & set(numeric))
    if wrong:
        raise DataError(f"column '{wrong[0]}' is numeric, but the data dictionary declares "
                        "categories for it", place="dataset")  # fmt: skip
    known = (*categorical, *more)
    described = [
        n for n, each in dictionary.items()
        if n not in (*numeric, *known) and (each.unit or (each.low, each.high) != (None, None))
    ]  # fmt: skip
    return (*numeric, *described), known


def converted(frame: pd.DataFrame, dictionary: Mapping[str, Feature], path: Path
              ) -> tuple[pd.DataFrame, tuple[str, ...]]:  # fmt: skip
    """The frame in the units that the dictionary asks for, and a note that says which.

    Raises:
        DataError: A column to convert holds text.
    """
    changed, notes = {}, []
    for name, each in dictionary.items():
        if name in frame and (each.scale, each.shift) != (1.0, 0.0):
            changed[name] = as_numbers(frame[name], path) * each.scale + each.shift
            notes.append(f"{name} from {each.file_unit} to {each.unit}")
    if not changed:
        return frame, ()
    return frame.assign(**changed), (f"units converted: {', '.join(notes)}",)


def _compare(entries: Described, names: Sequence[str], place: str) -> None:
    """Log what the dictionary and the table do not share; fail where they share nothing."""
    spare = [name for name in names if name not in entries]
    absent = [name for name in entries if name not in names]
    if len(absent) == len(entries):
        raise DataError(
            "the data dictionary names none of the table's columns",
            place=place,
            hint=f"The table has: {', '.join(names[:20])}.",
        )
    folded = {_folded(name): name for name in spare}
    for name in absent:
        if _folded(name) in folded:
            raise DataError(
                f"the data dictionary describes '{name}'; the table's column is called "
                f"'{folded[_folded(name)]}'",
                place=place,
                hint="Columns must be named as in the table.",
            )
    if absent:
        near = [f"{name}{did_you_mean(name, spare)}" for name in absent[:20]]
        log.warning("the data dictionary describes %d columns that the table lacks: %s",
                    len(absent), ", ".join(near))  # fmt: skip
    if spare:
        log.info("the data dictionary does not describe %d columns: %s",
                 len(spare), ", ".join(spare[:20]))  # fmt: skip


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())

"""What the columns of a table seem to be, by their values: what a first config is written from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.datasets.table.columns import MOST_CLASSES, Roles
from medkit.datasets.table.roles import TIME_NAME, are_dates, folded, is_row_number
from medkit.datasets.table.times import as_time
from medkit.readers.values import is_text, share_of_numbers

# Numbers often written for 'missing', checked only where they stand apart from the others.
STAND_INS = (-1, -9, -99, -999, -9999, 99, 999, 9999, 99999)


@dataclass
class Guess:
    """What was found, in the order of the columns."""

    roles: Roles
    ignored: dict[str, str] = field(default_factory=dict)
    categorical: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    missing: dict[str, list[Any]] = field(default_factory=dict)
    doubtful: dict[str, tuple[float, str]] = field(default_factory=dict)
    times: list[str] = field(default_factory=list)
    time_formats: dict[str, str] = field(default_factory=dict)


def inspect_column(values: pd.Series, guess: Guess, file: Path) -> None:
    """Put one column where it seems to belong."""
    name = str(values.name)
    present = values.dropna()
    kinds, count = present.nunique(), len(present)
    dates = are_dates(values)
    if kinds <= 1:
        guess.ignored[name] = "empty" if not count else "the same value in every row"
    elif name == guess.roles.site:
        guess.ignored[name] = "the hospital, by its name"
    elif dates or (TIME_NAME.search(folded(name)) and not is_text(values)):
        guess.times.append(name)
        guess.ignored[name] = "dates" if dates else "a point in time, by its name"
        if dates and (question := _doubtful_format(values, file)):
            guess.time_formats[name] = question
    elif is_text(values) and share_of_numbers(values) >= 0.5:
        numbers, texts = numbers_and_texts(values)
        if is_row_number(numbers.dropna(), name):
            guess.ignored[name] = "almost a different number in every row: an identifier"
        elif len(texts) > MOST_CLASSES:
            guess.ignored[name] = "a mixture of numbers and many different texts"
        else:
            guess.missing[name] = texts
    elif is_text(values):
        _inspect_text(present, guess)
    elif is_row_number(present, name):
        guess.ignored[name] = "a different whole number in every row: an identifier"
    else:
        _inspect_numbers(present, guess)


def numbers_and_texts(values: pd.Series) -> tuple[pd.Series, list[str]]:
    """The numbers of a mixed column, and the different texts among them."""
    numbers = pd.to_numeric(values, errors="coerce")
    texts = values[values.notna() & numbers.isna()].astype("str").str.strip()
    return numbers, sorted(texts.unique())


def _inspect_text(present: pd.Series, guess: Guess) -> None:
    name, kinds, count = str(present.name), present.nunique(), len(present)
    # Texts repeated by at least a few rows each are categories; others say who, not what.
    if kinds > 0.5 * count or kinds > max(50, 0.1 * count):
        guess.ignored[name] = f"{kinds} different texts in {count} rows: an identifier or free text"
        return
    guess.categorical.append(name)
    if (present.astype("str").str.strip() == "?").any():
        guess.missing[name] = ["?"]


def _inspect_numbers(present: pd.Series, guess: Guess) -> None:
    name = str(present.name)
    if 3 <= present.nunique() <= 8 and bool((present == present.round()).all()):
        guess.codes.append(name)
    for stand_in in STAND_INS:
        times, rest = int((present == stand_in).sum()), present[present != stand_in]
        if times < 2 or rest.nunique() < 3:
            continue
        alone = rest.min() >= 0 if stand_in < 0 else rest.max() < stand_in / 2
        if alone:
            guess.doubtful[name] = (stand_in, f"{times} rows, apart from all others")
    rest = present[present != 0]
    zeros = len(present) - len(rest)
    if zeros >= 2 and rest.nunique() > 8 and rest.min() > 0.25 * rest.median():
        guess.doubtful[name] = (0, f"{zeros} rows are 0, all others {rest.min():g} or more")


def _doubtful_format(values: pd.Series, file: Path) -> str | None:
    """What to write where the dates could be read in two ways, or in none."""
    try:
        as_time(values, file)
    except DataError as error:
        return f'"%d.%m.%Y"   as it is: {error.message}'
    return None

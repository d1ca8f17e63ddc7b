"""The groups of parameters of `table`."""

from __future__ import annotations

from pydantic import model_validator

from medkit.datasets.parameters import ReadFrom
from medkit.datasets.table.columns import Roles
from medkit.readers.tables import Decimal


class TableSource(ReadFrom):
    """Where the rows are, if not simply in the file at ``path``, and how they are read."""

    sheet: str | None = None
    """The sheet of an Excel file; by default the only one with data."""
    encoding: str | None = None
    """The text's encoding; by default UTF-8 or UTF-16 by its mark, else Western European (cp1252)
    where all words read so."""
    delimiter: str | None = None
    """What separates the text's columns; by default found out from the first lines."""
    decimal: Decimal | None = None
    """The decimal mark of the numbers; by default a point, or a comma in columns that hold mostly
    such numbers where commas do not separate the columns."""


class TableColumns(Roles):
    """What each column is: who and when, an input, or nothing."""

    inputs: tuple[str, ...] | None = None
    """The input columns; by default all that have no other use."""
    ignore: tuple[str, ...] = ()
    """Columns that are no inputs."""
    numeric: tuple[str, ...] = ()
    """Columns that must hold numbers; a text in one of them is an error."""
    categorical: tuple[str, ...] = ()
    """Columns of codes, to be treated as categories though they look like numbers. They are read
    as text: ``038`` and ``250.00`` stay what they are."""
    durations: tuple[str, ...] = ()
    """Columns of dates that are inputs as days before ``time``; dates after it are missing. Needs
    dates as 2024-05-31, or ``time_format``."""

    @model_validator(mode="after")
    def _no_contradictions(self) -> TableColumns:
        both = sorted(set(self.numeric) & set(self.categorical))
        if both:
            raise ValueError(f"column '{both[0]}' is both numeric and categorical")
        if self.durations and self.time is None:
            raise ValueError("durations need the time of prediction: name its column as time")
        return self

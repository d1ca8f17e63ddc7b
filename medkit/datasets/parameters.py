"""Groups of parameters that several datasets have, each with one meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from medkit.core.groups import ParameterGroup
from medkit.core.values import Outside


class ReadFrom(ParameterGroup):
    """Where the rows are, if not simply in the file at ``path``, and how they are read."""

    url: str | None = None
    """A database instead of ``path``, as SQLAlchemy takes it. Its password comes from the
    environment: ``"postgresql+psycopg://user:${DB_PASSWORD}@host/db"``, or from PGPASSWORD."""
    query: str | None = None
    """The select statement, for a database; with ``order by``, where its rows have no id."""
    timeout: Annotated[float, Field(gt=0)] = 600
    """Seconds to wait for the database's connection and for each part of its rows."""
    cache: Path | None = None
    """A folder for the data as read: the next run starts at once, unless the files have changed.
    It holds patients' data and is for its owner alone. By default the folder that MEDKIT_CACHE
    names."""


class SampleColumns(ParameterGroup):
    """Columns that say of whom, when and where a sample is."""

    subject: str | None = None
    """The patient's column; a patient's rows are never divided between train and test."""
    time: str | None = None
    """The column of the time of prediction: dates or numbers, for splits by time."""
    time_format: str | None = None
    """How times written as texts are to be read, as in ``"%d.%m.%Y"``; by default ISO 8601
    (2024-05-31 14:30), or the only format that fits all rows."""
    site: str | None = None
    """The hospital's column, for splits by site."""
    attributes: tuple[str, ...] = ()
    """Columns kept for splits and subgroups. Of a table they are inputs too, unless ``ignore``
    names them."""


class Target(ParameterGroup):
    """What is predicted: ``died``, ``[died, readmitted]`` or ``{column: lactate, above: 4}``."""

    short = "column"

    column: str | Annotated[tuple[str, ...], Field(min_length=1)]
    """The column to predict, or a list of several (multilabel, or several outputs). Rows where it
    is empty are dropped and counted."""
    above: float | None = None
    """Predict whether the target is above this value (label 1) or not (0)."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns to predict, one or several."""
        return (self.column,) if isinstance(self.column, str) else self.column


class Values(ParameterGroup):
    """What the numbers mean: their units, what is plausible, and what stands for 'missing'."""

    units: dict[str, str] = {}
    """Unit of the numbers, by column or variable: ``{sbp: mmHg, HR: bpm}``."""
    ranges: dict[str, tuple[float, float]] = {}
    """Plausible lowest and highest value by column or variable, in its unit:
    ``{sbp: [40, 300]}``."""
    outside: Outside = "missing"
    """What becomes of a value outside its range, or of an undeclared category: missing, clip (to
    the range's end), keep, or fail. They are counted in any case."""
    missing_values: dict[str, tuple[str | int | float, ...]] = {}
    """Values that mean 'missing', by column or variable, or for all under ``"*"``:
    ``{"*": ["?"], chol: [0]}``."""

    @model_validator(mode="after")
    def _ranges_run_upwards(self) -> Values:
        for name, (low, high) in self.ranges.items():
            if low > high:
                raise ValueError(f"ranges.{name}: {low:g} is above {high:g}")
        return self

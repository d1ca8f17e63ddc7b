"""Columns of a table put to their uses: targets, subjects, sites, attributes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.datasets.parameters import SampleColumns, Target
from medkit.datasets.table.times import as_time, has_zone
from medkit.readers.tables import require
from medkit.readers.values import (
    as_category,
    as_identifier,
    as_numbers,
    check_finite,
    is_text,
    mixed_texts,
    refuse_decimal_commas,
    refuse_empty,
    share_of_numbers,
)

log = logging.getLogger("medkit")

MOST_CLASSES = 20


class Roles(SampleColumns):
    """Which columns describe a sample; None or empty where there is no such column."""

    id: str | None = None
    """The sample's own id column; by default the row number, counted from 1."""

    @property
    def own(self) -> tuple[str, ...]:
        """The columns that identify or place a sample and so are no inputs by default."""
        return tuple(c for c in (self.subject, self.id, self.time, self.site) if c)

    def within(self, names: Sequence[str], path: Path, labelled: bool) -> Self:
        """These roles, their columns checked; a new, unlabelled file may lack some of them.

        Raises:
            DataError: A named column is absent (only if ``labelled``).
        """
        if not labelled:
            return self._present(names)
        for role in ("subject", "id", "time", "site"):
            if getattr(self, role):
                require(getattr(self, role), names, path, f"{role} column")
        for column in self.attributes:
            require(column, names, path, "attribute column")
            own = getattr(self, column, None) if column in ("subject", "time", "site") else column
            if own != column:
                raise DataError(
                    f"the attribute '{column}' has the name that medkit gives to the {column} "
                    f"column" + (f", which is '{own}' here" if own else ""),
                    place=str(path),
                    hint=f"Name it as columns.{column}, or rename the column.",
                )
        return self

    def _present(self, names: Sequence[str]) -> Self:
        kept = {role: getattr(self, role) for role in ("subject", "id", "time", "site")}
        lacking = [c for c in (*kept.values(), *self.attributes) if c and c not in names]
        if lacking:
            log.info("the new file has no column %s; going on without", ", ".join(lacking))
        there = {role: column if column in names else None for role, column in kept.items()}
        attributes = tuple(c for c in self.attributes if c in names)
        return self.model_copy(update={**there, "attributes": attributes})

    def samples(self, frame: pd.DataFrame, path: Path, labelled: bool) -> pd.DataFrame:
        """The samples frame of a Cohort: index, ``subject``, ``time``, ``site``, attributes.

        Without labels nothing is split: times, and patients that are not all known, are left
        out.
        """
        columns: dict[str, Any] = {}
        if self.subject:
            subjects = as_identifier(frame[self.subject])
            if labelled or subjects.notna().all():
                columns["subject"] = subjects
        if self.time and labelled:
            has_zone(frame[self.time], path)
            columns["time"] = as_time(frame[self.time], path, self.time_format)
        if self.site:
            columns["site"] = as_category(frame[self.site])
        columns |= {name: frame[name] for name in self.attributes}
        samples = pd.DataFrame(columns, index=frame.index)
        if self.id:
            ids = as_identifier(frame[self.id])
            hint = "Every sample needs an id; without columns.id its row number is used."
            refuse_empty(ids, self.id, path, hint)
            samples.index = pd.Index(ids.to_numpy(), name="id")
        return samples


@dataclass(frozen=True)
class Targets:
    """Target columns as an array over the rows that have them."""

    values: np.ndarray | None
    names: tuple[str, ...]
    present: np.ndarray
    label: str


def read_targets(
    frame: pd.DataFrame,
    target: Target | None,
    path: Path,
    text: Sequence[str] = (),
) -> Targets:
    """The target columns of a table; ``values`` covers the rows where ``present`` is True.

    Targets among ``text`` are classes though they look like numbers.

    Raises:
        DataError: A target column is absent or wholly empty, or holds texts among numbers or
            infinite values.
    """
    if target is None:
        return Targets(None, (), np.ones(len(frame), bool), "")
    names = target.columns
    for name in names:
        require(name, frame.columns, path, "target column")
    present = frame[list(names)].notna().all(axis=1).to_numpy()
    if not present.any():
        raise DataError(
            f"every row lacks a target: {_quoted(names)} is empty in all {len(frame)} rows",
            place=str(path),
            hint="Is it the right column, or does missing_values empty it?",
        )
    columns = [frame.loc[present, name] for name in names]
    label = _quoted(names)
    if target.above is not None:
        columns = [(as_numbers(c, path) > target.above).astype("int64") for c in columns]
        label = ", ".join(f"1 where '{name}' is above {target.above:g}" for name in names)
    arrays = [_plain(_numeric(c, path) if c.name not in text else c, path) for c in columns]
    values = arrays[0] if isinstance(target.column, str) else np.stack(arrays, axis=1)
    return Targets(values, names, present, label)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _numeric(column: pd.Series, path: Path) -> pd.Series:
    """Texts that are all numbers as numbers; classes as they are."""
    if not is_text(column) or pd.api.types.is_bool_dtype(column):
        return column
    share, texts = share_of_numbers(column), column.astype("str").str.strip()
    numbers = pd.to_numeric(column, errors="coerce")
    if share == 1.0:
        # 038 and 38, 250.0 and 250.00 are different codes but the same number.
        return numbers if numbers.nunique() == texts.nunique() else column
    refuse_decimal_commas(column, path)
    if share < 0.5:
        return column
    others = texts[numbers.isna()]
    if texts.nunique() <= MOST_CLASSES and others.str.contains(r"\d").all():
        return column  # classes such as 0, 1, 2, 3+
    what = f"target column '{column.name}' looks numeric but has text"
    raise mixed_texts(column, path, what, "If all are classes, write each of them as text.")


def _plain(column: pd.Series, path: Path) -> np.ndarray:
    if pd.api.types.is_bool_dtype(column):
        return column.to_numpy(dtype=bool, copy=True)
    if is_text(column):
        kinds = {type(value) for value in column}
        if kinds <= {bool, np.bool_}:
            return column.to_numpy(dtype=bool, copy=True)
        return as_category(column).to_numpy(copy=True)
    check_finite(column.astype("float64"), path, "target column")
    numbers = column.to_numpy(dtype="float64", copy=True)
    whole = np.isfinite(numbers).all() and (numbers == np.round(numbers)).all()
    return numbers.astype("int64") if whole else numbers

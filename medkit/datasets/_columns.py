"""Columns of a table put to their uses: targets, subjects, attributes, missing values."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medkit.cohort import Source
from medkit.datasets._files import require
from medkit.errors import DataError
from medkit.files import sha256
from medkit.lazy import pd

log = logging.getLogger("medkit")

Sentinels = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Roles:
    """Which columns describe a sample; None or empty where there is no such column."""

    subject: str | None = None
    id: str | None = None
    time: str | None = None
    site: str | None = None
    attributes: tuple[str, ...] = ()

    @property
    def own(self) -> tuple[str, ...]:
        """The columns that identify or place a sample and so are no inputs by default."""
        return tuple(c for c in (self.subject, self.id, self.time, self.site) if c)

    def check(self, names: Iterable[str], path: Path) -> None:
        """Raise a DataError for the first named column the table lacks."""
        names = list(names)
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
                    hint=f"Name it as dataset.{column}, or rename the column.",
                )

    def present(self, names: Iterable[str]) -> Roles:
        """These roles without columns that a new, unlabelled file lacks."""
        names = set(names)
        kept = {role: getattr(self, role) for role in ("subject", "id", "time", "site")}
        lacking = [c for c in (*kept.values(), *self.attributes) if c and c not in names]
        if lacking:
            log.info("the new file has no column %s; going on without", ", ".join(lacking))
        return Roles(
            **{role: column if column in names else None for role, column in kept.items()},
            attributes=tuple(c for c in self.attributes if c in names),
        )

    def samples(self, frame: pd.DataFrame, path: Path) -> pd.DataFrame:
        """The samples frame of a Cohort: index, ``subject``, ``time``, ``site``, attributes."""
        columns: dict[str, Any] = {}
        if self.subject:
            columns["subject"] = as_identifier(frame[self.subject])
        if self.time:
            columns["time"] = as_time(frame[self.time], path)
        if self.site:
            columns["site"] = as_category(frame[self.site])
        columns |= {name: frame[name] for name in self.attributes}
        samples = pd.DataFrame(columns, index=frame.index)
        if self.id:
            samples.index = pd.Index(as_identifier(frame[self.id]).to_numpy(), name="id")
            if samples.index.isna().any():
                row = int(frame.index[samples.index.isna()][0])
                count = int(samples.index.isna().sum())
                raise DataError(
                    f"column '{self.id}' is empty in {count} rows (first at row {row})",
                    place=str(path),
                    hint="Every sample needs an id; without dataset.id its row number is used.",
                )
        return samples


def as_identifier(values: pd.Series) -> pd.Series:
    """Ids as text, so that 7, 7.0 and '7' are one patient in every file; missing as None."""
    return as_category(values)


def as_category(values: pd.Series) -> pd.Series:
    """Categories as stripped text (object dtype), 1 and 1.0 alike; missing as None."""
    codes, levels = pd.factorize(values)
    names = [_text_of(level) for level in levels]
    taken = np.array([*(name or None for name in names), None], dtype=object)
    return pd.Series(taken[codes], index=values.index, name=values.name, dtype=object)


def _text_of(level: Any) -> str:
    if isinstance(level, (float, np.floating)) and float(level).is_integer():
        return str(int(level))
    return str(level).strip()


def as_time(values: pd.Series, path: Path) -> pd.Series:
    """Times as numbers where the column is numeric, else as timestamps.

    Raises:
        DataError: A text that is no date; the row is named.
    """
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_datetime64_any_dtype(values):
        return values
    times = values
    for form in ("ISO8601", "mixed"):
        # utc: texts with different offsets would otherwise be refused.
        times = pd.to_datetime(values, errors="coerce", format=form, utc=True).dt.tz_localize(None)
        if times.notna().equals(values.notna()):
            break
    wrong = values.index[values.notna() & times.isna()]
    if len(wrong):
        raise DataError(
            f"column '{values.name}' holds {len(wrong)} texts that are no date "
            f"(first at row {wrong[0]})",
            place=str(path),
            hint="Write times as 2024-05-31 or 2024-05-31 14:30, or as numbers.",
        )
    return times


def without_sentinels(frame: pd.DataFrame, sentinels: Sentinels | None) -> pd.DataFrame:
    """The frame with the stand-ins for 'missing' (``?``, -1) emptied, column by column.

    A text column that holds only numbers once they are gone becomes numeric.
    """
    if not sentinels:
        return frame
    everywhere = tuple(sentinels.get("*", ()))
    columns = {}
    for name in frame.columns:
        column = frame[name]
        found = is_sentinel(column, (*everywhere, *sentinels.get(str(name), ())))
        if found.any():
            column = column.mask(found)
            numbers = pd.to_numeric(column, errors="coerce")
            column = numbers if numbers.notna().equals(column.notna()) else column
        columns[name] = column
    return pd.DataFrame(columns, index=frame.index)


def is_sentinel(values: pd.Series, sentinels: Sequence[Any]) -> pd.Series:
    """Which values equal one of the sentinels, as text or as number."""
    if not sentinels:
        return pd.Series(False, index=values.index)
    texts = {str(each).strip() for each in sentinels}
    numbers = pd.to_numeric(pd.Series(sorted(texts)), errors="coerce").dropna().tolist()
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        return values.isin(numbers)
    found = values.astype("str").str.strip().isin(texts) & values.notna()
    if numbers:
        found |= pd.to_numeric(values, errors="coerce").isin(numbers)
    return found


def is_text(values: pd.Series) -> bool:
    """Whether a column holds text, truth values or categories rather than numbers or dates."""
    types = pd.api.types
    if types.is_datetime64_any_dtype(values) or types.is_timedelta64_dtype(values):
        return False
    return types.is_bool_dtype(values) or not types.is_numeric_dtype(values)


def as_numbers(values: pd.Series, path: Path) -> pd.Series:
    """A column as float64.

    Raises:
        DataError: It holds text; the row of the first is named, and a remedy.
    """
    if not is_text(values) or pd.api.types.is_bool_dtype(values):
        return values.astype("float64")
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    wrong = values.notna() & numbers.isna()
    if wrong.any():
        raise DataError(
            f"column '{values.name}' has text where numbers are due: {describe_texts(values)}",
            place=str(path),
            hint=f"If they mean 'missing': missing_values: {suggest_missing(values)}. "
            f"If the column holds categories: categorical: [{values.name}].",
        )
    return numbers


def share_of_numbers(values: pd.Series) -> float:
    """The share of the present values of a text column that read as numbers."""
    present = values.dropna()
    if not len(present) or pd.api.types.is_bool_dtype(values):
        return 0.0
    truths = present.map(lambda value: isinstance(value, (bool, np.bool_))).astype(bool)
    return float((pd.to_numeric(present, errors="coerce").notna() & ~truths).mean())


def describe_texts(values: pd.Series) -> str:
    """``3 of 97 values, first at row 5`` for the values that are no numbers."""
    wrong = values.index[values.notna() & pd.to_numeric(values, errors="coerce").isna()]
    return f"{len(wrong)} of {int(values.notna().sum())} values, first at row {wrong[0]}"


def suggest_missing(values: pd.Series) -> str:
    """A ``missing_values`` entry for the texts of a numeric column.

    A text with digits could be an identifier and is not repeated.
    """
    wrong = values[values.notna() & pd.to_numeric(values, errors="coerce").isna()]
    texts = [t for t in wrong.astype("str").unique() if not any(c.isdigit() for c in t)]
    shown = ", ".join(f'"{text[:12]}"' for text in texts[:3]) or "..."
    return f"{{{values.name}: [{shown}]}}"


def check_finite(values: pd.Series, path: Path) -> None:
    """Raise a DataError naming column and row if a numeric column holds an infinite value."""
    infinite = values.index[np.isinf(values.to_numpy())]
    if len(infinite):
        raise DataError(
            f"column '{values.name}' has {len(infinite)} infinite values "
            f"(first at row {infinite[0]})",
            place=str(path),
            hint="Mend them, or leave the cells empty: they then count as missing.",
        )


@dataclass(frozen=True)
class Targets:
    """Target columns as an array over the rows that have them."""

    values: np.ndarray | None
    names: tuple[str, ...]
    present: np.ndarray
    label: str


def read_targets(
    frame: pd.DataFrame,
    target: str | None,
    targets: tuple[str, ...],
    target_above: float | None,
    path: Path,
) -> Targets:
    """The target columns of a table; ``values`` covers the rows where ``present`` is True.

    Raises:
        DataError: A target column is absent or wholly empty, or the parameters contradict.
    """
    if target is not None and targets:
        raise DataError("give either target or targets, not both", place="dataset")
    names = (target,) if target is not None else targets
    if not names:
        if target_above is not None:
            raise DataError("target_above needs a target column", place="dataset")
        return Targets(None, (), np.ones(len(frame), bool), "")
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
    if target_above is not None:
        columns = [(as_numbers(c, path) > target_above).astype("int64") for c in columns]
        label = ", ".join(f"1 where '{name}' is above {target_above:g}" for name in names)
    arrays = [_plain(column) for column in columns]
    values = arrays[0] if target is not None else _stacked(arrays)
    return Targets(values, tuple(names), present, label)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _plain(column: pd.Series) -> np.ndarray:
    if pd.api.types.is_bool_dtype(column):
        return column.to_numpy(dtype=bool, copy=True)
    if is_text(column):
        kinds = {type(value) for value in column}
        if kinds <= {bool, np.bool_}:
            return column.to_numpy(dtype=bool, copy=True)
        return as_category(column).to_numpy(copy=True)
    numbers = column.to_numpy(dtype="float64", copy=True)
    whole = np.isfinite(numbers).all() and (numbers == np.round(numbers)).all()
    return numbers.astype("int64") if whole else numbers


def _stacked(arrays: list[np.ndarray]) -> np.ndarray:
    if any(array.dtype == object for array in arrays):
        return np.stack([array.astype(object) for array in arrays], axis=1)
    return np.stack(arrays, axis=1)


def source_of(
    path: Path, rows_read: int, dropped: Mapping[str, int], label: str, notes: tuple[str, ...] = ()
) -> Source:
    """The Source of one file; what was dropped is logged, reasons without cases left out."""
    counted = {reason: int(count) for reason, count in dropped.items() if count}
    for reason, count in counted.items():
        log.warning("%s: %d of %d samples dropped (%s)", path.name, count, rows_read, reason)
    return Source({path.name: sha256(path)}, rows_read, counted, label, notes)

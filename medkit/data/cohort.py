"""What a dataset hands over: samples, raw inputs, targets, and where they came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from medkit.core.errors import DataError
from medkit.core.values import Outside
from medkit.data.stored_arrays import chosen

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Feature:
    """One input variable.

    Args:
        name: Column or channel name.
        kind: ``numeric`` or ``categorical``.
        unit: Unit of the numbers as given (``mmHg``, ``bpm``, ``°C``); None if dimensionless.
        low, high: Plausible range in that unit, inclusive; None where unknown.
        outside: What becomes of a value outside that range: missing, clip, keep or fail.
        missing_values: Values that mean 'missing'.
        file_unit: Unit of the numbers in the file, where they were converted to ``unit``.
        scale, shift: How: ``scale * value + shift``.
        categories: The categories there may be; empty where not declared.
    """

    name: str
    kind: Literal["numeric", "categorical"] = "numeric"
    unit: str | None = None
    low: float | None = None
    high: float | None = None
    outside: Outside = "missing"
    missing_values: tuple[str | int | float, ...] = ()
    file_unit: str | None = None
    scale: float = 1.0
    shift: float = 0.0
    categories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # From JSON they come as a list.
        object.__setattr__(self, "categories", tuple(self.categories))


@dataclass(frozen=True)
class RawInput:
    """One kind of raw input for n samples, nothing learned from it.

    ``values`` by modality:

    - ``tabular``: ``pandas.DataFrame`` (n rows), numbers or text as read, missing as NaN/None
    - ``series``: float32 array (n, time, channels) in physical units, NaN where not measured; may
      be a memmap, or rows of one (``medkit.data.stored_arrays.StoredRows``)
    - ``waveform``: the same, dense
    - ``image``: uint8, uint16 or float32 array (n, height, width, channels) or (n, depth, height,
      width, channels); may be a memmap
    - ``tokens``: object array (n,) of ``str``

    ``features`` names the columns or channels (empty for images and tokens). The values keep to
    what their features say: sentinels are emptied and ranges applied already. ``step_seconds`` are
    the seconds between two samples of a signal, where they are known.

    ``present`` (n,) bool says which samples have this input, where some lack it: what ``values``
    holds in their rows means nothing. None: every sample has it.
    """

    modality: str
    values: Any
    features: tuple[Feature, ...] = ()
    step_seconds: float | None = None
    present: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: np.ndarray) -> RawInput:
        """The given rows, in the given order."""
        present = None if self.present is None else self.present[rows]
        return replace(self, values=chosen(self.values, rows), present=present)


@dataclass(frozen=True)
class Source:
    """Where a cohort came from.

    Args:
        files: File name (without folders) -> sha256.
        rows_read: Samples seen before anything was dropped.
        dropped: Reason -> number of samples dropped for it; reasons without any are left out.
        label: The label's definition in words.
        notes: Anything else a reader of the run should know.
        columns: Column of a table -> its role: ``input (numeric, mmHg)``, ``target``, ``ignore``.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    rows_read: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    label: str = ""
    notes: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        counts = {reason: int(count) for reason, count in self.dropped.items() if count}
        object.__setattr__(self, "dropped", counts)


@dataclass(frozen=True)
class Cohort:
    """The samples a dataset yields.

    Args:
        samples: One row a sample; index: unique sample id. Optional columns ``subject`` (the
            patient), ``time`` (when the prediction is made), ``site``; every further column is
            an attribute for splits and subgroups.
        inputs: Raw inputs by name, one or several.
        targets: (n,) or (n, outputs) as read (numbers or text); None when only predicting.
        source: Files read and rows dropped.
        target_names: Names of the target columns.

    Raises:
        DataError: No samples, lengths that differ, samples without any input, duplicate sample
            ids, missing subjects.
    """

    samples: pd.DataFrame
    inputs: Mapping[str, RawInput]
    targets: np.ndarray | None
    source: Source = Source()
    target_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.samples)
        if count == 0:
            reasons = ", ".join(f"{k}: {v}" for k, v in self.source.dropped.items()) or "none read"
            raise DataError(f"the dataset has no samples left ({reasons})")
        for name, raw in self.inputs.items():
            if len(raw) != count:
                raise DataError(f"input '{name}' has {len(raw)} rows for {count} samples")
        nowhere = np.full(count, bool(self.inputs))
        for raw in self.inputs.values():
            nowhere &= False if raw.present is None else ~raw.present
        if nowhere.any():
            raise DataError(
                f"{nowhere.sum()} samples have no input at all (first at row "
                f"{np.flatnonzero(nowhere)[0] + 1})",
                hint="Leave these samples out, or join further data to them.",
            )
        if self.targets is not None and len(self.targets) != count:
            raise DataError(f"{len(self.targets)} targets for {count} samples")
        repeated = np.flatnonzero(self.samples.index.duplicated())
        if len(repeated):
            # Row numbers, not the ids themselves: messages may end up in a log.
            raise DataError(
                f"{len(repeated)} duplicate sample ids (first at row {repeated[0] + 1})",
                hint="Give each sample its own id, or name that column as 'subject' instead.",
            )
        if "subject" in self.samples and self.samples["subject"].isna().any():
            row = int(np.flatnonzero(self.samples["subject"].isna())[0]) + 1
            missing = int(self.samples["subject"].isna().sum())
            raise DataError(
                f"{missing} samples have no subject (first at row {row})",
                hint="Fill the subject column, or drop those rows: a patient must be known "
                "to keep train and test apart.",
            )

    def __len__(self) -> int:
        return len(self.samples)

    def take(self, rows: Sequence[int] | np.ndarray) -> Cohort:
        """A cohort of the given row positions (or boolean mask)."""
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        return replace(
            self,
            samples=self.samples.iloc[rows],
            inputs={name: raw.take(rows) for name, raw in self.inputs.items()},
            targets=None if self.targets is None else self.targets[rows],
        )

    @property
    def subjects(self) -> np.ndarray:
        """(n,) subject of each sample; the sample id itself where no subject column is known."""
        if "subject" in self.samples:
            return self.samples["subject"].to_numpy()
        return self.samples.index.to_numpy()

"""What the checks look at: the rows of all parts, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from medkit.core.lazy import pd
from medkit.data.stored_arrays import chosen
from medkit.leakage.raw_table import RawTable
from medkit.tasks.outcomes import Outcome
from medkit.tasks.task import Task

if TYPE_CHECKING:
    import pandas

    from medkit.data.parts import Part
    from medkit.modalities.likeness import Texts
    from medkit.modalities.modality import Modality

MOST_ROWS = 20_000


@dataclass
class Evidence:
    """The rows of all parts, in the order of the parts, and one of their inputs.

    Args:
        parts: Part name -> samples.
        input: Name of the input that is looked at.
        modality: Its fitted modality.
        task: The fitted task.
        notes: Filled by the checks: what was not looked at in full.
        copies: Filled by them: the part and the rows of a later one that are in it again, where
            that is no coincidence.
    """

    parts: Mapping[str, Part]
    input: str
    modality: Modality
    task: Task
    notes: list[str] = field(default_factory=list)
    copies: list[tuple[str, np.ndarray]] = field(default_factory=list)

    @property
    def raw(self) -> list[Any]:
        """The raw values of each part."""
        return [part.cohort.inputs[self.input].values for part in self.parts.values()]

    @property
    def among(self) -> str:
        """`` (vitals)`` where a finding must say in which of several inputs it was."""
        several = len(next(iter(self.parts.values())).cohort.inputs) > 1
        return f" ({self.input})" if several else ""

    @property
    def arrays(self) -> list[np.ndarray]:
        """The encoded values of each part."""
        return [part.inputs[self.input] for part in self.parts.values()]

    @cached_property
    def names(self) -> list[str]:
        return list(self.parts)

    @cached_property
    def part(self) -> np.ndarray:
        """(n,) position of each row's part in ``names``."""
        return np.repeat(np.arange(len(self.parts)), [len(p.cohort) for p in self.parts.values()])

    @cached_property
    def samples(self) -> pandas.DataFrame:
        return pd.concat([part.cohort.samples for part in self.parts.values()])

    @cached_property
    def declared(self) -> bool:
        """Whether the subjects are known."""
        return all("subject" in part.cohort.samples for part in self.parts.values())

    @cached_property
    def subject(self) -> np.ndarray:
        """(n,) number of each row's subject; every row its own where subjects are unknown."""
        if not self.declared:
            return np.arange(len(self.part))
        names = self.samples["subject"]
        if not pd.api.types.is_integer_dtype(names):
            names = pd.Series(names.to_numpy(dtype=object)).astype(str).str.strip()
        return pd.factorize(names)[0]

    @property
    def times_are_dates(self) -> bool:
        """Whether the times of prediction are dates (and not plain numbers)."""
        return not pd.api.types.is_numeric_dtype(self.samples["time"])

    @cached_property
    def texts(self) -> Texts | None:
        """The raw texts of all rows, where the input is one."""
        found = [self.modality.texts(values) for values in self.raw]
        parts = [each for each in found if each is not None]
        return (
            parts[0]._replace(values=[t for each in parts for t in each.values]) if parts else None
        )

    @property
    def texts_of_subjects(self) -> bool:
        """Whether the inputs are sequences or texts of known subjects."""
        return self.declared and self.texts is not None

    @cached_property
    def row_keys(self) -> tuple[np.ndarray, np.ndarray]:
        """(n,) uint64 hash of each raw sample, and (n,) boolean: it has content."""
        keys, content = zip(*(self.modality.row_keys(values) for values in self.raw), strict=True)
        return np.concatenate(keys), np.concatenate(content)

    @cached_property
    def table(self) -> RawTable | None:
        """The raw columns of a table, only those that are inputs; None of other inputs."""
        found = [self.modality.table(values) for values in self.raw]
        frames = [each for each in found if each is not None]
        return RawTable(frames) if frames else None

    @cached_property
    def chosen(self) -> np.ndarray:
        """Positions of the rows that single features are judged on: all, or a seeded sample."""
        return self.some(MOST_ROWS, "inputs that predict the target")

    @cached_property
    def x(self) -> np.ndarray:
        """Encoded inputs of the chosen rows."""
        return self.encoded(self.chosen)

    def encoded(self, rows: np.ndarray) -> np.ndarray:
        """Encoded inputs of the given rows (ascending); they may be all that fits in memory."""
        return np.concatenate(self.by_part(rows))

    def by_part(self, rows: np.ndarray) -> list[np.ndarray]:
        """The same part by part; where they are large and lie on disk, they stay there."""
        ends = np.cumsum([0, *map(len, self.arrays)])
        pieces = []
        for x, start, stop in zip(self.arrays, ends, ends[1:], strict=False):
            inside = rows[(rows >= start) & (rows < stop)] - start
            pieces.append(x if len(inside) == stop - start else chosen(x, inside))
        return pieces

    @property
    def width(self) -> int:
        """Numbers in one encoded row."""
        return max(1, int(np.prod(self.arrays[0].shape[1:])))

    def some(self, most: int, what: str) -> np.ndarray:
        """Positions of all rows, or of a seeded sample of at most ``most`` for a check."""
        count = len(self.part)
        if count <= most:
            return np.arange(count)
        self.notes.append(f"{what}: looked for in {most:,} of {count:,} rows")
        return np.sort(np.random.default_rng(0).choice(count, most, replace=False))

    @cached_property
    def y(self) -> np.ndarray:
        """Encoded targets of the chosen rows."""
        return np.concatenate([part.y for part in self.parts.values()])[self.chosen]

    @cached_property
    def outcomes(self) -> list[Outcome]:
        """What is to be predicted of the chosen rows."""
        return self.outcomes_of(self.chosen)

    def outcomes_of(self, rows: np.ndarray) -> list[Outcome]:
        """What is to be predicted: numbers, or one yes/no each class or label; empty: neither."""
        if self.task.reads != "columns":
            return []
        of_type = {"number": np.float64, "yes_no": bool}
        y = np.concatenate([part.y for part in self.parts.values()])[rows]
        return [
            part._replace(y=part.y.astype(of_type[part.kind]))
            for each in self.task.outcomes(y)
            for part in each.one_by_one()
            if part.kind in of_type
        ]

    @property
    def regression(self) -> bool:
        """Whether the outcomes are numbers."""
        return any(each.kind == "number" for each in self.outcomes)

    def pairs(self) -> list[tuple[int, int]]:
        """Positions of every two parts, the earlier one first."""
        count = len(self.parts)
        return [(a, b) for a in range(count) for b in range(a + 1, count)]


def listed(names: list[str], most: int = 8) -> str:
    """``columns a, b`` for a finding's ``where``."""
    shown = ", ".join(names[:most]) + (f" and {len(names) - most} more" * (len(names) > most))
    return f"{'column' if len(names) == 1 else 'columns'} {shown}"

"""A run's predictions as they lie in its folder, back in the form the network gave them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from medkit.core.errors import RunError
from medkit.core.lazy import pd
from medkit.runs.run import Run
from medkit.runs.state import readable


@dataclass(frozen=True)
class Stored:
    """One part of a run, in the order of its samples.

    Attributes:
        y: Encoded targets (n, …).
        outputs: (n, outputs) of the saved network.
        subjects: (n,) hashes of the subjects.
        samples: (n,) hashes of the samples.
        baselines: Baseline -> (n, outputs), of those whose predictions the run holds.
        every: Hashes of the samples of all parts.
    """

    y: np.ndarray
    outputs: np.ndarray
    subjects: np.ndarray
    samples: np.ndarray
    baselines: Mapping[str, np.ndarray] = field(default_factory=dict)
    every: frozenset[str] = frozenset()


def stored_part(run: Run, part: str = "test") -> Stored:
    """Targets and outputs of one part of a run, from ``predictions.parquet``.

    A baseline's outputs stand in columns of the network's names with the baseline's before them,
    as in ``logistic_regression.probability``.

    Raises:
        RunError: The file lacks the part or a column.
    """
    file = run.path / "predictions.parquet"
    with readable(file):
        frame = pd.read_parquet(file)
        rows = frame[frame["part"] == part]
    names = run.task.output_columns
    lacking = [name for name in ("sample", "subject", *names) if name not in rows]
    if rows.empty or lacking:
        what = f"column '{lacking[0]}'" if lacking else f"part '{part}'"
        raise RunError(f"predictions.parquet has no {what}", place=str(run.path))
    baselines = {
        name: rows[columns].to_numpy(float)
        for name in run.metrics.get("baselines", {})
        if names and set(columns := [f"{name}.{each}" for each in names]) <= set(rows)
    }
    y, outputs = run.task.read(run.path, part, rows)
    subjects, samples = rows["subject"].to_numpy(), rows["sample"].to_numpy()
    return Stored(y, outputs, subjects, samples, baselines, frozenset(frame["sample"]))

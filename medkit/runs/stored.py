"""A run's predictions as they lie in its folder, back in the form the network gave them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from medkit.core.errors import RunError
from medkit.core.lazy import pd
from medkit.runs.run import Run

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Stored:
    """One part of a run, in the order of its samples.

    Attributes:
        y: Encoded targets (n, …).
        outputs: (n, outputs) of the saved network.
        subjects: (n,) hashes of the subjects.
        samples: (n,) hashes of the samples.
        baselines: Baseline -> (n, outputs), of those whose predictions the run holds.
    """

    y: np.ndarray
    outputs: np.ndarray
    subjects: np.ndarray
    samples: np.ndarray
    baselines: Mapping[str, np.ndarray] = field(default_factory=dict)


def stored_part(run: Run, part: str = "test") -> Stored:
    """Targets and outputs of one part of a run, from ``predictions.parquet``.

    A baseline's outputs stand in columns of the network's names with the baseline's before them,
    as in ``logistic_regression.probability``.

    Raises:
        RunError: The file lacks the part or a column.
    """
    frame = pd.read_parquet(run.path / "predictions.parquet")
    rows = frame[frame["part"] == part]
    names = output_columns(run)
    lacking = [name for name in ("sample", "subject", *names) if name not in rows]
    if rows.empty or lacking:
        what = f"column '{lacking[0]}'" if lacking else f"part '{part}'"
        raise RunError(f"predictions.parquet has no {what}", place=str(run.path))
    baselines = {
        name: rows[columns].to_numpy(float)
        for name in run.metrics.get("baselines", {})
        if set(columns := [f"{name}.{each}" for each in names]) <= set(rows)
    }
    return Stored(
        run.task.encode(_targets(rows)),
        rows[names].to_numpy(float),
        rows["subject"].to_numpy(),
        rows["sample"].to_numpy(),
        baselines,
    )


_OUTPUTS = ("probability", "prediction", "quantile")


def output_columns(run: Run) -> list[str]:
    """Names of the stored columns that hold the network's outputs, in their order."""
    example = np.full((1, run.task.num_outputs), 0.5)
    columns = run.task.prediction_columns(example, run.threshold)
    return [name for name in columns if name.startswith(_OUTPUTS)]


def _targets(rows: pandas.DataFrame) -> np.ndarray:
    names = [name for name in rows if name == "target" or str(name).startswith("target_")]
    values = rows[names].to_numpy()
    return values[:, 0] if len(names) == 1 else values

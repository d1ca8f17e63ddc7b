"""Seconds for the intervals of 10,000 rows by 1,000 resamples of subjects (target: 5 for AUROC).

AUROC alone, all metrics of a binary task, DeLong's interval, and a paired comparison of two
models; each the median of some rounds in one process. Rows of one subject are resampled together.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from medkit.config.experiment import Evaluation
from medkit.core.registry import tasks
from medkit.evaluation.part_metrics import resample
from medkit.evaluation.resampling.delong import delong_interval
from medkit.evaluation.resampling.intervals import resample_by
from medkit.evaluation.resampling.paired import compare_outputs
from medkit.evaluation.resampling.resampling import outcome_strata
from medkit.evaluation.rows import EvaluatedRows
from medkit.tasks.scores.ranking import Ranking


def main() -> None:
    """Print a table of medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--subjects", type=int, help="default: one for each row")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    random = np.random.default_rng(0)
    subjects = given.subjects or given.rows
    codes = np.sort(np.r_[np.arange(subjects), random.integers(0, subjects, given.rows - subjects)])
    y = (random.random(given.rows) < 0.2).astype(np.float32)[:, None]
    p, other = (1 / (1 + np.exp(1.5 - y - random.normal(size=y.shape))) for _ in range(2))
    task = tasks.build("binary").fit(np.array([0, 1]))
    ranking, strata = Ranking(y.ravel(), p.ravel()), outcome_strata(task.events(y), codes)
    settings = Evaluation(bootstrap=given.resamples)
    rows = EvaluatedRows(task, y, p, codes, 0.3, settings, 0)  # copied, to keep nothing computed

    def auroc() -> Any:
        def measure(weights: np.ndarray) -> dict[str, np.ndarray]:
            return {"auroc": ranking.areas(weights)[0]}

        return resample_by(measure, codes, strata, given.resamples, 0)

    cases: dict[str, Callable[[], Any]] = {
        "AUROC": auroc,
        "all nine metrics": lambda: resample(replace(rows)),
        "DeLong": lambda: delong_interval(y, p, subjects=codes),
        "two models compared": lambda: compare_outputs(replace(rows), rows.answered(other, 0.3)),
    }
    print(
        f"| {given.rows:,} rows, {subjects:,} subjects, {given.resamples:,} resamples | seconds |"
    )
    print("|---|---|")
    for name, run in cases.items():
        seconds = []
        for _ in range(given.rounds):
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
        print(f"| {name} | {statistics.median(seconds):.2f} |", flush=True)


if __name__ == "__main__":
    main()

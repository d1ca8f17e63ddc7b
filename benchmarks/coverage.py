"""How often the intervals that medkit shows hold the truth: 95 % are asked for, 93 to 97 is good.

Cohorts of 150 and 600 rows, with the outcome in 6 and 25 % of them: rows of independent patients,
repeated visits whose outcomes differ, and visits that share one outcome. Scores are binormal, so
that every patient's true risk is known; the model's logits are 1.3 times too steep, and a second
model's are noisier. Each interval is that of medkit's own functions, and the truth is the same
number in two million rows. An interval that is withheld where there are too few patients is not
counted; ``shown`` says how often there was one.

    python benchmarks/coverage.py                      # some 10 to 20 minutes on one core
    python benchmarks/coverage.py --repetitions 50 --only 600
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from medkit.config.experiment import Evaluation
from medkit.core.registry import tasks
from medkit.evaluation import EvaluatedRows
from medkit.evaluation.calibration.calibration import calibration_of
from medkit.evaluation.decisions.decisions import decisions_of
from medkit.evaluation.part_metrics import measure
from medkit.evaluation.resampling.paired import compare_outputs

DISTANCE = 1.4  # AUROC 0.84
STEEPER, NOISE = 1.3, 0.7
GOOD = (0.93, 0.97)


class Design(NamedTuple):
    """A kind of cohort.

    Args:
        name: How rows belong to patients.
        visits: Rows of each patient.
        alike: Correlation of what decides the outcomes of a patient's rows; 1: all are the same.
        shared: Share of the variance of the scores that a patient's rows have in common.
    """

    name: str
    visits: int
    alike: float
    shared: float


DESIGNS = (
    Design("independent", 1, 1.0, 0.0),
    Design("repeated visits", 3, 0.5, 0.5),
    Design("one outcome a patient", 3, 1.0, 0.5),
)


def cohort(
    random: np.random.Generator, subjects: int, visits: int, prevalence: float, distance: float,
    shared: float, alike: float = 1.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Outcomes (n, 1), their true risks (n, 1) and patients (n,); binormal scores.

    AUROC of two rows of different patients: Phi(distance / sqrt(2)).

    Args:
        random: Where the numbers come from.
        subjects: Patients.
        visits: Rows of each.
        prevalence: Of the outcome.
        distance: Between the means of the scores of both outcomes, in standard deviations.
        shared: Share of the scores' variance that a patient's rows have in common.
        alike: Correlation of what decides the outcomes of a patient's rows.
    """
    from scipy.stats import norm

    code = np.repeat(np.arange(subjects), visits)
    rows = len(code)
    liability = np.sqrt(alike) * random.normal(size=subjects)[code]
    liability += np.sqrt(1 - alike) * random.normal(size=rows)
    y = (liability < norm.ppf(prevalence)).astype(float)
    if y.min() == y.max():
        y[code == 0], y[code == 1] = 1, 0
    z = distance * y + random.normal(size=subjects)[code] * np.sqrt(shared)
    z += random.normal(size=rows) * np.sqrt(1 - shared)
    logit = distance * z - distance**2 / 2 + np.log(prevalence / (1 - prevalence))
    return y[:, None], 1 / (1 + np.exp(-logit))[:, None], code


def models(p: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A model that is too steep, and one that is noisier as well, of the true risks."""
    logit = np.log(p / (1 - p))
    noisy = logit + NOISE * random.normal(size=p.shape)
    return tuple(1 / (1 + np.exp(-STEEPER * each)) for each in (logit, noisy))  # type: ignore


def found(
    y: np.ndarray, p: np.ndarray, other: np.ndarray, codes: np.ndarray, at: float, bootstrap: int,
    seed: int,
) -> dict[str, Mapping[str, Any]]:  # fmt: skip
    """Every interval that a report shows of such a model, by what it is of."""
    task = tasks.build("binary", fixed_threshold=at).fit(np.array([0, 1]))
    rows = EvaluatedRows(task, y, p, codes, at, Evaluation(bootstrap=bootstrap), seed)
    metrics = measure(rows)[0]["metrics"]
    calibration = calibration_of(rows)
    decisions = decisions_of(rows, rows, metrics)
    point = decisions["operating_points"][0]
    less = compare_outputs(rows, rows.answered(other, at))
    result: dict[str, Mapping[str, Any]] = dict(metrics)
    if "delong" in metrics["auroc"]:
        result["auroc, DeLong"] = {**metrics["auroc"], **metrics["auroc"]["delong"]}
    result |= {f"calibration {name}": each for name, each in calibration["metrics"].items()}
    for name in ("ppv", "npv", "alerts_per_100", "net_benefit"):
        result[f"decision {name}"] = point[name]  # type: ignore[literal-required]
    for name in ("auroc", "brier", "recall"):
        result[f"difference {name}"] = {**less["metrics"][name],
                                        "value": less["metrics"][name]["difference"]}  # fmt: skip
    delong = less["delong"]
    result["difference auroc, DeLong"] = {**delong, "value": delong["difference"]}
    return result


def truths(design: Design, prevalence: float, at: float, rows: int) -> dict[str, float]:
    """The same numbers of very many independent rows; of ICI and ECE without chance in them."""
    random = np.random.default_rng(2)
    y, risk, codes = cohort(random, rows, 1, prevalence, DISTANCE, 0.0)
    p, other = models(risk, random)
    values = {name: each["value"] for name, each in found(y, p, other, codes, at, 0, 0).items()}
    risk, p = risk.ravel(), p.ravel()
    values["calibration ici"] = float(np.abs(risk - p).mean())
    for name, edges in (("ece", np.quantile(p, np.arange(1, 10) / 10)),
                        ("ece_equal_width", np.arange(1, 10) / 10)):  # fmt: skip
        bins = np.searchsorted(edges, p)
        gaps = np.bincount(bins, risk - p, minlength=10)
        values[f"calibration {name}"] = float(np.abs(gaps).sum() / len(p))
    values["auroc, DeLong"] = values["auroc"]
    values["difference auroc, DeLong"] = values["difference auroc"]
    return values


def coverage(
    design: Design, rows: int, prevalence: float, repetitions: int, bootstrap: int,
    large: int = 500_000,
) -> dict[str, tuple[int, int]]:  # fmt: skip
    """Interval -> how often it was shown, and how often it held the truth."""
    at = prevalence
    truth = truths(design, prevalence, at, large)
    shown: Counter[str] = Counter()
    held: Counter[str] = Counter()
    for repetition in range(repetitions):
        random = np.random.default_rng([rows, repetition])
        y, risk, codes = cohort(
            random, rows // design.visits, design.visits, prevalence, DISTANCE, design.shared,
            design.alike,
        )  # fmt: skip
        p, other = models(risk, random)
        for name, each in found(y, p, other, codes, at, bootstrap, repetition).items():
            shown.setdefault(name, 0)
            if each.get("low") is None or each.get("high") is None or each.get("degenerate"):
                continue
            shown[name] += 1
            held[name] += each["low"] - 1e-9 <= truth[name] <= each["high"] + 1e-9
    return {name: (shown[name], held[name]) for name in shown}


def settings(only: int | None) -> Iterator[tuple[Design, int, float]]:
    """Every cohort that is simulated."""
    for design, rows, prevalence in product(DESIGNS, (150, 600), (0.06, 0.25)):
        if only in (None, rows):
            yield design, rows, prevalence


def main() -> None:
    """Print a table: interval by cohort, the share that covers, and how many do not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--bootstrap", type=int, default=300)
    parser.add_argument("--only", type=int, help="rows: 150 or 600")
    parser.add_argument("--large", type=int, default=500_000, help="rows the truth is taken from")
    given = parser.parse_args()
    columns, heads = [], []
    for number, (design, rows, prevalence) in enumerate(settings(given.only), start=1):
        start = time.perf_counter()
        columns.append(
            coverage(design, rows, prevalence, given.repetitions, given.bootstrap, given.large)
        )
        heads.append(str(number))
        seconds = time.perf_counter() - start
        print(f"{number}: {design.name}, {rows} rows, {prevalence:.0%} events ({seconds:.0f} s)")
    spread = 1.96 * np.sqrt(0.95 * 0.05 / given.repetitions)
    print(f"\nShare of 95 % intervals that hold the truth, of {given.repetitions} cohorts each (an "
          f"exact 95 % would vary by ±{spread:.1%}); in brackets the share of cohorts with an "
          "interval, where it is not all; – none.\n")  # fmt: skip
    print(f"| interval | {' | '.join(heads)} | all |\n|---{'|---:' * (len(heads) + 1)}|")
    for name in columns[0]:
        cells = [_cell(*column.get(name, (0, 0)), given.repetitions) for column in columns]
        shown, held = np.sum([column.get(name, (0, 0)) for column in columns], axis=0)
        mark = "" if not shown or GOOD[0] <= held / shown <= GOOD[1] else " *"
        every = f"{held / shown:.1%}{mark}" if shown else "–"
        print(f"| {name} | {' | '.join(cells)} | {every} |")
    print("\n* outside 93 to 97 % over all cohorts")


def _cell(shown: int, held: int, of: int) -> str:
    if not shown:
        return "–"
    share = f"{held / shown:.0%}"
    return share if shown == of else f"{share} ({shown / of:.0%})"


if __name__ == "__main__":
    main()

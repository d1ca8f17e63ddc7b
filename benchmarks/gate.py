"""How often the leakage gate stops a table, and how often it finds a leak that was planted.

python benchmarks/gate.py FOLDER [--seed 0]

FOLDER holds tables as CSV files with a header. Of each with 100 to 6,000 rows and 4 to 200 columns
the target is its last column of two values, each in a tenth of the rows or more, or its last number
of more than ten values; columns that differ in every row and are no decimals are left out. Rows are
divided at random and prepared as ``train`` does it: the table as it is; every row twice; two thirds
of the test rows copied from training (both only with at most seven inputs); and tables with a
column of a usual name for repeated subjects, without it, divided at random and by it.
"""

from __future__ import annotations

import argparse
import collections
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import processes  # noqa: F401  (the project's folder on the path)

from medkit.config.sections import Split
from medkit.core import registry
from medkit.core.errors import MedkitError
from medkit.data.cohort import Cohort, Feature, RawInput, Source
from medkit.data.parts import Part
from medkit.data.splits import PARTS
from medkit.leakage import audit
from medkit.modalities.encoder import Encoder

SUBJECTS = ("id", "subject", "patient", "person", "child", "case", "family", "school", "class",
            "litter", "firm", "country", "state", "town", "village", "group")  # fmt: skip


def stopped(frame: pd.DataFrame, target: str, parts: np.ndarray) -> set[str]:
    """Names of the findings that stop a run on a table."""
    known = frame[target].notna().to_numpy()
    frame, y, parts = frame[known].reset_index(drop=True), frame[target][known], parts[known]
    two = y.nunique() == 2
    targets = pd.factorize(y)[0] if two else y.to_numpy(dtype="float64")
    inputs = frame.drop(columns=target)
    features = tuple(
        Feature(name, "numeric" if pd.api.types.is_numeric_dtype(inputs[name]) else "categorical")
        for name in inputs
    )
    raw = {"tabular": RawInput("tabular", inputs, features)}
    source = Source(rows_read=len(frame), label=target)
    cohort = Cohort(pd.DataFrame(index=frame.index), raw, targets, source, (target,))
    divided = {name: cohort.take(parts == name) for name in PARTS}
    encoder = Encoder({"tabular": registry.modalities.build("tabular")})
    encoder.fit(divided["train"].inputs)
    task = registry.tasks.build("binary" if two else "regression").fit(divided["train"].targets)
    encoded = {
        name: Part(each, encoder.encode(each.inputs), task.encode(each.targets))
        for name, each in divided.items()
    }
    return {each.name for each in audit(encoded, encoder, task, Split()) if each.stops}


def tables(folder: Path) -> Iterator[tuple[pd.DataFrame, str]]:
    """Tables with their target, which is the last column of two values or number."""
    for path in sorted(folder.rglob("*.csv")):
        frame = pd.read_csv(path, low_memory=False)
        texts = frame.select_dtypes(["object", "string", "bool"]).columns
        frame = frame.astype(dict.fromkeys(texts, object))
        kept = [name for name in frame if frame[name].nunique() < len(frame)
                or pd.api.types.is_float_dtype(frame[name])]  # fmt: skip
        frame = frame[kept].replace([np.inf, -np.inf], np.nan)
        if not (100 <= len(frame) <= 6000 and 4 <= frame.shape[1] <= 200):
            continue
        shares = {name: frame[name].value_counts(normalize=True) for name in frame}
        two = [name for name, share in shares.items() if len(share) == 2 and share.min() >= 0.1]
        numbers = [name for name, share in shares.items()
                   if pd.api.types.is_numeric_dtype(frame[name]) and len(share) > 10]  # fmt: skip
        if two or numbers:
            yield frame, (two or numbers)[-1]


def variants(
    frame: pd.DataFrame, target: str, random: np.random.Generator
) -> Iterator[tuple[str, pd.DataFrame, np.ndarray]]:
    """What is done to a table, the table, and the part of each row."""

    def divided(count: int) -> np.ndarray:
        return random.choice(PARTS, count, p=[0.65, 0.15, 0.2])

    yield "as it is", frame, divided(len(frame))
    if frame.shape[1] <= 8:
        yield (
            "every row twice",
            pd.concat([frame, frame], ignore_index=True),
            divided(2 * len(frame)),
        )
        parts = divided(len(frame))
        test = np.flatnonzero(parts == "test")
        origin = np.arange(len(frame))
        copied = test[: len(test) * 2 // 3]
        origin[copied] = random.choice(np.flatnonzero(parts == "train"), len(copied))
        yield "test rows copied", frame.iloc[origin].reset_index(drop=True), parts
    names = [name for name in frame if name.lower() in SUBJECTS and name != target
             and 20 <= frame[name].nunique() <= len(frame) / 1.7]  # fmt: skip
    if names and frame.shape[1] > 4:
        subject = pd.factorize(frame[names[0]])[0]
        without = frame.drop(columns=names[0])
        yield "repeated subjects, at random", without, divided(len(frame))
        yield "repeated subjects, apart", without, divided(subject.max() + 1)[subject]


def main() -> None:
    """Audit every table of a folder and print a table of what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    random = np.random.default_rng(given.seed)
    found: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for frame, target in tables(given.folder):
        for what, changed, parts in variants(frame, target, random):
            try:
                names = stopped(changed, target, parts)
            except MedkitError:  # of a table that train would not take either
                found[what]["not read"] += 1
                continue
            found[what].update(["tables", *names])
    checks = sorted({name for counts in found.values() for name in counts} - {"tables"})
    print(f"| | tables | {' | '.join(checks)} |\n|{'---|' * (2 + len(checks))}")
    for what, counts in found.items():
        print(f"| {what} | {counts['tables']} | {' | '.join(str(counts[c]) for c in checks)} |")


if __name__ == "__main__":
    main()

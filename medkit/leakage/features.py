"""Inputs that tell the outcome: copied, recoded, or predictive almost perfectly on their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from medkit.leakage.columns import Columns, columns_of
from medkit.leakage.evidence import Evidence, listed
from medkit.leakage.findings import Finding, finding
from medkit.leakage.scores import (
    FEWEST_ROWS,
    FLAWLESS,
    PERFECT,
    auroc,
    binned_auroc,
    binned_correlation,
    bins,
    chance_of_separation,
    correlation,
    folds_of,
    pearson,
    ranks,
    separation,
    surely_perfect,
)
from medkit.tasks.outcomes import Outcome

REPEATING = 0.7  # most different values of a number that repeats, by row
WORTH_A_LOOK = 0.95  # in sample; cross-fitting makes it no better
MISSING = 0.80  # AUROC or |r| of 'is missing' alone
FEWEST_PER_CLASS = 5
RARE = 0.001  # chance of an honest feature to separate few events from the rest


def outcome_findings(evidence: Evidence) -> Iterator[Finding]:
    """Copied targets, predictive features and telling gaps."""
    columns = columns_of(evidence)
    copied = copied_columns(evidence, columns)
    if copied:
        many = len(copied) > 1
        what = f"{len(copied)} inputs are" if many else "an input is"
        yield finding("copied_target", f"{what} the target, copied or recoded one to one",
                      listed(copied), len(copied))  # fmt: skip
    rows = evidence.chosen
    sure: dict[str, float] = {}
    doubtful: dict[str, float] = {}
    judge = Judge(columns, evidence.regression)
    for outcome in evidence.outcomes:
        fold = folds_of(evidence.subject[rows], outcome.y.astype("float64"))
        for name, (score, certain) in judge.scores(outcome, fold).items():
            if name not in copied:
                kept = sure if certain else doubtful
                kept[name] = max(score, kept.get(name, 0))
    doubtful = {name: score for name, score in doubtful.items() if name not in sure}
    if sure:
        yield _predictive(sure, evidence, "fail")
    if doubtful:
        yield _predictive(doubtful, evidence, "warn")
    yield from _missingness(evidence, columns)


def _predictive(
    scores: dict[str, float], evidence: Evidence, severity: Literal["fail", "warn"]
) -> Finding:
    measure = "|r|" if evidence.regression else "AUROC"
    inputs = f"{len(scores)} inputs alone predict" if len(scores) > 1 else "an input alone predicts"
    what = f"{inputs} the target with {measure} {max(scores.values()):.3f} (cross-fitted)"
    what += "; with so few events that may be chance" * (severity == "warn")
    names = sorted(scores, key=lambda name: -scores[name])
    return finding("predictive_feature", what, listed(names), len(scores), severity)


class Judge:
    """Scores each feature alone, against one outcome after another.

    Args:
        columns: The features.
        regression: Whether outcomes are numbers.
    """

    def __init__(self, columns: Columns, regression: bool):
        self.columns, self.regression = columns, regression
        self.seen = ~np.isnan(columns.values)
        self.order = ranks(columns.values)
        low, high = (reduce(columns.values, axis=0) for reduce in (np.fmin.reduce, np.fmax.reduce))
        two = (~self.seen | (columns.values == low) | (columns.values == high)).all(axis=0)
        # Of two values, bins say no more than the order does.
        self.binned = np.flatnonzero(~two)
        self.bins = bins(self.order[:, self.binned], self.seen[:, self.binned])

    def scores(self, outcome: Outcome, fold: np.ndarray) -> dict[str, tuple[float, bool]]:
        """Feature -> its cross-fitted score and whether it is no luck, of the almost perfect."""
        y, values = outcome.y, self.columns.values
        straight = correlation if self.regression else auroc
        scored = binned_correlation if self.regression else binned_auroc
        in_sample = (
            np.abs(pearson(values, y)) if self.regression else separation(self.order, self.seen, y)
        )
        found = np.zeros(len(self.columns.names))
        likely = np.flatnonzero(in_sample >= WORTH_A_LOOK)
        if len(likely):
            found[likely] = np.nan_to_num(np.abs(straight(values[:, likely], y, fold)))
        if len(self.binned):
            curved = np.nan_to_num(scored(self.bins, y, fold))
            found[self.binned] = np.maximum(found[self.binned], curved)
        named = {}
        for i in np.flatnonzero(found >= PERFECT):
            apart = not self.regression and in_sample[i] >= FLAWLESS
            score = float(found[i])
            named[self.columns.names[i]] = self._certain(score, y, self.seen[:, i], apart)
        for name, codes in self.columns.categories.items():
            score = float(scored(codes[:, None], y, fold)[0])
            if score >= PERFECT:
                named[name] = self._certain(score, y, codes >= 0)
        return {name: each for name, each in named.items() if each is not None}

    def _certain(
        self, score: float, y: np.ndarray, seen: np.ndarray, apart: bool = False
    ) -> tuple[float, bool] | None:
        """The score and whether it is no luck; None where it does not even come close.

        ``apart``: the feature separates all rows without an error, not only those of each fold.
        """
        if self.regression:
            return score, True
        events = np.sum(y & seen)
        others = np.sum(seen) - events
        certain = score >= surely_perfect(events, others)
        certain |= apart and chance_of_separation(int(events), int(others)) <= RARE
        return (score, bool(certain)) if certain or score >= FLAWLESS else None


def copied_columns(evidence: Evidence, columns: Columns) -> list[str]:
    """Names of the inputs that are the target, or a one-to-one recoding of it."""
    if evidence.regression:
        return _copied_numbers(evidence.outcomes, columns)
    y = evidence.y
    if y.ndim == 1:
        targets = [y]
    else:
        targets = [(y[:, i] > 0.5).astype(np.int64) for i in range(y.shape[1])]
    found = []
    values = {name: columns.values[:, i] for i, name in enumerate(columns.names)}
    for name, column in (values | columns.categories).items():
        seen = column >= 0 if name in columns.categories else ~np.isnan(column)
        if any(_one_to_one(column[seen], target[seen], len(np.unique(target)))
               for target in targets):  # fmt: skip
            found.append(name)
    return found


def _one_to_one(column: np.ndarray, target: np.ndarray, classes: int) -> bool:
    if len(column) < 20 or classes < 2:
        return False
    first = np.unique(column[:200])
    if len(first) > classes:
        return False
    values, codes = np.unique(column, return_inverse=True)
    if len(values) != classes:
        return False
    kinds, targets = np.unique(target, return_inverse=True)
    if len(kinds) != classes or np.bincount(targets).min() < FEWEST_PER_CLASS:
        return False
    return len(np.unique(codes * classes + targets)) == classes


def _copied_numbers(outcomes: list[Outcome], columns: Columns) -> list[str]:
    """Inputs equal to a number but for scale, order (a logarithm) or the names of its values."""
    values = {name: columns.values[:, i] for i, name in enumerate(columns.names)}
    seen = {name: ~np.isnan(column) for name, column in values.items()}
    seen |= {name: codes >= 0 for name, codes in columns.categories.items()}
    values |= columns.categories
    order = ranks(columns.values)
    found: dict[str, None] = {}
    for outcome in outcomes:
        y = outcome.y
        straight = np.abs(pearson(columns.values, y))
        # Ranks among all rows, not those observed in a column: near enough for a first look.
        monotone = np.abs(pearson(np.where(np.isnan(columns.values), np.nan, order), _ranked(y)))
        likely = {columns.names[i] for i in np.flatnonzero(monotone >= WORTH_A_LOOK)}
        found |= {columns.names[i]: None for i in np.flatnonzero(straight >= FLAWLESS)}
        repeats = len(np.unique(y)) <= REPEATING * len(y)
        for name in [name for name in values if repeats or name in likely]:
            column, target = values[name][seen[name]], y[seen[name]]
            if len(target) >= FEWEST_ROWS and (
                _recoded(column, target)
                or (name in likely and _same_order(column, target) >= FLAWLESS)
            ):
                found[name] = None
    return [name for name in found if seen[name].sum() >= FEWEST_ROWS]


def _ranked(y: np.ndarray) -> np.ndarray:
    return ranks(y[:, None])[:, 0]


def _same_order(column: np.ndarray, y: np.ndarray) -> float:
    """Spearman's correlation, without its sign."""
    return float(np.abs(pearson(_ranked(column)[:, None], _ranked(y)))[0])


def _recoded(column: np.ndarray, y: np.ndarray) -> bool:
    """Whether values of a number that repeats map one to one to another column's."""
    codes, targets = (np.unique(each, return_inverse=True)[1] for each in (column, y))
    count = int(targets.max(initial=0)) + 1
    # Values that hardly ever repeat map one to one to anything.
    if count < 2 or count > REPEATING * len(y) or int(codes.max()) + 1 != count:
        return False
    return len(np.unique(codes * count + targets)) == count


def _missingness(evidence: Evidence, columns: Columns) -> Iterator[Finding]:
    gaps = np.isnan(columns.values)
    names = list(columns.names)
    telling = {name: codes < 0 for name, codes in columns.categories.items()}
    if telling:
        gaps, names = np.column_stack([gaps, *telling.values()]), names + list(telling)
    some = gaps.any(axis=0) & ~gaps.all(axis=0)
    if not some.any():
        return
    unique, first = np.unique(gaps[:, some], axis=1, return_index=True)
    kept = [np.array(names)[some][i] for i in first]
    scores: dict[str, float] = {}
    for outcome in evidence.outcomes:
        y = outcome.y
        fold = folds_of(evidence.subject[evidence.chosen], y.astype("float64"))
        missing = unique.astype("float64")
        scored = correlation(missing, y, fold) if evidence.regression else auroc(missing, y, fold)
        for i in np.flatnonzero(scored >= MISSING):
            scores[kept[i]] = max(float(scored[i]), scores.get(kept[i], 0))
    if scores:
        measure = "|r|" if evidence.regression else "AUROC"
        yield finding(
            "informative_missingness",
            f"whether a value is missing predicts the target with {measure} "
            f"{max(scores.values()):.3f}",
            listed(sorted(scores, key=lambda name: -scores[name])),
            len(scores),
            "warn",
        )

"""Which folds a cross-validation has, and the config of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from medkit.config.experiment import Experiment
from medkit.core.errors import ConfigError, DataError, Problem
from medkit.data.cohort import Cohort
from medkit.data.splits import folds as deal

SITES = "sites"


@dataclass(frozen=True)
class Fold:
    """One run of the cross-validation.

    Attributes:
        name: Of its run: ``<experiment>-repeat-1-fold-2``.
        repeat, fold: Numbers, from 1.
        seed: Of the folds, the weights, the shuffling and the bootstrap; a repeat has its own.
        split: The ``split`` section of its config.
        site: The site left out, if it is one.
    """

    name: str
    repeat: int
    fold: int
    seed: int
    split: Mapping[str, Any]
    site: str | None = None

    @property
    def overrides(self) -> list[str]:
        """What sets its config apart from that of the whole."""
        return [f"name={self.name}", f"seed={self.seed}", f"split={json.dumps(self.split)}"]


@dataclass(frozen=True)
class FoldPlan:
    """A cross-validation to be done.

    Attributes:
        scheme: ``grouped k-fold`` or ``leave one site out``.
        folds: How many folds a repeat has.
        repeats: How often all subjects are dealt anew.
        runs: Every fold of every repeat.
        notes: What a reader should know of the scheme.
    """

    scheme: str
    folds: int
    repeats: int
    runs: tuple[Fold, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it, for comparison with a plan on disk."""
        return json.loads(json.dumps(asdict(self)))


def make_plan(
    experiment: Experiment, cohort: Cohort, folds: int | str | None = None, repeats: int = 1
) -> FoldPlan:
    """Plan the folds.

    Args:
        experiment: The config; its ``split`` gives the fraction for validation.
        cohort: The samples.
        folds: How many; ``sites`` leaves out one site at a time. None: ``sites`` for a config
            split by site, else 5 (or as many as a split by fold names).
        repeats: How often.

    Raises:
        ConfigError: Fewer than two folds, or fewer than one repeat.
        DataError: Fewer subjects than folds, or fewer than two sites.
    """
    split = experiment.split
    if folds is None:
        folds = SITES if split.by == "site" else split.folds
    if repeats < 1:
        raise ConfigError([Problem("--repeats", f"must be 1 or more; got {repeats}")])
    if folds == SITES:
        return _by_site(experiment, cohort, repeats)
    if not isinstance(folds, int) or folds < 2:
        text = f"must be 2 or more, or 'sites' (one site is left out at a time); got {folds}"
        raise ConfigError([Problem("--folds", text)])
    section = {**split.model_dump(mode="json"), "by": "fold", "folds": folds, "fold": 1}
    if split.by != "fold":
        section["sites"] = []
    dealt = split.model_copy(update={"by": "fold", "folds": folds, "sites": section["sites"]})
    deal(cohort, dealt, experiment.seed)  # too few subjects are found now, not in the first fold
    runs = tuple(
        Fold(
            f"{experiment.name}-repeat-{repeat}-fold-{fold}",
            repeat,
            fold,
            experiment.seed + repeat - 1,
            {**section, "fold": fold},
        )
        for repeat in range(1, repeats + 1)
        for fold in range(1, folds + 1)
    )
    grouped = "stratified by the outcome" if split.stratify else "not stratified"
    notes = [f"the subjects are divided into {folds} folds, {grouped}", _nested(experiment)]
    return FoldPlan("grouped k-fold", folds, repeats, runs, (*notes, *_not_kept(split.by)))


def _nested(experiment: Experiment) -> str:
    return (
        f"nested: in each fold {experiment.split.valid:.0%} of the subjects that are not tested "
        "choose the threshold, the calibration and when to stop"
    )


def _not_kept(by: str) -> list[str]:
    """What the config's own split guards against, and folds by subject do not."""
    unguarded = {
        "site": "no site was held out: the config is split by site, but these folds mix the sites, "
        "so the result says nothing of a new hospital (--folds sites leaves one out at a time)",
        "time": "the config is split by time, but these folds mix early and late samples, so the "
        "result says nothing of the future",
        "column": "the config's own column of parts is not used: its test rows are tested and "
        "trained on like all others",
    }
    return [unguarded[by]] if by in unguarded else []


def _by_site(experiment: Experiment, cohort: Cohort, repeats: int) -> FoldPlan:
    if "site" not in cohort.samples:
        raise DataError(
            "leaving one site out needs a column 'site', which the samples do not have",
            place="--folds sites",
            hint="Name it as dataset.columns.site, or give a number of folds.",
        )
    column = cohort.samples["site"]
    sites = sorted(set(column[column.notna()].astype(str)))
    if len(sites) < 2:
        raise DataError(
            f"leaving one site out needs two sites or more; there is {len(sites)}",
            place="--folds sites",
            hint="Give a number of folds instead: --folds 5.",
        )
    section = {**experiment.split.model_dump(mode="json"), "by": "site"}
    runs = []
    for repeat in range(1, repeats + 1):
        for number, site in enumerate(sites, start=1):
            others = [each for each in sites if each != site]
            own = {**section, "train_sites": others, "test_sites": [site]}
            name = f"{experiment.name}-repeat-{repeat}-site-{number}"
            runs.append(Fold(name, repeat, number, experiment.seed + repeat - 1, own, site))
    smallest = int(np.unique(column.dropna().astype(str), return_counts=True)[1].min())
    notes = [
        f"one of {len(sites)} sites is left out at a time; the smallest has {smallest} samples",
        _nested(experiment),
        "every site counts alike in the mean, whatever its size",
        "the corrected t-test takes the folds for divisions at random, which sites are not: its "
        "p-value is a rough guide",
    ]
    return FoldPlan("leave one site out", len(sites), repeats, tuple(runs), tuple(notes))

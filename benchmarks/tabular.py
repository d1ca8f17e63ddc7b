"""Tables: TabM against regression and gradient boosting, and Cleveland's model in Hungary.

Repeated cross-validation by subject of the three tabular configs, with the paired interval of
the network minus gradient boosting (corrected resampled t; Nadeau and Bengio, Machine Learning 52,
2003) and that of all predictions together (subjects resampled); then the heart disease config as
it is, trained in Cleveland, on the patients of Hungary, for seeds 1 to 5. Every fold and seed is
printed. Finished folds and runs are kept in ``--out`` and not trained again.

Heart disease needs its file under the folder that MEDKIT_DATA names; see its config.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from processes import ROOT

from medkit.config.experiment import load_config
from medkit.runs.run import MANIFEST, Run, read_json
from medkit.workflows.crossval import cross_validate
from medkit.workflows.train import train

THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
CONFIGS = {
    "breast_cancer_tabm": "auroc",
    "heart_disease_tabm": "auroc",
    "diabetes_tabm": "rmse",
}
SITE_CONFIGS = ("heart_disease_tabm", "heart_disease_mlp")
FEW = ["evaluation.bootstrap=200", "evaluation.explanations=false"]
SEEDS = (1, 2, 3, 4, 5)
HUNGARY = "hungarian"


def crossval(name: str, out: Path, folds: int, repeats: int) -> dict[str, Any]:
    """The content of ``crossval.json`` of one config, computed or from an earlier call."""
    if not (out / name / MANIFEST).is_file():
        config = load_config(ROOT / f"configs/{name}.yaml", FEW)
        cross_validate(config, folds=folds, repeats=repeats, jobs=0, out=out / name)
    return read_json(out / name / "crossval.json")


def print_crossval(name: str, metric: str, content: dict[str, Any]) -> None:
    """One table: the models, their values in each fold, and the paired differences."""
    scheme, count = content["scheme"], len(content["folds"])
    print(
        f"\n{name}: {metric}, {scheme['folds']} folds, {scheme['repeats']} repeats ({count} runs)"
    )
    print("\n| model | mean | SD | folds |\n|---|---|---|---|")
    own = [fold["metrics"][metric]["value"] for fold in content["folds"]]
    print(_row(content["model"], own))
    for other in content["baselines"]:
        print(_row(other, [fold["baselines"][other][metric] for fold in content["folds"]]))
    print("\n| network minus | mean | corrected t, 95 % | p | predictions together, 95 % |")
    print("|---|---|---|---|---|")
    for other, found in content["baselines"].items():
        difference = found["differences"][metric]
        test, together = difference["test"], found["pooled"]["differences"][metric]
        print(
            f"| {other} | {difference['mean']:+.4f} | {test['low']:+.4f} to {test['high']:+.4f} "
            f"| {_p(test['p'])} | {together['value']:+.4f} ({together['low']:+.4f} to "
            f"{together['high']:+.4f}) |"
        )


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _row(name: str, values: list[float]) -> str:
    each = " ".join(f"{value:.3f}" if value < 10 else f"{value:.1f}" for value in values)
    return f"| {name} | {mean(values):.4f} | {stdev(values):.4f} | {each} |"


def at_hungary(name: str, seed: int, out: Path) -> dict[str, float]:
    """AUROC in Hungary of every model trained in Cleveland with one seed."""
    folder = out / "hungary" / f"{name}-{seed}"
    done = sorted(folder.glob(f"*/*/{MANIFEST}"))
    more = [f"seed={seed}", "split.test_sites=[hungarian]", "evaluation.subgroups=[]", *FEW]
    run = (
        Run(done[0].parent)
        if done
        else train(load_config(ROOT / f"configs/{name}.yaml", more), out=folder)
    )
    found = {name: run.metrics["test"]["metrics"]["auroc"]["value"]}
    for other, each in run.metrics["baselines"].items():
        found[other] = each["metrics"]["auroc"]["value"]
    return found


def print_hungary(out: Path) -> None:
    """AUROC of every seed, and their mean."""
    print("\nHeart disease, trained in Cleveland: AUROC in Hungary")
    print(f"\n| model | mean | SD | seeds {SEEDS[0]} to {SEEDS[-1]} |\n|---|---|---|---|")
    seen: dict[str, list[float]] = {}
    for name in SITE_CONFIGS:
        each = [at_hungary(name, seed, out) for seed in SEEDS]
        for model in each[0]:
            seen.setdefault(model, [found[model] for found in each])
    for model, values in seen.items():
        print(_row(model, values))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "runs/benchmark-tabular")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=[*CONFIGS, "hungary"])
    given = parser.parse_args()
    os.environ.update(dict.fromkeys(THREADS, "1"))
    for name, metric in CONFIGS.items():
        if given.only in (None, name):
            print_crossval(name, metric, crossval(name, given.out, given.folds, given.repeats))
    if given.only in (None, "hungary"):
        print_hungary(given.out)


if __name__ == "__main__":
    main()

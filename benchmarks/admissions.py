"""How near a fusion of four inputs comes to the best that any model can do, with and without each.

python benchmarks/admissions.py [--seeds 7 1 2 3 4]

Each seed has its own split, weights and order. The best score is that of the true chance on the
same test rows: what chance does to these moves both alike.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from processes import ROOT

from medkit.config.experiment import load_config
from medkit.datasets.synthetic.admissions import INPUTS, best_score
from medkit.workflows.prepare import divide, read
from medkit.workflows.train import train

CONFIG = ROOT / "configs" / "synthetic_admissions_fusion.yaml"
FEW = ["evaluation={baselines: false, explanations: false, bootstrap: 0}"]


def shares(seed: int, out: Path) -> tuple[float, dict[str, tuple[float, float]]]:
    """Share of the reachable AUROC above 0.5; and of each input what its absence costs and should.

    Args:
        seed: Of the split, the weights and the order.
        out: Folder for the run.
    """
    experiment = load_config(CONFIG, [f"seed={seed}", *FEW])
    metrics = train(experiment, out=out).metrics
    divided, _ = divide(read(experiment.dataset), experiment)
    same = {
        "samples": experiment.dataset.parameters["samples"],
        "admissions": divided["test"].samples.index,
    }
    reached, best = metrics["test"]["metrics"]["auroc"]["value"], best_score(**same)["auroc"]
    losses = {}
    for name, found in metrics["inputs"].items():
        others = [each for each in INPUTS if each != name]
        cost = reached - found["without"]["metrics"]["auroc"]["value"]
        losses[name] = (cost, best - best_score(inputs=others, **same)["auroc"])
    return (reached - 0.5) / (best - 0.5), losses


def main() -> None:
    """Train the config with each seed and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, default=[7, 1, 2, 3, 4])
    reached = []
    print(f"| seed | share of the best | {' | '.join(INPUTS)} |\n|{'---|' * (2 + len(INPUTS))}")
    for seed in parser.parse_args().seeds:
        with tempfile.TemporaryDirectory() as folder:
            share, losses = shares(seed, Path(folder))
        reached.append(share)
        costs = ("{:.3f} ({:.3f})".format(*losses[name]) for name in INPUTS)
        print(f"| {seed} | {share:.3f} | {' | '.join(costs)} |", flush=True)
    if len(reached) > 1:
        print(f"mean ± SD: {statistics.mean(reached):.3f} ± {statistics.stdev(reached):.3f}")


if __name__ == "__main__":
    main()

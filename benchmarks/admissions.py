"""How near a fusion of four inputs comes to the best that any model can do, with and without each.

python benchmarks/admissions.py [--set training.epochs=20 …]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from medkit.datasets.synthetic.admissions import INPUTS, best_score
from medkit.workflows.train import train

CONFIG = Path(__file__).parents[1] / "configs" / "synthetic_admissions_fusion.yaml"


def main(overrides: list[str]) -> None:
    """Train the config and print a table."""
    quick = ["evaluation.baselines=false", "evaluation.explanations=false", *overrides]
    with tempfile.TemporaryDirectory() as folder:
        metrics = train(CONFIG, overrides=quick, out=folder).metrics
    reached, best = metrics["test"]["metrics"]["auroc"]["value"], best_score()["auroc"]
    print(f"all inputs: AUROC {reached:.3f}, best {best:.3f}, {(reached - 0.5) / (best - 0.5):.0%}")
    for name, found in metrics["inputs"].items():
        without = found["without"]["metrics"]["auroc"]["value"]
        expected = best_score(inputs=[each for each in INPUTS if each != name])["auroc"]
        print(f"without {name}: {without:.3f}, a loss of {reached - without:.3f}; "
              f"best {expected:.3f}, a loss of {best - expected:.3f}")  # fmt: skip


if __name__ == "__main__":
    main([each for each in sys.argv[1:] if each != "--set"])

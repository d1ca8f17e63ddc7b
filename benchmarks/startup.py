"""Time from the command to its answer, against `python -c "import keras"`, alternating.

Targets: `medkit --help` at most 1/10 of importing Keras, `medkit validate` at most 1/5.
"""

from __future__ import annotations

import argparse
import statistics

from processes import ROOT, seconds

COMMANDS = {
    "import keras": ["-c", "import keras"],
    "medkit --help": ["-m", "medkit", "--help"],
    "medkit models": ["-m", "medkit", "models"],
    "medkit validate": [
        "-m",
        "medkit",
        "validate",
        "--config",
        str(ROOT / "configs/breast_cancer_mlp.yaml"),
    ],
}


def main() -> None:
    """Print median seconds and the ratio to importing Keras."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    for arguments in COMMANDS.values():  # once, so that files are in memory and compiled
        seconds(arguments)
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, arguments in COMMANDS.items():
            times[name].append(seconds(arguments))
    base = times["import keras"]
    print("| command | median seconds | ratio to import keras (median of rounds) |\n|---|---|---|")
    for name, own in times.items():
        ratio = statistics.median(a / b for a, b in zip(own, base, strict=True))
        print(f"| {name} | {statistics.median(own):.2f} | {ratio:.3f} |")


if __name__ == "__main__":
    main()

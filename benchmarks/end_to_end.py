"""Whole processes, alternating: `medkit train` of the breast-cancer MLP against a plain script.

The plain Keras script imports, splits, scales, trains 100 epochs with validation and prints one
AUROC. medkit runs the same epochs and, besides, makes intervals, baselines, a report and a sealed
run. Target: at most 0.75 of the plain script's time.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile

from processes import ROOT, seconds

PLAIN = """
import keras
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

x, y = load_breast_cancer(return_X_y=True)
x_rest, x_test, y_rest, y_test = train_test_split(x, y, test_size=0.15, random_state=7, stratify=y)
x_train, x_valid, y_train, y_valid = train_test_split(
    x_rest, y_rest, test_size=0.15 / 0.85, random_state=7, stratify=y_rest)
scaler = StandardScaler().fit(x_train)
keras.utils.set_random_seed(7)
model = keras.Sequential([
    keras.Input((30,)),
    keras.layers.Dense(64, activation="relu"), keras.layers.Dropout(0.2),
    keras.layers.Dense(32, activation="relu"), keras.layers.Dropout(0.2),
    keras.layers.Dense(1, activation="sigmoid"),
])
model.compile("adam", "binary_crossentropy", metrics=[keras.metrics.AUC(name="auroc")])
model.fit(scaler.transform(x_train), y_train, batch_size=32, epochs=100, verbose=0,
          validation_data=(scaler.transform(x_valid), y_valid))
print(roc_auc_score(y_test, model.predict(scaler.transform(x_test), verbose=0)))
"""


def main() -> None:
    """Print both medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as out:
        medkit = [
            "-m", "medkit", "train", "--config", str(ROOT / "configs/breast_cancer_mlp.yaml"),
            "--out", out, "--set", "training.early_stopping=null",
        ]  # fmt: skip
        pairs = [(seconds(medkit), seconds(["-c", PLAIN])) for _ in range(rounds)]
    own, plain = (statistics.median(each) for each in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    print("| breast-cancer MLP, 100 epochs, whole process | median seconds |\n|---|---|")
    print(f"| medkit train (evaluation, baselines, report, sealed run) | {own:.1f} |")
    print(f"| plain Keras script | {plain:.1f} |")
    print(f"| ratio (median of {rounds} pairs) | {ratio:.2f} |")


if __name__ == "__main__":
    main()

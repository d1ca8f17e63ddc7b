"""Training speed of medkit against a plain Keras script and a plain PyTorch loop.

Same network, data, batch size and epochs for all three. Each contestant is a process of its own
that trains one epoch (a few, where epochs are short) when its turn comes and then waits: A B C
A B C …, so that whatever else the machine does falls on all alike. Ratios are medians over the
rounds of the other's time / medkit's time: above 1, medkit is faster.

The plain Keras script is ``compile`` and ``fit`` on arrays with one AUC metric; medkit watches
what its task watches (AUROC, AUPRC, accuracy). The PyTorch loop sums up the loss and no metric.

Targets on TensorFlow, CPU, against plain Keras: MLP 1.5, GRU 1.4, LSTM and attention 1.1,
CNN 1.0, small cohort 3 (whole fit); GRU, CNN and attention ahead of PyTorch.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
CONTESTANTS = ("medkit", "keras", "torch")


@dataclass(frozen=True)
class Case:
    """One network on one shape of data."""

    shape: tuple[int, ...]
    epochs: int  # of the whole fit that is reported
    turn: int  # epochs a turn
    valid: int = 0


CASES = {
    "mlp": Case((20_000, 30), epochs=30, turn=1),
    "gru": Case((2_000, 48, 37), epochs=30, turn=1),
    "lstm": Case((2_000, 48, 37), epochs=30, turn=1),
    "attention": Case((2_000, 48, 37), epochs=30, turn=1),
    "cnn": Case((2_000, 28, 28, 1), epochs=30, turn=1),
    "small": Case((400, 30), epochs=100, turn=10, valid=85),
}
BATCH = 32


def data(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Random inputs and a target that depends on them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=case.shape).astype("float32")
    score = x.reshape(len(x), -1)[:, :8].sum(axis=1) + rng.normal(size=len(x))
    return x, (score > 0).astype("float32")[:, None]


def keras_network(name: str, shape: tuple[int, ...]):
    """The factory's network, with a sigmoid head."""
    from medkit import models

    kind = "mlp" if name == "small" else name
    settings = {
        "attention": {"num_blocks": 1, "dropout": 0.0},
        "cnn": {"dropout": 0.0},
        "gru": {"dropout": 0.0},
        "lstm": {"dropout": 0.0},
    }
    factory = getattr(models, kind)
    return factory(shape, 1, output_activation="sigmoid", **settings.get(kind, {}))


def torch_network(name: str, shape: tuple[int, ...]):
    """The same network in PyTorch, with logits out."""
    import torch
    from torch import nn

    class Recurrent(nn.Module):
        def __init__(self, kind):
            super().__init__()
            self.cells, self.head = kind(shape[1], 64, batch_first=True), nn.Linear(64, 1)

        def forward(self, x):
            return self.head(self.cells(x)[0][:, -1])

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.inward, self.head = nn.Linear(shape[1], 64), nn.Linear(64, 1)
            self.attend = nn.MultiheadAttention(64, 4, batch_first=True)
            self.first, self.second, self.last = (nn.LayerNorm(64) for _ in range(3))
            self.register_buffer("positions", torch.zeros(shape[0], 64))
            self.forth = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64))

        def forward(self, x):
            x = self.inward(x) + self.positions
            normed = self.first(x)
            x = x + self.attend(normed, normed, normed, need_weights=False)[0]
            return self.head(self.last(x + self.forth(self.second(x))).mean(1))

    class Images(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.Sequential(
                nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                nn.Flatten(), nn.Linear(64 * (shape[0] // 4) ** 2, 64), nn.ReLU(), nn.Linear(64, 1),
            )  # fmt: skip

        def forward(self, x):
            return self.parts(x.permute(0, 3, 1, 2))

    torch.manual_seed(0)
    if name in ("mlp", "small"):
        return nn.Sequential(
            nn.Linear(shape[0], 64), nn.ReLU(), nn.Dropout(0.1),
            nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 1),
        )  # fmt: skip
    if name in ("gru", "lstm"):
        return Recurrent(nn.GRU if name == "gru" else nn.LSTM)
    return Attention() if name == "attention" else Images()


class Turns:
    """Says how long a turn took, then waits for the next."""

    def __init__(self, turn: int):
        self.turn, self.done = turn, 0
        self.start = time.perf_counter()

    def epoch(self) -> None:
        self.done += 1
        # The first epoch is a turn of its own: it holds tracing and compilation.
        if self.done == 1 or (self.done - 1) % self.turn == 0:
            print(json.dumps(time.perf_counter() - self.start), flush=True)
            if not sys.stdin.readline():
                os._exit(0)
            self.start = time.perf_counter()


def work(name: str, contestant: str) -> None:
    """Train, turn by turn, until the parent closes the pipe."""
    case = CASES[name]
    x, y = data(case)
    train = (x[case.valid :], y[case.valid :])
    valid = (x[: case.valid], y[: case.valid]) if case.valid else None
    if contestant == "torch":
        torch_loop(torch_network(name, case.shape[1:]), train, valid, case.turn)
        return
    import keras

    keras.utils.set_random_seed(0)
    model = keras_network(name, case.shape[1:])
    forever = 10**6
    sys.stdin.readline()
    turns = Turns(case.turn)
    waiting = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: turns.epoch())
    if contestant == "medkit":
        from medkit.training.trainer import Trainer

        turns.start = time.perf_counter()
        Trainer(model, task="binary", epochs=forever, batch_size=BATCH, early_stopping=None).fit(
            train[0], train[1][:, 0], validation_data=valid, callbacks=[waiting]
        )
    else:
        model.compile("adam", "binary_crossentropy", metrics=[keras.metrics.AUC(name="auroc")])
        model.fit(
            *train, batch_size=BATCH, epochs=forever, verbose=0,
            validation_data=valid, callbacks=[waiting],
        )  # fmt: skip


def torch_loop(model, train, valid, turn: int) -> None:
    """The loop of every PyTorch tutorial, on tensors in memory."""
    import torch

    x, y = (torch.from_numpy(each) for each in train)
    held = None if valid is None else [torch.from_numpy(each) for each in valid]
    loss_of = torch.nn.BCEWithLogitsLoss()
    sys.stdin.readline()
    turns = Turns(turn)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7)
    while True:
        model.train()
        order, total = torch.randperm(len(x)), 0.0
        for start in range(0, len(x), BATCH):
            rows = order[start : start + BATCH]
            optimizer.zero_grad()
            loss = loss_of(model(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        if held is not None:
            model.eval()
            with torch.no_grad():
                loss_of(model(held[0]), held[1]).item()
        turns.epoch()


def measure(name: str, rounds: int, contestants: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Median seconds of the first and of later epochs, and ratios of rounds, by contestant."""
    case = CASES[name]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    workers = {
        each: subprocess.Popen(
            [sys.executable, __file__, "--worker", name, each],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, env=environment,
        )
        for each in contestants
    }  # fmt: skip

    def turn(contestant: str) -> float:
        worker = workers[contestant]
        worker.stdin.write("go\n")
        worker.stdin.flush()
        line = worker.stdout.readline()
        if not line:
            raise SystemExit(f"{contestant} failed on {name}; run: {' '.join(worker.args)}")
        return float(line)

    first = {each: turn(each) for each in contestants}
    for each in contestants:  # one turn to warm up
        turn(each)
    later: dict[str, list[float]] = {each: [] for each in contestants}
    for _ in range(rounds):
        for each in contestants:
            later[each].append(turn(each) / case.turn)
    for worker in workers.values():
        worker.kill()
        worker.wait()
    found = {}
    for each in contestants:
        epoch = statistics.median(later[each])
        ratios = [a / b for a, b in zip(later[each], later["medkit"], strict=True)]
        found[each] = {
            "first": first[each],
            "epoch": epoch,
            "whole": first[each] + (case.epochs - 1) * epoch,
            "ratio": statistics.median(ratios),
        }
    for each in contestants:
        found[each]["whole_ratio"] = found[each]["whole"] / found["medkit"]["whole"]
    return found


def row(name: str, found: dict[str, dict[str, float]]) -> str:
    """One line of the Markdown table."""
    case, cells = CASES[name], [name, "x".join(str(n) for n in CASES[name].shape)]
    for each in CONTESTANTS:
        times = found.get(each)
        cells.append(
            "-" if times is None else f"{times['epoch'] * 1e3:.0f} ms ({times['first']:.1f} s)"
        )
    for each in CONTESTANTS[1:]:
        cells.append(f"**{found[each]['ratio']:.2f}**" if each in found else "-")
    whole = found.get("keras")
    cells.append(f"{case.epochs}: {whole['whole_ratio']:.2f}" if whole else "-")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="three rounds")
    parser.add_argument("--no-torch", action="store_true", help="leave the PyTorch loop out")
    parser.add_argument("--json", type=Path, help="write every number to this file")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work(*given.worker)
        return
    contestants = CONTESTANTS[:2] if given.no_torch else CONTESTANTS
    backend = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    print(f"Backend {backend}, {os.cpu_count()} cores, {platform.machine()}, batch {BATCH}\n")
    print(
        "| network | data | medkit: epoch (first) | plain Keras | plain PyTorch "
        "| Keras / medkit | PyTorch / medkit | Keras / medkit, whole fit of n epochs |"
    )
    print("|---|---|---|---|---|---|---|---|")
    results = {}
    for name in given.cases:
        results[name] = measure(name, 3 if given.quick else given.rounds, contestants)
        print(row(name, results[name]), flush=True)
    if given.json:
        given.json.write_text(json.dumps({"backend": backend, "cases": results}, indent=2))


if __name__ == "__main__":
    main()

"""The state of a training at the end of an epoch, in one file without pickle."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from medkit.core.errors import RunError
from medkit.core.files import written_whole
from medkit.training.callbacks import Resumable, StoppingCallback, copies

log = logging.getLogger("medkit")

FILE = Path("checkpoint", "state.npz")
SECONDS_BETWEEN_WRITES = 10.0


class Checkpoint(keras.callbacks.Callback):
    """Remembers every epoch's end, and writes it every few seconds and when asked to.

    The file holds the weights (random states of dropout and augmentation among them), the
    optimizer's variables, the best weights, and what the other callbacks remember: a resumed run
    equals one that was never interrupted.

    Args:
        folder: The run's folder.
        others: Callbacks by name, whose state is kept.
        identity: What a resumed run must share, such as seed and batch size.
        name: Of a further network trained in the same folder; it has a file of its own.
    """

    def __init__(
        self,
        folder: Path,
        others: dict[str, Resumable],
        identity: dict[str, Any],
        name: str = "",
    ):
        super().__init__()
        self.path = Path(folder) / FILE.parent / name / FILE.name
        self.others, self.identity = others, identity
        self.snapshot: dict[str, np.ndarray] | None = None
        self.random: list[np.ndarray] = []
        self.written, self.pause = time.monotonic(), SECONDS_BETWEEN_WRITES

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        # Not before: making an iterator draws from PyTorch's global state.
        restore_random(self.random)
        self.random = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.snapshot = self._take(epoch + 1)
        if time.monotonic() - self.written >= self.pause:
            self.write()

    def write(self) -> bool:
        """Write the last finished epoch; False when there is none."""
        if self.snapshot is None:
            return False
        start = time.monotonic()
        with written_whole(self.path) as temporary:
            np.savez(temporary, allow_pickle=False, **self.snapshot)
        self.written = time.monotonic()
        # Never more than a twentieth of the time, however large the network.
        self.pause = max(SECONDS_BETWEEN_WRITES, 20 * (self.written - start))
        return True

    def load(self) -> int:
        """Restore model, optimizer and callbacks; returns the number of finished epochs.

        Raises:
            RunError: The file is of another network or another training.
        """
        if not self.path.is_file():
            return 0
        try:
            with np.load(self.path, allow_pickle=False) as file:
                arrays = dict(file)
            state = json.loads(str(arrays.pop("state")))
        except (OSError, ValueError, KeyError) as error:
            raise RunError(f"is not a checkpoint: {error}", place=str(self.path)) from error
        for name, value in self.identity.items():
            if state["identity"].get(name) != value:
                raise RunError(
                    f"the checkpoint was made with {name} {state['identity'].get(name)}, "
                    f"this training has {value}",
                    place=str(self.path),
                    hint="Resume with the same settings and data, or start a new run.",
                )
        for group, variables in self._variables().items():
            self._assign(group, variables, arrays)
        self.random = _group("random", arrays)
        for name, other in self.others.items():
            other.restore(state["callbacks"][name])
            if isinstance(other, StoppingCallback):
                other.weights = _group("best", arrays) or None
        self.snapshot = None
        return int(state["epochs"])

    def _variables(self) -> dict[str, list[Any]]:
        model = self.model
        return {
            "model": [*model.trainable_variables, *model.non_trainable_variables],
            "optimizer": list(model.optimizer.variables),
        }

    def _take(self, epochs: int) -> dict[str, np.ndarray]:
        groups = {name: copies(variables) for name, variables in self._variables().items()}
        groups["random"] = random_state()
        for other in self.others.values():
            if isinstance(other, StoppingCallback) and other.weights is not None:
                groups["best"] = other.weights
        state = {
            "epochs": epochs,
            "identity": self.identity,
            "callbacks": {name: other.state() for name, other in self.others.items()},
        }
        snapshot = {
            f"{group}/{index}": array
            for group, arrays in groups.items()
            for index, array in enumerate(arrays)
        }
        return {**snapshot, "state": np.array(json.dumps(state))}

    def _assign(self, group: str, variables: list[Any], arrays: dict[str, np.ndarray]) -> None:
        found = _group(group, arrays)
        shapes = [tuple(each.shape) for each in variables]
        if [each.shape for each in found] != shapes:
            raise RunError(
                f"the checkpoint's {group} has other weights than this one",
                place=str(self.path),
                hint="Resume with the model and optimizer it was made with, or start a new run.",
            )
        for array, variable in zip(found, variables, strict=True):
            variable.assign(array)


def _group(group: str, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    count = sum(key.startswith(f"{group}/") for key in arrays)
    return [arrays[f"{group}/{index}"] for index in range(count)]


def random_state() -> list[np.ndarray]:
    """Random states outside the model: on PyTorch, dropout draws from a global one."""
    if keras.backend.backend() != "torch":
        return []
    import torch

    return [each.cpu().numpy() for each in (torch.get_rng_state(), *torch.cuda.get_rng_state_all())]


def restore_random(states: list[np.ndarray]) -> None:
    """Take up what ``random_state`` gave."""
    if keras.backend.backend() != "torch" or not states:
        return
    import torch

    torch.set_rng_state(torch.from_numpy(states[0]))
    if torch.cuda.device_count() == len(states) - 1:
        torch.cuda.set_rng_state_all([torch.from_numpy(each) for each in states[1:]])

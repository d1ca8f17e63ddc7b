"""The state of a training at the end of an epoch, in one file without pickle."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from medkit.errors import RunError
from medkit.files import written_whole
from medkit.training.callbacks import EarlyStopping, Resumable, copies

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
    """

    def __init__(self, folder: Path, others: dict[str, Resumable], identity: dict[str, Any]):
        super().__init__()
        self.path, self.others, self.identity = Path(folder) / FILE, others, identity
        self.snapshot: dict[str, np.ndarray] | None = None
        self.written, self.pause = time.monotonic(), SECONDS_BETWEEN_WRITES

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
            raise RunError(f"is no checkpoint: {error}", place=str(self.path)) from error
        for name, value in self.identity.items():
            if state["identity"].get(name) != value:
                raise RunError(
                    f"the checkpoint was made with {name} {state['identity'].get(name)}, "
                    f"this training has {value}",
                    place=str(self.path),
                    hint="Resume with the same settings and data, or train anew.",
                )
        for group, variables in self._variables().items():
            self._assign(group, variables, arrays)
        for name, other in self.others.items():
            other.restore(state["callbacks"][name])
            if isinstance(other, EarlyStopping) and "best/0" in arrays:
                count = sum(key.startswith("best/") for key in arrays)
                other.weights = [arrays[f"best/{index}"] for index in range(count)]
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
        for other in self.others.values():
            if isinstance(other, EarlyStopping) and other.weights is not None:
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
        found = [arrays.get(f"{group}/{index}") for index in range(len(variables))]
        count = sum(key.startswith(f"{group}/") for key in arrays)
        if count != len(variables) or any(
            array is None or array.shape != tuple(variable.shape)
            for array, variable in zip(found, variables, strict=True)
        ):
            raise RunError(
                f"the checkpoint's {group} has other weights than this one",
                place=str(self.path),
                hint="Resume with the model and optimizer it was made with, or train anew.",
            )
        for array, variable in zip(found, variables, strict=True):
            variable.assign(array)

"""medkit: the shortest honest path from clinical data to a validated, deployable Keras model."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from medkit import datasets as datasets
    from medkit import models as models
    from medkit.config.experiment import load_config as load_config
    from medkit.core.errors import MedkitError as MedkitError
    from medkit.runs.run import Run as Run
    from medkit.training.trainer import Trainer as Trainer
    from medkit.workflows.train import train as train

# Public name -> module; imported at first use, so that `import medkit` stays light.
_PUBLIC = {
    "train": "medkit.workflows.train",
    "load_config": "medkit.config.experiment",
    "Run": "medkit.runs.run",
    "Trainer": "medkit.training.trainer",
    "MedkitError": "medkit.core.errors",
    "models": "medkit.models",
    "datasets": "medkit.datasets",
}
__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'medkit' has no attribute '{name}'")
    module = importlib.import_module(_PUBLIC[name])
    return module if module.__name__ == f"medkit.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])

"""What the pages are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import yaml

from medkit.data.cohort import Feature, Source
from medkit.data.inputs import Inputs
from medkit.modalities.preparation import Preparation
from medkit.tasks.outcomes import Metric, Outcome
from medkit.tasks.task import Task

# Parts in the order of a reader's interest.
PART_NAMES = {"test": "Test", "valid": "Validation", "train": "Training"}


@dataclass(frozen=True)
class ReportInputs:
    """What the pages tell.

    Args:
        name: Name of the experiment.
        task: The fitted task.
        metrics: The content of ``metrics.json``, with ``flow`` (rows_read, dropped, parts, notes).
        history: Watched value -> one number per epoch.
        predictions: Part -> (targets as encoded, outputs of the network).
        source: Where the data came from.
        features: Input variables with their units.
        preparation: How each input was prepared, by its name.
        environment: The content of ``environment.json``.
        config: The config as YAML text.
        description: A sentence of the user's own.
        model: Name of the model.
        target_names: Names of the outputs of a multilabel or regression task.
        confidence: Coverage of the intervals.
        hashed: Part -> salted hash of each sample, in the order of its predictions, as in
            ``predictions.parquet``.
        weights: Trainable weights of the network; None where unknown.
        encoded: Encoded inputs of the test part, to draw some samples; None where not at hand.
        windows: Of a forecast, channel -> (n, steps) what was known of it, of each test sample.
        away: Whether ``metrics["test"]`` and ``predictions["test"]`` are of another data set, not
            of the run's own test part.
    """

    name: str
    task: Task
    metrics: Mapping[str, Any]
    history: Mapping[str, Sequence[float]]
    predictions: Mapping[str, tuple[np.ndarray, np.ndarray]]
    source: Source = field(default_factory=Source)
    features: Sequence[Feature] = ()
    preparation: Mapping[str, Preparation] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    config: str = ""
    description: str = ""
    model: str = ""
    target_names: Sequence[str] = ()
    confidence: float = 0.95
    hashed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    weights: int | None = None
    encoded: Inputs | None = None
    windows: Mapping[str, np.ndarray] = field(default_factory=dict)
    away: bool = False

    @property
    def where(self) -> str:
        """What the numbers are measured on."""
        return "the new data" if self.away else "the test part"

    @property
    def samples(self) -> str:
        """Whose numbers they are."""
        return "new samples" if self.away else "test samples"

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The config, read back; empty without one."""
        read = yaml.safe_load(self.config) if self.config else None
        return read if isinstance(read, dict) else {}

    def setting(self, path: str, default: Any = None) -> Any:
        """One of the settings by its dotted path; ``default`` where it is not set."""
        found: Any = self.settings
        for key in path.split("."):
            if not isinstance(found, Mapping) or found.get(key) is None:
                return default
            found = found[key]
        return found

    def test(self) -> tuple[np.ndarray, np.ndarray] | None:
        """(n, …) targets and (n, outputs) outputs of the test part in double precision."""
        if "test" not in self.predictions:
            return None
        y, p = (np.asarray(each, dtype=float) for each in self.predictions["test"])
        return y, p[:, None] if p.ndim == 1 else p

    @cached_property
    def outcomes(self) -> list[Outcome]:
        """What is predicted, with truth and answer of the test part; empty without it."""
        found = self.test()
        return [] if found is None else self.task.outcomes(*found, self.threshold)

    @property
    def threshold(self) -> Any:
        """The operating point in use: of one outcome, of each in a list, or None."""
        return self.metrics["test"].get("threshold")

    @property
    def main(self) -> str:
        """The metric that a summary leads with."""
        return self.task.leading

    @property
    def leading(self) -> Metric:
        """The same with its label and direction."""
        return self.task.metric(self.main)

    def called(self, metric: str) -> str:
        """A metric as a person reads it."""
        return self.task.metric(metric).label

    def sample_name(self, row: int) -> str:
        """A test sample by the start of its hash; by its number where that is not given."""
        hashed = self.test_hashes()
        return f"test sample {row + 1}" if hashed is None else f"sample {hashed[row][:8]}"

    def test_hashes(self) -> Sequence[str] | None:
        """Salted hash of each test sample; None where they are not given."""
        hashed = self.hashed.get("test", ())
        known = "test" in self.predictions and len(hashed) == len(self.predictions["test"][0])
        return hashed if known else None

"""What a saved network says of every part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Predictions:
    """What the saved network says of every part.

    Attributes:
        outputs: Part -> (n, outputs).
        threshold: The operating point, chosen on validation.
        before: (n, outputs) of the test part before recalibration; None without it.
        recalibration: What ``fit_recalibration`` returned; None where none was asked for.
        baselines: Baseline -> (n, outputs) on the test part, once assessed.
    """

    outputs: Mapping[str, np.ndarray]
    threshold: Any
    before: np.ndarray | None = None
    recalibration: Mapping[str, Any] | None = None
    baselines: dict[str, np.ndarray] = field(default_factory=dict)

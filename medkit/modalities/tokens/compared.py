"""Token sequences as the leakage gate compares them."""

from __future__ import annotations

from typing import Any

import numpy as np

from medkit.modalities.likeness import Runs, Texts, hashed_runs, text_keys
from medkit.modalities.modality import Modality
from medkit.modalities.tokens.units import PADDING

LETTERS, WORDS = 8, 4  # in one run
COMMON = 0.65


class TokensCompared(Modality):
    """Near-identical if two thirds of the runs (8 letters or 4 words) found in either sequence are
    found in both (Broder, 1997): a letter changed, or a window moved by a sixth of its length."""

    unit: str

    def row_keys(self, raw: Any) -> tuple[np.ndarray, np.ndarray]:
        return text_keys(map(str, self._values(raw)))

    def texts(self, raw: Any) -> Texts | None:
        values = [each if isinstance(each, str) else "" for each in self._values(raw)]
        return Texts(values, self.unit == "word")

    def runs(self, x: np.ndarray) -> Runs | None:
        width = min(WORDS if self.unit == "word" else LETTERS, x.shape[1])
        codes = hashed_runs(x.astype(np.uint64), width)
        # A padded run is the same in all short texts.
        windows = np.lib.stride_tricks.sliding_window_view(x != PADDING, width, axis=1)
        return Runs(codes, windows.min(axis=2), COMMON, "almost identical to")

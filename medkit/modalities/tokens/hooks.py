"""Tokens as the leakage gate compares and explanations hide and show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from medkit.modalities.drawing import Drawing, Mark, shares
from medkit.modalities.groups import FeatureGroup, blocks_of
from medkit.modalities.hooks import prepared
from medkit.modalities.likeness import Runs, Texts, hashed_runs, text_keys
from medkit.modalities.modality import Modality
from medkit.modalities.tokens.units import FIRST, PADDING, UNSEEN

LETTERS, WORDS = 8, 4  # in one run
COMMON = 0.65
BANDS = 20  # of positions, over all samples
MOST_TYPES = 30


@dataclass(frozen=True)
class TokenType(FeatureGroup):
    """A token, wherever it stands: it can be made unseen, but nobody can lend it."""

    @property
    def lendable(self) -> bool:
        return False

    def of(self, x: np.ndarray) -> np.ndarray:
        """(n, length) 1 where it stands, else 0."""
        return (x == self.where[0]) * 1.0


class TokensHooks(Modality):
    """A feature is a position or a band of positions; where sequences are not aligned, and
    positions mean nothing, a token wherever it stands."""

    value_axes: ClassVar[str] = "position"
    step_axes: ClassVar[str] = "position"
    group_axes: ClassVar[str] = "position"
    no_curves: ClassVar[str] = "Tokens are not numbers to vary."
    numbers_at_once: ClassVar[int] = 1_200_000
    vocabulary_: list[str]
    aligned_: bool

    def groups(self, fine: bool = False) -> list[FeatureGroup]:
        length = self.input_shape_[0]
        return blocks_of([length], length if fine else BANDS, ["position"])

    def ranked_groups(self, x: np.ndarray) -> list[FeatureGroup]:
        if self.aligned_:
            return self.groups()
        present = [
            (np.any(x == code, axis=1).sum(), code) for code in np.unique(x) if code >= FIRST
        ]
        common = sorted(present, key=lambda each: (-each[0], each[1]))[:MOST_TYPES]
        words = self.vocabulary_
        return [TokenType(words[code - FIRST], None, (int(code),)) for _, code in common]

    def hide(self, x: np.ndarray, group: FeatureGroup) -> None:
        """Its tokens are unseen ones; padding stays."""
        if isinstance(group, TokenType):
            x[x == group.where[0]] = UNSEEN
            return
        part = group.of(x)
        part[...] = np.where(part == PADDING, PADDING, UNSEEN)

    def reference(self, layer: Any, inner: np.ndarray, x: np.ndarray) -> np.ndarray:
        """The mean vector of the vocabulary where a token stands, so that the length says
        nothing."""
        vocabulary = np.arange(layer.first, layer.vocabulary, dtype=x.dtype)
        middle = prepared(layer, vocabulary[None])[0].mean(axis=0)
        start = np.where(np.any(inner != 0, axis=-1, keepdims=True), middle, 0.0)
        return start.astype("float32")

    def occupied(self, x: np.ndarray) -> np.ndarray | None:
        return np.asarray(x != PADDING)

    def shown(self, x: np.ndarray, group: FeatureGroup) -> Any:
        known = ["", "(unseen)", *self.vocabulary_]
        return " ".join(filter(None, (known[code] for code in np.ravel(group.of(x)[0]))))

    def draw(
        self, x: np.ndarray, row: int, attribution: np.ndarray | None = None
    ) -> Drawing | None:
        known = ["", "?", *self.vocabulary_]
        share = shares(None if attribution is None else attribution[row], x[row].shape)
        return Drawing(
            words=tuple(
                Mark(known[code], float(each), f"position {position}")
                for position, (code, each) in enumerate(zip(x[row], share, strict=True), 1)
                if known[code]
            )
        )

    # -- Compared: near-identical if two thirds of the runs (8 letters or 4 words) found in either
    # sequence are found in both (Broder, 1997): a letter changed, or a window moved by a sixth of
    # its length.

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

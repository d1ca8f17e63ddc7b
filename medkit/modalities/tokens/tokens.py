"""Token sequences: DNA, proteins, clinical text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.core.limits import check_memory
from medkit.core.registry import modalities
from medkit.data.cohort import RawInput
from medkit.modalities.files import FileRows, Written
from medkit.modalities.modality import Gives, log
from medkit.modalities.tokens.hooks import TokensHooks
from medkit.modalities.tokens.units import (
    FIRST,
    PADDING,
    UNSEEN,
    occurrences,
    positions,
    split_units,
)

if TYPE_CHECKING:
    import keras
    import pandas

ONE_HOT_BELOW = 64
EMBEDDING_SIZE = 64


@modalities.register(name="tokens")
class Tokens(TokensHooks):
    """Sequences of letters or words: looked up in a vocabulary, one-hot or embedded in the model.

    Encoded: int32 (n, length): 0 for padding, 1 for what is not in the vocabulary, then the
    vocabulary in order of frequency. In the model: one-hot vectors for a small vocabulary, a
    trained embedding for a large one; padding is all zeros, and so is an unseen token where
    training had none to learn from.

    Args:
        unit: What a token is: a character (DNA, proteins) or a word (text; punctuation marks
            are words too).
        ignore_case: Take upper and lower case as the same.
        length: Tokens a sample is cut or padded to; null for the 99th percentile of the training
            sequences, at most 2000. Longer sequences lose their end.
        padding: Where short sequences are filled up: before (pre) or after (post) the tokens.
        min_count: Tokens found in fewer training sequences than this are taken as unseen and not
            kept in the run (text may hold names); null for 1 with characters, 5 with words.
        max_vocabulary: Most tokens to keep, the most frequent first.
        embedding: Size of a trained embedding; null for one-hot vectors up to 64 tokens, else an
            embedding of size 64.
    """

    modality: ClassVar[str] = "tokens"
    gives: ClassVar[Gives] = "steps"
    noun: ClassVar[str] = "sequences"
    deterministic: ClassVar[bool] = False
    vocabulary_: list[str]
    length_: int
    unseen_: bool
    aligned_: bool

    def __init__(
        self,
        *,
        unit: Literal["character", "word"] = "character",
        ignore_case: bool = True,
        length: Annotated[int, Field(ge=1)] | None = None,
        padding: Literal["pre", "post"] = "pre",
        min_count: Annotated[int, Field(ge=1)] | None = None,
        max_vocabulary: Annotated[int, Field(ge=1)] = 20000,
        embedding: Annotated[int, Field(ge=1)] | None = None,
    ):
        self.unit, self.ignore_case, self.length = unit, ignore_case, length
        self.padding, self.min_count = padding, min_count
        self.max_vocabulary, self.embedding = max_vocabulary, embedding

    def fit(self, raw: RawInput | Iterable[str]) -> Self:
        """Learn the vocabulary and the length from training sequences.

        Raises:
            DataError: No sequences, or values that are not text.
        """
        self._check_parameters()
        texts = self._texts(raw)
        self._check_rows(len(texts))
        lengths, total, containing = [], Counter[str](), Counter[str]()
        for text in texts:
            units = self._units(text)
            lengths.append(len(units))
            counts = Counter(units)
            total.update(counts)
            containing.update(counts.keys())
        if not total:
            raise DataError("every training sequence is empty")
        least = self.min_count or (1 if self.unit == "character" else 5)
        # Ties by the token itself: a vocabulary must not depend on the order of the rows.
        ranked = sorted(total, key=lambda token: (-total[token], token))
        kept = [token for token in ranked if containing[token] >= least][: self.max_vocabulary]
        if not kept:
            raise DataError(
                f"no token occurs in {least} training sequences or more",
                hint="Lower min_count, or check that unit fits (character or word).",
            )
        self.features_ = []
        self.vocabulary_ = kept
        self.unseen_ = len(kept) < len(total)
        usual = int(np.percentile(lengths, 99, method="higher"))
        self.length_ = self.length or max(1, min(usual, 2000))
        self.aligned_ = len(set(lengths)) == 1 and lengths[0] == self.length_
        return self

    def encode(self, raw: RawInput | Iterable[str]) -> np.ndarray:
        """Token ids int32 (n, length).

        Raises:
            DataError: Values that are not text.
        """
        vocabulary = self._learned("vocabulary_")
        known = {token: i for i, token in enumerate(vocabulary, start=FIRST)}
        table = _letter_table(known) if self.unit == "character" else None
        texts = self._texts(raw)
        what = f"{len(texts):,} sequences of {self.length_:,} tokens"
        check_memory(4 * len(texts) * self.length_, what, "preprocessing.length")
        encoded = np.full((len(texts), self.length_), PADDING, dtype="int32")
        cut = empty = unseen = 0
        for row, text in enumerate(texts):
            if table is None:
                ids = np.array([known.get(u, UNSEEN) for u in self._units(text)], dtype="int32")
            else:
                ids = _letter_ids(self._units(text), table)
            cut += len(ids) > self.length_
            empty += len(ids) == 0
            unseen += bool((ids == UNSEEN).any())
            ids = ids[: self.length_]
            start = self.length_ - len(ids) if self.padding == "pre" else 0
            encoded[row, start : start + len(ids)] = ids
        for count, what in (
            (cut, f"are longer than {self.length_} tokens and lose their end"),
            (empty, "are empty"),
            (unseen, "hold tokens outside the vocabulary"),
        ):
            if count:
                log.info("%d of %d sequences %s", count, len(texts), what)
        return encoded

    def _texts(self, raw: Any) -> list[str]:
        values = self._values(raw)
        if isinstance(values, str):
            values = [values]
        texts = []
        for row, value in enumerate(values, start=1):
            missing = value is None or (isinstance(value, float) and np.isnan(value))
            if not missing and not isinstance(value, str):
                raise DataError(
                    f"sequence {row} is of type {type(value).__name__} where text is expected"
                )
            texts.append("" if missing else str(value))
        return texts

    def _units(self, text: str) -> list[str] | str:
        return split_units(text, self.unit, self.ignore_case)

    @property
    def input_shape_(self) -> tuple[int, ...]:
        return (self._learned("length_"),)

    @property
    def input_dtype_(self) -> str:
        return "int32"

    def preprocessing(self) -> keras.Layer:
        """The layer that takes ids (n, length) to vectors (n, length, channels) float32."""
        from medkit.layers.tokens import TokenPreprocessing

        known = len(self._learned("vocabulary_"))
        size = self.embedding or (EMBEDDING_SIZE if known > ONE_HOT_BELOW else None)
        layer = TokenPreprocessing(known + FIRST, dimensions=size, unseen=self.unseen_)
        layer.build((None, self.length_))
        return layer

    def write(self, raw: RawInput, folder: Path, rows: FileRows) -> Written:
        """The column ``sequence`` of the table of the samples, read by ``sequences``."""
        return Written("sequences", columns={"sequence": raw.values})

    def summarize(self, x: np.ndarray) -> pandas.DataFrame:
        """Named features: for short sequences of one length, which token is at which position;
        else how often tokens and pairs of tokens occur, as fractions, and the length."""
        x = np.asarray(x)
        if self.aligned_ and self.length_ * len(self.vocabulary_) <= 600:
            return pd.DataFrame(positions(x, self.vocabulary_))
        return pd.DataFrame(occurrences(x, self.vocabulary_))


def _letter_table(known: dict[str, int]) -> np.ndarray:
    table = np.full(0x110000, UNSEEN, dtype="int32")
    for letter, code in known.items():
        table[ord(letter)] = code
    return table


def _letter_ids(text: list[str] | str, table: np.ndarray) -> np.ndarray:
    joined = "".join(text).encode("utf-32-le", errors="surrogatepass")
    return table[np.frombuffer(joined, dtype="<u4")]
